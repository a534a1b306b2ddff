//! Emails that were deleted and can be brought back; what is remembered of imports.
//!
//! Other half: `mail::undelete` keeps them, `inproc::import` remembers.

use std::collections::BTreeMap;

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    engine::Assertion,
    keys::{self, Subspace},
};

use super::{CheckError, Checker, Code, Rows, edits::Edit};
use crate::{
    inproc::import::ImportRecord,
    mail::undelete::{self, DeletedRecord, counter},
};

impl Checker<'_> {
    /// Emails that can be brought back hold their blobs, and are counted.
    pub(super) async fn check_deleted(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Undelete));
        let mut octets: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((account, time, id)) = keys::decode_undelete(&key) else {
                    continue;
                };
                if self.is_going(account.number()) {
                    continue;
                }
                let sums = octets.entry(account.number()).or_default();
                if time == 0 {
                    sums.0 = counter(&bytes);
                    continue;
                }
                self.deleted.insert((account.number(), id));
                let Some(record) = self.record::<DeletedRecord>(&key, &bytes) else {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                    continue;
                };
                sums.1 += i64::try_from(record.size).unwrap_or(i64::MAX);
                let reference = undelete::reference(id);
                let reference = keys::blob_ref(&record.blob, account, DataType::Email, reference);
                if !self.exists(&reference).await? {
                    let why = "a deleted email doesn't hold its message";
                    self.problem(Code::BlobRefMissing, &key, why);
                    let has_blob = self.exists(&keys::blob(&record.blob)).await?;
                    let (edit, guard) = match has_blob {
                        true => (
                            Edit::put(reference, None, Bytes::new()),
                            Assertion::Present(keys::blob(&record.blob)),
                        ),
                        false => (
                            Edit::aside(key.to_vec(), bytes, Code::BlobMissing),
                            Assertion::Absent(keys::blob(&record.blob)),
                        ),
                    };
                    self.edit(edit.guard(guard)).await?;
                }
            }
        }
        for (account, (counted, found)) in octets {
            if counted != found {
                let key = keys::undelete_octets(AccountId::new(account));
                let why = "the octets of deleted emails are not what is counted";
                self.problem(Code::DeletedOctets, &key, why);
                self.add(key, found - counted);
            }
        }
        Ok(())
    }

    pub(super) async fn check_imports(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Import));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                // The email may be gone: it isn't imported a second time.
                if self.record::<ImportRecord>(&key, &bytes).is_none() {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }
}
