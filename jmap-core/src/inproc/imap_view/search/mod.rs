//! SEARCH, SORT and THREAD (RFC 9051 §6.4.4, RFC 5256): all that looks into messages.
//!
//! Holds: a text is found wherever it stands in the decoded text that a key looks at, in any letter case
//! (i;unicode-casemap, RFC 5051); what is answered is in the order of the emails that were given.
//! Other half: `adapters/imap` says which emails are asked about, and numbers them.

mod condition;
mod keys;
mod run;
mod sort;
mod thread;

#[cfg(test)]
mod tests;

pub use condition::{AddressField, Condition, Span};
pub use run::Found;
pub use sort::{SortBy, SortKey};
pub use thread::{ThreadAlgorithm, ThreadNode};
