//! Signing in: a password, and a code for whoever has a second factor; or a passkey, which is both.

use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlInputElement};

use crate::{
    json,
    messages::t,
    problem::Problem,
    ui::{
        components::{
            form::{Field, Kind, form, form_around, send},
            page::{Tone, note},
        },
        passkey,
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
    let name = Field::new("/name", t().shell.account_name, Kind::Username).required();
    let of_name = name.id();
    let fields = vec![
        name,
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
    let form = form(fields, t().shell.sign_in, sent);
    view! { {form} {by_passkey(of_name)} }.into_any()
}

/// The button for a passkey, where the browser has them. `field`: the id of the field for the name, which may be empty.
fn by_passkey(field: String) -> AnyView {
    if !passkey::are_there() {
        return ().into_any();
    }
    let problem = RwSignal::new(None::<Problem>);
    let busy = RwSignal::new(false);
    let press = move |_| {
        let name = document().get_element_by_id(&field);
        let name = name.and_then(|name| name.dyn_into::<HtmlInputElement>().ok());
        let name = name.map_or_else(String::new, |name| name.value().trim().to_owned());
        busy.set(true);
        problem.set(None);
        spawn_local(async move {
            let done = session::sign_in_by_passkey(&name).await;
            busy.try_set(false);
            problem.try_set(done.err());
        });
    };
    let refusal = move || {
        let problem = problem.get()?;
        Some(note(Tone::Bad, problem.detail))
    };
    view! {
        <p class="or">{t().shell.or}</p>
        {refusal}
        <div class="actions">
            <button type="button" disabled=move || busy.get() on:click=press>{t().shell.sign_in_by_passkey}</button>
        </div>
    }
    .into_any()
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
