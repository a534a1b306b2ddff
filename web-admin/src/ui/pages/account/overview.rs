//! The account at a glance: its addresses and its storage.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::t,
    query,
    ui::{
        components::{
            load::Loaded,
            page::{self, card, facts, usage},
        },
        session::Session,
    },
};

pub fn page(session: &Session) -> AnyView {
    let me = Loaded::of(format!("/accounts/{}", query::encode(&session.account)));
    let quota = Loaded::of(format!(
        "/accounts/{}/quota",
        query::encode(&session.account)
    ));
    view! {
        {page::head(session.name.clone(), "", ().into_any())}
        {me.show(|reply| {
            let forwarding = reply.body.get("forwarding").filter(|of| !of.is_null());
            view! {
                {card(t().own.my_addresses, "", addresses(&reply.body))}
                {forwarding.map(|of| card(t().forwarding, "", forwards(of)))}
            }
            .into_any()
        })}
        {quota.show(|reply| card(t().storage, "", storage(&reply.body)))}
    }
    .into_any()
}

fn addresses(me: &Value) -> AnyView {
    let rows = read::texts(me, "/addresses")
        .into_iter()
        .map(|address| view! { <li>{address}</li> });
    view! { <ul>{rows.collect_view()}</ul> }.into_any()
}

/// Where mail goes on to: an administrator sets it.
fn forwards(of: &Value) -> AnyView {
    let keeps = if read::flag(of, "/keepsCopy") {
        t().own.copy_is_kept
    } else {
        t().own.no_copy_is_kept
    };
    view! { <p>{t().own.your_mail_goes_to}" "{read::texts(of, "/to").join(", ")}". "{keeps}</p> }
        .into_any()
}

fn storage(quota: &Value) -> AnyView {
    let number = |pointer: &str| read::number(quota, pointer).unwrap_or_default();
    let mut rows = vec![(
        t().own.used,
        usage(number("/usedOctets"), number("/effectiveOctets")),
    )];
    for (pointer, name) in [
        ("/recipientsPerHour", t().recipients_per_hour),
        ("/recipientsPerDay", t().recipients_per_day),
    ] {
        if let Some(limit) = read::number(quota, pointer).filter(|limit| *limit > 0) {
            rows.push((name, format::count(limit).into_any()));
        }
    }
    facts(rows)
}
