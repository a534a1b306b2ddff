//! Objects of the other types: each can be read as what it is.
//!
//! Other half: `mail::{identity, vacation, sieve, submission}` and `push` write them.

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{Change, ChangeKind, Record, keys};

use super::{
    super::{CheckError, Checker, Code, Rows, edits::Edit},
    Count, has_given_ids,
};
use crate::{
    mail::{
        identity::IdentityRecord,
        sieve::{ActiveRecord, RememberedRecord, ScriptRecord},
        submission::records::SubmissionRecord,
        vacation::{RepliedRecord, VacationRecord},
    },
    push::PushSubscriptionRecord,
};

impl Checker<'_> {
    pub(super) async fn check_other_objects(
        &mut self,
        account: AccountId,
        count: &mut Count,
    ) -> Result<(), CheckError> {
        for &data_type in DataType::ALL {
            if matches!(
                data_type,
                DataType::Mailbox | DataType::Email | DataType::Thread
            ) {
                continue;
            }
            let mut rows = Rows::new(keys::objects(account, data_type));
            while let Some(page) = rows.next(&self.snapshot).await? {
                for (key, bytes) in page {
                    let id = keys::decode_object(&key).map_or(0, |(_, _, id)| id);
                    if has_given_ids(data_type) {
                        count.last_id = count.last_id.max(id);
                    }
                    if !is_readable(data_type, id, &key, &bytes) {
                        let why = format!("the {data_type} can't be read");
                        self.problem(Code::Record, &key, why);
                        self.changed(Change::new(data_type, id, ChangeKind::Destroyed));
                        self.put_aside(Code::Record, &key, &bytes).await?;
                    } else if data_type == DataType::SieveScript && id > 1 {
                        self.check_script(account, id, &key, &bytes).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A script holds its text.
    async fn check_script(
        &mut self,
        account: AccountId,
        id: u64,
        key: &[u8],
        bytes: &Bytes,
    ) -> Result<(), CheckError> {
        let Ok(record) = ScriptRecord::from_bytes(key, bytes) else {
            return Ok(());
        };
        let reference = keys::blob_ref(&record.blob, account, DataType::SieveScript, id);
        if !self.exists(&keys::blob(&record.blob)).await? {
            let why = "the text of a script is missing";
            self.problem(Code::BlobMissing, key, why);
            let change = Change::new(DataType::SieveScript, id, ChangeKind::Destroyed);
            self.changed(change);
            self.put_aside(Code::BlobMissing, key, bytes).await?;
            self.take_row(reference, Vec::new()).await?;
        } else if !self.exists(&reference).await? {
            let why = "a script doesn't hold its text, which could be collected";
            self.problem(Code::BlobRefMissing, key, why);
            let guard = self.holds_blob(&record.blob);
            self.edit(Edit::put(reference, None, Bytes::new()).guard(guard))
                .await?;
        }
        Ok(())
    }
}

fn is_readable(data_type: DataType, id: u64, key: &[u8], bytes: &[u8]) -> bool {
    fn is<R: Record>(key: &[u8], bytes: &[u8]) -> bool {
        R::from_bytes(key, bytes).is_ok()
    }
    match (data_type, id) {
        (DataType::Identity, _) => is::<IdentityRecord>(key, bytes),
        (DataType::EmailSubmission, _) => is::<SubmissionRecord>(key, bytes),
        (DataType::VacationResponse, 0) => is::<VacationRecord>(key, bytes),
        (DataType::VacationResponse, _) => is::<RepliedRecord>(key, bytes),
        (DataType::PushSubscription, _) => is::<PushSubscriptionRecord>(key, bytes),
        (DataType::SieveScript, 0) => is::<ActiveRecord>(key, bytes),
        (DataType::SieveScript, 1) => is::<RememberedRecord>(key, bytes),
        (DataType::SieveScript, _) => is::<ScriptRecord>(key, bytes),
        (
            DataType::Mailbox
            | DataType::Thread
            | DataType::Email
            | DataType::EmailDelivery
            | DataType::Quota,
            _,
        ) => {
            let mut decoder = minicbor::Decoder::new(bytes);
            decoder.skip().is_ok() && decoder.position() == bytes.len()
        }
    }
}
