//! Other programs get at an account without its password: OAuth 2.0 (RFC 6749, RFC 9700) and OpenID Connect, the server's side.
//!
//! Holds: codes and tokens are kept as hashes, and good for one client; a code is good once, and so is a refresh token: whoever
//! comes with one that was used before ends the grant; whatever strangers can make grow is bounded.
//! Other half: `directory::grants` keeps what people have granted; `adapters/oauth` has the addresses and the pages.

mod authorize;
mod clients;
mod device;
mod id_token;
mod key;
mod limit;
mod pending;
pub mod records;
mod scopes;
mod sign_in;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use parking_lot::Mutex;

pub use authorize::{Authorization, AuthorizationError, AuthorizationRequest};
pub use clients::{Client, NewClient, NewlyRegistered};
pub use device::{DeviceBegun, DeviceRequest};
pub use id_token::{Claims, Profile};
pub use key::ROW as KEY_ROW;
pub(crate) use key::is_key;
pub use records::ClientRecord;
pub use scopes::OAuthScopes;
pub use sign_in::{SignInStep, SignedIn};
pub use tokens::{ClientProof, TokenInfo, TokenResponse};

use crate::directory::DirectoryError;

/// Seconds that an authorization code is good for (RFC 6749 §4.1.2: at most ten minutes).
pub const CODE_SECONDS: i64 = 60;
/// Seconds that an access token is good for.
pub const ACCESS_SECONDS: i64 = 3600;
/// Seconds that a grant lives without its refresh token being used.
pub const REFRESH_SECONDS: i64 = 90 * 86_400;
/// Seconds that somebody has to enter the code of a device (RFC 8628 §3.2).
pub const DEVICE_SECONDS: i64 = 900;
/// Seconds between two questions of a device.
pub const DEVICE_INTERVAL_SECONDS: i64 = 5;
/// Access tokens of one grant: of more, the oldest goes.
pub const ACCESS_TOKENS_MAX: usize = 8;
/// Grants of one account: of more, the one goes that was not used for the longest time.
pub const GRANTS_PER_ACCOUNT_MAX: usize = 40;
/// Clients of one server that administrators have made, and those that have registered themselves: neither takes the room of the others.
pub const CLIENTS_MAX: usize = 5_000;
pub const DYNAMIC_CLIENTS_MAX: usize = 5_000;
/// Octets that are kept of a client that has registered itself.
pub const REGISTRATION_OCTETS_MAX: usize = 4 << 10;
/// Codes of people and devices that are under way.
pub const PENDING_MAX: usize = 10_000;
/// Codes of one account that wait to be used.
pub const OPEN_CODES_PER_ACCOUNT_MAX: usize = 20;
/// Codes of one account that were used and are known for a while: of more, the oldest are forgotten.
pub const SPENT_CODES_PER_ACCOUNT_MAX: usize = 100;
/// Redirection URIs of one client.
pub const REDIRECT_URIS_MAX: usize = 10;
/// Octets of a URI, a state or a nonce.
pub const TEXT_OCTETS_MAX: usize = 2048;
/// Characters of a client's name.
pub const NAME_CHARACTERS_MAX: usize = 100;

/// The words for errors: RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, RFC 7591 §3.2.2, RFC 8628 §3.5, OpenID Connect Core §3.1.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    AccessDenied,
    LoginRequired,
    AuthorizationPending,
    SlowDown,
    ExpiredToken,
    InvalidToken,
    InsufficientScope,
    InvalidRedirectUri,
    InvalidClientMetadata,
    TemporarilyUnavailable,
    ServerError,
}

impl ErrorCode {
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// Why a client gets nothing.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    #[error("{1}")]
    Refused(ErrorCode, &'static str),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl OAuthError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(code, _) => *code,
            Self::Directory(DirectoryError::Store(_) | DirectoryError::Busy) => {
                ErrorCode::TemporarilyUnavailable
            }
            Self::Directory(_) => ErrorCode::ServerError,
        }
    }
}

impl From<store::Error> for OAuthError {
    fn from(error: store::Error) -> Self {
        Self::Directory(error.into())
    }
}

impl From<store::engine::EngineError> for OAuthError {
    fn from(error: store::engine::EngineError) -> Self {
        Self::Directory(error.into())
    }
}

pub(crate) fn refused<T>(code: ErrorCode, why: &'static str) -> Result<T, OAuthError> {
    Err(OAuthError::Refused(code, why))
}

/// What a process has of it.
#[derive(Debug, Default)]
pub(crate) struct OAuth {
    key: Mutex<Option<Arc<key::SigningKey>>>,
    limits: limit::Limits,
    polls: device::Polls,
}
