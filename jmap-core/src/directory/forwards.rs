//! Where mail goes on to: accounts and aliases that forward, lists and their members, and the server's own account.
//!
//! Holds: an alias or a list is an account that nobody logs in to, so its address, what waits in its queue and what it has been given are kept as
//! those of any other account are. A list has an owner, who gets what comes to its owner address.
//! Other half: `mail::forward` sends on.

use jmap_types::AccountId;

use super::{
    DirectoryError, FORWARDS_MAX, LIST_MEMBERS_MAX, NewAccount, names,
    read::Account,
    records::{AccountKind, Forward, ListRecord, Posters},
    resolve::Resolved,
};
use crate::{Caller, Core, access, mail::submission};

/// What makes the owner's address of a list's: `team-owner@` of `team@`.
pub const OWNER_SUFFIX: &str = "-owner";
/// What makes the address by which members leave of a list's: `team+unsubscribe@` of `team@`. As a detail (RFC 5233) it comes to the list.
pub const UNSUBSCRIBE_SUFFIX: &str = "+unsubscribe";
/// The login name of the server's own account; nobody logs in by it.
const SERVICE: &str = ".posthorn";

/// What a new list is to be.
#[derive(Clone, Debug)]
pub struct NewList {
    pub address: String,
    /// The name of an account.
    pub owner: String,
    pub description: String,
    pub posters: Posters,
    pub members: Vec<String>,
}

/// What is to be changed of a list. `None`: as it was.
#[derive(Clone, Debug, Default)]
pub struct ListChange {
    pub description: Option<String>,
    pub posters: Option<Posters>,
    pub add: Vec<String>,
    pub remove: Vec<String>,
}

impl Core {
    /// Lets the mail of an account or alias go on, or (`None`, for accounts) not any more.
    pub async fn set_forward(
        &self,
        who: &Caller,
        id: AccountId,
        forward: Option<Forward>,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        let record = self.existing(id).await?;
        let forward = match forward {
            None if matches!(record.kind, AccountKind::Person | AccountKind::Group) => None,
            None => return Err(needs_target()),
            Some(forward) => Some(Forward {
                to: self
                    .check_targets(&record.addresses, forward.to, FORWARDS_MAX)
                    .await?,
                // An alias has nowhere to keep anything.
                keep: forward.keep && record.kind != AccountKind::Alias,
            }),
        };
        match record.kind {
            AccountKind::Person | AccountKind::Group | AccountKind::Alias => {}
            AccountKind::List | AccountKind::Service => {
                return Err(DirectoryError::InvalidName {
                    why: "a list has members; it does not forward",
                });
            }
        }
        self.change_account(id, |record| record.forward = forward.clone())
            .await
    }

    /// Makes an address alone whose mail goes on to others.
    pub async fn add_forwarding_alias(
        &self,
        who: &Caller,
        address: &str,
        to: Vec<String>,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        let address = names::address(address)?.to_string();
        let own = std::slice::from_ref(&address);
        let to = self.check_targets(own, to, FORWARDS_MAX).await?;
        let new = NewAccount {
            kind: AccountKind::Alias,
            forward: Some(Forward { to, keep: false }),
            ..NewAccount::person(address, None)
        };
        self.add_account(who, new).await
    }

    /// Makes a list. Its owner gets its owner address.
    pub async fn add_list(&self, who: &Caller, new: NewList) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        let address = names::address(&new.address)?;
        let owner = self.account_named(&new.owner).await?;
        if !matches!(owner.record.kind, AccountKind::Person | AccountKind::Group) {
            return Err(DirectoryError::InvalidName {
                why: "the owner of a list is an account or a group",
            });
        }
        let owner_address = format!("{}{OWNER_SUFFIX}@{}", address.local, address.domain);
        let address = address.to_string();
        if self.address_record(&address).await?.is_some() {
            return Err(DirectoryError::AlreadyExists(address));
        }
        let own = std::slice::from_ref(&address);
        let to = self.check_targets(own, new.members, LIST_MEMBERS_MAX).await;
        let to = match to {
            Err(DirectoryError::InvalidName { why }) if why == NO_TARGET => Vec::new(),
            to => to?,
        };
        if !owner.record.addresses.contains(&owner_address) {
            self.add_alias(who, owner.id, &owner_address).await?;
        }
        let account = NewAccount {
            kind: AccountKind::List,
            description: new.description,
            forward: Some(Forward { to, keep: false }),
            list: Some(ListRecord {
                posters: new.posters,
                owner: owner.id.number(),
            }),
            ..NewAccount::person(address, None)
        };
        self.add_account(who, account).await
    }

    /// Changes a list: its members, its description, who may write to it.
    pub async fn set_list(
        &self,
        who: &Caller,
        id: AccountId,
        change: ListChange,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        let record = self.existing(id).await?;
        let (Some(forward), Some(mut list)) = (record.forward, record.list) else {
            return Err(not_a_list());
        };
        if let Some(description) = &change.description {
            super::check_description(description)?;
        }
        let is_same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        for gone in &change.remove {
            if !forward.to.iter().any(|member| is_same(member, gone)) {
                return Err(DirectoryError::NotFound(gone.clone()));
            }
        }
        let kept = forward.to.into_iter();
        let kept = kept.filter(|member| !change.remove.iter().any(|gone| is_same(member, gone)));
        let all: Vec<String> = kept.chain(change.add.iter().cloned()).collect();
        let to = match all.is_empty() {
            true => all,
            false => {
                self.check_targets(&record.addresses, all, LIST_MEMBERS_MAX)
                    .await?
            }
        };
        list.posters = change.posters.unwrap_or(list.posters);
        self.change_account(id, |record| {
            record.forward = Some(Forward {
                to: to.clone(),
                keep: false,
            });
            record.list = Some(list);
            if let Some(description) = &change.description {
                record.description.clone_from(description);
            }
        })
        .await
    }

    /// Takes an address off the members of a list; one of ours also where it is a member by another of its addresses. `false`: it wasn't one.
    pub(crate) async fn unsubscribe(
        &self,
        id: AccountId,
        address: &str,
    ) -> Result<bool, DirectoryError> {
        let record = self.existing(id).await?;
        let Some(forward) = record.forward.filter(|_| record.list.is_some()) else {
            return Err(not_a_list());
        };
        let own = match &*self.resolve(address).await? {
            Resolved::Targets(targets) if targets.len() == 1 => Some(targets.clone()),
            _ => None,
        };
        let mut gone = Vec::new();
        for member in forward.to {
            let is_same = member.eq_ignore_ascii_case(address);
            // A group isn't its member's to leave by this way.
            let is_own = match &own {
                Some(own) if !is_same => {
                    matches!(&*self.resolve(&member).await?, Resolved::Targets(to) if to == own)
                }
                _ => false,
            };
            if is_same || is_own {
                gone.push(member);
            }
        }
        if gone.is_empty() {
            return Ok(false);
        }
        self.change_account(id, |record| {
            if let Some(forward) = &mut record.forward {
                forward.to.retain(|member| !gone.contains(member));
            }
        })
        .await?;
        Ok(true)
    }

    /// Whether mail for an address comes to this account alone.
    pub(crate) async fn is_only_for(
        &self,
        address: &str,
        account: AccountId,
    ) -> Result<bool, store::Error> {
        let resolved = self.resolve(address).await?;
        Ok(matches!(&*resolved, Resolved::Targets(targets) if targets[..] == [account]))
    }

    /// Removes a list, and the owner address with it.
    pub async fn remove_list(&self, who: &Caller, id: AccountId) -> Result<(), DirectoryError> {
        access::may_administer(who)?;
        let record = self.existing(id).await?;
        let Some(list) = record.list else {
            return Err(not_a_list());
        };
        self.remove_account(who, id).await?;
        if let Ok(address) = names::address(&record.name) {
            let owner_address = format!("{}{OWNER_SUFFIX}@{}", address.local, address.domain);
            match self
                .remove_alias(who, AccountId::new(list.owner), &owner_address)
                .await
            {
                Ok(_) | Err(DirectoryError::NotFound(_) | DirectoryError::InUse(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Addresses as they are kept: each can be sent to, is there if it is one of ours, and is in it once.
    async fn check_targets(
        &self,
        own: &[String],
        to: Vec<String>,
        max: usize,
    ) -> Result<Vec<String>, DirectoryError> {
        let mut targets: Vec<String> = Vec::with_capacity(to.len().min(max));
        let mut known = std::collections::HashSet::new();
        for text in to {
            let text = text.trim();
            let Some((local, domain)) = text.rsplit_once('@') else {
                return Err(DirectoryError::InvalidName {
                    why: "the address has no @",
                });
            };
            // The local part is the other server's business, its letter case too.
            let target = format!("{local}@{}", names::domain(domain)?);
            if !submission::is_address(&target) {
                return Err(DirectoryError::InvalidName {
                    why: "this is no address that mail can be sent to",
                });
            }
            if own.iter().any(|own| own.eq_ignore_ascii_case(&target)) {
                return Err(DirectoryError::InvalidName {
                    why: "an address does not forward to itself",
                });
            }
            // What is remembered of the directory may be old.
            self.directory_changed();
            if matches!(*self.resolve(&target).await?, Resolved::NoSuchMailbox) {
                return Err(DirectoryError::NotFound(target));
            }
            if known.insert(target.to_ascii_lowercase()) {
                targets.push(target);
            }
            if targets.len() > max {
                return Err(DirectoryError::TooMany("addresses that mail goes on to"));
            }
        }
        match targets.is_empty() {
            true => Err(needs_target()),
            false => Ok(targets),
        }
    }

    /// A list whose owner this account is.
    pub(super) async fn list_of_owner(
        &self,
        id: AccountId,
    ) -> Result<Option<String>, DirectoryError> {
        let accounts = self.accounts(&Caller::server()).await?;
        let owned = |account: &Account| {
            let list = account.record.list.as_ref();
            list.is_some_and(|list| list.owner == id.number()) && account.id != id
        };
        let list = accounts.into_iter().find(owned);
        Ok(list.map(|account| account.record.name.clone()))
    }

    /// Whether an address comes to the same account as one of `others`.
    pub(crate) async fn is_same_mailbox(
        &self,
        others: impl Iterator<Item = &String>,
        address: &str,
    ) -> Result<bool, store::Error> {
        let resolved = self.resolve(address).await?;
        let Resolved::Targets(targets) = &*resolved else {
            return Ok(false);
        };
        for other in others {
            if let Resolved::Targets(of_other) = &*self.resolve(other).await?
                && of_other.iter().any(|target| targets.contains(target))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The domain of the reverse-path of what addresses of `domain` forward.
    pub(crate) async fn srs_domain(&self, domain: &str) -> Result<String, store::Error> {
        let found = self.canonical_domain(domain.to_owned()).await?;
        let configured = found.and_then(|(_, record)| record.srs_domain);
        Ok(configured.unwrap_or_else(|| domain.to_owned()))
    }

    /// The account that holds what the server sends in nobody's name; it is made when it is first needed.
    pub(crate) async fn service_account(&self) -> Result<AccountId, DirectoryError> {
        loop {
            if let Some(id) = self.account_of_login(SERVICE).await? {
                return Ok(id);
            }
            let new = NewAccount {
                kind: AccountKind::Service,
                description: "Mail of the server itself".to_owned(),
                ..NewAccount::person(SERVICE, None)
            };
            match self.add_account(&Caller::server(), new).await {
                Ok(account) => return Ok(account.id),
                // Another task or node was faster.
                Err(DirectoryError::AlreadyExists(_)) => self.directory_changed(),
                Err(error) => return Err(error),
            }
        }
    }
}

const NO_TARGET: &str = "say where the mail goes on to";

fn needs_target() -> DirectoryError {
    DirectoryError::InvalidName { why: NO_TARGET }
}

fn not_a_list() -> DirectoryError {
    DirectoryError::InvalidName {
        why: "this is not a list",
    }
}
