//! The summary of a message: what lists, threads and structure need, parsed once (RFC 8621 §4.1).
//! Holds: every message has one; field numbers are never reused, old records stay readable; all
//! offsets lie within the message, children within their parents, in depth-first order.
//! Other half: the store keeps it under the message's hash; `headers` and `body` read the message by it.

use super::address::{self, EmailAddress, EmailAddressGroup};
use super::body::{self, SearchText};
use super::headers::message_ids;
use super::scan::HeaderField;
use super::{HEADER_VALUE_OCTETS_MAX, SentAt, date, structure, subject, words};
use minicbor::{Decode, Encode};

/// Content-Transfer-Encoding (RFC 2045 §6.1) as far as it matters for decoding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Encoding {
    /// 7bit, 8bit, binary.
    #[default]
    #[n(0)]
    Identity,
    #[n(1)]
    Base64,
    #[n(2)]
    QuotedPrintable,
    /// One that is not known: read as it is, and reported.
    #[n(3)]
    Unknown,
}

/// One body part (RFC 8621 §4.1.4). Offsets count from the start of the message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Part {
    /// Index of the multipart it is in; the first part has none.
    #[n(0)]
    pub parent: Option<u32>,
    #[n(1)]
    pub header_start: u32,
    /// First octet after the empty line.
    #[n(2)]
    pub body_start: u32,
    /// One after the last octet; the line break before a boundary is not part of the body.
    #[n(3)]
    pub body_end: u32,
    /// Octets after transfer decoding; 0 for a multipart.
    #[n(4)]
    pub size: u64,
    /// In lower case, without parameters, as `text/plain`.
    #[n(5)]
    pub media_type: String,
    /// As it is given; see [`Part::charset`].
    #[n(6)]
    pub charset: Option<String>,
    /// In lower case.
    #[n(7)]
    pub disposition: Option<String>,
    #[n(8)]
    pub name: Option<String>,
    #[n(9)]
    pub cid: Option<String>,
    #[cbor(n(10), skip_if = "Vec::is_empty")]
    pub language: Vec<String>,
    #[n(11)]
    pub location: Option<String>,
    #[n(12)]
    pub encoding: Encoding,
    /// Line ends of the encoded body, for text and messages.
    #[n(13)]
    pub lines: u32,
    /// Content-Type parameters other than charset and name: name, value, name, value...
    #[cbor(n(14), skip_if = "Vec::is_empty")]
    pub params: Vec<String>,
    /// Indices of the parts of a multipart; made again when a record is read.
    #[cbor(skip)]
    pub children: Vec<u32>,
}

impl Part {
    pub fn is_multipart(&self) -> bool {
        self.media_type.starts_with("multipart/")
    }

    pub fn is_text(&self) -> bool {
        self.media_type.starts_with("text/")
    }

    /// The `charset` property: implicitly "us-ascii" for text (RFC 8621 §4.1.4).
    pub fn charset(&self) -> Option<&str> {
        let implicit = self.is_text().then_some("us-ascii");
        self.charset.as_deref().or(implicit)
    }

    /// An estimate of the memory that it takes, with its place in the lists of parts.
    fn octets(&self) -> usize {
        const PLACES: usize = 16;
        let texts = [
            Some(&self.media_type),
            self.charset.as_ref(),
            self.disposition.as_ref(),
            self.name.as_ref(),
            self.cid.as_ref(),
            self.location.as_ref(),
        ];
        let texts = texts.into_iter().flatten();
        let more = self.language.iter().chain(&self.params);
        let more = more.map(|text| size_of::<String>() + text.len());
        size_of::<Self>() + PLACES + texts.map(String::len).sum::<usize>() + more.sum::<usize>()
    }

    /// Image, audio or video.
    pub fn is_media(&self) -> bool {
        ["image/", "audio/", "video/"]
            .iter()
            .any(|prefix| self.media_type.starts_with(prefix))
    }
}

/// What is kept of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Summary {
    /// Octets of the message.
    #[n(0)]
    pub size: u64,
    #[n(1)]
    pub message_id: Option<Vec<String>>,
    #[n(2)]
    pub in_reply_to: Option<Vec<String>>,
    #[n(3)]
    pub references: Option<Vec<String>>,
    #[n(4)]
    pub sender: Option<Vec<EmailAddressGroup>>,
    #[n(5)]
    pub from: Option<Vec<EmailAddressGroup>>,
    #[n(6)]
    pub to: Option<Vec<EmailAddressGroup>>,
    #[n(7)]
    pub cc: Option<Vec<EmailAddressGroup>>,
    #[n(8)]
    pub bcc: Option<Vec<EmailAddressGroup>>,
    #[n(9)]
    pub reply_to: Option<Vec<EmailAddressGroup>>,
    /// Decoded, in Normalization Form C.
    #[n(10)]
    pub subject: Option<String>,
    #[n(11)]
    pub sent_at: Option<SentAt>,
    #[n(12)]
    pub has_attachment: bool,
    #[n(13)]
    pub preview: String,
    #[n(14)]
    pub parts: Vec<Part>,
    /// Indices into `parts`, as the three lists that follow it.
    #[cbor(n(15), skip_if = "Vec::is_empty")]
    pub text_body: Vec<u32>,
    #[cbor(n(16), skip_if = "Vec::is_empty")]
    pub html_body: Vec<u32>,
    #[cbor(n(17), skip_if = "Vec::is_empty")]
    pub attachments: Vec<u32>,
    /// Fields of the header section, which is `..parts[0].body_start`.
    #[cbor(n(18), with = "packed")]
    pub fields: Vec<HeaderField>,
    /// [`subject::subject_hash`] of the subject.
    #[n(19)]
    pub subject_hash: u64,
    /// A limit was reached: fields or parts are missing here, not in the message.
    #[n(20)]
    pub is_cut: bool,
}

impl Summary {
    /// Parses a message. Never fails: what can't be understood is one text part.
    pub fn parse(raw: &[u8]) -> Summary {
        let size = raw.len() as u64;
        // Offsets have 32 bits; what is beyond is reachable by downloading the message.
        let raw = &raw[..raw.len().min(u32::MAX as usize)];
        let found = structure::parse(raw);
        let mut summary = Summary {
            size,
            parts: found.parts,
            is_cut: found.cut,
            ..Summary::default()
        };
        summary.read_fields(raw, &found.fields);
        summary.fields = found.fields;
        summary.link_children();
        summary.find_bodies();
        summary.has_attachment = summary.find_attachment();
        summary.preview = body::preview(raw, &summary);
        summary
    }

    /// Parses a message and takes its text for the search index.
    pub fn parse_with_text(raw: &[u8]) -> (Summary, SearchText) {
        let summary = Summary::parse(raw);
        let text = body::search_text(raw, &summary);
        (summary, text)
    }

    /// An estimate of the memory that it takes.
    pub fn octets(&self) -> usize {
        let texts = [&self.message_id, &self.in_reply_to, &self.references];
        let texts = texts.into_iter().flatten().flatten();
        let lists = [
            &self.sender,
            &self.from,
            &self.to,
            &self.cc,
            &self.bcc,
            &self.reply_to,
        ];
        let addresses = lists.into_iter().flatten().flatten();
        let addresses = addresses.flat_map(|group| &group.addresses);
        let of_address = |address: &EmailAddress| {
            size_of::<EmailAddress>()
                + address.email.len()
                + address.name.iter().map(String::len).sum::<usize>()
        };
        size_of::<Self>()
            + texts
                .map(|text| size_of::<String>() + text.len())
                .sum::<usize>()
            + addresses.map(of_address).sum::<usize>()
            + lists
                .into_iter()
                .flatten()
                .map(|list| size_of_val(list.as_slice()))
                .sum::<usize>()
            + self.subject.iter().map(String::len).sum::<usize>()
            + self.preview.len()
            + self.parts.iter().map(Part::octets).sum::<usize>()
            + size_of_val(self.fields.as_slice())
    }

    /// The record's octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(768);
        // Writing to a Vec can't fail.
        let _ = minicbor::encode(self, &mut out);
        out
    }

    /// Reads a record of any version.
    pub fn decode(record: &[u8]) -> Result<Summary, minicbor::decode::Error> {
        let mut summary: Summary = minicbor::decode(record)?;
        summary.link_children();
        Ok(summary)
    }

    fn read_fields(&mut self, raw: &[u8], fields: &[HeaderField]) {
        // RFC 8621 §4.1.3: of several fields of one name, the last one counts. Only that is parsed.
        let mut last: [Option<&[u8]>; NAMES.len()] = [None; NAMES.len()];
        for field in fields {
            let name = field.name(raw);
            if let Some(at) = NAMES
                .iter()
                .position(|known| name.eq_ignore_ascii_case(known))
            {
                let value = field.value(raw);
                last[at] = Some(&value[..value.len().min(HEADER_VALUE_OCTETS_MAX)]);
            }
        }
        let [
            message_id,
            in_reply_to,
            references,
            sender,
            from,
            to,
            cc,
            bcc,
            reply_to,
            subject,
            date,
        ] = last;
        self.message_id = message_id.and_then(message_ids);
        self.in_reply_to = in_reply_to.and_then(message_ids);
        self.references = references.and_then(message_ids);
        self.sender = sender.map(address::parse);
        self.from = from.map(address::parse);
        self.to = to.map(address::parse);
        self.cc = cc.map(address::parse);
        self.bcc = bcc.map(address::parse);
        self.reply_to = reply_to.map(address::parse);
        self.subject = subject.map(words::text);
        self.sent_at = date.and_then(date::parse);
        self.subject_hash = subject::subject_hash(self.subject.as_deref().unwrap_or(""));
    }

    fn link_children(&mut self) {
        for at in 0..self.parts.len() {
            // A parent comes before its children; a record that says otherwise has no child here.
            if let Some(parent) = self.parts[at].parent
                && (parent as usize) < at
            {
                self.parts[parent as usize].children.push(at as u32);
            }
        }
    }

    fn find_bodies(&mut self) {
        let mut bodies = Bodies::default();
        let root = if self.parts.is_empty() {
            vec![]
        } else {
            vec![0]
        };
        bodies.walk(&self.parts, &root, "mixed", false, (true, true));
        self.text_body = bodies.text;
        self.html_body = bodies.html;
        self.attachments = bodies.attachments;
    }

    /// RFC 8621 §4.1.4: an attachment that is not inline, nor an image that an HTML part embeds.
    fn find_attachment(&self) -> bool {
        self.attachments.iter().any(|&at| {
            let part = &self.parts[at as usize];
            let in_related = part
                .parent
                .is_some_and(|up| self.parts[up as usize].media_type == "multipart/related");
            let is_embedded = in_related && part.is_media() && part.cid.is_some();
            part.disposition.as_deref() != Some("inline") && !is_embedded
        })
    }

    /// The `partId` of a part; `None` for multiparts (RFC 8621 §4.1.4).
    pub fn part_id(&self, index: u32) -> Option<String> {
        let part = self.parts.get(index as usize)?;
        (!part.is_multipart()).then(|| (index + 1).to_string())
    }

    /// The index of the part with this `partId`.
    pub fn part_index(&self, part_id: &str) -> Option<u32> {
        let index = part_id.parse::<u32>().ok()?.checked_sub(1)?;
        (self.part_id(index)? == part_id).then_some(index)
    }

    /// Octets of the header section with its empty line.
    pub fn header_len(&self) -> u32 {
        self.parts.first().map_or(0, |part| part.body_start)
    }

    /// Hashes of the ids in Message-ID, In-Reply-To and References, each once (RFC 8621 §3).
    pub fn thread_hashes(&self) -> Vec<u64> {
        let lists = [&self.message_id, &self.in_reply_to, &self.references];
        let ids = lists.into_iter().flatten().flatten();
        let mut hashes: Vec<u64> = ids.map(|id| subject::message_id_hash(id)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Addresses of a list without groups: the Addresses form.
    pub fn addresses(list: &Option<Vec<EmailAddressGroup>>) -> Option<Vec<EmailAddress>> {
        list.as_deref().map(address::flatten)
    }
}

/// In the order in which `read_fields` takes them.
const NAMES: [&[u8]; 11] = [
    b"message-id",
    b"in-reply-to",
    b"references",
    b"sender",
    b"from",
    b"to",
    b"cc",
    b"bcc",
    b"reply-to",
    b"subject",
    b"date",
];

/// The three lists of RFC 8621 §4.1.4.
#[derive(Default)]
struct Bodies {
    text: Vec<u32>,
    html: Vec<u32>,
    attachments: Vec<u32>,
}

impl Bodies {
    /// The algorithm of RFC 8621 §4.1.4. `open` tells whether parts still go to the text and
    /// the html list; its depth is bounded by that of the parts.
    fn walk(
        &mut self,
        parts: &[Part],
        indices: &[u32],
        kind: &str,
        in_alternative: bool,
        mut open: (bool, bool),
    ) {
        let (text_len, html_len) = (self.text.len(), self.html.len());
        for (at, &index) in indices.iter().enumerate() {
            let part = &parts[index as usize];
            if let Some(sub) = part.media_type.strip_prefix("multipart/") {
                let alternative = in_alternative || sub == "alternative";
                self.walk(parts, &part.children, sub, alternative, open);
            } else if !is_body(part, at, kind) {
                self.attachments.push(index);
            } else if kind == "alternative" {
                match part.media_type.as_str() {
                    "text/plain" if open.0 => self.text.push(index),
                    "text/html" if open.1 => self.html.push(index),
                    // Nothing is lost when the list is closed.
                    _ => self.attachments.push(index),
                }
            } else {
                if in_alternative && part.media_type == "text/plain" {
                    open.1 = false;
                }
                if in_alternative && part.media_type == "text/html" {
                    open.0 = false;
                }
                if open.0 {
                    self.text.push(index);
                }
                if open.1 {
                    self.html.push(index);
                }
                if (!open.0 || !open.1) && part.is_media() || !open.0 && !open.1 {
                    self.attachments.push(index);
                }
            }
        }
        if kind == "alternative" && open.0 && open.1 {
            let (text_same, html_same) = (self.text.len() == text_len, self.html.len() == html_len);
            if text_same && !html_same {
                self.text.extend_from_within_other(&self.html, html_len);
            } else if html_same && !text_same {
                self.html.extend_from_within_other(&self.text, text_len);
            }
        }
    }
}

trait ExtendFrom {
    fn extend_from_within_other(&mut self, other: &[u32], from: usize);
}

impl ExtendFrom for Vec<u32> {
    fn extend_from_within_other(&mut self, other: &[u32], from: usize) {
        self.extend_from_slice(other.get(from..).unwrap_or_default());
    }
}

/// Whether a part is shown as (part of) the body and is no attachment.
fn is_body(part: &Part, position: usize, kind: &str) -> bool {
    let is_shown =
        matches!(part.media_type.as_str(), "text/plain" | "text/html") || part.is_media();
    part.disposition.as_deref() != Some("attachment")
        && is_shown
        && (position == 0 || (kind != "related" && (part.is_media() || part.name.is_none())))
}

/// Header fields as one string of varints: gap, name length, gap, value length.
mod packed {
    use super::HeaderField;
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    pub fn encode<C, W: Write>(
        fields: &[HeaderField],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let mut out = Vec::with_capacity(fields.len() * 6);
        let mut pos = 0u32;
        for field in fields {
            for offset in [
                field.name_start,
                field.name_end,
                field.value_start,
                field.value_end,
            ] {
                varint(offset.saturating_sub(pos), &mut out);
                pos = offset.max(pos);
            }
        }
        e.bytes(&out)?;
        Ok(())
    }

    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<HeaderField>, DecodeError> {
        let mut rest = d.bytes()?;
        let mut fields = Vec::with_capacity(rest.len() / 5);
        let mut pos = 0u32;
        while !rest.is_empty() {
            let mut offsets = [0u32; 4];
            for offset in &mut offsets {
                let gap = read_varint(&mut rest)
                    .ok_or_else(|| DecodeError::message("header field offsets are cut off"))?;
                pos = pos.saturating_add(gap);
                *offset = pos;
            }
            let [name_start, name_end, value_start, value_end] = offsets;
            fields.push(HeaderField {
                name_start,
                name_end,
                value_start,
                value_end,
            });
        }
        Ok(fields)
    }

    fn varint(mut value: u32, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn read_varint(rest: &mut &[u8]) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let (&octet, tail) = rest.split_first()?;
            *rest = tail;
            value |= u32::from(octet & 0x7f).checked_shl(shift)?;
            if octet < 0x80 {
                return Some(value);
            }
        }
        None
    }
}
