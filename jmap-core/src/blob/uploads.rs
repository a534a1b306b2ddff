//! Uploads that nothing uses yet (RFC 8620 §6.1).
//!
//! Holds: an upload is there for those who have uploaded its octets, and for nobody else; what one user leaves waiting takes
//! no room from others.
//! Other half: `work` forgets uploads whose time is over.

use std::collections::HashMap;

use bytes::Bytes;
use jmap_types::{AccountId, BlobId, DataType};
use minicbor::{Decode, Encode};
use store::{
    Record,
    engine::{Assertion, Batch, Page},
    keys::{self, BlobHash},
};

use super::BlobError;
use crate::{Core, access, caller::Caller};

/// An upload that nothing may use yet. Its reference keeps the blob.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UploadRecord {
    /// When the time of the last of its uploaders is over: milliseconds since 1970.
    #[n(0)]
    pub expires: u64,
    /// Octets.
    #[n(1)]
    pub size: u64,
    #[n(2)]
    pub media_type: String,
    /// The one whose time is over last.
    #[n(3)]
    pub by: u64,
    /// Others who have uploaded the same octets, the oldest first; at most [`UPLOADERS_MAX`] with the one above.
    #[n(4)]
    pub others: Option<Vec<Uploader>>,
}

/// Who has uploaded something, and until when it is there for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Uploader {
    #[n(0)]
    pub by: u64,
    /// Milliseconds since 1970.
    #[n(1)]
    pub expires: u64,
}

impl Record for UploadRecord {
    const KIND: &'static str = "upload";
}

/// The number under which an upload refers to its blob. Emails begin with 1, so it is none's.
pub(crate) const UPLOAD: u64 = 0;
/// Uploads that one user may have waiting for use in an account.
pub const UPLOADS_WAITING_MAX: usize = 1000;
/// Uploads of all users that wait for use in an account.
pub const UPLOADS_OF_ACCOUNT_MAX: usize = 10 * UPLOADS_WAITING_MAX;
/// Users who have uploaded the same octets to an account.
pub const UPLOADERS_MAX: usize = 100;
/// Octets of a media type that are kept.
const MEDIA_TYPE_OCTETS_MAX: usize = 255;
/// How often a change is tried when concurrent ones win.
const TRIES: usize = crate::object::TRIES;
const ROWS_AT_ONCE: usize = 1000;

impl UploadRecord {
    pub fn uploaders(&self) -> impl Iterator<Item = Uploader> + '_ {
        let last = Uploader {
            by: self.by,
            expires: self.expires,
        };
        let others = self.others.iter().flatten().copied();
        others.chain(std::iter::once(last))
    }

    fn expires_for(&self, by: u64) -> Option<u64> {
        let mut uploaders = self.uploaders();
        let found = uploaders.find(|uploader| uploader.by == by);
        found.map(|uploader| uploader.expires)
    }

    /// The same of these uploaders; `None`: of nobody.
    fn of(&self, mut uploaders: Vec<Uploader>) -> Option<Self> {
        uploaders.sort_by_key(|uploader| uploader.expires);
        let last = uploaders.pop()?;
        Some(Self {
            expires: last.expires,
            by: last.by,
            others: Some(uploaders).filter(|others| !others.is_empty()),
            ..self.clone()
        })
    }

    /// With those of `former` who have still time.
    fn joined(&self, former: &Self, now: u64) -> Self {
        let has_time = |other: &Uploader| other.by != self.by && other.expires > now;
        let mut others: Vec<Uploader> = former.uploaders().filter(has_time).collect();
        let spare = others.len().saturating_sub(UPLOADERS_MAX - 1);
        others.drain(..spare);
        others.extend(self.uploaders());
        self.of(others).unwrap_or_else(|| self.clone())
    }

    fn without(&self, by: u64) -> Option<Self> {
        let others = self.uploaders().filter(|uploader| uploader.by != by);
        self.of(others.collect())
    }
}

/// What waits in an account, as it is stored and as it is to be.
struct Waiting {
    hash: BlobHash,
    /// `None` in it: it is damaged.
    stored: Option<(Bytes, Option<UploadRecord>)>,
    record: Option<UploadRecord>,
}

impl Waiting {
    fn expires_for(&self, by: u64) -> Option<u64> {
        self.record.as_ref()?.expires_for(by)
    }

    /// It is `by`'s no more.
    fn leave(&mut self, by: u64) {
        self.record = self.record.take().and_then(|record| record.without(by));
    }

    /// What has changed, if nobody else was faster.
    fn write(&self, account: AccountId, now: u64, batch: &mut Batch) {
        let before = self.stored.as_ref().and_then(|(_, record)| record.as_ref());
        if before == self.record.as_ref() {
            return;
        }
        let key = keys::upload(account, &self.hash);
        batch.assert(match &self.stored {
            Some((bytes, _)) => Assertion::Equals(key.clone(), bytes.clone()),
            None => Assertion::Absent(key.clone()),
        });
        if let Some(before) = before {
            batch.delete(keys::upload_expiry(before.expires, account, &self.hash));
        }
        let reference = keys::blob_ref(&self.hash, account, DataType::Email, UPLOAD);
        match &self.record {
            Some(record) => {
                let expiry = keys::upload_expiry(record.expires, account, &self.hash);
                batch
                    .put(key, record.to_bytes())
                    .put(expiry, Bytes::new())
                    .put(reference, Bytes::new());
            }
            None => {
                batch
                    .delete(key)
                    .delete(reference)
                    .put(keys::blob_candidate(now, &self.hash), Bytes::new());
            }
        }
    }
}

/// RFC 8620 §6.1: where the uploads of `by` would take too much with one more of so many octets, their oldest ones go.
fn make_room(waiting: &mut [Waiting], by: u64, octets: u64, octets_max: u64) {
    let mut own: Vec<(u64, &mut Waiting)> = waiting
        .iter_mut()
        .filter_map(|row| Some((row.expires_for(by)?, row)))
        .collect();
    own.sort_unstable_by_key(|(expires, _)| std::cmp::Reverse(*expires));
    let size = |row: &Waiting| row.record.as_ref().map_or(0, |record| record.size);
    let mut sum: u64 = own.iter().map(|(_, row)| size(row)).sum();
    while own.len() >= UPLOADS_WAITING_MAX || sum.saturating_add(octets) > octets_max {
        let Some((_, row)) = own.pop() else {
            break;
        };
        sum -= size(row);
        row.leave(by);
    }
    // Whoever has most gives first: nobody takes room from those who have less.
    while waiting.iter().filter(|row| row.record.is_some()).count() >= UPLOADS_OF_ACCOUNT_MAX {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        let records = waiting.iter().filter_map(|row| row.record.as_ref());
        for uploader in records.flat_map(UploadRecord::uploaders) {
            *counts.entry(uploader.by).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(by, count)| (*count, *by));
        let Some((most, _)) = most else {
            return;
        };
        let of_most = waiting
            .iter_mut()
            .filter_map(|row| Some((row.expires_for(most)?, row)));
        if let Some((_, row)) = of_most.min_by_key(|(expires, _)| *expires) {
            row.leave(most);
        }
    }
}

impl Core {
    /// Stores an upload (RFC 8620 §6.1). It is kept for `limits.upload_hours` unless something uses it.
    pub async fn write_blob(
        &self,
        who: &Caller,
        account: AccountId,
        octets: Bytes,
        media_type: &str,
    ) -> Result<BlobId, BlobError> {
        access::standing(who, account).map_err(BlobError::Account)?;
        let max = self.limits().max_size_upload;
        if octets.len() as u64 > max {
            return Err(BlobError::TooLarge { max });
        }
        let hash = store::blob::hash(&octets);
        let now = self.now_ms();
        let record = UploadRecord {
            expires: now.saturating_add(self.limits().upload_hours.saturating_mul(3_600_000)),
            size: octets.len() as u64,
            media_type: beginning(media_type, MEDIA_TYPE_OCTETS_MAX).to_owned(),
            by: who.account.number(),
            others: None,
        };
        for _ in 0..TRIES {
            match self.try_write(account, &hash, &octets, &record).await {
                Err(store::Error::Conflict) => {}
                result => return Ok(result.map(|()| BlobId::whole(hash))?),
            }
        }
        Err(store::Error::Conflict.into())
    }

    async fn try_write(
        &self,
        account: AccountId,
        hash: &BlobHash,
        octets: &Bytes,
        record: &UploadRecord,
    ) -> Result<(), store::Error> {
        let now = self.now_ms();
        let mut waiting = self.uploads(account, hash).await?;
        let known = waiting.iter().position(|row| row.hash == *hash);
        let mut this = match known {
            Some(at) => waiting.swap_remove(at),
            None => Waiting {
                hash: *hash,
                stored: None,
                record: None,
            },
        };
        // The same octets again: the uploader, or only the time, is new.
        this.record = Some(match &this.stored {
            Some((_, Some(former))) => record.joined(former, now),
            Some((_, None)) | None => record.clone(),
        });
        let octets_max = self.limits().max_upload_octets_waiting;
        make_room(&mut waiting, record.by, record.size, octets_max);
        let mut batch = Batch::new();
        for row in waiting.iter().chain([&this]) {
            row.write(account, now, &mut batch);
        }
        store::blob::ensure(&self.engine, &mut batch, hash, octets).await?;
        Ok(self.engine.commit(batch).await?)
    }

    /// The uploads that wait; `uploaded` among them also if it is damaged.
    async fn uploads(
        &self,
        account: AccountId,
        uploaded: &BlobHash,
    ) -> Result<Vec<Waiting>, store::Error> {
        let mut waiting = Vec::new();
        let mut range = keys::uploads_of(account);
        loop {
            let page = Page::first(range.clone(), ROWS_AT_ONCE);
            let rows = self.engine.scan(page).await?;
            let count = rows.len();
            for (key, bytes) in rows {
                let (_, hash) = keys::decode_upload(&key)
                    .ok_or_else(|| store::Error::bad_key("upload", &key))?;
                range.start = [&key[..], &[0u8][..]].concat();
                match UploadRecord::from_bytes(&key, &bytes) {
                    Ok(record) => waiting.push(Waiting {
                        hash,
                        stored: Some((bytes, Some(record.clone()))),
                        record: Some(record),
                    }),
                    // It is in nobody's way, and is written anew when the octets come again.
                    Err(error) => {
                        tracing::error!(%account, %error, "an upload that waits is damaged");
                        if hash == *uploaded {
                            waiting.push(Waiting {
                                hash,
                                stored: Some((bytes, None)),
                                record: None,
                            });
                        }
                    }
                }
            }
            if count < ROWS_AT_ONCE {
                return Ok(waiting);
            }
        }
    }

    /// Whether `who` has uploaded the blob, and it still waits for use. RFC 8620 §6.1: it is there for nobody else.
    pub(super) async fn has_uploaded(
        &self,
        who: &Caller,
        account: AccountId,
        hash: &BlobHash,
    ) -> Result<bool, store::Error> {
        let key = keys::upload(account, hash);
        let Some(bytes) = self.engine.get(&key).await? else {
            return Ok(false);
        };
        let record = match UploadRecord::from_bytes(&key, &bytes) {
            Ok(record) => record,
            // Emails may refer to the blob all the same.
            Err(error) => {
                tracing::error!(%account, %error, "an upload that waits is damaged");
                return Ok(false);
            }
        };
        let expires = record.expires_for(who.account.number());
        Ok(expires.is_some_and(|expires| expires > self.now_ms()))
    }
}

/// At most `octets_max` octets of `text`, whole characters.
fn beginning(text: &str, octets_max: usize) -> &str {
    let mut end = text.len().min(octets_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
