//! Accounts whose record is lost: they are made again of what names, addresses and credentials say; where there is nothing to keep, what is
//! left of them goes aside.
//!
//! Other half: `directory`, which puts names and addresses right after that.

use jmap_types::AccountId;
use store::{
    Record as _,
    keys::{self, Subspace},
    numbers,
};

use super::{
    CheckError, Checker, Code, Rows,
    directory::{text_of, two_numbers},
    edits::Edit,
};
use crate::{
    caller::Role,
    directory::{
        AccountKind, AccountRecord,
        records::{AddressRecord, PASSWORD},
    },
};

/// Rows of one kind of an account without a record that are looked at to tell whether it had mail.
const HAS_MAIL: &[Subspace] = &[Subspace::Object, Subspace::Credential];
/// What may be left of an account.
const LEFT: &[Subspace] = &[
    Subspace::Head,
    Subspace::Log,
    Subspace::ThreadRef,
    Subspace::Delivered,
    Subspace::MailboxUid,
    Subspace::Metadata,
    Subspace::Upload,
    Subspace::SearchPending,
    Subspace::SearchCursor,
    Subspace::SearchIndexed,
];

impl Checker<'_> {
    /// Accounts of which there are records, and no record of the account itself.
    pub(super) async fn check_lost_accounts(&mut self) -> Result<(), CheckError> {
        let lost = self.accounts.iter().filter(|(_, record)| record.is_none());
        let lost: Vec<u64> = lost.map(|(&id, _)| id).collect();
        for id in lost {
            let account = AccountId::new(id);
            let key = keys::account(account);
            let found = self.get(&key).await?;
            let mut had_mail = found.is_some();
            for &subspace in HAS_MAIL {
                had_mail |= !self.is_empty(of_account(subspace, id)).await?;
            }
            if found.is_none() {
                let why = "there are records of an account that doesn't exist";
                let code = match had_mail {
                    true => Code::AccountMissing,
                    false => Code::AccountLeftover,
                };
                self.problem(code, &key, why);
            }
            if !self.is_repair() {
                continue;
            }
            if had_mail {
                let record = self.account_of_traces(account).await?;
                let edit = Edit::put(key, found, record.to_bytes());
                self.edit(edit.keeping(Code::Record)).await?;
                self.accounts.insert(id, Some(record));
                continue;
            }
            for &subspace in LEFT {
                let mut rows = Rows::new(of_account(subspace, id));
                while let Some(page) = rows.next(&self.snapshot).await? {
                    for (key, bytes) in page {
                        self.put_aside(Code::AccountLeftover, &key, &bytes).await?;
                    }
                }
            }
            self.accounts.remove(&id);
        }
        Ok(())
    }

    /// An account as its names, addresses and credentials know it.
    async fn account_of_traces(&self, account: AccountId) -> Result<AccountRecord, CheckError> {
        let id = account.number();
        let mut name = None;
        let mut rows = Rows::new(keys::all(Subspace::LoginName));
        while let Some(page) = rows.next(&self.snapshot).await? {
            let of_it = page.iter().find(|(_, bytes)| *bytes == numbers(&[id]));
            name = name.or_else(|| of_it.map(|(key, _)| text_of(key)));
        }
        let mut addresses = Vec::new();
        let mut rows = Rows::new(keys::all(Subspace::Address));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let record = AddressRecord::from_bytes(&key, &bytes);
                if record.is_ok_and(|record| record.targets.contains(&id)) {
                    addresses.push(text_of(&key));
                }
            }
        }
        let mut last_credential = PASSWORD;
        let mut rows = Rows::keys_only(keys::credentials_of(account));
        while let Some(page) = rows.next(&self.snapshot).await? {
            let numbers = page
                .iter()
                .filter_map(|(key, _)| two_numbers(Subspace::Credential, key));
            last_credential = numbers.fold(last_credential, |last, (_, number)| last.max(number));
        }
        let mut is_group = false;
        let mut rows = Rows::keys_only(keys::all(Subspace::Membership));
        while let Some(page) = rows.next(&self.snapshot).await? {
            let mut pairs = page
                .iter()
                .filter_map(|(key, _)| keys::decode_membership(key));
            is_group |= pairs.any(|(_, group)| group == account);
        }
        let now = self.core.clock.now();
        Ok(AccountRecord {
            name: name.unwrap_or_else(|| format!("recovered-{id}")),
            kind: match is_group {
                true => AccountKind::Group,
                false => AccountKind::Person,
            },
            description: "made again by repair: look at its role, quota and description".into(),
            quota_octets: None,
            disabled: false,
            role: Role::User,
            // Later than any that a session may remember.
            generation: u64::try_from(now.0).unwrap_or(1),
            created: now.seconds(),
            addresses,
            last_credential,
            removed: false,
            forward: None,
            list: None,
            recipients_per_hour: None,
            recipients_per_day: None,
            administers: None,
            role_from_outside: None,
        })
    }
}

fn of_account(subspace: Subspace, id: u64) -> store::engine::KeyRange {
    let mut start = vec![subspace as u8];
    start.extend_from_slice(&id.to_be_bytes());
    keys::prefix(start)
}
