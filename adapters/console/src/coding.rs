//! In which coding a file is sent (RFC 9110 §12.5.3).

use http::{HeaderMap, header};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    Brotli,
    Gzip,
    Identity,
}

impl Coding {
    /// The smallest that the client takes.
    pub fn accepted(fields: &HeaderMap) -> Self {
        let accepts = |coding: &str| {
            let values = fields.get_all(header::ACCEPT_ENCODING).into_iter();
            let mut listed = values
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','));
            listed.any(|one| accepts(one, coding))
        };
        if accepts("br") {
            Self::Brotli
        } else if accepts("gzip") {
            Self::Gzip
        } else {
            Self::Identity
        }
    }

    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

    /// What tells the tags of a file's codings apart.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
            Self::Identity => "",
        }
    }
}

/// `gzip`, `gzip;q=0.5`; a weight of 0 says no.
fn accepts(listed: &str, coding: &str) -> bool {
    let mut parts = listed.split(';').map(str::trim);
    let named = parts
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case(coding));
    let refused = parts
        .filter_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")))
        .any(|weight| weight.parse().is_ok_and(|weight: f32| weight <= 0.0));
    named && !refused
}
