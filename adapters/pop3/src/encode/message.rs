//! Messages on their way out: lines that begin with a dot get another one (RFC 1939 §3).
//!
//! Holds: lines end with CRLF, so that no client sees the end of the message where it is not: an LF of its own becomes
//! CRLF, and so does the end of a message that has none. What is made at once is bounded.
//! Other half: `commands::retrieve`, which sends it piece by piece.

/// Octets of the message that are taken at once.
pub const PIECE_OCTETS: usize = 16 * 1024;

/// A message, piece by piece.
#[derive(Debug)]
pub struct Stuffing<'m> {
    rest: &'m [u8],
    at_line_start: bool,
}

impl<'m> Stuffing<'m> {
    pub fn new(message: &'m [u8]) -> Stuffing<'m> {
        Stuffing {
            rest: message,
            at_line_start: true,
        }
    }

    /// Appends the next piece; at the end of the message with the dot. False: that was all.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let mut piece = PIECE_OCTETS.min(self.rest.len());
        // A CR stays with what follows it.
        if piece < self.rest.len() && self.rest[piece - 1] == b'\r' && piece > 1 {
            piece -= 1;
        }
        let (mut piece, rest) = self.rest.split_at(piece);
        self.rest = rest;
        while !piece.is_empty() {
            if self.at_line_start && piece[0] == b'.' {
                out.push(b'.');
            }
            let Some(end) = memchr::memchr(b'\n', piece) else {
                out.extend_from_slice(piece);
                self.at_line_start = false;
                break;
            };
            let line = &piece[..end];
            out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            out.extend_from_slice(b"\r\n");
            piece = &piece[end + 1..];
            self.at_line_start = true;
        }
        if !self.rest.is_empty() {
            return true;
        }
        if !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(super::END);
        false
    }
}

/// RFC 1939 §7, TOP: the header, the empty line, and so many lines of the body.
pub fn top(message: &[u8], lines: u64) -> &[u8] {
    let mut at = 0;
    let mut left = None;
    while at < message.len() && left != Some(0) {
        let end = memchr::memchr(b'\n', &message[at..]).map_or(message.len(), |end| at + end + 1);
        let line = &message[at..end];
        // RFC 5322 §2.1: a line of spaces is still part of the header.
        let is_empty = matches!(line, b"\r\n" | b"\n");
        left = match left {
            Some(left) => Some(left - 1),
            None if is_empty => Some(lines),
            None => None,
        };
        at = end;
    }
    &message[..at]
}
