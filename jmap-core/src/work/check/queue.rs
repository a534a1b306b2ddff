//! The queue: each row has its submission, and each submission that is under way has its row and its message.
//!
//! Other half: `mail::submission::stage` writes them together.

use jmap_types::{AccountId, DataType};
use store::{
    Head, Record as _,
    keys::{self, Subspace},
};

use super::{CheckError, Checker, ProblemKind, Rows};
use crate::{inproc::sts::StsPolicyRecord, mail::submission::records::SubmissionRecord};

impl Checker<'_> {
    pub(super) async fn check_submissions(
        &mut self,
        account: AccountId,
        head: &Head,
    ) -> Result<(), CheckError> {
        let mut count = 0;
        let mut rows = Rows::new(keys::objects(account, DataType::EmailSubmission));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((_, _, id)) = keys::decode_object(&key) else {
                    continue;
                };
                count += 1;
                let Some(record) = self.record::<SubmissionRecord>(&key, &bytes) else {
                    continue;
                };
                let row = keys::queue_due(record.due, account, id);
                if record.due != 0 && !self.exists(&row).await? {
                    self.problem(
                        ProblemKind::Queue,
                        &key,
                        "the queue has forgotten a submission",
                    );
                }
                let reference =
                    keys::blob_ref(&record.blob, account, DataType::EmailSubmission, id);
                let is_held = self.exists(&reference).await?
                    && self.exists(&keys::blob(&record.blob)).await?;
                if !record.is_done && !is_held {
                    let why =
                        "the message of a submission that is under way is missing, or isn't held";
                    self.problem(ProblemKind::BlobRef, &key, why);
                }
            }
        }
        if let Some(counted) = head.submissions.filter(|counted| *counted != count) {
            let why = format!("there are {count} submissions, and {counted} are counted");
            self.problem(ProblemKind::Queue, &keys::head(account), why);
        }
        Ok(())
    }

    pub(super) async fn check_sts_policies(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::StsPolicy));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                self.record::<StsPolicyRecord>(&key, &bytes);
            }
        }
        Ok(())
    }

    pub(super) async fn check_queue(&mut self) -> Result<(), CheckError> {
        let mut open = 0_i64;
        let mut rows = Rows::keys_only(keys::all(Subspace::QueueDue));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, _) in page {
                let Some((due, account, id)) = keys::decode_queue_due(&key) else {
                    continue;
                };
                let object = keys::object(account, DataType::EmailSubmission, id);
                let bytes = self.get(&object).await?;
                let record = bytes.map(|bytes| SubmissionRecord::from_bytes(&object, &bytes));
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
                    self.problem(
                        ProblemKind::Queue,
                        &key,
                        "the queue has a row for a submission that isn't due then",
                    );
                }
            }
        }
        let key = keys::queue_length();
        let counted = self.get(&key).await?;
        let counted = counted.map_or(Some(0), |bytes| {
            Some(i64::from_be_bytes((&*bytes).try_into().ok()?))
        });
        if counted != Some(open) {
            let why = format!("{open} submissions are under way, and {counted:?} are counted");
            self.problem(ProblemKind::Queue, &key, why);
        }
        Ok(())
    }
}
