//! Domains, accounts, addresses, credentials and memberships: each says of the others what they say of it.
//!
//! Other half: `crate::directory` writes them.

use jmap_types::AccountId;
use store::{
    Record as _,
    keys::{self, Subspace},
};

use super::{CheckError, Checker, ProblemKind, Rows};
use crate::directory::{
    AccountKind, AccountRecord, CredentialKind,
    dkim::records::DkimKeyRecord,
    records::{AddressRecord, CredentialRecord, DomainRecord},
};

impl Checker<'_> {
    pub(super) async fn check_directory(&mut self) -> Result<(), CheckError> {
        self.read_accounts().await?;
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
        let key = keys::meta("next account");
        let next = match self.get(&key).await? {
            Some(bytes) => self
                .numbers::<1>(&key, &bytes, "number of the next account")
                .map(|[next]| next),
            None => Some(1),
        };
        let last = self.accounts.keys().next_back().copied().unwrap_or(0);
        if next.is_some_and(|next| next <= last) {
            self.problem(
                ProblemKind::Directory,
                &key,
                "the number of the next account was given already",
            );
        }
        Ok(())
    }

    /// Names and addresses lead to the account.
    async fn check_account_names(&mut self) -> Result<(), CheckError> {
        let accounts: Vec<(u64, Option<AccountRecord>)> =
            self.accounts.clone().into_iter().collect();
        for (id, record) in accounts {
            let key = keys::account(AccountId::new(id));
            let Some(record) = record else {
                if !self.exists(&key).await? {
                    self.problem(
                        ProblemKind::Directory,
                        &key,
                        "there are records of an account that doesn't exist",
                    );
                }
                continue;
            };
            if record.removed {
                continue;
            }
            if self.get(&keys::login_name(&record.name)).await? != Some(store::numbers(&[id])) {
                let why = format!(
                    "{} can't log in: the name doesn't lead to the account",
                    record.name
                );
                self.problem(ProblemKind::Directory, &key, why);
            }
            for address in &record.addresses {
                let bytes = self.get(&keys::address(address)).await?;
                let targets = bytes.and_then(|bytes| AddressRecord::from_bytes(&key, &bytes).ok());
                if !targets.is_some_and(|record| record.targets.contains(&id)) {
                    let why = format!(
                        "mail for {address} doesn't come to {}, whose address it is",
                        record.name
                    );
                    self.problem(ProblemKind::Directory, &key, why);
                }
            }
        }
        Ok(())
    }

    async fn check_login_names(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::LoginName));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let name = text_of(&key);
                let Some([id]) = self.numbers(&key, &bytes, "login name") else {
                    continue;
                };
                if self.living(id).is_none_or(|record| record.name != name) {
                    self.problem(
                        ProblemKind::Directory,
                        &key,
                        format!("{name} is the login name of no account"),
                    );
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
                    continue;
                };
                if let Some(target) = &record.alias_of
                    && !self.exists(&keys::domain(target)).await?
                {
                    let why = format!("{name} is an alias of {target}, which isn't there");
                    self.problem(ProblemKind::Directory, &key, why);
                }
                if record.catch_all.is_some_and(|id| self.living(id).is_none()) {
                    let why = format!("the catch-all of {name} is an account that isn't there");
                    self.problem(ProblemKind::Directory, &key, why);
                }
            }
        }
        Ok(())
    }

    async fn check_dkim_keys(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::DkimKey));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((domain, selector)) = keys::decode_dkim_key(&key) else {
                    continue;
                };
                let is_known = self.exists(&keys::domain(domain)).await?;
                let record = self.record::<DkimKeyRecord>(&key, &bytes);
                if record.is_some() && !is_known {
                    let why = format!(
                        "the DKIM key {selector} is of {domain}, whose mail isn't kept here"
                    );
                    self.problem(ProblemKind::Directory, &key, why);
                }
            }
        }
        Ok(())
    }

    async fn check_addresses(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Address));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let address = text_of(&key);
                let domain = address
                    .rsplit_once('@')
                    .map(|(_, domain)| domain)
                    .unwrap_or_default();
                if !self.exists(&keys::domain(domain)).await? {
                    let why = format!("{address} is in a domain whose mail isn't kept here");
                    self.problem(ProblemKind::Directory, &key, why);
                }
                let Some(record) = self.record::<AddressRecord>(&key, &bytes) else {
                    continue;
                };
                let knows = |id: &u64| {
                    self.living(*id)
                        .is_some_and(|record| record.addresses.contains(&address))
                };
                if record.targets.is_empty() || !record.targets.iter().all(knows) {
                    let why = format!("{address} leads to an account that doesn't have it");
                    self.problem(ProblemKind::Directory, &key, why);
                }
            }
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
                    continue;
                };
                let Some(account) = self.living(id) else {
                    self.problem(
                        ProblemKind::Directory,
                        &key,
                        "a credential of an account that isn't there",
                    );
                    continue;
                };
                let (name, last) = (account.name.clone(), account.last_credential);
                if number > last {
                    let why =
                        format!("credential {number} of {name} has a number that wasn't given yet");
                    self.problem(ProblemKind::Directory, &key, why);
                }
                let is_known = match record.kind {
                    CredentialKind::Token => {
                        let found = self.get(&keys::credential_lookup(&record.lookup)).await?;
                        found == Some(store::numbers(&[id, number]))
                    }
                    CredentialKind::Password | CredentialKind::AppPassword => true,
                };
                if !is_known {
                    let why = format!("token {number} of {name} isn't found when it is used");
                    self.problem(ProblemKind::Directory, &key, why);
                }
            }
        }
        Ok(())
    }

    async fn check_credential_lookups(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::CredentialLookup));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some([id, number]) = self.numbers(&key, &bytes, "way to a token") else {
                    continue;
                };
                if !self
                    .exists(&keys::credential(AccountId::new(id), number))
                    .await?
                {
                    self.problem(
                        ProblemKind::Directory,
                        &key,
                        "a way to a token that isn't there",
                    );
                }
            }
        }
        Ok(())
    }

    async fn check_memberships(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::keys_only(keys::all(Subspace::Membership));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, _) in page {
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
                    self.problem(ProblemKind::Directory, &key, why);
                }
            }
        }
        Ok(())
    }

    /// The accounts compare these with the grants of their mailboxes.
    async fn count_shares(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::keys_only(keys::all(Subspace::SharedWith));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, _) in page {
                let Some((_, owner)) = keys::decode_shared_with(&key) else {
                    continue;
                };
                *self.shared.entry(owner.number()).or_default() += 1;
                if !self.accounts.contains_key(&owner.number()) {
                    self.problem(
                        ProblemKind::Share,
                        &key,
                        "something is shared by an account that isn't there",
                    );
                }
            }
        }
        Ok(())
    }
}

/// What follows the subspace.
fn text_of(key: &[u8]) -> String {
    String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned()
}

pub(super) fn two_numbers(subspace: Subspace, key: &[u8]) -> Option<(u64, u64)> {
    let mut fields = keys::Fields::of(subspace, key)?;
    let pair = (fields.u64()?, fields.u64()?);
    fields.end().map(|()| pair)
}
