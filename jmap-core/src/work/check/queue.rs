//! The queue: each row has its submission, and each submission that is under way has its row and its message.
//!
//! Other half: `mail::submission::stage` writes them together.

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Change, ChangeKind, Record as _, decode_numbers,
    engine::Assertion,
    keys::{self, Subspace},
};

use super::{CheckError, Checker, Code, Rows, edits::Edit};
use crate::{inproc::sts::StsPolicyRecord, mail::submission::records::SubmissionRecord};

impl Checker<'_> {
    /// Returns how many there are.
    pub(super) async fn check_submissions(
        &mut self,
        account: AccountId,
    ) -> Result<u64, CheckError> {
        let mut count = 0;
        let mut rows = Rows::new(keys::objects(account, DataType::EmailSubmission));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, _, id)) = keys::decode_object(&key) else {
                    continue;
                };
                count += 1;
                // One that can't be read is told with the other objects.
                let Ok(record) = SubmissionRecord::from_bytes(&key, &bytes) else {
                    continue;
                };
                let row = keys::queue_due(record.due, account, id);
                let blob = keys::blob(&record.blob);
                let has_blob = self.exists(&blob).await?;
                if !record.is_done && !has_blob {
                    let why = "the message of a submission that is under way is missing";
                    self.problem(Code::BlobMissing, &key, why);
                    let change = Change::new(DataType::EmailSubmission, id, ChangeKind::Destroyed);
                    self.changed(change);
                    let edit = Edit::aside(key.to_vec(), bytes, Code::BlobMissing);
                    self.edit(edit.guard(Assertion::Absent(blob))).await?;
                    continue;
                }
                if record.due != 0 && !self.exists(&row).await? {
                    let why = "the queue has forgotten a submission";
                    self.problem(Code::QueueForgotten, &key, why);
                    let edit = Edit::put(row, None, Bytes::new());
                    self.edit(edit.guard(Assertion::Equals(key.to_vec(), bytes.clone())))
                        .await?;
                }
                let reference =
                    keys::blob_ref(&record.blob, account, DataType::EmailSubmission, id);
                if !record.is_done && !self.exists(&reference).await? {
                    let why = "the message of a submission that is under way isn't held";
                    self.problem(Code::BlobRefMissing, &key, why);
                    let edit = Edit::put(reference, None, Bytes::new());
                    self.edit(edit.guard(Assertion::Present(blob))).await?;
                }
            }
        }
        Ok(count)
    }

    pub(super) async fn check_sts_policies(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::StsPolicy));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                if self.record::<StsPolicyRecord>(&key, &bytes).is_none() {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn check_queue(&mut self) -> Result<(), CheckError> {
        let mut open = 0_i64;
        let mut is_counted = true;
        let mut rows = Rows::new(keys::all(Subspace::QueueDue));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, lease) in page {
                let Some((due, account, id)) = keys::decode_queue_due(&key) else {
                    continue;
                };
                let object = keys::object(account, DataType::EmailSubmission, id);
                let stored = self.get(&object).await?;
                let record = stored
                    .as_ref()
                    .map(|bytes| SubmissionRecord::from_bytes(&object, bytes));
                let is_done = matches!(&record, Some(Ok(record)) if record.is_done);
                open += i64::from(!is_done);
                if self.is_going(account.number()) {
                    continue;
                }
                // One that can't be read has been reported.
                let is_known = match &record {
                    None => false,
                    Some(Ok(record)) => record.due == due,
                    Some(Err(_)) => true,
                };
                if !is_known {
                    let why = "the queue has a row for a submission that isn't due then";
                    self.problem(Code::QueueRow, &key, why);
                    is_counted = false;
                    let guard = match stored {
                        Some(stored) => Assertion::Equals(object, stored),
                        None => Assertion::Absent(object),
                    };
                    self.edit(Edit::delete(key.to_vec(), lease).guard(guard))
                        .await?;
                } else if !lease.is_empty() && decode_numbers::<2>(&key, &lease).is_err() {
                    let why = "nobody can tell who works on a submission";
                    self.problem(Code::QueueLease, &key, why);
                    let edit = Edit::put(key.to_vec(), Some(lease), Bytes::new());
                    self.edit(edit.keeping(Code::QueueLease)).await?;
                }
            }
        }
        let key = keys::queue_length();
        let found = self.get(&key).await?;
        let counted = found.as_ref().map_or(Some(0), |bytes| {
            Some(i64::from_be_bytes((&**bytes).try_into().ok()?))
        });
        let Some(counted) = counted else {
            let why = "the length of the queue can't be read";
            self.problem(Code::Record, &key, why);
            let open = Bytes::copy_from_slice(&open.to_be_bytes());
            return self
                .edit(Edit::put(key, found, open).keeping(Code::Record))
                .await;
        };
        // With rows that go, it is counted when they have gone.
        if counted != open && (is_counted || !self.is_repair()) {
            let why = format!("{open} submissions are under way, and {counted} are counted");
            self.problem(Code::QueueLength, &key, why);
            self.add(key, open - counted);
        }
        Ok(())
    }
}
