//! Blobs: octets named by their BLAKE3 hash, stored once, kept while something refers to them.
//!
//! Holds: a blob that a committed reference names exists. A batch that adds a reference either
//! puts the blob or asserts that it is there; the batch that removes a blob asserts that no
//! reference is: the engine serialises the two, so there is no race.
//! Other half: [`BlobEngine`] keeps the octets encrypted or outside of the engine, unseen by who uses this.

mod cache;
mod collect;
mod commit;
mod engine;
pub mod keyring;
mod outside;
pub mod packs;
mod read;
mod registry;
mod rewrite;
#[cfg(any(test, feature = "conformance"))]
pub mod s3_server;
mod seal;
mod stub;
#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    Error,
    engine::{Assertion, Batch, Engine, Page},
    keys::{self, BlobHash},
};

pub use self::{
    engine::{BlobEngine, BlobSettings, OpenError, Source},
    outside::{OutsidePlace, OutsideSettings, S3Settings},
    registry::UseRecord,
    rewrite::{Census, Count, RewriteError, Rewritten},
    seal::Seal,
    stub::BlobStub,
};

/// Whether a row of the server's own values says how, and where, this store keeps its blobs: of another store it isn't true.
pub fn is_of_place(key: &[u8]) -> bool {
    key.starts_with(&keys::meta(registry::PREFIX))
}

pub fn hash(octets: &[u8]) -> BlobHash {
    *blake3::hash(octets).as_bytes()
}

/// Adds to `batch` what makes the blob be there: its octets, or the assertion that they are.
pub async fn ensure(
    engine: &Arc<dyn Engine>,
    batch: &mut Batch,
    hash: &BlobHash,
    octets: &Bytes,
) -> Result<(), Error> {
    let key = keys::blob(hash);
    match engine.contains(&key).await? {
        false => batch.put(key, octets.clone()),
        true => batch.assert(Assertion::Present(key)),
    };
    Ok(())
}

pub async fn get(engine: &Arc<dyn Engine>, hash: &BlobHash) -> Result<Option<Bytes>, Error> {
    Ok(engine.get(&keys::blob(hash)).await?)
}

/// The octets `range` of a blob, cut off at its end; without reading the rest, where that can be.
pub async fn get_range(
    engine: &Arc<dyn Engine>,
    hash: &BlobHash,
    range: Range<u64>,
) -> Result<Option<Bytes>, Error> {
    Ok(engine.get_range(&keys::blob(hash), range).await?)
}

/// How many candidates one round of collecting looks at.
const CANDIDATES_PER_ROUND: usize = 256;

/// Removes blobs that nothing refers to any more, among the candidates marked before
/// `before_ms`. Returns the number of candidates dealt with: 0 when there is nothing to do.
pub async fn collect(engine: &Arc<dyn Engine>, before_ms: u64) -> Result<usize, Error> {
    let page = Page::first(
        keys::blob_candidates_before(before_ms),
        CANDIDATES_PER_ROUND,
    )
    .keys_only();
    let candidates = engine.scan(page).await?;
    for (key, _) in &candidates {
        let (_, hash) = keys::decode_blob_candidate(key)
            .ok_or_else(|| Error::bad_key("blob candidate", key))?;
        let refs = keys::blob_refs(&hash);
        let mut batch = Batch::new();
        batch.delete(key.to_vec());
        if engine
            .scan(Page::first(refs.clone(), 1).keys_only())
            .await?
            .is_empty()
        {
            batch.assert(Assertion::RangeEmpty(refs));
            // A backup may be about to read it.
            batch.assert(Assertion::RangeEmpty(keys::backup_holds()));
            batch
                .delete(keys::blob(&hash))
                .delete(keys::summary(&hash))
                .delete(keys::structure(&hash));
        }
        match engine.commit(batch).await.map_err(Error::from) {
            // A reference came in between: the next removal of it marks the blob again. Or a backup has begun: the candidate stays.
            Ok(()) | Err(Error::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(candidates.len())
}
