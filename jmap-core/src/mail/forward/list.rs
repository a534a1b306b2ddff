//! The header fields of a list (RFC 2369, RFC 2919).
//!
//! Holds: the list's own fields are the only ones of their names; the body and all other fields stay as they are. There is no Sender field:
//! the author is the author.
//! Other half: `super` decides whether and to whom.

use bytes::Bytes;

use crate::directory::{AccountRecord, OWNER_SUFFIX};

/// Fields that a list before this one may have written (RFC 2919 §8).
const FIELDS: &[&str] = &[
    "list-id",
    "list-post",
    "list-owner",
    "list-help",
    "list-subscribe",
];
/// Octets of the header section that is looked through for them.
const HEADER_OCTETS_MAX: usize = 1 << 20;

/// The reverse-path of what a list sends.
pub(super) fn owner_address(own: &str) -> String {
    match own.rsplit_once('@') {
        Some((local, domain)) => format!("{local}{OWNER_SUFFIX}@{domain}"),
        None => String::new(),
    }
}

/// A message as the list sends it.
pub(super) fn with_fields(octets: &Bytes, own: &str, record: &AccountRecord) -> Bytes {
    let (local, domain) = own.rsplit_once('@').unwrap_or((own, ""));
    let phrase: String = record
        .description
        .chars()
        .filter(|c| c.is_ascii() && !"\"\\<>".contains(*c))
        .collect();
    let phrase = match phrase.trim() {
        "" => String::new(),
        phrase => format!("\"{phrase}\" "),
    };
    let owner = owner_address(own);
    // RFC 2919 §2: a label of its own in the domain.
    let label: String = local
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let fields = format!(
        "List-Id: {phrase}<{label}.{domain}>\r\n\
         List-Post: <mailto:{}>\r\n\
         List-Owner: <mailto:{}>\r\n",
        uri(own),
        uri(&owner),
    );
    [fields.as_bytes(), &without_fields(octets)].concat().into()
}

/// RFC 6068 §2: what may not be in a `mailto` as it is.
fn uri(address: &str) -> String {
    let mut text = String::with_capacity(address.len());
    for octet in address.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(octet)),
            b'.' | b'-' | b'_' | b'@' | b'+' | b'~' | b'!' | b'$' | b'\'' | b'*' => {
                text.push(char::from(octet));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// The message without fields that say of another list what these say of this one.
fn without_fields(octets: &[u8]) -> Vec<u8> {
    let end = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |at| at + 2);
    let (header, rest) = octets.split_at(end);
    if header.len() > HEADER_OCTETS_MAX {
        return octets.to_vec();
    }
    let mut kept = Vec::with_capacity(octets.len());
    let mut is_dropped = false;
    for line in header.split_inclusive(|octet| *octet == b'\n') {
        let is_continued = line.first().is_some_and(|first| b" \t".contains(first));
        if !is_continued {
            let name = line.split(|octet| *octet == b':').next();
            let name = name.unwrap_or_default().trim_ascii();
            is_dropped = FIELDS
                .iter()
                .any(|field| name.eq_ignore_ascii_case(field.as_bytes()));
        }
        if !is_dropped {
            kept.extend_from_slice(line);
        }
    }
    kept.extend_from_slice(rest);
    kept
}
