//! The header of a message that passes through: looked at line by line, changed as little as can be.
//!
//! Holds: no octet of a message is changed; what is taken out is whole fields. One pass, no allocation by the size of
//! the message, no panic.
//! Other half: `jmap-core`, which parses messages for good.

use std::ops::Range;

/// More than so many Received fields are a loop (RFC 5321 §6.3).
pub const RECEIVED_FIELDS_MAX: usize = 100;

/// A header field: its name, and where it is with its folded lines and line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a [u8],
    pub range: Range<usize>,
}

impl Field<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields up to the first empty line. Lines that are no fields are passed over.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let range = at..field_end(message, at)?;
            at = range.end;
            if let Some(name) = field_name(&message[range.clone()]) {
                return Some(Field { name, range });
            }
        }
    })
}

/// Where the line at `start`, with the folded lines after it, ends. None at the end, and at the empty line.
fn field_end(message: &[u8], start: usize) -> Option<usize> {
    if message.get(start..)?.starts_with(b"\r\n") {
        return None;
    }
    let mut end = line_end(message, start)?;
    while matches!(message.get(end), Some(b' ' | b'\t')) {
        end = line_end(message, end)?;
    }
    Some(end)
}

/// Where the line after the one at `start` begins. None at the end.
fn line_end(message: &[u8], start: usize) -> Option<usize> {
    let rest = message.get(start..).filter(|rest| !rest.is_empty())?;
    Some(start + memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1))
}

/// RFC 5322 §2.2, and §4.5 with white space before the colon.
fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    let proper = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    proper.then_some(name)
}

/// Whether fields can be put in front as they are. When not, the message has no header, and an empty line has to
/// follow what is put in front.
pub fn begins_with_header(message: &[u8]) -> bool {
    if message.starts_with(b"\r\n") {
        return true;
    }
    let end = line_end(message, 0).unwrap_or(0);
    let line = &message[..end];
    // The line that mbox files have before each message sometimes stays in front of the header.
    field_name(line).is_some() || line.starts_with(b"From ") || line.starts_with(b">From ")
}

/// How often the field is in the header.
pub fn count(message: &[u8], name: &str) -> usize {
    fields(message).filter(|field| field.is(name)).count()
}

/// Takes the fields of these names out of the message that begins at `start`.
pub fn remove(octets: &mut Vec<u8>, start: usize, names: &[&str]) {
    remove_if(octets, start, |name, _| {
        let is_it = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
        names.iter().any(is_it)
    });
}

/// Takes fields out of the message that begins at `start`, by their name and what is behind the colon.
pub fn remove_if(octets: &mut Vec<u8>, start: usize, doomed: impl Fn(&[u8], &[u8]) -> bool) {
    let (mut read, mut write) = (start, start);
    while let Some(end) = field_end(octets, read) {
        let line = &octets[read..end];
        let is_doomed = field_name(line).is_some_and(|name| {
            let colon = memchr::memchr(b':', line).unwrap_or(0);
            doomed(name, &line[colon + 1..])
        });
        if !is_doomed {
            if write < read {
                octets.copy_within(read..end, write);
            }
            write += end - read;
        }
        read = end;
    }
    if write < read {
        octets.copy_within(read.., write);
        octets.truncate(octets.len() - (read - write));
    }
}

/// The header with the empty line that ends it; all of a message that has no such line.
pub fn header(message: &[u8]) -> &[u8] {
    if message.starts_with(b"\r\n") {
        return &message[..2];
    }
    let end = memchr::memmem::find(message, b"\r\n\r\n");
    end.map_or(message, |at| &message[..at + 4])
}

/// Whether every CR has an LF after it, and every LF a CR before it.
pub fn is_strict(message: &[u8]) -> bool {
    let mut rest = message;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        if !rest[at..].starts_with(b"\r\n") {
            return false;
        }
        rest = &rest[at + 2..];
    }
    true
}

#[cfg(test)]
mod tests;
