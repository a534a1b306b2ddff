//! What the sessions ask of the core.
//!
//! Holds: what `remove` has answered with `Ok` is gone for good, and nothing else is; who may log in is decided behind
//! this, never in a session.
//! Other half: `jmap_core::Core`; in tests, a backend that fails as it is told.

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::auth::{AuthError, Credentials, Origin};
use jmap_core::inproc::imap_view::{MailboxKey, Maildrop, ViewError, Want};
use jmap_core::{Caller, Core};
use jmap_types::AccountId;

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
}

#[async_trait]
impl Backend for Core {
    type Caller = Caller;

    async fn login(&self, credentials: Credentials, from: Origin) -> Result<Caller, AuthError> {
        Core::login(self, credentials, from).await
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
}
