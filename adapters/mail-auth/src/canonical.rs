//! The relaxed form of headers and bodies (RFC 6376 §3.4.2, §3.4.4): what is signed.
//!
//! Holds: pure, one pass, any octets. A verifier that follows the RFC comes to the same octets.
//! Other half: `sign` and `seal`; on the other side, `mail-auth`'s canonicalization with the repair of `header`.

use aws_lc_rs::digest::{Context, SHA256};

/// A message taken apart: fields with their CRLF, and what is after the empty line.
#[derive(Debug)]
pub(crate) struct Split<'m> {
    pub fields: Vec<&'m [u8]>,
    pub body: &'m [u8],
}

impl<'m> Split<'m> {
    pub fn of(message: &'m [u8]) -> Split<'m> {
        let mut fields = Vec::new();
        let mut rest = message;
        while !rest.is_empty() {
            if let Some(body) = rest.strip_prefix(b"\r\n") {
                return Split { fields, body };
            }
            let mut end = line_end(rest);
            while matches!(rest.get(end), Some(b' ' | b'\t')) {
                end += line_end(&rest[end..]);
            }
            let (field, after) = rest.split_at(end);
            fields.push(field);
            rest = after;
        }
        Split { fields, body: b"" }
    }
}

fn line_end(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1)
}

/// A field's name; empty if it is none.
pub(crate) fn name_of(field: &[u8]) -> &[u8] {
    let colon = memchr::memchr(b':', field).unwrap_or(0);
    field[..colon].trim_ascii_end()
}

/// What is behind the colon.
pub(crate) fn value_of(field: &[u8]) -> &[u8] {
    memchr::memchr(b':', field).map_or(&b""[..], |at| &field[at + 1..])
}

/// Appends the relaxed form of a field, without its line end (RFC 6376 §3.4.2).
pub(crate) fn relaxed_field(field: &[u8], into: &mut Vec<u8>) {
    into.extend(name_of(field).iter().map(u8::to_ascii_lowercase));
    into.push(b':');
    let begin = into.len();
    let mut is_space = false;
    for &octet in value_of(field) {
        match octet {
            // Unfolded: the line ends go, and the white space after them counts.
            b'\r' | b'\n' => {}
            b' ' | b'\t' => is_space = true,
            octet => {
                if is_space && into.len() > begin {
                    into.push(b' ');
                }
                is_space = false;
                into.push(octet);
            }
        }
    }
}

/// The SHA-256 hash of the relaxed form of a body (RFC 6376 §3.4.4).
pub(crate) fn relaxed_body_hash(body: &[u8]) -> [u8; 32] {
    const BUFFER_OCTETS: usize = 16 << 10;
    let mut hash = Context::new(&SHA256);
    let mut buffer = Vec::with_capacity(BUFFER_OCTETS + 1024);
    // Empty lines that count only if something follows.
    let mut blank_lines = 0usize;
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(crlf_end(rest));
        rest = after;
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let end = line.iter().rposition(|octet| !is_space(octet));
        let Some(end) = end else {
            blank_lines += 1;
            continue;
        };
        for _ in 0..std::mem::take(&mut blank_lines) {
            buffer.extend_from_slice(b"\r\n");
            flush(&mut buffer, &mut hash, BUFFER_OCTETS);
        }
        let mut was_space = false;
        for octet in &line[..=end] {
            match is_space(octet) {
                true if was_space => {}
                true => buffer.push(b' '),
                false => buffer.push(*octet),
            }
            was_space = is_space(octet);
        }
        buffer.extend_from_slice(b"\r\n");
        flush(&mut buffer, &mut hash, BUFFER_OCTETS);
    }
    hash.update(&buffer);
    let mut octets = [0; 32];
    octets.copy_from_slice(hash.finish().as_ref());
    octets
}

fn flush(buffer: &mut Vec<u8>, hash: &mut Context, octets_max: usize) {
    if buffer.len() >= octets_max {
        hash.update(buffer);
        buffer.clear();
    }
}

fn is_space(octet: &u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Where the line ends: after a CRLF. A CR or LF by itself is an octet as others are.
fn crlf_end(text: &[u8]) -> usize {
    memchr::memmem::find(text, b"\r\n").map_or(text.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6376 §3.4.5.
    #[test]
    fn the_example_of_the_rfc() {
        let message = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let split = Split::of(message);
        let mut header = Vec::new();
        for field in &split.fields {
            relaxed_field(field, &mut header);
            header.extend_from_slice(b"\r\n");
        }
        assert_eq!(header, b"a:X\r\nb:Y Z\r\n");
        let want = aws_lc_rs::digest::digest(&SHA256, b" C\r\nD E\r\n");
        assert_eq!(relaxed_body_hash(split.body), want.as_ref());
    }

    #[test]
    fn bodies() {
        let hash = |text: &[u8]| relaxed_body_hash(text).to_vec();
        let of = |text: &[u8]| aws_lc_rs::digest::digest(&SHA256, text).as_ref().to_vec();
        for (body, relaxed) in [
            (&b""[..], &b""[..]),
            (b"\r\n", b""),
            (b" \r\n\t \r\n\r\n ", b""),
            (b"a", b"a\r\n"),
            (b"a \t", b"a\r\n"),
            (b"a\r\n \r\n\r\nb\r\n \r\n", b"a\r\n\r\n\r\nb\r\n"),
            (b"\ta\r\n", b" a\r\n"),
            (b"a\nb\rc\r\n", b"a\nb\rc\r\n"),
        ] {
            assert_eq!(hash(body), of(relaxed), "{body:?}");
        }
        // Over the buffer's end.
        let long = "line  of\ttext \r\n \r\n".repeat(5000);
        let want = "line of text\r\n\r\n".repeat(5000);
        assert_eq!(
            hash(long.as_bytes()),
            of(want
                .trim_end()
                .as_bytes()
                .iter()
                .chain(b"\r\n")
                .copied()
                .collect::<Vec<u8>>()
                .as_slice())
        );
    }
}
