//! How the queue works: when it tries again, how much goes where at once.
//!
//! Other half: the binary reads it from its configuration; `board` and `note` keep to it.

use std::{collections::HashMap, time::Duration};

/// Settings of the queue. The defaults are those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The waits after the first, second ... failed try; the last one is for all that follow. Soon at first: a
    /// greylist wants to see a second try within minutes.
    pub retry: Vec<Duration>,
    /// RFC 5321 §4.5.4.1: how long to go on trying.
    pub expiry: Duration,
    /// After this time the sender is told that it takes long.
    pub delay_notice: Duration,
    /// Mail transactions with other servers at the same time.
    pub at_once: usize,
    /// Octets of the messages of these transactions. Local deliveries have a quarter of it besides.
    pub octets_max: u64,
    /// Of one destination.
    pub domain: DomainLimits,
    /// Of destinations that differ, by their name.
    pub domains: HashMap<String, DomainLimits>,
}

/// How much goes to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainLimits {
    /// Transactions at the same time.
    pub at_once: usize,
    /// Transactions in a time; `None`: there is no limit.
    pub rate: Option<QueueRate>,
}

/// So many at once, and so many in every `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRate {
    pub count: u32,
    pub per: Duration,
}

impl Default for Delivery {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 3600;
        let waits = [
            MINUTE,
            5 * MINUTE,
            10 * MINUTE,
            20 * MINUTE,
            40 * MINUTE,
            HOUR,
            2 * HOUR,
            4 * HOUR,
        ];
        Self {
            retry: waits.into_iter().map(Duration::from_secs).collect(),
            expiry: Duration::from_secs(5 * 24 * HOUR),
            delay_notice: Duration::from_secs(4 * HOUR),
            at_once: 200,
            octets_max: 128 << 20,
            domain: DomainLimits {
                at_once: 10,
                rate: None,
            },
            domains: HashMap::new(),
        }
    }
}

impl Delivery {
    pub fn of_domain(&self, name: &str) -> DomainLimits {
        self.domains.get(name).copied().unwrap_or(self.domain)
    }

    /// The wait after so many failed tries, in milliseconds: as configured, and up to a tenth more, so that what
    /// failed together isn't tried together.
    pub(super) fn wait_ms(&self, attempts: u32, random: u64) -> u64 {
        let at = attempts.saturating_sub(1) as usize;
        let wait = self.retry.get(at).or(self.retry.last());
        let wait = wait.map_or(60_000, |wait| millis(*wait)).max(1000);
        wait + random % (wait / 10)
    }

    pub(super) fn expiry_seconds(&self) -> i64 {
        i64::try_from(self.expiry.as_secs()).unwrap_or(i64::MAX)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl QueueRate {
    /// Microseconds that one takes.
    fn each_us(self) -> u64 {
        let per = u64::try_from(self.per.as_micros()).unwrap_or(u64::MAX);
        (per / u64::from(self.count.max(1))).max(1)
    }

    /// The tick (in milliseconds) at which one more may go, when all is there again at `spent_until_us`.
    pub(super) fn free_at(self, spent_until_us: u64) -> u64 {
        let each = self.each_us();
        let burst = each.saturating_mul(u64::from(self.count.max(1)) - 1);
        spent_until_us.saturating_sub(burst).div_ceil(1000)
    }

    /// One goes at the tick `now`.
    pub(super) fn spend(self, spent_until_us: u64, now: u64) -> u64 {
        spent_until_us.max(now.saturating_mul(1000)) + self.each_us()
    }
}
