//! What the store keeps of webhooks.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default; a secret is shown by nothing.
//! Other half: `tests` has the bytes of every version.

use std::fmt;

use minicbor::{Decode, Encode, bytes::ByteVec};
use store::Record;

use super::EventKind;

/// Somebody who is told of events.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct WebhookRecord {
    #[n(0)]
    pub url: String,
    #[n(1)]
    pub description: String,
    /// What signs what is sent: 24 to 64 octets.
    #[n(2)]
    pub secret: ByteVec,
    /// Empty: all of them.
    #[n(3)]
    pub events: Vec<EventKind>,
    /// Nothing is sent.
    #[n(4)]
    pub disabled: bool,
    /// Why, where it wasn't an administrator.
    #[n(5)]
    pub disabled_reason: Option<String>,
    /// Since when nothing has arrived, in milliseconds since 1970.
    #[n(6)]
    pub failing_since: Option<i64>,
    /// Seconds since 1970.
    #[n(7)]
    pub created: i64,
}

impl fmt::Debug for WebhookRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRecord")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Record for WebhookRecord {
    const KIND: &'static str = "webhook";
}

/// An event on its way to a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DueRecord {
    #[n(0)]
    pub kind: EventKind,
    /// When it happened, in milliseconds since 1970.
    #[n(1)]
    pub at: i64,
    /// A JSON object.
    #[n(2)]
    pub data: String,
    /// Tries that have failed.
    #[n(3)]
    pub attempts: u32,
}

impl Record for DueRecord {
    const KIND: &'static str = "webhook event";
}

/// What came of the last try.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DoneRecord {
    #[n(0)]
    pub kind: EventKind,
    /// When the event happened, in milliseconds since 1970.
    #[n(1)]
    pub at: i64,
    /// When it was tried last, in milliseconds since 1970.
    #[n(2)]
    pub tried: i64,
    #[n(3)]
    pub attempts: u32,
    /// The status of the answer.
    #[n(4)]
    pub status: Option<u16>,
    /// Why there was none, or why it wasn't good.
    #[n(5)]
    pub problem: Option<String>,
    /// When it is tried again, in milliseconds since 1970. `None`: it arrived, or was given up.
    #[n(6)]
    pub next_try: Option<i64>,
    #[n(7)]
    pub delivered: bool,
}

impl Record for DoneRecord {
    const KIND: &'static str = "webhook delivery";
}
