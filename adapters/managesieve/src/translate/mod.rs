//! Core <-> ManageSieve: errors as responses (RFC 5804 §1.3), credentials.
//!
//! Holds: every variant of every error is written out, so that a new one does not compile until it has its response.
//! Other half: `encode`, which writes the responses.

use std::net::{IpAddr, Ipv4Addr};

use jmap_core::auth::{AuthError, Credentials, Origin, Protocol, Secret};
use jmap_core::blob::BlobError;
use jmap_types::{MethodError, SetError, SetErrorKind};
use net::Refusal;
use net::sasl::{self, SaslError};

use crate::encode::{Code, Reply};
use crate::parse::ParseError;

/// Why octets were not understood.
pub fn parse_error(error: ParseError) -> Reply {
    match error {
        ParseError::UnknownCommand => Reply::no("There is no such command"),
        ParseError::Syntax(syntax) => Reply::no(format!("Syntax: {syntax}")),
        ParseError::NotUtf8 => Reply::no("That is not UTF-8"),
    }
}

pub fn temporary_failure() -> Reply {
    Reply::no("The server has a temporary failure; try again later").coded(Code::TryLater)
}

pub fn no_such_script() -> Reply {
    Reply::no("There is no such script").coded(Code::NonExistent)
}

pub fn too_large() -> Reply {
    Reply::no("The script is too large").coded(Code::QuotaMaxSize)
}

/// Why a method was not carried out.
pub fn method_error(error: &MethodError) -> Reply {
    tracing::warn!(%error, "a method failed");
    temporary_failure()
}

pub fn blob_error(error: &BlobError) -> Reply {
    match error {
        BlobError::TooLarge { .. } => too_large(),
        BlobError::NotFound => no_such_script(),
        BlobError::Account(_) | BlobError::Store(_) => temporary_failure(),
    }
}

/// Why a script was not changed.
pub fn set_error(error: &SetError) -> Reply {
    let described = |text: &'static str| match &error.description {
        Some(description) => Reply::no(description.clone()),
        None => Reply::no(text),
    };
    match error.kind {
        SetErrorKind::AlreadyExists => {
            Reply::no("There is such a script already").coded(Code::AlreadyExists)
        }
        SetErrorKind::NotFound => no_such_script(),
        SetErrorKind::TooLarge => too_large(),
        SetErrorKind::OverQuota => {
            described("There are too many scripts").coded(Code::QuotaMaxScripts)
        }
        SetErrorKind::SieveIsActive => Reply::no("The script is active").coded(Code::Active),
        SetErrorKind::InvalidSieve => described("The script is wrong"),
        SetErrorKind::InvalidProperties | SetErrorKind::InvalidPatch => {
            described("The name is not allowed")
        }
        SetErrorKind::Forbidden => described("You may not do that"),
        SetErrorKind::RateLimit => described("It is too much at once").coded(Code::TryLater),
        SetErrorKind::WillDestroy
        | SetErrorKind::Singleton
        | SetErrorKind::MailboxHasChild
        | SetErrorKind::MailboxHasEmail
        | SetErrorKind::BlobNotFound
        | SetErrorKind::TooManyKeywords
        | SetErrorKind::TooManyMailboxes
        | SetErrorKind::InvalidEmail
        | SetErrorKind::TooManyRecipients
        | SetErrorKind::NoRecipients
        | SetErrorKind::InvalidRecipients
        | SetErrorKind::ForbiddenMailFrom
        | SetErrorKind::ForbiddenFrom
        | SetErrorKind::ForbiddenToSend
        | SetErrorKind::CannotUnsend
        | SetErrorKind::MdnAlreadySent
        | SetErrorKind::ServerFail => temporary_failure(),
    }
}

/// What was wrong with an exchange of SASL.
pub fn sasl_error(error: SaslError) -> Reply {
    match error {
        SaslError::Cancelled => Reply::no("Authentication cancelled"),
        SaslError::Base64 => Reply::no("The response is not base64"),
        SaslError::TooLong => Reply::no("The response is too long"),
        SaslError::Malformed => Reply::no("The response is not what the mechanism asks for"),
        SaslError::Refused | SaslError::Over => invalid_credentials(),
    }
}

pub fn auth_error(error: &AuthError) -> Reply {
    match error {
        AuthError::Invalid => invalid_credentials(),
        AuthError::TooManyAttempts { retry_after } => {
            let seconds = retry_after.as_secs().max(1);
            let text = format!("Too many failed logins; try again in {seconds} seconds");
            Reply::no(text).coded(Code::TryLater)
        }
        AuthError::Expired | AuthError::OutOfScope | AuthError::SecondFactor => {
            Reply::no(error.to_string())
        }
        AuthError::Disabled => Reply::no("The account is disabled"),
        AuthError::TooBusy | AuthError::Unavailable => {
            let text = "Logins can't be checked at the moment; try again later";
            Reply::no(text).coded(Code::TryLater)
        }
    }
}

pub fn invalid_credentials() -> Reply {
    Reply::no("The login name or the secret is wrong")
}

/// What a client is told that is not even let in.
pub fn refusal(why: Refusal) -> Reply {
    let text = match why {
        Refusal::Total => "Too many connections; try again later",
        Refusal::PerClient => "Too many connections from your address; try again later",
        Refusal::Banned => "Your address is banned for now",
        Refusal::Rate => "Connections from your address come too fast; try again later",
    };
    Reply::bye(text).coded(Code::TryLater)
}

/// `None`: somebody wants to act as somebody else, which nobody may.
pub fn credentials(credentials: sasl::Credentials) -> Option<Credentials> {
    match credentials {
        sasl::Credentials::Password {
            authzid,
            authcid,
            password,
        } => is_same(authzid.as_deref(), &authcid).then(|| Credentials::Password {
            login: authcid,
            password: Secret::new(password.expose().clone()),
        }),
        // The token alone says whose it is.
        sasl::Credentials::Bearer { authzid, token } => Some(Credentials::Bearer {
            authzid,
            token: Secret::new(token.expose().clone()),
        }),
    }
}

/// Whether nobody else is meant than who logs in.
pub fn is_same(authzid: Option<&str>, login: &str) -> bool {
    authzid.is_none_or(|authzid| authzid.is_empty() || authzid.eq_ignore_ascii_case(login))
}

/// A process of this machine counts as its loopback address.
pub fn origin(ip: Option<IpAddr>, tls: bool) -> Origin {
    Origin {
        ip: ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        protocol: Protocol::ManageSieve,
        tls,
    }
}
