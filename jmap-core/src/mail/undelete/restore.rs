//! Brings deleted emails back.
//!
//! Holds: the email that comes back is a new one, with new UIDs, and the row that it was kept by goes in the same transaction.

use bytes::Bytes;
use jmap_types::{AccountId, DataType, SetError};
use store::{
    account::Ticket,
    engine::{Assertion, Batch},
    keys,
};

use super::{DeletedId, DeletedRecord, octets, reference};
use crate::{
    Caller, Core,
    access::{self, Operation},
    admin::Deed,
    directory::DirectoryError,
    mail::{
        mailbox,
        message::Summary,
        write::{self, Placement, StoredMessage},
    },
    object::Rejected,
};

/// An email that is back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub email: u64,
    pub mailboxes: Vec<u64>,
}

/// Why an email isn't brought back.
#[derive(Debug, thiserror::Error)]
pub enum UndeleteError {
    /// It never was, its time is over, or it was brought back before.
    #[error("there is no such deleted email")]
    NotFound,
    #[error("only the owner of an account may bring its emails back")]
    Forbidden,
    #[error("{}", .0.description.as_deref().unwrap_or("it is refused"))]
    Refused(SetError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Core {
    /// Brings an email back: into `into`, or the mailboxes that it was in as far as they are there, or the inbox.
    pub async fn restore_deleted(
        &self,
        who: &Caller,
        account: AccountId,
        id: DeletedId,
        into: Option<u64>,
    ) -> Result<Restored, UndeleteError> {
        self.check_undelete(who, account, Operation::RestoreDeleted)
            .await?;
        let quota_octets = self.quota_octets(account).await?;
        for _ in 0..crate::object::TRIES {
            let (restored, ticket) = match self
                .stage_restore(who, account, id, into, quota_octets)
                .await
            {
                Ok(Some(staged)) => staged,
                Ok(None) => return Err(UndeleteError::NotFound),
                Err(Rejected::Set(error)) => return Err(UndeleteError::Refused(error)),
                Err(Rejected::Store(store::Error::Conflict)) => continue,
                Err(Rejected::Store(error)) => return Err(error.into()),
            };
            match ticket.durable().await {
                Ok(()) => return Ok(restored),
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }

    async fn stage_restore(
        &self,
        who: &Caller,
        account: AccountId,
        id: DeletedId,
        into: Option<u64>,
        quota_octets: u64,
    ) -> Result<Option<(Restored, Ticket)>, Rejected> {
        let handle = self.accounts.handle(account);
        let mut txn = handle.writer.begin().await?;
        let key = keys::undelete(account, id.time, id.email);
        let Some(record) = txn.record::<DeletedRecord>(&key).await? else {
            return Ok(None);
        };
        let mut mailboxes = Vec::new();
        for mailbox in into.map_or(record.mailboxes.clone(), |into| vec![into]) {
            let is_there = txn
                .get(&keys::mailbox_uid(account, mailbox))
                .await?
                .is_some();
            if is_there || into.is_some() {
                mailboxes.push(mailbox);
            }
        }
        if mailboxes.is_empty() {
            let inbox = mailbox::with_role(&txn, "inbox").await?;
            mailboxes.push(inbox.unwrap_or(write::INBOX));
        }
        let summary = match self.summary_of_blob(&record.blob).await? {
            Some(summary) => summary,
            None => self.parsed_again(&record).await?,
        };
        let placement = Placement {
            mailboxes,
            is_deleted: false,
            keywords: record.keywords.clone(),
            received_at: record.received_at,
            quota_octets,
            is_delivery: false,
        };
        let stored = StoredMessage {
            hash: record.blob,
            size: record.size,
            summary: &summary,
        };
        let now = self.clock.now();
        let inserted = write::insert_stored(&mut txn, stored, &placement, now).await?;
        // A purge may be about to take it.
        txn.assert(Assertion::Present(key.clone()));
        txn.delete(key);
        let mut batch = Batch::new();
        let reference = keys::blob_ref(&record.blob, account, DataType::Email, reference(id.email));
        batch.delete(reference);
        batch.add(keys::undelete_octets(account), -octets(record.size));
        if access::standing(who, account).is_err()
            && let Some(of) = self.account_record(account).await?
        {
            let deed = Deed::of_account(Operation::RestoreDeleted, account, &of);
            self.audit(
                &mut batch,
                who,
                deed.field("email", None, Some(id.email.to_string())),
            );
        }
        txn.append_unread(batch);
        let restored = Restored {
            email: inserted.id,
            mailboxes: placement.mailboxes,
        };
        Ok(Some((restored, txn.stage())))
    }

    async fn parsed_again(
        &self,
        record: &DeletedRecord,
    ) -> Result<std::sync::Arc<Summary>, Rejected> {
        let octets: Option<Bytes> = store::blob::get(&self.engine, &record.blob).await?;
        let octets = octets.ok_or_else(SetError::not_found)?;
        let parsed = crate::mail::email::with_octets(octets.len(), move || {
            std::sync::Arc::new(Summary::parse(&octets))
        });
        parsed.await.ok_or(Rejected::Store(store::Error::Conflict))
    }
}
