//! Everything that an account has, for whoever takes it elsewhere.
//!
//! Holds: it is read in bounded pages; octets are compared with their hash before they are given.
//! Other half: the binary's `moving`, which writes files.

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{Record as _, engine::Page, keys, keys::BlobHash};

use super::import::ImportError;
use crate::{
    Caller, Core,
    mail::{
        identity::{self, IdentityRecord},
        records::{EmailRecord, MailboxRecord},
        sieve,
        vacation::{self, VacationRecord},
    },
};

/// Emails of one page.
pub const EMAILS_PER_PAGE: usize = 1000;
/// Mailboxes that are looked at.
const MAILBOXES_MAX: usize = 100_000;

/// What an account has beside its mail.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub identities: Vec<IdentityRecord>,
    pub vacation: Option<VacationRecord>,
    pub scripts: Vec<Script>,
}

/// A Sieve script.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub is_active: bool,
    pub octets: Bytes,
}

impl Core {
    /// The mailboxes of an account, by number.
    pub async fn export_mailboxes(
        &self,
        who: &Caller,
        account: AccountId,
    ) -> Result<Vec<(u64, MailboxRecord)>, ImportError> {
        Self::may_move(who)?;
        let range = keys::objects(account, DataType::Mailbox);
        let rows = self.engine.scan(Page::first(range, MAILBOXES_MAX)).await?;
        let mut mailboxes = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            let (_, _, id) =
                keys::decode_object(&key).ok_or_else(|| store::Error::bad_key("mailbox", &key))?;
            mailboxes.push((id, MailboxRecord::from_bytes(&key, &bytes)?));
        }
        Ok(mailboxes)
    }

    /// Emails of an account with a number above `after`, and what is wrong with those that can't be read: at most [`EMAILS_PER_PAGE`].
    pub async fn export_emails(
        &self,
        who: &Caller,
        account: AccountId,
        after: u64,
    ) -> Result<Vec<(u64, Result<EmailRecord, store::Error>)>, ImportError> {
        Self::may_move(who)?;
        let mut range = keys::objects(account, DataType::Email);
        range.start = keys::object(account, DataType::Email, after);
        range.start.push(0);
        let rows = self
            .engine
            .scan(Page::first(range, EMAILS_PER_PAGE))
            .await?;
        let mut emails = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            let (_, _, id) =
                keys::decode_object(&key).ok_or_else(|| store::Error::bad_key("email", &key))?;
            emails.push((id, EmailRecord::from_bytes(&key, &bytes)));
        }
        Ok(emails)
    }

    /// The octets of a message of an account. `None`: they are missing, or are not what their name says.
    pub async fn export_octets(
        &self,
        who: &Caller,
        account: AccountId,
        hash: &BlobHash,
    ) -> Result<Option<Bytes>, ImportError> {
        Self::may_move(who)?;
        let refs = keys::blob_refs_of(hash, account);
        if self.engine.scan(Page::first(refs, 1)).await?.is_empty() {
            return Ok(None);
        }
        let octets = store::blob::get(&self.engine, hash).await?;
        Ok(octets.filter(|octets| store::blob::hash(octets) == *hash))
    }

    /// Identities, vacation response and Sieve scripts.
    pub async fn export_settings(
        &self,
        who: &Caller,
        account: AccountId,
    ) -> Result<Settings, ImportError> {
        Self::may_move(who)?;
        let mut settings = Settings {
            vacation: vacation::of(self, account).await?,
            ..Settings::default()
        };
        // They are made when they are first looked for.
        identity::ensure(self, &self.accounts.handle(account)).await?;
        for (_, record) in identity::all(self, account).await? {
            settings.identities.push(record);
        }
        let active = sieve::active(self, account).await?;
        for (id, record) in sieve::all(self, account).await? {
            if let Some(octets) = store::blob::get(&self.engine, &record.blob).await? {
                settings.scripts.push(Script {
                    name: record.name,
                    is_active: active == Some(id),
                    octets,
                });
            }
        }
        Ok(settings)
    }
}
