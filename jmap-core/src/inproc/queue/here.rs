//! Deliveries to recipients here.
//!
//! Holds: an account notes the delivery's number in the transaction that gives it the message, so it gets it once.
//! Other half: `inproc::deliver`.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use jmap_types::AccountId;
use store::engine::Assertion;

use super::{
    board::Item,
    note::{Came, Outcome, Tried},
};
use crate::{
    Core,
    inproc::{
        deliver::{Arrival, DeliverError, Fenced, Recipient, RecipientError},
        origin,
    },
    mail::{
        forward,
        submission::records::{EnvelopeAddress, SubmissionRecord},
        write::Message,
    },
};

const DELIVERED: &str = "250 2.1.5 Delivered to the mailbox";

impl Core {
    /// Delivers to the recipients with these indices: what came of each, and the accounts that have it.
    pub(super) async fn try_here(
        &self,
        item: Item,
        fence: Assertion,
        (record, at): (&SubmissionRecord, &[usize]),
        octets: &Bytes,
    ) -> Tried {
        let mut outcomes = Vec::new();
        let mut here = Vec::new();
        let recipients = at
            .iter()
            .filter_map(|&at| Some((at, record.recipients.get(at)?)));
        for (at, recipient) in recipients {
            match self.resolve_recipient(&recipient.address.email).await {
                // A report of failure, or an answer, for the sender of what was forwarded.
                Ok(resolved) if resolved.targets.is_empty() => {
                    let from = Some(&*record.mail_from.email);
                    let message = Message::parse(octets.clone());
                    outcomes.push(
                        match self.return_report(&resolved.address, from, &message).await {
                            Ok(()) => outcome(at, Came::Delivered, DELIVERED),
                            Err(error) => undelivered(at, error),
                        },
                    );
                }
                Ok(resolved) => here.push((at, resolved)),
                Err(error) => outcomes.push(refused(at, error)),
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
        let mut errors = HashMap::new();
        if !targets.is_empty() {
            let from = Some(record.mail_from.email.clone()).filter(|email| !email.is_empty());
            let is_forwarded = self.is_forwarded(item.0, item.1, octets).await;
            let octets = match is_forwarded.unwrap_or(false) {
                true => octets.clone(),
                false => origin::without_results(octets, &self.hostname),
            };
            let octets = with_return_path(&record.mail_from.email, &octets);
            let fenced = Fenced {
                number: delivery_number(item),
                fence,
                arrival: arrival(record, &here),
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
                outcomes.push(outcome(at, Came::Delivered, DELIVERED));
                continue;
            }
            let error = targets
                .iter()
                .find_map(|target| errors.get(target))
                .cloned();
            outcomes.push(undelivered(
                at,
                error.unwrap_or(DeliverError::NoSuchMailbox),
            ));
        }
        let known: HashSet<u64> = record.delivered_to.iter().copied().collect();
        let new = delivered
            .iter()
            .map(|account| account.number())
            .filter(|number| !known.contains(number));
        Tried {
            outcomes,
            delivered_to: new.collect(),
            hosts: Vec::new(),
        }
    }
}

fn undelivered(at: usize, error: DeliverError) -> Outcome {
    let error = match error {
        DeliverError::Refused(reason) => {
            return outcome(at, Came::Refused, &format!("550 5.7.1 {reason}"));
        }
        DeliverError::Loop => return outcome(at, Came::Refused, forward::LOOP),
        DeliverError::OverQuota => RecipientError::OverQuota,
        DeliverError::NoSuchMailbox => RecipientError::NoSuchMailbox,
        DeliverError::NoRoom | DeliverError::Temporary => RecipientError::Temporary,
    };
    refused(at, error)
}

fn outcome(at: usize, came: Came, reply: &str) -> Outcome {
    Outcome {
        at,
        came,
        reply: reply.to_owned(),
        remote: None,
    }
}

fn refused(at: usize, error: RecipientError) -> Outcome {
    let (came, reply) = match error {
        RecipientError::NotLocal => (Came::Elsewhere, ""),
        RecipientError::NoSuchMailbox => (Came::Refused, "550 5.1.1 There is no such mailbox"),
        RecipientError::Disabled => (Came::Refused, "550 5.2.1 The mailbox is disabled"),
        RecipientError::OverQuota => (Came::Later, "452 4.2.2 The mailbox is full"),
        RecipientError::Temporary => (
            Came::Later,
            "451 4.3.0 The mail system has a temporary failure",
        ),
    };
    outcome(at, came, reply)
}

/// The number under which an account notes that it has this submission's message.
pub(super) fn delivery_number((account, submission): Item) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("posthorn submission delivery");
    hasher.update(&account.number().to_be_bytes());
    hasher.update(&submission.to_be_bytes());
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

/// What the sender asked for, for the recipients that are here.
fn arrival(record: &SubmissionRecord, here: &[(usize, Recipient)]) -> Arrival {
    let given = |address: &EnvelopeAddress| address.parameters.clone().unwrap_or_default();
    let recipient = |(at, _): &(usize, Recipient)| {
        let recipient = record.recipients.get(*at);
        recipient.map_or_else(Vec::new, |recipient| given(&recipient.address))
    };
    Arrival {
        mail: given(&record.mail_from),
        recipients: here.iter().map(recipient).collect(),
        session: None,
    }
}
