//! Passkeys of accounts: made by their owners, used on the page on which people sign in.
//!
//! Holds: a challenge is answered once, on whatever node, as the commit that takes the answer says that it was; a counter that goes
//! backwards lets nobody in.
//! Other half: `auth::webauthn` reads and verifies what browsers send.

use std::time::Duration;

use jmap_types::AccountId;
use store::{
    Record as _,
    engine::{Assertion as Assert, Batch},
    keys::{self, Pending},
    numbers,
};
use subtle::ConstantTimeEq as _;

use super::{
    CREDENTIALS_PER_ACCOUNT_MAX, DirectoryError, check_description,
    records::{AccountKind, CredentialKind, CredentialRecord, PASSWORD},
};
use crate::{
    Core,
    access::{self, Operation},
    admin::Deed,
    auth::{
        Confirmed,
        webauthn::{Assertion, Attestation, Passkey, PasskeyError, RelyingParty},
    },
    caller::Caller,
    clock::UtcMillis,
};

/// Passkeys of one account.
pub const PASSKEYS_MAX: usize = 20;
/// How long a browser may take.
pub const CHALLENGE_KEEP: Duration = Duration::from_secs(600);
const KEY_KIND: &str = "posthorn 2026 passkey challenge";
const NONCE_OCTETS: usize = 16;
const TIME_OCTETS: usize = 8;
const TAG_OCTETS: usize = 32;

/// What a browser is asked when a passkey is to be made (WebAuthn §5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyOptions {
    pub challenge: Vec<u8>,
    /// What comes back when the passkey is used.
    pub user_handle: Vec<u8>,
    pub name: String,
    pub display_name: String,
    /// Those that there are.
    pub exclude: Vec<Vec<u8>>,
}

fn user_handle(account: AccountId) -> [u8; 8] {
    account.number().to_be_bytes()
}

/// What a challenge for a new passkey is good for.
fn making(account: AccountId) -> Vec<u8> {
    [&b"make"[..], &user_handle(account)].concat()
}

/// A challenge that is this server's.
struct Challenge {
    nonce: [u8; NONCE_OCTETS],
    ends: UtcMillis,
}

impl Core {
    /// A challenge that is good for `purpose`: nonce, time, and what only this server can make of them.
    pub fn passkey_challenge(&self, purpose: &[u8]) -> Vec<u8> {
        let mut challenge = vec![0; NONCE_OCTETS];
        self.rng.fill(&mut challenge);
        challenge.extend_from_slice(&self.clock.now().0.to_be_bytes());
        let tag = self.challenge_tag(&challenge, purpose);
        challenge.extend_from_slice(tag.as_bytes());
        challenge
    }

    fn challenge_tag(&self, octets: &[u8], purpose: &[u8]) -> blake3::Hash {
        let key = blake3::derive_key(KEY_KIND, self.directory.scram_key.expose());
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(octets).update(purpose);
        hasher.finalize()
    }

    fn challenge_of(&self, octets: &[u8], purpose: &[u8]) -> Result<Challenge, PasskeyError> {
        let wrong = PasskeyError::Challenge;
        if octets.len() != NONCE_OCTETS + TIME_OCTETS + TAG_OCTETS {
            return Err(wrong);
        }
        let (front, tag) = octets.split_at(NONCE_OCTETS + TIME_OCTETS);
        let wanted = self.challenge_tag(front, purpose);
        let is_ours: bool = wanted.as_bytes()[..].ct_eq(tag).into();
        let (nonce, time) = front.split_first_chunk::<NONCE_OCTETS>().ok_or(wrong)?;
        let time = time.first_chunk::<TIME_OCTETS>().ok_or(wrong)?;
        let ends = UtcMillis(i64::from_be_bytes(*time)).saturating_add(CHALLENGE_KEEP);
        match is_ours && self.clock.now() < ends {
            true => Ok(Challenge {
                nonce: *nonce,
                ends,
            }),
            false => Err(wrong),
        }
    }

    /// What a browser is asked to make a passkey of the caller's own account with.
    pub async fn passkey_options(&self, who: &Caller) -> Result<PasskeyOptions, DirectoryError> {
        let id = who.account;
        let record = self
            .account_for(who, Operation::IssueCredential, id)
            .await?;
        let credentials = self.credential_records(id).await?;
        let known = credentials.into_iter().filter_map(|(_, of)| of.passkey);
        Ok(PasskeyOptions {
            challenge: self.passkey_challenge(&making(id)),
            user_handle: user_handle(id).to_vec(),
            display_name: match record.description.is_empty() {
                true => record.name.clone(),
                false => record.description.clone(),
            },
            name: record.name,
            exclude: known.map(|passkey| passkey.id).collect(),
        })
    }

    /// Takes a passkey that a browser has made for the caller's own account: the number of its credential.
    pub async fn add_passkey(
        &self,
        who: &Caller,
        description: &str,
        attestation: &Attestation,
        of: RelyingParty<'_>,
    ) -> Result<u64, DirectoryError> {
        access::may_change_login(who, who.account)?;
        check_description(description)?;
        let challenge = attestation.challenge(of)?;
        let challenge = self.challenge_of(&challenge, &making(who.account))?;
        let passkey = attestation.passkey(of)?;
        let (challenge, passkey) = (&challenge, &passkey);
        self.change_directory(|| self.try_add_passkey(who, description, passkey, challenge))
            .await
    }

    async fn try_add_passkey(
        &self,
        who: &Caller,
        description: &str,
        passkey: &Passkey,
        challenge: &Challenge,
    ) -> Result<u64, DirectoryError> {
        let fence = self.fence().await?;
        let id = who.account;
        let operation = Operation::IssueCredential;
        let mut record = self.account_for(who, operation, id).await?;
        if record.kind != AccountKind::Person {
            return Err(DirectoryError::InvalidName {
                why: "nobody logs in as a group, a list or an alias",
            });
        }
        let row = keys::oauth_pending(Pending::Challenge, &challenge.nonce);
        if self.engine.get(&row).await?.is_some() {
            return Err(PasskeyError::Challenge.into());
        }
        let known = self.credential_records(id).await?;
        let passkeys = known.iter().filter_map(|(_, of)| of.passkey.as_ref());
        if passkeys.clone().any(|of| of.id == passkey.id) {
            return Err(DirectoryError::AlreadyExists("passkey".to_owned()));
        }
        if passkeys.count() >= PASSKEYS_MAX || known.len() >= CREDENTIALS_PER_ACCOUNT_MAX {
            return Err(DirectoryError::TooMany("passkeys of one account"));
        }
        record.last_credential = record.last_credential.max(PASSWORD) + 1;
        record.generation += 1;
        let number = record.last_credential;
        let new = CredentialRecord {
            description: description.to_owned(),
            kind: CredentialKind::Passkey,
            created: self.clock.now().seconds(),
            passkey: Some(Box::new(passkey.clone())),
            ..CredentialRecord::default()
        };
        let mut batch = Batch::new();
        answer(&mut batch, challenge);
        batch.put(keys::credential(id, number), new.to_bytes());
        let deed = Deed::of_account(operation, id, &record)
            .field("credential", None, Some(number.to_string()))
            .field("kind", None, Some("passkey".to_owned()))
            .field("description", None, Some(description.to_owned()));
        self.audit(&mut batch, who, deed);
        self.commit_account(fence, id, record, batch).await?;
        Ok(number)
    }

    /// Takes a passkey away from the caller's own account.
    pub async fn remove_passkey(
        &self,
        who: &Caller,
        number: u64,
        confirmed: &Confirmed,
    ) -> Result<(), DirectoryError> {
        let id = who.account;
        self.account_for(who, Operation::RevokeCredential, id)
            .await?;
        let stored: Option<CredentialRecord> = self.stored(&keys::credential(id, number)).await?;
        match stored.is_some_and(|of| of.passkey.is_some()) {
            true => self.revoke_own(who, number, Some(confirmed)).await,
            false => Err(DirectoryError::NotFound(format!("credential {number}"))),
        }
    }

    /// Uses a passkey: account and credential that it is of. `whose`: the account that it has to be of. `Ok(Err)`: it isn't taken.
    pub(crate) async fn use_passkey(
        &self,
        assertion: &Assertion,
        whose: Option<AccountId>,
        purpose: &[u8],
        of: RelyingParty<'_>,
    ) -> Result<Result<(AccountId, u64), PasskeyError>, store::Error> {
        let challenge = assertion
            .challenge(of)
            .and_then(|octets| self.challenge_of(&octets, purpose));
        let challenge = match challenge {
            Ok(challenge) => challenge,
            Err(error) => return Ok(Err(error)),
        };
        let handle = assertion.user_handle.first_chunk::<8>();
        let told = handle.map(|handle| AccountId::new(u64::from_be_bytes(*handle)));
        let id = match (told, whose) {
            // WebAuthn §7.2, step 6: who was named may stay unnamed in the answer, and is nobody else.
            (None, Some(id)) if assertion.user_handle.is_empty() => id,
            (Some(told), Some(id)) if told != id => return Ok(Err(PasskeyError::Elsewhere)),
            (Some(told), _) => told,
            (None, _) => return Ok(Err(PasskeyError::Malformed)),
        };
        let records = self.credential_records(id).await?;
        let found = records.into_iter().find_map(|(number, record)| {
            let passkey = record.passkey.clone()?;
            (passkey.id == assertion.credential_id).then_some((number, record, passkey))
        });
        let Some((number, old, mut passkey)) = found else {
            return Ok(Err(PasskeyError::Elsewhere));
        };
        passkey.counter = match assertion.verify(&passkey, of) {
            Ok(counter) => counter,
            Err(error) => return Ok(Err(error)),
        };
        let new = CredentialRecord {
            passkey: Some(passkey),
            ..old.clone()
        };
        let mut batch = Batch::new();
        answer(&mut batch, &challenge);
        let key = keys::credential(id, number);
        batch.assert(Assert::Equals(key.clone(), old.to_bytes()));
        batch.put(key, new.to_bytes());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => Ok(Ok((id, number))),
            // It was answered before, or at the same time.
            Err(store::Error::Conflict) => Ok(Err(PasskeyError::Challenge)),
            Err(error) => Err(error),
        }
    }
}

/// That a challenge was answered is known for as long as it is good.
fn answer(batch: &mut Batch, challenge: &Challenge) {
    let row = keys::oauth_pending(Pending::Challenge, &challenge.nonce);
    let ends = u64::try_from(challenge.ends.0).unwrap_or(0);
    batch.assert(Assert::Absent(row.clone()));
    batch.put(row, numbers(&[ends]));
}
