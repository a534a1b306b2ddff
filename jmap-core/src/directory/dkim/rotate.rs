//! DKIM keys on schedule: domains without keys get some, old keys are replaced, and what is no longer needed goes.
//!
//! Holds: one node at a time does it, by a lease; a step that two nodes do all the same is done once, as each asserts the
//! directory's counter. The next keys sign only after they were seen in the DNS.
//! Other half: `work` calls, an hour apart.

use std::time::Duration;

use store::{
    decode_numbers,
    engine::{Assertion, Batch, Page},
    keys, numbers,
};

use super::{
    DirectoryError, DkimAlgorithm, DkimKey, DkimState, Signing, SigningSettings, decode, is_waiting,
};
use crate::{Caller, Core};

/// How often the keys are looked at.
const EVERY: Duration = Duration::from_secs(3600);
/// How long a node may take for it before others take it for dead.
const LEASE: Duration = Duration::from_secs(900);
/// The row of the lease: owner, and its end in milliseconds since 1970.
pub(crate) const LEASE_ROW: &str = "dkim rotation";
const DOMAINS_PER_PAGE: usize = 100;

/// What is to be done for a domain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Keys are missing, or those that sign have had their time.
    pub makes: bool,
    /// Those that wait may sign, if they are published.
    pub may_start: bool,
    /// Selectors that need no longer be published.
    pub over: Vec<String>,
}

pub(super) fn plan(there: &[DkimKey], settings: &SigningSettings, now: i64) -> Plan {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let is_after = |since: i64, span: Duration| now >= since.saturating_add(seconds(span));
    let signs = |algorithm: &DkimAlgorithm| {
        let signs = |key: &&DkimKey| {
            key.record.state == DkimState::Active && key.record.algorithm == *algorithm
        };
        there.iter().find(signs)
    };
    let has_all = DkimAlgorithm::ALL
        .iter()
        .all(|algorithm| signs(algorithm).is_some());
    let is_old = settings.rotate_every.is_some_and(|span| {
        let mut active = DkimAlgorithm::ALL.iter().filter_map(signs);
        active.any(|key| is_after(key.record.since, span))
    });
    let mut waiting = there.iter().filter(|key| is_waiting(key)).peekable();
    let some_wait = waiting.peek().is_some();
    let over = there.iter().filter(|key| {
        key.record.state == DkimState::Retired && is_after(key.record.since, settings.publish_after)
    });
    Plan {
        makes: !some_wait && (!has_all || is_old),
        may_start: some_wait
            && waiting.all(|key| is_after(key.record.created, settings.publish_before)),
        over: over.map(|key| key.selector.clone()).collect(),
    }
}

impl Core {
    /// Looks after the keys of all domains, if it is time.
    pub(crate) async fn keep_dkim_keys(&self) -> Result<(), store::Error> {
        let Some(signing) = self.signing.get() else {
            return Ok(());
        };
        let now = self.clock.monotonic();
        let is_early = |last: std::time::Instant| now.saturating_duration_since(last) < EVERY;
        if signing.last_round.lock().is_some_and(is_early) {
            return Ok(());
        }
        if self.lease_rotation(signing).await? {
            self.rotate_all(&signing.settings).await?;
        }
        *signing.last_round.lock() = Some(now);
        Ok(())
    }

    /// `false`: another node is at it.
    async fn lease_rotation(&self, signing: &Signing) -> Result<bool, store::Error> {
        let key = keys::meta(LEASE_ROW);
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        let found = self.engine.get(&key).await?;
        let assertion = match &found {
            None => Assertion::Absent(key.clone()),
            Some(bytes) => {
                let [owner, end] = decode_numbers(&key, bytes)?;
                // With a database of its own, the lease of another process is that of one that is no more.
                let is_alone = self.engine.is_exclusive();
                if owner != signing.owner && end > now && !is_alone {
                    return Ok(false);
                }
                Assertion::Equals(key.clone(), bytes.clone())
            }
        };
        let end = now.saturating_add(LEASE.as_millis() as u64);
        let mut batch = Batch::new();
        batch.assert(assertion);
        batch.put(key, numbers(&[signing.owner, end]));
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => Ok(true),
            Err(store::Error::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn rotate_all(&self, settings: &SigningSettings) -> Result<(), store::Error> {
        let mut range = keys::all(keys::Subspace::Domain);
        loop {
            let page = Page::first(range.clone(), DOMAINS_PER_PAGE).keys_only();
            let rows = self.engine.scan(page).await?;
            for (key, _) in &rows {
                let domain = String::from_utf8_lossy(key.get(1..).unwrap_or_default());
                // Invariant 5: one domain's trouble is not that of the others.
                if let Err(error) = self.rotate(&domain, settings).await {
                    tracing::error!(%domain, %error, "the DKIM keys of a domain could not be looked after");
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == DOMAINS_PER_PAGE) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    async fn rotate(&self, domain: &str, settings: &SigningSettings) -> Result<(), DirectoryError> {
        let there = self.stored_dkim_keys(domain).await?;
        let plan = plan(&there, settings, self.clock.now().seconds());
        if !plan.over.is_empty() {
            self.remove_dkim_keys(domain, &plan.over).await?;
            tracing::info!(%domain, selectors = %plan.over.join(" "), "DKIM keys are over: their records can go from the DNS");
        }
        if plan.makes {
            self.make_dkim_keys(&Caller::server(), domain).await?;
            tracing::info!(%domain, "DKIM keys were made: `posthorn domain records` has what to publish");
        }
        if plan.may_start {
            match all_published(&there, settings).await {
                true => {
                    self.start_waiting_keys(&Caller::server(), domain).await?;
                    tracing::info!(%domain, "the next DKIM keys sign from now on");
                }
                false => {
                    tracing::warn!(%domain, "the next DKIM keys wait until they are published: `posthorn domain check` says what is missing");
                }
            }
        }
        Ok(())
    }

    async fn remove_dkim_keys(
        &self,
        domain: &str,
        selectors: &[String],
    ) -> Result<(), DirectoryError> {
        self.change_directory(|| async {
            let fence = self.fence().await?;
            let mut batch = Batch::new();
            for selector in selectors {
                let key = keys::dkim_key(domain, selector);
                let found = self.engine.get(&key).await?;
                let is_retired = found.is_some_and(|bytes| {
                    decode(&key, &bytes).is_ok_and(|key| key.record.state == DkimState::Retired)
                });
                if is_retired {
                    batch.delete(key);
                }
            }
            Ok(self.commit_directory(fence, batch).await?)
        })
        .await
    }
}

async fn all_published(there: &[DkimKey], settings: &SigningSettings) -> bool {
    let Some(published) = &settings.published else {
        return false;
    };
    for key in there.iter().filter(|key| is_waiting(key)) {
        if !published.is_published(&key.name(), &key.txt()).await {
            return false;
        }
    }
    true
}
