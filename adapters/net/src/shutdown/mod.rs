//! A graceful stop: a signal that everything long-lived listens to, and a count of what is still running.
//!
//! Holds: after `drain` has returned nothing spawned here runs any more. What has not ended by the deadline is dropped
//! at its next wait.
//! Other half: `listener`, which stops accepting, and each session, which says goodbye at its next idle moment.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// How long aborted tasks get to be dropped; they need only to be polled once.
const ABORT_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Running,
    Draining,
    Aborting,
}

/// The signal. Clones are the same signal.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: watch::Sender<Phase>,
    live: AtomicUsize,
    ended: Notify,
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Tasks that had not ended by the deadline and were dropped.
    pub aborted: usize,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl Shutdown {
    pub fn new() -> Shutdown {
        Shutdown(Arc::new(Inner {
            phase: watch::Sender::new(Phase::Running),
            live: AtomicUsize::new(0),
            ended: Notify::new(),
        }))
    }

    /// Asks everyone to stop. Asking again changes nothing.
    pub fn request(&self) {
        self.raise(Phase::Draining);
    }

    pub fn is_requested(&self) -> bool {
        *self.0.phase.borrow() >= Phase::Draining
    }

    /// Returns once a stop has been asked for. Safe to drop and call again.
    pub async fn requested(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Runs a future as a task that is counted, and is dropped when the deadline of a stop has passed.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let live = Live::new(self.0.clone());
        let shutdown = self.clone();
        tokio::spawn(async move {
            let _live = live;
            tokio::select! {
                biased;
                () = future => {}
                () = shutdown.reached(Phase::Aborting) => {}
            }
        });
    }

    /// Tasks that are running.
    pub fn live(&self) -> usize {
        self.0.live.load(Ordering::Acquire)
    }

    /// Asks everyone to stop, waits until all have, or until `deadline` has passed and the rest was dropped.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.request();
        if tokio::time::timeout(deadline, self.all_ended())
            .await
            .is_ok()
        {
            return Drained { aborted: 0 };
        }
        let aborted = self.live();
        self.raise(Phase::Aborting);
        // A task that blocks its thread can't be dropped; it isn't waited for either.
        let _ = tokio::time::timeout(ABORT_WAIT, self.all_ended()).await;
        Drained { aborted }
    }

    fn raise(&self, to: Phase) {
        self.0.phase.send_if_modified(|phase| {
            let raised = *phase < to;
            if raised {
                *phase = to;
            }
            raised
        });
    }

    async fn reached(&self, wanted: Phase) {
        let mut phase = self.0.phase.subscribe();
        // The sender lives in `self`, so this can't fail.
        let _ = phase.wait_for(|phase| *phase >= wanted).await;
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.live() == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Counts one running task, also when it panics.
struct Live(Arc<Inner>);

impl Live {
    fn new(inner: Arc<Inner>) -> Live {
        inner.live.fetch_add(1, Ordering::AcqRel);
        Live(inner)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
