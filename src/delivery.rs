//! Mail to other servers: the client of `smtp`, as it is configured, with the core's clock, dice and policies.
//!
//! Holds: a password is read once, and shown to nobody.
//! Other half: `smtp::client`; `config`, which says how.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use jmap_core::{
    Core,
    inproc::{
        outbound::{Attempt, Fate, Job, JobRecipient, Outbound, Outcome},
        sts::StsPolicyRecord,
    },
};
use net::Secret;
use smtp::client::{
    self, Client, Family, KeptPolicy, Login, Parts, PolicyKeeper, Protocol, Roots, RootsError,
    RouteTls, Settings,
};
use smtp::signing::DomainSigner;

use crate::{
    config::{self, Config, NamedFile},
    wire,
};

/// Octets of a file with a password.
const PASSWORD_FILE_OCTETS_MAX: u64 = 4096;

/// Why mail can't be sent as it is configured: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("the password file {0} can't be used: {1}")]
    Password(PathBuf, io::Error),
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The client that the queue sends with.
pub fn client(config: &Config, core: &Core) -> Result<Client, DeliveryError> {
    let of = &config.delivery;
    let mut settings = Settings::new(&config.hostname.0);
    settings.port = of.port;
    settings.source = of.source.clone();
    settings.families = of.families.iter().copied().map(family).collect();
    settings.allow_private = of.allow_private;
    settings.timeouts.connect = of.connect_timeout.0;
    settings.timeouts.idle = of.idle_connection_time.0;
    settings.limits.messages_max = of.messages_per_connection;
    settings.limits.recipients_max = of.recipients_per_message;
    settings.routes = routes(config)?;
    Ok(Client::new(Parts {
        settings,
        dns: wire::dns(config),
        roots: roots(config)?,
        clock: wire::clock(),
        rng: wire::rng(),
        signer: Some(Arc::new(DomainSigner::new(core.clone(), wire::clock()))),
        policies: Some(Arc::new(Policies(core.clone()))),
    })?)
}

/// What the queue sends with: the client, or one that is made as soon as it can be. Meanwhile mail waits: without a route it would go another way.
pub fn outbound(config: &Config, core: &Core) -> Arc<dyn Outbound> {
    match client(config, core) {
        Ok(client) => Arc::new(client),
        Err(error) => {
            tracing::error!(%error, "mail for other servers waits until this is mended");
            Arc::new(Waiting {
                config: config.clone(),
                core: core.clone(),
                made: OnceLock::new(),
            })
        }
    }
}

/// A client whose files could not be read. Each message has them looked at again.
#[derive(Debug)]
struct Waiting {
    config: Config,
    core: Core,
    made: OnceLock<Client>,
}

impl Waiting {
    fn client(&self) -> Result<&Client, DeliveryError> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = client(&self.config, &self.core)?;
        Ok(self.made.get_or_init(|| made))
    }
}

#[async_trait]
impl Outbound for Waiting {
    async fn send(&self, job: &Job) -> Attempt {
        match self.client() {
            Ok(client) => client.send(job).await,
            Err(error) => {
                tracing::warn!(%error, "mail for other servers waits");
                let waits = |recipient: &JobRecipient| Outcome {
                    at: recipient.at,
                    fate: Fate::Later,
                    // RFC 3463 §3.4: the operator has to do something.
                    reply: "451 4.3.5 This server can't send as it is configured".to_owned(),
                    remote: None,
                };
                Attempt {
                    outcomes: job.recipients.iter().map(waits).collect(),
                    hosts: Vec::new(),
                }
            }
        }
    }
}

/// Where the mail of some domains goes, with the passwords for that.
pub fn routes(config: &Config) -> Result<Vec<client::Route>, DeliveryError> {
    config.delivery.route.iter().map(route).collect()
}

/// The authorities that certificates of others are verified by.
pub fn roots(config: &Config) -> Result<Roots, RootsError> {
    match &config.delivery.ca_file {
        Some(file) => authorities(file),
        None => Ok(Roots::of_the_system()),
    }
}

/// The certificates in a file.
pub fn authorities(file: &NamedFile) -> Result<Roots, RootsError> {
    let path = file
        .to_read()
        .map_err(|error| RootsError::File(file.path().display().to_string(), error.to_string()))?;
    Roots::of_file(path)
}

fn family(family: config::Family) -> Family {
    match family {
        config::Family::Ipv4 => Family::Ipv4,
        config::Family::Ipv6 => Family::Ipv6,
    }
}

fn route(of: &config::Route) -> Result<client::Route, DeliveryError> {
    let login = match (&of.user, &of.password_file) {
        (Some(user), Some(file)) => Some(Login {
            user: user.clone(),
            password: password_of(file)
                .map_err(|error| DeliveryError::Password(file.path().to_owned(), error))?,
        }),
        _ => None,
    };
    Ok(client::Route {
        domains: of.domains.clone(),
        host: of.host.clone(),
        port: of.port,
        protocol: match of.protocol {
            config::RouteProtocol::Smtp => Protocol::Smtp,
            config::RouteProtocol::Lmtp => Protocol::Lmtp,
        },
        tls: match of.tls {
            config::RouteTls::None => RouteTls::None,
            config::RouteTls::Opportunistic => RouteTls::Opportunistic,
            config::RouteTls::Required => RouteTls::Required,
            config::RouteTls::Implicit => RouteTls::Implicit,
        },
        login,
    })
}

/// The first line of a file that the configuration names.
pub fn password_of(file: &NamedFile) -> io::Result<Secret<String>> {
    password(file.to_read()?)
}

/// The first line of a file.
pub fn password(file: &Path) -> io::Result<Secret<String>> {
    if fs::metadata(file)?.len() > PASSWORD_FILE_OCTETS_MAX {
        return Err(io::Error::other("it is too large"));
    }
    let text = Secret::new(fs::read_to_string(file)?);
    match text.expose().lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret::new(line.to_owned())),
        None => Err(io::Error::other("its first line is empty")),
    }
}

/// Policies are kept in the store.
#[derive(Debug)]
struct Policies(Core);

#[async_trait]
impl PolicyKeeper for Policies {
    async fn load(&self, domain: &str) -> Option<KeptPolicy> {
        let found = self.0.sts_policy(domain).await;
        let found = found.inspect_err(|error| {
            tracing::warn!(%domain, %error, "an MTA-STS policy can't be read, and is fetched again");
        });
        let record = found.ok()??;
        Some(KeptPolicy {
            id: record.id,
            text: record.text,
            fetched: record.fetched,
            expires: record.expires,
        })
    }

    async fn keep(&self, domain: &str, policy: &KeptPolicy) {
        let record = StsPolicyRecord {
            id: policy.id.clone(),
            text: policy.text.clone(),
            fetched: policy.fetched,
            expires: policy.expires,
        };
        if let Err(error) = self.0.keep_sts_policy(domain, &record).await {
            tracing::warn!(%domain, %error, "an MTA-STS policy can't be kept");
        }
    }
}
