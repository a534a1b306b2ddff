//! A client asks a person for access: the authorization endpoint (RFC 6749 §4.1, RFC 7636, RFC 9207).
//!
//! Holds: nobody is sent to an address that the client hasn't registered, also with an error, nor to that of a client that has registered
//! itself, before they have decided; without S256 of PKCE there is no
//! code; a code goes to whoever has asked for it.
//! Other half: `tokens` takes the code; `adapters/oauth` has the pages.

use std::time::Duration;

use store::{
    Record as _,
    engine::Batch,
    keys::{self, Pending},
};

use super::{
    CODE_SECONDS, Client, ErrorCode, OAuthError, OAuthScopes, SignedIn, TEXT_OCTETS_MAX,
    records::{CodeRecord, Kept},
    refused,
};
use crate::{
    Core,
    auth::{Secret, token},
};

/// Characters of a challenge: 32 octets as base64url.
const CHALLENGE_CHARACTERS: usize = 43;

/// What a client has sent a person here with, as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizationRequest {
    pub response_type: Option<String>,
    pub response_mode: Option<String>,
    pub client_id: Option<String>,
    pub redirect_uri: Option<String>,
    pub scope: Option<String>,
    pub state: Option<String>,
    pub code_challenge: Option<String>,
    pub code_challenge_method: Option<String>,
    pub nonce: Option<String>,
    pub prompt: Option<String>,
    /// A request object (OpenID Connect Core §6), or where there is one: not taken here.
    pub request: Option<String>,
}

/// The same, once it is sound.
#[derive(Clone, Debug)]
pub struct Authorization {
    pub client: Client,
    pub redirect_uri: String,
    pub scopes: OAuthScopes,
    pub state: Option<String>,
    challenge: String,
    nonce: Option<String>,
}

/// Why it isn't.
#[derive(Debug)]
pub enum AuthorizationError {
    /// The person is told: there is nowhere to send them.
    Shown(&'static str),
    /// The client is told.
    Sent {
        redirect_uri: String,
        state: Option<String>,
        code: ErrorCode,
        why: &'static str,
    },
    Failed(OAuthError),
}

impl Core {
    /// Looks at what a client has sent a person here with.
    pub async fn check_authorization(
        &self,
        request: &AuthorizationRequest,
    ) -> Result<Authorization, AuthorizationError> {
        use AuthorizationError::{Failed, Shown};
        let id = request.client_id.as_deref().unwrap_or_default();
        let client = self
            .client(id)
            .await
            .map_err(|error| Failed(error.into()))?;
        let client = client.ok_or(Shown("The program is not known here."))?;
        let redirect_uri = request.redirect_uri.clone();
        let redirect_uri = redirect_uri.filter(|uri| client.has_redirect_uri(uri));
        let redirect_uri = redirect_uri.ok_or(Shown(
            "The program wants you to be sent to an address that it has not registered.",
        ))?;
        // RFC 9700 §4.11.2: anybody can register a client, and have its address opened by a link to this server.
        let sent = |code, why| match client.record.is_dynamic {
            true => Shown(why),
            false => AuthorizationError::Sent {
                redirect_uri: redirect_uri.clone(),
                state: request.state.clone(),
                code,
                why,
            },
        };
        let texts = [&request.state, &request.nonce];
        let is_long = |text: &&Option<String>| {
            text.as_ref()
                .is_some_and(|text| text.len() > TEXT_OCTETS_MAX)
        };
        if texts.iter().any(is_long) {
            return Err(Shown("The program has sent more than there may be."));
        }
        match request.response_type.as_deref() {
            Some("code") => {}
            Some(_) => {
                let why = "response_type has to be code";
                return Err(sent(ErrorCode::UnsupportedResponseType, why));
            }
            None => return Err(sent(ErrorCode::InvalidRequest, "response_type is missing")),
        }
        if !matches!(request.response_mode.as_deref(), None | Some("query")) {
            let why = "response_mode has to be query";
            return Err(sent(ErrorCode::InvalidRequest, why));
        }
        if request.request.is_some() {
            let why = "request objects are not taken";
            return Err(sent(ErrorCode::InvalidRequest, why));
        }
        // RFC 9700 §2.1.1.
        if request.code_challenge_method.as_deref() != Some("S256") {
            let why = "code_challenge_method has to be S256";
            return Err(sent(ErrorCode::InvalidRequest, why));
        }
        let challenge = request.code_challenge.clone().filter(|challenge| {
            challenge.len() == CHALLENGE_CHARACTERS
                && challenge
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
        });
        let why = "code_challenge is missing, or isn't one of S256";
        let challenge = challenge.ok_or_else(|| sent(ErrorCode::InvalidRequest, why))?;
        let scopes = OAuthScopes::parse(request.scope.as_deref().unwrap_or_default());
        if scopes.is_empty() {
            let why = "scope names nothing that can be granted";
            return Err(sent(ErrorCode::InvalidScope, why));
        }
        // Somebody has to sign in each time.
        if request.prompt.as_deref() == Some("none") {
            let why = "nobody is signed in";
            return Err(sent(ErrorCode::LoginRequired, why));
        }
        Ok(Authorization {
            client,
            redirect_uri: redirect_uri.clone(),
            scopes,
            state: request.state.clone(),
            challenge,
            nonce: request.nonce.clone(),
        })
    }

    /// The person has agreed: the code (RFC 6749 §4.1.2).
    pub async fn authorize(
        &self,
        of: &Authorization,
        who: &SignedIn,
    ) -> Result<Secret<String>, OAuthError> {
        if self.still_good(who).await?.is_none() {
            return refused(ErrorCode::AccessDenied, "the account can't be used");
        }
        let mut batch = Batch::new();
        self.has_room_for_code(&mut batch, who.account).await?;
        let minted = token::mint_bearer(&*self.rng);
        let lifetime = Duration::from_secs(CODE_SECONDS as u64);
        let record = CodeRecord {
            kept: Kept::of(&minted),
            client: of.client.id.clone(),
            redirect_uri: of.redirect_uri.clone(),
            scopes: of.scopes,
            account: who.account.number(),
            authenticated: who.authenticated,
            challenge: of.challenge.clone(),
            nonce: of.nonce.clone(),
            expires: self.clock.now().saturating_add(lifetime).0,
            grant: None,
            passkey: who.passkey,
        };
        let key = keys::oauth_pending(Pending::Code, &minted.id.0);
        batch.put(key, record.to_bytes());
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        Ok(minted.text)
    }
}
