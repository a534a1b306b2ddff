//! Octets -> [`Tagged`] (RFC 9051 §9, RFC 3501 §9, and the extensions that README.md lists).
//!
//! Holds: sync and pure; bounded by the octets it is given and by the limits below; never panics. Lenient where clients are wrong and nothing
//! depends on it (several spaces, letter case, a list in place of one item), strict otherwise.
//! Other half: `session`, which puts a command's lines and literals together, and `commands`, which carries it out.

mod access;
mod append;
mod cursor;
mod date;
mod fetch;
mod list;
mod mailbox;
pub mod names;
mod notify;
mod search;
mod search_key;
mod sequence;

use net::Secret;

pub(crate) use self::cursor::is_atom_char;
use self::cursor::{Cursor, Failure, Parsed, Why};
pub use self::fetch::section;
pub use self::sequence::sequence_set;
use crate::command::{Command, Tagged};

/// Longest tag.
pub const TAG_OCTETS_MAX: usize = 256;
/// How deep NOT, OR, FUZZY and parentheses are put into each other in SEARCH.
pub const SEARCH_DEPTH_MAX: usize = 100;
/// Keys of one SEARCH, counted at every depth.
pub const SEARCH_KEYS_MAX: usize = 10_000;
/// Ranges of one sequence set.
pub const RANGES_MAX: usize = 50_000;
/// Items of one list in parentheses.
pub const LIST_ITEMS_MAX: usize = 10_000;
/// Literals of one command.
pub const LITERALS_MAX: usize = 1_000;
/// Messages of one APPEND (RFC 3502).
pub const APPEND_MESSAGES_MAX: usize = 1_000;
/// Numbers of one body part's address, such as `1.2.3`: no message is taken apart that deep.
pub const PART_DEPTH_MAX: usize = 100;
/// RFC 2971 §3.3: field-value pairs of ID, and octets of a field and of a value.
pub const ID_PAIRS_MAX: usize = 30;
pub const ID_FIELD_OCTETS_MAX: usize = 30;
pub const ID_VALUE_OCTETS_MAX: usize = 1_024;

/// What was agreed on before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    /// Mailbox names are UTF-8: after ENABLE UTF8=ACCEPT (RFC 6855 §3) or ENABLE IMAP4rev2 (RFC 9051 §5.1).
    pub utf8: bool,
}

/// Why octets are not a command. `why` is a sentence for the client, without what the client sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ParseError {
    /// If one could be read: the answer is then a tagged one.
    pub tag: Option<String>,
    pub kind: ErrorKind,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// BAD
    Syntax,
    /// BAD: nothing is known under this name.
    UnknownCommand,
    /// NO [BADCHARSET (US-ASCII UTF-8)] (RFC 9051 §6.4.4)
    BadCharset,
    /// One of the limits of this module (RFC 5530: LIMIT).
    Limit,
}

/// The charsets of SEARCH, for BADCHARSET.
pub const CHARSETS: [&str; 2] = ["US-ASCII", "UTF-8"];

/// The announcement of a literal at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Literal {
    /// `u64::MAX` for what doesn't fit.
    pub octets: u64,
    /// The client waits for `+` (RFC 9051 §4.3); if not, the octets follow at once (RFC 7888).
    pub is_synchronizing: bool,
    /// `~{n}` (RFC 3516): may have NUL in it.
    pub is_binary: bool,
}

/// Looks at the end of a line, without its CRLF.
pub fn literal(line: &[u8]) -> Option<Literal> {
    let before = line.strip_suffix(b"}")?;
    let (before, is_synchronizing) = match before.strip_suffix(b"+") {
        Some(before) => (before, false),
        None => (before, true),
    };
    let start = before
        .iter()
        .rposition(|octet| !octet.is_ascii_digit())
        .map_or(0, |at| at + 1);
    let (before, digits) = before.split_at_checked(start)?;
    let before = before.strip_suffix(b"{")?;
    if digits.is_empty() {
        return None;
    }
    let octets = digits.iter().fold(0u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit.wrapping_sub(b'0')))
    });
    Some(Literal {
        octets,
        is_synchronizing,
        is_binary: before.ends_with(b"~"),
    })
}

/// Reads a whole command: its lines with the literals in place, without the last CRLF.
pub fn parse(octets: &[u8], mode: Mode) -> Result<Tagged, ParseError> {
    let mut cursor = Cursor::new(octets, mode);
    let tag = match tag(&mut cursor) {
        Ok(tag) => tag,
        Err(failure) => return Err(error(None, failure)),
    };
    match tagged_command(&mut cursor) {
        Ok(command) => Ok(Tagged { tag, command }),
        Err(failure) => Err(error(Some(tag), failure)),
    }
}

fn error(tag: Option<String>, failure: Failure) -> ParseError {
    let at = failure.at;
    let why = match failure.why {
        Why::Want(what) => format!("byte {at}: want {what}"),
        Why::AtMost(number, of_what) => format!("byte {at}: at most {number} {of_what}"),
    };
    ParseError {
        tag,
        kind: failure.kind,
        why,
    }
}

/// `1*<any ASTRING-CHAR except "+">`
fn tag(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let tag =
        cursor.take_while(|octet| (cursor::is_atom_char(octet) || octet == b']') && octet != b'+');
    if tag.len() > TAG_OCTETS_MAX {
        return cursor.at_most(TAG_OCTETS_MAX, "octets in a tag");
    }
    match std::str::from_utf8(tag) {
        Ok(tag) if !tag.is_empty() => Ok(tag.to_owned()),
        _ => cursor.want("a tag"),
    }
}

fn tagged_command(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let start = cursor.at;
    let name = cursor.keyword("a command")?;
    let command = if name == "UID" {
        cursor.space()?;
        let start = cursor.at;
        let name = cursor.keyword("a command")?;
        match uid_command(cursor, &name)? {
            Some(command) => command,
            None => return unknown(start, "a command that UID goes with"),
        }
    } else {
        match command(cursor, &name)? {
            Some(command) => command,
            None => return unknown(start, "a command that is known here"),
        }
    };
    cursor.end()?;
    Ok(command)
}

fn unknown<T>(at: usize, what: &'static str) -> Parsed<T> {
    Err(Failure {
        kind: ErrorKind::UnknownCommand,
        at,
        why: Why::Want(what),
    })
}

/// `None`: not a command that goes with UID.
fn uid_command(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Option<Command>> {
    let command = match name {
        "EXPUNGE" => {
            cursor.space()?;
            let uids = Some(cursor.sequence_set()?);
            Command::Expunge { uids }
        }
        _ => return with_or_without_uid(cursor, name, true),
    };
    Ok(Some(command))
}

fn with_or_without_uid(cursor: &mut Cursor<'_>, name: &str, uid: bool) -> Parsed<Option<Command>> {
    let command = match name {
        "SEARCH" => cursor.search_command(uid)?,
        "ESEARCH" => cursor.esearch_command(uid)?,
        "SORT" => cursor.sort_command(uid)?,
        "THREAD" => cursor.thread_command(uid)?,
        "FETCH" => cursor.fetch_command(uid)?,
        "STORE" => cursor.store_command(uid)?,
        "COPY" => {
            let (set, mailbox) = cursor.set_and_mailbox()?;
            Command::Copy { uid, set, mailbox }
        }
        "MOVE" => {
            let (set, mailbox) = cursor.set_and_mailbox()?;
            Command::Move { uid, set, mailbox }
        }
        "REPLACE" => cursor.replace_command(uid)?,
        _ => return Ok(None),
    };
    Ok(Some(command))
}

/// `None`: no such command.
fn command(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Option<Command>> {
    if let Some(command) = alone(name) {
        return Ok(Some(command));
    }
    if let Some(command) = with_or_without_uid(cursor, name, false)? {
        return Ok(Some(command));
    }
    if name == "GETMETADATA" {
        return cursor.get_metadata_command().map(Some);
    }
    if let Some(command) = other_command(cursor, name)? {
        return Ok(Some(command));
    }
    if let Some(command) = cursor.mailbox_command(name)? {
        return Ok(Some(command));
    }
    cursor.access_command(name)
}

/// The commands that are only a word.
fn alone(name: &str) -> Option<Command> {
    Some(match name {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "UNAUTHENTICATE" => Command::Unauthenticate,
        "GETJMAPACCESS" => Command::GetJmapAccess,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge { uids: None },
        _ => return None,
    })
}

fn other_command(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Option<Command>> {
    let read: fn(&mut Cursor<'_>) -> Parsed<Command> = match name {
        "ID" => id,
        "AUTHENTICATE" => authenticate,
        "LOGIN" => login,
        "ENABLE" => enable,
        "APPEND" => |cursor| cursor.append_command(),
        "NOTIFY" => |cursor| cursor.notify_command(),
        "COMPRESS" => compress,
        "CANCELUPDATE" => cancel_update,
        _ => return Ok(None),
    };
    cursor.space()?;
    read(cursor).map(Some)
}

/// RFC 2971 §3.1
fn id(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    if cursor.eat_word("NIL") {
        return Ok(Command::Id(None));
    }
    let pairs = cursor.list(|cursor| {
        let field = cursor.text("a field of ID")?;
        if field.len() > ID_FIELD_OCTETS_MAX {
            return cursor.at_most(ID_FIELD_OCTETS_MAX, "octets in a field of ID");
        }
        cursor.space()?;
        let value = cursor.ntext("a value of ID")?;
        if value
            .as_ref()
            .is_some_and(|value| value.len() > ID_VALUE_OCTETS_MAX)
        {
            return cursor.at_most(ID_VALUE_OCTETS_MAX, "octets in a value of ID");
        }
        Ok((field, value))
    })?;
    if pairs.len() > ID_PAIRS_MAX {
        return cursor.at_most(ID_PAIRS_MAX, "fields in ID");
    }
    Ok(Command::Id(Some(pairs)))
}

/// RFC 9051 §6.2.2, RFC 4959
fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mechanism = cursor.keyword("a SASL mechanism")?;
    let mut initial = None;
    if cursor.has_more() {
        cursor.space()?;
        let octets = cursor.take_while(|octet| {
            octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=')
        });
        if octets.is_empty() {
            return cursor.want("base64");
        }
        initial = Some(Secret::new(octets.to_vec()));
    }
    Ok(Command::Authenticate { mechanism, initial })
}

fn login(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let name = cursor.text("a user name")?;
    cursor.space()?;
    let password = Secret::new(cursor.text("a password")?);
    Ok(Command::Login { name, password })
}

/// RFC 5161 §3.1
fn enable(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor
        .words(|cursor| cursor.keyword("a capability"))
        .map(Command::Enable)
}

/// RFC 4978 §3
fn compress(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    if cursor.eat_word("DEFLATE") {
        return Ok(Command::CompressDeflate);
    }
    cursor.want("DEFLATE")
}

/// RFC 5267 §4.4
fn cancel_update(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor
        .words(|cursor| cursor.text("a tag in quotes"))
        .map(Command::CancelUpdate)
}

impl<'a> Cursor<'a> {
    /// One item or more, apart by spaces, to the end of the command.
    fn words<T>(&mut self, mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.has_more() {
            if items.len() == LIST_ITEMS_MAX {
                return self.at_most(LIST_ITEMS_MAX, "items in a list");
            }
            self.space()?;
            items.push(item(self)?);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests;
