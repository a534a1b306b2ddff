//! Signing in.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use crate::{
    json,
    messages::t,
    ui::{
        components::form::{Field, Kind, form, send},
        session,
    },
};

pub fn page() -> AnyView {
    document().set_title(&format!("{} – Posthorn", t().shell.sign_in));
    let fields = vec![
        Field::new("/name", t().shell.account_name, Kind::Username).required(),
        Field::new("/password", t().password, Kind::Password).required(),
    ];
    let sent = send(|value| async move {
        session::sign_in(json::text(&value, "/name"), json::text(&value, "/password")).await
    });
    let place = NodeRef::<leptos::html::Main>::new();
    Effect::new(move |_| {
        let first = place
            .get()
            .and_then(|place| place.query_selector("input").ok().flatten());
        if let Some(first) = first.and_then(|first| first.dyn_into::<HtmlElement>().ok()) {
            let _ = first.focus();
        }
    });
    view! {
        <main class="center" node_ref=place>
            <div class="card sign-in">
                <div class="brand">{crate::ui::shell::mark()}<h1>{t().shell.sign_in_title}</h1></div>
                {form(fields, t().shell.sign_in, sent)}
            </div>
        </main>
    }
    .into_any()
}
