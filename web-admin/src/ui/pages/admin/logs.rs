//! The log: looked through, and followed.

use std::collections::VecDeque;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::{fill, t},
    problem::Problem,
    query,
    ui::{
        components::{
            page::{self, Tone, badge, note},
            table::{Column, Filter, List, table},
            tabs::tabs,
        },
        follow,
    },
};

/// Records that are kept while the log is followed.
const KEPT: usize = 200;

pub fn page() -> AnyView {
    let parts: Vec<(&'static str, &'static str, ViewFn)> = vec![
        ("search", t().directory.search, ViewFn::from(search)),
        ("live", t().telling.live, ViewFn::from(live)),
    ];
    view! {
        {page::head(t().telling.log, t().telling.log_lead, ().into_any())}
        {tabs(t().telling.log, parts)}
    }
    .into_any()
}

/// How bad something is, worst first: this, or worse.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

fn level_name(level: &str) -> &'static str {
    match level {
        "error" => t().telling.level_error,
        "warn" => t().telling.level_warn,
        "info" => t().telling.level_info,
        "debug" => t().telling.level_debug,
        _ => t().telling.level_trace,
    }
}

fn levels() -> Filter {
    let levels = LEVELS.map(|level| (level, level_name(level)));
    let all = std::iter::once(("", t().telling.all_levels));
    ("level", t().telling.level, all.chain(levels).collect())
}

fn search() -> AnyView {
    let mut list = List::new(t().telling.log, "/logs", "/time");
    list.columns = vec![
        Column::new(t().telling.when_utc, when).class("nowrap"),
        Column::new(t().telling.level, level),
        Column::new(t().message, message),
    ];
    list.searches = vec![
        ("q", t().telling.search_log),
        ("target", t().telling.search_target),
    ];
    list.filters = vec![levels()];
    list.empty = t().telling.no_records;
    table(list)
}

/// To the millisecond, as it is compared with the logs of others.
fn when(row: &Value) -> AnyView {
    let time = read::text(row, "/time");
    let short = time.get(..23).unwrap_or(time).replacen('T', " ", 1);
    view! { <time datetime=time.to_owned() title=time.to_owned()>{short}</time> }.into_any()
}

fn level(row: &Value) -> AnyView {
    let level = read::text(row, "/level");
    let tone = match level {
        "error" => Tone::Bad,
        "warn" => Tone::Warn,
        _ => Tone::Plain,
    };
    badge(tone, level_name(level))
}

fn message(row: &Value) -> AnyView {
    let fields = row.pointer("/fields").and_then(Value::as_object);
    let fields = fields.into_iter().flatten().map(|(name, value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        format!("{name}={value}")
    });
    let fields: Vec<String> = fields.collect();
    let target = read::text(row, "/target").to_owned();
    view! {
        <div class="log-text">{read::text(row, "/message").to_owned()}</div>
        <div class="sub log-text"><code>{target}</code>" "{fields.join("  ")}</div>
    }
    .into_any()
}

fn live() -> AnyView {
    let chosen = RwSignal::new(String::from("info"));
    let text = RwSignal::new(String::new());
    let paused = RwSignal::new(false);
    let options = LEVELS.map(|level| {
        let is_chosen = level == "info";
        view! { <option value=level selected=is_chosen>{level_name(level)}</option> }
    });
    let choose = move |event| chosen.set(event_target_value(&event));
    let search = move |event| text.set(event_target_value(&event));
    let label = move || match paused.get() {
        true => t().telling.go_on,
        false => t().telling.pause,
    };
    let rows = RwSignal::new(VecDeque::<Value>::new());
    let missed = RwSignal::new(0_u64);
    let problem = RwSignal::new(None::<Problem>);
    let followed = move || {
        // Another question, or none, ends the one before.
        let (level, text) = (chosen.get(), text.get());
        if paused.get() {
            return;
        }
        let address = query::with("/logs/live", &[("level", &level), ("q", text.trim())]);
        let got = move |event: crate::events::Event| {
            let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
            match event.name.as_str() {
                "record" => {
                    rows.try_update(|rows| {
                        rows.push_front(data);
                        rows.truncate(KEPT);
                    });
                }
                _ => {
                    let count = data.as_u64().unwrap_or_default();
                    missed.try_update(|missed| *missed += count);
                }
            }
        };
        let failed = move |why| {
            problem.try_set(why);
        };
        follow::follow(address, got, failed);
    };
    let state = move || {
        let missed = missed.get();
        let missed = (missed > 0).then(|| {
            let count = format::count(missed);
            note(Tone::Warn, fill(t().telling.missed, &[("count", &count)]))
        });
        let problem = problem.get().map(|why| note(Tone::Bad, why.detail));
        view! { {problem} {missed} }
    };
    let clear = move |_| {
        rows.set(VecDeque::new());
        missed.set(0);
    };
    view! {
        <div class="table-tools">
            <div class="search">
                <input type="search" id="search" aria-label=t().telling.search_log placeholder=t().telling.search_log
                    autocomplete="off" on:change=search />
            </div>
            <div><select aria-label=t().telling.level on:change=choose>{options.into_iter().collect_view()}</select></div>
            <button type="button" on:click=move |_| paused.update(|paused| *paused = !*paused)>{label}</button>
            <button type="button" class="quiet" on:click=clear>{t().telling.clear}</button>
        </div>
        {followed}
        {state}
        {move || rows.with(records)}
    }
    .into_any()
}

fn records(rows: &VecDeque<Value>) -> AnyView {
    if rows.is_empty() {
        return view! { <div class="table-box empty"><p>{t().telling.nothing_yet}</p></div> }
            .into_any();
    }
    let rows = rows.iter().map(|row| {
        view! {
            <tr>
                <td class="nowrap" data-label=t().telling.when_utc>{when(row)}</td>
                <td data-label=t().telling.level>{level(row)}</td>
                <td data-label=t().message>{message(row)}</td>
            </tr>
        }
    });
    view! {
        <div class="table-box">
            <table class="cards-on-phone">
                <caption class="visually-hidden">{t().telling.live}</caption>
                <thead><tr>
                    <th scope="col">{t().telling.when_utc}</th><th scope="col">{t().telling.level}</th><th scope="col">{t().message}</th>
                </tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}
