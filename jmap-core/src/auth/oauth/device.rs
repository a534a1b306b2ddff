//! A device without a browser asks to be let in: the device flow (RFC 8628).
//!
//! Holds: what people type can't be guessed in its time, and who tries is slowed down as at a login; a device that asks too often is
//! told so; what was decided is decided once.
//! Other half: `adapters/oauth` has the page on which people type the code.

use std::time::{Duration, Instant};

use jmap_types::AccountId;
use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use store::{
    Record as _,
    engine::Batch,
    keys::{self, Pending},
};

use super::{
    Client, DEVICE_INTERVAL_SECONDS, DEVICE_SECONDS, ErrorCode, OAuthError, OAuthScopes, SignedIn,
    TokenResponse,
    limit::Begun,
    records::{Decision, DeviceRecord, Kept, UserCodeRecord},
    refused,
    tokens::spend_row,
};
use crate::{
    Core,
    auth::{
        AuthError, Origin, RetryAfter, Secret,
        login::{unavailable, wait},
        token::{self, TokenId},
    },
    directory::NewGrant,
};

/// RFC 8628 §6.1: letters that make no words, and are not taken for one another.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a user code: 34 bits.
const LETTERS_PER_CODE: usize = 8;
/// Devices whose last question is remembered.
const POLLS_MAX: usize = 10_000;
/// Octets of what people may type.
const TYPED_OCTETS_MAX: usize = 100;

/// When devices have asked last.
#[derive(Debug)]
pub(super) struct Polls(Mutex<Cache<[u8; 8], Instant>>);

impl Default for Polls {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(POLLS_MAX)))
    }
}

impl Polls {
    /// Whether it is too soon.
    fn is_too_soon(&self, id: TokenId, now: Instant) -> bool {
        let mut polls = self.0.lock();
        let last = polls.get(&id.0).copied();
        polls.insert(id.0, now);
        // A network may bring a question a little earlier than it was asked.
        let interval = Duration::from_secs(DEVICE_INTERVAL_SECONDS.unsigned_abs())
            .saturating_sub(Duration::from_millis(500));
        last.is_some_and(|last| now.duration_since(last) < interval)
    }
}

/// RFC 8628 §3.2.
#[derive(Clone, Debug)]
pub struct DeviceBegun {
    pub device_code: Secret<String>,
    /// As it is shown: with a dash.
    pub user_code: String,
}

/// What a person is asked.
#[derive(Clone, Debug)]
pub struct DeviceRequest {
    pub client: Client,
    pub scopes: OAuthScopes,
    /// As it is shown.
    pub user_code: String,
}

fn shown(code: &str) -> String {
    let (front, back) = code.split_at(code.len() / 2);
    format!("{front}-{back}")
}

/// What people have typed, as it is kept. `None`: it is no such code.
fn typed(text: &str) -> Option<String> {
    if text.len() > TYPED_OCTETS_MAX {
        return None;
    }
    let letters: String = text
        .chars()
        .filter(|character| !matches!(character, '-' | ' ' | '.'))
        .collect();
    let letters = letters.to_ascii_uppercase();
    let is_code = letters.len() == LETTERS_PER_CODE
        && letters.bytes().all(|letter| LETTERS.contains(&letter));
    is_code.then_some(letters)
}

impl Core {
    /// A device begins (RFC 8628 §3.1).
    pub async fn begin_device(
        &self,
        client: &Client,
        scope: &str,
        origin: &Origin,
    ) -> Result<DeviceBegun, OAuthError> {
        let scopes = OAuthScopes::parse(scope);
        if scopes.is_empty() {
            let why = "scope names nothing that can be granted";
            return refused(ErrorCode::InvalidScope, why);
        }
        let now = self.clock.monotonic();
        if !self.oauth.limits.may(Begun::Device, origin.ip, now) {
            let why = "too many devices ask at the moment; try again later";
            return refused(ErrorCode::TemporarilyUnavailable, why);
        }
        self.has_room_for(Pending::Device).await?;
        let minted = token::mint_bearer(&*self.rng);
        let user_code = self.user_code();
        let expires = self
            .clock
            .now()
            .saturating_add(Duration::from_secs(DEVICE_SECONDS.unsigned_abs()));
        let record = DeviceRecord {
            kept: Kept::of(&minted),
            client: client.id.clone(),
            scopes,
            user_code: user_code.clone(),
            expires: expires.0,
            decision: None,
        };
        let way = UserCodeRecord {
            device: minted.id.0.into(),
            expires: expires.0,
        };
        let mut batch = Batch::new();
        let way_key = keys::oauth_pending(Pending::UserCode, user_code.as_bytes());
        batch.assert(store::engine::Assertion::Absent(way_key.clone()));
        batch.put(way_key, way.to_bytes());
        let key = keys::oauth_pending(Pending::Device, &minted.id.0);
        batch.put(key, record.to_bytes());
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        Ok(DeviceBegun {
            device_code: minted.text,
            user_code: shown(&user_code),
        })
    }

    fn user_code(&self) -> String {
        let mut code = String::with_capacity(LETTERS_PER_CODE);
        while code.len() < LETTERS_PER_CODE {
            let mut octet = [0];
            self.rng.fill(&mut octet);
            // Of 256, 240 are twelve times as many as there are letters: each is as likely.
            if let Some(letter) = LETTERS.get(usize::from(octet[0]) % LETTERS.len())
                && octet[0] < 240
            {
                code.push(char::from(*letter));
            }
        }
        code
    }

    /// What a person is asked who has typed a code. `None`: there is no such device.
    pub async fn device_request(
        &self,
        text: &str,
        origin: &Origin,
    ) -> Result<Option<DeviceRequest>, AuthError> {
        let checked = self.directory.rate.check(origin, None);
        let delay = checked
            .map_err(|RetryAfter(retry_after)| AuthError::TooManyAttempts { retry_after })?;
        wait(delay).await;
        let found = self.device_of(text).await.map_err(unavailable)?;
        let client = match &found {
            Some((record, ..)) => self.client(&record.client).await.map_err(unavailable)?,
            None => None,
        };
        let (Some((record, ..)), Some(client)) = (found, client) else {
            self.directory.rate.failed(origin, None);
            return Ok(None);
        };
        Ok(Some(DeviceRequest {
            client,
            scopes: record.scopes,
            user_code: shown(&record.user_code),
        }))
    }

    async fn device_of(
        &self,
        text: &str,
    ) -> Result<Option<(DeviceRecord, Vec<u8>, bytes::Bytes)>, store::Error> {
        let Some(code) = typed(text) else {
            return Ok(None);
        };
        let way = keys::oauth_pending(Pending::UserCode, code.as_bytes());
        let Some((way, _)) = self.pending::<UserCodeRecord>(&way).await? else {
            return Ok(None);
        };
        let key = keys::oauth_pending(Pending::Device, &way.device[..]);
        let Some((record, bytes)) = self.pending::<DeviceRecord>(&key).await? else {
            return Ok(None);
        };
        let is_open = record.decision.is_none() && record.expires > self.clock.now().0;
        Ok(is_open.then_some((record, key, bytes)))
    }

    /// The person has decided. `false`: there is nothing to decide any more.
    pub async fn decide_device(
        &self,
        text: &str,
        who: &SignedIn,
        is_allowed: bool,
    ) -> Result<bool, OAuthError> {
        if self.still_good(who).await?.is_none() {
            return Ok(false);
        }
        let Some((record, key, bytes)) = self.device_of(text).await? else {
            return Ok(false);
        };
        let decision = match is_allowed {
            true => Decision::Allowed {
                account: who.account.number(),
                authenticated: who.authenticated,
                passkey: who.passkey,
            },
            false => Decision::Denied,
        };
        let decided = DeviceRecord {
            decision: Some(decision),
            ..record
        };
        let mut batch = Batch::new();
        spend_row(&mut batch, &key, &bytes);
        batch.put(key, decided.to_bytes());
        let way = keys::oauth_pending(Pending::UserCode, decided.user_code.as_bytes());
        batch.delete(way);
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => Ok(true),
            Err(store::Error::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The device asks whether it is let in (RFC 8628 §3.4).
    pub async fn poll_device(
        &self,
        client: &Client,
        device_code: &Secret<String>,
        (issuer, origin): (&str, &Origin),
    ) -> Result<TokenResponse, OAuthError> {
        let wrong = || refused(ErrorCode::InvalidGrant, "the device code is wrong");
        let Some(presented) = token::parse_bearer(device_code.expose()) else {
            return wrong();
        };
        let key = keys::oauth_pending(Pending::Device, &presented.id.0);
        let Some((record, bytes)) = self.pending::<DeviceRecord>(&key).await? else {
            return wrong();
        };
        if !record.kept.is(&presented) || record.client != client.id {
            return wrong();
        }
        if record.expires <= self.clock.now().0 {
            return refused(
                ErrorCode::ExpiredToken,
                "nobody has entered the code in time",
            );
        }
        let who = match record.decision {
            Some(Decision::Allowed {
                account,
                authenticated,
                passkey,
            }) => SignedIn {
                account: AccountId::new(account),
                name: String::new(),
                authenticated,
                passkey,
            },
            Some(Decision::Denied) => {
                return refused(ErrorCode::AccessDenied, "access was refused");
            }
            None => {
                let now = self.clock.monotonic();
                return match self.oauth.polls.is_too_soon(presented.id, now) {
                    true => refused(ErrorCode::SlowDown, "ask less often"),
                    false => refused(ErrorCode::AuthorizationPending, "nobody has decided yet"),
                };
            }
        };
        if self.still_good(&who).await?.is_none() {
            return refused(ErrorCode::AccessDenied, "the account can't be used");
        }
        let new = NewGrant {
            account: who.account,
            client,
            scopes: record.scopes,
            authenticated: who.authenticated,
            origin,
        };
        let spend = |batch: &mut Batch, _: u64| {
            spend_row(batch, &key, &bytes);
            batch.delete(key.clone());
        };
        let granted = self.granted(&new, &spend).await?;
        self.device_response(client, &new, granted, issuer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        for (text, want) in [
            ("WDJB-MJHT", Some("WDJBMJHT")),
            (" wdjb mjht ", Some("WDJBMJHT")),
            ("wdjb.mjht", Some("WDJBMJHT")),
            ("WDJB-MJH", None),
            ("WDJB-MJHTT", None),
            ("WDJB-MJHA", None),
            ("", None),
        ] {
            assert_eq!(typed(text).as_deref(), want, "{text}");
        }
        assert_eq!(typed(&"-".repeat(1000)), None);
        assert_eq!(shown("WDJBMJHT"), "WDJB-MJHT");
    }
}
