//! Typed calls that exist only in-process and are never reachable through JSON.

pub mod deliver;
pub mod imap_view;
pub mod origin;
pub mod outbound;
pub mod queue;
pub mod sts;
pub mod submit;
