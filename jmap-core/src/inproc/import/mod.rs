//! Mail that comes from another server, or from files: for whoever moves an account in.
//!
//! Holds: an email and the note that it was imported are written in one transaction, so a run that was cut anywhere and is
//! repeated doubles nothing and leaves nothing out. Two source messages become one email only where that loses nothing: see [`Meeting`].
//! Other half: the binary's `moving`, which reads the sources.

mod flags;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;
use jmap_types::{AccountId, SetError};
use minicbor::{Decode, Encode};
use store::{
    Record,
    engine::{Batch, Page},
    keys::{self, Collection},
};

use crate::{
    Caller, Core, access,
    directory::DirectoryError,
    mail::{mailbox, write::MailTxn},
    object::Rejected,
};

pub use flags::FlagsSeen;

/// Octets of what names an item within its collection.
pub const ITEM_OCTETS_MAX: usize = 32;
/// Rows that one look at what is known takes.
pub const KNOWN_PER_PAGE: usize = 2000;

/// What is remembered of a message that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ImportRecord {
    /// The email that it became.
    #[n(0)]
    pub email: u64,
    /// The keywords that it had in the source when it was last looked at, sorted: what has changed there since is what differs from these.
    #[n(1)]
    pub keywords: Vec<String>,
    /// It had `\Deleted` there.
    #[n(2)]
    pub is_deleted: bool,
}

impl Record for ImportRecord {
    const KIND: &'static str = "import record";
}

/// What becomes of a message whose octets the account has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meeting {
    /// It is another email.
    #[default]
    Separate,
    /// It is the same email in one more mailbox, if date and keywords are the same, it isn't in that mailbox, and neither mailbox is the
    /// trash or junk: what is emptied there must not take a message with it that is kept elsewhere.
    Join,
    /// Nothing: the source's folder shows what other folders have, such as all mail.
    Skip,
}

/// A message of a source.
#[derive(Clone, Debug)]
pub struct Item {
    pub collection: Collection,
    /// Names it there, for ever: at most [`ITEM_OCTETS_MAX`].
    pub item: Vec<u8>,
    pub octets: Bytes,
    pub mailboxes: Vec<u64>,
    pub keywords: Vec<String>,
    pub is_deleted: bool,
    /// Seconds since 1970. Without: what the message says, or now.
    pub received_at: Option<i64>,
    pub meeting: Meeting,
}

/// What became of an item; the number is the email's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    New(u64),
    /// It is one more place of an email that was there.
    Joined(u64),
    /// Its octets were there, and nothing else was to be done.
    Skipped(u64),
    /// An earlier run, or another one at the same time, has imported it.
    Known(u64),
}

/// Why nothing more can be imported. What is wrong with one message alone is its own [`SetError`].
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the mailbox can't be made: {}", .0.description.as_deref().unwrap_or("its name is refused"))]
    Mailbox(SetError),
    #[error("the server is stopping")]
    Stopping,
}

impl From<store::engine::EngineError> for ImportError {
    fn from(error: store::engine::EngineError) -> Self {
        Self::Store(error.into())
    }
}

impl Core {
    /// Whether `who` may import into accounts, and export them.
    pub(super) fn may_move(who: &Caller) -> Result<(), DirectoryError> {
        access::may_run(who, access::Operation::MoveMail)
    }

    /// The mailbox for a source's folder, and whether it was made. With a role, it is the mailbox that has the role, if there is one.
    pub async fn import_mailbox(
        &self,
        who: &Caller,
        account: AccountId,
        levels: &[&str],
        role: Option<&str>,
        is_subscribed: bool,
    ) -> Result<(u64, bool), ImportError> {
        Self::may_move(who)?;
        let handle = self.accounts.handle(account);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            let made = place_for(self, &mut txn, levels, role, is_subscribed).await;
            let (id, is_new) = match made {
                Ok(found) => found,
                Err(Rejected::Set(error)) => return Err(ImportError::Mailbox(error)),
                Err(Rejected::Store(store::Error::Conflict)) => continue,
                Err(Rejected::Store(error)) => return Err(error.into()),
            };
            let Some(ticket) = txn.stage_or_seen() else {
                return Ok((id, is_new));
            };
            match ticket.durable().await {
                Ok(()) => return Ok((id, is_new)),
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }

    /// What was imported of a collection, by item, after `after`: at most [`KNOWN_PER_PAGE`].
    pub async fn import_known(
        &self,
        who: &Caller,
        account: AccountId,
        collection: &Collection,
        after: Option<&[u8]>,
    ) -> Result<Vec<(Vec<u8>, ImportRecord)>, ImportError> {
        Self::may_move(who)?;
        let mut range = keys::imports_of(account, collection);
        if let Some(after) = after {
            range.start = keys::import(account, collection, after);
            range.start.push(0);
        }
        let rows = self.engine.scan(Page::first(range, KNOWN_PER_PAGE)).await?;
        let mut known = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            let (_, _, item) =
                keys::decode_import(&key).ok_or_else(|| store::Error::bad_key("import", &key))?;
            known.push((item.to_vec(), ImportRecord::from_bytes(&key, &bytes)?));
        }
        Ok(known)
    }

    /// Forgets what an account has imported: the next run takes everything again.
    pub async fn import_forget(&self, who: &Caller, account: AccountId) -> Result<(), ImportError> {
        Self::may_move(who)?;
        let mut batch = Batch::new();
        let mut prefix = vec![keys::Subspace::Import as u8];
        prefix.extend_from_slice(&account.number().to_be_bytes());
        batch.delete_range(keys::prefix(prefix));
        Ok(self
            .engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?)
    }
}

async fn place_for(
    core: &Core,
    txn: &mut MailTxn,
    levels: &[&str],
    role: Option<&str>,
    is_subscribed: bool,
) -> Result<(u64, bool), Rejected> {
    if let Some(role) = role
        && let Some(id) = mailbox::with_role(txn, role).await?
    {
        return Ok((id, false));
    }
    mailbox::create_levels(core, txn, levels, role, is_subscribed).await
}
