//! Domains, accounts, addresses, credentials and memberships: each says of the others what they say of it.
//!
//! What an account's record says counts for its names; what an address or a name leads to counts for an account whose record is lost.
//! Other half: `crate::directory` writes them.

use std::collections::BTreeSet;

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    Record as _,
    keys::{self, Subspace},
    numbers,
};

use super::{CheckError, Checker, Code, Rows, edits::Edit};
use crate::directory::{
    AccountKind, AccountRecord, CredentialKind, NEXT_ACCOUNT,
    dkim::records::DkimKeyRecord,
    records::{AddressRecord, CredentialRecord, DomainRecord},
};

impl Checker<'_> {
    pub(super) async fn check_directory(&mut self) -> Result<(), CheckError> {
        self.read_accounts().await?;
        self.check_lost_accounts().await?;
        self.check_next_account().await?;
        self.check_account_names().await?;
        self.check_login_names().await?;
        self.check_domains().await?;
        self.check_dkim_keys().await?;
        self.check_addresses().await?;
        self.check_credentials().await?;
        self.check_credential_lookups().await?;
        self.check_memberships().await?;
        self.count_shares().await
    }

    async fn read_accounts(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some(id) = keys::decode_account(&key) else {
                    continue;
                };
                self.report.accounts += 1;
                let record = self.record::<AccountRecord>(&key, &bytes);
                self.accounts.insert(id.number(), record);
            }
        }
        Ok(())
    }

    async fn check_next_account(&mut self) -> Result<(), CheckError> {
        let key = keys::meta(NEXT_ACCOUNT);
        let found = self.get(&key).await?;
        let next = match &found {
            // One that can't be read is told with the server's own values.
            Some(bytes) => store::decode_numbers::<1>(&key, bytes).map_or(0, |[next]| next),
            None => 1,
        };
        let last = self.accounts.keys().next_back().copied().unwrap_or(0);
        if next <= last {
            let why = "the number of the next account was given already";
            self.problem(Code::NextAccount, &key, why);
            self.put_numbers(key, found, &[last + 1]).await?;
        }
        Ok(())
    }

    /// Names and addresses lead to the account.
    async fn check_account_names(&mut self) -> Result<(), CheckError> {
        let mut names = BTreeSet::new();
        let accounts = self.accounts.clone().into_iter();
        let accounts: Vec<(u64, AccountRecord)> = accounts
            .filter_map(|(id, record)| Some((id, record?)))
            .filter(|(_, record)| !record.removed)
            .collect();
        for (id, mut record) in accounts {
            let key = keys::account(AccountId::new(id));
            if !names.insert(record.name.clone()) {
                let why = format!("two accounts have the name {}", record.name);
                self.problem(Code::NameTwice, &key, why);
                record.name = format!("recovered-{id}");
                self.put_account(id, record.clone()).await?;
                names.insert(record.name.clone());
            }
            let login = keys::login_name(&record.name);
            let found = self.get(&login).await?;
            if found != Some(numbers(&[id])) {
                let why = format!(
                    "{} can't log in: the name doesn't lead to the account",
                    record.name
                );
                self.problem(Code::LoginName, &key, why);
                self.put_numbers(login, found, &[id]).await?;
            }
            for address in &record.addresses {
                let row = keys::address(address);
                let found = self.get(&row).await?;
                let targets = found
                    .as_ref()
                    .and_then(|bytes| AddressRecord::from_bytes(&row, bytes).ok());
                if targets
                    .as_ref()
                    .is_some_and(|record| record.targets.contains(&id))
                {
                    continue;
                }
                let why = format!(
                    "mail for {address} doesn't come to {}, whose address it is",
                    record.name
                );
                self.problem(Code::Address, &key, why);
                let mut targets = targets.map_or_else(Vec::new, |record| record.targets);
                targets.retain(|target| self.has_address(*target, address));
                targets.push(id);
                let right = AddressRecord { targets }.to_bytes();
                let edit = Edit::put(row, found, right);
                self.edit(edit.keeping(Code::Address)).await?;
            }
        }
        Ok(())
    }

    fn has_address(&self, account: u64, address: &String) -> bool {
        self.living(account)
            .is_some_and(|record| record.addresses.contains(address))
    }

    /// Writes an account's record, for sessions to look at it again.
    async fn put_account(&mut self, id: u64, mut record: AccountRecord) -> Result<(), CheckError> {
        if !self.is_repair() {
            return Ok(());
        }
        let key = keys::account(AccountId::new(id));
        record.generation += 1;
        // What was written a moment ago is on disk before it is written again.
        self.flush().await?;
        let found = self.core.engine.get(&key).await?;
        let edit = Edit::put(key, found, record.to_bytes());
        self.edit(edit.keeping(Code::Address)).await?;
        self.accounts.insert(id, Some(record));
        Ok(())
    }

    async fn check_login_names(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::LoginName));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let name = text_of(&key);
                let read = self.numbers::<1>(&key, &bytes, "login name");
                let is_right =
                    |[id]: [u64; 1]| self.living(id).is_some_and(|record| record.name == name);
                if read.is_some_and(is_right) {
                    continue;
                }
                if read.is_some() {
                    let why = format!("{name} is the login name of no account");
                    self.problem(Code::LoginName, &key, why);
                }
                let has_name = self
                    .accounts
                    .values()
                    .flatten()
                    .any(|record| !record.removed && record.name == name);
                // The account whose name it is has put it right.
                if !has_name {
                    self.put_aside(Code::LoginName, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }

    async fn check_domains(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Domain));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let name = text_of(&key);
                let Some(record) = self.record::<DomainRecord>(&key, &bytes) else {
                    let edit = Edit::put(key.to_vec(), Some(bytes), self.new_domain());
                    self.edit(edit.keeping(Code::Record)).await?;
                    continue;
                };
                let mut right = record.clone();
                if let Some(target) = &record.alias_of
                    && !self.exists(&keys::domain(target)).await?
                {
                    let why = format!("{name} is an alias of {target}, which isn't there");
                    self.problem(Code::DomainTarget, &key, why);
                    right.alias_of = None;
                }
                if record.catch_all.is_some_and(|id| self.living(id).is_none()) {
                    let why = format!("the catch-all of {name} is an account that isn't there");
                    self.problem(Code::DomainTarget, &key, why);
                    right.catch_all = None;
                }
                if right != record {
                    let edit = Edit::put(key.to_vec(), Some(bytes), right.to_bytes());
                    self.edit(edit.keeping(Code::DomainTarget)).await?;
                }
            }
        }
        Ok(())
    }

    fn new_domain(&self) -> Bytes {
        let record = DomainRecord {
            created: self.core.clock.now().seconds(),
            ..DomainRecord::default()
        };
        record.to_bytes()
    }

    async fn check_dkim_keys(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::DkimKey));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((domain, selector)) = keys::decode_dkim_key(&key) else {
                    continue;
                };
                let is_known = self.exists(&keys::domain(domain)).await?;
                if self.record::<DkimKeyRecord>(&key, &bytes).is_none() {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                } else if !is_known {
                    let why = format!(
                        "the DKIM key {selector} is of {domain}, whose mail isn't kept here"
                    );
                    self.problem(Code::DkimDomain, &key, why);
                    // With addresses in it, the domain is made again.
                    if !self.has_addresses_in(domain) {
                        self.put_aside(Code::DkimDomain, &key, &bytes).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn has_addresses_in(&self, domain: &str) -> bool {
        let accounts = self.accounts.values().flatten();
        accounts
            .flat_map(|record| &record.addresses)
            .any(|address| domain_of(address) == domain)
    }

    async fn check_addresses(&mut self) -> Result<(), CheckError> {
        let mut made = BTreeSet::new();
        let mut rows = Rows::new(keys::all(Subspace::Address));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let address = text_of(&key);
                let domain = domain_of(&address).to_owned();
                if !self.exists(&keys::domain(&domain)).await? {
                    let why = format!("{address} is in a domain whose mail isn't kept here");
                    self.problem(Code::DomainMissing, &key, why);
                    if !domain.is_empty() && made.insert(domain.clone()) {
                        let new = self.new_domain();
                        self.edit(Edit::put(keys::domain(&domain), None, new))
                            .await?;
                    }
                }
                self.check_targets(&key, &bytes, &address).await?;
            }
        }
        Ok(())
    }

    async fn check_targets(
        &mut self,
        key: &[u8],
        bytes: &Bytes,
        address: &String,
    ) -> Result<(), CheckError> {
        let Some(record) = self.record::<AddressRecord>(key, bytes) else {
            // The accounts whose address it is have put it right.
            if !self
                .accounts
                .keys()
                .any(|&id| self.has_address(id, address))
            {
                self.put_aside(Code::Record, key, bytes).await?;
            }
            return Ok(());
        };
        if !record.targets.is_empty()
            && record
                .targets
                .iter()
                .all(|id| self.has_address(*id, address))
        {
            return Ok(());
        }
        let why = format!("{address} leads to an account that doesn't have it");
        self.problem(Code::Address, key, why);
        if !self.is_repair() {
            return Ok(());
        }
        let targets = record.targets.iter();
        let living: Vec<u64> = targets
            .copied()
            .filter(|id| self.living(*id).is_some())
            .collect();
        for &id in &living {
            if let (false, Some(known)) = (self.has_address(id, address), self.living(id)) {
                let mut known = known.clone();
                known.addresses.push(address.clone());
                self.put_account(id, known).await?;
            }
        }
        let has_owner = self
            .accounts
            .keys()
            .any(|&id| self.has_address(id, address));
        if living.is_empty() && !has_owner {
            return self.put_aside(Code::Address, key, bytes).await;
        }
        if !living.is_empty() && living != record.targets {
            let right = AddressRecord { targets: living }.to_bytes();
            let edit = Edit::put(key.to_vec(), Some(bytes.clone()), right);
            self.edit(edit.keeping(Code::Address)).await?;
        }
        Ok(())
    }

    async fn check_credentials(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Credential));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((id, number)) = two_numbers(Subspace::Credential, &key) else {
                    continue;
                };
                let Some(record) = self.record::<CredentialRecord>(&key, &bytes) else {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                    continue;
                };
                let Some(account) = self.living(id) else {
                    let why = "a credential of an account that isn't there";
                    self.problem(Code::Credential, &key, why);
                    self.put_aside(Code::Credential, &key, &bytes).await?;
                    continue;
                };
                let (name, last) = (account.name.clone(), account.last_credential);
                if number > last {
                    let why =
                        format!("credential {number} of {name} has a number that wasn't given yet");
                    self.problem(Code::Credential, &key, why);
                    let mut right = account_of(self, id);
                    if let Some(right) = &mut right {
                        right.last_credential = number;
                        self.put_account(id, right.clone()).await?;
                    }
                }
                let of_token = (record.kind == CredentialKind::Token).then_some(record.lookup);
                let of_grant = record.grant.iter().flat_map(|grant| grant.ids());
                let lookups = of_grant.map(|id| id.0.to_vec()).chain(of_token);
                for lookup in lookups.collect::<Vec<_>>() {
                    let row = keys::credential_lookup(&lookup);
                    let found = self.get(&row).await?;
                    if found != Some(numbers(&[id, number])) {
                        let why = format!("token {number} of {name} isn't found when it is used");
                        self.problem(Code::Credential, &key, why);
                        if !lookup.is_empty() {
                            self.put_numbers(row, found, &[id, number]).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn check_credential_lookups(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::CredentialLookup));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let read = self.numbers::<2>(&key, &bytes, "way to a token");
                let Some([id, number]) = read else {
                    // The token that it was for has put it right, or puts it there again.
                    self.put_aside(Code::Record, &key, &bytes).await?;
                    continue;
                };
                let credential = keys::credential(AccountId::new(id), number);
                if !self.exists(&credential).await? {
                    let why = "a way to a token that isn't there";
                    self.problem(Code::CredentialLookup, &key, why);
                    self.put_aside(Code::CredentialLookup, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }

    async fn check_memberships(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Membership));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((member, group)) = keys::decode_membership(&key) else {
                    continue;
                };
                let is_group = self
                    .living(group.number())
                    .is_some_and(|record| record.kind == AccountKind::Group);
                if !is_group || self.living(member.number()).is_none() {
                    let why = format!(
                        "a membership of {} in {}, which are not a person and a group that are there",
                        self.name_of(member.number()),
                        self.name_of(group.number())
                    );
                    self.problem(Code::Membership, &key, why);
                    self.put_aside(Code::Membership, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }

    /// The accounts compare these with the grants of their mailboxes.
    async fn count_shares(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::SharedWith));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((grantee, owner)) = keys::decode_shared_with(&key) else {
                    continue;
                };
                self.shared
                    .entry(owner.number())
                    .or_default()
                    .push(grantee.number());
                if !self.accounts.contains_key(&owner.number()) {
                    let why = "something is shared by an account that isn't there";
                    self.problem(Code::ShareCount, &key, why);
                    self.put_aside(Code::ShareCount, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }
}

fn account_of(checker: &Checker<'_>, id: u64) -> Option<AccountRecord> {
    checker.living(id).cloned()
}

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// What follows the subspace.
pub(super) fn text_of(key: &[u8]) -> String {
    String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned()
}

pub(super) fn two_numbers(subspace: Subspace, key: &[u8]) -> Option<(u64, u64)> {
    let mut fields = keys::Fields::of(subspace, key)?;
    let pair = (fields.u64()?, fields.u64()?);
    fields.end().map(|()| pair)
}
