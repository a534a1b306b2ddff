//! JMAP Mail (RFC 8621).

pub mod access;
pub mod bring_back;
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
pub mod undelete;
pub mod vacation;
pub mod view;
pub mod write;

/// Whether a keyword has the characters of one, in any letter case (RFC 8621 §4.1.1).
pub(crate) fn message_keyword(text: &str) -> bool {
    email::keyword(text).is_some()
}
