//! Programs that may ask people for access (OAuth 2.0).

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
            form::{Field, Kind, form, send},
            page::{self, Tone, badge, note},
            table::{Column, List, table},
        },
        pages::common,
        session::Session,
    },
};

const API: &str = "/oauth-clients";

pub fn page(session: &Session) -> AnyView {
    let may_change = session.may("client.change");
    let mut list = List::new(t().telling.clients, API, "/id");
    list.columns = vec![
        Column::new(t().name, name),
        Column::new(t().telling.redirect_uris, |row| {
            let uris = read::texts(row, "/redirectUris");
            let uris = uris
                .into_iter()
                .map(|uri| view! { <div class="sub">{uri}</div> });
            uris.collect_view().into_any()
        }),
        Column::new(t().kind, kind),
        Column::new(t().directory.created, |row| page::date_at(row, "/created")).class("nowrap"),
        Column::new(t().telling.last_used, |row| page::date_at(row, "/lastUsed")).class("nowrap"),
    ];
    if may_change {
        let address = |row: &Value| common::of(API, read::text(row, "/id"));
        list.bulk = vec![common::bulk_remove(t().telling.remove_clients, address)];
    }
    list.empty = t().telling.no_clients;
    let add = may_change.then(|| add(list.changed));
    view! {
        {page::head(t().telling.clients, t().telling.clients_lead, add.into_any())}
        {table(list)}
    }
    .into_any()
}

/// What a program calls itself isn't made a link of.
fn name(row: &Value) -> AnyView {
    let id = read::text(row, "/id").to_owned();
    view! { {read::text(row, "/name").to_owned()}<div class="sub"><code>{id}</code></div> }
        .into_any()
}

fn kind(row: &Value) -> AnyView {
    let confidential = read::flag(row, "/isConfidential");
    let secret = confidential.then(|| badge(Tone::Accent, t().telling.has_secret));
    let dynamic = read::flag(row, "/isDynamic");
    let dynamic = dynamic.then(|| badge(Tone::Plain, t().telling.by_itself));
    view! { <span class="row">{secret}{dynamic}</span> }.into_any()
}

fn add(changed: RwSignal<u32>) -> AnyView {
    let open = RwSignal::new(None::<()>);
    let made = RwSignal::new(None::<Value>);
    let content = move |()| {
        let fields = vec![
            Field::new("/name", t().name, Kind::Text)
                .required()
                .hint(t().telling.client_name_hint),
            Field::new("/redirectUris", t().telling.redirect_uris, Kind::Lines)
                .hint(t().telling.redirect_uris_hint),
            Field::new("/uri", t().telling.client_uri, Kind::Text),
            Field::new("/isConfidential", t().telling.keeps_secret, Kind::Check)
                .hint(t().telling.keeps_secret_hint),
        ];
        let sent = send(move |value| async move {
            let reply = api::post(API, &value).await?;
            open.set(None);
            changed.update(|count| *count += 1);
            made.set(Some(reply.body));
            Ok(())
        });
        form(fields, t().telling.add_client, sent)
    };
    view! {
        <button type="button" class="primary" on:click=move |_| open.set(Some(()))>{t().telling.add_client}</button>
        {dialog(open, |()| t().telling.add_client.to_owned(), content)}
        {dialog(made, |of| read::text(of, "/client/name").to_owned(), |of| shown(&of))}
    }
    .into_any()
}

fn shown(made: &Value) -> AnyView {
    let id = read::text(made, "/client/id").to_owned();
    let secret = read::text(made, "/secret").to_owned();
    let secret = (!secret.is_empty()).then(|| {
        view! {
            {note(Tone::Warn, t().directory.shown_once)}
            {copy::secret(secret, t().directory.secret)}
        }
    });
    view! {
        <p>{t().telling.client_id_lead}</p>
        {copy::secret(id, t().telling.client_id)}
        {secret}
    }
    .into_any()
}
