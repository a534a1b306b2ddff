//! What other servers report on our domains: who sends in their names (DMARC), and how mail to them is encrypted (TLS-RPT).

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::t,
    ui::{
        components::{
            chart::{Chart, Kind, bad, plain},
            load::Loaded,
            page::{self, Tone, badge, date_at},
            table::{Column, List, table},
        },
        time,
    },
};

/// Senders that are shown, those of most mail.
const SOURCES_MAX: usize = 10;

pub fn page() -> AnyView {
    let recent = Loaded::of("/reports/summary?days=30");
    let mut list = List::new(t().watching.reports, "/reports", "/reportId");
    list.columns = vec![
        Column::new(t().until, |row| date_at(row, "/end")).class("nowrap"),
        Column::new(t().kind, |row| match read::text(row, "/kind") {
            "dmarc" => badge(Tone::Accent, "DMARC"),
            _ => badge(Tone::Plain, "TLS"),
        }),
        Column::new(t().domain, |row| {
            read::text(row, "/domain").to_owned().into_any()
        }),
        Column::new(t().watching.what_it_says, |row| {
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
            vec![
                ("", t().watching.all_kinds),
                ("dmarc", "DMARC"),
                ("tls", "TLS"),
            ],
        ),
        (
            "days",
            t().watching.period,
            vec![
                ("", t().watching.days_30),
                ("7", t().watching.days_7),
                ("365", t().watching.days_365),
            ],
        ),
    ];
    list.empty = t().watching.no_reports;
    list.in_address = true;
    view! {
        {page::head(t().watching.reports, t().watching.reports_lead, ().into_any())}
        {recent.show(|reply| summary(&reply.body))}
        {table(list)}
    }
    .into_any()
}

/// Passed and failed, day by day; and who it was that failed.
fn summary(body: &Value) -> AnyView {
    let days = read::items(body, "/days");
    if days.is_empty() {
        return ().into_any();
    }
    let names = days.iter().map(|day| {
        let at = format!("{}T00:00:00Z", read::text(day, "/day"));
        time::day(format::parse_date(&at).unwrap_or_default())
    });
    let names: Vec<String> = names.collect();
    let values = |pointer: &str| {
        let number = |day: &Value| read::number(day, pointer).unwrap_or_default();
        days.iter().map(number).collect::<Vec<u64>>()
    };
    let chart = |title, passed, failed| {
        let chart = Chart {
            title,
            kind: Kind::Bars,
            points: names.clone(),
            series: vec![
                plain(t().watching.passed, values(passed)),
                bad(t().failed, values(failed)),
            ],
            show: format::count,
        };
        view! { <section class="card"><h3>{title}</h3>{chart.view()}</section> }
    };
    let sentences = read::texts(body, "/sentences").into_iter();
    let sentences = sentences.map(|sentence| view! { <li>{sentence}</li> });
    view! {
        <div class="charts">
            {chart(t().watching.in_your_name, "/dmarcPassed", "/dmarcFailed")}
            {chart(t().watching.encrypted, "/tlsPassed", "/tlsFailed")}
        </div>
        <section class="card">
            <h2>{t().watching.in_short}</h2>
            <ul>{sentences.collect_view()}</ul>
            {sources(body)}
        </section>
    }
    .into_any()
}

/// Who sends in the domains' names, and how often that went wrong.
fn sources(body: &Value) -> AnyView {
    let sources = read::items(body, "/sources");
    if sources.is_empty() {
        return ().into_any();
    }
    let rows = sources.iter().take(SOURCES_MAX).map(|of| {
        let number = |pointer: &str| format::count(read::number(of, pointer).unwrap_or_default());
        view! {
            <tr>
                <td data-label=t().address class="mono">{read::text(of, "/address").to_owned()}</td>
                <td data-label=t().watching.passed class="number">{number("/passed")}</td>
                <td data-label=t().failed class="number">{number("/failed")}</td>
            </tr>
        }
    });
    view! {
        <table class="cards-on-phone narrow">
            <caption class="visually-hidden">{t().watching.senders}</caption>
            <thead><tr>
                <th scope="col">{t().watching.senders}</th>
                <th class="number" scope="col">{t().watching.passed}</th><th class="number" scope="col">{t().failed}</th>
            </tr></thead>
            <tbody>{rows.collect_view()}</tbody>
        </table>
    }
    .into_any()
}
