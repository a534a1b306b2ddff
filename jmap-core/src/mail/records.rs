//! What the store keeps of JMAP Mail.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default.
//! Other half: `tests` below has the bytes of every version.

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
    /// Where it is, with `\Deleted` or without; what JMAP shows is [`EmailRecord::places`].
    #[n(4)]
    pub all_places: Vec<InMailbox>,
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
    /// IMAP's `\Deleted`, which an email has in one mailbox.
    #[n(3)]
    #[cbor(default)]
    pub is_deleted: bool,
}

impl EmailRecord {
    /// RFC 8621 §4.1.1: where the email is for JMAP, which doesn't see what has `\Deleted`.
    pub fn places(&self) -> impl Iterator<Item = &InMailbox> {
        self.all_places.iter().filter(|place| !place.is_deleted)
    }

    /// An email that has `\Deleted` in all its mailboxes is not there for JMAP.
    pub fn is_visible(&self) -> bool {
        self.places().next().is_some()
    }
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

/// Annotations of one mailbox, or of the server (RFC 5464): those that are shared, or those of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct MetadataRecord {
    /// By name.
    #[n(0)]
    pub entries: Vec<MetadataEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MetadataEntry {
    /// In lower case, such as `/shared/comment`.
    #[n(0)]
    pub name: String,
    /// `None`: it was removed, which those who follow the changes are told.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Option<Vec<u8>>,
    /// The transaction that last changed it.
    #[n(2)]
    pub modseq: u64,
}

impl Record for MetadataRecord {
    const KIND: &'static str = "annotations";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_metadata() {
        let entry = |name: &str, value: Option<&[u8]>, modseq| MetadataEntry {
            name: name.to_owned(),
            value: value.map(<[u8]>::to_vec),
            modseq,
        };
        let record = MetadataRecord {
            entries: vec![
                entry("/shared/a", Some(&[0, 0xff]), 7),
                entry("/shared/b", None, 300),
            ],
        };
        let bytes = from_hex(
            "81 82 83 69 2f7368617265642f61 42 00ff 07 83 69 2f7368617265642f62 f6 19012c",
        );
        assert_eq!(record.to_bytes(), bytes);
        assert_eq!(MetadataRecord::from_bytes(b"", &bytes).unwrap(), record);
    }

    fn email() -> EmailRecord {
        EmailRecord {
            blob: [7; 32],
            thread: 2,
            received_at: 1_577_934_245,
            size: 300,
            all_places: vec![InMailbox {
                mailbox: 1,
                uid: 5,
                saved_at: 1_577_934_246,
                is_deleted: false,
            }],
            keywords: vec!["$seen".to_owned()],
            created_seq: 8,
            modseq: 9,
            sent_at: None,
            has_attachment: true,
        }
    }

    fn from_hex(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let octet = |pair: &[char]| {
            let text: String = pair.iter().collect();
            u8::from_str_radix(&text, 16).unwrap()
        };
        digits.chunks(2).map(octet).collect()
    }

    #[test]
    fn golden_email_of_before_deleted_was_known() {
        let bytes = from_hex(
            "8a 5820 0707070707070707070707070707070707070707070707070707070707070707 02 1a5e0d5da5 19012c
             81 83 01 05 1a5e0d5da6 81 65247365656e 08 09 f6 f5",
        );
        assert_eq!(EmailRecord::from_bytes(b"", &bytes).unwrap(), email());
    }

    #[test]
    fn golden_email() {
        let mut email = email();
        email.all_places[0].is_deleted = true;
        let bytes = from_hex(
            "8a 5820 0707070707070707070707070707070707070707070707070707070707070707 02 1a5e0d5da5 19012c
             81 84 01 05 1a5e0d5da6 f5 81 65247365656e 08 09 f6 f5",
        );
        assert_eq!(email.to_bytes(), bytes);
        assert_eq!(EmailRecord::from_bytes(b"", &bytes).unwrap(), email);
    }
}
