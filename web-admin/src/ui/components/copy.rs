//! A text to be taken elsewhere.

use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen_futures::JsFuture;

use super::{
    icon::{Icon, icon},
    toast,
};
use crate::messages::t;

fn copy(text: String) {
    spawn_local(async move {
        let copied = JsFuture::from(window().navigator().clipboard().write_text(&text)).await;
        toast::show(if copied.is_ok() {
            t().copied
        } else {
            t().copy_failed
        });
    });
}

/// A button that copies `text`. `what`: what it is, for its name.
pub fn button(text: String, what: &str) -> AnyView {
    let label = format!("{} {what}", t().copy);
    let press = move |_| copy(text.clone());
    view! { <button type="button" class="icon" aria-label=label.clone() title=label on:click=press>{icon(Icon::Copy)}</button> }
        .into_any()
}

/// A button that says what it copies.
pub fn all(text: String, label: &'static str) -> AnyView {
    let press = move |_| copy(text.clone());
    view! { <button type="button" on:click=press>{icon(Icon::Copy)}{label}</button> }.into_any()
}

/// Something that is shown this once, such as a password that the server has made.
pub fn secret(text: String, what: &'static str) -> AnyView {
    view! {
        <div class="secret">
            <code>{text.clone()}</code>
            {button(text, what)}
        </div>
    }
    .into_any()
}
