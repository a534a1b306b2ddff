//! Removing an account.
//!
//! Holds: the first commit takes its names, addresses and credentials away, so nobody logs in and no mail comes
//! any more; what is left goes in bounded batches, and after a crash again until nothing is left. The record goes
//! last: as long as it is there, there may be something left. What the queue has of it is still sent, or its senders are told: it was
//! taken, and stays until the queue is done with it.
//! Other half: `accounts` makes them; `blob::collect_blobs` removes the octets that nothing refers to; `inproc::queue` sends what is left.

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Head, Record as _,
    engine::{Assertion, Batch, KeyRange, Page},
    keys::{self, Subspace},
};

use super::{
    DirectoryError,
    records::{AccountKind, AccountRecord},
};
use crate::{
    Core,
    access::{self, Operation},
    accounts::AccountHandle,
    admin::{Deed, Terms},
    blob::UploadRecord,
    caller::Caller,
    mail::submission::{self, records::SubmissionRecord, stage},
};

/// Rows that one batch of removing looks at.
const ROWS_PER_BATCH: usize = 1000;

/// Subspaces whose keys begin with the account.
const OF_ACCOUNT: &[Subspace] = &[
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
    Subspace::Undelete,
    Subspace::Import,
    Subspace::Idempotency,
];

/// The same, of what the queue needs until it is done with the account's mail.
const OF_QUEUE: &[Subspace] = &[
    Subspace::Object,
    Subspace::Log,
    Subspace::Turn,
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
        self.finish_removal(id).await?;
        Ok(())
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

    /// Goes on with removals that a crash or a fault interrupted, or that wait for the queue. Returns how many accounts went. One that fails
    /// doesn't keep the others.
    pub async fn resume_removals(&self) -> Result<usize, store::Error> {
        let mut finished = 0;
        let mut failed = Ok(());
        for (key, bytes) in self.rows(keys::all(Subspace::Account), false).await? {
            let is_removed =
                AccountRecord::from_bytes(&key, &bytes).is_ok_and(|record| record.removed);
            let (true, Some(id)) = (is_removed, keys::decode_account(&key)) else {
                continue;
            };
            match self.resume_removal(id).await {
                Ok(is_gone) => finished += usize::from(is_gone),
                Err(error) => {
                    tracing::error!(account = %id, %error, "an account could not be removed to its end");
                    failed = Err(error);
                }
            }
        }
        failed.map(|()| finished)
    }

    /// To look through all references to blobs is dear: not while only the queue has something.
    async fn resume_removal(&self, id: AccountId) -> Result<bool, store::Error> {
        let mut is_emptied = true;
        for range in other_objects(id) {
            let rows = self.engine.scan(Page::first(range, 1).keys_only()).await?;
            is_emptied &= rows.is_empty();
        }
        if is_emptied && self.has_open_submissions(id).await? {
            return Ok(false);
        }
        self.finish_removal(id).await
    }

    /// `false`: something of it is in the queue, and the rest waits for that.
    async fn finish_removal(&self, id: AccountId) -> Result<bool, store::Error> {
        self.close_mailboxes(id).await?;
        self.remove_blob_refs(id).await?;
        self.remove_shares(id).await?;
        self.remove_upload_expiries(id).await?;
        for &subspace in OF_ACCOUNT {
            let mut batch = Batch::new();
            batch.delete_range(of_account(subspace, id));
            self.engine.commit(batch).await?;
        }
        for range in other_objects(id) {
            let mut batch = Batch::new();
            batch.delete_range(range);
            self.engine.commit(batch).await?;
        }
        self.remove_done_submissions(id).await?;
        // What a delivery that is under way still sends on is seen here, or changes the head.
        let head = self.engine.get(&keys::head(id)).await?;
        if self.has_open_submissions(id).await? {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.assert(match head {
            Some(head) => Assertion::Equals(keys::head(id), head),
            None => Assertion::Absent(keys::head(id)),
        });
        for &subspace in OF_QUEUE {
            batch.delete_range(of_account(subspace, id));
        }
        batch.delete(keys::account(id));
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Err(store::Error::Conflict) => return Ok(false),
            result => result?,
        }
        self.directory_changed();
        Ok(true)
    }

    async fn has_open_submissions(&self, id: AccountId) -> Result<bool, store::Error> {
        let range = keys::objects(id, DataType::EmailSubmission);
        let rows = self.rows(range, false).await?;
        // Of one that can't be read, nothing can be sent.
        let is_open = |(key, bytes): &(Bytes, Bytes)| {
            SubmissionRecord::from_bytes(key, bytes).is_ok_and(|record| !record.is_done)
        };
        Ok(rows.iter().any(is_open))
    }

    /// With their rows of the queue: it isn't to look for them in vain.
    async fn remove_done_submissions(&self, id: AccountId) -> Result<(), store::Error> {
        let handle = self.accounts.handle(id);
        for _ in 0..crate::object::TRIES {
            let mut txn = handle.writer.begin().await?;
            let range = keys::objects(id, DataType::EmailSubmission);
            for (key, bytes) in txn.scan(range).await? {
                if let Some((.., number)) = keys::decode_object(&key)
                    && let Ok(record) = SubmissionRecord::from_bytes(&key, &bytes)
                    && record.is_done
                {
                    stage::remove(&mut txn, number, &record);
                }
            }
            match txn.commit().await {
                Err(store::Error::Conflict) => {}
                result => return result.map(drop),
            }
        }
        Err(store::Error::Conflict)
    }

    /// The head can't be read, and nothing of the account but its mail in the queue is still needed: one that serves for that takes its place.
    async fn replace_head(&self, handle: &AccountHandle) -> Result<(), store::Error> {
        let id = handle.id;
        let found = self.engine.get(&keys::head(id)).await?;
        let objects = self.rows(of_account(Subspace::Object, id), true).await?;
        let numbers = objects
            .iter()
            .filter_map(|(key, _)| keys::decode_object(key));
        let log = self.rows(of_account(Subspace::Log, id), true).await?;
        let last = log.last().and_then(|(key, _)| keys::decode_log(key));
        let now = u64::try_from(self.clock.now().0).unwrap_or(1);
        let head = Head {
            sequence: last.map_or(0, |(_, sequence)| sequence),
            last_id: numbers.map(|(.., number)| number).max().unwrap_or(0),
            revision: self.cluster.is_some().then_some(now),
            ..Head::default()
        };
        let mending = handle
            .writer
            .mend(found.as_ref(), head, Vec::new(), Batch::new());
        handle.writer.alone(mending).await?.map(drop)
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
            let mut txn = match handle.writer.begin().await {
                // Invariant 5: the check leaves accounts alone that go, and this one would never be gone.
                Err(error @ store::Error::Corrupt { .. }) => {
                    tracing::warn!(account = %id, %error, "an account that is being removed is damaged");
                    self.replace_head(&handle).await?;
                    continue;
                }
                txn => txn?,
            };
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

    /// References are ordered by blob: all of them are looked at. Those of messages that are still to be sent stay.
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
                let reference = keys::decode_blob_ref(key);
                let Some((hash, _, data_type, number)) = reference.filter(|of| of.1 == id) else {
                    continue;
                };
                if data_type == DataType::EmailSubmission {
                    match submission::record(self, id, number).await {
                        Ok(Some(record)) if !record.is_done => continue,
                        Ok(_) | Err(store::Error::Corrupt { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                batch.delete(key.to_vec());
                batch.put(keys::blob_candidate(now, &hash), Bytes::new());
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
fn of_account(subspace: Subspace, id: AccountId) -> KeyRange {
    let mut start = vec![subspace as u8];
    start.extend_from_slice(&id.number().to_be_bytes());
    keys::prefix(start)
}

/// Its objects but for submissions.
fn other_objects(id: AccountId) -> [KeyRange; 2] {
    let all = of_account(Subspace::Object, id);
    let submissions = keys::objects(id, DataType::EmailSubmission);
    [all.start..submissions.start, submissions.end..all.end]
}
