//! The header section of a message, cut to what is looked at, and the hashes of its body.
//!
//! Holds: what `mail-auth` gets to see is bounded by `limits`.
//! Other half: `verify`.

use bytes::Bytes;
use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::HashAlgorithm;
use mail_auth::dkim::Canonicalization;

use crate::limits::{HASH_INLINE_OCTETS, HEADER_FIELDS_MAX, HEADER_OCTETS_MAX};

/// What is looked at.
#[derive(Debug)]
pub struct Section {
    /// A header section with its empty line.
    pub octets: Bytes,
    /// Where the body begins in the message.
    pub body_at: usize,
    /// Something was left out: no signature can be verified.
    pub is_cut: bool,
    /// From fields of the message.
    pub from_fields: usize,
}

impl Section {
    pub fn of(message: &Bytes) -> Section {
        let mut at = 0;
        let (mut fields, mut from_fields) = (0usize, 0usize);
        // The From fields, should the rest be too much.
        let mut froms = Vec::new();
        let mut body_at = message.len();
        while at < message.len() {
            if message[at..].starts_with(b"\r\n") {
                body_at = at + 2;
                break;
            }
            let start = at;
            at = line_end(message, at);
            while matches!(message.get(at), Some(b' ' | b'\t')) {
                at = line_end(message, at);
            }
            fields += 1;
            let field = &message[start..at];
            if is_from(field) {
                from_fields += 1;
                if froms.len() + field.len() <= HEADER_OCTETS_MAX {
                    froms.extend_from_slice(field);
                }
            }
        }
        let is_cut = body_at > HEADER_OCTETS_MAX || fields > HEADER_FIELDS_MAX;
        let octets = match is_cut {
            false => message.slice(..body_at),
            true => {
                froms.extend_from_slice(b"\r\n");
                Bytes::from(froms)
            }
        };
        Section {
            octets,
            body_at,
            is_cut,
            from_fields,
        }
    }
}

fn line_end(message: &[u8], start: usize) -> usize {
    let rest = &message[start..];
    start + memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1)
}

fn is_from(field: &[u8]) -> bool {
    let colon = memchr::memchr(b':', field).unwrap_or(0);
    field[..colon]
        .trim_ascii_end()
        .eq_ignore_ascii_case(b"from")
}

/// Puts the hashes of the body into a message of which only the header was parsed.
pub async fn hash_body(parsed: &mut AuthenticatedMessage<'_>, message: &Bytes, body_at: usize) {
    let kinds: Vec<(Canonicalization, HashAlgorithm)> = parsed
        .body_hashes
        .iter()
        .map(|&(canonicalization, algorithm, _, _)| (canonicalization, algorithm))
        .collect();
    if kinds.is_empty() {
        return;
    }
    let body = message.slice(body_at.min(message.len())..);
    let hashes = if body.len() <= HASH_INLINE_OCTETS {
        hashes(&body, &kinds)
    } else {
        let job = tokio::task::spawn_blocking(move || hashes(&body, &kinds));
        // A runtime that stops leaves no hash, which is nobody's.
        job.await.unwrap_or_default()
    };
    for (at, entry) in parsed.body_hashes.iter_mut().enumerate() {
        entry.3 = hashes.get(at).cloned().unwrap_or_default();
    }
}

fn hashes(body: &[u8], kinds: &[(Canonicalization, HashAlgorithm)]) -> Vec<Vec<u8>> {
    let hash = |&(canonicalization, algorithm): &(Canonicalization, HashAlgorithm)| {
        let body = match canonicalization {
            Canonicalization::Relaxed => without_blank_end(body),
            Canonicalization::Simple => body,
        };
        let body = canonicalization.canonical_body(body, 0);
        algorithm.hash(body).as_ref().to_vec()
    };
    kinds.iter().map(hash).collect()
}

/// RFC 6376 §3.4.4: lines of nothing but white space are empty lines, and those at the end don't count. `mail-auth` 0.13
/// counts them, so they are taken away here.
fn without_blank_end(body: &[u8]) -> &[u8] {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let Some(last) = body.iter().rposition(|octet| !blank(octet)) else {
        return b"";
    };
    let end = line_end(body, last);
    &body[..end]
}

#[cfg(test)]
mod tests;
