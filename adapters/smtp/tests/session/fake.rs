//! A backend that keeps everything in memory, and fails as the names of its recipients say.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jmap_core::auth::scram::{self, ScramVerifier};
use jmap_core::auth::{AuthError, Credentials, Origin, Secret};
use jmap_core::inproc::deliver::{DeliverError, Inbound, Recipient, RecipientError};
use jmap_core::rng::SeededRng;
use jmap_core::trace::Refusal;
use jmap_types::AccountId;
use net::sasl::Proof;
use parking_lot::Mutex;
use smtp::{Backend, Submission, SubmitError};

/// How long mail for `slow@example.org` takes.
pub const SLOW: Duration = Duration::from_millis(300);

#[derive(Clone, Default)]
pub struct Fake(Arc<State>);

#[derive(Default)]
struct State {
    delivered: Mutex<Vec<Inbound>>,
    submitted: Mutex<Vec<Submission>>,
    refusals: Mutex<Vec<Refusal>>,
}

impl Fake {
    pub fn delivered(&self) -> Vec<Inbound> {
        self.0.delivered.lock().clone()
    }

    pub fn submitted(&self) -> Vec<Submission> {
        self.0.submitted.lock().clone()
    }
}

impl Fake {
    pub fn refusals(&self) -> Vec<Refusal> {
        self.0.refusals.lock().clone()
    }
}

#[async_trait]
impl Backend for Fake {
    type Caller = String;

    async fn resolve_recipient(&self, address: &str) -> Result<Recipient, RecipientError> {
        let lower = address.to_lowercase();
        let local_part = match lower.rsplit_once('@') {
            Some((local_part, "example.org")) => local_part,
            Some(_) => return Err(RecipientError::NotLocal),
            None => &lower,
        };
        match local_part {
            "full" => Err(RecipientError::OverQuota),
            "disabled" => Err(RecipientError::Disabled),
            "reports" => Ok(Recipient {
                address: address.to_owned(),
                targets: Vec::new(),
            }),
            "broken" => Err(RecipientError::Temporary),
            "ann" | "bob" | "cid" | "postmaster" | "用户" | "slow" | "filling" | "failing"
            | "vanishing" => Ok(Recipient {
                address: address.to_owned(),
                targets: vec![AccountId::new(1)],
            }),
            _ => Err(RecipientError::NoSuchMailbox),
        }
    }

    async fn deliver(&self, inbound: Inbound) -> Vec<Result<(), DeliverError>> {
        let mut outcomes = Vec::new();
        for recipient in &inbound.recipients {
            let local_part = recipient.address.split('@').next().unwrap_or_default();
            outcomes.push(match local_part {
                "filling" => Err(DeliverError::OverQuota),
                "failing" => Err(DeliverError::Temporary),
                "vanishing" => Err(DeliverError::NoSuchMailbox),
                "slow" => {
                    tokio::time::sleep(SLOW).await;
                    Ok(())
                }
                _ => Ok(()),
            });
        }
        self.0.delivered.lock().push(inbound);
        outcomes
    }

    async fn login(&self, credentials: Credentials, _: Origin) -> Result<String, AuthError> {
        match credentials {
            Credentials::Password { login, .. } if login == "busy@example.org" => {
                Err(AuthError::TooBusy)
            }
            Credentials::Password { login, .. } if login == "disabled@example.org" => {
                Err(AuthError::Disabled)
            }
            Credentials::Password { login, .. } if login == "limited@example.org" => {
                let retry_after = Duration::from_secs(7);
                Err(AuthError::TooManyAttempts { retry_after })
            }
            Credentials::Password { login, password } if password.ct_eq(b"secret") => Ok(login),
            Credentials::Bearer { token, .. } if token.ct_eq(b"token") => {
                Ok("ann@example.org".to_owned())
            }
            _ => Err(AuthError::Invalid),
        }
    }

    type Attempt = (String, ScramVerifier);

    async fn scram_begin(&self, login: &str, _: Origin) -> Result<Self::Attempt, AuthError> {
        if login == "busy@example.org" {
            return Err(AuthError::TooBusy);
        }
        let verifier = scram::make(&Secret::from("secret"), &SeededRng::new(1));
        Ok((login.to_owned(), verifier))
    }

    fn scram_terms<'a>(&self, attempt: &'a Self::Attempt) -> (&'a [u8], u32, &'a str) {
        (&attempt.1.salt, attempt.1.iterations, "nonce")
    }

    async fn scram_finish(
        &self,
        (login, verifier): Self::Attempt,
        proof: &Proof,
    ) -> Result<(String, [u8; 32]), AuthError> {
        match scram::check(&verifier, &proof.signed, &proof.proof) {
            Some(signature) => Ok((login, signature)),
            None => Err(AuthError::Invalid),
        }
    }

    async fn submit(&self, who: &String, submission: Submission) -> Result<(), SubmitError> {
        let from = &submission.mail_from.email;
        if !from.is_empty() && from != who {
            return Err(SubmitError::ForbiddenMailFrom);
        }
        let addresses = submission.recipients.iter().map(|to| to.email.clone());
        let invalid: Vec<String> = addresses
            .filter(|address| address.starts_with("invalid@"))
            .collect();
        if !invalid.is_empty() {
            return Err(SubmitError::InvalidRecipients(invalid));
        }
        self.0.submitted.lock().push(submission);
        Ok(())
    }

    fn note_refusal(&self, _: Option<&String>, refusal: Refusal) {
        self.0.refusals.lock().push(refusal);
    }

    fn name<'a>(&self, who: &'a String) -> &'a str {
        who
    }
}
