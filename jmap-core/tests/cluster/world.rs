//! Some cores over one engine, as nodes of a cluster are.
//!
//! Holds: nothing is shared between them but the engine, the clock and, where a test wants it, a way for notices.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::{
    Caller, Core, Handle, Limits, Parts,
    auth::{AuthError, Credentials, Origin, Protocol, Secret},
    clock::{Clock, TestClock, UtcMillis},
    cluster::{LocalNotices, Notices, Settings},
    directory::NewAccount,
    inproc::deliver::{Inbound, Recipient},
    rng::SeededRng,
};
use jmap_types::{AccountId, Arguments, Value, method::MethodResponse};
use serde_json::json;
use store::{
    blob::{
        BlobEngine, BlobSettings, OutsideSettings, Source,
        keyring::{Keyring, MasterKey},
    },
    engine::{
        Batch, CommitError, Engine, EngineError, Key, MemoryEngine, Page, Snapshot, SplitMix64,
        Write,
    },
    search::{SearchIndex, SearchOptions},
};
use tokio::sync::Notify;

pub const ADDRESS: &str = "alice@example.org";
pub const OTHER_ADDRESS: &str = "bob@example.org";

/// An engine over a network: whatever is asked takes some time, so that nodes come in between.
#[derive(Debug)]
pub struct Distant {
    memory: Arc<MemoryEngine>,
    dice: AtomicU64,
}

impl Distant {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryEngine::new(),
            dice: AtomicU64::new(seed),
        })
    }

    async fn travel(&self) {
        let seed = self
            .dice
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        match SplitMix64(seed).below(8) {
            0 => tokio::time::sleep(Duration::from_millis(1)).await,
            1..4 => tokio::task::yield_now().await,
            _ => {}
        }
    }
}

#[async_trait]
impl Engine for Distant {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.travel().await;
        self.memory.get(key).await
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.travel().await;
        self.memory.multi_get(keys).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.travel().await;
        self.memory.scan(page).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.travel().await;
        self.memory.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.travel().await;
        self.memory.commit(batch).await?;
        self.travel().await;
        Ok(())
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

/// One node's way to the engine. When it is cut, nothing of that node gets through any more, and it gets no answers: it is dead.
#[derive(Debug)]
pub struct Link {
    engine: Arc<Distant>,
    is_cut: AtomicBool,
    /// Reading rows that begin so is a bug, so often.
    bug: Mutex<Option<(Key, usize)>>,
    stop: Mutex<Option<Stop>>,
}

/// Where the node is stopped, once.
#[derive(Debug)]
struct Stop {
    /// What the keys begin with.
    prefix: Key,
    is_write: bool,
    stopped: Arc<Stopped>,
}

/// Something that a node does stands still, until it is let go.
#[derive(Debug, Default)]
pub struct Stopped {
    reached: Notify,
    going_on: Notify,
}

impl Stopped {
    /// Waits until it stands still.
    pub async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(60), self.reached.notified());
        reached.await.expect("it doesn't get there");
    }

    pub fn go_on(&self) {
        self.going_on.notify_one();
    }
}

impl Link {
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// Whoever reads a row that begins so panics, the next times.
    pub fn panic_at(&self, prefix: Key, times: usize) {
        *self.bug.lock().expect("poisoned") = Some((prefix, times));
    }

    /// Stops whoever reads a row that begins so, when it was read.
    pub fn stop_reading(&self, prefix: Key) -> Arc<Stopped> {
        self.stop_at(prefix, false)
    }

    /// Stops whoever writes to a row that begins so, before it is written.
    pub fn stop_writing(&self, prefix: Key) -> Arc<Stopped> {
        self.stop_at(prefix, true)
    }

    fn stop_at(&self, prefix: Key, is_write: bool) -> Arc<Stopped> {
        let stopped = Arc::new(Stopped::default());
        *self.stop.lock().expect("poisoned") = Some(Stop {
            prefix,
            is_write,
            stopped: stopped.clone(),
        });
        stopped
    }

    async fn meet_stop(&self, is_it: impl Fn(&Stop) -> bool) {
        let stop = self
            .stop
            .lock()
            .expect("poisoned")
            .take_if(|stop| is_it(stop));
        if let Some(stop) = stop {
            stop.stopped.reached.notify_one();
            stop.stopped.going_on.notified().await;
        }
    }

    /// How often that is still to come.
    pub fn panics_left(&self) -> usize {
        let bug = self.bug.lock().expect("poisoned");
        bug.as_ref().map_or(0, |(_, times)| *times)
    }

    fn meet_bug(&self, key: &[u8]) {
        let is_met = match &mut *self.bug.lock().expect("poisoned") {
            Some((prefix, times)) if *times > 0 && key.starts_with(prefix) => {
                *times -= 1;
                true
            }
            _ => false,
        };
        assert!(!is_met, "a bug");
    }

    async fn pass(&self) {
        if self.is_cut.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }
}

#[async_trait]
impl Engine for Link {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.pass().await;
        self.meet_bug(key);
        let found = self.engine.get(key).await;
        self.meet_stop(|stop| !stop.is_write && key.starts_with(&stop.prefix))
            .await;
        found
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.pass().await;
        self.engine.multi_get(keys).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.pass().await;
        self.engine.scan(page).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.pass().await;
        self.engine.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.pass().await;
        let writes = |stop: &Stop, write: &Write| match write {
            Write::Put(key, _) | Write::Delete(key) => key.starts_with(&stop.prefix),
            Write::DeleteRange(_) | Write::Add(..) => false,
        };
        self.meet_stop(|stop| {
            stop.is_write && batch.writes.iter().any(|write| writes(stop, write))
        })
        .await;
        let done = self.engine.commit(batch).await;
        self.pass().await;
        done
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

/// A clock that is some milliseconds ahead of another one, or behind it.
#[derive(Debug)]
struct Wrong {
    clock: Arc<TestClock>,
    ahead_ms: i64,
}

impl Clock for Wrong {
    fn now(&self) -> UtcMillis {
        UtcMillis(self.clock.now().0 + self.ahead_ms)
    }

    fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }
}

/// Names of objects, which are never the same.
#[derive(Debug)]
struct Dice;

impl Source for Dice {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000
    }

    fn fill(&self, out: &mut [u8]) {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let number = DRAWN.fetch_add(1, Ordering::Relaxed);
        blake3::Hasher::new_derive_key("dice of a test")
            .update(&number.to_le_bytes())
            .finalize_xof()
            .fill(out);
    }
}

/// A node, and somebody who has logged in there.
pub struct Node {
    pub core: Core,
    pub link: Arc<Link>,
    pub who: Caller,
    pub folder: tempfile::TempDir,
    pub index: Arc<SearchIndex>,
}

pub struct World {
    pub engine: Arc<Distant>,
    pub clock: Arc<TestClock>,
    pub nodes: Vec<Node>,
    pub account: AccountId,
    pub other: AccountId,
    pub token: Secret<String>,
    pub notices: Option<Arc<dyn Notices>>,
    /// Where published shards of the search index go, and how many there are.
    objects: Option<OutsideSettings>,
    pub shards: u16,
    made: u64,
    seed: u64,
}

impl World {
    pub async fn new(seed: u64, nodes: usize, notices: Option<LocalNotices>) -> Self {
        Self::with_objects(seed, nodes, notices, None, 1).await
    }

    /// One whose nodes share an object store, for the search index alone: mail is in the engine.
    pub async fn with_objects(
        seed: u64,
        nodes: usize,
        notices: Option<LocalNotices>,
        objects: Option<OutsideSettings>,
        shards: u16,
    ) -> Self {
        let engine = Distant::new(seed);
        let clock = Arc::new(TestClock::new(UtcMillis(1_700_000_000_000)));
        let mut world = Self {
            engine,
            clock,
            nodes: Vec::new(),
            account: AccountId::new(0),
            other: AccountId::new(0),
            token: Secret::new(String::new()),
            notices: notices.map(|notices| Arc::new(notices) as Arc<dyn Notices>),
            objects,
            shards,
            made: 0,
            seed,
        };
        let folder = tempfile::tempdir().expect("no temporary folder");
        let (core, link, index) = world.open(&folder, 0).await;
        let server = Caller::server();
        core.add_domain(&server, "example.org")
            .await
            .expect("no domain");
        let mut ids = Vec::new();
        for address in [ADDRESS, OTHER_ADDRESS] {
            let account = core
                .add_account(&server, NewAccount::person(address, None))
                .await;
            ids.push(account.expect("no account").id);
        }
        let token = core.add_token(&server, ids[0], "", None).await;
        world.token = token.expect("no token").secret;
        (world.account, world.other) = (ids[0], ids[1]);
        let who = login(&core, &world.token).await.expect("no login");
        world.nodes.push(Node {
            core,
            link,
            who,
            folder,
            index,
        });
        for _ in 1..nodes {
            world.add_node().await;
        }
        world
    }

    async fn open(
        &mut self,
        folder: &tempfile::TempDir,
        ahead_ms: i64,
    ) -> (Core, Arc<Link>, Arc<SearchIndex>) {
        self.made += 1;
        let link = Arc::new(Link {
            engine: self.engine.clone(),
            is_cut: AtomicBool::new(false),
            bug: Mutex::default(),
            stop: Mutex::default(),
        });
        let options = SearchOptions {
            shards: self.shards,
            ..SearchOptions::default()
        };
        let index = SearchIndex::open(&folder.path().join("search"), &options);
        let index = Arc::new(index.expect("no index"));
        let parts = Parts {
            push: Default::default(),
            engine: self.over(link.clone()).await,
            clock: Arc::new(Wrong {
                clock: self.clock.clone(),
                ahead_ms,
            }),
            rng: Arc::new(SeededRng::new(self.seed * 1000 + self.made)),
            limits: Limits {
                default_quota_octets: 1 << 40,
                ..Limits::default()
            },
            hostname: "mail.example.org".to_owned(),
            search: index.clone(),
        };
        let name = format!("node {}", self.made);
        let mut settings = Settings::new(folder.path().to_owned(), &name);
        settings.notices = self.notices.clone();
        // What is to happen by polling, the tests do themselves.
        settings.poll_every = Duration::from_secs(3600);
        settings.check_every = Duration::from_secs(3600);
        let core = Core::open_node(parts, settings).await;
        (core.expect("a node can't be opened"), link, index)
    }

    async fn over(&self, link: Arc<Link>) -> Arc<dyn Engine> {
        let Some(outside) = &self.objects else {
            return link;
        };
        let mut keyring = Keyring::none();
        let key = keyring.add("test", MasterKey::new([7; 32]));
        key.expect("no key");
        let settings = BlobSettings {
            outside: Some(outside.clone()),
            writes_outside: true,
            threshold: u64::MAX,
            cache: None,
            keyring,
            source: Arc::new(Dice),
        };
        let opened = BlobEngine::open(link, settings).await;
        opened.expect("the object store can't be opened")
    }

    /// The process of a node ends without a word, and another one begins in its folder.
    pub async fn restart(&mut self, node: usize) {
        let old = self.nodes.remove(node);
        old.link.cut();
        let Node {
            core,
            folder,
            index,
            ..
        } = old;
        drop((core, index));
        let (core, link, index) = self.open(&folder, 0).await;
        let who = login(&core, &self.token).await.expect("no login");
        let node_again = Node {
            core,
            link,
            who,
            folder,
            index,
        };
        self.nodes.insert(node, node_again);
    }

    pub async fn add_node(&mut self) {
        self.add_node_ahead(0).await;
    }

    /// A node whose clock is ahead of that of the others, in milliseconds.
    pub async fn add_node_ahead(&mut self, ahead_ms: i64) {
        let folder = tempfile::tempdir().expect("no temporary folder");
        let (core, link, index) = self.open(&folder, ahead_ms).await;
        let who = login(&core, &self.token).await.expect("no login");
        self.nodes.push(Node {
            core,
            link,
            who,
            folder,
            index,
        });
    }

    /// Each node looks what the others have done.
    pub async fn poll(&self) {
        for node in &self.nodes {
            node.core.poll_once().await.expect("no poll");
        }
    }

    /// As when a node beats and looks around, again and again.
    pub async fn beat(&self) {
        for node in &self.nodes {
            node.core.beat_once().await.expect("no beat");
        }
    }

    pub fn recipient(&self, address: &str) -> Recipient {
        let target = match address {
            ADDRESS => self.account,
            _ => self.other,
        };
        Recipient {
            address: address.to_owned(),
            targets: vec![target],
        }
    }
}

impl Node {
    /// A call that must work.
    pub async fn call<C: Handle>(
        &self,
        world: &World,
        arguments: serde_json::Value,
    ) -> serde_json::Value {
        let result = self.try_call::<C>(world.account, arguments.clone()).await;
        result.unwrap_or_else(|error| panic!("{} {arguments}: {error}", C::NAME))
    }

    pub async fn try_call<C: Handle>(
        &self,
        account: AccountId,
        mut arguments: serde_json::Value,
    ) -> Result<serde_json::Value, serde_json::Value> {
        arguments["accountId"] = json!(account.to_string());
        // The values borrow from their text for ever: what a test uses.
        let map = Value::parse_json(arguments.to_string().leak()).expect("bad JSON");
        let map = map.into_object().expect("no object");
        let result = match C::from_arguments(Arguments::new(map)) {
            Ok(call) => self.core.call(&self.who, call).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(response) => Ok(json_of(response.into_map())),
            Err(error) => Err(json_of(error.into_map())),
        }
    }

    pub async fn deliver(&self, recipients: Vec<Recipient>, message: String) {
        let inbound = Inbound {
            mail_from: Some("carol@example.net".to_owned()),
            recipients,
            message: message.into(),
            peer: None,
            is_junk: false,
            answers_each: false,
            arrival: Default::default(),
        };
        for result in self.core.deliver(inbound).await {
            result.expect("a message was not delivered");
        }
    }
}

fn json_of(map: jmap_types::value::Map) -> serde_json::Value {
    serde_json::to_value(Value::Object(map)).expect("no JSON")
}

pub async fn login(core: &Core, token: &Secret<String>) -> Result<Caller, AuthError> {
    let origin = Origin {
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        protocol: Protocol::Jmap,
        tls: false,
    };
    let token = token.clone();
    let authzid = None;
    core.login(Credentials::Bearer { authzid, token }, origin)
        .await
}

pub fn text(value: &serde_json::Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("not a string: {value}"))
        .to_owned()
}

pub fn message(message_id: &str, body: &str) -> String {
    format!(
        "From: carol@example.net\r\nTo: {ADDRESS}\r\nMessage-ID: <{message_id}>\r\nSubject: thread\r\n\r\n{body}\r\n"
    )
}
