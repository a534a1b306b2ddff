//! What happened to messages: the list of events, and the journey of one message.

use leptos::prelude::*;
use serde_json::Value;

use super::queue;
use crate::{
    format, json as read,
    messages::{fill, t},
    query,
    ui::{
        components::{
            load::Loaded,
            page::{self, Tone, badge, card, facts},
            table::{Column, List, table},
        },
        pages::common,
    },
};

/// Events of one message that are shown.
const EVENTS_MAX: &str = "200";

pub fn page() -> AnyView {
    let mut list = List::new(t().watching.traces, "/traces", "/id");
    list.columns = vec![
        Column::new(t().when, |row| page::date_at(row, "/at")).class("nowrap"),
        Column::new(t().what, |row| event(read::text(row, "/event"))),
        Column::new(t().from, |row| sender(row).into_any()),
        Column::new(t().watching.to, |row| {
            let mut to: Vec<&str> = read::items(row, "/recipients")
                .iter()
                .map(|of| read::text(of, "/address"))
                .collect();
            to.truncate(3);
            to.join(", ").into_any()
        }),
        Column::new(t().watching.outcome, |row| outcome(row).into_any()),
        Column::new(t().message, |row| match read::text(row, "/messageId") {
            "" => ().into_any(),
            id => common::link(common::of("/admin/traces", id), t().watching.follow),
        }),
    ];
    list.searches = vec![
        ("to", t().watching.search_traces_to),
        ("from", t().watching.search_traces_from),
    ];
    list.filters = vec![(
        "event",
        t().what,
        vec![
            ("", t().watching.all_events),
            ("received", t().watching.event_received),
            ("refused", t().watching.event_refused),
            ("submitted", t().watching.event_submitted),
            ("delivered", t().watching.event_delivered),
            ("attempted", t().watching.event_attempted),
            ("reported", t().watching.event_reported),
        ],
    )];
    list.empty = t().watching.no_traces;
    list.in_address = true;
    list.is_live = true;
    view! {
        {page::head(t().watching.traces, t().watching.traces_lead, ().into_any())}
        {table(list)}
    }
    .into_any()
}

fn sender(row: &Value) -> String {
    match row.get("mailFrom").and_then(Value::as_str) {
        Some("") => t().watching.null_sender.to_owned(),
        Some(sender) => sender.to_owned(),
        None => String::new(),
    }
}

fn event(name: &str) -> AnyView {
    match name {
        "received" => badge(Tone::Accent, t().watching.event_received),
        "refused" => badge(Tone::Bad, t().watching.event_refused),
        "submitted" => badge(Tone::Accent, t().watching.event_submitted),
        "delivered" => badge(Tone::Good, t().watching.event_delivered),
        "attempted" => badge(Tone::Plain, t().watching.event_attempted),
        _ => badge(Tone::Warn, t().watching.event_reported),
    }
}

fn outcome(row: &Value) -> String {
    match read::text(row, "/note") {
        "" => read::text(row, "/recipients/0/reply").to_owned(),
        note => note.to_owned(),
    }
}

/// One message, from its arrival to what became of it.
pub fn one(message_id: &str) -> AnyView {
    let address = query::with(
        "/traces",
        &[("messageId", message_id), ("limit", EVENTS_MAX)],
    );
    let loaded = Loaded::of(address);
    let message_id = message_id.to_owned();
    view! {
        {page::crumbs("/admin/traces", t().watching.traces)}
        {page::head(t().journey, "", ().into_any())}
        <p class="muted mono below-head">{message_id}</p>
        {loaded.show(|reply| {
            let mut events = read::items(&reply.body, "/items").to_vec();
            // The API tells the newest first; a journey begins at its beginning.
            events.reverse();
            if events.is_empty() {
                return view! { <div class="table-box empty"><p>{t().watching.no_traces}</p></div> }.into_any();
            }
            let stops = events.iter().map(stop).collect_view();
            card(t().watching.what_happened, "", view! { <ol class="journey">{stops}</ol> }.into_any())
        })}
    }
    .into_any()
}

fn stop(of: &Value) -> AnyView {
    let name = read::text(of, "/event");
    let replies = read::items(of, "/recipients")
        .iter()
        .map(|to| read::text(to, "/reply"));
    let tone = match name {
        "refused" => "bad",
        "delivered" => "good",
        "reported" => "warn",
        "attempted" if replies.clone().any(|reply| reply.starts_with('5')) => "bad",
        "attempted" if replies.clone().any(|reply| reply.starts_with('4')) => "warn",
        "attempted" => "good",
        _ => "",
    };
    let recipients = read::items(of, "/recipients")
        .iter()
        .map(recipient)
        .collect_view();
    let more = read::number(of, "/otherRecipients").filter(|more| *more > 0);
    let more = more.map(|more| view! { <div class="muted">{fill(t().watching.more_recipients, &[("count", &format::count(more))])}</div> });
    let session = of
        .get("session")
        .filter(|session| !session.is_null())
        .map(session);
    let hosts = read::items(of, "/hosts");
    let hosts = (!hosts.is_empty())
        .then(|| view! { <ol class="journey">{hosts.iter().map(queue::host).collect_view()}</ol> });
    let note = read::text(of, "/note").to_owned();
    let size = read::number(of, "/size").map(|size| format!(", {}", format::octets(size)));
    let from = sender(of);
    let from = (!from.is_empty()).then(|| fill(t().watching.from_sender, &[("name", &from)]));
    view! {
        <li class=tone>
            {event(name)}" "{page::date_at(of, "/at")}
            <div>{from}{size}</div>
            {recipients}{more}
            {(!note.is_empty()).then(|| view! { <div>{note}</div> })}
            {session}
            {hosts}
        </li>
    }
    .into_any()
}

fn recipient(of: &Value) -> AnyView {
    let reply = match (read::text(of, "/reply"), read::text(of, "/remote")) {
        (reply, "") => reply.to_owned(),
        (reply, host) => format!("{host}: {reply}"),
    };
    let places = read::items(of, "/places").iter().map(|place| {
        let actions = read::texts(place, "/actions").join(", ");
        let problem = read::text(place, "/problem").to_owned();
        view! { <div class="muted">{actions}{(!problem.is_empty()).then(|| format!(" – {problem}"))}</div> }
    });
    view! {
        <div>{read::text(of, "/address").to_owned()}<div class="muted">{reply}</div>{places.collect_view()}</div>
    }
    .into_any()
}

fn session(of: &Value) -> AnyView {
    let text = |pointer: &str| read::text(of, pointer).to_owned();
    let mut rows = vec![
        (
            t().watching.client,
            format!("{} ({})", text("/client"), text("/hello")).into_any(),
        ),
        (t().watching.protocol, text("/protocol").into_any()),
        (
            t().watching.encryption,
            match text("/tls") {
                tls if tls.is_empty() => t().watching.not_encrypted.to_owned(),
                tls => tls,
            }
            .into_any(),
        ),
        (t().watching.session_id, text("/id").into_any()),
    ];
    let authentication = text("/authentication");
    if !authentication.is_empty() {
        rows.push((
            t().watching.authentication,
            view! { <span class="mono">{authentication}</span> }.into_any(),
        ));
    }
    view! { <details><summary>{t().watching.how_it_came}</summary>{facts(rows)}</details> }
        .into_any()
}
