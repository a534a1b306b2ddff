//! Requests that are made once, however often they are sent (the HTTP field Idempotency-Key).
//!
//! Holds: that a request was made is written in the commit that makes what it asks for, so no crash can part the two; a key is its
//! account's own.
//! Other half: `directory` calls [`Core::note_once`] in each commit that makes something.

use std::time::Duration;

use store::{
    Record as _,
    engine::{Assertion, Batch, Page},
    keys::{self, BlobHash, Subspace},
};

use super::OnceRecord;
use crate::{Caller, Core, directory::DirectoryError};

/// How long a key is remembered.
pub const IDEMPOTENCY_KEEP: Duration = Duration::from_secs(24 * 3600);
/// Keys that are remembered of one account.
pub const IDEMPOTENCY_KEYS_MAX: usize = 1000;
const ROWS_PER_PAGE: usize = 1000;

/// A request that is to be made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// A hash of the key that the client has chosen.
    pub key: BlobHash,
    /// A hash of what is asked for: another request with the same key is a mistake.
    pub fingerprint: [u8; 32],
}

impl Once {
    /// `request`: what makes it another request, part by part.
    pub fn new(key: &str, request: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in request {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self {
            key: *blake3::hash(key.as_bytes()).as_bytes(),
            fingerprint: *hasher.finalize().as_bytes(),
        }
    }
}

impl Core {
    /// What a request has come to, if it was made before.
    pub async fn done_before(
        &self,
        who: &Caller,
        once: &Once,
    ) -> Result<Option<String>, DirectoryError> {
        let key = keys::idempotency(who.account, &once.key);
        let Some(bytes) = self.engine.get(&key).await? else {
            return Ok(None);
        };
        let record = OnceRecord::from_bytes(&key, &bytes)?;
        if self.is_forgotten(&record) {
            return Ok(None);
        }
        match record.fingerprint == once.fingerprint {
            true => Ok(Some(record.made)),
            false => Err(DirectoryError::AnotherRequest),
        }
    }

    fn is_forgotten(&self, record: &OnceRecord) -> bool {
        let keep = i64::try_from(IDEMPOTENCY_KEEP.as_secs()).unwrap_or(i64::MAX);
        record.at.saturating_add(keep) <= self.clock.now().seconds()
    }

    /// Puts into `batch` that a request was made, and that nobody else has made it.
    pub(crate) async fn note_once(
        &self,
        batch: &mut Batch,
        who: &Caller,
        once: Option<&Once>,
        made: &str,
    ) -> Result<(), DirectoryError> {
        let Some(once) = once else {
            return Ok(());
        };
        let key = keys::idempotency(who.account, &once.key);
        let found = self.engine.get(&key).await?;
        match &found {
            Some(bytes) if !self.is_forgotten(&OnceRecord::from_bytes(&key, bytes)?) => {
                return Err(DirectoryError::DoneBefore);
            }
            Some(bytes) => batch.assert(Assertion::Equals(key.clone(), bytes.clone())),
            None => batch.assert(Assertion::Absent(key.clone())),
        };
        let range = keys::idempotency_of(who.account);
        let page = Page::first(range, IDEMPOTENCY_KEYS_MAX).keys_only();
        if found.is_none() && self.engine.scan(page).await?.len() >= IDEMPOTENCY_KEYS_MAX {
            return Err(DirectoryError::TooMany("idempotency keys of one day"));
        }
        let record = OnceRecord {
            fingerprint: once.fingerprint,
            made: made.to_owned(),
            at: self.clock.now().seconds(),
        };
        batch.put(key, record.to_bytes());
        Ok(())
    }

    /// Forgets requests that are old. Returns how many.
    pub async fn purge_idempotency(&self) -> Result<usize, store::Error> {
        let mut range = keys::all(Subspace::Idempotency);
        let mut forgotten = 0;
        loop {
            let page = Page::first(range.clone(), ROWS_PER_PAGE);
            let rows = self.engine.scan(page).await?;
            let mut batch = Batch::new();
            for (key, bytes) in &rows {
                // One that can't be read is reported by the check.
                if OnceRecord::from_bytes(key, bytes).is_ok_and(|record| self.is_forgotten(&record))
                {
                    batch.assert(Assertion::Equals(key.to_vec(), bytes.clone()));
                    batch.delete(key.to_vec());
                    forgotten += 1;
                }
            }
            if !batch.is_empty() {
                self.engine.commit(batch).await?;
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(forgotten);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }
}
