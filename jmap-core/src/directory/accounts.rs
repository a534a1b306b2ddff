//! Accounts and groups come into being.
//!
//! Holds: an account and its mailboxes come into being in one transaction, the first of the account;
//! its login name is its first address, or a word; ids begin with 1 and are never given again.
//! Other half: `change` changes them, `remove` takes them away, `credentials` has what they log in with.

use jmap_types::AccountId;
use store::{Record as _, decode_numbers, engine::Batch, keys, numbers};

use super::{
    ADMINISTERED_DOMAINS_MAX, DirectoryError, Fence, Grant, check_description,
    names::{self, AccountName, Address},
    read::Account,
    records::{
        AccountKind, AccountRecord, AddressRecord, CredentialKind, CredentialRecord, Forward,
        ListRecord, PASSWORD,
    },
};
use crate::{
    Core,
    access::{self, Object, Operation},
    admin::{Deed, Terms},
    auth::{
        Secret,
        password::{self, PasswordError},
        scram::ScramVerifier,
    },
    caller::{Caller, Role},
    mail::write,
};

/// What a new account is to be.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// An address in a domain that is served here, or a word for an account without one.
    pub name: String,
    pub kind: AccountKind,
    pub role: Role,
    pub description: String,
    /// `None`: the server's default. 0: no limit.
    pub quota_octets: Option<u64>,
    /// `None`: it can't log in with a password. A group has none.
    pub password: Option<Secret<String>>,
    pub forward: Option<Forward>,
    pub list: Option<ListRecord>,
    /// Of a domain administrator.
    pub administers: Vec<String>,
}

impl NewAccount {
    pub fn person(name: impl Into<String>, password: Option<Secret<String>>) -> Self {
        Self {
            name: name.into(),
            kind: AccountKind::Person,
            role: Role::User,
            description: String::new(),
            quota_octets: None,
            password,
            forward: None,
            list: None,
            administers: Vec::new(),
        }
    }

    pub fn group(name: impl Into<String>) -> Self {
        Self {
            kind: AccountKind::Group,
            ..Self::person(name, None)
        }
    }
}

/// The key of the number that the next account gets.
pub(crate) const NEXT_ACCOUNT: &str = "next account";

impl Core {
    /// Makes an account with its mailboxes.
    pub async fn add_account(
        &self,
        who: &Caller,
        new: NewAccount,
    ) -> Result<Account, DirectoryError> {
        self.add_account_on(who, new, &Terms::default()).await
    }

    /// The same, on terms.
    pub async fn add_account_on(
        &self,
        who: &Caller,
        mut new: NewAccount,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        access::may_begin(who, Operation::AddAccount, None)?;
        let name = &names::account(&new.name)?;
        access::may(who, Operation::AddAccount, Object::Name(name))?;
        check_description(&new.description)?;
        if new.role != Role::User {
            access::may_run(who, Operation::GiveRole)?;
        }
        new.administers = self
            .check_grant(&Grant {
                role: new.role,
                domains: std::mem::take(&mut new.administers),
            })
            .await?;
        let secret = new
            .password
            .as_ref()
            .filter(|_| new.kind == AccountKind::Person);
        let hash = &match secret {
            Some(secret) => Some(self.hash_password(secret, &name.to_string()).await?),
            None => None,
        };
        let new = &new;
        self.change_directory(|| self.try_add_account(who, name, new, hash.as_ref(), terms))
            .await
    }

    /// The domains of a role, as they are kept.
    pub(super) async fn check_grant(&self, grant: &Grant) -> Result<Vec<String>, DirectoryError> {
        let is_of_domains = grant.role == Role::DomainAdministrator;
        if is_of_domains == grant.domains.is_empty() {
            return Err(DirectoryError::InvalidName {
                why: "a domain administrator has at least one domain, and nobody else has any",
            });
        }
        if grant.domains.len() > ADMINISTERED_DOMAINS_MAX {
            return Err(DirectoryError::TooMany("domains of one administrator"));
        }
        let mut domains = Vec::with_capacity(grant.domains.len());
        for name in &grant.domains {
            let name = names::domain(name)?;
            if self.engine.get(&keys::domain(&name)).await?.is_none() {
                return Err(DirectoryError::NotFound(name));
            }
            if !domains.contains(&name) {
                domains.push(name);
            }
        }
        Ok(domains)
    }

    /// Makes an administrator on a server that has no account of this name; the domain too, where the name is an
    /// address.
    pub async fn bootstrap_admin(
        &self,
        name: &str,
        password: Secret<String>,
    ) -> Result<Account, DirectoryError> {
        let server = Caller::server();
        if let AccountName::Address(address) = names::account(name)? {
            match self.add_domain(&server, &address.domain).await {
                Ok(_) | Err(DirectoryError::AlreadyExists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let new = NewAccount {
            role: Role::Administrator,
            ..NewAccount::person(name, Some(password))
        };
        self.add_account(&server, new).await
    }

    /// Checks a new password, and gives its stored form.
    pub(super) async fn hash_password(
        &self,
        secret: &Secret<String>,
        login: &str,
    ) -> Result<Hashed, DirectoryError> {
        password::check_new(secret, login)?;
        let busy = |error: PasswordError| {
            tracing::error!(%error, "a password could not be hashed");
            DirectoryError::Busy
        };
        let hasher = &self.directory.hasher;
        Ok(Hashed {
            hash: hasher.hash(secret).await.map_err(busy)?,
            scram: hasher.scram(secret).await.map_err(busy)?,
        })
    }

    async fn try_add_account(
        &self,
        who: &Caller,
        name: &AccountName,
        new: &NewAccount,
        hash: Option<&Hashed>,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        let fence = self.fence().await?;
        let login = name.to_string();
        if self.engine.get(&keys::login_name(&login)).await?.is_some() {
            return Err(DirectoryError::AlreadyExists(login));
        }
        if let AccountName::Address(address) = name {
            self.check_new_address(address).await?;
            if matches!(new.kind, AccountKind::Person | AccountKind::Group) {
                self.check_accounts_max(&address.domain).await?;
            }
        }
        let next_key = keys::meta(NEXT_ACCOUNT);
        let number = match self.engine.get(&next_key).await? {
            Some(bytes) => decode_numbers::<1>(&next_key, &bytes)?[0],
            None => 1,
        };
        let now = self.clock.now();
        let record = AccountRecord {
            name: login.clone(),
            kind: new.kind,
            description: new.description.clone(),
            quota_octets: new.quota_octets,
            disabled: false,
            role: new.role,
            generation: 1,
            created: now.seconds(),
            addresses: match name {
                AccountName::Address(_) => vec![login.clone()],
                AccountName::Bare(_) => Vec::new(),
            },
            last_credential: PASSWORD,
            removed: false,
            forward: new.forward.clone(),
            list: new.list,
            recipients_per_hour: None,
            recipients_per_day: None,
            administers: (!new.administers.is_empty()).then(|| new.administers.clone()),
            role_from_outside: (new.role != Role::User).then_some(false),
        };
        let id = AccountId::new(number);
        let mut noted = Batch::new();
        let made = id.to_string();
        self.note_once(&mut noted, who, terms.once.as_ref(), &made)
            .await?;
        let deed = Deed::of_account(Operation::AddAccount, id, &record);
        let deed = deed.account_changes(None, &record);
        let deed = if hash.is_some() {
            deed.secret("password")
        } else {
            deed
        };
        self.audit(&mut noted, who, deed);
        let handle = self.accounts.handle(id);
        let mut txn = handle.writer.begin().await?;
        write::provision(&mut txn, now);
        txn.put(next_key, numbers(&[number + 1]));
        txn.put_record(keys::account(id), &record);
        txn.put(keys::login_name(&login), numbers(&[number]));
        if let AccountName::Address(_) = name {
            txn.put_record(
                keys::address(&login),
                &AddressRecord {
                    targets: vec![number],
                },
            );
        }
        if let Some(hash) = hash {
            txn.put_record(
                keys::credential(id, PASSWORD),
                &password_record(hash, now.seconds()),
            );
        }
        txn.append_unread(noted);
        txn.assert(fence.assertion());
        txn.put(fence.key, numbers(&[fence.next]));
        txn.commit().await?;
        Ok(Account {
            id,
            record: record.into(),
        })
    }

    /// The domain is served under this name, and nobody has the address.
    pub(super) async fn check_new_address(&self, address: &Address) -> Result<(), DirectoryError> {
        match self.canonical_domain(address.domain.clone()).await? {
            None => return Err(DirectoryError::NotFound(address.domain.clone())),
            Some((domain, _)) if domain != address.domain => {
                let why = "the domain is an alias of another one, whose addresses it has";
                return Err(DirectoryError::InvalidName { why });
            }
            Some(_) => {}
        }
        let address = address.to_string();
        if self.address_record(&address).await?.is_some() {
            return Err(DirectoryError::AlreadyExists(address));
        }
        Ok(())
    }

    /// The record of an account that exists, as of now.
    pub(super) async fn existing(&self, id: AccountId) -> Result<AccountRecord, DirectoryError> {
        let record = self
            .stored_account(id)
            .await?
            .filter(|record| !record.removed);
        record.ok_or_else(|| DirectoryError::NotFound(id.to_string()))
    }

    /// The record of an account, for whoever may do this to it.
    pub(crate) async fn account_for(
        &self,
        who: &Caller,
        operation: Operation,
        id: AccountId,
    ) -> Result<AccountRecord, DirectoryError> {
        access::may_begin(who, operation, Some(id))?;
        let record = self.existing(id).await?;
        access::may(who, operation, Object::Account(id, &record))?;
        Ok(record)
    }

    /// Commits a record that was changed, and what goes with it.
    pub(super) async fn commit_account(
        &self,
        fence: Fence,
        id: AccountId,
        record: AccountRecord,
        mut batch: Batch,
    ) -> Result<Account, DirectoryError> {
        batch.put(keys::account(id), record.to_bytes());
        self.commit_directory(fence, batch).await?;
        Ok(Account {
            id,
            record: record.into(),
        })
    }

    /// An account, for an administrator or its owner.
    pub async fn account(&self, who: &Caller, id: AccountId) -> Result<Account, DirectoryError> {
        let record = self.account_for(who, Operation::SeeAccount, id).await?;
        Ok(Account {
            id,
            record: record.into(),
        })
    }
}

/// What is kept of a new password.
pub(super) struct Hashed {
    hash: String,
    scram: ScramVerifier,
}

pub(super) fn password_record(hashed: &Hashed, created: i64) -> CredentialRecord {
    CredentialRecord {
        kind: CredentialKind::Password,
        created,
        password_hash: Some(hashed.hash.clone()),
        scram: Some(hashed.scram.clone()),
        ..CredentialRecord::default()
    }
}
