//! The two allocators of the process: mimalloc for Rust, the C library's for RocksDB.
//!
//! Holds: what both keep for later goes back to the system when the server is at rest; they do so by themselves
//! only while they are used, and mimalloc for each thread by itself.
//! Other half: `jmap_core::work::rest` says when that is.

#[cfg(target_env = "gnu")]
use std::ffi::c_int;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join_all};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

unsafe extern "C" {
    /// mimalloc: gives free pages of the calling thread back; `force` for all of them.
    safe fn mi_collect(force: bool);

    /// malloc_trim(3): gives free pages of all arenas back.
    #[cfg(target_env = "gnu")]
    safe fn malloc_trim(pad: usize) -> c_int;

    /// mallopt(3): 0 when it knows no such parameter.
    #[cfg(target_env = "gnu")]
    safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
}

/// Parameters of mallopt(3), from malloc.h.
#[cfg(target_env = "gnu")]
const M_TRIM_THRESHOLD: c_int = -1;
#[cfg(target_env = "gnu")]
const M_MMAP_THRESHOLD: c_int = -3;
#[cfg(target_env = "gnu")]
const M_ARENA_MAX: c_int = -8;

/// Larger pieces are mapped by themselves and go back to the system as soon as they are free: the blocks of write
/// buffers, and the buffers of flushes and compactions. If it isn't said, this grows with what is freed, up to 32 MB, and
/// such pieces then lie among the small ones, between which nothing large can be given back.
#[cfg(target_env = "gnu")]
const MAPPED_OCTETS_MIN: c_int = 256 << 10;
/// Less than this at the end of an arena isn't given back while there is work.
#[cfg(target_env = "gnu")]
const TRIMMED_OCTETS_MIN: c_int = 8 << 20;

/// To be called before there are threads.
pub fn set_up() {
    #[cfg(target_env = "gnu")]
    {
        // By default it is eight a core, and each keeps pages that are in use for a single small piece.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let arenas = c_int::try_from(cores.max(2)).unwrap_or(c_int::MAX);
        mallopt(M_ARENA_MAX, arenas);
        mallopt(M_MMAP_THRESHOLD, MAPPED_OCTETS_MIN);
        mallopt(M_TRIM_THRESHOLD, TRIMMED_OCTETS_MIN);
    }
}

/// So long a worker thread waits for the others. At rest all are there within a millisecond; when one of them has got
/// something to do meanwhile, the others go on without it.
const GATHER_TIME: Duration = Duration::from_millis(20);

/// Takes milliseconds. Must be called on the runtime.
///
/// mimalloc's pages belong to the thread that took them. What another thread has freed in them, as with a view that
/// one worker loaded and another one dropped, stays in use until their owner looks; and at rest it never does.
pub fn give_back() -> BoxFuture<'static, ()> {
    Box::pin(async {
        let workers = Handle::current().metrics().num_workers();
        let round = Arc::new(Gathering::new(workers));
        let collecting = (0..workers).map(|_| {
            let round = round.clone();
            tokio::spawn(async move {
                round.wait();
                mi_collect(true);
            })
        });
        join_all(collecting).await;
        // Only one thread at a time gives pages back to the system: what the others had freed meanwhile is left.
        mi_collect(true);
        #[cfg(target_env = "gnu")]
        malloc_trim(0);
        #[cfg(target_os = "linux")]
        crate::program::give_back_pages();
    })
}

/// Threads that wait until all are there: so no two of the tasks run on the same one.
struct Gathering {
    missing: Mutex<usize>,
    complete: Condvar,
    until: Instant,
}

impl Gathering {
    fn new(threads: usize) -> Self {
        Self {
            missing: Mutex::new(threads),
            complete: Condvar::new(),
            until: Instant::now() + GATHER_TIME,
        }
    }

    /// Blocks the thread, [`GATHER_TIME`] at most.
    fn wait(&self) {
        let mut missing = self.missing.lock();
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.complete.notify_all();
            return;
        }
        let is_missing = |missing: &mut usize| *missing > 0;
        self.complete
            .wait_while_until(&mut missing, is_missing, self.until);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn each_thread_comes_once() {
        let round = Arc::new(Gathering::new(3));
        let tasks = (0..3).map(|_| {
            let round = round.clone();
            tokio::spawn(async move {
                round.wait();
                thread::current().id()
            })
        });
        let threads: HashSet<_> = join_all(tasks)
            .await
            .into_iter()
            .map(|id| id.expect("a thread"))
            .collect();
        // On a busy machine a thread may come too late; then the others have gone on.
        assert!(threads.len() == 3 || Instant::now() >= round.until);
    }

    #[test]
    fn who_does_not_come_is_not_waited_for() {
        let started = Instant::now();
        let round = Gathering::new(2);
        round.wait();
        assert!(started.elapsed() >= GATHER_TIME);
        assert!(started.elapsed() < 50 * GATHER_TIME);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn memory_is_given_back() {
        give_back().await;
    }
}
