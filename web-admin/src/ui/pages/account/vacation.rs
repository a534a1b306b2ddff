//! What is answered while somebody is away (RFC 8621 §8).

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::t,
    ui::{
        api::Reply,
        components::{
            form::{Field, Kind, form, send},
            load::Loaded,
            page, toast,
        },
        jmap,
    },
};

pub fn page() -> AnyView {
    let loaded = Loaded::new(|| async {
        let body = jmap::call(
            &[jmap::VACATION],
            "VacationResponse/get",
            json!({"ids": null}),
        )
        .await?;
        Ok(Reply {
            body,
            ..Reply::default()
        })
    });
    view! {
        {page::head(t().own.vacation, t().own.vacation_lead, ().into_any())}
        {loaded.show(|reply| {
            let now = read::items(&reply.body, "/list").first().cloned().unwrap_or_default();
            view! { <section class="card">{vacation(&now)}</section> }.into_any()
        })}
    }
    .into_any()
}

fn vacation(now: &Value) -> AnyView {
    let fields = vec![
        Field::new("/isEnabled", t().own.vacation_on, Kind::Check).from(now),
        Field::new("/subject", t().subject, Kind::Text)
            .from(now)
            .hint(t().own.vacation_subject_hint),
        Field::new("/textBody", t().message, Kind::Area)
            .from(now)
            .required(),
        Field::new("/fromDate", t().own.from_date, Kind::Date).from(now),
        Field::new("/toDate", t().own.to_date, Kind::Date).from(now),
    ];
    let sent = send(|value| async move {
        let update = json!({"update": {"singleton": value}});
        jmap::set(&[jmap::VACATION], "VacationResponse/set", update).await?;
        toast::show(t().saved);
        Ok(())
    });
    form(fields, t().save, sent)
}
