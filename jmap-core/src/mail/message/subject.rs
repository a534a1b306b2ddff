//! Base subjects (RFC 5256 §2.1): what a reply and the message it answers have in common.
//! Holds: bounded by [`SUBJECT_OCTETS_MAX`]; the base of a base subject is itself.
//! Other half: threading compares the hashes.

use super::SUBJECT_OCTETS_MAX;

/// Extracts the base subject of a decoded subject.
pub fn base_subject(subject: &str) -> String {
    base_and_reply(subject).0
}

/// The same, and whether it is that of a reply or of something forwarded (RFC 5256 §3, REFERENCES).
pub fn base_and_reply(subject: &str) -> (String, bool) {
    let cut = subject.floor_char_boundary(SUBJECT_OCTETS_MAX.min(subject.len()));
    // (1) Tabs and folds are spaces, and several spaces are one.
    let collapsed = subject[..cut]
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let mut base = collapsed.as_str();
    let mut is_reply = false;
    loop {
        base = strip_trailers(base, &mut is_reply);
        base = strip_leaders(base, &mut is_reply);
        // (6) "[fwd:" ... "]" around the rest.
        let is_wrapped = starts_with_ignore_case(base, "[fwd:") && base.ends_with(']');
        if !is_wrapped {
            return (base.to_owned(), is_reply);
        }
        is_reply = true;
        base = &base[5..base.len() - 1];
    }
}

/// (2) Trailing "(fwd)" and white space.
fn strip_trailers<'t>(mut text: &'t str, is_reply: &mut bool) -> &'t str {
    loop {
        text = text.trim_end();
        let Some(at) = text
            .len()
            .checked_sub(5)
            .filter(|&at| text.is_char_boundary(at))
        else {
            return text;
        };
        if !text[at..].eq_ignore_ascii_case("(fwd)") {
            return text;
        }
        *is_reply = true;
        text = &text[..at];
    }
}

/// (3) to (5): "Re:", "Fwd:" with list tags around them, and list tags before more text.
fn strip_leaders<'t>(mut text: &'t str, is_reply: &mut bool) -> &'t str {
    loop {
        text = text.trim_start();
        if let Some(rest) = strip_reply_marker(text) {
            *is_reply = true;
            text = rest;
        } else if let Some(rest) = strip_blob(text).filter(|rest| !rest.is_empty()) {
            text = rest;
        } else {
            return text;
        }
    }
}

/// subj-leader: any number of blobs, "re" / "fw" / "fwd", a blob, ":".
fn strip_reply_marker(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = strip_blob(rest) {
        rest = after;
    }
    let marker = ["re", "fwd", "fw"]
        .into_iter()
        .find(|marker| starts_with_ignore_case(rest, marker))?;
    let rest = rest[marker.len()..].trim_start();
    let rest = strip_blob(rest).unwrap_or(rest);
    rest.strip_prefix(':')
}

/// subj-blob: "[" text without brackets "]" and white space.
fn strip_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    let rest = inner[end..].strip_prefix(']')?;
    Some(rest.trim_start())
}

fn starts_with_ignore_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// The hash under which threads keep a base subject; letter case doesn't count.
pub fn subject_hash(subject: &str) -> u64 {
    hash(base_subject(subject).to_lowercase().as_bytes())
}

/// The hash under which threads keep a message id.
pub fn message_id_hash(id: &str) -> u64 {
    hash(id.as_bytes())
}

fn hash(octets: &[u8]) -> u64 {
    let digest = blake3::hash(octets);
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_be_bytes(first)
}
