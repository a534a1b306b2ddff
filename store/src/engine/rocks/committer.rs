//! The one place that writes: it makes one synced write of all commits that wait.
//!
//! Holds: commits are applied in the order in which they came; nobody is answered before the log is
//! synced; when the write fails, everybody in the group is told so and the group is fenced off.
//! Other half: `RocksEngine::commit` writes by itself when nobody else does and the disk is fast, else it fills the queue of
//! the thread and waits for the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::{mpsc, oneshot};

use super::{error::engine_error, fence::Fence, garbage::Garbage, read::Reader};
use crate::engine::{Batch, CommitError, EngineError, Write, overlay::Overlay};

/// Batches that are written at once.
const GROUP_BATCHES_MAX: usize = 1024;
/// A group takes no further batch once it has this many octets of keys and values.
const GROUP_OCTETS_MAX: usize = 4 * 1024 * 1024;
/// Up to this many keys, a range is deleted key by key: a range deletion slows every read
/// that passes it until compaction has removed it.
const RANGE_AS_POINTS_MAX: usize = 256;

/// While writes take no longer than this on the average, they may be done in the thread of whoever asks for them.
const FAST: Duration = Duration::from_millis(5);
/// What a write counts for in the average: 1 in so many. One that takes a hundred times as long leaves some tens to the thread.
const AVERAGE_OF: u32 = 16;
/// A larger batch is left to the thread.
pub(super) const HERE_OCTETS_MAX: usize = 256 * 1024;

pub(super) type Answer = Result<(), CommitError>;

/// A commit on its way to the disk.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl Request {
    fn take(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }
}

/// What the callers of `commit` and the thread share.
pub(super) struct Committer {
    writer: Mutex<Writer>,
    /// Requests that were or are about to be queued, and are not answered yet.
    waiting: AtomicUsize,
    /// The last write failed.
    failing: AtomicBool,
}

struct Writer {
    db: Arc<DB>,
    write_options: WriteOptions,
    fence: Fence,
    /// How long a write takes, on the average of the last ones.
    usual: Duration,
    garbage: Garbage,
}

impl Committer {
    pub(super) fn new(db: Arc<DB>, sync: bool, fence: Fence) -> Self {
        let mut write_options = WriteOptions::default();
        write_options.set_sync(sync);
        Self {
            writer: Mutex::new(Writer {
                db,
                write_options,
                fence,
                usual: Duration::ZERO,
                garbage: Garbage::default(),
            }),
            waiting: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Commits in this thread, if nobody is before it and the disk has been fast: two changes of threads are saved. `None`:
    /// it is for the thread.
    ///
    /// It blocks the caller's thread, for [`FAST`] if all is well; the next ones go to the thread if it was much longer.
    pub(super) fn commit_here(&self, batch: &Batch) -> Option<Answer> {
        let mut writer = self.writer.try_lock()?;
        // Who waits has come before.
        let is_first = self.waiting.load(Ordering::Acquire) == 0;
        if !is_first || writer.usual > FAST || batch_octets(batch) > HERE_OCTETS_MAX {
            return None;
        }
        let answers = writer.commit(std::slice::from_ref(batch), &self.failing);
        answers.into_iter().next()
    }

    /// Counts a request that is about to be queued.
    pub(super) fn announce(&self) -> Announced<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Announced(self)
    }

    /// Works until all senders are gone and the queue is empty.
    pub(super) fn run(&self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        // Who comes while a group is being synced is in the next group: no need to wait for more.
        while let Some(first) = requests.blocking_recv() {
            let mut writer = self.writer.lock();
            gather(&mut requests, first, &mut group);
            let batches: Vec<Batch> = group.iter_mut().map(Request::take).collect();
            let answers = writer.commit(&batches, &self.failing);
            self.waiting.fetch_sub(group.len(), Ordering::AcqRel);
            drop(writer);
            for (request, answer) in group.drain(..).zip(answers) {
                // Who doesn't wait any more doesn't need the answer.
                let _ = request.answer.send(answer);
            }
        }
        if let Err(error) = self.writer.lock().db.flush() {
            tracing::warn!(error = %engine_error(error), "not flushed: the log is read at the next start");
        }
    }
}

/// A request on its way into the queue. Dropped, it isn't counted any more; the thread takes over the count of one that is
/// in the queue.
pub(super) struct Announced<'c>(&'c Committer);

impl Announced<'_> {
    pub(super) fn queued(self) {
        std::mem::forget(self);
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

fn gather(requests: &mut mpsc::Receiver<Request>, first: Request, group: &mut Vec<Request>) {
    let mut octets = batch_octets(&first.batch);
    group.push(first);
    while group.len() < GROUP_BATCHES_MAX && octets < GROUP_OCTETS_MAX {
        let Ok(request) = requests.try_recv() else {
            return;
        };
        octets += batch_octets(&request.batch);
        group.push(request);
    }
}

impl Writer {
    /// The answers to `group`, in its order.
    fn commit(&mut self, group: &[Batch], failing: &AtomicBool) -> Vec<Answer> {
        match self.try_commit(group, failing) {
            Ok(answers) => answers,
            Err(Failure::Prepare(error)) if group.len() == 1 => {
                vec![Err(CommitError::Engine(error))]
            }
            // Something that one of them asked for can't be read: only that one shall fail.
            Err(Failure::Prepare(_)) => group
                .chunks(1)
                .flat_map(|one| self.commit(one, failing))
                .collect(),
            Err(Failure::Write(error)) => group
                .iter()
                .map(|_| Err(CommitError::Engine(error.clone())))
                .collect(),
        }
    }

    fn try_commit(
        &mut self,
        group: &[Batch],
        failing: &AtomicBool,
    ) -> Result<Vec<Answer>, Failure> {
        let db = self.db.clone();
        let reader = Reader::new(&db, None);
        let mut overlay = Overlay::default();
        let mut answers = Vec::with_capacity(group.len());
        for batch in group {
            match overlay.accept(&reader, batch) {
                Ok(()) => answers.push(Ok(())),
                Err(CommitError::Conflict(index)) => {
                    answers.push(Err(CommitError::Conflict(index)))
                }
                Err(CommitError::Engine(error)) => return Err(Failure::Prepare(error)),
            }
        }
        let writes = write_batch(&reader, overlay).map_err(Failure::Prepare)?;
        if !writes.is_empty() {
            self.write(writes, failing).map_err(Failure::Write)?;
        }
        Ok(answers)
    }

    fn write(&mut self, writes: WriteBatch, failing: &AtomicBool) -> Result<(), EngineError> {
        let sequence = self.db.latest_sequence_number();
        let began = Instant::now();
        let written = self.db.write_opt(writes, &self.write_options);
        self.usual = average(self.usual, began.elapsed());
        match written {
            Ok(()) if failing.load(Ordering::Relaxed) => {
                // Before anybody is told that it is on disk. What was written isn't in the logs alone then: others may have
                // begun a new one at this moment, and the fence would go around the one that it is in.
                self.db.flush().map_err(engine_error)?;
                self.fence.leave()?;
                failing.store(false, Ordering::Relaxed);
                tracing::info!("the database can be written again");
                Ok(())
            }
            Ok(()) => {
                self.garbage.written(&self.db);
                Ok(())
            }
            Err(error) => {
                let error = engine_error(error);
                self.failed(sequence, &error, failing);
                Err(error)
            }
        }
    }

    /// The record of a failed write may be in the log, whole or in part. RocksDB takes no
    /// further write until it has recovered by itself (which it does when there is room again)
    /// or is opened anew; the fence sees to it that opening doesn't bring the record back.
    fn failed(&mut self, sequence: u64, error: &EngineError, failing: &AtomicBool) {
        // Once is enough: nothing gets into the log before a write succeeds again.
        if failing.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(%error, "the database can't be written; reading goes on");
        if let Err(error) = self.fence.set(sequence) {
            tracing::error!(%error, "commits that failed may turn up after a restart");
        }
    }
}

fn average(usual: Duration, last: Duration) -> Duration {
    (usual * (AVERAGE_OF - 1) + last) / AVERAGE_OF
}

enum Failure {
    /// Nothing was written: something that had to be read couldn't be.
    Prepare(EngineError),
    Write(EngineError),
}

fn write_batch(reader: &Reader<'_>, overlay: Overlay<'_>) -> Result<WriteBatch, EngineError> {
    let (ranges, points) = overlay.into_parts();
    let mut writes = WriteBatch::default();
    for range in ranges {
        let keys = reader.keys(range, RANGE_AS_POINTS_MAX + 1)?;
        if keys.len() > RANGE_AS_POINTS_MAX {
            writes.delete_range(&range.start, &range.end);
            continue;
        }
        for key in keys {
            writes.delete(key);
        }
    }
    for (key, value) in points {
        match value {
            Some(value) => writes.put(key, value),
            None => writes.delete(key),
        }
    }
    Ok(writes)
}

fn batch_octets(batch: &Batch) -> usize {
    batch.writes.iter().map(write_octets).sum()
}

fn write_octets(write: &Write) -> usize {
    match write {
        Write::Put(key, value) => key.len() + value.len(),
        Write::Delete(key) => key.len(),
        Write::DeleteRange(range) => range.start.len() + range.end.len(),
        Write::Add(key, _) => key.len() + size_of::<i64>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Now and then a disk is slow: that changes nothing. One that is slow as a rule is waited for by the thread, until it isn't any more.
    #[test]
    fn a_disk_is_judged_by_what_is_usual() {
        let (quick, slow) = (Duration::from_micros(600), Duration::from_millis(20));
        let mut usual = Duration::ZERO;
        for count in 0..1000 {
            usual = average(usual, if count % 100 == 99 { slow } else { quick });
            assert!(usual <= FAST, "{count}");
        }
        (0..10).for_each(|_| usual = average(usual, slow));
        assert!(usual > FAST);
        (0..64).for_each(|_| usual = average(usual, quick));
        assert!(usual <= FAST);
    }
}
