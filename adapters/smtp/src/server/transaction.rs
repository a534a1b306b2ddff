//! A transaction (RFC 5321 §3.3): from MAIL to the answer to the message.
//!
//! Holds: 250 is said only after the core has said `Ok`; the octets between our fields in front and the end are those
//! that were sent, save for the Bcc of a submission.
//! Other half: `body`, which reads the message; the core, which keeps it.

use std::net::IpAddr;

use jmap_core::inproc::deliver::{DeliverError, Inbound, Recipient};
use net::{Stream, Wire};

use super::body::{Body, FRONT_OCTETS, Fate};
use super::session::{Handled, Session};
use crate::backend::{Backend, Submission};
use crate::budget::Share;
use crate::config::Mode;
use crate::encode::Reply;
use crate::encode::date::date_time;
use crate::encode::trace::{Protocol, Received, return_path};
use crate::message::{self, RECEIVED_FIELDS_MAX};
use crate::parse::Verb;
use crate::translate;

/// A message and its envelope.
#[derive(Debug)]
pub struct Transaction {
    /// In our Received field, in logs, and in the answer.
    pub id: String,
    /// `None`: the null reverse-path.
    pub mail_from: Option<String>,
    pub smtputf8: bool,
    pub recipients: Vec<Recipient>,
    /// Of the budget, for the envelope.
    pub share: Share,
    /// After the first BDAT.
    pub body: Option<Body>,
}

/// What the core has said.
enum Outcome {
    Accepted,
    /// For all recipients.
    Refused(Reply),
    /// One for each recipient (LMTP).
    Each(Vec<Result<(), DeliverError>>),
}

impl<B: Backend> Session<B> {
    /// 64 bits of chance, as 16 hexadecimal digits.
    pub fn new_id(&self) -> String {
        format!("{:016x}", self.server.config.rng.next_u64())
    }

    /// The message has arrived: has it kept, and answers.
    pub async fn finish(
        &mut self,
        wire: &mut Wire<Stream>,
        transaction: Transaction,
        body: Body,
    ) -> Handled {
        self.counts.transactions += 1;
        let size = body.content().len();
        let outcome = self.hand_over(&transaction, body).await;
        let id = &transaction.id;
        let accepted = || Reply::new(250, "2.0.0", format!("Accepted as {id}"));
        let count = transaction.recipients.len();
        let replies = match (self.mode(), outcome) {
            (Mode::Lmtp, Outcome::Accepted) => vec![accepted(); count],
            (Mode::Lmtp, Outcome::Refused(reply)) => vec![reply; count],
            (_, Outcome::Accepted) => vec![accepted()],
            (_, Outcome::Refused(reply)) => vec![reply],
            (_, Outcome::Each(outcomes)) => {
                let reply = |outcome: &Result<(), DeliverError>| match outcome {
                    Ok(()) => accepted(),
                    Err(error) => translate::deliver_error(error),
                };
                outcomes.iter().map(reply).collect()
            }
        };
        self.log_outcome(&transaction, size, &replies);
        for reply in &replies {
            wire.send(&reply.encode()).await?;
        }
        Ok(super::session::Flow::Continue)
    }

    fn log_outcome(&mut self, transaction: &Transaction, size: usize, replies: &[Reply]) {
        let peer = self.peer_name();
        let listener = self.mode().name();
        let id = &transaction.id;
        let from = transaction.mail_from.as_deref().unwrap_or_default();
        let recipients = transaction.recipients.len();
        let refused = replies.iter().find(|reply| reply.is_refusal());
        if replies.iter().any(|reply| !reply.is_refusal()) {
            self.counts.idle_commands = 0;
            let who = self.caller.as_ref();
            let who = who.map(|who| self.server.backend.name(who));
            tracing::info!(
                listener,
                peer,
                from,
                recipients,
                size,
                id,
                who,
                "message accepted"
            );
        }
        if let Some(reply) = refused {
            let reason = format!("{} {}", reply.code, reply.text());
            tracing::info!(
                listener,
                peer,
                from,
                recipients,
                size,
                id,
                reason,
                "message refused"
            );
        }
    }

    async fn hand_over(&self, transaction: &Transaction, mut body: Body) -> Outcome {
        if let Some(reply) = unacceptable(&body) {
            return Outcome::Refused(reply);
        }
        let mut is_junk = false;
        let front = match self.mode() {
            Mode::Receive => {
                let origin = self.authenticate(transaction, &mut body).await;
                if let Some(reply) = origin.refusal {
                    return Outcome::Refused(reply);
                }
                is_junk = origin.is_junk;
                self.received_front(transaction, &body, &origin.field)
            }
            Mode::Lmtp => self.received_front(transaction, &body, ""),
            Mode::Submission => self.submission_front(transaction, &mut body),
        };
        // The share lives until the core has the message.
        let (message, _share) = body.into_message(front.as_bytes());
        let mail_from = transaction.mail_from.clone();
        if let Some(who) = &self.caller {
            let addresses = transaction.recipients.iter();
            let submission = Submission {
                mail_from,
                recipients: addresses.map(|r| r.address.clone()).collect(),
                message,
            };
            return match self.server.backend.submit(who, submission).await {
                Ok(()) => Outcome::Accepted,
                Err(error) => Outcome::Refused(translate::submit_error(&error)),
            };
        }
        let inbound = Inbound {
            mail_from,
            recipients: transaction.recipients.clone(),
            message,
            peer: self.peer_ip(),
            is_junk,
            answers_each: self.mode() == Mode::Lmtp,
        };
        let mut outcomes = self.server.backend.deliver(inbound).await;
        // An answer that is missing is not an Ok.
        outcomes.resize(transaction.recipients.len(), Err(DeliverError::Temporary));
        if self.mode() == Mode::Lmtp {
            return Outcome::Each(outcomes);
        }
        match translate::one_for_all(&outcomes) {
            None => Outcome::Accepted,
            Some(reply) => Outcome::Refused(reply),
        }
    }

    /// RFC 5321 §4.4: at final delivery a Return-Path is first. RFC 8601 §4: Authentication-Results is above Received.
    fn received_front(&self, transaction: &Transaction, body: &Body, results: &str) -> String {
        let mut front = return_path(transaction.mail_from.as_deref());
        front.push_str(results);
        front.push_str(&self.received(transaction));
        end_header(&mut front, body);
        front
    }

    /// RFC 6409 §8: what is missing is added. Who is blind-copied is nobody's business (RFC 5322 §3.6.3).
    fn submission_front(&self, transaction: &Transaction, body: &mut Body) -> String {
        if !body.content().is_empty() {
            message::remove(body.octets_mut(), FRONT_OCTETS, &["Bcc", "Resent-Bcc"]);
        }
        let mut front = self.received(transaction);
        let config = &self.server.config;
        if message::count(body.content(), "Date") == 0 {
            front.push_str(&format!("Date: {}\r\n", date_time(config.clock.now())));
        }
        if message::count(body.content(), "Message-ID") == 0 {
            let (left, right) = (self.new_id(), self.new_id());
            let hostname = &config.hostname;
            front.push_str(&format!("Message-ID: <{left}{right}@{hostname}>\r\n"));
        }
        end_header(&mut front, body);
        front
    }

    fn received(&self, transaction: &Transaction) -> String {
        let config = &self.server.config;
        let hello = self.hello.as_ref();
        let tls = self.tls.as_ref();
        let recipient = match &transaction.recipients[..] {
            [only] => Some(only.address.as_str()),
            _ => None,
        };
        let received = Received {
            from: hello.map_or("unknown", |hello| &hello.name),
            peer: self.peer_ip().map(|ip: IpAddr| ip.to_canonical()),
            by: &config.hostname,
            with: Protocol {
                lmtp: self.mode() == Mode::Lmtp,
                extended: hello.is_some_and(|hello| hello.verb != Verb::Helo),
                smtputf8: transaction.smtputf8,
                tls: tls.is_some(),
                authenticated: self.caller.is_some(),
            },
            tls: tls.map(|tls| (tls.version, tls.cipher.as_str())),
            id: &transaction.id,
            recipient,
            at: config.clock.now(),
        };
        received.encode()
    }
}

/// A message without a header gets one, with what we put in front.
fn end_header(front: &mut String, body: &Body) {
    if !message::begins_with_header(body.content()) {
        front.push_str("\r\n");
    }
}

/// Why no core has to see it.
fn unacceptable(body: &Body) -> Option<Reply> {
    match body.fate() {
        Fate::Kept => {}
        Fate::TooLarge => return Some(translate::too_large()),
        Fate::NoRoom => return Some(translate::no_room_in_flight()),
    }
    if !body.is_strict() {
        let text = "The message has a CR or LF of its own; lines end with CRLF";
        return Some(Reply::new(554, "5.5.2", text));
    }
    // RFC 5321 §6.3
    if message::count(body.content(), "Received") > RECEIVED_FIELDS_MAX {
        return Some(Reply::new(
            554,
            "5.4.6",
            "The message goes round in circles",
        ));
    }
    None
}
