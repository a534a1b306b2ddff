//! What the core says, in the words of HTTP.
//!
//! Holds: every error of the core is mapped, by name.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use jmap_core::auth::AuthError;
use jmap_types::{MethodError, MethodErrorKind};

use crate::encode::problem::Problem;

/// How long a client waits that found the server busy.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);

/// A login that failed (RFC 9110 §11.6.1, RFC 6750 §3).
pub fn login_problem(error: AuthError) -> Problem {
    let detail = error.to_string();
    match error {
        AuthError::Invalid => unauthorized(&detail, true),
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
pub fn blob_problem(error: MethodError) -> Problem {
    use MethodErrorKind::*;
    let status = match error.kind {
        ServerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ServerFail | ServerPartialFail => StatusCode::INTERNAL_SERVER_ERROR,
        // To a stranger, what exists and what doesn't is the same.
        AccountNotFound | FromAccountNotFound | AnchorNotFound => StatusCode::NOT_FOUND,
        Forbidden | AccountReadOnly => StatusCode::FORBIDDEN,
        RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        StateMismatch => StatusCode::CONFLICT,
        UnknownMethod
        | InvalidArguments
        | InvalidResultReference
        | AccountNotSupportedByMethod
        | CannotCalculateChanges
        | UnsupportedSort
        | UnsupportedFilter
        | TooManyChanges
        | FromAccountNotSupportedByMethod
        | UnknownDataType => StatusCode::BAD_REQUEST,
    };
    let detail = error
        .description
        .unwrap_or_else(|| format!("The server answers: {}.", error.kind.as_str()));
    let problem = Problem::new(status, detail);
    match status {
        StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(BUSY_WAIT),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins() {
        let rows = [
            (AuthError::Invalid, 401, None),
            (AuthError::Disabled, 403, None),
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
            assert_eq!(challenges, if status == 401 { 2 } else { 0 });
        }
    }

    #[test]
    fn no_error_of_a_blob_is_a_success() {
        for &kind in MethodErrorKind::ALL {
            let status = blob_problem(kind.into()).status;
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{kind:?}"
            );
        }
    }
}
