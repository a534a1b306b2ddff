//! What the store keeps of a ban.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option`.
//! Other half: `tests`, which has the bytes.

use minicbor::{Decode, Encode};
use store::Record;

/// A ban. Its network is in its key. It stays for a while after its end, so that the next one is longer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BanRecord {
    /// Milliseconds since 1970.
    #[n(0)]
    pub since: i64,
    /// `None`: until it is lifted.
    #[n(1)]
    pub until: Option<i64>,
    /// How often the network was banned, this time included.
    #[n(2)]
    pub times: u32,
    #[n(3)]
    pub rule: BanRule,
    /// For people.
    #[n(4)]
    pub reason: String,
    /// The name of the administrator who has made it.
    #[n(5)]
    pub by: Option<String>,
}

impl Record for BanRecord {
    const KIND: &'static str = "ban";
}

/// What has led to a ban.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum BanRule {
    /// Somebody has said so.
    #[n(0)]
    Administrator,
    #[n(1)]
    FailedLogins,
    #[n(2)]
    UnknownRecipients,
    #[n(3)]
    BadCommands,
    #[n(4)]
    Handshakes,
    #[n(5)]
    Probing,
}

impl BanRule {
    pub const ALL: [Self; 6] = [
        Self::Administrator,
        Self::FailedLogins,
        Self::UnknownRecipients,
        Self::BadCommands,
        Self::Handshakes,
        Self::Probing,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::FailedLogins => "failed-logins",
            Self::UnknownRecipients => "unknown-recipients",
            Self::BadCommands => "bad-commands",
            Self::Handshakes => "handshakes",
            Self::Probing => "probing",
        }
    }

    /// What was counted, for people.
    pub(super) const fn counted(self) -> &'static str {
        match self {
            Self::Administrator => "decisions",
            Self::FailedLogins => "different logins that failed",
            Self::UnknownRecipients => "recipients that nobody is",
            Self::BadCommands => "connections that were closed for too many bad commands",
            Self::Handshakes => "connections that spoke no TLS where TLS comes first",
            Self::Probing => "requests for addresses that lead nowhere",
        }
    }
}
