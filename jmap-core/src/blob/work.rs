//! Background work on blobs.
//!
//! Holds: what it takes away, nothing refers to; each round is bounded, and may be stopped after any commit.
//! Other half: the binary calls it now and then.

use std::time::Duration;

use bytes::Bytes;
use store::{
    Record as _,
    blob::{Census, OpenError, RewriteError, Rewritten, keyring::Keyring},
    engine::{Assertion, Batch, Page},
    keys,
};

use super::{DataType, UPLOAD, UploadRecord};
use crate::{Core, cluster::UPKEEP, work::check::Progress};

/// How long a blob stays after its last reference went: somebody may just be about to use it again.
pub const GRACE: Duration = Duration::from_secs(3600);
/// Uploads that one round looks at.
const UPLOADS_PER_ROUND: usize = 256;
/// How often objects are looked for that nothing needs, and by how much that varies.
const OBJECTS_EVERY: Duration = Duration::from_secs(120);
const JITTER_MS: u64 = 60_000;
/// Rounds of removing in a row.
const ROUNDS_MAX: usize = 50;
/// Blobs between two sentences of progress.
const PROGRESS_EVERY: u64 = 1000;
const REWRITTEN_EVERY: u64 = 50;

impl Core {
    /// Forgets uploads whose time is over. Returns whether there may be more to do.
    pub async fn expire_uploads(&self) -> Result<bool, store::Error> {
        let range = keys::upload_expiries_before(self.now_ms().saturating_add(1));
        let rows = self
            .engine
            .scan(Page::first(range, UPLOADS_PER_ROUND).keys_only())
            .await?;
        for (key, _) in &rows {
            let (time, account, hash) = keys::decode_upload_expiry(key)
                .ok_or_else(|| store::Error::bad_key("upload expiry", key))?;
            let upload = keys::upload(account, &hash);
            let mut batch = Batch::new();
            batch.delete(key.to_vec());
            let stored = self.engine.get(&upload).await?;
            // Uploaded again meanwhile, it has another time. One that is damaged has no other row to go by.
            if let Some(bytes) = stored
                && UploadRecord::from_bytes(&upload, &bytes)
                    .map_or(true, |record| record.expires == time)
            {
                batch.assert(Assertion::Equals(upload.clone(), bytes));
                batch.delete(upload);
                batch.delete(keys::blob_ref(&hash, account, DataType::Email, UPLOAD));
                batch.put(keys::blob_candidate(self.now_ms(), &hash), Bytes::new());
            }
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                // The next round sees it as it is then.
                Ok(()) | Err(store::Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rows.len() == UPLOADS_PER_ROUND)
    }

    /// Removes blobs that nothing has referred to for [`GRACE`], unless a backup is about to read them. Returns whether there may be
    /// more to do.
    pub async fn collect_blobs(&self) -> Result<bool, store::Error> {
        if self.is_held_for_backup().await? {
            return Ok(false);
        }
        let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        let before = self.now_ms().saturating_sub(grace);
        Ok(store::blob::collect(&self.engine, before).await? > 0)
    }

    /// Removes what lies in the object store for nothing, for ever. One node does it for all.
    pub(crate) async fn run_objects(&self) {
        if self.engine.blobs().is_none() {
            return;
        }
        loop {
            let jitter = Duration::from_millis(self.rng.next_u64() % JITTER_MS);
            tokio::time::sleep(OBJECTS_EVERY + jitter).await;
            if let Err(error) = self.collect_objects().await {
                tracing::warn!(%error, "objects that nothing needs can't be removed now");
            }
        }
    }

    async fn collect_objects(&self) -> Result<(), store::Error> {
        let Some(blobs) = self.engine.blobs() else {
            return Ok(());
        };
        if !self.leads(UPKEEP).await? {
            return Ok(());
        }
        for _ in 0..ROUNDS_MAX {
            if !blobs.collect_garbage().await? {
                break;
            }
        }
        let orphans = blobs.collect_orphans().await?;
        if orphans > 0 {
            tracing::info!(orphans, "uploads that were never finished were removed");
        }
        Ok(())
    }

    /// Where blobs are, and by which keys they are encrypted. `None`: the engine knows of neither.
    pub async fn blob_census(
        &self,
        progress: Progress<'_>,
    ) -> Result<Option<Census>, store::Error> {
        let Some(blobs) = self.engine.blobs() else {
            return Ok(None);
        };
        let tell = |count: u64| {
            if count.is_multiple_of(PROGRESS_EVERY) {
                progress(&format!("blobs: {count}"));
            }
        };
        blobs.census(&tell).await.map(Some)
    }

    /// Has the store take these keys; see `BlobEngine::load_keys`. `false`: the engine knows of no keys.
    pub async fn load_blob_keys(&self, keys: Keyring) -> Result<bool, OpenError> {
        match self.engine.blobs() {
            Some(blobs) => blobs.load_keys(keys).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Brings all blobs to where, and under which key, new ones are written. May be dropped at any moment, and goes on
    /// from there the next time.
    pub async fn rewrite_blobs(
        &self,
        progress: Progress<'_>,
    ) -> Result<Option<Rewritten>, RewriteError> {
        let Some(blobs) = self.engine.blobs() else {
            return Ok(None);
        };
        let tell = |done: &Rewritten| {
            if done.looked_at.is_multiple_of(PROGRESS_EVERY)
                || (done.rewritten > 0 && done.rewritten.is_multiple_of(REWRITTEN_EVERY))
            {
                progress(&format!(
                    "blobs: {} looked at, {} rewritten",
                    done.looked_at, done.rewritten
                ));
            }
        };
        blobs.rewrite(&tell).await.map(Some)
    }
}
