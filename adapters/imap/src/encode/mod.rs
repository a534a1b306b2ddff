//! What the server sends (RFC 9051 §7, and the extensions that README.md lists): data -> octets, at the end of a buffer.
//!
//! Holds: sync and pure; no data, wherever it comes from, can add a line of its own or a response code (CR, LF and NUL are in literals alone,
//! and what has to be an atom is one); only ASCII outside of strings.
//! Other half: the client; and `parse`, which reads the same sets, names and sections.
//!
//! Two things are taken as they are: the strings of ENVELOPE, BODY and BODYSTRUCTURE, which the core has made, and the octets of literals.

pub mod access;
mod code;
pub mod date;
pub mod fetch;
pub mod mailbox;
pub mod search;
pub mod set;
pub mod text;
pub mod thread;

pub use self::code::Code;
use self::text::{atom, flag_list, human, number, number64, push, quoted, string};

/// The first word of a status response (RFC 9051 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    No,
    Bad,
    Bye,
    PreAuth,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::No => "NO",
            Status::Bad => "BAD",
            Status::Bye => "BYE",
            Status::PreAuth => "PREAUTH",
        }
    }
}

/// `a1 OK [CODE] text`: the end of a command.
pub fn tagged(out: &mut Vec<u8>, tag: &str, status: Status, code: Option<&Code>, text: &str) {
    atom(out, tag);
    status_line(out, status, code, text);
}

/// `* OK [CODE] text`
pub fn untagged(out: &mut Vec<u8>, status: Status, code: Option<&Code>, text: &str) {
    out.push(b'*');
    status_line(out, status, code, text);
}

fn status_line(out: &mut Vec<u8>, status: Status, code: Option<&Code>, text: &str) {
    out.push(b' ');
    push(out, status.name());
    out.push(b' ');
    if let Some(code) = code {
        out.push(b'[');
        code.encode(out);
        push(out, "] ");
    }
    human(out, text, code.is_some());
    end(out);
}

/// `+ text`: go on (RFC 9051 §7.5).
pub fn continuation(out: &mut Vec<u8>, text: &str) {
    push(out, "+ ");
    human(out, text, false);
    end(out);
}

/// `+ base64`: a SASL challenge (RFC 9051 §6.2.2), which may be empty. `base64` is encoded already.
pub fn challenge(out: &mut Vec<u8>, base64: &str) {
    push(out, "+ ");
    let is_base64 = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/=".contains(octet);
    out.extend(base64.bytes().filter(is_base64));
    end(out);
}

pub(crate) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// `* CAPABILITY ...` (RFC 9051 §7.2.2)
pub fn capability<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
    atoms(out, "* CAPABILITY", names);
}

/// `* ENABLED ...` (RFC 5161 §3.2)
pub fn enabled<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
    atoms(out, "* ENABLED", names);
}

fn atoms<'a>(out: &mut Vec<u8>, start: &str, names: impl IntoIterator<Item = &'a str>) {
    push(out, start);
    for name in names {
        out.push(b' ');
        atom(out, name);
    }
    end(out);
}

/// `* FLAGS (...)` (RFC 9051 §7.3.5)
pub fn flags<'a>(out: &mut Vec<u8>, flags: impl IntoIterator<Item = &'a str>) {
    push(out, "* FLAGS ");
    flag_list(out, flags);
    end(out);
}

/// `* 23 EXISTS` (RFC 9051 §7.4.1)
pub fn exists(out: &mut Vec<u8>, messages: u32) {
    numbered(out, messages, " EXISTS\r\n");
}

/// `* 5 RECENT` (RFC 3501 §7.3.2)
pub fn recent(out: &mut Vec<u8>, messages: u32) {
    numbered(out, messages, " RECENT\r\n");
}

/// `* 44 EXPUNGE` (RFC 9051 §7.5.1)
pub fn expunge(out: &mut Vec<u8>, sequence_number: u32) {
    numbered(out, sequence_number, " EXPUNGE\r\n");
}

fn numbered(out: &mut Vec<u8>, value: u32, rest: &str) {
    push(out, "* ");
    number(out, value);
    push(out, rest);
}

/// `* VANISHED (EARLIER) 300:310,405` (RFC 7162 §3.2.10), or nothing if there are no UIDs.
pub fn vanished(out: &mut Vec<u8>, earlier: bool, uids: impl IntoIterator<Item = u32>) {
    let mut uids = uids.into_iter().peekable();
    if uids.peek().is_none() {
        return;
    }
    push(out, "* VANISHED ");
    if earlier {
        push(out, "(EARLIER) ");
    }
    set::numbers(out, uids);
    end(out);
}

/// `* ID ("name" "Posthorn")`, or `* ID NIL` if there is nothing to tell (RFC 2971 §3.2).
pub fn id(out: &mut Vec<u8>, fields: &[(&str, Option<&str>)]) {
    push(out, "* ID ");
    if fields.is_empty() {
        push(out, "NIL");
    }
    for (at, (field, value)) in fields.iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        string(out, field.as_bytes());
        out.push(b' ');
        text::nstring(out, value.map(str::as_bytes));
    }
    if !fields.is_empty() {
        out.push(b')');
    }
    end(out);
}

/// `* JMAPACCESS "https://..."` (RFC 9698 §4)
pub fn jmap_access(out: &mut Vec<u8>, url: &str) {
    push(out, "* JMAPACCESS ");
    quoted(out, url);
    end(out);
}

/// `<name> <number64>`, as STATUS and QUOTA have it.
pub(crate) fn named_number(out: &mut Vec<u8>, name: &str, value: u64) {
    push(out, name);
    out.push(b' ');
    number64(out, value);
}

#[cfg(test)]
mod tests;
