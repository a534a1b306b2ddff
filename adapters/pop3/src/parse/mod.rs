//! Command lines (RFC 1939 §3, RFC 2449 §4, RFC 2595 §4, RFC 5034 §4, RFC 6856 §2): octets -> [`Command`].
//!
//! Holds: sync, pure, bounded by the line it is given; never panics; what comes out has no CR, LF or NUL in it.
//! Other half: `commands`, which carries them out, and `translate::parse_error`, which says what was wrong.

use net::Secret;

/// Longest command line with its CRLF (RFC 2449 §4).
pub const COMMAND_OCTETS_MAX: usize = 255;
/// The same for AUTH, which may have a response in it. (RFC 5034 §4 has clients keep to 255; those with tokens do not.)
pub const AUTH_OCTETS_MAX: usize = net::sasl::RESPONSE_OCTETS_MAX + 64;

/// The first word of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    User,
    Pass,
    Auth,
    Stls,
    Utf8,
    Capa,
    Quit,
    Stat,
    List,
    Retr,
    Dele,
    Noop,
    Rset,
    Top,
    Uidl,
}

impl Verb {
    pub const ALL: [Verb; 15] = [
        Verb::User,
        Verb::Pass,
        Verb::Auth,
        Verb::Stls,
        Verb::Utf8,
        Verb::Capa,
        Verb::Quit,
        Verb::Stat,
        Verb::List,
        Verb::Retr,
        Verb::Dele,
        Verb::Noop,
        Verb::Rset,
        Verb::Top,
        Verb::Uidl,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Verb::User => "USER",
            Verb::Pass => "PASS",
            Verb::Auth => "AUTH",
            Verb::Stls => "STLS",
            Verb::Utf8 => "UTF8",
            Verb::Capa => "CAPA",
            Verb::Quit => "QUIT",
            Verb::Stat => "STAT",
            Verb::List => "LIST",
            Verb::Retr => "RETR",
            Verb::Dele => "DELE",
            Verb::Noop => "NOOP",
            Verb::Rset => "RSET",
            Verb::Top => "TOP",
            Verb::Uidl => "UIDL",
        }
    }

    /// In any letter case.
    pub fn named(name: &[u8]) -> Option<Verb> {
        Verb::ALL
            .into_iter()
            .find(|verb| verb.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Longest line of this command, with its CRLF.
    fn octets_max(self) -> usize {
        match self {
            Verb::Auth => AUTH_OCTETS_MAX,
            _ => COMMAND_OCTETS_MAX,
        }
    }

    /// How it is written.
    fn syntax(self) -> &'static str {
        match self {
            Verb::User => "USER name",
            Verb::Pass => "PASS password",
            Verb::Auth => "AUTH mechanism [initial-response]",
            Verb::List => "LIST [number]",
            Verb::Retr => "RETR number",
            Verb::Dele => "DELE number",
            Verb::Top => "TOP number lines",
            Verb::Uidl => "UIDL [number]",
            Verb::Stls
            | Verb::Utf8
            | Verb::Capa
            | Verb::Quit
            | Verb::Stat
            | Verb::Noop
            | Verb::Rset => self.name(),
        }
    }
}

/// A command, understood. Message numbers may be of no message.
#[derive(Clone, Debug)]
pub enum Command {
    User(String),
    Pass(Secret<String>),
    Auth {
        mechanism: String,
        /// As it was sent: base64, or `=`.
        initial: Option<Secret<Vec<u8>>>,
    },
    Stls,
    Utf8,
    Capa,
    Quit,
    Stat,
    List(Option<u32>),
    Retr(u32),
    Dele(u32),
    Noop,
    Rset,
    Top {
        number: u32,
        lines: u64,
    },
    Uidl(Option<u32>),
}

impl Command {
    pub fn verb(&self) -> Verb {
        match self {
            Command::User(_) => Verb::User,
            Command::Pass(_) => Verb::Pass,
            Command::Auth { .. } => Verb::Auth,
            Command::Stls => Verb::Stls,
            Command::Utf8 => Verb::Utf8,
            Command::Capa => Verb::Capa,
            Command::Quit => Verb::Quit,
            Command::Stat => Verb::Stat,
            Command::List(_) => Verb::List,
            Command::Retr(_) => Verb::Retr,
            Command::Dele(_) => Verb::Dele,
            Command::Noop => Verb::Noop,
            Command::Rset => Verb::Rset,
            Command::Top { .. } => Verb::Top,
            Command::Uidl(_) => Verb::Uidl,
        }
    }
}

/// Why a line is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    UnknownCommand,
    TooLong,
    /// How it is written.
    Syntax(&'static str),
    /// A name or password that is not UTF-8 (RFC 6856 §2.2).
    NotUtf8,
}

/// Reads a line, without its CRLF.
pub fn parse(line: &[u8]) -> Result<Command, ParseError> {
    let (word, argument) = match memchr::memchr(b' ', line) {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, &[][..]),
    };
    let verb = Verb::named(word).ok_or(ParseError::UnknownCommand)?;
    if line.len() + 2 > verb.octets_max() {
        return Err(ParseError::TooLong);
    }
    let syntax = ParseError::Syntax(verb.syntax());
    // RFC 1939 §7: spaces are part of a name or password.
    match verb {
        Verb::User => return text(argument, syntax).map(Command::User),
        Verb::Pass => {
            let password = text(argument, syntax)?;
            return Ok(Command::Pass(Secret::new(password)));
        }
        _ => {}
    }
    let mut words = Words(argument.trim_ascii_end());
    let command = match verb {
        Verb::Auth => auth(&mut words, syntax)?,
        Verb::List => Command::List(words.optional_number(syntax)?),
        Verb::Uidl => Command::Uidl(words.optional_number(syntax)?),
        Verb::Retr => Command::Retr(words.number(syntax)?),
        Verb::Dele => Command::Dele(words.number(syntax)?),
        Verb::Top => Command::Top {
            number: words.number(syntax)?,
            lines: digits(words.next().ok_or(syntax)?).ok_or(syntax)?,
        },
        Verb::Stls => Command::Stls,
        Verb::Utf8 => Command::Utf8,
        Verb::Capa => Command::Capa,
        Verb::Quit => Command::Quit,
        Verb::Stat => Command::Stat,
        Verb::Noop => Command::Noop,
        Verb::Rset => Command::Rset,
        Verb::User | Verb::Pass => return Err(syntax),
    };
    match words.next() {
        None => Ok(command),
        Some(_) => Err(syntax),
    }
}

fn auth(words: &mut Words<'_>, syntax: ParseError) -> Result<Command, ParseError> {
    let mechanism = words.next().ok_or(syntax)?;
    let is_name = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    if mechanism.len() > 20 || !mechanism.iter().all(is_name) {
        return Err(syntax);
    }
    Ok(Command::Auth {
        mechanism: String::from_utf8_lossy(mechanism).into_owned(),
        initial: words.next().map(|initial| Secret::new(initial.to_vec())),
    })
}

/// Arguments, with a space between them.
struct Words<'l>(&'l [u8]);

impl<'l> Iterator for Words<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr(b' ', self.0);
        let (word, rest) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 1..]),
            None => (self.0, &[][..]),
        };
        self.0 = rest;
        Some(word)
    }
}

impl Words<'_> {
    fn number(&mut self, syntax: ParseError) -> Result<u32, ParseError> {
        self.optional_number(syntax)?.ok_or(syntax)
    }

    /// A number that is too large for any message is none: u32::MAX.
    fn optional_number(&mut self, syntax: ParseError) -> Result<Option<u32>, ParseError> {
        let Some(word) = self.next() else {
            return Ok(None);
        };
        let number = digits(word).ok_or(syntax)?;
        Ok(Some(u32::try_from(number).unwrap_or(u32::MAX)))
    }
}

/// Digits alone; more than fits is the most that fits.
fn digits(word: &[u8]) -> Option<u64> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(word.iter().fold(0u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

fn text(argument: &[u8], syntax: ParseError) -> Result<String, ParseError> {
    if argument.is_empty() || memchr::memchr3(b'\r', b'\n', 0, argument).is_some() {
        return Err(syntax);
    }
    let text = std::str::from_utf8(argument).map_err(|_| ParseError::NotUtf8)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
