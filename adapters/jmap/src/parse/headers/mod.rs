//! Header fields: credentials, ranges, accepted codings, media types, file names.
//!
//! Holds: whatever a field says, what comes out can be put into a response.

use http::{HeaderMap, HeaderValue, header::HeaderName};
use jmap_core::auth::Credentials;

/// Octets of a media type with its parameters.
pub const MEDIA_TYPE_OCTETS_MAX: usize = 255;
/// Octets of a file name in a Content-Disposition field.
pub const FILE_NAME_OCTETS_MAX: usize = 255;

/// The text of a field, if it is there once and is ASCII.
pub fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Credentials of RFC 7617 (Basic) and RFC 6750 (Bearer).
pub fn credentials(value: &HeaderValue) -> Option<Credentials> {
    Credentials::from_authorization(value.to_str().ok()?)
}

/// Whether the media type is `application/json`, with whatever parameters.
pub fn is_json(value: Option<&HeaderValue>) -> bool {
    let essence = value
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// A media type (RFC 6838 §4.2, with parameters) that can be put into a Content-Type field.
pub fn media_type(text: &str) -> Option<&str> {
    let text = text.trim_matches([' ', '\t']);
    let essence = text.split(';').next()?.trim_end();
    let (kind, subtype) = essence.split_once('/')?;
    let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let valid = text.len() <= MEDIA_TYPE_OCTETS_MAX
        && printable
        && is_token(kind.as_bytes())
        && is_token(subtype.as_bytes());
    valid.then_some(text)
}

/// RFC 9110 §5.6.2.
pub fn is_token(octets: &[u8]) -> bool {
    let is_tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !octets.is_empty() && octets.iter().all(is_tchar)
}

/// `attachment` with a file name, in both forms of RFC 6266 (the second by RFC 8187).
pub fn attachment(name: &str) -> HeaderValue {
    let mut name: String = name.chars().filter(|c| !c.is_control()).collect();
    while name.len() > FILE_NAME_OCTETS_MAX {
        name.pop();
    }
    if name.is_empty() {
        return HeaderValue::from_static("attachment");
    }
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '/' | '%' => '_',
            c if c.is_ascii_graphic() || c == ' ' => c,
            _ => '_',
        })
        .collect();
    let mut field = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        field.push_str("; filename*=UTF-8''");
        for octet in name.bytes() {
            if octet.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&octet) {
                field.push(char::from(octet));
            } else {
                field.push_str(&format!("%{octet:02X}"));
            }
        }
    }
    HeaderValue::try_from(field).unwrap_or(HeaderValue::from_static("attachment"))
}

/// What a Range field asks for (RFC 9110 §14.2).
#[derive(Debug, PartialEq, Eq)]
pub enum Range {
    /// All of it: no range, or one that a server may leave aside.
    Whole,
    /// First and last octet.
    Part(u64, u64),
    Unsatisfiable,
}

/// Reads a Range field against a size. Several ranges at once are answered with all of it.
pub fn range(text: Option<&str>, size: u64) -> Range {
    let set = text.and_then(|text| text.split_once('='));
    let Some((unit, set)) = set else {
        return Range::Whole;
    };
    let Some((first, last)) = set.trim().split_once('-') else {
        return Range::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Range::Whole;
    }
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.trim().is_empty() => match suffix.min(size) {
            0 => Range::Unsatisfiable,
            length => Range::Part(size - length, size - 1),
        },
        (Some(first), None) if last.trim().is_empty() => part(first, u64::MAX, size),
        (Some(first), Some(last)) if first <= last => part(first, last, size),
        _ => Range::Whole,
    }
}

fn part(first: u64, last: u64, size: u64) -> Range {
    match size.checked_sub(1) {
        Some(end) if first <= end => Range::Part(first, last.min(end)),
        _ => Range::Unsatisfiable,
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More digits than a u64 has are as good as the largest.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether an If-None-Match field names the entity (RFC 9110 §13.1.2).
pub fn matches_etag(field: &str, etag: &str) -> bool {
    field.trim() == "*"
        || field
            .split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == etag)
}

/// A coding of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// The best of what an Accept-Encoding field takes (RFC 9110 §12.5.3).
pub fn accepted_coding(headers: &HeaderMap) -> Coding {
    let fields = headers.get_all(http::header::ACCEPT_ENCODING);
    let (mut gzip, mut zstd, mut any) = (None, None, None);
    for item in fields
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
    {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.any(|parameter| {
            let quality = parameter
                .strip_prefix("q=")
                .or_else(|| parameter.strip_prefix("Q="));
            quality.is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = Some(!refused),
            "zstd" => zstd = Some(!refused),
            "*" => any = Some(!refused),
            _ => {}
        }
    }
    if zstd.or(any) == Some(true) {
        Coding::Zstd
    } else if gzip.or(any) == Some(true) {
        Coding::Gzip
    } else {
        Coding::Identity
    }
}

#[cfg(test)]
mod tests;
