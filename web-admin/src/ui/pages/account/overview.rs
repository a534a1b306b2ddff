//! The account at a glance: its addresses and its storage.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    format, json as read,
    messages::t,
    query,
    ui::{
        api::Reply,
        components::{
            load::Loaded,
            page::{self, card, facts, usage},
        },
        jmap,
        session::Session,
    },
};

pub fn page(session: &Session) -> AnyView {
    let me = Loaded::of(format!("/accounts/{}", query::encode(&session.account)));
    let quota = Loaded::new(|| async {
        let body = jmap::call(&[jmap::QUOTA], "Quota/get", json!({"ids": null})).await?;
        Ok(Reply {
            body,
            ..Reply::default()
        })
    });
    view! {
        {page::head(session.name.clone(), "", ().into_any())}
        {me.show(|reply| {
            let forwarding = reply.body.get("forwarding").filter(|of| !of.is_null());
            view! {
                {card(t().my_addresses, "", addresses(&reply.body))}
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
        t().copy_is_kept
    } else {
        t().no_copy_is_kept
    };
    view! { <p>{t().your_mail_goes_to}" "{read::texts(of, "/to").join(", ")}". "{keeps}</p> }
        .into_any()
}

fn storage(body: &Value) -> AnyView {
    let rows: Vec<(&'static str, AnyView)> = read::items(body, "/list")
        .iter()
        .map(|quota| {
            let used = read::number(quota, "/used").unwrap_or_default();
            let limit = read::number(quota, "/hardLimit").unwrap_or_default();
            match read::text(quota, "/resourceType") {
                "count" => (t().messages, format::count(used).into_any()),
                _ => (t().used, usage(used, limit)),
            }
        })
        .collect();
    if rows.is_empty() {
        return view! { <p>{t().no_quota}</p> }.into_any();
    }
    facts(rows)
}
