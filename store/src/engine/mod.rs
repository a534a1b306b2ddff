//! An engine: an ordered key-value store with atomic, conditional batches.
//!
//! Holds: keys are ordered as bytes; a batch is applied whole or not at all; when `commit`
//! returns `Ok`, the batch is on disk; batches are serialised, so what a batch asserts is
//! true at the moment it is applied.
//! Other half: `crate::db` turns records and rooms into keys and batches.

#[cfg(test)]
pub(crate) mod between;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod faulty;
mod memory;
mod overlay;
mod rocks;
pub mod sql;
#[cfg(test)]
mod tests;

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{
    faulty::{FaultPlan, FaultyEngine, SplitMix64},
    memory::MemoryEngine,
    rocks::{Compression, RocksEngine, RocksOptions},
};

use crate::blob::BlobEngine;

pub type Key = Vec<u8>;
pub type KeyRange = Range<Key>;

/// What the rest of the store knows of a database.
///
/// Every method may be called from many tasks at once.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// The value under `key` as of the last commit.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The octets `range` of the value under `key`, cut off at its end.
    async fn get_range(&self, key: &[u8], range: Range<u64>) -> Result<Option<Bytes>, EngineError> {
        let whole = self.get(key).await?;
        Ok(whole.map(|octets| {
            let end = range.end.min(octets.len() as u64);
            let start = range.start.min(end);
            octets.slice(start as usize..end as usize)
        }))
    }

    /// The values under `keys`, in their order.
    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError>;

    /// At most `page.limit` pairs of `page.range`, in key order (or against it), without
    /// holding anything between calls: a caller goes on from the last key.
    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError>;

    /// Whether there is a value under `key` as of the last commit.
    async fn contains(&self, key: &[u8]) -> Result<bool, EngineError> {
        let mut end = key.to_vec();
        end.push(0);
        let page = Page::first(key.to_vec()..end, 1).keys_only();
        Ok(!self.scan(page).await?.is_empty())
    }

    /// A view of the database that later commits don't change.
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError>;

    /// Applies `batch` when all that it asserts is true, and returns once it is on disk.
    ///
    /// Commits of many tasks are gathered into one synced write. They are applied in the
    /// order in which `commit` was first polled; one with blobs that are put elsewhere, when they are there.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError>;

    /// Bytes that the database takes on disk, or 0 where that isn't known.
    async fn disk_octets(&self) -> Result<u64, EngineError>;

    /// While this engine is open, no other process can have the database. What is said to be somebody else's work is
    /// then that of a process that is no more.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// Whether the last write worked: `false` while the disk is full or broken.
    fn is_writable(&self) -> bool {
        true
    }

    /// Asks the engine to give up memory that it doesn't need (caches, write buffers).
    async fn trim_memory(&self) {}

    /// What keeps blobs encrypted or outside, where something does.
    fn blobs(&self) -> Option<&BlobEngine> {
        None
    }
}

/// The reading half of an [`Engine`], as of one moment.
#[async_trait]
pub trait Snapshot: Send + Sync {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;
    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError>;
    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError>;
}

/// What one `scan` reads.
#[derive(Debug, Clone)]
pub struct Page {
    pub range: KeyRange,
    pub limit: usize,
    pub direction: Direction,
    /// The values aren't wanted: they may come back empty.
    pub keys_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// Changes that are applied together, and what must be true for that.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub assertions: Vec<Assertion>,
    /// In this order; of two writes to one key, the later one stands.
    pub writes: Vec<Write>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assertion {
    /// No value under the key.
    Absent(Key),
    /// Some value under the key.
    Present(Key),
    /// Exactly this value under the key.
    Equals(Key, Bytes),
    /// No key in the range.
    RangeEmpty(KeyRange),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put(Key, Bytes),
    Delete(Key),
    /// All keys of the range.
    DeleteRange(KeyRange),
    /// Adds to a counter: a big-endian `i64` that is 0 while it has no value. A sum outside
    /// of `i64` stays at its end.
    Add(Key, i64),
}

/// Why a batch was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Assertion number `.0` of the batch was not true: somebody else was faster. The
    /// caller reads again and tries anew. Nothing of the batch was applied.
    #[error("assertion {0} of the batch does not hold")]
    Conflict(usize),
    /// With an embedded engine nothing of the batch was applied, nor ever will be. Where the
    /// database is behind a network, the answer may be what got lost: either the whole batch
    /// was applied or nothing, and the caller reads again before it tries anew.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The engine could not do it. Cheap to clone, since one failed sync fails many batches.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// No room left on the disk, or the database is read-only: reading goes on.
    #[error("the database can't be written: {0}")]
    Full(Arc<str>),
    /// Another process has the data folder.
    #[error("the data folder is in use by another process: {0}")]
    Locked(Arc<str>),
    /// The bytes on disk are damaged.
    #[error("the database is damaged: {0}")]
    Corrupt(Arc<str>),
    #[error("the database failed: {0}")]
    Io(Arc<str>),
    /// What is kept outside of the database can't be had now; later it may be.
    #[error("blobs can't be read or written now: {0}")]
    Unavailable(Arc<str>),
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.assertions.is_empty() && self.writes.is_empty()
    }

    pub fn put(&mut self, key: Key, value: impl Into<Bytes>) -> &mut Self {
        self.writes.push(Write::Put(key, value.into()));
        self
    }

    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.push(Write::Delete(key));
        self
    }

    pub fn delete_range(&mut self, range: KeyRange) -> &mut Self {
        self.writes.push(Write::DeleteRange(range));
        self
    }

    pub fn add(&mut self, key: Key, delta: i64) -> &mut Self {
        self.writes.push(Write::Add(key, delta));
        self
    }

    pub fn assert(&mut self, assertion: Assertion) -> &mut Self {
        self.assertions.push(assertion);
        self
    }

    /// `other` after this one, as one batch.
    pub fn append(&mut self, other: Batch) -> &mut Self {
        self.assertions.extend(other.assertions);
        self.writes.extend(other.writes);
        self
    }
}

impl Page {
    /// The first `limit` pairs of `range`.
    pub fn first(range: KeyRange, limit: usize) -> Self {
        Self {
            range,
            limit,
            direction: Direction::Ascending,
            keys_only: false,
        }
    }

    /// The last `limit` pairs of `range`, the last one first.
    pub fn last(range: KeyRange, limit: usize) -> Self {
        Self {
            range,
            limit,
            direction: Direction::Descending,
            keys_only: false,
        }
    }

    pub fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }
}
