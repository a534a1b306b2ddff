//! The pages, one file each, and which address is whose.

mod account;
mod admin;
mod common;
pub mod sign_in;

use leptos::prelude::*;

use super::{
    components::page,
    route,
    session::{Role, Session},
    shell,
};
use crate::messages::t;

/// The page at an address. `parts`: of its path.
pub fn page(session: &Session, parts: &[String]) -> AnyView {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["admin"] if session.role == Role::User => elsewhere(shell::home(session.role)),
        ["admin"] if session.role == Role::HelpDesk => elsewhere(shell::home(session.role)),
        ["admin"] => admin::overview::page(session),
        ["admin", "domains"] => admin::domains::page(session),
        ["admin", "domains", name] => admin::domains::one(session, name),
        ["admin", "accounts"] => admin::accounts::page(session),
        ["admin", "accounts", id] => admin::account::page(session, id),
        ["admin", "groups"] => admin::groups::page(session),
        ["admin", "groups", id] => admin::groups::one(session, id),
        ["admin", "aliases"] => admin::aliases::page(session),
        ["admin", "aliases", id] => admin::aliases::one(session, id),
        ["admin", "lists"] => admin::lists::page(session),
        ["admin", "lists", id] => admin::lists::one(session, id),
        ["admin", "setup"] => admin::setup::page(session),
        ["admin", "queue"] => admin::queue::page(session),
        ["admin", "queue", "messages", account, submission] => {
            admin::queue::one(session, account, submission)
        }
        ["admin", "traces"] => admin::traces::page(),
        ["admin", "traces", message_id] => admin::traces::one(message_id),
        ["admin", "reports"] => admin::reports::page(),
        ["admin", "server"] => admin::server::page(session),
        ["admin", "settings"] => admin::settings::page(session),
        ["admin", "certificates"] => admin::certificates::page(session),
        ["admin", "alerts"] => admin::alerts::page(session),
        ["admin", "sessions"] => admin::sessions::page(session),
        ["admin", "bans"] => admin::bans::page(session),
        ["admin", "logs"] => admin::logs::page(),
        ["admin", "webhooks"] => admin::webhooks::page(session),
        ["admin", "webhooks", number] => admin::webhooks::one(session, number),
        ["admin", "programs"] => admin::clients::page(session),
        ["admin", "audit"] => admin::audit::page(),
        ["account"] => account::overview::page(session),
        ["account", "security"] => account::security::page(session),
        ["account", "sessions"] => account::sessions::page(session),
        ["account", "phone"] => account::phone::page(),
        ["account", "forwarding"] => account::forwarding::page(session),
        ["account", "vacation"] => account::vacation::page(),
        ["account", "rules"] => account::rules::page(),
        ["account", "deleted"] => account::deleted::page(),
        _ => not_found(session.role),
    }
}

/// Goes on to another page.
fn elsewhere(address: &'static str) -> AnyView {
    leptos::task::spawn_local(async move { route::replace(address) });
    ().into_any()
}

fn not_found(role: Role) -> AnyView {
    let way = view! { <a class="button" href=shell::home(role)>{t().shell.to_start}</a> };
    view! {
        {page::head(t().shell.no_such_page, t().shell.no_such_page_lead, ().into_any())}
        {way}
    }
    .into_any()
}
