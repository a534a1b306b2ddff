//! An engine that keeps everything in memory and forgets it at the end. For tests.
//!
//! Holds: what every engine does, except that nothing is on disk. A snapshot shares the map
//! with the engine; the first commit after a snapshot copies it.
//! Other half: `faulty` makes this engine fail; `conformance` compares it with the others.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use super::{
    Batch, CommitError, Direction, Engine, EngineError, Key, Page, Snapshot,
    overlay::{Base, Overlay},
};

/// Keys and values in one ordered map. Costs what it holds, without a limit.
#[derive(Default)]
pub struct MemoryEngine {
    map: RwLock<Arc<Map>>,
}

/// The keys and values as of one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map(BTreeMap<Key, Bytes>);

impl MemoryEngine {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn with_map(map: Arc<Map>) -> Self {
        Self {
            map: RwLock::new(map),
        }
    }

    pub(crate) fn map(&self) -> Arc<Map> {
        self.map.read().clone()
    }

    pub(crate) fn apply(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut map = self.map.write();
        let mut overlay = Overlay::default();
        overlay.accept(map.as_ref(), batch)?;
        let (ranges, points) = overlay.into_parts();
        let map = &mut Arc::make_mut(&mut map).0;
        for range in ranges {
            let keys: Vec<Key> = map
                .range(range.clone())
                .map(|(key, _)| key.clone())
                .collect();
            for key in keys {
                map.remove(&key);
            }
        }
        for (key, value) in points {
            match value {
                Some(value) => map.insert(key.to_vec(), value),
                None => map.remove(key),
            };
        }
        Ok(())
    }
}

impl Map {
    pub(crate) fn multi_get(&self, keys: &[Key]) -> Vec<Option<Bytes>> {
        keys.iter().map(|key| self.0.get(key).cloned()).collect()
    }

    pub(crate) fn scan(&self, page: &Page) -> Vec<(Bytes, Bytes)> {
        // `BTreeMap::range` panics when the end is before the start.
        if page.range.is_empty() {
            return Vec::new();
        }
        let pairs = self.0.range(page.range.clone());
        let pair = |(key, value): (&Key, &Bytes)| {
            let value = if page.keys_only {
                Bytes::new()
            } else {
                value.clone()
            };
            (Bytes::copy_from_slice(key), value)
        };
        match page.direction {
            Direction::Ascending => pairs.take(page.limit).map(pair).collect(),
            Direction::Descending => pairs.rev().take(page.limit).map(pair).collect(),
        }
    }

    fn octets(&self) -> usize {
        self.0
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }
}

impl Base for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.0.get(key).cloned())
    }

    fn next_key(&self, from: &[u8], end: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let bounds = (Bound::Included(from), Bound::Excluded(end));
        Ok(self
            .0
            .range::<[u8], _>(bounds)
            .next()
            .map(|(key, _)| key.clone()))
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Base::get(self.map.read().as_ref(), key)
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        Ok(self.map.read().multi_get(keys))
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        Ok(self.map.read().scan(&page))
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        Ok(self.map())
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.apply(&batch)
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

#[async_trait]
impl Snapshot for Map {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Base::get(self, key)
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        Ok(Self::multi_get(self, keys))
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        Ok(Self::scan(self, &page))
    }
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let map = self.map();
        f.debug_struct("MemoryEngine")
            .field("keys", &map.0.len())
            .field("octets", &map.octets())
            .finish()
    }
}
