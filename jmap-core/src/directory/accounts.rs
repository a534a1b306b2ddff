//! Changes of accounts and groups.
//!
//! Holds: an account and its mailboxes come into being in one transaction, the first of the account;
//! its login name is its first address, or a word; ids begin with 1 and are never given again.
//! Other half: `remove` takes accounts away, `credentials` has what they log in with.

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{Change, ChangeKind, Record as _, decode_numbers, engine::Batch, keys, numbers};

use super::{
    ADDRESSES_PER_ACCOUNT_MAX, DirectoryError, Fence, GROUPS_PER_ACCOUNT_MAX, check_description,
    names::{self, AccountName, Address},
    read::Account,
    records::{
        AccountKind, AccountRecord, AddressRecord, CredentialKind, CredentialRecord, Forward,
        ListRecord, PASSWORD,
    },
};
use crate::{
    Core, access,
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
        access::may_administer(who)?;
        check_description(&new.description)?;
        let name = &names::account(&new.name)?;
        let secret = new
            .password
            .as_ref()
            .filter(|_| new.kind == AccountKind::Person);
        let hash = &match secret {
            Some(secret) => Some(self.hash_password(secret, &name.to_string()).await?),
            None => None,
        };
        let new = &new;
        self.change_directory(|| self.try_add_account(name, new, hash.as_ref()))
            .await
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
        name: &AccountName,
        new: &NewAccount,
        hash: Option<&Hashed>,
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
        };
        let id = AccountId::new(number);
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
        access::may_manage_account(who, id)?;
        Ok(Account {
            id,
            record: self.existing(id).await?.into(),
        })
    }

    /// Gives an account another address.
    pub async fn add_alias(
        &self,
        who: &Caller,
        id: AccountId,
        address: &str,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        let address = &names::address(address)?;
        self.change_directory(|| self.try_add_alias(id, address))
            .await
    }

    async fn try_add_alias(
        &self,
        id: AccountId,
        address: &Address,
    ) -> Result<Account, DirectoryError> {
        let fence = self.fence().await?;
        let mut record = self.existing(id).await?;
        self.check_new_address(address).await?;
        if record.addresses.len() >= ADDRESSES_PER_ACCOUNT_MAX {
            return Err(DirectoryError::TooMany("addresses of one account"));
        }
        let address = address.to_string();
        let mut batch = Batch::new();
        let targets = AddressRecord {
            targets: vec![id.number()],
        };
        batch.put(keys::address(&address), targets.to_bytes());
        record.addresses.push(address);
        self.commit_account(fence, id, record, batch).await
    }

    /// Takes an address from an account. Refused for the one that it logs in as.
    pub async fn remove_alias(
        &self,
        who: &Caller,
        id: AccountId,
        address: &str,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        let address = &names::address(address)?.to_string();
        self.change_directory(|| self.try_remove_alias(id, address))
            .await
    }

    async fn try_remove_alias(
        &self,
        id: AccountId,
        address: &str,
    ) -> Result<Account, DirectoryError> {
        let fence = self.fence().await?;
        let mut record = self.existing(id).await?;
        if record.name == address {
            return Err(DirectoryError::InUse(
                "the account logs in by this address".into(),
            ));
        }
        let at = record.addresses.iter().position(|known| known == address);
        let at = at.ok_or_else(|| DirectoryError::NotFound(address.to_owned()))?;
        record.addresses.remove(at);
        let mut batch = Batch::new();
        batch.delete(keys::address(address));
        self.commit_account(fence, id, record, batch).await
    }

    /// Lets an account log in by another name. Where the name is an address, the account gets it if nobody has it;
    /// the former name stays an address of the account.
    pub async fn rename_account(
        &self,
        who: &Caller,
        id: AccountId,
        name: &str,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        let name = &names::account(name)?;
        self.change_directory(|| self.try_rename(id, name)).await
    }

    async fn try_rename(
        &self,
        id: AccountId,
        name: &AccountName,
    ) -> Result<Account, DirectoryError> {
        let fence = self.fence().await?;
        let mut record = self.existing(id).await?;
        let login = name.to_string();
        if self.engine.get(&keys::login_name(&login)).await?.is_some() {
            return Err(DirectoryError::AlreadyExists(login));
        }
        let mut batch = Batch::new();
        if let AccountName::Address(address) = name {
            let known = record.addresses.iter().position(|known| *known == login);
            match known {
                Some(at) => drop(record.addresses.remove(at)),
                None => {
                    self.check_new_address(address).await?;
                    let targets = AddressRecord {
                        targets: vec![id.number()],
                    };
                    batch.put(keys::address(&login), targets.to_bytes());
                }
            }
            record.addresses.insert(0, login.clone());
        }
        batch.delete(keys::login_name(&record.name));
        batch.put(keys::login_name(&login), numbers(&[id.number()]));
        record.name = login;
        record.generation += 1;
        self.commit_account(fence, id, record, batch).await
    }

    /// Lets an account log in and get mail, or not.
    pub async fn set_disabled(
        &self,
        who: &Caller,
        id: AccountId,
        disabled: bool,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        self.change_account(id, |record| {
            record.disabled = disabled;
            record.generation += 1;
        })
        .await
    }

    pub async fn set_role(
        &self,
        who: &Caller,
        id: AccountId,
        role: Role,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        self.change_account(id, |record| record.role = role).await
    }

    pub async fn set_description(
        &self,
        who: &Caller,
        id: AccountId,
        description: &str,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        check_description(description)?;
        self.change_account(id, |record| record.description = description.to_owned())
            .await
    }

    /// Octets that the account may use. `None`: the server's default. 0: no limit.
    pub async fn set_quota(
        &self,
        who: &Caller,
        id: AccountId,
        quota_octets: Option<u64>,
    ) -> Result<Account, DirectoryError> {
        access::may_administer(who)?;
        let account = self
            .change_account(id, |record| record.quota_octets = quota_octets)
            .await?;
        // RFC 9425 §4.3: clients hear of the new limit.
        let handle = self.accounts.handle(id);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            txn.changed(Change::new(DataType::Quota, 0, ChangeKind::Updated));
            match txn.commit().await {
                Err(store::Error::Conflict) => {}
                result => return Ok(result.map(|_| account)?),
            }
        }
        Err(store::Error::Conflict.into())
    }

    pub(super) async fn change_account(
        &self,
        id: AccountId,
        change: impl Fn(&mut AccountRecord),
    ) -> Result<Account, DirectoryError> {
        let change = &change;
        self.change_directory(|| async move {
            let fence = self.fence().await?;
            let mut record = self.existing(id).await?;
            change(&mut record);
            self.commit_account(fence, id, record, Batch::new()).await
        })
        .await
    }

    /// Makes an account a member of a group. It is none twice: that changes nothing.
    pub async fn add_member(
        &self,
        who: &Caller,
        group: AccountId,
        member: AccountId,
    ) -> Result<(), DirectoryError> {
        access::may_administer(who)?;
        self.change_directory(|| self.try_add_member(group, member))
            .await?;
        self.bus.look_again(member);
        Ok(())
    }

    async fn try_add_member(
        &self,
        group: AccountId,
        member: AccountId,
    ) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        if self.existing(group).await?.kind != AccountKind::Group {
            return Err(DirectoryError::InvalidName {
                why: "the account is not a group",
            });
        }
        if self.existing(member).await?.kind != AccountKind::Person {
            return Err(DirectoryError::InvalidName {
                why: "a group is no member of a group",
            });
        }
        if self.rows(keys::memberships_of(member), true).await?.len() >= GROUPS_PER_ACCOUNT_MAX {
            return Err(DirectoryError::TooMany("groups of one account"));
        }
        let mut batch = Batch::new();
        batch.put(keys::membership(member, group), Bytes::new());
        Ok(self.commit_directory(fence, batch).await?)
    }

    pub async fn remove_member(
        &self,
        who: &Caller,
        group: AccountId,
        member: AccountId,
    ) -> Result<(), DirectoryError> {
        access::may_administer(who)?;
        self.change_directory(|| async move {
            let fence = self.fence().await?;
            let key = keys::membership(member, group);
            if self.engine.get(&key).await?.is_none() {
                return Err(DirectoryError::NotFound(member.to_string()));
            }
            let mut batch = Batch::new();
            batch.delete(key);
            Ok(self.commit_directory(fence, batch).await?)
        })
        .await?;
        self.bus.look_again(member);
        Ok(())
    }

    /// The members of a group, by id.
    pub async fn members(
        &self,
        who: &Caller,
        group: AccountId,
    ) -> Result<Vec<Account>, DirectoryError> {
        access::may_administer(who)?;
        let mut members = Vec::new();
        // Memberships are ordered by member: all of them are looked at.
        for (key, _) in self
            .rows(keys::all(keys::Subspace::Membership), true)
            .await?
        {
            let (member, of) = keys::decode_membership(&key)
                .ok_or_else(|| store::Error::bad_key("membership", &key))?;
            if of == group
                && let Some(record) = self.account_record(member).await?
            {
                members.push(Account { id: member, record });
            }
        }
        Ok(members)
    }
}

/// What is kept of a new password.
pub(super) struct Hashed {
    hash: String,
    scram: ScramVerifier,
}

pub(super) fn password_record(hashed: &Hashed, created: i64) -> CredentialRecord {
    CredentialRecord {
        description: String::new(),
        kind: CredentialKind::Password,
        created,
        expires: None,
        password_hash: Some(hashed.hash.clone()),
        lookup: Vec::new(),
        token_hash: [0; 32],
        scram: Some(hashed.scram.clone()),
    }
}
