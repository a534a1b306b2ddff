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
            records::EnvelopeAddress,
            stage,
        },
    },
    object::Rejected,
};

/// Why a message can't be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// 550 5.7.1: the From field has an address that isn't the caller's, or none.
    #[error("you may not send with this From address")]
    ForbiddenFrom,
    /// 550 5.7.1: the reverse-path isn't the caller's.
    #[error("you may not send with this MAIL FROM address")]
    ForbiddenMailFrom,
    /// 553 5.1.3
    #[error("these recipients can't be sent to: {}", .0.join(", "))]
    InvalidRecipients(Vec<String>),
    /// 452 4.5.3
    #[error("there are too many recipients")]
    TooManyRecipients,
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
const TRIES: usize = 8;

impl Core {
    /// Takes a message for sending. `mail_from`: `None` is the null reverse-path. Addresses are without angle
    /// brackets; the message has CRLF line ends.
    ///
    /// It is sent from the caller's account, or from the group's whose From address it has.
    pub async fn submit(
        &self,
        who: &Caller,
        mail_from: Option<String>,
        recipients: Vec<String>,
        message: Bytes,
    ) -> Result<(), SubmitError> {
        if message.len() as u64 > self.limits.max_size_message {
            return Err(SubmitError::TooLarge);
        }
        let octets = envelope::without_bcc(&message);
        let summary = Summary::parse(&octets);
        let account = self.sender_account(who, &summary).await?;
        if let Some(address) = &mail_from
            && !self.may_use(who, account, address).await?
        {
            return Err(SubmitError::ForbiddenMailFrom);
        }
        let envelope = Envelope {
            mail_from: EnvelopeAddress::plain(mail_from.unwrap_or_default()),
            recipients: recipients.into_iter().map(EnvelopeAddress::plain).collect(),
        };
        envelope::check_recipients(&envelope.recipients, &self.limits)
            .map_err(|error| recipients_error(error, &envelope))?;
        let recipients = envelope.recipients.len() as u64;
        let now = self.clock.monotonic();
        self.sending
            .take(who.account, recipients, &self.limits, now)
            .map_err(|error| SubmitError::SentTooMuch {
                minutes: error.minutes(),
            })?;
        let account = self.accounts.handle(account);
        let kept = self.keep(&account, &summary, &envelope, &octets).await;
        match &kept {
            Ok(()) => self.queue.wake(),
            Err(_) => self.sending.give_back(who.account, recipients),
        }
        kept
    }

    async fn keep(
        &self,
        account: &AccountHandle,
        summary: &Summary,
        envelope: &Envelope,
        octets: &Bytes,
    ) -> Result<(), SubmitError> {
        for _ in 0..TRIES {
            match self.try_submit(account, summary, envelope, octets).await {
                Ok(()) => return Ok(()),
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
        summary: &Summary,
        envelope: &Envelope,
        octets: &Bytes,
    ) -> Result<(), Rejected> {
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
        let mut record = submission::new_record(self, envelope.clone(), octets, None);
        let mut txn = account.writer.begin().await?;
        // RFC 8621 §7.5: the email may be one that is no more; this one was never filed.
        let email = txn.new_id();
        (record.identity, record.email, record.thread) = (identity, email, email);
        let (lease, max) = (self.first_lease(&record), self.limits.max_submissions);
        stage::insert(&mut txn, &record, octets, lease, max).await?;
        txn.commit().await?;
        Ok(())
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
