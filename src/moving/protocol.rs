//! What is asked in a session of moving, over the control socket.
//!
//! Holds: a line of JSON each way, bounded; the octets of messages follow their line as they are. One question, one answer, in order; a
//! second question may be on its way while the first is answered.
//! Other half: `serve` answers, `session` asks.

use serde::{Deserialize, Serialize};

/// Longest line: a page of emails, or of what is known.
pub const LINE_OCTETS_MAX: u64 = 64 << 20;
/// Messages of one [`Ask::Put`].
pub const MESSAGES_MAX: usize = 64;
/// Octets of the messages of one [`Ask::Put`], beside the last of them.
pub const BATCH_OCTETS: u64 = 8 << 20;

/// A question. All but the first are about the account that the first has named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Ask {
    Account {
        name: String,
    },
    Mailbox {
        levels: Vec<String>,
        role: Option<String>,
        is_subscribed: bool,
    },
    Known {
        collection: String,
        after: Option<String>,
    },
    /// The octets of all of them follow.
    Put(Vec<PutItem>),
    Flags {
        collection: String,
        seen: Vec<FlagsItem>,
    },
    Forget,
    Mailboxes,
    Emails {
        after: u64,
    },
    Octets {
        hash: String,
    },
    Settings,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Account {
        name: String,
        message_octets_max: u64,
        keywords_max: u64,
    },
    Mailbox {
        id: u64,
        is_new: bool,
    },
    Known(Vec<KnownItem>),
    Put(Vec<Outcome>),
    Flags(u64),
    Forgotten,
    Mailboxes(Vec<MailboxItem>),
    Emails(Vec<EmailItem>),
    /// They follow. `None`: they are missing, or damaged.
    Octets(Option<u64>),
    Settings(Box<SettingsItem>),
    /// This alone can't be done.
    Refused(String),
    /// Nothing more can be done.
    Error(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PutItem {
    /// In hexadecimal, as `item`.
    pub collection: String,
    pub item: String,
    pub octets: u64,
    pub mailboxes: Vec<u64>,
    pub keywords: Vec<String>,
    pub is_deleted: bool,
    /// Seconds since 1970.
    pub received_at: Option<i64>,
    pub meeting: Meeting,
}

/// As in `jmap_core::inproc::import`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meeting {
    Separate,
    Join,
    Skip,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    New,
    Joined,
    Skipped,
    Known,
    Refused(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KnownItem {
    pub item: String,
    pub keywords: Vec<String>,
    pub is_deleted: bool,
}

pub type FlagsItem = KnownItem;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MailboxItem {
    pub id: u64,
    pub name: String,
    pub parent: Option<u64>,
    pub role: Option<String>,
    pub is_subscribed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EmailItem {
    pub id: u64,
    /// `None`: the record can't be read.
    pub email: Option<EmailRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EmailRow {
    /// Of its octets, in hexadecimal.
    pub hash: String,
    pub size: u64,
    /// Seconds since 1970.
    pub received_at: i64,
    pub keywords: Vec<String>,
    /// Mailbox, UID, and whether it has `\Deleted` there.
    pub places: Vec<(u64, u32, bool)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettingsItem {
    pub identities: Vec<IdentityItem>,
    pub vacation: Option<VacationItem>,
    pub scripts: Vec<ScriptItem>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityItem {
    pub name: String,
    pub email: String,
    pub reply_to: Option<Vec<AddressItem>>,
    pub bcc: Option<Vec<AddressItem>>,
    pub text_signature: String,
    pub html_signature: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressItem {
    pub name: Option<String>,
    pub email: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VacationItem {
    pub is_enabled: bool,
    /// Seconds since 1970.
    pub from_date: Option<i64>,
    pub to_date: Option<i64>,
    pub subject: Option<String>,
    pub text_body: Option<String>,
    pub html_body: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptItem {
    pub name: String,
    pub is_active: bool,
    pub script: String,
}
