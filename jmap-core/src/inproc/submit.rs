//! Submission of a message as it is, for SMTP (RFC 6409).
//!
//! Holds: when it returns `Ok`, the message is in the queue, on disk, for all its recipients.
//! Other half: `adapters/smtp` speaks SMTP; `queue` sends.

use bytes::Bytes;
use jmap_types::{AccountId, SetError, SetErrorKind};

use crate::{
    Caller, Core,
    accounts::AccountHandle,
    mail::{
        identity,
        message::{Summary, address},
        submission::{
            self,
            envelope::{self, Envelope},
            parameters,
            records::EnvelopeAddress,
            stage,
        },
    },
    object::Rejected,
    trace::{Submitted, TraceSession},
};

/// Why a message can't be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// 550 5.7.1: the From field has an address that isn't the caller's, or none.
    #[error("you may not send with this From address")]
    ForbiddenFrom,
    /// 550 5.7.1: the Sender field has an address that isn't the caller's.
    #[error("you may not send with this Sender address")]
    ForbiddenSender,
    /// 550 5.7.1: the reverse-path isn't the caller's.
    #[error("you may not send with this MAIL FROM address")]
    ForbiddenMailFrom,
    /// 553 5.1.3
    #[error("these recipients can't be sent to: {}", .0.join(", "))]
    InvalidRecipients(Vec<String>),
    /// 452 4.5.3
    #[error("there are too many recipients")]
    TooManyRecipients,
    /// 501 5.5.4: it is to be held for too long (RFC 4865 §4.2), or parameters exclude each other.
    #[error("a parameter can't be complied with: {0}")]
    Parameter(String),
    /// 552 5.3.4
    #[error("the message is too large")]
    TooLarge,
    /// 450 4.7.1: there is room again after this many minutes.
    #[error("you have sent to too many recipients lately; try again in {minutes} minutes")]
    SentTooMuch { minutes: u64 },
    /// 452 4.2.2: as many as may be kept are still on their way.
    #[error("too many of your messages still wait to be sent")]
    TooManyWaiting,
    /// 451 4.3.0
    #[error("the mail system has a temporary failure")]
    Temporary,
}

/// How often the transaction is tried when concurrent ones win.
const TRIES: usize = crate::object::TRIES;

impl Core {
    /// Takes a message for sending. An empty `mail_from` is the null reverse-path. Addresses are without angle
    /// brackets, with parameters as `submission::parameters` has them; the message has CRLF line ends.
    ///
    /// It is sent from the caller's account, or from the group's whose From address it has.
    pub async fn submit(
        &self,
        who: &Caller,
        mail_from: EnvelopeAddress,
        recipients: Vec<EnvelopeAddress>,
        message: Bytes,
        session: Option<TraceSession>,
    ) -> Result<(), SubmitError> {
        if message.len() as u64 > self.limits().max_size_message {
            return Err(SubmitError::TooLarge);
        }
        let octets = envelope::without_bcc(&message);
        let summary = Summary::parse(&octets);
        let account = self.sender_account(who, &summary).await?;
        // RFC 5322 §3.6.2: whoever has sent it in the name of the authors.
        for sender in address::flatten(summary.sender.as_deref().unwrap_or_default()) {
            if !self.may_use(who, account, &sender.email).await? {
                return Err(SubmitError::ForbiddenSender);
            }
        }
        if !mail_from.email.is_empty() && !self.may_use(who, account, &mail_from.email).await? {
            return Err(SubmitError::ForbiddenMailFrom);
        }
        let now = self.clock.now().seconds();
        let hold = hold_until(&mail_from, now, &self.limits())?;
        let envelope = Envelope {
            mail_from,
            recipients,
        };
        envelope::check_recipients(&envelope.recipients, &self.limits())
            .map_err(|error| recipients_error(error, &envelope))?;
        let recipients = envelope.recipients.len() as u64;
        self.take_sending(who.account, recipients)
            .await
            .map_err(temporary)?
            .map_err(|error| SubmitError::SentTooMuch {
                minutes: error.minutes(),
            })?;
        let account = self.accounts.handle(account);
        let message = Sendable {
            summary: &summary,
            envelope: &envelope,
            octets: &octets,
            hold,
        };
        let kept = self.keep(&account, &message).await;
        match kept {
            Ok(id) => {
                self.queue.wake();
                self.trace_submission(Submitted {
                    account: account.id,
                    id,
                    who,
                    envelope: &envelope,
                    summary: &summary,
                    size: octets.len(),
                    hold_until: hold,
                    session,
                });
                Ok(())
            }
            Err(error) => {
                self.sending.give_back(who.account, recipients);
                Err(error)
            }
        }
    }

    async fn keep(
        &self,
        account: &AccountHandle,
        message: &Sendable<'_>,
    ) -> Result<u64, SubmitError> {
        for _ in 0..TRIES {
            match self.try_submit(account, message).await {
                Ok(id) => return Ok(id),
                Err(Rejected::Store(store::Error::Conflict)) => {}
                Err(Rejected::Store(error)) => return Err(temporary(error)),
                // The only thing that is refused there.
                Err(Rejected::Set(_)) => return Err(SubmitError::TooManyWaiting),
            }
        }
        Err(SubmitError::Temporary)
    }

    async fn try_submit(
        &self,
        account: &AccountHandle,
        message: &Sendable<'_>,
    ) -> Result<u64, Rejected> {
        let Sendable {
            summary,
            envelope,
            octets,
            hold,
        } = *message;
        identity::ensure(self, account).await?;
        let identities = identity::all(self, account.id).await?;
        let from = address::flatten(summary.from.as_deref().unwrap_or_default());
        let from = from
            .first()
            .map(|address| identity::canonical(&address.email))
            .unwrap_or_default();
        let of_address = identities
            .iter()
            .find(|(_, record)| identity::canonical(&record.email) == from);
        let identity = of_address.or(identities.first()).map_or(0, |(id, _)| *id);
        let mut record = submission::new_record(self, envelope.clone(), octets, hold);
        let mut txn = account.writer.begin().await?;
        // RFC 8621 §7.5: the email may be one that is no more; this one was never filed.
        let email = txn.new_id();
        (record.identity, record.email, record.thread) = (identity, email, email);
        let (lease, max) = (self.first_lease(&record), self.limits().max_submissions);
        let id = stage::insert(&mut txn, &record, octets, lease, max).await?;
        txn.commit().await?;
        Ok(id)
    }

    /// The account in whose name the message is sent: the first that has all its From addresses.
    async fn sender_account(
        &self,
        who: &Caller,
        summary: &Summary,
    ) -> Result<AccountId, SubmitError> {
        let from = address::flatten(summary.from.as_deref().unwrap_or_default());
        if from.is_empty() {
            return Err(SubmitError::ForbiddenFrom);
        }
        for account in std::iter::once(who.account).chain(who.groups.iter().copied()) {
            let mut owns_all = true;
            for address in &from {
                owns_all = owns_all
                    && self
                        .owns_address(account, &address.email)
                        .await
                        .map_err(temporary)?;
            }
            if owns_all {
                return Ok(account);
            }
        }
        Err(SubmitError::ForbiddenFrom)
    }

    async fn may_use(
        &self,
        who: &Caller,
        account: AccountId,
        address: &str,
    ) -> Result<bool, SubmitError> {
        Ok(self
            .owns_address(account, address)
            .await
            .map_err(temporary)?
            || self
                .owns_address(who.account, address)
                .await
                .map_err(temporary)?)
    }
}

/// A message that may be sent.
#[derive(Clone, Copy)]
struct Sendable<'s> {
    summary: &'s Summary,
    envelope: &'s Envelope,
    octets: &'s Bytes,
    /// Seconds since 1970; `None`: it goes now.
    hold: Option<i64>,
}

fn hold_until(
    mail_from: &EnvelopeAddress,
    now: i64,
    limits: &crate::Limits,
) -> Result<Option<i64>, SubmitError> {
    let given = mail_from.parameters.as_deref().unwrap_or_default();
    parameters::together(given).map_err(|fault| SubmitError::Parameter(fault.to_string()))?;
    envelope::hold_until(mail_from, now, limits)
        .map_err(|error| SubmitError::Parameter(error.description.unwrap_or_default()))
}

fn recipients_error(error: SetError, envelope: &Envelope) -> SubmitError {
    if error.kind == SetErrorKind::TooManyRecipients {
        return SubmitError::TooManyRecipients;
    }
    let emails = envelope.recipients.iter().map(|recipient| &recipient.email);
    SubmitError::InvalidRecipients(
        emails
            .filter(|email| !submission::is_address(email))
            .cloned()
            .collect(),
    )
}

fn temporary(error: store::Error) -> SubmitError {
    tracing::error!(%error, "a submission failed in the store");
    SubmitError::Temporary
}
