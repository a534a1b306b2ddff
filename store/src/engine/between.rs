//! An engine in which somebody else commits something at a certain moment, for tests.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{Batch, CommitError, Engine, EngineError, Key, Page, Snapshot, Write};

/// When the others come: once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A row was looked at, which isn't answered yet: alone, or among others.
    Row(Key),
    /// The same of a range that begins there.
    Range(Key),
    /// A row is about to be deleted.
    Deletion(Key),
}

#[derive(Debug)]
pub(crate) struct Between {
    inner: Arc<dyn Engine>,
    moment: Moment,
    /// Who commits what.
    others: Mutex<Option<(Arc<dyn Engine>, Batch)>>,
}

impl Between {
    pub fn new(inner: Arc<dyn Engine>, moment: Moment, by: Arc<dyn Engine>, batch: Batch) -> Self {
        Self {
            inner,
            moment,
            others: Mutex::new(Some((by, batch))),
        }
    }

    pub fn has_happened(&self) -> bool {
        self.others.lock().is_none()
    }

    async fn meet(&self, is_now: bool) {
        let others = self.others.lock().take_if(|_| is_now);
        if let Some((by, batch)) = others {
            by.commit(batch).await.unwrap();
        }
    }
}

#[async_trait]
impl Engine for Between {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.inner.get(key).await;
        self.meet(matches!(&self.moment, Moment::Row(at) if at == key))
            .await;
        found
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let found = self.inner.multi_get(keys).await;
        self.meet(matches!(&self.moment, Moment::Row(at) if keys.contains(at)))
            .await;
        found
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let is_now = matches!(&self.moment, Moment::Range(at) if *at == page.range.start);
        let rows = self.inner.scan(page).await;
        self.meet(is_now).await;
        rows
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.inner.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let is_it = |write: &Write| match (write, &self.moment) {
            (Write::Delete(key), Moment::Deletion(at)) => key == at,
            _ => false,
        };
        self.meet(batch.writes.iter().any(is_it)).await;
        self.inner.commit(batch).await
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}
