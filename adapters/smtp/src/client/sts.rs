//! MTA-STS (RFC 8461): which hosts a domain's mail goes to, over TLS only, as its policy says over HTTPS.
//!
//! Holds: a policy is believed only when it came from the domain's policy host with a certificate that is verified; one
//! that isn't too old counts whatever the DNS says; what is remembered is bounded, and fetches of one domain are one.
//! Other half: `fetch` gets the file, [`PolicyKeeper`] keeps it over a restart; `policy` says what follows.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jmap_core::clock::Clock;
use mail_auth_adapter::Dns;
use mail_auth_adapter::dns::LookupError;
use parking_lot::Mutex;

use super::fetch::Fetcher;
use super::tls::Failure;

/// Policies, and domains known to have none, that are remembered in memory.
pub const POLICIES_MAX: usize = 10_000;
/// Octets of a policy (RFC 8461 §3.3 suggests as much).
pub const POLICY_OCTETS_MAX: usize = 64 << 10;
/// Patterns of one policy; one with more is none.
pub const PATTERNS_MAX: usize = 100;
/// RFC 8461 §3.2: a year and a day, in seconds.
pub const MAX_AGE_SECONDS: i64 = 31_557_600;
/// After a fetch that failed, and between looks at a policy that is there: five minutes (RFC 8461 §3.3), and a day.
const RETRY_MS: i64 = 300_000;
const REFRESH_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    Testing,
    None,
}

/// A policy (RFC 8461 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsPolicy {
    pub mode: Mode,
    /// In lower case.
    pub mx: Vec<String>,
    pub max_age_seconds: i64,
    /// As they came; for reports.
    pub lines: Vec<String>,
}

impl StsPolicy {
    pub fn parse(text: &str) -> Option<StsPolicy> {
        let mut lines = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty());
        let mut policy = StsPolicy {
            mode: Mode::None,
            mx: Vec::new(),
            max_age_seconds: -1,
            lines: Vec::new(),
        };
        let (mut mode, mut version) = (None, false);
        for line in &mut lines {
            let (key, value) = line.split_once(':')?;
            let value = value.trim();
            policy.lines.push(line.to_owned());
            match key.trim() {
                "version" => version = value == "STSv1",
                "mode" if mode.is_none() => {
                    mode = Some(match value {
                        "enforce" => Mode::Enforce,
                        "testing" => Mode::Testing,
                        "none" => Mode::None,
                        _ => return None,
                    })
                }
                "max_age" if policy.max_age_seconds < 0 => {
                    let is_number = value.bytes().all(|b| b.is_ascii_digit()) && value.len() <= 10;
                    let seconds: i64 = is_number.then(|| value.parse().ok())??;
                    policy.max_age_seconds = seconds.min(MAX_AGE_SECONDS);
                }
                "mx" => policy
                    .mx
                    .push(value.trim_end_matches('.').to_ascii_lowercase()),
                _ => {}
            }
            if policy.mx.len() > PATTERNS_MAX {
                return None;
            }
        }
        policy.mode = mode?;
        let is_whole = version
            && policy.max_age_seconds >= 0
            && (policy.mode == Mode::None || !policy.mx.is_empty());
        is_whole.then_some(policy)
    }

    /// RFC 8461 §4.1: `*.` stands for one label.
    pub fn allows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.mx
            .iter()
            .any(|pattern| match pattern.strip_prefix("*.") {
                Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
                None => *pattern == host,
            })
    }
}

/// RFC 8461 §3.1: the id of the record, if there is one record and it is one.
pub fn record_id(records: &[Vec<u8>]) -> Option<String> {
    let mut ours = records.iter().filter(|text| {
        text.strip_prefix(b"v=STSv1")
            .is_some_and(|rest| matches!(rest.trim_ascii_start().first(), None | Some(b';')))
    });
    let (record, None) = (ours.next()?, ours.next()) else {
        return None;
    };
    let record = std::str::from_utf8(record).ok()?;
    let id = record.split(';').find_map(|field| {
        let (key, value) = field.split_once('=')?;
        (key.trim() == "id").then(|| value.trim())
    })?;
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

/// A policy as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPolicy {
    pub id: String,
    /// The file.
    pub text: String,
    /// Milliseconds since 1970.
    pub fetched: i64,
    /// From then on it doesn't count.
    pub expires: i64,
}

/// Keeps policies over a restart. Whoever keeps them may lose some: they are fetched again.
#[async_trait]
pub trait PolicyKeeper: Send + Sync + fmt::Debug {
    async fn load(&self, domain: &str) -> Option<KeptPolicy>;
    async fn keep(&self, domain: &str, policy: &KeptPolicy);
}

#[derive(Clone, Debug)]
struct Entry {
    policy: Option<(KeptPolicy, Arc<StsPolicy>)>,
    /// When the domain is looked at again even if its record hasn't changed.
    look_at: i64,
    /// Why the last fetch gave nothing, and for which id.
    failed: Option<(String, Failure)>,
    used: i64,
}

/// What is known of a domain's policy.
#[derive(Clone, Debug, Default)]
pub struct Sts {
    pub policy: Option<Arc<StsPolicy>>,
    /// The domain says that it has one, and it can't be had (RFC 8460 §4.3.2.2).
    pub failure: Option<Failure>,
}

/// All policies.
#[derive(Debug)]
pub struct StsPolicies {
    fetcher: Fetcher,
    dns: Dns,
    clock: Arc<dyn Clock>,
    keeper: Option<Arc<dyn PolicyKeeper>>,
    entries: Mutex<HashMap<String, Entry>>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl StsPolicies {
    pub fn new(
        fetcher: Fetcher,
        dns: Dns,
        clock: Arc<dyn Clock>,
        keeper: Option<Arc<dyn PolicyKeeper>>,
    ) -> StsPolicies {
        StsPolicies {
            fetcher,
            dns,
            clock,
            keeper,
            entries: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// The policy that counts for a domain now.
    pub async fn of(&self, domain: &str) -> Sts {
        let turn = self
            .turns
            .lock()
            .entry(domain.to_owned())
            .or_default()
            .clone();
        let sts = {
            let _turn = turn.lock().await;
            self.look(domain).await
        };
        let mut turns = self.turns.lock();
        drop(turn);
        if turns
            .get(domain)
            .is_some_and(|turn| Arc::strong_count(turn) == 1)
        {
            turns.remove(domain);
        }
        sts
    }

    async fn look(&self, domain: &str) -> Sts {
        let now = self.clock.now().0;
        let mut entry = self.known(domain, now).await;
        // RFC 8461 §3.1: without a record there is no new policy; one that is kept still counts.
        let id = match self.dns.txt(&format!("_mta-sts.{domain}")).await {
            Ok(answer) => record_id(&answer.records),
            Err(LookupError::NotFound(_) | LookupError::BadName) => None,
            Err(LookupError::Bogus | LookupError::Temporary(_)) => None,
        };
        let Some(id) = id else {
            self.remember(domain, entry.clone(), now);
            return entry.sts(now);
        };
        let is_current = entry
            .policy
            .as_ref()
            .is_some_and(|(kept, _)| kept.id == id && kept.expires > now);
        let has_failed = entry
            .failed
            .as_ref()
            .is_some_and(|(failed, _)| *failed == id);
        let is_due = match (is_current, has_failed) {
            (false, false) => true,
            _ => entry.look_at <= now,
        };
        if is_due {
            self.fetch(domain, id, &mut entry, now).await;
        }
        self.remember(domain, entry.clone(), now);
        entry.sts(now)
    }

    async fn fetch(&self, domain: &str, id: String, entry: &mut Entry, now: i64) {
        let fetched = self.fetcher.fetch(domain).await;
        let read = fetched.and_then(|text| {
            let policy = StsPolicy::parse(&text).ok_or_else(|| {
                Failure::new("sts-policy-invalid", "the policy is not as RFC 8461 has it")
            })?;
            Ok((text, policy))
        });
        match read {
            Ok((text, policy)) => {
                let kept = KeptPolicy {
                    id,
                    text,
                    fetched: now,
                    expires: now.saturating_add(policy.max_age_seconds.saturating_mul(1000)),
                };
                if let Some(keeper) = &self.keeper {
                    keeper.keep(domain, &kept).await;
                }
                entry.look_at = now.saturating_add(REFRESH_MS);
                entry.policy = Some((kept, Arc::new(policy)));
                entry.failed = None;
            }
            Err(failure) => {
                tracing::info!(%domain, reason = %failure.reason, "an MTA-STS policy can't be had");
                entry.look_at = now.saturating_add(RETRY_MS);
                entry.failed = Some((id, failure));
            }
        }
    }

    async fn known(&self, domain: &str, now: i64) -> Entry {
        if let Some(entry) = self.entries.lock().get(domain) {
            return entry.clone();
        }
        let kept = match &self.keeper {
            Some(keeper) => keeper.load(domain).await,
            None => None,
        };
        let policy = kept
            .filter(|kept| kept.expires > now)
            .and_then(|kept| Some((StsPolicy::parse(&kept.text)?, kept)))
            .map(|(policy, kept)| (kept, Arc::new(policy)));
        let look_at = policy
            .as_ref()
            .map_or(0, |(kept, _)| kept.fetched.saturating_add(REFRESH_MS));
        Entry {
            policy,
            look_at,
            failed: None,
            used: now,
        }
    }

    fn remember(&self, domain: &str, mut entry: Entry, now: i64) {
        entry.used = now;
        let mut entries = self.entries.lock();
        if entry.policy.is_none() && entry.failed.is_none() {
            entries.remove(domain);
            return;
        }
        if entries.len() >= POLICIES_MAX && !entries.contains_key(domain) {
            // Those that nobody has asked for longest; many at once, so that this is rare.
            let mut used: Vec<i64> = entries.values().map(|entry| entry.used).collect();
            let middle = used.len() / 2;
            let (_, &mut median, _) = used.select_nth_unstable(middle);
            entries.retain(|_, entry| entry.used > median);
        }
        entries.insert(domain.to_owned(), entry);
    }
}

impl Entry {
    fn sts(&self, now: i64) -> Sts {
        let policy = self.policy.as_ref().filter(|(kept, _)| kept.expires > now);
        Sts {
            policy: policy.map(|(_, policy)| policy.clone()),
            failure: match policy {
                Some(_) => None,
                None => self.failed.as_ref().map(|(_, failure)| failure.clone()),
            },
        }
    }
}
