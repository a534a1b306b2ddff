//! Short notes on what was done, some with a way back.
//!
//! Holds: they are told to screen readers as well; what can be undone stays long enough to be reached with the keyboard.

use std::sync::Arc;

use leptos::{prelude::*, task::spawn_local};

use super::icon::{Icon, icon};
use crate::{messages::t, problem::Problem, ui::time};

const SHOWN_MS: i32 = 5_000;
const SHOWN_WITH_UNDO_MS: i32 = 15_000;
/// Of more, the oldest go.
const SHOWN_MAX: usize = 3;

/// What takes back what was done.
pub type Undo = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
struct Toast {
    number: u32,
    text: String,
    undo: Option<Undo>,
}

#[derive(Clone, Copy)]
struct Context {
    toasts: RwSignal<Vec<Toast>>,
    number: RwSignal<u32>,
}

thread_local! {
    static CONTEXT: std::cell::Cell<Option<Context>> = const { std::cell::Cell::new(None) };
}

pub fn provide() {
    CONTEXT.set(Some(Context {
        toasts: RwSignal::new(Vec::new()),
        number: RwSignal::new(0),
    }));
}

/// Shows a note.
pub fn show(text: impl Into<String>) {
    show_with(text.into(), None);
}

pub fn show_problem(problem: &Problem) {
    show(problem.detail.clone());
}

pub fn show_with(text: String, undo: Option<Undo>) {
    let Some(context) = CONTEXT.get() else {
        return;
    };
    let number = context.number.get_untracked() + 1;
    context.number.set(number);
    let shown = if undo.is_some() {
        SHOWN_WITH_UNDO_MS
    } else {
        SHOWN_MS
    };
    context.toasts.update(|toasts| {
        // What was only said is old news.
        toasts.retain(|toast| toast.undo.is_some());
        toasts.push(Toast { number, text, undo });
        let more = toasts.len().saturating_sub(SHOWN_MAX);
        toasts.drain(..more);
    });
    spawn_local(async move {
        time::sleep(shown).await;
        remove(number);
    });
}

fn remove(number: u32) {
    if let Some(context) = CONTEXT.get() {
        context
            .toasts
            .update(|toasts| toasts.retain(|toast| toast.number != number));
    }
}

pub fn view() -> AnyView {
    let Some(context) = CONTEXT.get() else {
        return ().into_any();
    };
    let one = |toast: Toast| {
        let number = toast.number;
        let undo = toast.undo.map(|undo| {
            let press = move |_| {
                remove(number);
                undo();
            };
            view! { <button type="button" class="small" on:click=press>{t().undo}</button> }
        });
        view! {
            <div class="toast">
                <span>{toast.text}</span>
                {undo}
                <button type="button" class="icon" aria-label=t().dismiss on:click=move |_| remove(number)>
                    {icon(Icon::Close)}
                </button>
            </div>
        }
    };
    view! {
        <div class="toasts" role="status" aria-live="polite">
            <For each=move || context.toasts.get() key=|toast| toast.number children=one />
        </div>
    }
    .into_any()
}
