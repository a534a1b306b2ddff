//! Reading the directory: records, remembered; what an account is to a caller.
//!
//! Holds: an account that was removed is not there, for anybody.
//! Other half: `accounts` and `domains` write.

use std::sync::Arc;

use jmap_types::AccountId;
use store::{
    Record, decode_numbers,
    engine::{KeyRange, Page},
    keys,
};

use super::{
    DirectoryError,
    names::{self, AccountName},
    records::{AccountKind, AccountRecord, CredentialRecord},
};
use crate::{
    Core,
    access::{self, Object, Operation},
    auth::{
        Scopes,
        token::{TokenHash, TokenId},
    },
    caller::{Caller, Identity},
};

/// An account of the directory.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub record: Arc<AccountRecord>,
}

/// What a session says of an account (RFC 8620 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    pub id: AccountId,
    pub name: String,
    pub is_personal: bool,
}

/// A bearer token that is known.
#[derive(Debug)]
pub struct Token {
    pub account: AccountId,
    pub credential: u64,
    pub hash: TokenHash,
    /// Milliseconds since 1970.
    pub expires: Option<i64>,
    pub scopes: Scopes,
}

/// Accounts of a server that are all remembered, so that pages of lists don't read them all: some ten MB. Of more, each page does.
const LISTED_ACCOUNTS_MAX: usize = 20_000;
/// All accounts, and the generation of the directory that they are of.
pub(super) type Listed = Option<(u64, Arc<[Account]>)>;
/// Rows that one page of reading takes.
const ROWS_PER_PAGE: usize = 1000;

impl Core {
    /// The record of an account; `None` when there is none, or it was removed.
    pub(crate) async fn account_record(
        &self,
        id: AccountId,
    ) -> Result<Option<Arc<AccountRecord>>, store::Error> {
        let generation = self.directory.generation();
        if let Some(known) = self.directory.accounts.get(&id, generation) {
            return Ok(known);
        }
        let record = self
            .stored_account(id)
            .await?
            .filter(|record| !record.removed)
            .map(Arc::new);
        self.directory.accounts.put(id, generation, record.clone());
        Ok(record)
    }

    /// As it is on disk, also when it was removed.
    pub(crate) async fn stored_account(
        &self,
        id: AccountId,
    ) -> Result<Option<AccountRecord>, store::Error> {
        self.stored(&keys::account(id)).await
    }

    pub(super) async fn stored<R: Record>(&self, key: &[u8]) -> Result<Option<R>, store::Error> {
        let bytes = self.engine.get(key).await?;
        bytes.map(|bytes| R::from_bytes(key, &bytes)).transpose()
    }

    /// The account that logs in as `name`, which is in its stored form.
    pub(crate) async fn account_of_login(
        &self,
        name: &str,
    ) -> Result<Option<AccountId>, store::Error> {
        let generation = self.directory.generation();
        if let Some(known) = self.directory.logins.get(name, generation) {
            return Ok(known);
        }
        let key = keys::login_name(name);
        let account = match self.engine.get(&key).await? {
            Some(bytes) => Some(AccountId::new(decode_numbers::<1>(&key, &bytes)?[0])),
            None => None,
        };
        self.directory
            .logins
            .put(name.to_owned(), generation, account);
        Ok(account)
    }

    /// The account that logs in by this name, or that has this address.
    pub async fn account_named(&self, name: &str) -> Result<Account, DirectoryError> {
        let stored_name = names::account(name)?;
        let not_found = || DirectoryError::NotFound(stored_name.to_string());
        let id = match (
            self.account_of_login(&stored_name.to_string()).await?,
            &stored_name,
        ) {
            (Some(id), _) => id,
            (None, AccountName::Address(address)) => {
                let record = self.address_record(&address.to_string()).await?;
                let target = record.and_then(|record| record.targets.first().copied());
                AccountId::new(target.ok_or_else(not_found)?)
            }
            (None, AccountName::Bare(_)) => return Err(not_found()),
        };
        let record = self.account_record(id).await?.ok_or_else(not_found)?;
        Ok(Account { id, record })
    }

    /// The same, where the caller may know of it.
    pub async fn account_named_for(
        &self,
        who: &Caller,
        name: &str,
    ) -> Result<Account, DirectoryError> {
        let account = self.account_named(name).await?;
        let object = Object::Account(account.id, &account.record);
        match access::may(who, Operation::SeeAccount, object) {
            Ok(()) => Ok(account),
            // As for a name that nobody has.
            Err(_) => Err(DirectoryError::NotFound(names::account(name)?.to_string())),
        }
    }

    /// The accounts that the caller may see beyond their own, by id.
    pub async fn accounts(&self, who: &Caller) -> Result<Vec<Account>, DirectoryError> {
        access::may_begin(who, Operation::SeeAccount, None)?;
        let all = self.all_accounts().await?;
        let is_seen = |account: &&Account| {
            let object = Object::Account(account.id, &account.record);
            access::may(who, Operation::SeeAccount, object).is_ok()
        };
        Ok(all.iter().filter(is_seen).cloned().collect())
    }

    /// All that are no service's, by id. Whoever pages through a list asks again and again.
    async fn all_accounts(&self) -> Result<Arc<[Account]>, DirectoryError> {
        let generation = self.directory.generation();
        let known = self.directory.listed.lock().clone();
        if let Some((of, known)) = known
            && of == generation
        {
            return Ok(known);
        }
        let all: Arc<[Account]> = self.read_accounts().await?.into();
        let is_small = all.len() <= LISTED_ACCOUNTS_MAX;
        *self.directory.listed.lock() = is_small.then(|| (generation, all.clone()));
        Ok(all)
    }

    async fn read_accounts(&self) -> Result<Vec<Account>, DirectoryError> {
        let mut accounts = Vec::new();
        for (key, bytes) in self.rows(keys::all(keys::Subspace::Account), false).await? {
            let id =
                keys::decode_account(&key).ok_or_else(|| store::Error::bad_key("account", &key))?;
            match AccountRecord::from_bytes(&key, &bytes) {
                Ok(record) if record.removed || record.kind == AccountKind::Service => {}
                Ok(record) => accounts.push(Account {
                    id,
                    record: Arc::new(record),
                }),
                // Invariant 5: the others can still be administered.
                Err(error) => tracing::error!(%error, "an account record is left out"),
            }
        }
        Ok(accounts)
    }

    /// All pairs of a range, page by page.
    pub(super) async fn rows(
        &self,
        mut range: KeyRange,
        keys_only: bool,
    ) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, store::Error> {
        let mut rows = Vec::new();
        loop {
            let mut page = Page::first(range.clone(), ROWS_PER_PAGE);
            page.keys_only = keys_only;
            let read = self.engine.scan(page).await?;
            let full = read.len() == ROWS_PER_PAGE;
            if let Some((last, _)) = read.last() {
                range.start = [last, &[0u8][..]].concat();
            }
            rows.extend(read);
            if !full {
                return Ok(rows);
            }
        }
    }

    /// The credentials of an account, by number.
    pub(crate) async fn credential_records(
        &self,
        account: AccountId,
    ) -> Result<Vec<(u64, CredentialRecord)>, store::Error> {
        let rows = self.rows(keys::credentials_of(account), false).await?;
        let mut credentials = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            let number = credential_number(&key)?;
            credentials.push((number, CredentialRecord::from_bytes(&key, &bytes)?));
        }
        Ok(credentials)
    }

    pub(crate) async fn token(&self, id: TokenId) -> Result<Option<Arc<Token>>, store::Error> {
        let generation = self.directory.generation();
        if let Some(known) = self.directory.tokens.get(&id, generation) {
            return Ok(known);
        }
        let token = self.stored_token(id).await?.map(Arc::new);
        self.directory.tokens.put(id, generation, token.clone());
        Ok(token)
    }

    async fn stored_token(&self, id: TokenId) -> Result<Option<Token>, store::Error> {
        let key = keys::credential_lookup(&id.0);
        let Some(bytes) = self.engine.get(&key).await? else {
            return Ok(None);
        };
        let [account, credential] = decode_numbers(&key, &bytes)?;
        let account = AccountId::new(account);
        let record: Option<CredentialRecord> =
            self.stored(&keys::credential(account, credential)).await?;
        Ok(record.and_then(|record| match &record.grant {
            Some(grant) => grant.token(id, account, credential),
            None => Some(Token {
                account,
                credential,
                hash: TokenHash::from_octets(record.token_hash),
                expires: record.expires,
                scopes: record.scopes.unwrap_or(Scopes::ALL),
            }),
        }))
    }

    /// A caller as of now: what they may see may have changed since they logged in. `None`: the account, the
    /// credential or its token is gone, or the account may not log in any more.
    pub async fn current(&self, who: &Caller) -> Result<Option<Caller>, store::Error> {
        let generation = self.directory.generation();
        let Some(record) = self.account_record(who.account).await? else {
            return Ok(None);
        };
        let credentials = self.credential_records(who.account).await?;
        let is_there = credentials
            .iter()
            .any(|(number, of)| *number == who.credential && of.has_token(who.token()));
        let is_outside =
            who.credential == super::external::EXTERNAL && self.may_be_outside(&record.name);
        if record.disabled || !(is_there || is_outside) {
            return Ok(None);
        }
        let caller = self
            .caller(who.account, &record, who.credential, generation)
            .await?;
        Ok(Some(caller.coming_as(who)))
    }

    /// The caller that an account's credential makes.
    pub(crate) async fn caller(
        &self,
        account: AccountId,
        record: &AccountRecord,
        credential: u64,
        generation: u64,
    ) -> Result<Caller, store::Error> {
        // What was found since this login began counts, such as another role.
        let is_of_record = |caller: &Caller| {
            caller.role == record.role
                && caller.name == record.name
                && caller.domains[..] == record.administers.as_deref().unwrap_or_default()[..]
        };
        let known = self
            .directory
            .callers
            .get(&(account, credential), generation);
        if let Some(caller) = known.filter(is_of_record) {
            return Ok(caller);
        }
        let row: Option<CredentialRecord> =
            self.stored(&keys::credential(account, credential)).await?;
        let groups = self.groups_of(account).await?;
        let mut shares = Vec::new();
        for grantee in std::iter::once(account).chain(groups.iter().copied()) {
            for (key, _) in self.rows(keys::shared_with_of(grantee), true).await? {
                let (_, owner) = keys::decode_shared_with(&key)
                    .ok_or_else(|| store::Error::bad_key("share", &key))?;
                let is_new =
                    owner != account && !groups.contains(&owner) && !shares.contains(&owner);
                if is_new && self.account_record(owner).await?.is_some() {
                    shares.push(owner);
                }
            }
        }
        let caller = Caller::new(Identity {
            account,
            name: record.name.clone(),
            role: record.role,
            domains: record.administers.clone().unwrap_or_default(),
            credential,
            kind: row.map(|row| row.kind),
            groups,
            shares,
        })
        .of_generation(record.generation);
        self.directory
            .callers
            .put((account, credential), generation, caller.clone());
        Ok(caller)
    }

    /// The groups that an account is a member of.
    pub(super) async fn groups_of(
        &self,
        member: AccountId,
    ) -> Result<Vec<AccountId>, store::Error> {
        let mut groups = Vec::new();
        for (key, _) in self.rows(keys::memberships_of(member), true).await? {
            let (_, group) = keys::decode_membership(&key)
                .ok_or_else(|| store::Error::bad_key("membership", &key))?;
            if self
                .account_record(group)
                .await?
                .is_some_and(|group| !group.disabled)
            {
                groups.push(group);
            }
        }
        Ok(groups)
    }

    /// The groups that an account is a member of, with their records.
    pub async fn groups(
        &self,
        who: &Caller,
        member: AccountId,
    ) -> Result<Vec<Account>, DirectoryError> {
        self.account_for(who, Operation::SeeAccount, member).await?;
        let mut groups = Vec::new();
        for id in self.groups_of(member).await? {
            if let Some(record) = self.account_record(id).await? {
                let object = Object::Account(id, &record);
                let is_seen = who.account == member
                    || access::may(who, Operation::SeeAccount, object).is_ok();
                if is_seen {
                    groups.push(Account { id, record });
                }
            }
        }
        Ok(groups)
    }

    /// Octets that an account's mail takes.
    pub async fn used_octets(&self, account: AccountId) -> Result<u64, store::Error> {
        Ok(self.accounts.handle(account).head().await?.used_octets)
    }

    /// What `id` is to `who`; `None` when they may not know of it.
    pub async fn account_info(
        &self,
        who: &Caller,
        id: AccountId,
    ) -> Result<Option<AccountInfo>, store::Error> {
        if access::standing(who, id).is_err() {
            return Ok(None);
        }
        let Some(record) = self.account_record(id).await? else {
            return Ok(None);
        };
        Ok(Some(AccountInfo {
            id,
            name: record.name.clone(),
            is_personal: who.account == id,
        }))
    }

    /// Octets that an account may use by its own quota; 0: no limit.
    pub async fn own_quota_octets(&self, account: AccountId) -> Result<u64, store::Error> {
        let record = self.account_record(account).await?;
        let of_account = record.and_then(|record| record.quota_octets);
        Ok(of_account.unwrap_or(self.limits().default_quota_octets))
    }
}

pub(super) fn credential_number(key: &[u8]) -> Result<u64, store::Error> {
    let bad_key = || store::Error::bad_key("credential", key);
    let mut fields = keys::Fields::of(keys::Subspace::Credential, key).ok_or_else(bad_key)?;
    let number = fields.u64().and_then(|_| fields.u64());
    number.ok_or_else(bad_key)
}
