//! A transaction (RFC 5321 §3.3): from MAIL to the answer to the message.
//!
//! Holds: 250 is said only after the core has said `Ok`; the octets between our fields in front and the end are those
//! that were sent, save for the Bcc of a submission.
//! Other half: `body`, which reads the message; the core, which keeps it.

use std::net::IpAddr;

use jmap_core::inproc::deliver::{Arrival, DeliverError, Inbound, Recipient};
use jmap_core::inproc::origin::Author;
use jmap_core::mail::submission::parameters;
use jmap_core::mail::submission::records::Parameter;
use jmap_core::trace::{self, Refusal, TraceSession};
use net::{ClientKey, Stream, Wire};

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
    /// BODY=BINARYMIME (RFC 3030 §3)
    pub is_binary: bool,
    /// Of MAIL, but for SIZE and AUTH.
    pub parameters: Vec<Parameter>,
    pub recipients: Vec<Recipient>,
    /// Of each RCPT that was accepted, in their order.
    pub recipient_parameters: Vec<Vec<Parameter>>,
    /// Of the budget, for the envelope.
    pub share: Share,
    /// After the first BDAT.
    pub body: Option<Body>,
}

impl Transaction {
    pub fn is_binary(&self) -> bool {
        self.is_binary
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let mut given = self.parameters.iter();
        given.find(|p| p.name == name)?.value.as_deref()
    }
}

/// What the core has said.
enum Outcome {
    Accepted,
    /// For all recipients; with what was found about where it comes from.
    Refused(Reply, Option<String>),
    /// The same; the core has noted what became of each.
    Undelivered(Reply),
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
        let message_id = trace::id_in(body.content());
        let outcome = self.hand_over(&transaction, body).await;
        if let Outcome::Refused(reply, results) = &outcome {
            let session = TraceSession {
                authentication: results.clone(),
                ..self.trace_session(&transaction)
            };
            let message = (size as u64, message_id);
            self.trace_refused_message(&transaction, reply, session, message);
        }
        let id = &transaction.id;
        let accepted = || Reply::new(250, "2.0.0", format!("Accepted as {id}"));
        let count = transaction.recipients.len();
        let replies = match (self.mode(), outcome) {
            (Mode::Lmtp, Outcome::Accepted) => vec![accepted(); count],
            (Mode::Lmtp, Outcome::Refused(reply, _) | Outcome::Undelivered(reply)) => {
                vec![reply; count]
            }
            (_, Outcome::Accepted) => vec![accepted()],
            (_, Outcome::Refused(reply, _) | Outcome::Undelivered(reply)) => vec![reply],
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
        if let Some(reply) = unacceptable(&body, transaction.is_binary) {
            return Outcome::Refused(reply, None);
        }
        let mut session = self.trace_session(transaction);
        let mut is_junk = false;
        // LMTP is spoken by servers that the operator trusts.
        let mut author = Author::Trusted;
        let front = match self.mode() {
            Mode::Receive => {
                let origin = self.authenticate(transaction, &mut body).await;
                session.authentication = results_of(&origin.field);
                if let Some(reply) = origin.refusal {
                    return Outcome::Refused(reply, session.authentication);
                }
                is_junk = origin.is_junk;
                author = origin.author;
                self.received_front(transaction, &body, &origin.field)
            }
            Mode::Lmtp => self.received_front(transaction, &body, ""),
            Mode::Submission => {
                if let Some(reply) = unsendable(transaction, &body) {
                    return Outcome::Refused(reply, None);
                }
                self.submission_front(transaction, &mut body)
            }
        };
        // The share lives until the core has the message.
        let (message, _share) = body.into_message(front.as_bytes());
        let mail_from = transaction.mail_from.clone();
        if let Some(who) = &self.caller {
            // What came while the session had to end is not sent.
            if let Some(reply) = self.ended_reply() {
                return Outcome::Refused(reply, None);
            }
            let addresses = transaction.recipients.iter();
            let addresses = addresses.zip(&transaction.recipient_parameters);
            let address = |(recipient, given): (&Recipient, &Vec<Parameter>)| {
                parameters::with(recipient.address.clone(), given.clone())
            };
            let submission = Submission {
                mail_from: parameters::with(
                    mail_from.unwrap_or_default(),
                    transaction.parameters.clone(),
                ),
                recipients: addresses.map(address).collect(),
                message,
                session,
            };
            return match self.server.backend.submit(who, submission).await {
                Ok(()) => Outcome::Accepted,
                Err(error) => Outcome::Refused(translate::submit_error(&error), None),
            };
        }
        let inbound = Inbound {
            mail_from,
            recipients: transaction.recipients.clone(),
            message,
            peer: self.peer_ip(),
            is_junk,
            answers_each: self.mode() == Mode::Lmtp,
            arrival: Arrival {
                mail: transaction.parameters.clone(),
                recipients: transaction.recipient_parameters.clone(),
                session: Some(session),
                author,
            },
        };
        let mut outcomes = self.server.backend.deliver(inbound).await;
        let count = transaction.recipients.len();
        // An answer that is missing is not an Ok, and says nothing good of the others.
        if outcomes.len() != count {
            outcomes = vec![Err(DeliverError::Temporary); count];
        }
        if self.mode() == Mode::Lmtp {
            return Outcome::Each(outcomes);
        }
        match translate::one_for_all(&outcomes) {
            None => Outcome::Accepted,
            Some(reply) => Outcome::Undelivered(reply),
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
            with: self.protocol(transaction.smtputf8),
            priority: transaction.parameter("MT-PRIORITY"),
            tls: tls.map(|tls| (tls.version, tls.cipher.as_str())),
            id: &transaction.id,
            recipient,
            at: config.clock.now(),
        };
        received.encode()
    }

    fn protocol(&self, smtputf8: bool) -> Protocol {
        let hello = self.hello.as_ref();
        Protocol {
            lmtp: self.mode() == Mode::Lmtp,
            extended: hello.is_some_and(|hello| hello.verb != Verb::Helo),
            smtputf8,
            tls: self.tls.is_some(),
            authenticated: self.caller.is_some(),
        }
    }

    fn trace_session(&self, transaction: &Transaction) -> TraceSession {
        self.session_for_trace(&transaction.id, transaction.smtputf8)
    }

    /// How the client came, for the trace.
    fn session_for_trace(&self, id: &str, smtputf8: bool) -> TraceSession {
        let peer = self.peer_ip().map(|ip| ip.to_canonical().to_string());
        let hello = self.hello.as_ref().map(|hello| hello.name.clone());
        let tls = self.tls.as_ref();
        TraceSession {
            peer: peer.unwrap_or_default(),
            hello: hello.unwrap_or_default(),
            protocol: self.protocol(smtputf8).name(),
            tls: tls.map(|tls| format!("{} {}", tls.version, tls.cipher)),
            id: id.to_owned(),
            authentication: None,
        }
    }

    /// Notes that a recipient, or MAIL, was refused. `mail_from` is that of a transaction that did not begin.
    pub fn trace_refusal(&self, reply: &Reply, recipient: Option<&str>, mail_from: Option<&str>) {
        if !self.may_trace() {
            return;
        }
        let transaction = self.transaction.as_ref();
        let (id, utf8) = transaction.map_or(("", false), |t| (t.id.as_str(), t.smtputf8));
        let under_way = transaction.map(|t| t.mail_from.clone().unwrap_or_default());
        let refusal = Refusal {
            session: self.session_for_trace(id, utf8),
            mail_from: mail_from.map(str::to_owned).or(under_way),
            recipients: recipient
                .map(|address| Recipient {
                    address: address.to_owned(),
                    targets: Vec::new(),
                })
                .into_iter()
                .collect(),
            size: None,
            message_id: None,
            reply: told(reply),
        };
        let backend = &self.server.backend;
        backend.note_refusal(self.caller.as_ref(), refusal);
    }

    fn trace_refused_message(
        &self,
        transaction: &Transaction,
        reply: &Reply,
        session: TraceSession,
        (size, message_id): (u64, Option<String>),
    ) {
        if !self.may_trace() {
            return;
        }
        let refusal = Refusal {
            session,
            mail_from: Some(transaction.mail_from.clone().unwrap_or_default()),
            recipients: transaction.recipients.clone(),
            size: Some(size),
            message_id,
            reply: told(reply),
        };
        let backend = &self.server.backend;
        backend.note_refusal(self.caller.as_ref(), refusal);
    }

    /// A client that is refused without end doesn't fill the trace.
    fn may_trace(&self) -> bool {
        let Some(ip) = self.peer_ip() else {
            return true;
        };
        let now = self.server.config.clock.monotonic();
        let rates = &self.server.refusal_rates;
        rates.take(&ClientKey::of(ip), now).is_ok()
    }
}

/// A reply on one line.
fn told(reply: &Reply) -> String {
    let enhanced = reply.enhanced.unwrap_or_default();
    format!("{} {enhanced} {}", reply.code, reply.text())
}

/// What an Authentication-Results field says, on one line and without the name of whoever says it.
fn results_of(field: &str) -> Option<String> {
    let (_, results) = field.split_once(';')?;
    let words: Vec<&str> = results.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// RFC 6409 §6: what can't be sent as it is. A header that isn't UTF-8 can't be read by anybody (RFC 6532 §3); one that is UTF-8 is taken,
/// whether or not SMTPUTF8 was said: the queue knows what the next server takes.
fn unsendable(transaction: &Transaction, body: &Body) -> Option<Reply> {
    let header = message::header(body.content());
    if header.is_ascii() || std::str::from_utf8(header).is_ok() {
        return None;
    }
    let text = match transaction.smtputf8 {
        true => "The header of the message has octets that are not UTF-8",
        false => {
            "The header of the message has 8-bit octets that are not UTF-8; write it in ASCII, or in UTF-8"
        }
    };
    Some(Reply::new(550, "5.6.7", text))
}

/// A message without a header gets one, with what we put in front.
fn end_header(front: &mut String, body: &Body) {
    if !message::begins_with_header(body.content()) {
        front.push_str("\r\n");
    }
}

/// Why no core has to see it.
fn unacceptable(body: &Body, is_binary: bool) -> Option<Reply> {
    match body.fate() {
        Fate::Kept => {}
        Fate::TooLarge => return Some(translate::too_large()),
        Fate::NoRoom => return Some(translate::no_room_in_flight()),
    }
    // RFC 3030 §3: what is binary is the body; a header has lines in any case.
    let is_strict = match is_binary {
        true => message::is_strict(message::header(body.content())),
        false => body.is_strict(),
    };
    if !is_strict {
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
