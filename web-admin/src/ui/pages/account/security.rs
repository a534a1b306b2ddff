//! What the account signs in with: its password, what is asked beside it, and what its programs have.

use leptos::prelude::*;

use super::{passkeys, second_factor};
use crate::{
    messages::t,
    ui::{components::page, pages::admin::credentials, session::Session},
};

pub fn page(session: &Session) -> AnyView {
    view! {
        {page::head(t().own.security, t().own.security_lead, ().into_any())}
        {credentials::part(&session.account, &session.name, true)}
        {second_factor::part()}
        {passkeys::part()}
    }
    .into_any()
}
