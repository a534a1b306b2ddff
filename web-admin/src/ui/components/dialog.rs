//! Dialogs, over the browser's own: that keeps the focus inside, and closes with Esc.
//!
//! Holds: what had the focus before gets it back.

use std::sync::Arc;

use leptos::{prelude::*, task::spawn_local};
use std::{future::Future, pin::Pin};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::{
    icon::{Icon, icon},
    page::{Tone, note},
};
use crate::{
    messages::{fill, t},
    problem::Problem,
};

/// Names that a question has.
const NAMES_MAX: usize = 8;

/// Shows a dialog while `open` holds something, with what `content` makes of it.
pub fn dialog<T: Clone + Send + Sync + 'static>(
    open: RwSignal<Option<T>>,
    title: impl Fn(&T) -> String + Send + Sync + 'static,
    content: impl Fn(T) -> AnyView + Send + Sync + 'static,
) -> AnyView {
    let element = NodeRef::<leptos::html::Dialog>::new();
    let before = StoredValue::new_local(None::<HtmlElement>);
    Effect::new(move |_| {
        let Some(element) = element.get() else {
            return;
        };
        if open.with(Option::is_some) {
            if !element.open() {
                let active = document().active_element();
                before.set_value(active.and_then(|active| active.dyn_into().ok()));
                let _ = element.show_modal();
                focus_first(&element);
            }
        } else if element.open() {
            element.close();
            if let Some(before) = before.try_update_value(Option::take).flatten() {
                let _ = before.focus();
            }
        }
    });
    // Esc: the browser has closed it.
    let closed = move |_| {
        if open.try_with_untracked(Option::is_some) == Some(true) {
            open.set(None);
            if let Some(before) = before.try_update_value(Option::take).flatten() {
                let _ = before.focus();
            }
        }
    };
    let content = move || {
        open.get().map(|of| {
            let title = title(&of);
            view! {
                <div class="dialog-head">
                    <h2 id="dialog-title">{title}</h2>
                    <button type="button" class="icon" aria-label=t().close on:click=move |_| open.set(None)>
                        {icon(Icon::Close)}
                    </button>
                </div>
                <div class="dialog-body">{content(of)}</div>
            }
        })
    };
    view! { <dialog node_ref=element aria-labelledby="dialog-title" on:close=closed>{content}</dialog> }.into_any()
}

/// What is in a dialog comes before the button that closes it.
fn focus_first(dialog: &web_sys::HtmlDialogElement) {
    let wanted = ".dialog-body :is(input, textarea, select, button)";
    let first = dialog.query_selector(wanted).ok().flatten();
    if let Some(first) = first.and_then(|first| first.dyn_into::<HtmlElement>().ok()) {
        let _ = first.focus();
    }
}

type Action = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), Problem>>>> + Send + Sync>;

/// A question before something that can't be undone.
#[derive(Clone)]
pub struct Question {
    title: String,
    text: String,
    /// Names of what it is about.
    names: Vec<String>,
    /// What the button says that does it.
    yes: &'static str,
    action: Action,
}

impl Question {
    pub fn new<F>(
        title: impl Into<String>,
        text: impl Into<String>,
        yes: &'static str,
        action: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Problem>> + 'static,
    {
        Self {
            title: title.into(),
            text: text.into(),
            names: Vec::new(),
            yes,
            action: Arc::new(move || Box::pin(action())),
        }
    }

    /// Says what it is about, by name.
    pub fn about(mut self, names: Vec<String>) -> Self {
        self.names = names;
        self
    }
}

/// The first names, and how many there are besides.
fn named(names: Vec<String>) -> Option<AnyView> {
    let more = names.len().saturating_sub(NAMES_MAX);
    let more = (more > 0).then(|| {
        let text = fill(t().and_more, &[("count", &more.to_string())]);
        view! { <li class="muted">{text}</li> }
    });
    let rows = names.iter().take(NAMES_MAX).cloned();
    let rows = rows.map(|name| view! { <li>{name}</li> }).collect_view();
    (!names.is_empty()).then(|| view! { <ul class="names">{rows}{more}</ul> }.into_any())
}

/// Where questions are asked.
pub fn questions(open: RwSignal<Option<Question>>) -> AnyView {
    dialog(
        open,
        |question| question.title.clone(),
        move |question| {
            let busy = RwSignal::new(false);
            let problem = RwSignal::new(None::<Problem>);
            let action = question.action;
            let press = move |_| {
                busy.set(true);
                let future = action();
                spawn_local(async move {
                    let done = future.await;
                    busy.try_set(false);
                    match done {
                        Ok(()) => open.set(None),
                        Err(error) => {
                            problem.try_set(Some(error));
                        }
                    }
                });
            };
            view! {
                <p>{question.text}</p>
                {named(question.names)}
                {move || problem.get().map(|problem| note(Tone::Bad, problem.detail))}
                <div class="dialog-foot">
                    <button type="button" on:click=move |_| open.set(None)>{t().cancel}</button>
                    <button type="button" class="danger primary" disabled=move || busy.get() on:click=press>{question.yes}</button>
                </div>
            }
            .into_any()
        },
    )
}
