//! What body parts say: decoded octets, body values, previews, text for the search index.
//! Holds: any octets give a value; work and output are bounded by the caller's or a named limit.
//! Other half: `structure` found the parts; `snippet` marks matches in the same text.

use super::address::EmailAddressGroup;
use super::scan::slice;
use super::summary::{Encoding, Part, Summary};
use super::{
    PREVIEW_CHARS_MAX, PREVIEW_SOURCE_OCTETS_MAX, SEARCH_TEXT_OCTETS_MAX, decode, everything, html,
};
use std::borrow::Cow;

/// RFC 8621 §4.1.4, EmailBodyValue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyValue {
    pub value: String,
    pub is_encoding_problem: bool,
    pub is_truncated: bool,
}

/// The text of one message for the search index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchText {
    pub subject: String,
    /// Names and addresses, one mailbox a line.
    pub from: String,
    pub to: String,
    pub cc: String,
    pub bcc: String,
    /// Plain text, at most [`SEARCH_TEXT_OCTETS_MAX`] octets.
    pub body: String,
    pub attachment_names: Vec<String>,
    /// What else there is of bodies: of attachments, of nested messages, in another format.
    pub rest_body: Vec<String>,
    /// All header fields that have a text above, those of parts and nested messages as well.
    pub rest_header: Vec<String>,
    /// All other header fields.
    pub lines: Vec<String>,
    /// There is more than is here.
    pub is_cut: bool,
}

/// The body of a part as it is in the message.
pub fn encoded_octets<'x>(raw: &'x [u8], part: &Part) -> &'x [u8] {
    slice(raw, part.body_start as usize..part.body_end as usize)
}

/// The octets of a part after transfer decoding: what its blob is (RFC 8621 §4.1.4).
pub fn part_octets<'x>(raw: &'x [u8], part: &Part) -> Cow<'x, [u8]> {
    decode_octets(encoded_octets(raw, part), part.encoding).0
}

/// The whole text of a part, in UTF-8; its line ends stay what they are.
pub fn part_text<'x>(raw: &'x [u8], part: &Part) -> Cow<'x, str> {
    match part_octets(raw, part) {
        Cow::Borrowed(octets) => decode_text(octets, part).0,
        Cow::Owned(octets) => Cow::Owned(decode_text(&octets, part).0.into_owned()),
    }
}

fn decode_octets(encoded: &[u8], encoding: Encoding) -> (Cow<'_, [u8]>, bool) {
    match encoding {
        Encoding::Identity => (Cow::Borrowed(encoded), false),
        Encoding::Unknown => (Cow::Borrowed(encoded), true),
        Encoding::Base64 => {
            let (octets, problem) = decode::base64(encoded);
            (Cow::Owned(octets), problem)
        }
        Encoding::QuotedPrintable => {
            let (octets, problem) = decode::quoted_printable(encoded);
            (Cow::Owned(octets), problem)
        }
    }
}

/// The text of octets in the charset of the part, and whether that was a problem.
fn decode_text<'x>(octets: &'x [u8], part: &Part) -> (Cow<'x, str>, bool) {
    let Some(charset) = part.charset.as_deref() else {
        // Nobody told: UTF-8 is no surprise.
        return decode::guess(octets);
    };
    if decode::is_us_ascii(charset) && !octets.is_ascii() {
        return (decode::guess(octets).0, true);
    }
    match decode::charset(charset, octets) {
        Some(decoded) => decoded,
        None => {
            let (text, _) = decode::guess(octets);
            (text, true)
        }
    }
}

/// The body value of a part; `octets_max` 0 is no limit (RFC 8621 §4.2, maxBodyValueBytes).
pub fn body_value(raw: &[u8], part: &Part, octets_max: usize) -> BodyValue {
    let (octets, bad_transfer) = decode_octets(encoded_octets(raw, part), part.encoding);
    let (text, bad_charset) = decode_text(&octets, part);
    let mut value = line_feeds(strip_mark(&text));
    let is_truncated = octets_max > 0 && value.len() > octets_max;
    if is_truncated {
        value.truncate(cut_position(
            &value,
            octets_max,
            part.media_type == "text/html",
        ));
    }
    BodyValue {
        value,
        is_encoding_problem: bad_transfer || bad_charset,
        is_truncated,
    }
}

/// The text without a byte order mark.
fn strip_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn line_feeds(text: &str) -> String {
    if memchr::memchr(b'\r', text.as_bytes()).is_some() {
        text.replace("\r\n", "\n")
    } else {
        text.to_owned()
    }
}

/// Where to cut: on a character, and for HTML not inside of a tag.
fn cut_position(value: &str, octets_max: usize, is_html: bool) -> usize {
    let at = value.floor_char_boundary(octets_max);
    if !is_html {
        return at;
    }
    let head = &value.as_bytes()[..at];
    let Some(open) = memchr::memrchr(b'<', head) else {
        return at;
    };
    if memchr::memchr(b'>', &head[open..]).is_some() {
        return at;
    }
    let next = value.as_bytes().get(open + 1).copied().unwrap_or(b'/');
    let is_tag = next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?');
    if is_tag { open } else { at }
}

/// The plain text of a text part, from at most `source_max` encoded octets.
pub(super) fn plain_text(raw: &[u8], part: &Part, source_max: usize, text_max: usize) -> String {
    let encoded = encoded_octets(raw, part);
    let is_cut = encoded.len() > source_max;
    let (octets, _) = decode_octets(&encoded[..encoded.len().min(source_max)], part.encoding);
    let kept = if is_cut {
        whole_characters(&octets)
    } else {
        &octets[..]
    };
    let (text, _) = decode_text(kept, part);
    let text = strip_mark(&text);
    if part.media_type == "text/html" {
        return html::to_text(text, text_max);
    }
    line_feeds(&text[..text.floor_char_boundary(text_max.min(text.len()))])
}

/// UTF-8 without the character that a cut left incomplete; anything else as it is.
fn whole_characters(octets: &[u8]) -> &[u8] {
    match std::str::from_utf8(octets) {
        Err(error) if error.error_len().is_none() => &octets[..error.valid_up_to()],
        _ => octets,
    }
}

/// The preview: the start of the first body part that has text (RFC 8621 §4.1.4).
pub(super) fn preview(raw: &[u8], summary: &Summary) -> String {
    let candidates = summary.text_body.iter().chain(&summary.html_body);
    let texts = candidates
        .filter_map(|&at| summary.parts.get(at as usize))
        .filter(|part| part.is_text());
    for part in texts.take(4) {
        let text = plain_text(raw, part, PREVIEW_SOURCE_OCTETS_MAX, PREVIEW_CHARS_MAX * 16);
        let found = preview_of(&text);
        if !found.is_empty() {
            return found;
        }
    }
    String::new()
}

/// White space collapsed, quoted lines left out unless there is nothing else.
fn preview_of(text: &str) -> String {
    let own = text.lines().filter(|line| !line.starts_with('>'));
    let found = collapse(own);
    if found.is_empty() {
        collapse(text.lines())
    } else {
        found
    }
}

fn collapse<'x>(lines: impl Iterator<Item = &'x str>) -> String {
    let mut out = String::new();
    let mut chars = 0;
    let words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c.is_control()));
    for word in words {
        // Newsletters pad their previews with characters that nobody sees.
        let is_seen = |c: &char| {
            !matches!(
                c,
                '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
            )
        };
        if !word.chars().any(|c| is_seen(&c)) {
            continue;
        }
        if chars > 0 {
            out.push(' ');
            chars += 1;
        }
        for c in word.chars().filter(is_seen) {
            if chars >= PREVIEW_CHARS_MAX {
                return out.trim_end().to_owned();
            }
            out.push(c);
            chars += 1;
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Text shorter than this may be a mere "your program shows no HTML": the HTML is indexed, too.
const TEXT_ALONE_OCTETS_MIN: usize = 512;

/// The text of a message for the search index.
pub fn search_text(raw: &[u8], summary: &Summary) -> SearchText {
    let mut out = SearchText {
        subject: summary.subject.clone().unwrap_or_default(),
        from: mailboxes(&summary.from),
        to: mailboxes(&summary.to),
        cc: mailboxes(&summary.cc),
        bcc: mailboxes(&summary.bcc),
        is_cut: summary.is_cut,
        ..SearchText::default()
    };
    let mut known = summary.text_body.clone();
    for &at in &summary.text_body {
        add_text(raw, summary, at, &mut out);
    }
    if out.body.len() < TEXT_ALONE_OCTETS_MIN {
        for &at in &summary.html_body {
            if !summary.text_body.contains(&at) {
                add_text(raw, summary, at, &mut out);
                known.push(at);
            }
        }
    }
    let attachments = summary.attachments.iter();
    for part in attachments.filter_map(|&at| summary.parts.get(at as usize)) {
        out.attachment_names.extend(part.name.clone());
    }
    let mut rest = Rest { out, known };
    everything::each_text(raw, summary, &mut rest);
    rest.out
}

/// The header fields that have a text of their own.
const SEARCHED_FIELDS: [&[u8]; 5] = [b"from", b"to", b"cc", b"bcc", b"subject"];

/// Takes what is searched of a message only as a piece of text.
struct Rest {
    out: SearchText,
    known: Vec<u32>,
}

impl everything::Texts for Rest {
    fn header(&mut self, name: &[u8], line: &str) {
        let mut known = SEARCHED_FIELDS.iter();
        let out = match known.any(|known| name.eq_ignore_ascii_case(known)) {
            true => &mut self.out.rest_header,
            false => &mut self.out.lines,
        };
        out.push(line.to_owned());
    }

    fn body(&mut self, text: &str) {
        // Where a text was cut isn't known here: one that is as long as it may be counts as cut.
        self.out.is_cut |= text.len() * 2 >= SEARCH_TEXT_OCTETS_MAX;
        self.out.rest_body.push(text.to_owned());
    }

    fn wants(&self) -> (bool, bool) {
        (true, true)
    }

    fn body_octets_max(&self) -> usize {
        SEARCH_TEXT_OCTETS_MAX
    }

    fn is_known(&self, part: usize) -> bool {
        self.known.iter().any(|&known| known as usize == part)
    }
}

fn add_text(raw: &[u8], summary: &Summary, at: u32, out: &mut SearchText) {
    let Some(part) = summary.parts.get(at as usize).filter(|part| part.is_text()) else {
        return;
    };
    let separator = usize::from(!out.body.is_empty());
    let left = SEARCH_TEXT_OCTETS_MAX.saturating_sub(out.body.len() + separator);
    // Encoded text is at most four times as long as decoded text; markup takes its part.
    out.is_cut |= left == 0 || encoded_octets(raw, part).len() > left;
    if left == 0 {
        return;
    }
    let text = plain_text(raw, part, left * 4, left);
    if !out.body.is_empty() {
        out.body.push('\n');
    }
    out.body
        .push_str(&text[..text.floor_char_boundary(left.min(text.len()))]);
}

/// Names and addresses, one mailbox a line, groups by name.
fn mailboxes(list: &Option<Vec<EmailAddressGroup>>) -> String {
    let mut out = String::new();
    for group in list.iter().flatten() {
        if let Some(name) = group.name.as_deref().filter(|name| !name.is_empty()) {
            out.push_str(name);
            out.push('\n');
        }
        for address in &group.addresses {
            if let Some(name) = &address.name {
                out.push_str(name);
                out.push(' ');
            }
            out.push_str(&address.email);
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}
