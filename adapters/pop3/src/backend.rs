//! What the sessions ask of the core.
//!
//! Holds: what `remove` has answered with `Ok` is gone for good, and nothing else is; who may log in is decided behind
//! this, never in a session.
//! Other half: `jmap_core::Core`; in tests, a backend that fails as it is told.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::auth::{AuthError, Credentials, Origin, ScramAttempt};
use jmap_core::bans::BanRule;
use jmap_core::inproc::imap_view::{MailboxKey, Maildrop, ViewError, Want};
use jmap_core::sessions::{OpenSession, SessionKind};
use jmap_core::{Caller, Core};
use jmap_types::AccountId;
use net::sasl::Proof;

/// The core, as POP3 sees it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Somebody who has logged in.
    type Caller: Send + Sync + 'static;

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

    /// The messages of the caller's inbox.
    async fn open(&self, who: &Self::Caller) -> Result<Maildrop, ViewError>;

    /// The octets of a message; `None`: it is gone.
    async fn message(
        &self,
        who: &Self::Caller,
        key: MailboxKey,
        email: u64,
    ) -> Result<Option<Bytes>, ViewError>;

    /// Removes messages, by UID and email; those that are gone are passed over.
    async fn remove(
        &self,
        who: &Self::Caller,
        key: MailboxKey,
        messages: &[(u32, u64)],
    ) -> Result<(), ViewError>;

    /// Whose maildrop it is.
    fn account(&self, who: &Self::Caller) -> AccountId;

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

#[async_trait]
impl Backend for Core {
    type Caller = Caller;

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

    async fn open(&self, who: &Caller) -> Result<Maildrop, ViewError> {
        self.maildrop_open(who).await
    }

    async fn message(
        &self,
        who: &Caller,
        key: MailboxKey,
        email: u64,
    ) -> Result<Option<Bytes>, ViewError> {
        let want = Want {
            octets: true,
            ..Want::default()
        };
        let mut found = self.view_messages(who, key, &[email], want).await?;
        Ok(found.pop().flatten().and_then(|message| message.octets))
    }

    async fn remove(
        &self,
        who: &Caller,
        key: MailboxKey,
        messages: &[(u32, u64)],
    ) -> Result<(), ViewError> {
        self.maildrop_remove(who, key, messages).await
    }

    fn account(&self, who: &Caller) -> AccountId {
        who.account
    }

    fn name<'a>(&self, who: &'a Caller) -> &'a str {
        &who.name
    }

    fn note_offence(&self, address: IpAddr, rule: BanRule, detail: &str) {
        Core::note_offence(self, address, rule, detail);
    }

    fn place(&self, address: Option<IpAddr>) -> Option<OpenSession> {
        Some(self.sessions().place(SessionKind::Pop3, address))
    }

    async fn enter(&self, place: &OpenSession, who: &Caller) {
        self.open_session(place, who).await;
    }
}
