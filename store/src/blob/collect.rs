//! Taking away objects that nothing names.
//!
//! Holds: an object goes only if no stub names it, and a good while after one last did, or, if none ever did, after it was
//! uploaded; since names are never used again, none can begin to name it later. Each round is bounded, and may be
//! stopped anywhere.
//! Other half: `commit` writes the garbage; what it could not write is what the listing finds.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    engine::{BlobEngine, GARBAGE_GRACE},
    outside::{Listed, OutsideError},
    stub::{BlobStub, ObjectName},
};
use crate::{
    Error, decode_numbers,
    engine::{Batch, EngineError, Key, Page},
    keys, numbers,
};

/// Garbage that one round removes.
const GARBAGE_PER_ROUND: usize = 256;
/// Objects that are looked up together.
const LISTED_TOGETHER: usize = 500;
const DELETES_AT_ONCE: usize = 8;
/// An object that nothing names is removed when it is as old as this: no commit takes so long.
const ORPHAN_MS: u64 = 24 * 3_600_000;
/// How often all objects are listed.
const LISTING_EVERY_MS: u64 = 24 * 3_600_000;
/// When they were listed last: milliseconds since 1970.
const LISTED: &str = "blob-listing";

impl BlobEngine {
    /// Removes objects that were replaced or whose blob was collected. Returns whether there may be more to do.
    pub async fn collect_garbage(&self) -> Result<bool, Error> {
        let Some(outside) = self.outside() else {
            return Ok(false);
        };
        let grace = u64::try_from(GARBAGE_GRACE.as_millis()).unwrap_or(u64::MAX);
        let before = self.source.now_ms().saturating_sub(grace);
        let page = Page::first(keys::blob_garbage_before(before), GARBAGE_PER_ROUND).keys_only();
        let rows = self.inner.scan(page).await?;
        let mut names = Vec::with_capacity(rows.len());
        for (key, _) in &rows {
            let (_, hash, nonce) = keys::decode_blob_garbage(key)
                .ok_or_else(|| Error::bad_key("garbage of blobs", key))?;
            names.push(ObjectName { hash, nonce });
        }
        self.remove(outside, self.unnamed(names).await?).await?;
        let mut batch = Batch::new();
        for (key, _) in &rows {
            batch.delete(key.to_vec());
        }
        if !batch.is_empty() {
            self.inner.commit(batch).await?;
        }
        Ok(rows.len() == GARBAGE_PER_ROUND)
    }

    /// Once a day, looks at all objects for those whose commit never came. Returns how many there were.
    pub async fn collect_orphans(&self) -> Result<usize, Error> {
        let key = keys::meta(LISTED);
        let now = self.source.now_ms();
        if let Some(bytes) = self.inner.get(&key).await? {
            let [last] = decode_numbers(&key, &bytes)?;
            if now < last.saturating_add(LISTING_EVERY_MS) {
                return Ok(0);
            }
        }
        let removed = self.remove_orphans(now.saturating_sub(ORPHAN_MS)).await?;
        let mut batch = Batch::new();
        batch.put(key, numbers(&[now]));
        self.inner.commit(batch).await?;
        Ok(removed)
    }

    /// Removes all objects from before `before_ms` that no stub names.
    pub(super) async fn remove_orphans(&self, before_ms: u64) -> Result<usize, Error> {
        let Some(outside) = self.outside() else {
            return Ok(0);
        };
        let before_ms = i64::try_from(before_ms).unwrap_or(i64::MAX);
        let mut removed = 0;
        let mut listed = outside.list().try_chunks(LISTED_TOGETHER);
        while let Some(page) = listed.next().await {
            let page: Vec<Listed> = page.map_err(|error| unavailable(&error.1))?;
            let old = page.into_iter().filter(|of| of.modified_ms < before_ms);
            let orphans = self.unnamed(old.map(|of| of.name).collect()).await?;
            removed += orphans.len();
            self.remove(outside, orphans).await?;
            tokio::task::yield_now().await;
        }
        Ok(removed)
    }

    /// Those that no stub names.
    async fn unnamed(&self, names: Vec<ObjectName>) -> Result<Vec<ObjectName>, Error> {
        let keys: Vec<Key> = names
            .iter()
            .map(|name| keys::blob_stub(&name.hash))
            .collect();
        let stubs = self.inner.multi_get(&keys).await?;
        let mut unnamed = Vec::new();
        for ((name, key), stub) in names.into_iter().zip(&keys).zip(stubs) {
            let named = match stub {
                // A stub that can't be read may name anything.
                Some(bytes) => match BlobStub::read(key, &bytes) {
                    Ok(stub) => stub.nonce == Some(name.nonce),
                    Err(_) => true,
                },
                None => false,
            };
            if !named {
                unnamed.push(name);
            }
        }
        Ok(unnamed)
    }

    async fn remove(
        &self,
        outside: &super::outside::Outside,
        names: Vec<ObjectName>,
    ) -> Result<(), Error> {
        let work = names.into_iter().map(|name| async move {
            self.reader.forget(name).await;
            outside.delete(&name).await
        });
        let done = stream::iter(work).buffer_unordered(DELETES_AT_ONCE);
        let done: Result<(), OutsideError> =
            done.try_for_each(|()| std::future::ready(Ok(()))).await;
        done.map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &OutsideError) -> Error {
    EngineError::Unavailable(error.to_string().into()).into()
}
