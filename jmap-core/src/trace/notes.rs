//! What the other parts tell: one function for each thing that happens to a message.

use jmap_types::AccountId;

use super::{
    TraceHost, TraceKind, TracePlace, TraceRecipient, TraceRecord, TraceSession, TraceSubmission,
};
use crate::{
    Caller, Core,
    inproc::{
        deliver::{DeliverError, Recipient},
        outbound::{Attempt, Job},
    },
    mail::{
        forward,
        message::Summary,
        submission::{envelope::Envelope, records::EnvelopeAddress, report::Success},
    },
};

const DELIVERED: &str = "250 2.1.5 Delivered";
const ON_ITS_WAY: &str = "250 2.0.0 Accepted, and on its way to the mailbox";
const QUEUED: &str = "250 2.0.0 Queued";

/// What one account did with a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub mailboxes: Vec<u64>,
    pub actions: Vec<String>,
    pub problem: Option<String>,
    /// What the sender was told, who wanted to hear of success.
    pub reported: Option<Success>,
}

impl Told {
    /// One thing was done, and nothing else.
    pub fn action(name: &str) -> Self {
        Self {
            actions: vec![name.to_owned()],
            ..Self::default()
        }
    }
}

/// A refusal before the core had the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    pub session: TraceSession,
    /// `None`: it was not said yet; empty: the null reverse-path.
    pub mail_from: Option<String>,
    /// The recipient that was refused, or all of the message's; the accounts of those may read of it.
    pub recipients: Vec<Recipient>,
    /// Octets of the message, if it came so far.
    pub size: Option<u64>,
    pub message_id: Option<String>,
    /// What the client was told: code, enhanced code, text.
    pub reply: String,
}

/// What came of a delivery.
pub(crate) struct Arrived<'a> {
    pub kind: TraceKind,
    pub summary: &'a Summary,
    pub size: usize,
    pub mail_from: Option<&'a str>,
    pub recipients: &'a [Recipient],
    pub results: &'a [Result<(), DeliverError>],
    pub told: &'a [(AccountId, Told)],
    pub session: Option<TraceSession>,
}

fn reply(result: &Result<(), DeliverError>) -> String {
    match result {
        Ok(()) => ON_ITS_WAY.to_owned(),
        Err(DeliverError::Refused(reason)) => format!("550 5.7.1 {reason}"),
        Err(DeliverError::Loop) => forward::LOOP.to_owned(),
        Err(DeliverError::OverQuota) => "452 4.2.2 The mailbox is full".to_owned(),
        Err(DeliverError::NoSuchMailbox) => "550 5.1.1 There is no such mailbox".to_owned(),
        Err(DeliverError::NoRoom) => "452 4.3.1 The mail system has no room".to_owned(),
        Err(DeliverError::Temporary) => {
            "451 4.3.0 The mail system has a temporary failure".to_owned()
        }
    }
}

fn message_id(summary: &Summary) -> Option<String> {
    summary.message_id.as_ref()?.first().cloned()
}

impl Core {
    /// A message came, or was brought here by the queue.
    pub(crate) fn trace_arrival(&self, arrived: Arrived<'_>) {
        self.tell_arrival(&arrived);
        if !self.is_tracing() {
            return;
        }
        let told = |account: &AccountId| arrived.told.iter().find(|(of, _)| of == account);
        let mut recipients = Vec::with_capacity(arrived.recipients.len());
        for (recipient, result) in arrived.recipients.iter().zip(arrived.results) {
            let place = |account: &AccountId| {
                let told = told(account).map(|(_, told)| told.clone());
                let told = told.unwrap_or_default();
                TracePlace {
                    account: account.number(),
                    mailboxes: told.mailboxes,
                    actions: told.actions,
                    problem: told.problem,
                }
            };
            let is_there = result.is_ok() && recipient.targets.iter().any(|a| told(a).is_some());
            recipients.push(TraceRecipient {
                address: recipient.address.clone(),
                reply: match is_there {
                    true => DELIVERED.to_owned(),
                    false => reply(result),
                },
                places: recipient.targets.iter().map(place).collect(),
                remote: None,
            });
        }
        self.note_trace(TraceRecord {
            kind: arrived.kind,
            message_id: message_id(arrived.summary),
            mail_from: Some(arrived.mail_from.unwrap_or_default().to_owned()),
            recipients,
            size: Some(arrived.size as u64),
            session: arrived.session,
            ..TraceRecord::default()
        });
    }

    /// Somebody was refused by an adapter; `who` had logged in.
    pub fn trace_refusal(&self, who: Option<&Caller>, refusal: Refusal) {
        if !self.is_tracing() {
            return;
        }
        let place = |account: AccountId| TracePlace {
            account: account.number(),
            ..TracePlace::default()
        };
        let recipient = |recipient: Recipient| TraceRecipient {
            address: recipient.address,
            reply: refusal.reply.clone(),
            // What somebody here could not send is nobody else's business.
            places: match who {
                Some(_) => Vec::new(),
                None => recipient.targets.into_iter().map(place).collect(),
            },
            remote: None,
        };
        self.note_trace(TraceRecord {
            kind: TraceKind::Refused,
            submission: who.map(|who| TraceSubmission {
                who: Some(who.name.clone()),
                ..of(who.account, 0)
            }),
            message_id: refusal.message_id,
            mail_from: refusal.mail_from,
            recipients: refusal.recipients.into_iter().map(recipient).collect(),
            size: refusal.size,
            session: Some(refusal.session),
            note: Some(refusal.reply.clone()),
            ..TraceRecord::default()
        });
    }

    /// A submission was taken, and is in the queue.
    pub(crate) fn trace_submission(&self, submitted: Submitted<'_>) {
        if !self.is_tracing() {
            return;
        }
        let recipient = |address: &EnvelopeAddress| TraceRecipient {
            address: address.email.clone(),
            reply: QUEUED.to_owned(),
            ..TraceRecipient::default()
        };
        self.note_trace(TraceRecord {
            kind: TraceKind::Submitted,
            message_id: message_id(submitted.summary),
            mail_from: Some(submitted.envelope.mail_from.email.clone()),
            recipients: submitted
                .envelope
                .recipients
                .iter()
                .map(recipient)
                .collect(),
            size: Some(submitted.size as u64),
            session: submitted.session,
            submission: Some(TraceSubmission {
                account: submitted.account.number(),
                id: submitted.id,
                who: Some(submitted.who.name.clone()),
                hold_until: submitted.hold_until,
            }),
            ..TraceRecord::default()
        });
    }

    /// The queue has tried to pass a message on: the hosts, and what became of each recipient that has an outcome.
    pub fn trace_attempt(&self, job: &Job, attempt: &Attempt) {
        if !self.is_tracing() {
            return;
        }
        let recipients = attempt.outcomes.iter().filter_map(|outcome| {
            let mut of_job = job.recipients.iter();
            let recipient = of_job.find(|recipient| recipient.at == outcome.at)?;
            Some(TraceRecipient {
                address: recipient.address.email.clone(),
                reply: outcome.reply.clone(),
                places: Vec::new(),
                remote: outcome.remote.clone(),
            })
        });
        let host = |host: &crate::inproc::outbound::HostTried| TraceHost {
            when: host.when,
            host: host.host.clone(),
            address: host.address.map(|address| address.to_string()),
            tls: host.tls.clone(),
            result: host.result.clone(),
        };
        self.note_trace(TraceRecord {
            kind: TraceKind::Attempted,
            message_id: id_in(&job.message),
            mail_from: Some(job.mail_from.email.clone()),
            recipients: recipients.collect(),
            submission: Some(of(job.account, job.submission)),
            hosts: Some(attempt.hosts.iter().map(host).collect()),
            ..TraceRecord::default()
        });
    }

    /// The sender of a message was told what became of it: `action` is that of RFC 3464 §2.3.3; `submission`
    /// is `None` for a message that came from outside.
    pub fn trace_report(
        &self,
        account: AccountId,
        submission: Option<u64>,
        mail_from: &str,
        recipients: &[(String, String)],
        message: &[u8],
        action: &str,
    ) {
        if !self.is_tracing() {
            return;
        }
        let recipient = |(address, reply): &(String, String)| TraceRecipient {
            address: address.clone(),
            reply: reply.clone(),
            ..TraceRecipient::default()
        };
        self.note_trace(TraceRecord {
            kind: TraceKind::Reported,
            message_id: id_in(message),
            mail_from: Some(mail_from.to_owned()),
            recipients: recipients.iter().map(recipient).collect(),
            submission: Some(of(account, submission.unwrap_or(0))),
            note: Some(action.to_owned()),
            ..TraceRecord::default()
        });
    }
}

/// A submission that is in the queue.
pub(crate) struct Submitted<'a> {
    pub account: AccountId,
    pub id: u64,
    pub who: &'a Caller,
    pub envelope: &'a Envelope,
    pub summary: &'a Summary,
    pub size: usize,
    pub hold_until: Option<i64>,
    pub session: Option<TraceSession>,
}

fn of(account: AccountId, id: u64) -> TraceSubmission {
    TraceSubmission {
        account: account.number(),
        id,
        who: None,
        hold_until: None,
    }
}

/// The first Message-ID of a header, without angle brackets. No more of the message is looked at than its header.
pub fn id_in(message: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"message-id:";
    let mut rest = message;
    while !rest.is_empty() && !rest.starts_with(b"\r\n") {
        let mut end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        if let Some((name, _)) = rest[..end].split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
        {
            while matches!(rest.get(end), Some(b' ' | b'\t')) {
                let more = &rest[end..];
                end += memchr::memchr(b'\n', more).map_or(more.len(), |at| at + 1);
            }
            let value = &rest[NAME.len()..end];
            let start = memchr::memchr(b'<', value)? + 1;
            let length = memchr::memchr(b'>', &value[start..])?;
            let id = &value[start..start + length];
            return (!id.is_empty()).then(|| String::from_utf8_lossy(id).into_owned());
        }
        rest = &rest[end..];
    }
    None
}
