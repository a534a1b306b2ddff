//! The one thread that writes: it makes one synced write of all commits that wait.
//!
//! Holds: commits are applied in the order of the queue; nobody is answered before the log is
//! synced; when the write fails, everybody in the group is told so and the group is fenced off.
//! Other half: `RocksEngine::commit` fills the queue and waits for the answer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::{mpsc, oneshot};

use super::{error::engine_error, fence::Fence, read::Reader};
use crate::engine::{Batch, CommitError, EngineError, Write, overlay::Overlay};

/// Batches that are written at once.
const GROUP_BATCHES_MAX: usize = 1024;
/// A group takes no further batch once it has this many octets of keys and values.
const GROUP_OCTETS_MAX: usize = 4 * 1024 * 1024;
/// Up to this many keys, a range is deleted key by key: a range deletion slows every read
/// that passes it until compaction has removed it.
const RANGE_AS_POINTS_MAX: usize = 256;

type Answer = Result<(), CommitError>;

/// A commit on its way to the disk.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) answer: oneshot::Sender<Answer>,
}

pub(super) struct Committer {
    db: Arc<DB>,
    requests: mpsc::Receiver<Request>,
    write_options: WriteOptions,
    fence: Fence,
    /// The last write failed.
    failing: Arc<AtomicBool>,
}

impl Committer {
    pub(super) fn new(
        db: Arc<DB>,
        requests: mpsc::Receiver<Request>,
        sync: bool,
        fence: Fence,
        failing: Arc<AtomicBool>,
    ) -> Self {
        let mut write_options = WriteOptions::default();
        write_options.set_sync(sync);
        Self {
            db,
            requests,
            write_options,
            fence,
            failing,
        }
    }

    /// Works until all senders are gone and the queue is empty.
    pub(super) fn run(mut self) {
        let mut group = Vec::new();
        // Who comes while a group is being synced is in the next group: no need to wait for more.
        while let Some(first) = self.requests.blocking_recv() {
            self.gather(first, &mut group);
            let answers = self.commit(&group);
            for (request, answer) in group.drain(..).zip(answers) {
                // Who doesn't wait any more doesn't need the answer.
                let _ = request.answer.send(answer);
            }
        }
        if let Err(error) = self.db.flush() {
            tracing::warn!(error = %engine_error(error), "not flushed: the log is read at the next start");
        }
    }

    fn gather(&mut self, first: Request, group: &mut Vec<Request>) {
        let mut octets = batch_octets(&first.batch);
        group.push(first);
        while group.len() < GROUP_BATCHES_MAX && octets < GROUP_OCTETS_MAX {
            let Ok(request) = self.requests.try_recv() else {
                return;
            };
            octets += batch_octets(&request.batch);
            group.push(request);
        }
    }

    /// The answers to `group`, in its order.
    fn commit(&mut self, group: &[Request]) -> Vec<Answer> {
        match self.try_commit(group) {
            Ok(answers) => answers,
            Err(Failure::Prepare(error)) if group.len() == 1 => {
                vec![Err(CommitError::Engine(error))]
            }
            // Something that one of them asked for can't be read: only that one shall fail.
            Err(Failure::Prepare(_)) => group.chunks(1).flat_map(|one| self.commit(one)).collect(),
            Err(Failure::Write(error)) => group
                .iter()
                .map(|_| Err(CommitError::Engine(error.clone())))
                .collect(),
        }
    }

    fn try_commit(&mut self, group: &[Request]) -> Result<Vec<Answer>, Failure> {
        let reader = Reader::new(&self.db, None);
        let mut overlay = Overlay::default();
        let mut answers = Vec::with_capacity(group.len());
        for request in group {
            match overlay.accept(&reader, &request.batch) {
                Ok(()) => answers.push(Ok(())),
                Err(CommitError::Conflict(index)) => {
                    answers.push(Err(CommitError::Conflict(index)))
                }
                Err(CommitError::Engine(error)) => return Err(Failure::Prepare(error)),
            }
        }
        let writes = write_batch(&reader, overlay).map_err(Failure::Prepare)?;
        if !writes.is_empty() {
            self.write(writes).map_err(Failure::Write)?;
        }
        Ok(answers)
    }

    fn write(&mut self, writes: WriteBatch) -> Result<(), EngineError> {
        let sequence = self.db.latest_sequence_number();
        match self.db.write_opt(writes, &self.write_options) {
            Ok(()) if self.failing.load(Ordering::Relaxed) => {
                // Before anybody is told that it is on disk.
                self.fence.leave()?;
                self.failing.store(false, Ordering::Relaxed);
                tracing::info!("the database can be written again");
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) => {
                let error = engine_error(error);
                self.failed(sequence, &error);
                Err(error)
            }
        }
    }

    /// The record of a failed write may be in the log, whole or in part. RocksDB takes no
    /// further write until it has recovered by itself (which it does when there is room again)
    /// or is opened anew; the fence sees to it that opening doesn't bring the record back.
    fn failed(&mut self, sequence: u64, error: &EngineError) {
        // Once is enough: nothing gets into the log before a write succeeds again.
        if self.failing.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(%error, "the database can't be written; reading goes on");
        if let Err(error) = self.fence.set(sequence) {
            tracing::error!(%error, "commits that failed may turn up after a restart");
        }
    }
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
