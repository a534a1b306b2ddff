//! What touches the browser.

mod api;
mod components;
mod follow;
mod jmap;
mod pages;
mod palette;
mod passkey;
mod route;
mod session;
mod shell;
mod storage;
mod theme;
mod time;
mod ways;

use leptos::prelude::*;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::messages;

/// Called by the page's script once the module is there.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("lang", messages::tag());
    }
    leptos::mount::mount_to_body(App);
}

#[component]
fn App() -> impl IntoView {
    components::toast::provide();
    theme::provide();
    route::provide();
    session::provide();
    view! {
        {move || match session::current().get() {
            Some(session) => shell::shell(session),
            None => pages::sign_in::page(),
        }}
        {components::toast::view()}
    }
}
