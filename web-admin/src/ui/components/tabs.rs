//! Tabs (WAI-ARIA Authoring Practices): arrow keys go from one to the next.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

/// `tabs`: (name in the address, label, content), at least one.
pub fn tabs(label: &'static str, tabs: Vec<(&'static str, &'static str, ViewFn)>) -> AnyView {
    let first = tabs.first().map_or("", |(name, ..)| name);
    let asked = crate::ui::route::current().get_untracked().parameter("tab");
    let known = tabs.iter().find(|(name, ..)| *name == asked);
    let chosen = RwSignal::new(known.map_or(first, |(name, ..)| name));
    let names: Vec<&'static str> = tabs.iter().map(|(name, ..)| *name).collect();
    let choose = move |name: &'static str| {
        chosen.set(name);
        let path = window().location().pathname().unwrap_or_default();
        crate::ui::route::note(&format!("{path}?tab={name}"));
    };
    let key = move |event: KeyboardEvent| {
        let count = names.len();
        let at = names
            .iter()
            .position(|name| *name == chosen.get_untracked())
            .unwrap_or(0);
        let next = match event.key().as_str() {
            "ArrowRight" => (at + 1) % count,
            "ArrowLeft" => (at + count - 1) % count,
            "Home" => 0,
            "End" => count - 1,
            _ => return,
        };
        event.prevent_default();
        if let Some(name) = names.get(next) {
            choose(name);
            let element = document().get_element_by_id(&format!("tab-{name}"));
            if let Some(element) =
                element.and_then(|element| element.dyn_into::<HtmlElement>().ok())
            {
                let _ = element.focus();
            }
        }
    };
    let buttons = tabs.iter().map(|(name, label, _)| {
        let (name, label) = (*name, *label);
        let is_chosen = move || chosen.get() == name;
        view! {
            <button type="button" role="tab" id=format!("tab-{name}") aria-controls="tab-panel"
                aria-selected=move || if is_chosen() { "true" } else { "false" }
                tabindex=move || if is_chosen() { "0" } else { "-1" }
                on:click=move |_| choose(name)>{label}</button>
        }
    });
    let buttons = buttons.collect_view();
    let content = move || {
        let chosen = chosen.get();
        let found = tabs.iter().find(|(name, ..)| *name == chosen);
        found.map(|(.., content)| content.run())
    };
    view! {
        <div class="tabs" role="tablist" aria-label=label on:keydown=key>{buttons}</div>
        <div role="tabpanel" id="tab-panel" aria-labelledby=move || format!("tab-{}", chosen.get())>{content}</div>
    }
    .into_any()
}
