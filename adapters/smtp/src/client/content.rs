//! A message as it is sent: what is in it, and how it is changed for a peer that can't take it as it is (RFC 6152 §3).
//!
//! Holds: lines end with CRLF and with nothing else, unless the message is sent as BINARYMIME; what is converted keeps its
//! meaning, part by part, or isn't sent. Signatures are made of what is really sent.
//! Other half: `transaction`, which sends it; `jmap_core::mail::message`, which finds the parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jmap_core::mail::message::{Encoding, Part, Summary};

/// Octets of a line without its CRLF (RFC 5321 §4.5.3.1.6).
pub const LINE_OCTETS_MAX: usize = 998;
/// Messages in messages that are looked into to convert them.
pub const NESTED_MAX: usize = 8;
/// Octets of a line of what is encoded here (RFC 2045 §6.7, §6.8).
const ENCODED_LINE_MAX: usize = 76;

/// What is in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Octets over 127 in its own header section.
    pub eight_bit_header: bool,
    /// And behind it.
    pub eight_bit_body: bool,
    /// CR or LF by themselves.
    pub bare: bool,
    pub nul: bool,
    /// A line of more than [`LINE_OCTETS_MAX`] in the body.
    pub long: bool,
    /// RFC 8689 §5: the sender has asked that it be sent whatever a policy about TLS says.
    pub tls_optional: bool,
}

impl Facts {
    pub fn of(message: &[u8]) -> Facts {
        let header_end = header_end(message);
        let (header, body) = message.split_at(header_end);
        let mut facts = Facts {
            eight_bit_header: !header.is_ascii(),
            eight_bit_body: !body.is_ascii(),
            nul: memchr::memchr(0, message).is_some(),
            tls_optional: is_tls_optional(header),
            ..Facts::default()
        };
        let mut line_start = 0;
        for at in memchr::memchr2_iter(b'\r', b'\n', message) {
            let is_crlf = match message[at] {
                b'\r' => message.get(at + 1) == Some(&b'\n'),
                _ => at > 0 && message[at - 1] == b'\r',
            };
            facts.bare |= !is_crlf;
            if message[at] == b'\n' {
                let length = (at - line_start).saturating_sub(1);
                facts.long |= length > LINE_OCTETS_MAX && line_start >= header_end;
                line_start = at + 1;
            }
        }
        facts.long |= message.len() - line_start > LINE_OCTETS_MAX && line_start >= header_end;
        facts
    }

    pub fn is_eight_bit(&self) -> bool {
        self.eight_bit_header || self.eight_bit_body
    }
}

/// Where the body begins, behind the empty line.
fn header_end(message: &[u8]) -> usize {
    if message.starts_with(b"\r\n") {
        return 2;
    }
    memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 4)
}

fn is_tls_optional(header: &[u8]) -> bool {
    fields(header).any(|field| {
        let (name, value) = split_field(field);
        name.eq_ignore_ascii_case(b"TLS-Required") && value.trim_ascii().eq_ignore_ascii_case(b"No")
    })
}

/// The fields of a header section, each with its continuation lines and its CRLF; the empty line is no field.
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() || rest.starts_with(b"\r\n") {
            return None;
        }
        let mut end = 0;
        loop {
            end = memchr::memchr(b'\n', &rest[end..]).map_or(rest.len(), |at| end + at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, others) = rest.split_at(end);
        rest = others;
        Some(field)
    })
}

fn split_field(field: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', field) {
        Some(at) => (field[..at].trim_ascii_end(), &field[at + 1..]),
        None => (field, b""),
    }
}

/// With CRLF at the end of each line, also where CR or LF stood alone.
pub fn with_crlf(message: &Bytes) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + message.len() / 32);
    let mut octets = message.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if_eq(&b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            octet => out.push(octet),
        }
    }
    out.into()
}

/// The message in ASCII and short lines: parts that aren't are encoded (RFC 2045 §6). `None`: that can't be, since it is
/// a header that isn't, or something between the parts.
pub fn to_seven_bit(message: &Bytes) -> Option<Bytes> {
    let converted = convert(message, 0)?;
    let facts = Facts::of(&converted);
    (!facts.is_eight_bit() && !facts.nul && !facts.bare && !facts.long).then(|| converted.into())
}

fn convert(message: &[u8], depth: usize) -> Option<Vec<u8>> {
    let summary = Summary::parse(message);
    let mut out = Vec::with_capacity(message.len() + message.len() / 4);
    let mut copied = 0;
    for part in &summary.parts {
        let (header_start, body_start, body_end) = (
            part.header_start as usize,
            part.body_start as usize,
            part.body_end as usize,
        );
        let header = message.get(header_start..body_start)?;
        let body = message.get(body_start..body_end)?;
        let is_container = part.is_multipart()
            || part.media_type == "message/rfc822"
            || part.media_type == "message/global";
        if !is_container && is_plain(body) {
            continue;
        }
        if is_container
            && transfer_encoding(header).is_none_or(|given| given.eq_ignore_ascii_case(b"7bit"))
            && is_plain(body)
        {
            continue;
        }
        // What claims to be encoded already, and isn't in ASCII, has no meaning to keep.
        if !is_container && part.encoding != Encoding::Identity {
            return None;
        }
        out.extend_from_slice(message.get(copied..header_start)?);
        copied = body_start;
        let is_root = header_start == 0;
        if part.is_multipart() {
            write_header(&mut out, header, "7bit", is_root);
        } else if is_container {
            if depth >= NESTED_MAX {
                return None;
            }
            write_header(&mut out, header, "7bit", is_root);
            out.extend_from_slice(&convert(body, depth + 1)?);
            copied = body_end;
        } else {
            encode_leaf(&mut out, part, header, body, is_root);
            copied = body_end;
        }
    }
    out.extend_from_slice(message.get(copied..)?);
    Some(out)
}

/// Whether it needs no encoding.
fn is_plain(body: &[u8]) -> bool {
    let facts = Facts {
        long: body
            .split(|octet| *octet == b'\n')
            .any(|line| line.len() > LINE_OCTETS_MAX + 1),
        ..Facts::default()
    };
    body.is_ascii() && !facts.long && memchr::memchr(0, body).is_none() && !has_bare(body)
}

fn has_bare(body: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', body).any(|at| match body[at] {
        b'\r' => body.get(at + 1) != Some(&b'\n'),
        _ => at == 0 || body[at - 1] != b'\r',
    })
}

fn transfer_encoding(header: &[u8]) -> Option<&[u8]> {
    fields(header).map(split_field).find_map(|(name, value)| {
        name.eq_ignore_ascii_case(b"Content-Transfer-Encoding")
            .then(|| value.trim_ascii())
    })
}

/// The fields with another Content-Transfer-Encoding, and the empty line.
fn write_header(out: &mut Vec<u8>, header: &[u8], encoding: &str, is_root: bool) {
    let (mut has_type, mut has_version) = (false, false);
    for field in fields(header) {
        let (name, _) = split_field(field);
        if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
            continue;
        }
        has_type |= name.eq_ignore_ascii_case(b"Content-Type");
        has_version |= name.eq_ignore_ascii_case(b"MIME-Version");
        out.extend_from_slice(field);
        if !field.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    if is_root && !has_version {
        out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    if is_root && !has_type {
        // RFC 1428 §3: nobody has said what it is.
        out.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
    }
    out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n\r\n").as_bytes());
}

fn encode_leaf(out: &mut Vec<u8>, part: &Part, header: &[u8], body: &[u8], is_root: bool) {
    let is_text = part.media_type.starts_with("text/")
        && !has_bare(body)
        && memchr::memchr(0, body).is_none();
    match is_text {
        true => {
            write_header(out, header, "quoted-printable", is_root);
            quoted_printable(out, body);
        }
        false => {
            write_header(out, header, "base64", is_root);
            let encoded = STANDARD.encode(body);
            for line in encoded.as_bytes().chunks(ENCODED_LINE_MAX) {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
            // A boundary brings its own line break.
            if !is_root {
                out.truncate(out.len().saturating_sub(2));
            }
        }
    }
}

/// RFC 2045 §6.7. Line breaks stay what they are.
fn quoted_printable(out: &mut Vec<u8>, body: &[u8]) {
    let mut lines = body.split(|octet| *octet == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_ended = lines.peek().is_some();
        let line = match is_ended {
            true => line.strip_suffix(b"\r").unwrap_or(line),
            false => line,
        };
        let mut column = 0;
        for (at, &octet) in line.iter().enumerate() {
            let is_last = at + 1 == line.len();
            let is_literal = match octet {
                b'=' => false,
                b' ' | b'\t' => !is_last,
                // Some would take these for something else at the start of a line.
                b'.' | b'F' => column != 0,
                octet => octet.is_ascii_graphic(),
            };
            let width = if is_literal { 1 } else { 3 };
            if column + width > ENCODED_LINE_MAX - 1 {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            match is_literal {
                true => out.push(octet),
                false => out.extend_from_slice(format!("={octet:02X}").as_bytes()),
            }
            column += width;
        }
        if is_ended {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Dots at the start of lines doubled (RFC 5321 §4.5.2), over several pieces of one message.
#[derive(Clone, Copy, Debug)]
pub struct Stuffer {
    at_line_start: bool,
    after_cr: bool,
}

impl Default for Stuffer {
    fn default() -> Stuffer {
        Stuffer {
            at_line_start: true,
            after_cr: false,
        }
    }
}

impl Stuffer {
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        loop {
            if rest.is_empty() {
                return;
            }
            if self.at_line_start && rest[0] == b'.' {
                out.push(b'.');
            }
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, others) = rest.split_at(end);
            out.extend_from_slice(line);
            let before = match line.len() {
                1 => self.after_cr,
                length => length > 1 && line[length - 2] == b'\r',
            };
            self.at_line_start = line.ends_with(b"\n") && before;
            self.after_cr = line.ends_with(b"\r");
            rest = others;
        }
    }

    /// What ends the message.
    pub fn end(&self) -> &'static [u8] {
        match self.at_line_start {
            true => b".\r\n",
            false => b"\r\n.\r\n",
        }
    }
}
