//! A message as the interpreter wants it: the parser's `Message`, of the parts that we have found ourselves.
//!
//! Holds: the parser, which takes messages within messages apart to any depth, gets nothing but header sections to see; no more than
//! [`NESTED_DEPTH_MAX`] messages are within each other, with no more than twice `MIME_PARTS_MAX` parts in all of them, and [`HEADERS_OCTETS_MAX`] of
//! header fields; save for texts and files whose transfer encoding is undone, nothing is copied.
//! Other half: `message::structure`, which finds the parts; `run`.

use std::{borrow::Cow, ops::Range};

use mail_parser::{Encoding, Header, Message, MessageParser, MessagePart, PartType};

use crate::mail::message::{self, MIME_PARTS_MAX, Part, Summary, part_octets, part_text};

/// Messages within messages that a script can see into.
pub(super) const NESTED_DEPTH_MAX: usize = 8;

/// Octets of all header sections of a message together: a field costs much more memory than the few octets it may be written with.
pub(super) const HEADERS_OCTETS_MAX: usize = 2 << 20;

/// Takes a message apart. The error is a sentence.
pub(super) fn take_apart(raw: &[u8]) -> Result<Message<'_>, String> {
    let mut apart = Apart {
        raw,
        parts_left: MIME_PARTS_MAX,
        headers_left: HEADERS_OCTETS_MAX,
    };
    apart.message(0..raw.len(), Summary::parse(raw), 0)
}

struct Apart<'x> {
    raw: &'x [u8],
    /// Parts that messages within the message may have.
    parts_left: usize,
    /// Octets that header sections may have.
    headers_left: usize,
}

impl<'x> Apart<'x> {
    /// The message that is at `at`, whose offsets count, as all do here, from the start of the outermost.
    fn message(
        &mut self,
        at: Range<usize>,
        summary: Summary,
        depth: usize,
    ) -> Result<Message<'x>, String> {
        let raw = &self.raw[at.clone()];
        let mut parts = Vec::with_capacity(summary.parts.len());
        for part in &summary.parts {
            parts.push(MessagePart {
                headers: self.headers(raw, at.start, part)?,
                is_encoding_problem: false,
                body: self.body(raw, at.start, part, depth)?,
                encoding: match part.encoding {
                    message::Encoding::Base64 => Encoding::Base64,
                    message::Encoding::QuotedPrintable => Encoding::QuotedPrintable,
                    message::Encoding::Identity | message::Encoding::Unknown => Encoding::None,
                },
                offset_header: offset(at.start, part.header_start),
                offset_body: offset(at.start, part.body_start),
                offset_end: offset(at.start, part.body_end),
            });
        }
        Ok(Message {
            html_body: summary.html_body,
            text_body: summary.text_body,
            attachments: summary.attachments,
            parts,
            raw_message: Cow::Borrowed(self.raw),
        })
    }

    fn body(
        &mut self,
        raw: &'x [u8],
        start: usize,
        part: &Part,
        depth: usize,
    ) -> Result<PartType<'x>, String> {
        Ok(match part.media_type.as_str() {
            _ if part.is_multipart() => PartType::Multipart(part.children.clone()),
            "text/html" => PartType::Html(part_text(raw, part)),
            _ if part.is_text() => PartType::Text(part_text(raw, part)),
            "message/rfc822" | "message/global" => match self.nested(raw, start, part, depth)? {
                Some(message) => PartType::Message(message),
                None => PartType::Binary(part_octets(raw, part)),
            },
            _ => PartType::Binary(part_octets(raw, part)),
        })
    }

    /// `None`: it is to be taken as a file. So is one that is encoded, which RFC 2046 §5.2.1 doesn't allow.
    fn nested(
        &mut self,
        raw: &'x [u8],
        start: usize,
        part: &Part,
        depth: usize,
    ) -> Result<Option<Message<'x>>, String> {
        let is_encoded = match part.encoding {
            message::Encoding::Base64 | message::Encoding::QuotedPrintable => true,
            message::Encoding::Identity | message::Encoding::Unknown => false,
        };
        if is_encoded || depth == NESTED_DEPTH_MAX || self.parts_left == 0 {
            return Ok(None);
        }
        let at = part.body_start as usize..part.body_end as usize;
        let Some(octets) = raw.get(at.clone()) else {
            return Ok(None);
        };
        let summary = Summary::parse(octets);
        self.parts_left = self.parts_left.saturating_sub(summary.parts.len());
        let message = self.message(start + at.start..start + at.end, summary, depth + 1)?;
        Ok(Some(message))
    }

    fn headers(
        &mut self,
        raw: &'x [u8],
        start: usize,
        part: &Part,
    ) -> Result<Vec<Header<'x>>, String> {
        let section = part.header_start as usize..part.body_start as usize;
        let section = raw.get(section).unwrap_or_default();
        let left = self.headers_left.checked_sub(section.len());
        self.headers_left = left.ok_or("the header of the message is too large")?;
        let parsed = MessageParser::new().parse_headers(section);
        let first = parsed.and_then(|message| message.parts.into_iter().next());
        let mut headers = first.map(|part| part.headers).unwrap_or_default();
        let start = start + part.header_start as usize;
        for header in &mut headers {
            header.offset_field = offset(start, header.offset_field);
            header.offset_start = offset(start, header.offset_start);
            header.offset_end = offset(start, header.offset_end);
        }
        Ok(headers)
    }
}

/// The parser's offsets have 32 bits.
fn offset(start: usize, within: u32) -> u32 {
    let start = u32::try_from(start).unwrap_or(u32::MAX);
    start.saturating_add(within)
}
