//! ENVELOPE, BODY and BODYSTRUCTURE of a message, as they are sent (RFC 9051 §7.5.2, RFC 3501 §7.4.2).
//! Holds: strings are quoted where they are short and of 7 bits, else literals; no octet is NUL, and none of what is quoted
//! CR or LF; the size is bounded whatever the message is.
//! Other half: `structure` finds the parts; `mail::write` keeps this beside the summary.

mod body;
mod envelope;

use std::io::Write;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::Summary;

/// Deepest nesting of messages in messages that is taken apart; what is deeper is one opaque part.
pub const NESTED_MESSAGES_MAX: usize = 8;
/// From this many octets on, what follows is opaque parts.
pub const STRUCTURE_OCTETS_MAX: usize = 1 << 20;
/// Addresses that are listed of one header field.
pub const ENVELOPE_ADDRESSES_MAX: usize = 2_000;
/// Longest quoted string.
const QUOTED_OCTETS_MAX: usize = 1_000;
/// Records of another version are made again.
const VERSION: u8 = 1;

/// RFC 9051 §7.5.2, as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireStructure {
    pub envelope: Bytes,
    pub body: Bytes,
    pub body_structure: Bytes,
}

/// As it is stored.
#[derive(Encode, Decode)]
struct Stored<'b> {
    #[n(0)]
    version: u8,
    #[cbor(n(1), with = "minicbor::bytes")]
    envelope: &'b [u8],
    #[cbor(n(2), with = "minicbor::bytes")]
    body: &'b [u8],
    #[cbor(n(3), with = "minicbor::bytes")]
    body_structure: &'b [u8],
}

impl WireStructure {
    pub fn new(raw: &[u8], summary: &Summary) -> Self {
        let mut envelope = Vec::with_capacity(512);
        envelope::write(&mut envelope, raw, &summary.fields);
        let (body, body_structure) = body::write(raw, summary);
        Self {
            envelope: envelope.into(),
            body: body.into(),
            body_structure: body_structure.into(),
        }
    }

    /// The record's octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.octets() + 16);
        let stored = Stored {
            version: VERSION,
            envelope: &self.envelope,
            body: &self.body,
            body_structure: &self.body_structure,
        };
        // Writing to a Vec can't fail.
        let _ = minicbor::encode(stored, &mut out);
        out
    }

    /// `None`: it is damaged, or of another version.
    pub fn decode(record: &Bytes) -> Option<Self> {
        let stored: Stored<'_> = minicbor::decode(record).ok()?;
        (stored.version == VERSION).then(|| Self {
            envelope: record.slice_ref(stored.envelope),
            body: record.slice_ref(stored.body),
            body_structure: record.slice_ref(stored.body_structure),
        })
    }

    pub fn octets(&self) -> usize {
        self.envelope.len() + self.body.len() + self.body_structure.len()
    }
}

fn nstring(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    let is_plain = |c: u8| matches!(c, b'\t' | b' '..=b'~');
    if text.len() <= QUOTED_OCTETS_MAX && text.bytes().all(is_plain) {
        out.push(b'"');
        for c in text.bytes() {
            if matches!(c, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(c);
        }
        out.push(b'"');
        return;
    }
    // RFC 9051 §4.3: no NUL in a literal. A line break that isn't one of a fold is nothing that a value means.
    let is_odd = |c: u8| matches!(c, 0 | b'\r' | b'\n');
    if !text.bytes().any(is_odd) {
        literal(out, text.as_bytes());
        return;
    }
    let clean = text.replace(['\r', '\n'], " ").replace('\0', "");
    string(out, &clean);
}

fn literal(out: &mut Vec<u8>, octets: &[u8]) {
    // Writing to a Vec can't fail.
    let _ = write!(out, "{{{}}}\r\n", octets.len());
    out.extend_from_slice(octets);
}

fn number(out: &mut Vec<u8>, number: u32) {
    let _ = write!(out, "{number}");
}

/// At most `max` octets, whole characters.
fn beginning(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max.min(text.len()))]
}

#[cfg(test)]
pub(super) mod tests;
