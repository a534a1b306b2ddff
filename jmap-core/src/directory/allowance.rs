//! What accounts and domains may use: octets, accounts, recipients.
//!
//! Holds: an account has what its own quota and its domain's leave, whichever is less. What a domain uses is summed up anew every
//! [`USAGE_AGE_MAX`], and only where it has a quota: by so much of new mail it may be exceeded.
//! Other half: `inproc::deliver` and whoever else adds mail ask [`Core::quota_octets`]; `mail::submission::rate` counts recipients.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jmap_types::AccountId;
use parking_lot::Mutex;
use store::{Head, Record as _, keys};

use super::{
    DOMAINS_MAX, DirectoryError,
    records::{AccountKind, AccountRecord, DomainRecord},
};
use crate::{
    Caller, Core,
    admin::Terms,
    directory::{Account, AccountChange},
    mail::submission::{Budget, SentTooMuch},
};

/// How old the sum of a domain's accounts may be.
pub const USAGE_AGE_MAX: Duration = Duration::from_secs(10);

/// Octets by domain, and when they were summed up.
#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<HashMap<String, (Instant, u64)>>);

/// The domain that an account counts for: that of its name, or of its first address.
pub(super) fn domain_of(record: &AccountRecord) -> Option<&str> {
    let named = record.name.rsplit_once('@');
    let first = record
        .addresses
        .first()
        .and_then(|first| first.rsplit_once('@'));
    named.or(first).map(|(_, domain)| domain)
}

impl Core {
    /// Octets that an account may use, by its own quota and its domain's; 0: no limit.
    pub async fn quota_octets(&self, account: AccountId) -> Result<u64, store::Error> {
        let own = self.own_quota_octets(account).await?;
        let Some(record) = self.account_record(account).await? else {
            return Ok(own);
        };
        let Some((domain, of_domain)) = self.domain_record_of(&record).await? else {
            return Ok(own);
        };
        let Some(max) = of_domain.octets_max else {
            return Ok(own);
        };
        let left = max.saturating_sub(self.domain_usage(&domain).await?);
        let used = self.accounts.handle(account).head().await?.used_octets;
        // 0 would be no limit.
        let by_domain = used.saturating_add(left).max(1);
        Ok(match own {
            0 => by_domain,
            own => own.min(by_domain),
        })
    }

    async fn domain_record_of(
        &self,
        record: &AccountRecord,
    ) -> Result<Option<(String, Arc<DomainRecord>)>, store::Error> {
        let Some(domain) = domain_of(record) else {
            return Ok(None);
        };
        let generation = self.directory.generation();
        let known = self.directory.domains.get(domain, generation);
        let found = match known {
            Some(found) => found,
            None => {
                let stored: Option<DomainRecord> = self.stored(&keys::domain(domain)).await?;
                let found = stored.map(Arc::new);
                self.directory
                    .domains
                    .put(domain.to_owned(), generation, found.clone());
                found
            }
        };
        Ok(found.map(|found| (domain.to_owned(), found)))
    }

    /// Octets that the accounts of a domain use together.
    async fn domain_usage(&self, domain: &str) -> Result<u64, store::Error> {
        let now = self.clock.monotonic();
        let known = self.directory.usage.0.lock().get(domain).copied();
        if let Some((at, octets)) = known
            && now.saturating_duration_since(at) < USAGE_AGE_MAX
        {
            return Ok(octets);
        }
        let mut octets = 0_u64;
        for account in self.of_domain(domain).await? {
            let head: Option<Head> = self.stored(&keys::head(account.id)).await?;
            octets = octets.saturating_add(head.map_or(0, |head| head.used_octets));
        }
        let mut usage = self.directory.usage.0.lock();
        if usage.len() >= DOMAINS_MAX {
            usage.clear();
        }
        usage.insert(domain.to_owned(), (now, octets));
        Ok(octets)
    }

    async fn of_domain(&self, domain: &str) -> Result<Vec<Account>, store::Error> {
        let rows = self.rows(keys::all(keys::Subspace::Account), false).await?;
        let mut accounts = Vec::new();
        for (key, bytes) in rows {
            // Invariant 5: one that can't be read is reported by the check.
            let Ok(record) = AccountRecord::from_bytes(&key, &bytes) else {
                continue;
            };
            if let Some(id) = keys::decode_account(&key)
                && !record.removed
                && domain_of(&record) == Some(domain)
            {
                accounts.push(Account {
                    id,
                    record: Arc::new(record),
                });
            }
        }
        Ok(accounts)
    }

    /// One account more, or one too many.
    pub(super) async fn check_accounts_max(&self, domain: &str) -> Result<(), DirectoryError> {
        let stored: Option<DomainRecord> = self.stored(&keys::domain(domain)).await?;
        let Some(max) = stored.and_then(|record| record.accounts_max) else {
            return Ok(());
        };
        let accounts = self.of_domain(domain).await?;
        let is_counted = |account: &&Account| {
            matches!(
                account.record.kind,
                AccountKind::Person | AccountKind::Group
            )
        };
        match (accounts.iter().filter(is_counted).count() as u64) < max {
            true => Ok(()),
            false => Err(DirectoryError::TooMany("accounts of the domain")),
        }
    }

    /// Sets how many recipients an account may send to. `None`: the server's default. 0: no limit.
    pub async fn set_budget(
        &self,
        who: &Caller,
        id: AccountId,
        per_hour: Option<u64>,
        per_day: Option<u64>,
    ) -> Result<Account, DirectoryError> {
        let change = AccountChange {
            recipients_per_hour: Some(per_hour),
            recipients_per_day: Some(per_day),
            ..AccountChange::default()
        };
        self.change_account_on(who, id, change, &Terms::default())
            .await
    }

    /// Counts the recipients of a message, unless they are too many for the account or for its domain.
    pub(crate) async fn take_sending(
        &self,
        account: AccountId,
        recipients: u64,
    ) -> Result<Result<(), SentTooMuch>, store::Error> {
        let record = self.account_record(account).await?;
        let own = Budget {
            hour: record
                .as_ref()
                .and_then(|record| record.recipients_per_hour)
                .unwrap_or(self.limits().max_recipients_per_hour),
            day: record
                .as_ref()
                .and_then(|record| record.recipients_per_day)
                .unwrap_or(self.limits().max_recipients_per_day),
        };
        let domain = match &record {
            Some(record) => self.domain_record_of(record).await?,
            None => None,
        };
        let of_domain = domain.and_then(|(name, record)| {
            let budget = Budget {
                hour: record.recipients_per_hour.unwrap_or(0),
                day: record.recipients_per_day.unwrap_or(0),
            };
            (budget != Budget::default()).then_some((name, budget))
        });
        let now = self.clock.monotonic();
        Ok(self.sending.take(account, recipients, own, of_domain, now))
    }
}
