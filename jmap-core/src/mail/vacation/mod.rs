//! VacationResponse (RFC 8621 §8).
//! Holds: an account has exactly one, with the id `singleton`; an account that never had one set costs nothing
//! at delivery: its head says so.
//! Other half: `inproc::deliver` asks for replies.

mod methods;
mod reply;
#[cfg(test)]
mod tests;

use jmap_types::{AccountId, DataType};
use minicbor::{Decode, Encode};
use store::{Record, engine::Key, keys};

use crate::Core;

pub(crate) use reply::{as_written, is_answerable, reply};

/// The one id (RFC 8621 §8).
pub const SINGLETON: &str = "singleton";
/// Octets of the subject.
pub const SUBJECT_OCTETS_MAX: usize = 1000;
/// Octets of each body.
pub const BODY_OCTETS_MAX: usize = 256 << 10;
/// Senders that are remembered for not getting a second reply.
pub const SENDERS_MAX: usize = 1000;
/// RFC 3834 §2: a sender gets at most one reply in so many seconds.
pub const REPLY_EVERY_SECONDS: i64 = 7 * 86_400;

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct VacationRecord {
    #[n(0)]
    pub is_enabled: bool,
    /// Seconds since 1970.
    #[n(1)]
    pub from_date: Option<i64>,
    #[n(2)]
    pub to_date: Option<i64>,
    #[n(3)]
    pub subject: Option<String>,
    #[n(4)]
    pub text_body: Option<String>,
    #[n(5)]
    pub html_body: Option<String>,
}

impl Record for VacationRecord {
    const KIND: &'static str = "vacation response";
}

impl VacationRecord {
    /// Whether a message that arrives at `now` (seconds since 1970) gets a reply.
    pub fn is_active(&self, now: i64) -> bool {
        self.is_enabled
            && self.from_date.is_none_or(|date| date <= now)
            && self.to_date.is_none_or(|date| now < date)
    }
}

/// The senders that had a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RepliedRecord {
    /// Oldest first.
    #[n(0)]
    pub senders: Vec<RepliedTo>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RepliedTo {
    /// Of the address.
    #[n(0)]
    pub hash: u64,
    /// Seconds since 1970.
    #[n(1)]
    pub at: i64,
}

impl Record for RepliedRecord {
    const KIND: &'static str = "vacation senders";
}

/// The number of the one object, and of the record beside it.
const VACATION: u64 = 0;
const REPLIED: u64 = 1;

pub(in crate::mail) fn key(account: AccountId) -> Key {
    keys::object(account, DataType::VacationResponse, VACATION)
}

fn replied_key(account: AccountId) -> Key {
    keys::object(account, DataType::VacationResponse, REPLIED)
}

/// The vacation response of an account; `None`: it never had one.
pub(crate) async fn of(
    core: &Core,
    account: AccountId,
) -> Result<Option<VacationRecord>, store::Error> {
    let key = key(account);
    let bytes = core.engine.get(&key).await?;
    bytes
        .map(|bytes| VacationRecord::from_bytes(&key, &bytes))
        .transpose()
}
