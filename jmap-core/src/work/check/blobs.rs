//! Blobs: what is named by a hash has it; what is kept is referred to, and what is referred to is kept.
//!
//! Other half: `store::blob` collects; `crate::blob`, `mail::write` and `inproc::deliver` refer.

use std::collections::HashSet;

use jmap_types::{AccountId, DataType};
use store::{
    Record as _,
    keys::{self, BlobHash, Subspace},
};

use super::{CheckError, Checker, ProblemKind, Rows};
use crate::{
    blob::{UPLOAD, UploadRecord},
    inproc::deliver::{PENDING, PendingDelivery},
    mail::{message::Summary, records::EmailRecord},
    reports::{
        decode_waiting,
        records::{DmarcCounts, ReportRecord, TlsCounts},
    },
};

impl Checker<'_> {
    pub(super) async fn check_blobs(&mut self) -> Result<(), CheckError> {
        let candidates = self.read_candidates().await?;
        self.check_octets(&candidates).await?;
        self.check_refs().await?;
        self.check_summaries().await?;
        self.check_structures().await?;
        self.check_uploads().await?;
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
                if self.is_empty(keys::blob_refs(&hash)).await?
                    && !candidates.contains(&beginning(&hash))
                {
                    self.problem(
                        ProblemKind::BlobRef,
                        &key,
                        "nothing refers to the blob, and it will never be collected",
                    );
                }
                if !self.options.skip_hashing {
                    self.check_hash(&key, &hash).await?;
                }
            }
        }
        Ok(())
    }

    async fn check_hash(&mut self, key: &[u8], hash: &BlobHash) -> Result<(), CheckError> {
        // One blob at a time: each may have as many octets as a message.
        let octets = self.get(key).await?;
        if octets.is_some_and(|octets| store::blob::hash(&octets) != *hash) {
            self.problem(
                ProblemKind::Blob,
                key,
                "the octets of the blob are not those that it was stored with",
            );
        }
        tokio::task::yield_now().await;
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
                if !self.exists(&keys::blob(&hash)).await? {
                    self.problem(
                        ProblemKind::BlobRef,
                        &key,
                        "something refers to a blob that isn't there",
                    );
                }
                let is_used = self.is_going(account.number())
                    || self.has_user(&hash, account, data_type, id).await?;
                if !is_used {
                    self.problem(
                        ProblemKind::BlobRef,
                        &key,
                        "a reference keeps a blob for something that isn't there",
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether what a reference is for is there.
    async fn has_user(
        &self,
        hash: &BlobHash,
        account: AccountId,
        data_type: DataType,
        id: u64,
    ) -> Result<bool, CheckError> {
        if account == PENDING {
            return Ok(self.exists(&keys::pending_delivery(id)).await?
                || self.exists(&keys::report_waiting(id)).await?);
        }
        if data_type == DataType::Email && id == UPLOAD {
            return self.exists(&keys::upload(account, hash)).await;
        }
        let key = keys::object(account, data_type, id);
        if data_type != DataType::Email {
            return self.exists(&key).await;
        }
        let bytes = self.get(&key).await?;
        // One that can't be read has been reported.
        Ok(bytes.is_some_and(|bytes| {
            EmailRecord::from_bytes(&key, &bytes).map_or(true, |record| record.blob == *hash)
        }))
    }

    async fn check_summaries(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::new(keys::all(Subspace::Summary));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, bytes) in page {
                let Some(hash) = keys::decode_summary(&key) else {
                    continue;
                };
                if Summary::decode(&bytes).is_err() {
                    self.problem(
                        ProblemKind::Summary,
                        &key,
                        "the summary of a message can't be read",
                    );
                }
                if !self.exists(&keys::blob(&hash)).await? {
                    self.problem(
                        ProblemKind::Summary,
                        &key,
                        "there is a summary of a message that isn't there",
                    );
                }
            }
        }
        Ok(())
    }

    async fn check_structures(&mut self) -> Result<(), CheckError> {
        let mut rows = Rows::keys_only(keys::all(Subspace::Structure));
        while let Some(page) = rows.next(&self.snapshot).await? {
            for (key, _) in page {
                let Some(hash) = keys::decode_structure(&key) else {
                    continue;
                };
                // One that is missing or damaged is made again when it is asked for.
                if !self.exists(&keys::blob(&hash)).await? {
                    self.problem(
                        ProblemKind::Summary,
                        &key,
                        "there is a structure of a message that isn't there",
                    );
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
                    continue;
                };
                if self.is_going(account.number()) {
                    continue;
                }
                if !self
                    .exists(&keys::blob_ref(&hash, account, DataType::Email, UPLOAD))
                    .await?
                {
                    self.problem(
                        ProblemKind::BlobRef,
                        &key,
                        "the upload doesn't hold its blob",
                    );
                }
                if !self
                    .exists(&keys::upload_expiry(record.expires, account, &hash))
                    .await?
                {
                    self.problem(ProblemKind::BlobRef, &key, "the upload will never expire");
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
                    continue;
                };
                let reference = keys::blob_ref(&record.blob, PENDING, DataType::Email, number);
                if !self.exists(&keys::blob(&record.blob)).await?
                    || !self.exists(&reference).await?
                {
                    let why =
                        "the message of a delivery that isn't finished is missing, or isn't held";
                    self.problem(ProblemKind::BlobRef, &key, why);
                }
            }
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
                    match subspace {
                        Subspace::ReportIn => drop(self.record::<ReportRecord>(&key, &bytes)),
                        Subspace::DmarcCounts => drop(self.record::<DmarcCounts>(&key, &bytes)),
                        Subspace::TlsCounts => drop(self.record::<TlsCounts>(&key, &bytes)),
                        _ => self.check_waiting(&key, &bytes).await?,
                    }
                }
            }
        }
        Ok(())
    }

    async fn check_waiting(&mut self, key: &[u8], bytes: &bytes::Bytes) -> Result<(), CheckError> {
        let Some((number, hash, _)) = decode_waiting(key, bytes) else {
            let why = "a mail that may have a report in it can't be found";
            self.problem(ProblemKind::Record, key, why);
            return Ok(());
        };
        let reference = keys::blob_ref(&hash, PENDING, DataType::Email, number);
        if !self.exists(&keys::blob(&hash)).await? || !self.exists(&reference).await? {
            let why = "a mail that may have a report in it is missing, or isn't held";
            self.problem(ProblemKind::BlobRef, key, why);
        }
        Ok(())
    }
}

fn beginning(hash: &BlobHash) -> u64 {
    hash.first_chunk()
        .map_or(0, |octets| u64::from_be_bytes(*octets))
}
