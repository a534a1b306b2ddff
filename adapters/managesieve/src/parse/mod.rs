//! Commands (RFC 5804 §4): octets -> [`Command`].
//!
//! Holds: sync, pure, bounded by the command it is given; never panics. A command is lines with the literals between them, without the last
//! CRLF: [`literal`] tells the session after a line whether one follows.
//! Other half: `session`, which reads commands; `commands`, which carries them out.

use net::Secret;

/// Octets of a script that is taken; what is longer is thrown away and refused (see `session`).
pub const SCRIPT_OCTETS_MAX: usize = jmap_core::mail::sieve::SCRIPT_OCTETS_MAX;
/// Octets of a command after a login, with its literals.
pub const COMMAND_OCTETS_MAX: usize = SCRIPT_OCTETS_MAX + 8 * 1024;
/// The same before a login: a response of SASL is the longest that is said there.
pub const STRANGER_OCTETS_MAX: usize = net::sasl::RESPONSE_OCTETS_MAX + 256;
/// Octets of a literal that is not wanted and yet read to its end, so that its command has its answer.
pub const DISCARD_OCTETS_MAX: u64 = 4 << 20;
/// Octets of a quoted string (RFC 5804 §4: 1024; a response of SASL may be longer, in practice).
pub const QUOTED_OCTETS_MAX: usize = STRANGER_OCTETS_MAX;
/// Literals of one command.
pub const LITERALS_MAX: usize = 4;

/// A command, understood.
#[derive(Clone, Debug)]
pub enum Command {
    Authenticate {
        mechanism: String,
        initial: Option<Secret<Vec<u8>>>,
    },
    StartTls,
    Logout,
    Capability,
    HaveSpace {
        name: String,
        octets: u64,
    },
    PutScript {
        name: String,
        content: Vec<u8>,
    },
    ListScripts,
    /// The empty name: none.
    SetActive(String),
    GetScript(String),
    DeleteScript(String),
    RenameScript {
        from: String,
        to: String,
    },
    CheckScript(Vec<u8>),
    Noop(Option<String>),
    Unauthenticate,
}

/// Why octets are not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    UnknownCommand,
    /// How it is written.
    Syntax(&'static str),
    NotUtf8,
}

/// The literal that follows this line (RFC 5804 §4 `literal-c2s`): its octets. `None`: the line ends the command.
pub fn literal(line: &[u8]) -> Option<u64> {
    let rest = line.strip_suffix(b"}")?;
    // A client that waits for us to go on would wait for ever: it has to say `+`. Without it, it is taken as if it were there.
    let rest = rest.strip_suffix(b"+").unwrap_or(rest);
    let open = memchr::memrchr(b'{', rest)?;
    let digits = rest.get(open + 1..)?;
    let is_number = (1..=20).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    // Within a quoted string it would be no literal; but there is no end of the string after it.
    is_number.then(|| number(digits))
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// Reads a command, without its last CRLF.
pub fn parse(octets: &[u8]) -> Result<Command, ParseError> {
    let end = octets
        .iter()
        .position(|octet| !octet.is_ascii_alphabetic())
        .unwrap_or(octets.len());
    let (word, rest) = octets.split_at(end);
    let mut rest = Rest(rest);
    let word = word.to_ascii_uppercase();
    let command = match &word[..] {
        b"AUTHENTICATE" => {
            let syntax = "AUTHENTICATE mechanism [initial-response]";
            let mechanism = rest.text(syntax)?;
            let initial = match rest.is_at_end() {
                true => None,
                false => Some(Secret::new(rest.string(syntax)?)),
            };
            Command::Authenticate { mechanism, initial }
        }
        b"STARTTLS" => Command::StartTls,
        b"LOGOUT" => Command::Logout,
        b"CAPABILITY" => Command::Capability,
        b"LISTSCRIPTS" => Command::ListScripts,
        b"UNAUTHENTICATE" => Command::Unauthenticate,
        b"NOOP" => Command::Noop(match rest.is_at_end() {
            true => None,
            false => Some(rest.text("NOOP [text]")?),
        }),
        b"HAVESPACE" => {
            let syntax = "HAVESPACE name number";
            Command::HaveSpace {
                name: rest.text(syntax)?,
                octets: rest.number(syntax)?,
            }
        }
        b"PUTSCRIPT" => {
            let syntax = "PUTSCRIPT name content";
            Command::PutScript {
                name: rest.text(syntax)?,
                content: rest.string(syntax)?,
            }
        }
        b"CHECKSCRIPT" => Command::CheckScript(rest.string("CHECKSCRIPT content")?),
        b"SETACTIVE" => Command::SetActive(rest.text("SETACTIVE name")?),
        b"GETSCRIPT" => Command::GetScript(rest.text("GETSCRIPT name")?),
        b"DELETESCRIPT" => Command::DeleteScript(rest.text("DELETESCRIPT name")?),
        b"RENAMESCRIPT" => {
            let syntax = "RENAMESCRIPT old-name new-name";
            Command::RenameScript {
                from: rest.text(syntax)?,
                to: rest.text(syntax)?,
            }
        }
        _ => return Err(ParseError::UnknownCommand),
    };
    match rest.is_at_end() {
        true => Ok(command),
        false => Err(ParseError::Syntax("nothing may follow the arguments")),
    }
}

/// Reads a string alone: a response of SASL.
pub fn response(octets: &[u8]) -> Result<Vec<u8>, ParseError> {
    const SYNTAX: &str = "a string";
    let mut rest = Rest(octets);
    let string = rest.string_here(SYNTAX)?;
    match rest.is_at_end() {
        true => Ok(string),
        false => Err(ParseError::Syntax(SYNTAX)),
    }
}

/// What is left of a command.
struct Rest<'c>(&'c [u8]);

impl Rest<'_> {
    fn is_at_end(&self) -> bool {
        self.0.trim_ascii().is_empty()
    }

    /// RFC 5804 §4: one space, and what follows it.
    fn space(&mut self, syntax: &'static str) -> Result<(), ParseError> {
        let rest = self.0.strip_prefix(b" ");
        self.0 = rest.ok_or(ParseError::Syntax(syntax))?.trim_ascii_start();
        Ok(())
    }

    fn string(&mut self, syntax: &'static str) -> Result<Vec<u8>, ParseError> {
        self.space(syntax)?;
        self.string_here(syntax)
    }

    fn string_here(&mut self, syntax: &'static str) -> Result<Vec<u8>, ParseError> {
        match self.0.first() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => None,
        }
        .ok_or(ParseError::Syntax(syntax))
    }

    fn text(&mut self, syntax: &'static str) -> Result<String, ParseError> {
        String::from_utf8(self.string(syntax)?).map_err(|_| ParseError::NotUtf8)
    }

    fn number(&mut self, syntax: &'static str) -> Result<u64, ParseError> {
        self.space(syntax)?;
        let is_digit = |octet: &u8| octet.is_ascii_digit();
        let end = self.0.iter().position(|octet| !is_digit(octet));
        let (digits, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        if digits.is_empty() {
            return Err(ParseError::Syntax(syntax));
        }
        self.0 = rest;
        Ok(number(digits))
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut octets = self.0.iter().enumerate().skip(1);
        while let Some((at, &octet)) = octets.next() {
            match octet {
                b'"' => {
                    self.0 = self.0.get(at + 1..)?;
                    return Some(text);
                }
                b'\\' => text.push(*octets.next()?.1),
                b'\r' | b'\n' | 0 => return None,
                octet => text.push(octet),
            }
            if text.len() > QUOTED_OCTETS_MAX {
                return None;
            }
        }
        None
    }

    fn literal(&mut self) -> Option<Vec<u8>> {
        let line_end = memchr::memmem::find(self.0, b"\r\n")?;
        let octets = literal(self.0.get(..line_end)?)?;
        // Nothing else stands before the number.
        if memchr::memrchr(b'{', self.0.get(..line_end)?) != Some(0) {
            return None;
        }
        let start = line_end + 2;
        let end = start.checked_add(usize::try_from(octets).ok()?)?;
        let content = self.0.get(start..end)?.to_vec();
        self.0 = self.0.get(end..)?;
        Some(content)
    }
}

#[cfg(test)]
mod tests;
