//! All that a message says, for those who look for a text anywhere in it (RFC 9051 §6.4.4 TEXT, BODY, HEADER).
//!
//! Holds: transfer encodings, character sets and encoded words are decoded; HTML is the text that it shows; messages
//! within messages are looked into, [`NESTED_DEPTH_MAX`] deep.
//! Other half: `body::search_text` gives the index the same words, within its limits.

use std::borrow::Cow;

use super::{
    HEADER_VALUE_OCTETS_MAX, HeaderField, Part, Summary, address, body, headers, summary::Encoding,
    words,
};

/// Messages within messages that are looked into.
pub const NESTED_DEPTH_MAX: usize = 8;
/// Most octets of text that are taken from one body part.
const PART_TEXT_OCTETS_MAX: usize = 64 << 20;

/// Whose values are addresses: their parsed form is searched as well as the written one.
const ADDRESS_FIELDS: [&[u8]; 7] = [
    b"from",
    b"sender",
    b"reply-to",
    b"to",
    b"cc",
    b"bcc",
    b"resent-to",
];

/// The text of a header field's value as it is written, decoded.
pub fn field_text(raw: &[u8], field: &HeaderField) -> String {
    let value = field.value(raw);
    words::text(&value[..value.len().min(HEADER_VALUE_OCTETS_MAX)])
}

/// A mailbox as it is written in the simplest way.
pub fn mailbox_text(address: &address::EmailAddress) -> Cow<'_, str> {
    match &address.name {
        Some(name) => Cow::Owned(format!("{name} <{}>", address.email)),
        None => Cow::Borrowed(&address.email),
    }
}

/// The texts of a field's value: as it is written, and for addresses what they are.
pub fn field_texts(raw: &[u8], field: &HeaderField) -> Vec<String> {
    let mut texts = vec![field_text(raw, field)];
    let name = field.name(raw);
    if ADDRESS_FIELDS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        let value = field.value(raw);
        let groups = address::parse(&value[..value.len().min(HEADER_VALUE_OCTETS_MAX)]);
        for group in groups {
            texts.extend(group.name.filter(|name| !name.is_empty()));
            texts.extend(group.addresses.iter().map(|a| mailbox_text(a).into_owned()));
        }
    }
    texts
}

/// Where the texts of a message go. Each is whole by itself: nothing is found across two of them.
pub trait Texts {
    /// A header field of the message, of a part or of a nested message, as `Name: value`, or what its value means.
    fn header(&mut self, name: &[u8], line: &str);
    /// The text of a body part.
    fn body(&mut self, text: &str);
    /// Whether header fields, and bodies, are wanted still.
    fn wants(&self) -> (bool, bool);
    /// Most octets that a body's text may have.
    fn body_octets_max(&self) -> usize {
        PART_TEXT_OCTETS_MAX
    }
    /// A text part of the message itself, by its index, that is known already.
    fn is_known(&self, _part: usize) -> bool {
        false
    }
}

/// Gives all texts of a message.
pub fn each_text(raw: &[u8], summary: &Summary, texts: &mut impl Texts) {
    let (header, _) = texts.wants();
    if header {
        fields(raw, &summary.fields, texts);
    }
    parts(raw, &summary.parts, 0, texts);
}

fn fields(raw: &[u8], fields: &[HeaderField], texts: &mut impl Texts) {
    for field in fields {
        let name = field.name(raw);
        let mut values = field_texts(raw, field).into_iter();
        if let Some(written) = values.next() {
            let shown = String::from_utf8_lossy(name);
            texts.header(name, &format!("{shown}: {written}"));
        }
        for value in values {
            texts.header(name, &value);
        }
    }
}

fn parts(raw: &[u8], parts: &[Part], depth: usize, texts: &mut impl Texts) {
    for (at, part) in parts.iter().enumerate() {
        let (header, body) = texts.wants();
        if !header && !body {
            return;
        }
        if header {
            if at > 0 {
                let section = part.header_start as usize..part.body_start as usize;
                fields(raw, &headers::fields_of(raw, section), texts);
            }
            // RFC 2231: a name may be in pieces, and encoded.
            if let Some(name) = &part.name {
                texts.header(b"content-disposition", name);
            }
        }
        if part.is_text() && body && !(depth == 0 && texts.is_known(at)) {
            let max = texts.body_octets_max();
            texts.body(&body::plain_text(raw, part, max.saturating_mul(4), max));
        }
        if is_message(part) && depth < NESTED_DEPTH_MAX {
            nested(raw, part, depth, texts);
        }
    }
}

fn is_message(part: &Part) -> bool {
    matches!(
        part.media_type.as_str(),
        "message/rfc822" | "message/global"
    )
}

fn nested(raw: &[u8], part: &Part, depth: usize, texts: &mut impl Texts) {
    let octets = match part.encoding {
        Encoding::Identity | Encoding::Unknown => Cow::Borrowed(body::encoded_octets(raw, part)),
        Encoding::Base64 | Encoding::QuotedPrintable => body::part_octets(raw, part),
    };
    let inner = Summary::parse(&octets);
    if texts.wants().0 {
        fields(&octets, &inner.fields, texts);
    }
    parts(&octets, &inner.parts, depth + 1, texts);
}
