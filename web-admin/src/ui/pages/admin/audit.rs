//! Who has changed what.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::t,
    ui::components::{
        page::{self, Tone, badge},
        table::{Column, List, table},
    },
};

pub fn page() -> AnyView {
    let mut list = List::new(t().watching.audit, "/audit", "/id");
    list.columns = columns();
    list.filters = vec![
        (
            "operation",
            t().watching.operation,
            vec![
                ("", t().watching.all_operations),
                ("account", t().accounts),
                ("credential", t().credentials),
                ("domain", t().domains),
                ("group", t().groups),
                ("queue", t().watching.queue),
                ("dkim", t().dkim),
            ],
        ),
        (
            "outcome",
            t().watching.outcome,
            vec![
                ("", t().watching.all_outcomes),
                ("done", t().done),
                ("refused", t().watching.refused),
            ],
        ),
    ];
    list.in_address = true;
    view! {
        {page::head(t().watching.audit, t().watching.audit_lead, ().into_any())}
        {table(list)}
    }
    .into_any()
}

pub fn columns() -> Vec<Column> {
    vec![
        Column::new(t().when, |row| page::date_at(row, "/at")).class("nowrap"),
        Column::new(t().watching.who, who),
        Column::new(t().what, what),
        Column::new(t().watching.outcome, outcome),
    ]
}

fn who(row: &Value) -> AnyView {
    let way = match read::text(row, "/address") {
        "" => read::text(row, "/way").to_owned(),
        address => format!("{}, {address}", read::text(row, "/way")),
    };
    view! { {read::text(row, "/name").to_owned()}<div class="sub">{way}</div> }.into_any()
}

fn what(row: &Value) -> AnyView {
    let changes = read::items(row, "/changes").iter().map(|change| {
        let field = read::text(change, "/field").to_owned();
        let value = |pointer: &str| {
            change
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let text = match (value("/before"), value("/after")) {
            (None, None) => field,
            (None, Some(after)) => format!("{field}: {after}"),
            (Some(before), None) => format!("{field}: {before} →"),
            (Some(before), Some(after)) => format!("{field}: {before} → {after}"),
        };
        view! { <div class="sub">{text}</div> }
    });
    view! {
        <code>{read::text(row, "/operation").to_owned()}</code>" "{read::text(row, "/object").to_owned()}
        {changes.collect_view()}
    }
    .into_any()
}

fn outcome(row: &Value) -> AnyView {
    match read::text(row, "/outcome") {
        "done" => badge(Tone::Good, t().done),
        _ => badge(Tone::Bad, t().watching.refused),
    }
}
