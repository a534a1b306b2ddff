//! Has whoever is signed in show once more who they are: a session alone takes no second factor away.
//!
//! Holds: what is typed goes into one request, and is kept nowhere. The fields are named otherwise than those of the page below.
//! Other half: `adapters/admin`, which asks for it (`confirmation-needed`).

use std::sync::Arc;

use leptos::prelude::*;
use serde_json::Value;

use crate::{
    json as read,
    messages::t,
    ui::{
        api,
        components::{
            dialog::dialog,
            form::{Field, Kind, form_around, send},
        },
        session,
    },
};

/// The field that a code comes in.
const CODE_FIELD: &str = "one-time-code";

/// What is to be done with the word of the person.
#[derive(Clone)]
pub struct Ask {
    pub title: &'static str,
    pub text: String,
    pub method: &'static str,
    pub address: String,
    /// Without a second factor it is the password that counts.
    pub takes_password: bool,
    pub done: Arc<dyn Fn(Value) + Send + Sync>,
}

/// Where it is asked for.
pub fn asking(open: RwSignal<Option<Ask>>) -> AnyView {
    let session = session::current();
    dialog(
        open,
        |ask| ask.title.to_owned(),
        move |ask| {
            let code = Field::new("/again/code", t().access.code_again, Kind::OneTimeCode);
            let fields = match ask.takes_password {
                true => vec![
                    Field::new("/again/password", t().password, Kind::Password),
                    code.hint(t().access.code_if_there_is),
                ],
                false => vec![code.required().hint(t().access.code_again_hint)],
            };
            let (title, text) = (ask.title, ask.text.clone());
            let sent = send(move |value| {
                let ask = ask.clone();
                let name = session.get_untracked().map(|session| session.name);
                async move {
                    let code = read::text(&value, "/again/code").replace(' ', "");
                    let mut call = api::Call::new(ask.method, &ask.address);
                    let password = read::text(&value, "/again/password");
                    if let Some(name) = name.filter(|_| !password.is_empty()) {
                        call = call.authorized(session::basic(&name, password));
                    }
                    if !code.is_empty() {
                        call = call.field(CODE_FIELD, &code);
                    }
                    let reply = call.send().await?;
                    open.set(None);
                    (ask.done)(reply.body);
                    Ok(())
                }
            });
            // For what keeps passwords: whose it is.
            let whose = session.get_untracked().map(|session| session.name);
            let lead = view! {
                <p>{text}</p>
                <input type="text" autocomplete="username" value=whose readonly hidden />
            };
            form_around(lead.into_any(), fields, ().into_any(), title, sent)
        },
    )
}
