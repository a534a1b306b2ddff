//! Time, passed in.
//! Holds: nothing in the core asks the operating system for the time except [`SystemClock`]; wall time is for
//! what is stored or shown, monotonic time is for what is measured.
//! Other half: the binary hands out a [`SystemClock`], tests a [`TestClock`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted; negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// The same moment in whole seconds, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `duration` later; the end of time if it can't be said.
    pub fn saturating_add(self, duration: Duration) -> UtcMillis {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        UtcMillis(self.0.saturating_add(millis))
    }

    /// The moment `duration` earlier; the beginning of time if it can't be said.
    pub fn saturating_sub(self, duration: Duration) -> UtcMillis {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        UtcMillis(self.0.saturating_sub(millis))
    }
}

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock. It may jump, also backwards.
    fn now(&self) -> UtcMillis;

    /// A clock that never goes backwards, for measuring durations within this process.
    fn monotonic(&self) -> Instant;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> UtcMillis {
        (**self).now()
    }

    fn monotonic(&self) -> Instant {
        (**self).monotonic()
    }
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UtcMillis {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => UtcMillis(millis(after)),
            Err(before) => UtcMillis(-millis(before.duration())),
        }
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct TestClock {
    origin: Instant,
    state: Mutex<TestTime>,
}

#[derive(Debug)]
struct TestTime {
    now: UtcMillis,
    elapsed: Duration,
}

impl TestClock {
    /// A clock whose wall time is `now`.
    pub fn new(now: UtcMillis) -> TestClock {
        TestClock {
            origin: Instant::now(),
            state: Mutex::new(TestTime {
                now,
                elapsed: Duration::ZERO,
            }),
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state.lock();
        state.now = state.now.saturating_add(duration);
        state.elapsed += duration;
    }

    /// Sets the wall clock alone, as an administrator or NTP would.
    pub fn set(&self, now: UtcMillis) {
        self.state.lock().now = now;
    }
}

impl Clock for TestClock {
    fn now(&self) -> UtcMillis {
        self.state.lock().now
    }

    fn monotonic(&self) -> Instant {
        self.origin + self.state.lock().elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_clock_moves_only_when_told() {
        let clock = TestClock::new(UtcMillis(1_000));
        let start = clock.monotonic();
        assert_eq!((clock.now(), clock.monotonic()), (UtcMillis(1_000), start));
        clock.advance(Duration::from_millis(2_500));
        assert_eq!(clock.now(), UtcMillis(3_500));
        assert_eq!(clock.monotonic() - start, Duration::from_millis(2_500));
        clock.set(UtcMillis(-1));
        assert_eq!(clock.now().seconds(), -1);
        assert_eq!(clock.monotonic() - start, Duration::from_millis(2_500));
    }

    #[test]
    fn time_saturates() {
        let end = UtcMillis(i64::MAX);
        assert_eq!(end.saturating_add(Duration::MAX), end);
        assert_eq!(
            UtcMillis(0).saturating_sub(Duration::from_secs(1)),
            UtcMillis(-1_000)
        );
    }
}
