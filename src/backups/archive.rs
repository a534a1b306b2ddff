//! A snapshot of a repository as the core reads one of an engine.

use std::sync::Arc;

use async_trait::async_trait;
use backup::Name;
use bytes::Bytes;
use store::{
    engine::{Direction, EngineError, Key, Page, Snapshot},
    keys,
};

/// Rows, and blobs under the keys that a store has them under.
#[derive(Debug)]
pub struct Archive(pub backup::Snapshot);

impl Archive {
    pub fn shared(snapshot: &backup::Snapshot) -> Arc<dyn Snapshot> {
        Arc::new(Self(snapshot.clone()))
    }
}

fn failed(error: &backup::Error) -> EngineError {
    let text = format!("the backup can't be read: {error}");
    match error {
        backup::Error::Damaged { .. } | backup::Error::Gone { .. } => {
            EngineError::Corrupt(text.into())
        }
        _ => EngineError::Io(text.into()),
    }
}

#[async_trait]
impl Snapshot for Archive {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = match keys::decode_blob(key) {
            Some(hash) => self.0.blob(&Name(hash)).await,
            None => self.0.get(key).await,
        };
        // A pack is shared by all that is in it; what somebody keeps shouldn't keep it all.
        let found = found.map_err(|error| failed(&error))?;
        Ok(found.map(|octets| Bytes::copy_from_slice(&octets)))
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.get(key).await?);
        }
        Ok(found)
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let (start, end) = (&page.range.start, &page.range.end);
        let (limit, is_descending) = match page.direction {
            Direction::Ascending => (page.limit, false),
            // Nobody asks for more than small ranges from their end.
            Direction::Descending => (usize::MAX, true),
        };
        let rows = self.0.scan(start, end, limit).await;
        let mut rows = rows.map_err(|error| failed(&error))?;
        if is_descending {
            rows.reverse();
            rows.truncate(page.limit);
        }
        let own = |octets: &Bytes| Bytes::copy_from_slice(octets);
        Ok(rows
            .iter()
            .map(|(key, value)| (own(key), own(value)))
            .collect())
    }
}
