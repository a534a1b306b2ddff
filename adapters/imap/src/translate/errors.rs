//! Errors of the core -> NO, with a response code and a sentence.
//!
//! Holds: exhaustive, so that a new error does not compile until it is mapped; no host, path or key goes to a client.
//! Other half: `encode::Code`.

use jmap_core::auth::AuthError;
use jmap_core::inproc::imap_view::ViewError;
use jmap_types::{MethodError, MethodErrorKind, SetError, SetErrorKind};
use net::Refusal;

use crate::encode::Code;
use crate::translate::names::NameError;

/// What a client is told that is not let in.
pub fn refusal(why: Refusal) -> (Code, &'static str) {
    match why {
        Refusal::Total => (Code::Unavailable, "Too many connections; try again later"),
        Refusal::PerClient => (
            Code::Limit,
            "Too many connections from your address; try again later",
        ),
        Refusal::Banned => (Code::Unavailable, "Your address is banned for now"),
        Refusal::Rate => (
            Code::Limit,
            "Connections from your address come too fast; try again later",
        ),
    }
}

pub fn auth_error(error: &AuthError) -> (Code, String) {
    match error {
        AuthError::Invalid => (Code::AuthenticationFailed, error.to_string()),
        // RFC 5530 §3: it was right, and is so no more.
        AuthError::Expired => (Code::Expired, error.to_string()),
        AuthError::OutOfScope => (Code::AuthorizationFailed, error.to_string()),
        // RFC 9051 §7.1: people have to see what they can do about it.
        AuthError::SecondFactor => (Code::Alert, error.to_string()),
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
        ViewError::AnnotationTooLarge(max) => Code::MetadataMaxSize(*max),
        ViewError::TooManyAnnotations => Code::MetadataTooMany,
        ViewError::Limit(_) => Code::Limit,
        ViewError::Unavailable => Code::Unavailable,
        ViewError::Failed => Code::ServerBug,
    };
    (Some(code), error.to_string())
}

/// What a whole call failed with.
pub fn method_error(error: &MethodError) -> (Option<Code>, String) {
    let (code, text) = match error.kind {
        MethodErrorKind::ServerUnavailable => {
            (Code::Unavailable, "The server can't do it at the moment")
        }
        MethodErrorKind::Forbidden | MethodErrorKind::AccountReadOnly => {
            (Code::NoPerm, "You may not do that")
        }
        MethodErrorKind::AccountNotFound | MethodErrorKind::FromAccountNotFound => {
            (Code::NonExistent, "There is no such mailbox")
        }
        MethodErrorKind::RequestTooLarge | MethodErrorKind::TooManyChanges => {
            (Code::Limit, "It is too much at once")
        }
        MethodErrorKind::StateMismatch => {
            (Code::Unavailable, "It has changed meanwhile; try again")
        }
        MethodErrorKind::ServerFail
        | MethodErrorKind::ServerPartialFail
        | MethodErrorKind::UnknownMethod
        | MethodErrorKind::InvalidArguments
        | MethodErrorKind::InvalidResultReference
        | MethodErrorKind::AccountNotSupportedByMethod
        | MethodErrorKind::CannotCalculateChanges
        | MethodErrorKind::AnchorNotFound
        | MethodErrorKind::UnsupportedSort
        | MethodErrorKind::UnsupportedFilter
        | MethodErrorKind::FromAccountNotSupportedByMethod
        | MethodErrorKind::UnknownDataType => (Code::ServerBug, "The server failed"),
    };
    (Some(code), text.to_owned())
}

/// What one mailbox could not be made, changed or removed for.
pub fn set_error(error: &SetError) -> (Option<Code>, String) {
    let (code, text) = match error.kind {
        SetErrorKind::Forbidden => (Code::NoPerm, "You may not do that"),
        SetErrorKind::OverQuota => (Code::OverQuota, "There is no room for it"),
        SetErrorKind::TooLarge => (Code::TooBig, "It is too large"),
        SetErrorKind::RateLimit => (Code::Limit, "It is too much at once; try again later"),
        SetErrorKind::NotFound => (Code::NonExistent, "There is no such mailbox"),
        SetErrorKind::AlreadyExists => (Code::AlreadyExists, "There is such a mailbox already"),
        SetErrorKind::MailboxHasChild => (Code::HasChildren, "The mailbox has others below it"),
        SetErrorKind::MailboxHasEmail => (Code::Cannot, "The mailbox is not empty"),
        SetErrorKind::InvalidProperties if error.properties.iter().any(|name| name == "role") => {
            (Code::UseAttr, "The special use can't be given")
        }
        SetErrorKind::InvalidProperties | SetErrorKind::InvalidPatch => {
            (Code::Cannot, "It can't be done")
        }
        SetErrorKind::TooManyKeywords | SetErrorKind::TooManyMailboxes => {
            (Code::Limit, "It is too much")
        }
        SetErrorKind::WillDestroy
        | SetErrorKind::Singleton
        | SetErrorKind::BlobNotFound
        | SetErrorKind::InvalidEmail
        | SetErrorKind::TooManyRecipients
        | SetErrorKind::NoRecipients
        | SetErrorKind::InvalidRecipients
        | SetErrorKind::ForbiddenMailFrom
        | SetErrorKind::ForbiddenFrom
        | SetErrorKind::ForbiddenToSend
        | SetErrorKind::CannotUnsend
        | SetErrorKind::MdnAlreadySent
        | SetErrorKind::InvalidSieve
        | SetErrorKind::SieveIsActive
        | SetErrorKind::ServerFail => (Code::ServerBug, "The server failed"),
    };
    let described = error.description.as_deref();
    let described = described.filter(|_| error.kind != SetErrorKind::ServerFail);
    (Some(code), described.unwrap_or(text).to_owned())
}

/// What a name can't be given for.
pub fn name_error(error: &NameError) -> (Option<Code>, String) {
    let code = match error {
        NameError::Exists => Code::AlreadyExists,
        NameError::Levels | NameError::Escape => Code::Cannot,
        NameError::NoAccount => Code::NoPerm,
    };
    (Some(code), error.to_string())
}
