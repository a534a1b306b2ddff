//! The queue in the hands of an administrator: what is in it, pause, resume, retry, cancel.
//!
//! Holds: a pause is on disk and outlives a restart; what is being sent at the moment isn't called back.
//! Other half: the command line, `posthorn queue`.

use std::sync::Arc;

use jmap_types::{AccountId, DataType};
use store::{
    Record as _, decode_numbers,
    engine::{Batch, Page, Snapshot},
    keys, numbers,
};

use super::{
    admit::{self, Admission},
    board::{HERE, Item, PlaceState},
    lease::Gate,
    note::{Changed, Step},
};
use crate::{
    Caller, Core,
    access::{self, Object, Operation},
    admin::Deed,
    directory::{DirectoryError, names},
    mail::submission::records::{Delivered, SubmissionRecord, UndoStatus},
};

/// Rows that one page of looking through the queue takes.
const ROWS_PER_PAGE: usize = 256;
/// Entries that one answer lists at most.
pub const ENTRIES_MAX: usize = 10_000;

/// Why something can't be done to the queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("there is no such message in the queue")]
    NotFound,
    #[error("it is being sent at this moment")]
    IsBeingSent,
    #[error("it is on hold: it has to be released first")]
    IsOnHold,
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Which part of the queue is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// What is for recipients of one domain.
    Domain(String),
    One(AccountId, u64),
}

/// What is to be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFilter {
    pub domain: Option<String>,
    pub account: Option<AccountId>,
    /// At most [`ENTRIES_MAX`].
    pub limit: usize,
}

/// How a message of the queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// Its sender can call it back, or wants it to go later.
    Held,
    /// An administrator holds it back until it is released.
    OnHold,
    /// Something of it is being sent.
    Sending,
    /// It is due, and waits for its turn.
    Waiting,
    /// It waits for the next try.
    Deferred,
}

/// A message of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    pub account: AccountId,
    pub account_name: String,
    pub submission: u64,
    pub state: QueueState,
    pub priority: i8,
    /// Milliseconds since 1970: when something is done about it next. `None`: not before it is released.
    pub due: Option<u64>,
    pub record: SubmissionRecord,
}

impl Core {
    /// What is in the queue, what is due first coming first; and whether there is more.
    pub async fn queue_entries(
        &self,
        who: &Caller,
        filter: &QueueFilter,
    ) -> Result<(Vec<QueueEntry>, bool), QueueError> {
        access::may_begin(who, Operation::SeeQueue, None)?;
        let sees_all = access::may_everywhere(who, Operation::SeeQueue);
        let domain = filter.domain.as_deref().map(canonical).transpose()?;
        let limit = filter.limit.min(ENTRIES_MAX);
        let mut entries = Vec::new();
        // As it is now: what is changed meanwhile doesn't come up again behind it.
        let snapshot = self.engine.snapshot().await.map_err(store::Error::from)?;
        let mut after = None;
        while let Some(page) = open_page(&*snapshot, &mut after).await? {
            for (item, record) in page {
                let is_meant = filter.account.is_none_or(|account| account == item.0)
                    && domain
                        .as_deref()
                        .is_none_or(|domain| waits_for(&record, domain));
                if !is_meant || !(sees_all || self.may_see_queue(who, item.0).await?) {
                    continue;
                }
                if entries.len() >= limit {
                    return Ok((entries, true));
                }
                entries.push(self.entry(item, record).await?);
            }
        }
        Ok((entries, false))
    }

    async fn may_see_queue(&self, who: &Caller, account: AccountId) -> Result<bool, store::Error> {
        let record = self.account_record(account).await?;
        Ok(record.is_some_and(|record| {
            let object = Object::Account(account, &record);
            access::may(who, Operation::SeeQueue, object).is_ok()
        }))
    }

    /// One message, also for a while after the queue is done with it.
    pub async fn queue_entry(
        &self,
        who: &Caller,
        account: AccountId,
        submission: u64,
    ) -> Result<QueueEntry, QueueError> {
        if !access::may_everywhere(who, Operation::SeeQueue) {
            self.account_for(who, Operation::SeeQueue, account).await?;
        }
        let record = crate::mail::submission::record(self, account, submission).await?;
        let record = record.ok_or(QueueError::NotFound)?;
        self.entry((account, submission), record).await
    }

    async fn entry(&self, item: Item, record: SubmissionRecord) -> Result<QueueEntry, QueueError> {
        // Whoever sees the row may know whose it is.
        let account = self.account(&Caller::server(), item.0).await;
        let account_name = account.map_or_else(
            |_| item.0.to_string(),
            |account| account.record.name.clone(),
        );
        let is_sending = {
            let board = self.queue.board.lock();
            let domains = record
                .recipients
                .iter()
                .map(|recipient| admit::domain_of(&recipient.address.email));
            let mut places = domains.chain([HERE.to_owned()]);
            places.any(|place| board.is_running(&item, &place))
        };
        let state = match record.undo_status {
            _ if is_sending => QueueState::Sending,
            _ if record.on_hold.is_some() => QueueState::OnHold,
            UndoStatus::Pending => QueueState::Held,
            _ if record.due > self.queue_now() => QueueState::Deferred,
            _ => QueueState::Waiting,
        };
        Ok(QueueEntry {
            account: item.0,
            account_name,
            submission: item.1,
            state,
            priority: admit::priority(&record),
            due: Some(record.due).filter(|_| record.on_hold.is_none()),
            record,
        })
    }

    /// How the destinations stand that something waits for, or that have failed lately.
    pub fn queue_places(&self, who: &Caller) -> Result<Vec<PlaceState>, QueueError> {
        access::may_run(who, Operation::RunQueue)?;
        let now = self.queue.tick();
        Ok(self.queue.board.lock().states(now))
    }

    /// What is paused, and since when (milliseconds since 1970); an empty name is the whole queue.
    pub async fn queue_pauses(&self, who: &Caller) -> Result<Vec<(String, u64)>, QueueError> {
        access::may_run(who, Operation::RunQueue)?;
        Ok(self.rows_of_pauses().await?)
    }

    pub(super) async fn rows_of_pauses(&self) -> Result<Vec<(String, u64)>, store::Error> {
        /// Destinations that can be paused.
        const PAUSES_MAX: usize = 10_000;
        let range = keys::all(keys::Subspace::QueuePause);
        let rows = self.engine.scan(Page::first(range, PAUSES_MAX)).await?;
        let mut pauses = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let domain = keys::decode_queue_pause(&key)
                .ok_or_else(|| store::Error::bad_key("queue pause", &key))?;
            let [since] = decode_numbers(&key, &value)?;
            pauses.push((domain.to_owned(), since));
        }
        Ok(pauses)
    }

    /// Sends nothing any more: to a domain, or to anybody (here too). What is being sent goes on.
    pub async fn pause_queue(&self, who: &Caller, domain: Option<&str>) -> Result<(), QueueError> {
        access::may_run(who, Operation::RunQueue)?;
        let domain = domain.map(canonical).transpose()?.unwrap_or_default();
        let mut batch = Batch::new();
        batch.put(keys::queue_pause(&domain), numbers(&[self.queue_now()]));
        let deed = Deed::new(Operation::RunQueue, domain.clone());
        let paused = Some("paused".to_owned());
        self.audit(&mut batch, who, deed.field("state", None, paused));
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        self.tell_others_of_queue();
        Ok(self.read_pauses().await?)
    }

    /// Other nodes look at pauses now and not within the minute.
    fn tell_others_of_queue(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.tell_queue();
        }
    }

    /// Ends a pause.
    pub async fn resume_queue(&self, who: &Caller, domain: Option<&str>) -> Result<(), QueueError> {
        access::may_run(who, Operation::RunQueue)?;
        let domain = domain.map(canonical).transpose()?.unwrap_or_default();
        let mut batch = Batch::new();
        batch.delete(keys::queue_pause(&domain));
        let deed = Deed::new(Operation::RunQueue, domain.clone());
        let paused = Some("paused".to_owned());
        self.audit(&mut batch, who, deed.field("state", paused, None));
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        self.tell_others_of_queue();
        self.read_pauses().await?;
        *self.queue.loaded_until.lock().await = 0;
        self.queue.wake();
        self.pump();
        Ok(())
    }

    /// Tries now what waits for its next try, and forgets that hosts have failed. Returns how many messages it was.
    pub async fn retry_queue(&self, who: &Caller, which: &Which) -> Result<u64, QueueError> {
        self.note_queue(who, which, "retried").await?;
        let domain = match which {
            Which::Domain(domain) => Some(canonical(domain)?),
            Which::All | Which::One(..) => None,
        };
        let step = Step::Retry {
            domain: domain.as_deref(),
        };
        // First, since the queue looks at each message as soon as it is due.
        match which {
            Which::One(account, submission) => self.forgive_places(*account, *submission).await?,
            Which::All | Which::Domain(_) => {
                let tick = self.queue.tick();
                self.queue.board.lock().forgive(domain.as_deref(), tick);
            }
        }
        let count = self.change_all(which, domain.as_deref(), step).await?;
        self.queue.wake();
        self.pump();
        Ok(count)
    }

    /// Gives up what waits. `is_told`: the senders get a report. Returns how many messages it was.
    pub async fn cancel_queue(
        &self,
        who: &Caller,
        which: &Which,
        is_told: bool,
    ) -> Result<u64, QueueError> {
        self.note_queue(who, which, "cancelled").await?;
        let domain = match which {
            Which::Domain(domain) => Some(canonical(domain)?),
            Which::All | Which::One(..) => None,
        };
        let step = Step::Cancel {
            domain: domain.as_deref(),
            is_told,
        };
        let count = self.change_all(which, domain.as_deref(), step).await?;
        self.queue.wake();
        Ok(count)
    }

    /// Holds a message back: nothing of it is tried, and it doesn't expire, until it is released. What is being sent goes on.
    pub async fn hold_queued(
        &self,
        who: &Caller,
        account: AccountId,
        submission: u64,
    ) -> Result<(), QueueError> {
        let which = Which::One(account, submission);
        self.note_queue(who, &which, "on hold").await?;
        self.change_one((account, submission), Step::Hold).await?;
        Ok(())
    }

    /// Ends the hold of a message: it is tried now. From then on it may expire, also by the time that it was held.
    pub async fn release_queued(
        &self,
        who: &Caller,
        account: AccountId,
        submission: u64,
    ) -> Result<(), QueueError> {
        let which = Which::One(account, submission);
        self.note_queue(who, &which, "released").await?;
        self.forgive_places(account, submission).await?;
        self.change_one((account, submission), Step::Release)
            .await?;
        self.queue.wake();
        self.pump();
        Ok(())
    }

    /// The destinations of a message are tried at once, whatever they did.
    async fn forgive_places(
        &self,
        account: AccountId,
        submission: u64,
    ) -> Result<(), store::Error> {
        let record = crate::mail::submission::record(self, account, submission).await?;
        let tick = self.queue.tick();
        let mut board = self.queue.board.lock();
        for recipient in record.iter().flat_map(|record| &record.recipients) {
            board.forgive(Some(&admit::domain_of(&recipient.address.email)), tick);
        }
        Ok(())
    }

    /// Whether the caller may do it, and a row of the audit that they do. First, since it is no single commit.
    async fn note_queue(&self, who: &Caller, which: &Which, state: &str) -> Result<(), QueueError> {
        let deed = match which {
            Which::All => Deed::new(Operation::RunQueue, String::new()),
            Which::Domain(domain) => Deed::new(Operation::RunQueue, canonical(domain)?),
            Which::One(account, submission) => {
                let is_free = access::may_everywhere(who, Operation::ChangeQueue);
                let record = match is_free {
                    // The server's own account is nobody's, and what is in the queue may outlive its account.
                    true => self.account_record(*account).await?.map(|of| (*of).clone()),
                    false => Some(
                        self.account_for(who, Operation::ChangeQueue, *account)
                            .await?,
                    ),
                };
                let stored = crate::mail::submission::record(self, *account, *submission).await?;
                if stored.is_none_or(|stored| stored.is_done) {
                    return Err(QueueError::NotFound);
                }
                let deed = match &record {
                    Some(record) => Deed::of_account(Operation::ChangeQueue, *account, record),
                    None => Deed::new(Operation::ChangeQueue, account.to_string()),
                };
                deed.field("submission", None, Some(submission.to_string()))
            }
        };
        if deed.operation == Operation::RunQueue {
            access::may_run(who, Operation::RunQueue)?;
        }
        let deed = deed.field("state", None, Some(state.to_owned()));
        Ok(self.note_deed(who, deed).await?)
    }

    async fn change_all(
        &self,
        which: &Which,
        domain: Option<&str>,
        step: Step<'_>,
    ) -> Result<u64, QueueError> {
        if let Which::One(account, submission) = which {
            let changed = self.change_one((*account, *submission), step).await?;
            return match changed.count {
                0 => Err(QueueError::IsBeingSent),
                _ => Ok(1),
            };
        }
        let mut count = 0;
        // As it is now: what is changed meanwhile doesn't come up again behind it.
        let snapshot = self.engine.snapshot().await.map_err(store::Error::from)?;
        let mut after = None;
        let until = self.queue_now();
        while let Some(page) = open_page(&*snapshot, &mut after).await? {
            for (item, record) in page {
                let is_meant = domain.is_none_or(|domain| waits_for(&record, domain));
                // What a sender holds back isn't sent before its time. What was put off has a next try, though nothing of it was
                // sent either.
                let is_held = matches!(step, Step::Retry { .. })
                    && record.undo_status == UndoStatus::Pending
                    && record.due > until
                    && record.recipients.iter().all(|r| r.next_try.is_none());
                let is_on_hold = matches!(step, Step::Retry { .. }) && record.on_hold.is_some();
                if !is_meant || is_held || is_on_hold {
                    continue;
                }
                match self.change_held(item, step).await {
                    Ok(changed) => count += u64::from(changed.count > 0),
                    // It was sent, or called back, in the meantime.
                    Err(store::Error::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(count)
    }

    async fn change_one(&self, item: Item, step: Step<'_>) -> Result<Changed, QueueError> {
        let record = crate::mail::submission::record(self, item.0, item.1).await?;
        let record = record.filter(|record| !record.is_done);
        let record = record.ok_or(QueueError::NotFound)?;
        if matches!(step, Step::Retry { .. }) && record.on_hold.is_some() {
            return Err(QueueError::IsOnHold);
        }
        if matches!(step, Step::Release) && record.on_hold.is_none() {
            return Ok(Changed::default());
        }
        match self.change_held(item, step).await {
            // Another node is at it.
            Err(store::Error::Conflict) => Err(QueueError::IsBeingSent),
            result => Ok(result?),
        }
    }

    /// Changes a submission, whether it is in memory or not.
    pub(super) async fn change_held(
        &self,
        item: Item,
        step: Step<'_>,
    ) -> Result<Changed, store::Error> {
        let (_admission, gate) = loop {
            let known: Option<Arc<Gate>> = self.queue.board.lock().gate(&item);
            if let Some(gate) = known {
                break (None, gate);
            }
            if let Some((admission, gate)) = Admission::begin(self, item) {
                break (Some(admission), gate);
            }
        };
        let mut hold = gate.0.lock().await;
        self.change(item, &mut hold, step).await
    }
}

/// The next page of submissions that are under way; `after`: where the last one ended.
async fn open_page(
    snapshot: &dyn Snapshot,
    after: &mut Option<Vec<u8>>,
) -> Result<Option<Vec<(Item, SubmissionRecord)>>, store::Error> {
    let mut range = keys::all(keys::Subspace::QueueDue);
    if let Some(after) = after {
        range.start = [&after[..], &[0]].concat();
    }
    let page = Page::first(range, ROWS_PER_PAGE).keys_only();
    let rows = snapshot.scan(page).await?;
    let Some((last, _)) = rows.last() else {
        return Ok(None);
    };
    *after = Some(last.to_vec());
    let items: Vec<Item> = rows
        .iter()
        .filter_map(|(key, _)| keys::decode_queue_due(key))
        .map(|(_, account, submission)| (account, submission))
        .collect();
    let objects: Vec<_> = items
        .iter()
        .map(|(account, id)| keys::object(*account, DataType::EmailSubmission, *id))
        .collect();
    let found = snapshot.multi_get(&objects).await?;
    let mut page = Vec::with_capacity(items.len());
    for ((item, key), bytes) in items.into_iter().zip(&objects).zip(found) {
        // Invariant 5: one that can't be read is reported when it is due.
        let record = bytes.and_then(|bytes| SubmissionRecord::from_bytes(key, &bytes).ok());
        if let Some(record) = record.filter(|record| !record.is_done) {
            page.push((item, record));
        }
    }
    Ok(Some(page))
}

/// Whether some recipient of the domain waits.
fn waits_for(record: &SubmissionRecord, domain: &str) -> bool {
    record.recipients.iter().any(|recipient| {
        recipient.delivered == Delivered::Queued
            && admit::domain_of(&recipient.address.email) == domain
    })
}

/// The name by which the queue knows a destination.
fn canonical(domain: &str) -> Result<String, DirectoryError> {
    match domain.starts_with('[') {
        true => Ok(domain.to_ascii_lowercase()),
        false => names::domain(domain),
    }
}
