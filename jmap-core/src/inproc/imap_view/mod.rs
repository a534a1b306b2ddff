//! An account's mail as the older protocols see it: mailboxes whose messages have UIDs and a MODSEQ (RFC 9051 §2.3.1, RFC 7162).
//!
//! Holds: UIDs only grow, and a message keeps its own while it is in the mailbox; the MODSEQ is the account's one
//! sequence, which is the JMAP state too; what a call has answered is on disk. Sequence numbers are unknown here.
//! Other half: `adapters/imap` and `adapters/pop3` speak to clients; `mail::view` has the columns, `mail::write` the transactions.

mod acl;
mod copy;
mod mailboxes;
mod maildrop;
mod messages;
mod metadata;
mod read;
mod search;
mod structures;
mod turn;
mod types;
mod write;

pub use acl::AclEntry;
pub use copy::COPY_MESSAGES_MAX;
pub use metadata::{
    METADATA_ENTRIES_MAX, METADATA_NAME_OCTETS_MAX, METADATA_OCTETS_MAX, METADATA_VALUE_OCTETS_MAX,
};
pub use search::*;
pub(crate) use structures::Structures;
pub use types::*;

#[cfg(test)]
mod tests;
