//! Accounts that wait to be indexed by the builder of their shard.
//!
//! Holds: each commit that touches an email leaves a row that says so, wherever it is made; the row goes when what it says of is published.
//! So whoever builds the shard, now or after a crash, finds all of them.
//! Other half: `owner` publishes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Head, Record as _, decode_numbers,
    engine::{Assertion, Batch, Page},
    keys, numbers,
};

use super::{Error, Search};

/// How often it is looked for accounts that wait, where nobody has told of them.
const FIND_EVERY: Duration = Duration::from_secs(10);
/// Rows that are read or written together.
const ROWS: usize = 1000;

impl Search {
    /// All accounts of a shard wait to be indexed, also if another node has to go on with it.
    pub(super) async fn mark_all_pending(&self, shard: u16) -> Result<(), Error> {
        let mut waiting = Vec::new();
        self.each_head(shard, |account, head| {
            let state = head.state(DataType::Email);
            if state > 0 {
                waiting.push((account, state));
            }
        })
        .await?;
        for some in waiting.chunks(ROWS) {
            self.note_pending(some).await?;
            let mut pending = self.pending.lock();
            for (account, state) in some {
                pending.entry(*account).or_insert(*state);
            }
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Writes down that accounts wait, where that isn't written yet: who delivers to them has a newer word.
    async fn note_pending(&self, accounts: &[(AccountId, u64)]) -> Result<(), Error> {
        let rows: Vec<_> = accounts
            .iter()
            .map(|(account, _)| keys::search_pending(*account))
            .collect();
        for _ in 0..crate::object::TRIES {
            let found = self.engine.multi_get(&rows).await?;
            let mut batch = Batch::new();
            for ((key, found), (_, state)) in rows.iter().zip(found).zip(accounts) {
                if found.is_none() {
                    batch.assert(Assertion::Absent(key.clone()));
                    batch.put(key.clone(), numbers(&[*state]));
                }
            }
            if batch.is_empty() {
                return Ok(());
            }
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Err(store::Error::Conflict) => {}
                done => return Ok(done?),
            }
        }
        Err(store::Error::Conflict.into())
    }

    pub(in crate::mail::search) async fn each_head(
        &self,
        shard: u16,
        mut take: impl FnMut(AccountId, Head),
    ) -> Result<(), Error> {
        let mut range = keys::all(keys::Subspace::Head);
        loop {
            let rows = self.engine.scan(Page::first(range.clone(), ROWS)).await?;
            for (key, value) in &rows {
                let account =
                    keys::decode_head(key).ok_or_else(|| store::Error::bad_key("head", key))?;
                if self.index.shard_of(account.number()) != shard {
                    continue;
                }
                match Head::from_bytes(key, value) {
                    Ok(head) => take(account, head),
                    // Invariant 5: the others are indexed.
                    Err(error) => tracing::error!(%error, "an account is not indexed"),
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// Finds accounts of shards that this node builds that others have written to.
    pub(super) async fn find_work(self: &Arc<Self>, at_once: bool) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        if shared.counts().building == 0 {
            return Ok(());
        }
        let now = shared.cluster.monotonic();
        {
            let mut last = shared.found_work.lock();
            let is_due = last.is_none_or(|at| now.saturating_duration_since(at) >= FIND_EVERY);
            if !is_due && !at_once {
                return Ok(());
            }
            *last = Some(now);
        }
        let mut range = keys::all(keys::Subspace::SearchPending);
        let mut found = false;
        loop {
            let rows = self.engine.scan(Page::first(range.clone(), ROWS)).await?;
            for (key, value) in &rows {
                let account = keys::decode_search_pending(key)
                    .ok_or_else(|| store::Error::bad_key("search pending", key))?;
                if !shared.builds(account) {
                    continue;
                }
                match decode_numbers::<1>(key, value) {
                    Ok([sequence]) => {
                        if shared.known(account).is_none_or(|known| known < sequence) {
                            let mut pending = self.pending.lock();
                            let newest = pending.entry(account).or_default();
                            *newest = (*newest).max(sequence);
                            found = true;
                        }
                    }
                    // Invariant 5: the others are indexed.
                    Err(error) => tracing::error!(%error, "an account is not indexed"),
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        if found {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// What others have noted of accounts that are published as far as that.
    pub(super) async fn forget_pending(
        &self,
        cursors: &[(AccountId, Option<u64>)],
    ) -> Result<(), Error> {
        for some in cursors.chunks(ROWS) {
            let rows: Vec<_> = some
                .iter()
                .map(|(account, _)| keys::search_pending(*account))
                .collect();
            let values = self.engine.multi_get(&rows).await?;
            let mut done = Vec::new();
            for ((key, value), (_, cursor)) in rows.into_iter().zip(values).zip(some) {
                let Some(value) = value else { continue };
                let Ok([sequence]) = decode_numbers::<1>(&key, &value) else {
                    continue;
                };
                if cursor.is_none_or(|cursor| sequence <= cursor) {
                    done.push((key, value));
                }
            }
            let all = delete_those(&done);
            match self.engine.commit(all).await.map_err(store::Error::from) {
                // Mail came in meanwhile: one by one, so that the others go.
                Err(store::Error::Conflict) => {}
                all => {
                    all?;
                    continue;
                }
            }
            for one in done.chunks(1) {
                match self
                    .engine
                    .commit(delete_those(one))
                    .await
                    .map_err(store::Error::from)
                {
                    Ok(()) | Err(store::Error::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

fn delete_those(rows: &[(Vec<u8>, Bytes)]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in rows {
        batch.assert(Assertion::Equals(key.clone(), value.clone()));
        batch.delete(key.clone());
    }
    batch
}
