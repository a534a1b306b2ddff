//! Inbound mail: who a recipient is, and the delivery of a message to recipients.
//!
//! Holds: when a delivery returns `Ok`, the message is on disk for that recipient, once and
//! whole; a message for many recipients is stored once.
//! Other half: `adapters/smtp` speaks SMTP and LMTP and calls this.

use std::net::IpAddr;

use bytes::Bytes;
use jmap_types::AccountId;

/// A recipient that was found to be deliverable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// As the client wrote it, without angle brackets.
    pub address: String,
    /// The accounts that get the message.
    pub targets: Vec<AccountId>,
}

/// Why mail for an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// The domain isn't served here: 550 5.7.1, relaying denied.
    #[error("the domain is not served here")]
    NotLocal,
    /// 550 5.1.1
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// 550 5.2.1
    #[error("the mailbox is disabled")]
    Disabled,
    /// 452 4.2.2
    #[error("the mailbox is full")]
    OverQuota,
    /// 451 4.3.0: the store failed; the peer tries again.
    #[error("the mail system has a temporary failure")]
    Temporary,
}

/// A message that has arrived whole.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// `None`: the null reverse-path.
    pub mail_from: Option<String>,
    pub recipients: Vec<Recipient>,
    /// With the trace header fields that the receiving adapter put in front. CRLF line ends.
    pub message: Bytes,
    pub peer: Option<IpAddr>,
}

/// What became of a message for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// 452 4.2.2
    #[error("the mailbox is full")]
    OverQuota,
    /// 550 5.1.1: it went away since RCPT.
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// 452 4.3.1: no room, or the database is read-only.
    #[error("the mail system has no room")]
    NoRoom,
    /// 451 4.3.0
    #[error("the mail system has a temporary failure")]
    Temporary,
}
