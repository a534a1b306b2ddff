//! What the browser keeps for us.
//!
//! Holds: a browser that keeps nothing costs what would be kept, and nothing else.

use leptos::prelude::window;
use web_sys::Storage;

/// As long as the tab is open.
pub fn session() -> Option<Storage> {
    window().session_storage().ok().flatten()
}

/// For the next visits as well.
pub fn local() -> Option<Storage> {
    window().local_storage().ok().flatten()
}
