//! Connections, kept and lent.
//!
//! Holds: at most so many are open at once for reads, and so many for snapshots; only one whose last answer came whole is
//! lent again, so that nothing of an abandoned call is left on it; once one was lost, none from before is lent.
//! sqlx's own pool asks the server for a sign of life after each use, which doubles the traffic of reads as short as these.
//! Other half: `Dialect` opens them; `SqlEngine` reads over them, `committer` has its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout_at},
};

use super::dialect::{Cause, Dialect, Purpose, engine_error, no_answer};
use crate::engine::EngineError;

/// One that nobody has used for so long is closed. Servers keep them for longer.
const IDLE_TIME: Duration = Duration::from_secs(240);
const RETRY_WAIT: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pool<D: Dialect> {
    pub(super) dialect: D,
    /// For one call.
    pub(super) timeout: Duration,
    reads: Semaphore,
    snapshots: Arc<Semaphore>,
    idle: Mutex<Vec<Idle<D::Connection>>>,
    /// Counts losses.
    generation: AtomicU64,
}

struct Idle<C> {
    connection: C,
    generation: u64,
    since: Instant,
}

impl<C> std::fmt::Debug for Idle<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").finish_non_exhaustive()
    }
}

/// A connection that is lent. Dropped, it is closed.
pub(super) struct Lent<'p, D: Dialect> {
    pub(super) connection: D::Connection,
    generation: u64,
    pool: &'p Pool<D>,
    _permit: SemaphorePermit<'p>,
}

impl<D: Dialect> Pool<D> {
    pub(super) fn new(dialect: D, timeout: Duration, reads: usize, snapshots: usize) -> Self {
        Self {
            dialect,
            timeout,
            reads: Semaphore::new(reads),
            snapshots: Arc::new(Semaphore::new(snapshots)),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// A connection for reads: one that is there, or a new one.
    pub(super) async fn lend(&self, until: Instant) -> Result<Lent<'_, D>, EngineError> {
        let permit = timeout_at(until, self.reads.acquire()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(self.busy("reads"));
        };
        let generation = self.generation.load(Ordering::Acquire);
        let connection = match self.take_idle(generation) {
            Some(connection) => connection,
            None => self.connect(Purpose::Read, until).await?,
        };
        Ok(Lent {
            connection,
            generation,
            pool: self,
            _permit: permit,
        })
    }

    /// The right to a connection for a snapshot.
    pub(super) async fn snapshot_permit(
        &self,
        until: Instant,
    ) -> Result<OwnedSemaphorePermit, EngineError> {
        let permit = timeout_at(until, self.snapshots.clone().acquire_owned()).await;
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.busy("snapshots")),
        }
    }

    /// A new connection. A server that isn't there yet, or again, is asked until then.
    pub(super) async fn connect(
        &self,
        purpose: Purpose,
        until: Instant,
    ) -> Result<D::Connection, EngineError> {
        let mut wait = RETRY_WAIT;
        loop {
            let error = match timeout_at(until, self.dialect.connect(purpose)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_) => return Err(no_answer(&self.dialect, self.timeout)),
            };
            let is_hopeless = matches!(D::cause(&error), Cause::Other | Cause::Damaged);
            if is_hopeless || Instant::now() + wait >= until {
                return Err(engine_error(&self.dialect, &error));
            }
            sleep(wait).await;
            wait = RETRY_WAIT_MAX.min(wait * 2);
        }
    }

    /// What is idle is most likely lost as well.
    pub(super) fn connection_was_lost(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.close_idle();
    }

    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    fn take_idle(&self, generation: u64) -> Option<D::Connection> {
        let mut idle = self.idle.lock();
        // The one that was used last: those beyond what is needed grow old, and go.
        let found = idle.pop()?;
        let is_good = found.generation == generation && found.since.elapsed() < IDLE_TIME;
        if !is_good {
            // Those below are older.
            idle.clear();
        }
        is_good.then_some(found.connection)
    }

    fn busy(&self, what: &str) -> EngineError {
        let name = self.dialect.name();
        EngineError::Io(format!("{name}: all connections for {what} are in use").into())
    }
}

impl<D: Dialect> Lent<'_, D> {
    /// The last answer came whole.
    pub(super) fn give_back(self) {
        let pool = self.pool;
        if self.generation != pool.generation.load(Ordering::Acquire) {
            return;
        }
        let now = Instant::now();
        let mut idle = pool.idle.lock();
        let old = |idle: &Idle<D::Connection>| now.duration_since(idle.since) >= IDLE_TIME;
        let first_good = idle.iter().position(|idle| !old(idle));
        let gone = first_good.unwrap_or(idle.len());
        idle.drain(..gone);
        idle.push(Idle {
            connection: self.connection,
            generation: self.generation,
            since: now,
        });
    }
}
