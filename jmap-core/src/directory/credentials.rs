//! What accounts log in with: one password, app passwords, tokens.
//!
//! Holds: each change counts the account's generation up, so that what was remembered of its credentials counts
//! no more; the text of an app password or token is given once, to whoever asked for it; what is for programs doesn't become more by itself.
//! Other half: `auth::login` compares.

use jmap_types::AccountId;
use store::{Record as _, engine::Batch, keys, numbers};

use super::{
    CREDENTIALS_PER_ACCOUNT_MAX, DirectoryError,
    accounts::{Hashed, password_record},
    check_description,
    records::{AccountKind, CredentialKind, CredentialRecord, PASSWORD},
};
use crate::{
    Core,
    access::{self, Operation},
    admin::{Deed, Terms},
    auth::{Confirmed, Scopes, Secret, token},
    caller::Caller,
    clock::UtcMillis,
};

/// A credential, without what it recognises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Within its account.
    pub number: u64,
    pub kind: CredentialKind,
    pub description: String,
    /// Seconds since 1970.
    pub created: i64,
    pub expires: Option<UtcMillis>,
    pub scopes: Scopes,
}

/// An app password or token that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewCredential<'n> {
    pub kind: CredentialKind,
    pub description: &'n str,
    pub expires: Option<UtcMillis>,
    /// What it is good for: no more than the credential of whoever makes it.
    pub scopes: Scopes,
}

/// An app password or token that was just made.
#[derive(Clone, Debug)]
pub struct Issued {
    pub credential: Credential,
    /// For the user, once.
    pub secret: Secret<String>,
}

impl Core {
    /// Changes an account's password: for administrators, and its owner.
    pub async fn set_password(
        &self,
        who: &Caller,
        id: AccountId,
        secret: &Secret<String>,
    ) -> Result<(), DirectoryError> {
        access::may_change_login(who, id)?;
        let record = self.account_for(who, Operation::SetPassword, id).await?;
        if record.kind != AccountKind::Person {
            return Err(DirectoryError::InvalidName {
                why: "nobody logs in as a group, a list or an alias",
            });
        }
        let hash = &self.hash_password(secret, &record.name).await?;
        self.change_directory(|| self.try_set_password(who, id, hash))
            .await
    }

    async fn try_set_password(
        &self,
        who: &Caller,
        id: AccountId,
        hash: &Hashed,
    ) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        let mut record = self.account_for(who, Operation::SetPassword, id).await?;
        record.generation += 1;
        let mut batch = Batch::new();
        let deed = Deed::of_account(Operation::SetPassword, id, &record);
        self.audit(&mut batch, who, deed.secret("password"));
        let key = keys::credential(id, PASSWORD);
        let before: Option<CredentialRecord> = self.stored(&key).await?;
        // Its time tells it from the one before, also within one second: sessions that began with that one are ended.
        let first = before.map_or(i64::MIN, |before| before.created.saturating_add(1));
        let credential = password_record(hash, self.clock.now().seconds().max(first));
        batch.put(key, credential.to_bytes());
        self.commit_account(fence, id, record, batch)
            .await
            .map(drop)
    }

    /// Puts what is kept of the same password by now in place of `old`, unless it was changed meanwhile.
    pub(crate) async fn replace_password_record(
        &self,
        id: AccountId,
        old: &CredentialRecord,
        new: &CredentialRecord,
    ) -> Result<(), store::Error> {
        let key = keys::credential(id, PASSWORD);
        let mut batch = Batch::new();
        batch.assert(store::engine::Assertion::Equals(
            key.clone(),
            old.to_bytes(),
        ));
        batch.put(key, new.to_bytes());
        Ok(self.engine.commit(batch).await?)
    }

    /// The credentials of an account, by number.
    pub async fn credentials(
        &self,
        who: &Caller,
        id: AccountId,
    ) -> Result<Vec<Credential>, DirectoryError> {
        self.account_for(who, Operation::SeeCredentials, id).await?;
        let records = self.credential_records(id).await?;
        // A device that is to be confirmed is none yet.
        let is_waiting = |record: &CredentialRecord| {
            record.kind == CredentialKind::Totp && !record.is_second_factor()
        };
        Ok(records
            .iter()
            .filter(|(_, record)| !is_waiting(record))
            .map(|(number, record)| credential(*number, record))
            .collect())
    }

    /// Makes an app password, good for whatever its account's password is good for.
    pub async fn add_app_password(
        &self,
        who: &Caller,
        id: AccountId,
        description: &str,
        expires: Option<UtcMillis>,
    ) -> Result<Issued, DirectoryError> {
        let kind = CredentialKind::AppPassword;
        let new = NewCredential {
            kind,
            description,
            expires,
            scopes: Scopes::ALL,
        };
        self.issue_credential(who, id, new, &Terms::default()).await
    }

    /// Makes a bearer token.
    pub async fn add_token(
        &self,
        who: &Caller,
        id: AccountId,
        description: &str,
        expires: Option<UtcMillis>,
    ) -> Result<Issued, DirectoryError> {
        let new = NewCredential {
            kind: CredentialKind::Token,
            description,
            expires,
            scopes: Scopes::ALL,
        };
        self.issue_credential(who, id, new, &Terms::default()).await
    }

    /// Makes an app password or a token, on terms.
    pub async fn issue_credential(
        &self,
        who: &Caller,
        id: AccountId,
        new: NewCredential<'_>,
        terms: &Terms,
    ) -> Result<Issued, DirectoryError> {
        access::may_begin(who, Operation::IssueCredential, Some(id))?;
        if !who.scopes().contains(new.scopes) {
            return Err(DirectoryError::Forbidden);
        }
        if new.scopes == Scopes::NONE {
            return Err(DirectoryError::InvalidName {
                why: "a credential is good for something",
            });
        }
        let (lookup, hash, secret) = match new.kind {
            CredentialKind::AppPassword => {
                let minted = token::mint_app_password(&*self.rng);
                (minted.id.0.to_vec(), minted.hash, minted.text)
            }
            CredentialKind::Token => {
                let minted = token::mint_bearer(&*self.rng);
                (minted.id.0.to_vec(), minted.hash, minted.text)
            }
            CredentialKind::Password
            | CredentialKind::Grant
            | CredentialKind::Totp
            | CredentialKind::Passkey => {
                return Err(DirectoryError::InvalidName {
                    why: "only app passwords and tokens are made like this",
                });
            }
        };
        let new = NewCredential {
            expires: lasting(who, id, new.expires),
            ..new
        };
        let record = self.issue(new, &lookup, &hash)?;
        self.add_credential(who, id, record, secret, terms).await
    }

    fn issue(
        &self,
        new: NewCredential<'_>,
        lookup: &[u8],
        hash: &token::TokenHash,
    ) -> Result<CredentialRecord, DirectoryError> {
        check_description(new.description)?;
        Ok(CredentialRecord {
            description: new.description.to_owned(),
            kind: new.kind,
            created: self.clock.now().seconds(),
            expires: new.expires.map(|expires| expires.0),
            lookup: lookup.to_vec(),
            token_hash: *hash.octets(),
            scopes: (new.scopes != Scopes::ALL).then_some(new.scopes),
            ..CredentialRecord::default()
        })
    }

    async fn add_credential(
        &self,
        who: &Caller,
        id: AccountId,
        record: CredentialRecord,
        secret: Secret<String>,
        terms: &Terms,
    ) -> Result<Issued, DirectoryError> {
        let new = &record;
        let number = self
            .change_directory(|| self.try_add_credential(who, id, new, terms))
            .await?;
        Ok(Issued {
            credential: credential(number, &record),
            secret,
        })
    }

    async fn try_add_credential(
        &self,
        who: &Caller,
        id: AccountId,
        new: &CredentialRecord,
        terms: &Terms,
    ) -> Result<u64, DirectoryError> {
        let fence = self.fence().await?;
        let mut record = self
            .account_for(who, Operation::IssueCredential, id)
            .await?;
        if record.kind != AccountKind::Person {
            return Err(DirectoryError::InvalidName {
                why: "nobody logs in as a group, a list or an alias",
            });
        }
        let known = self.credential_records(id).await?;
        if known.len() >= CREDENTIALS_PER_ACCOUNT_MAX {
            return Err(DirectoryError::TooMany("credentials of one account"));
        }
        let key = keys::credential_lookup(&new.lookup);
        let taken = match new.kind {
            CredentialKind::Token => self.engine.get(&key).await?.is_some(),
            _ => known
                .iter()
                .any(|(_, record)| record.kind == new.kind && record.lookup == new.lookup),
        };
        if taken {
            // One in 2^40 at the most: whoever asked may ask again.
            return Err(DirectoryError::Busy);
        }
        record.last_credential = record.last_credential.max(PASSWORD) + 1;
        record.generation += 1;
        let number = record.last_credential;
        let mut batch = Batch::new();
        batch.put(keys::credential(id, number), new.to_bytes());
        if new.kind == CredentialKind::Token {
            batch.put(key, numbers(&[id.number(), number]));
        }
        let made = number.to_string();
        self.note_once(&mut batch, who, terms.once.as_ref(), &made)
            .await?;
        let deed = Deed::of_account(Operation::IssueCredential, id, &record)
            .field("credential", None, Some(made))
            .field("kind", None, Some(kind_name(new.kind).to_owned()))
            .field("description", None, Some(new.description.clone()))
            .field("scopes", None, new.scopes.map(|scopes| scopes.to_string()))
            .field(
                "expires",
                None,
                new.expires.map(|ms| UtcMillis(ms).seconds().to_string()),
            );
        self.audit(&mut batch, who, deed);
        self.commit_account(fence, id, record, batch).await?;
        Ok(number)
    }

    /// Takes a credential away; it is good for nothing from this moment on.
    pub async fn revoke_credential(
        &self,
        who: &Caller,
        id: AccountId,
        number: u64,
    ) -> Result<(), DirectoryError> {
        access::may_begin(who, Operation::RevokeCredential, Some(id))?;
        self.change_directory(|| self.try_revoke(who, id, number, None))
            .await
    }

    /// The same with one of the caller's own. A second factor, or a passkey, goes only with the person's word.
    pub async fn revoke_own(
        &self,
        who: &Caller,
        number: u64,
        confirmed: Option<&Confirmed>,
    ) -> Result<(), DirectoryError> {
        let id = who.account;
        access::may_begin(who, Operation::RevokeCredential, Some(id))?;
        self.change_directory(|| self.try_revoke(who, id, number, confirmed))
            .await
    }

    async fn try_revoke(
        &self,
        who: &Caller,
        id: AccountId,
        number: u64,
        confirmed: Option<&Confirmed>,
    ) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        let mut record = self
            .account_for(who, Operation::RevokeCredential, id)
            .await?;
        let key = keys::credential(id, number);
        let stored: Option<CredentialRecord> = self.stored(&key).await?;
        let stored =
            stored.ok_or_else(|| DirectoryError::NotFound(format!("credential {number}")))?;
        match stored.kind {
            CredentialKind::Password | CredentialKind::Totp | CredentialKind::Passkey => {
                access::may_change_login(who, id)?;
            }
            CredentialKind::AppPassword | CredentialKind::Token | CredentialKind::Grant => {}
        }
        let is_factor = stored.passkey.is_some() || stored.is_second_factor();
        if who.account == id && is_factor && confirmed.is_none() {
            return Err(DirectoryError::ConfirmationNeeded);
        }
        record.generation += 1;
        let mut batch = Batch::new();
        batch.delete(key);
        if stored.kind == CredentialKind::Token {
            batch.delete(keys::credential_lookup(&stored.lookup));
        }
        stored.forget_tokens(&mut batch);
        let deed = Deed::of_account(Operation::RevokeCredential, id, &record)
            .field("credential", Some(number.to_string()), None)
            .field("kind", Some(kind_name(stored.kind).to_owned()), None)
            .field("description", Some(stored.description), None);
        self.audit(&mut batch, who, deed);
        self.commit_account(fence, id, record, batch)
            .await
            .map(drop)
    }
}

/// Until when something new may be good. What may not change its account's own login makes nothing there that outlives it.
fn lasting(who: &Caller, id: AccountId, wanted: Option<UtcMillis>) -> Option<UtcMillis> {
    let most = who.expires().map(UtcMillis);
    match access::may_change_login(who, id) {
        Ok(()) => wanted,
        Err(_) => wanted.into_iter().chain(most).min(),
    }
}

fn kind_name(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Password => "password",
        CredentialKind::AppPassword => "app-password",
        CredentialKind::Token => "token",
        CredentialKind::Grant => "grant",
        CredentialKind::Totp => "totp",
        CredentialKind::Passkey => "passkey",
    }
}

fn credential(number: u64, record: &CredentialRecord) -> Credential {
    Credential {
        number,
        kind: record.kind,
        description: record.description.clone(),
        created: record.created,
        expires: record.expires.map(UtcMillis),
        scopes: record.scopes.unwrap_or(Scopes::ALL),
    }
}
