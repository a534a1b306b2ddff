//! The accounts that are in memory: each with its writer and, when somebody reads mail, its view.
//!
//! Holds: there is one handle an account in this process; views take at most `VIEW_OCTETS_MAX`
//! together, the ones least recently used go first, and those that nobody uses go after
//! `VIEW_ROUNDS_MAX`; a view that is read has all that this process has committed, and all that it has heard other nodes to have committed.
//! Other half: `store::account` commits, and calls `publish`; `cluster` hears of other nodes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use jmap_types::{AccountId, DataType, data_type::DataTypes};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use store::{
    AccountWriter, Committed, Head, Record as _,
    engine::{Engine, Key},
    keys,
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::{
    bus::Bus,
    cluster::Cluster,
    mail::view::{CatchUp, View, ViewEvent},
    metrics::Gauges,
};

/// Octets (estimated) that all views may take.
pub const VIEW_OCTETS_MAX: usize = 64 << 20;
/// Rounds of background work (about a minute each) that a view stays without being looked at.
pub const VIEW_ROUNDS_MAX: u32 = 10;
/// Heads that are read at once.
const HEADS_PER_READ: usize = 500;
/// Handles without a view that are kept: they cost little, and making one is a read.
const HANDLES_MAX: usize = 4096;

#[derive(Debug)]
pub struct AccountHandle {
    pub id: AccountId,
    pub writer: AccountWriter<ViewEvent>,
    engine: Arc<dyn Engine>,
    view: RwLock<Option<View>>,
    loading: AsyncMutex<()>,
    is_shared: bool,
    /// Held from the look at `$mdnsent` until it is set, so that an email is answered by one notification.
    pub mdn_turn: AsyncMutex<()>,
    used: AtomicU64,
    /// Rounds of background work since somebody looked at the view.
    rounds_unused: AtomicU32,
}

/// A view that is read: don't hold it across an await.
pub type ViewGuard<'h> = parking_lot::MappedRwLockReadGuard<'h, View>;

impl AccountHandle {
    /// The account's mail. Loads it when it isn't in memory.
    pub async fn view(&self) -> Result<ViewGuard<'_>, store::Error> {
        loop {
            self.catch_up().await?;
            if let Some(view) = self.loaded_view() {
                self.rounds_unused.store(0, Ordering::Relaxed);
                return Ok(view);
            }
            self.load().await?;
        }
    }

    /// Looks whether another node has committed what this one hasn't heard of. What is read after that has it.
    pub async fn look(&self) -> Result<(), store::Error> {
        if self.is_shared {
            let head = self.writer.stored_head().await?;
            self.writer.told(head.revision.unwrap_or(0));
        }
        Ok(())
    }

    fn is_behind(&self) -> bool {
        let newest = self.writer.newest();
        self.is_shared
            && self
                .loaded_view()
                .is_some_and(|view| view.head.revision.unwrap_or(0) < newest)
    }

    /// Brings a view that is loaded up to what is known of other nodes.
    async fn catch_up(&self) -> Result<(), store::Error> {
        if !self.is_behind() {
            return Ok(());
        }
        let _one_at_a_time = self.loading.lock().await;
        while self.is_behind() {
            let Some(since) = self.loaded_view().map(|view| view.head.clone()) else {
                return Ok(());
            };
            let snapshot = self.engine.snapshot().await?;
            let news = CatchUp::read(&*snapshot, self.id, &since).await?;
            let mut view = self.view.write();
            let Some(current) = view.as_mut() else {
                return Ok(());
            };
            let revision = current.head.revision.unwrap_or(0);
            match news {
                // It was loaded before other nodes shared the account, or the log is too short.
                None => *view = None,
                // A commit of our own was faster.
                Some(_) if current.head != since => {}
                // There is nothing newer: the account is being removed.
                Some(news) if news.head.revision.unwrap_or(0) <= revision => return Ok(()),
                Some(news) => current.catch_up(news),
            }
        }
        Ok(())
    }

    /// The view, when it is in memory.
    pub fn loaded_view(&self) -> Option<ViewGuard<'_>> {
        RwLockReadGuard::try_map(self.view.read(), Option::as_ref).ok()
    }

    async fn load(&self) -> Result<(), store::Error> {
        let _one_at_a_time = self.loading.lock().await;
        if self.view.read().is_some() {
            return Ok(());
        }
        // While our own commits stand still, none of them falls between the snapshot and the view. Those of other nodes are caught up with.
        let _still = self.writer.pause_commits().await;
        let snapshot = self.engine.snapshot().await?;
        let view = View::load(&*snapshot, self.id).await?;
        self.writer.told(view.head.revision.unwrap_or(0));
        *self.view.write() = Some(view);
        Ok(())
    }

    /// The account's state as of the last commit.
    pub async fn head(&self) -> Result<Head, store::Error> {
        self.catch_up().await?;
        if let Some(view) = self.loaded_view() {
            return Ok(view.head.clone());
        }
        match self.writer.stored_head().await {
            // Invariant 5: the account can still be read.
            Err(store::Error::Corrupt { .. }) => Ok(self.view().await?.head.clone()),
            head => head,
        }
    }

    fn publish(&self, committed: &mut [Committed<ViewEvent>]) {
        let mut view = self.view.write();
        let Some(view) = view.as_mut() else {
            return;
        };
        if self.is_shared {
            let revision = |head: &Head| head.revision.unwrap_or(0);
            let of_group = committed.last().map_or(0, |last| revision(&last.head));
            // Another node has committed in between: whoever reads next catches up with all of it.
            if revision(&view.head) + 1 != of_group {
                return;
            }
        }
        for transaction in committed {
            for event in transaction.events.drain(..) {
                view.apply(transaction.sequence, event);
            }
            view.head = transaction.head.clone();
        }
    }

    /// The view is loaded anew when somebody asks.
    pub(crate) fn forget_view(&self) {
        self.unload();
    }

    fn unload(&self) -> bool {
        self.view.write().take().is_some()
    }
}

/// All handles of the process.
#[derive(Debug)]
pub struct Accounts {
    engine: Arc<dyn Engine>,
    handles: Mutex<HashMap<AccountId, Arc<AccountHandle>>>,
    bus: Arc<Bus>,
    tick: AtomicU64,
    touched: Notify,
    this: Weak<Accounts>,
    /// `None`: this process has the database alone.
    cluster: Option<Arc<Cluster>>,
}

impl Accounts {
    pub fn new(engine: Arc<dyn Engine>, bus: Arc<Bus>, cluster: Option<Arc<Cluster>>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            engine,
            handles: Mutex::default(),
            bus,
            tick: AtomicU64::new(0),
            touched: Notify::new(),
            this: this.clone(),
            cluster,
        })
    }

    /// The handle of an account. It needn't exist: the caller has found that out.
    pub fn handle(&self, id: AccountId) -> Arc<AccountHandle> {
        let tick = self.tick.fetch_add(1, Ordering::Relaxed);
        self.touched.notify_one();
        let mut handles = self.handles.lock();
        let handle = handles.entry(id).or_insert_with(|| self.make(id)).clone();
        handle.used.store(tick, Ordering::Relaxed);
        if handles.len() > HANDLES_MAX {
            forget_oldest(&mut handles, id);
        }
        handle
    }

    /// How often an account was asked for.
    pub fn touches(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Waits until an account is asked for, or was since the last time.
    pub async fn touched(&self) {
        self.touched.notified().await;
    }

    fn make(&self, id: AccountId) -> Arc<AccountHandle> {
        let accounts = self.this.clone();
        let sink = Arc::new(move |account, committed| {
            if let Some(accounts) = accounts.upgrade() {
                accounts.publish(account, committed);
            }
        });
        let engine = self.engine.clone();
        let writer = match &self.cluster {
            Some(cluster) => AccountWriter::of_node(id, engine, sink, cluster.session()),
            None => AccountWriter::new(id, engine, sink),
        };
        Arc::new(AccountHandle {
            id,
            writer,
            is_shared: self.cluster.is_some(),
            engine: self.engine.clone(),
            view: RwLock::new(None),
            loading: AsyncMutex::new(()),
            mdn_turn: AsyncMutex::new(()),
            used: AtomicU64::new(0),
            rounds_unused: AtomicU32::new(0),
        })
    }

    /// Transactions are on disk: the view and the subscribers learn of it.
    fn publish(&self, account: AccountId, mut committed: Vec<Committed<ViewEvent>>) {
        let handle = self.handles.lock().get(&account).cloned();
        if committed.is_empty() {
            // Nobody knows what is on disk: the view is loaded anew when somebody asks.
            if let Some(handle) = handle {
                handle.unload();
            }
            return;
        }
        if let Some(handle) = handle {
            handle.publish(&mut committed);
        }
        let types = committed
            .iter()
            .flat_map(|c| &c.changes)
            .filter_map(|change| change.data_type());
        let mut types: DataTypes = types.collect();
        let Some(last) = committed.last() else {
            return;
        };
        if let Some(cluster) = &self.cluster {
            // Of what other nodes have done before this, nobody else tells.
            types = cluster
                .learn(account, &last.head)
                .iter()
                .fold(types, DataTypes::with);
            cluster.tell_account(account, last.head.revision.unwrap_or(0));
        }
        if !types.is_empty() {
            self.bus.publish(account, types, &last.head);
        }
    }

    /// Other nodes have committed something to these accounts, it may be: views and subscribers learn of what is new.
    pub async fn others_wrote(&self, accounts: &[AccountId]) -> Result<(), store::Error> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        for accounts in accounts.chunks(HEADS_PER_READ) {
            let rows: Vec<Key> = accounts
                .iter()
                .map(|&account| keys::head(account))
                .collect();
            let heads = self.engine.multi_get(&rows).await?;
            for ((&account, row), bytes) in accounts.iter().zip(&rows).zip(heads) {
                let Some(bytes) = bytes else {
                    continue;
                };
                match Head::from_bytes(row, &bytes) {
                    Ok(head) => self.other_wrote(cluster, account, &head),
                    // Invariant 5: the other accounts go on.
                    Err(error) => tracing::error!(%error, "an account can't be followed"),
                }
            }
        }
        Ok(())
    }

    fn other_wrote(&self, cluster: &Cluster, account: AccountId, head: &Head) {
        let handle = self.handles.lock().get(&account).cloned();
        if let Some(handle) = handle {
            handle.writer.told(head.revision.unwrap_or(0));
        }
        let types = cluster.learn(account, head);
        if !types.is_empty() {
            self.bus.publish(account, types, head);
        }
    }

    /// The accounts that are in memory.
    pub fn in_memory(&self) -> Vec<AccountId> {
        self.handles.lock().keys().copied().collect()
    }

    /// How many accounts and views there are in memory.
    pub fn gauges(&self) -> Gauges {
        let handles: Vec<Arc<AccountHandle>> = self.handles.lock().values().cloned().collect();
        let mut gauges = Gauges {
            accounts: handles.len(),
            ..Gauges::default()
        };
        for handle in handles {
            if let Some(view) = handle.loaded_view() {
                gauges.views += 1;
                gauges.view_octets += view.octets();
            }
        }
        gauges
    }

    /// Takes views out of memory until they fit, and those that nobody looks at any more; called by
    /// background work once in each of its rounds.
    pub fn shrink(&self, octets_max: usize) {
        let mut handles: Vec<Arc<AccountHandle>> = self.handles.lock().values().cloned().collect();
        handles
            .sort_unstable_by_key(|handle| std::cmp::Reverse(handle.used.load(Ordering::Relaxed)));
        let mut octets = 0;
        for handle in handles {
            let Some(of_view) = handle.loaded_view().map(|view| view.octets()) else {
                continue;
            };
            octets += of_view;
            let rounds = handle.rounds_unused.fetch_add(1, Ordering::Relaxed) + 1;
            let goes = octets > octets_max || rounds > VIEW_ROUNDS_MAX;
            if goes && handle.unload() {
                octets -= of_view;
                tracing::debug!(account = %handle.id, "a mail view was taken out of memory");
            }
        }
    }
}

/// A handle that others still hold must stay the only one of its account.
fn forget_oldest(handles: &mut HashMap<AccountId, Arc<AccountHandle>>, keep: AccountId) {
    let unused = handles.iter().filter(|(id, handle)| {
        **id != keep && Arc::strong_count(handle) == 1 && handle.writer.is_idle()
    });
    let oldest = unused
        .min_by_key(|(_, handle)| handle.used.load(Ordering::Relaxed))
        .map(|(id, _)| *id);
    if let Some(id) = oldest {
        handles.remove(&id);
    }
}

/// RFC 8620 §7.1: the types of which a client hears.
pub const PUSHED: &[DataType] = DataType::ALL;

#[cfg(test)]
mod tests {
    use super::*;
    use store::engine::MemoryEngine;

    async fn with_views(count: u64) -> (Arc<Accounts>, Vec<Arc<AccountHandle>>) {
        let engine: Arc<dyn Engine> = MemoryEngine::new();
        let accounts = Accounts::new(engine, Arc::new(Bus::default()), None);
        let handles: Vec<_> = (1..=count)
            .map(|id| accounts.handle(AccountId::new(id)))
            .collect();
        for handle in &handles {
            drop(handle.view().await.unwrap());
        }
        (accounts, handles)
    }

    #[tokio::test]
    async fn a_view_that_nobody_looks_at_goes_after_its_rounds() {
        let (accounts, handles) = with_views(2).await;
        for _ in 0..VIEW_ROUNDS_MAX {
            accounts.shrink(VIEW_OCTETS_MAX);
        }
        assert_eq!(accounts.gauges().views, 2);
        drop(handles[0].view().await.unwrap());
        accounts.shrink(VIEW_OCTETS_MAX);
        assert!(handles[0].loaded_view().is_some() && handles[1].loaded_view().is_none());
        drop(handles[1].view().await.unwrap());
        assert_eq!(accounts.gauges().views, 2);
    }

    #[tokio::test]
    async fn views_past_the_limit_go_the_least_recently_used_first() {
        let (accounts, handles) = with_views(3).await;
        accounts.handle(AccountId::new(1));
        let octets = handles[0].view().await.unwrap().octets();
        accounts.shrink(3 * octets);
        assert_eq!(accounts.gauges().views, 3);
        accounts.shrink(2 * octets);
        let loaded: Vec<bool> = handles.iter().map(|h| h.loaded_view().is_some()).collect();
        assert_eq!(loaded, [true, false, true]);
    }
}
