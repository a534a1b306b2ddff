//! What a client presents, where it comes from, and how a login can fail.
//! Holds: plain data; neither `Debug` nor `Display` of anything here shows a secret, and no error tells an unknown
//! account from a wrong password.
//! Other half: adapters fill [`Credentials`] and [`Origin`] in; the core's `login` answers with [`AuthError`].

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{secret::Secret, webauthn::Assertion};

/// Octets of an Authorization field that are looked at.
pub const AUTHORIZATION_OCTETS_MAX: usize = 12 << 10;
/// Longest login name that is looked at, in octets: the longest mail address (RFC 5321 §4.5.3.1) and some room.
pub const LOGIN_OCTETS_MAX: usize = 320;

/// What a client proves its identity with.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A login name and a password or app password (SASL PLAIN, LOGIN, USER/PASS, HTTP Basic).
    Password {
        login: String,
        password: Secret<String>,
    },
    /// The same with a code of the second factor: RFC 6238, or a recovery code.
    Factors {
        login: String,
        password: Secret<String>,
        code: Secret<String>,
    },
    /// A token alone (HTTP Bearer of RFC 6750, SASL OAUTHBEARER of RFC 7628).
    Bearer {
        /// Whom the client wants to act as (RFC 7628 §3.1, RFC 5801 §4), where that is said: nobody but the token's account.
        authzid: Option<String>,
        token: Secret<String>,
    },
    /// A passkey that a page has asked for (WebAuthn), which is both factors. `login`: who it has to be; `page`: scheme, host and port
    /// of the page.
    Passkey {
        login: Option<String>,
        assertion: Box<Assertion>,
        page: String,
    },
}

impl Credentials {
    /// Those of an Authorization field: RFC 7617 (Basic) and RFC 6750 (Bearer).
    pub fn from_authorization(field: &str) -> Option<Credentials> {
        if field.len() > AUTHORIZATION_OCTETS_MAX {
            return None;
        }
        let (scheme, rest) = field.split_once(' ')?;
        let rest = rest.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("bearer") {
            let valid = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic());
            return valid.then(|| Credentials::Bearer {
                authzid: None,
                token: Secret::new(rest.to_owned()),
            });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(rest).ok()?;
        // RFC 7617 §2: the name ends at the first colon. UTF-8 is what §2.1 lets a server ask for.
        let decoded = Secret::new(String::from_utf8(decoded).ok()?);
        let (login, password) = decoded.expose().split_once(':')?;
        Some(Credentials::Password {
            login: login.to_owned(),
            password: Secret::new(password.to_owned()),
        })
    }
}

/// The protocol a login arrived by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Jmap,
    Imap,
    Pop3,
    ManageSieve,
    Smtp,
    Submission,
    Dav,
    Admin,
    /// The pages on which people sign in for other programs (RFC 6749).
    OAuth,
}

impl Protocol {
    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Jmap => "jmap",
            Protocol::Imap => "imap",
            Protocol::Pop3 => "pop3",
            Protocol::ManageSieve => "managesieve",
            Protocol::Smtp => "smtp",
            Protocol::Submission => "submission",
            Protocol::Dav => "dav",
            Protocol::Admin => "admin",
            Protocol::OAuth => "oauth",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a login comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The client's address, as told by a trusted proxy if there is one.
    pub ip: IpAddr,
    pub protocol: Protocol,
    /// Whether the client's connection is encrypted.
    pub tls: bool,
}

/// Why a login was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Unknown account, wrong password or bad token: which one is not told.
    #[error("the login name or the secret is wrong")]
    Invalid,
    /// The secret was right, and its time is over.
    #[error("this password or token has expired")]
    Expired,
    /// The secret was right, and is for other protocols.
    #[error("this password or token is not meant for this protocol")]
    OutOfScope,
    /// The password was right, and is not enough.
    #[error(
        "this account has a second factor: make an app password or a token for this program, or sign in with a code"
    )]
    SecondFactor,
    /// Too many failures; the client may try again after `retry_after`.
    #[error("too many failed logins; try again in {} seconds", .retry_after.as_secs().max(1))]
    TooManyAttempts { retry_after: Duration },
    /// The secret was right, and the account may not log in.
    #[error("this account is disabled")]
    Disabled,
    /// More logins at once than the server can check; nothing is wrong with this one.
    #[error("the server is busy checking other logins; try again shortly")]
    TooBusy,
    /// The server could not check the login.
    #[error("logins can't be checked at the moment; try again later")]
    Unavailable,
}

impl AuthError {
    /// Whether it is what was presented that is refused, so that presenting it again comes to the same.
    pub fn is_refusal(&self) -> bool {
        match self {
            AuthError::Invalid
            | AuthError::Expired
            | AuthError::OutOfScope
            | AuthError::SecondFactor => true,
            AuthError::TooManyAttempts { .. }
            | AuthError::Disabled
            | AuthError::TooBusy
            | AuthError::Unavailable => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let rows = [
            Credentials::Password {
                login: "ann@example.org".into(),
                password: Secret::new("hunter22".into()),
            },
            Credentials::Factors {
                login: "ann@example.org".into(),
                password: Secret::new("hunter22".into()),
                code: Secret::new("hunter22".into()),
            },
            Credentials::Bearer {
                authzid: None,
                token: Secret::new("hunter22".into()),
            },
            Credentials::Passkey {
                login: None,
                assertion: Box::new(Assertion {
                    credential_id: vec![104; 8],
                    client_data: vec![104; 8],
                    authenticator_data: vec![104; 8],
                    signature: vec![104; 8],
                    user_handle: vec![104; 8],
                }),
                page: "https://mail.example.org".into(),
            },
        ];
        for row in rows {
            let shown = format!("{row:?}");
            assert!(
                !shown.contains("hunter") && !shown.contains("104"),
                "{shown}"
            );
        }
    }
}
