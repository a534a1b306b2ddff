//! Signing in: a password, and a code for whoever has a second factor.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::{
    json,
    messages::t,
    ui::{
        components::form::{Field, Kind, form, form_around, send},
        session::{self, Needed},
    },
};

/// A code is asked for.
#[derive(Clone, PartialEq, Eq)]
struct Asked {
    name: String,
    /// Until the code is there.
    password: String,
}

pub fn page() -> AnyView {
    document().set_title(&format!("{} – Posthorn", t().shell.sign_in));
    let asked = RwSignal::new(None::<Asked>);
    let place = NodeRef::<leptos::html::Main>::new();
    Effect::new(move |_| {
        asked.track();
        let first = place
            .get()
            .and_then(|place| place.query_selector("input:not([hidden])").ok().flatten());
        if let Some(first) = first.and_then(|first| first.dyn_into::<HtmlElement>().ok()) {
            let _ = first.focus();
        }
    });
    let content = move || match asked.get() {
        None => by_password(asked),
        Some(now) => by_code(now, asked),
    };
    view! {
        <main class="center" node_ref=place>
            <div class="card sign-in">
                <div class="brand">{crate::ui::shell::mark()}<h1>{t().shell.sign_in_title}</h1></div>
                {content}
            </div>
        </main>
    }
    .into_any()
}

fn by_password(asked: RwSignal<Option<Asked>>) -> AnyView {
    let fields = vec![
        Field::new("/name", t().shell.account_name, Kind::Username).required(),
        Field::new("/password", t().password, Kind::Password).required(),
    ];
    let sent = send(move |value| async move {
        let name = json::text(&value, "/name").to_owned();
        let password = json::text(&value, "/password").to_owned();
        let needed = session::sign_in(&name, &password, "").await?;
        if needed != Needed::Nothing {
            asked.set(Some(Asked { name, password }));
        }
        Ok(())
    });
    form(fields, t().shell.sign_in, sent)
}

fn by_code(now: Asked, asked: RwSignal<Option<Asked>>) -> AnyView {
    let text = view! { <p>{t().shell.code_lead}</p> }.into_any();
    let fields = vec![Field::new("/code", t().access.code, Kind::OneTimeCode).required()];
    let sent = send(move |value| {
        let now = now.clone();
        async move {
            let code = json::text(&value, "/code").replace(' ', "");
            session::sign_in(&now.name, &now.password, &code).await?;
            Ok(())
        }
    });
    let back = move |_| asked.set(None);
    let form = form_around(text, fields, ().into_any(), t().shell.sign_in, sent);
    view! {
        {form}
        <div class="actions below-facts"><button type="button" class="quiet" on:click=back>{t().shell.other_account}</button></div>
    }
    .into_any()
}
