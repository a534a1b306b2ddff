//! A view of the database as of one moment: a transaction that only reads, on a connection of its own.
//!
//! Holds: it ends after [`AGE_MAX`], used or not, since the server keeps for it what has been replaced since.
//! Other half: `Dialect::begin_snapshot`.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit},
    task::AbortHandle,
    time::{Instant, sleep, timeout_at},
};

use super::{
    dialect::{Dialect, Pairs, Purpose, Query, engine_error, no_answer},
    pool::Pool,
    values_in_order,
};
use crate::engine::{EngineError, Key, Page, Snapshot};

/// How old a snapshot gets.
pub const AGE_MAX: Duration = Duration::from_secs(3600);

pub(super) struct SqlSnapshot<D: Dialect> {
    pool: Arc<Pool<D>>,
    /// `None` once it has ended.
    connection: Arc<Slot<D>>,
    end: AbortHandle,
    _permit: OwnedSemaphorePermit,
}

type Slot<D> = Mutex<Option<<D as Dialect>::Connection>>;

impl<D: Dialect> SqlSnapshot<D> {
    pub(super) async fn begin(pool: &Arc<Pool<D>>, age_max: Duration) -> Result<Self, EngineError> {
        let until = Instant::now() + pool.timeout;
        let permit = pool.snapshot_permit(until).await?;
        let mut connection = pool.connect(Purpose::Snapshot, until).await?;
        let begun = timeout_at(until, pool.dialect.begin_snapshot(&mut connection)).await;
        begun
            .map_err(|_| no_answer(&pool.dialect, pool.timeout))?
            .map_err(|error| engine_error(&pool.dialect, &error))?;
        let connection = Arc::new(Mutex::new(Some(connection)));
        let end = tokio::spawn(end_after(age_max, Arc::downgrade(&connection)));
        Ok(Self {
            pool: pool.clone(),
            connection,
            end: end.abort_handle(),
            _permit: permit,
        })
    }

    async fn read(&self, query: Query<'_>) -> Result<Pairs, EngineError> {
        let dialect = &self.pool.dialect;
        let mut slot = self.connection.lock().await;
        // It is put back only when the answer has come whole: what was abandoned is not gone on with.
        let Some(mut connection) = slot.take() else {
            let text = format!("{}: the snapshot has ended", dialect.name());
            return Err(EngineError::Io(text.into()));
        };
        let until = Instant::now() + self.pool.timeout;
        match timeout_at(until, dialect.read(&mut connection, query)).await {
            Ok(Ok(pairs)) => {
                *slot = Some(connection);
                Ok(pairs)
            }
            Ok(Err(error)) => Err(engine_error(dialect, &error)),
            Err(_) => Err(no_answer(dialect, self.pool.timeout)),
        }
    }
}

async fn end_after<C>(age: Duration, connection: Weak<Mutex<Option<C>>>) {
    sleep(age).await;
    if let Some(connection) = connection.upgrade() {
        *connection.lock().await = None;
    }
}

impl<D: Dialect> Drop for SqlSnapshot<D> {
    fn drop(&mut self) {
        self.end.abort();
    }
}

#[async_trait]
impl<D: Dialect> Snapshot for SqlSnapshot<D> {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let pairs = self.read(Query::Value(key)).await?;
        Ok(pairs.into_iter().next().map(|(_, value)| value))
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = super::each_once(keys);
        let pairs = self.read(Query::Values(&wanted)).await?;
        Ok(values_in_order(keys, pairs))
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        if page.range.is_empty() || page.limit == 0 {
            return Ok(Vec::new());
        }
        self.read(Query::Page(&page)).await
    }
}
