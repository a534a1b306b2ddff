//! What we send and write: replies (RFC 5321 §4.2, RFC 2034, RFC 3463) and trace header fields.
//!
//! Holds: sync and pure; no text, wherever it comes from, can add a line of its own to a reply.
//! Other half: the client, and whoever reads the header of the message.

use std::borrow::Cow;

pub mod date;
pub mod trace;

/// Longest text of a reply line; with the codes it is within the 512 octets of RFC 5321 §4.5.3.1.5.
pub const REPLY_TEXT_OCTETS_MAX: usize = 450;

/// A reply, of one line or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// RFC 3463, such as `5.1.1`; `None` for greetings, EHLO, 334 and 354 (RFC 2034 §4).
    pub enhanced: Option<&'static str>,
    lines: Vec<Cow<'static, str>>,
}

impl Reply {
    pub fn new(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            code,
            enhanced: Some(enhanced),
            lines: vec![text.into()],
        }
    }

    /// Without an enhanced status code.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            code,
            enhanced: None,
            lines: vec![text.into()],
        }
    }

    pub fn and_line(mut self, text: impl Into<Cow<'static, str>>) -> Reply {
        self.lines.push(text.into());
        self
    }

    /// The first line's text.
    pub fn text(&self) -> &str {
        self.lines.first().map_or("", |line| line)
    }

    /// Whether it says that nothing was done.
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Whether it says that the client does not speak the protocol.
    pub fn is_bad_command(&self) -> bool {
        matches!(self.code, 500..=504 | 555)
    }

    /// The lines with their CRLF.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let separator = if at == last { ' ' } else { '-' };
            octets.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some(enhanced) = self.enhanced {
                octets.extend_from_slice(enhanced.as_bytes());
                octets.push(b' ');
            }
            let text = line.bytes().take(REPLY_TEXT_OCTETS_MAX);
            octets.extend(text.map(|octet| {
                if octet.is_ascii_control() {
                    b'?'
                } else {
                    octet
                }
            }));
            octets.extend_from_slice(b"\r\n");
        }
        octets
    }
}

#[cfg(test)]
mod tests;
