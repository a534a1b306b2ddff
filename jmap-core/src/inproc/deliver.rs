//! Inbound mail: who a recipient is, and the delivery of a message to recipients.
//!
//! Holds: when a delivery returns `Ok`, the message is on disk for that recipient, once and
//! whole; a message for many recipients is stored once.
//! Other half: `adapters/smtp` speaks SMTP and LMTP and calls this; `many` has the list of what several accounts wait for.

mod many;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use jmap_types::{AccountId, SetErrorKind};
use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use store::{
    Record,
    engine::{Assertion, EngineError},
    keys,
};

use tracing::Instrument as _;

pub(crate) use self::many::Resuming;

use crate::{
    Core,
    inproc::origin::Author,
    mail::{
        forward::{self, Forwarded},
        sieve::{self, Carried, Incoming},
        submission::{
            bounce::Action,
            parameters,
            records::{EnvelopeAddress, Parameter},
            report::{self, Success},
        },
        vacation,
        write::{MailTxn, Message},
    },
    object::{ALONE_AFTER, Rejected, TRIES},
    reports,
    trace::{Arrived, Told, TraceKind, TraceSession},
};

/// A recipient that was found to be deliverable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// As the client wrote it, without angle brackets.
    pub address: String,
    /// The accounts that get the message. None: reports of failure go on from here to the sender of a message that was forwarded.
    pub targets: Vec<AccountId>,
}

impl Recipient {
    /// Why it takes no message with this reverse-path (`None`: the null one), whatever is in it: known at RCPT.
    pub fn refuses(&self, mail_from: Option<&str>) -> Option<DeliverError> {
        let is_report = mail_from.is_none_or(str::is_empty);
        let why = || DeliverError::Refused(forward::REPORTS_ALONE.to_owned());
        (self.targets.is_empty() && !is_report).then(why)
    }
}

/// Why mail for an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// The domain isn't served here: 550 5.7.1, relaying denied.
    #[error("the domain is not served here")]
    NotLocal,
    /// 550 5.1.1
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// 550 5.2.1
    #[error("the mailbox is disabled")]
    Disabled,
    /// 452 4.2.2
    #[error("the mailbox is full")]
    OverQuota,
    /// 451 4.3.0: the store failed; the peer tries again.
    #[error("the mail system has a temporary failure")]
    Temporary,
}

/// A message that has arrived whole.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// `None`: the null reverse-path.
    pub mail_from: Option<String>,
    pub recipients: Vec<Recipient>,
    /// With the trace header fields that the receiving adapter put in front. CRLF line ends.
    pub message: Bytes,
    pub peer: Option<IpAddr>,
    /// For the mailbox with the role `junk`, where there is one, and without an automatic response.
    pub is_junk: bool,
    /// Each recipient gets an answer of its own (LMTP).
    pub answers_each: bool,
    pub arrival: Arrival,
}

/// What the client said beside addresses, and how the message came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Parameters of MAIL.
    pub mail: Vec<Parameter>,
    /// Parameters of each RCPT, in the order of the recipients; those that are missing had none.
    pub recipients: Vec<Vec<Parameter>>,
    /// For the trace.
    pub session: Option<TraceSession>,
    /// Who vouches for the From field.
    pub author: Author,
}

/// Why a message was not kept for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// 550 5.7.1: the recipient's script refuses it (RFC 5429). One line of ASCII.
    #[error("the recipient refuses the message: {0}")]
    Refused(String),
    /// 554 5.4.6: it was here before.
    #[error("the message goes round in circles")]
    Loop,
    /// 452 4.2.2
    #[error("the mailbox is full")]
    OverQuota,
    /// 550 5.1.1: it went away since RCPT.
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// 452 4.3.1: no room, or the database is read-only.
    #[error("the mail system has no room")]
    NoRoom,
    /// 451 4.3.0
    #[error("the mail system has a temporary failure")]
    Temporary,
}

impl DeliverError {
    /// Whether the same message may be taken later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::OverQuota | Self::NoRoom | Self::Temporary => true,
            Self::Refused(_) | Self::Loop | Self::NoSuchMailbox => false,
        }
    }
}

/// What a sender is told whose message was accepted for others (RFC 3463 X.2.2).
const FULL: &str = "552 5.2.2 The mailbox is full";

/// Accounts that one message is delivered to at the same time.
const DELIVERIES_AT_ONCE: usize = 16;

/// A message that was accepted for several accounts: kept until each has it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PendingDelivery {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub blob: [u8; 32],
    #[n(1)]
    pub accounts: Vec<u64>,
    /// Seconds since 1970.
    #[n(2)]
    pub received_at: i64,
    /// `None`: the null reverse-path.
    #[n(3)]
    pub mail_from: Option<String>,
    /// The addresses by which it came to the accounts, in their order.
    #[n(4)]
    pub recipients: Option<Vec<String>>,
    /// `Some(true)`: [`Inbound::is_junk`].
    #[n(5)]
    pub is_junk: Option<bool>,
    /// [`Arrival::mail`]
    #[n(6)]
    pub mail_parameters: Option<Vec<Parameter>>,
    /// Parameters of the addresses by which it came to the accounts, in their order.
    #[n(7)]
    pub parameters: Option<Vec<Vec<Parameter>>>,
    /// Addresses whose sender wants to hear that it was delivered, in the order of the accounts that say so.
    #[n(8)]
    pub reported: Option<Vec<Vec<EnvelopeAddress>>>,
    /// [`Arrival::author`]; `None`: nobody.
    #[n(9)]
    pub author: Option<Author>,
    /// Addresses whose sender is to be told that the mailbox is full, in the order of the accounts: one that has some doesn't get the message.
    #[n(10)]
    pub full: Option<Vec<Vec<EnvelopeAddress>>>,
}

impl Record for PendingDelivery {
    const KIND: &'static str = "pending delivery";
}

/// A message on its way into one account.
#[derive(Clone, Debug)]
struct Delivery {
    message: Message,
    received_at: i64,
    /// `None`: the null reverse-path.
    mail_from: Option<String>,
    is_junk: bool,
    /// An account that has noted this number has the message.
    number: Option<u64>,
    /// It was accepted already: a quota refuses it no more.
    is_accepted: bool,
    peer: Option<IpAddr>,
    /// By which address it came to an account.
    recipients: HashMap<AccountId, String>,
    /// Accounts whose script may refuse it: the sender is told at once.
    refusing: BTreeSet<AccountId>,
    /// What must be true for the delivery to count.
    fence: Option<Assertion>,
    esmtp: Esmtp,
    author: Author,
    /// Accounts without room for it, after it was accepted for others: the addresses of which each tells the sender.
    full: HashMap<AccountId, Vec<EnvelopeAddress>>,
    /// What each account has done, for the trace.
    told: Arc<Mutex<Vec<(AccountId, Told)>>>,
}

/// What was asked for with the message.
#[derive(Clone, Debug, Default)]
struct Esmtp {
    mail: Vec<Parameter>,
    /// Of the address by which it comes to an account.
    of_account: HashMap<AccountId, Vec<Parameter>>,
    /// The addresses of whose delivery an account tells the sender (RFC 3461 §5.2.1).
    reported: HashMap<AccountId, Vec<EnvelopeAddress>>,
}

impl Esmtp {
    fn new(arrival: &Arrival, recipients: &[Recipient]) -> Self {
        let mut esmtp = Self {
            mail: arrival.mail.clone(),
            ..Self::default()
        };
        if arrival.recipients.iter().all(Vec::is_empty) {
            return esmtp;
        }
        for (recipient, given) in recipients.iter().zip(&arrival.recipients) {
            for &account in &recipient.targets {
                let of_account = &mut esmtp.of_account;
                of_account.entry(account).or_insert_with(|| given.clone());
            }
            // One report for an address, however many accounts it leads to.
            if let Some(&first) = recipient.targets.first()
                && parameters::wants_success(given)
            {
                let address = parameters::with(recipient.address.clone(), given.clone());
                esmtp.reported.entry(first).or_default().push(address);
            }
        }
        esmtp
    }
}

/// What one try comes to when the message isn't there afterwards.
#[derive(Debug)]
enum Undelivered {
    Rejected(Rejected),
    Refused(DeliverError),
}

impl<E: Into<Rejected>> From<E> for Undelivered {
    fn from(error: E) -> Self {
        Self::Rejected(error.into())
    }
}

/// A delivery that is tried again until its account has noted `number`, while `fence` is true.
#[derive(Clone, Debug)]
pub(crate) struct Fenced {
    pub number: u64,
    pub fence: Assertion,
    /// What the sender asked for.
    pub arrival: Arrival,
}

impl Core {
    /// Delivers a message: an answer for each recipient, in their order.
    ///
    /// `Ok` means that the message is on disk, and will be (or already is) in the recipient's inbox. Where there is one answer for all and somebody's
    /// is `Ok`, the message is taken: it is seen to that the sender is told of the others (RFC 5321 §6.1), and it must not come again.
    pub async fn deliver(&self, inbound: Inbound) -> Vec<Result<(), DeliverError>> {
        let span = tracing::info_span!(
            target: crate::span::TARGET,
            "deliver",
            recipients = inbound.recipients.len() as u64,
            octets = inbound.message.len() as u64
        );
        self.deliver_inbound(inbound).instrument(span).await
    }

    async fn deliver_inbound(&self, inbound: Inbound) -> Vec<Result<(), DeliverError>> {
        let accounts: BTreeSet<AccountId> = inbound
            .recipients
            .iter()
            .flat_map(|r| r.targets.iter().copied())
            .collect();
        let may_refuse = inbound.answers_each || inbound.recipients.len() == 1;
        let mut message = parse(inbound.message.clone()).await;
        // The trace header field before it is of this transaction alone.
        message.is_new = accounts.len() == 1;
        let delivery = Delivery {
            message,
            received_at: self.clock.now().seconds(),
            mail_from: inbound.mail_from.clone(),
            is_junk: inbound.is_junk,
            number: None,
            is_accepted: false,
            peer: inbound.peer,
            refusing: match may_refuse {
                true => refusing(&inbound.recipients),
                false => BTreeSet::new(),
            },
            recipients: addresses(&inbound.recipients),
            fence: None,
            esmtp: Esmtp::new(&inbound.arrival, &inbound.recipients),
            author: inbound.arrival.author.clone(),
            full: HashMap::new(),
            told: Arc::default(),
        };
        let mut returned = HashMap::new();
        // Where there is one answer for all: the message comes again, for all.
        let mut comes_again = None;
        for recipient in &inbound.recipients {
            if recipient.targets.is_empty() {
                let mail_from = inbound.mail_from.as_deref();
                let result = self
                    .return_report(&recipient.address, mail_from, &delivery.message, None)
                    .await;
                if let (Err(error), false) = (&result, inbound.answers_each)
                    && error.is_temporary()
                {
                    comes_again = Some(error.clone());
                    break;
                }
                returned.insert(recipient.address.as_str(), result.map(drop));
            }
        }
        let (told, summary) = (delivery.told.clone(), delivery.message.summary.clone());
        let reported = delivery.esmtp.reported.clone();
        let mut outcomes: HashMap<_, _> = match &comes_again {
            None => {
                self.deliver_all(delivery, accounts.into_iter().collect(), &inbound)
                    .await
            }
            Some(error) => {
                let each = accounts.into_iter();
                each.map(|account| (account, Err(error.clone()))).collect()
            }
        };
        if !inbound.answers_each && comes_again.is_none() {
            comes_again = nobody_has_it(&outcomes);
        }
        if let Some(error) = comes_again {
            let without_accounts = inbound.recipients.iter().filter(|r| r.targets.is_empty());
            returned.extend(without_accounts.map(|r| (r.address.as_str(), Err(error.clone()))));
        }
        let of_recipient = |recipient: &Recipient| {
            if let Some(result) = returned.get(recipient.address.as_str()) {
                return result.clone();
            }
            let mut worst = Ok(());
            for account in &recipient.targets {
                match outcomes.get_mut(account) {
                    // One copy is enough: what is there once isn't refused.
                    Some(Ok(())) => return Ok(()),
                    Some(Err(error)) => worst = Err(error.clone()),
                    None => worst = Err(DeliverError::NoSuchMailbox),
                }
            }
            worst
        };
        let results: Vec<_> = inbound.recipients.iter().map(of_recipient).collect();
        self.trace_arrival(Arrived {
            kind: TraceKind::Received,
            summary: &summary,
            size: inbound.message.len(),
            mail_from: inbound.mail_from.as_deref(),
            recipients: &inbound.recipients,
            results: &results,
            told: &told.lock(),
            session: inbound.arrival.session,
        });
        let mail_from = inbound.mail_from.as_deref();
        self.trace_success(&told.lock(), &reported, mail_from, &inbound.message);
        let kept = results.iter().filter(|result| result.is_ok()).count() as u64;
        self.metrics.messages_received.add(1);
        self.metrics
            .octets_received
            .add(inbound.message.len() as u64);
        self.metrics.deliveries.add(kept);
        self.metrics
            .deliveries_refused
            .add(results.len() as u64 - kept);
        results
    }

    async fn deliver_all(
        &self,
        delivery: Delivery,
        accounts: Vec<AccountId>,
        inbound: &Inbound,
    ) -> HashMap<AccountId, Result<(), DeliverError>> {
        if let [account] = accounts[..] {
            let outcome = self.deliver_to(account, &delivery).await;
            return HashMap::from([(account, outcome.map(drop))]);
        }
        self.deliver_to_many(delivery, accounts, inbound).await
    }

    /// Delivers a message of the queue: the result of each account. The rows of `fenced.number` stay.
    pub(crate) async fn deliver_fenced(
        &self,
        octets: Bytes,
        mail_from: Option<String>,
        recipients: &[Recipient],
        accounts: Vec<AccountId>,
        fenced: Fenced,
    ) -> Vec<(AccountId, Result<Success, DeliverError>)> {
        let delivery = Delivery {
            message: parse(octets).await,
            received_at: self.clock.now().seconds(),
            mail_from,
            is_junk: false,
            number: Some(fenced.number),
            is_accepted: false,
            peer: None,
            recipients: addresses(recipients),
            refusing: refusing(recipients),
            fence: Some(fenced.fence),
            // The queue tells the sender of success itself.
            esmtp: Esmtp {
                reported: HashMap::new(),
                ..Esmtp::new(&fenced.arrival, recipients)
            },
            author: fenced.arrival.author.clone(),
            full: HashMap::new(),
            told: Arc::default(),
        };
        let delivery = &delivery;
        let each = stream::iter(accounts.to_vec())
            .map(|account| async move { (account, self.deliver_to(account, delivery).await) });
        let results: Vec<_> = each.buffer_unordered(DELIVERIES_AT_ONCE).collect().await;
        let outcome = |(account, result): &(_, Result<Success, DeliverError>)| {
            (*account, result.clone().map(drop))
        };
        let outcomes: Vec<_> = results.iter().map(outcome).collect();
        self.trace_local(delivery, recipients, &outcomes);
        results
    }

    /// Writes into the trace which accounts have told the sender of success.
    fn trace_success(
        &self,
        told: &[(AccountId, Told)],
        reported: &HashMap<AccountId, Vec<EnvelopeAddress>>,
        mail_from: Option<&str>,
        octets: &[u8],
    ) {
        for (account, told) in told {
            let Some((success, action)) = told.reported.and_then(|of| Some((of, of.action()?)))
            else {
                continue;
            };
            let addresses = reported.get(account).into_iter().flatten();
            let one = |address: &EnvelopeAddress| (address.email.clone(), success.reply().into());
            let addresses: Vec<(String, String)> = addresses.map(one).collect();
            let sender = mail_from.unwrap_or_default();
            let action = action.as_str();
            self.trace_report(*account, None, sender, &addresses, octets, action);
        }
    }

    /// Writes into the trace what the queue, or the rest of an interrupted delivery, has done here.
    fn trace_local(
        &self,
        delivery: &Delivery,
        recipients: &[Recipient],
        results: &[(AccountId, Result<(), DeliverError>)],
    ) {
        let tried = |recipient: &&Recipient| {
            let mut targets = recipient.targets.iter();
            targets.any(|target| results.iter().any(|(account, _)| account == target))
        };
        let recipients: Vec<Recipient> = recipients.iter().filter(tried).cloned().collect();
        let result_of = |recipient: &Recipient| {
            let of = |target: &AccountId| results.iter().find(|(account, _)| account == target);
            let mut results = recipient
                .targets
                .iter()
                .filter_map(of)
                .map(|(_, result)| result);
            let first = results.clone().next().cloned().unwrap_or(Ok(()));
            results
                .find(|result| result.is_ok())
                .cloned()
                .unwrap_or(first)
        };
        let results: Vec<_> = recipients.iter().map(result_of).collect();
        self.trace_arrival(Arrived {
            kind: TraceKind::Delivered,
            summary: &delivery.message.summary,
            size: delivery.message.octets.len(),
            mail_from: delivery.mail_from.as_deref(),
            recipients: &recipients,
            results: &results,
            told: &delivery.told.lock(),
            session: None,
        });
        let (told, reported) = (delivery.told.lock(), &delivery.esmtp.reported);
        let mail_from = delivery.mail_from.as_deref();
        self.trace_success(&told, reported, mail_from, &delivery.message.octets);
    }

    async fn deliver_to(
        &self,
        account: AccountId,
        delivery: &Delivery,
    ) -> Result<Success, DeliverError> {
        let handle = self.accounts.handle(account);
        for conflicts in 0..TRIES {
            let delivered = match conflicts < ALONE_AFTER {
                true => self.try_deliver(account, delivery).await,
                // Boxed, as what is seldom done isn't to take room on the stack each time.
                false => {
                    let delivering = Box::pin(self.try_deliver(account, delivery));
                    match Box::pin(handle.writer.alone(delivering)).await {
                        Ok(delivered) => delivered,
                        Err(error) => return Err(temporary(error)),
                    }
                }
            };
            match delivered {
                Err(Undelivered::Rejected(Rejected::Store(store::Error::Conflict))) => {}
                Err(Undelivered::Rejected(Rejected::Store(error))) => return Err(temporary(error)),
                Err(Undelivered::Rejected(Rejected::Set(error)))
                    if error.kind == SetErrorKind::OverQuota =>
                {
                    return Err(DeliverError::OverQuota);
                }
                Err(Undelivered::Rejected(Rejected::Set(error))) => {
                    return Err(match self.account_record(account).await {
                        Ok(None) => DeliverError::NoSuchMailbox,
                        // Its inbox is damaged, and takes mail again once that is mended.
                        Ok(Some(_)) => {
                            tracing::error!(%account, ?error, "an inbox does not take mail; posthorn check tells why");
                            DeliverError::Temporary
                        }
                        Err(error) => temporary(error),
                    });
                }
                Err(Undelivered::Refused(error)) => return Err(error),
                Ok(success) => return Ok(success),
            }
        }
        Err(DeliverError::Temporary)
    }

    async fn try_deliver(
        &self,
        account: AccountId,
        delivery: &Delivery,
    ) -> Result<Success, Undelivered> {
        // A message accepted for many is not refused any more.
        let quota_octets = match delivery.is_accepted {
            true => 0,
            false => self.quota_octets(account).await?,
        };
        let incoming = Incoming {
            message: &delivery.message,
            mail_from: delivery.mail_from.as_deref(),
            recipient: delivery.recipients.get(&account).map(String::as_str),
            mail_parameters: &delivery.esmtp.mail,
            parameters: delivery
                .esmtp
                .of_account
                .get(&account)
                .map(Vec::as_slice)
                .unwrap_or_default(),
            peer: delivery.peer,
            is_junk: delivery.is_junk,
            may_refuse: delivery.refusing.contains(&account),
            received_at: delivery.received_at,
            quota_octets,
            author: &delivery.author,
        };
        let handle = self.accounts.handle(account);
        let mut txn = handle.writer.begin().await?;
        let mut staged = None;
        if let Some(number) = delivery.number {
            let key = keys::delivered(account, number);
            let noted = txn.get(&key).await?;
            if let Some(noted) = &noted {
                let on_disk = self.engine.get(&key).await.map_err(store::Error::from)?;
                if on_disk.is_some() {
                    return Ok(Success::from_bytes(noted));
                }
            }
            if delivery.is_accepted {
                let list = keys::pending_delivery(number);
                if txn.get(&list).await?.is_none() {
                    // Somebody else has seen to all accounts, and has cleared away what said so.
                    return Ok(Success::Silent);
                }
                txn.assert(Assertion::Present(list));
            }
            txn.put(key, noted.clone().unwrap_or_default());
            staged = noted;
        }
        if let Some(fence) = &delivery.fence {
            txn.assert(fence.clone());
        }
        if let Some(noted) = staged {
            // Another task of this process is about to, and may yet fail. What is staged behind it is on disk only if that is: until then
            // the account doesn't count as one that has the message.
            txn.commit().await?;
            return Ok(Success::from_bytes(&noted));
        }
        if let Some(addresses) = delivery.full.get(&account) {
            let reply = FULL;
            if forward::tell_sender(self, &mut txn, &incoming, addresses, reply).await? {
                txn.commit().await?;
                self.queue.wake();
                let told = |to: &EnvelopeAddress| (to.email.clone(), reply.to_owned());
                let told: Vec<_> = addresses.iter().map(told).collect();
                let sender = delivery.mail_from.as_deref().unwrap_or_default();
                let octets = &delivery.message.octets;
                let action = Action::Failed.as_str();
                self.trace_report(account, None, sender, &told, octets, action);
                return Err(Undelivered::Refused(DeliverError::OverQuota));
            }
            // There is no room for the report either. Whoever can't be told of it gets a message that was accepted.
        }
        let has_report = incoming
            .recipient
            .is_some_and(|address| self.takes_reports(address));
        if has_report {
            let (message, received_at) = (&delivery.message, delivery.received_at);
            reports::note_arrival(self, &mut txn, message, received_at).await?;
        }
        let is_forwarded = match forward::carry_out(self, &mut txn, &incoming).await? {
            Forwarded::No => false,
            Forwarded::AndKept => true,
            Forwarded::Alone(success) => {
                let is_reported = delivery
                    .stage_success(self, &mut txn, &incoming, success)
                    .await?;
                txn.commit().await?;
                let told = Told {
                    reported: is_reported.then_some(success),
                    ..Told::action("forward")
                };
                delivery.told.lock().push((account, told));
                if has_report {
                    self.reports.wake();
                }
                self.queue.wake();
                return Ok(success);
            }
            Forwarded::Refused(DeliverError::Temporary) => {
                return Err(Undelivered::Refused(DeliverError::Temporary));
            }
            Forwarded::Refused(error) => {
                if delivery.is_accepted {
                    txn.commit().await?;
                }
                return Err(Undelivered::Refused(error));
            }
        };
        let filtered = sieve::plan(self, &txn, &incoming).await;
        let filtered = filtered.map_err(unplanned)?;
        let carried = sieve::carry_out(self, &mut txn, &incoming, filtered).await?;
        let (has_outgoing, is_open_for_reply, redirects, mut told) = match carried {
            Carried::Done {
                has_outgoing,
                is_open_for_reply,
                redirects,
                told,
            } => (has_outgoing, is_open_for_reply, redirects, told),
            Carried::Refused(reason) => {
                // After a crash the others of a list still get theirs, and this one isn't asked again. The queue notes refusals itself.
                if delivery.is_accepted {
                    txn.commit().await?;
                }
                return Err(Undelivered::Refused(DeliverError::Refused(reason)));
            }
        };
        let success = match (told.mailboxes.is_empty(), is_forwarded || redirects > 1) {
            (false, _) => Success::Delivered,
            // RFC 3461 §5.2.7.3: it went on without the wish to hear of success.
            (true, true) => Success::Expanded,
            (true, false) => Success::Silent,
        };
        // In the same transaction: it happens as often as the delivery does.
        let written = async {
            let has_reply = is_open_for_reply && vacation::reply(self, &mut txn, &incoming).await?;
            let staged = delivery.stage_success(self, &mut txn, &incoming, success);
            let has_success = staged.await?;
            txn.commit().await?;
            Ok::<_, sieve::NoPlan>((has_reply, has_success))
        };
        let (has_reply, has_success) = match written.await {
            Ok(written) => written,
            Err(error) => {
                // What a script has sent on was not sent after all.
                self.sending.give_back(account, redirects);
                return Err(unplanned(error));
            }
        };
        if has_report {
            self.reports.wake();
        }
        if has_outgoing || has_reply || has_success || is_forwarded {
            self.queue.wake();
        }
        if is_forwarded {
            told.actions.push("forward".to_owned());
        }
        if !told.mailboxes.is_empty() {
            self.search.has_arrived(account, &delivery.message);
        }
        told.reported = has_success.then_some(success);
        delivery.told.lock().push((account, told));
        Ok(success)
    }
}

impl Delivery {
    /// Notes what has come of it in an account, and stages the report to a sender who wants to hear of that. `false`: there is none.
    async fn stage_success(
        &self,
        core: &Core,
        txn: &mut MailTxn,
        incoming: &Incoming<'_>,
        success: Success,
    ) -> Result<bool, store::Error> {
        let account = txn.account();
        if let Some(number) = self.number
            && success != Success::Delivered
        {
            txn.put(keys::delivered(account, number), success.to_bytes());
        }
        match self.esmtp.reported.get(&account) {
            Some(addresses) => report::stage_success(core, txn, incoming, addresses, success).await,
            None => Ok(false),
        }
    }

    fn address(&self, account: AccountId) -> String {
        self.recipients.get(&account).cloned().unwrap_or_default()
    }
}

/// Why a message comes again: no account has it, and one of them may take it later.
fn nobody_has_it(outcomes: &HashMap<AccountId, Result<(), DeliverError>>) -> Option<DeliverError> {
    if outcomes.values().any(Result::is_ok) {
        return None;
    }
    let mut errors = outcomes.values().filter_map(|result| result.as_ref().err());
    errors.find(|error| error.is_temporary()).cloned()
}

/// The address by which a message comes to each account.
fn addresses(recipients: &[Recipient]) -> HashMap<AccountId, String> {
    let mut addresses = HashMap::new();
    for recipient in recipients {
        for &account in &recipient.targets {
            let address = || recipient.address.clone();
            addresses.entry(account).or_insert_with(address);
        }
    }
    addresses
}

/// The accounts whose refusal the sender can be told: those that no recipient has together with others.
fn refusing(recipients: &[Recipient]) -> BTreeSet<AccountId> {
    let of_one = |recipient: &Recipient| recipient.targets.len() == 1;
    let shared: BTreeSet<AccountId> = recipients
        .iter()
        .filter(|recipient| !of_one(recipient))
        .flat_map(|recipient| recipient.targets.iter().copied())
        .collect();
    let alone = recipients.iter().filter(|recipient| of_one(recipient));
    alone
        .flat_map(|recipient| recipient.targets.iter().copied())
        .filter(|account| !shared.contains(account))
        .collect()
}

/// The account number under which pending deliveries hold their blobs: never given to an account.
pub const PENDING: AccountId = AccountId::new(0);

/// Octets from which on parsing leaves the network's threads alone.
const PARSE_INLINE_OCTETS: usize = 256 << 10;

async fn parse(octets: Bytes) -> Message {
    if octets.len() <= PARSE_INLINE_OCTETS {
        return Message::parse(octets);
    }
    let copy = octets.clone();
    match tokio::task::spawn_blocking(move || Message::parse(copy)).await {
        Ok(message) => message,
        // The runtime is stopping.
        Err(_) => Message::parse(octets),
    }
}

fn unplanned(error: sieve::NoPlan) -> Undelivered {
    match error {
        sieve::NoPlan::Store(error) => error.into(),
        sieve::NoPlan::Busy => {
            tracing::warn!(%error, "a delivery is put off");
            Undelivered::Refused(DeliverError::Temporary)
        }
    }
}

fn temporary(error: store::Error) -> DeliverError {
    tracing::error!(%error, "a delivery failed in the store");
    match error {
        store::Error::Engine(EngineError::Full(_)) => DeliverError::NoRoom,
        _ => DeliverError::Temporary,
    }
}
