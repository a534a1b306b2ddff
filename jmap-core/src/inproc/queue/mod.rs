//! The queue: EmailSubmissions that are on their way.
//!
//! Holds: a submission is sent to each recipient once, through crashes and on several nodes: whoever works on it has the
//! lease of its row, every transaction of that work asserts the lease, an account that has the message is noted in the transaction
//! that delivers it, and what another server has taken is recorded before anything else is done. What can't be delivered
//! comes back to its sender. No destination waits for another, and memory is bounded.
//!
//! One window is left open: between the last octet of a peer's 250 and the commit that records it. Whoever dies there sends the
//! message again (RFC 1047); nothing else is done within it.
//!
//! Other half: `mail::submission` makes the rows, `deliver` puts mail into inboxes, `outbound` is who sends to others.

mod admin;
mod admit;
mod board;
mod here;
mod lease;
mod note;
pub(crate) mod reports;
mod settings;
#[cfg(test)]
mod tests;
mod work;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use jmap_types::AccountId;
use parking_lot::Mutex;
use store::{
    engine::{Engine, Page},
    keys, numbers,
};
use tokio::sync::{Notify, Semaphore};

pub use self::{
    admin::{ENTRIES_MAX, QueueEntry, QueueError, QueueFilter, QueueState, Which},
    board::PlaceState,
    settings::{Delivery, DomainLimits, QueueRate},
};
use self::{board::Board, lease::LEASE_MS, work::Unrecorded};
use crate::{
    Core,
    clock::Clock,
    cluster::Cluster,
    mail::submission::{
        KEPT_DAYS,
        records::{DUE_NEVER, SubmissionRecord, UndoStatus},
    },
    rng::Rng,
};

/// How long the worker waits after the store has failed.
const PAUSE: Duration = Duration::from_secs(5);
/// All of the queue is looked at this often, whatever is known of it: another node may have changed it.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often leases are looked at while something is sent.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// While so many submissions are in memory, there is enough to do, and the queue isn't looked at for each that is added.
const BUSY: usize = 500;
const BUSY_WAIT: Duration = Duration::from_millis(200);
/// Of the memory for messages to other servers, local deliveries have one part in so many besides.
const HERE_SHARE: u64 = 4;
/// The unit in which the octets of messages in memory are counted.
const BUDGET_UNIT: u64 = 64 << 10;

/// What a process knows of the queue that it works on.
#[derive(Debug)]
pub struct Queue {
    wake: Notify,
    /// A job has ended.
    moved: Notify,
    /// Tells the leases of this process from those of others.
    owner: u64,
    /// No other process has the database: a lease of another owner is that of one that is no more.
    is_alone: bool,
    /// Knows who of those that have leases is no more.
    cluster: Option<Arc<Cluster>>,
    /// All of the queue is to be looked at: a node has died, it may be.
    looks_at_all: AtomicBool,
    /// So are rows that aren't due by this node's clock: who has died may have had another one.
    has_orphans: AtomicBool,
    board: Mutex<Board>,
    /// What was sent, and could not be written down yet.
    unrecorded: Mutex<Vec<Unrecorded>>,
    budget: Mutex<Budget>,
    /// Until when the queue was looked through, in milliseconds since 1970.
    loaded_until: tokio::sync::Mutex<u64>,
    reports: reports::Limiter,
    /// Submissions under way, as of the last look.
    length: AtomicI64,
    clock: Arc<dyn Clock>,
    origin: Instant,
}

impl Queue {
    pub(crate) fn new(rng: &dyn Rng, clock: &Arc<dyn Clock>, is_alone: bool) -> Self {
        // 0 would be taken for no owner.
        Self::owned_by(rng.next_u64() | 1, clock, is_alone)
    }

    fn owned_by(owner: u64, clock: &Arc<dyn Clock>, is_alone: bool) -> Self {
        let settings = Delivery::default();
        Self {
            wake: Notify::new(),
            moved: Notify::new(),
            owner,
            is_alone,
            cluster: None,
            looks_at_all: AtomicBool::new(false),
            has_orphans: AtomicBool::new(true),
            unrecorded: Mutex::default(),
            budget: Mutex::new(budget(&settings)),
            board: Mutex::default(),
            loaded_until: tokio::sync::Mutex::default(),
            reports: reports::Limiter::default(),
            length: AtomicI64::new(0),
            clock: clock.clone(),
            origin: clock.monotonic(),
        }
    }

    /// That of a node.
    pub(crate) fn of_node(cluster: Arc<Cluster>, clock: &Arc<dyn Clock>) -> Self {
        let owner = cluster.session();
        Self {
            owner,
            cluster: Some(cluster),
            ..Self::owned_by(owner, clock, false)
        }
    }

    /// A node has died, and left work behind it may be.
    pub(crate) fn look_for_orphans(&self) {
        self.has_orphans.store(true, Ordering::Release);
        self.look_at_all();
    }

    /// Another node has said that there is some work.
    pub(crate) fn look_at_all(&self) {
        self.looks_at_all.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Something is due.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Milliseconds of a clock that doesn't go back.
    fn tick(&self) -> u64 {
        settings::millis(
            self.clock
                .monotonic()
                .saturating_duration_since(self.origin),
        )
    }

    /// The tick at a time of the wall clock, both in milliseconds.
    fn tick_at(&self, time: u64, now: u64) -> u64 {
        self.tick().saturating_add(time.saturating_sub(now))
    }

    fn settings(&self) -> Arc<Delivery> {
        self.board.lock().settings.clone()
    }

    /// Submissions under way, waiting in memory, and mail transactions that run.
    pub(crate) fn gauges(&self) -> (u64, u64, u64) {
        let length = u64::try_from(self.length.load(Ordering::Relaxed)).unwrap_or(0);
        let board = self.board.lock();
        (length, board.waiting() as u64, board.running() as u64)
    }
}

/// Memory for messages that are being sent. What is for here has some of its own: other servers may be slow to take theirs.
#[derive(Clone, Debug)]
struct Budget {
    others: Room,
    here: Room,
}

#[derive(Clone, Debug)]
struct Room {
    /// All of it, in units.
    units: u32,
    free: Arc<Semaphore>,
}

impl Room {
    fn new(octets: u64) -> Self {
        let units = (octets / BUDGET_UNIT).clamp(1, 1 << 20) as u32;
        Self {
            units,
            free: Arc::new(Semaphore::new(units as usize)),
        }
    }
}

fn budget(settings: &Delivery) -> Budget {
    Budget {
        others: Room::new(settings.octets_max),
        here: Room::new(settings.octets_max / HERE_SHARE),
    }
}

impl Core {
    /// Milliseconds since 1970, as the queue counts.
    pub(crate) fn queue_now(&self) -> u64 {
        u64::try_from(self.clock.now().0).unwrap_or(0)
    }

    /// When the record of a submission that is done with goes.
    pub(crate) fn kept_until(&self) -> u64 {
        self.queue_now().saturating_add(KEPT_DAYS * 86_400_000)
    }

    /// What the row of a new submission holds: this process sends at once what is due at once. What is paused is nobody's: whoever
    /// works with the queue at another node can take it out.
    pub(crate) fn first_lease(&self, record: &SubmissionRecord) -> Bytes {
        let is_paused = {
            let board = self.queue.board.lock();
            let mut to = record.recipients.iter().map(|to| &to.address.email);
            to.any(|email| board.is_paused_for(&admit::domain_of(email)))
        };
        match record.undo_status {
            UndoStatus::Final if is_paused => Bytes::new(),
            UndoStatus::Final => {
                numbers(&[self.queue.owner, self.queue_now().saturating_add(LEASE_MS)])
            }
            UndoStatus::Pending | UndoStatus::Canceled => Bytes::new(),
        }
    }

    /// How the queue works, from now on.
    pub fn set_delivery(&self, settings: Delivery) {
        *self.queue.budget.lock() = budget(&settings);
        self.queue.board.lock().settings = Arc::new(settings);
    }

    /// Works on the queue for as long as the future is polled. Dropping it loses nothing.
    pub async fn run_queue(&self) {
        let mut whole: Option<tokio::time::Instant> = None;
        loop {
            let is_told = self.queue.looks_at_all.swap(false, Ordering::AcqRel);
            let is_whole = is_told || whole.is_none_or(|last| last.elapsed() >= LOOK_EVERY);
            if is_whole {
                whole = Some(tokio::time::Instant::now());
            }
            let wait = match self.look(is_whole).await {
                Ok(Some(at)) => Duration::from_millis(at.saturating_sub(self.queue_now())),
                Ok(None) => LOOK_EVERY,
                Err(error) => {
                    tracing::error!(%error, "the queue could not be read");
                    whole = None;
                    PAUSE
                }
            };
            let is_busy = self.queue.board.lock().running() > 0;
            let longest = if is_busy { RENEW_EVERY } else { LOOK_EVERY };
            tokio::select! {
                () = tokio::time::sleep(wait.min(longest)) => {}
                () = self.queue.wake.notified() => {}
            }
            if self.queue.board.lock().len() > BUSY {
                tokio::time::sleep(BUSY_WAIT).await;
            }
        }
    }

    /// One look at the queue: what is due begins to be sent. Returns when to look again, in milliseconds since 1970.
    async fn look(&self, is_whole: bool) -> Result<Option<u64>, store::Error> {
        self.record_again().await;
        self.renew_leases().await;
        self.adopt_orphans().await?;
        if is_whole {
            self.read_pauses().await?;
        }
        self.read_length().await?;
        let next = self.load_due(is_whole).await?;
        self.admit_left_over().await;
        self.pump();
        Ok(next.into_iter().chain(self.next_event().await?).min())
    }

    /// Does what is due now, and waits for it. Returns when something is due next, in milliseconds since 1970.
    pub async fn send_due(&self) -> Result<Option<u64>, store::Error> {
        self.record_again().await;
        self.adopt_orphans().await?;
        self.read_pauses().await?;
        let next = self.load_due(true).await?;
        loop {
            self.settle().await;
            if !self.admit_left_over().await {
                break;
            }
        }
        self.read_length().await?;
        Ok(next.into_iter().chain(self.next_event().await?).min())
    }

    /// Starts what may start, and waits until nothing runs.
    async fn settle(&self) {
        loop {
            let moved = self.queue.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            self.pump();
            if self.queue.board.lock().is_still() {
                return;
            }
            moved.await;
        }
    }

    /// Sends one submission now, if it is due and nobody else is at it; returns when it is through with it, or after a while.
    pub(crate) async fn send_submission(&self, account: AccountId, submission: u64) {
        const WAIT: Duration = Duration::from_secs(10);
        let item = (account, submission);
        {
            let board = self.queue.board.lock();
            if board.is_paused() || board.is_full() {
                return self.queue.wake();
            }
        }
        if let Err(error) = self.admit_submission(item, None).await {
            tracing::error!(%error, "a submission waits for the queue");
            return self.queue.wake();
        }
        let sent = async {
            loop {
                let moved = self.queue.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                self.pump();
                if !self.queue.board.lock().holds(&item) {
                    return;
                }
                moved.await;
            }
        };
        let _ = tokio::time::timeout(WAIT, sent).await;
    }

    /// Begins nothing new, and waits until what is being sent is recorded: at most so long.
    pub async fn stop_queue(&self, time: Duration) {
        self.queue.board.lock().is_stopping = true;
        let stopped = async {
            loop {
                let moved = self.queue.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if self.queue.board.lock().running() == 0 {
                    return;
                }
                moved.await;
            }
        };
        if tokio::time::timeout(time, stopped).await.is_err() {
            tracing::warn!("mail was still being sent when the server stopped");
        }
        self.record_again().await;
    }

    /// Starts all that may start now.
    fn pump(&self) {
        loop {
            let started = self.queue.board.lock().next(self.queue.tick());
            let Some(started) = started else {
                return;
            };
            let core = self.clone();
            tokio::spawn(async move { core.run_lane(started).await });
        }
    }

    /// When something becomes due that isn't yet.
    async fn next_event(&self) -> Result<Option<u64>, store::Error> {
        let now = self.queue_now();
        let mut later = keys::all(keys::Subspace::QueueDue);
        later.start = keys::queue_due_before(now.saturating_add(1)).end;
        // What is on hold is due at no time.
        later.end = keys::queue_due_before(DUE_NEVER).end;
        let rows = self.engine.scan(Page::first(later, 1).keys_only()).await?;
        let row = rows
            .first()
            .and_then(|(key, _)| keys::decode_queue_due(key))
            .map(|(due, ..)| due);
        let tick = self.queue.tick();
        let waits = {
            let board = self.queue.board.lock();
            board.next_tick().filter(|_| !board.is_paused())
        };
        let waits = waits.map(|at| now.saturating_add(at.saturating_sub(tick)));
        let is_unrecorded = !self.queue.unrecorded.lock().is_empty();
        let unrecorded = is_unrecorded.then(|| now.saturating_add(settings::millis(PAUSE)));
        Ok(row.into_iter().chain(waits).chain(unrecorded).min())
    }

    /// What is paused, as the store has it: another node may have said so.
    async fn read_pauses(&self) -> Result<(), store::Error> {
        let rows = self.rows_of_pauses().await?;
        let paused: HashSet<String> = rows.into_iter().map(|(domain, _)| domain).collect();
        let now = self.queue.tick();
        self.queue.board.lock().set_paused(paused, now);
        Ok(())
    }

    async fn read_length(&self) -> Result<(), store::Error> {
        let bytes = self.engine.get(&keys::queue_length()).await?;
        let length = bytes.and_then(|bytes| Some(i64::from_be_bytes((&*bytes).try_into().ok()?)));
        self.queue
            .length
            .store(length.unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }
}

/// Counts the submissions under way in a store from before they were counted.
pub(crate) async fn count_once(engine: &Arc<dyn Engine>) -> Result<(), store::Error> {
    const ROWS_PER_PAGE: usize = 500;
    let key = keys::queue_length();
    if engine.get(&key).await?.is_some() {
        return Ok(());
    }
    let mut open = 0;
    let mut range = keys::all(keys::Subspace::QueueDue);
    loop {
        let page = Page::first(range.clone(), ROWS_PER_PAGE).keys_only();
        let rows = engine.scan(page).await?;
        let objects: Vec<_> = rows
            .iter()
            .filter_map(|(key, _)| keys::decode_queue_due(key))
            .map(|(_, account, id)| {
                keys::object(account, jmap_types::DataType::EmailSubmission, id)
            })
            .collect();
        for (key, bytes) in objects.iter().zip(engine.multi_get(&objects).await?) {
            let record =
                bytes.map(|bytes| <SubmissionRecord as store::Record>::from_bytes(key, &bytes));
            let is_done = matches!(record, Some(Ok(record)) if record.is_done);
            open += i64::from(!is_done);
        }
        let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
            break;
        };
        range.start = [last, &[0u8][..]].concat();
    }
    if open == 0 {
        return Ok(());
    }
    let mut batch = store::engine::Batch::new();
    batch.assert(store::engine::Assertion::Absent(key.clone()));
    batch.add(key, open);
    match engine.commit(batch).await.map_err(store::Error::from) {
        // Another node has counted.
        Err(store::Error::Conflict) => Ok(()),
        result => result,
    }
}
