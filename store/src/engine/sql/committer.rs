//! The one task that writes: it makes one transaction of all commits that wait.
//!
//! Holds: commits of this engine are applied in the order in which they came. What a batch asserts is true when its
//! transaction is committed, whoever else commits in the same database: every key that a group names and that is there is
//! locked, in key order, before anything is decided; a key that wasn't there is written by a statement that notices when it
//! has appeared, and then all is done anew; ranges, and absences that nothing is put into, take the lock that all writers
//! share for themselves. So a group is as if it happened at the moment when its locks were had.
//! What was certainly not applied is tried again for a while. Where the answer to a COMMIT was lost it is not: the caller
//! is told so, once the transaction has ended one way or the other. In a database that nobody else writes to it is looked up which way.
//! Other half: `group` decides, `Dialect` has the statements.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sqlx::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};

use super::{
    dialect::{Cause, Changes, Dialect, Purpose, Query, Wanted, engine_error, no_answer},
    group::{self, Answer, Decision, Found, Outcome},
    pool::Pool,
};
use crate::engine::{Batch, CommitError, EngineError, Page, Write};

/// Batches that are written at once.
const GROUP_BATCHES_MAX: usize = 1024;
/// A group takes no further batch once it has this many octets of keys and values.
const GROUP_OCTETS_MAX: usize = 4 * 1024 * 1024;
/// For so long a group that was not applied is tried again.
const RETRY_TIME: Duration = Duration::from_secs(8);
const RETRY_WAIT: Duration = Duration::from_millis(10);
const RETRY_WAIT_MAX: Duration = Duration::from_millis(500);
/// So often somebody else may put a key that wasn't there, before the lock is taken from all others.
const RACES_MAX: u32 = 3;
/// So often locks may be in each other's way before the batches go one by one.
const TOGETHER_MAX: u32 = 4;
/// A connection that was not used for so long is not used again: the server may have given it up.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Keys of a range that are looked at at once.
const RANGE_PAGE: usize = 256;

/// A commit on its way.
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) since: Instant,
    pub(super) answer: oneshot::Sender<Answer>,
}

pub(super) struct Committer<D: Dialect> {
    pool: Arc<Pool<D>>,
    /// And since when nobody has used it.
    connection: Option<(D::Connection, Instant)>,
    /// The last write failed.
    failing: Arc<AtomicBool>,
}

/// Why an attempt came to nothing.
enum Trouble {
    /// A key has appeared.
    Raced,
    /// It has to be done with nobody else writing.
    NeedsExclusive,
    /// Certainly not applied.
    Failed(Cause, EngineError),
    /// Nobody knows.
    Unknown(EngineError, Option<Expected>),
}

/// What there is if a group was applied: keys with their values, `None` where there is none. In a database that nobody else writes to, it is
/// there only then, or the group has changed nothing.
struct Expected {
    rows: Vec<(Vec<u8>, Option<Bytes>)>,
    answers: Vec<Answer>,
}

impl Expected {
    fn new(changes: &Changes<'_>, answers: Vec<Answer>) -> Self {
        let puts = changes.inserts.iter().chain(&changes.updates);
        let puts = puts.map(|(key, value)| (key.to_vec(), Some(value.clone())));
        let deletes = changes.deletes.iter().chain(&changes.absent);
        let deletes = deletes.map(|key| (key.to_vec(), None));
        let mut rows: Vec<_> = puts.chain(deletes).collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Self { rows, answers }
    }

    async fn is_there<D: Dialect>(
        &self,
        at: &Step<'_, D>,
        connection: &mut D::Connection,
    ) -> Result<bool, Trouble> {
        let wanted = Wanted {
            values: self.rows.iter().map(|(key, _)| key.as_slice()).collect(),
            ..Wanted::default()
        };
        let found = at.step(at.dialect.lock(connection, &wanted)).await?;
        let found: HashMap<Vec<u8>, Option<Bytes>> = found.into_iter().collect();
        let mut rows = self.rows.iter();
        Ok(rows.all(|(key, value)| found.get(key).cloned().flatten() == *value))
    }
}

impl<D: Dialect> Committer<D> {
    pub(super) fn new(pool: Arc<Pool<D>>, failing: Arc<AtomicBool>) -> Self {
        Self {
            pool,
            connection: None,
            failing,
        }
    }

    /// Works until all senders are gone and the queue is empty.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        while let Some(first) = requests.recv().await {
            gather(&mut requests, first, &mut group);
            self.refuse_late(&mut group);
            let batches: Vec<Batch> = group
                .iter_mut()
                .map(|request: &mut Request| std::mem::take(&mut request.batch))
                .collect();
            let answers = self.commit(&batches).await;
            for (request, answer) in group.drain(..).zip(answers) {
                // Who doesn't wait any more doesn't need the answer.
                let _ = request.answer.send(answer);
            }
        }
    }

    /// Whoever has waited for so long is told, before it is too late for whom it waits.
    fn refuse_late(&self, group: &mut Vec<Request>) {
        let now = Instant::now();
        let timeout = self.pool.timeout;
        for late in group.extract_if(.., |request| now.duration_since(request.since) > timeout) {
            let _ = late.answer.send(Err(CommitError::Engine(no_answer(
                &self.pool.dialect,
                timeout,
            ))));
        }
    }

    /// The answers to `group`, in its order.
    async fn commit(&mut self, group: &[Batch]) -> Vec<Answer> {
        if group.is_empty() {
            return Vec::new();
        }
        let until = Instant::now() + self.pool.timeout;
        let error = match self.commit_together(group, until).await {
            Ok(answers) => return answers,
            Err(Failure::OfGroup(error)) => error,
            Err(Failure::OfOne(error)) if group.len() == 1 => error,
            Err(Failure::OfOne(_)) => return self.commit_one_by_one(group, until).await,
        };
        all_failed(group, &error)
    }

    /// Something about one of them fails them all, or they are in the way of others: each for itself.
    async fn commit_one_by_one(&mut self, group: &[Batch], until: Instant) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(group.len());
        for (index, batch) in group.iter().enumerate() {
            match self
                .commit_together(std::slice::from_ref(batch), until)
                .await
            {
                Ok(answer) => answers.extend(answer),
                Err(Failure::OfOne(error)) => answers.push(Err(CommitError::Engine(error))),
                Err(Failure::OfGroup(error)) => {
                    answers.extend(all_failed(&group[index..], &error));
                    break;
                }
            }
        }
        answers
    }

    async fn commit_together(
        &mut self,
        group: &[Batch],
        until: Instant,
    ) -> Result<Vec<Answer>, Failure> {
        let retry_until = until.min(Instant::now() + RETRY_TIME);
        let mut exclusive = group::has_ranges(group);
        let (mut races, mut meetings) = (0, 0);
        let mut wait = RETRY_WAIT;
        loop {
            let trouble = match self.attempt(group, exclusive, until).await {
                Ok(answers) => return Ok(answers),
                Err(trouble) => trouble,
            };
            let (cause, error) = match trouble {
                Trouble::NeedsExclusive => {
                    exclusive = true;
                    continue;
                }
                Trouble::Raced => {
                    races += 1;
                    exclusive |= races >= RACES_MAX;
                    continue;
                }
                Trouble::Unknown(error, expected) => {
                    self.failed(&error);
                    let is_applied = self.settle(until, expected.as_ref()).await;
                    return match expected {
                        Some(expected) if is_applied => Ok(expected.answers),
                        _ => Err(Failure::OfGroup(error)),
                    };
                }
                Trouble::Failed(cause, error) => (cause, error),
            };
            if cause == Cause::Again {
                meetings += 1;
                if meetings >= TOGETHER_MAX && group.len() > 1 {
                    return Err(Failure::OfOne(error));
                }
            }
            if matches!(cause, Cause::Lost | Cause::ReadOnly) {
                self.connection = None;
                self.pool.connection_was_lost();
            }
            let is_passing = matches!(cause, Cause::Lost | Cause::ReadOnly | Cause::Again);
            if is_passing && Instant::now() + wait < retry_until {
                sleep(wait).await;
                wait = RETRY_WAIT_MAX.min(wait * 2);
                continue;
            }
            let is_of_one = matches!(cause, Cause::Other | Cause::Damaged);
            if !is_of_one || group.len() == 1 {
                self.failed(&error);
            }
            return Err(match is_of_one {
                true => Failure::OfOne(error),
                false => Failure::OfGroup(error),
            });
        }
    }

    /// Does it once, in one transaction.
    async fn attempt(
        &mut self,
        group: &[Batch],
        exclusive: bool,
        until: Instant,
    ) -> Result<Vec<Answer>, Trouble> {
        let pool = self.pool.clone();
        let mut connection = match self.connection.take() {
            Some((connection, since)) if since.elapsed() < IDLE_TIME => connection,
            // Who waits here for a server that is gone gets its time from `commit_together`.
            _ => {
                let soon = until.min(Instant::now() + RETRY_TIME);
                let connected = pool.connect(Purpose::Commit, soon).await;
                connected.map_err(|error| Trouble::Failed(Cause::Lost, error))?
            }
        };
        let at = Step {
            dialect: &pool.dialect,
            timeout: pool.timeout,
            until,
        };
        let done = self.transact(&at, &mut connection, group, exclusive).await;
        let is_open = match &done {
            Ok(_) => true,
            Err(Trouble::Failed(Cause::Lost, _) | Trouble::Unknown(..)) => false,
            Err(_) => at.rollback(&mut connection).await,
        };
        if is_open {
            self.connection = Some((connection, Instant::now()));
        }
        done
    }

    async fn transact(
        &mut self,
        at: &Step<'_, D>,
        connection: &mut D::Connection,
        group: &[Batch],
        exclusive: bool,
    ) -> Result<Vec<Answer>, Trouble> {
        let dialect = at.dialect;
        at.step(dialect.begin(connection, exclusive)).await?;
        let wanted = group::wanted(group);
        let rows = at.step(dialect.lock(connection, &wanted)).await?;
        let mut found = Found::new(rows);
        let outcome = loop {
            match group::decide(group, &found) {
                Decision::Done(outcome) => break outcome,
                Decision::Read(range) => {
                    let page = Page::first(range, RANGE_PAGE).keys_only();
                    let keys = at
                        .step(dialect.read(connection, Query::Page(&page)))
                        .await?;
                    let keys = keys.into_iter().map(|(key, _)| key).collect();
                    found.add_page(page.range, keys, RANGE_PAGE);
                }
            }
        };
        let Outcome {
            answers,
            changes,
            needs_exclusive,
        } = outcome;
        if needs_exclusive && !exclusive {
            return Err(Trouble::NeedsExclusive);
        }
        let was_failing = self.failing.load(Ordering::Relaxed);
        if changes.is_empty() {
            at.step(dialect.rollback(connection)).await?;
            return Ok(answers);
        }
        if was_failing {
            at.step(dialect.touch(connection)).await?;
        }
        if !at.step(dialect.write(connection, &changes)).await? {
            return Err(Trouble::Raced);
        }
        if let Err(trouble) = at.commit(connection).await {
            return Err(match trouble {
                Trouble::Unknown(error, _)
                    if dialect.is_exclusive() && changes.ranges.is_empty() =>
                {
                    Trouble::Unknown(error, Some(Expected::new(&changes, answers)))
                }
                trouble => trouble,
            });
        }
        if was_failing {
            self.failing.store(false, Ordering::Relaxed);
            tracing::info!(
                database = dialect.name(),
                "the database can be written again"
            );
        }
        Ok(answers)
    }

    fn failed(&self, error: &EngineError) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database can't be written");
        }
    }

    /// Waits until a transaction whose COMMIT has had no answer is over: it holds the lock that all writers share until then. `true`: what is
    /// expected of it is there.
    async fn settle(&mut self, until: Instant, expected: Option<&Expected>) -> bool {
        let soon = until.max(Instant::now() + RETRY_TIME / 2);
        let Ok(mut connection) = self.pool.connect(Purpose::Commit, soon).await else {
            return false;
        };
        let at = Step {
            dialect: &self.pool.dialect,
            timeout: self.pool.timeout,
            until: soon,
        };
        if at
            .step(at.dialect.begin(&mut connection, true))
            .await
            .is_err()
        {
            return false;
        }
        let is_there = match expected {
            Some(expected) => expected.is_there(&at, &mut connection).await,
            None => Ok(false),
        };
        if at.rollback(&mut connection).await {
            self.connection = Some((connection, Instant::now()));
        }
        is_there.unwrap_or(false)
    }
}

/// Whom a failure concerns.
enum Failure {
    /// Perhaps only one of them.
    OfOne(EngineError),
    OfGroup(EngineError),
}

fn all_failed(group: &[Batch], error: &EngineError) -> Vec<Answer> {
    let answer = || Err(CommitError::Engine(error.clone()));
    group.iter().map(|_| answer()).collect()
}

/// Calls that have to be done by a moment.
struct Step<'d, D> {
    dialect: &'d D,
    timeout: Duration,
    until: Instant,
}

impl<D: Dialect> Step<'_, D> {
    /// Before the COMMIT: what goes wrong here is certainly not applied, since a connection that is closed takes its
    /// transaction with it.
    async fn step<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
        match timeout_at(self.until, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(Trouble::Failed(
                Cause::Lost,
                no_answer(self.dialect, self.timeout),
            )),
        }
    }

    async fn commit(&self, connection: &mut D::Connection) -> Result<(), Trouble> {
        match timeout_at(self.until, self.dialect.commit(connection)).await {
            Ok(Ok(())) => Ok(()),
            // The database itself says that it has not done it.
            Ok(Err(error))
                if matches!(error, Error::Database(_)) && D::cause(&error) != Cause::Lost =>
            {
                Err(self.failed(&error))
            }
            Ok(Err(error)) => Err(Trouble::Unknown(engine_error(self.dialect, &error), None)),
            Err(_) => Err(Trouble::Unknown(
                no_answer(self.dialect, self.timeout),
                None,
            )),
        }
    }

    /// Whether the connection is good for another transaction.
    async fn rollback(&self, connection: &mut D::Connection) -> bool {
        let rolled_back = timeout_at(self.until, self.dialect.rollback(connection)).await;
        matches!(rolled_back, Ok(Ok(())))
    }

    fn failed(&self, error: &Error) -> Trouble {
        Trouble::Failed(D::cause(error), engine_error(self.dialect, error))
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
