//! Brings back what an account had, out of a backup: all of it, a mailbox or a mail.
//!
//! Holds: it goes through the transactions that everything else goes through, so every session sees it at once; what is there isn't doubled, and
//! nothing is taken away: who is interrupted does the same again. A mail that is only in the trash, or marked as deleted, gets its mailboxes back.
//! Other half: `inproc::backup` has made the backup; `directory` makes the account again.

mod emails;
mod mailboxes;
mod others;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jmap_types::{AccountId, Id, mail::Email};
use store::{
    Record, decode_numbers,
    engine::{KeyRange, Page, Snapshot},
    keys::{self, Subspace},
};

use self::{emails::Emails, mailboxes::Mailboxes};
use crate::{
    Core, access,
    caller::Caller,
    directory::{
        Account, AccountRecord, DirectoryError,
        names::{self, AccountName},
        records::{AddressRecord, CredentialRecord},
    },
    work::check::Progress,
};

/// Rows of the backup that are read in one page.
const ROWS_PER_PAGE: usize = 500;

/// What is to be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BringBack {
    /// The name or an address of the account, as it was then.
    pub account: String,
    /// The account that gets it; `None`: the one of the same name.
    pub into: Option<String>,
    /// The path of a mailbox, with `/` between the levels; it comes with those below it.
    pub mailbox: Option<String>,
    pub messages: Messages,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Messages {
    All,
    /// Those with this Message-ID.
    MessageId(String),
    /// The one with this JMAP id.
    Email(String),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BroughtBack {
    pub account: String,
    pub made_account: bool,
    /// Mailboxes that were made.
    pub mailboxes: u64,
    /// Emails that were not there any more.
    pub emails: u64,
    /// Emails that were in the trash, or marked as deleted.
    pub put_back: u64,
    /// Emails that were there.
    pub there: u64,
    /// Emails whose octets the backup hasn't got.
    pub lost: u64,
    /// Identities, Sieve scripts, annotations and the vacation response.
    pub others: u64,
    /// Addresses that the account had, and doesn't get back.
    pub taken_addresses: Vec<String>,
}

/// Why nothing, or not all, was brought back: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BringBackError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the backup has no account \"{0}\"")]
    NoAccount(String),
    #[error("the account had no mailbox \"{0}\"")]
    NoMailbox(String),
    #[error("the account had no such mail")]
    NoEmail,
    #[error(
        "there is no account \"{0}\" any more: bring it back as a whole, or name another one that gets the mail"
    )]
    AccountGone(String),
    #[error("a mail could not be written: {0}")]
    Refused(String),
}

impl From<store::engine::EngineError> for BringBackError {
    fn from(error: store::engine::EngineError) -> Self {
        Self::Store(error.into())
    }
}

impl Core {
    /// Brings back what an account had in `archive`.
    pub async fn bring_back(
        &self,
        who: &Caller,
        archive: Arc<dyn Snapshot>,
        what: &BringBack,
        progress: Progress<'_>,
    ) -> Result<BroughtBack, BringBackError> {
        access::may_run(who, access::Operation::MoveMail)?;
        let (old, record) = account_in(&*archive, &what.account).await?;
        let mailboxes = Mailboxes::read(&*archive, old).await?;
        let wanted = match &what.mailbox {
            None => None,
            Some(path) => Some(mailboxes.with_below(path)?),
        };
        let email = match &what.messages {
            Messages::Email(text) => {
                let id = Id::<Email>::parse(text).ok_or(BringBackError::NoEmail)?;
                Some(id.number())
            }
            Messages::All | Messages::MessageId(_) => None,
        };
        let is_whole = wanted.is_none() && what.messages == Messages::All;
        let mut done = BroughtBack::default();
        let account = self
            .receiver(who, &*archive, (old, &record), what, is_whole, &mut done)
            .await?;
        done.account.clone_from(&account.record.name);
        let mut work = Work {
            core: self,
            archive: &*archive,
            old,
            account: account.id,
            mailboxes,
            shares: done.made_account,
            done,
        };
        if is_whole {
            work.all_mailboxes().await?;
            work.others().await?;
        }
        let emails = Emails {
            wanted,
            email,
            message_id: match &what.messages {
                Messages::MessageId(id) => Some(bare(id).to_owned()),
                Messages::All | Messages::Email(_) => None,
            },
        };
        work.emails(&emails, progress).await?;
        let done = work.done;
        let found = done.emails + done.put_back + done.there + done.lost;
        match what.messages == Messages::All || found > 0 {
            true => Ok(done),
            false => Err(BringBackError::NoEmail),
        }
    }

    /// The account that gets it.
    async fn receiver(
        &self,
        who: &Caller,
        archive: &dyn Snapshot,
        (old, record): (AccountId, &AccountRecord),
        what: &BringBack,
        is_whole: bool,
        done: &mut BroughtBack,
    ) -> Result<Account, BringBackError> {
        if let Some(name) = &what.into {
            return Ok(self.account_named(name).await?);
        }
        match self.account_named(&record.name).await {
            Err(DirectoryError::NotFound(_)) if is_whole => {}
            Err(DirectoryError::NotFound(name)) => return Err(BringBackError::AccountGone(name)),
            result => return Ok(result?),
        }
        let mut credentials = Vec::new();
        for (key, bytes) in rows(archive, keys::credentials_of(old)).await? {
            let number = key
                .last_chunk::<8>()
                .map(|octets| u64::from_be_bytes(*octets));
            let record = CredentialRecord::from_bytes(&key, &bytes)?;
            credentials.extend(number.map(|number| (number, record)));
        }
        let made = self.add_account_again(who, record, &credentials).await?;
        done.made_account = true;
        done.taken_addresses = made.taken;
        self.memberships_again(who, archive, old, made.account.id)
            .await?;
        Ok(made.account)
    }

    /// Groups that the account was in, and its members if it is one, as far as they are there.
    async fn memberships_again(
        &self,
        who: &Caller,
        archive: &dyn Snapshot,
        old: AccountId,
        new: AccountId,
    ) -> Result<(), BringBackError> {
        for (key, _) in rows(archive, keys::all(Subspace::Membership)).await? {
            let Some((member, group)) = keys::decode_membership(&key) else {
                continue;
            };
            let (member, group) = match (member == old, group == old) {
                (true, _) => (new, group),
                (_, true) => (member, new),
                _ => continue,
            };
            match self.add_member(who, group, member).await {
                Ok(()) | Err(DirectoryError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What is being done.
struct Work<'w> {
    core: &'w Core,
    archive: &'w dyn Snapshot,
    /// The account in the backup.
    old: AccountId,
    /// The one that gets it.
    account: AccountId,
    mailboxes: Mailboxes,
    /// Who saw its mailboxes sees them again.
    shares: bool,
    done: BroughtBack,
}

/// A Message-ID without its angle brackets.
fn bare(id: &str) -> &str {
    id.trim().trim_start_matches('<').trim_end_matches('>')
}

/// All rows of a range.
async fn rows(
    archive: &dyn Snapshot,
    mut range: KeyRange,
) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, store::Error> {
    let mut rows = Vec::new();
    loop {
        let page = archive
            .scan(Page::first(range.clone(), ROWS_PER_PAGE))
            .await?;
        let is_full = page.len() == ROWS_PER_PAGE;
        if let Some((last, _)) = page.last() {
            range.start = [last, &[0u8][..]].concat();
        }
        rows.extend(page);
        if !is_full {
            return Ok(rows);
        }
    }
}

/// The account that had a name or an address.
async fn account_in(
    archive: &dyn Snapshot,
    name: &str,
) -> Result<(AccountId, AccountRecord), BringBackError> {
    let no_account = || BringBackError::NoAccount(name.to_owned());
    let stored = names::account(name)?;
    let key = keys::login_name(&stored.to_string());
    let number = match (archive.get(&key).await?, &stored) {
        (Some(bytes), _) => decode_numbers::<1>(&key, &bytes)?[0],
        (None, AccountName::Bare(_)) => return Err(no_account()),
        (None, AccountName::Address(address)) => {
            let key = keys::address(&address.to_string());
            let bytes = archive.get(&key).await?.ok_or_else(no_account)?;
            let record = AddressRecord::from_bytes(&key, &bytes)?;
            *record.targets.first().ok_or_else(no_account)?
        }
    };
    let id = AccountId::new(number);
    let key = keys::account(id);
    let bytes = archive.get(&key).await?.ok_or_else(no_account)?;
    let record = AccountRecord::from_bytes(&key, &bytes)?;
    match record.removed {
        true => Err(no_account()),
        false => Ok((id, record)),
    }
}
