//! Octets of a new message: header lines and encoded bodies (RFC 5322 §2, RFC 2045 §6).
//! Holds: lines end with CRLF and have at most 998 octets; what is encoded decodes to the same octets;
//! nothing that a caller gives can end a header field.
//! Other half: `build` decides what to write; `decode` reads it.

use super::address::{EmailAddress, EmailAddressGroup};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_builder::headers::address::Address;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::text::Text;
use mail_builder::headers::url::URL;
use mail_builder::headers::{Header, HeaderType};

/// Longest line without its CRLF (RFC 5322 §2.1.1).
const LINE_OCTETS_MAX: usize = 998;
/// Longest encoded line (RFC 2045 §6.7 and §6.8).
const ENCODED_LINE_OCTETS_MAX: usize = 76;

/// Octets of a parameter that the header writer leaves in one piece.
const QUOTED_PARAMETER_OCTETS_MAX: usize = 78;

/// A transfer encoding that was chosen, and the octets in it.
pub(super) struct Encoded {
    pub name: &'static str,
    pub octets: Vec<u8>,
}

/// Writes one header field; the value is folded and encoded.
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: HeaderType<'_>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value.write_header(out, name.len() + 2);
}

/// Writes one header field as the caller gave it; [`is_raw_value`] holds for the value.
pub(super) fn raw_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes one header field of text.
pub(super) fn text_field(out: &mut Vec<u8>, name: &str, value: &str) {
    match looks_encoded(value) {
        true => raw_field(out, name, &encoded_words(name.len() + 1, value)),
        false => field(out, name, HeaderType::Text(Text::new(value))),
    }
}

/// Whether a text would be written as it is, and read as something else: as encoded words (RFC 2047 §5).
fn looks_encoded(text: &str) -> bool {
    text.is_ascii() && text.contains("=?")
}

/// ASCII as encoded words (RFC 2047 §4.2), folded; `column` octets are before them.
fn encoded_words(column: usize, text: &str) -> String {
    const OPEN: &str = " =?us-ascii?Q?";
    const CLOSE: &str = "?=";
    const OCTET_LEN_MAX: usize = 3;
    let (mut words, mut column) = (String::new(), column);
    let mut is_open = false;
    for octet in text.bytes() {
        let opening = if is_open { 0 } else { OPEN.len() };
        if column + opening + OCTET_LEN_MAX + CLOSE.len() > ENCODED_LINE_OCTETS_MAX {
            words.push_str(if is_open { "?=\r\n" } else { "\r\n" });
            (column, is_open) = (0, false);
        }
        if !is_open {
            words.push_str(OPEN);
            (column, is_open) = (column + OPEN.len(), true);
        }
        let before = words.len();
        match octet {
            // A TAB would be dropped where it is read (RFC 8621 §4.1.2.2).
            b' ' | b'\t' => words.push('_'),
            c if c.is_ascii_alphanumeric() || b"!*+-/".contains(&c) => words.push(c.into()),
            c => words.push_str(&format!("={c:02X}")),
        }
        column += words.len() - before;
    }
    words.push_str(CLOSE);
    words
}

/// Whether a Raw value is one field: each CRLF is a fold, no other control character than
/// TAB, no line too long, and no line of a fold is empty (RFC 5322 §2.2.3 and §3.2.2).
pub(super) fn is_raw_value(value: &str) -> bool {
    value.split("\r\n").enumerate().all(|(at, line)| {
        let is_line = at == 0 || line.starts_with([' ', '\t']) && !line.trim().is_empty();
        is_line && line.len() <= LINE_OCTETS_MAX && is_one_line(line)
    })
}

/// Whether a text has no control character but TAB.
pub(super) fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}

pub(super) fn message_ids(ids: &[String]) -> HeaderType<'_> {
    HeaderType::MessageId(MessageId::from(ids))
}

pub(super) fn urls(urls: &[String]) -> HeaderType<'_> {
    HeaderType::URL(URL::from(urls))
}

pub(super) fn addresses(list: &[EmailAddress]) -> HeaderType<'_> {
    HeaderType::Address(Address::new_list(list.iter().map(address).collect()))
}

pub(super) fn groups(list: &[EmailAddressGroup]) -> HeaderType<'_> {
    let mut items = Vec::new();
    for group in list {
        let members = group.addresses.iter().map(address);
        match &group.name {
            Some(name) => items.push(Address::new_group(Some(name.as_str()), members.collect())),
            None => items.extend(members),
        }
    }
    HeaderType::Address(Address::new_list(items))
}

fn address(address: &EmailAddress) -> Address<'_> {
    Address::new_address(address.name.as_deref(), address.email.as_str())
}

/// A value with parameters; empty ones are left out.
pub(super) fn parameterized(value: &str, params: &[(&str, Option<&str>)]) -> HeaderType<'static> {
    let mut out = ContentType::new(value.to_owned());
    for (name, value) in params {
        let Some(value) = value else { continue };
        // Many programs decode encoded words in a parameter, but in none that is in pieces (RFC 2231 §3): then it is in
        // one. Long ones come in pieces anyway.
        let in_pieces = looks_encoded(value) && value.len() <= QUOTED_PARAMETER_OCTETS_MAX;
        let name = match in_pieces {
            true => format!("{name}*0"),
            false => (*name).to_owned(),
        };
        out = out.attribute(name, (*value).to_owned());
    }
    HeaderType::ContentType(out)
}

/// A text of a body value: line ends become CRLF.
pub(super) fn encode_text(text: &str) -> Encoded {
    let mut lines = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        lines.push_str(&rest[..at]);
        lines.push_str("\r\n");
        let len = if rest[at..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[at + len..];
    }
    lines.push_str(rest);
    encode_octets(lines.into_bytes(), true)
}

/// Octets that must come back as they are.
pub(super) fn encode_octets(octets: Vec<u8>, is_text: bool) -> Encoded {
    if is_text && is_seven_bit(&octets) {
        return Encoded {
            name: "7bit",
            octets,
        };
    }
    let special = octets
        .iter()
        .filter(|c| !matches!(c, b' '..=b'~' | b'\r' | b'\n' | b'\t'));
    // Quoted-printable takes three octets for one, base64 four for three.
    if is_text && special.count() * 6 <= octets.len() && line_ends_are_crlf(&octets) {
        let octets = quoted_printable(&octets);
        return Encoded {
            name: "quoted-printable",
            octets,
        };
    }
    let octets = base64_lines(&octets);
    Encoded {
        name: "base64",
        octets,
    }
}

/// RFC 2046 §5.2.1: a message in a message is not encoded.
pub(super) fn keep_message(octets: Vec<u8>) -> Encoded {
    let name = if is_seven_bit(&octets) {
        "7bit"
    } else if lines_fit(&octets) && line_ends_are_crlf(&octets) && !octets.contains(&0) {
        "8bit"
    } else {
        "binary"
    };
    Encoded { name, octets }
}

/// RFC 2045 §2.7.
fn is_seven_bit(octets: &[u8]) -> bool {
    octets.is_ascii()
        && !octets.contains(&0)
        && lines_fit(octets)
        && line_ends_are_crlf(octets)
        // What mbox files and old relays change on the way.
        && !octets.split(|c| *c == b'\n').any(|line| line.starts_with(b"From "))
}

/// Whether no line is longer than one may be.
pub(super) fn lines_fit(octets: &[u8]) -> bool {
    octets
        .split(|c| *c == b'\n')
        .all(|line| line.len() <= LINE_OCTETS_MAX + 1)
}

fn line_ends_are_crlf(octets: &[u8]) -> bool {
    let mut previous = 0;
    for &c in octets {
        if (c == b'\n') != (previous == b'\r') {
            return false;
        }
        previous = c;
    }
    previous != b'\r'
}

fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 4);
    for (at, line) in octets.split(|c| *c == b'\n').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\r\n");
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut column = 0;
        for (at, &c) in line.iter().enumerate() {
            let is_last = at + 1 == line.len();
            let plain = match c {
                b'=' => false,
                b' ' | b'\t' => !is_last,
                b'F' => column > 0 || !line.starts_with(b"From "),
                b'!'..=b'~' => true,
                _ => false,
            };
            let len = if plain { 1 } else { 3 };
            // One column stays free for the "=" of a soft line break.
            if column + len > ENCODED_LINE_OCTETS_MAX - usize::from(!is_last) {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            match plain {
                true => out.push(c),
                false => {
                    out.extend([b'=', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
                }
            }
            column += len;
        }
    }
    out
}

fn base64_lines(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() / 57 * 78 + 80);
    for line in octets.chunks(ENCODED_LINE_OCTETS_MAX / 4 * 3) {
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A token that is in no encoded body: quoted-printable and base64 can't have "=_".
pub(super) fn boundary_stem(random: &[u8]) -> String {
    format!("=_{}", hex(random))
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
