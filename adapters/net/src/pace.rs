//! How slow a peer may be.
//! Holds: an exchange that keeps within its pace ends; whoever sends or takes one byte a minute is let go, also after having been fast: what was moved
//! earns no more time than [`Pace::grace`], counted from the last of it.
//! Other half: `reader` and `writer`, which ask a [`Meter`] before every wait.

use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for one more byte while a message or literal arrives (RFC 5321 §4.5.3.2.5 asks for 3 minutes).
pub const DATA_STALL: Duration = Duration::from_secs(180);
/// Time that a peer may be behind: what it has at first, and what it can earn. RFC 5321 §4.5.3.2.7 asks for 5 minutes between commands.
pub const DATA_GRACE: Duration = Duration::from_secs(300);
/// Slowest rate, once the grace is used up, at which data is still taken: a 9600 baud line does twice as well.
pub const MIN_DATA_RATE: u64 = 512;
/// Longest wait for a peer to take one more byte of an answer.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// The slowest progress that is put up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Longest wait without a single byte.
    pub stall: Duration,
    /// Time that costs nothing, and the most that whatever was moved can earn.
    pub grace: Duration,
    /// Octets that earn one second.
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

    /// Measures an exchange that begins at `now`.
    pub fn begin(self, now: Instant) -> Meter {
        Meter {
            pace: self,
            due: now + self.grace.min(FOREVER),
        }
    }
}

/// How an exchange keeps its pace: a bucket of time that runs out, and is filled by what is moved.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    pace: Pace,
    /// When the bucket is empty.
    due: Instant,
}

impl Meter {
    /// So many octets were moved by `now`.
    pub fn moved(&mut self, octets: u64, now: Instant) {
        let most = now + self.pace.grace.min(FOREVER);
        self.due = (self.due + self.earned_by(octets)).min(most);
    }

    /// So many of the octets that were moved turn out to be no part of the exchange.
    pub fn moved_in_vain(&mut self, octets: u64) {
        let less = self.due.checked_sub(self.earned_by(octets));
        self.due = less.unwrap_or(self.due);
    }

    fn earned_by(&self, octets: u64) -> Duration {
        let rate = self.pace.rate_min.max(1);
        let earned = u128::from(octets) * 1_000_000_000 / u128::from(rate);
        Duration::from_nanos(u64::try_from(earned).unwrap_or(u64::MAX)).min(FOREVER)
    }

    /// A time that the peer has waited for us.
    pub fn excuse(&mut self, waited: Duration) {
        self.due += waited.min(FOREVER);
    }

    /// When the next byte must be there, if it is waited for from `now` on.
    pub fn deadline(&self, now: Instant) -> Instant {
        self.due.min(now + self.pace.stall.min(FOREVER))
    }

    /// When the exchange must have gone on, whatever it does in between.
    pub fn due(&self) -> Instant {
        self.due
    }
}

/// A time that can be added to any instant.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the next octet must be there, `passed` after the first of these and before the others: seconds, and octets moved at their end.
    fn check(pace: Pace, steps: &[(u64, u64)], left: i64) {
        let started = Instant::now();
        let mut meter = pace.begin(started);
        let mut now = started;
        for &(seconds, octets) in steps {
            now += Duration::from_secs(seconds);
            meter.moved(octets, now);
        }
        let deadline = meter.deadline(now);
        let late = now.saturating_duration_since(deadline).as_secs() as i64;
        let early = deadline.saturating_duration_since(now).as_secs() as i64;
        assert_eq!(early - late, left, "{steps:?}");
    }

    #[test]
    fn one_second_past_each_pace() {
        let (stall, grace) = (DATA_STALL.as_secs(), DATA_GRACE.as_secs());
        let rate = MIN_DATA_RATE;
        check(Pace::DATA, &[], stall as i64);
        check(Pace::DATA, &[(grace, 0)], 0);
        check(Pace::DATA, &[(grace, rate), (1, 0)], 0);
        check(Pace::DATA, &[(grace, rate - 1), (2, 0)], -1);
        check(Pace::DATA, &[(0, u64::MAX)], stall as i64);
        let stall = WRITE_TIMEOUT.as_secs();
        check(Pace::WRITE, &[], stall as i64);
        check(Pace::WRITE, &[(grace, rate - 1), (2, 0)], -1);
    }

    #[test]
    fn what_was_fast_earns_no_more_than_the_grace() {
        let grace = DATA_GRACE.as_secs();
        let fast = (1, 50 << 20);
        check(Pace::DATA, &[fast, (grace - 1, 1)], 1);
        check(Pace::DATA, &[fast, (179, 1), (121, 1)], 0);
        check(Pace::DATA, &[fast, (179, 1), (123, 1)], -1);
    }

    #[test]
    fn slow_and_steady_passes() {
        let day = 86_400;
        let steps: Vec<(u64, u64)> = (0..day / 170).map(|_| (170, 170 * MIN_DATA_RATE)).collect();
        check(Pace::DATA, &steps, DATA_STALL.as_secs() as i64);
        // As far behind as it was at first.
        let mut steps = steps;
        steps[0].1 = 0;
        check(Pace::DATA, &steps, 130);
    }

    #[test]
    fn what_was_moved_in_vain_earns_nothing() {
        let started = Instant::now();
        let mut meter = Pace::DATA.begin(started);
        let now = started + Duration::from_secs(20);
        meter.moved(10 * MIN_DATA_RATE, now);
        meter.moved_in_vain(10 * MIN_DATA_RATE);
        assert_eq!(meter.due(), started + DATA_GRACE);
        meter.moved_in_vain(u64::MAX);
        assert!(meter.due() <= started + DATA_GRACE);
    }

    #[test]
    fn our_own_waits_are_excused() {
        let started = Instant::now();
        let mut meter = Pace::DATA.begin(started);
        meter.excuse(Duration::from_secs(7));
        assert_eq!(meter.due(), started + DATA_GRACE + Duration::from_secs(7));
    }
}
