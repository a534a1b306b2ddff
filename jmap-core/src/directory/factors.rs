//! Second factors: a device that makes codes is enrolled, shown to work, used, and taken away.
//!
//! Holds: a code is used up in the commit that lets somebody in, so that no node takes it again, also after a crash; from the moment
//! that a device is confirmed, what was remembered of the password counts no more; secrets and recovery codes are told once.
//! Other half: `auth::totp` has the codes, `auth::admission` asks for them.

use jmap_types::AccountId;
use store::{
    Record as _,
    engine::{Assertion, Batch},
    keys,
};

use super::{
    DirectoryError, TRIES,
    records::{AccountKind, CredentialKind, CredentialRecord, PASSWORD},
};
use crate::{
    Core,
    access::{self, Operation},
    admin::Deed,
    auth::{Confirmed, Secret, totp::Totp},
    caller::Caller,
};

/// A device that is to be confirmed.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// For people to type, in base 32.
    pub secret: Secret<String>,
    /// For a device to read as a QR code.
    pub uri: Secret<String>,
}

/// How an account is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotpState {
    /// The credential; `None`: there is no second factor.
    pub credential: Option<u64>,
    /// Seconds since 1970.
    pub since: Option<i64>,
    /// Recovery codes that are left.
    pub recovery_codes: u64,
}

impl CredentialRecord {
    /// Whether the password is not enough because of it.
    pub(crate) fn is_second_factor(&self) -> bool {
        self.totp.as_ref().is_some_and(|totp| totp.is_confirmed)
    }
}

impl Core {
    /// How the caller's own account is protected.
    pub async fn totp(&self, who: &Caller) -> Result<TotpState, DirectoryError> {
        self.account_for(who, Operation::SeeCredentials, who.account)
            .await?;
        let records = self.credential_records(who.account).await?;
        let found = records.iter().find(|(_, record)| record.is_second_factor());
        let left = found.and_then(|(_, record)| record.totp.as_ref());
        Ok(TotpState {
            credential: found.map(|(number, _)| *number),
            since: found.map(|(_, record)| record.created),
            recovery_codes: left.map_or(0, |totp| totp.recovery.len() as u64),
        })
    }

    /// Begins to enrol a device for the caller's own account. One that was begun before, and not confirmed, is forgotten.
    pub async fn enrol_totp(&self, who: &Caller) -> Result<Enrolment, DirectoryError> {
        let totp = Totp::new(&*self.rng);
        let new = &totp;
        self.change_directory(|| self.try_enrol(who, new)).await?;
        Ok(Enrolment {
            secret: totp.base32(),
            uri: totp.uri(&self.hostname(), &who.name),
        })
    }

    async fn try_enrol(&self, who: &Caller, totp: &Totp) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        let id = who.account;
        let operation = Operation::IssueCredential;
        let mut record = self.account_for(who, operation, id).await?;
        access::may_change_login(who, id)?;
        if record.kind != AccountKind::Person {
            return Err(DirectoryError::InvalidName {
                why: "nobody logs in as a group, a list or an alias",
            });
        }
        let mut batch = Batch::new();
        for (number, known) in self.credential_records(id).await? {
            if known.is_second_factor() {
                return Err(DirectoryError::AlreadyExists("second factor".to_owned()));
            }
            if known.kind == CredentialKind::Totp {
                batch.delete(keys::credential(id, number));
            }
        }
        record.last_credential = record.last_credential.max(PASSWORD) + 1;
        let new = CredentialRecord {
            kind: CredentialKind::Totp,
            created: self.clock.now().seconds(),
            totp: Some(Box::new(totp.clone())),
            ..CredentialRecord::default()
        };
        let key = keys::credential(id, record.last_credential);
        batch.put(key, new.to_bytes());
        self.commit_account(fence, id, record, batch)
            .await
            .map(drop)
    }

    /// Takes a code of the device that was begun with: from now on the password alone is not enough. The recovery codes.
    pub async fn confirm_totp(
        &self,
        who: &Caller,
        code: &Secret<String>,
    ) -> Result<Vec<Secret<String>>, DirectoryError> {
        self.change_directory(|| self.try_change_totp(who, Some(code)))
            .await
    }

    /// Makes new recovery codes, in place of those that are left.
    pub async fn renew_recovery_codes(
        &self,
        who: &Caller,
        _: &Confirmed,
    ) -> Result<Vec<Secret<String>>, DirectoryError> {
        self.change_directory(|| self.try_change_totp(who, None))
            .await
    }

    /// `code`: of a device that is to be confirmed by it; `None`: there is one already.
    async fn try_change_totp(
        &self,
        who: &Caller,
        code: Option<&Secret<String>>,
    ) -> Result<Vec<Secret<String>>, DirectoryError> {
        let fence = self.fence().await?;
        let id = who.account;
        let operation = Operation::IssueCredential;
        let mut record = self.account_for(who, operation, id).await?;
        access::may_change_login(who, id)?;
        let records = self.credential_records(id).await?;
        let found = records.into_iter().find_map(|(number, record)| {
            let totp = record.totp.clone()?;
            (totp.is_confirmed != code.is_some()).then_some((number, record, totp))
        });
        let missing = || DirectoryError::NotFound("second factor".to_owned());
        let (number, old, mut totp) = found.ok_or_else(missing)?;
        if let Some(code) = code {
            if !totp.use_code(code.expose(), self.clock.now()) {
                return Err(DirectoryError::WrongCode);
            }
            totp.is_confirmed = true;
        }
        let codes = totp.new_recovery_codes(&*self.rng);
        let new = CredentialRecord {
            totp: Some(totp),
            ..old.clone()
        };
        record.generation += 1;
        let mut batch = Batch::new();
        let key = keys::credential(id, number);
        batch.assert(Assertion::Equals(key.clone(), old.to_bytes()));
        batch.put(key, new.to_bytes());
        let deed = Deed::of_account(operation, id, &record)
            .field("credential", None, Some(number.to_string()))
            .field("kind", None, code.map(|_| "totp".to_owned()))
            .secret("recoveryCodes");
        self.audit(&mut batch, who, deed);
        self.commit_account(fence, id, record, batch).await?;
        Ok(codes)
    }

    /// Takes the second factor away from the caller's own account.
    pub async fn remove_totp(
        &self,
        who: &Caller,
        confirmed: &Confirmed,
    ) -> Result<(), DirectoryError> {
        let missing = || DirectoryError::NotFound("second factor".to_owned());
        let number = self.totp(who).await?.credential.ok_or_else(missing)?;
        self.revoke_own(who, number, Some(confirmed)).await
    }

    /// Uses up a code of an account's second factor. `false`: it is none, or was used before.
    pub(crate) async fn use_code(
        &self,
        id: AccountId,
        code: &Secret<String>,
    ) -> Result<bool, store::Error> {
        for _ in 0..TRIES {
            let records = self.credential_records(id).await?;
            let mut factors = records.into_iter();
            let Some((number, old)) = factors.find(|(_, record)| record.is_second_factor()) else {
                return Ok(false);
            };
            let mut new = old.clone();
            let now = self.clock.now();
            let is_right = |totp: &mut Box<Totp>| totp.use_code(code.expose(), now);
            if !new.totp.as_mut().is_some_and(is_right) {
                return Ok(false);
            }
            let key = keys::credential(id, number);
            let mut batch = Batch::new();
            batch.assert(Assertion::Equals(key.clone(), old.to_bytes()));
            batch.put(key, new.to_bytes());
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                // Somebody else has used a code: it may have been this one.
                Err(store::Error::Conflict) => {}
                result => return result.map(|()| true),
            }
        }
        Err(store::Error::Conflict)
    }
}
