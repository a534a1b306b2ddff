//! Typed calls that exist only in-process and are never reachable through JSON.

pub mod backup;
pub mod certificates;
pub mod deliver;
pub mod export;
pub mod imap_view;
pub mod import;
pub mod origin;
pub mod outbound;
pub mod queue;
pub mod sts;
pub mod submit;
