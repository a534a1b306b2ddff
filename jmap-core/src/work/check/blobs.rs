//! Blobs: what is named by a hash has it; what is kept is referred to, and what is referred to is kept.
//!
//! Other half: `store::blob` collects; `crate::blob`, `mail::write` and `inproc::deliver` refer.

use std::collections::HashSet;

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Record as _,
    engine::{Assertion, EngineError},
    keys::{self, BlobHash, Subspace},
};

use super::{CheckError, Checker, Code, Rows, edits::Edit};
use crate::{
    blob::{UPLOAD, UploadRecord},
    inproc::deliver::{PENDING, PendingDelivery},
    mail::{
        message::{Summary, WireStructure},
        records::EmailRecord,
        undelete,
    },
    reports::{
        Waiting,
        records::{DmarcCounts, ReportRecord, TlsCounts},
    },
};

/// Emails whose records are lost that one reading makes again.
const LOST_MAX: usize = 10_000;

/// What a reference to a blob is for.
enum User {
    There,
    Gone,
    /// An email without a record: its message may be all that is left of it.
    Lost,
}

impl Checker<'_> {
    pub(super) async fn check_blobs(&mut self) -> Result<(), CheckError> {
        let candidates = self.read_candidates().await?;
        self.check_deleted().await?;
        self.check_octets(&candidates).await?;
        self.check_stubs().await?;
        self.check_refs().await?;
        self.deleted.clear();
        self.recover_lost().await?;
        self.check_imports().await?;
        self.check_summaries().await?;
        self.check_structures().await?;
        self.check_uploads().await?;
        self.check_upload_expiries().await?;
        self.check_pending().await?;
        self.check_reports().await
    }

    /// The beginnings of the hashes of what is about to be collected.
    async fn read_candidates(&mut self) -> Result<HashSet<u64>, CheckError> {
        let mut candidates = HashSet::new();
        let mut rows = Rows::keys_only(keys::all(Subspace::BlobCandidate));
        while let Some(page) = rows.next(&self.snapshot).await? {
            let hashes = page
                .iter()
                .filter_map(|(key, _)| keys::decode_blob_candidate(key));
            candidates.extend(hashes.map(|(_, hash)| beginning(&hash)));
        }
        Ok(candidates)
    }

    async fn check_octets(&mut self, candidates: &HashSet<u64>) -> Result<(), CheckError> {
        let mut rows = Rows::keys_only(keys::all(Subspace::Blob));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, _) in page {
                let Some(hash) = keys::decode_blob(&key) else {
                    continue;
                };
                self.report.blobs += 1;
                self.tell(self.report.blobs, "blobs");
                let refs = keys::blob_refs(&hash);
                if self.is_empty(refs.clone()).await? && !candidates.contains(&beginning(&hash)) {
                    self.problem(
                        Code::BlobOrphan,
                        &key,
                        "nothing refers to the blob, and it will never be collected",
                    );
                    if let Some(octets) = self.get_to_repair(&key).await? {
                        let edit = Edit::aside(key.to_vec(), octets, Code::BlobOrphan);
                        self.edit(edit.guard(Assertion::RangeEmpty(refs))).await?;
                        continue;
                    }
                }
                if !self.options.skip_hashing {
                    self.check_hash(&key, &hash).await?;
                }
            }
        }
        Ok(())
    }

    /// The value of a row that a repair needs.
    async fn get_to_repair(&self, key: &[u8]) -> Result<Option<Bytes>, CheckError> {
        match self.is_repair() {
            true => self.get(key).await,
            false => Ok(None),
        }
    }

    async fn check_hash(&mut self, key: &[u8], hash: &BlobHash) -> Result<(), CheckError> {
        // One blob at a time: each may have as many octets as a message.
        let octets = match self.get(key).await {
            // What is encrypted or outside, and damaged, stays: the object, or the key, may come back.
            Err(CheckError::Engine(EngineError::Corrupt(why))) => {
                self.problem(Code::BlobOctets, key, &*why);
                return Ok(());
            }
            octets => octets?,
        };
        let Some(octets) = octets else {
            return Ok(());
        };
        tokio::task::yield_now().await;
        if store::blob::hash(&octets) == *hash {
            return self.check_summary_of(hash, &octets).await;
        }
        // Once more, past what may be remembered of the file.
        let again = self.core.engine.get(key).await?;
        if again.is_none_or(|octets| store::blob::hash(&octets) == *hash) {
            return Ok(());
        }
        let why = "the octets of the blob are not those that it was stored with";
        self.problem(Code::BlobOctets, key, why);
        self.put_aside(Code::BlobOctets, key, &octets).await
    }

    /// A summary is of its message, not of another.
    async fn check_summary_of(
        &mut self,
        hash: &BlobHash,
        octets: &Bytes,
    ) -> Result<(), CheckError> {
        let key = keys::summary(hash);
        let Some(found) = self.get(&key).await? else {
            return Ok(());
        };
        // One that can't be read is told with the others.
        let Ok(stored) = Summary::decode(&found) else {
            return Ok(());
        };
        let made = Summary::parse(octets);
        let is_same = stored.size == made.size
            && stored.subject_hash == made.subject_hash
            && stored.thread_hashes() == made.thread_hashes();
        if !is_same {
            let why = "the summary of a message is that of another";
            self.problem(Code::SummaryOther, &key, why);
            self.make_summary(hash, Some(found)).await?;
        }
        Ok(())
    }

    /// What says where octets are. Snapshots don't show it.
    async fn check_stubs(&mut self) -> Result<(), CheckError> {
        let Some(blobs) = self.core.engine.blobs() else {
            return Ok(());
        };
        for (key, sentence) in blobs.check_stubs().await? {
            self.problem(Code::BlobStub, &key, sentence);
        }
        Ok(())
    }

    async fn check_refs(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::keys_only(keys::all(Subspace::BlobRef));
        let mut count = 0;
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, _) in page {
                count += 1;
                self.tell(count, "references");
                let Some((hash, account, data_type, id)) = keys::decode_blob_ref(&key) else {
                    continue;
                };
                let has_blob = self.exists(&keys::blob(&hash)).await?;
                let user = match self.is_going(account.number()) {
                    true => User::There,
                    false => self.user(&hash, account, data_type, id).await?,
                };
                if !has_blob {
                    self.problem(
                        Code::BlobMissing,
                        &key,
                        "something refers to a blob that isn't there",
                    );
                }
                match user {
                    // What needs the blob is told of, and put aside, itself.
                    User::There => {}
                    User::Lost if has_blob => {
                        let why = "a message is kept for an email that isn't there";
                        self.problem(Code::EmailLost, &key, why);
                        let lost = self.lost.entry(account.number()).or_default();
                        if lost.len() < LOST_MAX {
                            lost.push((id, hash));
                        }
                    }
                    User::Lost | User::Gone => {
                        let why = "a reference keeps a blob for something that isn't there";
                        self.problem(Code::BlobRefUnused, &key, why);
                        // A blob that nothing else refers to is told of as an orphan, and put aside, by the next reading.
                        let guards = self.gone(&hash, account, data_type, id);
                        self.take_row(key.to_vec(), guards).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What must be true for a reference to be of no use.
    fn gone(
        &self,
        hash: &BlobHash,
        account: AccountId,
        data_type: DataType,
        id: u64,
    ) -> Vec<Assertion> {
        if account == PENDING {
            return vec![
                Assertion::Absent(keys::pending_delivery(id)),
                Assertion::Absent(keys::report_waiting(id)),
            ];
        }
        if data_type == DataType::Email && id == UPLOAD {
            return vec![Assertion::Absent(keys::upload(account, hash))];
        }
        Vec::new()
    }

    /// Whether what a reference is for is there.
    async fn user(
        &self,
        hash: &BlobHash,
        account: AccountId,
        data_type: DataType,
        id: u64,
    ) -> Result<User, CheckError> {
        let is = |is_there: bool| match is_there {
            true => User::There,
            false => User::Gone,
        };
        if account == PENDING {
            return Ok(is(self.exists(&keys::pending_delivery(id)).await?
                || self.exists(&keys::report_waiting(id)).await?));
        }
        if data_type == DataType::Email && id == UPLOAD {
            return Ok(is(self.exists(&keys::upload(account, hash)).await?));
        }
        if data_type == DataType::Email
            && let Some(id) = undelete::of_reference(id)
        {
            return Ok(is(self.deleted.contains(&(account.number(), id))));
        }
        let key = keys::object(account, data_type, id);
        if data_type != DataType::Email {
            return Ok(is(self.exists(&key).await?));
        }
        let Some(bytes) = self.get(&key).await? else {
            return Ok(match self.living(account.number()).is_some() {
                true => User::Lost,
                false => User::Gone,
            });
        };
        // One that can't be read has been reported.
        Ok(is(
            EmailRecord::from_bytes(&key, &bytes).map_or(true, |record| record.blob == *hash)
        ))
    }

    async fn check_summaries(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Summary));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some(hash) = keys::decode_summary(&key) else {
                    continue;
                };
                if !self.exists(&keys::blob(&hash)).await? {
                    self.problem(
                        Code::SummaryOrphan,
                        &key,
                        "there is a summary of a message that isn't there",
                    );
                    let edit = Edit::aside(key.to_vec(), bytes, Code::SummaryOrphan);
                    self.edit(edit.guard(Assertion::Absent(keys::blob(&hash))))
                        .await?;
                } else if Summary::decode(&bytes).is_err() {
                    self.problem(
                        Code::SummaryMissing,
                        &key,
                        "the summary of a message can't be read",
                    );
                    self.make_summary(&hash, Some(bytes)).await?;
                }
            }
        }
        Ok(())
    }

    async fn check_structures(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Structure));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some(hash) = keys::decode_structure(&key) else {
                    continue;
                };
                if !self.exists(&keys::blob(&hash)).await? {
                    self.problem(
                        Code::SummaryOrphan,
                        &key,
                        "there is a structure of a message that isn't there",
                    );
                    let edit = Edit::delete(key.to_vec(), bytes);
                    self.edit(edit.guard(Assertion::Absent(keys::blob(&hash))))
                        .await?;
                } else if WireStructure::decode(&bytes).is_none() {
                    // It is made again when it is asked for.
                    self.problem(Code::Record, &key, "the structure can't be read");
                    self.put_aside(Code::Record, &key, &bytes).await?;
                }
            }
        }
        Ok(())
    }

    async fn check_uploads(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Upload));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((account, hash)) = keys::decode_upload(&key) else {
                    continue;
                };
                let Some(record) = self.record::<UploadRecord>(&key, &bytes) else {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                    continue;
                };
                if self.is_going(account.number()) {
                    continue;
                }
                let reference = keys::blob_ref(&hash, account, DataType::Email, UPLOAD);
                let same = Assertion::Equals(key.to_vec(), bytes.clone());
                if !self.exists(&keys::blob(&hash)).await? {
                    let why = "the octets of an upload are missing";
                    self.problem(Code::BlobMissing, &key, why);
                    self.put_aside(Code::BlobMissing, &key, &bytes).await?;
                    self.take_row(reference, Vec::new()).await?;
                    continue;
                }
                if !self.exists(&reference).await? {
                    self.problem(
                        Code::BlobRefMissing,
                        &key,
                        "the upload doesn't hold its blob",
                    );
                    let edit = Edit::put(reference, None, Bytes::new()).guard(same.clone());
                    let guard = Assertion::Present(keys::blob(&hash));
                    self.edit(edit.guard(guard)).await?;
                }
                let expiry = keys::upload_expiry(record.expires, account, &hash);
                if !self.exists(&expiry).await? {
                    self.problem(Code::UploadExpiry, &key, "the upload will never expire");
                    self.edit(Edit::put(expiry, None, Bytes::new()).guard(same))
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn check_upload_expiries(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::UploadExpiry));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some((time, account, hash)) = keys::decode_upload_expiry(&key) else {
                    continue;
                };
                let upload = keys::upload(account, &hash);
                let stored = self.get(&upload).await?;
                let is_known = stored.as_ref().is_some_and(|bytes| {
                    UploadRecord::from_bytes(&upload, bytes)
                        .map_or(true, |record| record.expires == time)
                });
                if !is_known {
                    let why = "the end of an upload that isn't there, or ends at another time";
                    self.problem(Code::UploadExpiry, &key, why);
                    let guard = match stored {
                        Some(stored) => Assertion::Equals(upload, stored),
                        None => Assertion::Absent(upload),
                    };
                    self.edit(Edit::delete(key.to_vec(), bytes).guard(guard))
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn check_pending(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::PendingDelivery));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some(number) = keys::decode_pending_delivery(&key) else {
                    continue;
                };
                let Some(record) = self.record::<PendingDelivery>(&key, &bytes) else {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                    continue;
                };
                self.check_pending_blob(&key, &bytes, &record.blob, number, "a delivery")
                    .await?;
            }
        }
        Ok(())
    }

    /// The message of something that waits is there, and held for it.
    async fn check_pending_blob(
        &mut self,
        key: &[u8],
        bytes: &Bytes,
        hash: &BlobHash,
        number: u64,
        what: &str,
    ) -> Result<(), CheckError> {
        let reference = keys::blob_ref(hash, PENDING, DataType::Email, number);
        let is_held = self.exists(&reference).await?;
        if !self.exists(&keys::blob(hash)).await? {
            let why = format!("the message of {what} that isn't finished is missing");
            self.problem(Code::BlobMissing, key, why);
            self.put_aside(Code::BlobMissing, key, bytes).await?;
            self.take_row(reference, Vec::new()).await?;
        } else if !is_held {
            let why = format!("the message of {what} that isn't finished isn't held");
            self.problem(Code::BlobRefMissing, key, why);
            let edit = Edit::put(reference, None, Bytes::new())
                .guard(Assertion::Present(keys::blob(hash)))
                .guard(Assertion::Equals(key.to_vec(), bytes.clone()));
            self.edit(edit).await?;
        }
        Ok(())
    }

    /// Reports that came, counts for those that are sent, and mail that is still looked through for some.
    async fn check_reports(&mut self) -> Result<(), CheckError> {
        for subspace in [
            Subspace::ReportIn,
            Subspace::DmarcCounts,
            Subspace::TlsCounts,
            Subspace::ReportWaiting,
        ] {
            let mut rows = Rows::new(keys::all(subspace));
            while let Some(page) = rows.next(&self.snapshot).await? {
                for (key, bytes) in page {
                    let is_readable = match subspace {
                        Subspace::ReportIn => self.record::<ReportRecord>(&key, &bytes).is_some(),
                        Subspace::DmarcCounts => self.record::<DmarcCounts>(&key, &bytes).is_some(),
                        Subspace::TlsCounts => self.record::<TlsCounts>(&key, &bytes).is_some(),
                        _ => self.check_waiting(&key, &bytes).await?,
                    };
                    if !is_readable {
                        self.put_aside(Code::Record, &key, &bytes).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `false`: the row can't be read.
    async fn check_waiting(&mut self, key: &[u8], bytes: &Bytes) -> Result<bool, CheckError> {
        let Some(Waiting { number, hash, .. }) = Waiting::decode(key, bytes) else {
            let why = "a mail that may have a report in it can't be found";
            self.problem(Code::Record, key, why);
            return Ok(false);
        };
        let what = "the look for a report";
        self.check_pending_blob(key, bytes, &hash, number, what)
            .await?;
        Ok(true)
    }
}

fn beginning(hash: &BlobHash) -> u64 {
    hash.first_chunk()
        .map_or(0, |octets| u64::from_be_bytes(*octets))
}
