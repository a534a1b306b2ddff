//! What we send: status lines (RFC 1939 §3, RFC 2449 §8, RFC 3206), lists, and messages.
//!
//! Holds: sync and pure; no text, wherever it comes from, can add a line of its own.
//! Other half: the client.

use std::borrow::Cow;

pub use self::message::{Stuffing, top};
pub use self::surrogate::surrogate;

mod message;
mod surrogate;

/// Longest text of a status line; with the rest it is within the 512 octets of RFC 2449 §4.
pub const TEXT_OCTETS_MAX: usize = 450;
/// The end of a list or message.
pub const END: &[u8] = b".\r\n";

/// What a program can act on (RFC 2449 §8.1, RFC 3206, RFC 6856 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Another session has the maildrop.
    InUse,
    /// The credentials are the problem.
    Auth,
    /// It may work later.
    SysTemp,
    /// Somebody has to repair something first.
    SysPerm,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Code::InUse => "IN-USE",
            Code::Auth => "AUTH",
            Code::SysTemp => "SYS/TEMP",
            Code::SysPerm => "SYS/PERM",
        }
    }
}

/// A status line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub ok: bool,
    pub code: Option<Code>,
    text: Cow<'static, str>,
}

impl Reply {
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            ok: true,
            code: None,
            text: text.into(),
        }
    }

    pub fn err(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            ok: false,
            code: None,
            text: text.into(),
        }
    }

    pub fn coded(code: Code, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            ok: false,
            code: Some(code),
            text: text.into(),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line with its CRLF.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.text.len() + 24);
        octets.extend_from_slice(if self.ok { b"+OK " } else { b"-ERR " });
        if let Some(code) = self.code {
            octets.extend_from_slice(format!("[{}] ", code.name()).as_bytes());
        }
        // RFC 6856 §3.2: ASCII, as no other language was asked for.
        let text = self.text.bytes().take(TEXT_OCTETS_MAX);
        octets.extend(text.map(|octet| match octet {
            b' '..=b'~' => octet,
            _ => b'?',
        }));
        octets.extend_from_slice(b"\r\n");
        octets
    }
}

/// A challenge of SASL (RFC 5034 §4): base64, or nothing.
pub fn challenge(base64: &str) -> Vec<u8> {
    format!("+ {base64}\r\n").into_bytes()
}

#[cfg(test)]
mod tests;
