//! The account at a glance: its addresses, its storage, and what happens to its mail.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::{fill, t},
    query,
    ui::{
        components::{
            copy,
            load::Loaded,
            page::{self, card, facts, usage},
        },
        pages::common,
        session::Session,
    },
};

pub fn page(session: &Session) -> AnyView {
    let account = format!("/accounts/{}", query::encode(&session.account));
    let me = Loaded::of(account.clone());
    let quota = Loaded::of(format!("{account}/quota"));
    view! {
        {page::head(session.name.clone(), "", ().into_any())}
        <div class="charts">
            {me.show(|reply| card(t().own.my_addresses, t().own.my_addresses_lead, addresses(&reply.body)))}
            {quota.show(|reply| card(t().storage, "", storage(&reply.body)))}
            {me.show(|reply| card(t().forwarding, "", forwards(&reply.body)))}
        </div>
    }
    .into_any()
}

fn addresses(me: &Value) -> AnyView {
    let rows = read::texts(me, "/addresses").into_iter().map(|address| {
        view! { <li><span>{address.clone()}</span>{copy::button(address.clone(), &address)}</li> }
    });
    view! { <ul class="lines">{rows.collect_view()}</ul> }.into_any()
}

fn forwards(me: &Value) -> AnyView {
    let now = me.get("forwarding").filter(|of| !of.is_null());
    let text = match now {
        Some(of) => {
            let keeps = match read::flag(of, "/keepsCopy") {
                true => t().own.copy_is_kept,
                false => t().own.no_copy_is_kept,
            };
            let to = read::texts(of, "/to").join(", ");
            format!("{} {keeps}", fill(t().own.goes_on, &[("to", &to)]))
        }
        None => t().own.stays_here.to_owned(),
    };
    let way = common::link("/account/forwarding".into(), t().change);
    view! { <p>{text}</p>{way} }.into_any()
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
