//! What the listeners are told: made of the configuration, and made anew when that changes.
//!
//! Holds: a connection, or a request over HTTP, has the configuration of the moment when it began. What sessions share (memory, locks,
//! counts of connections) stays the same.
//! Other half: `wire` opens the sockets; `settings::Live` tells of changes.

use std::sync::{Arc, atomic::AtomicU64};

use acme::Challenges;
use arc_swap::{ArcSwap, ArcSwapOption};
use jmap::Jmap;
use jmap_core::Core;
use net::{Admission, ConnectionLimits, Listener, Shutdown, reader::LinePace, tls::TlsServer};
use smtp::{Mode, Verification};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    administration::Process,
    backups::{Tools, schedule::Counters},
    config::{
        self, Config, ImapListener, MailListener, OnTemporaryError, PLACES, PlaintextLogins,
        Service,
        values::{Listen, Network, Rate, networks},
    },
    delivery, directories,
    metrics::Sources,
    publish::{self, Publisher},
    reports,
    tls::{self, Certificates},
    web,
    wire::{clock, rng, verifier},
};

/// Who may connect to the listeners of a service.
pub struct Door {
    service: Service,
    name: &'static str,
    pub admission: Arc<Admission>,
    pub proxies: Arc<ArcSwap<Vec<net::Network>>>,
}

impl Door {
    pub fn new(plan: &Plan<'_>) -> Door {
        Door {
            service: plan.service,
            name: plan.name,
            admission: Admission::new(plan.limits.clone()),
            proxies: Arc::new(ArcSwap::from_pointee(plan.proxies.clone())),
        }
    }
}

/// The configurations of one kind of listener, by service.
type Told<C> = Vec<(Service, Arc<ArcSwap<C>>)>;

/// What connections are encrypted with.
pub struct Shown {
    pub tls: TlsServer,
    pub certificates: Arc<Certificates>,
    pub challenges: Arc<Challenges>,
    /// What is ordered from an ACME server, if anything is.
    pub orders: watch::Sender<Option<acme::Settings>>,
}

/// All listeners of a server.
pub struct Listening {
    core: Core,
    shown: Shown,
    pub sources: Sources,
    doors: Vec<Door>,
    shared: Shared,
    mail: Told<smtp::Config>,
    imap: Told<imap::Config>,
    pop3: Told<pop3::Config>,
    managesieve: Arc<ArcSwap<managesieve::Config>>,
    jmap: Jmap,
    site: admin::Site,
}

/// What sessions share, whatever is configured.
struct Shared {
    tls: TlsServer,
    /// Memory of messages on their way in, and out.
    budget: net::Budget,
    sending: net::Budget,
    recents: imap::config::Recents,
    locks: pop3::Locks,
    room: pop3::Room,
    /// It remembers what the DNS has said.
    verification: ArcSwapOption<Verification>,
}

impl Listening {
    pub fn new(
        current: &Arc<ArcSwap<Config>>,
        core: Core,
        shown: Shown,
        doors: Vec<Door>,
    ) -> Listening {
        let config = &*current.load_full();
        let admissions = doors
            .iter()
            .map(|door| (door.name.to_owned(), door.admission.clone()));
        let sources = Sources {
            core: core.clone(),
            admissions: admissions.collect(),
            disk_octets: Arc::new(AtomicU64::new(0)),
            backups: Arc::new(Counters::default()),
            certificates: shown.certificates.clone(),
        };
        let budget = |octets| net::Budget::new(octets, net::budget::IN_FLIGHT_WAIT);
        let shared = Shared {
            tls: shown.tls.clone(),
            budget: budget(config.limits.max_memory_receiving.0),
            sending: budget(imap::config::SENDING_OCTETS_MAX),
            recents: imap::config::Recents::default(),
            locks: pop3::Locks::default(),
            room: pop3::Room::default(),
            verification: ArcSwapOption::new(verification(&config.authentication).map(Arc::new)),
        };
        let process = Process {
            publisher: Publisher::new(current.clone()),
            sources: sources.clone(),
            config: current.clone(),
            tools: Tools {
                clock: clock(),
                rng: rng(),
            },
        };
        let site = admin::Site::new(clock(), Arc::new(process));
        Listening {
            mail: told(|service| shared.mail(config, service)),
            imap: told(|service| shared.imap(config, service)),
            pop3: told(|service| shared.pop3(config, service)),
            managesieve: Arc::new(ArcSwap::from_pointee(shared.managesieve(config))),
            jmap: Jmap::new(
                core.clone(),
                web_config(config, &core, &sources, &shown.challenges, &site),
            ),
            site,
            core,
            shown,
            sources,
            doors,
            shared,
        }
    }

    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.shown.certificates
    }

    /// What the API for administrators has of this process.
    pub fn site(&self) -> &admin::Site {
        &self.site
    }

    /// What is ordered from an ACME server, now and after each change.
    pub fn orders(&self) -> watch::Receiver<Option<acme::Settings>> {
        self.shown.orders.subscribe()
    }

    /// Serves one listener until a stop is asked for.
    pub fn serve(
        &self,
        service: Service,
        listener: Listener,
        shutdown: Shutdown,
    ) -> JoinHandle<()> {
        let core = self.core.clone();
        if let Some(config) = of(&self.mail, service) {
            tokio::spawn(smtp::serve(listener, shutdown, core, config))
        } else if let Some(config) = of(&self.imap, service) {
            tokio::spawn(imap::serve(listener, shutdown, core, config))
        } else if let Some(config) = of(&self.pop3, service) {
            tokio::spawn(pop3::serve(listener, shutdown, core, config))
        } else if service == Service::ManageSieve {
            let config = self.managesieve.clone();
            tokio::spawn(managesieve::serve(listener, shutdown, core, config))
        } else {
            let jmap = self.jmap.clone();
            tokio::spawn(async move { jmap.serve(listener, shutdown).await })
        }
    }

    /// Goes on with another configuration.
    pub fn change(&self, old: &Config, new: &Config) {
        let of_tls = |config: &Config| (config.tls.clone(), config.hostname.clone());
        if of_tls(old) != of_tls(new) {
            if let Err(error) = self.shown.certificates.configure(new) {
                tracing::error!(%error, "the certificates stay those before");
            }
            match tls::acme::settings(new) {
                Ok(orders) => drop(self.shown.orders.send_replace(orders)),
                Err(error) => tracing::error!(%error, "what is ordered stays what it was before"),
            }
        }
        if old.authentication != new.authentication {
            let verification = verification(&new.authentication).map(Arc::new);
            self.shared.verification.store(verification);
        }
        if old.login != new.login {
            match directories::to_ask(new) {
                Ok(chosen) => self.core.use_directories(chosen),
                Err(error) => tracing::error!(%error, "directories are asked as before"),
            }
        }
        if old.limits.max_memory_receiving != new.limits.max_memory_receiving {
            self.shared.budget.resize(new.limits.max_memory_receiving.0);
        }
        for plan in plans(new) {
            let door = self.doors.iter().find(|door| door.service == plan.service);
            if let Some(door) = door {
                door.admission.set_limits(plan.limits);
                door.proxies.store(Arc::new(plan.proxies));
            }
        }
        tell(&self.mail, |service| self.shared.mail(new, service));
        tell(&self.imap, |service| self.shared.imap(new, service));
        tell(&self.pop3, |service| self.shared.pop3(new, service));
        let managesieve = Arc::new(self.shared.managesieve(new));
        self.managesieve.store(managesieve);
        self.jmap.configure(web_config(
            new,
            &self.core,
            &self.sources,
            &self.shown.challenges,
            &self.site,
        ));
        let of_client = |config: &Config| {
            (
                config.hostname.clone(),
                config.delivery.clone(),
                config.dns.clone(),
                config.authentication.resolvers.clone(),
            )
        };
        if of_client(old) != of_client(new) {
            match delivery::client(new, &self.core) {
                Ok(client) => self.core.send_with(Arc::new(client)),
                Err(error) => tracing::error!(%error, "mail goes on to be sent as before"),
            }
        }
        let of_reports = |config: &Config| {
            (
                config.reports.clone(),
                config.push.clone(),
                config.authentication.clone(),
            )
        };
        if of_reports(old) != of_reports(new) {
            reports::start(&self.core, new);
        }
    }
}

fn told<C>(config: impl Fn(Service) -> Option<C>) -> Told<C> {
    let all = PLACES.iter().filter_map(|&(service, ..)| {
        let config = ArcSwap::from_pointee(config(service)?);
        Some((service, Arc::new(config)))
    });
    all.collect()
}

fn tell<C>(told: &Told<C>, config: impl Fn(Service) -> Option<C>) {
    for (service, place) in told {
        if let Some(config) = config(*service) {
            place.store(Arc::new(config));
        }
    }
}

fn of<C>(told: &Told<C>, service: Service) -> Option<Arc<ArcSwap<C>>> {
    let found = told.iter().find(|(of, _)| *of == service);
    found.map(|(_, config)| config.clone())
}

impl Shared {
    /// The configuration of a mail listener; `None` for the others.
    fn mail(&self, config: &Config, service: Service) -> Option<smtp::Config> {
        let (settings, mode) = (config.mail(service)?, mode_of(service)?);
        let mut of = smtp::Config::new(
            mode,
            &config.hostname.0,
            self.budget.clone(),
            clock(),
            rng(),
        );
        of.tls = (service != Service::Submissions).then(|| self.tls.clone());
        of.limits = mail_limits(config, settings);
        of.verification = self.verification.load_full();
        of.trusted = networks(&config.authentication.trusted);
        of.timeouts.command = LinePace {
            idle: settings.idle_timeout.0,
            ..of.timeouts.command
        };
        Some(of)
    }

    /// The configuration of an IMAP listener; `None` for the others.
    fn imap(&self, config: &Config, service: Service) -> Option<imap::Config> {
        let settings = config.imap(service)?;
        let jmap_url = config.http.base_url.as_ref();
        let mut of = imap::Config::new(&config.hostname.0, self.budget.clone(), clock());
        of.tls = (service == Service::Imap).then(|| self.tls.clone());
        of.jmap_url = jmap_url.map(|url| format!("{}{}", url.0, jmap::SESSION_PATH));
        of.admin_uri = config.admin_contact.as_ref().map(|uri| uri.0.clone());
        of.comment = config.comment.clone();
        of.recents = self.recents.clone();
        of.sending = self.sending.clone();
        of.plaintext_logins = match settings.plaintext_logins {
            PlaintextLogins::Loopback => imap::config::PlaintextLogins::Loopback,
            PlaintextLogins::Anywhere => imap::config::PlaintextLogins::Anywhere,
        };
        of.limits = imap_limits(config, settings);
        of.timeouts.command.idle = settings.idle_timeout.0;
        Some(of)
    }

    /// The configuration of a POP3 listener; `None` for the others.
    fn pop3(&self, config: &Config, service: Service) -> Option<pop3::Config> {
        let settings = config.pop3(service)?;
        let mut of = pop3::Config::new(&config.hostname.0, self.locks.clone(), self.room.clone());
        of.tls = (service != Service::Pop3s).then(|| self.tls.clone());
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

    /// The configuration of the ManageSieve listeners.
    fn managesieve(&self, config: &Config) -> managesieve::Config {
        let settings = &config.managesieve;
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
}

fn web_config(
    config: &Config,
    core: &Core,
    sources: &Sources,
    challenges: &Arc<Challenges>,
    site: &admin::Site,
) -> jmap::Config {
    let (http, sources) = (&config.http, sources.clone());
    let certificates = sources.certificates.clone();
    jmap::Config {
        base_url: http.base_url.as_ref().map(|url| url.0.clone()),
        allowed_origin: http.cors_origin.0.clone(),
        proxies: networks(&http.proxies),
        plaintext_logins: match http.plaintext_logins {
            PlaintextLogins::Loopback => jmap::PlaintextLogins::Loopback,
            PlaintextLogins::Anywhere => jmap::PlaintextLogins::Anywhere,
        },
        application_server_key: core.can_push().then(|| core.vapid_public_key().to_owned()),
        metrics: Some(Arc::new(move || sources.text())),
        metrics_networks: networks(&config.metrics.networks),
        resource_metadata: config.oauth.provider.then_some(oauth::RESOURCE_PATH),
        fallback: Some(web::pages(
            admin(config, core, site),
            oauth(config, core),
            wellknown::Site::new(
                Arc::new(core.clone()),
                publish::site(config),
                Arc::new(publish::Signer::new(config, certificates)),
            ),
            challenges.clone(),
        )),
        ..jmap::Config::default()
    }
}

/// The pages and addresses of OAuth, where they are configured.
fn oauth(config: &Config, core: &Core) -> Option<oauth::Provider> {
    let of = oauth::Config {
        registration: config.oauth.registration,
        plaintext_logins: config.http.plaintext_logins == PlaintextLogins::Anywhere,
    };
    let provider = || oauth::Provider::new(core.clone(), of);
    config.oauth.provider.then(provider)
}

/// The API for administrators.
fn admin(config: &Config, core: &Core, site: &admin::Site) -> admin::Admin {
    let http = &config.http;
    let allowed_origin = http.admin_cors_origin.as_ref();
    let of = admin::Config {
        plaintext_logins: http.plaintext_logins == PlaintextLogins::Anywhere,
        allowed_origin: allowed_origin.map(|origin| origin.0.trim_end_matches('/').to_owned()),
    };
    admin::Admin::new(core.clone(), site.clone(), of)
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
pub struct Plan<'c> {
    pub service: Service,
    pub name: &'static str,
    pub listen: &'c [Listen],
    limits: ConnectionLimits,
    proxies: Vec<net::Network>,
}

pub fn plans(config: &Config) -> Vec<Plan<'_>> {
    let limits = |total, per_client, rate: Rate, exempt: &[Network]| ConnectionLimits {
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
