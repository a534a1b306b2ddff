//! Codes under way: kept for minutes, in the store, since another node may be asked next.
//!
//! Holds: what is over is good for nothing, whether it has gone already or not; there are so many at a time, and so many of one account.
//! Other half: `authorize` and `device` make them, the background work takes away what is over.

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    Record,
    engine::{Assertion, Batch, Key, Page},
    keys::{self, Pending},
};

use super::{
    ErrorCode, OAuthError, OPEN_CODES_PER_ACCOUNT_MAX, PENDING_MAX, SPENT_CODES_PER_ACCOUNT_MAX,
    records::{self, CodeRecord},
    refused,
};
use crate::Core;

const ROWS_PER_PAGE: usize = 500;

impl Core {
    /// A record as it is, with its octets for the assertion that it is still so.
    pub(super) async fn pending<R: Record>(
        &self,
        key: &Key,
    ) -> Result<Option<(R, Bytes)>, store::Error> {
        let Some(bytes) = self.engine.get(key).await? else {
            return Ok(None);
        };
        Ok(Some((R::from_bytes(key, &bytes)?, bytes)))
    }

    /// Whether there is room for one more of a kind.
    pub(super) async fn has_room_for(&self, kind: Pending) -> Result<(), OAuthError> {
        let page = Page::first(keys::oauth_pending_of(kind), PENDING_MAX).keys_only();
        is_room(self.engine.scan(page).await?.len())
    }

    /// Whether there is room for one more code of an account. What needn't be kept of its others goes with the batch. Codes that were used
    /// take no room, nor those that are over: whoever has an account here could make as many as they like.
    pub(super) async fn has_room_for_code(
        &self,
        batch: &mut Batch,
        account: AccountId,
    ) -> Result<(), OAuthError> {
        let now = self.clock.now().0;
        let (mut open, mut own_open, mut own_spent) = (0, 0, Vec::new());
        let mut range = keys::oauth_pending_of(Pending::Code);
        loop {
            let page = Page::first(range.clone(), ROWS_PER_PAGE);
            let rows = self.engine.scan(page).await?;
            for (key, bytes) in &rows {
                // One that can't be read is reported by the check.
                let Ok(code) = CodeRecord::from_bytes(key, bytes) else {
                    continue;
                };
                let is_own = code.account == account.number();
                match code.grant {
                    Some(_) if is_own => own_spent.push((code.expires, key.to_vec())),
                    Some(_) => {}
                    None if code.expires > now => {
                        open += 1;
                        own_open += usize::from(is_own);
                    }
                    None if is_own => {
                        batch.delete(key.to_vec());
                    }
                    None => {}
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        own_spent.sort_unstable();
        let too_many = own_spent.len().saturating_sub(SPENT_CODES_PER_ACCOUNT_MAX);
        for (_, key) in own_spent.drain(..too_many) {
            batch.delete(key);
        }
        if own_open >= OPEN_CODES_PER_ACCOUNT_MAX {
            return refused(
                ErrorCode::TemporarilyUnavailable,
                "the account has let in many programs just now; try again in a minute",
            );
        }
        is_room(open)
    }

    /// Takes away what is over: codes, and clients that nobody uses. Returns how many.
    pub(crate) async fn purge_oauth(&self) -> Result<usize, store::Error> {
        let now = self.clock.now().0;
        let mut gone = self.purge_clients().await?;
        let mut range = keys::all(keys::Subspace::OAuthPending);
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE))
                .await?;
            let mut batch = Batch::new();
            for (key, bytes) in &rows {
                // One that can't be read is reported by the check.
                if expires(key, bytes).is_some_and(|expires| expires <= now) {
                    batch.assert(Assertion::Equals(key.to_vec(), bytes.clone()));
                    batch.delete(key.to_vec());
                    gone += 1;
                }
            }
            if !batch.is_empty() {
                self.engine.commit(batch).await?;
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(gone);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }
}

fn is_room(known: usize) -> Result<(), OAuthError> {
    match known < PENDING_MAX {
        true => Ok(()),
        false => refused(
            ErrorCode::TemporarilyUnavailable,
            "too many people sign in at the moment; try again in a few minutes",
        ),
    }
}

/// When a row is over, in milliseconds since 1970.
fn expires(key: &[u8], bytes: &Bytes) -> Option<i64> {
    let (kind, _) = keys::decode_oauth_pending(key)?;
    match kind {
        Pending::Code => {
            let code = CodeRecord::from_bytes(key, bytes).ok()?;
            // One that was used and comes again has to be known, for as long as what it has come to may be new.
            let keep = code.grant.map_or(0, |_| super::ACCESS_SECONDS * 1000);
            Some(code.expires.saturating_add(keep))
        }
        Pending::Device => {
            let device = records::DeviceRecord::from_bytes(key, bytes).ok()?;
            Some(device.expires)
        }
        Pending::UserCode => {
            let code = records::UserCodeRecord::from_bytes(key, bytes).ok()?;
            Some(code.expires)
        }
        Pending::Challenge => {
            let [expires] = store::decode_numbers(key, bytes).ok()?;
            i64::try_from(expires).ok()
        }
    }
}
