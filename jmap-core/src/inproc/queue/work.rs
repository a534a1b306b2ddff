//! Sending: one lane of a submission, to one destination.
//!
//! Holds: what came of a mail transaction is committed before anything else is done about it; what can't be committed is kept
//! and committed later, and until then nobody sends that lane again.
//! Other half: `outbound` and `here` send, `note` writes down.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use store::engine::EngineError;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    BUDGET_UNIT,
    board::{HERE, Started, Verdict},
    note::{Came, Changed, Outcome, Step, Tried},
};
use tracing::Instrument as _;

use crate::{
    Core,
    inproc::outbound::{Attempt, Fate, Job, JobRecipient, Outbound},
    mail::submission::{
        self,
        bounce::DeliverBy,
        records::{Delivered, EnvelopeAddress, HostRecord, SubmissionRecord, UndoStatus},
    },
};

/// What the size of a message is taken for that was queued before sizes were noted, in octets.
const SIZE_UNKNOWN: u64 = 1 << 20;
/// Octets of a peer's reply that are kept.
const REPLY_OCTETS_MAX: usize = 2000;
/// Parameters of MAIL that are the queue's own.
const OWN_PARAMETERS: &[&str] = &["HOLDFOR", "HOLDUNTIL"];

const NO_OUTCOME: &str = "451 4.3.0 The mail system has a temporary failure";

/// What was sent, and could not be written down.
#[derive(Debug)]
pub(super) struct Unrecorded {
    started: Started,
    tried: Tried,
}

/// How a lane has ended.
enum End {
    /// It is recorded; again at this time (milliseconds since 1970).
    Recorded(Option<u64>),
    /// It waits to be recorded.
    Unrecorded,
    /// Nothing was sent.
    Nothing,
}

impl Core {
    /// Sends a lane whose turn has come.
    pub(super) async fn run_lane(self, started: Started) {
        let trying = AssertUnwindSafe(self.try_lane(&started)).catch_unwind();
        let (verdict, end) = match trying.await {
            Ok(tried) => tried,
            Err(_) => (Verdict::Unknown, self.end_badly(&started).await),
        };
        let (tick, random) = (self.queue.tick(), self.rng.next_u64());
        let now = self.queue_now();
        {
            let mut board = self.queue.board.lock();
            match end {
                End::Recorded(again) => {
                    let again = again.map(|at| self.queue.tick_at(at, now));
                    board.finish(&started, verdict, again, (tick, random));
                }
                End::Nothing => board.finish(&started, Verdict::Unknown, None, (tick, random)),
                End::Unrecorded => board.free(&started, verdict, (tick, random)),
            }
        }
        self.pump();
        self.queue.moved.notify_waiters();
        // When something is due next may have changed.
        self.queue.wake();
    }

    async fn try_lane(&self, started: &Started) -> (Verdict, End) {
        let nothing = (Verdict::Unknown, End::Nothing);
        let (item, is_here) = (started.item, &*started.place == HERE);
        let mut hold = started.gate.0.lock().await;
        let record = match self.hold_to_send(&mut hold, item).await {
            Ok(Some(record)) if record.undo_status == UndoStatus::Final && !record.is_done => {
                record
            }
            Ok(_) => return nothing,
            Err(error) => {
                tracing::error!(account = %item.0, submission = item.1, %error, "a submission could not be read");
                return nothing;
            }
        };
        let Some(fence) = hold.row.as_ref().map(|row| row.fence.clone()) else {
            return nothing;
        };
        hold.running.insert(started.place.clone());
        drop(hold);
        let recipients = match self.recipients_of(&record, &started.place).await {
            Ok(recipients) => recipients,
            Err(error) => {
                tracing::error!(account = %item.0, submission = item.1, %error, "recipients could not be looked up");
                Vec::new()
            }
        };
        if recipients.is_empty() {
            let end = self.record(started, Tried::default(), true).await;
            return (Verdict::Unknown, end);
        }
        let _room = self.room(&record, is_here).await;
        let octets = match store::blob::get(&self.engine, &record.blob).await {
            Ok(Some(octets)) => octets,
            Ok(None) => {
                tracing::error!(account = %item.0, submission = item.1, "a message of the queue is missing");
                let mut hold = started.gate.0.lock().await;
                if let Err(error) = self.change(item, &mut hold, Step::Missing).await {
                    tracing::error!(account = %item.0, submission = item.1, %error, "a submission without its message could not be ended");
                }
                hold.leave(&started.place);
                return nothing;
            }
            Err(error) => {
                tracing::error!(account = %item.0, submission = item.1, %error, "a message could not be read");
                let mut tried = Tried::default();
                // It doesn't mend by itself: it waits as if nobody took it, and is given up in the end.
                if matches!(error, store::Error::Engine(EngineError::Corrupt(_))) {
                    tried.outcomes = recipients.into_iter().map(later).collect();
                }
                return (Verdict::Unknown, self.record(started, tried, true).await);
            }
        };
        if is_here {
            let tried = self.try_here(item, fence, (&record, &recipients), &octets);
            let tried = tried.await;
            return (Verdict::Unknown, self.record(started, tried, true).await);
        }
        let Some(outbound) = self.outbound.load_full() else {
            let end = self.record(started, Tried::default(), true).await;
            return (Verdict::Unknown, end);
        };
        let job = Job {
            account: item.0,
            submission: item.1,
            domain: started.place.to_string(),
            mail_from: passed_on(&record, self.clock.now().seconds()),
            recipients: job_recipients(&record, &recipients),
            message: octets,
        };
        self.send_job(started, &**outbound, job).await
    }

    /// The work on a lane has panicked. Its recipients are tried later: who lives keeps its leases, so nobody else would see to them.
    /// Accounts that have the message by now have noted that.
    async fn end_badly(&self, started: &Started) -> End {
        let item = started.item;
        tracing::error!(account = %item.0, submission = item.1, "work on a submission has failed badly");
        let ending = async {
            let record = submission::record(self, item.0, item.1).await?;
            let at = match &record {
                Some(record) => self.recipients_of(record, &started.place).await?,
                None => Vec::new(),
            };
            let tried = Tried {
                outcomes: at.into_iter().map(later).collect(),
                ..Tried::default()
            };
            Ok::<_, store::Error>(self.record(started, tried, true).await)
        };
        match AssertUnwindSafe(ending).catch_unwind().await {
            Ok(Ok(end)) => end,
            // The row is due as before, and looked at again with all of the queue.
            failed => {
                if let Ok(Err(error)) = failed {
                    tracing::error!(account = %item.0, submission = item.1, %error, "a submission could not be put off");
                }
                started.gate.0.lock().await.leave(&started.place);
                End::Nothing
            }
        }
    }

    /// Sends to all recipients of a job, in as many transactions as the peer wants.
    async fn send_job(
        &self,
        started: &Started,
        outbound: &dyn Outbound,
        mut job: Job,
    ) -> (Verdict, End) {
        let mut verdict = Verdict::Unknown;
        loop {
            let span = tracing::info_span!(
                target: crate::span::TARGET,
                "send",
                domain = job.domain,
                recipients = job.recipients.len() as u64,
                octets = job.message.len() as u64
            );
            let sending = outbound.send(&job).instrument(span);
            let sending = AssertUnwindSafe(sending).catch_unwind();
            let attempt = sending.await.unwrap_or_else(|_| {
                tracing::error!(domain = job.domain, "sending a message has failed badly");
                Attempt::default()
            });
            let tried = tried(&job, &attempt);
            let of_this = verdict_of(&tried.outcomes);
            // What works for some works.
            if verdict != Verdict::Works {
                verdict = of_this;
            }
            let named: Vec<usize> = tried.outcomes.iter().map(|outcome| outcome.at).collect();
            self.note_attempt(&job, &attempt);
            job.recipients
                .retain(|recipient| !named.contains(&recipient.at));
            let is_end = job.recipients.is_empty() || self.queue.board.lock().is_stopping;
            match self.record(started, tried, is_end).await {
                End::Recorded(_) if !is_end => {}
                end => return (verdict, end),
            }
        }
    }

    /// The one place where each attempt to send to another server is known, with what came of it.
    fn note_attempt(&self, job: &Job, attempt: &Attempt) {
        self.note_tls(attempt);
        self.trace_attempt(job, attempt);
        for outcome in &attempt.outcomes {
            tracing::debug!(
                account = %job.account,
                submission = job.submission,
                domain = job.domain,
                fate = ?outcome.fate,
                reply = outcome.reply,
                remote = outcome.remote,
                "a recipient was tried"
            );
        }
    }

    /// Writes down what came of a try. `is_end`: nothing more of the lane is on its way.
    async fn record(&self, started: &Started, tried: Tried, is_end: bool) -> End {
        let recording = AssertUnwindSafe(self.try_record(started, &tried, is_end)).catch_unwind();
        let (account, submission) = started.item;
        match recording.await {
            Ok(Ok(changed)) => return End::Recorded(changed.again),
            Ok(Err(error)) => {
                tracing::error!(%account, submission, %error, "what was sent can't be recorded yet");
            }
            // It was sent all the same.
            Err(_) => {
                tracing::error!(%account, submission, "recording what was sent has failed badly");
            }
        }
        self.queue.unrecorded.lock().push(Unrecorded {
            started: started.clone(),
            tried,
        });
        End::Unrecorded
    }

    async fn try_record(
        &self,
        started: &Started,
        tried: &Tried,
        is_end: bool,
    ) -> Result<Changed, store::Error> {
        let mut hold = started.gate.0.lock().await;
        let step = Step::Tried { tried, is_end };
        let changed = match self.change(started.item, &mut hold, step).await {
            Err(store::Error::Conflict) => {
                self.note_without_lease(started.item, tried).await?;
                Changed::default()
            }
            result => result?,
        };
        if is_end {
            hold.leave(&started.place);
        }
        Ok(changed)
    }

    /// Writes down what could not be written down before.
    pub(super) async fn record_again(&self) {
        let unrecorded = std::mem::take(&mut *self.queue.unrecorded.lock());
        for Unrecorded { started, tried } in unrecorded {
            let End::Recorded(again) = self.record(&started, tried, true).await else {
                continue;
            };
            let now = self.queue_now();
            let again = again.map(|at| self.queue.tick_at(at, now));
            let tick = self.queue.tick();
            self.queue.board.lock().leave(&started, again, tick);
            self.queue.moved.notify_waiters();
        }
    }

    /// The recipients that a destination has, and that are due: their indices.
    async fn recipients_of(
        &self,
        record: &SubmissionRecord,
        place: &str,
    ) -> Result<Vec<usize>, store::Error> {
        let now = self.queue_now();
        let mut found = Vec::new();
        for (at, recipient) in record.recipients.iter().enumerate() {
            let is_due = recipient.delivered == Delivered::Queued
                && recipient.next_try.is_none_or(|next| next <= now);
            if is_due && &*self.place_of(&recipient.address).await? == place {
                found.push(at);
            }
        }
        Ok(found)
    }

    /// Waits until there is memory for a message. One that is larger than all of it goes alone.
    async fn room(&self, record: &SubmissionRecord, is_here: bool) -> Option<OwnedSemaphorePermit> {
        let room = {
            let budget = self.queue.budget.lock();
            match is_here {
                true => budget.here.clone(),
                false => budget.others.clone(),
            }
        };
        let units = record.size.unwrap_or(SIZE_UNKNOWN).div_ceil(BUDGET_UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let units = units.clamp(1, room.units);
        room.free.acquire_many_owned(units).await.ok()
    }
}

/// The reverse-path as it goes on: without what is the queue's own, and with the time that is left (RFC 2852 §4.1.2).
fn passed_on(record: &SubmissionRecord, now: i64) -> EnvelopeAddress {
    let mut mail_from = record.mail_from.clone();
    let is_own = |name: &str| {
        OWN_PARAMETERS
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    };
    if let Some(parameters) = &mut mail_from.parameters {
        parameters.retain(|parameter| !is_own(&parameter.name));
        let by = DeliverBy::of(record);
        for parameter in parameters {
            if let Some(by) = by.filter(|_| parameter.name.eq_ignore_ascii_case("BY")) {
                *parameter = by.passed_on(now);
            }
        }
    }
    mail_from
}

fn job_recipients(record: &SubmissionRecord, at: &[usize]) -> Vec<JobRecipient> {
    let each = at.iter().filter_map(|&at| {
        let address = record.recipients.get(at)?.address.clone();
        Some(JobRecipient { at, address })
    });
    each.collect()
}

/// What came of an attempt, for the recipients that were asked about. When none is named, all are tried later.
fn tried(job: &Job, attempt: &Attempt) -> Tried {
    let is_asked = |at: usize| job.recipients.iter().any(|recipient| recipient.at == at);
    let mut outcomes: Vec<Outcome> = Vec::new();
    for outcome in &attempt.outcomes {
        let is_known = outcomes.iter().any(|known| known.at == outcome.at);
        if !is_asked(outcome.at) || is_known {
            continue;
        }
        let mut reply = outcome.reply.clone();
        reply.truncate(reply.floor_char_boundary(REPLY_OCTETS_MAX));
        outcomes.push(Outcome {
            at: outcome.at,
            came: match outcome.fate {
                Fate::Accepted { tells_success } => Came::Accepted { tells_success },
                Fate::Refused => Came::Refused,
                Fate::Later => Came::Later,
            },
            reply,
            remote: outcome.remote.clone(),
        });
    }
    if outcomes.is_empty() {
        outcomes.extend(job.recipients.iter().map(|recipient| later(recipient.at)));
    }
    let hosts = attempt.hosts.iter().map(|host| HostRecord {
        when: host.when,
        domain: job.domain.clone(),
        host: host.host.clone(),
        address: host.address.map(|address| address.to_string()),
        tls: host.tls.clone(),
        result: host.result.clone(),
    });
    Tried {
        hosts: hosts.collect(),
        outcomes,
        delivered_to: Vec::new(),
    }
}

/// Nothing is known of a recipient but that the message has to be tried again.
fn later(at: usize) -> Outcome {
    Outcome {
        at,
        came: Came::Later,
        reply: NO_OUTCOME.to_owned(),
        remote: None,
    }
}

/// What an attempt says of its destination. It fails as a whole when all recipients wait, and nobody has answered, or the answer
/// was about the host: 421 (RFC 5321 §4.2.3), or a status of the system or the network (RFC 3463 §3.4, §3.5). An answer about
/// a mailbox (§3.3) says that the host works: who has a full one doesn't hold up the mail of the others there.
fn verdict_of(outcomes: &[Outcome]) -> Verdict {
    let Some(first) = outcomes.first() else {
        return Verdict::Unknown;
    };
    if outcomes.iter().any(|outcome| outcome.came != Came::Later) {
        return Verdict::Works;
    }
    let is_hosts = |outcome: &Outcome| {
        outcome.remote.is_none()
            || outcome.reply.starts_with("421")
            || status(outcome).starts_with("4.3.")
            || status(outcome).starts_with("4.4.")
    };
    let is_mailboxes =
        |outcome: &Outcome| !is_hosts(outcome) && status(outcome).starts_with("4.2.");
    if outcomes.iter().all(is_hosts) {
        return Verdict::HostFails(first.reply.clone());
    }
    match outcomes.iter().any(is_mailboxes) {
        true => Verdict::Works,
        false => Verdict::TookNothing(first.reply.clone()),
    }
}

/// The enhanced status code of a reply (RFC 3463); empty without one.
fn status(outcome: &Outcome) -> &str {
    outcome.reply.split(' ').nth(1).unwrap_or_default()
}
