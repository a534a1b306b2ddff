//! Octets to octets and octets to text: transfer encodings (RFC 2045 §6) and character sets.
//! Holds: linear time; malformed input is passed over or kept, never refused, and is reported.
//! Other half: `body` and `words` use it; `emit` encodes.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Takes decoded octets: into memory, or only counted.
trait Sink {
    fn put(&mut self, octets: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
}

struct Count(u64);

impl Sink for Count {
    fn put(&mut self, octets: &[u8]) {
        self.0 += octets.len() as u64;
    }
}

const fn base64_table() -> [u8; 256] {
    let mut table = [0xff; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    while i < 64 {
        table[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    table
}

static BASE64: [u8; 256] = base64_table();

/// RFC 2045 §6.8. Returns whether something malformed was passed over.
fn base64_into(input: &[u8], out: &mut impl Sink) -> bool {
    let mut problem = false;
    let (mut group, mut filled) = (0u32, 0u8);
    let mut rest = input;
    loop {
        if filled == 0 {
            while let [a, b, c, d, tail @ ..] = rest {
                let (a, b) = (BASE64[*a as usize], BASE64[*b as usize]);
                let (c, d) = (BASE64[*c as usize], BASE64[*d as usize]);
                if (a | b | c | d) & 0x80 != 0 {
                    break;
                }
                out.put(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                rest = tail;
            }
        }
        let [octet, tail @ ..] = rest else { break };
        rest = tail;
        match BASE64[*octet as usize] {
            0xff if *octet == b'=' => {
                problem |= filled == 1;
                base64_flush(group, filled, out);
                filled = 0;
            }
            // Everything outside of the alphabet is passed over.
            0xff => problem |= !octet.is_ascii_whitespace(),
            value => {
                group = group << 6 | u32::from(value);
                filled += 1;
                if filled == 4 {
                    out.put(&[(group >> 16) as u8, (group >> 8) as u8, group as u8]);
                    filled = 0;
                }
            }
        }
    }
    base64_flush(group, filled, out);
    problem || filled == 1
}

fn base64_flush(group: u32, filled: u8, out: &mut impl Sink) {
    match filled {
        2 => out.put(&[(group >> 4) as u8]),
        3 => out.put(&[(group >> 10) as u8, (group >> 2) as u8]),
        _ => {}
    }
}

/// RFC 2045 §6.7. Returns whether something malformed was kept as it is.
fn quoted_printable_into(input: &[u8], out: &mut impl Sink) -> bool {
    let mut problem = false;
    let mut pos = 0;
    while pos < input.len() {
        let end = super::scan::line_end(input, pos);
        let full = &input[pos..end];
        let line = super::scan::trim_eol(full);
        let eol = &full[line.len()..];
        pos = end;
        // Rule 3: white space at the end of a line was added on the way.
        let kept = line.iter().rposition(|c| !matches!(c, b' ' | b'\t'));
        let line = &line[..kept.map_or(0, |at| at + 1)];
        let (line, soft) = match line.strip_suffix(b"=") {
            Some(line) => (line, true),
            None => (line, false),
        };
        problem |= quoted_printable_line(line, out);
        if !soft {
            out.put(eol);
        }
    }
    problem
}

fn quoted_printable_line(line: &[u8], out: &mut impl Sink) -> bool {
    let mut problem = false;
    let mut rest = line;
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.put(&rest[..at]);
        rest = &rest[at..];
        match rest {
            [_, a, b, tail @ ..] if hex(*a).is_some() && hex(*b).is_some() => {
                let octet = hex(*a).unwrap_or(0) << 4 | hex(*b).unwrap_or(0);
                out.put(&[octet]);
                rest = tail;
            }
            _ => {
                problem = true;
                out.put(b"=");
                rest = &rest[1..];
            }
        }
    }
    out.put(rest);
    problem
}

/// The value of a hexadecimal digit in either case.
pub(super) fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// Decoded base64, and whether it was malformed.
pub fn base64(input: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(input.len() / 4 * 3 + 3);
    let problem = base64_into(input, &mut out);
    (out, problem)
}

/// Decoded quoted-printable, and whether it was malformed.
pub fn quoted_printable(input: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(input.len());
    let problem = quoted_printable_into(input, &mut out);
    (out, problem)
}

pub(super) fn base64_len(input: &[u8]) -> u64 {
    let mut count = Count(0);
    base64_into(input, &mut count);
    count.0
}

pub(super) fn quoted_printable_len(input: &[u8]) -> u64 {
    let mut count = Count(0);
    quoted_printable_into(input, &mut count);
    count.0
}

/// The "Q" encoding of RFC 2047 §4.2.
pub(super) fn q_word(input: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = input
        .iter()
        .map(|&c| if c == b'_' { b' ' } else { c })
        .collect();
    let mut out = Vec::with_capacity(spaced.len());
    quoted_printable_line(&spaced, &mut out);
    out
}

/// Text in a character set as UTF-8. `None`: the set is unknown.
/// The flag tells that malformed sequences became U+FFFD.
pub fn charset<'x>(name: &str, octets: &'x [u8]) -> Option<(Cow<'x, str>, bool)> {
    let name = name.trim();
    if is_utf8(name) {
        let text = String::from_utf8_lossy(octets);
        let problem = matches!(text, Cow::Owned(_));
        return Some((text, problem));
    }
    // A set other than the ones that shift or use 16 bits has ASCII where UTF-8 has it.
    if octets.is_ascii() && is_ascii_superset(name) {
        return Some((String::from_utf8_lossy(octets), false));
    }
    let decoder = mail_parser::decoders::charsets::map::charset_decoder(name.as_bytes())?;
    let text = catch_unwind(AssertUnwindSafe(|| decoder(octets))).ok()?;
    let problem = text.contains('\u{fffd}');
    Some((Cow::Owned(text), problem))
}

pub(super) fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8")
}

pub(super) fn is_us_ascii(name: &str) -> bool {
    name.eq_ignore_ascii_case("us-ascii") || name.eq_ignore_ascii_case("ascii")
}

fn is_ascii_superset(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    is_us_ascii(name) || starts("iso-8859") || starts("windows-125") || starts("koi8")
}

/// Text whose character set nobody told: UTF-8 when it is that, else Windows-1252.
/// The flag tells that it was not UTF-8.
pub fn guess(octets: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(octets) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => match charset("windows-1252", octets) {
            Some((text, _)) => (text, true),
            None => (String::from_utf8_lossy(octets), true),
        },
    }
}
