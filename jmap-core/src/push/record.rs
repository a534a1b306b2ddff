//! What is kept of a push subscription.
//!
//! Holds: URL and keys are overwritten in memory when a record is dropped, and are in no log (RFC 8620 §7.2).
//! Other half: `set` writes records, `worker` sends to them.

use jmap_types::{AccountId, DataType, UtcDate, data_type::DataTypes};
use minicbor::{Decode, Encode};
use store::Record;
use zeroize::Zeroize;

use crate::directory::records::CredentialRecord;

/// A subscription, as an object of its owner's account.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct PushSubscriptionRecord {
    /// The credential that it was created with.
    #[n(0)]
    pub credential: u64,
    /// When that credential was made, in seconds since 1970: a password that is changed keeps its number.
    #[n(1)]
    pub credential_created: i64,
    #[n(2)]
    pub device_client_id: String,
    #[n(3)]
    pub url: String,
    #[n(4)]
    pub keys: Option<KeysRecord>,
    #[n(5)]
    pub verification_code: String,
    #[n(6)]
    pub verified: bool,
    /// Seconds since 1970.
    #[n(7)]
    pub expires: i64,
    /// `None`: all.
    #[n(8)]
    pub types: Option<Vec<String>>,
}

/// The client's keys (RFC 8291), in base64url as it sent them.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct KeysRecord {
    #[n(0)]
    pub p256dh: String,
    #[n(1)]
    pub auth: String,
}

impl Record for PushSubscriptionRecord {
    const KIND: &'static str = "push subscription";
}

impl PushSubscriptionRecord {
    pub fn expires(&self) -> UtcDate {
        UtcDate(self.expires)
    }

    /// The types of which it hears. Names that this server doesn't know are kept, and mean nothing.
    pub fn wanted(&self) -> DataTypes {
        match &self.types {
            None => DataTypes::ALL,
            Some(names) => names
                .iter()
                .filter_map(|n| DataType::from_name(n))
                .collect(),
        }
    }

    /// Whether it is still in force: in its time, and with the credential that made it.
    ///
    /// `now`: milliseconds since 1970. `credential`: what is stored under its number now.
    pub fn is_live(&self, now: i64, credential: Option<&CredentialRecord>) -> bool {
        let in_time = now < self.expires.saturating_mul(1000);
        in_time
            && credential.is_some_and(|credential| {
                credential.created == self.credential_created
                    && credential.expires.is_none_or(|expires| now < expires)
            })
    }
}

impl Drop for PushSubscriptionRecord {
    fn drop(&mut self) {
        self.url.zeroize();
        self.verification_code.zeroize();
    }
}

impl Drop for KeysRecord {
    fn drop(&mut self) {
        self.p256dh.zeroize();
        self.auth.zeroize();
    }
}

impl std::fmt::Debug for PushSubscriptionRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushSubscriptionRecord")
            .field("device_client_id", &self.device_client_id)
            .field("verified", &self.verified)
            .field("expires", &self.expires)
            .field("types", &self.types)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for KeysRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeysRecord(..)")
    }
}

/// Names one subscription of the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SubscriptionKey {
    pub account: AccountId,
    pub id: u64,
}

impl SubscriptionKey {
    /// Where its record is.
    pub fn row(self) -> store::engine::Key {
        store::keys::object(self.account, DataType::PushSubscription, self.id)
    }
}
