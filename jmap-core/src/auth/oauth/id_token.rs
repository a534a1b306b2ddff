//! ID tokens, and what a client is told of a person (OpenID Connect Core §2, §5).
//!
//! Holds: a client is told what its scopes say, and no more.
//! Other half: `key` signs.

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{ACCESS_SECONDS, OAuthError, OAuthScopes, TokenInfo, refused};
use crate::{Core, auth::oauth::ErrorCode};

/// What an ID token is about.
#[derive(Clone, Debug)]
pub struct Claims<'c> {
    /// The server, as the client knows it.
    pub issuer: &'c str,
    pub client: &'c str,
    pub nonce: Option<&'c str>,
    /// When the person signed in, in seconds since 1970.
    pub authenticated: i64,
    pub access_token: &'c str,
}

/// What a client is told of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The id of the account: it stays whatever the person is called.
    pub subject: String,
    pub login: String,
    pub email: Option<String>,
    pub name: Option<String>,
}

impl Profile {
    /// OpenID Connect Core §5.1.
    pub fn members(&self, scopes: OAuthScopes) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("sub".into(), json!(self.subject));
        if scopes.contains(OAuthScopes::EMAIL)
            && let Some(email) = &self.email
        {
            members.insert("email".into(), json!(email));
            // It is this server that the mail goes to.
            members.insert("email_verified".into(), json!(true));
        }
        if scopes.contains(OAuthScopes::PROFILE) {
            members.insert("preferred_username".into(), json!(self.login));
            if let Some(name) = &self.name {
                members.insert("name".into(), json!(name));
            }
        }
        members
    }
}

impl Core {
    /// Signs an ID token.
    pub(super) async fn id_token(
        &self,
        claims: &Claims<'_>,
        profile: &Profile,
        scopes: OAuthScopes,
    ) -> Result<String, OAuthError> {
        let now = self.clock.now().seconds();
        let mut members = profile.members(scopes);
        members.insert("iss".into(), json!(claims.issuer));
        members.insert("aud".into(), json!(claims.client));
        members.insert("iat".into(), json!(now));
        members.insert("exp".into(), json!(now + ACCESS_SECONDS));
        members.insert("auth_time".into(), json!(claims.authenticated));
        // OpenID Connect Core §3.1.3.6: the left half of the hash.
        let hash = digest::digest(&digest::SHA256, claims.access_token.as_bytes());
        let half = hash.as_ref().get(..16).unwrap_or_default();
        members.insert("at_hash".into(), json!(BASE64_URL_SAFE_NO_PAD.encode(half)));
        if let Some(nonce) = claims.nonce {
            members.insert("nonce".into(), json!(nonce));
        }
        let key = self.id_token_key().await?;
        let signed = key.sign(&Value::Object(members).to_string());
        signed.ok_or(OAuthError::Refused(
            ErrorCode::ServerError,
            "the ID token can't be signed",
        ))
    }

    /// What the holder of an access token is told of its person (OpenID Connect Core §5.3).
    pub async fn userinfo(&self, token: &TokenInfo) -> Result<Map<String, Value>, OAuthError> {
        if !token.scopes.contains(OAuthScopes::OPENID) {
            let why = "the token was not asked for with the scope openid";
            return refused(ErrorCode::InsufficientScope, why);
        }
        Ok(token.profile.members(token.scopes))
    }
}
