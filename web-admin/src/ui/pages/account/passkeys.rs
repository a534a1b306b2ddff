//! Passkeys of the account: made, listed, taken away.
//!
//! Other half: `ui::passkey` has the browser make them; the sign-in page and `adapters/oauth` let people in by them.

use std::sync::Arc;

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::{fill, t},
    problem::Problem,
    ui::{
        api,
        components::{
            dialog::dialog,
            form::{Field, Kind, form, send},
            page::{self, card},
            table::{Column, List, table},
            toast,
        },
        pages::common,
        passkey,
    },
};

use super::word::{Ask, asking};

const API: &str = "/me/passkeys";

pub fn part() -> AnyView {
    let changed = RwSignal::new(0);
    let ask = RwSignal::new(None::<Ask>);
    let making = RwSignal::new(None::<()>);
    let mut list = List::new(t().access.passkeys, API, "/number");
    list.columns = vec![
        Column::new(t().description, |row| name(row).into_any()),
        Column::new(t().directory.created, |row| page::date_at(row, "/created")).class("nowrap"),
        Column::new("", move |row| remove(row, changed, ask)).class("act"),
    ];
    list.empty = t().access.no_passkeys;
    list.changed = changed;
    list.is_plain = true;
    list.is_whole = true;
    let form = move |()| {
        let fields = vec![
            Field::new("/description", t().directory.what_for, Kind::Text)
                .required()
                .hint(t().directory.what_for_hint),
        ];
        let sent = send(move |value| async move {
            add(read::text(&value, "/description")).await?;
            making.set(None);
            toast::show(t().access.passkey_added);
            changed.update(|count| *count += 1);
            Ok(())
        });
        form(fields, t().access.add_passkey, sent)
    };
    let content = view! {
        {table(list)}
        <div class="actions below-facts">
            <button type="button" on:click=move |_| making.set(Some(()))>{t().access.add_passkey}</button>
        </div>
        {dialog(making, |()| t().access.add_passkey.to_owned(), form)}
        {asking(ask)}
    };
    card(
        t().access.passkeys,
        t().access.passkeys_lead,
        content.into_any(),
    )
}

fn name(row: &Value) -> String {
    match read::text(row, "/description") {
        "" => t().access.passkey.to_owned(),
        name => name.to_owned(),
    }
}

fn remove(row: &Value, changed: RwSignal<u32>, ask: RwSignal<Option<Ask>>) -> AnyView {
    let number = read::number(row, "/number").unwrap_or_default();
    let address = common::of(API, &number.to_string());
    let text = fill(t().access.remove_passkey, &[("name", &name(row))]);
    let press = move |_| {
        ask.set(Some(Ask {
            title: t().remove,
            text: text.clone(),
            method: "DELETE",
            address: address.clone(),
            takes_password: true,
            done: Arc::new(move |_| {
                toast::show(t().removed);
                changed.update(|count| *count += 1);
            }),
        }));
    };
    view! { <button type="button" class="small danger" on:click=press>{t().remove}</button> }
        .into_any()
}

/// Has the browser make a passkey, and gives the server its public half.
async fn add(description: &str) -> Result<(), Problem> {
    let options = api::Call::new("POST", "/me/passkey-options").send().await?;
    let made = passkey::make(&options.body).await;
    let made =
        made.map_err(|why| Problem::of(0, fill(t().access.passkey_failed, &[("why", &why)])))?;
    let body = json!({
        "description": description,
        "clientData": read::text(&made, "/response/clientDataJSON"),
        "attestationObject": read::text(&made, "/response/attestationObject"),
    });
    api::Call::new("POST", API).json(&body).send().await?;
    Ok(())
}
