//! The primitives: numbers, atoms, strings, flags.
//!
//! Holds: what is written is of the form that its function is named after, whatever it is given.

use crate::parse::names;

/// What is longer is sent as a literal, though it could be quoted.
pub const QUOTED_OCTETS_MAX: usize = 1_024;

/// A NUL in a message, which RFC 9051 §4.3.1 forbids in a literal, is sent as this octet. The length is the same.
pub const NUL_STAND_IN: u8 = 0x80;

pub(crate) fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub fn number(out: &mut Vec<u8>, value: u32) {
    number64(out, u64::from(value));
}

/// 63 bits (RFC 9051 §9): what is more becomes the most.
pub fn number64(out: &mut Vec<u8>, value: u64) {
    let mut value = value.min(i64::MAX as u64);
    let mut digits = [b'0'; 19];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        length += 1;
        if value == 0 {
            break;
        }
    }
    let (_, digits) = digits.split_at(digits.len() - length);
    out.extend_from_slice(digits);
}

/// What can be in a tag, a capability, an object identifier. Anything else becomes `_`.
pub fn atom(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() {
        out.push(b'_');
    }
    out.extend(text.bytes().map(|octet| match octet {
        b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']' => b'_',
        octet if octet.is_ascii_graphic() => octet,
        _ => b'_',
    }));
}

/// Text for people, up to the end of the line: printable ASCII, and never empty.
/// Without a code before it, it does not look as if it had one; and it does not end as if a literal came next.
pub(crate) fn human(out: &mut Vec<u8>, text: &str, has_code: bool) {
    if text.is_empty() {
        out.push(b'-');
        return;
    }
    let start = out.len();
    out.extend(text.chars().map(|c| match c {
        ' '..='~' => c as u8,
        _ => b'?',
    }));
    if let Some(first @ b'[') = out.get_mut(start)
        && !has_code
    {
        *first = b'(';
    }
    if let Some(last @ b'}') = out.last_mut() {
        *last = b')';
    }
}

/// Whether it can be in quotes as it is, or with `\` before `"` and `\`.
fn is_quotable(text: &[u8]) -> bool {
    text.len() <= QUOTED_OCTETS_MAX && text.iter().all(|octet| (b' '..=b'~').contains(octet))
}

fn quoted_octets(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for octet in text {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out.push(b'"');
}

/// In quotes, where the grammar has nothing else. What can't be there becomes `_`.
pub fn quoted(out: &mut Vec<u8>, text: &str) {
    let text: Vec<u8> = text
        .chars()
        .map(|c| {
            if (' '..='~').contains(&c) {
                c as u8
            } else {
                b'_'
            }
        })
        .collect();
    quoted_octets(out, &text);
}

/// Quoted when it is short ASCII without control characters, else a literal.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    if is_quotable(text) {
        quoted_octets(out, text);
    } else {
        literal(out, text);
    }
}

pub fn nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => string(out, text),
        None => push(out, "NIL"),
    }
}

/// `{n}` and the octets; NUL is replaced (see [`NUL_STAND_IN`]).
pub fn literal(out: &mut Vec<u8>, octets: &[u8]) {
    literal_head(out, octets.len() as u64);
    literal_octets(out, octets);
}

/// `{n}` and CRLF: so many octets have to follow.
pub fn literal_head(out: &mut Vec<u8>, octets: u64) {
    out.push(b'{');
    number64(out, octets);
    push(out, "}\r\n");
}

/// A piece of a literal that is sent bit by bit.
pub fn literal_octets(out: &mut Vec<u8>, octets: &[u8]) {
    let start = out.len();
    out.extend_from_slice(octets);
    let mut rest = out.get_mut(start..).unwrap_or_default();
    while let Some(at) = memchr::memchr(0, rest) {
        let (before, after) = rest.split_at_mut(at + 1);
        if let Some(nul) = before.last_mut() {
            *nul = NUL_STAND_IN;
        }
        rest = after;
    }
}

/// `~{n}` and the octets as they are (RFC 3516 §4.2).
pub fn literal8(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'~');
    literal_head(out, octets.len() as u64);
    out.extend_from_slice(octets);
}

/// For what may be binary: a string if it has no NUL, else a literal8.
pub fn string_or_literal8(out: &mut Vec<u8>, octets: &[u8]) {
    if memchr::memchr(0, octets).is_some() {
        literal8(out, octets);
    } else {
        string(out, octets);
    }
}

/// Bare where every client understands it, else a string.
pub fn astring(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain =
        |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'/');
    let is_bare = !text.is_empty() && text.len() <= QUOTED_OCTETS_MAX && text.iter().all(is_plain);
    if is_bare && !text.eq_ignore_ascii_case(b"NIL") {
        out.extend_from_slice(text);
    } else {
        string(out, text);
    }
}

/// A mailbox name: in UTF-8 when the client has enabled that (RFC 6855 §3, RFC 9051 §5.1), else in modified UTF-7.
pub fn mailbox_name(out: &mut Vec<u8>, name: &str, utf8: bool) {
    if !utf8
        && name
            .bytes()
            .any(|octet| octet == b'&' || !(b' '..=b'~').contains(&octet))
    {
        return astring(out, names::encode(name).as_bytes());
    }
    let is_text = name.len() <= QUOTED_OCTETS_MAX && !name.chars().any(char::is_control);
    if utf8 && is_text && !name.is_ascii() {
        return quoted_octets(out, name.as_bytes());
    }
    astring(out, name.as_bytes());
}

/// `\Seen`, `$Forwarded`, `\*`. What isn't of that form is not written.
pub(crate) fn is_flag(flag: &str) -> bool {
    if flag == "\\*" {
        return true;
    }
    let name = flag.strip_prefix('\\').unwrap_or(flag);
    !name.is_empty() && name.bytes().all(crate::parse::is_atom_char)
}

/// `(\Seen $Forwarded)`. What is no flag is left out.
pub fn flag_list<'a>(out: &mut Vec<u8>, flags: impl IntoIterator<Item = &'a str>) {
    out.push(b'(');
    let mut is_first = true;
    for flag in flags {
        if !is_flag(flag) {
            continue;
        }
        if !is_first {
            out.push(b' ');
        }
        is_first = false;
        push(out, flag);
    }
    out.push(b')');
}
