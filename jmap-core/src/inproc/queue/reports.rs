//! Reports to senders: into the inbox, or into the queue; and how many of them there are.
//!
//! The rule: within an hour, at most [`SAME_MAX`] reports to one sender that say the same of the same recipient (action and status), and
//! at most [`ELSEWHERE_MAX`] of any kind to a sender on another server, who may never have sent the mail. What isn't
//! told is in the submission's deliveryStatus and in the log all the same.
//! Holds: a report is written in the transaction that says why, and counts only if that is committed. Memory is bounded; each node counts for itself, and from its
//! start on.
//! Other half: `note` says what there is to tell, `bounce` writes it.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use store::engine::EngineError;

use crate::{
    Core,
    mail::{
        forward,
        submission::{
            self,
            bounce::{self, Action},
            envelope::Envelope,
            records::{BlobRecord, RecipientRecord, SubmissionRecord, UndoStatus},
            stage,
        },
        write::{self, MailTxn, Message, Placement},
    },
    object::Rejected,
};

pub const SAME_MAX: u32 = 10;
pub const ELSEWHERE_MAX: u32 = 100;
/// Kinds of reports that are remembered.
const KINDS_MAX: usize = 32_768;
const WINDOW: Duration = Duration::from_secs(3600);

/// Reports since a window began.
#[derive(Clone, Copy)]
struct Count {
    began: Instant,
    count: u32,
}

pub(super) struct Limiter(Mutex<Cache<u64, Count>>);

impl Default for Limiter {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(KINDS_MAX)))
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limiter(..)")
    }
}

/// A report that is in a transaction.
#[derive(Debug)]
pub(super) struct Reported {
    pub sender: String,
    /// Address and reply.
    pub recipients: Vec<(String, String)>,
    pub message: Bytes,
    pub action: Action,
    /// What it was counted as.
    kinds: Vec<u64>,
}

/// Senders and recipients are the same in any letter case, as far as this goes.
fn hash(words: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for word in words {
        word.to_lowercase().hash(&mut hasher);
    }
    hasher.finish()
}

impl Limiter {
    fn take(&self, key: u64, max: u32, now: Instant) -> bool {
        let mut kinds = self.0.lock();
        let known = kinds.get(&key).copied();
        let mut count = known
            .filter(|known| now.saturating_duration_since(known.began) < WINDOW)
            .unwrap_or(Count {
                began: now,
                count: 0,
            });
        if count.count >= max {
            return false;
        }
        count.count += 1;
        kinds.insert(key, count);
        true
    }

    /// Whether the sender is told this of a recipient once more: as what it is counted.
    fn may_say(
        &self,
        sender: &str,
        (recipient, reply): (&str, &str),
        action: Action,
        now: Instant,
    ) -> Option<u64> {
        let key = hash(&[sender, recipient, action.as_str(), &bounce::status(reply)]);
        self.take(key, SAME_MAX, now).then_some(key)
    }

    /// Whether one more report goes to a sender on another server: as what it is counted.
    fn may_send(&self, sender: &str, now: Instant) -> Option<u64> {
        let key = hash(&[sender]);
        self.take(key, ELSEWHERE_MAX, now).then_some(key)
    }

    /// They were not written, and are tried again: else nobody would be told in the end.
    pub fn give_back(&self, reported: &[Reported]) {
        let mut kinds = self.0.lock();
        for key in reported.iter().flat_map(|of| &of.kinds) {
            if let Some(mut count) = kinds.get(key).copied() {
                count.count = count.count.saturating_sub(1);
                kinds.insert(*key, count);
            }
        }
    }
}

impl Core {
    /// Whether a sender is told of one more failure of mail that came from another server; then it counts as told.
    pub(crate) fn may_report(&self, sender: &str, recipient: &str, reply: &str) -> bool {
        let (limiter, now) = (&self.queue.reports, self.clock.monotonic());
        let news = (recipient, reply);
        limiter.may_say(sender, news, Action::Failed, now).is_some()
            && limiter.may_send(sender, now).is_some()
    }

    /// Writes the reports, one for each kind of news; `reported` gets each.
    pub(super) async fn tell(
        &self,
        txn: &mut MailTxn,
        record: &mut SubmissionRecord,
        told: Vec<(Action, usize)>,
        reported: &mut Vec<Reported>,
    ) -> Result<(), store::Error> {
        // Of what was forwarded, the one whose message it is.
        let sender = forward::original_sender(self, &record.mail_from.email).await?;
        // RFC 5321 §4.5.5: nothing goes back to the null reverse-path.
        if told.is_empty() || sender.is_empty() {
            return Ok(());
        }
        let now = self.clock.monotonic();
        let octets = match store::blob::get(&self.engine, &record.blob).await {
            // The sender is told all the same.
            Err(store::Error::Engine(EngineError::Corrupt(_))) => None,
            octets => octets?,
        };
        let octets = octets.unwrap_or_default();
        let is_here = self.owns_address(txn.account(), &sender).await?;
        for action in [
            Action::Failed,
            Action::Delayed,
            Action::Delivered,
            Action::Relayed,
            Action::Expanded,
        ] {
            let mut kinds = Vec::new();
            let recipients: Vec<RecipientRecord> = told
                .iter()
                .filter(|(of, _)| *of == action)
                .filter_map(|(_, at)| record.recipients.get(*at))
                .filter(|recipient| {
                    let what = (&*recipient.address.email, &*recipient.smtp_reply);
                    let kind = self.queue.reports.may_say(&sender, what, action, now);
                    kinds.extend(kind);
                    kind.is_some()
                })
                .cloned()
                .collect();
            if recipients.is_empty() {
                continue;
            }
            if !is_here {
                let Some(kind) = self.queue.reports.may_send(&sender, now) else {
                    continue;
                };
                kinds.push(kind);
            }
            let each = recipients.iter();
            reported.push(Reported {
                sender: sender.clone(),
                recipients: each
                    .map(|to| (to.address.email.clone(), to.smtp_reply.clone()))
                    .collect(),
                message: octets.clone(),
                action,
                kinds,
            });
            let mut random = [0; 32];
            self.rng.fill(&mut random);
            let settings = self.queue.settings();
            let report = bounce::Report {
                hostname: &self.hostname(),
                action,
                record,
                recipients: &recipients,
                message: &octets,
                now: self.clock.now().seconds(),
                retry_until: record.send_at.saturating_add(settings.expiry_seconds()),
                random,
            };
            let built = report.build();
            let envelope = report.envelope(&sender, &built);
            match is_here {
                true => self.put_report(txn, record, built).await?,
                false => self.send_report(txn, envelope, built).await?,
            }
        }
        Ok(())
    }

    /// Puts a report into the sender's inbox, in the transaction that says why.
    async fn put_report(
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
            Ok(_) => record.dsns.push(BlobRecord { hash: message.hash }),
            Err(Rejected::Store(error)) => return Err(error),
            Err(Rejected::Set(error)) => tracing::warn!(?error, "a report could not be delivered"),
        }
        Ok(())
    }

    /// Puts a report for somebody else into the queue, in the transaction that says why.
    async fn send_report(
        &self,
        txn: &mut MailTxn,
        envelope: Envelope,
        report: Vec<u8>,
    ) -> Result<(), store::Error> {
        let octets = report.into();
        let mut record = submission::new_record(self, envelope, &octets, None);
        record.is_hidden = true;
        record.undo_status = UndoStatus::Final;
        record.due = self.queue_now();
        // There are at most a few reports for each message that was let in.
        match stage::insert(txn, &record, &octets, Bytes::new(), u64::MAX).await {
            Ok(_) => Ok(()),
            Err(Rejected::Store(error)) => Err(error),
            Err(Rejected::Set(error)) => {
                tracing::warn!(?error, "a report could not be queued");
                Ok(())
            }
        }
    }
}
