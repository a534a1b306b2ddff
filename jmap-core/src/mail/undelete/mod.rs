//! Emails that were deleted, and can be brought back for a while.
//!
//! Holds: what is kept of an email is written in the transaction that removes it, and goes in the one that brings it back: asked twice, it is
//! brought back once. It isn't counted in the account's quota, but has a bound of its own, past which the oldest go. The owner alone sees it.
//! Other half: `write::remove_email` keeps; `work` purges.

mod methods;
mod read;
mod restore;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use jmap_types::{AccountId, DataType, WireId, mail::EmailId};
use minicbor::{Decode, Encode};
use store::{
    Record,
    engine::{Assertion, Batch, Page},
    keys,
};

use super::{
    records::EmailRecord,
    write::{MailTxn, Removal},
};
use crate::{Core, clock::UtcMillis};

pub use read::{Deleted, DeletedFilter, SCANNED_MAX};
pub use restore::{Restored, UndeleteError};

/// What is kept of a deleted email.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DeletedRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub blob: [u8; 32],
    /// Seconds since 1970.
    #[n(1)]
    pub received_at: i64,
    /// Octets of the message.
    #[n(2)]
    pub size: u64,
    /// Where it was.
    #[n(3)]
    pub mailboxes: Vec<u64>,
    #[n(4)]
    pub keywords: Vec<String>,
}

impl Record for DeletedRecord {
    const KIND: &'static str = "deleted email";
}

/// Names a deleted email: when it was deleted, in milliseconds since 1970, and the number that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeletedId {
    pub time: u64,
    pub email: u64,
}

impl DeletedId {
    pub fn parse(text: &str) -> Option<Self> {
        let (time, email) = text.strip_prefix('y')?.split_once('-')?;
        let id = Self {
            time: time.parse().ok()?,
            email: email.parse().ok()?,
        };
        // One spelling an id.
        (id.to_string() == text).then_some(id)
    }

    pub fn to_wire(self) -> WireId {
        // Digits, a letter and a hyphen are an id.
        WireId::parse(&self.to_string()).unwrap_or_else(|| EmailId::new(self.email).to_wire())
    }
}

impl std::fmt::Display for DeletedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "y{}-{}", self.time, self.email)
    }
}

/// Tells the references of deleted emails from those of others: they come behind all of these.
const DELETED: u64 = 1 << 63;

/// The number under which a deleted email refers to its blob.
pub(crate) fn reference(email: u64) -> u64 {
    email | DELETED
}

/// The deleted email that a reference is of.
pub(crate) fn of_reference(number: u64) -> Option<u64> {
    (number & DELETED != 0).then_some(number & !DELETED)
}

/// The value of a counter.
pub(crate) fn counter(bytes: &Bytes) -> i64 {
    bytes[..].try_into().map_or(0, i64::from_be_bytes)
}

/// Keeps an email that the transaction removes.
pub(super) fn keep(txn: &mut MailTxn, id: u64, record: &EmailRecord, now: UtcMillis) {
    let account = txn.account();
    let time = u64::try_from(now.0).unwrap_or(0);
    let deleted = DeletedRecord {
        blob: record.blob,
        received_at: record.received_at,
        size: record.size,
        mailboxes: record
            .all_places
            .iter()
            .map(|place| place.mailbox)
            .collect(),
        keywords: record.keywords.clone(),
    };
    let mut batch = Batch::new();
    batch.put(
        keys::blob_ref(&record.blob, account, DataType::Email, reference(id)),
        Bytes::new(),
    );
    batch.add(keys::undelete_octets(account), octets(record.size));
    txn.append_unread(batch);
    txn.put_record(keys::undelete(account, time, id), &deleted);
}

fn octets(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Accounts that one round of purging looks at.
const ACCOUNTS_PER_ROUND: usize = 200;
/// Deleted emails of one account that one round purges.
const EMAILS_PER_ROUND: usize = 256;

impl Core {
    /// How emails are removed now.
    pub(crate) fn removal(&self) -> Removal {
        Removal {
            now: self.clock.now(),
            is_kept: self.limits().undelete_seconds != 0,
        }
    }

    /// Purges what is too old, or more than an account may have, from account `from` on. Returns where to go on.
    pub async fn purge_deleted(&self, from: u64) -> Result<Option<u64>, store::Error> {
        let mut from = from;
        for _ in 0..ACCOUNTS_PER_ROUND {
            let mut range = keys::all(keys::Subspace::Undelete);
            range.start = keys::undelete_octets(AccountId::new(from));
            let first = self.engine.scan(Page::first(range, 1).keys_only()).await?;
            let Some((key, _)) = first.first() else {
                return Ok(None);
            };
            let (account, ..) =
                keys::decode_undelete(key).ok_or_else(|| store::Error::bad_key("undelete", key))?;
            match self.purge_account(account).await {
                Ok(true) => return Ok(Some(account.number())),
                Ok(false) => {}
                // Invariant 5: the others are purged.
                Err(error @ (store::Error::Corrupt { .. } | store::Error::Conflict)) => {
                    tracing::error!(%account, %error, "deleted emails of an account are not purged");
                }
                Err(error) => return Err(error),
            }
            match account.number().checked_add(1) {
                Some(next) => from = next,
                None => return Ok(None),
            }
        }
        Ok(Some(from))
    }

    /// Returns whether there may be more of the account to purge.
    async fn purge_account(&self, account: AccountId) -> Result<bool, store::Error> {
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        let seconds = self.limits().undelete_seconds;
        let before = match seconds {
            0 => u64::MAX,
            seconds => now.saturating_sub(seconds.saturating_mul(1000)),
        };
        let counted = self.engine.get(&keys::undelete_octets(account)).await?;
        let mut sum = counted.map_or(0, |bytes| counter(&bytes));
        let max = octets(self.limits().max_undelete_octets);
        let page = Page::first(keys::undelete_of(account), EMAILS_PER_ROUND);
        let rows = self.engine.scan(page).await?;
        let mut batch = Batch::new();
        let (mut purged, mut freed) = (0, 0i64);
        for (key, bytes) in &rows {
            let (_, time, id) =
                keys::decode_undelete(key).ok_or_else(|| store::Error::bad_key("undelete", key))?;
            if time >= before && sum <= max {
                break;
            }
            batch.assert(Assertion::Equals(key.to_vec(), bytes.clone()));
            batch.delete(key.to_vec());
            purged += 1;
            match DeletedRecord::from_bytes(key, bytes) {
                Ok(record) => {
                    let reference = reference(id);
                    batch.delete(keys::blob_ref(
                        &record.blob,
                        account,
                        DataType::Email,
                        reference,
                    ));
                    batch.put(keys::blob_candidate(now, &record.blob), Bytes::new());
                    freed = freed.saturating_add(octets(record.size));
                    sum = sum.saturating_sub(octets(record.size));
                }
                // Invariant 5: it goes; what it held is found by a check.
                Err(error) => tracing::error!(%error, "a deleted email can't be read"),
            }
        }
        if purged == 0 {
            return Ok(false);
        }
        batch.add(keys::undelete_octets(account), -freed);
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => Ok(purged == EMAILS_PER_ROUND),
            // One of them was just brought back.
            Err(store::Error::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
