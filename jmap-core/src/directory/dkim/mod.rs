//! The DKIM keys of domains (RFC 6376, 8301, 8463): made, published, used, replaced.
//!
//! Holds: each domain, also one that is an alias, has keys of its own, of both algorithms. A key that replaces another signs
//! nothing before the DNS has it, or the operator says so; the one before stays published for what it has signed. All
//! changes assert the directory's counter, so nodes that do the same at the same time do it once. A private key leaves the
//! store for whoever signs, and for nobody else.
//! Other half: `rotate`, which does this on schedule; the signer of outgoing mail; the command line, which shows what to publish.

mod make;
pub mod records;
mod rotate;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use store::{
    Record as _,
    engine::{Batch, Page},
    keys,
};

pub(super) use self::make::Made;
use self::records::{DkimAlgorithm, DkimKeyRecord, DkimState};
pub(crate) use self::rotate::LEASE_ROW;
use super::{DirectoryError, names, records::DomainRecord};
use crate::{Core, access::Operation, admin::Deed, caller::Caller};

/// Keys of one domain, in all states.
pub const DKIM_KEYS_PER_DOMAIN_MAX: usize = 20;

/// How keys are made and replaced.
#[derive(Clone, Debug)]
pub struct SigningSettings {
    /// The age at which a key is replaced; `None`: only when the operator says so.
    pub rotate_every: Option<Duration>,
    /// How long a new key is published, at least, before it signs: those who ask for it meanwhile and remember that it isn't
    /// there forget that.
    pub publish_before: Duration,
    /// How long a key stays published that signs no more.
    pub publish_after: Duration,
    /// Who looks whether a key is published; `None`: the operator says.
    pub published: Option<Arc<dyn Published>>,
}

impl Default for SigningSettings {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            rotate_every: Some(Duration::from_secs(180 * DAY)),
            publish_before: Duration::from_secs(2 * DAY),
            publish_after: Duration::from_secs(14 * DAY),
            published: None,
        }
    }
}

/// Looks into the DNS.
#[async_trait]
pub trait Published: Send + Sync + fmt::Debug {
    /// Whether `name` has a TXT record that says the same as `record`.
    async fn is_published(&self, name: &str, record: &str) -> bool;
}

/// What a process knows of the keys that it takes care of.
#[derive(Debug)]
pub(crate) struct Signing {
    settings: ArcSwap<SigningSettings>,
    /// Tells the leases of this process from those of others.
    owner: u64,
    last_round: Mutex<Option<Instant>>,
}

/// A key of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimKey {
    /// Lower-case A-labels.
    pub domain: String,
    pub selector: String,
    pub record: DkimKeyRecord,
}

impl DkimKey {
    /// Where its record is published (RFC 6376 §3.6.2.1), without the last dot.
    pub fn name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// What is published there (RFC 6376 §3.6.1).
    pub fn txt(&self) -> String {
        let kind = self.record.algorithm.name();
        format!(
            "v=DKIM1; k={kind}; p={}",
            STANDARD.encode(&self.record.public_key)
        )
    }
}

impl Core {
    /// Takes care of DKIM keys from now on, in this way: domains get theirs when they are added.
    pub fn sign_with(&self, settings: SigningSettings) {
        let settings = Arc::new(settings);
        let signing = self.signing.get_or_init(|| Signing {
            settings: ArcSwap::new(settings.clone()),
            owner: self.rng.next_u64() | 1,
            last_round: Mutex::default(),
        });
        signing.settings.store(settings);
    }

    /// All keys of a domain, by selector.
    pub async fn dkim_keys(
        &self,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<DkimKey>, DirectoryError> {
        let domain = self.domain_name_for(who, Operation::SeeDnsRecords, domain)?;
        self.known_domain(&domain).await?;
        Ok(self.stored_dkim_keys(&domain).await?)
    }

    /// The keys that mail of a domain is signed with; none when the domain isn't served here. RSA first.
    pub async fn signing_keys(&self, domain: &str) -> Result<Vec<DkimKey>, store::Error> {
        let Ok(domain) = names::domain(domain) else {
            return Ok(Vec::new());
        };
        let mut keys = self.stored_dkim_keys(&domain).await?;
        keys.retain(|key| key.record.state == DkimState::Active);
        keys.sort_by_key(|key| key.record.algorithm);
        Ok(keys)
    }

    /// Makes the next keys of a domain, unless there are some that wait to be published. The keys that wait.
    pub async fn prepare_dkim_keys(
        &self,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<DkimKey>, DirectoryError> {
        let domain = &self.domain_name_for(who, Operation::RotateDkimKeys, domain)?;
        self.known_domain(domain).await?;
        let keys = self.stored_dkim_keys(domain).await?;
        if !keys.iter().any(is_waiting) {
            self.make_dkim_keys(who, domain).await?;
        }
        let mut keys = self.stored_dkim_keys(domain).await?;
        if keys.iter().any(is_waiting) {
            keys.retain(is_waiting);
        }
        Ok(keys)
    }

    /// The keys of a domain that wait sign from now on; those that have signed retire. The keys that sign now.
    pub async fn activate_dkim_keys(
        &self,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<DkimKey>, DirectoryError> {
        let domain = &self.domain_name_for(who, Operation::RotateDkimKeys, domain)?;
        self.known_domain(domain).await?;
        if !self.start_waiting_keys(who, domain).await? {
            let what = format!("a DKIM key of {domain} that waits");
            return Err(DirectoryError::NotFound(what));
        }
        Ok(self.signing_keys(domain).await?)
    }

    /// Removes a key that doesn't sign. Errors: it is [`DirectoryError::InUse`] while it does.
    pub async fn remove_dkim_key(
        &self,
        who: &Caller,
        domain: &str,
        selector: &str,
    ) -> Result<(), DirectoryError> {
        let domain = &self.domain_name_for(who, Operation::RotateDkimKeys, domain)?;
        self.known_domain(domain).await?;
        self.change_directory(|| async {
            let fence = self.fence().await?;
            let there = self.stored_dkim_keys(domain).await?;
            let found = there.iter().find(|key| key.selector == selector);
            let Some(found) = found else {
                let what = format!("the DKIM key {selector} of {domain}");
                return Err(DirectoryError::NotFound(what));
            };
            let state = match found.record.state {
                DkimState::Waiting => "waiting",
                DkimState::Retired => "retired",
                DkimState::Active => {
                    let why =
                        "mail is signed with this key; another one has to take its place first";
                    return Err(DirectoryError::InUse(why.to_owned()));
                }
            };
            let mut batch = Batch::new();
            batch.delete(keys::dkim_key(domain, &found.selector));
            let deed = Deed::of_domain(Operation::RotateDkimKeys, domain);
            let deed = deed.field(&found.selector, Some(state.to_owned()), None);
            self.audit(&mut batch, who, deed);
            Ok(self.commit_directory(fence, batch).await?)
        })
        .await
    }

    async fn known_domain(&self, domain: &str) -> Result<(), DirectoryError> {
        let found: Option<DomainRecord> = self.stored(&keys::domain(domain)).await?;
        found
            .map(drop)
            .ok_or_else(|| DirectoryError::NotFound(domain.to_owned()))
    }

    async fn stored_dkim_keys(&self, domain: &str) -> Result<Vec<DkimKey>, store::Error> {
        // A few keys: one page has them all.
        let page = Page::first(keys::dkim_keys_of(domain), DKIM_KEYS_PER_DOMAIN_MAX * 2);
        let rows = self.engine.scan(page).await?;
        rows.iter().map(|(key, bytes)| decode(key, bytes)).collect()
    }

    /// Makes a pair. It signs at once if the domain has no key that signs: RFC 6376 §6.1.2, a signature whose key isn't
    /// published is as good as none. Otherwise it waits.
    async fn make_dkim_keys(&self, who: &Caller, domain: &str) -> Result<(), DirectoryError> {
        let made = &make::pair().await.ok_or(DirectoryError::Busy)?;
        self.change_directory(|| self.try_make_dkim_keys(who, domain, made))
            .await
    }

    async fn try_make_dkim_keys(
        &self,
        who: &Caller,
        domain: &str,
        made: &[Made],
    ) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        self.known_domain(domain).await?;
        let there = self.stored_dkim_keys(domain).await?;
        // Another node was faster.
        if there.iter().any(is_waiting) {
            return Ok(());
        }
        if there.len() + made.len() > DKIM_KEYS_PER_DOMAIN_MAX {
            return Err(DirectoryError::TooMany("DKIM keys of the domain"));
        }
        let mut batch = Batch::new();
        self.put_dkim_keys(&mut batch, domain, &there, made);
        let deed = Deed::of_domain(Operation::RotateDkimKeys, domain);
        let state = Some("waiting".to_owned());
        self.audit(&mut batch, who, deed.field("keys", None, state));
        Ok(self.commit_directory(fence, batch).await?)
    }

    /// Adds a pair to those that are `there`.
    pub(super) fn put_dkim_keys(
        &self,
        batch: &mut Batch,
        domain: &str,
        there: &[DkimKey],
        made: &[Made],
    ) {
        let now = self.clock.now().seconds();
        for made in made {
            let is_first = !there.iter().any(|key| {
                key.record.algorithm == made.algorithm && key.record.state == DkimState::Active
            });
            let record = DkimKeyRecord {
                algorithm: made.algorithm,
                private_key: made.private_key.clone(),
                public_key: made.public_key.clone(),
                created: now,
                state: match is_first {
                    true => DkimState::Active,
                    false => DkimState::Waiting,
                },
                since: now,
            };
            let selector = selector(made.algorithm, now, there);
            batch.put(keys::dkim_key(domain, &selector), record.to_bytes());
        }
    }

    /// A pair for a domain that is being added; nothing while nobody takes care of keys.
    pub(super) async fn first_dkim_keys(&self) -> Result<Vec<Made>, DirectoryError> {
        match self.signing.get() {
            Some(_) => make::pair().await.ok_or(DirectoryError::Busy),
            None => Ok(Vec::new()),
        }
    }

    /// Takes away all keys of a domain.
    pub(super) async fn delete_dkim_keys(
        &self,
        batch: &mut Batch,
        domain: &str,
    ) -> Result<(), store::Error> {
        let rows = self.rows(keys::dkim_keys_of(domain), true).await?;
        for (key, _) in rows {
            batch.delete(key.to_vec());
        }
        Ok(())
    }

    /// `false`: no key waits.
    async fn start_waiting_keys(&self, who: &Caller, domain: &str) -> Result<bool, DirectoryError> {
        self.change_directory(|| async {
            let fence = self.fence().await?;
            let now = self.clock.now().seconds();
            let there = self.stored_dkim_keys(domain).await?;
            let starts = |algorithm: DkimAlgorithm| {
                let waits = |key: &DkimKey| is_waiting(key) && key.record.algorithm == algorithm;
                there.iter().any(waits)
            };
            let mut batch = Batch::new();
            let mut is_any = false;
            for key in &there {
                let state = match key.record.state {
                    DkimState::Waiting => DkimState::Active,
                    DkimState::Active if starts(key.record.algorithm) => DkimState::Retired,
                    DkimState::Active | DkimState::Retired => continue,
                };
                is_any |= state == DkimState::Active;
                let record = DkimKeyRecord {
                    state,
                    since: now,
                    ..key.record.clone()
                };
                batch.put(keys::dkim_key(domain, &key.selector), record.to_bytes());
            }
            if is_any {
                let deed = Deed::of_domain(Operation::RotateDkimKeys, domain);
                let (waiting, active) = ("waiting".to_owned(), "active".to_owned());
                self.audit(
                    &mut batch,
                    who,
                    deed.field("keys", Some(waiting), Some(active)),
                );
                self.commit_directory(fence, batch).await?;
            }
            Ok(is_any)
        })
        .await
    }
}

fn is_waiting(key: &DkimKey) -> bool {
    key.record.state == DkimState::Waiting
}

fn decode(key: &[u8], bytes: &[u8]) -> Result<DkimKey, store::Error> {
    let (domain, selector) =
        keys::decode_dkim_key(key).ok_or_else(|| store::Error::bad_key("DKIM key", key))?;
    Ok(DkimKey {
        domain: domain.to_owned(),
        selector: selector.to_owned(),
        record: DkimKeyRecord::from_bytes(key, bytes)?,
    })
}

/// A name for a new key that none of the domain's keys has: what it is, and the day it was made.
fn selector(algorithm: DkimAlgorithm, now: i64, there: &[DkimKey]) -> String {
    let (year, month, day) = date(now);
    let base = format!("{}-{year:04}{month:02}{day:02}", algorithm.name());
    let is_free = |name: &String| there.iter().all(|key| key.selector != *name);
    let more = (2..).map(|number: u32| format!("{base}-{number}"));
    std::iter::once(base.clone())
        .chain(more)
        .find(is_free)
        .unwrap_or(base)
}

/// Year, month and day of a time in seconds since 1970, in UTC.
fn date(seconds: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01, in eras of 400 years.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}
