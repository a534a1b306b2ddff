//! Clients get tokens for codes and refresh tokens, ask about them and give them back (RFC 6749 §4.1.3 and §6, RFC 7662, RFC 7009).
//!
//! Holds: a code that comes again ends what it has come to (RFC 6749 §4.1.2); who asks about a token that isn't theirs is told that
//! it is none.
//! Other half: `directory::grants` makes the tokens.

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    Record as _,
    engine::{Assertion, Batch},
    keys::{self, Pending},
};
use subtle::ConstantTimeEq as _;

use super::{
    ACCESS_SECONDS, Claims, Client, ErrorCode, OAuthError, OAuthScopes, Profile, SignedIn,
    records::CodeRecord, refused,
};
use crate::{
    Core,
    auth::{
        Origin, Secret,
        token::{self, Presented, TokenId},
    },
    directory::{AccountRecord, DirectoryError, Granted, NewGrant, Refreshed, Spend},
};

/// RFC 7636 §4.1.
const VERIFIER_CHARACTERS: std::ops::RangeInclusive<usize> = 43..=128;

/// How a client says who it is (RFC 6749 §2.3.1).
#[derive(Clone, Debug, Default)]
pub struct ClientProof {
    pub id: String,
    /// `None`: it is a public client.
    pub secret: Option<Secret<String>>,
}

/// RFC 6749 §5.1, OpenID Connect Core §3.1.3.3.
#[derive(Clone, Debug)]
pub struct TokenResponse {
    pub access_token: Secret<String>,
    /// Seconds.
    pub expires_in: i64,
    pub refresh_token: Option<Secret<String>>,
    pub scopes: OAuthScopes,
    pub id_token: Option<String>,
}

/// What there is to know of a token that is good.
#[derive(Clone, Debug)]
pub struct TokenInfo {
    pub client: String,
    pub scopes: OAuthScopes,
    /// Seconds since 1970.
    pub expires: i64,
    pub is_refresh: bool,
    pub profile: Profile,
    account: AccountId,
    credential: u64,
    id: TokenId,
}

/// What a token of an ID is about, beside the person.
struct Session<'s> {
    issuer: &'s str,
    nonce: Option<&'s str>,
    authenticated: i64,
}

impl Core {
    /// Whether a client is who it says it is.
    pub async fn authenticate_client(&self, proof: &ClientProof) -> Result<Client, OAuthError> {
        let why = "the client is not known, or its secret is wrong";
        let client = self.client(&proof.id).await?;
        let is_right = |client: &Client| match &proof.secret {
            Some(secret) => client.is_secret(secret),
            None => client.is_public(),
        };
        let client = client.filter(is_right);
        client.ok_or(OAuthError::Refused(ErrorCode::InvalidClient, why))
    }

    /// Takes an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5). `issuer`: the server, as the client knows it.
    pub async fn redeem_code(
        &self,
        client: &Client,
        (code, verifier): (&Secret<String>, &Secret<String>),
        redirect_uri: &str,
        (issuer, origin): (&str, &Origin),
    ) -> Result<TokenResponse, OAuthError> {
        let wrong = || {
            refused(
                ErrorCode::InvalidGrant,
                "the code is wrong, or its time is over",
            )
        };
        let Some(presented) = token::parse_bearer(code.expose()) else {
            return wrong();
        };
        let key = keys::oauth_pending(Pending::Code, &presented.id.0);
        let Some((record, bytes)) = self.pending::<CodeRecord>(&key).await? else {
            return wrong();
        };
        if !record.kept.is(&presented) || record.client != client.id {
            return wrong();
        }
        let account = AccountId::new(record.account);
        if let Some(number) = record.grant {
            tracing::warn!(client = ?client.record.name, "an authorization code was used again; the grant ends");
            self.end_grant(account, number).await?;
            return wrong();
        }
        if record.redirect_uri != redirect_uri {
            let why = "redirect_uri is not the one that the code was asked for with";
            return refused(ErrorCode::InvalidGrant, why);
        }
        if !is_verifier(verifier, &record.challenge) {
            let why = "code_verifier doesn't fit";
            return refused(ErrorCode::InvalidGrant, why);
        }
        let who = SignedIn {
            account,
            name: String::new(),
            authenticated: record.authenticated,
            passkey: record.passkey,
        };
        if record.expires <= self.clock.now().0 || self.still_good(&who).await?.is_none() {
            return wrong();
        }
        let new = NewGrant {
            account,
            client,
            scopes: record.scopes,
            authenticated: record.authenticated,
            origin,
        };
        let spend = |batch: &mut Batch, number: u64| {
            let used = CodeRecord {
                grant: Some(number),
                ..record.clone()
            };
            spend_row(batch, &key, &bytes);
            batch.put(key.clone(), used.to_bytes());
        };
        let granted = self.granted(&new, &spend).await?;
        let session = Session {
            issuer,
            nonce: record.nonce.as_deref(),
            authenticated: record.authenticated,
        };
        self.token_response(client, granted, session).await
    }

    /// Makes a grant of something that is used up by it, unless somebody else was faster.
    pub(super) async fn granted(
        &self,
        new: &NewGrant<'_>,
        spend: &Spend<'_>,
    ) -> Result<Granted, OAuthError> {
        match self.add_grant(new, spend).await {
            Ok(granted) => Ok(granted),
            Err(DirectoryError::Store(store::Error::Conflict)) => {
                refused(ErrorCode::InvalidGrant, "the code was used already")
            }
            Err(
                DirectoryError::Forbidden
                | DirectoryError::NotFound(_)
                | DirectoryError::TooMany(_),
            ) => refused(ErrorCode::InvalidGrant, "the account takes no more tokens"),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a refresh token (RFC 6749 §6).
    pub async fn refresh(
        &self,
        client: &Client,
        refresh_token: &Secret<String>,
        scope: Option<&str>,
        issuer: &str,
    ) -> Result<TokenResponse, OAuthError> {
        let wrong = || {
            let why = "the refresh token is wrong, was used before, or its time is over";
            refused(ErrorCode::InvalidGrant, why)
        };
        let Some(presented) = token::parse_bearer(refresh_token.expose()) else {
            return wrong();
        };
        let scopes = scope.map(OAuthScopes::parse);
        match self.refresh_grant(client, &presented, scopes).await? {
            Refreshed::Granted(granted, authenticated) => {
                let session = Session {
                    issuer,
                    nonce: None,
                    authenticated,
                };
                self.token_response(client, granted, session).await
            }
            Refreshed::Wrong | Refreshed::Reused => wrong(),
            Refreshed::TooMuch => {
                let why = "scope is more than was granted";
                refused(ErrorCode::InvalidScope, why)
            }
        }
    }

    async fn token_response(
        &self,
        client: &Client,
        granted: Granted,
        session: Session<'_>,
    ) -> Result<TokenResponse, OAuthError> {
        let id_token = match granted.scopes.contains(OAuthScopes::OPENID) {
            true => {
                let claims = Claims {
                    issuer: session.issuer,
                    client: &client.id,
                    nonce: session.nonce,
                    authenticated: session.authenticated,
                    access_token: granted.access.expose(),
                };
                let profile = profile(granted.id, &granted.account);
                Some(self.id_token(&claims, &profile, granted.scopes).await?)
            }
            false => None,
        };
        Ok(TokenResponse {
            access_token: granted.access,
            expires_in: ACCESS_SECONDS,
            refresh_token: granted.refresh,
            scopes: granted.scopes,
            id_token,
        })
    }

    /// The tokens of a device that was let in.
    pub(super) async fn device_response(
        &self,
        client: &Client,
        new: &NewGrant<'_>,
        granted: Granted,
        issuer: &str,
    ) -> Result<TokenResponse, OAuthError> {
        let session = Session {
            issuer,
            nonce: None,
            authenticated: new.authenticated,
        };
        self.token_response(client, granted, session).await
    }

    /// What there is to know of a token of a grant. `None`: it is none, or is good no more.
    pub async fn token_info(&self, text: &str) -> Result<Option<TokenInfo>, OAuthError> {
        let Some(presented) = token::parse_bearer(text) else {
            return Ok(None);
        };
        self.look_at_directory().await?;
        self.info_of(&presented).await
    }

    async fn info_of(
        &self,
        presented: &Presented<TokenId>,
    ) -> Result<Option<TokenInfo>, OAuthError> {
        let Some((account, credential, record)) = self.grant_of(presented.id).await? else {
            return Ok(None);
        };
        let Some(grant) = record.grant else {
            return Ok(None);
        };
        let of_account = self.account_record(account).await?;
        let Some(of_account) = of_account.filter(|account| !account.disabled) else {
            return Ok(None);
        };
        let access = grant.access.iter().find(|token| token.kept.is(presented));
        let refresh = grant.refresh.as_ref().filter(|kept| kept.is(presented));
        let (scopes, expires, is_refresh) = match (access, refresh) {
            (Some(token), _) => (token.scopes, token.expires, false),
            (None, Some(_)) => (grant.scopes, record.expires.unwrap_or(0), true),
            (None, None) => return Ok(None),
        };
        let is_good = expires > self.clock.now().0;
        Ok(is_good.then(|| TokenInfo {
            client: grant.client,
            scopes,
            expires: expires.div_euclid(1000),
            is_refresh,
            profile: profile(account, &of_account),
            account,
            credential,
            id: presented.id,
        }))
    }

    /// RFC 7662 §2. A client that an administrator has made, and that has a secret, may ask about all tokens; others about theirs.
    pub async fn introspect(
        &self,
        client: &Client,
        text: &str,
    ) -> Result<Option<TokenInfo>, OAuthError> {
        let asks_for_others = !client.is_public() && !client.record.is_dynamic;
        let info = self.token_info(text).await?;
        Ok(info.filter(|info| asks_for_others || info.client == client.id))
    }

    /// RFC 7009 §2: with a refresh token goes all of its grant. It is no error if the token is none.
    pub async fn revoke_token(&self, client: &Client, text: &str) -> Result<(), OAuthError> {
        let info = self.token_info(text).await?;
        let Some(info) = info.filter(|info| info.client == client.id) else {
            return Ok(());
        };
        match info.is_refresh {
            true => self.end_grant(info.account, info.credential).await?,
            false => {
                self.end_access_token(info.account, info.credential, info.id)
                    .await?;
            }
        }
        Ok(())
    }
}

/// The row is as it was read, or nothing happens.
pub(super) fn spend_row(batch: &mut Batch, key: &[u8], bytes: &Bytes) {
    batch.assert(Assertion::Equals(key.to_vec(), bytes.clone()));
}

/// RFC 7636 §4.6.
fn is_verifier(verifier: &Secret<String>, challenge: &str) -> bool {
    let verifier = verifier.expose();
    if !VERIFIER_CHARACTERS.contains(&verifier.len()) {
        return false;
    }
    let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
    let wanted = BASE64_URL_SAFE_NO_PAD.encode(hash.as_ref());
    wanted.as_bytes().ct_eq(challenge.as_bytes()).into()
}

/// What may be told of an account.
fn profile(id: AccountId, record: &AccountRecord) -> Profile {
    let is_address = |name: &&String| name.contains('@');
    let email = Some(&record.name).filter(is_address);
    Profile {
        subject: id.to_string(),
        login: record.name.clone(),
        email: email.or(record.addresses.first()).cloned(),
        name: (!record.description.is_empty()).then(|| record.description.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn verifiers() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let of = |text: &str| is_verifier(&Secret::from(text), challenge);
        assert!(of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"));
        assert!(!of(challenge));
        assert!(!of(""));
    }
}
