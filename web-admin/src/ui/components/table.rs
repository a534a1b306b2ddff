//! Lists of the API: search, sort, paging, and actions on several rows at once.
//!
//! Holds: what is asked for is in the page's address, so going back shows the same rows; rows are chosen by their keys, and those that
//! aren't shown any more aren't chosen.

use std::{future::Future, pin::Pin, sync::Arc};

use leptos::{prelude::*, task::spawn_local};
use serde_json::Value;

use super::{
    dialog::{Question, questions},
    load::{Loaded, failed, waiting},
    toast,
};
use crate::{
    json,
    messages::{fill, t},
    problem::Problem,
    query,
    ui::{api, route, time},
};

/// Rows of a page.
const ROWS: &str = "50";
/// Time that somebody types on before the search begins.
const TYPING_MS: i32 = 250;

pub type Show = fn(&Value) -> AnyView;

#[derive(Clone, Copy)]
pub struct Column {
    pub label: &'static str,
    /// What the API sorts by; empty: it doesn't.
    pub sort: &'static str,
    pub class: &'static str,
    pub show: Show,
}

impl Column {
    pub fn new(label: &'static str, show: Show) -> Self {
        Self {
            label,
            sort: "",
            class: "",
            show,
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

type Future1<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;
/// Takes back what was done to one row.
pub type Back = Arc<dyn Fn() -> Future1<()> + Send + Sync>;
/// Does something to one row; with the way back, if there is one.
pub type Act = Arc<dyn Fn(Value) -> Future1<Option<Back>> + Send + Sync>;

/// Something that can be done to the chosen rows.
#[derive(Clone)]
pub struct Bulk {
    pub label: &'static str,
    pub danger: bool,
    /// What is asked before, with `{count}`; empty: nothing.
    pub question: &'static str,
    /// What is said afterwards, with `{count}`.
    pub done: &'static str,
    pub act: Act,
}

impl Bulk {
    pub fn new<F>(
        label: &'static str,
        done: &'static str,
        act: impl Fn(Value) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Option<Back>, Problem>> + 'static,
    {
        Self {
            label,
            danger: false,
            question: "",
            done,
            act: Arc::new(move |row| Box::pin(act(row))),
        }
    }

    /// It can't be undone.
    pub fn asks(mut self, question: &'static str) -> Self {
        self.danger = true;
        self.question = question;
        self
    }
}

/// The way back of an action.
pub fn back<F>(undo: impl Fn() -> F + Send + Sync + 'static) -> Option<Back>
where
    F: Future<Output = Result<(), Problem>> + 'static,
{
    Some(Arc::new(move || Box::pin(undo())))
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
        }
    }
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Asked {
    /// `name`, or `-name` for the other way round.
    sort: String,
    /// Parameters that narrow the list: chosen ones and searched ones.
    filters: Vec<(&'static str, String)>,
    /// Cursors of the pages before this one, and of this one.
    cursors: Vec<String>,
}

impl Asked {
    fn from_address(list: &List) -> Self {
        if !list.in_address {
            return Self::default();
        }
        let place = route::current().get_untracked();
        let searches = list.searches.iter().map(|(name, _)| *name);
        let names = searches.chain(list.filters.iter().map(|(name, ..)| *name));
        let filters = names.map(|name| (name, place.parameter(name)));
        Self {
            sort: place.parameter("sort"),
            filters: filters.filter(|(_, value)| !value.is_empty()).collect(),
            cursors: Vec::new(),
        }
    }

    fn parameters(&self) -> Vec<(&str, &str)> {
        let mut parameters = vec![("sort", self.sort.as_str())];
        parameters.extend(
            self.filters
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        parameters
    }

    fn address(&self, list: &List) -> String {
        let mut parameters = self.parameters();
        if !list.is_plain {
            parameters.push(("limit", list.rows));
        }
        if let Some(cursor) = self.cursors.last() {
            parameters.push(("cursor", cursor));
        }
        query::with(&list.address, &parameters)
    }

    fn note(&self, list: &List) {
        if list.in_address {
            let path = window().location().pathname().unwrap_or_default();
            route::note(&query::with(&path, &self.parameters()));
        }
    }

    /// Narrows the list, and begins at its first page.
    fn narrow(&mut self, name: &'static str, value: &str) {
        self.filters.retain(|(of, _)| *of != name);
        if !value.is_empty() {
            self.filters.push((name, value.to_owned()));
        }
        self.cursors.clear();
    }

    fn filter(&self, name: &str) -> &str {
        let found = self.filters.iter().find(|(of, _)| *of == name);
        found.map_or("", |(_, value)| value)
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
        chosen.set(Vec::new());
        async move { api::get(&address).await }
    });
    let tools = tools(&list, asked);
    let bulk = {
        let list = list.clone();
        move || bulk_view(&list, chosen, loaded, open_question)
    };
    let body = move || {
        let asked_now = asked.get();
        match loaded.answer.get() {
            None => waiting(),
            Some(Err(problem)) => failed(&problem, move || loaded.again()),
            Some(Ok(reply)) => {
                kept.with_value(|list| rows_view(list, &reply.body, &asked_now, asked, chosen))
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

fn tools(list: &List, asked: RwSignal<Asked>) -> AnyView {
    let searches = list.searches.iter().enumerate().map(|(at, (name, hint))| {
        let (name, hint) = (*name, *hint);
        let text = RwSignal::new(asked.with_untracked(|asked| asked.filter(name).to_owned()));
        let typed = RwSignal::new(0_u32);
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
    view! { {searches} {filters} }.into_any()
}

fn bulk_view(
    list: &List,
    chosen: RwSignal<Vec<String>>,
    loaded: Loaded,
    open_question: RwSignal<Option<Question>>,
) -> AnyView {
    let count = chosen.with(Vec::len);
    if list.bulk.is_empty() || count == 0 {
        return ().into_any();
    }
    let buttons = list.bulk.iter().map(|bulk| {
        let key = list.key;
        let rows = move || {
            let answer = loaded.answer.get_untracked();
            let body = answer
                .and_then(Result::ok)
                .map(|reply| reply.body)
                .unwrap_or_default();
            let keys = chosen.get_untracked();
            let rows = json::items(&body, "/items").iter();
            let rows = rows.filter(|row| keys.iter().any(|chosen| key_of(row, key) == *chosen));
            rows.cloned().collect::<Vec<_>>()
        };
        let (act, done, label) = (bulk.act.clone(), bulk.done, bulk.label);
        let question = bulk.question;
        let press = move |_| {
            let (rows, act) = (rows(), act.clone());
            let action = move || carry_out(rows.clone(), act.clone(), done, loaded);
            if question.is_empty() {
                super::load::run(action());
            } else {
                let count = chosen.with_untracked(Vec::len).to_string();
                let text = fill(question, &[("count", &count)]);
                open_question.set(Some(Question::new(label, text, label, action)));
            }
        };
        let class = if bulk.danger { "danger" } else { "" };
        view! { <button type="button" class=class on:click=press>{bulk.label}</button> }
    });
    let buttons = buttons.collect_view();
    let text = fill(t().chosen, &[("count", &count.to_string())]);
    view! { <span class="muted" role="status">{text}</span> {buttons} }.into_any()
}

/// Does it to row after row. What was done before one fails is done, and can be taken back.
async fn carry_out(
    rows: Vec<Value>,
    act: Act,
    done: &'static str,
    loaded: Loaded,
) -> Result<(), Problem> {
    let mut backs = Vec::new();
    let mut count = 0;
    let mut failed = None;
    for row in rows {
        match act(row).await {
            Ok(back) => {
                count += 1;
                backs.extend(back);
            }
            Err(problem) => {
                failed = Some(problem);
                break;
            }
        }
    }
    loaded.again();
    if count > 0 {
        let text = fill(done, &[("count", &count.to_string())]);
        let undo = (!backs.is_empty()).then(|| undo(backs, loaded));
        toast::show_with(text, undo);
    }
    match failed {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

fn undo(backs: Vec<Back>, loaded: Loaded) -> toast::Undo {
    Arc::new(move || {
        let backs = backs.clone();
        super::load::run(async move {
            for back in backs {
                back().await?;
            }
            loaded.again();
            toast::show(t().undone);
            Ok(())
        });
    })
}

fn key_of(row: &Value, key: &str) -> String {
    match row.pointer(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn rows_view(
    list: &List,
    body: &Value,
    now: &Asked,
    asked: RwSignal<Asked>,
    chosen: RwSignal<Vec<String>>,
) -> AnyView {
    let items = json::items(body, "/items");
    if items.is_empty() {
        let is_narrowed = !now.filters.is_empty();
        let text = if is_narrowed {
            t().nothing_found
        } else {
            list.empty
        };
        return view! { <div class="table-box empty"><p>{text}</p></div> {pager(list, body, now, asked)} }.into_any();
    }
    let can_choose = !list.bulk.is_empty();
    let key = list.key;
    let keys: Vec<String> = items.iter().map(|row| key_of(row, key)).collect();
    let all = can_choose.then(|| {
        let keys = keys.clone();
        let count = keys.len();
        let change = move |event| match event_target_checked(&event) {
            true => chosen.set(keys.clone()),
            false => chosen.set(Vec::new()),
        };
        view! {
            <th class="choose" scope="col">
                <input type="checkbox" aria-label=t().choose_all prop:checked=move || chosen.with(Vec::len) == count on:change=change />
            </th>
        }
    });
    let heads = list
        .columns
        .iter()
        .map(|column| head_view(column, now, asked))
        .collect_view();
    let rows = items.iter().zip(keys).map(|(row, key)| {
        let choose = can_choose.then(|| {
            let (of_checked, of_change, label) = (key.clone(), key.clone(), format!("{} {key}", t().choose));
            let change = move |event| {
                let is_checked = event_target_checked(&event);
                chosen.update(|chosen| {
                    chosen.retain(|other| *other != of_change);
                    if is_checked {
                        chosen.push(of_change.clone());
                    }
                });
            };
            view! {
                <td class="choose">
                    <input type="checkbox" aria-label=label
                        prop:checked=move || chosen.with(|chosen| chosen.contains(&of_checked)) on:change=change />
                </td>
            }
        });
        let cells = list.columns.iter().map(|column| {
            view! { <td class=column.class data-label=column.label>{(column.show)(row)}</td> }
        });
        view! { <tr>{choose}{cells.collect_view()}</tr> }
    });
    let rows = rows.collect_view();
    view! {
        <div class="table-box">
            <table class="cards-on-phone">
                <caption class="visually-hidden">{list.label}</caption>
                <thead><tr>{all}{heads}</tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        {pager(list, body, now, asked)}
    }
    .into_any()
}

fn head_view(column: &Column, now: &Asked, asked: RwSignal<Asked>) -> AnyView {
    let (label, sort) = (column.label, column.sort);
    if sort.is_empty() {
        return view! { <th class=column.class scope="col">{label}</th> }.into_any();
    }
    let down = format!("-{sort}");
    let (order, arrow) = match now.sort.as_str() {
        by if by == sort => (Some("ascending"), " ▲"),
        by if by == down => (Some("descending"), " ▼"),
        _ => (None, ""),
    };
    let next = if order == Some("ascending") {
        down
    } else {
        sort.to_owned()
    };
    let press = move |_| {
        let next = next.clone();
        asked.update(|asked| {
            asked.sort = next;
            asked.cursors.clear();
        });
    };
    view! {
        <th class=column.class scope="col" aria-sort=order>
            <button type="button" on:click=press>{label}<span aria-hidden="true">{arrow}</span></button>
        </th>
    }
    .into_any()
}

fn pager(list: &List, body: &Value, now: &Asked, asked: RwSignal<Asked>) -> AnyView {
    if list.is_whole {
        return ().into_any();
    }
    let next = json::text(body, "/next").to_owned();
    let has_before = !now.cursors.is_empty();
    let total = json::number(body, "/total").map(|total| match total {
        0 => String::new(),
        1 => t().one_row.to_owned(),
        _ => fill(t().rows, &[("count", &crate::format::count(total))]),
    });
    if next.is_empty() && !has_before {
        return view! { <div class="pager"><span>{total}</span></div> }.into_any();
    }
    let has_next = !next.is_empty();
    let forward = move |_| asked.update(|asked| asked.cursors.push(next.clone()));
    let backward = move |_| {
        asked.update(|asked| {
            asked.cursors.pop();
        });
    };
    view! {
        <nav class="pager" aria-label=t().pages>
            <span>{total}</span>
            <span class="actions">
                <button type="button" disabled=!has_before on:click=backward>{t().previous}</button>
                <button type="button" disabled=!has_next on:click=forward>{t().next}</button>
            </span>
        </nav>
    }
    .into_any()
}
