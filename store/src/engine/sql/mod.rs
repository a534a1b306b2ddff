//! SQL databases as engines: PostgreSQL, MySQL, MariaDB and SQLite, over sqlx.
//!
//! Holds: one table has all keys and values, in the order of the keys' octets; several servers may write to the same
//! database at once (but for SQLite, whose file belongs to one process); every call ends within a bounded time.
//! Other half: `Dialect` is what a database is asked; `committer` writes.

mod committer;
mod dialect;
mod group;
mod mysql;
mod options;
mod pool;
mod postgres;
mod rows;
#[cfg(any(test, feature = "conformance"))]
pub mod servers;
mod snapshot;
mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use self::{
    committer::{Committer, Request},
    dialect::{Cause, Dialect, Pairs, Query, engine_error, no_answer},
    mysql::MySqlDialect,
    pool::Pool,
    postgres::PostgresDialect,
    snapshot::SqlSnapshot,
    sqlite::SqliteDialect,
};
pub use self::{
    dialect::KEY_OCTETS_MAX,
    options::{SqlKind, SqlOptions, without_password},
};
use super::{Assertion, Batch, CommitError, Engine, EngineError, Key, Page, Snapshot, Write};

/// Commits that wait for the committer. One more waits in `commit` itself.
const QUEUE_BATCHES_MAX: usize = 1024;
/// Snapshots that are open at once.
const SNAPSHOTS_MAX: usize = 8;
/// Each has a thread and pages in memory, in this process.
const SQLITE_CONNECTIONS_MAX: u32 = 4;

/// A table in an SQL database, and the task that writes to it.
///
/// Dropping it lets the commits that were taken come to their end.
struct SqlEngine<D: Dialect> {
    pool: Arc<Pool<D>>,
    queue: mpsc::Sender<Request>,
    failing: Arc<AtomicBool>,
    snapshot_age_max: Duration,
}

/// Opens the database of a URL, and makes or brings up to date what is missing in it. SQLite's file is meant from `folder`.
///
/// Has to be called within a runtime, which the engine goes on using.
///
/// # Errors
/// `Io` when it can't be reached or has settings with which mail would be lost; `Locked` when another process has the
/// file of SQLite; `Full` when nothing can be written to it.
pub async fn open_sql(options: &SqlOptions, folder: &Path) -> Result<Arc<dyn Engine>, EngineError> {
    Ok(match SqlKind::of(&options.url, folder)? {
        SqlKind::Postgres => Arc::new(start(PostgresDialect::open(options).await?, options)),
        SqlKind::MySql => Arc::new(start(MySqlDialect::open(options).await?, options)),
        SqlKind::Sqlite(path) => {
            let options = SqlOptions {
                connections: options.connections.min(SQLITE_CONNECTIONS_MAX),
                ..options.clone()
            };
            Arc::new(start(SqliteDialect::open(&path, &options).await?, &options))
        }
    })
}

fn start<D: Dialect>(dialect: D, options: &SqlOptions) -> SqlEngine<D> {
    let reads = options.connections.max(1) as usize;
    let pool = Arc::new(Pool::new(dialect, options.timeout, reads, SNAPSHOTS_MAX));
    let failing = Arc::new(AtomicBool::new(false));
    let (queue, requests) = mpsc::channel(QUEUE_BATCHES_MAX);
    tokio::spawn(Committer::new(pool.clone(), failing.clone()).run(requests));
    SqlEngine {
        pool,
        queue,
        failing,
        snapshot_age_max: snapshot::AGE_MAX,
    }
}

impl<D: Dialect> SqlEngine<D> {
    /// Reads; once more over a new connection if the first one was of no use.
    async fn read(&self, query: Query<'_>) -> Result<Pairs, EngineError> {
        let pool = &self.pool;
        let until = Instant::now() + pool.timeout;
        let mut is_second = false;
        loop {
            let mut lent = pool.lend(until).await?;
            let read = pool.dialect.read(&mut lent.connection, query);
            let error = match timeout_at(until, read).await {
                Ok(Ok(pairs)) => {
                    lent.give_back();
                    return Ok(pairs);
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(no_answer(&pool.dialect, pool.timeout)),
            };
            drop(lent);
            let cause = D::cause(&error);
            if cause == Cause::Lost {
                pool.connection_was_lost();
            }
            if is_second || !matches!(cause, Cause::Lost | Cause::Again) {
                return Err(engine_error(&pool.dialect, &error));
            }
            is_second = true;
        }
    }
}

#[async_trait]
impl<D: Dialect> Engine for SqlEngine<D> {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let pairs = self.read(Query::Value(key)).await?;
        Ok(pairs.into_iter().next().map(|(_, value)| value))
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = each_once(keys);
        let pairs = self.read(Query::Values(&wanted)).await?;
        Ok(values_in_order(keys, pairs))
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        if page.range.is_empty() || page.limit == 0 {
            return Ok(Vec::new());
        }
        self.read(Query::Page(&page)).await
    }

    /// It ends after an hour; of more than a few at once, the next one waits.
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        let snapshot = SqlSnapshot::begin(&self.pool, self.snapshot_age_max).await?;
        Ok(Arc::new(snapshot))
    }

    /// A caller that stops waiting leaves it open whether the batch is applied.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if batch.is_empty() {
            return Ok(());
        }
        check_keys(&batch)?;
        let gone = || EngineError::Io("the committer has ended".into());
        let since = Instant::now();
        let (answer, answered) = oneshot::channel();
        let request = Request {
            batch,
            since,
            answer,
        };
        let until = since + self.pool.timeout;
        timeout_at(until, self.queue.send(request))
            .await
            .map_err(|_| no_answer(&self.pool.dialect, self.pool.timeout))?
            .map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        let pool = &self.pool;
        let until = Instant::now() + pool.timeout;
        let mut lent = pool.lend(until).await?;
        match timeout_at(until, pool.dialect.disk_octets(&mut lent.connection)).await {
            Ok(Ok(octets)) => {
                lent.give_back();
                Ok(octets)
            }
            Ok(Err(error)) => Err(engine_error(&pool.dialect, &error)),
            Err(_) => Err(no_answer(&pool.dialect, pool.timeout)),
        }
    }

    fn is_exclusive(&self) -> bool {
        self.pool.dialect.is_exclusive()
    }

    fn is_writable(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    /// Statements that were prepared and pages that were read are the connections'.
    async fn trim_memory(&self) {
        let until = Instant::now() + self.pool.timeout;
        if let Ok(mut lent) = self.pool.lend(until).await {
            let trimming = self.pool.dialect.trim(&mut lent.connection);
            let _ = timeout_at(until, trimming).await;
        }
        self.pool.close_idle();
    }
}

impl<D: Dialect> fmt::Debug for SqlEngine<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlEngine")
            .field("database", &self.pool.dialect.name())
            .finish_non_exhaustive()
    }
}

fn check_keys(batch: &Batch) -> Result<(), EngineError> {
    let asserted = batch.assertions.iter().map(|assertion| match assertion {
        Assertion::Absent(key) | Assertion::Present(key) | Assertion::Equals(key, _) => key.len(),
        Assertion::RangeEmpty(range) => range.start.len().max(range.end.len()),
    });
    let written = batch.writes.iter().map(|write| match write {
        Write::Put(key, _) | Write::Delete(key) | Write::Add(key, _) => key.len(),
        Write::DeleteRange(range) => range.start.len().max(range.end.len()),
    });
    match asserted.chain(written).max() {
        Some(octets) if octets > KEY_OCTETS_MAX => Err(EngineError::Io(
            format!("a key of {octets} octets; the longest one has {KEY_OCTETS_MAX}").into(),
        )),
        _ => Ok(()),
    }
}

fn each_once(keys: &[Key]) -> Vec<&[u8]> {
    let keys: BTreeSet<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    keys.into_iter().collect()
}

fn values_in_order(keys: &[Key], pairs: Pairs) -> Vec<Option<Bytes>> {
    let values: HashMap<Bytes, Bytes> = pairs.into_iter().collect();
    let value = |key: &Key| values.get(key.as_slice()).cloned();
    keys.iter().map(value).collect()
}
