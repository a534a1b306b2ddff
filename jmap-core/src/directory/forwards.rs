//! Where mail goes on to: accounts and aliases that forward, lists and their members, and the server's own account.
//!
//! Holds: an alias or a list is an account that nobody logs in to, so its address, what waits in its queue and what it has been given are kept as
//! those of any other account are. A list has an owner, who gets what comes to its owner address.
//! Other half: `mail::forward` sends on.

use jmap_types::AccountId;

use super::{
    AccountChange, DirectoryError, FORWARDS_MAX, LIST_MEMBERS_MAX, NewAccount,
    names::{self, AccountName, Address},
    read::Account,
    records::{AccountKind, AccountRecord, Forward, ListRecord, Posters},
    resolve::Resolved,
};
use crate::{
    Caller, Core,
    access::{self, Object, Operation},
    admin::{Deed, Terms},
    mail::submission,
};
use store::engine::Batch;

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

/// What a new address alone is to be.
#[derive(Clone, Debug)]
pub struct NewAlias {
    pub address: String,
    pub description: String,
    pub to: Vec<String>,
}

/// What is to be changed of a list. `None`: as it was.
#[derive(Clone, Debug, Default)]
pub struct ListChange {
    pub description: Option<String>,
    pub posters: Option<Posters>,
    /// All that there are, before some are added and removed.
    pub members: Option<Vec<String>>,
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
        let change = AccountChange {
            forward: Some(forward),
            ..AccountChange::default()
        };
        self.change_account_on(who, id, change, &Terms::default())
            .await
    }

    /// Where the mail of an account goes on to, as it is kept.
    pub(super) async fn check_forward(
        &self,
        who: &Caller,
        record: &AccountRecord,
        forward: Option<&Forward>,
    ) -> Result<Option<Forward>, DirectoryError> {
        match record.kind {
            AccountKind::Person | AccountKind::Group | AccountKind::Alias => {}
            AccountKind::List | AccountKind::Service => {
                return Err(DirectoryError::InvalidName {
                    why: "a list has members; it does not forward",
                });
            }
        }
        let Some(forward) = forward else {
            return match record.kind {
                AccountKind::Alias => Err(needs_target()),
                _ => Ok(None),
            };
        };
        let to = forward.to.clone();
        Ok(Some(Forward {
            to: self
                .check_targets(who, &record.addresses, to, FORWARDS_MAX)
                .await?,
            // An alias has nowhere to keep anything.
            keep: forward.keep && record.kind != AccountKind::Alias,
        }))
    }

    /// Makes an address alone whose mail goes on to others.
    pub async fn add_forwarding_alias(
        &self,
        who: &Caller,
        address: &str,
        to: Vec<String>,
    ) -> Result<Account, DirectoryError> {
        let new = NewAlias {
            address: address.to_owned(),
            description: String::new(),
            to,
        };
        self.add_forwarding_alias_on(who, new, &Terms::default())
            .await
    }

    /// The same, on terms.
    pub async fn add_forwarding_alias_on(
        &self,
        who: &Caller,
        new: NewAlias,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        access::may_begin(who, Operation::AddAccount, None)?;
        let address = names::address(&new.address)?;
        let name = AccountName::Address(address);
        access::may(who, Operation::AddAccount, Object::Name(&name))?;
        let address = name.to_string();
        let own = std::slice::from_ref(&address);
        let to = self.check_targets(who, own, new.to, FORWARDS_MAX).await?;
        let new = NewAccount {
            kind: AccountKind::Alias,
            description: new.description,
            forward: Some(Forward { to, keep: false }),
            ..NewAccount::person(address, None)
        };
        self.add_account_on(who, new, terms).await
    }

    /// Makes a list. Its owner gets its owner address.
    pub async fn add_list(&self, who: &Caller, new: NewList) -> Result<Account, DirectoryError> {
        self.add_list_on(who, new, &Terms::default()).await
    }

    /// The same, on terms.
    pub async fn add_list_on(
        &self,
        who: &Caller,
        new: NewList,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        access::may_begin(who, Operation::AddAccount, None)?;
        super::check_description(&new.description)?;
        let address = names::address(&new.address)?;
        let name = AccountName::Address(address.clone());
        access::may(who, Operation::AddAccount, Object::Name(&name))?;
        let owner = self.account_named_for(who, &new.owner).await?;
        if !matches!(owner.record.kind, AccountKind::Person | AccountKind::Group) {
            return Err(DirectoryError::InvalidName {
                why: "the owner of a list is an account or a group",
            });
        }
        let owner_address = owner_address(&address);
        let address = address.to_string();
        if self.address_record(&address).await?.is_some() {
            return Err(DirectoryError::AlreadyExists(address));
        }
        let own = std::slice::from_ref(&address);
        let to = self
            .check_targets(who, own, new.members, LIST_MEMBERS_MAX)
            .await;
        let to = match to {
            Err(DirectoryError::InvalidName { why }) if why == NO_TARGET => Vec::new(),
            to => to?,
        };
        if !owner.record.addresses.contains(&owner_address.to_string()) {
            self.change_owner_address(who, owner.id, &owner_address, true)
                .await?;
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
        self.add_account_on(who, account, terms).await
    }

    /// Changes a list: its members, its description, who may write to it.
    pub async fn set_list(
        &self,
        who: &Caller,
        id: AccountId,
        change: ListChange,
    ) -> Result<Account, DirectoryError> {
        self.set_list_on(who, id, change, &Terms::default()).await
    }

    /// The same, on terms.
    pub async fn set_list_on(
        &self,
        who: &Caller,
        id: AccountId,
        change: ListChange,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        access::may_begin(who, Operation::ChangeAccount, Some(id))?;
        if let Some(description) = &change.description {
            super::check_description(description)?;
        }
        let change = &change;
        self.change_directory(|| self.try_set_list(who, id, change, terms))
            .await
    }

    async fn try_set_list(
        &self,
        who: &Caller,
        id: AccountId,
        change: &ListChange,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        let fence = self.fence().await?;
        let old = self.account_for(who, Operation::ChangeAccount, id).await?;
        terms.check(&old)?;
        let mut record = old.clone();
        let (Some(forward), Some(list)) = (&mut record.forward, &mut record.list) else {
            return Err(not_a_list());
        };
        let is_same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        let members = change.members.as_ref().unwrap_or(&forward.to);
        for gone in &change.remove {
            if !members.iter().any(|member| is_same(member, gone)) {
                return Err(DirectoryError::NotFound(gone.clone()));
            }
        }
        let kept = members.iter();
        let kept = kept.filter(|member| !change.remove.iter().any(|gone| is_same(member, gone)));
        let all: Vec<String> = kept.chain(&change.add).cloned().collect();
        // Members that are there stay, also where their mailbox is gone.
        forward.to = match all.is_empty() || all == forward.to {
            true => all,
            false => {
                self.check_targets(who, &old.addresses, all, LIST_MEMBERS_MAX)
                    .await?
            }
        };
        list.posters = change.posters.unwrap_or(list.posters);
        if let Some(description) = &change.description {
            record.description.clone_from(description);
        }
        let mut batch = Batch::new();
        let deed = Deed::of_account(Operation::ChangeAccount, id, &record);
        self.audit(&mut batch, who, deed.account_changes(Some(&old), &record));
        self.commit_account(fence, id, record, batch).await
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
        let change = ListChange {
            remove: gone,
            ..ListChange::default()
        };
        match self.set_list(&Caller::server(), id, change).await {
            // Somebody else has taken it off meanwhile.
            Ok(_) | Err(DirectoryError::NotFound(_)) => Ok(true),
            Err(error) => Err(error),
        }
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
        self.remove_list_on(who, id, &Terms::default()).await
    }

    /// The same, on terms.
    pub async fn remove_list_on(
        &self,
        who: &Caller,
        id: AccountId,
        terms: &Terms,
    ) -> Result<(), DirectoryError> {
        let record = self.account_for(who, Operation::RemoveAccount, id).await?;
        let Some(list) = record.list else {
            return Err(not_a_list());
        };
        self.remove_account_on(who, id, terms).await?;
        if let Ok(address) = names::address(&record.name) {
            let owner = AccountId::new(list.owner);
            match self
                .change_owner_address(who, owner, &owner_address(&address), false)
                .await
            {
                // Who may remove the list needn't be who looks after its owner.
                Ok(_)
                | Err(
                    DirectoryError::NotFound(_)
                    | DirectoryError::InUse(_)
                    | DirectoryError::Forbidden,
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Addresses as they are kept: each can be sent to, is there if it is one of ours, and is in it once.
    async fn check_targets(
        &self,
        who: &Caller,
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
            let domain = names::domain(domain)?;
            let target = format!("{local}@{domain}");
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
            let is_nobodys = matches!(*self.resolve(&target).await?, Resolved::NoSuchMailbox);
            // Whether somebody is there, only those are told who look after the domain.
            let is_told = access::may(who, Operation::SeeDomain, Object::Domain(&domain)).is_ok();
            if is_nobodys && is_told {
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

/// Where mail for the owner of a list goes.
fn owner_address(list: &Address) -> Address {
    Address {
        local: format!("{}{OWNER_SUFFIX}", list.local),
        domain: list.domain.clone(),
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
