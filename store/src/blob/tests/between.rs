//! What others commit between the look at a blob and its removal.

use async_trait::async_trait;
use jmap_types::{AccountId, DataType};
use parking_lot::Mutex;

use super::*;
use crate::{
    blob,
    engine::{CommitError, EngineError, Key, MemoryEngine, Page, Snapshot},
};

/// Commits a batch after the next look at a range that begins there, before that is answered.
#[derive(Debug)]
struct Between {
    inner: Arc<MemoryEngine>,
    at: Key,
    meanwhile: Mutex<Option<Batch>>,
}

#[async_trait]
impl Engine for Between {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.inner.get(key).await
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.inner.multi_get(keys).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let is_it = page.range.start == self.at;
        let rows = self.inner.scan(page).await?;
        let meanwhile = self.meanwhile.lock().take_if(|_| is_it);
        if let Some(batch) = meanwhile {
            self.inner.commit(batch).await.unwrap();
        }
        Ok(rows)
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.inner.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.inner.commit(batch).await
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_blob_stays_that_is_taken_up_while_it_is_looked_at() {
    let octets = Bytes::from_static(b"the only copy");
    let hash = blob::hash(&octets);
    let reference = keys::blob_ref(&hash, AccountId::new(1), DataType::Email, 2);
    for taken_up in [Some(reference), Some(keys::backup_hold(3)), None] {
        let inner = MemoryEngine::new();
        let mut batch = Batch::new();
        batch.put(keys::blob(&hash), octets.clone());
        batch.put(keys::blob_candidate(1, &hash), Bytes::new());
        inner.commit(batch).await.unwrap();
        let is_taken_up = taken_up.is_some();
        let meanwhile = taken_up.map(|key| {
            let mut batch = Batch::new();
            batch.put(key, Bytes::new());
            batch
        });
        let engine: Arc<dyn Engine> = Arc::new(Between {
            inner,
            at: keys::blob_refs(&hash).start,
            meanwhile: Mutex::new(meanwhile),
        });
        assert_eq!(blob::collect(&engine, 2).await.unwrap(), 1);
        let there = blob::get(&engine, &hash).await.unwrap();
        assert_eq!(there.is_some(), is_taken_up);
    }
}
