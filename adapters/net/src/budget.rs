//! The memory that messages on their way in may take, over all sessions together.
//!
//! Holds: who has a [`Share`] of so many octets may keep so many octets, and gives them back by dropping it. Shares grow
//! only as octets really arrive, so that an announced size takes nothing from others.
//! Other half: the adapters' sessions, which ask before every growth.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets of messages and envelopes that all sessions keep together, unless it is configured otherwise.
pub const IN_FLIGHT_OCTETS_MAX: u64 = 512 << 20;
/// How long a session waits for others to finish, before its message is refused.
pub const IN_FLIGHT_WAIT: Duration = Duration::from_secs(20);
/// What is counted: so many octets.
const UNIT_OCTETS: u64 = 1024;

/// There is no room, and there was none for a while: 451 4.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many octets of messages are in flight")]
pub struct NoRoom;

/// Clones are the same budget.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    /// How many units there are, whoever has them.
    all: Arc<Mutex<usize>>,
    wait: Duration,
}

impl Budget {
    pub fn new(octets_max: u64, wait: Duration) -> Budget {
        let units = units_of(octets_max);
        Budget {
            units: Arc::new(Semaphore::new(units)),
            all: Arc::new(Mutex::new(units)),
            wait,
        }
    }

    /// Another size, from now on. What is too much of it is taken away as soon as it is given back. Needs a running tokio.
    pub fn resize(&self, octets_max: u64) {
        let mut all = self.all.lock();
        let units = units_of(octets_max);
        let less = all.saturating_sub(units);
        self.units.add_permits(units.saturating_sub(*all));
        let still = less - self.units.forget_permits(less);
        *all = units;
        if let Ok(still @ 1..) = u32::try_from(still) {
            let all = self.units.clone();
            tokio::spawn(async move {
                // The semaphore is never closed.
                if let Ok(taken) = all.acquire_many_owned(still).await {
                    taken.forget();
                }
            });
        }
    }

    /// A share of nothing, which can grow.
    pub fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            permit: None,
            octets: 0,
        }
    }

    /// Octets that nobody has.
    pub fn free_octets(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT_OCTETS
    }
}

fn units_of(octets: u64) -> usize {
    let units = usize::try_from(octets / UNIT_OCTETS).unwrap_or(usize::MAX);
    // What is taken at once is counted in 32 bits.
    units.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize)
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new(IN_FLIGHT_OCTETS_MAX, IN_FLIGHT_WAIT)
    }
}

/// The part of a budget that one message has.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    octets: u64,
}

impl Share {
    /// Grows by so many octets, after a wait if need be.
    pub async fn grow(&mut self, octets: u64) -> Result<(), NoRoom> {
        let total = self.octets.saturating_add(octets);
        let held = self
            .permit
            .as_ref()
            .map_or(0, |permit| permit.num_permits()) as u64;
        let missing = total.div_ceil(UNIT_OCTETS).saturating_sub(held);
        if missing > 0 {
            let missing = u32::try_from(missing).map_err(|_| NoRoom)?;
            let more = self.budget.units.clone().acquire_many_owned(missing);
            let more = tokio::time::timeout(self.budget.wait, more).await;
            // The semaphore is never closed.
            let more = more.map_err(|_| NoRoom)?.map_err(|_| NoRoom)?;
            match &mut self.permit {
                Some(permit) => permit.merge(more),
                None => self.permit = Some(more),
            }
        }
        self.octets = total;
        Ok(())
    }

    /// A share of nothing in the same budget.
    pub fn sibling(&self) -> Share {
        self.budget.share()
    }

    /// Gives all back.
    pub fn clear(&mut self) {
        self.permit = None;
        self.octets = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_are_given_back_and_waited_for() {
        let budget = Budget::new(4096, Duration::from_millis(50));
        let mut first = budget.share();
        first.grow(1).await.unwrap();
        first.grow(1023).await.unwrap();
        assert_eq!(budget.free_octets(), 3072);
        first.grow(3072).await.unwrap();
        let mut second = budget.share();
        assert_eq!(second.grow(1).await, Err(NoRoom));
        let waiting = tokio::spawn(async move { second.grow(1).await });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert_eq!(budget.share().grow(4097).await, Err(NoRoom));
        assert_eq!(budget.free_octets(), 4096);
    }

    #[tokio::test]
    async fn another_size_counts_from_then_on() {
        let budget = Budget::new(4096, Duration::from_millis(50));
        let mut first = budget.share();
        first.grow(3072).await.unwrap();
        budget.resize(2048);
        assert_eq!(budget.share().grow(1).await, Err(NoRoom));
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert_eq!(budget.free_octets(), 2048);
        budget.resize(8192);
        assert_eq!(budget.share().grow(8192).await, Ok(()));
        assert_eq!(budget.share().grow(8193).await, Err(NoRoom));
    }
}
