//! Logging in with a proof of the password, in two steps.
//!
//! Holds: limits count as for a password, in both steps; what changed about the account between them ends the login; an
//! account that doesn't exist is asked for a proof like any other.
//! Other half: `auth::login`, for what is shown instead of proved.

use std::time::Duration;

use super::{KEY_OCTETS, ScramVerifier, check, fake, nonce};
use crate::{
    Core,
    auth::{
        AuthError, Origin,
        admission::has_second_factor,
        login::{Candidate, stored_form, too_many, unavailable, wait},
    },
    caller::Caller,
    directory::records::PASSWORD,
};

/// A login that waits for its proof.
pub struct ScramAttempt {
    login: String,
    origin: Origin,
    generation: u64,
    /// The password alone is not enough.
    has_second_factor: bool,
    /// `None`: nobody can log in like this, which only the end tells.
    candidate: Option<Candidate>,
    verifier: ScramVerifier,
    nonce: String,
}

impl ScramAttempt {
    pub fn salt(&self) -> &[u8] {
        &self.verifier.salt
    }

    pub fn iterations(&self) -> u32 {
        self.verifier.iterations
    }

    /// The server's part.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }
}

impl Core {
    /// Begins a login with SCRAM-SHA-256, by the password of the account. (App passwords are shown: which one it is has to
    /// be said.)
    pub async fn scram_begin(
        &self,
        login: &str,
        origin: Origin,
    ) -> Result<ScramAttempt, AuthError> {
        let login = stored_form(login);
        self.may_try(&login, &origin)?;
        self.look_at_directory().await.map_err(unavailable)?;
        let generation = self.directory.generation();
        let candidate = self.candidate(&login).await.map_err(unavailable)?;
        let mut has_factor = false;
        let kept = match &candidate {
            Some(candidate) => {
                let records = self.credential_records(candidate.id).await;
                let records = records.map_err(unavailable)?;
                has_factor = has_second_factor(&records);
                let mut records = records.into_iter();
                let password = records.find(|(number, _)| *number == PASSWORD);
                password.and_then(|(_, record)| record.scram)
            }
            None => None,
        };
        let candidate = candidate.filter(|_| kept.is_some());
        Ok(ScramAttempt {
            verifier: kept.unwrap_or_else(|| fake(&login, self.directory.scram_key.expose())),
            nonce: nonce(&*self.rng),
            login,
            origin,
            generation,
            has_second_factor: has_factor,
            candidate,
        })
    }

    /// Ends it. `signed` is RFC 5802's AuthMessage. With the caller comes the signature that tells the client who the
    /// server is.
    pub async fn scram_finish(
        &self,
        attempt: ScramAttempt,
        signed: &[u8],
        proof: &[u8],
    ) -> Result<(Caller, [u8; KEY_OCTETS]), AuthError> {
        let (login, origin) = (attempt.login.clone(), attempt.origin);
        let result = self.finish(attempt, signed, proof).await;
        let counter = match result {
            Ok(_) => &self.metrics.logins,
            Err(_) => &self.metrics.logins_failed,
        };
        counter.add(1);
        if let Err(why) = &result {
            self.tell_failed_login(Some(&login), &origin, why);
        }
        result
    }

    async fn finish(
        &self,
        attempt: ScramAttempt,
        signed: &[u8],
        proof: &[u8],
    ) -> Result<(Caller, [u8; KEY_OCTETS]), AuthError> {
        let ScramAttempt {
            login,
            origin,
            generation,
            has_second_factor,
            candidate,
            verifier,
            nonce,
        } = attempt;
        // Others may have begun at the same time.
        let delay = self.may_try(&login, &origin)?;
        wait(delay).await;
        let signature = check(&verifier, signed, proof);
        self.look_at_directory().await.map_err(unavailable)?;
        let candidate = match candidate {
            Some(candidate) => {
                let now = self.account_record(candidate.id).await;
                let now = now.map_err(unavailable)?;
                let is_same = now.is_some_and(|now| now.generation == candidate.record.generation);
                is_same.then_some(candidate)
            }
            None => None,
        };
        let (Some(candidate), Some(signature)) = (candidate, signature) else {
            self.directory.rate.failed(&origin, Some(&login));
            // A proof is another one each time, also of the same password.
            self.note_failed_login(&origin, Some(&login), &nonce);
            tracing::warn!(login = ?login, ip = %origin.ip, protocol = %origin.protocol, "login by proof failed");
            return Err(AuthError::Invalid);
        };
        if has_second_factor {
            return Err(AuthError::SecondFactor);
        }
        self.directory.rate.succeeded(&origin, Some(&login));
        let caller = self.admit(candidate, PASSWORD, generation, &origin).await?;
        self.note_good_login(&origin);
        Ok((caller, signature))
    }

    fn may_try(&self, login: &str, origin: &Origin) -> Result<Duration, AuthError> {
        let checked = self.directory.rate.check(origin, Some(login));
        checked.map_err(|retry_after| too_many(login, origin, retry_after))
    }
}
