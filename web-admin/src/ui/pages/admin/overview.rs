//! What there is, in numbers, and what was changed last.

use leptos::prelude::*;

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
    let counts = [
        (t().domains, "/domains", "/admin/domains"),
        (t().accounts, "/accounts", "/admin/accounts"),
        (t().groups, "/groups", "/admin/groups"),
        (t().aliases, "/aliases", "/admin/aliases"),
        (t().lists, "/lists", "/admin/lists"),
    ];
    let figures = counts.map(|(label, address, page)| {
        let loaded = Loaded::of(format!("{address}?limit=1"));
        view! {
            <a class="card figure-card" href=page>
                <div class="figure">{move || loaded.answer.get().and_then(Result::ok).map(|reply| {
                    format::count(read::number(&reply.body, "/total").unwrap_or_default())
                }).unwrap_or_else(|| "–".into())}</div>
                <div class="figure-label">{label}</div>
            </a>
        }
    });
    let recent = session.may("audit.see").then(|| {
        let mut list = List::new(t().recent_changes, "/audit", "/id");
        list.columns = super::audit::columns();
        list.rows = "8";
        list.is_whole = true;
        card(t().recent_changes, "", table(list))
    });
    view! {
        {page::head(t().overview, "", ().into_any())}
        <div class="cards">{figures.into_iter().collect_view()}</div>
        {recent}
    }
    .into_any()
}
