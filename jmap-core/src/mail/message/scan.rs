//! Header sections: where each field is (RFC 5322 §2.2), without looking into values.
//! Holds: every range lies within the input and fields come in order; one pass, bounded look-ahead.
//! Other half: `headers` gives a field's value its meaning, `structure` walks the parts.

use super::{HEADER_COUNT_MAX, HEADER_OCTETS_MAX};
use std::ops::Range;

/// Where one header field is, in octets from the start of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderField {
    pub name_start: u32,
    pub name_end: u32,
    /// First octet after the colon.
    pub value_start: u32,
    /// First octet of the CRLF that ends the field.
    pub value_end: u32,
}

impl HeaderField {
    pub fn name<'x>(&self, raw: &'x [u8]) -> &'x [u8] {
        slice(raw, self.name_start as usize..self.name_end as usize)
    }

    pub fn value<'x>(&self, raw: &'x [u8]) -> &'x [u8] {
        slice(raw, self.value_start as usize..self.value_end as usize)
    }
}

/// A slice that is empty when the range is not within the input.
pub(super) fn slice(raw: &[u8], range: Range<usize>) -> &[u8] {
    raw.get(range).unwrap_or_default()
}

/// What one header section holds.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub fields: Vec<HeaderField>,
    pub body_start: usize,
    /// Some fields are missing here because a limit was reached.
    pub cut: bool,
}

/// Scans the header section that starts at `start`; `is_delimiter` tells a line that
/// ends it early because it belongs to an enclosing multipart.
pub(super) fn section(raw: &[u8], start: usize, is_delimiter: impl Fn(&[u8]) -> bool) -> Section {
    let mut out = Section::default();
    let mut pos = start;
    while pos < raw.len() {
        let next = line_end(raw, pos);
        let line = trim_eol(&raw[pos..next]);
        if line.is_empty() {
            out.body_start = next;
            return out;
        }
        if line.starts_with(b"--") && is_delimiter(line) {
            out.body_start = pos;
            return out;
        }
        let line_stop = pos + line.len();
        let full = out.fields.len() >= HEADER_COUNT_MAX || pos - start > HEADER_OCTETS_MAX;
        if matches!(line[0], b' ' | b'\t') && !out.fields.is_empty() {
            if let Some(last) = out.fields.last_mut().filter(|_| !out.cut) {
                last.value_end = line_stop as u32;
            }
        } else if let Some((name_len, colon)) = field_name(line) {
            if full {
                out.cut = true;
            } else {
                out.fields.push(HeaderField {
                    name_start: pos as u32,
                    name_end: (pos + name_len) as u32,
                    value_start: (pos + colon + 1) as u32,
                    value_end: line_stop as u32,
                });
            }
        } else if !is_skippable(raw, line, next, out.fields.is_empty()) {
            // RFC 5322 §2.1: what is no field is no header any more; the line stays with the body.
            out.body_start = pos;
            return out;
        }
        pos = next;
    }
    out.body_start = raw.len();
    out
}

/// A line that is no field (an mbox "From " line, a badly folded value) is passed over
/// when a field or a continuation follows at once.
fn is_skippable(raw: &[u8], line: &[u8], next: usize, first: bool) -> bool {
    if line.starts_with(b"From ") || line.starts_with(b">From ") {
        return true;
    }
    if first || next >= raw.len() {
        return false;
    }
    let following = trim_eol(&raw[next..line_end(raw, next)]);
    field_name(following).is_some()
}

/// Length of the field name and position of the colon, when the line starts a field.
fn field_name(line: &[u8]) -> Option<(usize, usize)> {
    let name_len = line
        .iter()
        .position(|&c| !(33..=126).contains(&c) || c == b':')?;
    if name_len == 0 {
        return None;
    }
    // RFC 5322 §4.5: obsolete syntax allows white space before the colon.
    let gap = line[name_len..]
        .iter()
        .position(|&c| !matches!(c, b' ' | b'\t'))?;
    (line[name_len + gap] == b':').then_some((name_len, name_len + gap))
}

/// Offset of the first octet after the line that starts at `pos`.
pub(super) fn line_end(raw: &[u8], pos: usize) -> usize {
    memchr::memchr(b'\n', &raw[pos..]).map_or(raw.len(), |at| pos + at + 1)
}

/// The line without its CRLF or LF.
pub(super) fn trim_eol(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
