//! What is asked beyond the secret: that its time isn't over, that it is for this protocol, and a second factor.
//!
//! Holds: none of it is told to anybody who hasn't shown the secret; a password with a second factor beside it opens nothing
//! by itself; what is for programs doesn't open the pages on which new credentials are made, nor the API of an account that has a
//! second factor. Whoever has nothing but a session can't take a second factor away.
//! Other half: `directory::factors` has the second factors; `auth::login` and `auth::scram` ask here.

use super::{
    AuthError, Origin, Protocol, Scopes, Secret,
    login::{Candidate, too_many, unavailable, wait},
};
use crate::{
    Caller, Core,
    directory::{
        Verified,
        external::EXTERNAL,
        records::{CredentialRecord, PASSWORD},
    },
};

/// Whether the password of these credentials is not enough.
pub(crate) fn has_second_factor(credentials: &[(u64, CredentialRecord)]) -> bool {
    credentials
        .iter()
        .any(|(_, record)| record.is_second_factor())
}

/// Where a code may come along with a password.
fn takes_codes(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Admin | Protocol::OAuth => true,
        Protocol::Jmap
        | Protocol::Imap
        | Protocol::Pop3
        | Protocol::ManageSieve
        | Protocol::Smtp
        | Protocol::Submission
        | Protocol::Dav => false,
    }
}

/// Says that it was the person who asked, and not only somebody with a session of theirs.
#[derive(Debug)]
pub struct Confirmed(());

impl Core {
    /// Has a person say again who they are: by the password, if that came with this very request, or by a code of the second factor.
    /// `None`: neither was given.
    pub async fn confirm(
        &self,
        who: &Caller,
        code: Option<&Secret<String>>,
        origin: &Origin,
    ) -> Result<Option<Confirmed>, AuthError> {
        if matches!(who.credential, PASSWORD | EXTERNAL) {
            // With a second factor it came with a code.
            return Ok(Some(Confirmed(())));
        }
        let Some(code) = code else {
            return Ok(None);
        };
        let checked = self.directory.rate.check(origin, Some(&who.name));
        let delay = checked.map_err(|retry_after| too_many(&who.name, origin, retry_after))?;
        wait(delay).await;
        let record = self.account_record(who.account).await;
        let record = record.map_err(unavailable)?.ok_or(AuthError::Invalid)?;
        let candidate = Candidate {
            id: who.account,
            record,
        };
        self.pass_by_code(&who.name, &candidate, code, origin)
            .await?;
        self.directory.rate.succeeded(origin, Some(&who.name));
        Ok(Some(Confirmed(())))
    }

    /// Whether a secret that was right is good for this login. `code`: of the second factor.
    pub(super) async fn pass(
        &self,
        login: &str,
        candidate: &Candidate,
        verified: Verified,
        code: Option<&Secret<String>>,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        self.within_bounds(verified.expires, verified.scopes, origin)?;
        let is_own = matches!(verified.credential, PASSWORD | EXTERNAL);
        if !is_own {
            // An app password stands in for the second factor where a program can't ask for a code. Where one can come along, it doesn't.
            let is_too_little = match origin.protocol {
                Protocol::OAuth => true,
                protocol => takes_codes(protocol) && verified.has_second_factor,
            };
            return match is_too_little {
                true => Err(AuthError::OutOfScope),
                false => Ok(()),
            };
        }
        if !verified.has_second_factor {
            return Ok(());
        }
        let Some(code) = code.filter(|_| takes_codes(origin.protocol)) else {
            tracing::info!(login, ip = %origin.ip, protocol = %origin.protocol, "login without its second factor");
            return Err(AuthError::SecondFactor);
        };
        self.pass_by_code(login, candidate, code, origin).await
    }

    /// Uses a code up. One that is wrong, or was used before, counts as a failed login.
    pub(super) async fn pass_by_code(
        &self,
        login: &str,
        candidate: &Candidate,
        code: &Secret<String>,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        let rate = &self.directory.rate;
        let begun = rate.begin_code(candidate.id);
        begun.map_err(|retry_after| too_many(login, origin, retry_after))?;
        let is_right = self.use_code(candidate.id, code).await;
        if !matches!(is_right, Ok(false)) {
            rate.give_code_back(candidate.id);
        }
        if is_right.map_err(unavailable)? {
            return Ok(());
        }
        self.directory.rate.failed(origin, Some(login));
        self.note_failed_login(origin, Some(login), code.expose());
        tracing::warn!(login, ip = %origin.ip, protocol = %origin.protocol, "login with a wrong code");
        Err(AuthError::Invalid)
    }

    /// Whether a credential is good at this moment, by this way. `expires`: milliseconds since 1970.
    pub(super) fn within_bounds(
        &self,
        expires: Option<i64>,
        scopes: Scopes,
        origin: &Origin,
    ) -> Result<(), AuthError> {
        if expires.is_some_and(|expires| self.clock.now().0 >= expires) {
            return Err(AuthError::Expired);
        }
        match scopes.contains(Scopes::of(origin.protocol)) {
            true => Ok(()),
            false => Err(AuthError::OutOfScope),
        }
    }
}
