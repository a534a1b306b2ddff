//! The core, as the SMTP listeners see it.
//!
//! Holds: every call goes to the core as it is; nothing is decided here.
//! Other half: `smtp::Backend`.

use async_trait::async_trait;
use jmap_core::{
    Caller, Core,
    auth::{AuthError, Credentials, Origin},
    inproc::deliver::{DeliverError, Inbound, Recipient, RecipientError},
};
use smtp::{Backend, Submission, SubmitError};

pub struct MailBackend(pub Core);

#[async_trait]
impl Backend for MailBackend {
    type Caller = Caller;

    async fn resolve_recipient(&self, address: &str) -> Result<Recipient, RecipientError> {
        self.0.resolve_recipient(address).await
    }

    async fn deliver(&self, inbound: Inbound) -> Vec<Result<(), DeliverError>> {
        self.0.deliver(inbound).await
    }

    async fn login(&self, credentials: Credentials, from: Origin) -> Result<Caller, AuthError> {
        self.0.login(credentials, from).await
    }

    async fn submit(&self, who: &Caller, submission: Submission) -> Result<(), SubmitError> {
        Backend::submit(&self.0, who, submission).await
    }

    fn name<'a>(&self, who: &'a Caller) -> &'a str {
        &who.name
    }
}
