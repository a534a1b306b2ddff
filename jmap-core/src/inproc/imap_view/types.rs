//! What the calls take and answer.

use std::sync::Arc;

use bytes::Bytes;
use jmap_types::AccountId;

pub use crate::mail::{
    message::WireStructure,
    view::{Difference, UidList},
};
use crate::{access::MailboxRights, mail::message::Summary};

/// An account whose mailboxes the caller sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewAccount {
    pub id: AccountId,
    /// The login name: what its part of the namespace is called.
    pub name: String,
    pub is_own: bool,
}

/// A mailbox of one account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MailboxKey {
    pub account: AccountId,
    pub mailbox: u64,
}

/// A mailbox in its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewMailbox {
    pub key: MailboxKey,
    /// Of this level alone.
    pub name: String,
    /// A mailbox that the caller sees as well.
    pub parent: Option<u64>,
    /// In lower case (RFC 8621 §2).
    pub role: Option<String>,
    pub sort_order: u32,
    /// The caller's own subscription.
    pub is_subscribed: bool,
    pub rights: MailboxRights,
    pub uid_validity: u32,
}

/// What STATUS tells. To these protocols, a message with `\Deleted` is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewStatus {
    pub messages: u32,
    pub unseen: u32,
    pub deleted: u32,
    /// Octets of all messages.
    pub size: u64,
    /// Octets of those with `\Deleted`.
    pub deleted_size: u64,
    pub uid_validity: u32,
    pub uid_next: u32,
    pub highest_modseq: u64,
}

/// What SELECT needs.
#[derive(Clone, Debug)]
pub struct Opened {
    pub status: ViewStatus,
    pub rights: MailboxRights,
    /// UID and email, in UID order; shared with all who have opened it.
    pub messages: UidList,
    /// Keywords in use in the mailbox, sorted; `$seen` and the like among them.
    pub keywords: Vec<Arc<str>>,
    /// The first message that is not `$seen`.
    pub first_unseen_uid: Option<u32>,
    /// The account's sequence that all this is the picture of.
    pub sequence: u64,
}

/// What happened in a mailbox after a sequence.
#[derive(Clone, Debug)]
pub struct MailboxDelta {
    /// What is known now.
    pub sequence: u64,
    pub highest_modseq: u64,
    pub uid_next: u32,
    pub rights: MailboxRights,
    /// New or changed messages, in UID order.
    pub rows: Vec<ViewRow>,
    /// All that is there now: what was there before and isn't among it is gone.
    pub messages: UidList,
}

/// What annotations are of (RFC 5464 §3.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataOf {
    Server,
    Mailbox(MailboxKey),
}

/// An annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// In lower case, such as `/private/comment`.
    pub entry: String,
    pub value: Bytes,
}

/// A message in a mailbox.
#[derive(Clone, Debug)]
pub struct ViewRow {
    pub uid: u32,
    pub email: u64,
    pub thread: u64,
    pub modseq: u64,
    /// Octets.
    pub size: u32,
    /// Seconds since 1970.
    pub received_at: i64,
    /// When it came into this mailbox (RFC 8514).
    pub saved_at: i64,
    /// By its Date field.
    pub sent_at: Option<i64>,
    /// `\Deleted`, which a message has in one mailbox.
    pub is_deleted: bool,
    /// In lower case, sorted; rows with the same ones share them.
    pub keywords: Arc<[Arc<str>]>,
}

/// What is wanted of messages, beyond their rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// ENVELOPE, BODY and BODYSTRUCTURE.
    pub structure: bool,
    pub summary: bool,
    pub octets: bool,
}

#[derive(Clone, Debug)]
pub struct ViewMessage {
    pub email: u64,
    /// The hash of its octets.
    pub blob: [u8; 32],
    pub structure: Option<Arc<WireStructure>>,
    pub summary: Option<Arc<Summary>>,
    pub octets: Option<Bytes>,
}

/// What a POP3 session works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maildrop {
    pub key: MailboxKey,
    pub uid_validity: u32,
    /// In UID order.
    pub messages: Vec<MaildropMessage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaildropMessage {
    pub uid: u32,
    pub email: u64,
    /// Octets.
    pub size: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagChange {
    Replace,
    Add,
    Remove,
}

/// STORE.
#[derive(Clone, Debug)]
pub struct StoreFlags {
    pub mailbox: MailboxKey,
    pub emails: Vec<u64>,
    pub change: FlagChange,
    /// In lower case.
    pub keywords: Vec<String>,
    /// `\Deleted` is among the flags.
    pub deleted: bool,
    /// RFC 7162 §3.1.3: messages that changed after this stay as they are.
    pub unchanged_since: Option<u64>,
}

/// The outcome of a STORE. Messages that are gone are in neither list.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// As they are now, in the order that was given.
    pub rows: Vec<ViewRow>,
    /// Emails that had changed.
    pub modified: Vec<u64>,
}

/// A message to be filed as it is.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub octets: Bytes,
    /// In lower case.
    pub keywords: Vec<String>,
    pub deleted: bool,
    /// Seconds since 1970; `None`: now.
    pub received_at: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub uid_validity: u32,
    /// In the order of the messages.
    pub uids: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Of the target.
    pub uid_validity: u32,
    /// The UIDs in the source and in the target, in the order that was given. Messages that are gone are not there.
    pub pairs: Vec<(u32, u32)>,
}

/// Why a call fails. Adapters map every variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    #[error("there is such a mailbox already")]
    AlreadyExists,
    #[error("the mailbox has others below it")]
    HasChildren,
    /// What may not be done.
    #[error("{0}")]
    Forbidden(String),
    /// What can't be done with these arguments.
    #[error("{0}")]
    Invalid(String),
    #[error("the account has no room for it")]
    OverQuota,
    #[error("the message is larger than {0} octets")]
    TooLarge(u64),
    /// RFC 5464 §4.3: what an annotation may have, in octets.
    #[error("the annotation is larger than {0} octets")]
    AnnotationTooLarge(u64),
    #[error("there are too many annotations")]
    TooManyAnnotations,
    /// A limit of the server.
    #[error("{0}")]
    Limit(&'static str),
    /// Concurrent changes won too often, or the server has no room: later it may work.
    #[error("the server can't do it at the moment")]
    Unavailable,
    /// The store failed.
    #[error("the server failed")]
    Failed,
}
