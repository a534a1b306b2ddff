//! What the queue writes down: what came of a try, when the next one is, and what the sender is told.
//!
//! Holds: one transaction says what became of recipients, lets the row of the queue follow, and puts the report into the
//! sender's inbox or into the queue; it counts only while the lease is held.
//! Other half: `work` and `admit` say what happened, `bounce` writes the reports.

use store::keys;

use super::{
    admit,
    board::{Item, Name},
    lease::{Hold, row_key},
    reports::Reported,
};
use crate::{
    Core,
    mail::{
        submission::{
            bounce::{self, Action, DeliverBy},
            records::{
                DUE_NEVER, Delivered, HostRecord, OnHold, RecipientRecord, SubmissionRecord,
                UndoStatus,
            },
            report::Success,
            stage,
        },
        write::MailTxn,
    },
    webhook::EventKind,
};

/// How often a transaction is tried when concurrent ones win.
const TRIES: usize = crate::object::TRIES;

const GIVEN_UP: &str = "554 5.4.7 The message could not be delivered in time";
const MISSING: &str = "554 5.3.0 The mail system has lost the message";
const CANCELED: &str = "554 5.7.0 The message was canceled by the administrator";

/// What became of one recipient in one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Index among the recipients.
    pub at: usize,
    pub came: Came,
    pub reply: String,
    /// The host that gave the reply; `None`: it is ours.
    pub remote: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It was taken for an address here.
    Delivered(Success),
    /// Another server has taken it.
    Accepted {
        tells_success: bool,
    },
    Refused,
    Later,
    /// The recipient is somewhere else by now.
    Elsewhere,
}

/// One try to send a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Tried {
    pub outcomes: Vec<Outcome>,
    /// Accounts here that have it now and had it not before.
    pub delivered_to: Vec<u64>,
    pub hosts: Vec<HostRecord>,
}

/// A recipient that is not tried before a time.
#[derive(Clone, Debug)]
pub(super) struct PutOff {
    pub at: usize,
    /// Milliseconds since 1970.
    pub until: u64,
    pub reply: String,
    pub place: Name,
}

/// What the queue does to a submission.
#[derive(Clone, Copy)]
pub(super) enum Step<'t> {
    /// From here on it can't be called back.
    Final,
    Sorted {
        put_off: &'t [PutOff],
        given_up: &'t [(usize, String)],
        /// Nothing of it is in line.
        is_idle: bool,
    },
    Tried {
        tried: &'t Tried,
        /// It was the last of its lane.
        is_end: bool,
    },
    /// What waits is tried now: all of it, or what is for one domain.
    Retry {
        domain: Option<&'t str>,
    },
    /// What waits is given up by the administrator.
    Cancel {
        domain: Option<&'t str>,
        is_told: bool,
    },
    /// Nothing of it is tried any more, until it is released. What is being sent goes on.
    Hold,
    /// What was on hold is tried now; what its sender wants to go later, at that time.
    Release,
    /// A node that is no more was sending it. What was due by that node's clock is due.
    Adopt,
    /// Its message is gone from the store: nothing is left to be sent, and the sender is told.
    Missing,
    Remove,
}

/// What there is to tell of a step. A commit that conflicts is made anew, and one that fails has not happened: what isn't in it is told, and
/// counted, once it is on disk.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// To the sender, of the recipient with this index.
    reports: Vec<(Action, usize)>,
    /// To everybody else.
    events: Vec<(EventKind, usize)>,
    reported: Vec<Reported>,
}

impl Told {
    fn push(&mut self, report: (Action, usize)) {
        self.reports.push(report);
    }

    fn event(&mut self, kind: EventKind, at: usize) {
        self.events.push((kind, at));
    }
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changed {
    /// When the recipients of a try are tried again, in milliseconds since 1970.
    pub again: Option<u64>,
    /// Recipients that it was about.
    pub count: usize,
}

impl Core {
    /// Takes a submission one step further, in a transaction that counts only while the lease is held: it is taken where it
    /// isn't. `Conflict`: it was lost.
    pub(super) async fn change(
        &self,
        item: Item,
        hold: &mut Hold,
        step: Step<'_>,
    ) -> Result<Changed, store::Error> {
        let account = self.accounts.handle(item.0);
        for _ in 0..TRIES {
            if self.hold(hold, item).await?.is_none() {
                hold.row = None;
                return Err(store::Error::Conflict);
            }
            let Some(row) = hold.row.clone() else {
                return Err(store::Error::Conflict);
            };
            let mut txn = account.writer.begin().await?;
            let Some(mut record) = stage::read(&txn, item.1).await? else {
                return Err(store::Error::Conflict);
            };
            // Called back in the meantime.
            if record.due != row.due {
                hold.row = None;
                return Err(store::Error::Conflict);
            }
            txn.assert(row.fence.clone());
            let mut told = Told::default();
            let applied = self.apply(&mut txn, (item, step), &mut record, hold, &mut told);
            let changed = match applied.await {
                Ok(changed) => changed,
                Err(error) => {
                    self.queue.reports.give_back(&told.reported);
                    return Err(error);
                }
            };
            let has_moved = record.due != row.due || hold.running.len() <= step.own_lanes();
            let committed = txn.commit().await;
            if committed.is_err() {
                self.queue.reports.give_back(&told.reported);
            }
            match committed {
                Err(store::Error::Conflict) => {
                    let value = self.engine.get(&row_key(item, row.due)).await?;
                    let is_ours = matches!(&row.fence, store::engine::Assertion::Equals(_, ours) if Some(ours) == value.as_ref());
                    if !is_ours {
                        hold.row = None;
                        return Err(store::Error::Conflict);
                    }
                }
                Err(error) => return Err(error),
                Ok(_) => {
                    self.tell_of_step(item, &record, told);
                    if has_moved {
                        hold.row = None;
                    }
                    // Whoever runs a lane says so when it has ended.
                    if !matches!(step, Step::Tried { .. }) {
                        self.queue.wake();
                    }
                    return Ok(changed);
                }
            }
        }
        Err(store::Error::Conflict)
    }

    async fn apply(
        &self,
        txn: &mut MailTxn,
        (item, step): (Item, Step<'_>),
        record: &mut SubmissionRecord,
        hold: &Hold,
        told: &mut Told,
    ) -> Result<Changed, store::Error> {
        let mut changed = Changed::default();
        let step = match step {
            // It was put on hold since somebody looked.
            Step::Final | Step::Sorted { .. } | Step::Adopt if record.on_hold.is_some() => {
                Step::Hold
            }
            step => step,
        };
        let may_move = match step {
            Step::Remove => {
                stage::remove(txn, item.1, record);
                return Ok(changed);
            }
            Step::Final => {
                record.undo_status = UndoStatus::Final;
                let due = record.due;
                stage::update(txn, item.1, record, due);
                return Ok(changed);
            }
            Step::Sorted {
                put_off,
                given_up,
                is_idle,
            } => {
                for put_off in put_off {
                    self.put_off(record, put_off, told);
                }
                for (at, reply) in given_up {
                    self.give_up(record, *at, reply, told);
                }
                is_idle && hold.running.is_empty()
            }
            Step::Tried { tried, is_end } => {
                for outcome in &tried.outcomes {
                    self.note_outcome(record, outcome, told);
                }
                let has_tried = !tried.outcomes.is_empty();
                record.attempts = record.attempts.saturating_add(u32::from(has_tried));
                record.delivered_to.extend(&tried.delivered_to);
                for host in &tried.hosts {
                    record.remember(host.clone());
                }
                let waits = tried
                    .outcomes
                    .iter()
                    .filter_map(|outcome| record.recipients.get(outcome.at))
                    .filter(|recipient| recipient.delivered == Delivered::Queued);
                changed.again = waits
                    .map(|waits| waits.next_try.unwrap_or(0))
                    .min()
                    .filter(|_| record.on_hold.is_none());
                is_end && hold.running.len() <= 1
            }
            Step::Retry { domain } => {
                let now = self.queue_now();
                for at in self.waiting(item, record, domain) {
                    record.recipients[at].next_try = Some(now);
                    changed.count += 1;
                }
                hold.running.is_empty()
            }
            Step::Cancel { domain, is_told } => {
                for at in self.waiting(item, record, domain) {
                    let recipient = &mut record.recipients[at];
                    recipient.delivered = Delivered::No;
                    recipient.smtp_reply = CANCELED.to_owned();
                    recipient.remote = None;
                    if is_told {
                        told.push((Action::Failed, at));
                    }
                    changed.count += 1;
                }
                // Nothing was sent to anybody.
                let is_unsent = |recipient: &RecipientRecord| {
                    recipient.delivered == Delivered::No && recipient.smtp_reply == CANCELED
                };
                if record.recipients.iter().all(is_unsent) {
                    record.undo_status = UndoStatus::Canceled;
                }
                hold.running.is_empty()
            }
            Step::Hold => {
                let due = record.due;
                record.on_hold.get_or_insert(OnHold {
                    since: self.clock.now().0,
                    due,
                });
                hold.running.is_empty()
            }
            Step::Release => {
                let Some(was) = record.on_hold.take() else {
                    return Ok(changed);
                };
                let now = self.queue_now();
                let due = match record.undo_status {
                    UndoStatus::Pending => was.due.max(now),
                    UndoStatus::Final | UndoStatus::Canceled => {
                        for at in self.waiting(item, record, None) {
                            record.recipients[at].next_try = Some(now);
                        }
                        now
                    }
                };
                if hold.running.is_empty() {
                    stage::update(txn, item.1, record, due);
                    return Ok(changed);
                }
                false
            }
            Step::Adopt => {
                let (now, due) = (self.queue_now(), record.due);
                let is_open =
                    record.undo_status == UndoStatus::Final && !record.is_done && due > now;
                let was_due = |recipient: &&mut RecipientRecord| {
                    is_open
                        && recipient.delivered == Delivered::Queued
                        && recipient.next_try.is_none_or(|next| next <= due)
                };
                for recipient in record.recipients.iter_mut().filter(was_due) {
                    recipient.next_try = Some(now);
                    changed.count += 1;
                }
                if changed.count == 0 {
                    return Ok(changed);
                }
                hold.running.is_empty()
            }
            Step::Missing => {
                for (at, recipient) in record.recipients.iter_mut().enumerate() {
                    if recipient.delivered != Delivered::Queued {
                        continue;
                    }
                    recipient.delivered = Delivered::No;
                    recipient.smtp_reply = MISSING.to_owned();
                    recipient.remote = None;
                    if bounce::is_wanted(&recipient.address, Action::Failed) {
                        told.push((Action::Failed, at));
                    }
                    told.event(EventKind::MessageBounced, at);
                    changed.count += 1;
                }
                hold.running.len() <= 1
            }
        };
        let reports = std::mem::take(&mut told.reports);
        self.tell(txn, record, reports, &mut told.reported).await?;
        self.close_or_move(txn, item, record, may_move);
        Ok(changed)
    }

    /// Tells, and counts, what has come of a step that is on disk.
    fn tell_of_step(&self, item: Item, record: &SubmissionRecord, told: Told) {
        for (kind, at) in told.events {
            match kind {
                EventKind::MessageDelivered => self.metrics.queue_delivered.add(1),
                EventKind::MessageBounced => self.metrics.queue_failed.add(1),
                EventKind::MessageDeferred => self.metrics.queue_deferred.add(1),
                _ => {}
            }
            self.tell_outcome(kind, record, at);
        }
        for reported in told.reported {
            self.metrics.queue_reports.add(1);
            self.trace_report(
                item.0,
                Some(item.1),
                &reported.sender,
                &reported.recipients,
                &reported.message,
                reported.action.as_str(),
            );
        }
    }

    /// Indices of recipients that wait, and aren't being sent to.
    fn waiting(&self, item: Item, record: &SubmissionRecord, domain: Option<&str>) -> Vec<usize> {
        let board = self.queue.board.lock();
        let is_meant = |recipient: &RecipientRecord| {
            let of = admit::domain_of(&recipient.address.email);
            recipient.delivered == Delivered::Queued
                && domain.is_none_or(|domain| domain == of)
                && !board.is_running(&item, &of)
                && !board.is_running(&item, super::board::HERE)
        };
        let each = record.recipients.iter().enumerate();
        each.filter(|(_, recipient)| is_meant(recipient))
            .map(|(at, _)| at)
            .collect()
    }

    /// The row of the queue follows the record; what is done with lets go of its message.
    fn close_or_move(
        &self,
        txn: &mut MailTxn,
        (account, submission): Item,
        record: &mut SubmissionRecord,
        may_move: bool,
    ) {
        if record.is_open() {
            let waits = record
                .recipients
                .iter()
                .filter(|recipient| recipient.delivered == Delivered::Queued)
                .map(|recipient| recipient.next_try.unwrap_or(record.due))
                .min();
            let due = match (may_move, waits) {
                (true, _) if record.on_hold.is_some() => DUE_NEVER,
                (true, Some(due)) => due.max(1),
                _ => record.due,
            };
            stage::update(txn, submission, record, due);
            if due == DUE_NEVER {
                // Any node may release it: it is nobody's work, also where the row was there before.
                txn.put(row_key((account, submission), due), bytes::Bytes::new());
            }
            return;
        }
        let number = super::here::delivery_number((account, submission));
        for account in std::mem::take(&mut record.delivered_to) {
            txn.delete(keys::delivered(jmap_types::AccountId::new(account), number));
        }
        stage::release(txn, submission, record, self.clock.now());
        if record.is_hidden {
            stage::remove(txn, submission, record);
        } else {
            stage::update(txn, submission, record, self.kept_until());
        }
    }

    fn put_off(&self, record: &mut SubmissionRecord, put_off: &PutOff, told: &mut Told) {
        let last = self.last_moment(record);
        let Some(recipient) = record.recipients.get_mut(put_off.at) else {
            return;
        };
        if recipient.delivered != Delivered::Queued {
            return;
        }
        let until = last.map_or(put_off.until, |last| put_off.until.min(last));
        recipient.next_try = Some(until);
        recipient.smtp_reply = put_off.reply.clone();
        recipient.remote = None;
        // Mail that nobody is there to send isn't late.
        if put_off.reply.starts_with('4') {
            self.note_delay(record, put_off.at, told);
        }
    }

    fn give_up(&self, record: &mut SubmissionRecord, at: usize, reply: &str, told: &mut Told) {
        let Some(recipient) = record.recipients.get_mut(at) else {
            return;
        };
        if recipient.delivered != Delivered::Queued {
            return;
        }
        recipient.delivered = Delivered::No;
        // What a peer said is in the text; that it is over is our word.
        recipient.remote = None;
        recipient.smtp_reply = match reply.starts_with('2') {
            // It was never tried.
            true => GIVEN_UP.to_owned(),
            false => format!("{GIVEN_UP}; the last answer was: {reply}"),
        };
        if bounce::is_wanted(&recipient.address, Action::Failed) {
            told.push((Action::Failed, at));
        }
        told.event(EventKind::MessageBounced, at);
    }

    fn note_outcome(&self, record: &mut SubmissionRecord, outcome: &Outcome, told: &mut Told) {
        let (now, settings) = (self.clock.now(), self.queue.settings());
        let by = DeliverBy::of(record);
        let expires = record.send_at.saturating_add(settings.expiry_seconds());
        let last = self.last_moment(record);
        let Some(recipient) = record.recipients.get_mut(outcome.at) else {
            return;
        };
        // Canceled meanwhile, and taken all the same: that is what counts.
        let is_taken = matches!(outcome.came, Came::Delivered(_) | Came::Accepted { .. });
        match recipient.delivered {
            Delivered::Queued => {}
            Delivered::No if is_taken => {}
            // It was written down before, and only the answer was lost.
            Delivered::No | Delivered::Yes | Delivered::Unknown => return,
        }
        if outcome.came == Came::Elsewhere {
            recipient.next_try = Some(self.queue_now());
            return;
        }
        let attempts = recipient.attempts.unwrap_or(0).saturating_add(1);
        recipient.attempts = Some(attempts);
        recipient.last_try = Some(now.0);
        recipient.smtp_reply.clone_from(&outcome.reply);
        recipient.remote.clone_from(&outcome.remote);
        let address = &recipient.address;
        match outcome.came {
            Came::Delivered(success) => {
                recipient.delivered = Delivered::Yes;
                let action = success.action();
                if let Some(action) = action.filter(|of| bounce::is_wanted(address, *of)) {
                    told.push((action, outcome.at));
                }
                told.event(EventKind::MessageDelivered, outcome.at);
            }
            Came::Accepted { tells_success } => {
                let wants = bounce::is_wanted(address, Action::Relayed) && !tells_success;
                if wants || by.is_some_and(|by| by.wants_relayed(address, tells_success)) {
                    told.push((Action::Relayed, outcome.at));
                }
                // RFC 8621 §7: that another server took it doesn't say that it arrives.
                recipient.delivered = Delivered::Unknown;
                told.event(EventKind::MessageDelivered, outcome.at);
            }
            Came::Refused => {
                recipient.delivered = Delivered::No;
                if bounce::is_wanted(address, Action::Failed) {
                    told.push((Action::Failed, outcome.at));
                }
                told.event(EventKind::MessageBounced, outcome.at);
            }
            Came::Later => {
                let is_overdue = by.is_some_and(|by| by.returns && now.seconds() >= by.deadline);
                if is_overdue || now.seconds() >= expires {
                    self.give_up(record, outcome.at, &outcome.reply, told);
                    return;
                }
                let wait = settings.wait_ms(attempts, self.rng.next_u64());
                let next = self.queue_now().saturating_add(wait);
                recipient.next_try = Some(last.map_or(next, |last| next.min(last)));
                told.event(EventKind::MessageDeferred, outcome.at);
                self.note_delay(record, outcome.at, told);
            }
            Came::Elsewhere => {}
        }
    }

    /// The last moment at which a message is tried, or its sender is to be told that it is late, in milliseconds since 1970;
    /// `None`: it has passed.
    fn last_moment(&self, record: &SubmissionRecord) -> Option<u64> {
        let settings = self.queue.settings();
        let expires = record.send_at.saturating_add(settings.expiry_seconds());
        let now = self.queue_now();
        let moments = [Some(expires), DeliverBy::of(record).map(|by| by.deadline)];
        let moments = moments.into_iter().flatten();
        moments
            .map(|seconds| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
            .filter(|moment| *moment > now)
            .min()
    }

    /// RFC 3461 §4.1, RFC 2852 §4.1.3: the sender is told once that it takes long.
    fn note_delay(&self, record: &mut SubmissionRecord, at: usize, told: &mut Told) {
        let now = self.clock.now().seconds();
        let notice = self.queue.settings().delay_notice.as_secs();
        let notice = i64::try_from(notice).unwrap_or(i64::MAX);
        let is_long = now >= record.send_at.saturating_add(notice);
        let is_overdue = DeliverBy::of(record).is_some_and(|by| now >= by.deadline);
        let Some(recipient) = record.recipients.get_mut(at) else {
            return;
        };
        if !(is_long || is_overdue) || recipient.told_delay == Some(true) {
            return;
        }
        recipient.told_delay = Some(true);
        if bounce::is_wanted(&recipient.address, Action::Delayed) {
            told.push((Action::Delayed, at));
        }
    }

    /// The lease was lost while something was sent: what other servers have taken or refused is true all the same.
    pub(super) async fn note_without_lease(
        &self,
        item: Item,
        tried: &Tried,
    ) -> Result<(), store::Error> {
        let account = self.accounts.handle(item.0);
        for _ in 0..TRIES {
            let mut txn = account.writer.begin().await?;
            let Some(mut record) = stage::read(&txn, item.1).await? else {
                return Ok(());
            };
            let mut count = 0;
            for outcome in &tried.outcomes {
                let Some(recipient) = record.recipients.get_mut(outcome.at) else {
                    continue;
                };
                recipient.delivered = match outcome.came {
                    Came::Accepted { .. } => Delivered::Unknown,
                    Came::Delivered(_) => Delivered::Yes,
                    Came::Refused | Came::Later | Came::Elsewhere => continue,
                };
                recipient.smtp_reply.clone_from(&outcome.reply);
                recipient.remote.clone_from(&outcome.remote);
                recipient.last_try = Some(self.clock.now().0);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            let due = record.due;
            stage::update(&mut txn, item.1, &mut record, due);
            match txn.commit().await {
                Err(store::Error::Conflict) => {}
                result => return result.map(drop),
            }
        }
        Err(store::Error::Conflict)
    }
}

impl Step<'_> {
    /// Lanes that have come to their end with this step.
    fn own_lanes(self) -> usize {
        match self {
            Self::Tried { is_end, .. } => usize::from(is_end),
            Self::Missing => 1,
            _ => 0,
        }
    }
}
