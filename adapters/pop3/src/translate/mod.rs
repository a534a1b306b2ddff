//! Core <-> POP3: errors as status lines (RFC 2449 §8, RFC 3206), credentials.
//!
//! Holds: every variant of every error is written out, so that a new one does not compile until it has its reply. No
//! reply tells more than the client needs.
//! Other half: `encode`, which writes the replies.

use std::net::{IpAddr, Ipv4Addr};

use jmap_core::auth::{AuthError, Credentials, Origin, Protocol, Secret};
use jmap_core::inproc::imap_view::ViewError;
use net::Refusal;
use net::sasl::{self, SaslError};

use crate::encode::{Code, Reply};
use crate::locks::LockError;
use crate::parse::ParseError;

/// Why a line was not understood.
pub fn parse_error(error: ParseError) -> Reply {
    match error {
        ParseError::UnknownCommand => Reply::err("There is no such command"),
        ParseError::TooLong => line_too_long(),
        ParseError::Syntax(syntax) => Reply::err(format!("Syntax: {syntax}")),
        ParseError::NotUtf8 => Reply::err("That is not UTF-8"),
    }
}

pub fn line_too_long() -> Reply {
    Reply::err("The line is too long")
}

pub fn lock_error(error: LockError) -> Reply {
    match error {
        LockError::InUse => Reply::coded(Code::InUse, "Another session has the maildrop"),
        LockError::TooMany => {
            let text = "Too many maildrops are open; try again later";
            Reply::coded(Code::SysTemp, text)
        }
    }
}

/// Why the maildrop can't be read or changed. What may not be done or is too much does not get better by itself.
pub fn view_error(error: &ViewError) -> Reply {
    match error {
        ViewError::NoSuchMailbox => Reply::coded(Code::SysPerm, "There is no inbox"),
        ViewError::Forbidden(_) => Reply::coded(Code::SysPerm, "You may not do that to the inbox"),
        ViewError::AlreadyExists
        | ViewError::HasChildren
        | ViewError::Invalid(_)
        | ViewError::TooLarge(_)
        | ViewError::AnnotationTooLarge(_)
        | ViewError::TooManyAnnotations
        | ViewError::Limit(_) => Reply::coded(Code::SysPerm, "The server can't do it"),
        ViewError::OverQuota | ViewError::Unavailable | ViewError::Failed => temporary_failure(),
    }
}

pub fn temporary_failure() -> Reply {
    let text = "The mail system has a temporary failure; try again later";
    Reply::coded(Code::SysTemp, text)
}

pub fn no_room() -> Reply {
    let text = "The server is busy with other messages; try again later";
    Reply::coded(Code::SysTemp, text)
}

/// What was wrong with an AUTH exchange (RFC 5034 §4).
pub fn sasl_error(error: SaslError) -> Reply {
    match error {
        SaslError::Cancelled => Reply::err("Authentication cancelled"),
        SaslError::Base64 => Reply::err("The response is not base64"),
        SaslError::TooLong => Reply::err("The response is too long"),
        SaslError::Malformed => Reply::err("The response is not what the mechanism asks for"),
        SaslError::Refused | SaslError::Over => invalid_credentials(),
    }
}

/// RFC 3206 §4: AUTH is for the credentials alone; a disabled account is one of their problems.
pub fn auth_error(error: &AuthError) -> Reply {
    match error {
        AuthError::Invalid => invalid_credentials(),
        AuthError::TooManyAttempts { retry_after } => {
            let seconds = retry_after.as_secs().max(1);
            let text = format!("Too many failed logins; try again in {seconds} seconds");
            Reply::coded(Code::SysTemp, text)
        }
        AuthError::Expired | AuthError::OutOfScope | AuthError::SecondFactor => {
            Reply::coded(Code::Auth, error.to_string())
        }
        AuthError::Disabled => Reply::coded(Code::Auth, "The account is disabled"),
        AuthError::TooBusy | AuthError::Unavailable => {
            let text = "Logins can't be checked at the moment; try again later";
            Reply::coded(Code::SysTemp, text)
        }
    }
}

pub fn invalid_credentials() -> Reply {
    Reply::coded(Code::Auth, "The login name or the secret is wrong")
}

/// What a client is told that is not even let in.
pub fn refusal(why: Refusal) -> Reply {
    let text = match why {
        Refusal::Total => "Too many connections; try again later",
        Refusal::PerClient => "Too many connections from your address; try again later",
        Refusal::Banned => "Your address is banned for now",
        Refusal::Rate => "Connections from your address come too fast; try again later",
    };
    Reply::coded(Code::SysTemp, text)
}

/// `None`: somebody wants to act as somebody else, which nobody may.
pub fn credentials(credentials: sasl::Credentials) -> Option<Credentials> {
    match credentials {
        sasl::Credentials::Password {
            authzid,
            authcid,
            password,
        } => {
            if !is_same(authzid.as_deref(), &authcid) {
                return None;
            }
            Some(password_of(authcid, &password))
        }
        // The token alone says whose it is.
        sasl::Credentials::Bearer { authzid, token } => Some(Credentials::Bearer {
            authzid,
            token: Secret::new(token.expose().clone()),
        }),
    }
}

/// USER and PASS.
pub fn password_of(login: String, password: &net::Secret<String>) -> Credentials {
    Credentials::Password {
        login,
        password: Secret::new(password.expose().clone()),
    }
}

/// Whether nobody else is meant than who logs in.
pub fn is_same(authzid: Option<&str>, login: &str) -> bool {
    authzid.is_none_or(|authzid| authzid.eq_ignore_ascii_case(login))
}

/// A process of this machine counts as its loopback address.
pub fn origin(ip: Option<IpAddr>, tls: bool) -> Origin {
    Origin {
        ip: ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        protocol: Protocol::Pop3,
        tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_work_later_says_so() {
        let temporary = [ViewError::Unavailable, ViewError::Failed];
        for error in temporary {
            assert_eq!(view_error(&error).code, Some(Code::SysTemp), "{error}");
        }
        let permanent = [
            ViewError::NoSuchMailbox,
            ViewError::Forbidden(String::new()),
        ];
        for error in permanent {
            assert_eq!(view_error(&error).code, Some(Code::SysPerm), "{error}");
        }
        let rows = [
            (AuthError::Invalid, Code::Auth),
            (AuthError::Disabled, Code::Auth),
            (AuthError::Expired, Code::Auth),
            (AuthError::OutOfScope, Code::Auth),
            (AuthError::SecondFactor, Code::Auth),
            (AuthError::TooBusy, Code::SysTemp),
            (AuthError::Unavailable, Code::SysTemp),
        ];
        for (error, code) in rows {
            assert_eq!(auth_error(&error).code, Some(code), "{error}");
        }
    }

    #[test]
    fn nobody_acts_as_somebody_else() {
        let password = |authzid: Option<&str>| sasl::Credentials::Password {
            authzid: authzid.map(str::to_owned),
            authcid: "ann@example.org".to_owned(),
            password: net::Secret::new("x".to_owned()),
        };
        assert!(credentials(password(None)).is_some());
        assert!(credentials(password(Some("Ann@example.org"))).is_some());
        assert!(credentials(password(Some("bob@example.org"))).is_none());
    }
}
