//! Counters of what the core has done, for whoever watches the server.
//!
//! Holds: counting costs an addition; nothing here says who did what.
//! Other half: the binary writes them as text.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was counted since the server has started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Messages that arrived whole, however many recipients they have.
    pub messages_received: Counter,
    pub octets_received: Counter,
    /// Recipients that a message was kept for.
    pub deliveries: Counter,
    /// Recipients whose delivery was refused, at least for now.
    pub deliveries_refused: Counter,
    /// Recipients that the queue has delivered to, or handed to another server.
    pub queue_delivered: Counter,
    /// Tries of the queue after which a recipient waits.
    pub queue_deferred: Counter,
    /// Recipients that the queue has given up, or that were refused.
    pub queue_failed: Counter,
    /// Reports to senders.
    pub queue_reports: Counter,
    pub logins: Counter,
    pub logins_failed: Counter,
    /// Clients that were banned by a rule.
    pub bans: Counter,
    /// Events of the trace that could not be kept.
    pub traces_lost: Counter,
    /// Rounds of background work that failed.
    pub work_failures: Counter,
    /// Events that webhooks were told of; tries that failed; and events that were lost, as there were too many.
    pub webhook_events_told: Counter,
    pub webhook_tries_failed: Counter,
    pub webhook_events_lost: Counter,
}

/// What the server is busy with at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Accounts that are in memory.
    pub accounts: usize,
    /// Accounts whose mail view is in memory, and the octets that the views take (estimated).
    pub views: usize,
    pub view_octets: usize,
    /// Accounts whose search index is behind.
    pub search_pending: usize,
    /// Submissions that are under way; of what is due, the destinations that wait for their turn; and those being sent to.
    pub queue_length: u64,
    pub queue_waiting: u64,
    pub queue_running: u64,
    /// What needs an administrator, as of the last look.
    pub alerts: u64,
    /// The last write to the database failed: the disk is full or broken.
    pub store_failing: bool,
    /// The last message that was to go to the object store didn't get there. Mail is put off; reading, and the database, go on.
    pub blobs_failing: bool,
}
