//! The embedded engine: RocksDB.
//!
//! Holds: a commit that returned `Ok` was written to the log and the log was synced; a commit
//! that returned an error stays undone, also after a crash (see `fence`); memory is bounded by
//! [`RocksOptions`], however large the database is.
//! Other half: `committer` alone writes; `overlay` says what a group of batches means.

mod committer;
mod error;
mod fence;
mod garbage;
mod options;
mod read;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{JoinHandle, sleep},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use rocksdb::{Cache, DB, ErrorKind, WaitForCompactOptions};
use tokio::sync::{mpsc, oneshot};

pub use self::options::{Compression, RocksOptions};
use self::{
    committer::{Committer, Request},
    error::{engine_error, open_error},
    fence::Fence,
    read::{Reader, RocksSnapshot},
};
use super::{Batch, CommitError, Engine, EngineError, Key, Page, Snapshot};

/// Commits that wait for the committer. One more waits in `commit` itself.
pub const QUEUE_BATCHES_MAX: usize = 1024;

/// A RocksDB database and the thread that writes to it.
///
/// Dropping it waits until every commit that was taken has been answered, and flushes. The
/// folder stays locked while a [`Snapshot`] lives.
pub struct RocksEngine {
    db: Arc<DB>,
    cache: Cache,
    options: RocksOptions,
    path: PathBuf,
    committer: Arc<Committer>,
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// So long a compaction is waited for before memory is given back to the system; it goes on by itself.
const COMPACTION_TIME: Duration = Duration::from_secs(5);

/// How often a folder that is locked is tried, and the wait between: the process before this one may be closing, and a
/// child that somebody has just started holds what its parent does until it runs its own program.
const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: Duration = Duration::from_millis(50);

impl RocksEngine {
    /// Opens the database in the folder `path`, which is made when it isn't there.
    ///
    /// Blocks while the log is read again: seconds after a crash, milliseconds otherwise.
    ///
    /// # Errors
    /// `Locked` when another process (or another engine in this one) has the folder, `Full`
    /// when it can't be written, `Corrupt` when what is there isn't a sound database.
    pub fn open(
        path: impl AsRef<Path>,
        options: &RocksOptions,
    ) -> Result<Arc<dyn Engine>, EngineError> {
        for _ in 1..LOCK_TRIES {
            match Self::open_engine(path.as_ref(), options) {
                Err(EngineError::Locked(_)) => sleep(LOCK_WAIT),
                opened => return Ok(Arc::new(opened?)),
            }
        }
        Ok(Arc::new(Self::open_engine(path.as_ref(), options)?))
    }

    pub(crate) fn open_engine(path: &Path, options: &RocksOptions) -> Result<Self, EngineError> {
        fs::create_dir_all(path).map_err(|error| open_error(path, &error.to_string()))?;
        let cache = Cache::new_lru_cache(options.block_cache_octets);
        let database_options = options.database(&cache);
        let fence = Fence::open(path)?;
        let db =
            DB::open(&database_options, path).map_err(|error| open_error(path, error.as_ref()))?;
        let db = Arc::new(db);
        let (queue, requests) = mpsc::channel(QUEUE_BATCHES_MAX);
        let committer = Arc::new(Committer::new(db.clone(), options.sync, fence));
        let shared = committer.clone();
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || shared.run(requests))
            .map_err(|error| EngineError::Io(format!("no thread for commits: {error}").into()))?;
        Ok(Self {
            db,
            cache,
            options: options.clone(),
            path: path.to_owned(),
            committer,
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    fn reader(&self) -> Reader<'_> {
        Reader::new(&self.db, None)
    }
}

#[async_trait]
impl Engine for RocksEngine {
    // Reads take microseconds, less than a change of threads would, and are done in place.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.reader().get(key)
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.reader().multi_get(keys)
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.reader().scan(&page)
    }

    async fn contains(&self, key: &[u8]) -> Result<bool, EngineError> {
        self.reader().contains(key)
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        Ok(Arc::new(RocksSnapshot::new(&self.db)))
    }

    /// A caller that stops waiting leaves it open whether the batch is applied.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if batch.is_empty() {
            return Ok(());
        }
        if may_block()
            && let Some(answer) = self.committer.commit_here(&batch)
        {
            return answer;
        }
        let gone = || EngineError::Io("the committer has ended".into());
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        let announced = self.committer.announce();
        let request = Request { batch, answer };
        queue.send(request).await.map_err(|_| gone())?;
        announced.queued();
        answered.await.map_err(|_| gone())?
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        folder_octets(&self.path).map_err(|error| EngineError::Io(error.to_string().into()))
    }

    /// The lock on the folder sees to it.
    fn is_exclusive(&self) -> bool {
        true
    }

    fn is_writable(&self) -> bool {
        !self.committer.is_failing()
    }

    async fn trim_memory(&self) {
        let (db, mut cache) = (self.db.clone(), self.cache.clone());
        let cache_octets = self.options.block_cache_octets;
        // Waiting for the disk is nothing for a worker thread.
        let trimming = tokio::task::spawn_blocking(move || {
            write_down(&db);
            // An empty cache, then as large as before. What is in use at this moment stays. It comes last, since
            // compaction reads indexes through it.
            cache.set_capacity(0);
            cache.set_capacity(cache_octets);
        });
        if trimming.await.is_err() {
            tracing::error!("the memory of the database was not given back");
        }
    }
}

/// Whether others go on while this thread waits for the disk.
fn may_block() -> bool {
    tokio::runtime::Handle::try_current().is_ok_and(|runtime| runtime.metrics().num_workers() > 1)
}

/// Writes what is in the write buffers to a table, and waits until that and the compaction that may follow are done:
/// only then is their memory free.
fn write_down(db: &DB) {
    let written = db.flush().and_then(|()| {
        let mut options = WaitForCompactOptions::default();
        options.set_timeout(COMPACTION_TIME.as_micros() as u64);
        db.wait_for_compact(&options)
    });
    match written {
        Err(error) if error.kind() != ErrorKind::TimedOut => {
            tracing::warn!(error = %engine_error(error), "the write buffers stay in memory");
        }
        _ => {}
    }
}

impl Drop for RocksEngine {
    fn drop(&mut self) {
        // The committer ends when there is no sender left and the queue is empty.
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer panicked");
        }
    }
}

impl fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksEngine")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn folder_octets(path: &Path) -> io::Result<u64> {
    let mut octets = 0;
    for entry in fs::read_dir(path)? {
        match entry?.metadata() {
            Ok(metadata) => octets += metadata.len(),
            // Compaction took the file away in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(octets)
}
