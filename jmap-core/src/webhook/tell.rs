//! What the parts of the core tell: one function for each thing that happens.

use serde_json::{Value, json};
use store::engine::Batch;

use super::{Event, EventKind};
use crate::{
    Caller, Core,
    access::Operation,
    admin::Deed,
    auth::{AuthError, Origin},
    bans::{BanRecord, Network},
    inproc::{backup::RepositoryRecord, certificates::CertificateRecord, deliver::DeliverError},
    mail::submission::records::SubmissionRecord,
    trace::{Arrived, TraceKind},
};

/// Accounts of which it is remembered that they were told of to have no room.
const FULL_ACCOUNTS_MAX: usize = 10_000;

impl Core {
    /// A message came, or was brought here by the queue.
    pub(crate) fn tell_arrival(&self, arrived: &Arrived<'_>) {
        if self.is_told_of(EventKind::QuotaReached) {
            self.tell_full_accounts(arrived);
        }
        if arrived.kind != TraceKind::Received || !self.is_told_of(EventKind::MessageReceived) {
            return;
        }
        let of = |wanted: bool| -> Vec<Value> {
            let pairs = arrived.recipients.iter().zip(arrived.results);
            let some = pairs.filter(|(_, result)| result.is_ok() == wanted);
            some.map(|(recipient, _)| json!(recipient.address))
                .collect()
        };
        let id = arrived.summary.message_id.as_ref();
        let event = Event::new(EventKind::MessageReceived)
            .with_some("messageId", id.and_then(|ids| ids.first().cloned()))
            .with("mailFrom", arrived.mail_from.unwrap_or_default())
            .with("recipients", of(true))
            .with("refused", of(false))
            .with("recipientCount", arrived.recipients.len() as u64)
            .with("size", arrived.size as u64);
        self.tell_event(event);
    }

    fn tell_full_accounts(&self, arrived: &Arrived<'_>) {
        let hour = self.clock.now().seconds().div_euclid(3600);
        for (recipient, result) in arrived.recipients.iter().zip(arrived.results) {
            let (Err(DeliverError::OverQuota), Some(account)) = (result, recipient.targets.first())
            else {
                continue;
            };
            {
                let mut full = self.webhooks.full.lock();
                if full.len() >= FULL_ACCOUNTS_MAX {
                    full.retain(|_, of| *of == hour);
                }
                if full.len() >= FULL_ACCOUNTS_MAX || full.insert(*account, hour) == Some(hour) {
                    continue;
                }
            }
            let event = Event::new(EventKind::QuotaReached)
                .with("account", account.to_string())
                .with("address", recipient.address.as_str());
            self.tell_event(event);
        }
    }

    /// The queue has an outcome for a recipient, or waits with it.
    pub(crate) fn tell_outcome(&self, kind: EventKind, record: &SubmissionRecord, at: usize) {
        let Some(recipient) = record.recipients.get(at).filter(|_| self.is_told_of(kind)) else {
            return;
        };
        let next = recipient
            .next_try
            .filter(|_| kind == EventKind::MessageDeferred);
        let next = next.map(|ms| super::time_text(i64::try_from(ms).unwrap_or(i64::MAX)));
        let event = Event::new(kind)
            .with("mailFrom", record.mail_from.email.as_str())
            .with("recipient", recipient.address.email.as_str())
            .with("reply", recipient.smtp_reply.as_str())
            .with_some("host", recipient.remote.clone())
            .with("attempts", u64::from(recipient.attempts.unwrap_or(0)))
            .with_some("nextTry", next);
        self.tell_event(event);
    }

    /// Somebody could not log in. `login`: as it was given; `None`: a token.
    pub(crate) fn tell_failed_login(&self, login: Option<&str>, from: &Origin, why: &AuthError) {
        if !self.is_told_of(EventKind::LoginFailed) {
            return;
        }
        let event = Event::new(EventKind::LoginFailed)
            .with_some("login", login)
            .with("address", from.ip.to_string())
            .with("protocol", from.protocol.name())
            .with("reason", why.to_string());
        self.tell_event(event);
    }

    /// A network is banned, or is no more. `by`: whoever has lifted it; who has banned it, the record knows.
    pub(crate) fn ban_event(
        kind: EventKind,
        network: &Network,
        record: &BanRecord,
        by: Option<&str>,
    ) -> Event {
        Event::new(kind)
            .with("network", network.to_string())
            .with("rule", record.rule.name())
            .with("reason", record.reason.as_str())
            .with("times", u64::from(record.times))
            .with("since", super::time_text(record.since))
            .with_some("until", record.until.map(super::time_text))
            .with_some("by", by.or(record.by.as_deref()))
    }

    /// An administrator has done something.
    pub(crate) fn tell_deed(&self, batch: &mut Batch, who: &Caller, deed: &Deed) {
        let kind = match deed.operation {
            Operation::AddAccount => EventKind::AccountCreated,
            Operation::RemoveAccount => EventKind::AccountRemoved,
            Operation::ChangeAccount
            | Operation::GiveRole
            | Operation::ChangeQuota
            | Operation::ChangeMembers
            | Operation::SetPassword
            | Operation::IssueCredential
            | Operation::RevokeCredential => EventKind::AccountChanged,
            _ => return,
        };
        if !self.is_told_of(kind) {
            return;
        }
        let fields: Vec<Value> = deed.changes.iter().map(|of| json!(of.field)).collect();
        let event = Event::new(kind)
            .with_some("account", deed.of_account.map(|id| id.to_string()))
            .with("name", deed.object.as_str())
            .with("operation", deed.operation.name())
            .with("fields", fields)
            .with("by", who.name.as_str());
        self.tell_event_with(batch, event);
    }

    /// The work on a certificate has come to something.
    pub(crate) fn tell_certificate(
        &self,
        batch: &mut Batch,
        before: &CertificateRecord,
        after: &CertificateRecord,
    ) {
        let names: Vec<Value> = after.names.iter().map(|name| json!(name)).collect();
        if !after.chain.is_empty() && before.chain != after.chain {
            let event = Event::new(EventKind::CertificateRenewed)
                .with("names", names)
                .with(
                    "notAfter",
                    super::time_text(after.not_after.saturating_mul(1000)),
                );
            self.tell_event_with(batch, event);
        } else if let Some(problem) = &after.problem
            && before.problem.as_ref() != Some(problem)
        {
            let event = Event::new(EventKind::CertificateFailed)
                .with("names", names)
                .with("problem", problem.as_str());
            self.tell_event_with(batch, event);
        }
    }

    /// A backup has ended.
    pub(crate) fn tell_backup(
        &self,
        batch: &mut Batch,
        before: &RepositoryRecord,
        after: &RepositoryRecord,
    ) {
        let outcomes = [
            (EventKind::BackupDone, &before.success, &after.success),
            (EventKind::BackupFailed, &before.failure, &after.failure),
        ];
        for (kind, before, after) in outcomes {
            let Some(outcome) = after.as_ref().filter(|_| before != after) else {
                continue;
            };
            let event = Event::new(kind)
                .with("seconds", outcome.seconds)
                .with("sentence", outcome.sentence.as_str())
                .with("addedOctets", outcome.added_octets);
            self.tell_event_with(batch, event);
        }
    }
}
