//! The queue: EmailSubmissions that are on their way.
//!
//! Holds: a submission is sent to each recipient here once, through crashes and on several nodes: whoever works
//! on it has the lease of its row, every transaction of that work asserts the lease, and an account that has the
//! message is noted in the transaction that delivers it. What can't be delivered comes back to its sender.
//! Other half: `mail::submission` makes the rows, `deliver` puts mail into inboxes.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use jmap_types::AccountId;
use parking_lot::Mutex;
use store::{
    decode_numbers,
    engine::{Assertion, Batch, Key, Page},
    keys, numbers,
};
use tokio::sync::Notify;

use super::deliver::{DeliverError, Fenced, Recipient, RecipientError};
use crate::{
    Core,
    mail::{
        submission::{
            self, KEPT_DAYS, bounce,
            records::{Delivered, SubmissionRecord, UndoStatus},
            stage,
        },
        write::{self, MailTxn, Message, Placement},
    },
    object::Rejected,
    rng::Rng,
};

/// How long a node may work on one submission before others take it for dead, in milliseconds.
const LEASE_MS: u64 = 120_000;
/// Submissions that one node works on at the same time.
const AT_ONCE: usize = 8;
/// Rows that one look at the queue takes.
const ROWS_PER_PAGE: usize = 64;
/// How long the worker waits after the store has failed.
const PAUSE: Duration = Duration::from_secs(5);
/// The queue is looked at this often, whatever the rows say: another node may have added some.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The wait after the first failed try, in milliseconds; it doubles with each.
const RETRY_FIRST_MS: u64 = 60_000;
const RETRY_LONGEST_MS: u64 = 4 * 3_600_000;
/// RFC 5321 §4.5.4.1: how long to go on trying, in seconds.
const GIVE_UP_SECONDS: i64 = 5 * 86_400;
/// How often mail for other servers is looked at, in milliseconds.
const REMOTE_EVERY_MS: u64 = 86_400_000;
/// How often a transaction is tried when concurrent ones win.
const TRIES: usize = 8;

const DELIVERED: &str = "250 2.1.5 Delivered to the mailbox";
const REMOTE: &str =
    "250 2.0.0 Queued; this version of the server does not deliver to other servers yet";
const GIVEN_UP: &str = "554 5.4.7 The message could not be delivered in time";

/// What a process knows of the queue that it works on.
#[derive(Debug)]
pub struct Queue {
    wake: Notify,
    /// Tells the leases of this process from those of others.
    owner: u64,
    /// No other process has the database: a lease of another owner is that of one that is no more.
    is_alone: bool,
    working: Mutex<HashSet<(AccountId, u64)>>,
}

impl Queue {
    pub(crate) fn new(rng: &dyn Rng, is_alone: bool) -> Self {
        // 0 would be taken for no owner.
        Self {
            wake: Notify::new(),
            owner: rng.next_u64() | 1,
            is_alone,
            working: Mutex::default(),
        }
    }

    /// Whether another node works on it. With a database of its own there is none: what a process that has crashed
    /// was working on is taken up at once. On a shared one, only time tells whether the other node still lives.
    fn is_anothers(&self, lease: &Lease, now: u64) -> bool {
        !self.is_alone && lease.owner != self.owner && lease.expires > now
    }

    /// Something is due.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// `None`: another task of this process works on it.
    fn enter(&self, account: AccountId, submission: u64) -> Option<Working<'_>> {
        let item = (account, submission);
        self.working
            .lock()
            .insert(item)
            .then_some(Working { queue: self, item })
    }
}

struct Working<'q> {
    queue: &'q Queue,
    item: (AccountId, u64),
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.queue.working.lock().remove(&self.item);
    }
}

/// A row of the queue that is due.
#[derive(Clone, Copy, Debug)]
struct Item {
    account: AccountId,
    submission: u64,
    due: u64,
}

impl Item {
    fn key(&self) -> Key {
        keys::queue_due(self.due, self.account, self.submission)
    }
}

/// Whose work a row is, and until when (milliseconds since 1970).
#[derive(Clone, Copy, Debug)]
struct Lease {
    owner: u64,
    expires: u64,
}

impl Lease {
    fn decode(key: &[u8], value: &Bytes) -> Result<Option<Self>, store::Error> {
        if value.is_empty() {
            return Ok(None);
        }
        let [owner, expires] = decode_numbers(key, value)?;
        Ok(Some(Self { owner, expires }))
    }
}

/// What became of one recipient in one try.
struct Outcome {
    /// Index among the recipients.
    at: usize,
    delivered: Delivered,
    reply: String,
    /// Tried again soon, not just looked at now and then.
    retry: bool,
}

/// One try to send a message.
struct Tried {
    outcomes: Vec<Outcome>,
    /// Accounts that have it now and had it not before.
    delivered_to: Vec<u64>,
    octets: Bytes,
    /// For a report.
    random: [u8; 32],
}

/// What the queue does to a submission.
enum Step<'t> {
    Final,
    Tried(&'t Tried),
    Remove,
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

    /// What the row of a new submission holds: this process sends at once what is due at once.
    pub(crate) fn first_lease(&self, record: &SubmissionRecord) -> Bytes {
        match record.undo_status {
            UndoStatus::Final => {
                numbers(&[self.queue.owner, self.queue_now().saturating_add(LEASE_MS)])
            }
            UndoStatus::Pending | UndoStatus::Canceled => Bytes::new(),
        }
    }

    /// Works on the queue for as long as the future is polled. Dropping it loses nothing.
    pub async fn run_queue(&self) {
        loop {
            let wait = match self.send_due().await {
                Ok(None) => LOOK_EVERY,
                Ok(Some(at)) => {
                    Duration::from_millis(at.saturating_sub(self.queue_now())).min(LOOK_EVERY)
                }
                Err(error) => {
                    tracing::error!(%error, "the queue could not be read");
                    PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.queue.wake.notified() => {}
            }
        }
    }

    /// Does what is due now. Returns when something is due next, in milliseconds since 1970.
    pub async fn send_due(&self) -> Result<Option<u64>, store::Error> {
        let now = self.queue_now();
        let mut next: Option<u64> = None;
        let mut range = keys::queue_due_before(now.saturating_add(1));
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE))
                .await?;
            let mut items = Vec::with_capacity(rows.len());
            for (key, value) in &rows {
                let (due, account, submission) = keys::decode_queue_due(key)
                    .ok_or_else(|| store::Error::bad_key("queue", key))?;
                match Lease::decode(key, value)? {
                    Some(lease) if self.queue.is_anothers(&lease, now) => {
                        next = Some(next.unwrap_or(u64::MAX).min(lease.expires));
                    }
                    _ => items.push(Item {
                        account,
                        submission,
                        due,
                    }),
                }
            }
            let each = stream::iter(items)
                .map(|item| self.work_on(item))
                .buffer_unordered(AT_ONCE);
            for result in each.collect::<Vec<_>>().await {
                if let Err(error) = result {
                    tracing::error!(%error, "a submission could not be worked on");
                    let again = now.saturating_add(PAUSE.as_millis() as u64);
                    next = Some(next.unwrap_or(u64::MAX).min(again));
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        let mut later = keys::all(keys::Subspace::QueueDue);
        later.start = keys::queue_due_before(now.saturating_add(1)).end;
        let rows = self.engine.scan(Page::first(later, 1).keys_only()).await?;
        let first = rows
            .first()
            .and_then(|(key, _)| keys::decode_queue_due(key))
            .map(|(due, ..)| due);
        Ok(first.into_iter().chain(next).min())
    }

    /// Sends one submission now, if it is due and nobody else is at it.
    pub(crate) async fn send_submission(&self, account: AccountId, submission: u64) {
        let item = match submission::record(self, account, submission).await {
            Ok(Some(record))
                if !record.is_done && record.due != 0 && record.due <= self.queue_now() =>
            {
                Item {
                    account,
                    submission,
                    due: record.due,
                }
            }
            Ok(_) => return self.queue.wake(),
            Err(error) => return tracing::error!(%error, "a submission could not be read"),
        };
        if let Err(error) = self.work_on(item).await {
            tracing::error!(%error, "a submission waits for the queue");
            self.queue.wake();
        }
    }

    async fn work_on(&self, item: Item) -> Result<(), store::Error> {
        let Some(_working) = self.queue.enter(item.account, item.submission) else {
            return Ok(());
        };
        let Some(fence) = self.lease(&item).await? else {
            return Ok(());
        };
        let record = match submission::record(self, item.account, item.submission).await {
            Ok(Some(record)) if record.due == item.due => record,
            // The account went away, or the row is a leftover.
            Ok(_) => return self.drop_row(&item, fence).await,
            Err(error @ store::Error::Corrupt { .. }) => {
                self.quarantine(&item, fence, &error).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        if record.is_done {
            return self.change(&item, &fence, Step::Remove).await;
        }
        if record.undo_status != UndoStatus::Final {
            // From here on it can't be called back.
            self.change(&item, &fence, Step::Final).await?;
        }
        self.send(&item, &fence, record).await
    }

    /// Takes the lease of a row: what every transaction of the work asserts. `None`: another node has it, or the
    /// row is gone.
    async fn lease(&self, item: &Item) -> Result<Option<Assertion>, store::Error> {
        let key = item.key();
        let Some(value) = self.engine.get(&key).await? else {
            return Ok(None);
        };
        let now = self.queue_now();
        match Lease::decode(&key, &value)? {
            Some(lease)
                if lease.owner == self.queue.owner
                    && lease.expires > now.saturating_add(LEASE_MS / 2) =>
            {
                return Ok(Some(Assertion::Equals(key, value)));
            }
            Some(lease) if self.queue.is_anothers(&lease, now) => return Ok(None),
            _ => {}
        }
        let mine = numbers(&[self.queue.owner, now.saturating_add(LEASE_MS)]);
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key.clone(), value));
        batch.put(key.clone(), mine.clone());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => Ok(Some(Assertion::Equals(key, mine))),
            Err(store::Error::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn drop_row(&self, item: &Item, fence: Assertion) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        batch.assert(fence);
        batch.delete(item.key());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Err(store::Error::Conflict) => Ok(()),
            result => result,
        }
    }

    /// Invariant 5: a bad record is put aside, and the queue goes on.
    async fn quarantine(
        &self,
        item: &Item,
        fence: Assertion,
        error: &store::Error,
    ) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        batch.assert(fence);
        batch.delete(item.key());
        batch.put(
            keys::quarantine(&item.key()),
            Bytes::from(error.to_string()),
        );
        Ok(self.engine.commit(batch).await?)
    }

    /// Takes a submission one step further, in a transaction that counts only while the lease is held.
    async fn change(
        &self,
        item: &Item,
        fence: &Assertion,
        step: Step<'_>,
    ) -> Result<(), store::Error> {
        let account = self.accounts.handle(item.account);
        for _ in 0..TRIES {
            let mut txn = account.writer.begin().await?;
            let Some(mut record) = stage::read(&txn, item.submission).await? else {
                return Ok(());
            };
            // Called back, or done by another node, in the meantime.
            if record.due != item.due {
                return Err(store::Error::Conflict);
            }
            txn.assert(fence.clone());
            match &step {
                Step::Remove => stage::remove(&mut txn, item.submission, &record),
                Step::Final => {
                    record.undo_status = UndoStatus::Final;
                    let due = record.due;
                    stage::update(&mut txn, item.submission, &mut record, due);
                }
                Step::Tried(tried) => self.note_try(item, &mut txn, &mut record, tried).await?,
            }
            match txn.commit().await {
                Err(store::Error::Conflict) => {}
                result => return result.map(|_| ()),
            }
        }
        Err(store::Error::Conflict)
    }

    async fn send(
        &self,
        item: &Item,
        fence: &Assertion,
        record: SubmissionRecord,
    ) -> Result<(), store::Error> {
        let Some(octets) = store::blob::get(&self.engine, &record.blob).await? else {
            tracing::error!(account = %item.account, submission = item.submission, "a message of the queue is missing");
            return self.drop_row(item, fence.clone()).await;
        };
        let (outcomes, delivered_to) = self.try_recipients(item, fence, &record, &octets).await;
        let mut random = [0; 32];
        self.rng.fill(&mut random);
        let tried = Tried {
            outcomes,
            delivered_to,
            octets,
            random,
        };
        self.change(item, fence, Step::Tried(&tried)).await
    }

    /// Writes down what a try came to, tells the sender of failures, and says when to look again.
    async fn note_try(
        &self,
        item: &Item,
        txn: &mut MailTxn,
        record: &mut SubmissionRecord,
        tried: &Tried,
    ) -> Result<(), store::Error> {
        let now = self.clock.now();
        let mut failed = Vec::new();
        for outcome in &tried.outcomes {
            let Some(recipient) = record.recipients.get_mut(outcome.at) else {
                continue;
            };
            recipient.delivered = outcome.delivered;
            recipient.smtp_reply = outcome.reply.clone();
            if outcome.delivered == Delivered::No && bounce::is_wanted(&recipient.address) {
                failed.push(recipient.clone());
            }
        }
        record.attempts = record.attempts.saturating_add(1);
        record.delivered_to.extend(&tried.delivered_to);
        // RFC 5321 §4.5.5: nothing goes back to the null reverse-path.
        if !failed.is_empty() && !record.mail_from.email.is_empty() {
            let report = bounce::build(
                &self.hostname,
                record,
                &failed,
                &tried.octets,
                now.seconds(),
                tried.random,
            );
            self.bounce(txn, record, report).await?;
        }
        if record.is_open() {
            let retry = tried.outcomes.iter().any(|outcome| outcome.retry);
            let wait = if retry {
                retry_after(record.attempts)
            } else {
                REMOTE_EVERY_MS
            };
            let due = self.queue_now().saturating_add(wait).max(item.due + 1);
            stage::update(txn, item.submission, record, due);
            return Ok(());
        }
        let number = delivery_number(item);
        for account in std::mem::take(&mut record.delivered_to) {
            txn.delete(keys::delivered(AccountId::new(account), number));
        }
        stage::release(txn, item.submission, record, now);
        if record.is_hidden {
            stage::remove(txn, item.submission, record);
        } else {
            stage::update(txn, item.submission, record, self.kept_until());
        }
        Ok(())
    }

    /// Puts a report into the sender's inbox, in the transaction that says why.
    async fn bounce(
        &self,
        txn: &mut MailTxn,
        record: &mut SubmissionRecord,
        report: Vec<u8>,
    ) -> Result<(), store::Error> {
        let message = Message::parse(report.into());
        let now = self.clock.now();
        let placement = Placement {
            mailboxes: vec![write::INBOX],
            keywords: Vec::new(),
            received_at: now.seconds(),
            quota_octets: 0,
            is_delivery: true,
            is_deleted: false,
        };
        match write::insert_email(txn, &message, &placement, now).await {
            Ok(_) => record
                .dsns
                .push(submission::records::BlobRecord { hash: message.hash }),
            Err(Rejected::Store(error)) => return Err(error),
            Err(Rejected::Set(error)) => tracing::warn!(?error, "a report could not be delivered"),
        }
        Ok(())
    }

    /// Delivers to the recipients that still wait and are here: what came of each, and the accounts that have it.
    async fn try_recipients(
        &self,
        item: &Item,
        fence: &Assertion,
        record: &SubmissionRecord,
        octets: &Bytes,
    ) -> (Vec<Outcome>, Vec<u64>) {
        let is_late = self.clock.now().seconds() > record.send_at.saturating_add(GIVE_UP_SECONDS);
        let mut outcomes = Vec::new();
        let mut here = Vec::new();
        for (at, recipient) in record.recipients.iter().enumerate() {
            if recipient.delivered != Delivered::Queued {
                continue;
            }
            match self.resolve_recipient(&recipient.address.email).await {
                Ok(resolved) => here.push((at, resolved)),
                Err(error) => outcomes.push(refused(at, error, is_late)),
            }
        }
        let mut targets: BTreeSet<AccountId> = here
            .iter()
            .flat_map(|(_, recipient)| &recipient.targets)
            .copied()
            .collect();
        for account in &record.delivered_to {
            targets.remove(&AccountId::new(*account));
        }
        let mut delivered: HashSet<AccountId> = record
            .delivered_to
            .iter()
            .map(|&n| AccountId::new(n))
            .collect();
        let mut errors = std::collections::HashMap::new();
        if !targets.is_empty() {
            let from = Some(record.mail_from.email.clone()).filter(|email| !email.is_empty());
            let octets = with_return_path(&record.mail_from.email, octets);
            let fenced = Fenced {
                number: delivery_number(item),
                fence: fence.clone(),
            };
            let targets = targets.into_iter().collect();
            let recipients: Vec<Recipient> = here.iter().map(|(_, r)| r.clone()).collect();
            let results = self.deliver_fenced(octets, from, &recipients, targets, fenced);
            for (account, result) in results.await {
                match result {
                    Ok(()) => drop(delivered.insert(account)),
                    Err(error) => drop(errors.insert(account, error)),
                }
            }
        }
        for (at, Recipient { targets, .. }) in here {
            // One copy is enough, as with mail that comes in.
            if targets.iter().any(|target| delivered.contains(target)) {
                let reply = DELIVERED.to_owned();
                outcomes.push(Outcome {
                    at,
                    delivered: Delivered::Yes,
                    reply,
                    retry: false,
                });
                continue;
            }
            let error = targets
                .iter()
                .find_map(|target| errors.get(target))
                .cloned();
            let error = match error.unwrap_or(DeliverError::NoSuchMailbox) {
                DeliverError::Refused(reason) => {
                    outcomes.push(Outcome {
                        at,
                        delivered: Delivered::No,
                        reply: format!("550 5.7.1 {reason}"),
                        retry: false,
                    });
                    continue;
                }
                DeliverError::OverQuota => RecipientError::OverQuota,
                DeliverError::NoSuchMailbox => RecipientError::NoSuchMailbox,
                DeliverError::NoRoom | DeliverError::Temporary => RecipientError::Temporary,
            };
            outcomes.push(refused(at, error, is_late));
        }
        let known: HashSet<u64> = record.delivered_to.iter().copied().collect();
        let new = delivered
            .iter()
            .map(|account| account.number())
            .filter(|number| !known.contains(number));
        (outcomes, new.collect())
    }
}

fn refused(at: usize, error: RecipientError, is_late: bool) -> Outcome {
    let (delivered, reply, retry) = match error {
        RecipientError::NotLocal => (Delivered::Queued, REMOTE, false),
        RecipientError::NoSuchMailbox => {
            (Delivered::No, "550 5.1.1 There is no such mailbox", false)
        }
        RecipientError::Disabled => (Delivered::No, "550 5.2.1 The mailbox is disabled", false),
        RecipientError::OverQuota | RecipientError::Temporary if is_late => {
            (Delivered::No, GIVEN_UP, false)
        }
        RecipientError::OverQuota => (Delivered::Queued, "452 4.2.2 The mailbox is full", true),
        RecipientError::Temporary => (
            Delivered::Queued,
            "451 4.3.0 The mail system has a temporary failure",
            true,
        ),
    };
    Outcome {
        at,
        delivered,
        reply: reply.to_owned(),
        retry,
    }
}

fn retry_after(attempts: u32) -> u64 {
    let doubled = RETRY_FIRST_MS
        .checked_shl(attempts.saturating_sub(1).min(16))
        .unwrap_or(u64::MAX);
    doubled.min(RETRY_LONGEST_MS)
}

/// The number under which an account notes that it has this submission's message.
fn delivery_number(item: &Item) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("posthorn submission delivery");
    hasher.update(&item.account.number().to_be_bytes());
    hasher.update(&item.submission.to_be_bytes());
    hasher
        .finalize()
        .as_bytes()
        .first_chunk::<8>()
        .map_or(0, |octets| u64::from_be_bytes(*octets))
}

/// RFC 5321 §4.4: whoever delivers finally writes the reverse-path on top.
fn with_return_path(mail_from: &str, octets: &Bytes) -> Bytes {
    let line = format!("Return-Path: <{mail_from}>\r\n");
    [line.as_bytes(), octets].concat().into()
}
