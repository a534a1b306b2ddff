//! Reading, of the last commit or of a snapshot.
//!
//! Holds: keys come in the order of their bytes over the whole range (no prefix filter is
//! in the way); an error in the middle of a scan is an error, not an end.
//! Other half: `committer` writes.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rocksdb::{DB, ReadOptions, SnapshotWithThreadMode};

use super::error::engine_error;
use crate::engine::{Direction, EngineError, Key, KeyRange, Page, Snapshot, overlay::Base};

/// The database as of a snapshot, or as of now.
pub(super) struct Reader<'a> {
    db: &'a DB,
    snapshot: Option<&'a SnapshotWithThreadMode<'a, DB>>,
}

/// A snapshot that keeps its database open.
pub(super) struct RocksSnapshot {
    /// Borrows from `db` below and, as the first field, is dropped before it.
    snapshot: SnapshotWithThreadMode<'static, DB>,
    db: Arc<DB>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(db: &'a DB, snapshot: Option<&'a SnapshotWithThreadMode<'a, DB>>) -> Self {
        Self { db, snapshot }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self
            .db
            .get_pinned_opt(key, &self.options())
            .map_err(engine_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Most keys that are asked for aren't there, which the filters say without a look at the tables.
    pub(super) fn contains(&self, key: &[u8]) -> Result<bool, EngineError> {
        if !self.db.key_may_exist_opt(key, &self.options()) {
            return Ok(false);
        }
        let mut end = key.to_vec();
        end.push(0);
        Ok(!self.keys(&(key.to_vec()..end), 1)?.is_empty())
    }

    pub(super) fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let values = self.db.multi_get_opt(keys, &self.options());
        values
            .into_iter()
            .map(|value| Ok(value.map_err(engine_error)?.map(Bytes::from)))
            .collect()
    }

    pub(super) fn scan(&self, page: &Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut pairs = Vec::new();
        if page.range.is_empty() || page.limit == 0 {
            return Ok(pairs);
        }
        let mut iterator = self.db.raw_iterator_opt(self.range_options(&page.range));
        match page.direction {
            Direction::Ascending => iterator.seek_to_first(),
            Direction::Descending => iterator.seek_to_last(),
        }
        while let Some((key, value)) = iterator.item() {
            let value = if page.keys_only {
                Bytes::new()
            } else {
                Bytes::copy_from_slice(value)
            };
            pairs.push((Bytes::copy_from_slice(key), value));
            if pairs.len() == page.limit {
                break;
            }
            match page.direction {
                Direction::Ascending => iterator.next(),
                Direction::Descending => iterator.prev(),
            }
        }
        iterator.status().map_err(engine_error)?;
        Ok(pairs)
    }

    /// The keys of `range`, at most `limit`.
    pub(super) fn keys(&self, range: &KeyRange, limit: usize) -> Result<Vec<Bytes>, EngineError> {
        let pairs = self.scan(&Page::first(range.clone(), limit).keys_only())?;
        Ok(pairs.into_iter().map(|(key, _)| key).collect())
    }

    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = self.snapshot {
            options.set_snapshot(snapshot);
        }
        options
    }

    fn range_options(&self, range: &KeyRange) -> ReadOptions {
        let mut options = self.options();
        options.set_iterate_lower_bound(range.start.clone());
        options.set_iterate_upper_bound(range.end.clone());
        options
    }
}

impl Base for Reader<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Reader::get(self, key)
    }

    fn next_key(&self, from: &[u8], end: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let range = from.to_vec()..end.to_vec();
        Ok(self.keys(&range, 1)?.pop().map(Vec::from))
    }
}

impl RocksSnapshot {
    pub(super) fn new(db: &Arc<DB>) -> Self {
        let db = db.clone();
        // SAFETY: the `DB` that `db` points to doesn't move and lives as long as `db`, a field of
        // the same value. `snapshot` is declared before `db`, so it is dropped before it. Nobody
        // outside sees the `'static`: it is only lent out for the life of `&self`.
        let static_db: &'static DB = unsafe { &*Arc::as_ptr(&db) };
        Self {
            snapshot: SnapshotWithThreadMode::new(static_db),
            db,
        }
    }

    fn reader(&self) -> Reader<'_> {
        Reader::new(&self.db, Some(&self.snapshot))
    }
}

#[async_trait]
impl Snapshot for RocksSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.reader().get(key)
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.reader().multi_get(keys)
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.reader().scan(&page)
    }
}
