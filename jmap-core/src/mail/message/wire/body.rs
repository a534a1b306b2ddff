//! BODY and BODYSTRUCTURE.

use std::ops::Range;

use super::{
    NESTED_MESSAGES_MAX, STRUCTURE_OCTETS_MAX, beginning, envelope, nstring, number, string,
};
use crate::mail::message::{
    Encoding, HeaderField, MIME_PARAM_OCTETS_MAX, MIME_PARAMS_MAX, MIME_PARTS_MAX, Part, Summary,
    address::without_comments,
    params,
    scan::{self, slice},
    structure,
    words::unfold,
};

/// Both of them: they differ by the extension data, which BODY doesn't have.
pub(super) fn write(raw: &[u8], summary: &Summary) -> (Vec<u8>, Vec<u8>) {
    let mut writer = Writer {
        out: Vec::with_capacity(512),
        extensions: Vec::new(),
        parts_left: MIME_PARTS_MAX,
    };
    let message = Message {
        raw,
        fields: &summary.fields,
        parts: &summary.parts,
        nesting: 0,
    };
    writer.part(&message, 0);
    let Writer {
        out, extensions, ..
    } = writer;
    let mut body = Vec::with_capacity(out.len());
    let mut pos = 0;
    for extension in extensions {
        body.extend_from_slice(&out[pos..extension.start]);
        pos = extension.end;
    }
    body.extend_from_slice(&out[pos..]);
    (body, out)
}

struct Writer {
    out: Vec<u8>,
    /// Where the extension data are in `out`, in order.
    extensions: Vec<Range<usize>>,
    parts_left: usize,
}

/// A message, or one within it.
struct Message<'x> {
    raw: &'x [u8],
    fields: &'x [HeaderField],
    parts: &'x [Part],
    nesting: usize,
}

/// The fields of a part, as they are.
#[derive(Default)]
struct Fields<'x> {
    content_type: Option<&'x [u8]>,
    disposition: Option<&'x [u8]>,
    encoding: Option<&'x [u8]>,
    id: Option<&'x [u8]>,
    description: Option<&'x [u8]>,
    md5: Option<&'x [u8]>,
    language: Option<&'x [u8]>,
    location: Option<&'x [u8]>,
}

impl<'x> Fields<'x> {
    fn read(message: &Message<'x>, index: usize, part: &Part) -> Self {
        if index == 0 {
            return Self::find(message.raw, message.fields);
        }
        let head = slice(message.raw, 0..part.body_start as usize);
        let section = scan::section(head, part.header_start as usize, |_| false);
        Self::find(message.raw, &section.fields)
    }

    fn find(raw: &'x [u8], fields: &[HeaderField]) -> Self {
        let mut found = Self::default();
        for field in fields {
            let name = field.name(raw);
            let (Some(head), Some(tail)) = (name.get(..8), name.get(8..)) else {
                continue;
            };
            if !head.eq_ignore_ascii_case(b"content-") {
                continue;
            }
            let slots: [(&[u8], &mut Option<&'x [u8]>); 8] = [
                (b"type", &mut found.content_type),
                (b"disposition", &mut found.disposition),
                (b"transfer-encoding", &mut found.encoding),
                (b"id", &mut found.id),
                (b"description", &mut found.description),
                (b"md5", &mut found.md5),
                (b"language", &mut found.language),
                (b"location", &mut found.location),
            ];
            for (known, slot) in slots {
                if tail.eq_ignore_ascii_case(known) {
                    *slot = Some(field.value(raw));
                }
            }
        }
        found
    }
}

impl Writer {
    fn part(&mut self, message: &Message<'_>, index: usize) {
        let Some(part) = message.parts.get(index) else {
            return self.opaque(0);
        };
        if self.parts_left == 0 || self.out.len() > STRUCTURE_OCTETS_MAX {
            return self.opaque(octets(part));
        }
        self.parts_left -= 1;
        let fields = Fields::read(message, index, part);
        if part.is_multipart() {
            return self.multipart(message, part, &fields);
        }
        let is_message = matches!(
            part.media_type.as_str(),
            "message/rfc822" | "message/global"
        );
        if !is_message {
            return self.leaf(part, &fields, None);
        }
        // RFC 2046 §5.2.1: a message is never encoded; what is, can't be looked into.
        let is_plain = part.encoding == Encoding::Identity;
        if !is_plain || message.nesting >= NESTED_MESSAGES_MAX {
            return self.opaque_with(octets(part), &fields);
        }
        let raw = slice(
            message.raw,
            part.body_start as usize..part.body_end as usize,
        );
        let mut found = structure::parse(raw);
        link_children(&mut found.parts);
        let inner = Message {
            raw,
            fields: &found.fields,
            parts: &found.parts,
            nesting: message.nesting + 1,
        };
        self.leaf(part, &fields, Some(&inner));
    }

    fn multipart(&mut self, message: &Message<'_>, part: &Part, fields: &Fields<'_>) {
        self.out.push(b'(');
        for &child in &part.children {
            self.part(message, child as usize);
        }
        self.out.push(b' ');
        let (_, subtype) = media_type(part);
        string(&mut self.out, subtype);
        let start = self.out.len();
        self.out.push(b' ');
        self.parameters(part, fields.content_type);
        self.where_and_how(fields);
        self.extensions.push(start..self.out.len());
        self.out.push(b')');
    }

    fn leaf(&mut self, part: &Part, fields: &Fields<'_>, inner: Option<&Message<'_>>) {
        let (main, subtype) = media_type(part);
        self.out.push(b'(');
        string(&mut self.out, main);
        self.out.push(b' ');
        string(&mut self.out, subtype);
        self.out.push(b' ');
        self.parameters(part, fields.content_type);
        self.basics(octets(part), fields);
        if let Some(inner) = inner {
            self.out.push(b' ');
            envelope::write(&mut self.out, inner.raw, inner.fields);
            self.out.push(b' ');
            self.part(inner, 0);
        }
        if inner.is_some() || part.is_text() {
            self.out.push(b' ');
            number(&mut self.out, part.lines);
        }
        self.leaf_extension(fields);
        self.out.push(b')');
    }

    /// A part that is not looked into.
    fn opaque(&mut self, octets: u32) {
        self.opaque_with(octets, &Fields::default());
    }

    fn opaque_with(&mut self, octets: u32, fields: &Fields<'_>) {
        self.out
            .extend_from_slice(b"(\"application\" \"octet-stream\" NIL");
        self.basics(octets, fields);
        self.leaf_extension(fields);
        self.out.push(b')');
    }

    /// Id, description, encoding and octets.
    fn basics(&mut self, octets: u32, fields: &Fields<'_>) {
        for value in [fields.id, fields.description] {
            self.out.push(b' ');
            self.text(value);
        }
        self.out.push(b' ');
        let encoding = fields.encoding.map(unfold);
        let encoding = encoding.as_deref().map(without_comments);
        let encoding = encoding.as_deref().map(str::trim).unwrap_or_default();
        // RFC 2045 §6.1: that is what is meant by none.
        let encoding = if encoding.is_empty() {
            "7bit"
        } else {
            encoding
        };
        string(&mut self.out, beginning(encoding, MIME_PARAM_OCTETS_MAX));
        self.out.push(b' ');
        number(&mut self.out, octets);
    }

    fn leaf_extension(&mut self, fields: &Fields<'_>) {
        let start = self.out.len();
        self.out.push(b' ');
        self.text(fields.md5);
        self.where_and_how(fields);
        self.extensions.push(start..self.out.len());
    }

    /// Disposition, language and location.
    fn where_and_how(&mut self, fields: &Fields<'_>) {
        self.out.push(b' ');
        self.disposition(fields.disposition);
        self.out.push(b' ');
        self.language(fields.language);
        self.out.push(b' ');
        self.text(fields.location);
    }

    fn text(&mut self, value: Option<&[u8]>) {
        let value = value.map(unfold);
        let value = value.as_deref().map(str::trim);
        let value = value.map(|value| beginning(value, MIME_PARAM_OCTETS_MAX));
        nstring(&mut self.out, value);
    }

    /// The parameters of the type, if the part is what its Content-Type says.
    fn parameters(&mut self, part: &Part, content_type: Option<&[u8]>) {
        let value = content_type.map(unfold);
        let value = value.as_deref().map(without_comments);
        let value = value.as_deref().unwrap_or_default();
        let (head, rest) = value.split_once(';').unwrap_or((value, ""));
        let is_it = is_same_type(head, &part.media_type);
        let mut has_charset = false;
        let start = self.out.len();
        self.out.push(b'(');
        if is_it {
            has_charset = self.pairs(start, rest);
        }
        if part.media_type == "text/plain" && !has_charset {
            // RFC 2045 §5.2
            self.pair(start, "charset", "us-ascii");
        }
        self.end_list(start);
    }

    /// The parameters as they are, in the list that began at `start`; whether the charset is among them.
    fn pairs(&mut self, start: usize, mut rest: &str) -> bool {
        let mut has_charset = false;
        for _ in 0..MIME_PARAMS_MAX {
            let Some((name, value, tail)) = params::parameter(rest) else {
                break;
            };
            rest = tail;
            if !name.is_empty() {
                self.pair(start, &name, &value);
                has_charset |= name == "charset";
            }
        }
        has_charset
    }

    fn pair(&mut self, start: usize, name: &str, value: &str) {
        if self.out.len() > start + 1 {
            self.out.push(b' ');
        }
        string(&mut self.out, beginning(name, MIME_PARAM_OCTETS_MAX));
        self.out.push(b' ');
        string(&mut self.out, beginning(value, MIME_PARAM_OCTETS_MAX));
    }

    /// Ends the list that began at `start`; an empty one is NIL.
    fn end_list(&mut self, start: usize) {
        if self.out.len() > start + 1 {
            self.out.push(b')');
        } else {
            self.out.truncate(start);
            self.out.extend_from_slice(b"NIL");
        }
    }

    fn disposition(&mut self, value: Option<&[u8]>) {
        let value = value.map(unfold);
        let value = value.as_deref().map(without_comments);
        let value = value.as_deref().unwrap_or_default();
        let (head, rest) = value.split_once(';').unwrap_or((value, ""));
        let head = head.trim();
        if head.is_empty() {
            self.out.extend_from_slice(b"NIL");
            return;
        }
        self.out.push(b'(');
        string(&mut self.out, beginning(head, MIME_PARAM_OCTETS_MAX));
        self.out.push(b' ');
        let start = self.out.len();
        self.out.push(b'(');
        self.pairs(start, rest);
        self.end_list(start);
        self.out.push(b')');
    }

    /// RFC 3282: one tag, or a list of them.
    fn language(&mut self, value: Option<&[u8]>) {
        const TAGS_MAX: usize = 16;
        let value = value.map(unfold);
        let value = value.as_deref().map(without_comments);
        let tags = value.as_deref().unwrap_or_default().split(',');
        let tags = tags.map(str::trim).filter(|tag| !tag.is_empty());
        let tags: Vec<&str> = tags.take(TAGS_MAX).collect();
        match tags.as_slice() {
            [] => self.out.extend_from_slice(b"NIL"),
            [one] => string(&mut self.out, beginning(one, MIME_PARAM_OCTETS_MAX)),
            many => {
                for (at, tag) in many.iter().enumerate() {
                    self.out.push(if at == 0 { b'(' } else { b' ' });
                    string(&mut self.out, beginning(tag, MIME_PARAM_OCTETS_MAX));
                }
                self.out.push(b')');
            }
        }
    }
}

/// As it is transferred.
fn octets(part: &Part) -> u32 {
    part.body_end.saturating_sub(part.body_start)
}

fn media_type(part: &Part) -> (&str, &str) {
    part.media_type
        .split_once('/')
        .unwrap_or(("application", "octet-stream"))
}

/// `head` is what stands in the field.
fn is_same_type(head: &str, media_type: &str) -> bool {
    let mut known = media_type.bytes();
    let letters = head.bytes().filter(|c| !c.is_ascii_whitespace());
    letters
        .map(|c| c.to_ascii_lowercase())
        .all(|c| known.next() == Some(c))
        && known.next().is_none()
}

/// As `Summary` does for the message's own parts.
fn link_children(parts: &mut [Part]) {
    for at in 0..parts.len() {
        if let Some(parent) = parts[at].parent
            && (parent as usize) < at
        {
            parts[parent as usize].children.push(at as u32);
        }
    }
}
