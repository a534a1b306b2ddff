//! An account that was removed is made again, as a backup has it.
//!
//! Holds: it gets a number of its own, as numbers are never given again; what others have meanwhile, they keep.
//! Other half: `mail::bring_back` brings its mail back.

use store::{Change, ChangeKind, Record as _, decode_numbers, engine::Batch, keys, numbers};

use jmap_types::{AccountId, DataType};

use super::{
    DirectoryError,
    accounts::NEXT_ACCOUNT,
    names::{self, AccountName},
    read::Account,
    records::{AccountKind, AccountRecord, AddressRecord, CredentialKind, CredentialRecord},
};
use crate::{
    Core,
    access::{self, Operation},
    admin::Deed,
    caller::{Caller, Role},
    mail::write,
};

/// An account that was made again.
pub(crate) struct MadeAgain {
    pub account: Account,
    /// Addresses that it had, and that others have now, or whose domain isn't served any more.
    pub taken: Vec<String>,
}

impl Core {
    /// Makes an account with this record and these credentials.
    pub(crate) async fn add_account_again(
        &self,
        who: &Caller,
        record: &AccountRecord,
        credentials: &[(u64, CredentialRecord)],
    ) -> Result<MadeAgain, DirectoryError> {
        access::may_run(who, Operation::MoveMail)?;
        if record.kind == AccountKind::Service {
            return Err(DirectoryError::InUse(
                "it is the server's own account".into(),
            ));
        }
        self.change_directory(|| self.try_add_again(who, record, credentials))
            .await
    }

    async fn try_add_again(
        &self,
        who: &Caller,
        old: &AccountRecord,
        credentials: &[(u64, CredentialRecord)],
    ) -> Result<MadeAgain, DirectoryError> {
        let fence = self.fence().await?;
        if self
            .engine
            .get(&keys::login_name(&old.name))
            .await?
            .is_some()
        {
            return Err(DirectoryError::AlreadyExists(old.name.clone()));
        }
        if let AccountName::Address(address) = names::account(&old.name)? {
            self.check_new_address(&address).await?;
            self.check_accounts_max(&address.domain).await?;
        }
        if let Some(list) = &old.list {
            self.existing(AccountId::new(list.owner)).await?;
        }
        let (mut addresses, mut taken) = (Vec::new(), Vec::new());
        for address in &old.addresses {
            let is_free = match names::address(address) {
                Ok(address) => self.check_new_address(&address).await,
                Err(error) => Err(error),
            };
            match is_free {
                Ok(()) => addresses.push(address.clone()),
                Err(DirectoryError::Store(error)) => return Err(error.into()),
                Err(_) => taken.push(address.clone()),
            }
        }
        let next_key = keys::meta(NEXT_ACCOUNT);
        let number = match self.engine.get(&next_key).await? {
            Some(bytes) => decode_numbers::<1>(&next_key, &bytes)?[0],
            None => 1,
        };
        let id = AccountId::new(number);
        // Domains that aren't served any more, nobody looks after.
        let mut administers = Vec::new();
        for name in old.administers.iter().flatten() {
            if self.engine.get(&keys::domain(name)).await?.is_some() {
                administers.push(name.clone());
            }
        }
        let role = match old.role {
            Role::DomainAdministrator if administers.is_empty() => Role::User,
            role => role,
        };
        let record = AccountRecord {
            role,
            administers: (!administers.is_empty()).then_some(administers),
            addresses,
            generation: old.generation + 1,
            removed: false,
            ..old.clone()
        };
        let mut noted = Batch::new();
        let deed = Deed::of_account(Operation::AddAccount, id, &record);
        self.audit(&mut noted, who, deed.account_changes(None, &record));
        let handle = self.accounts.handle(id);
        let mut txn = handle.writer.begin().await?;
        txn.append_unread(noted);
        write::provision(&mut txn, self.clock.now());
        txn.changed(Change::new(DataType::Quota, 0, ChangeKind::Updated));
        txn.put(next_key, numbers(&[number + 1]));
        txn.put_record(keys::account(id), &record);
        txn.put(keys::login_name(&record.name), numbers(&[number]));
        for address in &record.addresses {
            let targets = vec![number];
            txn.put_record(keys::address(address), &AddressRecord { targets });
        }
        for (credential, of) in credentials {
            // Its tokens may have been used meanwhile, or taken away: the program asks again.
            if of.grant.is_some() {
                continue;
            }
            if of.kind == CredentialKind::Token {
                let lookup = keys::credential_lookup(&of.lookup);
                if txn.get(&lookup).await?.is_some() {
                    continue;
                }
                txn.put(lookup, numbers(&[number, *credential]));
            }
            txn.put(keys::credential(id, *credential), of.to_bytes());
        }
        txn.assert(fence.assertion());
        txn.put(fence.key, numbers(&[fence.next]));
        txn.commit().await?;
        Ok(MadeAgain {
            account: Account {
                id,
                record: record.into(),
            },
            taken,
        })
    }
}
