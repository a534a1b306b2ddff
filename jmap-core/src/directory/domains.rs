//! Changes of domains.
//!
//! Holds: an alias names a domain that is none and that exists; a domain with addresses isn't removed.
//! Other half: `resolve` reads.

use store::{
    Record as _,
    engine::{Batch, Page},
    keys,
};

use super::{DOMAINS_MAX, DirectoryError, dkim::Made, names, records::DomainRecord};
use crate::{
    Core,
    access::{self, Object, Operation},
    admin::{Deed, Terms},
    caller::{Caller, Role},
};

/// A domain of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Lower-case A-labels.
    pub name: String,
    pub record: DomainRecord,
}

/// What is to be changed of a domain. `None`: as it was; `Some(None)`: none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainChange {
    /// The name of an account.
    pub catch_all: Option<Option<String>>,
    /// The name of a domain.
    pub alias_of: Option<Option<String>>,
    /// The name of a domain: see [`DomainRecord::srs_domain`].
    pub srs_domain: Option<Option<String>>,
    pub accounts_max: Option<Option<u64>>,
    pub octets_max: Option<Option<u64>>,
    pub recipients_per_hour: Option<Option<u64>>,
    pub recipients_per_day: Option<Option<u64>>,
}

impl DomainChange {
    /// What whoever wants this has to be allowed to do.
    fn operation(&self) -> Operation {
        let is_limit = self.alias_of.is_some()
            || self.srs_domain.is_some()
            || self.accounts_max.is_some()
            || self.octets_max.is_some()
            || self.recipients_per_hour.is_some()
            || self.recipients_per_day.is_some();
        match is_limit {
            true => Operation::LimitDomain,
            false => Operation::ChangeDomain,
        }
    }
}

impl Core {
    /// Serves a domain from now on.
    pub async fn add_domain(&self, who: &Caller, name: &str) -> Result<Domain, DirectoryError> {
        self.add_domain_on(who, name, &Terms::default()).await
    }

    /// The same, on terms.
    pub async fn add_domain_on(
        &self,
        who: &Caller,
        name: &str,
        terms: &Terms,
    ) -> Result<Domain, DirectoryError> {
        access::may_run(who, Operation::AddDomain)?;
        let name = &names::domain(name)?;
        if self.engine.get(&keys::domain(name)).await?.is_some() {
            return Err(DirectoryError::AlreadyExists(name.to_owned()));
        }
        let made = &self.first_dkim_keys().await?;
        self.change_directory(|| self.try_add_domain(who, name, made, terms))
            .await
    }

    async fn try_add_domain(
        &self,
        who: &Caller,
        name: &str,
        made: &[Made],
        terms: &Terms,
    ) -> Result<Domain, DirectoryError> {
        let fence = self.fence().await?;
        let key = keys::domain(name);
        if self.engine.get(&key).await?.is_some() {
            return Err(DirectoryError::AlreadyExists(name.to_owned()));
        }
        if self
            .rows(keys::all(keys::Subspace::Domain), true)
            .await?
            .len()
            >= DOMAINS_MAX
        {
            return Err(DirectoryError::TooMany("domains"));
        }
        let record = DomainRecord {
            created: self.clock.now().seconds(),
            ..DomainRecord::default()
        };
        let mut batch = Batch::new();
        batch.put(key, record.to_bytes());
        self.put_dkim_keys(&mut batch, name, &[], made);
        self.note_once(&mut batch, who, terms.once.as_ref(), name)
            .await?;
        let deed = Deed::of_domain(Operation::AddDomain, name);
        self.audit(&mut batch, who, deed);
        self.commit_directory(fence, batch).await?;
        Ok(Domain {
            name: name.to_owned(),
            record,
        })
    }

    /// Serves a domain no more. Refused while accounts have addresses there.
    pub async fn remove_domain(&self, who: &Caller, name: &str) -> Result<(), DirectoryError> {
        self.remove_domain_on(who, name, &Terms::default()).await
    }

    /// The same, on terms.
    pub async fn remove_domain_on(
        &self,
        who: &Caller,
        name: &str,
        terms: &Terms,
    ) -> Result<(), DirectoryError> {
        let name = &self.domain_name_for(who, Operation::RemoveDomain, name)?;
        self.change_directory(|| self.try_remove_domain(who, name, terms))
            .await
    }

    /// The stored form of a domain's name, for whoever may do this to the domain, whether or not it is there.
    pub(crate) fn domain_name_for(
        &self,
        who: &Caller,
        operation: Operation,
        name: &str,
    ) -> Result<String, DirectoryError> {
        access::may_begin(who, operation, None)?;
        let name = names::domain(name)?;
        access::may(who, operation, Object::Domain(&name))?;
        Ok(name)
    }

    async fn try_remove_domain(
        &self,
        who: &Caller,
        name: &str,
        terms: &Terms,
    ) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        let key = keys::domain(name);
        let stored: Option<DomainRecord> = self.stored(&key).await?;
        let record = stored.ok_or_else(|| DirectoryError::NotFound(name.to_owned()))?;
        terms.check(&record)?;
        if let Some(address) = self.address_in(name).await? {
            return Err(DirectoryError::InUse(format!(
                "the domain has addresses, such as {address}"
            )));
        }
        if let Some(alias) = self.alias_of(name).await? {
            return Err(DirectoryError::InUse(format!(
                "the domain {alias} is an alias of it"
            )));
        }
        let mut batch = Batch::new();
        batch.delete(key);
        self.delete_dkim_keys(&mut batch, name).await?;
        self.forget_administrators(&mut batch, name).await?;
        let deed = Deed::of_domain(Operation::RemoveDomain, name);
        self.audit(&mut batch, who, deed);
        Ok(self.commit_directory(fence, batch).await?)
    }

    /// Nobody looks after a domain that isn't served: who serves it next has administrators of their own.
    async fn forget_administrators(
        &self,
        batch: &mut Batch,
        name: &str,
    ) -> Result<(), DirectoryError> {
        for account in self.accounts(&Caller::server()).await? {
            let mut record = (*account.record).clone();
            let Some(domains) = &mut record.administers else {
                continue;
            };
            let count = domains.len();
            domains.retain(|domain| domain != name);
            if domains.len() == count {
                continue;
            }
            if domains.is_empty() {
                (record.administers, record.role) = (None, Role::User);
            }
            batch.put(keys::account(account.id), record.to_bytes());
        }
        Ok(())
    }

    /// The domains that the caller may see, by name.
    pub async fn domains(&self, who: &Caller) -> Result<Vec<Domain>, DirectoryError> {
        access::may_begin(who, Operation::SeeDomain, None)?;
        let mut domains = self.all_domains().await?;
        domains.retain(|domain| {
            access::may(who, Operation::SeeDomain, Object::Domain(&domain.name)).is_ok()
        });
        Ok(domains)
    }

    /// One domain.
    pub async fn domain(&self, who: &Caller, name: &str) -> Result<Domain, DirectoryError> {
        let name = self.domain_name_for(who, Operation::SeeDomain, name)?;
        let stored: Option<DomainRecord> = self.stored(&keys::domain(&name)).await?;
        let record = stored.ok_or_else(|| DirectoryError::NotFound(name.clone()))?;
        Ok(Domain { name, record })
    }

    async fn all_domains(&self) -> Result<Vec<Domain>, store::Error> {
        let rows = self.rows(keys::all(keys::Subspace::Domain), false).await?;
        let domain = |(key, bytes): (bytes::Bytes, bytes::Bytes)| {
            let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            DomainRecord::from_bytes(&key, &bytes).map(|record| Domain { name, record })
        };
        rows.into_iter().map(domain).collect()
    }

    /// Changes a domain's catch-all, or what it is an alias of.
    pub async fn set_domain(
        &self,
        who: &Caller,
        name: &str,
        change: DomainChange,
    ) -> Result<Domain, DirectoryError> {
        self.set_domain_on(who, name, change, &Terms::default())
            .await
    }

    /// The same, on terms.
    pub async fn set_domain_on(
        &self,
        who: &Caller,
        name: &str,
        change: DomainChange,
        terms: &Terms,
    ) -> Result<Domain, DirectoryError> {
        let operation = change.operation();
        let name = &self.domain_name_for(who, operation, name)?;
        let change = &change;
        self.change_directory(|| self.try_set_domain(who, name, change, terms))
            .await
    }

    async fn try_set_domain(
        &self,
        who: &Caller,
        name: &str,
        change: &DomainChange,
        terms: &Terms,
    ) -> Result<Domain, DirectoryError> {
        let fence = self.fence().await?;
        let key = keys::domain(name);
        let stored: Option<DomainRecord> = self.stored(&key).await?;
        let old = stored.ok_or_else(|| DirectoryError::NotFound(name.to_owned()))?;
        terms.check(&old)?;
        let mut record = old.clone();
        match &change.catch_all {
            None => {}
            Some(None) => record.catch_all = None,
            Some(Some(account)) => {
                // What is remembered of the directory may be older than the fence.
                self.directory_changed();
                record.catch_all = Some(self.account_named_for(who, account).await?.id.number());
            }
        }
        match &change.alias_of {
            None => {}
            Some(None) => record.alias_of = None,
            Some(Some(target)) => {
                record.alias_of = Some(self.check_alias(name, &names::domain(target)?).await?);
            }
        }
        record.accounts_max = change.accounts_max.unwrap_or(record.accounts_max);
        record.octets_max = change.octets_max.unwrap_or(record.octets_max);
        record.recipients_per_hour = change
            .recipients_per_hour
            .unwrap_or(record.recipients_per_hour);
        record.recipients_per_day = change
            .recipients_per_day
            .unwrap_or(record.recipients_per_day);
        match &change.srs_domain {
            None => {}
            Some(None) => record.srs_domain = None,
            Some(Some(target)) => {
                let target = names::domain(target)?;
                if self.canonical_domain(target.clone()).await?.is_none() {
                    return Err(DirectoryError::NotFound(target));
                }
                record.srs_domain = Some(target);
            }
        }
        let mut batch = Batch::new();
        batch.put(key, record.to_bytes());
        let deed = Deed::of_domain(change.operation(), name);
        self.audit(&mut batch, who, deed.domain_changes(&old, &record));
        self.commit_directory(fence, batch).await?;
        Ok(Domain {
            name: name.to_owned(),
            record,
        })
    }

    async fn check_alias(&self, name: &str, target: &str) -> Result<String, DirectoryError> {
        let found: Option<DomainRecord> = self.stored(&keys::domain(target)).await?;
        let record = found.ok_or_else(|| DirectoryError::NotFound(target.to_owned()))?;
        if target == name || record.alias_of.is_some() {
            return Err(DirectoryError::InUse(format!(
                "{target} is an alias itself"
            )));
        }
        if let Some(address) = self.address_in(name).await? {
            return Err(DirectoryError::InUse(format!(
                "the domain has addresses, such as {address}"
            )));
        }
        if let Some(alias) = self.alias_of(name).await? {
            return Err(DirectoryError::InUse(format!(
                "the domain {alias} is an alias of it"
            )));
        }
        Ok(target.to_owned())
    }

    /// Some address of a domain. Addresses are ordered by local part: all of them are looked at.
    async fn address_in(&self, domain: &str) -> Result<Option<String>, store::Error> {
        const ROWS_PER_PAGE: usize = 1000;
        let suffix = format!("@{domain}");
        let mut range = keys::all(keys::Subspace::Address);
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE).keys_only())
                .await?;
            let mut in_domain = rows
                .iter()
                .filter(|(key, _)| key.ends_with(suffix.as_bytes()));
            if let Some((key, _)) = in_domain.next() {
                let address = key.get(1..).unwrap_or_default();
                return Ok(Some(String::from_utf8_lossy(address).into_owned()));
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(None);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    async fn alias_of(&self, name: &str) -> Result<Option<String>, store::Error> {
        let domains = self.all_domains().await?;
        let is_alias = |domain: &Domain| domain.record.alias_of.as_deref() == Some(name);
        Ok(domains.into_iter().find(is_alias).map(|domain| domain.name))
    }
}
