//! Reading what others publish.
//!
//! Holds: searches go on in the copy that is here until the new one is whole.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use store::{
    search::{SearchError, ShardStatus},
    shards::{FetchError, Manifest},
};

use super::{Doing, Error, Search, Shared};

/// How often another manifest is taken up when what it names is missing.
const TRIES: usize = 3;
/// How often a node complains of what it can't read.
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);

impl Shared {
    /// At the start: what is here is a copy if it is made into that which it last was. What had been built and not published is built anew.
    pub(super) async fn restore(&self, shard: u16) {
        let index = self.shards.index().clone();
        let work = move || {
            let Some(copy) = index.copied(shard)? else {
                return Ok(None);
            };
            if !index.missing(shard, &copy)?.is_empty() {
                return Ok(None);
            }
            index.put_in(shard, &copy)?;
            Ok(Some((copy.generation, copy.base)))
        };
        let restored = tokio::task::spawn_blocking(work).await;
        let restored: Result<_, SearchError> = restored.unwrap_or(Ok(None));
        match restored {
            Ok(local) => self.slot(shard).state.lock().local = local,
            Err(error) => {
                tracing::info!(shard, %error, "the copy of a search shard is fetched anew")
            }
        }
    }

    /// Goes over to a generation that was gathered. Nobody is indexing meanwhile.
    pub(super) async fn go_over(&self, shard: u16, manifest: &Manifest) -> Result<(), FetchError> {
        let slot = self.slot(shard);
        {
            let mut state = slot.state.lock();
            let is_more = state
                .local
                .is_some_and(|(of, base)| base == manifest.base && of <= manifest.generation);
            if !is_more {
                state.forget_copy();
            }
        }
        let outcome = self.shards.put_in(shard, manifest).await;
        let mut state = slot.state.lock();
        match &outcome {
            Ok(()) => state.local = Some((manifest.generation, manifest.base)),
            Err(_) => state.forget_copy(),
        }
        drop(state);
        slot.moved.notify_waiters();
        outcome
    }

    pub(super) async fn gather(&self, shard: u16, manifest: &Manifest) -> Result<(), FetchError> {
        let fetched = self.shards.gather(shard, manifest).await?;
        if fetched.files > 0 {
            self.counts
                .fetched_files
                .fetch_add(fetched.files, Ordering::Relaxed);
            self.counts
                .fetched_octets
                .fetch_add(fetched.octets, Ordering::Relaxed);
            let generation = manifest.generation;
            let (files, octets) = (fetched.files, fetched.octets);
            tracing::debug!(shard, generation, files, octets, "fetched a search shard");
        }
        Ok(())
    }
}

impl Search {
    /// Fetches the newest generation, if that isn't here.
    pub(super) async fn follow(
        self: &Arc<Self>,
        shard: u16,
        doing: &mut Doing,
    ) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        let mut damage: Option<(u64, FetchError)> = None;
        for _ in 0..TRIES {
            let Some(head) = shared.shards.rows(shard).await?.head else {
                return Ok(());
            };
            let local = shared.slot(shard).state.lock().local;
            if local == Some((head.generation, head.base)) {
                return Ok(());
            }
            if damage
                .as_ref()
                .is_some_and(|(of, _)| *of == head.generation)
            {
                break;
            }
            let Some(manifest) = shared.shards.manifest(shard).await? else {
                break;
            };
            let outcome = match shared.gather(shard, &manifest).await {
                Ok(()) => {
                    let _nobody_writes = self.indexing.lock().await;
                    shared.go_over(shard, &manifest).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Err(error @ FetchError::Damaged { .. }) => {
                    damage = Some((manifest.generation, error));
                }
                outcome => return Ok(outcome?),
            }
        }
        let Some((generation, error)) = damage else {
            return Ok(());
        };
        // Once, and seldom: it has all of it published again, and the fault may be on this side.
        let now = shared.cluster.monotonic();
        let may_complain = doing.complained.is_none_or(|(of, at)| {
            of != generation && now.saturating_duration_since(at) >= COMPLAIN_EVERY
        });
        if may_complain {
            shared.shards.complain(shard, generation).await?;
            shared.cluster.tell_search();
            doing.complained = Some((generation, now));
        }
        Err(error.into())
    }

    /// A copy that is damaged goes, whoever has found it so.
    pub(super) async fn give_up_if_damaged(self: &Arc<Self>, shard: u16) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        if !matches!(self.index.status(shard)?, ShardStatus::NeedsRebuild(_)) {
            return Ok(());
        }
        let _nobody_writes = self.indexing.lock().await;
        {
            let mut state = shared.slot(shard).state.lock();
            state.lose();
            state.forget_copy();
        }
        self.empty(shard).await
    }

    /// Throws away what is here of a shard.
    pub(super) async fn empty(&self, shard: u16) -> Result<(), Error> {
        let index = self.index.clone();
        let done = tokio::task::spawn_blocking(move || index.reset(shard)).await;
        Ok(done.map_err(|_| Error::Interrupted)??)
    }
}
