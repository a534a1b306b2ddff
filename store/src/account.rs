//! Transactions on one account.
//!
//! Holds: an account's transactions form one sequence; each sees all that were staged before
//! it; what is staged while a commit is under way goes to disk together with the next one; a
//! transaction is acknowledged and published after it is on disk, in the order of the sequence.
//! Where several nodes write, `shared` sees to it that each gets its turn, and that a lost answer is found out about.
//! Other half: `log` reads the rows that transactions leave.

mod mend;
mod shared;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::Future,
    mem,
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use minicbor::{Decode, Encode};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, RwLock, watch};

use self::shared::Shared;
use crate::{
    Change, Error, Record,
    engine::{Assertion, Batch, Engine, Key, KeyRange, Page, Write},
    keys,
    log::LogRow,
    numbers,
};

/// What is kept of an account as a whole: rewritten by each of its transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The last transaction.
    #[n(0)]
    pub sequence: u64,
    /// By number of the `DataType`: the last transaction that changed such an object.
    #[n(1)]
    pub states: Vec<u64>,
    /// The last number given to an object.
    #[n(2)]
    pub last_id: u64,
    /// Sum of the sizes of all emails.
    #[n(3)]
    pub used_octets: u64,
    /// Rows of the log up to this one are gone.
    #[n(4)]
    pub log_trimmed: u64,
    /// EmailSubmissions that are kept; `None` until the first is made after they began to be counted.
    #[n(5)]
    pub submissions: Option<u64>,
    /// The last UIDVALIDITY given to a mailbox; `None` until the first is made after they began to be different ones.
    #[n(6)]
    pub uid_validity: Option<u32>,
    /// Counted up with each commit, also with one that changes no object; `None` until several nodes share the account.
    #[n(7)]
    pub revision: Option<u64>,
    /// By node: the revision that it wrote last. So a node finds out what became of a commit whose answer it has lost.
    #[n(8)]
    pub writers: Option<Vec<Written>>,
}

/// The last commit of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Written {
    #[n(0)]
    pub node: u64,
    #[n(1)]
    pub revision: u64,
}

impl Record for Head {
    const KIND: &'static str = "account head";
}

impl Head {
    pub fn state(&self, data_type: DataType) -> u64 {
        self.states.get(data_type as usize).copied().unwrap_or(0)
    }

    fn set_state(&mut self, data_type: DataType, sequence: u64) {
        let at = data_type as usize;
        if self.states.len() <= at {
            self.states.resize(at + 1, 0);
        }
        self.states[at] = sequence;
    }
}

/// The log keeps at least this many rows; a client that is further behind starts anew.
pub const LOG_ROWS_MIN: u64 = 100_000;
/// Rows are trimmed this many at a time.
const LOG_TRIM_ROWS: u64 = 1000;
/// Octets that one group of transactions gathers before others have to wait.
const GROUP_OCTETS_MAX: usize = 16 << 20;

/// A transaction that is on disk, for whoever keeps a view of the account.
#[derive(Debug)]
pub struct Committed<E> {
    pub sequence: u64,
    pub changes: Vec<Change>,
    pub events: Vec<E>,
    pub head: Head,
}

/// Called with each group of transactions once it is on disk, in their order, before they are
/// acknowledged.
pub type Sink<E> = Arc<dyn Fn(AccountId, Vec<Committed<E>>) + Send + Sync>;

/// The one place of a process that writes to an account.
pub struct AccountWriter<E> {
    account: AccountId,
    engine: Arc<dyn Engine>,
    building: Arc<Mutex<Building<E>>>,
    flushing: Arc<Mutex<()>>,
    /// Each transaction has a share of it; who has several to make one after the other takes it whole.
    turn: Arc<RwLock<()>>,
    sink: Sink<E>,
    /// `None`: no other node writes.
    shared: Option<Arc<Shared>>,
}

tokio::task_local! {
    /// The account whose turn this task has, by the address of what is built for it.
    static HAS_TURN: usize;
}

impl<E> Clone for AccountWriter<E> {
    fn clone(&self) -> Self {
        Self {
            account: self.account,
            engine: self.engine.clone(),
            building: self.building.clone(),
            flushing: self.flushing.clone(),
            turn: self.turn.clone(),
            sink: self.sink.clone(),
            shared: self.shared.clone(),
        }
    }
}

impl<E> fmt::Debug for AccountWriter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountWriter")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Values by key; `None` where the key is deleted.
type Overlay = HashMap<Key, Option<Bytes>>;

struct Building<E> {
    /// The head after all that is staged; `None` until it is read, and after a failure.
    head: Option<Head>,
    /// The head that the group under construction builds on, as it is (or will be) on disk.
    base: Option<Bytes>,
    group: Group<E>,
    /// What is on its way to the disk.
    in_flight: Option<InFlight>,
    /// The value of the row that keeps other nodes from writing, while it is ours.
    claim: Option<Bytes>,
    /// There is such a row, as of when the head was read.
    has_turn_row: bool,
    /// Transactions with changes that this process has staged, whatever became of them.
    staged: u64,
}

struct InFlight {
    overlay: Arc<Overlay>,
    outcome: watch::Receiver<Option<Result<(), Error>>>,
}

impl<E> Building<E> {
    /// Nothing is staged that is not on disk.
    fn is_still(&self) -> bool {
        self.group.committed.is_empty() && self.in_flight.is_none()
    }
}

struct Group<E> {
    batch: Batch,
    overlay: Overlay,
    committed: Vec<Committed<E>>,
    outcome: watch::Sender<Option<Result<(), Error>>>,
    octets: usize,
}

impl<E> Group<E> {
    fn new() -> Self {
        Self {
            batch: Batch::new(),
            overlay: HashMap::new(),
            committed: Vec::new(),
            outcome: watch::Sender::new(None),
            octets: 0,
        }
    }
}

/// The outcome of a staged transaction, to be waited for. Dropping it does not undo anything.
#[derive(Debug)]
#[must_use = "the transaction is on disk only when this was waited for"]
pub struct Ticket {
    outcome: watch::Receiver<Option<Result<(), Error>>>,
    pub sequence: u64,
    has_written: bool,
}

impl Ticket {
    /// Whether it is of a transaction that writes something, and not of what one has read.
    pub fn has_written(&self) -> bool {
        self.has_written
    }

    /// Waits until the transaction is on disk and published.
    pub async fn durable(mut self) -> Result<(), Error> {
        self.wait().await
    }

    /// The same, of a ticket that somebody else waits for as well.
    pub async fn wait(&mut self) -> Result<(), Error> {
        wait(&mut self.outcome).await
    }
}

async fn wait(outcome: &mut watch::Receiver<Option<Result<(), Error>>>) -> Result<(), Error> {
    match outcome.wait_for(Option::is_some).await {
        Ok(result) => result.clone().unwrap_or(Err(Error::Conflict)),
        // The committing task is gone: the process is stopping.
        Err(_) => Err(Error::Conflict),
    }
}

impl<E: Send + 'static> AccountWriter<E> {
    pub fn new(account: AccountId, engine: Arc<dyn Engine>, sink: Sink<E>) -> Self {
        let building = Building {
            head: None,
            base: None,
            group: Group::new(),
            in_flight: None,
            claim: None,
            has_turn_row: false,
            staged: 0,
        };
        Self {
            account,
            engine,
            building: Arc::new(Mutex::new(building)),
            flushing: Arc::new(Mutex::new(())),
            turn: Arc::default(),
            sink,
            shared: None,
        }
    }

    /// A writer beside which other nodes write as well. `node`: a number that no other node has.
    pub fn of_node(account: AccountId, engine: Arc<dyn Engine>, sink: Sink<E>, node: u64) -> Self {
        Self {
            shared: Some(Arc::new(Shared::new(node))),
            ..Self::new(account, engine, sink)
        }
    }

    /// Begins a transaction. Others on this account wait until it is staged or dropped; when it
    /// is dropped, nothing of it stays.
    pub async fn begin(&self) -> Result<Txn<E>, Error> {
        let share = match self.has_turn() {
            true => None,
            false => Some(self.turn.clone().read_owned().await),
        };
        loop {
            let mut building = self.building.clone().lock_owned().await;
            if building.group.octets > GROUP_OCTETS_MAX {
                let mut outcome = building.group.outcome.subscribe();
                drop(building);
                // Whether it worked is the business of those that staged it.
                let _ = wait(&mut outcome).await;
                continue;
            }
            self.look_at_others(&mut building).await?;
            let head = match &building.head {
                Some(head) => head.clone(),
                None => self.read_head(&mut building).await?,
            };
            if self.must_claim(&building) {
                // What was read says that another node has the turn.
                continue;
            }
            return Ok(Txn {
                writer: self.clone(),
                building,
                _share: share,
                sequence: head.sequence + 1,
                head,
                batch: Batch::new(),
                overlay: HashMap::new(),
                changes: Vec::new(),
                known: HashSet::new(),
                unseen: Vec::new(),
                events: Vec::new(),
            });
        }
    }

    /// Between the transactions that `work` begins, there are none of others on this account: it sees what it has
    /// checked until its last one is staged. They are handed in one by one all the same.
    ///
    /// `work` must not take another account's turn, nor leave transactions to tasks that it waits for.
    pub async fn in_turn<T>(&self, work: impl Future<Output = T>) -> T {
        if self.has_turn() {
            return work.await;
        }
        let _turn = self.turn.write().await;
        HAS_TURN.scope(self.address(), work).await
    }

    fn has_turn(&self) -> bool {
        HAS_TURN
            .try_with(|address| *address == self.address())
            .unwrap_or(false)
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.building).addr()
    }

    async fn head_row(&self, building: &mut Building<E>) -> Result<Option<Bytes>, Error> {
        match &self.shared {
            None => Ok(self.engine.get(&keys::head(self.account)).await?),
            Some(shared) => self.read_with_turn(shared, building).await,
        }
    }

    async fn read_head(&self, building: &mut Building<E>) -> Result<Head, Error> {
        let key = keys::head(self.account);
        let mut bytes = self.head_row(building).await?;
        if bytes.is_none() && self.has_records().await? {
            // Another node may have written head and records between the two looks.
            bytes = self.head_row(building).await?;
            if bytes.is_none() {
                return Err(self.lost_head());
            }
        }
        let head = match &bytes {
            Some(bytes) => Head::from_bytes(&key, bytes)?,
            None => Head::default(),
        };
        building.base = bytes;
        building.head = Some(head.clone());
        self.told(head.revision.unwrap_or(0));
        Ok(head)
    }

    /// Writes the group that is being built, in a task of its own: a caller that goes away
    /// must not stop it half-way.
    fn schedule_flush(self) {
        tokio::spawn(async move { self.flush().await });
    }

    /// The same, but begun at once: where nothing has to be waited for, as with an engine that commits in the caller's thread,
    /// it is done when this returns, and no other thread was woken. Nobody may hold the account's turn.
    fn begin_flush(self) {
        let mut flush = Box::pin(async move { self.flush().await });
        // Whoever polls it next brings a waker of its own.
        let mut context = Context::from_waker(Waker::noop());
        if flush.as_mut().poll(&mut context).is_pending() {
            tokio::spawn(flush);
        }
    }

    async fn flush(&self) {
        let _turn = self.flushing.lock().await;
        let (mut group, overlay, expected) = {
            let mut building = self.building.lock().await;
            if building.group.batch.is_empty() && building.group.committed.is_empty() {
                // The group that this turn was for went down with the one before it. To write nothing would conflict,
                // and take the next group down as well, and so on.
                return;
            }
            let mut group = mem::replace(&mut building.group, Group::new());
            let overlay = Arc::new(mem::take(&mut group.overlay));
            building.in_flight = Some(InFlight {
                overlay: overlay.clone(),
                outcome: group.outcome.subscribe(),
            });
            let head_key = keys::head(self.account);
            let base = building.base.take();
            group.batch.assert(match base.clone() {
                Some(bytes) => Assertion::Equals(head_key.clone(), bytes),
                None => Assertion::Absent(head_key.clone()),
            });
            let expected = self.take_turn(&mut building, &mut group, base);
            if let Some(head) = &building.head {
                let bytes = head.to_bytes();
                building.base = Some(bytes.clone());
                group.batch.put(head_key, bytes);
            }
            (group, overlay, expected)
        };
        let batch = mem::take(&mut group.batch);
        let result = match (self.engine.commit(batch).await, expected) {
            (result, Some(expected)) => self.find_out(result, expected).await,
            (result, None) => result.map_err(Error::from),
        };
        drop(overlay);
        let mut building = self.building.lock().await;
        building.in_flight = None;
        match &result {
            Ok(()) => (self.sink)(self.account, mem::take(&mut group.committed)),
            Err(error) => {
                // What was built meanwhile stands on what has not happened.
                let failed = mem::replace(&mut building.group, Group::new());
                building.head = None;
                building.base = None;
                if !matches!(error, Error::Conflict) {
                    // Perhaps only the answer was lost: what is on disk has to be looked at again.
                    (self.sink)(self.account, Vec::new());
                }
                failed.outcome.send_replace(Some(Err(error.clone())));
            }
        }
        drop(building);
        group.outcome.send_replace(Some(result));
    }

    /// Nothing is staged and nobody has a transaction open.
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.building) == 1
    }

    /// Waits until all that is staged is on disk, or has failed. In a turn, nothing of others comes after it.
    pub async fn drained(&self) {
        loop {
            let mut outcome = {
                let building = self.building.lock().await;
                if building.is_still() {
                    return;
                }
                building.group.outcome.subscribe()
            };
            // What is in flight ends with the lock, what is staged with its outcome.
            drop(self.flushing.lock().await);
            if !self.building.lock().await.group.committed.is_empty() {
                // Whether it worked is the business of those that staged it.
                let _ = wait(&mut outcome).await;
            }
        }
    }

    /// While the guard lives, nothing of this account goes to disk: transactions may be staged,
    /// and wait.
    pub async fn pause_commits(&self) -> OwnedMutexGuard<()> {
        self.flushing.clone().lock_owned().await
    }

    /// The head as it is on disk.
    pub async fn stored_head(&self) -> Result<Head, Error> {
        let key = keys::head(self.account);
        match self.engine.get(&key).await? {
            Some(bytes) => Head::from_bytes(&key, &bytes),
            None => Ok(Head::default()),
        }
    }
}

/// A transaction under construction. It holds the account's turn.
pub struct Txn<E: Send + 'static> {
    writer: AccountWriter<E>,
    building: OwnedMutexGuard<Building<E>>,
    _share: Option<OwnedRwLockReadGuard<()>>,
    pub head: Head,
    sequence: u64,
    batch: Batch,
    overlay: Overlay,
    changes: Vec<Change>,
    /// The same, once there are more than a few.
    known: HashSet<Change>,
    unseen: Vec<u64>,
    events: Vec<E>,
}

impl<E: Send + 'static> fmt::Debug for Txn<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Txn")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl<E: Send + 'static> Txn<E> {
    pub fn account(&self) -> AccountId {
        self.writer.account
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.writer.engine
    }

    /// The number that this transaction will have: the state, and the MODSEQ, of what it changes.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// A number for a new object, never given before in this account.
    pub fn new_id(&mut self) -> u64 {
        self.head.last_id += 1;
        self.head.last_id
    }

    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.staged(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.writer.engine.get(key).await?),
        }
    }

    fn staged(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        let in_flight = self.building.in_flight.as_ref();
        self.overlay
            .get(key)
            .or_else(|| self.building.group.overlay.get(key))
            .or_else(|| in_flight.and_then(|of| of.overlay.get(key)))
    }

    pub async fn record<R: Record>(&self, key: &[u8]) -> Result<Option<R>, Error> {
        let bytes = self.get(key).await?;
        bytes.map(|bytes| R::from_bytes(key, &bytes)).transpose()
    }

    /// All pairs of a small range, in key order.
    pub async fn scan(&self, range: KeyRange) -> Result<Vec<(Bytes, Bytes)>, Error> {
        const ROWS_PER_PAGE: usize = 1000;
        let mut rows: std::collections::BTreeMap<Bytes, Bytes> = Default::default();
        let mut rest = range.clone();
        loop {
            let page = self
                .writer
                .engine
                .scan(Page::first(rest.clone(), ROWS_PER_PAGE))
                .await?;
            let full = page.len() == ROWS_PER_PAGE;
            if let Some((last, _)) = page.last() {
                rest.start = last.to_vec();
                rest.start.push(0);
            }
            rows.extend(page);
            if !full {
                break;
            }
        }
        let in_flight = self.building.in_flight.iter().map(|of| &*of.overlay);
        for overlay in in_flight.chain([&self.building.group.overlay, &self.overlay]) {
            for (key, value) in overlay.iter().filter(|(key, _)| range.contains(*key)) {
                match value {
                    Some(value) => rows.insert(Bytes::copy_from_slice(key), value.clone()),
                    None => rows.remove(key.as_slice()),
                };
            }
        }
        Ok(rows.into_iter().collect())
    }

    pub fn put(&mut self, key: Key, value: impl Into<Bytes>) {
        let value = value.into();
        self.overlay.insert(key.clone(), Some(value.clone()));
        self.batch.put(key, value);
    }

    pub fn put_record<R: Record>(&mut self, key: Key, record: &R) {
        self.put(key, record.to_bytes());
    }

    pub fn delete(&mut self, key: Key) {
        self.overlay.insert(key.clone(), None);
        self.batch.delete(key);
    }

    /// Something that must be true when the transaction is written.
    pub fn assert(&mut self, assertion: Assertion) {
        self.batch.assert(assertion);
    }

    /// Writes that no transaction of the account reads back before they are on disk, such as a
    /// blob's octets.
    pub fn append_unread(&mut self, batch: Batch) {
        self.batch.append(batch);
    }

    /// An object was created, updated or destroyed.
    pub fn changed(&mut self, change: Change) {
        const FEW: usize = 32;
        let is_new = if self.changes.len() < FEW {
            !self.changes.contains(&change)
        } else {
            if self.known.is_empty() {
                self.known.extend(self.changes.iter().copied());
            }
            self.known.insert(change)
        };
        if is_new {
            self.changes.push(change);
        }
    }

    /// An email was written without a change that clients of /changes hear of: other nodes have to read it all the same.
    pub fn changed_unseen(&mut self, email: u64) {
        if !self.unseen.contains(&email) {
            self.unseen.push(email);
        }
    }

    /// Something for the sink, once the transaction is on disk.
    pub fn emit(&mut self, event: E) {
        self.events.push(event);
    }

    /// How many transactions with changes this process has staged before it. Between two looks in one turn, the account's
    /// sequence has gone on by as many if no other node has written, and none of them failed.
    pub fn staged_before(&self) -> u64 {
        self.building.staged
    }

    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty() || !self.batch.is_empty()
    }

    /// Hands the transaction in: from now on the next ones see it, and it goes to disk with the
    /// next commit.
    pub fn stage(self) -> Ticket {
        let (ticket, writer) = self.hand_in();
        if let Some(writer) = writer {
            writer.schedule_flush();
        }
        ticket
    }

    /// With the writer where it is the first of its group, which somebody has to write.
    fn hand_in(mut self) -> (Ticket, Option<AccountWriter<E>>) {
        let sequence = self.sequence;
        if !self.changes.is_empty() {
            self.building.staged += 1;
            self.head.sequence = sequence;
            for change in &self.changes {
                if let Some(data_type) = change.data_type() {
                    self.head.set_state(data_type, sequence);
                }
            }
            let unseen = mem::take(&mut self.unseen);
            let row = LogRow {
                changes: self.changes.clone(),
                unseen: (!unseen.is_empty()).then_some(unseen),
            };
            self.batch
                .put(keys::log(self.writer.account, sequence), row.to_bytes());
            let touches_email = |c: &Change| c.data_type() == Some(DataType::Email);
            if self.changes.iter().any(touches_email) {
                self.batch.put(
                    keys::search_pending(self.writer.account),
                    numbers(&[sequence]),
                );
            }
            self.trim_log();
        }
        let group = &mut self.building.group;
        let first = group.batch.is_empty() && group.committed.is_empty();
        group.octets += octets(&self.batch);
        group.batch.append(mem::take(&mut self.batch));
        group.overlay.extend(mem::take(&mut self.overlay));
        group.committed.push(Committed {
            sequence,
            changes: mem::take(&mut self.changes),
            events: mem::take(&mut self.events),
            head: self.head.clone(),
        });
        let outcome = group.outcome.subscribe();
        self.building.head = Some(self.head.clone());
        let ticket = Ticket {
            outcome,
            sequence,
            has_written: true,
        };
        (ticket, first.then(|| self.writer.clone()))
    }

    /// The same, where there is something to write. Else it is on disk what the transaction has read, once the ticket was waited for: an answer
    /// that nothing had to be changed says as much as one that it was. `None`: it is on disk already.
    pub fn stage_or_seen(self) -> Option<Ticket> {
        if self.has_changes() {
            return Some(self.stage());
        }
        let building = &*self.building;
        let outcome = match &building.in_flight {
            // It fails with what is in flight.
            _ if !building.group.committed.is_empty() => building.group.outcome.subscribe(),
            Some(in_flight) => in_flight.outcome.clone(),
            None => return None,
        };
        Some(Ticket {
            outcome,
            sequence: self.head.sequence,
            has_written: false,
        })
    }

    /// Stages the transaction and waits until it is on disk.
    pub async fn commit(self) -> Result<u64, Error> {
        let (ticket, writer) = self.hand_in();
        if let Some(writer) = writer {
            writer.begin_flush();
        }
        let sequence = ticket.sequence;
        ticket.durable().await.map(|()| sequence)
    }

    fn trim_log(&mut self) {
        let kept = self.head.sequence - self.head.log_trimmed;
        if kept >= LOG_ROWS_MIN + LOG_TRIM_ROWS {
            let account = self.writer.account;
            let upto = self.head.log_trimmed + LOG_TRIM_ROWS;
            self.batch
                .delete_range(keys::log_range(account, self.head.log_trimmed..upto + 1));
            self.head.log_trimmed = upto;
        }
    }
}

impl<E: Send + 'static> Drop for Txn<E> {
    /// A claim of the account's turn that nothing is written with is given back.
    fn drop(&mut self) {
        if !self.building.is_still() {
            return;
        }
        if let (Some(claim), Ok(runtime)) = (
            self.building.claim.take(),
            tokio::runtime::Handle::try_current(),
        ) {
            let writer = self.writer.clone();
            runtime.spawn(async move { writer.release(claim).await });
        }
    }
}

fn octets(batch: &Batch) -> usize {
    let of_write = |write: &Write| match write {
        Write::Put(key, value) => key.len() + value.len(),
        Write::Delete(key) | Write::Add(key, _) => key.len(),
        Write::DeleteRange(range) => range.start.len() + range.end.len(),
    };
    batch.writes.iter().map(of_write).sum()
}

#[cfg(test)]
mod tests;
