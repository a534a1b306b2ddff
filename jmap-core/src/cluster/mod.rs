//! Several nodes over one database.
//!
//! Holds: a node that misses every notice is behind by [`Settings::poll_every`] at the most; what a node does under a lease counts only
//! while nobody has taken it for dead; no two nodes' clocks are compared.
//! Other half: `store::account::shared` keeps their transactions apart; `accounts` catches up.

mod lease;
mod notice;
mod records;
mod registry;
mod run;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jmap_types::{AccountId, DataType, data_type::DataTypes};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use store::{Head, engine::Engine, keys};
use tokio::sync::Notify;

pub(crate) use self::lease::{BACKUP, CERTIFICATE, PUSH, REPAIR, REPORTS, UPKEEP, WEBHOOKS};
use self::registry::Registry;
pub use self::{
    notice::{LocalNotices, NOTICE_OCTETS_MAX, Notice, NoticeError, NoticeStream, Notices, Packet},
    records::{LeaseRecord, NodeRecord},
    registry::NodeInfo,
};
use crate::{
    Core,
    clock::{Clock, UtcMillis},
    rng::Rng,
};

/// Accounts of which it is remembered what was told of them.
const KNOWN_MAX: usize = 65_536;
/// The name of the counter of changes of what is shared with whom.
pub(crate) const SHARING: &str = "sharing";

/// How a node works together with others.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the node keeps what is its own: its number, and how far its search index is.
    pub folder: PathBuf,
    /// What people call it.
    pub name: String,
    /// `None`: nodes hear of each other only by looking.
    pub notices: Option<Arc<dyn Notices>>,
    /// How often it is looked what others have done, without notices.
    pub poll_every: Duration,
    /// The same with notices, of which one may get lost.
    pub check_every: Duration,
    pub beat_every: Duration,
    /// A node that doesn't move for so long is taken for dead.
    pub dead_after: Duration,
}

impl Settings {
    pub fn new(folder: PathBuf, name: &str) -> Self {
        Self {
            folder,
            name: name.to_owned(),
            notices: None,
            poll_every: Duration::from_secs(1),
            check_every: Duration::from_secs(10),
            beat_every: Duration::from_secs(2),
            dead_after: Duration::from_secs(10),
        }
    }
}

/// What a process knows of the cluster that it is in.
#[derive(Debug)]
pub struct Cluster {
    pub settings: Settings,
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    registry: Registry,
    /// By account: the head of which subscribers were last told.
    known: Cache<AccountId, Arc<Head>>,
    outbox: Mutex<Outbox>,
    has_mail: Notify,
    /// Another node has gone, and with it what it was about to do.
    lost: Notify,
    is_connected: AtomicBool,
    /// The directory's counters, as they were last seen.
    directory: Mutex<Option<[u64; 2]>>,
    missed: AtomicU64,
}

/// What others have yet to be told.
#[derive(Debug, Default)]
struct Outbox {
    /// The newest revision by account.
    accounts: BTreeMap<AccountId, u64>,
    subscriptions: BTreeSet<AccountId>,
    directory: bool,
    queue: bool,
    search: bool,
    index: BTreeSet<AccountId>,
    settings: bool,
    bans: bool,
}

impl Outbox {
    fn take(&mut self) -> Vec<Notice> {
        let taken = std::mem::take(self);
        let accounts = taken.accounts.into_iter();
        let accounts = accounts.map(|(account, revision)| Notice::Account { account, revision });
        let subscriptions = taken.subscriptions.into_iter().map(Notice::Subscriptions);
        let directory = taken.directory.then_some(Notice::Directory);
        let queue = taken.queue.then_some(Notice::Queue);
        let search = taken.search.then_some(Notice::Search);
        accounts
            .chain(subscriptions)
            .chain(directory)
            .chain(queue)
            .chain(search)
            .chain(taken.index.into_iter().map(Notice::Index))
            .chain(taken.settings.then_some(Notice::Settings))
            .chain(taken.bans.then_some(Notice::Bans))
            .collect()
    }
}

impl Cluster {
    /// Takes the node into the registry.
    pub(crate) async fn open(
        settings: Settings,
        engine: &Arc<dyn Engine>,
        clock: &Arc<dyn Clock>,
        rng: &dyn Rng,
    ) -> Result<Arc<Self>, store::Error> {
        let registry = Registry::join(&settings, engine, clock, rng).await?;
        Ok(Arc::new(Self {
            settings,
            engine: engine.clone(),
            clock: clock.clone(),
            registry,
            known: Cache::new(KNOWN_MAX),
            outbox: Mutex::default(),
            has_mail: Notify::new(),
            lost: Notify::new(),
            is_connected: AtomicBool::new(false),
            directory: Mutex::default(),
            missed: AtomicU64::new(0),
        }))
    }

    /// The number of this process: no other one has it.
    pub fn session(&self) -> u64 {
        self.registry.session
    }

    /// Notes that subscribers are told of this head: the types that have changed since the last one.
    pub(crate) fn learn(&self, account: AccountId, head: &Head) -> DataTypes {
        let known = self.known.get(&account);
        let revision = |head: &Head| head.revision.unwrap_or(0);
        if known
            .as_ref()
            .is_some_and(|known| revision(known) >= revision(head))
        {
            return DataTypes::NONE;
        }
        let before = |data_type: DataType| known.as_ref().map_or(0, |head| head.state(data_type));
        let types = DataType::ALL.iter().copied();
        let changed = types.filter(|&data_type| head.state(data_type) > before(data_type));
        let changed = changed.collect();
        self.known.insert(account, Arc::new(head.clone()));
        changed
    }

    pub(crate) fn tell_account(&self, account: AccountId, revision: u64) {
        let mut outbox = self.outbox.lock();
        let newest = outbox.accounts.entry(account).or_default();
        *newest = (*newest).max(revision);
        drop(outbox);
        self.has_mail.notify_one();
    }

    pub(crate) fn tell_directory(&self) {
        self.outbox.lock().directory = true;
        self.has_mail.notify_one();
    }

    pub(crate) fn tell_settings(&self) {
        self.outbox.lock().settings = true;
        self.has_mail.notify_one();
    }

    pub(crate) fn tell_bans(&self) {
        self.outbox.lock().bans = true;
        self.has_mail.notify_one();
    }

    /// What an administrator has said of the queue.
    pub(crate) fn tell_queue(&self) {
        self.outbox.lock().queue = true;
        self.has_mail.notify_one();
    }

    /// A shard of the search index was published, or should be.
    pub(crate) fn tell_search(&self) {
        self.outbox.lock().search = true;
        self.has_mail.notify_one();
    }

    /// Somebody waits for an account to be indexed.
    pub(crate) fn tell_index(&self, account: AccountId) {
        self.outbox.lock().index.insert(account);
        self.has_mail.notify_one();
    }

    pub(crate) fn now(&self) -> UtcMillis {
        self.clock.now()
    }

    pub(crate) fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }

    /// Push subscriptions of an account have changed.
    pub(crate) fn tell_subscriptions(&self, account: AccountId) {
        self.outbox.lock().subscriptions.insert(account);
        self.has_mail.notify_one();
    }

    /// Waits until another node has gone.
    pub(crate) async fn lost_one(&self) {
        self.lost.notified().await;
    }

    /// Whether notices of other nodes arrive at the moment.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }

    fn look_every(&self) -> Duration {
        match self.is_connected() {
            true => self.settings.check_every,
            false => self.settings.poll_every,
        }
    }

    /// Whether the directory, or what is shared, is another one than when this was last asked.
    async fn has_other_directory(&self) -> Result<bool, store::Error> {
        let rows = [keys::meta(crate::directory::COUNTER), keys::meta(SHARING)];
        let mut now = [0; 2];
        let values = self.engine.multi_get(&rows).await?;
        for (counter, value) in now.iter_mut().zip(values) {
            let value = value.and_then(|bytes| <[u8; 8]>::try_from(&bytes[..]).ok());
            *counter = value.map_or(0, u64::from_be_bytes);
        }
        let before = self.directory.lock().replace(now);
        Ok(before != Some(now))
    }
}

impl Core {
    /// What is known of the cluster; `None`: this process has the database alone.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// Another node may have changed the directory: what is remembered of it counts no more then.
    pub(crate) async fn look_at_directory(&self) -> Result<(), store::Error> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        if cluster.has_other_directory().await? {
            self.others_changed_directory();
        }
        Ok(())
    }

    /// Says that this node goes, when it has stopped working: the others take over at once.
    pub async fn leave_cluster(&self) -> Result<(), store::Error> {
        match &self.cluster {
            Some(cluster) => cluster.leave().await,
            None => Ok(()),
        }
    }

    fn others_changed_directory(&self) {
        self.directory.count_up();
        self.bus.all_look_again();
    }
}
