//! The messages of the mechanisms, decoded from base64.
//! Holds: what comes out is UTF-8 without NUL, not empty, and within its limit. Nothing is prepared (RFC 4013): that
//! is for whoever knows how the names and passwords are stored.
//! Other half: `sasl`.

use super::{
    Credentials, NAME_OCTETS_MAX, PASSWORD_OCTETS_MAX, SaslError, Secret, TOKEN_OCTETS_MAX,
};

/// Separates the pairs of OAUTHBEARER and XOAUTH2.
const KVSEP: u8 = 0x01;

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
pub(super) fn plain(message: &[u8]) -> Result<Credentials, SaslError> {
    let mut fields = message.split(|octet| *octet == 0);
    let mut field = || fields.next().ok_or(SaslError::Malformed);
    let (authzid, authcid, passwd) = (field()?, field()?, field()?);
    if fields.next().is_some() {
        return Err(SaslError::Malformed);
    }
    Ok(Credentials::Password {
        authzid: optional_name(authzid)?,
        authcid: name(authcid)?,
        password: password(passwd)?,
    })
}

/// RFC 7628 §3.1: `n,a=user@example.com,^Ahost=…^Aport=…^Aauth=Bearer …^A^A`.
pub(super) fn oauthbearer(message: &[u8]) -> Result<Credentials, SaslError> {
    let separator = memchr::memchr(KVSEP, message).ok_or(SaslError::Malformed)?;
    let authzid = gs2_authzid(&message[..separator])?;
    let token = bearer_token(&message[separator + 1..], |_, _| Ok(()))?;
    Ok(Credentials::Bearer { authzid, token })
}

/// `user=user@example.com^Aauth=Bearer …^A^A`.
pub(super) fn xoauth2(message: &[u8]) -> Result<Credentials, SaslError> {
    let mut authzid = None;
    let token = bearer_token(message, |key, value| {
        if key.eq_ignore_ascii_case(b"user") {
            authzid = Some(name(value)?);
        }
        Ok(())
    })?;
    if authzid.is_none() {
        return Err(SaslError::Malformed);
    }
    Ok(Credentials::Bearer { authzid, token })
}

/// The name of a user.
pub(super) fn name(octets: &[u8]) -> Result<String, SaslError> {
    text(octets, NAME_OCTETS_MAX)
}

pub(super) fn password(octets: &[u8]) -> Result<Secret<String>, SaslError> {
    text(octets, PASSWORD_OCTETS_MAX).map(Secret::new)
}

fn optional_name(octets: &[u8]) -> Result<Option<String>, SaslError> {
    match octets {
        [] => Ok(None),
        _ => name(octets).map(Some),
    }
}

fn text(octets: &[u8], octets_max: usize) -> Result<String, SaslError> {
    if octets.len() > octets_max {
        return Err(SaslError::TooLong);
    }
    if octets.is_empty() || octets.contains(&0) {
        return Err(SaslError::Malformed);
    }
    let text = std::str::from_utf8(octets).map_err(|_| SaslError::Malformed)?;
    Ok(text.to_owned())
}

/// RFC 5801 §4: `n,,` or `y,a=…,`. There is no channel to bind to (`p=`), and no non-standard form (`F,`).
fn gs2_authzid(header: &[u8]) -> Result<Option<String>, SaslError> {
    let rest = header
        .strip_prefix(b"n,")
        .or_else(|| header.strip_prefix(b"y,"))
        .ok_or(SaslError::Malformed)?;
    let rest = rest.strip_suffix(b",").ok_or(SaslError::Malformed)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let encoded = rest.strip_prefix(b"a=").ok_or(SaslError::Malformed)?;
    saslname(encoded).map(Some)
}

/// RFC 5801 §4: a comma is written `=2C`, an equals sign `=3D`.
pub(super) fn saslname(encoded: &[u8]) -> Result<String, SaslError> {
    let mut decoded = Vec::with_capacity(encoded.len().min(NAME_OCTETS_MAX));
    let mut rest = encoded;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b',' => return Err(SaslError::Malformed),
            b'=' => {
                let (code, after) = rest.split_at_checked(2).ok_or(SaslError::Malformed)?;
                rest = after;
                decoded.push(match code {
                    b"2C" => b',',
                    b"3D" => b'=',
                    _ => return Err(SaslError::Malformed),
                });
            }
            _ => decoded.push(octet),
        }
    }
    name(&decoded)
}

/// Goes through `key=value^A` pairs up to the final `^A`, and gives the token of the one `auth`. Others go to `other`.
fn bearer_token(
    pairs: &[u8],
    mut other: impl FnMut(&[u8], &[u8]) -> Result<(), SaslError>,
) -> Result<Secret<String>, SaslError> {
    let mut rest = pairs;
    let mut token = None;
    while rest != [KVSEP] {
        let end = memchr::memchr(KVSEP, rest).ok_or(SaslError::Malformed)?;
        let pair = &rest[..end];
        rest = &rest[end + 1..];
        let equals = memchr::memchr(b'=', pair).ok_or(SaslError::Malformed)?;
        let (key, value) = (&pair[..equals], &pair[equals + 1..]);
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) {
            return Err(SaslError::Malformed);
        }
        if !key.eq_ignore_ascii_case(b"auth") {
            other(key, value)?;
            continue;
        }
        if token.is_some() {
            return Err(SaslError::Malformed);
        }
        token = Some(b64token(value)?);
    }
    token.ok_or(SaslError::Malformed)
}

/// RFC 6750 §2.1: `Bearer`, a space, and `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn b64token(value: &[u8]) -> Result<Secret<String>, SaslError> {
    let (scheme, token) = value.split_at_checked(7).ok_or(SaslError::Malformed)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(SaslError::Malformed);
    }
    let token = token.trim_ascii_start();
    let padding = token.iter().rev().take_while(|octet| **octet == b'=');
    let body = &token[..token.len() - padding.count()];
    let allowed = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/".contains(octet);
    if body.is_empty() || !body.iter().all(allowed) {
        return Err(SaslError::Malformed);
    }
    text(token, TOKEN_OCTETS_MAX).map(Secret::new)
}
