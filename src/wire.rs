//! Puts the server together, runs it until it is told to stop, and takes it apart again.
//!
//! Holds: the store is opened first and closed last; when a stop is asked for nothing new is accepted, what is under
//! way is finished within [`DRAIN_TIME`], and a second signal ends it at once. What was acknowledged is on disk in
//! every case.
//! Other half: `config` says how, `folder` where.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jmap::Jmap;
use jmap_core::{
    Core, Parts, Way,
    clock::{Clock, SystemClock},
    cluster,
    push::{PushConfig, PushTransport, crypto::EndpointPolicy},
    rng::{Rng, SystemRng},
};
use mail_auth_adapter::{Dns, DnsSettings, Nameservers, Settings, Verifier};
use net::{
    Admission, Bind, CertResolver, ConnectionLimits, Listener, ListenerConfig, Shutdown,
    listener::BindError,
    reader::LinePace,
    tls::{TlsError, TlsServer},
};
use smtp::{Mode, Verification, signing::DomainSigner};
use store::search::{SearchIndex, SearchOptions};
use tokio::{signal::unix::SignalKind, task::JoinHandle};

use crate::{
    administration::Process,
    allocators,
    backups::{
        Tools,
        schedule::{Counters, run_schedule},
    },
    blobs,
    certificate::{self, CertificateError},
    cli::{control, execute::Target},
    config::{
        self, Config, ImapListener, MailListener, OnTemporaryError, PlaintextLogins, Service,
        values::{Listen, Rate, networks},
    },
    delivery::{self, DeliveryError},
    engine,
    folder::{Folder, FolderError},
    metrics::Sources,
    notices,
    publish::{self, Publisher},
    push_transport::HttpPushTransport,
    reports, web,
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
    #[error("{0}{hint}", hint = hint(.0))]
    Bind(#[from] BindError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
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

/// Opens the store in a data folder, and the core over it. Blocks while the database recovers.
pub async fn open(config: &Config, folder: &Folder) -> Result<Core, FolderError> {
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
        limits: jmap_core::Limits {
            trace_seconds: config.trace.keep.0.as_secs(),
            max_traces: config.trace.max_events,
            undelete_seconds: config.undelete.keep.0.as_secs(),
            max_undelete_octets: config.undelete.max_octets.0,
            ..config.limits.core()
        },
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
    core.sign_with(publish::signing(config));
    Ok(core)
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

/// Pushes go over HTTP; a system without resolver or certificates does without.
fn push(config: &config::Push) -> PushConfig {
    let policy = match config.private_services {
        true => EndpointPolicy::AllowInsecure,
        false => EndpointPolicy::Public,
    };
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
    listening: Vec<(Service, Listener)>,
    control: Listener,
    sources: Sources,
    config: Config,
    tls: TlsServer,
    view_octets_max: usize,
}

impl Server {
    /// Opens all sockets. Connections wait in the kernel until [`Server::run`].
    pub fn bind(config: &Config, folder: &Folder, core: Core) -> Result<Server, StartError> {
        let identity = certificate::load(config, folder)?;
        let resolver = CertResolver::new(vec![identity]);
        let tls = TlsServer::new(&resolver, &[])?;
        let web_tls = TlsServer::new(&resolver, jmap::ALPN)?;
        let mut admissions = Vec::new();
        let mut listening = Vec::new();
        for plan in plans(config) {
            let admission = Admission::new(plan.limits);
            admissions.push((plan.name.to_owned(), admission.clone()));
            for place in plan.listen {
                let mut socket = ListenerConfig::new(plan.name, bind_of(place));
                socket.admission = admission.clone();
                socket.proxies = plan.proxies.clone();
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
                listening.push((plan.service, Listener::bind(socket)?));
            }
        }
        let control = control::bind(&folder.control_socket())?;
        let signer = Arc::new(DomainSigner::new(core.clone(), clock()));
        core.send_with(Arc::new(delivery::client(config, &core, Some(signer))?));
        let sources = Sources {
            core: core.clone(),
            admissions,
            disk_octets: Arc::new(AtomicU64::new(0)),
            backups: Arc::new(Counters::default()),
        };
        let view_octets_max = config.limits.max_memory_views.as_usize();
        Ok(Server {
            core,
            listening,
            control,
            sources,
            config: config.clone(),
            tls,
            view_octets_max,
        })
    }

    /// Serves until a signal tells it to stop.
    pub async fn run(self) -> Result<(), StartError> {
        let signals = Signals::new().map_err(StartError::Signals)?;
        let shutdown = Shutdown::new();
        reports::start(&self.core, &self.config);
        let workers = [
            tokio::spawn(
                self.core
                    .clone()
                    .run_work(self.view_octets_max, Box::new(allocators::give_back)),
            ),
            tokio::spawn(measure(self.sources.clone())),
            tokio::spawn(run_schedule(
                self.core.clone(),
                self.config.backup.clone(),
                Tools {
                    clock: clock(),
                    rng: rng(),
                },
                self.sources.backups.clone(),
            )),
        ];
        let budget = net::Budget::new(
            self.config.limits.max_memory_receiving.0,
            net::budget::IN_FLIGHT_WAIT,
        );
        let mail = self.mail(budget.clone());
        let imap = self.imap(budget);
        let pop3 = self.pop3();
        let managesieve = self.managesieve();
        let jmap = Jmap::new(self.core.clone(), self.web());
        let mut accepting: Vec<JoinHandle<()>> = Vec::new();
        for (service, listener) in self.listening {
            let address = listener.local_address().map(|address| address.to_string());
            tracing::info!(?service, address = address.unwrap_or_default(), "listening");
            let shutdown = shutdown.clone();
            let core = self.core.clone();
            let task = if let Some(config) = mail(service) {
                tokio::spawn(smtp::serve(listener, shutdown, core, config))
            } else if let Some(config) = imap(service) {
                tokio::spawn(imap::serve(listener, shutdown, core, config))
            } else if let Some(config) = pop3(service) {
                tokio::spawn(pop3::serve(listener, shutdown, core, config))
            } else if service == Service::ManageSieve {
                let config = managesieve.clone();
                tokio::spawn(managesieve::serve(listener, shutdown, core, config))
            } else {
                let jmap = jmap.clone();
                tokio::spawn(async move { jmap.serve(listener, shutdown).await })
            };
            accepting.push(task);
        }
        let sources = self.sources.clone();
        let config = self.config.clone();
        let target = Target {
            core: self.core.clone(),
            clock: clock(),
            publisher: Publisher::new(&self.config),
            way: Way::ControlSocket,
            connections: Some(Arc::new(move || sources.connections())),
            keys: Some(Arc::new(move || blobs::keys_now(&config))),
        };
        accepting.push(tokio::spawn(control::serve(
            self.control,
            target,
            shutdown.clone(),
        )));
        drop((mail, imap, pop3, managesieve, jmap, self.sources));
        let core = self.core;
        let sending = async { core.stop_queue(DRAIN_TIME).await };
        stop(signals, shutdown, accepting, (workers.into(), sending)).await;
        if let Err(error) = core.flush_traces().await {
            tracing::warn!(%error, "what happened to the last messages could not be written down");
        }
        if let Err(error) = core.leave_cluster().await {
            tracing::warn!(%error, "the other servers don't know yet that this one has stopped");
        }
        Ok(())
    }

    /// The configuration of a mail listener; `None` for the others.
    fn mail(&self, budget: net::Budget) -> impl Fn(Service) -> Option<smtp::Config> + use<> {
        let (config, tls) = (self.config.clone(), self.tls.clone());
        let verification = verification(&config.authentication).map(Arc::new);
        move |service| {
            let (settings, mode) = (config.mail(service)?, mode_of(service)?);
            let mut of =
                smtp::Config::new(mode, &config.hostname.0, budget.clone(), clock(), rng());
            of.tls = (service != Service::Submissions).then(|| tls.clone());
            of.limits = mail_limits(&config, settings);
            of.verification = verification.clone();
            of.trusted = networks(&config.authentication.trusted);
            of.timeouts.command = LinePace {
                idle: settings.idle_timeout.0,
                ..of.timeouts.command
            };
            Some(of)
        }
    }

    /// The configuration of an IMAP listener; `None` for the others.
    fn imap(&self, budget: net::Budget) -> impl Fn(Service) -> Option<imap::Config> + use<> {
        let (config, tls) = (self.config.clone(), self.tls.clone());
        let jmap_url = config.http.base_url.as_ref();
        let jmap_url = jmap_url.map(|url| format!("{}{}", url.0, jmap::SESSION_PATH));
        let recents = imap::config::Recents::default();
        let sending = net::Budget::new(
            imap::config::SENDING_OCTETS_MAX,
            net::budget::IN_FLIGHT_WAIT,
        );
        move |service| {
            let settings = config.imap(service)?;
            let mut of = imap::Config::new(&config.hostname.0, budget.clone(), clock());
            of.tls = (service == Service::Imap).then(|| tls.clone());
            of.jmap_url = jmap_url.clone();
            of.admin_uri = config.admin_contact.as_ref().map(|uri| uri.0.clone());
            of.comment = config.comment.clone();
            of.recents = recents.clone();
            of.sending = sending.clone();
            of.plaintext_logins = match settings.plaintext_logins {
                PlaintextLogins::Loopback => imap::config::PlaintextLogins::Loopback,
                PlaintextLogins::Anywhere => imap::config::PlaintextLogins::Anywhere,
            };
            of.limits = imap_limits(&config, settings);
            of.timeouts.command.idle = settings.idle_timeout.0;
            Some(of)
        }
    }

    /// The configuration of a POP3 listener; `None` for the others.
    fn pop3(&self) -> impl Fn(Service) -> Option<pop3::Config> + use<> {
        let (locks, room) = (pop3::Locks::default(), pop3::Room::default());
        let (config, tls) = (self.config.clone(), self.tls.clone());
        move |service| {
            let settings = config.pop3(service)?;
            let mut of = pop3::Config::new(&config.hostname.0, locks.clone(), room.clone());
            of.tls = (service != Service::Pop3s).then(|| tls.clone());
            of.plaintext_logins = match settings.plaintext_logins {
                PlaintextLogins::Loopback => pop3::PlaintextLogins::Loopback,
                PlaintextLogins::Anywhere => pop3::PlaintextLogins::Anywhere,
            };
            of.limits.bad_commands_max = settings.bad_commands;
            of.limits.auth_failures_max = settings.auth_failures;
            of.timeouts.command = LinePace {
                idle: settings.idle_timeout.0,
                ..of.timeouts.command
            };
            Some(of)
        }
    }

    /// The configuration of the ManageSieve listeners.
    fn managesieve(&self) -> managesieve::Config {
        let settings = &self.config.managesieve;
        let mut of = managesieve::Config {
            tls: Some(self.tls.clone()),
            plaintext_logins: match settings.plaintext_logins {
                PlaintextLogins::Loopback => managesieve::PlaintextLogins::Loopback,
                PlaintextLogins::Anywhere => managesieve::PlaintextLogins::Anywhere,
            },
            ..managesieve::Config::default()
        };
        of.limits.bad_commands_max = settings.bad_commands;
        of.limits.auth_failures_max = settings.auth_failures;
        of.timeouts.command.idle = settings.idle_timeout.0;
        of
    }

    /// The API for administrators.
    fn admin(&self) -> admin::Admin {
        let http = &self.config.http;
        let process = Process {
            publisher: Publisher::new(&self.config),
            sources: self.sources.clone(),
            config: Arc::new(self.config.clone()),
            tools: Tools {
                clock: clock(),
                rng: rng(),
            },
        };
        let site = admin::Site::new(clock(), Arc::new(process));
        let config = admin::Config {
            plaintext_logins: http.plaintext_logins == PlaintextLogins::Anywhere,
            allowed_origin: http
                .admin_cors_origin
                .as_ref()
                .map(|origin| origin.0.trim_end_matches('/').to_owned()),
        };
        admin::Admin::new(self.core.clone(), site, config)
    }

    fn web(&self) -> jmap::Config {
        let http = &self.config.http;
        let sources = self.sources.clone();
        jmap::Config {
            base_url: http.base_url.as_ref().map(|url| url.0.clone()),
            allowed_origin: http.cors_origin.0.clone(),
            proxies: networks(&http.proxies),
            plaintext_logins: match http.plaintext_logins {
                PlaintextLogins::Loopback => jmap::PlaintextLogins::Loopback,
                PlaintextLogins::Anywhere => jmap::PlaintextLogins::Anywhere,
            },
            application_server_key: self
                .core
                .can_push()
                .then(|| self.core.vapid_public_key().to_owned()),
            metrics: Some(Arc::new(move || sources.text())),
            metrics_networks: networks(&self.config.metrics.networks),
            fallback: Some(web::pages(
                self.admin(),
                wellknown::Site::new(Arc::new(self.core.clone()), publish::site(&self.config)),
            )),
            ..jmap::Config::default()
        }
    }
}

fn mode_of(service: Service) -> Option<Mode> {
    match service {
        Service::Smtp => Some(Mode::Receive),
        Service::Lmtp => Some(Mode::Lmtp),
        Service::Submission | Service::Submissions => Some(Mode::Submission),
        Service::Imap
        | Service::Imaps
        | Service::Pop3
        | Service::Pop3s
        | Service::ManageSieve
        | Service::Http
        | Service::Https => None,
    }
}

/// How mail from other servers is verified; `None`: not at all.
fn verification(config: &config::Authentication) -> Option<Verification> {
    if !config.verify {
        return None;
    }
    Some(Verification {
        verifier: verifier(config),
        trusted: networks(&config.trusted),
        on_reject: treatment(config.dmarc_reject),
        on_quarantine: treatment(config.dmarc_quarantine),
        defers: config.temporary_error == OnTemporaryError::Defer,
    })
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
    let settings = DnsSettings {
        nameservers: nameservers(&config.authentication),
        validates: config.dns.dnssec,
        trust_anchor: config.dns.trust_anchor.clone(),
        timeout: config.dns.timeout.0,
    };
    Dns::new(&settings).unwrap_or_else(|error| {
        tracing::warn!(%error, "the DNS can't be asked, and mail for other servers waits");
        Dns::without()
    })
}

fn treatment(configured: config::Treatment) -> smtp::Treatment {
    match configured {
        config::Treatment::Reject => smtp::Treatment::Reject,
        config::Treatment::Quarantine => smtp::Treatment::Quarantine,
        config::Treatment::Mark => smtp::Treatment::Mark,
    }
}

fn imap_limits(config: &Config, settings: &ImapListener) -> imap::Limits {
    let message_max = config.limits.max_size_message.0;
    imap::Limits {
        message_octets_max: message_max,
        append_octets_max: message_max.saturating_mul(2),
        discard_octets_max: message_max.saturating_mul(2),
        bad_commands_max: settings.bad_commands,
        auth_failures_max: settings.auth_failures,
        compressed_max: settings.compressed_connections,
        ..imap::Limits::default()
    }
}

fn mail_limits(config: &Config, settings: &MailListener) -> smtp::Limits {
    let size_max = config.limits.max_size_message.0;
    smtp::Limits {
        size_max,
        discard_max: size_max,
        recipients_max: usize::try_from(config.limits.max_recipients).unwrap_or(usize::MAX),
        transactions_max: settings.messages_per_connection,
        bad_commands_max: settings.bad_commands,
        refused_recipients_max: settings.refused_recipients,
        auth_failures_max: settings.auth_failures,
        client_rate: settings.message_rate.0,
        hold_seconds_max: config.limits.max_delayed_send.0.as_secs(),
        ..smtp::Limits::default()
    }
}

/// Where a service listens, and who may connect.
struct Plan<'c> {
    service: Service,
    name: &'static str,
    listen: &'c [Listen],
    limits: ConnectionLimits,
    proxies: Vec<net::Network>,
}

fn plans(config: &Config) -> Vec<Plan<'_>> {
    let limits = |total, per_client, rate: Rate, exempt| ConnectionLimits {
        total,
        per_client,
        rate: rate.0,
        exempt: networks(exempt),
    };
    let mail = [
        (Service::Smtp, "smtp", &config.smtp),
        (Service::Submission, "submission", &config.submission),
        (Service::Submissions, "submissions", &config.submissions),
        (Service::Lmtp, "lmtp", &config.lmtp),
    ];
    let mut plans: Vec<Plan<'_>> = Vec::new();
    for (service, name, of) in mail {
        plans.push(Plan {
            service,
            name,
            listen: of.listen.as_deref().unwrap_or_default(),
            limits: limits(
                of.connections,
                of.connections_per_client,
                of.connection_rate,
                &of.exempt,
            ),
            proxies: networks(&of.proxies),
        });
    }
    let imap = [
        (Service::Imap, "imap", &config.imap),
        (Service::Imaps, "imaps", &config.imaps),
    ];
    for (service, name, of) in imap {
        plans.push(Plan {
            service,
            name,
            listen: of.listen.as_deref().unwrap_or_default(),
            limits: limits(
                of.connections,
                of.connections_per_client,
                of.connection_rate,
                &of.exempt,
            ),
            proxies: networks(&of.proxies),
        });
    }
    let pop3 = [
        (Service::Pop3, "pop3", &config.pop3),
        (Service::Pop3s, "pop3s", &config.pop3s),
    ];
    for (service, name, of) in pop3 {
        plans.push(Plan {
            service,
            name,
            listen: of.listen.as_deref().unwrap_or_default(),
            limits: limits(
                of.connections,
                of.connections_per_client,
                of.connection_rate,
                &of.exempt,
            ),
            proxies: networks(&of.proxies),
        });
    }
    let of = &config.managesieve;
    plans.push(Plan {
        service: Service::ManageSieve,
        name: "managesieve",
        listen: of.listen.as_deref().unwrap_or_default(),
        limits: limits(
            of.connections,
            of.connections_per_client,
            of.connection_rate,
            &of.exempt,
        ),
        proxies: networks(&of.proxies),
    });
    let (http, https) = (&config.http, &config.https);
    plans.push(Plan {
        service: Service::Http,
        name: "http",
        listen: http.listen.as_deref().unwrap_or_default(),
        limits: limits(
            http.connections,
            http.connections_per_client,
            http.connection_rate,
            &http.exempt,
        ),
        proxies: Vec::new(),
    });
    plans.push(Plan {
        service: Service::Https,
        name: "https",
        listen: https.listen.as_deref().unwrap_or_default(),
        limits: limits(
            https.connections,
            https.connections_per_client,
            https.connection_rate,
            &https.exempt,
        ),
        proxies: networks(&https.proxies),
    });
    plans
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
