//! FETCH responses (RFC 9051 §7.5.2, RFC 3516, RFC 7162, RFC 8474, RFC 8514, RFC 8970), and UIDFETCH (RFC 9586).
//!
//! Holds: the items are apart by one space, in the parentheses that `begin` opens and `end` closes. Nothing is formatted by `fmt`: this is
//! what a mailbox of 100,000 messages is listed with.
//! Other half: `parse::fetch`, which reads the same names of sections.

use super::date::date_time;
use super::end;
/// The octets of a literal, for `section_head`.
pub use super::text::literal_octets;
use super::text::{
    astring, atom, flag_list, literal, literal_head, literal8, nstring, number, number64, push,
};
use crate::command::{Section, SectionText};

/// How a message is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    Sequence(u32),
    /// With UIDONLY (RFC 9586 §3.3).
    Uid(u32),
}

/// A response that is being written. It keeps no hold of the buffer, which can be sent in between.
#[derive(Debug)]
#[must_use]
pub struct Fetch {
    is_first: bool,
}

impl Fetch {
    /// `* 12 FETCH (`
    pub fn begin(out: &mut Vec<u8>, message: Message) -> Fetch {
        push(out, "* ");
        match message {
            Message::Sequence(sequence_number) => {
                number(out, sequence_number);
                push(out, " FETCH (");
            }
            Message::Uid(uid) => {
                number(out, uid);
                push(out, " UIDFETCH (");
            }
        }
        Fetch { is_first: true }
    }

    /// Whether there is no item yet, which no response may end with.
    pub fn is_empty(&self) -> bool {
        self.is_first
    }

    /// `)`
    pub fn end(self, out: &mut Vec<u8>) {
        out.push(b')');
        end(out);
    }

    fn item(&mut self, out: &mut Vec<u8>, name: &str) {
        if !self.is_first {
            out.push(b' ');
        }
        self.is_first = false;
        push(out, name);
    }

    pub fn uid(&mut self, out: &mut Vec<u8>, uid: u32) {
        self.item(out, "UID ");
        number(out, uid);
    }

    pub fn flags<'a>(&mut self, out: &mut Vec<u8>, flags: impl IntoIterator<Item = &'a str>) {
        self.item(out, "FLAGS ");
        flag_list(out, flags);
    }

    /// A list of flags that is made already, with its parentheses.
    pub fn ready_flags(&mut self, out: &mut Vec<u8>, ready: &[u8]) {
        self.item(out, "FLAGS ");
        out.extend_from_slice(ready);
    }

    /// Seconds since 1970.
    pub fn internal_date(&mut self, out: &mut Vec<u8>, seconds: i64) {
        self.item(out, "INTERNALDATE ");
        date_time(out, seconds);
    }

    /// Seconds since 1970; `None` if it isn't known.
    pub fn save_date(&mut self, out: &mut Vec<u8>, seconds: Option<i64>) {
        self.item(out, "SAVEDATE ");
        match seconds {
            Some(seconds) => date_time(out, seconds),
            None => push(out, "NIL"),
        }
    }

    pub fn rfc822_size(&mut self, out: &mut Vec<u8>, octets: u64) {
        self.item(out, "RFC822.SIZE ");
        number64(out, octets);
    }

    /// As the core has made it, with its parentheses.
    pub fn envelope(&mut self, out: &mut Vec<u8>, ready: &[u8]) {
        self.item(out, "ENVELOPE ");
        out.extend_from_slice(ready);
    }

    /// As the core has made it.
    pub fn body(&mut self, out: &mut Vec<u8>, ready: &[u8]) {
        self.item(out, "BODY ");
        out.extend_from_slice(ready);
    }

    /// As the core has made it.
    pub fn body_structure(&mut self, out: &mut Vec<u8>, ready: &[u8]) {
        self.item(out, "BODYSTRUCTURE ");
        out.extend_from_slice(ready);
    }

    pub fn modseq(&mut self, out: &mut Vec<u8>, modseq: u64) {
        self.item(out, "MODSEQ (");
        number64(out, modseq);
        out.push(b')');
    }

    pub fn email_id(&mut self, out: &mut Vec<u8>, id: &str) {
        self.item(out, "EMAILID (");
        atom(out, id);
        out.push(b')');
    }

    pub fn thread_id(&mut self, out: &mut Vec<u8>, id: Option<&str>) {
        self.item(out, "THREADID ");
        match id {
            Some(id) => {
                out.push(b'(');
                atom(out, id);
                out.push(b')');
            }
            None => push(out, "NIL"),
        }
    }

    pub fn preview(&mut self, out: &mut Vec<u8>, preview: Option<&str>) {
        self.item(out, "PREVIEW ");
        nstring(out, preview.map(str::as_bytes));
    }

    /// RFC822, RFC822.HEADER and RFC822.TEXT (RFC 3501 §7.4.2): `name` is one of these.
    pub fn rfc822(&mut self, out: &mut Vec<u8>, name: &'static str, octets: Option<&[u8]>) {
        self.item(out, name);
        out.push(b' ');
        nliteral(out, octets);
    }

    /// The same for what is sent bit by bit: after this, so many octets have to follow.
    pub fn rfc822_head(&mut self, out: &mut Vec<u8>, name: &'static str, octets: u64) {
        self.item(out, name);
        out.push(b' ');
        literal_head(out, octets);
    }

    /// `BODY[HEADER]<0> {342}...`. `origin`: of a partial fetch. `None`: there is no such part.
    pub fn section(
        &mut self,
        out: &mut Vec<u8>,
        section: &Section,
        origin: Option<u64>,
        octets: Option<&[u8]>,
    ) {
        self.section_name(out, section, origin);
        nliteral(out, octets);
    }

    /// The same for what is sent bit by bit: after this, so many octets have to follow, by `text::literal_octets`.
    pub fn section_head(
        &mut self,
        out: &mut Vec<u8>,
        section: &Section,
        origin: Option<u64>,
        octets: u64,
    ) {
        self.section_name(out, section, origin);
        literal_head(out, octets);
    }

    fn section_name(&mut self, out: &mut Vec<u8>, section: &Section, origin: Option<u64>) {
        self.item(out, "BODY");
        section_spec(out, section);
        origin_after(out, origin);
        out.push(b' ');
    }

    /// RFC 3516 §4.3: decoded octets, as a literal8 if there is a NUL among them.
    pub fn binary(
        &mut self,
        out: &mut Vec<u8>,
        part: &[u32],
        origin: Option<u64>,
        octets: Option<&[u8]>,
    ) {
        self.item(out, "BINARY[");
        part_numbers(out, part);
        out.push(b']');
        origin_after(out, origin);
        out.push(b' ');
        match octets {
            Some(octets) if memchr::memchr(0, octets).is_some() => literal8(out, octets),
            octets => nliteral(out, octets),
        }
    }

    pub fn binary_size(&mut self, out: &mut Vec<u8>, part: &[u32], octets: u64) {
        self.item(out, "BINARY.SIZE[");
        part_numbers(out, part);
        push(out, "] ");
        number64(out, octets);
    }
}

/// Message data is always a literal: some clients take no other.
fn nliteral(out: &mut Vec<u8>, octets: Option<&[u8]>) {
    match octets {
        Some(octets) => literal(out, octets),
        None => push(out, "NIL"),
    }
}

fn origin_after(out: &mut Vec<u8>, origin: Option<u64>) {
    if let Some(origin) = origin {
        out.push(b'<');
        number64(out, origin);
        out.push(b'>');
    }
}

fn part_numbers(out: &mut Vec<u8>, part: &[u32]) {
    for (at, value) in part.iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        number(out, *value);
    }
}

/// `[1.2.HEADER.FIELDS (DATE FROM)]`
pub fn section_spec(out: &mut Vec<u8>, section: &Section) {
    out.push(b'[');
    part_numbers(out, &section.part);
    if let Some(text) = &section.text {
        if !section.part.is_empty() {
            out.push(b'.');
        }
        section_text(out, text);
    }
    out.push(b']');
}

fn section_text(out: &mut Vec<u8>, text: &SectionText) {
    match text {
        SectionText::Header => push(out, "HEADER"),
        SectionText::Text => push(out, "TEXT"),
        SectionText::Mime => push(out, "MIME"),
        SectionText::HeaderFields(names) => header_names(out, "HEADER.FIELDS (", names),
        SectionText::HeaderFieldsNot(names) => header_names(out, "HEADER.FIELDS.NOT (", names),
    }
}

fn header_names(out: &mut Vec<u8>, start: &str, names: &[String]) {
    push(out, start);
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        astring(out, name.as_bytes());
    }
    out.push(b')');
}
