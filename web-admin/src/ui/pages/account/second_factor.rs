//! A device that makes codes, and recovery codes.
//!
//! Holds: what is secret is shown once, and kept nowhere.
//! Other half: `ui::session` asks for the codes.

use std::sync::Arc;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::t,
    ui::{
        api,
        components::{
            copy,
            dialog::dialog,
            form::{Field, Kind, form_around, send},
            load::Loaded,
            page::{self, Tone, badge, card, facts, note},
            picture, toast,
        },
        pages::common,
    },
};

use super::word::{Ask, asking};

const API: &str = "/me/totp";

pub fn part() -> AnyView {
    let loaded = Loaded::of(API);
    let enrolling = RwSignal::new(None::<Value>);
    let codes = RwSignal::new(None::<Vec<String>>);
    let ask = RwSignal::new(None::<Ask>);
    let content = view! {
        {loaded.show(move |reply| match read::flag(&reply.body, "/isOn") {
            true => is_on(&reply.body, loaded, codes, ask),
            false => is_off(enrolling),
        })}
        {dialog(enrolling, |_| t().access.add_device.to_owned(), move |of| confirm(&of, enrolling, codes, loaded))}
        {dialog(codes, |_| t().access.recovery_codes.to_owned(), move |of| shown(of, codes))}
        {asking(ask)}
    };
    card(
        t().access.second_factor,
        t().access.second_factor_lead,
        content.into_any(),
    )
}

fn is_off(enrolling: RwSignal<Option<Value>>) -> AnyView {
    let begin = common::button(t().access.add_device, "primary", move || async move {
        let reply = api::Call::new("POST", API).send().await?;
        enrolling.set(Some(reply.body));
        Ok(())
    });
    view! { <div class="actions">{begin}</div> }.into_any()
}

fn is_on(
    body: &Value,
    loaded: Loaded,
    codes: RwSignal<Option<Vec<String>>>,
    ask: RwSignal<Option<Ask>>,
) -> AnyView {
    let left = read::number(body, "/recoveryCodes").unwrap_or_default();
    let rows = vec![
        (t().state, badge(Tone::Good, t().active)),
        (t().since, page::date_at(body, "/since")),
        (t().access.codes_left, left.to_string().into_any()),
    ];
    let access = &t().access;
    let ask_renew = move |_| {
        ask.set(Some(Ask {
            title: access.new_codes,
            text: access.new_codes_question.to_owned(),
            method: "POST",
            address: format!("{API}/recovery-codes"),
            takes_password: false,
            done: Arc::new(move |body| {
                codes.set(Some(read::texts(&body, "/codes")));
                loaded.again();
            }),
        }));
    };
    let ask_remove = move |_| {
        ask.set(Some(Ask {
            title: access.remove_device,
            text: access.remove_device_question.to_owned(),
            method: "DELETE",
            address: API.to_owned(),
            takes_password: false,
            done: Arc::new(move |_| {
                toast::show(access.device_removed);
                loaded.again();
            }),
        }));
    };
    view! {
        {facts(rows)}
        <div class="actions below-facts">
            <button type="button" on:click=ask_renew>{access.new_codes}</button>
            <button type="button" class="danger" on:click=ask_remove>{access.remove_device}</button>
        </div>
    }
    .into_any()
}

/// The secret, until the device has shown that it has it.
fn confirm(
    enrolment: &Value,
    enrolling: RwSignal<Option<Value>>,
    codes: RwSignal<Option<Vec<String>>>,
    loaded: Loaded,
) -> AnyView {
    let secret = read::text(enrolment, "/secret").to_owned();
    let picture = picture::svg(
        read::text(enrolment, "/picture"),
        t().access.picture_of_secret,
    );
    let before = view! {
        <p>{t().access.scan}</p>
        {picture}
        {copy::secret(secret, t().access.typed_secret)}
    };
    let fields = vec![
        Field::new("/code", t().access.code_of_device, Kind::OneTimeCode)
            .required()
            .hint(t().access.code_hint),
    ];
    let sent = send(move |mut value| async move {
        let code = read::text(&value, "/code").replace(' ', "");
        read::put(&mut value, "/code", code.into());
        let confirmation = api::Call::new("POST", "/me/totp/confirmation").json(&value);
        let reply = confirmation.send().await?;
        enrolling.set(None);
        toast::show(t().access.device_added);
        codes.set(Some(read::texts(&reply.body, "/codes")));
        loaded.again();
        Ok(())
    });
    form_around(
        before.into_any(),
        fields,
        ().into_any(),
        t().access.add_device,
        sent,
    )
}

fn shown(of: Vec<String>, codes: RwSignal<Option<Vec<String>>>) -> AnyView {
    let text = of.join("\n");
    let rows = of
        .into_iter()
        .map(|code| view! { <li><code>{code}</code></li> });
    let close = move |_| {
        codes.set(None);
    };
    view! {
        {note(Tone::Warn, t().access.recovery_lead)}
        <ul class="codes">{rows.collect_view()}</ul>
        <div class="dialog-foot">
            {copy::all(text, t().copy)}
            <button type="button" class="primary" on:click=close>{t().done}</button>
        </div>
    }
    .into_any()
}
