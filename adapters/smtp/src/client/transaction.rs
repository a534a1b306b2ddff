//! One mail transaction (RFC 5321 §3.3): MAIL, RCPT, and the message by DATA or BDAT (RFC 3030).
//!
//! Holds: each reply is attributed to the command that it answers, also when many were sent at once (RFC 2920); nobody is
//! told "accepted" without the peer's 250 to the message; a connection that ends before the message was sent to its end has
//! delivered nothing, and one that ends after it may have; who was refused before that stays refused.
//! Other half: `send`, which picks the host; `content` and `envelope`, which say what is sent.

use std::time::Duration;

use bytes::Bytes;
use jmap_core::inproc::outbound::{Fate, Job, JobRecipient, Outcome};
use tokio::time::timeout;

use super::connection::Connection;
use super::content::Stuffer;
use super::envelope::{self, About};
use super::reply::{Broken, Reply};
use super::settings::Protocol;

/// Recipients whose replies may be outstanding: a peer that answers and one that asks must not wait for each other
/// (RFC 2920 §3.1).
const PIPELINED_MAX: usize = 50;
/// Octets of a chunk (RFC 3030).
const CHUNK_OCTETS_MAX: usize = 1 << 20;
/// Octets that are prepared at once.
const BLOCK_OCTETS: usize = 64 << 10;
/// How long a peer that takes no more of a message has to say why.
const LAST_WORD: Duration = Duration::from_secs(5);

/// A message as this peer gets it.
#[derive(Clone, Debug)]
pub struct Letter {
    /// What goes in front: signatures.
    pub front: Bytes,
    pub body: Bytes,
    pub about: About,
}

/// What came of a transaction.
#[derive(Debug)]
pub enum End {
    /// Everybody who was tried has an outcome. `Some(broken)`: and the connection is gone.
    Done(Vec<Outcome>, Option<Broken>),
    /// Nobody has got anything: the peer doesn't want the transaction now.
    NotNow(Reply),
    /// Nobody has got anything: the connection is gone. `true`: before any reply.
    Lost(Broken, bool),
}

/// What came of a transaction, and who was refused in one that came to no end.
#[derive(Debug)]
pub struct Ended {
    pub end: End,
    /// Only with [`End::NotNow`] and [`End::Lost`]. Were they asked for again, a peer that hangs up at their refusal would
    /// keep the message from everybody else.
    pub refused: Vec<Outcome>,
}

/// A transaction on a connection.
pub struct Transaction<'t> {
    pub connection: &'t mut Connection,
    pub job: &'t Job,
    pub letter: &'t Letter,
    /// Those that are to be tried.
    pub recipients: Vec<&'t JobRecipient>,
    outcomes: Vec<Outcome>,
    accepted: Vec<&'t JobRecipient>,
    last: Option<Reply>,
}

/// Why it can't go on.
enum Stop {
    Broken(Broken),
    /// 421: the peer ends the connection (RFC 5321 §3.8).
    Closing(Reply),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Stop {
        Stop::Broken(broken)
    }
}

impl<'t> Transaction<'t> {
    pub fn new(
        connection: &'t mut Connection,
        job: &'t Job,
        letter: &'t Letter,
        recipients: Vec<&'t JobRecipient>,
    ) -> Transaction<'t> {
        Transaction {
            connection,
            job,
            letter,
            recipients,
            outcomes: Vec::new(),
            accepted: Vec::new(),
            last: None,
        }
    }

    pub async fn run(mut self) -> Ended {
        let end = self.go().await;
        let is_peers =
            |outcome: &Outcome| outcome.fate == Fate::Refused && outcome.remote.is_some();
        let refused = match end {
            End::Done(..) => Vec::new(),
            End::NotNow(_) | End::Lost(..) => self.outcomes.into_iter().filter(is_peers).collect(),
        };
        Ended { end, refused }
    }

    async fn go(&mut self) -> End {
        let mail = match envelope::mail(
            &self.job.mail_from,
            &self.letter.about,
            &self.connection.extensions,
        ) {
            Ok(mail) => mail,
            Err(why) => {
                let all = self
                    .recipients
                    .iter()
                    .map(|recipient| ours(recipient, Fate::Refused, why.0))
                    .collect();
                return End::Done(all, None);
            }
        };
        let lines = self.lines();
        self.connection.messages += 1;
        self.connection.is_dirty = true;
        let within = self.connection.timeouts.envelope;
        let told = timeout(within, self.envelope(&mail, lines)).await;
        match told.unwrap_or(Err(Stop::Broken(Broken::TimedOut))) {
            Ok(None) => {}
            Ok(Some(end)) => return end,
            Err(Stop::Broken(broken)) => return End::Lost(broken, self.last.is_none()),
            Err(Stop::Closing(reply)) => return End::NotNow(reply),
        }
        if self.accepted.is_empty() {
            return End::Done(std::mem::take(&mut self.outcomes), None);
        }
        let by_chunks = self.connection.extensions.chunking;
        let sent = match by_chunks {
            true => self.chunks().await,
            false => self.data().await,
        };
        match sent {
            Ok(None) => {}
            Ok(Some(reply)) if reply.code == 421 => return End::NotNow(reply),
            // The message isn't wanted: that is everybody's answer.
            Ok(Some(reply)) => {
                self.answer_all(&reply);
                return End::Done(std::mem::take(&mut self.outcomes), None);
            }
            Err(broken) => return End::Lost(broken, false),
        }
        let broken = self.verdicts().await;
        if broken.is_none() {
            self.connection.is_dirty = false;
        }
        End::Done(std::mem::take(&mut self.outcomes), broken)
    }

    /// The lines of RCPT. Who can't be told to this peer has an outcome at once.
    fn lines(&mut self) -> Vec<(&'t JobRecipient, String)> {
        let smtputf8 = self.letter.about.smtputf8;
        let mut lines = Vec::with_capacity(self.recipients.len());
        for recipient in std::mem::take(&mut self.recipients) {
            match envelope::rcpt(&recipient.address, smtputf8, &self.connection.extensions) {
                Ok(line) => lines.push((recipient, line)),
                Err(why) => self.outcomes.push(ours(recipient, Fate::Refused, why.0)),
            }
        }
        lines
    }

    /// MAIL and all RCPT.
    async fn envelope(
        &mut self,
        mail: &str,
        lines: Vec<(&'t JobRecipient, String)>,
    ) -> Result<Option<End>, Stop> {
        let batch = match self.connection.extensions.pipelining {
            true => PIPELINED_MAX,
            false => 1,
        };
        let mut lines = lines.into_iter();
        let first: Vec<_> = match batch {
            1 => Vec::new(),
            batch => lines.by_ref().take(batch).collect(),
        };
        let mut out = mail.to_owned();
        first.iter().for_each(|(_, line)| out.push_str(line));
        self.connection.write(out.as_bytes(), b"").await?;
        let reply = self.reply().await?;
        if !reply.is_positive() {
            // The others are answered too; what they say doesn't matter, nor does a peer that has said enough, and closes.
            let mut broken = None;
            for _ in &first {
                broken = match self.reply().await {
                    Ok(_) => continue,
                    Err(Stop::Broken(broken)) => Some(broken),
                    Err(Stop::Closing(_)) => Some(Broken::Closed),
                };
                break;
            }
            return Ok(Some(self.no_sender((reply, broken), first, lines)));
        }
        self.recipients_of(first).await?;
        loop {
            let next: Vec<_> = lines.by_ref().take(batch).collect();
            if next.is_empty() {
                return Ok(None);
            }
            let out: String = next.iter().map(|(_, line)| line.as_str()).collect();
            self.connection.write(out.as_bytes(), b"").await?;
            self.recipients_of(next).await?;
        }
    }

    fn no_sender(
        &mut self,
        (reply, broken): (Reply, Option<Broken>),
        first: Vec<(&'t JobRecipient, String)>,
        others: impl Iterator<Item = (&'t JobRecipient, String)>,
    ) -> End {
        // RFC 3207 §4, RFC 4954 §6: it is about the session, and not about the sender.
        if !reply.is_permanent() || reply.code == 530 {
            return End::NotNow(reply);
        }
        for (recipient, _) in first.into_iter().chain(others) {
            let outcome = self.outcome(recipient, &reply);
            self.outcomes.push(outcome);
        }
        End::Done(std::mem::take(&mut self.outcomes), broken)
    }

    async fn recipients_of(&mut self, batch: Vec<(&'t JobRecipient, String)>) -> Result<(), Stop> {
        for (recipient, _) in batch {
            let reply = self.reply().await?;
            if reply.is_positive() {
                self.accepted.push(recipient);
                continue;
            }
            // There is no room for more in this transaction: they go with the next.
            if is_full(&reply) && !self.accepted.is_empty() {
                continue;
            }
            let outcome = self.outcome(recipient, &reply);
            self.outcomes.push(outcome);
        }
        Ok(())
    }

    async fn reply(&mut self) -> Result<Reply, Stop> {
        let reply = self
            .connection
            .reply(self.connection.timeouts.command)
            .await?;
        self.last = Some(reply.clone());
        match reply.code {
            421 => Err(Stop::Closing(reply)),
            _ => Ok(reply),
        }
    }

    /// The message by DATA. `Some`: it isn't wanted.
    async fn data(&mut self) -> Result<Option<Reply>, Broken> {
        let reply = self
            .connection
            .command("DATA", self.connection.timeouts.data)
            .await?;
        if reply.code != 354 {
            // RFC 5321 §4.3.2: a reply that says "done" to DATA makes no sense.
            return match reply.code {
                400.. => Ok(Some(reply)),
                _ => Err(Broken::Malformed),
            };
        }
        let mut stuffer = Stuffer::default();
        let mut block = Vec::with_capacity(BLOCK_OCTETS + BLOCK_OCTETS / 8);
        let letter = self.letter;
        for octets in letter
            .front
            .chunks(BLOCK_OCTETS)
            .chain(letter.body.chunks(BLOCK_OCTETS))
        {
            stuffer.feed(octets, &mut block);
            if block.len() >= BLOCK_OCTETS {
                if let Some(reply) = self.write_or_last_word(&block, b"").await? {
                    return Ok(Some(reply));
                }
                block.clear();
            }
        }
        block.extend_from_slice(stuffer.end());
        // From here on nobody knows what the peer has, until it says so; whether this write fails tells nothing.
        let _ = self.connection.write(&block, b"").await;
        Ok(None)
    }

    /// The message by BDAT. `Some`: it isn't wanted.
    async fn chunks(&mut self) -> Result<Option<Reply>, Broken> {
        let letter = self.letter;
        let total = letter.front.len() + letter.body.len();
        let mut sent = 0;
        loop {
            let end = (sent + CHUNK_OCTETS_MAX).min(total);
            let is_last = end == total;
            let (first, second) = slices(&letter.front, &letter.body, sent, end);
            let word = if is_last { " LAST" } else { "" };
            let head = format!("BDAT {}{word}\r\n", end - sent);
            // The command with the first octets: one packet for a small message.
            let head = [head.as_bytes(), first].concat();
            if is_last {
                // As with DATA.
                let _ = self.connection.write(&head, second).await;
                return Ok(None);
            }
            if let Some(reply) = self.write_or_last_word(&head, second).await? {
                return Ok(Some(reply));
            }
            let reply = self.connection.reply(self.connection.timeouts.end).await?;
            if !reply.is_positive() {
                return Ok(Some(reply));
            }
            sent = end;
        }
    }

    /// A peer that has had enough says why before it closes.
    async fn write_or_last_word(
        &mut self,
        first: &[u8],
        second: &[u8],
    ) -> Result<Option<Reply>, Broken> {
        match self.connection.write(first, second).await {
            Ok(()) => Ok(None),
            Err(broken) => match self.connection.reply(LAST_WORD).await {
                Ok(reply) if reply.code >= 400 => Ok(Some(reply)),
                _ => Err(broken),
            },
        }
    }

    /// The replies to the message: one, or with LMTP one for each recipient (RFC 2033 §4.2). `Some`: the connection ended.
    async fn verdicts(&mut self) -> Option<Broken> {
        let within = self.connection.timeouts.end;
        let is_lmtp = self.connection.protocol == Protocol::Lmtp;
        let mut waiting = std::mem::take(&mut self.accepted).into_iter();
        while waiting.len() > 0 {
            match self.connection.reply(within).await {
                Ok(reply) => {
                    let count = if is_lmtp { 1 } else { waiting.len() };
                    for recipient in waiting.by_ref().take(count) {
                        let outcome = self.outcome(recipient, &reply);
                        self.outcomes.push(outcome);
                    }
                }
                Err(broken) => {
                    // RFC 1047: it may have been delivered. Twice is better than not at all.
                    let text = format!("451 4.4.2 After the whole message was sent: {broken}");
                    self.outcomes
                        .extend(waiting.map(|recipient| ours(recipient, Fate::Later, &text)));
                    return Some(broken);
                }
            }
        }
        None
    }

    fn answer_all(&mut self, reply: &Reply) {
        for recipient in std::mem::take(&mut self.accepted) {
            let outcome = self.outcome(recipient, reply);
            self.outcomes.push(outcome);
        }
    }

    /// What a peer's reply is to a recipient.
    fn outcome(&self, recipient: &JobRecipient, reply: &Reply) -> Outcome {
        let fate = match reply.code {
            200..=299 => Fate::Accepted {
                tells_success: self.connection.extensions.dsn,
            },
            500.. => Fate::Refused,
            _ => Fate::Later,
        };
        Outcome {
            at: recipient.at,
            fate,
            reply: reply.text(),
            remote: Some(self.connection.host.clone()),
        }
    }
}

/// An outcome with a reply of ours.
pub fn ours(recipient: &JobRecipient, fate: Fate, reply: &str) -> Outcome {
    Outcome {
        at: recipient.at,
        fate,
        reply: reply.to_owned(),
        remote: None,
    }
}

/// "Too many recipients" (RFC 5321 §4.5.3.1.10: 552 means the same to a client as 452).
fn is_full(reply: &Reply) -> bool {
    matches!(
        (reply.code, reply.enhanced()),
        (452, None | Some((4, 5, 3))) | (552, Some((5, 5, 3)))
    )
}

/// Octets `from` to `to` of two pieces that follow each other.
fn slices<'s>(first: &'s [u8], second: &'s [u8], from: usize, to: usize) -> (&'s [u8], &'s [u8]) {
    let middle = first.len();
    let one = &first[from.min(middle)..to.min(middle)];
    let two = &second[from.saturating_sub(middle)..to.saturating_sub(middle)];
    (one, two)
}
