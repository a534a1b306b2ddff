//! What the store keeps of an EmailSubmission.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default.
//! Other half: `tests` has the bytes of every version.

use jmap_types::Value;
use minicbor::{Decode, Encode};
use store::{Record, keys::BlobHash};

use jmap_types::value::{Map, key, string};

use crate::inproc::origin::Author;

/// An EmailSubmission, and the place of a message in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SubmissionRecord {
    #[n(0)]
    pub identity: u64,
    #[n(1)]
    pub email: u64,
    #[n(2)]
    pub thread: u64,
    /// An empty address is the null reverse-path.
    #[n(3)]
    pub mail_from: EnvelopeAddress,
    #[n(4)]
    pub recipients: Vec<RecipientRecord>,
    /// Seconds since 1970.
    #[n(5)]
    pub send_at: i64,
    #[n(6)]
    pub undo_status: UndoStatus,
    /// The octets that are sent. A reference keeps them until the queue is done with them.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub blob: BlobHash,
    /// Milliseconds since 1970: the time in the key of its row of the queue. 0: it has none.
    #[n(8)]
    pub due: u64,
    /// How often the queue has tried.
    #[n(9)]
    pub attempts: u32,
    /// DSNs that came for it.
    #[n(10)]
    pub dsns: Vec<BlobRecord>,
    #[n(11)]
    pub mdns: Vec<BlobRecord>,
    /// No client sees it: the server's own mail, or one whose record was destroyed.
    #[n(12)]
    pub is_hidden: bool,
    /// The queue is done with it and has let go of the blob.
    #[n(13)]
    pub is_done: bool,
    /// Accounts here that have it, while the queue is not done.
    #[n(14)]
    pub delivered_to: Vec<u64>,
    /// When the server took it, in seconds since 1970; `None` in records from before it was noted.
    #[n(15)]
    pub arrived: Option<i64>,
    /// Octets of the message; `None` in records from before they were noted.
    #[n(16)]
    pub size: Option<u64>,
    /// The last hosts that were tried, oldest first: at most [`HISTORY_MAX`].
    #[n(17)]
    pub history: Option<Vec<HostRecord>>,
    /// Of a message that is passed on: who vouches for its author. `None`: nobody.
    #[n(18)]
    pub author: Option<Author>,
    /// An administrator holds it back. Nothing of it is tried, and it doesn't expire, until it is released.
    #[n(19)]
    pub on_hold: Option<OnHold>,
}

/// The time in the row of what nothing is done about by itself: it is on hold.
pub const DUE_NEVER: u64 = u64::MAX;

/// What is known of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OnHold {
    /// Milliseconds since 1970.
    #[n(0)]
    pub since: i64,
    /// When it was due before, in milliseconds since 1970.
    #[n(1)]
    pub due: u64,
}

/// Hosts of the last tries that a record keeps.
pub const HISTORY_MAX: usize = 24;
/// Octets of one text of theirs.
pub const HISTORY_TEXT_MAX: usize = 400;

/// A host that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct HostRecord {
    /// Milliseconds since 1970.
    #[n(0)]
    pub when: i64,
    /// Where the recipients are.
    #[n(1)]
    pub domain: String,
    #[n(2)]
    pub host: String,
    #[n(3)]
    pub address: Option<String>,
    /// In what way the connection was encrypted; `None`: it was not.
    #[n(4)]
    pub tls: Option<String>,
    #[n(5)]
    pub result: String,
}

impl Record for SubmissionRecord {
    const KIND: &'static str = "submission";
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum UndoStatus {
    #[default]
    #[n(0)]
    Pending,
    #[n(1)]
    Final,
    #[n(2)]
    Canceled,
}

impl UndoStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Final => "final",
            Self::Canceled => "canceled",
        }
    }
}

/// The name of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BlobRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub hash: BlobHash,
}

/// An address of the envelope (RFC 8621 §7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct EnvelopeAddress {
    #[n(0)]
    pub email: String,
    /// `None`: none were given.
    #[n(1)]
    pub parameters: Option<Vec<Parameter>>,
}

/// A parameter of MAIL or RCPT (RFC 5321 §4.1.2), decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Parameter {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub value: Option<String>,
}

impl EnvelopeAddress {
    pub fn plain(email: impl Into<String>) -> Self {
        Self {
            email: email.into(),
            parameters: None,
        }
    }

    /// The value of a parameter, by its name in any letter case.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters
            .iter()
            .flatten()
            .find(|parameter| parameter.name.eq_ignore_ascii_case(name))
    }

    pub fn to_value(&self) -> Value {
        let parameters = match &self.parameters {
            None => Value::Null,
            Some(list) => Value::Object(
                list.iter()
                    .map(|parameter| {
                        let value = parameter.value.clone().map_or(Value::Null, string);
                        (key(parameter.name.clone()), value)
                    })
                    .collect(),
            ),
        };
        let mut map = Map::with_capacity(2);
        map.insert(key("email"), string(self.email.clone()));
        map.insert(key("parameters"), parameters);
        Value::Object(map)
    }
}

/// A recipient, and what became of the message for it (RFC 8621 §7 DeliveryStatus).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RecipientRecord {
    #[n(0)]
    pub address: EnvelopeAddress,
    #[n(1)]
    pub delivered: Delivered,
    #[n(2)]
    pub smtp_reply: String,
    /// Whether an MDN has said so.
    #[n(3)]
    pub is_displayed: bool,
    /// How often it was tried; `None`: never, or in a record from before it was counted.
    #[n(4)]
    pub attempts: Option<u32>,
    /// Milliseconds since 1970: not before then, while it waits. `None`: as soon as the submission is due.
    #[n(5)]
    pub next_try: Option<u64>,
    /// Milliseconds since 1970.
    #[n(6)]
    pub last_try: Option<i64>,
    /// The host that gave the reply; `None`: it is ours.
    #[n(7)]
    pub remote: Option<String>,
    /// `Some(true)`: the sender was told that it takes long.
    #[n(8)]
    pub told_delay: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Delivered {
    #[default]
    #[n(0)]
    Queued,
    #[n(1)]
    Yes,
    #[n(2)]
    No,
    #[n(3)]
    Unknown,
}

impl Delivered {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// What is said of a recipient that the queue has not looked at yet.
pub const QUEUED: &str = "250 2.0.0 Queued";
/// What is said of one who waited when the sender took the message back.
pub const CANCELED: &str = "554 5.7.0 The message was canceled by its sender";

impl RecipientRecord {
    pub fn new(address: EnvelopeAddress) -> Self {
        Self {
            address,
            delivered: Delivered::Queued,
            smtp_reply: QUEUED.to_owned(),
            ..Self::default()
        }
    }

    fn to_value(&self) -> Value {
        let displayed = if self.is_displayed { "yes" } else { "unknown" };
        let mut map = Map::with_capacity(3);
        map.insert(key("smtpReply"), string(self.smtp_reply.clone()));
        map.insert(key("delivered"), string(self.delivered.as_str()));
        map.insert(key("displayed"), string(displayed));
        Value::Object(map)
    }
}

impl SubmissionRecord {
    /// Whether some recipient still waits for the message.
    pub fn is_open(&self) -> bool {
        self.recipients
            .iter()
            .any(|recipient| recipient.delivered == Delivered::Queued)
    }

    /// RFC 8621 §7: its sender takes it back. Who waits for it doesn't get it, and isn't `queued` any more.
    pub fn cancel(&mut self) {
        self.undo_status = UndoStatus::Canceled;
        let waits = |recipient: &&mut RecipientRecord| recipient.delivered == Delivered::Queued;
        for recipient in self.recipients.iter_mut().filter(waits) {
            recipient.delivered = Delivered::No;
            recipient.smtp_reply = CANCELED.to_owned();
            recipient.remote = None;
            recipient.next_try = None;
        }
    }

    /// When the server took it, in seconds since 1970.
    pub fn arrived(&self) -> i64 {
        self.arrived.unwrap_or(self.send_at)
    }

    /// Remembers a host that was tried, and forgets the oldest when there are too many.
    pub fn remember(&mut self, mut host: HostRecord) {
        let texts = [&mut host.domain, &mut host.host, &mut host.result];
        for text in texts.into_iter().chain(&mut host.tls) {
            text.truncate(text.floor_char_boundary(HISTORY_TEXT_MAX));
        }
        let history = self.history.get_or_insert_default();
        history.push(host);
        let more = history.len().saturating_sub(HISTORY_MAX);
        history.drain(..more);
    }

    pub fn envelope_value(&self) -> Value {
        let recipients = self
            .recipients
            .iter()
            .map(|recipient| recipient.address.to_value())
            .collect();
        let mut map = Map::with_capacity(2);
        map.insert(key("mailFrom"), self.mail_from.to_value());
        map.insert(key("rcptTo"), Value::Array(recipients));
        Value::Object(map)
    }

    pub fn delivery_status_value(&self) -> Value {
        let each = self
            .recipients
            .iter()
            .map(|r| (key(r.address.email.clone()), r.to_value()));
        Value::Object(each.collect())
    }
}
