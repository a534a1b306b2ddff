//! Email (RFC 8621 §4).
//! Holds: what a list shows comes from the view, the record and the summary; a message's octets are
//! read only for what they alone hold; one damaged email never hides another.
//! Other half: `message` understands messages, `write` has the transactions, `view` the columns.

mod budget;
mod copy;
mod create;
mod draft;
mod get;
pub(crate) mod import;
mod metadata;
mod parse;
mod plan;
pub(crate) mod read;
mod render;
mod set;
mod summaries;

#[cfg(test)]
pub(crate) mod tests;

use jmap_types::{mail::Email, value::Map};

use crate::{
    Context,
    object::{SetObject, Staged},
};

pub(in crate::mail) use metadata::keyword;
pub(crate) use metadata::keyword as valid_keyword;
pub(in crate::mail) use parse::{read_blob, summary_of};
pub use read::{Original, message_octets};
pub(in crate::mail) use set::keywords_after;
pub use summaries::{SUMMARY_OCTETS_MAX, Summaries};

/// Octets from which on work leaves the network's threads alone.
const INLINE_OCTETS: usize = 1 << 20;

/// Stages a patch of one email's keywords and mailboxes, with the checks of Email/set.
pub async fn update_email(context: &Context, id: u64, patch: Map) -> Staged<Option<Map>> {
    Email::update(context, &(), id, patch).await
}

/// Does `work` on octets: large ones in a thread of their own.
/// `None`: the process is stopping, or the work failed.
pub(crate) async fn with_octets<T: Send + 'static>(
    octets: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if octets <= INLINE_OCTETS {
        return Some(work());
    }
    tokio::task::spawn_blocking(work).await.ok()
}
