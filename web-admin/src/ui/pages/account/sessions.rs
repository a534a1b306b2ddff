//! Where the account is signed in.

use leptos::prelude::*;

use crate::{
    messages::t,
    ui::{components::page, pages::admin::sessions, session::Session},
};

pub fn page(session: &Session) -> AnyView {
    view! {
        {page::head(t().access.sessions, t().access.sessions_own_lead, ().into_any())}
        {sessions::of_account(&session.account, "/me/sessions".to_owned(), true)}
    }
    .into_any()
}
