//! Light, dark, or as the system has it.
//!
//! Other half: `static/boot.js` sets it before the module is there.

use leptos::prelude::*;

use super::storage;

const KEY: &str = "posthorn.theme";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

#[derive(Clone, Copy)]
struct Context(RwSignal<Theme>);

pub fn provide() {
    let kept = storage::local().and_then(|storage| storage.get_item(KEY).ok().flatten());
    let theme = Theme::ALL
        .into_iter()
        .find(|theme| kept.as_deref() == Some(theme.name()));
    provide_context(Context(RwSignal::new(theme.unwrap_or(Theme::System))));
}

pub fn current() -> RwSignal<Theme> {
    expect_context::<Context>().0
}

pub fn set(signal: RwSignal<Theme>, theme: Theme) {
    signal.set(theme);
    if let Some(root) = document().document_element() {
        let _ = match theme {
            Theme::System => root.remove_attribute("data-theme"),
            _ => root.set_attribute("data-theme", theme.name()),
        };
    }
    if let Some(storage) = storage::local() {
        let _ = match theme {
            Theme::System => storage.remove_item(KEY),
            _ => storage.set_item(KEY, theme.name()),
        };
    }
}
