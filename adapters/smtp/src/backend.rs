//! What the sessions ask of the core.
//!
//! Holds: a message that `deliver` or `submit` has answered with `Ok` is on disk; who may receive, log in and send is
//! decided behind this, never in a session.
//! Other half: `jmap_core::Core`; in tests, a backend that fails as it is told.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::auth::{AuthError, Credentials, Origin, ScramAttempt};
use jmap_core::bans::BanRule;
use jmap_core::inproc::deliver::{DeliverError, Inbound, Recipient, RecipientError};
use jmap_core::inproc::submit;
use jmap_core::mail::submission::records::EnvelopeAddress;
use jmap_core::reports::records::DmarcRow;
use jmap_core::sessions::{OpenSession, SessionKind};
use jmap_core::trace::{Refusal, TraceSession};
use jmap_core::{Caller, Core};
use net::sasl::Proof;

/// The core, as SMTP sees it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Somebody who has logged in.
    type Caller: Send + Sync + 'static;

    /// Who gets the mail for an address. `address` is without angle brackets, and `postmaster` in any letter case may
    /// come without a domain.
    async fn resolve_recipient(&self, address: &str) -> Result<Recipient, RecipientError>;

    /// Keeps the message for each recipient: an answer for each, in order.
    async fn deliver(&self, inbound: Inbound) -> Vec<Result<(), DeliverError>>;

    async fn login(
        &self,
        credentials: Credentials,
        from: Origin,
    ) -> Result<Self::Caller, AuthError>;

    /// A login by proof that waits for it.
    type Attempt: Send + Sync + 'static;

    /// Begins a login by proof of the password (SCRAM-SHA-256).
    async fn scram_begin(&self, login: &str, from: Origin) -> Result<Self::Attempt, AuthError>;

    /// The salt, the iterations, and the server's part of the nonce.
    fn scram_terms<'a>(&self, attempt: &'a Self::Attempt) -> (&'a [u8], u32, &'a str);

    /// Ends it; with the caller comes the signature that the client is answered with.
    async fn scram_finish(
        &self,
        attempt: Self::Attempt,
        proof: &Proof,
    ) -> Result<(Self::Caller, [u8; 32]), AuthError>;

    /// Keeps the message in the queue, for all recipients or for none. Without a queue nothing can be sent.
    async fn submit(
        &self,
        _who: &Self::Caller,
        _submission: Submission,
    ) -> Result<(), SubmitError> {
        Err(SubmitError::Temporary)
    }

    /// Counts what DMARC came to, for the author's domain, which may ask for reports.
    fn note_dmarc(&self, _domain: &str, _row: DmarcRow) {}

    /// Notes for the trace that something was refused here; `who` had logged in.
    fn note_refusal(&self, _who: Option<&Self::Caller>, _refusal: Refusal) {}

    /// The name of a caller, for logs.
    fn name<'a>(&self, who: &'a Self::Caller) -> &'a str;

    /// Counts what a client has done; enough of it is a ban.
    fn note_offence(&self, _address: IpAddr, _rule: BanRule, _detail: &str) {}

    /// A connection's place among the sessions that are open. `address`: of the client; `None`: of this machine.
    fn place(&self, _address: Option<IpAddr>) -> Option<OpenSession> {
        None
    }

    /// Takes the place for somebody who has just logged in.
    async fn enter(&self, _place: &OpenSession, _who: &Self::Caller) {}
}

/// A message that somebody wants sent.
#[derive(Clone, Debug)]
pub struct Submission {
    /// An empty address is the null reverse-path.
    pub mail_from: EnvelopeAddress,
    /// Not empty.
    pub recipients: Vec<EnvelopeAddress>,
    /// With Date, Message-ID and a Received field in front, without Bcc. CRLF line ends.
    pub message: Bytes,
    /// For the trace.
    pub session: TraceSession,
}

/// Why a message can't be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The From field has an address that isn't the caller's.
    #[error("you may not send with this From address")]
    ForbiddenFrom,
    /// The Sender field has an address that isn't the caller's.
    #[error("you may not send with this Sender address")]
    ForbiddenSender,
    /// The reverse-path isn't the caller's.
    #[error("you may not send with this MAIL FROM address")]
    ForbiddenMailFrom,
    #[error("these recipients can't be sent to: {}", .0.join(", "))]
    InvalidRecipients(Vec<String>),
    /// Such as one that asks for a hold that is too long.
    #[error("{0}")]
    Parameter(String),
    #[error("the message is too large")]
    TooLarge,
    #[error("there are too many recipients")]
    TooManyRecipients,
    /// There is room again after this many minutes.
    #[error("you have sent to too many recipients lately; try again in {minutes} minutes")]
    SentTooMuch { minutes: u64 },
    #[error("too many of your messages still wait to be sent")]
    TooManyWaiting,
    #[error("the mail system has a temporary failure")]
    Temporary,
}

#[async_trait]
impl Backend for Core {
    type Caller = Caller;

    async fn resolve_recipient(&self, address: &str) -> Result<Recipient, RecipientError> {
        Core::resolve_recipient(self, address).await
    }

    async fn deliver(&self, inbound: Inbound) -> Vec<Result<(), DeliverError>> {
        Core::deliver(self, inbound).await
    }

    async fn login(&self, credentials: Credentials, from: Origin) -> Result<Caller, AuthError> {
        Core::login(self, credentials, from).await
    }

    type Attempt = ScramAttempt;

    async fn scram_begin(&self, login: &str, from: Origin) -> Result<ScramAttempt, AuthError> {
        Core::scram_begin(self, login, from).await
    }

    fn scram_terms<'a>(&self, attempt: &'a ScramAttempt) -> (&'a [u8], u32, &'a str) {
        (attempt.salt(), attempt.iterations(), attempt.nonce())
    }

    async fn scram_finish(
        &self,
        attempt: ScramAttempt,
        proof: &Proof,
    ) -> Result<(Caller, [u8; 32]), AuthError> {
        Core::scram_finish(self, attempt, &proof.signed, &proof.proof).await
    }

    async fn submit(&self, who: &Caller, submission: Submission) -> Result<(), SubmitError> {
        let Submission {
            mail_from,
            recipients,
            message,
            session,
        } = submission;
        Core::submit(self, who, mail_from, recipients, message, Some(session))
            .await
            .map_err(|error| match error {
                submit::SubmitError::ForbiddenFrom => SubmitError::ForbiddenFrom,
                submit::SubmitError::ForbiddenSender => SubmitError::ForbiddenSender,
                submit::SubmitError::ForbiddenMailFrom => SubmitError::ForbiddenMailFrom,
                submit::SubmitError::InvalidRecipients(which) => {
                    SubmitError::InvalidRecipients(which)
                }
                submit::SubmitError::TooManyRecipients => SubmitError::TooManyRecipients,
                submit::SubmitError::Parameter(why) => SubmitError::Parameter(why),
                submit::SubmitError::TooLarge => SubmitError::TooLarge,
                submit::SubmitError::SentTooMuch { minutes } => {
                    SubmitError::SentTooMuch { minutes }
                }
                submit::SubmitError::TooManyWaiting => SubmitError::TooManyWaiting,
                submit::SubmitError::Temporary => SubmitError::Temporary,
            })
    }

    fn note_dmarc(&self, domain: &str, row: DmarcRow) {
        Core::note_dmarc(self, domain, row);
    }

    fn note_refusal(&self, who: Option<&Caller>, refusal: Refusal) {
        self.trace_refusal(who, refusal);
    }

    fn name<'a>(&self, who: &'a Caller) -> &'a str {
        &who.name
    }

    fn note_offence(&self, address: IpAddr, rule: BanRule, detail: &str) {
        Core::note_offence(self, address, rule, detail);
    }

    fn place(&self, address: Option<IpAddr>) -> Option<OpenSession> {
        Some(self.sessions().place(SessionKind::Submission, address))
    }

    async fn enter(&self, place: &OpenSession, who: &Caller) {
        self.open_session(place, who).await;
    }
}
