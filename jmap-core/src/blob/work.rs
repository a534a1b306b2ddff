//! Background work on blobs.
//!
//! Holds: what it takes away, nothing refers to; each round is bounded, and may be stopped after any commit.
//! Other half: the binary calls it now and then.

use std::time::Duration;

use bytes::Bytes;
use store::{
    Record as _,
    engine::{Assertion, Batch, Page},
    keys,
};

use super::{DataType, UPLOAD, UploadRecord};
use crate::Core;

/// How long a blob stays after its last reference went: somebody may just be about to use it again.
pub const GRACE: Duration = Duration::from_secs(3600);
/// Uploads that one round looks at.
const UPLOADS_PER_ROUND: usize = 256;

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
            // Uploaded again meanwhile, it has another time.
            if let Some(bytes) = stored
                && UploadRecord::from_bytes(&upload, &bytes)
                    .is_ok_and(|record| record.expires == time)
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

    /// Removes blobs that nothing has referred to for [`GRACE`]. Returns whether there may be more to do.
    pub async fn collect_blobs(&self) -> Result<bool, store::Error> {
        let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        let before = self.now_ms().saturating_sub(grace);
        Ok(store::blob::collect(&self.engine, before).await? > 0)
    }
}
