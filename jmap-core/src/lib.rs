//! What the JMAP methods mean: the canonical core that every protocol translates to.
//!
//! Holds: typed calls only, no JSON envelope; access is decided here and nowhere else.
//! Other half: `jmap-types` has the calls, `store` keeps what they change.

pub mod access;
pub mod accounts;
pub mod admin;
pub mod alert;
pub mod auth;
pub mod bans;
pub mod blob;
pub mod bus;
pub mod caller;
pub mod clock;
pub mod cluster;
mod core;
#[cfg(test)]
mod corpus;
pub mod directory;
mod echo;
pub mod error;
pub mod inproc;
pub mod limits;
pub mod mail;
pub mod metrics;
pub mod object;
pub mod push;
pub mod quota;
pub mod reports;
pub mod rng;
pub mod sessions;
pub mod settings;
pub mod span;
mod states;
pub mod trace;
pub mod webhook;
pub mod work;

pub use self::core::{Context, Core, Handle, Parts};
pub use caller::{Caller, Role, Way};
pub use limits::Limits;
