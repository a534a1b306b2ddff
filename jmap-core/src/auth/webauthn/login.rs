//! Logging in with a passkey, which is both factors.
//!
//! Holds: limits are those of all logins; whoever names somebody isn't told whether there is such an account, or whether it has
//! passkeys.
//! Other half: `directory::passkeys` uses a passkey up; `oauth::sign_in` makes tickets of it.

use super::{Assertion, CredentialRequest, PasskeyError, RelyingParty};
use crate::{
    Core,
    auth::{
        AuthError, Origin,
        login::{Candidate, stored_form, too_many, unavailable, wait},
    },
    caller::Caller,
    directory::records::AccountKind,
};

/// What challenges are good for that no page with tickets has made.
pub(crate) const SIGN_IN: &[u8] = b"sign-in";
const DECOY_KIND: &str = "posthorn 2026 passkey of nobody";
/// In place of a name where none was given: for people to read.
const NAMELESS: &str = "a passkey";

impl Core {
    /// What a browser is asked when somebody signs in (WebAuthn §5.5). `login`: whose passkey is wanted; `None`: the browser lets the
    /// person choose among those that it has.
    pub async fn passkey_request(
        &self,
        login: Option<&str>,
        origin: &Origin,
    ) -> Result<CredentialRequest, AuthError> {
        let login = login.map(stored_form);
        let checked = self.directory.rate.check(origin, login.as_deref());
        let delay = checked
            .map_err(|after| too_many(login.as_deref().unwrap_or(NAMELESS), origin, after))?;
        wait(delay).await;
        let allowed = match &login {
            Some(login) => self.passkeys_of(login).await?,
            None => Vec::new(),
        };
        Ok(CredentialRequest {
            challenge: self.passkey_challenge(SIGN_IN),
            allowed,
        })
    }

    /// The ids of the passkeys of an account. §14.6.2: where there is none, one that stays the same and that nobody has.
    async fn passkeys_of(&self, login: &str) -> Result<Vec<Vec<u8>>, AuthError> {
        self.look_at_directory().await.map_err(unavailable)?;
        let candidate = self.candidate(login).await.map_err(unavailable)?;
        let known = match candidate {
            Some(candidate) => self.credential_records(candidate.id).await,
            None => Ok(Vec::new()),
        };
        let known = known.map_err(unavailable)?;
        let ids = known.into_iter().filter_map(|(_, of)| of.passkey);
        let ids: Vec<Vec<u8>> = ids.map(|passkey| passkey.id).collect();
        match ids.is_empty() {
            false => Ok(ids),
            true => {
                let key = blake3::derive_key(DECOY_KIND, self.directory.scram_key.expose());
                let decoy = blake3::keyed_hash(&key, login.as_bytes());
                Ok(vec![decoy.as_bytes().to_vec()])
            }
        }
    }

    /// Logs in. `login`: who it has to be, if a name was given; `purpose`: what the challenge was made for.
    pub(crate) async fn login_by_passkey(
        &self,
        login: Option<&str>,
        assertion: &Assertion,
        of: RelyingParty<'_>,
        purpose: &[u8],
        origin: &Origin,
    ) -> Result<Caller, AuthError> {
        let login = login.map(stored_form);
        let login = login.as_deref();
        let shown = login.unwrap_or(NAMELESS);
        let checked = self.directory.rate.check(origin, login);
        let delay = checked.map_err(|after| too_many(shown, origin, after))?;
        wait(delay).await;
        self.look_at_directory().await.map_err(unavailable)?;
        let generation = self.directory.generation();
        let whose = match login {
            Some(login) => {
                let candidate = self.candidate(login).await.map_err(unavailable)?;
                Some(candidate.map(|candidate| candidate.id))
            }
            None => None,
        };
        let used = match whose {
            Some(None) => Ok(Err(PasskeyError::Elsewhere)),
            Some(Some(id)) => self.use_passkey(assertion, Some(id), purpose, of).await,
            None => self.use_passkey(assertion, None, purpose, of).await,
        };
        let (id, number) = match used.map_err(unavailable)? {
            Ok(used) => used,
            Err(error) => {
                self.directory.rate.failed(origin, login);
                self.note_failed_login(origin, Some(shown), &tried(assertion, error));
                tracing::warn!(login = ?login, ip = %origin.ip, protocol = %origin.protocol, %error, "login by passkey failed");
                return Err(AuthError::Invalid);
            }
        };
        let record = self.account_record(id).await.map_err(unavailable)?;
        let record = record.filter(|record| record.kind == AccountKind::Person);
        let record = record.ok_or(AuthError::Invalid)?;
        let candidate = Candidate { id, record };
        self.admit(candidate, number, generation, origin).await
    }
}

/// What tells one wrong try from another: who shows the same passkey again, that was taken away, guesses nothing; who forges
/// signatures does.
fn tried(assertion: &Assertion, error: PasskeyError) -> String {
    let what = match error {
        PasskeyError::Signature => &assertion.signature,
        PasskeyError::Malformed
        | PasskeyError::Elsewhere
        | PasskeyError::Challenge
        | PasskeyError::Unverified
        | PasskeyError::Algorithm
        | PasskeyError::Counter => &assertion.credential_id,
    };
    format!("{error} {}", blake3::hash(what).to_hex())
}
