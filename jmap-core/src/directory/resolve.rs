//! Who gets mail for an address.
//!
//! Holds: an exact address wins over one with a detail (RFC 5233), that over `postmaster`'s stand-ins, and all
//! of them over the catch-all. The postmaster of a domain that is served always gets mail (RFC 5321 §4.5.1).
//! Other half: `accounts` writes addresses, `domains` domains; `inproc::deliver` delivers.

use std::sync::Arc;

use jmap_types::AccountId;
use store::{Record as _, engine::Page, keys};

use super::{
    names::{self, Address},
    records::{AccountRecord, AddressRecord, DomainRecord},
};
use crate::{
    Core,
    caller::Role,
    inproc::deliver::{Recipient, RecipientError},
};

/// What an address comes to, whatever state its accounts are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    Targets(Vec<AccountId>),
    NoSuchMailbox,
    NotLocal,
}

/// RFC 5321 §4.5.1
const POSTMASTER: &str = "postmaster";
/// Longest address that is looked at, in octets (RFC 5321 §4.5.3.1.3, with room for quotes and UTF-8).
const ADDRESS_OCTETS_MAX: usize = 1024;

impl Core {
    /// What to answer to RCPT TO (RFC 5321 §3.3). `address` is without angle brackets.
    pub async fn resolve_recipient(&self, address: &str) -> Result<Recipient, RecipientError> {
        let failed = |error: store::Error| {
            tracing::error!(%error, "a recipient could not be looked up");
            RecipientError::Temporary
        };
        if let Some(answer) = self.srs_recipient(address).await.map_err(failed)? {
            return answer;
        }
        self.recipient_outside(address).await?;
        let resolved = self.resolve(address).await.map_err(failed)?;
        let targets = match &*resolved {
            Resolved::Targets(targets) => targets,
            Resolved::NoSuchMailbox => return Err(RecipientError::NoSuchMailbox),
            Resolved::NotLocal => return Err(RecipientError::NotLocal),
        };
        let mut open = Vec::with_capacity(targets.len());
        let mut refusal = RecipientError::NoSuchMailbox;
        for &target in targets {
            match self.takes_mail(target).await.map_err(failed)? {
                Ok(()) => open.push(target),
                Err(error) => refusal = error,
            }
        }
        if open.is_empty() {
            return Err(refusal);
        }
        Ok(Recipient {
            address: address.to_owned(),
            targets: open,
        })
    }

    async fn takes_mail(
        &self,
        account: AccountId,
    ) -> Result<Result<(), RecipientError>, store::Error> {
        let Some(record) = self.account_record(account).await? else {
            return Ok(Err(RecipientError::NoSuchMailbox));
        };
        if record.disabled {
            return Ok(Err(RecipientError::Disabled));
        }
        // What only goes on needs no room.
        let keeps = record.forward.as_ref().is_none_or(|forward| forward.keep);
        let quota = self.quota_octets(account).await?;
        if keeps && quota != 0 && self.accounts.handle(account).head().await?.used_octets >= quota {
            return Ok(Err(RecipientError::OverQuota));
        }
        Ok(Ok(()))
    }

    /// Who gets mail for an address as somebody wrote it.
    pub(crate) async fn resolve(&self, address: &str) -> Result<Arc<Resolved>, store::Error> {
        if address.len() > ADDRESS_OCTETS_MAX {
            return Ok(Arc::new(Resolved::NoSuchMailbox));
        }
        let generation = self.directory.generation();
        if let Some(known) = self.directory.recipients.get(address, generation) {
            return Ok(known);
        }
        let resolved = Arc::new(self.look_up(address).await?);
        self.directory
            .recipients
            .put(address.to_owned(), generation, resolved.clone());
        Ok(resolved)
    }

    async fn look_up(&self, address: &str) -> Result<Resolved, store::Error> {
        // RFC 5321 §4.5.1: the one address without a domain.
        if address.eq_ignore_ascii_case(POSTMASTER) {
            return Ok(targets(self.first_administrator().await?));
        }
        let Some((local, domain)) = address.rsplit_once('@') else {
            return Ok(Resolved::NoSuchMailbox);
        };
        let Ok(domain) = names::domain(domain) else {
            return Ok(Resolved::NotLocal);
        };
        let Some((domain, record)) = self.canonical_domain(domain).await? else {
            return Ok(Resolved::NotLocal);
        };
        // What can't be an address here may still be meant for the catch-all.
        let Ok(local) = names::local_part(local) else {
            return Ok(targets(record.catch_all.map(AccountId::new)));
        };
        let base = without_detail(&local);
        for local in std::iter::once(&*local).chain(base) {
            let address = Address {
                local: local.to_owned(),
                domain: domain.clone(),
            };
            if let Some(found) = self.address_record(&address.to_string()).await? {
                return Ok(Resolved::Targets(
                    found.targets.into_iter().map(AccountId::new).collect(),
                ));
            }
        }
        let catch_all = record.catch_all.map(AccountId::new);
        if catch_all.is_none() && base.unwrap_or(&local) == POSTMASTER {
            return Ok(targets(self.first_administrator().await?));
        }
        Ok(targets(catch_all))
    }

    pub(super) async fn address_record(
        &self,
        address: &str,
    ) -> Result<Option<AddressRecord>, store::Error> {
        self.stored(&keys::address(address)).await
    }

    /// The domain itself, or the one that it is an alias of; `None` when it isn't served here.
    pub(super) async fn canonical_domain(
        &self,
        name: String,
    ) -> Result<Option<(String, DomainRecord)>, store::Error> {
        let Some(record) = self.stored::<DomainRecord>(&keys::domain(&name)).await? else {
            return Ok(None);
        };
        // An alias of an alias can't be made.
        match record.alias_of {
            Some(target) => Ok(self
                .stored(&keys::domain(&target))
                .await?
                .map(|record| (target, record))),
            None => Ok(Some((name, record))),
        }
    }

    /// The administrator with the lowest id who takes mail.
    async fn first_administrator(&self) -> Result<Option<AccountId>, store::Error> {
        const ROWS_PER_PAGE: usize = 1000;
        let mut range = keys::all(keys::Subspace::Account);
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE))
                .await?;
            for (key, bytes) in &rows {
                let is_administrator = AccountRecord::from_bytes(key, bytes).is_ok_and(|record| {
                    record.role == Role::Administrator && !record.disabled && !record.removed
                });
                if let (true, Some(id)) = (is_administrator, keys::decode_account(key)) {
                    return Ok(Some(id));
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(None);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// Whether mail for this domain is kept here.
    pub async fn is_local_domain(&self, domain: &str) -> Result<bool, store::Error> {
        let Ok(domain) = names::domain(domain) else {
            return Ok(false);
        };
        Ok(self.canonical_domain(domain).await?.is_some())
    }

    /// Whether an account may write mail from this address: one of its own, with or without a detail, also
    /// under another name of the domain. A catch-all gives no right to addresses.
    pub async fn owns_address(
        &self,
        account: AccountId,
        address: &str,
    ) -> Result<bool, store::Error> {
        let Ok(address) = names::address(address) else {
            return Ok(false);
        };
        let Some((domain, _)) = self.canonical_domain(address.domain).await? else {
            return Ok(false);
        };
        for local in std::iter::once(&*address.local).chain(without_detail(&address.local)) {
            let address = Address {
                local: local.to_owned(),
                domain: domain.clone(),
            };
            // The first that exists decides, as it does for mail that comes in.
            if let Some(record) = self.address_record(&address.to_string()).await? {
                return Ok(record.targets.contains(&account.number()));
            }
        }
        Ok(false)
    }
}

/// `user` of `user+detail`.
pub(super) fn without_detail(local: &str) -> Option<&str> {
    local
        .split_once('+')
        .map(|(user, _)| user)
        .filter(|user| !user.is_empty())
}

fn targets(account: Option<AccountId>) -> Resolved {
    match account {
        Some(account) => Resolved::Targets(vec![account]),
        None => Resolved::NoSuchMailbox,
    }
}
