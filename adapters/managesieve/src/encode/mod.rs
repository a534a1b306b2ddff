//! What we send (RFC 5804 §1.3, §4): responses and strings.
//!
//! Holds: sync and pure; no text, wherever it comes from, can add a line of its own.
//! Other half: the client.

use std::borrow::Cow;

/// Octets of a string that is quoted; a longer one is a literal (RFC 5804 §4).
const QUOTED_OCTETS_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ok,
    No,
    /// The end of the connection.
    Bye,
}

/// What a program can act on (RFC 5804 §1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    AuthTooWeak,
    EncryptNeeded,
    Quota,
    QuotaMaxScripts,
    QuotaMaxSize,
    /// What the server says last in SASL, in base64.
    Sasl(String),
    Tag(String),
    TransitionNeeded,
    TryLater,
    Active,
    NonExistent,
    AlreadyExists,
}

impl Code {
    fn encode(&self, to: &mut Vec<u8>) {
        let name = match self {
            Code::AuthTooWeak => "AUTH-TOO-WEAK",
            Code::EncryptNeeded => "ENCRYPT-NEEDED",
            Code::Quota => "QUOTA",
            Code::QuotaMaxScripts => "QUOTA/MAXSCRIPTS",
            Code::QuotaMaxSize => "QUOTA/MAXSIZE",
            Code::Sasl(_) => "SASL ",
            Code::Tag(_) => "TAG ",
            Code::TransitionNeeded => "TRANSITION-NEEDED",
            Code::TryLater => "TRYLATER",
            Code::Active => "ACTIVE",
            Code::NonExistent => "NONEXISTENT",
            Code::AlreadyExists => "ALREADYEXISTS",
        };
        to.push(b'(');
        to.extend_from_slice(name.as_bytes());
        if let Code::Sasl(text) | Code::Tag(text) = self {
            string(text.as_bytes(), to);
        }
        to.push(b')');
    }
}

/// The end of what a command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub kind: Kind,
    pub code: Option<Code>,
    text: Cow<'static, str>,
}

impl Reply {
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            kind: Kind::Ok,
            code: None,
            text: text.into(),
        }
    }

    pub fn no(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            kind: Kind::No,
            ..Reply::ok(text)
        }
    }

    pub fn bye(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            kind: Kind::Bye,
            ..Reply::ok(text)
        }
    }

    pub fn coded(self, code: Code) -> Reply {
        Reply {
            code: Some(code),
            ..self
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut octets = match self.kind {
            Kind::Ok => b"OK".to_vec(),
            Kind::No => b"NO".to_vec(),
            Kind::Bye => b"BYE".to_vec(),
        };
        if let Some(code) = &self.code {
            octets.push(b' ');
            code.encode(&mut octets);
        }
        if !self.text.is_empty() {
            octets.push(b' ');
            string(self.text.as_bytes(), &mut octets);
        }
        octets.extend_from_slice(b"\r\n");
        octets
    }
}

/// A string: quoted where that is possible, or a literal.
pub fn string(octets: &[u8], to: &mut Vec<u8>) {
    let is_plain = |octet: &u8| !matches!(octet, b'\r' | b'\n' | 0);
    if octets.len() <= QUOTED_OCTETS_MAX && octets.iter().all(is_plain) {
        to.push(b'"');
        for &octet in octets {
            if matches!(octet, b'"' | b'\\') {
                to.push(b'\\');
            }
            to.push(octet);
        }
        return to.push(b'"');
    }
    to.extend_from_slice(format!("{{{}}}\r\n", octets.len()).as_bytes());
    to.extend_from_slice(octets);
}

/// A line of strings: a capability and its value.
pub fn line(strings: &[&str], to: &mut Vec<u8>) {
    for (at, text) in strings.iter().enumerate() {
        if at > 0 {
            to.push(b' ');
        }
        string(text.as_bytes(), to);
    }
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        let shown = |reply: Reply| String::from_utf8(reply.encode()).unwrap();
        assert_eq!(shown(Reply::ok("")), "OK\r\n");
        assert_eq!(
            shown(Reply::no("a \"b\"").coded(Code::QuotaMaxSize)),
            "NO (QUOTA/MAXSIZE) \"a \\\"b\\\"\"\r\n"
        );
        assert_eq!(shown(Reply::no("a\nb")), "NO {3}\r\na\nb\r\n");
        assert_eq!(
            shown(Reply::ok("").coded(Code::Tag("x\r\n".into()))),
            "OK (TAG {3}\r\nx\r\n)\r\n"
        );
        let long = "x".repeat(QUOTED_OCTETS_MAX + 1);
        assert_eq!(
            shown(Reply::bye(long.clone())),
            format!("BYE {{1025}}\r\n{long}\r\n")
        );
    }
}
