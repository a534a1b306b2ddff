//! Numbers over time, for charts: the last hour in steps of ten seconds, the last day in steps of five minutes.
//!
//! Holds: it is in memory alone, of this process, and never more than its two rings have room for. What is counted is told as how much it
//! became within each step, so a chart needs no start.
//! Other half: `routes::server`; the binary has [`crate::Site::keep_history`] running.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jmap_core::{Core, clock::UtcMillis};
use parking_lot::Mutex;

use crate::Host;

/// The steps of the two rings, and how many of them are remembered.
pub const STEP: Duration = Duration::from_secs(10);
pub const STEPS_MAX: usize = 360;
pub const LONG_STEP: Duration = Duration::from_secs(300);
pub const LONG_STEPS_MAX: usize = 288;
/// Short steps of a long one.
const STEPS_PER_LONG: u64 = LONG_STEP.as_secs() / STEP.as_secs();

/// What was counted since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub messages_received: u64,
    pub octets_received: u64,
    pub deliveries: u64,
    pub deliveries_refused: u64,
    pub queue_delivered: u64,
    pub queue_deferred: u64,
    pub queue_failed: u64,
    pub logins: u64,
    pub logins_failed: u64,
}

/// How it is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    pub queue_length: u64,
    pub connections: u64,
    pub memory_octets: u64,
    pub disk_octets: u64,
}

/// One step: how much was counted in it, and how it was at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its end.
    pub at: UtcMillis,
    pub counts: Counts,
    pub levels: Levels,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History(Mutex<Rings>);

#[derive(Debug, Default)]
struct Rings {
    short: Ring,
    long: Ring,
    taken: u64,
}

#[derive(Debug, Default)]
struct Ring {
    steps: VecDeque<Step>,
    /// What was counted up to the last step.
    before: Option<Counts>,
}

impl Ring {
    fn push(&mut self, at: UtcMillis, counts: Counts, levels: Levels, room: usize) {
        // The first one tells from where to count.
        let Some(before) = self.before.replace(counts) else {
            return;
        };
        if self.steps.len() >= room {
            self.steps.pop_front();
        }
        self.steps.push_back(Step {
            at,
            counts: counts.since(before),
            levels,
        });
    }
}

impl Counts {
    fn now(core: &Core) -> Counts {
        let metrics = &core.metrics;
        Counts {
            messages_received: metrics.messages_received.get(),
            octets_received: metrics.octets_received.get(),
            deliveries: metrics.deliveries.get(),
            deliveries_refused: metrics.deliveries_refused.get(),
            queue_delivered: metrics.queue_delivered.get(),
            queue_deferred: metrics.queue_deferred.get(),
            queue_failed: metrics.queue_failed.get(),
            logins: metrics.logins.get(),
            logins_failed: metrics.logins_failed.get(),
        }
    }

    fn since(self, before: Counts) -> Counts {
        let more = |now: u64, before: u64| now.saturating_sub(before);
        Counts {
            messages_received: more(self.messages_received, before.messages_received),
            octets_received: more(self.octets_received, before.octets_received),
            deliveries: more(self.deliveries, before.deliveries),
            deliveries_refused: more(self.deliveries_refused, before.deliveries_refused),
            queue_delivered: more(self.queue_delivered, before.queue_delivered),
            queue_deferred: more(self.queue_deferred, before.queue_deferred),
            queue_failed: more(self.queue_failed, before.queue_failed),
            logins: more(self.logins, before.logins),
            logins_failed: more(self.logins_failed, before.logins_failed),
        }
    }
}

impl Levels {
    fn now(core: &Core, host: &dyn Host) -> Levels {
        let numbers = host.numbers();
        Levels {
            queue_length: core.gauges().queue_length,
            connections: numbers.connections.iter().map(|(_, open)| open).sum(),
            memory_octets: numbers.memory_octets,
            disk_octets: numbers.disk_octets,
        }
    }
}

impl History {
    /// Takes numbers in; to be called each [`STEP`].
    pub(crate) fn take(&self, at: UtcMillis, core: &Core, host: &Arc<dyn Host>) {
        self.push(at, Counts::now(core), Levels::now(core, &**host));
    }

    fn push(&self, at: UtcMillis, counts: Counts, levels: Levels) {
        let mut rings = self.0.lock();
        if rings.taken.is_multiple_of(STEPS_PER_LONG) {
            rings.long.push(at, counts, levels, LONG_STEPS_MAX);
        }
        rings.short.push(at, counts, levels, STEPS_MAX);
        rings.taken += 1;
    }

    /// Of the last hour, oldest first.
    pub fn hour(&self) -> Vec<Step> {
        self.0.lock().short.steps.iter().copied().collect()
    }

    /// Of the last day, oldest first.
    pub fn day(&self) -> Vec<Step> {
        self.0.lock().long.steps.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_tell_what_became_more_and_have_an_end() {
        let history = History::default();
        let counts = |logins| Counts {
            logins,
            ..Counts::default()
        };
        let take = |n: u64| {
            let levels = Levels {
                queue_length: n,
                ..Levels::default()
            };
            history.push(UtcMillis(n as i64 * 10_000), counts(n * 2), levels);
        };
        take(0);
        assert_eq!(history.hour(), []);
        (1..=3).for_each(take);
        let hour = history.hour();
        assert_eq!(hour.len(), 3);
        assert!(hour.iter().all(|step| step.counts == counts(2)));
        assert_eq!(hour[2].levels.queue_length, 3);
        let end = (LONG_STEPS_MAX as u64 + 5) * STEPS_PER_LONG;
        (4..=end).for_each(take);
        assert_eq!(history.hour().len(), STEPS_MAX);
        let day = history.day();
        assert_eq!(day.len(), LONG_STEPS_MAX);
        let per_step = counts(2 * STEPS_PER_LONG);
        assert!(day.iter().all(|step| step.counts == per_step));
        assert_eq!(day.last().map(|step| step.levels.queue_length), Some(end));
    }
}
