//! What the server is doing, what has to be looked at, what there is, and what was changed last.

mod attention;
mod course;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    format, json as read,
    messages::t,
    ui::{
        components::{
            load::Loaded,
            page::{self, card},
            table::{List, table},
        },
        session::Session,
    },
};

pub fn page(session: &Session) -> AnyView {
    let live = session.may("server.see").then(course::live);
    let recent = session.may("audit.see").then(|| {
        let mut list = List::new(t().watching.recent_changes, "/audit", "/id");
        list.columns = super::audit::columns();
        list.rows = "8";
        list.is_whole = true;
        card(t().watching.recent_changes, "", table(list))
    });
    view! {
        {page::head(t().watching.overview, "", ().into_any())}
        {attention::view(session)}
        {live}
        {counts()}
        {recent}
    }
    .into_any()
}

/// How much there is of everything, with the way there.
fn counts() -> AnyView {
    let counts = [
        (t().domains, "/domains", "/admin/domains"),
        (t().accounts, "/accounts", "/admin/accounts"),
        (t().groups, "/groups", "/admin/groups"),
        (t().aliases, "/aliases", "/admin/aliases"),
        (t().lists, "/lists", "/admin/lists"),
    ];
    let figures = counts.map(|(label, address, page)| {
        let loaded = Loaded::of(format!("{address}?limit=1"));
        let total = |body: &Value| format::count(read::number(body, "/total").unwrap_or_default());
        let count = move || match loaded.answer.get() {
            Some(Ok(reply)) => total(&reply.body),
            _ => "–".to_owned(),
        };
        view! {
            <a class="card figure-card" href=page>
                <div class="figure-label">{label}</div>
                <div class="figure">{count}</div>
            </a>
        }
    });
    view! { <div class="cards">{figures.into_iter().collect_view()}</div> }.into_any()
}
