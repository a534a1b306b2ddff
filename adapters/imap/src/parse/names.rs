//! Modified UTF-7 (RFC 3501 §5.1.3), both ways.
//!
//! Holds: `decode(encode(name))` is the name; what is decoded is either the one right encoding of a name, or was not
//! modified UTF-7 at all but UTF-8, which clients send although they have not enabled it.
//! Other half: `encode::mailbox`.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// `,` in place of `/`, no padding, no stray bits.
const MODIFIED_BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The name in these octets: UTF-8 when that is agreed on, else modified UTF-7. `None`: it is neither.
pub fn decode(octets: &[u8], utf8: bool) -> Option<String> {
    if utf8 || !octets.is_ascii() {
        let name = std::str::from_utf8(octets).ok()?;
        return is_clean(name).then(|| name.to_owned());
    }
    let encoded = std::str::from_utf8(octets).ok()?;
    if !is_clean(encoded) {
        return None;
    }
    let mut name = String::with_capacity(encoded.len());
    let mut rest = encoded;
    let mut after_base64 = false;
    while let Some((plain, shifted)) = rest.split_once('&') {
        let (base64, after) = shifted.split_once('-')?;
        name.push_str(plain);
        if base64.is_empty() {
            name.push('&');
            after_base64 = false;
        } else {
            // Two shifts side by side are not the one right encoding.
            if after_base64 && plain.is_empty() {
                return None;
            }
            name.push_str(&shifted_text(base64)?);
            after_base64 = true;
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

/// No line can be broken by a name.
fn is_clean(name: &str) -> bool {
    !name.bytes().any(|octet| matches!(octet, 0 | b'\r' | b'\n'))
}

fn shifted_text(base64: &str) -> Option<String> {
    let octets = MODIFIED_BASE64.decode(base64).ok()?;
    let (pairs, odd) = octets.as_chunks::<2>();
    if !odd.is_empty() || pairs.is_empty() {
        return None;
    }
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    // RFC 3501 §5.1.3: what is printable ASCII stands for itself; and a name has no control characters to hide.
    let is_right = |c: char| !(' '..='~').contains(&c) && !matches!(c, '\0' | '\r' | '\n');
    text.chars().all(is_right).then_some(text)
}

/// The name in modified UTF-7.
pub fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            unshift(&mut encoded, &mut shifted);
            encoded.push(c);
            if c == '&' {
                encoded.push('-');
            }
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            shifted.extend_from_slice(&unit.to_be_bytes());
        }
    }
    unshift(&mut encoded, &mut shifted);
    encoded
}

fn unshift(encoded: &mut String, shifted: &mut Vec<u8>) {
    if shifted.is_empty() {
        return;
    }
    encoded.push('&');
    MODIFIED_BASE64.encode_string(&shifted, encoded);
    encoded.push('-');
    shifted.clear();
}
