//! Errors of the core -> NO, with a response code and a sentence.
//!
//! Holds: exhaustive, so that a new error does not compile until it is mapped; no host, path or key goes to a client.
//! Other half: `encode::Code`.

use jmap_core::auth::AuthError;
use jmap_core::inproc::imap_view::ViewError;
use net::Refusal;

use crate::encode::Code;

/// What a client is told that is not let in.
pub fn refusal(why: Refusal) -> (Code, &'static str) {
    match why {
        Refusal::Total => (Code::Unavailable, "Too many connections; try again later"),
        Refusal::PerClient => (
            Code::Limit,
            "Too many connections from your address; try again later",
        ),
        Refusal::Rate => (
            Code::Limit,
            "Connections from your address come too fast; try again later",
        ),
    }
}

pub fn auth_error(error: &AuthError) -> (Code, String) {
    match error {
        AuthError::Invalid => (Code::AuthenticationFailed, error.to_string()),
        AuthError::TooManyAttempts { .. } => (Code::Limit, error.to_string()),
        AuthError::Disabled => (Code::AuthorizationFailed, error.to_string()),
        AuthError::TooBusy | AuthError::Unavailable => (Code::Unavailable, error.to_string()),
    }
}

pub fn view_error(error: &ViewError) -> (Option<Code>, String) {
    let code = match error {
        ViewError::NoSuchMailbox => Code::NonExistent,
        ViewError::AlreadyExists => Code::AlreadyExists,
        ViewError::HasChildren => Code::HasChildren,
        ViewError::Forbidden(_) => Code::NoPerm,
        ViewError::Invalid(_) => Code::Cannot,
        ViewError::OverQuota => Code::OverQuota,
        // RFC 7889 §5.1
        ViewError::TooLarge(_) => Code::TooBig,
        ViewError::Limit(_) => Code::Limit,
        ViewError::Unavailable => Code::Unavailable,
        ViewError::Failed => Code::ServerBug,
    };
    (Some(code), error.to_string())
}
