//! Logging in: the parts of this module, put together over the directory.
//!
//! Holds: limits come before any comparing; an account that doesn't exist takes as long as a wrong password; what
//! was found right a moment ago costs no hash, and counts only while nothing about the account has changed.
//! Other half: `directory` has the records, `access` what a caller may do then.

use std::{sync::Arc, time::Duration};

use jmap_types::AccountId;
use tracing::Instrument as _;

use super::{
    AuthError, Credentials, Origin, Protocol, RetryAfter, Scopes, Secret, Verdict,
    admission::has_second_factor,
    credentials::LOGIN_OCTETS_MAX,
    password::PasswordError,
    token::{self, TokenHash},
};
use crate::{
    Core,
    caller::Caller,
    clock::UtcMillis,
    directory::{
        Verified,
        external::{Admitted, EXTERNAL, TOKEN_SCOPES},
        names,
        records::{AccountKind, AccountRecord, CredentialKind, CredentialRecord, PASSWORD},
    },
    webhook::EventKind,
};

/// An account that somebody wants to log in as.
pub(super) struct Candidate {
    pub(super) id: AccountId,
    pub(super) record: Arc<AccountRecord>,
}

impl From<Admitted> for Candidate {
    fn from(Admitted { id, record }: Admitted) -> Self {
        Self { id, record }
    }
}

impl Core {
    /// Proves who somebody is. Adapters call it for each session, or for each request: with a password that was
    /// right a moment ago it costs microseconds.
    pub async fn login(
        &self,
        credentials: Credentials,
        origin: Origin,
    ) -> Result<Caller, AuthError> {
        let login = match &credentials {
            Credentials::Password { login, .. } | Credentials::Factors { login, .. }
                if self.is_told_of(EventKind::LoginFailed) =>
            {
                Some(stored_form(login))
            }
            Credentials::Password { .. }
            | Credentials::Factors { .. }
            | Credentials::Bearer { .. } => None,
        };
        let span = tracing::info_span!(target: crate::span::TARGET, "login", protocol = origin.protocol.name());
        let checked = async {
            match credentials {
                Credentials::Password { login, password } => {
                    self.login_by_password(&login, &password, None, &origin)
                        .await
                }
                Credentials::Factors {
                    login,
                    password,
                    code,
                } => {
                    self.login_by_password(&login, &password, Some(&code), &origin)
                        .await
                }
                Credentials::Bearer { token } => self.login_by_token(&token, &origin).await,
            }
        };
        let result = checked.instrument(span).await;
        let counter = if result.is_ok() {
            &self.metrics.logins
        } else {
            &self.metrics.logins_failed
        };
        counter.add(1);
        match &result {
            Ok(caller) => {
                self.sessions.note_login(caller, &origin);
                self.note_good_login(&origin);
            }
            Err(why) => self.tell_failed_login(login.as_deref(), &origin, why),
        }
        result
    }

    async fn login_by_password(
        &self,
        login: &str,
        password: &Secret<String>,
        code: Option<&Secret<String>>,
        origin: &Origin,
    ) -> Result<Caller, AuthError> {
        // A name that is too long is nobody's: what is counted and logged of it is its beginning.
        let login = stored_form(login);
        let checked = self.directory.rate.check(origin, Some(&login));
        let delay = checked.map_err(|retry_after| too_many(&login, origin, retry_after))?;
        self.look_at_directory().await.map_err(unavailable)?;
        // Before anything is read: a change that comes in between makes what is remembered void.
        let generation = self.directory.generation();
        let candidate = self.candidate(&login).await.map_err(unavailable)?;
        let verified = match &candidate {
            Some(candidate) => {
                self.directory
                    .verified
                    .get(&login, password, candidate.record.generation)
            }
            None => None,
        };
        let verified = match verified {
            Some(verified) => Some(verified),
            None => {
                self.compare(&login, password, candidate.as_ref(), delay)
                    .await?
            }
        };
        let (candidate, verified) = match verified {
            Some(verified) => (candidate, Some(verified)),
            None => {
                let inside = candidate.as_ref().map(|candidate| candidate.id);
                let outside = self.password_outside(&login, password, inside).await?;
                match outside {
                    Some((found, verified)) => (Some(found.into()), Some(verified)),
                    None => (candidate, None),
                }
            }
        };
        let (Some(candidate), Some(verified)) = (candidate, verified) else {
            self.directory.rate.failed(origin, Some(&login));
            self.note_failed_login(origin, Some(&login), password.expose());
            tracing::warn!(login = ?login, ip = %origin.ip, protocol = %origin.protocol, "login failed");
            return Err(AuthError::Invalid);
        };
        self.pass(&login, &candidate, verified, code, origin)
            .await?;
        self.directory.rate.succeeded(origin, Some(&login));
        let admitted = self.admit(candidate, verified.credential, generation, origin);
        Ok(admitted
            .await?
            .within(verified.scopes)
            .until(verified.expires))
    }

    async fn login_by_token(
        &self,
        text: &Secret<String>,
        origin: &Origin,
    ) -> Result<Caller, AuthError> {
        let delay = self.directory.rate.check(origin, None).map_err(|RetryAfter(retry_after)| {
            tracing::warn!(ip = %origin.ip, protocol = %origin.protocol, "too many failed logins by token");
            AuthError::TooManyAttempts { retry_after }
        })?;
        wait(delay).await;
        self.look_at_directory().await.map_err(unavailable)?;
        let generation = self.directory.generation();
        let found = match token::parse_bearer(text.expose()) {
            Some(presented) => {
                let known = self.token(presented.id).await.map_err(unavailable)?;
                let known =
                    known.filter(|known| presented.verify(&known.hash, None, UtcMillis(0)).is_ok());
                known.map(|known| (presented.id, known))
            }
            None => None,
        };
        let candidate = match &found {
            Some((_, token)) => self
                .account_record(token.account)
                .await
                .map_err(unavailable)?,
            None => None,
        };
        let (Some((id, token)), Some(record)) = (found, candidate) else {
            // What has our form is ours, and is shown to nobody else.
            if token::parse_bearer(text.expose()).is_none()
                && let Some(found) = self.token_outside(text).await?
            {
                self.within_bounds(None, TOKEN_SCOPES, origin)?;
                if !self.takes_tokens_of_others(found.id).await? {
                    return Err(AuthError::SecondFactor);
                }
                let admitted = self.admit(found.into(), EXTERNAL, generation, origin);
                return Ok(admitted.await?.within(TOKEN_SCOPES));
            }
            self.directory.rate.failed(origin, None);
            self.note_failed_login(origin, None, text.expose());
            tracing::warn!(ip = %origin.ip, protocol = %origin.protocol, "login by token failed");
            return Err(AuthError::Invalid);
        };
        self.within_bounds(token.expires, token.scopes, origin)?;
        let candidate = Candidate {
            id: token.account,
            record,
        };
        let admitted = self.admit(candidate, token.credential, generation, origin);
        let caller = admitted.await?.within(token.scopes);
        Ok(caller.until(token.expires).by_token(id))
    }

    /// The secret was right.
    pub(super) async fn admit(
        &self,
        candidate: Candidate,
        credential: u64,
        generation: u64,
        origin: &Origin,
    ) -> Result<Caller, AuthError> {
        let Candidate { id, record } = candidate;
        if record.disabled {
            tracing::warn!(login = ?record.name, ip = %origin.ip, protocol = %origin.protocol, "login to a disabled account");
            return Err(AuthError::Disabled);
        }
        let record = match origin.protocol {
            Protocol::Admin if credential != EXTERNAL => self.with_role_of_now(id, record).await?,
            _ => record,
        };
        let caller = self.caller(id, &record, credential, generation).await;
        Ok(caller.map_err(unavailable)?.coming_from(origin))
    }

    pub(super) async fn candidate(&self, login: &str) -> Result<Option<Candidate>, store::Error> {
        let Some(id) = self.account_of_login(login).await? else {
            return Ok(None);
        };
        let record = self.account_record(id).await?;
        let person = record.filter(|record| record.kind == AccountKind::Person);
        Ok(person.map(|record| Candidate { id, record }))
    }

    /// Compares with what is stored, and remembers what was right. `None`: it was wrong.
    async fn compare(
        &self,
        login: &str,
        password: &Secret<String>,
        candidate: Option<&Candidate>,
        delay: Duration,
    ) -> Result<Option<Verified>, AuthError> {
        wait(delay).await;
        let Some(Candidate { id, record }) = candidate else {
            self.verify_password(None, password).await?;
            return Ok(None);
        };
        let credentials = self.credential_records(*id).await.map_err(unavailable)?;
        let verified = match self.app_password(&credentials, password) {
            Some(verified) => Some(verified),
            None => self.account_password(*id, &credentials, password).await?,
        };
        if let Some(verified) = verified {
            self.directory
                .verified
                .put(login, password, record.generation, verified);
        }
        Ok(verified)
    }

    fn app_password(
        &self,
        credentials: &[(u64, CredentialRecord)],
        password: &Secret<String>,
    ) -> Option<Verified> {
        let presented = token::parse_app_password(password.expose())?;
        let mut app_passwords = credentials
            .iter()
            .filter(|(_, record)| record.kind == CredentialKind::AppPassword);
        let (number, record) = app_passwords.find(|(_, record)| record.lookup == presented.id.0)?;
        let hash = TokenHash::from_octets(record.token_hash);
        // That it has expired is told to whoever has it.
        let outcome = presented.verify(&hash, None, UtcMillis(0));
        outcome.is_ok().then_some(Verified {
            credential: *number,
            expires: record.expires,
            scopes: record.scopes.unwrap_or(Scopes::ALL),
            has_second_factor: has_second_factor(credentials),
        })
    }

    async fn account_password(
        &self,
        id: AccountId,
        credentials: &[(u64, CredentialRecord)],
        password: &Secret<String>,
    ) -> Result<Option<Verified>, AuthError> {
        let record = credentials
            .iter()
            .find(|(number, _)| *number == PASSWORD)
            .map(|(_, record)| record);
        let stored = record.and_then(|record| record.password_hash.as_deref());
        let outdated = match self.verify_password(stored, password).await? {
            Verdict::Wrong => return Ok(None),
            Verdict::Right { outdated } => outdated,
        };
        if let Some(record) = record.filter(|record| outdated || record.scram.is_none()) {
            self.strengthen(id, record, password, outdated).await;
        }
        Ok(Some(Verified {
            credential: PASSWORD,
            expires: None,
            scopes: Scopes::ALL,
            has_second_factor: has_second_factor(credentials),
        }))
    }

    async fn verify_password(
        &self,
        stored: Option<&str>,
        password: &Secret<String>,
    ) -> Result<Verdict, AuthError> {
        match self.directory.hasher.verify(stored, password).await {
            Ok(verdict) => Ok(verdict),
            Err(PasswordError::TooBusy) => Err(AuthError::TooBusy),
            Err(error @ (PasswordError::Stored(_) | PasswordError::Unavailable)) => {
                tracing::error!(%error, "a password could not be checked");
                Err(AuthError::Unavailable)
            }
        }
    }

    /// The one moment at which the password is known: what is stored of it becomes as strong, and as much, as of today.
    async fn strengthen(
        &self,
        id: AccountId,
        record: &CredentialRecord,
        password: &Secret<String>,
        outdated: bool,
    ) {
        let hasher = &self.directory.hasher;
        let mut new = record.clone();
        if outdated {
            let Ok(hash) = hasher.hash(password).await else {
                return;
            };
            new.password_hash = Some(hash);
        }
        if new.scram.is_none() {
            let Ok(verifier) = hasher.scram(password).await else {
                return;
            };
            new.scram = Some(verifier);
        }
        if let Err(error) = self.replace_password_record(id, record, &new).await {
            tracing::warn!(account = %id, %error, "an outdated password record stays for now");
        }
    }
}

pub(super) fn too_many(
    login: &str,
    origin: &Origin,
    RetryAfter(retry_after): RetryAfter,
) -> AuthError {
    tracing::warn!(login = ?login, ip = %origin.ip, protocol = %origin.protocol, "too many failed logins");
    AuthError::TooManyAttempts { retry_after }
}

pub(super) async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// The form that names are looked up by; what is no name stays what it is, without case.
pub(super) fn stored_form(login: &str) -> String {
    let mut end = login.len().min(LOGIN_OCTETS_MAX);
    while !login.is_char_boundary(end) {
        end -= 1;
    }
    match names::account(login) {
        Ok(name) if login.len() <= LOGIN_OCTETS_MAX => name.to_string(),
        _ => login.get(..end).unwrap_or_default().trim().to_lowercase(),
    }
}

pub(crate) fn unavailable(error: store::Error) -> AuthError {
    tracing::error!(%error, "a login could not be checked");
    AuthError::Unavailable
}
