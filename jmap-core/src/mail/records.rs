//! What the store keeps of JMAP Mail.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default.
//! Other half: `golden.rs` has the bytes of every version.

use minicbor::{Decode, Encode};
use store::Record;

/// An Email of an account. What is in the message itself is in its summary, by blob hash.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EmailRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub blob: [u8; 32],
    #[n(1)]
    pub thread: u64,
    /// Seconds since 1970.
    #[n(2)]
    pub received_at: i64,
    /// Octets of the message.
    #[n(3)]
    pub size: u64,
    #[n(4)]
    pub mailboxes: Vec<InMailbox>,
    /// In lower case, sorted.
    #[n(5)]
    pub keywords: Vec<String>,
    /// The transaction that created it.
    #[n(6)]
    pub created_seq: u64,
    /// The transaction that last changed it: its MODSEQ.
    #[n(7)]
    pub modseq: u64,
    /// Seconds since 1970, by the Date field.
    #[n(8)]
    pub sent_at: Option<i64>,
    #[n(9)]
    pub has_attachment: bool,
}

/// An email's place in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct InMailbox {
    #[n(0)]
    pub mailbox: u64,
    /// IMAP's UID, given when the email came into the mailbox.
    #[n(1)]
    pub uid: u32,
    /// When it came in, seconds since 1970 (RFC 8514 SAVEDATE).
    #[n(2)]
    pub saved_at: i64,
}

impl Record for EmailRecord {
    const KIND: &'static str = "email";
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MailboxRecord {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub parent: Option<u64>,
    /// In lower case, of the IANA registry.
    #[n(2)]
    pub role: Option<String>,
    #[n(3)]
    pub sort_order: u32,
    #[n(4)]
    pub is_subscribed: bool,
    #[n(5)]
    pub share_with: Vec<Grant>,
    #[n(6)]
    pub uid_validity: u32,
}

impl MailboxRecord {
    pub fn is_inbox(&self) -> bool {
        self.role.as_deref() == Some("inbox")
    }
}

/// Rights on one mailbox for one account or group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    #[n(0)]
    pub account: u64,
    /// Bits of `access::MailboxRights`.
    #[n(1)]
    pub rights: u16,
    /// The grantee's own subscription to it.
    #[n(2)]
    pub is_subscribed: bool,
}

impl Record for MailboxRecord {
    const KIND: &'static str = "mailbox";
}
