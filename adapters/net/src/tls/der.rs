//! As much of DER (X.690) as it takes to find a certificate's signature algorithm and its end.
//! Holds: malformed input gives `None`.
//! Other half: `tls`, which keeps both with the certificate.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const INTEGER: u8 = 0x02;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
/// RFC 5280 §4.1.2.4: `organizationName` (2.5.4.10) and `commonName` (2.5.4.3).
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// Characters of an issuer that are shown.
const ISSUER_CHARACTERS_MAX: usize = 200;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// RFC 5280 §4.1: `version [0]`.
const VERSION: u8 = 0xa0;

/// The channel binding tls-server-end-point (RFC 5929 §4.1): the certificate's hash, by the hash function of its own
/// signature, but never by MD5 or SHA-1. None where the RFC does not say (Ed25519, RSASSA-PSS).
pub(super) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (body, _) = element(certificate, SEQUENCE)?;
    let (_to_be_signed, rest) = element(body, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (oid, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    let hash = digest::digest(hash_of(oid)?, certificate);
    Some(hash.as_ref().to_vec())
}

/// The content of the issuer's name, and what follows it.
fn issuer_name(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, _) = element(certificate, SEQUENCE)?;
    let (to_be_signed, _) = element(body, SEQUENCE)?;
    let rest = match element(to_be_signed, VERSION) {
        Some((_, rest)) => rest,
        None => to_be_signed,
    };
    let (_serial_number, rest) = element(rest, INTEGER)?;
    let (_signature, rest) = element(rest, SEQUENCE)?;
    element(rest, SEQUENCE)
}

/// Who has signed it, as far as it is written in UTF-8 or less: "organization, common name", or one of them.
pub(super) fn issuer(certificate: &[u8]) -> Option<String> {
    let (mut names, _) = issuer_name(certificate)?;
    let (mut organization, mut common_name) = (None, None);
    while let Some((mut set, rest)) = element(names, SET) {
        names = rest;
        while let Some((attribute, rest)) = element(set, SEQUENCE) {
            set = rest;
            let (oid, value) = element(attribute, OBJECT_IDENTIFIER)?;
            let place = match oid {
                ORGANIZATION => &mut organization,
                COMMON_NAME => &mut common_name,
                _ => continue,
            };
            *place = text(value);
        }
    }
    let parts: Vec<String> = [organization, common_name].into_iter().flatten().collect();
    let shown = parts.join(", ");
    (!shown.is_empty()).then(|| shown.chars().take(ISSUER_CHARACTERS_MAX).collect())
}

fn text(value: &[u8]) -> Option<String> {
    let kinds = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING];
    let (octets, _) = kinds.iter().find_map(|kind| element(value, *kind))?;
    let text = std::str::from_utf8(octets).ok()?;
    let visible = text.chars().filter(|c| !c.is_control());
    Some(visible.collect())
}

/// From when to when the certificate is good (RFC 5280 §4.1.2.5), in seconds since 1970.
pub(super) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, rest) = issuer_name(certificate)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some((not_before, not_after))
}

/// `YYMMDDhhmmssZ` (years 1950 to 2049) or `YYYYMMDDhhmmssZ`, and what follows.
fn time(input: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest) = element(input, UTC_TIME).or_else(|| element(input, GENERALIZED_TIME))?;
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| {
        let add = |sum: i64, digit: &u8| sum * 10 + i64::from(digit - b'0');
        digits.iter().fold(0, add)
    };
    let (year, digits) = match digits.len() {
        12 => match number(&digits[..2]) {
            year @ 0..50 => (2000 + year, &digits[2..]),
            year => (1900 + year, &digits[2..]),
        },
        14 => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let pair = |at: usize| number(&digits[2 * at..2 * at + 2]);
    let (month, day) = (pair(0), pair(1));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = (pair(2) * 60 + pair(3)) * 60 + pair(4);
    Some((days_since_1970(year, month, day) * 86_400 + seconds, rest))
}

/// In the Gregorian calendar. A year is taken to begin in March, so that the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_before_month = (month * 153 + 2) / 5;
    year * 365 + leap_days + days_before_month + day - 1 - 719_468
}

fn hash_of(signature_oid: &[u8]) -> Option<&'static Algorithm> {
    // 1.2.840.113549.1.1 (RFC 8017, RFC 4055), 1.2.840.10045.4 (RFC 5758)
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    if let Some(tail) = signature_oid.strip_prefix(&RSA) {
        return match tail {
            [4] | [5] | [11] => Some(&SHA256),
            [12] => Some(&SHA384),
            [13] => Some(&SHA512),
            _ => None,
        };
    }
    match signature_oid.strip_prefix(&ECDSA)? {
        [1] | [3, 2] => Some(&SHA256),
        [3, 3] => Some(&SHA384),
        [3, 4] => Some(&SHA512),
        _ => None,
    }
}

/// The content of the element at the start, which must have this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = input.split_first()?;
    if first != tag {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(length & 0x0f))?;
            let length = octets
                .iter()
                .fold(0usize, |sum, octet| sum << 8 | usize::from(*octet));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], want: Option<(&[u8], &[u8])>) {
        assert_eq!(element(input, SEQUENCE), want, "{input:02x?}");
    }

    #[test]
    fn elements() {
        check(&[], None);
        check(&[0x30], None);
        check(&[0x31, 0], None);
        check(&[0x30, 0], Some((&[], &[])));
        check(&[0x30, 1, 7, 8], Some((&[7], &[8])));
        check(&[0x30, 2, 7], None);
        check(&[0x30, 0x81], None);
        check(&[0x30, 0x81, 1, 7], Some((&[7], &[])));
        check(&[0x30, 0x82, 0, 1, 7], Some((&[7], &[])));
        check(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 7], None);
        check(&[0x30, 0x80, 0, 0], None);
    }

    #[test]
    fn issuers() {
        let wrap = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let attribute = |oid: &[u8], kind: u8, value: &str| {
            let content = [wrap(OBJECT_IDENTIFIER, oid), wrap(kind, value.as_bytes())];
            wrap(SET, &wrap(SEQUENCE, &content.concat()))
        };
        let check = |names: &[Vec<u8>], want: Option<&str>| {
            let issuer = wrap(SEQUENCE, &names.concat());
            let to_be_signed = [wrap(INTEGER, &[1]), wrap(SEQUENCE, &[]), issuer].concat();
            let certificate = wrap(SEQUENCE, &wrap(SEQUENCE, &to_be_signed));
            assert_eq!(super::issuer(&certificate).as_deref(), want);
        };
        let organization = attribute(ORGANIZATION, PRINTABLE_STRING, "Some CA");
        let common_name = attribute(COMMON_NAME, UTF8_STRING, "R\n1é");
        check(&[], None);
        check(&[attribute(&[0x55, 4, 6], PRINTABLE_STRING, "SE")], None);
        check(&[attribute(COMMON_NAME, 0x1e, "\0R")], None);
        check(std::slice::from_ref(&organization), Some("Some CA"));
        check(&[common_name.clone(), organization], Some("Some CA, R1é"));
        assert_eq!(super::issuer(&common_name), None);
    }

    fn check_time(tag: u8, text: &str, want: Option<i64>) {
        let input = [&[tag, text.len() as u8], text.as_bytes()].concat();
        assert_eq!(time(&input).map(|(time, _)| time), want, "{text}");
    }

    #[test]
    fn times() {
        check_time(UTC_TIME, "700101000000Z", Some(0));
        check_time(UTC_TIME, "000301000001Z", Some(951_868_801));
        check_time(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check_time(UTC_TIME, "500101000000Z", Some(-631_152_000));
        check_time(GENERALIZED_TIME, "20240229120000Z", Some(1_709_208_000));
        check_time(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        check_time(UTC_TIME, "7001010000Z", None);
        check_time(UTC_TIME, "701301000000Z", None);
        check_time(UTC_TIME, "700132000000Z", None);
        check_time(UTC_TIME, "70010100000xZ", None);
        check_time(UTC_TIME, "700101000000", None);
        check_time(INTEGER, "700101000000Z", None);
    }
}
