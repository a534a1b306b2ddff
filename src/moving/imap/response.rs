//! What an IMAP server sends (RFC 9051 §7), as far as an import needs it.
//!
//! Holds: bounded in octets, literals and nesting, whatever the server says; never panics.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _};

/// Octets of the lines of one response.
const TEXT_OCTETS_MAX: usize = 4 << 20;
/// Literals of one response.
const LITERALS_MAX: usize = 1000;
/// How deep lists are nested.
const DEPTH_MAX: usize = 16;
/// Octets of a literal that are thrown away; a larger one ends the connection.
const DISCARD_OCTETS_MAX: u64 = 16 << 30;

/// A response: lines, and the literals between them.
#[derive(Debug, Default)]
pub struct Response {
    lines: Vec<Vec<u8>>,
    literals: Vec<Literal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Literal {
    Octets(Bytes),
    /// So many that they weren't kept.
    TooLarge(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Atom(String),
    Text(Bytes),
    TooLarge(u64),
    List(Vec<Value>),
}

impl Value {
    /// Of an atom or a string.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Atom(text) => Some(text.clone()),
            Value::Text(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
            Value::TooLarge(_) | Value::List(_) => None,
        }
    }

    pub fn list(&self) -> &[Value] {
        match self {
            Value::List(values) => values,
            _ => &[],
        }
    }

    pub fn number(&self) -> Option<u64> {
        self.text()?.parse().ok()
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

impl Response {
    /// Reads one response. Of literals, `octets_max` are kept at the most together.
    pub async fn read(
        stream: &mut (impl AsyncBufRead + Unpin),
        octets_max: u64,
    ) -> io::Result<Response> {
        let mut response = Response::default();
        let (mut text_left, mut octets_left) = (TEXT_OCTETS_MAX, octets_max);
        loop {
            let mut line = Vec::new();
            let limit = text_left as u64 + 2;
            (&mut *stream)
                .take(limit)
                .read_until(b'\n', &mut line)
                .await?;
            match line.pop() {
                Some(b'\n') => {}
                Some(_) if line.len() as u64 + 1 >= limit => {
                    return Err(wrong("the server sends a line without end"));
                }
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            text_left = text_left.saturating_sub(line.len() + 1);
            let Some((at, length)) = announced(&line) else {
                response.lines.push(line);
                return Ok(response);
            };
            line.truncate(at);
            response.lines.push(line);
            if response.literals.len() >= LITERALS_MAX || text_left == 0 {
                return Err(wrong("the server sends too much in one response"));
            }
            let literal = match length <= octets_left {
                true => {
                    octets_left -= length;
                    Literal::Octets(read_octets(stream, length).await?)
                }
                false if length > DISCARD_OCTETS_MAX => {
                    return Err(wrong("the server sends a literal without end"));
                }
                false => {
                    let mut rest = (&mut *stream).take(length);
                    let thrown = tokio::io::copy_buf(&mut rest, &mut tokio::io::sink()).await?;
                    if thrown < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    Literal::TooLarge(length)
                }
            };
            response.literals.push(literal);
        }
    }

    /// The first line, for what is text.
    pub fn line(&self) -> String {
        let first = self.lines.first();
        String::from_utf8_lossy(first.map_or(&[], Vec::as_slice)).into_owned()
    }

    /// Its words. `None`: it can't be understood.
    pub fn values(&self) -> Option<Vec<Value>> {
        let mut parser = Parser {
            response: self,
            line: 0,
            at: 0,
        };
        parser.values(0)
    }
}

/// Octets grow as they arrive.
async fn read_octets(stream: &mut (impl AsyncRead + Unpin), length: u64) -> io::Result<Bytes> {
    const ROOM_MAX: u64 = 1 << 20;
    let mut octets = Vec::with_capacity(length.min(ROOM_MAX) as usize);
    let read = (&mut *stream).take(length).read_to_end(&mut octets).await?;
    match read as u64 == length {
        true => Ok(octets.into()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Where the `{n}` at the end of a line begins, and its number.
fn announced(line: &[u8]) -> Option<(usize, u64)> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&octet| octet == b'{')?;
    let digits = &inner[open + 1..];
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // RFC 3516: `~{n}`
    let begin = match open.checked_sub(1) {
        Some(before) if line[before] == b'~' => before,
        _ => open,
    };
    Some((begin, number))
}

struct Parser<'r> {
    response: &'r Response,
    line: usize,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.response.lines.get(self.line)?.get(self.at).copied()
    }

    /// Words up to `)`, or to the end.
    fn values(&mut self, depth: usize) -> Option<Vec<Value>> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                None => {
                    // A literal stands where the line ends.
                    let Some(literal) = self.response.literals.get(self.line) else {
                        return (depth == 0).then_some(values);
                    };
                    self.line += 1;
                    self.at = 0;
                    values.push(match literal {
                        Literal::Octets(octets) => Value::Text(octets.clone()),
                        Literal::TooLarge(length) => Value::TooLarge(*length),
                    });
                }
                Some(b' ') => self.at += 1,
                Some(b'(') => {
                    self.at += 1;
                    values.push(Value::List(self.values(depth + 1)?));
                }
                Some(b')') => {
                    self.at += 1;
                    return (depth > 0).then_some(values);
                }
                Some(b'"') => values.push(Value::Text(self.quoted()?)),
                Some(_) => values.push(Value::Atom(self.atom())),
            }
        }
    }

    fn quoted(&mut self) -> Option<Bytes> {
        let mut octets = Vec::new();
        self.at += 1;
        loop {
            let octet = self.peek()?;
            self.at += 1;
            match octet {
                b'"' => return Some(octets.into()),
                b'\\' => {
                    octets.push(self.peek()?);
                    self.at += 1;
                }
                octet => octets.push(octet),
            }
        }
    }

    fn atom(&mut self) -> String {
        let begin = self.at;
        let mut brackets = 0i32;
        while let Some(octet) = self.peek() {
            match octet {
                b'[' => brackets += 1,
                b']' => brackets -= 1,
                b' ' | b'(' | b')' | b'"' if brackets <= 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        let line = &self.response.lines[self.line];
        String::from_utf8_lossy(&line[begin..self.at]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str, max: u64) -> io::Result<Response> {
        Response::read(&mut text.as_bytes(), max).await
    }

    async fn parsed(text: &str) -> String {
        let response = read(text, 100).await.unwrap();
        format!("{:?}", response.values())
    }

    #[tokio::test]
    async fn words_lists_and_literals() {
        assert_eq!(
            parsed("* 1 FETCH (UID 7 FLAGS (\\Seen a) BODY[] {5}\r\nhe(lo X \"q\\\"\")\r\n").await,
            r#"Some([Atom("*"), Atom("1"), Atom("FETCH"), List([Atom("UID"), Atom("7"), Atom("FLAGS"), List([Atom("\\Seen"), Atom("a")]), Atom("BODY[]"), Text(b"he(lo"), Atom("X"), Text(b"q\"")])])"#
        );
        assert_eq!(parsed("* OK )\r\n").await, "None");
        assert_eq!(parsed("* OK (\r\n").await, "None");
        assert_eq!(parsed(&format!("{}\r\n", "(".repeat(10_000))).await, "None");
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_kept() {
        let text = format!("* 1 FETCH (BODY[] {{200}}\r\n{})\r\n", "x".repeat(200));
        assert!(parsed(&text).await.contains("TooLarge(200)"));
        assert!(read("* {99999999999999}\r\n", 100).await.is_err());
        assert!(read("* {5}\r\nab", 100).await.is_err());
        let many = "{0}\r\n".repeat(LITERALS_MAX + 1);
        assert!(read(&many, 100).await.is_err());
        assert!(read(&"x".repeat(TEXT_OCTETS_MAX + 10), 100).await.is_err());
    }
}
