//! Command lines (RFC 5321 §4.1.1, RFC 2033, RFC 3030, RFC 3207, RFC 4954): octets -> [`Command`].
//!
//! Holds: sync, pure, bounded by the line it is given; never panics; what comes out has no CR, LF or NUL in it.
//! Other half: `commands`, which carries them out, and `translate::parse_error`, which says what was wrong.

use jmap_core::mail::submission::parameters::{self, Fault};
use jmap_core::mail::submission::records::Parameter;
use net::Secret;

pub use self::path::Address;

mod path;

/// Longest command line with its CRLF (RFC 5321 §4.5.3.1.4).
pub const COMMAND_OCTETS_MAX: usize = 512;
/// The same for MAIL: with SIZE (RFC 1870 §3), BODY (RFC 6152 §2), SMTPUTF8 (RFC 6531 §3.1), AUTH (RFC 4954 §5), RET and ENVID
/// (RFC 3461 §4), HOLDFOR or HOLDUNTIL (RFC 4865 §3), BY (RFC 2852 §4), REQUIRETLS (RFC 8689 §2), MT-PRIORITY (RFC 6710 §3).
pub const MAIL_OCTETS_MAX: usize =
    COMMAND_OCTETS_MAX + 26 + 17 + 10 + 500 + 500 + 34 + 17 + 11 + 15;
/// The same for RCPT: with NOTIFY and ORCPT (RFC 3461 §4).
pub const RCPT_OCTETS_MAX: usize = COMMAND_OCTETS_MAX + 500;
/// The same for AUTH, which may have a response in it (RFC 4954 §4).
pub const AUTH_OCTETS_MAX: usize = net::sasl::RESPONSE_OCTETS_MAX + 64;
/// Longest argument of HELO, EHLO and LHLO.
pub const HELLO_OCTETS_MAX: usize = 255;

/// The first word of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Helo,
    Ehlo,
    Lhlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Help,
    Vrfy,
    Expn,
    StartTls,
    Auth,
}

impl Verb {
    pub const ALL: [Verb; 15] = [
        Verb::Helo,
        Verb::Ehlo,
        Verb::Lhlo,
        Verb::Mail,
        Verb::Rcpt,
        Verb::Data,
        Verb::Bdat,
        Verb::Rset,
        Verb::Noop,
        Verb::Quit,
        Verb::Help,
        Verb::Vrfy,
        Verb::Expn,
        Verb::StartTls,
        Verb::Auth,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Verb::Helo => "HELO",
            Verb::Ehlo => "EHLO",
            Verb::Lhlo => "LHLO",
            Verb::Mail => "MAIL",
            Verb::Rcpt => "RCPT",
            Verb::Data => "DATA",
            Verb::Bdat => "BDAT",
            Verb::Rset => "RSET",
            Verb::Noop => "NOOP",
            Verb::Quit => "QUIT",
            Verb::Help => "HELP",
            Verb::Vrfy => "VRFY",
            Verb::Expn => "EXPN",
            Verb::StartTls => "STARTTLS",
            Verb::Auth => "AUTH",
        }
    }

    /// In any letter case.
    pub fn named(name: &[u8]) -> Option<Verb> {
        Verb::ALL
            .into_iter()
            .find(|verb| verb.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Longest line of this command, with its CRLF.
    pub fn octets_max(self) -> usize {
        match self {
            Verb::Mail => MAIL_OCTETS_MAX,
            Verb::Auth => AUTH_OCTETS_MAX,
            Verb::Rcpt => RCPT_OCTETS_MAX,
            _ => COMMAND_OCTETS_MAX,
        }
    }
}

/// A command, understood.
#[derive(Clone, Debug)]
pub enum Command {
    Helo(String),
    Ehlo(String),
    Lhlo(String),
    Mail(Mail),
    Rcpt(Rcpt),
    Data,
    Bdat {
        /// Octets that follow the line.
        size: u64,
        last: bool,
    },
    Rset,
    Noop,
    Quit,
    Help,
    Vrfy,
    Expn,
    StartTls,
    Auth {
        mechanism: String,
        /// As it was sent: base64, or `=`.
        initial: Option<Secret<Vec<u8>>>,
    },
}

/// MAIL (RFC 5321 §4.1.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// `None`: the null reverse-path.
    pub from: Option<Address>,
    /// RFC 1870 §3: octets of the message, as the client reckons.
    pub size: Option<u64>,
    /// RFC 6152
    pub body: Option<Body>,
    /// RFC 6531 §3.4
    pub smtputf8: bool,
    /// RFC 4954 §5: there was an `AUTH=`. Nobody is trusted with it, so its value is not kept.
    pub auth: bool,
    /// All but SIZE and AUTH, decoded, by the names that `jmap_core::mail::submission::parameters` has.
    pub parameters: Vec<Parameter>,
}

/// RCPT (RFC 5321 §4.1.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    pub to: Address,
    /// NOTIFY and ORCPT (RFC 3461), decoded.
    pub parameters: Vec<Parameter>,
}

/// The BODY parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    SevenBit,
    EightBitMime,
    /// RFC 3030 §3
    BinaryMime,
}

/// Why a line is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    UnknownCommand,
    /// The line of another protocol: somebody has a browser talk to us.
    OtherProtocol,
    TooLong,
    /// What the command has to look like.
    Syntax(&'static str),
    SenderAddress,
    RecipientAddress,
    UnknownParameter,
    ParameterValue,
    /// BDAT without a size: what follows can't be told from commands any more.
    ChunkSize,
}

impl Command {
    pub fn verb(&self) -> Verb {
        match self {
            Command::Helo(_) => Verb::Helo,
            Command::Ehlo(_) => Verb::Ehlo,
            Command::Lhlo(_) => Verb::Lhlo,
            Command::Mail(_) => Verb::Mail,
            Command::Rcpt(_) => Verb::Rcpt,
            Command::Data => Verb::Data,
            Command::Bdat { .. } => Verb::Bdat,
            Command::Rset => Verb::Rset,
            Command::Noop => Verb::Noop,
            Command::Quit => Verb::Quit,
            Command::Help => Verb::Help,
            Command::Vrfy => Verb::Vrfy,
            Command::Expn => Verb::Expn,
            Command::StartTls => Verb::StartTls,
            Command::Auth { .. } => Verb::Auth,
        }
    }
}

/// Reads one line, without its CRLF.
pub fn parse(line: &[u8]) -> Result<Command, ParseError> {
    let (word, rest) = split_word(line);
    let Some(verb) = Verb::named(word) else {
        return Err(unknown(word));
    };
    if line.len() + 2 > verb.octets_max() {
        return Err(too_long(line));
    }
    match verb {
        Verb::Helo => hello(rest).map(Command::Helo),
        Verb::Ehlo => hello(rest).map(Command::Ehlo),
        Verb::Lhlo => hello(rest).map(Command::Lhlo),
        Verb::Mail => mail(rest).map(Command::Mail),
        Verb::Rcpt => rcpt(rest).map(Command::Rcpt),
        Verb::Data => alone(rest, Command::Data, "DATA"),
        Verb::Bdat => bdat(rest),
        Verb::Rset => alone(rest, Command::Rset, "RSET"),
        Verb::StartTls => alone(rest, Command::StartTls, "STARTTLS"),
        Verb::Auth => auth(rest),
        // What they are given is not looked at.
        Verb::Noop => Ok(Command::Noop),
        Verb::Quit => Ok(Command::Quit),
        Verb::Help => Ok(Command::Help),
        Verb::Vrfy => Ok(Command::Vrfy),
        Verb::Expn => Ok(Command::Expn),
    }
}

/// What is wrong with a line that is longer than a command may be, and begins with `head`.
pub fn too_long(head: &[u8]) -> ParseError {
    let (word, _) = split_word(head);
    match Verb::named(word) {
        Some(Verb::Bdat) => ParseError::ChunkSize,
        _ => ParseError::TooLong,
    }
}

fn unknown(word: &[u8]) -> ParseError {
    const HTTP: [&[u8]; 7] = [
        b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"Host:",
    ];
    if HTTP.contains(&word) {
        return ParseError::OtherProtocol;
    }
    ParseError::UnknownCommand
}

/// The octets up to the first space, and what follows the spaces after it.
fn split_word(octets: &[u8]) -> (&[u8], &[u8]) {
    let end = octets.iter().position(|octet| *octet == b' ');
    let (word, rest) = octets.split_at(end.unwrap_or(octets.len()));
    (word, skip_spaces(rest))
}

fn skip_spaces(octets: &[u8]) -> &[u8] {
    let start = octets.iter().position(|octet| *octet != b' ');
    &octets[start.unwrap_or(octets.len())..]
}

fn alone(rest: &[u8], command: Command, syntax: &'static str) -> Result<Command, ParseError> {
    if rest.is_empty() {
        return Ok(command);
    }
    Err(ParseError::Syntax(syntax))
}

/// The name is not verified, but goes into a Received field: only what is harmless there is taken. (Underscores are
/// in no domain, and in many names of machines.)
fn hello(rest: &[u8]) -> Result<String, ParseError> {
    const SYNTAX: ParseError = ParseError::Syntax("EHLO, HELO or LHLO, and the name of your host");
    let (name, _) = split_word(rest);
    let in_brackets = name
        .strip_prefix(b"[")
        .and_then(|name| name.strip_suffix(b"]"));
    let text = in_brackets.unwrap_or(name);
    let harmless = |octet: &u8| {
        octet.is_ascii_alphanumeric()
            || b"-_.".contains(octet)
            || (*octet == b':' && in_brackets.is_some())
    };
    if text.is_empty() || name.len() > HELLO_OCTETS_MAX || !text.iter().all(harmless) {
        return Err(SYNTAX);
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// What follows `FROM:` or `TO:`. The space that many put after the colon is put up with.
fn after_colon<'a>(rest: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (name, path) = rest.split_at_checked(word.len())?;
    if !name.eq_ignore_ascii_case(word) {
        return None;
    }
    path.strip_prefix(b":").map(skip_spaces)
}

fn mail(rest: &[u8]) -> Result<Mail, ParseError> {
    const SYNTAX: ParseError = ParseError::Syntax("MAIL FROM:<address>");
    let rest = after_colon(rest, b"FROM").ok_or(SYNTAX)?;
    let (from, rest) = match rest.strip_prefix(b"<>") {
        Some(rest) => (None, rest),
        None => {
            let (from, rest) = path::in_brackets(rest).ok_or(ParseError::SenderAddress)?;
            (Some(from), rest)
        }
    };
    let mut mail = Mail {
        from,
        ..Mail::default()
    };
    for parameter in words(rest).ok_or(SYNTAX)? {
        mail_parameter(&mut mail, parameter)?;
    }
    Ok(mail)
}

/// RFC 5321 §4.1.1.11: each parameter at most once.
fn mail_parameter(mail: &mut Mail, parameter: &[u8]) -> Result<(), ParseError> {
    let (keyword, value) = halves(parameter);
    let is = |name: &str| keyword.eq_ignore_ascii_case(name.as_bytes());
    let kept = |mail: &mut Mail| keep(&mut mail.parameters, parameters::of_mail, keyword, value);
    if is("SIZE") && mail.size.is_none() {
        let size = value.and_then(decimal).ok_or(ParseError::ParameterValue)?;
        mail.size = Some(size);
        return Ok(());
    }
    if is("BODY") && mail.body.is_none() {
        mail.body = Some(body(value.unwrap_or_default())?);
        return kept(mail);
    }
    if is("SMTPUTF8") && !mail.smtputf8 && value.is_none() {
        mail.smtputf8 = true;
        return kept(mail);
    }
    if is("AUTH") && !mail.auth && value.is_some_and(|value| !value.is_empty()) {
        mail.auth = true;
        return Ok(());
    }
    if is("SIZE") || is("BODY") || is("SMTPUTF8") || is("AUTH") {
        return Err(ParseError::ParameterValue);
    }
    kept(mail)
}

/// Keeps a parameter, if it is one, its value is decoded, and it was not given before.
fn keep(
    kept: &mut Vec<Parameter>,
    check: fn(&str, Option<&str>) -> Result<Parameter, Fault>,
    keyword: &[u8],
    value: Option<&[u8]>,
) -> Result<(), ParseError> {
    let name = std::str::from_utf8(keyword).map_err(|_| ParseError::UnknownParameter)?;
    let is_encoded = ["ENVID", "ORCPT"]
        .iter()
        .any(|of| of.eq_ignore_ascii_case(name));
    let value = match value {
        Some(value) if is_encoded => Some(xtext(value).ok_or(ParseError::ParameterValue)?),
        Some(value) => {
            let text = std::str::from_utf8(value).map_err(|_| ParseError::ParameterValue)?;
            Some(text.to_owned())
        }
        None => None,
    };
    let parameter = check(name, value.as_deref()).map_err(|fault| match fault {
        Fault::Unknown => ParseError::UnknownParameter,
        Fault::Value | Fault::Excluded => ParseError::ParameterValue,
    })?;
    if kept.iter().any(|other| other.name == parameter.name) {
        return Err(ParseError::ParameterValue);
    }
    kept.push(parameter);
    parameters::together(kept).map_err(|_| ParseError::ParameterValue)
}

/// RFC 3461 §4: `+` and two hexadecimal digits are an octet. What is not ASCII stands for itself (RFC 6533 §3). `None`: it
/// is not encoded like this, or not text.
pub fn xtext(octets: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => {
                let (digits, after) = rest.split_first_chunk::<2>()?;
                // RFC 3461 §4: in upper case; lower case is put up with.
                let digit = |octet: u8| char::from(octet).to_digit(16);
                let (high, low) = (digit(digits[0])?, digit(digits[1])?);
                text.push((high * 16 + low) as u8);
                rest = after;
            }
            b'!'..=b'~' if first != b'=' => text.push(first),
            0x80.. => text.push(first),
            _ => return None,
        }
    }
    String::from_utf8(text).ok()
}

fn body(value: &[u8]) -> Result<Body, ParseError> {
    if value.eq_ignore_ascii_case(b"7BIT") {
        return Ok(Body::SevenBit);
    }
    if value.eq_ignore_ascii_case(b"8BITMIME") {
        return Ok(Body::EightBitMime);
    }
    if value.eq_ignore_ascii_case(b"BINARYMIME") {
        return Ok(Body::BinaryMime);
    }
    Err(ParseError::ParameterValue)
}

fn rcpt(rest: &[u8]) -> Result<Rcpt, ParseError> {
    const SYNTAX: ParseError = ParseError::Syntax("RCPT TO:<address>");
    let rest = after_colon(rest, b"TO").ok_or(SYNTAX)?;
    let (to, rest) = path::recipient(rest).ok_or(ParseError::RecipientAddress)?;
    let mut parameters = Vec::new();
    for parameter in words(rest).ok_or(SYNTAX)? {
        let (keyword, value) = halves(parameter);
        keep(&mut parameters, parameters::of_rcpt, keyword, value)?;
    }
    Ok(Rcpt { to, parameters })
}

/// A parameter's keyword, and what is behind the equals sign.
fn halves(parameter: &[u8]) -> (&[u8], Option<&[u8]>) {
    match parameter.iter().position(|octet| *octet == b'=') {
        Some(at) => (&parameter[..at], Some(&parameter[at + 1..])),
        None => (parameter, None),
    }
}

/// What follows a path: nothing, or words after a space.
fn words(rest: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    if !rest.is_empty() && !rest.starts_with(b" ") {
        return None;
    }
    let words = rest.split(|octet| *octet == b' ');
    Some(words.filter(|word| !word.is_empty()))
}

/// 1*20DIGIT (RFC 1870 §3, RFC 3030 §2). What is too large to count is as large as can be.
fn decimal(octets: &[u8]) -> Option<u64> {
    if octets.is_empty() || octets.len() > 20 || !octets.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = octets.iter().map(|octet| u64::from(octet - b'0'));
    Some(digits.fold(0u64, |number, digit| {
        number.saturating_mul(10).saturating_add(digit)
    }))
}

/// RFC 3030 §2.
fn bdat(rest: &[u8]) -> Result<Command, ParseError> {
    let (size, rest) = split_word(rest);
    let size = decimal(size).ok_or(ParseError::ChunkSize)?;
    let (word, end) = split_word(rest);
    let last = word.eq_ignore_ascii_case(b"LAST");
    if !(last || word.is_empty()) || !end.is_empty() {
        return Err(ParseError::ChunkSize);
    }
    Ok(Command::Bdat { size, last })
}

/// RFC 4954 §4.
fn auth(rest: &[u8]) -> Result<Command, ParseError> {
    const SYNTAX: ParseError = ParseError::Syntax("AUTH mechanism [initial-response]");
    let (mechanism, rest) = split_word(rest);
    let (initial, end) = split_word(rest);
    let mechanism = std::str::from_utf8(mechanism).map_err(|_| SYNTAX)?;
    if mechanism.is_empty() || !end.is_empty() {
        return Err(SYNTAX);
    }
    let initial = (!initial.is_empty()).then(|| Secret::new(initial.to_vec()));
    Ok(Command::Auth {
        mechanism: mechanism.to_owned(),
        initial,
    })
}

#[cfg(test)]
mod tests;
