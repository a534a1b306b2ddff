//! The search index of a cluster with an object store: each shard is built by one node, and the others read what it publishes.
//!
//! Holds: what this node says of an account's cursor is true of the files that it searches in. A copy that may have less than the one
//! before it (a base that changed, work that was lost with a lease) counts the slot's epoch up before it comes, so that whoever had asked
//! before that asks again. Only who has a shard's lease and its newest generation writes to it.
//! Other half: `owner` builds and publishes, `follow` reads, `tail` searches; `store::shards` has the files.

mod follow;
mod owner;
mod spread;
mod tail;
mod waiting;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use jmap_types::AccountId;
use parking_lot::Mutex;
use store::{
    engine::Assertion,
    shards::{Manifest, Shards, Unnamed},
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::{Error, Search};
use crate::cluster::Cluster;

/// After a fault: doubled with each that follows, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The shards, as this process has them.
#[derive(Debug)]
pub struct Shared {
    shards: Shards,
    cluster: Arc<Cluster>,
    slots: Vec<Slot>,
    /// It is to be looked who has which shard.
    look: Notify,
    counts: Counts,
    /// Of layouts that nobody has any more.
    others: AsyncMutex<Cleaning>,
    /// When it was last looked for accounts that wait.
    found_work: Mutex<Option<Instant>>,
}

/// What has been done since the start: for metrics.
#[derive(Debug, Default)]
struct Counts {
    publications: AtomicU64,
    published_octets: AtomicU64,
    fetched_files: AtomicU64,
    fetched_octets: AtomicU64,
    failures: AtomicU64,
}

/// The same, and how many shards this node builds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedCounts {
    pub building: usize,
    pub publications: u64,
    pub published_octets: u64,
    pub fetched_files: u64,
    pub fetched_octets: u64,
    pub failures: u64,
}

/// One shard.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    /// One thing is done to it at a time.
    doing: AsyncMutex<Doing>,
    wake: Notify,
    /// Another generation is here.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Counted up when the copy here may have less than before.
    epoch: u64,
    /// Generation and base that the copy here has all of. `None`: nobody knows what it has.
    local: Option<(u64, u64)>,
    /// What must be true of all that is published from here.
    lease: Option<Assertion>,
    /// The lease is to be given back.
    is_leaving: bool,
    /// How often in a row nobody was seen to have the lease.
    unowned: u32,
    /// This node builds the shard.
    own: Option<Own>,
}

/// What the builder of a shard knows.
#[derive(Debug, Default)]
struct Own {
    manifest: Option<Arc<Manifest>>,
    /// The head that the next publication is built on, as it is stored.
    head: Option<Bytes>,
    /// The number of the last generation, whether its manifest can be read or not.
    generation: u64,
    /// The index isn't made out of what is published.
    is_new: bool,
    /// All files go out again.
    again: bool,
    /// Cursors that aren't published; `None`: the account is no more.
    cursors: HashMap<AccountId, Option<u64>>,
    /// Requests that were dealt with, and whether a complaint was.
    requests: Vec<AccountId>,
    has_complaint: bool,
}

#[derive(Debug, Default)]
struct Doing {
    published: Option<Instant>,
    cleaning: Cleaning,
    /// The generation that this node has last complained of, and when.
    complained: Option<(u64, Instant)>,
}

#[derive(Debug, Default)]
struct Cleaning {
    unnamed: Unnamed,
    at: Option<Instant>,
}

impl State {
    /// Nothing of what this node had made counts any more.
    fn lose(&mut self) {
        if self.own.take().is_some() {
            self.forget_copy();
        }
    }

    fn forget_copy(&mut self) {
        self.epoch += 1;
        self.local = None;
    }
}

/// How far the index here has an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    epoch: u64,
    cursor: u64,
    is_own: bool,
    /// A newer generation is known to have more of it.
    is_old: bool,
}

impl Shared {
    pub(super) async fn open(shards: Shards, cluster: Arc<Cluster>) -> Self {
        let count = shards.index().shards();
        let shared = Self {
            slots: (0..count).map(|_| Slot::default()).collect(),
            shards,
            cluster,
            look: Notify::new(),
            counts: Counts::default(),
            others: AsyncMutex::default(),
            found_work: Mutex::default(),
        };
        for shard in 0..count {
            shared.restore(shard).await;
        }
        shared
    }

    fn slot(&self, shard: u16) -> &Slot {
        // There are as many slots as shards, and numbers come from the index.
        &self.slots[usize::from(shard) % self.slots.len()]
    }

    fn shard_of(&self, account: AccountId) -> u16 {
        self.shards.index().shard_of(account.number())
    }

    fn numbers(&self) -> std::ops::Range<u16> {
        0..self.shards.index().shards()
    }

    /// Whether this node builds the shard of an account.
    pub(super) fn builds(&self, account: AccountId) -> bool {
        let slot = self.slot(self.shard_of(account));
        slot.state.lock().own.is_some()
    }

    /// A cursor that isn't published; without a look at the engine.
    pub(super) fn known(&self, account: AccountId) -> Option<u64> {
        let state = self.slot(self.shard_of(account)).state.lock();
        let own = state.own.as_ref()?;
        own.cursors.get(&account).copied().flatten()
    }

    /// The builder's cursor moves. Nothing happens if another node builds the shard by now.
    pub(super) fn put(&self, account: AccountId, cursor: Option<u64>) {
        let mut state = self.slot(self.shard_of(account)).state.lock();
        if let Some(own) = &mut state.own {
            own.cursors.insert(account, cursor);
        }
    }

    /// The last transaction of an account that the index here has.
    pub(super) async fn cursor(&self, account: AccountId) -> Result<u64, store::Error> {
        Ok(self.place(account).await?.cursor)
    }

    async fn place(&self, account: AccountId) -> Result<Place, store::Error> {
        let slot = self.slot(self.shard_of(account));
        let (mut place, local) = {
            let state = slot.state.lock();
            let place = Place {
                epoch: state.epoch,
                cursor: 0,
                is_own: state.own.is_some(),
                is_old: false,
            };
            match &state.own {
                Some(own) => {
                    if let Some(cursor) = own.cursors.get(&account) {
                        let cursor = cursor.unwrap_or(0);
                        return Ok(Place { cursor, ..place });
                    }
                    if own.is_new {
                        return Ok(place);
                    }
                    (
                        place,
                        own.manifest.as_ref().map(|of| (of.generation, of.base)),
                    )
                }
                None => (place, state.local),
            }
        };
        // Read after the generation: what it says of later ones isn't used.
        let indexed = self.shards.indexed(account).await?;
        let layout = self.shards.layout();
        let newest = indexed.pairs.last().filter(|_| indexed.layout == layout);
        let newest = newest.map_or(0, |(generation, _)| *generation);
        match local {
            None => place.is_old = newest > 0,
            Some((generation, base)) => {
                place.cursor = indexed.cursor(layout, generation, base);
                place.is_old = newest > generation;
            }
        }
        Ok(place)
    }

    fn epoch(&self, account: AccountId) -> u64 {
        self.slot(self.shard_of(account)).state.lock().epoch
    }

    pub(super) fn counts(&self) -> SharedCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let building = self
            .slots
            .iter()
            .filter(|slot| slot.state.lock().own.is_some());
        SharedCounts {
            building: building.count(),
            publications: of(&self.counts.publications),
            published_octets: of(&self.counts.published_octets),
            fetched_files: of(&self.counts.fetched_files),
            fetched_octets: of(&self.counts.fetched_octets),
            failures: of(&self.counts.failures),
        }
    }

    /// Has the shards looked at by those who work on them.
    pub(super) fn wake(&self) {
        self.look.notify_one();
    }

    pub(super) fn wake_builders(&self) {
        for slot in &self.slots {
            if slot.state.lock().own.is_some() {
                slot.wake.notify_one();
            }
        }
    }
}

impl Search {
    /// Follows and builds shards until the future is dropped.
    pub(crate) async fn run_shared(self: &Arc<Self>) {
        let Some(shared) = self.shared() else {
            return std::future::pending().await;
        };
        let shards = shared.numbers().map(|shard| self.run_shard(shard));
        let all = futures_util::future::join_all(shards);
        futures_util::future::join(self.run_looking(), all).await;
    }

    async fn run_looking(self: &Arc<Self>) {
        let Some(shared) = self.shared() else {
            return;
        };
        loop {
            if let Err(error) = self.look_who_builds().await {
                tracing::warn!(%error, "it could not be looked who builds which part of the search index");
            }
            shared.slots.iter().for_each(|slot| slot.wake.notify_one());
            tokio::select! {
                () = tokio::time::sleep(shared.cluster.settings.beat_every) => {}
                () = shared.look.notified() => {}
            }
        }
    }

    async fn run_shard(self: &Arc<Self>, shard: u16) {
        let Some(shared) = self.shared() else {
            return;
        };
        let mut pause = PAUSE.0;
        loop {
            shared.slot(shard).wake.notified().await;
            match self.tend(shard, false).await {
                Ok(()) => pause = PAUSE.0,
                Err(error) => {
                    shared.counts.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(shard, %error, "a search shard is not up to date, and is tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                    shared.slot(shard).wake.notify_one();
                }
            }
        }
    }

    /// Does at once what would be done by and by: who builds is looked at, what waits is indexed, published and fetched.
    pub async fn tend_shards(self: &Arc<Self>) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        self.look_who_builds().await?;
        for shard in shared.numbers() {
            self.tend(shard, false).await?;
        }
        self.find_work(true).await?;
        self.index_pending().await?;
        for shard in shared.numbers() {
            self.tend(shard, true).await?;
        }
        Ok(())
    }

    /// Does to a shard what is to be done: builds it where this node has its lease, and else fetches what is new.
    /// `at_once`: publishes also if that was done a moment ago.
    async fn tend(self: &Arc<Self>, shard: u16, at_once: bool) -> Result<(), Error> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        let mut doing = shared.slot(shard).doing.lock().await;
        self.give_up_if_damaged(shard).await?;
        let lease = shared.slot(shard).state.lock().lease.clone();
        match lease {
            None => self.follow(shard, &mut doing).await,
            Some(lease) => self.build(shard, lease, &mut doing, at_once).await,
        }
    }
}
