//! JMAP Mail (RFC 8621).

pub mod access;
pub mod email;
pub mod forward;
pub mod identity;
pub mod mailbox;
pub mod mdn;
pub mod message;
pub mod query;
pub mod records;
pub mod search;
pub mod search_snippet;
pub mod sieve;
pub mod submission;
pub mod thread;
pub mod vacation;
pub mod view;
pub mod write;
