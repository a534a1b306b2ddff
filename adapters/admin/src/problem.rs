//! Errors, as problem details (RFC 9457): each kind has a name that stays.
//!
//! Holds: no path, key or cause of the store is in what a client is told; every error of the core is mapped, by name.

use std::time::Duration;

use http::{
    HeaderValue, StatusCode,
    header::{self, HeaderName},
};
use jmap_core::{
    auth::AuthError, directory::DirectoryError, inproc::certificates::CertificateError,
    settings::SettingsError,
};
use serde_json::{Value, json};

pub const PROBLEM_JSON: &str = "application/problem+json";
/// Before the name of a kind in `type`.
pub const TYPE_PREFIX: &str = "urn:posthorn:problem:";
/// How long a client waits that found the server busy.
const BUSY_WAIT: Duration = Duration::from_secs(5);

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $status:ident;)*) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $doc])* $variant),* }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name),* }
            }

            pub const fn status(self) -> StatusCode {
                match self { $(Kind::$variant => StatusCode::$status),* }
            }

            /// What it means, for people.
            pub fn title(self) -> String {
                match self { $(Kind::$variant => $crate::describe::sentence(&[$($doc),*])),* }
            }
        }
    };
}

kinds! {
    /// The request is not what this address takes.
    InvalidRequest = "invalid-request", BAD_REQUEST;
    /// The cursor is not one that a list has given.
    InvalidCursor = "invalid-cursor", BAD_REQUEST;
    /// A login is needed, or the one that was given is wrong.
    Unauthorized = "unauthorized", UNAUTHORIZED;
    /// The account's role doesn't allow it.
    Forbidden = "forbidden", FORBIDDEN;
    /// The account has a second factor: a code is needed, in the field One-Time-Code.
    SecondFactor = "second-factor", FORBIDDEN;
    /// The person has to show once more who they are: by a code of the second factor, in the field One-Time-Code, or by the password
    /// (HTTP Basic).
    ConfirmationNeeded = "confirmation-needed", FORBIDDEN;
    /// The account may not log in.
    Disabled = "disabled", FORBIDDEN;
    /// Logging in is possible over an encrypted connection only.
    NotEncrypted = "not-encrypted", FORBIDDEN;
    /// A page of another site may change nothing here.
    CrossSite = "cross-site", FORBIDDEN;
    /// There is no such thing, or it is none of the account's business.
    NotFound = "not-found", NOT_FOUND;
    /// The address doesn't know the method.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED;
    /// The request came too slowly.
    TooSlow = "too-slow", REQUEST_TIMEOUT;
    /// There is one of this name already.
    AlreadyExists = "already-exists", CONFLICT;
    /// Something else depends on it.
    InUse = "in-use", CONFLICT;
    /// A limit of the server or of the domain is reached.
    LimitReached = "limit-reached", CONFLICT;
    /// It was changed since the version that If-Match names.
    Changed = "changed", PRECONDITION_FAILED;
    /// The request is too large.
    TooLarge = "too-large", PAYLOAD_TOO_LARGE;
    /// The address is too long.
    AddressTooLong = "address-too-long", URI_TOO_LONG;
    /// The body has to be JSON, and say so.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE;
    /// A value can't be taken: the sentence says why.
    InvalidValue = "invalid-value", UNPROCESSABLE_ENTITY;
    /// The idempotency key was used for another request.
    KeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY;
    /// Too many requests, or failed logins.
    TooManyRequests = "too-many-requests", TOO_MANY_REQUESTS;
    /// The server failed.
    ServerFailed = "server-failed", INTERNAL_SERVER_ERROR;
    /// The server can't do it at the moment.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE;
}

/// An error for a client.
#[derive(Debug)]
pub struct Problem {
    pub kind: Kind,
    pub detail: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// With nothing to say but what the kind says.
    pub fn of(kind: Kind) -> Problem {
        Problem::new(kind, kind.title())
    }

    pub fn not_found() -> Problem {
        Problem::of(Kind::NotFound)
    }

    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.push((name, value));
        self
    }

    /// RFC 9110 §10.2.3, in whole seconds and at least one.
    fn retry_after(self, wait: Duration) -> Problem {
        let seconds = wait.as_millis().div_ceil(1000).clamp(1, 86_400);
        self.with(header::RETRY_AFTER, HeaderValue::from(seconds as u64))
    }

    pub fn busy() -> Problem {
        Problem::of(Kind::TooManyRequests).retry_after(BUSY_WAIT)
    }

    pub fn to_json(&self) -> Value {
        json!({
            "type": format!("{TYPE_PREFIX}{}", self.kind.name()),
            "title": self.kind.title(),
            "status": self.kind.status().as_u16(),
            "detail": self.detail,
        })
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Problem {
        let detail = error.to_string();
        let kind = match error {
            DirectoryError::AlreadyExists(_) => Kind::AlreadyExists,
            // Whoever is answered so isn't told what it would be called.
            DirectoryError::NotFound(_) => Kind::NotFound,
            DirectoryError::InvalidName { .. }
            | DirectoryError::WrongCode
            | DirectoryError::Passkey(_)
            | DirectoryError::WeakPassword(_) => Kind::InvalidValue,
            DirectoryError::InUse(_) => Kind::InUse,
            DirectoryError::TooMany(_) => Kind::LimitReached,
            DirectoryError::ConfirmationNeeded => return Problem::of(Kind::ConfirmationNeeded),
            DirectoryError::Forbidden => return Problem::of(Kind::Forbidden),
            DirectoryError::Changed => Kind::Changed,
            DirectoryError::DoneBefore => Kind::AlreadyExists,
            DirectoryError::AnotherRequest => Kind::KeyReused,
            DirectoryError::Busy => {
                return Problem::new(Kind::Unavailable, detail).retry_after(BUSY_WAIT);
            }
            DirectoryError::Store(error) => {
                tracing::error!(%error, "an administrator's request failed");
                return Problem::of(Kind::Unavailable).retry_after(BUSY_WAIT);
            }
        };
        Problem::new(kind, detail)
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Problem {
        let detail = error.to_string();
        let kind = match error {
            SettingsError::Forbidden => return Problem::of(Kind::Forbidden),
            SettingsError::Unknown(_) => Kind::NotFound,
            SettingsError::InFile { .. }
            | SettingsError::Pinned { .. }
            | SettingsError::Invalid(_) => Kind::InvalidValue,
            SettingsError::TooMuch(_) => Kind::LimitReached,
            SettingsError::NoMeaning => Kind::Unavailable,
            SettingsError::Store(error) => return DirectoryError::Store(error).into(),
        };
        Problem::new(kind, detail)
    }
}

impl From<CertificateError> for Problem {
    fn from(error: CertificateError) -> Problem {
        let detail = error.to_string();
        let kind = match error {
            CertificateError::Forbidden => return Problem::of(Kind::Forbidden),
            CertificateError::NotFound(_) => Kind::NotFound,
            CertificateError::TooMany(_) => Kind::LimitReached,
            CertificateError::NoName | CertificateError::TooLarge => Kind::InvalidValue,
            CertificateError::Store(error) => return DirectoryError::Store(error).into(),
        };
        Problem::new(kind, detail)
    }
}

/// A login that failed (RFC 9110 §11.6.1, RFC 6750 §3).
impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Problem {
        let detail = error.to_string();
        match error {
            AuthError::Invalid => unauthorized(&detail, true),
            AuthError::Expired => unauthorized(&detail, true),
            AuthError::SecondFactor => Problem::new(Kind::SecondFactor, detail),
            AuthError::OutOfScope => Problem::new(Kind::Forbidden, detail),
            AuthError::Disabled => Problem::new(Kind::Disabled, detail),
            AuthError::TooManyAttempts { retry_after } => {
                Problem::new(Kind::TooManyRequests, detail).retry_after(retry_after)
            }
            AuthError::TooBusy => {
                Problem::new(Kind::TooManyRequests, detail).retry_after(BUSY_WAIT)
            }
            AuthError::Unavailable => {
                Problem::new(Kind::Unavailable, detail).retry_after(BUSY_WAIT)
            }
        }
    }
}

/// A request without a login, or with a wrong one.
pub fn unauthorized(detail: &str, is_wrong: bool) -> Problem {
    let bearer = match is_wrong {
        true => "Bearer realm=\"mail\", error=\"invalid_token\"",
        false => "Bearer realm=\"mail\"",
    };
    Problem::new(Kind::Unauthorized, detail)
        .with(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"mail\", charset=\"UTF-8\""),
        )
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(bearer))
}
