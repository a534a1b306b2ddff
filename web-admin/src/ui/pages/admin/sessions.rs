//! Who is signed in now. The same for administrators, for an account, and for the account's own page.

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::t,
    query,
    ui::{
        api,
        components::{
            dialog::{Question, questions},
            page::{self, Tone, badge},
            table::{Column, List, table},
            toast,
        },
        pages::common,
        session::{self, Session},
    },
};

pub fn page(session: &Session) -> AnyView {
    let changed = RwSignal::new(0);
    let question = RwSignal::new(None::<Question>);
    let may_end = session.may("session.end");
    let mut list = list("/sessions", changed, question, may_end);
    let name = |row: &Value| {
        let address = common::of("/admin/accounts", read::text(row, "/account"));
        common::link(address, read::text(row, "/name"))
    };
    list.columns.insert(0, Column::new(t().account, name));
    let kinds = KINDS.map(|(kind, _)| (kind, kind_name(kind)));
    let all = std::iter::once(("", t().access.all_sessions));
    list.filters = vec![("kind", t().kind, all.chain(kinds).collect())];
    list.in_address = true;
    view! {
        {page::head(t().access.sessions, t().access.sessions_lead, ().into_any())}
        {table(list)}
        {questions(question)}
    }
    .into_any()
}

/// The sessions of an account. `address`: of the list; what has `/{id}` behind it ends one.
pub fn of_account(account: &str, list_address: String, may_end: bool) -> AnyView {
    let changed = RwSignal::new(0);
    let question = RwSignal::new(None::<Question>);
    let list = list(&list_address, changed, question, may_end);
    let all = may_end.then(|| {
        let address = format!("/accounts/{}/sessions", query::encode(account));
        let press = move |_| {
            let title = t().access.end_all;
            let text = t().access.end_all_question;
            question.set(Some(ending(title, text, address.clone(), changed)));
        };
        view! { <div class="actions"><button type="button" class="danger" on:click=press>{t().access.end_all}</button></div> }
    });
    view! { {table(list)} {all} {questions(question)} }.into_any()
}

fn list(
    address: &str,
    changed: RwSignal<u32>,
    question: RwSignal<Option<Question>>,
    may_end: bool,
) -> List {
    let mut list = List::new(t().access.sessions, address, "/id");
    list.columns = vec![
        Column::new(t().kind, |row| {
            let kind = badge(Tone::Plain, kind_name(read::text(row, "/kind")));
            let address = read::text(row, "/address").to_owned();
            view! { {kind}<div class="sub">{address}</div> }.into_any()
        }),
        Column::new(t().access.signed_in_with, with),
        Column::new(t().since, |row| page::date_at(row, "/since")),
        Column::new(t().access.last_active, |row| page::date_at(row, "/active")),
    ];
    if may_end {
        let base = address.split('?').next().unwrap_or_default().to_owned();
        let act = move |row: &Value| end(row, &base, changed, question);
        list.columns.push(Column::new("", act).class("act"));
    }
    list.empty = t().access.no_sessions;
    list.changed = changed;
    list.is_live = true;
    list
}

/// Kinds of sessions, as the API calls them, and their protocols.
const KINDS: [(&str, &str); 7] = [
    ("imap", "IMAP"),
    ("pop3", "POP3"),
    ("submission", ""),
    ("managesieve", "ManageSieve"),
    ("event-source", ""),
    ("websocket", "WebSocket"),
    ("http", ""),
];

fn kind_name(kind: &str) -> &'static str {
    match kind {
        "submission" => t().access.sent_by_submission,
        "event-source" => t().access.session_event_source,
        _ => {
            let known = KINDS.iter().find(|(of, _)| *of == kind);
            let name = known.map_or("", |(_, name)| *name);
            if name.is_empty() {
                t().access.session_api
            } else {
                name
            }
        }
    }
}

fn with(row: &Value) -> AnyView {
    let number = read::number(row, "/credential").unwrap_or_default();
    let is_current = session::is_credential(read::text(row, "/account"), number);
    let current = is_current.then(|| view! { " " {badge(Tone::Good, t().directory.this_session)} });
    let kind = match read::text(row, "/credentialKind") {
        "password" => t().password,
        "app-password" => t().directory.app_password,
        "token" => t().directory.token,
        "grant" => t().access.grant,
        "passkey" => t().access.passkey,
        _ => "",
    };
    let (text, sub) = match read::text(row, "/credentialDescription") {
        "" => (kind.to_owned(), ""),
        description => (description.to_owned(), kind),
    };
    let sub = (!sub.is_empty()).then(|| view! { <div class="sub">{sub}</div> });
    view! { {text}{current}{sub} }.into_any()
}

/// What signs in with each request has no connection that could be ended.
fn end(
    row: &Value,
    base: &str,
    changed: RwSignal<u32>,
    question: RwSignal<Option<Question>>,
) -> AnyView {
    if read::text(row, "/kind") == "http" {
        return ().into_any();
    }
    let address = common::of(base, read::text(row, "/id"));
    let press = move |_| {
        let text = t().access.end_question;
        let ending = ending(t().access.end, text, address.clone(), changed);
        question.set(Some(ending));
    };
    view! { <button type="button" class="small danger" on:click=press>{t().access.end}</button> }
        .into_any()
}

fn ending(
    title: &'static str,
    text: &'static str,
    address: String,
    changed: RwSignal<u32>,
) -> Question {
    Question::new(title, text, title, move || {
        let address = address.clone();
        async move {
            api::delete(&address).await?;
            toast::show(t().access.ended);
            changed.update(|count| *count += 1);
            Ok(())
        }
    })
}
