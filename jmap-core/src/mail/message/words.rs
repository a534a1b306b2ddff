//! Unstructured text and encoded words (RFC 5322 §2.2.3, RFC 2047).
//! Holds: what only looks like an encoded word is left alone (RFC 8621 §4.1.2.2); one pass.
//! Other half: `emit` writes encoded words.

use super::decode;
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The Text form (RFC 8621 §4.1.2.2) of a raw header field value.
pub fn text(raw: &[u8]) -> String {
    let unfolded = unfold(raw);
    let trimmed = unfolded.trim_start_matches([' ', '\t']);
    nfc(decode_words(trimmed))
}

/// The value as text: folds removed, octets that are no UTF-8 replaced, NUL dropped.
pub(super) fn unfold(raw: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(raw);
    if memchr::memchr3(b'\r', b'\n', 0, text.as_bytes()).is_none() {
        return text;
    }
    Cow::Owned(
        text.chars()
            .filter(|c| !matches!(c, '\r' | '\n' | '\0'))
            .collect(),
    )
}

/// Unicode Normalization Form C.
pub(super) fn nfc(text: Cow<'_, str>) -> String {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return text.into_owned();
    }
    text.nfc().collect()
}

/// Decodes the encoded words that stand between white space.
pub(super) fn decode_words(input: &str) -> Cow<'_, str> {
    if !input.contains("=?") {
        return Cow::Borrowed(input);
    }
    let mut out = Words::default();
    let mut rest = input;
    while !rest.is_empty() {
        let gap_len = rest
            .find(|c| !matches!(c, ' ' | '\t'))
            .unwrap_or(rest.len());
        let (gap, tail) = rest.split_at(gap_len);
        let word_len = tail.find([' ', '\t']).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(word_len);
        out.push(gap, word);
        rest = tail;
    }
    Cow::Owned(out.finish())
}

/// Joins words: white space between two encoded words is no text (RFC 2047 §6.2), and
/// a character may be cut in two by their border.
#[derive(Default)]
pub(super) struct Words {
    out: String,
    charset: String,
    pending: Vec<u8>,
    after_encoded: bool,
}

impl Words {
    pub fn push(&mut self, gap: &str, word: &str) {
        let Some((charset, octets)) = encoded_word(word) else {
            self.flush();
            self.out.push_str(gap);
            self.out.push_str(word);
            self.after_encoded = word.is_empty() && self.after_encoded;
            return;
        };
        if !self.after_encoded {
            self.out.push_str(gap);
        }
        if !charset.eq_ignore_ascii_case(&self.charset) {
            self.flush();
            self.charset = charset.to_owned();
        }
        self.pending.extend_from_slice(&octets);
        self.after_encoded = true;
    }

    /// A piece that is not looked into, as a quoted string is.
    pub fn push_verbatim(&mut self, gap: &str, text: &str) {
        self.flush();
        self.out.push_str(gap);
        self.out.push_str(text);
        self.after_encoded = false;
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if let Some((text, _)) = decode::charset(&self.charset, &self.pending) {
            // Control characters in encoded words are dropped (RFC 8621 §4.1.2.2).
            self.out.extend(text.chars().filter(|c| !c.is_control()));
        }
        self.pending.clear();
    }

    pub fn finish(mut self) -> String {
        self.flush();
        self.out
    }
}

/// Character set and octets of `=?charset*language?encoding?text?=`, if it is exactly that
/// and the set is a known one.
pub(super) fn encoded_word(word: &str) -> Option<(&str, Vec<u8>)> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut pieces = inner.splitn(3, '?');
    let (charset, encoding, text) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let charset = charset.split('*').next()?;
    if charset.is_empty() || text.bytes().any(|c| c == b'?' || !(33..=126).contains(&c)) {
        return None;
    }
    decode::charset(charset, b"")?;
    match encoding {
        "b" | "B" => Some((charset, decode::base64(text.as_bytes()).0)),
        "q" | "Q" => Some((charset, decode::q_word(text.as_bytes()))),
        _ => None,
    }
}
