//! Puts the server together, runs it until it is told to stop, and takes it apart again.
//!
//! Holds: the store is opened first and closed last; when a stop is asked for nothing new is accepted, what is under
//! way is finished within [`DRAIN_TIME`], and a second signal ends it at once. What was acknowledged is on disk in
//! every case. Whatever works until then is kept by `jmap_core`'s supervisor: a panic in one part ends no other.
//! Other half: `config` says how, `folder` where; `settings` says what has changed since.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use acme::Challenges;
use jmap_core::{
    Core, Parts, Way,
    clock::{Clock, SystemClock},
    cluster,
    push::{PushConfig, PushTransport, crypto::EndpointPolicy},
    rng::{Rng, SystemRng},
};
use mail_auth_adapter::{Dns, DnsSettings, Nameservers, Settings, Verifier};
use net::{
    Bind, Listener, ListenerConfig, Shutdown,
    listener::BindError,
    tls::{TlsError, TlsServer},
};
use store::search::{SearchIndex, SearchOptions};
use tokio::{
    signal::unix::SignalKind,
    sync::{Mutex, watch},
    task::JoinHandle,
};

use crate::{
    alerts, allocators,
    backups::{Tools, schedule::run_schedule},
    bans::CoreGate,
    blobs,
    cli::{control, execute::Target},
    config::{self, Config, Service, values::Listen},
    delivery::{self, DeliveryError},
    directories, engine,
    folder::{Folder, FolderError},
    listening::{Door, Listening, Shown, accept, plans},
    log,
    metrics::Sources,
    notices, otlp,
    publish::{self, Publisher},
    push_transport::HttpPushTransport,
    reports,
    settings::Live,
    tls::{self, CertificateError, Certificates, acme::AcmeError},
};

/// Time that connections get to finish when the server is told to stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(20);
/// How often the size of the database is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(60);
/// Permissions of sockets that the configuration names: for the server's user and group.
const SOCKET_MODE: u32 = 0o660;

/// Why the server can't start: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Acme(#[from] AcmeError),
    #[error("{0}{hint}", hint = hint(.0))]
    Bind(#[from] BindError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error("{0}")]
    Directory(String),
    #[error("signals can't be received: {0}")]
    Signals(std::io::Error),
}

fn hint(error: &BindError) -> &'static str {
    match error.source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are for root, or for a service with CAP_NET_BIND_SERVICE: try --quickstart, or other ports"
        }
        std::io::ErrorKind::AddrInUse => "; another program listens there",
        _ => "",
    }
}

/// Opens the store in a data folder, and the core over it, with the settings that the store has. Blocks while the database recovers.
pub async fn open(config: &Config, folder: &Folder) -> Result<(Core, Arc<Live>), FolderError> {
    // Before the search index is touched, which a newer version may have written as well.
    let engine = engine::open(config, folder).await?;
    let options = SearchOptions {
        shards: config.search.shards,
        writer_memory_octets: config.search.writer_memory.as_usize(),
    };
    let search = SearchIndex::open(&folder.search(), &options)
        .map_err(|error| FolderError::Search(folder.search(), error.to_string()))?;
    let parts = Parts {
        engine,
        clock: clock(),
        rng: rng(),
        limits: config.core_limits(),
        hostname: config.hostname.0.clone(),
        search: Arc::new(search),
        push: push(&config.push),
    };
    let core = match parts.engine.is_exclusive() {
        true => Core::open(parts).await,
        false => Core::open_node(parts, cluster_settings(config, folder)?).await,
    };
    let core = core.map_err(|error| folder.store_error(error))?;
    core.set_delivery(config.delivery.core());
    let live = Live::new(config);
    core.sign_with(publish::signing(live.current()));
    let begun = live.begin(&core).await;
    begun.map_err(|error| folder.store_error(error))?;
    webhooks_by(&core, &live.now().webhooks);
    Ok((core, live))
}

/// How this process works together with others that have the same database.
fn cluster_settings(config: &Config, folder: &Folder) -> Result<cluster::Settings, FolderError> {
    let of = &config.cluster;
    let name = of.name.clone().or_else(machine_name);
    let name = name.unwrap_or_else(|| config.hostname.0.clone());
    let mut settings = cluster::Settings::new(folder.path().to_owned(), &name);
    settings.poll_every = of.poll_interval.0;
    settings.check_every = of.check_interval.0;
    settings.beat_every = of.heartbeat.0;
    settings.dead_after = of.dead_after.0;
    if let Some(url) = notices_url(config).map_err(FolderError::Notices)? {
        settings.notices = Some(notices::of(&url).map_err(FolderError::Notices)?);
    }
    Ok(settings)
}

/// What this machine, or container, is called.
fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// What was configured, or the database itself, if that brings notices.
fn notices_url(config: &Config) -> Result<Option<String>, String> {
    let (url, password) = match (&config.cluster.notices, &config.store.url) {
        (Some(url), _) => (
            url.0.clone(),
            match &config.cluster.notices_password_file {
                None => None,
                Some(file) => Some(
                    delivery::password(file)
                        .map_err(|error| error.to_string())?
                        .expose()
                        .clone(),
                ),
            },
        ),
        (None, Some(url)) if is_postgres(&url.0) => {
            let password =
                engine::password(&config.store).map_err(|(_, error)| error.to_string())?;
            (url.0.clone(), password)
        }
        _ => return Ok(None),
    };
    match password {
        None => Ok(Some(url)),
        Some(password) => config::NoticesUrl(url).with_password(&password).map(Some),
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Which addresses pushes and reports may go to.
pub fn endpoint_policy(config: &config::Push) -> EndpointPolicy {
    match config.private_services {
        true => EndpointPolicy::AllowInsecure,
        false => EndpointPolicy::Public,
    }
}

/// Lets pushes go out in another way.
pub fn push_by(core: &Core, config: &config::Push) {
    let way = push(config);
    if let Some(transport) = way.transport {
        core.push_by(transport, way.policy);
    }
}

/// Webhooks are told over HTTP; a system without resolver or certificates does without.
pub fn webhooks_by(core: &Core, config: &config::Webhooks) {
    let policy = match config.private_services {
        true => EndpointPolicy::AllowInsecure,
        false => EndpointPolicy::Public,
    };
    match HttpPushTransport::new(policy) {
        Ok(transport) => core.tell_webhooks_by(Arc::new(transport), policy),
        Err(error) => tracing::warn!(%error, "webhooks can't be told"),
    }
}

/// Pushes go over HTTP; a system without resolver or certificates does without.
fn push(config: &config::Push) -> PushConfig {
    let policy = endpoint_policy(config);
    let transport = match HttpPushTransport::new(policy) {
        Ok(transport) => Some(Arc::new(transport) as Arc<dyn PushTransport>),
        Err(error) => {
            tracing::warn!(%error, "push subscriptions can't be made");
            None
        }
    };
    PushConfig {
        transport,
        policy,
        ..PushConfig::default()
    }
}

/// The one clock of the process.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The one source of randomness of the process.
pub fn rng() -> Arc<dyn Rng> {
    Arc::new(SystemRng)
}

/// A server whose sockets are open, and that doesn't serve yet.
pub struct Server {
    core: Core,
    sockets: Vec<(Service, Listener)>,
    control: Listener,
    live: Arc<Live>,
    listening: Listening,
}

impl Server {
    /// Opens all sockets. Connections wait in the kernel until [`Server::run`].
    pub async fn bind(live: Arc<Live>, folder: &Folder, core: Core) -> Result<Server, StartError> {
        let config = live.now();
        let certificates = Certificates::open(&config, folder, &core, clock()).await?;
        let orders = watch::Sender::new(tls::acme::settings(&config)?);
        let challenges = Challenges::new(core.clone());
        let server = |alpn| -> Result<TlsServer, TlsError> {
            let server = TlsServer::new(certificates.resolver(), alpn)?;
            Ok(server.answering(challenges.clone()))
        };
        let (tls, web_tls) = (server(&[])?, server(jmap::ALPN)?);
        let (mut doors, mut sockets) = (Vec::new(), Vec::new());
        for plan in plans(&config) {
            let door = Door::new(&plan);
            door.admission.guard(Arc::new(CoreGate(core.clone())));
            for place in plan.listen {
                let mut socket = ListenerConfig::new(plan.name, bind_of(place));
                socket.admission = door.admission.clone();
                socket.proxies = door.proxies.clone();
                match plan.service {
                    Service::Smtp | Service::Submission | Service::Lmtp => {
                        socket.goodbye = smtp::goodbye()
                    }
                    Service::Imap => socket.goodbye = imap::goodbye(),
                    Service::Pop3 => socket.goodbye = pop3::goodbye(),
                    Service::ManageSieve => socket.goodbye = managesieve::goodbye(),
                    Service::Submissions | Service::Imaps | Service::Pop3s => {
                        socket.tls = Some(tls.clone())
                    }
                    Service::Https => socket.tls = Some(web_tls.clone()),
                    Service::Http => {}
                }
                sockets.push((plan.service, Listener::bind(socket)?));
            }
            doors.push(door);
        }
        let control = control::bind(&folder.control_socket())?;
        // What the file says wrong is told now; what a setting needs may come later.
        directories::chosen(live.base()).map_err(StartError::Directory)?;
        delivery::client(live.base(), &core)?;
        core.use_directories(directories::chosen_or_away(&config));
        core.send_with(delivery::outbound(&config, &core));
        let shown = Shown {
            tls,
            certificates: certificates.clone(),
            challenges,
            orders,
        };
        let listening = Listening::new(&live.current(), core.clone(), shown, doors);
        Ok(Server {
            core,
            sockets,
            control,
            live,
            listening,
        })
    }

    /// Serves until a signal tells it to stop.
    pub async fn run(self) -> Result<(), StartError> {
        let signals = Signals::new().map_err(StartError::Signals)?;
        let hangup = tokio::signal::unix::signal(SignalKind::hangup());
        let hangup = Arc::new(Mutex::new(hangup.map_err(StartError::Signals)?));
        let shutdown = Shutdown::new();
        let config = self.live.now();
        let listening = Arc::new(self.listening);
        let sources = listening.sources.clone();
        let certificates = listening.certificates().clone();
        reports::start(&self.core, &config);
        let told = listening.clone();
        self.live.on_change(move |old, new| told.change(old, new));
        let mut workers = vec![tokio::spawn(
            self.core.clone().run_work(Box::new(allocators::give_back)),
        )];
        let mut keep = |part| workers.push(part);
        let of = sources.clone();
        keep(kept(&self.core, "disk-use", move || measure(of.clone())));
        let (site, core) = (listening.site().clone(), self.core.clone());
        keep(kept(&self.core, "history", move || {
            site.clone().keep_history(core.clone())
        }));
        let shown = certificates.clone();
        keep(kept(&self.core, "certificates", move || {
            shown.clone().watch()
        }));
        keep(kept(&self.core, "log", move || reopen_log(hangup.clone())));
        let (otlp, of) = (config.otlp.clone(), sources.clone());
        keep(kept(&self.core, "otlp", move || {
            let spans = log::logs().and_then(|logs| logs.spans.clone());
            otlp::run(otlp.clone(), of.clone(), spans)
        }));
        let (core, current, shown) = (self.core.clone(), self.live.current(), certificates.clone());
        keep(kept(&self.core, "alerts", move || {
            alerts::run(core.clone(), current.clone(), shown.clone())
        }));
        let (core, current, counters) = (
            self.core.clone(),
            self.live.current(),
            sources.backups.clone(),
        );
        keep(kept(&self.core, "backups", move || {
            let tools = Tools {
                clock: clock(),
                rng: rng(),
            };
            run_schedule(core.clone(), current.clone(), tools, counters.clone())
        }));
        let mut accepting: Vec<JoinHandle<()>> = Vec::new();
        for (service, listener) in self.sockets {
            let address = listener.local_address().map(|address| address.to_string());
            tracing::info!(?service, address = address.unwrap_or_default(), "listening");
            accepting.push(listening.serve(service, listener, shutdown.clone()));
        }
        // Listeners have to be there when a challenge comes.
        let tools = acme::Tools {
            core: self.core.clone(),
            clock: clock(),
            rng: rng(),
            wake: certificates.ordered.clone(),
            changed: certificates.changed.clone(),
        };
        let orders = listening.orders();
        workers.push(kept(&self.core, "acme", move || {
            tls::acme::run(orders.clone(), tools.clone())
        }));
        let target = Arc::new(Target {
            core: self.core.clone(),
            clock: clock(),
            publisher: Publisher::new(self.live.current()),
            way: Way::ControlSocket,
            certificates: Some(certificates),
            connections: Some(Arc::new(move || sources.connections())),
            keys: Some(Arc::new(move || blobs::keys_now(&config))),
        });
        let control = self.control;
        accepting.push(accept(
            &self.core,
            "control",
            shutdown.clone(),
            move |stop| control::serve(control.clone(), target.clone(), stop),
        ));
        drop((listening, self.live));
        let core = self.core;
        let sending = async { core.stop_queue(DRAIN_TIME).await };
        stop(signals, shutdown, accepting, (workers, sending)).await;
        if let Err(error) = core.flush_events().await {
            tracing::warn!(%error, "webhooks are not told of the last events");
        }
        if let Err(error) = core.flush_traces().await {
            tracing::warn!(%error, "what happened to the last messages could not be written down");
        }
        if let Err(error) = core.leave_cluster().await {
            tracing::warn!(%error, "the other servers don't know yet that this one has stopped");
        }
        Ok(())
    }
}

/// One that asks the configured name servers, or nobody if there are none.
pub fn verifier(config: &config::Authentication) -> Verifier {
    let settings = Settings {
        nameservers: nameservers(config),
        timeout: config.timeout.0,
    };
    Verifier::new(&settings).unwrap_or_else(|error| {
        tracing::warn!(%error, "the origin of mail can't be verified, and all results are temporary errors");
        Verifier::without_dns()
    })
}

pub fn nameservers(config: &config::Authentication) -> Nameservers {
    match &config.resolvers[..] {
        [] => Nameservers::System,
        places => Nameservers::At(places.to_vec()),
    }
}

/// The DNS as it is asked where mail goes to.
pub fn dns(config: &Config) -> Dns {
    try_dns(config).unwrap_or_else(|error| {
        tracing::warn!(%error, "the DNS can't be asked, and mail for other servers waits");
        Dns::without()
    })
}

/// The same, or a sentence that says why it can't be asked.
pub fn try_dns(config: &Config) -> Result<Dns, String> {
    let trust_anchor = match &config.dns.trust_anchor {
        Some(file) => {
            let path = file.to_read();
            let path = path.map_err(|error| format!("{}: {error}", file.path().display()))?;
            Some(path.to_owned())
        }
        None => None,
    };
    let settings = DnsSettings {
        nameservers: nameservers(&config.authentication),
        validates: config.dns.dnssec,
        trust_anchor,
        timeout: config.dns.timeout.0,
    };
    Dns::new(&settings).map_err(|error| error.to_string())
}

fn bind_of(place: &Listen) -> Bind {
    match place {
        Listen::Tcp(address) => (*address).into(),
        Listen::Unix(path) => Bind::Unix {
            path: path.clone(),
            mode: SOCKET_MODE,
        },
    }
}

/// A part of the server that works until it is stopped, whatever becomes of it.
fn kept<F>(
    core: &Core,
    name: &'static str,
    begin: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let core = core.clone();
    tokio::spawn(async move { core.supervisor.keep(name, begin).await })
}

/// Keeps the size of the database for `/metrics`.
async fn measure(sources: Sources) {
    loop {
        match sources.core.disk_octets().await {
            Ok(octets) => sources.disk_octets.store(octets, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the size of the database can't be measured"),
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

/// At SIGHUP the file of the log is opened anew: somebody has moved it away.
async fn reopen_log(hangup: Arc<Mutex<tokio::signal::unix::Signal>>) {
    let mut hangup = hangup.lock().await;
    while hangup.recv().await.is_some() {
        // It waits for a disk.
        if tokio::task::spawn_blocking(log::reopen).await.is_ok() {
            tracing::info!("the log was opened anew");
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: tokio::signal::unix::signal(SignalKind::terminate())?,
            interrupt: tokio::signal::unix::signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a signal, then for everything to end.
async fn stop(
    mut signals: Signals,
    shutdown: Shutdown,
    accepting: Vec<JoinHandle<()>>,
    (workers, sending): (Vec<JoinHandle<()>>, impl Future<Output = ()>),
) {
    signals.next().await;
    if let Some(logs) = log::logs() {
        logs.recent.end();
    }
    tracing::info!(
        "stopping: connections get {} s to finish",
        DRAIN_TIME.as_secs()
    );
    let orderly = async {
        // What is being sent gets its time as well: cut off, nobody knows what the peer has taken.
        let (drained, ()) = tokio::join!(shutdown.drain(DRAIN_TIME), sending);
        if drained.aborted > 0 {
            tracing::warn!(
                connections = drained.aborted,
                "some connections didn't finish in time"
            );
        }
        for task in accepting {
            let _ = task.await;
        }
        for worker in workers {
            worker.abort();
            let _ = worker.await;
        }
    };
    tokio::select! {
        () = orderly => tracing::info!("stopped"),
        () = signals.next() => tracing::warn!("stopped at once, at a second signal"),
    }
}
