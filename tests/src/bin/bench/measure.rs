//! One measurement: what it is made of and how it is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::proc::{Tree, Usage};

/// What one server needed for a number of operations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    pub operations: u64,
    pub refused: u64,
    pub wall: Duration,
    pub cpu: Duration,
    /// Octets.
    pub written: u64,
    /// Octets the client got.
    pub sent: u64,
    pub p50: Duration,
    pub p99: Duration,
    /// The most memory seen while it ran (PSS of the tree), octets.
    pub memory_max: u64,
}

/// The time of each operation.
#[derive(Default)]
pub struct Samples {
    times: Vec<Duration>,
    pub refused: u64,
}

impl Samples {
    pub fn add(&mut self, started: Instant) {
        self.times.push(started.elapsed());
    }

    pub fn join(&mut self, other: Samples) {
        self.times.extend(other.times);
        self.refused += other.refused;
    }

    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// The time that `percent` of the operations needed at most; nearest rank.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.times.len() * percent).div_ceil(100);
        self.times
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

/// Runs while a server works: takes the difference at the end.
pub struct Watch {
    tree: Tree,
    before: Usage,
    started: Instant,
    memory_max: Arc<AtomicU64>,
    sampler: tokio::task::JoinHandle<()>,
}

/// Reading the memory maps of many processes costs the kernel something: not more often than this.
const MEMORY_EVERY: Duration = Duration::from_millis(700);

impl Watch {
    pub fn start(tree: &Tree) -> Self {
        let memory_max = Arc::new(AtomicU64::new(0));
        let (sampled, into) = (tree.clone(), memory_max.clone());
        let sampler = tokio::spawn(async move {
            loop {
                into.fetch_max(sampled.memory().pss, Ordering::Relaxed);
                sleep(MEMORY_EVERY).await;
            }
        });
        Self {
            tree: tree.clone(),
            before: tree.usage(),
            started: Instant::now(),
            memory_max,
            sampler,
        }
    }

    /// The time so far: to the last acknowledgement, when it is asked before the deferred work is waited for.
    pub fn wall(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the measurement; `wall` is what counts as its duration.
    pub fn finish(self, wall: Duration, mut samples: Samples) -> Measured {
        let used = self.tree.usage() - self.before;
        self.sampler.abort();
        samples.times.sort_unstable();
        Measured {
            operations: samples.count() as u64,
            refused: samples.refused,
            wall,
            cpu: used.cpu,
            written: used.written,
            sent: 0,
            p50: samples.percentile(50),
            p99: samples.percentile(99),
            memory_max: self.memory_max.load(Ordering::Relaxed),
        }
    }
}

/// Waits until the tree has used next to no CPU for a second: deferred work is done. Gives up after two minutes.
pub async fn quiet(tree: &Tree) {
    const WINDOW: Duration = Duration::from_millis(500);
    let mut calm = 0;
    for _ in 0..240 {
        let before = tree.usage();
        sleep(WINDOW).await;
        let used = (tree.usage() - before).cpu;
        calm = if used <= WINDOW / 25 { calm + 1 } else { 0 };
        if calm == 2 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank() {
        let times = (1..=200).map(Duration::from_millis).collect();
        let samples = Samples { times, refused: 0 };
        assert_eq!(samples.percentile(50), Duration::from_millis(100));
        assert_eq!(samples.percentile(99), Duration::from_millis(198));
        assert_eq!(Samples::default().percentile(99), Duration::ZERO);
    }
}
