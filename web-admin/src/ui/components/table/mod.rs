//! Lists of the API: search, sort, paging, and actions on several rows at once.
//!
//! Holds: what is asked for is in the page's address, so going back shows the same rows; rows are chosen by their keys, and those that
//! aren't shown any more aren't chosen.

mod asked;
mod bulk;
mod rows;

use std::{sync::Arc, time::Duration};

use leptos::{prelude::*, task::spawn_local};
use serde_json::Value;

use self::asked::Asked;
pub use self::bulk::{Bulk, back};
use super::{
    dialog::{Question, questions},
    load::{Loaded, failed, waiting},
};
use crate::{
    messages::t,
    ui::{api, time},
};

/// Rows of a page.
const ROWS: &str = "50";
/// Time that somebody types on before the search begins.
const TYPING_MS: i32 = 250;
/// How often a list is fetched anew that changes by itself.
const FRESH_EVERY: Duration = Duration::from_secs(10);

/// What a row shows in a column.
pub type Show = Arc<dyn Fn(&Value) -> AnyView + Send + Sync>;

#[derive(Clone)]
pub struct Column {
    pub label: &'static str,
    /// What the API sorts by; empty: it doesn't.
    pub sort: &'static str,
    pub class: &'static str,
    pub show: Show,
}

impl Column {
    pub fn new(
        label: &'static str,
        show: impl Fn(&Value) -> AnyView + Send + Sync + 'static,
    ) -> Self {
        Self {
            label,
            sort: "",
            class: "",
            show: Arc::new(show),
        }
    }

    pub fn sorted(mut self, by: &'static str) -> Self {
        self.sort = by;
        self
    }

    pub fn class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }
}

/// A choice that narrows the list: (parameter, label, (value, label)).
pub type Filter = (
    &'static str,
    &'static str,
    Vec<(&'static str, &'static str)>,
);

#[derive(Clone)]
pub struct List {
    /// What is listed, for screen readers.
    pub label: &'static str,
    /// Address of the API.
    pub address: String,
    /// Where a row has its key.
    pub key: &'static str,
    pub columns: Vec<Column>,
    /// Parameters that search, and what their fields say.
    pub searches: Vec<(&'static str, &'static str)>,
    pub filters: Vec<Filter>,
    pub bulk: Vec<Bulk>,
    /// What an empty list says.
    pub empty: &'static str,
    /// Counts up when the list has to be fetched anew.
    pub changed: RwSignal<u32>,
    /// Whether the address of the page keeps what is asked for.
    pub in_address: bool,
    /// Rows of a page.
    pub rows: &'static str,
    /// There is no other page than this one.
    pub is_whole: bool,
    /// The API gives all of it, and takes no cursor and no limit.
    pub is_plain: bool,
    /// It changes by itself.
    pub is_live: bool,
}

impl List {
    pub fn new(label: &'static str, address: impl Into<String>, key: &'static str) -> Self {
        Self {
            label,
            address: address.into(),
            key,
            columns: Vec::new(),
            searches: Vec::new(),
            filters: Vec::new(),
            bulk: Vec::new(),
            empty: t().nothing_here,
            changed: RwSignal::new(0),
            in_address: false,
            rows: ROWS,
            is_whole: false,
            is_plain: false,
            is_live: false,
        }
    }
}

pub fn table(list: List) -> AnyView {
    let asked = RwSignal::new(Asked::from_address(&list));
    let chosen = RwSignal::new(Vec::<String>::new());
    let open_question = RwSignal::new(None::<Question>);
    let kept = StoredValue::new(list.clone());
    let loaded = Loaded::new(move || {
        kept.with_value(|list| list.changed.track());
        let asked = asked.get();
        let address = kept.with_value(|list| {
            asked.note(list);
            asked.address(list)
        });
        async move { api::get(&address).await }
    });
    Effect::new(move |_| {
        asked.track();
        chosen.set(Vec::new());
    });
    if list.is_live {
        keep_fresh(loaded);
    }
    let tools = tools(&list, asked);
    let bulk = {
        let list = list.clone();
        move || bulk::view(&list, chosen, loaded, open_question)
    };
    let body = move || {
        let asked_now = asked.get();
        match loaded.answer.get() {
            None => waiting(),
            Some(Err(problem)) => failed(&problem, move || loaded.again()),
            Some(Ok(reply)) => {
                kept.with_value(|list| rows::view(list, &reply.body, &asked_now, asked, chosen))
            }
        }
    };
    view! {
        <div class="table-tools">{tools}{bulk}</div>
        {body}
        {questions(open_question)}
    }
    .into_any()
}

/// Fetches the rows now and then, but not from under the fingers of whoever is among them.
fn keep_fresh(loaded: Loaded) {
    let look = move || {
        let active = document().active_element();
        let is_among = active.is_some_and(|active| active.matches("td *, th *").unwrap_or(false));
        if !is_among && !document().hidden() {
            loaded.again();
        }
    };
    if let Ok(handle) = set_interval_with_handle(look, FRESH_EVERY) {
        on_cleanup(move || handle.clear());
    }
}

fn tools(list: &List, asked: RwSignal<Asked>) -> AnyView {
    let searches = list.searches.iter().enumerate().map(|(at, (name, hint))| {
        let (name, hint) = (*name, *hint);
        let text = RwSignal::new(asked.with_untracked(|asked| asked.filter(name).to_owned()));
        let typed = RwSignal::new(0_u32);
        // Whoever wants to see everything again finds the field empty.
        Effect::new(move |was: Option<bool>| {
            let is_narrowed = asked.with(Asked::is_narrowed);
            if was == Some(true) && !is_narrowed {
                text.set(String::new());
            }
            is_narrowed
        });
        let input = move |event| {
            text.set(event_target_value(&event));
            let number = typed.get_untracked() + 1;
            typed.set(number);
            spawn_local(async move {
                time::sleep(TYPING_MS).await;
                if typed.try_get_untracked() == Some(number) {
                    let search = text.get_untracked();
                    asked.update(|asked| asked.narrow(name, search.trim()));
                }
            });
        };
        // The key for the search leads to the first one.
        let id = (at == 0).then_some("search");
        view! {
            <div class="search">
                <input type="search" id=id aria-label=hint placeholder=hint autocomplete="off"
                    prop:value=move || text.get() on:input=input />
            </div>
        }
    });
    let searches = searches.collect_view();
    let filters = list.filters.iter().map(|(name, label, choices)| {
        let name = *name;
        let choices = choices.iter().map(|(value, label)| {
            let value = *value;
            let selected = move || asked.with(|asked| asked.filter(name) == value);
            view! { <option value=value selected=selected>{*label}</option> }
        });
        let choose = move |event| {
            let value = event_target_value(&event);
            asked.update(|asked| asked.narrow(name, &value));
        };
        view! { <div><select aria-label=*label on:change=choose>{choices.collect_view()}</select></div> }
    });
    let filters = filters.collect_view();
    let all = move |_| asked.update(Asked::widen);
    let all = move || {
        asked.with(Asked::is_narrowed).then(|| {
            view! { <button type="button" class="quiet" on:click=all>{t().show_all}</button> }
        })
    };
    view! { {searches} {filters} {all} }.into_any()
}

fn key_of(row: &Value, key: &str) -> String {
    match row.pointer(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
