//! A backend that keeps everything in memory, and fails as the names of its users say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::auth::scram::{self, ScramVerifier};
use jmap_core::auth::{AuthError, Credentials, Origin, Secret};
use jmap_core::inproc::imap_view::{MailboxKey, Maildrop, MaildropMessage, ViewError};
use jmap_core::rng::SeededRng;
use jmap_types::AccountId;
use net::sasl::Proof;
use parking_lot::Mutex;
use pop3::Backend;

#[derive(Clone, Default)]
pub struct Fake(Arc<State>);

#[derive(Default)]
struct State {
    /// By email.
    messages: Mutex<BTreeMap<u64, Bytes>>,
    cannot_read: AtomicBool,
    cannot_remove: AtomicBool,
}

impl Fake {
    pub fn add(&self, octets: impl Into<Bytes>) {
        let mut messages = self.0.messages.lock();
        let email = messages.last_key_value().map_or(1, |(&last, _)| last + 1);
        messages.insert(email, octets.into());
    }

    pub fn lose(&self, email: u64) {
        self.0.messages.lock().remove(&email);
    }

    pub fn emails(&self) -> Vec<u64> {
        self.0.messages.lock().keys().copied().collect()
    }

    pub fn cannot_read(&self, value: bool) {
        self.0.cannot_read.store(value, Ordering::SeqCst);
    }

    pub fn cannot_remove(&self, value: bool) {
        self.0.cannot_remove.store(value, Ordering::SeqCst);
    }
}

#[async_trait]
impl Backend for Fake {
    type Caller = String;

    async fn login(&self, credentials: Credentials, _: Origin) -> Result<String, AuthError> {
        match credentials {
            Credentials::Password { login, .. } if login == "busy" => Err(AuthError::TooBusy),
            Credentials::Password { login, .. } if login == "disabled" => Err(AuthError::Disabled),
            Credentials::Password { login, .. } if login == "limited" => {
                let retry_after = Duration::from_secs(7);
                Err(AuthError::TooManyAttempts { retry_after })
            }
            Credentials::Password { login, password } if password.ct_eq(b"se cret") => Ok(login),
            Credentials::Bearer { token, .. } if token.ct_eq(b"token") => Ok("ann".to_owned()),
            _ => Err(AuthError::Invalid),
        }
    }

    type Attempt = (String, ScramVerifier);

    async fn scram_begin(&self, login: &str, _: Origin) -> Result<Self::Attempt, AuthError> {
        if login == "busy" {
            return Err(AuthError::TooBusy);
        }
        let verifier = scram::make(&Secret::from("se cret"), &SeededRng::new(1));
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

    async fn open(&self, who: &String) -> Result<Maildrop, ViewError> {
        if who == "homeless" {
            return Err(ViewError::NoSuchMailbox);
        }
        let messages = self.0.messages.lock();
        let messages = messages.iter().map(|(&email, octets)| MaildropMessage {
            uid: email as u32 * 10,
            email,
            size: octets.len() as u32,
        });
        Ok(Maildrop {
            key: MailboxKey {
                account: self.account(who),
                mailbox: 5,
            },
            uid_validity: 77,
            messages: messages.collect(),
        })
    }

    async fn message(
        &self,
        _: &String,
        _: MailboxKey,
        email: u64,
    ) -> Result<Option<Bytes>, ViewError> {
        if self.0.cannot_read.load(Ordering::SeqCst) {
            return Err(ViewError::Failed);
        }
        Ok(self.0.messages.lock().get(&email).cloned())
    }

    async fn remove(
        &self,
        _: &String,
        _: MailboxKey,
        removed: &[(u32, u64)],
    ) -> Result<(), ViewError> {
        if self.0.cannot_remove.load(Ordering::SeqCst) {
            return Err(ViewError::Unavailable);
        }
        let mut messages = self.0.messages.lock();
        for (uid, email) in removed {
            assert_eq!(u64::from(*uid), email * 10);
            messages.remove(email);
        }
        Ok(())
    }

    fn account(&self, who: &String) -> AccountId {
        AccountId::new(who.bytes().map(u64::from).sum())
    }

    fn name<'a>(&self, who: &'a String) -> &'a str {
        who
    }
}
