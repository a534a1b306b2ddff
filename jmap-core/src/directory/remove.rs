//! Removing an account.
//!
//! Holds: the first commit takes its names, addresses and credentials away, so nobody logs in and no mail comes
//! any more; what is left goes in bounded batches, and after a crash again until nothing is left. The record goes
//! last: as long as it is there, there may be something left.
//! Other half: `accounts` makes them; `blob::collect_blobs` removes the octets that nothing refers to.

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    Record as _,
    engine::{Assertion, Batch, Page},
    keys::{self, Subspace},
};

use super::{
    DirectoryError,
    records::{AccountKind, AccountRecord},
};
use crate::{
    Core,
    access::{self, Operation},
    admin::{Deed, Terms},
    blob::UploadRecord,
    caller::Caller,
    mail::submission::records::DUE_NEVER,
};

/// Rows that one batch of removing looks at.
const ROWS_PER_BATCH: usize = 1000;

/// Subspaces whose keys begin with the account.
const OF_ACCOUNT: &[Subspace] = &[
    Subspace::Object,
    Subspace::Log,
    Subspace::ThreadRef,
    Subspace::Delivered,
    Subspace::MailboxUid,
    Subspace::Metadata,
    Subspace::SharedWith,
    Subspace::Membership,
    Subspace::Credential,
    Subspace::Upload,
    Subspace::SearchPending,
    Subspace::SearchCursor,
    Subspace::SearchIndexed,
    Subspace::Turn,
    Subspace::Undelete,
    Subspace::Import,
    Subspace::Idempotency,
    Subspace::Head,
];

impl Core {
    /// Removes an account or group for good.
    pub async fn remove_account(&self, who: &Caller, id: AccountId) -> Result<(), DirectoryError> {
        self.remove_account_on(who, id, &Terms::default()).await
    }

    /// The same, on terms.
    pub async fn remove_account_on(
        &self,
        who: &Caller,
        id: AccountId,
        terms: &Terms,
    ) -> Result<(), DirectoryError> {
        access::may_begin(who, Operation::RemoveAccount, Some(id))?;
        if who.account == id {
            return Err(DirectoryError::InUse(
                "an administrator can't remove their own account".into(),
            ));
        }
        self.change_directory(|| self.try_mark_removed(who, id, terms))
            .await?;
        Ok(self.finish_removal(id).await?)
    }

    async fn try_mark_removed(
        &self,
        who: &Caller,
        id: AccountId,
        terms: &Terms,
    ) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        let mut record = self.account_for(who, Operation::RemoveAccount, id).await?;
        terms.check(&record)?;
        if record.kind == AccountKind::Service {
            return Err(DirectoryError::InUse(
                "it is the server's own account".into(),
            ));
        }
        if let Some(list) = self.list_of_owner(id).await? {
            return Err(DirectoryError::InUse(format!("it is the owner of {list}")));
        }
        let mut batch = Batch::new();
        self.audit(
            &mut batch,
            who,
            Deed::of_account(Operation::RemoveAccount, id, &record),
        );
        batch.delete(keys::login_name(&record.name));
        for address in record.addresses.drain(..) {
            batch.delete(keys::address(&address));
        }
        for (number, credential) in self.credential_records(id).await? {
            batch.delete(keys::credential(id, number));
            if !credential.lookup.is_empty() {
                batch.delete(keys::credential_lookup(&credential.lookup));
            }
            credential.forget_tokens(&mut batch);
        }
        for (key, _) in self.rows(keys::all(Subspace::Membership), true).await? {
            let pair = keys::decode_membership(&key);
            if pair.is_some_and(|(member, group)| member == id || group == id) {
                batch.delete(key.to_vec());
            }
        }
        for mut domain in self.domains(&Caller::server()).await? {
            if domain.record.catch_all == Some(id.number()) {
                domain.record.catch_all = None;
                batch.put(keys::domain(&domain.name), domain.record.to_bytes());
            }
        }
        record.disabled = true;
        record.removed = true;
        record.generation += 1;
        self.commit_account(fence, id, record, batch)
            .await
            .map(drop)
    }

    /// Goes on with removals that a crash or a fault interrupted. Returns how many accounts went.
    pub async fn resume_removals(&self) -> Result<usize, store::Error> {
        let mut finished = 0;
        for (key, bytes) in self.rows(keys::all(Subspace::Account), false).await? {
            let is_removed =
                AccountRecord::from_bytes(&key, &bytes).is_ok_and(|record| record.removed);
            if let (true, Some(id)) = (is_removed, keys::decode_account(&key)) {
                self.finish_removal(id).await?;
                finished += 1;
            }
        }
        Ok(finished)
    }

    async fn finish_removal(&self, id: AccountId) -> Result<(), store::Error> {
        self.close_mailboxes(id).await?;
        self.remove_blob_refs(id).await?;
        self.remove_shares(id).await?;
        self.remove_upload_expiries(id).await?;
        for &subspace in OF_ACCOUNT {
            let mut batch = Batch::new();
            batch.delete_range(of_account(subspace, id));
            self.engine.commit(batch).await?;
        }
        self.remove_held_mail(id).await?;
        let mut batch = Batch::new();
        batch.delete(keys::account(id));
        self.engine.commit(batch).await?;
        self.directory_changed();
        Ok(())
    }

    /// The queue looks at what is due, and lets go of what has no account any more. What is on hold is never due.
    async fn remove_held_mail(&self, id: AccountId) -> Result<(), store::Error> {
        let last = keys::queue_due(DUE_NEVER, id, u64::MAX);
        let range = keys::queue_due(DUE_NEVER, id, 0)..[&last[..], &[0]].concat();
        loop {
            let page = Page::first(range.clone(), ROWS_PER_BATCH);
            let rows = self.engine.scan(page).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for (key, value) in &rows {
                batch.assert(Assertion::Equals(key.to_vec(), value.clone()));
                batch.delete(key.to_vec());
            }
            let count = i64::try_from(rows.len()).unwrap_or(0);
            batch.add(keys::queue_length(), -count);
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                // It is being released, or given up.
                Ok(()) | Err(store::Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn remove_upload_expiries(&self, id: AccountId) -> Result<(), store::Error> {
        let uploads = self.rows(of_account(Subspace::Upload, id), false).await?;
        for uploads in uploads.chunks(ROWS_PER_BATCH) {
            let mut batch = Batch::new();
            for (key, bytes) in uploads {
                // Of one that can't be read, the row goes when its time is over.
                if let Some((account, hash)) = keys::decode_upload(key)
                    && let Ok(record) = UploadRecord::from_bytes(key, bytes)
                {
                    batch.delete(keys::upload_expiry(record.expires, account, &hash));
                }
            }
            self.engine.commit(batch).await?;
        }
        Ok(())
    }

    /// A delivery that is under way finds no mailbox any more: without its UIDs it takes no email.
    async fn close_mailboxes(&self, id: AccountId) -> Result<(), store::Error> {
        let handle = self.accounts.handle(id);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            for (key, _) in txn.scan(of_account(Subspace::MailboxUid, id)).await? {
                txn.delete(key.to_vec());
            }
            match txn.commit().await {
                Err(store::Error::Conflict) => {}
                result => return result.map(drop),
            }
        }
        Err(store::Error::Conflict)
    }

    /// References are ordered by blob: all of them are looked at.
    async fn remove_blob_refs(&self, id: AccountId) -> Result<(), store::Error> {
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        let mut range = keys::all(Subspace::BlobRef);
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_BATCH).keys_only())
                .await?;
            let mut batch = Batch::new();
            for (key, _) in &rows {
                if let Some((hash, _, _, _)) =
                    keys::decode_blob_ref(key).filter(|(_, account, _, _)| *account == id)
                {
                    batch.delete(key.to_vec());
                    batch.put(keys::blob_candidate(now, &hash), Bytes::new());
                }
            }
            if !batch.is_empty() {
                self.engine.commit(batch).await?;
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_BATCH) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// What others see of the account; its own rows are among those that go as a range.
    async fn remove_shares(&self, id: AccountId) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        for (key, _) in self.rows(keys::all(Subspace::SharedWith), true).await? {
            if keys::decode_shared_with(&key).is_some_and(|(_, owner)| owner == id) {
                batch.delete(key.to_vec());
            }
        }
        if !batch.is_empty() {
            self.engine.commit(batch).await?;
        }
        Ok(())
    }
}

/// All keys of a subspace that begin with this account.
fn of_account(subspace: Subspace, id: AccountId) -> store::engine::KeyRange {
    let mut start = vec![subspace as u8];
    start.extend_from_slice(&id.number().to_be_bytes());
    keys::prefix(start)
}
