//! What is wrong at the moment.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::t,
    ui::{
        api,
        components::{
            page,
            table::{Bulk, Column, List, table},
        },
        pages::common,
        session::Session,
    },
};

const API: &str = "/alerts";

pub fn page(session: &Session) -> AnyView {
    let mut list = List::new(t().telling.alerts, API, "/number");
    list.columns = vec![
        Column::new(t().telling.what_is_wrong, what),
        Column::new(t().kind, |row| {
            let kind = read::text(row, "/kind").to_owned();
            view! { <code>{kind}</code> }.into_any()
        }),
        Column::new(t().since, |row| page::date_at(row, "/since")).class("nowrap"),
        Column::new(t().telling.mailed, |row| page::date_at(row, "/mailed")).class("nowrap"),
    ];
    if session.may("alert.dismiss") {
        let dismiss = Bulk::new(
            t().telling.dismiss_alert,
            t().telling.dismissed,
            |row| async move {
                let number = read::number(&row, "/number").unwrap_or_default();
                api::delete(&common::of(API, &number.to_string())).await?;
                Ok(None)
            },
        );
        list.bulk = vec![dismiss.asks(t().telling.dismiss_question)];
    }
    list.empty = t().telling.no_alerts;
    list.is_live = true;
    view! {
        {page::head(t().telling.alerts, t().telling.alerts_lead, ().into_any())}
        {table(list)}
    }
    .into_any()
}

fn what(row: &Value) -> AnyView {
    let about: Vec<&str> = ["/node", "/subject"]
        .into_iter()
        .map(|pointer| read::text(row, pointer))
        .filter(|text| !text.is_empty())
        .collect();
    let about = (!about.is_empty()).then(|| view! { <div class="sub">{about.join(", ")}</div> });
    view! { {read::text(row, "/sentence").to_owned()}{about} }.into_any()
}
