//! What the server is doing, what there is, and what was changed last.

use std::time::Duration;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::t,
    ui::{
        api::Reply,
        components::{
            chart::{self, Bar},
            load::Loaded,
            page::{self, Tone, card, figure, note},
            table::{List, table},
        },
        session::Session,
        time,
    },
};

/// How often the numbers are asked for.
const EVERY: Duration = Duration::from_secs(5);
/// Bars of the picture: two minutes.
const BARS_MAX: usize = 24;

pub fn page(session: &Session) -> AnyView {
    let counts = [
        (t().domains, "/domains", "/admin/domains"),
        (t().accounts, "/accounts", "/admin/accounts"),
        (t().groups, "/groups", "/admin/groups"),
        (t().aliases, "/aliases", "/admin/aliases"),
        (t().lists, "/lists", "/admin/lists"),
    ];
    let figures = counts.map(|(label, address, page)| {
        let loaded = Loaded::of(format!("{address}?limit=1"));
        let count = move || match loaded.answer.get() {
            Some(Ok(reply)) => {
                format::count(read::number(&reply.body, "/total").unwrap_or_default())
            }
            _ => "–".to_owned(),
        };
        view! {
            <a class="card figure-card" href=page>
                <div class="figure">{count}</div>
                <div class="figure-label">{label}</div>
            </a>
        }
    });
    let domains = Loaded::of("/domains?limit=1");
    let way = move || {
        let is_new = matches!(domains.answer.get(), Some(Ok(reply)) if read::number(&reply.body, "/total") == Some(0));
        is_new.then(|| {
            view! {
                <div class="note"><p>{t().setup_note}</p><p><a class="button primary" href="/admin/setup">{t().setup_begin}</a></p></div>
            }
        })
    };
    let live = session.may("server.see").then(live);
    let recent = session.may("audit.see").then(|| {
        let mut list = List::new(t().recent_changes, "/audit", "/id");
        list.columns = super::audit::columns();
        list.rows = "8";
        list.is_whole = true;
        card(t().recent_changes, "", table(list))
    });
    view! {
        {page::head(t().overview, "", ().into_any())}
        {way}
        {live}
        <div class="cards">{figures.into_iter().collect_view()}</div>
        {recent}
    }
    .into_any()
}

/// What the server counts, every few seconds.
fn live() -> AnyView {
    let loaded = Loaded::of("/metrics").keep_fresh(EVERY);
    let history = RwSignal::new(Vec::<(i64, [u64; 3])>::new());
    Effect::new(move |_| {
        if let Some(Ok(reply)) = loaded.answer.get() {
            let number = |pointer: &str| read::number(&reply.body, pointer).unwrap_or_default();
            let now = [
                number("/messagesReceived"),
                number("/queueDelivered"),
                number("/queueFailed"),
            ];
            history.update(|history| {
                history.push((time::now(), now));
                let more = history.len().saturating_sub(BARS_MAX + 1);
                history.drain(..more);
            });
        }
    });
    view! {
        {loaded.show(|reply| numbers(&reply))}
        {move || {
            let bars = history.with(|history| differences(history));
            (!bars.is_empty()).then(|| {
                let parts = [t().mail_in, t().mail_out, t().mail_failed];
                card(t().mail_now, "", chart::bars(t().mail_now, &parts, &bars))
            })
        }}
    }
    .into_any()
}

/// What has come between each two looks. A server that was started anew counts from nothing.
fn differences(history: &[(i64, [u64; 3])]) -> Vec<Bar> {
    let pairs = history.windows(2);
    pairs
        .filter_map(|pair| match pair {
            [(_, before), (at, after)] => Some(Bar {
                name: time::clock(*at),
                parts: before
                    .iter()
                    .zip(after)
                    .map(|(before, after)| after.saturating_sub(*before))
                    .collect(),
            }),
            _ => None,
        })
        .collect()
}

fn numbers(reply: &Reply) -> AnyView {
    let body = &reply.body;
    let number = |pointer: &str| read::number(body, pointer).unwrap_or_default();
    let count = |pointer: &str| format::count(number(pointer));
    let open: u64 = read::items(body, "/connections")
        .iter()
        .filter_map(|of| of.get("open").and_then(Value::as_u64))
        .sum();
    let broken = (!read::flag(body, "/writable")).then(|| note(Tone::Bad, t().not_writable));
    view! {
        {broken}
        <div class="cards">
            {figure(t().messages_received, count("/messagesReceived"))}
            {figure(t().in_queue, count("/queueLength"))}
            {figure(t().sent, count("/queueDelivered"))}
            {figure(t().connections, format::count(open))}
            {figure(t().logins, count("/logins"))}
            {figure(t().logins_failed, count("/loginsFailed"))}
            {figure(t().disk, format::octets(number("/diskOctets")))}
            {figure(t().memory, format::octets(number("/memoryOctets")))}
        </div>
    }
    .into_any()
}
