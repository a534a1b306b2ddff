//! Changes of accounts that are there: names, addresses, roles, limits, where mail goes on to.
//!
//! Holds: a change is made as a whole, as one commit with its row of the audit, and to the record that was looked at.
//! Other half: `accounts` makes accounts, `members` says who is in which group.

use jmap_types::{AccountId, DataType};
use store::{Change, ChangeKind, Record as _, engine::Batch, keys, numbers};

use super::{
    ADDRESSES_PER_ACCOUNT_MAX, DirectoryError,
    allowance::domain_of,
    check_description,
    names::{self, AccountName, Address},
    read::Account,
    records::{AccountKind, AccountRecord, AddressRecord, Forward},
};
use crate::{
    Core,
    access::{self, Object, Operation},
    admin::{Deed, Terms},
    caller::{Caller, Role},
};

/// What somebody may do beyond their own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub role: Role,
    /// Of a domain administrator: the domains; of others there are none.
    pub domains: Vec<String>,
}

/// What is to be changed of an account, a group or an alias. `None`: as it was; `Some(None)`: none any more, or the server's default.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub disabled: Option<bool>,
    pub grant: Option<Grant>,
    /// The grant is what a directory elsewhere says.
    pub grant_from_outside: bool,
    /// Octets that the account may use. 0: no limit.
    pub quota_octets: Option<Option<u64>>,
    /// Recipients that it may send to. 0: no limit.
    pub recipients_per_hour: Option<Option<u64>>,
    pub recipients_per_day: Option<Option<u64>>,
    pub forward: Option<Option<Forward>>,
}

impl AccountChange {
    /// What whoever wants this has to be allowed to do.
    fn operations(&self) -> impl Iterator<Item = Operation> {
        let changes = self.name.is_some() || self.description.is_some() || self.disabled.is_some();
        let forwards = self.forward.is_some();
        let limits = self.quota_octets.is_some()
            || self.recipients_per_hour.is_some()
            || self.recipients_per_day.is_some();
        let gives = self.grant.is_some();
        // Who changes nothing has to be allowed to change something all the same.
        [
            (Operation::ChangeQuota, limits),
            (Operation::GiveRole, gives),
            (
                Operation::ChangeAccount,
                changes || !(limits || gives || forwards),
            ),
            (Operation::ChangeForwarding, forwards),
        ]
        .into_iter()
        .filter_map(|(operation, is_meant)| is_meant.then_some(operation))
    }
}

impl Core {
    /// Gives an account another address.
    pub async fn add_alias(
        &self,
        who: &Caller,
        id: AccountId,
        address: &str,
    ) -> Result<Account, DirectoryError> {
        self.add_alias_on(who, id, address, &Terms::default()).await
    }

    /// The same, on terms.
    pub async fn add_alias_on(
        &self,
        who: &Caller,
        id: AccountId,
        address: &str,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        access::may_begin(who, Operation::ChangeAccount, Some(id))?;
        let address = &names::address(address)?;
        self.change_directory(|| {
            self.try_add_alias(who, id, address, terms, Operation::ChangeAccount)
        })
        .await
    }

    async fn try_add_alias(
        &self,
        who: &Caller,
        id: AccountId,
        address: &Address,
        terms: &Terms,
        operation: Operation,
    ) -> Result<Account, DirectoryError> {
        let fence = self.fence().await?;
        let old = self.account_for(who, operation, id).await?;
        terms.check(&old)?;
        let name = AccountName::Address(address.clone());
        access::may(who, Operation::AddAccount, Object::Name(&name))?;
        self.check_new_address(address).await?;
        let mut record = old.clone();
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
        self.audit_change(
            &mut batch,
            who,
            Operation::ChangeAccount,
            (id, &old),
            &record,
        );
        self.commit_account(fence, id, record, batch).await
    }

    /// Gives the owner of a list its owner address, or takes it away. Whoever makes a list needn't look after its owner, but has to
    /// know of them.
    pub(super) async fn change_owner_address(
        &self,
        who: &Caller,
        owner: AccountId,
        address: &Address,
        is_added: bool,
    ) -> Result<Account, DirectoryError> {
        let terms = &Terms::default();
        let see = Operation::SeeAccount;
        if is_added {
            return self
                .change_directory(|| self.try_add_alias(who, owner, address, terms, see))
                .await;
        }
        let address = &address.to_string();
        self.change_directory(|| self.try_remove_alias(who, owner, address, terms, see))
            .await
    }

    /// Notes what is different of an account.
    fn audit_change(
        &self,
        batch: &mut Batch,
        who: &Caller,
        operation: Operation,
        (id, old): (AccountId, &AccountRecord),
        new: &AccountRecord,
    ) {
        let deed = Deed::of_account(operation, id, new);
        self.audit(batch, who, deed.account_changes(Some(old), new));
    }

    /// Takes an address from an account. Refused for the one that it logs in as.
    pub async fn remove_alias(
        &self,
        who: &Caller,
        id: AccountId,
        address: &str,
    ) -> Result<Account, DirectoryError> {
        self.remove_alias_on(who, id, address, &Terms::default())
            .await
    }

    /// The same, on terms.
    pub async fn remove_alias_on(
        &self,
        who: &Caller,
        id: AccountId,
        address: &str,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        access::may_begin(who, Operation::ChangeAccount, Some(id))?;
        let address = &names::address(address)?.to_string();
        self.change_directory(|| {
            self.try_remove_alias(who, id, address, terms, Operation::ChangeAccount)
        })
        .await
    }

    async fn try_remove_alias(
        &self,
        who: &Caller,
        id: AccountId,
        address: &str,
        terms: &Terms,
        operation: Operation,
    ) -> Result<Account, DirectoryError> {
        let fence = self.fence().await?;
        let old = self.account_for(who, operation, id).await?;
        terms.check(&old)?;
        let mut record = old.clone();
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
        self.audit_change(
            &mut batch,
            who,
            Operation::ChangeAccount,
            (id, &old),
            &record,
        );
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
        let change = AccountChange {
            name: Some(name.to_owned()),
            ..AccountChange::default()
        };
        self.change_account_on(who, id, change, &Terms::default())
            .await
    }

    async fn rename(
        &self,
        batch: &mut Batch,
        id: AccountId,
        record: &mut AccountRecord,
        name: &AccountName,
    ) -> Result<(), DirectoryError> {
        let login = name.to_string();
        if self.engine.get(&keys::login_name(&login)).await?.is_some() {
            return Err(DirectoryError::AlreadyExists(login));
        }
        if let AccountName::Address(address) = name {
            let is_counted = matches!(record.kind, AccountKind::Person | AccountKind::Group);
            if is_counted && domain_of(record) != Some(address.domain.as_str()) {
                self.check_accounts_max(&address.domain).await?;
            }
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
        Ok(())
    }

    /// Lets an account log in and get mail, or not.
    pub async fn set_disabled(
        &self,
        who: &Caller,
        id: AccountId,
        disabled: bool,
    ) -> Result<Account, DirectoryError> {
        let change = AccountChange {
            disabled: Some(disabled),
            ..AccountChange::default()
        };
        self.change_account_on(who, id, change, &Terms::default())
            .await
    }

    pub async fn set_role(
        &self,
        who: &Caller,
        id: AccountId,
        grant: Grant,
    ) -> Result<Account, DirectoryError> {
        let change = AccountChange {
            grant: Some(grant),
            ..AccountChange::default()
        };
        self.change_account_on(who, id, change, &Terms::default())
            .await
    }

    pub async fn set_description(
        &self,
        who: &Caller,
        id: AccountId,
        description: &str,
    ) -> Result<Account, DirectoryError> {
        let change = AccountChange {
            description: Some(description.to_owned()),
            ..AccountChange::default()
        };
        self.change_account_on(who, id, change, &Terms::default())
            .await
    }

    /// Octets that the account may use. `None`: the server's default. 0: no limit.
    pub async fn set_quota(
        &self,
        who: &Caller,
        id: AccountId,
        quota_octets: Option<u64>,
    ) -> Result<Account, DirectoryError> {
        let change = AccountChange {
            quota_octets: Some(quota_octets),
            ..AccountChange::default()
        };
        self.change_account_on(who, id, change, &Terms::default())
            .await
    }

    /// Makes all of a change, or nothing of it.
    pub async fn change_account_on(
        &self,
        who: &Caller,
        id: AccountId,
        change: AccountChange,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        for operation in change.operations() {
            access::may_begin(who, operation, Some(id))?;
        }
        if let Some(description) = &change.description {
            check_description(description)?;
        }
        let name = change.name.as_deref().map(names::account).transpose()?;
        let (name, change) = (name.as_ref(), &change);
        let account = self
            .change_directory(|| self.try_change_account(who, id, name, change, terms))
            .await?;
        if change.quota_octets.is_some() {
            self.tell_quota(id).await?;
        }
        Ok(account)
    }

    async fn try_change_account(
        &self,
        who: &Caller,
        id: AccountId,
        name: Option<&AccountName>,
        change: &AccountChange,
        terms: &Terms,
    ) -> Result<Account, DirectoryError> {
        let fence = self.fence().await?;
        let old = self.existing(id).await?;
        for operation in change.operations() {
            access::may(who, operation, Object::Account(id, &old))?;
        }
        terms.check(&old)?;
        let mut record = old.clone();
        let mut batch = Batch::new();
        if let Some(description) = &change.description {
            record.description.clone_from(description);
        }
        if let Some(disabled) = change
            .disabled
            .filter(|disabled| *disabled != record.disabled)
        {
            if disabled && who.account == id {
                return Err(DirectoryError::InUse(
                    "nobody can disable their own account".into(),
                ));
            }
            record.disabled = disabled;
            record.generation += 1;
        }
        if let Some(grant) = &change.grant {
            let domains = self.check_grant(grant).await?;
            if who.account == id && grant.role != record.role {
                return Err(DirectoryError::InUse(
                    "nobody can give up their own role".into(),
                ));
            }
            if grant.role != Role::User && record.kind != AccountKind::Person {
                return Err(DirectoryError::InvalidName {
                    why: "only a person's account has a role",
                });
            }
            record.role = grant.role;
            record.administers = (!domains.is_empty()).then_some(domains);
            record.role_from_outside =
                (grant.role != Role::User).then_some(change.grant_from_outside);
        }
        record.quota_octets = change.quota_octets.unwrap_or(record.quota_octets);
        record.recipients_per_hour = change
            .recipients_per_hour
            .unwrap_or(record.recipients_per_hour);
        record.recipients_per_day = change
            .recipients_per_day
            .unwrap_or(record.recipients_per_day);
        if let Some(forward) = &change.forward {
            record.forward = self.check_forward(who, &record, forward.as_ref()).await?;
        }
        if let Some(name) = name.filter(|name| name.to_string() != record.name) {
            access::may(who, Operation::AddAccount, Object::Name(name))?;
            self.rename(&mut batch, id, &mut record, name).await?;
        }
        let operation = change.operations().next();
        let operation = operation.unwrap_or(Operation::ChangeAccount);
        self.audit_change(&mut batch, who, operation, (id, &old), &record);
        self.commit_account(fence, id, record, batch).await
    }

    /// RFC 9425 §4.3: clients hear of the new limit.
    pub(crate) async fn tell_quota(&self, id: AccountId) -> Result<(), store::Error> {
        let handle = self.accounts.handle(id);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            txn.changed(Change::new(DataType::Quota, 0, ChangeKind::Updated));
            match txn.commit().await {
                Err(store::Error::Conflict) => {}
                result => return result.map(drop),
            }
        }
        Err(store::Error::Conflict)
    }
}
