//! Where the account's mail goes on to.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::{fill, t},
    query,
    ui::{
        api,
        components::{
            form::{Field, Kind, form, send},
            load::{self, Loaded},
            page::{self, Tone, note},
            toast,
        },
        session::Session,
    },
};

pub fn page(session: &Session) -> AnyView {
    let account = format!("/accounts/{}", query::encode(&session.account));
    let loaded = Loaded::of(account.clone());
    view! {
        {page::head(t().forwarding, t().own.forwarding_lead, ().into_any())}
        {loaded.show(move |reply| {
            let now = reply.body.get("forwarding").cloned().unwrap_or_default();
            let address = format!("{account}/forwarding");
            view! { <section class="card">{part(&now, address, &reply.etag, loaded)}</section> }.into_any()
        })}
    }
    .into_any()
}

fn part(now: &Value, address: String, etag: &str, loaded: Loaded) -> AnyView {
    let keeps = now.is_null() || read::flag(now, "/keepsCopy");
    let fields = vec![
        Field::new("/to", t().forward_to, Kind::Lines)
            .from(now)
            .required()
            .hint(t().one_a_line),
        Field::new("/keepsCopy", t().keeps_copy, Kind::Check).value(keeps),
    ];
    let (of, tag) = (address.clone(), etag.to_owned());
    let sent = send(move |value| {
        let (address, etag) = (of.clone(), tag.clone());
        async move {
            api::Call::new("PUT", &address)
                .if_match(&etag)
                .json(&value)
                .send()
                .await?;
            toast::show(t().saved);
            loaded.again();
            Ok(())
        }
    });
    let state = match now.is_null() {
        true => note(Tone::Plain, t().own.stays_here),
        false => {
            let to = read::texts(now, "/to").join(", ");
            note(Tone::Accent, fill(t().own.goes_on, &[("to", &to)]))
        }
    };
    let before = now.clone();
    let stop = (!now.is_null()).then(|| {
        let press = move |_| end(address.clone(), before.clone(), loaded);
        view! { <div class="actions"><button type="button" class="danger" on:click=press>{t().own.forward_no_more}</button></div> }
    });
    view! { {state} {form(fields, t().save, sent)} {stop} }.into_any()
}

/// Mail stays here from now on, with a way back.
fn end(address: String, before: Value, loaded: Loaded) {
    load::run(async move {
        api::delete(&address).await?;
        loaded.again();
        let undo: toast::Undo = std::sync::Arc::new(move || {
            let (address, before) = (address.clone(), before.clone());
            load::run(async move {
                api::Call::new("PUT", &address).json(&before).send().await?;
                loaded.again();
                toast::show(t().undone);
                Ok(())
            });
        });
        toast::show_with(t().own.stays_here.to_owned(), Some(undo));
        Ok(())
    });
}
