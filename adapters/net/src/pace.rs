//! How slow a peer may be.
//! Holds: an exchange that keeps within its pace ends; whoever sends or takes one byte a minute is let go.
//! Other half: `reader` and `writer`, which ask it before every wait.

use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for one more byte while a message or literal arrives (RFC 5321 §4.5.3.2.5 asks for 3 minutes).
pub const DATA_STALL: Duration = Duration::from_secs(180);
/// A peer is not measured before this much time has gone by.
pub const DATA_GRACE: Duration = Duration::from_secs(300);
/// Slowest average, after the grace, at which data is still taken: a 9600 baud line does twice as well.
pub const MIN_DATA_RATE: u64 = 512;
/// Longest wait for a peer to take one more byte of an answer.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// The slowest progress that is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Longest wait without a single byte.
    pub stall: Duration,
    /// Time that costs nothing.
    pub grace: Duration,
    /// Octets a second that must be kept on average once the grace is used up.
    pub rate_min: u64,
}

impl Pace {
    /// For message data and literals.
    pub const DATA: Pace = Pace {
        stall: DATA_STALL,
        grace: DATA_GRACE,
        rate_min: MIN_DATA_RATE,
    };

    /// For answers.
    pub const WRITE: Pace = Pace {
        stall: WRITE_TIMEOUT,
        grace: DATA_GRACE,
        rate_min: MIN_DATA_RATE,
    };

    /// When the next byte must be there: `octets` have been moved since `started`, and it is `now`.
    pub fn deadline(&self, started: Instant, now: Instant, octets: u64) -> Instant {
        let earned = Duration::from_secs(octets / self.rate_min.max(1)).min(FOREVER);
        let overall = started + self.grace.min(FOREVER) + earned;
        overall.min(now + self.stall.min(FOREVER))
    }
}

/// A time that can be added to any instant.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the next octet must be there, after so many seconds and octets.
    fn check(pace: Pace, passed: u64, octets: u64, left: i64) {
        let started = Instant::now();
        let now = started + Duration::from_secs(passed);
        let deadline = pace.deadline(started, now, octets);
        let late = now.saturating_duration_since(deadline).as_secs() as i64;
        let early = deadline.saturating_duration_since(now).as_secs() as i64;
        assert_eq!(early - late, left, "{octets} octets after {passed} seconds");
    }

    #[test]
    fn one_second_past_each_pace() {
        let (stall, grace) = (DATA_STALL.as_secs(), DATA_GRACE.as_secs());
        check(Pace::DATA, 0, 0, stall as i64);
        check(Pace::DATA, grace, 0, 0);
        check(Pace::DATA, grace + 1, MIN_DATA_RATE, 0);
        check(Pace::DATA, grace + 1, MIN_DATA_RATE - 1, -1);
        check(Pace::DATA, grace, MIN_DATA_RATE * 1000, stall as i64);
        check(Pace::DATA, 0, u64::MAX, stall as i64);
        let stall = WRITE_TIMEOUT.as_secs();
        check(Pace::WRITE, 0, 0, stall as i64);
        check(Pace::WRITE, grace + 1, MIN_DATA_RATE - 1, -1);
    }
}
