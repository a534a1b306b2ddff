//! What every page begins with, and small things that many have.

use leptos::prelude::*;
use serde_json::Value;

use crate::{format, json, ui::time};

/// The heading, which also names the tab. It gets the focus when the page is shown, so that the keyboard goes on from there.
pub fn head(title: impl Into<String>, lead: &'static str, actions: AnyView) -> AnyView {
    let title = title.into();
    heading(move || title.clone(), lead, actions)
}

/// The heading of an object whose name is yet to be fetched.
pub fn head_of(title: impl Fn() -> String + Send + Sync + 'static, actions: AnyView) -> AnyView {
    heading(title, "", actions)
}

fn heading(
    title: impl Fn() -> String + Send + Sync + 'static,
    lead: &'static str,
    actions: AnyView,
) -> AnyView {
    let title = Memo::new(move |_| title());
    Effect::new(move |_| document().set_title(&format!("{} – Posthorn", title.get())));
    let heading = NodeRef::<leptos::html::H1>::new();
    Effect::new(move |_| {
        if let Some(heading) = heading.get() {
            let _ = heading.focus();
        }
    });
    let lead = (!lead.is_empty()).then(|| view! { <p>{lead}</p> });
    view! {
        <div class="page-head">
            <div>
                <h1 tabindex="-1" node_ref=heading>{move || title.get()}</h1>
                {lead}
            </div>
            <div class="actions">{actions}</div>
        </div>
    }
    .into_any()
}

/// The way back to the list.
pub fn crumbs(address: &'static str, text: &'static str) -> AnyView {
    view! { <p class="crumbs"><a href=address>"‹ "{text}</a></p> }.into_any()
}

/// Names and what is known of them.
pub fn facts(rows: Vec<(&'static str, AnyView)>) -> AnyView {
    let rows = rows.into_iter().map(|(name, value)| {
        view! { <dt>{name}</dt><dd>{value}</dd> }
    });
    view! { <dl class="facts">{rows.collect_view()}</dl> }.into_any()
}

pub fn card(title: &'static str, lead: &'static str, content: AnyView) -> AnyView {
    let lead = (!lead.is_empty()).then(|| view! { <p>{lead}</p> });
    view! { <section class="card"><h2>{title}</h2>{lead}{content}</section> }.into_any()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    Plain,
    Accent,
    Good,
    Warn,
    Bad,
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Accent => "accent",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

pub fn badge(tone: Tone, text: impl Into<String>) -> AnyView {
    view! { <span class=format!("badge {}", tone.class())>{text.into()}</span> }.into_any()
}

pub fn note(tone: Tone, text: impl Into<String>) -> AnyView {
    let role = if tone == Tone::Bad { "alert" } else { "note" };
    view! { <div class=format!("note {}", tone.class()) role=role><p>{text.into()}</p></div> }
        .into_any()
}

/// A date of the API, with the exact one for who asks.
pub fn date(text: &str) -> AnyView {
    if text.is_empty() {
        return ().into_any();
    }
    view! { <time datetime=text.to_owned() title=text.to_owned()>{time::date(text)}</time> }
        .into_any()
}

/// The date at a pointer.
pub fn date_at(value: &Value, pointer: &str) -> AnyView {
    date(json::text(value, pointer))
}

/// How much of something is used up. `limit` 0: as much as there is.
pub fn usage(used: u64, limit: u64) -> AnyView {
    if limit == 0 {
        return format::octets(used).into_any();
    }
    let share = (used as f64 / limit as f64 * 100.0).min(100.0);
    let class = if share >= 90.0 { "meter full" } else { "meter" };
    let text = format!("{} / {}", format::octets(used), format::octets(limit));
    view! {
        <span>{text}</span>
        <div class=class aria-hidden="true">
            <svg viewBox="0 0 100 8" preserveAspectRatio="none"><rect width=format!("{share:.1}") height="8"></rect></svg>
        </div>
    }
    .into_any()
}
