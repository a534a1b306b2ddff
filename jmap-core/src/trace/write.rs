//! Records on their way into the store, and out of it again when their time is over.
//!
//! Holds: ids grow with time; a record and its rows of the indexes are written, and removed, together.
//! Other half: `read`.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Record as _,
    engine::{Batch, Page},
    keys::{self, Subspace},
};
use tokio::sync::Notify;

use super::{TraceRecord, WAITING_MAX};
use crate::{Core, rng::Rng};

/// How long records are gathered before they are written.
const GATHERING: Duration = Duration::from_secs(1);
/// So many are written at once.
const WRITTEN_AT: usize = 1000;
/// So many are removed at once.
const REMOVED_AT_ONCE: usize = 1000;
/// Bits of an id below the milliseconds since 1970.
const ID_BITS: u32 = 20;

/// The name of the number of records that there are.
pub(crate) const COUNT: &str = "traces";

/// Records that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Held while some are written: who wants to see what there is waits for them.
    flushing: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<(u64, Bytes, Vec<keys::TraceIndex>)>>,
    first: Notify,
    full: Notify,
    last_id: AtomicU64,
    /// Tells ids of this process from those of another in the same millisecond; from the first event on.
    offset: OnceLock<u64>,
}

impl Trace {
    fn next_id(&self, now_ms: u64, rng: &dyn Rng) -> u64 {
        let random = || rng.next_u64() & ((1 << ID_BITS) - 1) & !0xff;
        let wanted = first_id(now_ms) | *self.offset.get_or_init(random);
        let next = |last: u64| Some(wanted.max(last.saturating_add(1)));
        let before = self
            .last_id
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let before = before.unwrap_or_default();
        wanted.max(before.saturating_add(1))
    }
}

/// The first id of a millisecond.
pub(super) fn first_id(ms: u64) -> u64 {
    ms.min(u64::MAX >> ID_BITS) << ID_BITS
}

/// When an event happened, in milliseconds since 1970.
pub(super) fn when(id: u64) -> i64 {
    i64::try_from(id >> ID_BITS).unwrap_or(i64::MAX)
}

pub(super) fn message_hash(message_id: &str) -> u64 {
    let hash = blake3::hash(message_id.trim_matches(['<', '>', ' ']).as_bytes());
    let first = hash.as_bytes().first_chunk::<8>();
    first.map_or(0, |octets| u64::from_be_bytes(*octets))
}

/// The rows by which a record is found.
pub(crate) fn index_of(record: &TraceRecord) -> Vec<keys::TraceIndex> {
    let message = record.message_id.as_deref().map(message_hash);
    let message = message.into_iter().map(keys::TraceIndex::Message);
    let accounts = record.accounts().into_iter().map(keys::TraceIndex::Account);
    message.chain(accounts).collect()
}

impl Core {
    /// Whether events are kept.
    pub fn is_tracing(&self) -> bool {
        self.limits().trace_seconds != 0
    }

    /// Keeps an event: in memory now, on disk soon.
    pub fn note_trace(&self, record: TraceRecord) {
        if !self.is_tracing() {
            return;
        }
        let record = record.shortened();
        let id = self.trace.next_id(self.queue_now(), &*self.rng);
        let waiting = (id, record.to_bytes(), index_of(&record));
        let count = {
            let mut all = self.trace.waiting.lock();
            if all.len() >= WAITING_MAX {
                self.metrics.traces_lost.add(1);
                return;
            }
            all.push(waiting);
            all.len()
        };
        match count {
            1 => self.trace.first.notify_one(),
            WRITTEN_AT => self.trace.full.notify_one(),
            _ => {}
        }
    }

    /// Writes what was gathered. When it returns, all that was noted before the call is on disk, or lost.
    pub async fn flush_traces(&self) -> Result<(), store::Error> {
        let _turn = self.trace.flushing.lock().await;
        let waiting = std::mem::take(&mut *self.trace.waiting.lock());
        if waiting.is_empty() {
            return Ok(());
        }
        let count = waiting.len();
        let mut batch = Batch::new();
        batch.add(keys::meta(COUNT), count as i64);
        for (id, bytes, index) in waiting {
            batch.put(keys::trace(id), bytes);
            for row in index {
                batch.put(keys::trace_index(row, id), Bytes::new());
            }
        }
        let written = self.engine.commit(batch).await;
        if written.is_err() {
            self.metrics.traces_lost.add(count as u64);
        }
        Ok(written?)
    }

    /// Writes what is gathered for as long as the future is polled.
    pub(crate) async fn run_trace(&self) {
        // What was gathered before tells nobody that it is there.
        self.trace.first.notify_one();
        loop {
            self.trace.first.notified().await;
            tokio::select! {
                () = tokio::time::sleep(GATHERING) => {}
                () = self.trace.full.notified() => {}
            }
            if let Err(error) = self.flush_traces().await {
                tracing::warn!(%error, "what happened to messages lately could not be written down");
            }
        }
    }

    /// Removes some records whose time is over, or that are too many. Whether there may be more of them.
    pub(crate) async fn purge_traces(&self) -> Result<bool, store::Error> {
        let keep_ms = self.limits().trace_seconds.saturating_mul(1000);
        let end = first_id(self.queue_now().saturating_sub(keep_ms));
        let count = match self.engine.get(&keys::meta(COUNT)).await? {
            Some(bytes) => store::decode_numbers::<1>(&keys::meta(COUNT), &bytes)?[0],
            None => 0,
        };
        // The counter is signed: less than nothing is nothing.
        let count = i64::from_be_bytes(count.to_be_bytes())
            .max(0)
            .unsigned_abs();
        let surplus = count.saturating_sub(self.limits().max_traces);
        let mut range = keys::all(Subspace::Trace);
        if surplus == 0 {
            range.end = keys::trace(end);
        }
        let page = Page::first(range, REMOVED_AT_ONCE);
        let mut batch = Batch::new();
        let mut removed = 0;
        for (key, bytes) in self.engine.scan(page).await? {
            let id =
                keys::decode_trace(&key).ok_or_else(|| store::Error::bad_key("trace", &key))?;
            if id >= end && removed >= surplus {
                break;
            }
            // Rows of one that can't be read lead nowhere, which the check tells.
            if let Ok(record) = TraceRecord::from_bytes(&key, &bytes) {
                for row in index_of(&record) {
                    batch.delete(keys::trace_index(row, id));
                }
            }
            batch.delete(key.to_vec());
            removed += 1;
        }
        if removed == 0 {
            return Ok(false);
        }
        batch.add(keys::meta(COUNT), -(removed as i64));
        self.engine.commit(batch).await?;
        Ok(removed == REMOVED_AT_ONCE as u64)
    }
}
