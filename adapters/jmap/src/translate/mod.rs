//! What the core says, in the words of HTTP.
//!
//! Holds: every error of the core is mapped, by name.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use jmap_core::{auth::AuthError, blob::BlobError};
use jmap_types::MethodError;

use crate::encode::problem::Problem;

/// How long a client waits that found the server busy.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);

/// A login that failed (RFC 9110 §11.6.1, RFC 6750 §3).
pub fn login_problem(error: AuthError) -> Problem {
    let detail = error.to_string();
    match error {
        AuthError::Invalid => unauthorized(&detail, true),
        // RFC 6750 §3.1 has no other word for it than for a wrong one.
        AuthError::Expired | AuthError::SecondFactor => unauthorized(&detail, true),
        AuthError::OutOfScope => Problem::new(StatusCode::FORBIDDEN, detail).with(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"mail\", error=\"insufficient_scope\""),
        ),
        AuthError::Disabled => Problem::new(StatusCode::FORBIDDEN, detail),
        AuthError::TooManyAttempts { retry_after } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(retry_after)
        }
        AuthError::TooBusy => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(BUSY_WAIT)
        }
        AuthError::Unavailable => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(BUSY_WAIT)
        }
    }
}

/// A request without a login, or with a wrong one.
pub fn unauthorized(detail: &str, wrong: bool) -> Problem {
    let bearer = if wrong {
        "Bearer realm=\"mail\", error=\"invalid_token\""
    } else {
        "Bearer realm=\"mail\""
    };
    Problem::new(StatusCode::UNAUTHORIZED, detail)
        .with(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"mail\", charset=\"UTF-8\""),
        )
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(bearer))
}

/// An upload or download that failed.
pub fn blob_problem(error: BlobError) -> Problem {
    let detail = error.to_string();
    match error {
        // To a stranger, what exists and what doesn't is the same.
        BlobError::NotFound | BlobError::Account(_) => {
            Problem::new(StatusCode::NOT_FOUND, "There is no such account or blob.")
        }
        BlobError::TooLarge { .. } => {
            Problem::limit(StatusCode::PAYLOAD_TOO_LARGE, "maxSizeUpload", detail)
        }
        BlobError::Store(error) => {
            tracing::error!(%error, "a blob could not be read or written");
            unavailable()
        }
    }
}

/// States that could not be read.
pub fn states_problem(error: MethodError) -> Problem {
    tracing::error!(%error, "the states of accounts could not be read");
    unavailable()
}

fn unavailable() -> Problem {
    let detail = "The server can't read or write its store at the moment.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(BUSY_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins() {
        let rows = [
            (AuthError::Invalid, 401, None),
            (AuthError::Disabled, 403, None),
            (AuthError::Expired, 401, None),
            (AuthError::SecondFactor, 401, None),
            (AuthError::OutOfScope, 403, None),
            (
                AuthError::TooManyAttempts {
                    retry_after: Duration::from_millis(1500),
                },
                429,
                Some("2"),
            ),
            (AuthError::TooBusy, 429, Some("5")),
            (AuthError::Unavailable, 503, Some("5")),
        ];
        for (error, status, retry) in rows {
            let scope = error == AuthError::OutOfScope;
            let response = login_problem(error).into_response();
            assert_eq!(response.status().as_u16(), status);
            let headers = response.headers();
            assert_eq!(
                headers
                    .get(header::RETRY_AFTER)
                    .map(|v| v.to_str().unwrap()),
                retry
            );
            let challenges = headers.get_all(header::WWW_AUTHENTICATE).iter().count();
            let wanted = match (status, scope) {
                (401, _) => 2,
                (_, true) => 1,
                (_, false) => 0,
            };
            assert_eq!(challenges, wanted);
        }
    }
}
