//! `BODY[...]` and `BINARY[...]`: which octets of a message are meant (RFC 9051 §6.4.5.1, RFC 3516).
//!
//! Holds: pure; a part that isn't there is `None`; a message within a message is taken apart once for all sections of a FETCH. What BODYSTRUCTURE
//! numbers is what is found here: both go by the parts of the core's summary.
//! Other half: `fetch::render`.

use std::{borrow::Cow, ops::Range, sync::Arc};

use bytes::Bytes;
use jmap_core::mail::message::{Encoding, Part, Summary, part_octets};

use crate::command::{Section, SectionText};

/// Messages within messages that are kept taken apart.
const EMBEDDED_KEPT_MAX: usize = 64;

/// A message whose parts are asked for.
pub struct Message {
    pub(super) octets: Bytes,
    summary: Arc<Summary>,
    /// Messages within it, by where they begin.
    embedded: Vec<(usize, Arc<Summary>)>,
}

/// Octets of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Octets {
    /// As they are in the message.
    Range(Range<usize>),
    Made(Vec<u8>),
}

/// The part has a Content-Transfer-Encoding that isn't known (RFC 3516 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCte;

/// A part of a message, which may be within another one.
struct Found {
    /// Where the message begins whose part it is.
    start: usize,
    summary: Arc<Summary>,
    /// `None`: the message itself.
    part: Option<usize>,
}

impl Message {
    pub fn new(octets: Bytes, summary: Arc<Summary>) -> Message {
        Message {
            octets,
            summary,
            embedded: Vec::new(),
        }
    }

    pub fn section(&mut self, section: &Section) -> Option<Octets> {
        if section.part.is_empty() && section.text.is_none() {
            return Some(Octets::Range(0..self.octets.len()));
        }
        let found = self.find(&section.part)?;
        let Some(text) = &section.text else {
            return Some(Octets::Range(self.body(&found)?));
        };
        if *text == SectionText::Mime {
            let part = found.summary.parts.get(found.part?)?;
            let header = part.header_start as usize..part.body_start as usize;
            return Some(Octets::Range(self.within(found.start, header)));
        }
        // What comes before HEADER or TEXT has to be a message (RFC 9051 §6.4.5.1).
        let (start, end, summary) = match found.part {
            None => (found.start, self.octets.len(), found.summary),
            Some(_) => {
                let body = self.body(&found)?;
                let summary = self.embedded(&found)?;
                (body.start, body.end, summary)
            }
        };
        let body_start = summary
            .parts
            .first()
            .map_or(0, |root| root.body_start as usize);
        let body_start = start.saturating_add(body_start).min(end);
        let header = start..body_start;
        match text {
            SectionText::Header => Some(Octets::Range(header)),
            SectionText::Text => Some(Octets::Range(body_start..end)),
            SectionText::HeaderFields(names) => {
                let header = self.octets.get(header)?;
                Some(Octets::Made(fields(header, |name| is_among(names, name))))
            }
            SectionText::HeaderFieldsNot(names) => {
                let header = self.octets.get(header)?;
                Some(Octets::Made(fields(header, |name| !is_among(names, name))))
            }
            SectionText::Mime => None,
        }
    }

    /// The octets of a part without its transfer encoding; what is no part of its own is as it is.
    pub fn binary(&mut self, part: &[u32]) -> Result<Option<Octets>, UnknownCte> {
        if part.is_empty() {
            return Ok(Some(Octets::Range(0..self.octets.len())));
        }
        let Some(found) = self.find(part) else {
            return Ok(None);
        };
        let (Some(body), Some(part)) = (self.body(&found), found.part()) else {
            return Ok(None);
        };
        if part.is_multipart() || part.encoding == Encoding::Identity {
            return Ok(Some(Octets::Range(body)));
        }
        if part.encoding == Encoding::Unknown {
            return Err(UnknownCte);
        }
        let message = self.octets.get(found.start..).unwrap_or_default();
        Ok(Some(match part_octets(message, part) {
            Cow::Borrowed(_) => Octets::Range(body),
            Cow::Owned(octets) => Octets::Made(octets),
        }))
    }

    /// Where the body of a part is.
    fn body(&self, found: &Found) -> Option<Range<usize>> {
        let part = found.part()?;
        let body = part.body_start as usize..part.body_end as usize;
        Some(self.within(found.start, body))
    }

    /// A range of a message that begins at `start`, and is within this one.
    fn within(&self, start: usize, range: Range<usize>) -> Range<usize> {
        let end = start.saturating_add(range.end).min(self.octets.len());
        start.saturating_add(range.start).min(end)..end
    }

    fn find(&mut self, numbers: &[u32]) -> Option<Found> {
        let mut found = Found {
            start: 0,
            summary: self.summary.clone(),
            part: None,
        };
        for &number in numbers {
            if let Some(part) = found.part()
                && is_message(part)
            {
                let start = self.body(&found)?.start;
                let summary = self.embedded(&found)?;
                found = Found {
                    start,
                    summary,
                    part: None,
                };
            }
            let at = child(&found.summary.parts, found.part, number)?;
            found.part = Some(at);
        }
        Some(found)
    }

    /// The summary of the message that a part is.
    fn embedded(&mut self, found: &Found) -> Option<Arc<Summary>> {
        if !is_message(found.part()?) {
            return None;
        }
        let body = self.body(found)?;
        // No two messages begin at one place: the one within has a header before it.
        if let Some((_, summary)) = self.embedded.iter().find(|(start, _)| *start == body.start) {
            return Some(summary.clone());
        }
        let summary = Arc::new(Summary::parse(self.octets.get(body.clone())?));
        if self.embedded.len() < EMBEDDED_KEPT_MAX {
            self.embedded.push((body.start, summary.clone()));
        }
        Some(summary)
    }
}

impl Found {
    fn part(&self) -> Option<&Part> {
        self.summary.parts.get(self.part?)
    }
}

/// The n-th part in a part, or in the message.
fn child(parts: &[Part], within: Option<usize>, number: u32) -> Option<usize> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    let container = parts.get(within.unwrap_or(0))?;
    if container.is_multipart() {
        return container.children.get(index).map(|&at| at as usize);
    }
    // RFC 9051 §6.4.5.1: a message that isn't multipart has one part, its own text.
    (within.is_none() && index == 0).then_some(0)
}

/// Whether the part is a message that has parts of its own. RFC 2046 §5.2.1: it can't be encoded; if it is, it is one part.
pub fn is_message(part: &Part) -> bool {
    let is_message = matches!(
        part.media_type.as_str(),
        "message/rfc822" | "message/global"
    );
    is_message && part.encoding == Encoding::Identity
}

fn is_among(names: &[String], name: &[u8]) -> bool {
    names
        .iter()
        .any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name))
}

/// The fields of a header that are wanted, and the empty line (RFC 9051 §6.4.5.1: it is there unless the message has none).
fn fields(header: &[u8], mut wanted: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut is_wanted = false;
    let mut rest = header;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        if matches!(line, b"\r\n" | b"\n") {
            out.extend_from_slice(line);
            break;
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let colon = memchr::memchr(b':', line).unwrap_or(0);
            is_wanted = wanted(line.get(..colon).unwrap_or_default().trim_ascii_end());
        }
        if is_wanted {
            out.extend_from_slice(line);
        }
    }
    out
}
