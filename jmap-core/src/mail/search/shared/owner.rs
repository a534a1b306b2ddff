//! Building a shard, and publishing it.
//!
//! Holds: the builder begins with the newest generation, or with nothing; what it publishes has the cursors that belong to it, in the same
//! commit. When the object store is away, the index goes on here, and everything that waits is published later. A shard that is made anew
//! is published when it is whole: until then the others keep what they have.
//! Other half: `worker` writes to the index, `waiting` knows for whom.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    engine::{Assertion, Batch},
    search::SearchError,
    shards::{Committed, FetchError, Manifest, PublishError, Shards, Snapshot, What},
};

use super::{Cleaning, Doing, Error, Own, Search};

/// Publications are at least so far apart.
const PUBLISH_EVERY: Duration = Duration::from_secs(3);
/// Unless so much waits.
const MUCH_CURSORS: usize = 2000;
/// Accounts that one publication tells of.
const CURSORS_MAX: usize = 5000;
/// How often it is looked for objects that nothing names.
const CLEAN_EVERY: Duration = Duration::from_secs(600);
/// How long a node waits that has asked the builder of a shard to index an account anew, and how often it looks.
const REQUEST_WAIT: (Duration, Duration) = (Duration::from_secs(600), Duration::from_millis(200));

/// What goes out with one commit.
struct Going {
    lease: Assertion,
    manifest: Option<Arc<Manifest>>,
    head: Option<Bytes>,
    generation: u64,
    cursors: Vec<(AccountId, Option<u64>)>,
    requests: Vec<AccountId>,
    has_complaint: bool,
}

impl Search {
    /// Does what the builder of a shard has to do.
    pub(super) async fn build(
        self: &Arc<Self>,
        shard: u16,
        lease: Assertion,
        doing: &mut Doing,
        at_once: bool,
    ) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        let rows = shared.shards.rows(shard).await?;
        let has = {
            let mut state = shared.slot(shard).state.lock();
            let head = state.own.as_ref().map(|own| own.head.clone());
            match head {
                Some(head) if head != rows.head_bytes => {
                    // Somebody else has published since: the lease is lost, or was.
                    state.lose();
                    false
                }
                head => head.is_some(),
            }
        };
        if !has {
            self.take_over(shard, lease).await?;
        }
        self.answer_complaint(shard, rows.complaint).await?;
        self.answer_requests(shard).await?;
        self.publish(shard, doing, at_once).await?;
        let is_leaving = shared.slot(shard).state.lock().is_leaving;
        if is_leaving {
            return self.hand_over(shard, doing).await;
        }
        self.clean(shard, &mut doing.cleaning).await
    }

    /// Begins with what is published.
    async fn take_over(self: &Arc<Self>, shard: u16, lease: Assertion) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        let rows = shared.shards.rows(shard).await?;
        let manifest = shared.shards.manifest(shard).await?;
        let generation = match &rows.head {
            Some(head) => head.generation,
            // Above all that can have been counted, also of what was forgotten since: folders may still have a copy of that.
            None => {
                let now = u64::try_from(shared.cluster.now().0).unwrap_or(0);
                now.max(manifest.as_ref().map_or(0, |of| of.generation))
            }
        };
        let manifest = manifest.filter(|of| {
            let head = rows.head.as_ref();
            head.is_some_and(|head| (head.generation, head.base) == (of.generation, of.base))
        });
        let mut own = Own {
            head: rows.head_bytes,
            generation,
            manifest: manifest.map(Arc::new),
            ..Own::default()
        };
        if let Some(manifest) = own.manifest.clone() {
            let local = shared.slot(shard).state.lock().local;
            let outcome = match local == Some((manifest.generation, manifest.base)) {
                true => Ok(()),
                false => shared.gather(shard, &manifest).await,
            };
            let nobody_writes = self.indexing.lock().await;
            let outcome = match outcome {
                // What is here may have gone on from there.
                Ok(()) => shared.go_over(shard, &manifest).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => {
                    {
                        let mut state = shared.slot(shard).state.lock();
                        if state.lease.as_ref() == Some(&lease) {
                            state.own = Some(own);
                        }
                    }
                    drop(nobody_writes);
                    return self.find_work(true).await;
                }
                Err(error @ FetchError::Damaged { .. }) => {
                    tracing::error!(shard, %error, "a search shard is built anew");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let nobody_writes = self.indexing.lock().await;
        shared.slot(shard).state.lock().forget_copy();
        self.empty(shard).await?;
        own.is_new = true;
        {
            let mut state = shared.slot(shard).state.lock();
            if state.lease.as_ref() != Some(&lease) {
                return Ok(());
            }
            state.own = Some(own);
        }
        drop(nobody_writes);
        self.mark_all_pending(shard).await
    }

    /// Somebody can't read what is published: it goes out again, once it is known to be whole here.
    async fn answer_complaint(
        self: &Arc<Self>,
        shard: u16,
        complaint: Option<u64>,
    ) -> Result<(), Error> {
        let (Some(shared), Some(of)) = (self.shared(), complaint) else {
            return Ok(());
        };
        let is_of_newest = {
            let mut state = shared.slot(shard).state.lock();
            let Some(own) = &mut state.own else {
                return Ok(());
            };
            if own.has_complaint || own.is_new {
                return Ok(());
            }
            own.has_complaint = true;
            own.manifest
                .as_ref()
                .is_some_and(|newest| newest.generation == of)
        };
        if !is_of_newest {
            return Ok(());
        }
        tracing::warn!(
            shard,
            generation = of,
            "a search shard can't be read by others, and is published again"
        );
        let index = self.index.clone();
        let verified = tokio::task::spawn_blocking(move || index.verify(shard)).await;
        match verified.map_err(|_| Error::Interrupted)? {
            Ok(()) => {
                if let Some(own) = &mut shared.slot(shard).state.lock().own {
                    own.again = true;
                }
                Ok(())
            }
            // The next turn gives it up, and begins with what can be fetched or with nothing.
            Err(error @ SearchError::NeedsRebuild { .. }) => {
                shared.wake();
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn answer_requests(self: &Arc<Self>, shard: u16) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        for account in shared.shards.requests(shard).await? {
            {
                let state = shared.slot(shard).state.lock();
                match &state.own {
                    Some(own) if !own.requests.contains(&account) => {}
                    _ => continue,
                }
            }
            match self.reindex_here(account).await {
                // Invariant 5: the others are indexed.
                Err(Error::Store(error @ store::Error::Corrupt { .. })) => {
                    tracing::error!(%account, %error, "an account is not indexed");
                }
                done => done?,
            }
            if let Some(own) = &mut shared.slot(shard).state.lock().own {
                own.requests.push(account);
            }
        }
        Ok(())
    }

    /// Publishes what has changed.
    async fn publish(
        self: &Arc<Self>,
        shard: u16,
        doing: &mut Doing,
        at_once: bool,
    ) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        let now = shared.cluster.monotonic();
        let is_soon = doing
            .published
            .is_some_and(|at| now.saturating_duration_since(at) < PUBLISH_EVERY);
        loop {
            let going = self.going(shard, is_soon && !at_once).await?;
            let Some((going, snapshot)) = going else {
                return Ok(());
            };
            let is_all = going.cursors.len() < CURSORS_MAX;
            if !self.send(shard, going, snapshot).await? {
                return Ok(());
            }
            doing.published = Some(now);
            if is_all {
                return Ok(());
            }
        }
    }

    /// What there is to publish; `is_soon`: only if that is much.
    async fn going(&self, shard: u16, is_soon: bool) -> Result<Option<(Going, Snapshot)>, Error> {
        let Some(shared) = self.shared() else {
            return Ok(None);
        };
        // The cursors are those of the files.
        let _nobody_writes = self.indexing.lock().await;
        let (going, what) = {
            let state = shared.slot(shard).state.lock();
            let (Some(own), Some(lease)) = (&state.own, &state.lease) else {
                return Ok(None);
            };
            let has_other = own.again || own.has_complaint || !own.requests.is_empty();
            if is_soon && own.cursors.len() < MUCH_CURSORS && !has_other {
                return Ok(None);
            }
            let of_shard = |account: &AccountId| shared.shard_of(*account) == shard;
            if own.is_new && own.manifest.is_some() && self.pending.lock().keys().any(of_shard) {
                return Ok(None);
            }
            let cursors = own.cursors.iter().take(CURSORS_MAX);
            let what = What {
                is_new: own.is_new,
                again: own.again,
            };
            let going = Going {
                lease: lease.clone(),
                manifest: own.manifest.clone(),
                head: own.head.clone(),
                generation: own.generation,
                cursors: cursors.map(|(account, of)| (*account, *of)).collect(),
                requests: own.requests.clone(),
                has_complaint: own.has_complaint,
            };
            (going, what)
        };
        let last = going.manifest.clone();
        let snapshot = shared.shards.snapshot(shard, last, what).await?;
        let is_nothing =
            going.cursors.is_empty() && going.requests.is_empty() && !going.has_complaint;
        match snapshot.is_published() && is_nothing {
            true => Ok(None),
            false => Ok(Some((going, snapshot))),
        }
    }

    /// `false`: the shard is another node's.
    async fn send(
        self: &Arc<Self>,
        shard: u16,
        going: Going,
        snapshot: Snapshot,
    ) -> Result<bool, Error> {
        let Some(shared) = self.shared() else {
            return Ok(false);
        };
        let shards = &shared.shards;
        let mut also = Batch::new();
        shards.settle(&mut also, shard, going.has_complaint, &going.requests);
        let (manifest, head, committed) = match (&going.manifest, &going.head) {
            (Some(manifest), Some(head)) if snapshot.is_published() => {
                let lease = &going.lease;
                let committed =
                    shards.commit_cursors(shard, lease, head, manifest, &going.cursors, also);
                (manifest.clone(), head.clone(), committed.await?)
            }
            _ => {
                let octets = snapshot.octets();
                let manifest = shards.pack(shard, snapshot, going.generation + 1).await?;
                let (lease, former) = (&going.lease, going.head.as_ref());
                let committed =
                    shards.commit(shard, lease, former, &manifest, &going.cursors, also);
                let (committed, head) = committed.await?;
                if committed == Committed::Done {
                    let counts = &shared.counts;
                    counts.publications.fetch_add(1, Ordering::Relaxed);
                    counts.published_octets.fetch_add(octets, Ordering::Relaxed);
                    let generation = manifest.generation;
                    tracing::debug!(shard, generation, octets, "published a search shard");
                }
                (Arc::new(manifest), head, committed)
            }
        };
        if committed == Committed::Lost {
            shared.slot(shard).state.lock().lose();
            shared.wake();
            return Ok(false);
        }
        let is_ours = {
            let mut state = shared.slot(shard).state.lock();
            let is_ours = state.lease.as_ref() == Some(&going.lease);
            if let (true, Some(own)) = (is_ours, &mut state.own) {
                own.generation = manifest.generation;
                own.manifest = Some(manifest.clone());
                own.head = Some(head);
                own.is_new = false;
                own.again = false;
                own.has_complaint &= !going.has_complaint;
                own.requests.retain(|of| !going.requests.contains(of));
                for (account, cursor) in &going.cursors {
                    if own.cursors.get(account) == Some(cursor) {
                        own.cursors.remove(account);
                    }
                }
                state.local = Some((manifest.generation, manifest.base));
            }
            is_ours
        };
        if is_ours {
            let (index, copy) = (self.index.clone(), manifest.copy(shards.layout()));
            let noted = tokio::task::spawn_blocking(move || index.note_copy(shard, &copy)).await;
            noted.map_err(|_| Error::Interrupted)??;
        }
        shared.slot(shard).moved.notify_waiters();
        shared.cluster.tell_search();
        self.forget_pending(&going.cursors).await?;
        Ok(is_ours)
    }

    /// Gives the shard to whoever takes it next, once all of it is published.
    async fn hand_over(self: &Arc<Self>, shard: u16, doing: &mut Doing) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        self.publish(shard, doing, true).await?;
        let lease = {
            let mut state = shared.slot(shard).state.lock();
            let is_whole = state
                .own
                .as_ref()
                .is_none_or(|own| !own.is_new && own.cursors.len() < CURSORS_MAX);
            if !is_whole {
                return Ok(());
            }
            state.lose();
            state.is_leaving = false;
            // Not at once again.
            state.unowned = 0;
            state.lease.take()
        };
        if let Some(lease) = lease {
            let work = Shards::work(shared.shards.layout(), shard.into());
            shared.cluster.give_back(&work, &lease).await?;
            tracing::info!(shard, "another node is to build a search shard");
        }
        shared.cluster.tell_search();
        Ok(())
    }

    /// Removes what nothing names any more.
    async fn clean(self: &Arc<Self>, shard: u16, of: &mut Cleaning) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        let now = shared.cluster.monotonic();
        if !is_due(of, now) {
            return Ok(());
        }
        let mut removed = shared.shards.clean(shard, &mut of.unnamed, now).await?;
        of.at = Some(now);
        if shard == 0 {
            let mut others = shared.others.lock().await;
            let works = shared.shards.other_works().await?;
            let holders = shared.cluster.holders(&works).await?;
            let built = works.into_iter().zip(holders);
            let built = built
                .filter_map(|(work, holder)| holder.map(|_| work))
                .collect();
            let unnamed = &mut others.unnamed;
            removed += shared.shards.clean_others(&built, unnamed, now).await?;
        }
        if removed > 0 {
            tracing::debug!(shard, removed, "objects of the search index were removed");
        }
        Ok(())
    }
}

fn is_due(of: &Cleaning, now: std::time::Instant) -> bool {
    of.at
        .is_none_or(|at| now.saturating_duration_since(at) >= CLEAN_EVERY)
}

impl Search {
    /// Indexes an account anew, whoever builds its shard; it is published when this returns.
    pub(in crate::mail::search) async fn reindex_anywhere(
        self: &Arc<Self>,
        account: AccountId,
    ) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        let shard = shared.shard_of(account);
        shared.shards.request(account).await?;
        shared.cluster.tell_search();
        let (longest, every) = REQUEST_WAIT;
        let mut waited = Duration::ZERO;
        // A node that nobody tells looks by itself; and this one may be alone, or the builder.
        while waited < longest {
            self.look_who_builds().await?;
            self.tend(shard, true).await?;
            if !shared.shards.is_requested(account).await? {
                return Ok(());
            }
            tokio::time::sleep(every).await;
            waited += every;
        }
        Err(SearchError::Failed {
            shard,
            reason: "the server that builds it does not answer".to_owned(),
        }
        .into())
    }
}

impl From<PublishError> for Error {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Store(error) => Self::Store(error),
            PublishError::Index(error) => Self::Index(error),
            PublishError::Stopping => Self::Interrupted,
            PublishError::Pack(_) | PublishError::NoPlace => Self::Shared(error.to_string()),
        }
    }
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Index(error) => Self::Index(error),
            FetchError::Stopping => Self::Interrupted,
            FetchError::Pack(_) | FetchError::Damaged { .. } => Self::Shared(error.to_string()),
        }
    }
}
