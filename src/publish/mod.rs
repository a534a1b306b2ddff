//! What a domain publishes in the DNS: the records that it needs, and whether they are there.
//!
//! Holds: records tell of services that listen, of the certificate that is shown, and of the keys that are in the store; so what
//! was published once and isn't true any more is found.
//! Other half: `records` makes them, `check` compares; `adapters/wellknown` serves what is published over HTTP.

pub mod check;
pub mod records;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use jmap_core::{
    Caller, Core,
    directory::{
        DirectoryError,
        dkim::{DkimKey, Published, SigningSettings},
    },
};
use mail_auth_adapter::{Dns, Settings, Verifier, dns::Tlsa};
use smtp::client::Fetcher;
use wellknown::{Mode, Policy};

use self::{
    check::{Finding, PolicyHost},
    records::{Facts, Offer, Record},
};
use crate::{
    config::{Config, MtaStsMode, values::Listen},
    delivery,
    folder::Folder,
    tls::{CertificateError, Certificates},
    wire,
};

/// What is known of the server.
#[derive(Clone, Debug)]
pub struct Publisher {
    config: Arc<ArcSwap<Config>>,
    folder: PathBuf,
}

/// Why there are no records: a sentence for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(
        "the server has no name yet: set `hostname` in the configuration to the name that other servers reach it by"
    )]
    NoHostname,
}

impl Publisher {
    pub fn new(config: Arc<ArcSwap<Config>>) -> Publisher {
        Publisher {
            folder: config.load().data.clone(),
            config,
        }
    }

    /// The records of a domain.
    pub async fn records(
        &self,
        core: &Core,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<Record>, PublishError> {
        let keys = core.dkim_keys(who, domain).await?;
        let facts = self.facts(core).await?;
        Ok(records::all(&facts, &name_of(domain)?, &keys))
    }

    /// What the DNS has of them.
    pub async fn check(
        &self,
        core: &Core,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<Finding>, PublishError> {
        let records = self.records(core, who, domain).await?;
        let (domain, facts) = (name_of(domain)?, self.facts(core).await?);
        // What was asked before is asked again: whoever checks has changed something.
        let config = self.config.load_full();
        let dns = wire::dns(&config);
        let settings = Settings {
            nameservers: wire::nameservers(&config.authentication),
            timeout: config.authentication.timeout.0,
        };
        let verifier = Verifier::new(&settings).unwrap_or_else(|_| Verifier::without_dns());
        let policy = WebPolicy {
            dns: dns.clone(),
            config,
        };
        let checker = check::Checker {
            dns: &dns,
            verifier: &verifier,
            policy: &policy,
            facts: &facts,
            domain: &domain,
        };
        Ok(checker.check(&records).await)
    }

    /// The certificates as they are on disk and in the store now.
    pub async fn certificates(&self, core: &Core) -> Result<Arc<Certificates>, CertificateError> {
        let folder = Folder::open(&self.folder)?;
        Certificates::open(&self.config.load(), &folder, core, wire::clock()).await
    }

    async fn facts(&self, core: &Core) -> Result<Facts, PublishError> {
        let config = self.config.load_full();
        let hostname = config.hostname.0.clone();
        if hostname == "localhost" {
            return Err(PublishError::NoHostname);
        }
        Ok(Facts {
            tlsa: self.tlsa(core).await,
            offers: offers(&config),
            policy: policy(&config),
            clients: site(&config),
            hostname,
        })
    }

    /// RFC 7672 §3.1.1: DANE-EE, the public key, SHA-256: it stays the same when the certificate is renewed with the same key.
    async fn tlsa(&self, core: &Core) -> Option<Tlsa> {
        let certificates = self.certificates(core).await.inspect_err(
            |error| tracing::warn!(%error, "there is no TLSA record without a certificate"),
        );
        let config = self.config.load();
        let identity = certificates
            .ok()?
            .resolver()
            .find(Some(&config.hostname.0))?;
        Some(Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: identity.public_key_hash()?.to_vec(),
        })
    }
}

fn name_of(domain: &str) -> Result<String, DirectoryError> {
    jmap_core::directory::names::domain(domain)
}

/// The policy of all domains.
pub fn policy(config: &Config) -> Policy {
    Policy {
        mode: match config.mta_sts.mode {
            MtaStsMode::Enforce => Mode::Enforce,
            MtaStsMode::Testing => Mode::Testing,
            MtaStsMode::None => Mode::None,
        },
        max_age: config.mta_sts.max_age.0,
    }
}

/// The services that records tell of, with the port that each listens on.
pub fn offers(config: &Config) -> Vec<Offer> {
    let port = |listen: &Option<Vec<Listen>>| {
        listen.iter().flatten().find_map(|place| match place {
            Listen::Tcp(address) => Some(address.port()),
            Listen::Unix(_) => None,
        })
    };
    [
        ("_jmap", &config.https.listen),
        ("_submissions", &config.submissions.listen),
        ("_submission", &config.submission.listen),
        ("_imaps", &config.imaps.listen),
        ("_imap", &config.imap.listen),
        ("_pop3s", &config.pop3s.listen),
        ("_pop3", &config.pop3.listen),
        ("_sieve", &config.managesieve.listen),
        ("_autodiscover", &config.https.listen),
    ]
    .map(|(service, listen)| Offer {
        service,
        port: port(listen),
    })
    .into()
}

/// What mail programs are told over HTTP.
pub fn site(config: &Config) -> wellknown::Settings {
    use wellknown::Protocol::{Imap, Pop3, Submission};
    let kinds = [
        ("_imaps", Imap, true),
        ("_imap", Imap, false),
        ("_pop3s", Pop3, true),
        ("_pop3", Pop3, false),
        ("_submissions", Submission, true),
        ("_submission", Submission, false),
    ];
    let offers = offers(config);
    let services = kinds
        .into_iter()
        .filter_map(|(name, protocol, implicit_tls)| {
            let offer = offers.iter().find(|offer| offer.service == name)?;
            Some(wellknown::Service {
                protocol,
                port: offer.port?,
                implicit_tls,
            })
        });
    let offered = |name: &str| {
        let offer = offers.iter().find(|offer| offer.service == name);
        offer.and_then(|offer| offer.port)
    };
    wellknown::Settings {
        hostname: config.hostname.0.clone(),
        services: services.collect(),
        jmap_url: web_url(config).map(|url| format!("{url}/.well-known/jmap")),
        managesieve_port: offered("_sieve"),
        policy: policy(config),
    }
}

/// Where HTTP is reached from outside, without a slash at the end; `None`: it isn't.
pub fn web_url(config: &Config) -> Option<String> {
    if let Some(url) = &config.http.base_url {
        return Some(url.0.trim_end_matches('/').to_owned());
    }
    let offers = offers(config);
    let offer = offers.iter().find(|offer| offer.service == "_jmap")?;
    let host = &config.hostname.0;
    match offer.port? {
        443 => Some(format!("https://{host}")),
        port => Some(format!("https://{host}:{port}")),
    }
}

/// Signs with the certificate of the server's name.
#[derive(Debug)]
pub struct Signer {
    hostname: String,
    certificates: Arc<Certificates>,
}

impl Signer {
    pub fn new(config: &Config, certificates: Arc<Certificates>) -> Signer {
        Signer {
            hostname: config.hostname.0.clone(),
            certificates,
        }
    }
}

impl wellknown::Sign for Signer {
    fn signed(&self, content: &[u8]) -> Option<Vec<u8>> {
        let identity = self.certificates.resolver().find(Some(&self.hostname))?;
        identity.signed(content, wire::clock().now().seconds())
    }
}

/// How the keys of domains are looked after.
pub fn signing(config: Arc<ArcSwap<Config>>) -> SigningSettings {
    let settings = config.load().signing.clone();
    SigningSettings {
        rotate_every: Some(settings.rotate_every.0).filter(|span| *span != Duration::ZERO),
        publish_before: settings.publish_before.0,
        publish_after: settings.publish_after.0,
        published: Some(Arc::new(InDns(config))),
    }
}

/// Whether a key is published, by the DNS.
#[derive(Debug)]
struct InDns(Arc<ArcSwap<Config>>);

#[async_trait]
impl Published for InDns {
    async fn is_published(&self, name: &str, record: &str) -> bool {
        // Asked anew each time: what was missing an hour ago isn't remembered.
        let found = wire::dns(&self.0.load_full()).txt(name).await;
        found.is_ok_and(|answer| {
            let mut texts = answer.records.iter();
            texts.any(|text| check::is_same_key(text, record))
        })
    }
}

/// Policies as other servers get them.
#[derive(Debug)]
struct WebPolicy {
    dns: Dns,
    config: Arc<Config>,
}

#[async_trait]
impl PolicyHost for WebPolicy {
    async fn policy(&self, domain: &str) -> Result<String, String> {
        let roots = delivery::roots(&self.config).map_err(|error| error.to_string())?;
        let tls = roots.https().map_err(|error| error.to_string())?;
        let fetcher = Fetcher {
            dns: self.dns.clone(),
            tls: Arc::new(tls),
            port: 443,
            allow_private: true,
        };
        fetcher
            .fetch(domain)
            .await
            .map_err(|failure| failure.reason)
    }
}

/// Signs, waits or is over: in words.
pub fn state_name(key: &DkimKey) -> &'static str {
    use jmap_core::directory::dkim::records::DkimState;
    match key.record.state {
        DkimState::Waiting => "waiting",
        DkimState::Active => "active",
        DkimState::Retired => "retired",
    }
}
