//! Events on their way into the store.
//!
//! Holds: what is told while nobody wants to hear of it costs nothing; what comes too often is counted, and the count told with the next one.
//! Other half: `worker` takes them out again.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use store::{
    Record as _,
    engine::{Batch, Page},
    keys,
};

use super::{DueRecord, Event, EventKind, PER_MINUTE_MAX, UNWRITTEN_MAX, WAITING_MAX};
use crate::Core;

/// How long events are gathered before they are written.
const GATHERING: Duration = Duration::from_millis(100);
/// So many are written at once.
const WRITTEN_AT_ONCE: usize = 500;
/// Bits of an event's number below the milliseconds since 1970.
const ID_BITS: u32 = 20;

/// A webhook that so many wait for has them counted anew, as often as this at most.
const RECOUNTED_AT: usize = WAITING_MAX / 2;
const RECOUNT_EVERY: Duration = Duration::from_secs(1);

/// How many events wait for a webhook.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    /// As of the last look, and those that were put since: what was told meanwhile, or not committed, is counted as well.
    pub count: usize,
    counted: Option<Instant>,
}

impl Waiting {
    fn is_due(&self, now: Instant) -> bool {
        let since = |counted| now.saturating_duration_since(counted);
        match self.counted {
            None => true,
            Some(counted) => self.count >= RECOUNTED_AT && since(counted) >= RECOUNT_EVERY,
        }
    }
}

/// How many events of a kind there were in a minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    minute: i64,
    told: u32,
    omitted: u64,
}

impl Pace {
    /// Whether one more may be told, and how many were omitted before it.
    fn take(&mut self, minute: i64) -> Option<u64> {
        if self.minute != minute {
            (self.minute, self.told) = (minute, 0);
        }
        if self.told >= PER_MINUTE_MAX {
            self.omitted += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.omitted))
    }
}

impl Core {
    /// Whether anybody wants to hear of such events.
    pub fn is_told_of(&self, kind: EventKind) -> bool {
        !self.webhooks.known.load().is_empty() && !self.webhooks.told_of(kind).is_empty()
    }

    /// Tells of an event: it is in memory now, on disk soon, and then told at least once.
    pub fn tell_event(&self, event: Event) {
        if !self.is_told_of(event.kind) {
            return;
        }
        let Some(event) = self.paced(event) else {
            return;
        };
        let now = self.clock.now().0;
        let number = self.next_webhook_event(now);
        {
            let mut unwritten = self.webhooks.unwritten.lock();
            if unwritten.len() >= UNWRITTEN_MAX {
                self.metrics.webhook_events_lost.add(1);
                return;
            }
            unwritten.push((number, now, event));
        }
        self.webhooks.wake.notify_one();
    }

    fn paced(&self, event: Event) -> Option<Event> {
        let minute = self.clock.now().seconds().div_euclid(60);
        let mut paces = self.webhooks.paces.lock();
        match paces.entry(event.kind).or_default().take(minute) {
            Some(0) => Some(event),
            Some(omitted) => Some(event.with("omitted", omitted)),
            None => None,
        }
    }

    /// Numbers grow with time.
    pub(super) fn next_webhook_event(&self, now_ms: i64) -> u64 {
        let ms = u64::try_from(now_ms).unwrap_or(0).min(u64::MAX >> ID_BITS);
        let wanted = (ms << ID_BITS) | (self.rng.next_u64() & ((1 << (ID_BITS - 1)) - 1));
        let next = |last: u64| Some(wanted.max(last.saturating_add(1)));
        let last = &self.webhooks.last_event;
        let before = last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let (Ok(before) | Err(before)) = before;
        wanted.max(before.saturating_add(1))
    }

    /// Puts an event into the batch of what causes it: both happen, or neither does.
    pub(crate) fn tell_event_with(&self, batch: &mut Batch, event: Event) {
        if !self.is_told_of(event.kind) {
            return;
        }
        let now = self.clock.now().0;
        let number = self.next_webhook_event(now);
        self.put_event(batch, number, now, &event);
        // It is looked for again soon after, should the commit take longer than that.
        self.webhooks.wake.notify_one();
    }

    fn put_event(&self, batch: &mut Batch, number: u64, at: i64, event: &Event) {
        let record = DueRecord {
            kind: event.kind,
            at,
            data: event.json(),
            attempts: 0,
        };
        let bytes = record.to_bytes();
        let mut waiting = self.webhooks.waiting.lock();
        for webhook in self.webhooks.told_of(event.kind) {
            let of = waiting.entry(webhook).or_default();
            if of.count >= WAITING_MAX {
                self.metrics.webhook_events_lost.add(1);
                continue;
            }
            of.count += 1;
            let time = u64::try_from(at).unwrap_or(0);
            batch.put(keys::webhook_due(webhook, time, number), bytes.clone());
        }
    }

    /// Writes down what was gathered. When it returns, all that was told before the call is on disk; after an error it waits.
    pub async fn flush_events(&self) -> Result<(), store::Error> {
        let _turn = self.webhooks.writing.lock().await;
        loop {
            // They stay in memory until they are on disk, also if this is broken off: under the same number, they are the same rows.
            let some: Vec<(u64, i64, Event)> = {
                let unwritten = self.webhooks.unwritten.lock();
                unwritten.iter().take(WRITTEN_AT_ONCE).cloned().collect()
            };
            // Also of those that came with a commit, which aren't in here.
            self.recount_waiting().await?;
            if some.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for (number, at, event) in &some {
                self.put_event(&mut batch, *number, *at, event);
            }
            let is_empty = batch.is_empty();
            if !is_empty {
                self.engine.commit(batch).await?;
            }
            self.webhooks.unwritten.lock().drain(..some.len());
            if !is_empty {
                self.webhooks.written.notify_one();
            }
        }
    }

    /// How many events wait for each webhook.
    pub(super) async fn count_waiting(&self) -> Result<(), store::Error> {
        self.count_where(|_| true).await
    }

    /// The same, where it isn't known, or seems to be many.
    async fn recount_waiting(&self) -> Result<(), store::Error> {
        let now = self.clock.monotonic();
        self.count_where(|of| of.is_due(now)).await
    }

    async fn count_where(&self, is_due: impl Fn(&Waiting) -> bool) -> Result<(), store::Error> {
        let known = self.webhooks.known.load_full();
        for webhook in known.keys() {
            let before = self.webhooks.waiting.lock().get(webhook).copied();
            if !is_due(&before.unwrap_or_default()) {
                continue;
            }
            let page = Page::first(keys::webhook_due_of(*webhook), WAITING_MAX).keys_only();
            let of = Waiting {
                count: self.engine.scan(page).await?.len(),
                counted: Some(self.clock.monotonic()),
            };
            self.webhooks.waiting.lock().insert(*webhook, of);
        }
        let is_known = |webhook: &u64, _: &mut Waiting| known.contains_key(webhook);
        self.webhooks.waiting.lock().retain(is_known);
        Ok(())
    }

    /// Writes events down as they come, until it is dropped.
    pub(crate) async fn write_events(&self) {
        // What was gathered before tells nobody that it is there.
        self.webhooks.wake.notify_one();
        loop {
            self.webhooks.wake.notified().await;
            tokio::time::sleep(GATHERING).await;
            if let Err(error) = self.flush_events().await {
                tracing::error!(%error, "events can't be written down for webhooks, and wait");
                tokio::time::sleep(GATHERING * 50).await;
                self.webhooks.wake.notify_one();
            }
            // Events that came with the commit of what has caused them.
            self.webhooks.written.notify_one();
        }
    }
}
