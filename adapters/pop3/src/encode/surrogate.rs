//! A message for a client that has not said UTF8 (RFC 6856 §2.1): its header in ASCII, as RFC 6855 §7 allows.
//!
//! Holds: a message whose header is ASCII is left as it is, and so is every octet of the body; what comes out is ASCII in
//! its header. Text goes into encoded-words (RFC 2047); an address that needs UTF-8 becomes the name of an empty group
//! (RFC 6857 §3.1.1), so that nobody answers to the wrong one.
//! Other half: `commands::retrieve`.

use std::borrow::Cow;

/// Octets of text in one encoded-word: in hexadecimal they stay within its 75 (RFC 2047 §2).
const WORD_TEXT_OCTETS_MAX: usize = 18;

/// The message, with a header that is ASCII.
pub fn surrogate(message: &[u8]) -> Cow<'_, [u8]> {
    let header = super::top(message, 0);
    if header.is_ascii() {
        return Cow::Borrowed(message);
    }
    let mut out = Vec::with_capacity(message.len() + header.len());
    let mut rest = header;
    while !rest.is_empty() {
        let end = field_end(rest);
        let (field, after) = rest.split_at(end);
        match field.is_ascii() {
            true => out.extend_from_slice(field),
            false => convert(field, &mut out),
        }
        rest = after;
    }
    out.extend_from_slice(&message[header.len()..]);
    Cow::Owned(out)
}

/// Where the field ends that the header begins with: lines that begin with a space belong to it.
fn field_end(header: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let Some(end) = memchr::memchr(b'\n', &header[at..]) else {
            return header.len();
        };
        at += end + 1;
        if !matches!(header.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

fn convert(field: &[u8], out: &mut Vec<u8>) {
    let Some(colon) = memchr::memchr(b':', field).filter(|&at| field[..at].is_ascii()) else {
        // No field at all: its octets are of no use to anybody.
        out.extend(field.iter().map(|b| if b.is_ascii() { *b } else { b'?' }));
        return;
    };
    let (name, body) = (&field[..colon], &field[colon + 1..]);
    let body = String::from_utf8_lossy(body);
    let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let written = match kind(name) {
        Kind::Addresses => addresses(&body),
        Kind::Text => encoded(&body),
        // What has a grammar without encoded-words can't be kept.
        Kind::Structured => body.replace(|c: char| !c.is_ascii(), "?"),
    };
    out.extend_from_slice(written.as_bytes());
    out.extend_from_slice(b"\r\n");
}

enum Kind {
    Addresses,
    Text,
    Structured,
}

fn kind(name: &[u8]) -> Kind {
    let is_one_of = |names: &[&str]| {
        let mut names = names.iter();
        names.any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    };
    let name_without = match name.get(..7) {
        Some(prefix) if prefix.eq_ignore_ascii_case(b"Resent-") => &name[7..],
        _ => name,
    };
    let addresses = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];
    if addresses
        .iter()
        .any(|known| known.as_bytes().eq_ignore_ascii_case(name_without))
    {
        return Kind::Addresses;
    }
    let structured = [
        "Received",
        "Return-Path",
        "Date",
        "Message-ID",
        "In-Reply-To",
        "References",
        "MIME-Version",
        "Content-Type",
        "Content-Disposition",
        "Content-Transfer-Encoding",
        "Content-ID",
        "DKIM-Signature",
        "Authentication-Results",
    ];
    match is_one_of(&structured) {
        true => Kind::Structured,
        false => Kind::Text,
    }
}

/// A list of addresses, each on a line.
fn addresses(body: &str) -> String {
    let converted = split_list(body).into_iter().map(str::trim);
    let converted = converted.filter(|address| !address.is_empty());
    let converted: Vec<String> = converted.map(address).collect();
    converted.join(",\r\n ")
}

fn address(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let angle = text.rfind('<').filter(|_| text.ends_with('>'));
    match angle {
        Some(at) if text[at..].is_ascii() => {
            let phrase = text[..at].trim().trim_matches('"').replace('\\', "");
            format!("{}\r\n {}", encoded(&phrase), &text[at..])
        }
        _ => {
            let name = text.replace(['<', '>', '"', '\\'], "");
            format!("{} :;", encoded(&name))
        }
    }
}

/// At commas that are not in quotes, comments or angle brackets; a group is not taken apart.
fn split_list(body: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut quoted, mut escaped, mut depth) = (0, false, false, 0usize);
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '<' => depth += 1,
            ')' | '>' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&body[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&body[from..]);
    parts
}

/// RFC 2047 §4.2, in UTF-8; a character is never in two words.
fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = WORD_TEXT_OCTETS_MAX.min(rest.len());
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (word, after) = rest.split_at(end);
        if !out.is_empty() {
            out.push_str("\r\n ");
        }
        out.push_str("=?utf-8?q?");
        for octet in word.bytes() {
            match octet {
                b' ' => out.push('_'),
                octet if octet.is_ascii_alphanumeric() => out.push(char::from(octet)),
                octet => out.push_str(&format!("={octet:02X}")),
            }
        }
        out.push_str("?=");
        rest = after;
    }
    out
}
