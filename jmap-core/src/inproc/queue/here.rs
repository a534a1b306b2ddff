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
        origin::{self, Author},
    },
    mail::{
        forward::{self, Once},
        submission::{
            records::{EnvelopeAddress, SubmissionRecord},
            report::Success,
        },
        write::Message,
    },
};

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
        let mut returned = None;
        let recipients = at
            .iter()
            .filter_map(|&at| Some((at, record.recipients.get(at)?)));
        for (at, recipient) in recipients {
            match self.resolve_recipient(&recipient.address.email).await {
                // A report of failure, or an answer, for the sender of what was forwarded.
                Ok(resolved) if resolved.targets.is_empty() => {
                    let from = Some(&*record.mail_from.email);
                    let message = Message::parse(octets.clone());
                    let once = Once {
                        number: delivery_number(item),
                        at: at as u64,
                        fence: fence.clone(),
                    };
                    let sent = self.return_report(&resolved.address, from, &message, Some(once));
                    outcomes.push(match sent.await {
                        Ok(account) => {
                            returned = Some(account);
                            taken(at, Success::Delivered)
                        }
                        Err(error) => undelivered(at, error),
                    });
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
        let before = record.delivered_to.iter();
        let before = before.map(|&n| (AccountId::new(n), Success::Delivered));
        let mut delivered: HashMap<AccountId, Success> = before.collect();
        let mut errors = HashMap::new();
        if !targets.is_empty() {
            let from = Some(record.mail_from.email.clone()).filter(|email| !email.is_empty());
            let origin = match self.origin(item.0, item.1, octets).await {
                Ok(origin) => origin,
                Err(error) => {
                    tracing::error!(account = %item.0, submission = item.1, %error, "where a message comes from can't be read");
                    let each = here
                        .iter()
                        .map(|(at, _)| refused(*at, RecipientError::Temporary));
                    outcomes.extend(each);
                    return tried(outcomes, returned.into_iter().collect(), record);
                }
            };
            let octets = match origin.is_forwarded {
                true => octets.clone(),
                false => origin::without_results(octets, &self.hostname()),
            };
            let octets = with_return_path(&record.mail_from.email, &octets);
            let fenced = Fenced {
                number: delivery_number(item),
                fence,
                arrival: arrival(record, &here, origin.author),
            };
            let targets = targets.into_iter().collect();
            let recipients: Vec<Recipient> = here.iter().map(|(_, r)| r.clone()).collect();
            let results = self.deliver_fenced(octets, from, &recipients, targets, fenced);
            for (account, result) in results.await {
                match result {
                    Ok(success) => drop(delivered.insert(account, success)),
                    Err(error) => drop(errors.insert(account, error)),
                }
            }
        }
        for (at, Recipient { targets, .. }) in here {
            // One copy is enough, as with mail that comes in.
            let successes = targets.iter().filter_map(|target| delivered.get(target));
            let best = successes.min_by_key(|success| match success {
                Success::Delivered => 0,
                Success::Expanded => 1,
                Success::Silent => 2,
            });
            if let Some(best) = best {
                outcomes.push(taken(at, *best));
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
        let have = delivered.into_keys().chain(returned);
        tried(outcomes, have.collect(), record)
    }
}

/// What came of a try; `have`: accounts that have the message, or have noted that they have.
fn tried(outcomes: Vec<Outcome>, have: Vec<AccountId>, record: &SubmissionRecord) -> Tried {
    let known: HashSet<u64> = record.delivered_to.iter().copied().collect();
    let new = have.into_iter().map(AccountId::number);
    Tried {
        outcomes,
        delivered_to: new.filter(|number| !known.contains(number)).collect(),
        hosts: Vec::new(),
    }
}

fn taken(at: usize, success: Success) -> Outcome {
    outcome(at, Came::Delivered(success), success.reply())
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
fn arrival(record: &SubmissionRecord, here: &[(usize, Recipient)], author: Author) -> Arrival {
    let given = |address: &EnvelopeAddress| address.parameters.clone().unwrap_or_default();
    let recipient = |(at, _): &(usize, Recipient)| {
        let recipient = record.recipients.get(*at);
        recipient.map_or_else(Vec::new, |recipient| given(&recipient.address))
    };
    Arrival {
        mail: given(&record.mail_from),
        recipients: here.iter().map(recipient).collect(),
        session: None,
        author,
    }
}
