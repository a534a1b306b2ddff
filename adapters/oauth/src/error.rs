//! Errors: for clients as JSON (RFC 6749 §5.2, RFC 6750 §3, RFC 7591 §3.2.2), for people as sentences.
//!
//! Holds: no cause of the store is told to anybody.
//! Other half: `jmap_core::auth::oauth::ErrorCode` has the words.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use jmap_core::auth::{
    AuthError,
    oauth::{ErrorCode, OAuthError},
};
use serde_json::json;

use crate::serve;

/// How long a client waits that found the server busy.
const BUSY_SECONDS: &str = "60";

/// An error on its way to a client.
#[derive(Debug)]
pub struct Refusal {
    pub code: ErrorCode,
    pub why: String,
    /// The scheme that the client has used, or may use.
    pub challenge: Option<String>,
}

impl Refusal {
    pub fn new(code: ErrorCode, why: &str) -> Refusal {
        Refusal {
            code,
            why: why.to_owned(),
            challenge: None,
        }
    }

    pub fn invalid(why: &str) -> Refusal {
        Refusal::new(ErrorCode::InvalidRequest, why)
    }

    pub fn status(&self) -> StatusCode {
        match self.code {
            ErrorCode::InvalidClient | ErrorCode::InvalidToken => StatusCode::UNAUTHORIZED,
            ErrorCode::InsufficientScope => StatusCode::FORBIDDEN,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::InvalidRequest
            | ErrorCode::InvalidGrant
            | ErrorCode::UnsupportedGrantType
            | ErrorCode::UnsupportedResponseType
            | ErrorCode::InvalidScope
            | ErrorCode::AccessDenied
            | ErrorCode::LoginRequired
            | ErrorCode::AuthorizationPending
            | ErrorCode::SlowDown
            | ErrorCode::ExpiredToken
            | ErrorCode::InvalidRedirectUri
            | ErrorCode::InvalidClientMetadata => StatusCode::BAD_REQUEST,
        }
    }

    pub fn into_response(self) -> Response<Bytes> {
        let body = json!({"error": self.code.name(), "error_description": self.why});
        let mut response = serve::json(self.status(), &body);
        let headers = response.headers_mut();
        if let Some(Ok(challenge)) = self.challenge.as_deref().map(HeaderValue::from_str) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.code == ErrorCode::TemporarilyUnavailable {
            let wait = HeaderValue::from_static(BUSY_SECONDS);
            headers.insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Refusal {
        let code = error.code();
        match error {
            OAuthError::Refused(_, why) => Refusal::new(code, why),
            OAuthError::Directory(error) => {
                tracing::error!(%error, "a request of an OAuth client failed");
                Refusal::new(code, "the server can't do it at the moment")
            }
        }
    }
}

/// Why somebody could not sign in.
pub fn sentence(error: &AuthError) -> String {
    match error {
        AuthError::Invalid => "The address or the password is wrong.".to_owned(),
        AuthError::Expired => "It took too long. Sign in again.".to_owned(),
        AuthError::OutOfScope => {
            "Sign in with the password of the account, not with one of an app.".to_owned()
        }
        AuthError::SecondFactor => "A code is needed.".to_owned(),
        AuthError::Disabled => "This account is disabled.".to_owned(),
        AuthError::TooManyAttempts { retry_after } => {
            let seconds = retry_after.as_secs().max(1);
            format!("There were too many failed attempts. Try again in {seconds} seconds.")
        }
        AuthError::TooBusy | AuthError::Unavailable => {
            "The server can't do it at the moment. Try again shortly.".to_owned()
        }
    }
}
