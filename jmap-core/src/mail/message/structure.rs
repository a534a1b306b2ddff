//! The body parts of a message (RFC 2046 §5.1), found in one pass over its lines.
//! Holds: parts are in depth-first order, a child lies within its parent's body; what is nested or
//! counted past the limits stays one opaque part; `message/rfc822` is never looked into.
//! Other half: `body` decodes what a part holds; `build` writes multiparts.

use super::scan::{self, HeaderField, Section, slice, trim_eol};
use super::summary::{Encoding, Part};
use super::words::unfold;
use super::{MIME_DEPTH_MAX, MIME_PARAM_OCTETS_MAX, MIME_PARTS_MAX, decode, params};

pub(super) struct Structure {
    pub parts: Vec<Part>,
    /// Fields of the message's own header section.
    pub fields: Vec<HeaderField>,
    /// A limit was reached: parts or fields are missing.
    pub cut: bool,
}

/// A multipart whose parts are being read.
struct Open {
    part: usize,
    boundary: String,
}

struct Walk<'x> {
    raw: &'x [u8],
    parts: Vec<Part>,
    open: Vec<Open>,
    /// The part whose body is being read, if it is no multipart.
    leaf: Option<usize>,
    cut: bool,
}

/// What a line that starts with "--" is, and to which open multipart.
enum Delimiter {
    Next(usize),
    Close(usize),
}

pub(super) fn parse(raw: &[u8]) -> Structure {
    let section = scan::section(raw, 0, |_| false);
    let mut walk = Walk {
        raw,
        parts: Vec::with_capacity(4),
        open: Vec::new(),
        leaf: None,
        cut: section.cut,
    };
    let body_start = section.body_start;
    walk.start_part(0, &section);
    walk.run(body_start);
    walk.close_down_to(0, raw.len());
    walk.finish();
    Structure {
        parts: walk.parts,
        fields: section.fields,
        cut: walk.cut,
    }
}

impl Walk<'_> {
    fn run(&mut self, start: usize) {
        let raw = self.raw;
        let mut pos = start;
        while pos < raw.len() && !self.open.is_empty() {
            let next = scan::line_end(raw, pos);
            let line = trim_eol(&raw[pos..next]);
            let found = match line.starts_with(b"--") {
                true => delimiter(&self.open, line),
                false => None,
            };
            let Some(found) = found else {
                pos = self.skip_to_dashes(next);
                continue;
            };
            // The line break before a delimiter belongs to the delimiter.
            let end = trim_eol(&raw[..pos]).len();
            match found {
                Delimiter::Close(level) => {
                    self.close_down_to(level + 1, end);
                    pos = next;
                }
                Delimiter::Next(level) => {
                    self.close_down_to(level + 1, end);
                    if self.parts.len() + 1 >= MIME_PARTS_MAX {
                        self.opaque_rest(pos);
                        return;
                    }
                    let open = &self.open;
                    let section = scan::section(raw, next, |line| delimiter(open, line).is_some());
                    self.cut |= section.cut;
                    pos = section.body_start;
                    self.start_part(next, &section);
                }
            }
        }
    }

    /// The start of the next line that begins with "--"; `from` is the start of a line.
    fn skip_to_dashes(&self, from: usize) -> usize {
        if self.raw[from..].starts_with(b"--") {
            return from;
        }
        memchr::memmem::find(&self.raw[from..], b"\n--").map_or(self.raw.len(), |at| from + at + 1)
    }

    /// Adds the part whose header section starts at `header_start`.
    fn start_part(&mut self, header_start: usize, section: &Section) {
        let index = self.parts.len();
        let parent = self.open.last().map(|open| open.part);
        let in_digest =
            parent.is_some_and(|parent| self.parts[parent].media_type == "multipart/digest");
        let mut part = Part {
            parent: parent.map(|parent| parent as u32),
            header_start: header_start as u32,
            body_start: section.body_start as u32,
            body_end: section.body_start as u32,
            ..Part::default()
        };
        let boundary = describe(&mut part, self.raw, &section.fields, in_digest);
        self.leaf = Some(index);
        if part.is_multipart() {
            if self.open.len() >= MIME_DEPTH_MAX {
                part.media_type = "application/octet-stream".to_owned();
                part.charset = None;
                self.cut = true;
            } else if let Some(boundary) = boundary {
                self.leaf = None;
                self.open.push(Open {
                    part: index,
                    boundary,
                });
            }
        }
        self.parts.push(part);
    }

    /// Past the limit of parts: all that is left is one part without a header section.
    fn opaque_rest(&mut self, start: usize) {
        self.cut = true;
        self.leaf = Some(self.parts.len());
        self.parts.push(Part {
            parent: self.open.last().map(|open| open.part as u32),
            header_start: start as u32,
            body_start: start as u32,
            media_type: "application/octet-stream".to_owned(),
            ..Part::default()
        });
    }

    /// Ends the part being read, and the open multiparts from `level` on, at `end`.
    fn close_down_to(&mut self, level: usize, end: usize) {
        let leaf = self.leaf.take();
        let closed = self
            .open
            .drain(level.min(self.open.len())..)
            .map(|open| open.part);
        for index in leaf.into_iter().chain(closed) {
            let part = &mut self.parts[index];
            part.body_end = (end as u32).max(part.body_start);
        }
    }

    /// What is known only when all parts are: which multiparts had no parts, and sizes.
    fn finish(&mut self) {
        let mut has_children = vec![false; self.parts.len()];
        for part in &self.parts {
            if let Some(parent) = part.parent {
                has_children[parent as usize] = true;
            }
        }
        for (part, has_children) in self.parts.iter_mut().zip(has_children) {
            if part.is_multipart() && !has_children {
                // RFC 2045 §5.2: a Content-Type that can't be right counts as text/plain.
                part.media_type = "text/plain".to_owned();
            }
            if part.is_multipart() {
                continue;
            }
            let body = slice(self.raw, part.body_start as usize..part.body_end as usize);
            part.size = match part.encoding {
                Encoding::Base64 => decode::base64_len(body),
                Encoding::QuotedPrintable => decode::quoted_printable_len(body),
                Encoding::Identity | Encoding::Unknown => body.len() as u64,
            };
            if part.is_text() || part.media_type.starts_with("message/") {
                part.lines = memchr::memchr_iter(b'\n', body).count() as u32;
            }
        }
    }
}

/// Innermost multipart first; RFC 2046 §5.1.1: white space may follow the boundary.
fn delimiter(open: &[Open], line: &[u8]) -> Option<Delimiter> {
    let rest = line.strip_prefix(b"--")?;
    let rest = &rest[..rest
        .iter()
        .rposition(|c| !matches!(c, b' ' | b'\t' | b'\r'))?
        + 1];
    open.iter().enumerate().rev().find_map(|(level, open)| {
        match rest.strip_prefix(open.boundary.as_bytes())? {
            b"" => Some(Delimiter::Next(level)),
            b"--" => Some(Delimiter::Close(level)),
            _ => None,
        }
    })
}

/// Fills in what the header section says of the part; returns the boundary of a multipart.
fn describe(
    part: &mut Part,
    raw: &[u8],
    fields: &[HeaderField],
    in_digest: bool,
) -> Option<String> {
    let mut content_type = None;
    let mut disposition = None;
    for field in fields {
        let name = field.name(raw);
        if !name
            .get(..8)
            .is_some_and(|head| head.eq_ignore_ascii_case(b"content-"))
        {
            continue;
        }
        let value = field.value(raw);
        match name[8..].to_ascii_lowercase().as_slice() {
            b"type" => content_type = Some(params::parse(value)),
            b"disposition" => disposition = Some(params::parse(value)),
            b"transfer-encoding" => part.encoding = transfer_encoding(value),
            b"id" => part.cid = content_id(value),
            b"language" => part.language = language(value),
            b"location" => part.location = location(value),
            _ => {}
        }
    }
    let boundary = media_type(part, content_type, in_digest);
    if let Some(mut disposition) = disposition {
        if let Some(name) = disposition.take("filename").filter(|name| !name.is_empty()) {
            part.name = Some(name);
        }
        part.disposition = Some(disposition.value).filter(|value| !value.is_empty());
    }
    boundary
}

/// Type, charset, name and parameters (RFC 2045 §5, RFC 8621 §4.1.4).
fn media_type(
    part: &mut Part,
    content_type: Option<params::Parameterized>,
    in_digest: bool,
) -> Option<String> {
    let Some(mut found) = content_type else {
        part.media_type = match in_digest {
            true => "message/rfc822".to_owned(),
            false => "text/plain".to_owned(),
        };
        part.charset = in_digest.then(|| "us-ascii".to_owned());
        return None;
    };
    part.charset = found.take("charset").filter(|charset| !charset.is_empty());
    part.name = found.take("name").filter(|name| !name.is_empty());
    let boundary = found.get("boundary").map(|text| text.trim_end().to_owned());
    let mut kept = 0;
    for (name, value) in found.params {
        kept += name.len() + value.len();
        if kept > MIME_PARAM_OCTETS_MAX {
            break;
        }
        part.params.extend([name, value]);
    }
    let is_type = found.value.split_once('/').is_some_and(|(main, sub)| {
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic());
        is_token(main) && is_token(sub)
    });
    // RFC 2045 §5.2: what is no type at all counts as text/plain.
    part.media_type = match is_type {
        true => found.value,
        false => "text/plain".to_owned(),
    };
    boundary.filter(|boundary| !boundary.is_empty())
}

fn transfer_encoding(value: &[u8]) -> Encoding {
    let name = params::parse(value).value;
    match name.as_str() {
        "base64" => Encoding::Base64,
        "quoted-printable" => Encoding::QuotedPrintable,
        "7bit" | "8bit" | "binary" | "" => Encoding::Identity,
        _ => Encoding::Unknown,
    }
}

fn content_id(value: &[u8]) -> Option<String> {
    let value = unfold(value);
    let value = super::address::without_comments(&value);
    let value = value.trim();
    let inner = value.strip_prefix('<').unwrap_or(value);
    let inner = inner.split('>').next().unwrap_or(inner).trim();
    bounded(inner)
}

/// RFC 3282: tags between commas, comments removed.
fn language(value: &[u8]) -> Vec<String> {
    let value = unfold(value);
    let value = super::address::without_comments(&value);
    let tags = value
        .split([',', ' ', '\t', ';'])
        .filter(|tag| !tag.is_empty());
    tags.filter(|tag| tag.len() <= 64)
        .take(16)
        .map(str::to_owned)
        .collect()
}

/// RFC 2557 §4.4: the URI may be folded anywhere; white space is no part of it.
fn location(value: &[u8]) -> Option<String> {
    let value = unfold(value);
    let joined: String = value.split_whitespace().collect();
    bounded(joined.trim_matches('"'))
}

fn bounded(text: &str) -> Option<String> {
    let cut = text.floor_char_boundary(MIME_PARAM_OCTETS_MAX.min(text.len()));
    (cut > 0).then(|| text[..cut].to_owned())
}
