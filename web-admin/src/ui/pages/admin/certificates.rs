//! Certificates of TLS: which are shown, until when they are good, and how others are had.

use leptos::prelude::*;
use serde_json::Value;

use super::acme;
use crate::{
    format, json as read,
    messages::{fill, t},
    ui::{
        api,
        components::{
            copy,
            dialog::{Question, dialog, questions},
            form::{Field, Kind, form, send},
            page::{self, Tone, badge},
            table::{Column, List, table},
            toast,
        },
        pages::common,
        session::Session,
        time,
    },
};

const API: &str = "/certificates";
const DAY: i64 = 86_400;
/// A certificate that ends this soon should have been renewed.
const SOON_DAYS: i64 = 14;

pub fn page(session: &Session) -> AnyView {
    let may_change = session.may("certificate.change");
    let question = RwSignal::new(None::<Question>);
    let mut list = List::new(t().server.certificates, API, "/name");
    let changed = list.changed;
    list.columns = columns();
    if may_change {
        let actions = move |row: &Value| actions(row, question, changed);
        list.columns.push(Column::new("", actions).class("act"));
    }
    list.empty = t().server.no_certificates;
    let add = may_change.then(|| add(changed));
    let order = (may_change && session.may("settings.change")).then(|| acme::card(changed));
    view! {
        {page::head(t().server.certificates, t().server.certificates_lead, add.into_any())}
        {table(list)}
        {order}
        {questions(question)}
    }
    .into_any()
}

pub fn columns() -> Vec<Column> {
    vec![
        Column::new(t().server.host_names, |row| {
            let problem = read::text(row, "/problem").to_owned();
            view! {
                {read::texts(row, "/names").join(", ")}
                <div class="sub">{read::text(row, "/file").to_owned()}</div>
                {(!problem.is_empty()).then(|| view! { <div class="sub bad-text">{problem}</div> })}
            }
            .into_any()
        }),
        Column::new(t().server.issuer, |row| {
            view! {
                {source(row)}
                <div class="sub">{read::text(row, "/issuer").to_owned()}</div>
            }
            .into_any()
        }),
        Column::new(t().state, |row| state(row, time::now())),
        Column::new(t().until, |row| page::date_at(row, "/notAfter")).class("nowrap"),
    ]
}

fn source(row: &Value) -> AnyView {
    match read::text(row, "/source") {
        "acme" => badge(Tone::Accent, t().server.source_acme),
        "file" => badge(Tone::Plain, t().server.source_file),
        "imported" => badge(Tone::Plain, t().server.source_imported),
        _ => badge(Tone::Warn, t().server.source_self_signed),
    }
}

/// Seconds until a certificate ends.
fn left(row: &Value, now: i64) -> Option<i64> {
    Some(format::parse_date(read::text(row, "/notAfter"))? - now)
}

fn state(row: &Value, now: i64) -> AnyView {
    if read::text(row, "/source") == "self-signed" {
        return badge(Tone::Warn, t().server.not_trusted);
    }
    let tries = read::number(row, "/failures").unwrap_or_default();
    let next = page::date_at(row, "/nextTry");
    match (read::text(row, "/order"), left(row, now)) {
        ("failing", _) => {
            let text = fill(t().server.order_failing, &[("count", &tries.to_string())]);
            view! { {badge(Tone::Bad, text)}<div class="sub">{t().server.next_try}" "{next}</div> }
                .into_any()
        }
        ("ordered", _) => badge(Tone::Accent, t().server.order_ordered),
        (_, Some(left)) if left <= 0 => badge(Tone::Bad, t().server.is_over),
        (_, Some(left)) => {
            let days = left / DAY;
            let tone = if days < SOON_DAYS {
                Tone::Warn
            } else {
                Tone::Good
            };
            badge(
                tone,
                fill(t().server.days_left, &[("count", &days.to_string())]),
            )
        }
        _ => ().into_any(),
    }
}

/// What somebody should know of a certificate, if there is something.
pub fn trouble(of: &Value, now: i64) -> Option<(Tone, String)> {
    let names = read::texts(of, "/names").join(", ");
    let problem = read::text(of, "/problem");
    if read::text(of, "/order") == "failing" {
        let text = fill(
            t().server.trouble_order,
            &[("names", &names), ("why", problem)],
        );
        return Some((Tone::Bad, text));
    }
    if !problem.is_empty() {
        return Some((Tone::Bad, format!("{names}: {problem}")));
    }
    let left = left(of, now)?;
    if left <= 0 {
        return Some((
            Tone::Bad,
            fill(t().server.trouble_over, &[("names", &names)]),
        ));
    }
    if read::text(of, "/source") == "self-signed" {
        let text = fill(t().server.trouble_self_signed, &[("names", &names)]);
        return Some((Tone::Warn, text));
    }
    (left < SOON_DAYS * DAY).then(|| {
        let days = (left / DAY).to_string();
        let values = [("names", names.as_str()), ("count", &days)];
        (Tone::Warn, fill(t().server.trouble_soon, &values))
    })
}

/// Renewing and removing what the store has; and the record that pins the key.
fn actions(row: &Value, question: RwSignal<Option<Question>>, changed: RwSignal<u32>) -> AnyView {
    let tlsa = match read::text(row, "/tlsa") {
        "" => None,
        data => Some(copy::button(data.to_owned(), "TLSA")),
    };
    let name = read::text(row, "/name").to_owned();
    if name.is_empty() {
        return view! { <div class="actions">{tlsa}</div> }.into_any();
    }
    let address = common::of(API, &name);
    let renew = (read::text(row, "/source") == "acme").then(|| {
        let address = format!("{address}/renew");
        common::button(t().server.renew, "small", move || {
            let address = address.clone();
            async move {
                api::Call::new("POST", &address).send().await?;
                toast::show(t().server.is_ordered);
                changed.update(|count| *count += 1);
                Ok(())
            }
        })
    });
    let ask = move |_| {
        let address = address.clone();
        let text = fill(t().server.remove_certificate, &[("name", &name)]);
        question.set(Some(Question::new(
            t().remove,
            text,
            t().remove,
            move || {
                let address = address.clone();
                async move {
                    api::delete(&address).await?;
                    toast::show(t().removed);
                    changed.update(|count| *count += 1);
                    Ok(())
                }
            },
        )));
    };
    view! {
        <div class="actions">
            {tlsa}
            {renew}
            <button type="button" class="small danger" on:click=ask>{t().remove}</button>
        </div>
    }
    .into_any()
}

/// A button for a certificate from elsewhere.
fn add(changed: RwSignal<u32>) -> AnyView {
    let open = RwSignal::new(None::<()>);
    let content = move |()| {
        let fields = vec![
            Field::new("/chain", t().server.chain, Kind::Code)
                .required()
                .hint(t().server.chain_hint),
            Field::new("/privateKey", t().server.private_key, Kind::Code)
                .required()
                .hint(t().server.private_key_hint),
        ];
        let sent = send(move |value| async move {
            api::post(API, &value).await?;
            open.set(None);
            toast::show(t().added);
            changed.update(|count| *count += 1);
            Ok(())
        });
        form(fields, t().server.bring, sent)
    };
    view! {
        <button type="button" on:click=move |_| open.set(Some(()))>{t().server.bring}</button>
        {dialog(open, |()| t().server.bring.to_owned(), content)}
    }
    .into_any()
}

/// Whether there is a certificate that others believe.
pub fn is_good(body: &Value, now: i64) -> bool {
    read::items(body, "/items").iter().any(|of| {
        read::text(of, "/source") != "self-signed" && left(of, now).is_some_and(|left| left > 0)
    })
}
