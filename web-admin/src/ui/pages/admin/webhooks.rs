//! Programs that are told of events.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    format, json as read,
    messages::{fill, t},
    ui::{
        api::{self, Reply},
        components::{
            copy,
            dialog::{Question, dialog, questions},
            form::{Field, Kind, form, send},
            load::Loaded,
            page::{self, Tone, badge, card, note},
            table::{Column, List, table},
            toast,
        },
        pages::common,
        session::Session,
    },
};

const API: &str = "/webhooks";
/// The kinds of events.
const EVENTS: &str = "/webhook-events";
/// What is tried is told of always.
const TEST: &str = "webhook.test";

pub fn page(session: &Session) -> AnyView {
    let mut list = List::new(t().telling.webhooks, API, "/number");
    list.columns = vec![
        Column::new(t().telling.url, |row| {
            let number = read::number(row, "/number").unwrap_or_default();
            let way = common::link(format!("/admin/webhooks/{number}"), read::text(row, "/url"));
            let about = read::text(row, "/description").to_owned();
            view! { {way}<div class="sub">{about}</div> }.into_any()
        }),
        Column::new(t().telling.events, |row| {
            let events = read::texts(row, "/events");
            match events.is_empty() {
                true => view! { <span class="muted">{t().watching.all_events}</span> }.into_any(),
                false => view! { <code class="value">{events.join(", ")}</code> }.into_any(),
            }
        }),
        Column::new(t().state, state),
        Column::new(t().telling.waiting, |row| {
            let waiting = read::number(row, "/waiting").unwrap_or_default();
            format::count(waiting).into_any()
        })
        .class("number"),
    ];
    list.empty = t().telling.no_webhooks;
    list.is_plain = true;
    list.is_whole = true;
    let add = session.may("webhook.change").then(|| add(list.changed));
    view! {
        {page::head(t().telling.webhooks, t().telling.webhooks_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

fn state(row: &Value) -> AnyView {
    let why = read::text(row, "/disabledReason").to_owned();
    if read::flag(row, "/disabled") {
        return view! { {badge(Tone::Bad, t().directory.disabled)}<div class="sub">{why}</div> }
            .into_any();
    }
    match read::text(row, "/failingSince") {
        "" => badge(Tone::Good, t().active),
        since => view! {
            {badge(Tone::Warn, t().telling.fails)}
            <div class="sub">{t().since}" "{page::date(since)}</div>
        }
        .into_any(),
    }
}

/// `known`: the kinds of events.
fn fields(known: &Value) -> Vec<Field> {
    let names = read::items(known, "/items").iter();
    let names = names.map(|of| read::text(of, "/event"));
    let events = names
        .filter(|name| *name != TEST)
        .map(|name| (name.to_owned(), name.to_owned()));
    vec![
        Field::new("/url", t().telling.url, Kind::Text)
            .required()
            .hint(t().telling.url_hint),
        Field::new("/description", t().description, Kind::Text).empty_is_text(),
        Field::new(
            "/events",
            t().telling.events,
            Kind::Several(events.collect()),
        )
        .hint(t().telling.events_hint),
    ]
}

fn add(changed: RwSignal<u32>) -> AnyView {
    let open = RwSignal::new(None::<()>);
    let issued = RwSignal::new(None::<String>);
    let known = Loaded::of(EVENTS);
    let content = move |()| {
        known.show(move |known| {
            let sent = send(move |value| async move {
                let reply = api::post(API, &value).await?;
                open.set(None);
                changed.update(|count| *count += 1);
                match read::text(&reply.body, "/secret") {
                    "" => toast::show(t().directory.secret_is_lost),
                    secret => issued.set(Some(secret.to_owned())),
                }
                Ok(())
            });
            form(fields(&known.body), t().telling.add_webhook, sent)
        })
    };
    let secret = |secret: String| {
        view! {
            {note(Tone::Warn, t().directory.shown_once)}
            <p>{t().telling.webhook_secret_lead}</p>
            {copy::secret(secret, t().directory.secret)}
        }
        .into_any()
    };
    view! {
        <button type="button" class="primary" on:click=move |_| open.set(Some(()))>{t().telling.add_webhook}</button>
        {dialog(open, |()| t().telling.add_webhook.to_owned(), content)}
        {dialog(issued, |_| t().telling.webhook_secret.to_owned(), secret)}
    }
    .into_any()
}

pub fn one(session: &Session, number: &str) -> AnyView {
    let address = common::of(API, number);
    let loaded = Loaded::of(address.clone());
    let question = RwSignal::new(None::<Question>);
    let told = RwSignal::new(0);
    let may_change = session.may("webhook.change");
    let title = move || match loaded.answer.get() {
        Some(Ok(reply)) => read::text(&reply.body, "/url").to_owned(),
        _ => String::new(),
    };
    let actions = may_change.then(|| {
        let label = (t().telling.remove_this_webhook, t().telling.remove_webhook);
        let remove = common::remove(
            question,
            label,
            number.to_owned(),
            address.clone(),
            "/admin/webhooks",
        );
        view! { {test(address.clone(), told)} {remove} }
    });
    let mut list = List::new(
        t().telling.deliveries,
        format!("{address}/deliveries"),
        "/id",
    );
    list.columns = columns();
    list.empty = t().telling.no_deliveries;
    list.changed = told;
    list.is_live = true;
    let of_reply = move |reply: Reply| settings(&reply, address.clone(), may_change, loaded);
    view! {
        {page::crumbs("/admin/webhooks", t().telling.webhooks)}
        {page::head_of(title, actions.into_any())}
        {loaded.show(of_reply)}
        {card(t().telling.deliveries, t().telling.deliveries_lead, table(list))}
        {questions(question)}
    }
    .into_any()
}

fn settings(reply: &Reply, address: String, may_change: bool, loaded: Loaded) -> AnyView {
    let content = match may_change {
        true => {
            let of = reply.clone();
            Loaded::of(EVENTS).show(move |known| {
                let mut fields = fields(&known.body);
                let disabled = Field::new("/disabled", t().directory.disabled, Kind::Check);
                fields.push(disabled.hint(t().telling.disabled_hint));
                common::edit(address.clone(), &of, fields, loaded)
            })
        }
        false => ().into_any(),
    };
    let content = view! { <p>{state(&reply.body)}</p> {content} };
    card(t().general, "", content.into_any())
}

fn test(address: String, told: RwSignal<u32>) -> AnyView {
    common::button(t().telling.test, "", move || {
        let address = format!("{address}/test");
        async move {
            let reply = api::post(&address, &json!({})).await?;
            let status = read::number(&reply.body, "/status").map(|status| status.to_string());
            let why = status
                .as_deref()
                .unwrap_or(read::text(&reply.body, "/problem"));
            toast::show(match read::flag(&reply.body, "/delivered") {
                true => t().telling.test_arrived.to_owned(),
                false => fill(t().telling.test_failed, &[("why", why)]),
            });
            told.update(|count| *count += 1);
            Ok(())
        }
    })
}

fn columns() -> Vec<Column> {
    vec![
        Column::new(t().when, |row| page::date_at(row, "/time")).class("nowrap"),
        Column::new(t().telling.event, |row| {
            let event = read::text(row, "/event").to_owned();
            view! { <code>{event}</code> }.into_any()
        }),
        Column::new(t().watching.outcome, |row| {
            let status = read::number(row, "/status").map(|status| status.to_string());
            let why = read::text(row, "/problem").to_owned();
            let said = status.filter(|_| why.is_empty()).unwrap_or(why);
            let (tone, text) = match (
                read::flag(row, "/delivered"),
                read::text(row, "/nextTry").is_empty(),
            ) {
                (true, _) => (Tone::Good, t().telling.arrived),
                (false, true) => (Tone::Bad, t().telling.given_up),
                (false, false) => (Tone::Warn, t().telling.put_off),
            };
            view! { {badge(tone, text)}<div class="sub">{said}</div> }.into_any()
        }),
        Column::new(t().watching.tries, |row| {
            let tries = read::number(row, "/attempts").unwrap_or_default();
            format::count(tries).into_any()
        })
        .class("number"),
        Column::new(t().watching.next_try, |row| page::date_at(row, "/nextTry")).class("nowrap"),
    ]
}
