//! Events: what has happened, for somebody outside who wants to know.
//!
//! Holds: nothing is in an event that is in a message, but for what its envelope and its trace have; an event has at most [`DATA_OCTETS_MAX`]
//! octets.
//! Other half: `queue` writes them down, the parts of the core where things happen tell them.

use std::fmt;

use minicbor::{Decode, Encode};
use serde_json::{Map, Value, json};

/// Octets of the data of one event.
pub const DATA_OCTETS_MAX: usize = 8 << 10;
/// Octets of one text in it.
const TEXT_OCTETS_MAX: usize = 400;
/// Recipients that one event names.
pub const RECIPIENTS_MAX: usize = 10;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $number:literal $variant:ident = $name:literal),* $(,)?) => {
        /// What has happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum EventKind { $($(#[doc = $doc])* #[n($number)] $variant),* }

        impl EventKind {
            pub const ALL: &[EventKind] = &[$(EventKind::$variant),*];

            /// As it is told: a noun, a dot, and what has become of it.
            pub const fn name(self) -> &'static str {
                match self { $(EventKind::$variant => $name),* }
            }

            /// What it means, for people.
            pub fn about(self) -> String {
                match self { $(EventKind::$variant => [$($doc.trim()),*].join(" ")),* }
            }

            pub fn parse(name: &str) -> Option<EventKind> {
                EventKind::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }
    };
}

kinds! {
    /// A message came from outside, and was kept or refused for each of its recipients.
    0 MessageReceived = "message.received",
    /// The queue has delivered a message to a recipient, or handed it to another server.
    1 MessageDelivered = "message.delivered",
    /// A recipient could not be delivered to for now; the queue tries again.
    2 MessageDeferred = "message.deferred",
    /// A recipient was refused, or given up: the sender is told.
    3 MessageBounced = "message.bounced",
    /// Somebody could not log in. Of many in a minute, not each is told: `omitted` has how many were not.
    4 LoginFailed = "login.failed",
    /// An account, a group, an alias or a list was made.
    5 AccountCreated = "account.created",
    /// An account, or what it logs in with, was changed.
    6 AccountChanged = "account.changed",
    /// An account was removed.
    7 AccountRemoved = "account.removed",
    /// A message was refused because an account has no room. It is told once an hour of each account.
    8 QuotaReached = "quota.reached",
    /// A certificate was ordered, and came.
    9 CertificateRenewed = "certificate.renewed",
    /// An order of a certificate has failed.
    10 CertificateFailed = "certificate.failed",
    /// A backup was made.
    11 BackupDone = "backup.done",
    /// A backup has failed.
    12 BackupFailed = "backup.failed",
    /// Something needs an administrator.
    13 AlertRaised = "alert.raised",
    /// It doesn't any more.
    14 AlertCleared = "alert.cleared",
    /// A network was banned: by a rule, or by an administrator. It ends by itself at `until`, which isn't told; of many in a minute, not
    /// each is told: `omitted` has how many were not.
    16 BanSet = "ban.set",
    /// An administrator has lifted a ban.
    17 BanLifted = "ban.lifted",
    /// An administrator tries the webhook.
    15 Test = "webhook.test",
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    pub data: Map<String, Value>,
}

impl Event {
    pub fn new(kind: EventKind) -> Event {
        Event {
            kind,
            data: Map::new(),
        }
    }

    /// With a member; texts are shortened.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Event {
        let value = match value.into() {
            Value::String(text) => json!(shortened(&text)),
            Value::Array(mut items) => {
                items.truncate(RECIPIENTS_MAX);
                for item in &mut items {
                    if let Value::String(text) = item {
                        *text = shortened(text);
                    }
                }
                Value::Array(items)
            }
            other => other,
        };
        self.data.insert(name.to_owned(), value);
        self
    }

    /// The same; nothing, if there is no value.
    pub fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Event {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Its data as JSON.
    pub(super) fn json(&self) -> String {
        let text = Value::Object(self.data.clone()).to_string();
        match text.len() <= DATA_OCTETS_MAX {
            true => text,
            false => "{}".to_owned(),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(TEXT_OCTETS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
