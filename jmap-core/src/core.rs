//! `Core`: all that an adapter ever holds, beside a `Caller`.
//!
//! Holds: account lookup and access are checked here, once, before any handler runs.
//! Other half: the handlers, one module a method family.

use std::{
    future::Future,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use jmap_types::{
    AccountId, MethodError, MethodErrorKind,
    data_type::DataTypes,
    method::{Access, MethodCall},
};
use store::{
    engine::{Engine, EngineError},
    search::SearchIndex,
    shards::Shards,
};
use tracing::Instrument as _;

use crate::{
    access::{self, Standing},
    accounts::{AccountHandle, Accounts},
    admin::Audit,
    alert::Alerts,
    auth::{oauth::OAuth, scram},
    bans::Bans,
    bus::{Bus, Subscription},
    caller::Caller,
    clock::Clock,
    cluster::{self, Cluster},
    directory::{Directory, dkim::Signing},
    inproc::{self, imap_view::Structures, outbound::Outbound, queue::Queue},
    limits::Limits,
    mail::{
        email::Summaries,
        forward::Srs,
        search::{Cursors, Search},
        sieve,
        submission::SendingRate,
    },
    metrics::Metrics,
    push::{Push, PushConfig},
    reports::Reports,
    rng::Rng,
    sessions::Sessions,
    settings::Settings,
    trace::Trace,
    webhook::Webhooks,
    work::supervisor::Supervisor,
};

/// The core of a running server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Core(Arc<Inner>);

/// What a core is made of: nothing is taken from the environment behind its back.
pub struct Parts {
    pub engine: Arc<dyn Engine>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub limits: Limits,
    /// The name that the server goes by in what it writes into mail.
    pub hostname: String,
    pub search: Arc<SearchIndex>,
    pub push: PushConfig,
}

#[derive(Debug)]
pub struct Inner {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    limits: ArcSwap<Limits>,
    hostname: ArcSwap<String>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) bus: Arc<Bus>,
    /// `None`: no other process has the database.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) directory: Directory,
    pub(crate) search: Arc<Search>,
    pub(crate) summaries: Summaries,
    pub(crate) structures: Structures,
    pub(crate) push: Arc<Push>,
    pub metrics: Metrics,
    /// Keeps what works in the background.
    pub supervisor: Supervisor,
    pub(crate) queue: Queue,
    pub(crate) sending: SendingRate,
    pub(crate) sieve: sieve::Interpreter,
    pub(crate) srs: Srs,
    pub(crate) reports: Reports,
    pub(crate) trace: Trace,
    pub(crate) settings: Settings,
    pub(crate) audit: Audit,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) bans: Bans,
    pub(crate) oauth: OAuth,
    pub(crate) webhooks: Webhooks,
    pub(crate) alerts: Alerts,
    /// One repair at a time.
    pub(crate) repairing: tokio::sync::Mutex<()>,
    pub(crate) backup_holds: inproc::backup::Holds,
    pub(crate) resuming: parking_lot::Mutex<inproc::deliver::Resuming>,
    /// The account at which purging deleted emails goes on.
    pub(crate) purged_upto: AtomicU64,
    /// In one more `Arc`, as what is swapped has to have a size.
    pub(crate) outbound: ArcSwapOption<Arc<dyn Outbound>>,
    pub(crate) signing: OnceLock<Signing>,
}

impl std::ops::Deref for Core {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What a method call does. The checks of [`Core::call`] are behind it.
pub trait Handle: MethodCall {
    fn handle(
        self,
        context: Context,
    ) -> impl Future<Output = Result<Self::Response, MethodError>> + Send;
}

/// What a handler works with.
#[derive(Clone, Debug)]
pub struct Context {
    pub core: Core,
    pub who: Caller,
    /// The account of the call, and what the caller is to it; `None` for calls without one.
    target: Option<(Arc<AccountHandle>, Standing)>,
}

impl Context {
    pub fn account(&self) -> Result<&Arc<AccountHandle>, MethodError> {
        self.target
            .as_ref()
            .map(|(account, _)| account)
            .ok_or_else(no_account)
    }

    pub fn standing(&self) -> Result<Standing, MethodError> {
        self.target
            .as_ref()
            .map(|(_, standing)| *standing)
            .ok_or_else(no_account)
    }
}

fn no_account() -> MethodError {
    MethodErrorKind::ServerFail.into()
}

impl Core {
    /// Opens the core over a store: checks its format, and takes up what was left half-done.
    pub async fn open(parts: Parts) -> Result<Self, store::Error> {
        Self::open_with(parts, None).await
    }

    /// Opens one of several cores, each in a process of its own, over a store that they share.
    pub async fn open_node(
        parts: Parts,
        settings: cluster::Settings,
    ) -> Result<Self, store::Error> {
        Self::open_with(parts, Some(settings)).await
    }

    async fn open_with(
        parts: Parts,
        settings: Option<cluster::Settings>,
    ) -> Result<Self, store::Error> {
        store::format::open(&parts.engine).await?;
        let bus = Arc::new(Bus::default());
        let cluster = match settings {
            None => None,
            Some(settings) => {
                Some(Cluster::open(settings, &parts.engine, &parts.clock, &*parts.rng).await?)
            }
        };
        let shards = Shards::over(&parts.engine, &parts.search);
        let cursors = match (&cluster, shards) {
            (Some(cluster), Some(shards)) => {
                let folder = cluster.settings.folder.clone();
                Cursors::of_shards(&folder, shards, cluster.clone()).await?
            }
            (cluster, _) => {
                let forgotten = parts.search.forget_copies();
                forgotten.map_err(|error| EngineError::Io(error.to_string().into()))?;
                match cluster {
                    None => Cursors::of_store(parts.engine.clone()),
                    Some(cluster) => Cursors::of_node(&cluster.settings.folder)?,
                }
            }
        };
        let accounts = Accounts::new(parts.engine.clone(), bus.clone(), cluster.clone());
        let scram_key = scram::key::load(&parts.engine, &*parts.rng).await?;
        let srs = Srs::of_server(scram_key.expose());
        let directory = Directory::new(&parts.rng, &parts.clock, scram_key);
        let search = Search::open(parts.search, parts.engine.clone(), cursors).await?;
        bus.watch(search.clone());
        let push = Push::open(
            parts.push,
            &parts.engine,
            &parts.clock,
            &parts.rng,
            cluster.clone(),
        )
        .await?;
        bus.watch(push.clone());
        let webhooks = Webhooks::open(&parts.engine).await?;
        inproc::queue::count_once(&parts.engine).await?;
        let queue = match &cluster {
            Some(cluster) => Queue::of_node(cluster.clone(), &parts.clock),
            None => Queue::new(&*parts.rng, &parts.clock, parts.engine.is_exclusive()),
        };
        let core = Self(Arc::new(Inner {
            sessions: Sessions::new(parts.clock.clone(), parts.rng.clone()),
            supervisor: Supervisor::new(parts.clock.clone()),
            engine: parts.engine,
            clock: parts.clock,
            rng: parts.rng,
            limits: ArcSwap::from_pointee(parts.limits),
            hostname: ArcSwap::from_pointee(parts.hostname),
            accounts,
            bus,
            cluster,
            directory,
            search,
            summaries: Summaries::default(),
            structures: Structures::default(),
            push,
            metrics: Metrics::default(),
            queue,
            sending: SendingRate::default(),
            sieve: sieve::Interpreter::default(),
            srs,
            reports: Reports::default(),
            trace: Trace::default(),
            settings: Settings::default(),
            audit: Audit::default(),
            bans: Bans::default(),
            oauth: OAuth::default(),
            webhooks,
            alerts: Alerts::default(),
            repairing: tokio::sync::Mutex::new(()),
            backup_holds: inproc::backup::Holds::default(),
            resuming: Default::default(),
            purged_upto: AtomicU64::new(0),
            outbound: ArcSwapOption::empty(),
            signing: OnceLock::new(),
        }));
        core.look_at_bans().await?;
        Ok(core)
    }

    /// Does what `call` says on behalf of `who`.
    pub async fn call<C: Handle>(&self, who: &Caller, call: C) -> Result<C::Response, MethodError> {
        access::may_use(who, C::NAME)?;
        let context = self.context(who, call.account_id(), C::ACCESS);
        let context = context.map_err(|error| match error.kind {
            MethodErrorKind::AccountNotFound => C::NO_ACCOUNT.into(),
            _ => error,
        })?;
        let span = tracing::info_span!(target: crate::span::TARGET, "call", method = C::NAME);
        call.handle(context).instrument(span).await
    }

    /// The context of a call that another one implies.
    pub(crate) fn context(
        &self,
        who: &Caller,
        account: Option<AccountId>,
        access: Access,
    ) -> Result<Context, MethodError> {
        let target = match account {
            Some(id) => {
                let standing = access::may_call(who, id, access)?;
                Some((self.accounts.handle(id), standing))
            }
            None => None,
        };
        Ok(Context {
            core: self.clone(),
            who: who.clone(),
            target,
        })
    }

    /// Who sends mail to other servers, from now on: what is being sent is finished by who has begun it. Until the first call such mail
    /// waits in the queue.
    pub fn send_with(&self, outbound: Arc<dyn Outbound>) {
        self.0.outbound.store(Some(Arc::new(outbound)));
    }

    /// What is too much, now.
    pub fn limits(&self) -> Arc<Limits> {
        self.0.limits.load_full()
    }

    /// What is too much, from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.0.limits.store(Arc::new(limits));
    }

    /// The name that the server goes by in what it writes into mail, now.
    pub fn hostname(&self) -> Arc<String> {
        self.0.hostname.load_full()
    }

    /// The same, from now on.
    pub fn set_hostname(&self, hostname: &str) {
        self.0.hostname.store(Arc::new(hostname.to_owned()));
    }

    /// Keeps the search index up to date; works until it is dropped.
    pub async fn run_indexing(&self) {
        crate::mail::search::run(self.search.clone()).await;
    }

    /// Changes of these types in all accounts that the caller can see.
    pub fn subscribe(&self, who: &Caller, types: DataTypes) -> Subscription {
        self.bus.subscribe(who.accounts().collect(), types)
    }
}
