//! What other servers report on our domains: who sends in their names (DMARC), and how mail to them is encrypted (TLS-RPT).

use std::collections::BTreeMap;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::t,
    ui::{
        components::{
            chart::{Bar, bars},
            load::Loaded,
            page::{self, Tone, badge, card, date_at},
            table::{Column, List, table},
        },
        time,
    },
};

pub fn page() -> AnyView {
    // One page of the API is enough for a picture.
    let recent = Loaded::of("/reports?limit=200&days=30");
    let mut list = List::new(t().reports, "/reports", "/reportId");
    list.columns = vec![
        Column::new(t().until, |row| date_at(row, "/end")).class("nowrap"),
        Column::new(t().kind, |row| match read::text(row, "/kind") {
            "dmarc" => badge(Tone::Accent, "DMARC"),
            _ => badge(Tone::Plain, "TLS"),
        }),
        Column::new(t().domain, |row| {
            read::text(row, "/domain").to_owned().into_any()
        }),
        Column::new(t().what_it_says, |row| {
            let all = read::texts(row, "/sentences").into_iter();
            all.map(|sentence| view! { <div>{sentence}</div> })
                .collect_view()
                .into_any()
        }),
        Column::new(t().failed, |row| {
            let failed = read::number(row, "/failed").unwrap_or_default();
            let tone = if failed > 0 { Tone::Bad } else { Tone::Good };
            badge(tone, format::count(failed))
        }),
    ];
    list.filters = vec![
        (
            "kind",
            t().kind,
            vec![("", t().all_kinds), ("dmarc", "DMARC"), ("tls", "TLS")],
        ),
        (
            "days",
            t().period,
            vec![("", t().days_30), ("7", t().days_7), ("365", t().days_365)],
        ),
    ];
    list.empty = t().no_reports;
    list.in_address = true;
    view! {
        {page::head(t().reports, t().reports_lead, ().into_any())}
        {recent.show(|reply| match read::items(&reply.body, "/items") {
            [] => ().into_any(),
            items => card(t().last_30_days, "", picture(items)),
        })}
        {table(list)}
    }
    .into_any()
}

/// Passed and failed, day by day.
fn picture(items: &[Value]) -> AnyView {
    let mut days: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for of in items {
        let end = format::parse_date(read::text(of, "/end")).unwrap_or_default();
        let day = days.entry(end.div_euclid(86_400)).or_default();
        day.0 += read::number(of, "/passed").unwrap_or_default();
        day.1 += read::number(of, "/failed").unwrap_or_default();
    }
    let all: Vec<Bar> = days
        .into_iter()
        .map(|(day, (passed, failed))| Bar {
            name: time::day(day * 86_400),
            parts: vec![passed, failed],
        })
        .collect();
    bars(t().reports, &[t().passed, t().failed], &all)
}
