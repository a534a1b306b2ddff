//! Signs what leaves: mail of this server's domains by DKIM, mail that is passed on by an ARC set.
//!
//! Holds: a message is signed in the name of a domain only if an account here, or this server, has written it, also when it is passed on by
//! another account here; what others have written is sealed, which vouches for where it came from and not for what it says. Keys are read from the store at most
//! [`KEYS_TIME_MAX`] before they are used, and none after its domain has changed here.
//! Other half: `jmap_core::directory::dkim` keeps the keys, `mail_auth_adapter::sign` and `seal` write the fields.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::{
    Core,
    clock::Clock,
    directory::dkim::{DkimKey, records::DkimAlgorithm},
    inproc::{origin::Author, outbound::Job},
};
use jmap_types::AccountId;
use mail_auth_adapter::sign::{SigningAlgorithm, SigningKey, author_domains, dkim_signatures};
use quick_cache::sync::Cache;

use crate::{client::Signer, message};

/// Domains whose keys are remembered, ready to sign.
pub const DOMAINS_REMEMBERED_MAX: usize = 1000;
/// How long keys are remembered: another node may have replaced them.
pub const KEYS_TIME_MAX: Duration = Duration::from_secs(60);
/// Labels that are taken off a domain to find one that has keys.
const PARENTS_MAX: usize = 8;

/// Signs in the name of the domains of a core.
pub struct DomainSigner {
    core: Core,
    clock: Arc<dyn Clock>,
    keys: Cache<String, Arc<Keys>>,
}

/// The keys of one domain, none if it isn't ours.
struct Keys {
    keys: Vec<SigningKey>,
    generation: u64,
    read: Instant,
}

#[async_trait]
impl Signer for DomainSigner {
    async fn sign(&self, job: &Job, message: &Bytes) -> Result<Bytes, String> {
        let mail_from = &job.mail_from.email;
        self.sign_for(job.account, job.submission, mail_from, message)
            .await
    }
}

impl fmt::Debug for DomainSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DomainSigner(..)")
    }
}

impl DomainSigner {
    pub fn new(core: Core, clock: Arc<dyn Clock>) -> DomainSigner {
        DomainSigner {
            core,
            clock,
            keys: Cache::new(DOMAINS_REMEMBERED_MAX),
        }
    }

    /// The fields to put in front of a message of the queue, each with its CRLF; none if it is nobody's here. `message` is what
    /// is sent. `Err`: the keys can't be had now.
    pub async fn sign_for(
        &self,
        account: AccountId,
        submission: u64,
        mail_from: &str,
        message: &Bytes,
    ) -> Result<Bytes, String> {
        let origin = self.core.origin(account, submission, message).await;
        let fields = match origin.map_err(|error| error.to_string())?.author {
            Author::Here => self.dkim(mail_from, message).await?,
            _ => self.seal(mail_from, message).await?,
        };
        Ok(fields.map(Bytes::from).unwrap_or_default())
    }

    /// In the name of the author's domain, or of one above it that is ours; else of the envelope sender's.
    async fn dkim(&self, mail_from: &str, message: &Bytes) -> Result<Option<String>, String> {
        let mut domains = author_domains(message);
        // RFC 6376 §3.10: of several authors, one signs; the first that is ours.
        domains.extend(domain_of(mail_from).map(str::to_owned));
        let Some(keys) = self.first_of(domains.iter().map(String::as_str)).await? else {
            return Ok(None);
        };
        let (message, now) = (message.clone(), self.clock.now().seconds());
        work(move || dkim_signatures(&keys.keys, &message, now)).await
    }

    /// In the name of the domain that passes it on.
    async fn seal(&self, mail_from: &str, octets: &Bytes) -> Result<Option<String>, String> {
        let first = message::fields(octets).next();
        let by = first.map(|field| octets.slice(field.range));
        let by = by
            .as_deref()
            .and_then(|field| std::str::from_utf8(field).ok());
        let by = by.and_then(|field| domain_of(field.trim()));
        let hostname = self.core.hostname();
        let domains = [domain_of(mail_from), by, Some(&**hostname)];
        let Some(keys) = self.first_of(domains.into_iter().flatten()).await? else {
            return Ok(None);
        };
        let (octets, now) = (octets.clone(), self.clock.now().seconds());
        let authserv_id = hostname.to_string();
        work(move || {
            // RFC 8617 §4.1.2: one signature a set; RSA is what all verifiers know.
            let is_rsa = |key: &&SigningKey| key.algorithm() == SigningAlgorithm::Rsa;
            let key = keys.keys.iter().find(is_rsa)?;
            mail_auth_adapter::seal(key, &octets, &authserv_id, now)
        })
        .await
    }

    /// The keys of the first of these domains that has any, or of one above it.
    async fn first_of<'d>(
        &self,
        domains: impl Iterator<Item = &'d str>,
    ) -> Result<Option<Arc<Keys>>, String> {
        for domain in domains {
            let mut rest = Some(domain.trim_end_matches('.'));
            for _ in 0..PARENTS_MAX {
                let Some(name) = rest.filter(|name| !name.is_empty()) else {
                    break;
                };
                let keys = self.keys_of(name).await?;
                if !keys.keys.is_empty() {
                    return Ok(Some(keys));
                }
                rest = name.split_once('.').map(|(_, above)| above);
            }
        }
        Ok(None)
    }

    async fn keys_of(&self, domain: &str) -> Result<Arc<Keys>, String> {
        let (generation, now) = (self.core.generation(), self.clock.monotonic());
        let is_fresh = |keys: &Arc<Keys>| {
            keys.generation == generation
                && now.saturating_duration_since(keys.read) < KEYS_TIME_MAX
        };
        if let Some(keys) = self.keys.get(domain).filter(is_fresh) {
            return Ok(keys);
        }
        let found = self.core.signing_keys(domain).await;
        let found = found.map_err(|error| error.to_string())?;
        let keys = Arc::new(Keys {
            keys: found.iter().filter_map(ready).collect(),
            generation,
            read: now,
        });
        self.keys.insert(domain.to_owned(), keys.clone());
        Ok(keys)
    }
}

/// Invariant 5: a key that can't be read is passed over, and the others sign.
fn ready(key: &DkimKey) -> Option<SigningKey> {
    let algorithm = match key.record.algorithm {
        DkimAlgorithm::Rsa => SigningAlgorithm::Rsa,
        DkimAlgorithm::Ed25519 => SigningAlgorithm::Ed25519,
    };
    let private_key = key.record.private_key.expose();
    SigningKey::from_pkcs8(algorithm, &key.domain, &key.selector, private_key)
        .inspect_err(|error| tracing::error!(domain = key.domain, selector = key.selector, %error, "a DKIM key is passed over"))
        .ok()
}

fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// Hashing and signing take their time; other tasks have theirs.
async fn work(
    job: impl FnOnce() -> Option<String> + Send + 'static,
) -> Result<Option<String>, String> {
    let done = tokio::task::spawn_blocking(job).await;
    done.map_err(|error| error.to_string())
}
