//! Another default limit: those who have no quota of their own hear of it.
//! Holds: each of them does, also when the server is stopped in the middle, or the default changes again; a round is bounded.
//! Other half: `work` does the rounds; `directory` tells of a quota of one's own.

use jmap_types::AccountId;
use store::{
    Record as _, decode_numbers,
    engine::{Batch, Page},
    keys, numbers,
};

use crate::{
    Core,
    directory::records::{AccountKind, AccountRecord},
};

/// The server's own value: the default that is told, and the account at which that goes on.
pub(crate) const DEFAULT: &str = "default quota";
/// In place of an account: all of them were told.
const DONE: u64 = u64::MAX;
const ACCOUNTS_PER_ROUND: usize = 100;

impl Core {
    /// Tells some accounts of the default, if it is another one than before. Returns whether there are more.
    pub(crate) async fn tell_default_quota(&self) -> Result<bool, store::Error> {
        let row = keys::meta(DEFAULT);
        let default = self.limits().default_quota_octets;
        let stored = self.engine.get(&row).await?;
        let from = match stored.map(|bytes| decode_numbers::<2>(&row, &bytes)) {
            // Nobody has heard of another one.
            None => DONE,
            Some(told) => match told? {
                [told, DONE] if told == default => return Ok(false),
                [told, next] if told == default => next,
                _ => 0,
            },
        };
        let next = match from {
            DONE => DONE,
            from => self.tell_from(from).await?,
        };
        let mut batch = Batch::new();
        batch.put(row, numbers(&[default, next]));
        self.engine.commit(batch).await?;
        Ok(next != DONE)
    }

    /// Returns the account that is next.
    async fn tell_from(&self, from: u64) -> Result<u64, store::Error> {
        let mut range = keys::all(keys::Subspace::Account);
        range.start = keys::account(AccountId::new(from));
        let page = Page::first(range, ACCOUNTS_PER_ROUND);
        let rows = self.engine.scan(page).await?;
        let is_last = rows.len() < ACCOUNTS_PER_ROUND;
        let mut next = DONE;
        for (key, bytes) in rows {
            let Some(account) = keys::decode_account(&key) else {
                continue;
            };
            next = account.number() + 1;
            let told = match AccountRecord::from_bytes(&key, &bytes) {
                Ok(record) if has_default(&record) => self.tell_quota(account).await,
                record => record.map(drop),
            };
            match told {
                // Invariant 5: the others are told.
                Err(error @ store::Error::Corrupt { .. }) => {
                    tracing::error!(%account, %error, "an account isn't told of its quota");
                }
                told => told?,
            }
        }
        Ok(if is_last { DONE } else { next })
    }
}

fn has_default(record: &AccountRecord) -> bool {
    let has_mail = matches!(record.kind, AccountKind::Person | AccountKind::Group);
    has_mail && !record.removed && record.quota_octets.is_none()
}
