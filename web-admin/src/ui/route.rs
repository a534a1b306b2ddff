//! Which page is shown: the address of the browser, and what follows a link.
//!
//! Holds: every page has an address of its own that can be opened, kept and gone back to.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Element, Event, HtmlAnchorElement, MouseEvent};

/// Path and query, such as `/admin/accounts` and `?q=anna`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    pub path: String,
    pub query: String,
}

impl Place {
    fn here() -> Self {
        let location = window().location();
        Self {
            path: location.pathname().unwrap_or_default(),
            query: location.search().unwrap_or_default(),
        }
    }

    /// The decoded parts of the path.
    pub fn parts(&self) -> Vec<String> {
        let parts = self.path.split('/').filter(|part| !part.is_empty());
        parts
            .map(|part| {
                let decoded = js_sys::decode_uri_component(part).map(String::from);
                decoded.unwrap_or_else(|_| part.to_owned())
            })
            .collect()
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> String {
        let parameters = web_sys::UrlSearchParams::new_with_str(&self.query).ok();
        parameters
            .and_then(|parameters| parameters.get(name))
            .unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Context(RwSignal<Place>);

thread_local! {
    /// For what runs outside of a view, such as what comes after an answer.
    static PLACE: std::cell::Cell<Option<RwSignal<Place>>> = const { std::cell::Cell::new(None) };
}

pub fn provide() {
    let place = RwSignal::new(Place::here());
    provide_context(Context(place));
    PLACE.set(Some(place));
    let back = Closure::<dyn Fn(Event)>::new(move |_| place.set(Place::here()));
    let click = Closure::<dyn Fn(MouseEvent)>::new(follow);
    let window = window();
    let _ = window.add_event_listener_with_callback("popstate", back.as_ref().unchecked_ref());
    let _ = window.add_event_listener_with_callback("click", click.as_ref().unchecked_ref());
    // As long as the page.
    back.forget();
    click.forget();
}

/// The page that is shown.
pub fn current() -> RwSignal<Place> {
    expect_context::<Context>().0
}

/// Shows another page.
pub fn go(address: &str) {
    if let Ok(history) = window().history() {
        let _ = history.push_state_with_url(&JsValue::NULL, "", Some(address));
    }
    arrive();
}

/// Shows another page in place of this one: the way back doesn't lead here.
pub fn replace(address: &str) {
    note(address);
    arrive();
}

/// Notes in the address how the page is looked at; it stays the same page.
pub fn note(address: &str) {
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(address));
    }
}

fn arrive() {
    if let Some(place) = PLACE.get() {
        place.set(Place::here());
    }
    window().scroll_to_with_x_and_y(0.0, 0.0);
}

/// A click on a link to one of our pages doesn't load the page anew. What asks for another tab, or for a file, is the browser's.
fn follow(event: MouseEvent) {
    let is_plain = event.button() == 0
        && !(event.ctrl_key() || event.meta_key() || event.shift_key() || event.alt_key());
    if event.default_prevented() || !is_plain {
        return;
    }
    let element = event
        .target()
        .and_then(|target| target.dyn_into::<Element>().ok());
    let link = element.and_then(|element| element.closest("a[href]").ok().flatten());
    let Some(link) = link.and_then(|link| link.dyn_into::<HtmlAnchorElement>().ok()) else {
        return;
    };
    let path = link.pathname();
    let is_ours = window()
        .location()
        .origin()
        .is_ok_and(|origin| origin == link.origin())
        && (path.starts_with("/admin/") || path.starts_with("/account/"));
    let is_page =
        link.target().is_empty() && !link.has_attribute("download") && link.hash().is_empty();
    if is_ours && is_page {
        event.prevent_default();
        go(&format!("{path}{}", link.search()));
    }
}
