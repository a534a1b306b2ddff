//! What the account logs in with: its password, and those of programs.

use leptos::prelude::*;

use crate::{
    messages::t,
    ui::{components::page, pages::admin::credentials, session::Session},
};

pub fn page(session: &Session) -> AnyView {
    view! {
        {page::head(t().own.security, t().own.security_lead, ().into_any())}
        {credentials::part(&session.account, &session.name, true)}
    }
    .into_any()
}
