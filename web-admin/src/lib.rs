//! Posthorn's web console: what runs in the browser, at `/admin/` for administrators and at `/account/` for everybody.
//!
//! Holds: it has no rights of its own: whatever it shows or does, it asks the admin API or JMAP for, as the one who has signed in; it
//! loads nothing from elsewhere; all its texts are in [`messages`].
//! Other half: `adapters/admin` and `adapters/jmap` answer it, `adapters/console` serves it.

pub mod course;
pub mod events;
pub mod format;
pub mod json;
pub mod messages;
pub mod orders;
pub mod problem;
pub mod query;
#[cfg(target_arch = "wasm32")]
mod ui;
