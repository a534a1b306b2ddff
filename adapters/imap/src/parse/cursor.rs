//! The primitives of the grammar (RFC 9051 §9): spaces, atoms, numbers, strings, lists.
//!
//! Holds: nothing is read past the end; a literal with a NUL is refused unless it is a literal8 (RFC 9051 §4.3.1).
//! Other half: the files beside it, which put commands together from these.

use std::borrow::Cow;

use super::{ErrorKind, LIST_ITEMS_MAX, LITERALS_MAX, Mode, names};

/// What went wrong, and where. `at` is the octet's index in the command, from 0.
#[derive(Debug)]
pub(crate) struct Failure {
    pub kind: ErrorKind,
    pub at: usize,
    pub why: Why,
}

#[derive(Debug)]
pub(crate) enum Why {
    Want(&'static str),
    /// More than so many of them.
    AtMost(usize, &'static str),
}

pub(crate) type Parsed<T> = Result<T, Failure>;

pub(crate) struct Cursor<'a> {
    octets: &'a [u8],
    pub at: usize,
    pub mode: Mode,
    literals: usize,
    /// Search keys so far, at every depth.
    pub search_keys_seen: usize,
}

/// RFC 9051 §9 ATOM-CHAR.
pub(crate) fn is_atom_char(octet: u8) -> bool {
    octet.is_ascii_graphic()
        && !matches!(
            octet,
            b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']'
        )
}

/// ASTRING-CHAR, and what is beyond ASCII: clients send names like that without quotes.
pub(crate) fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']' || octet >= 0x80
}

impl<'a> Cursor<'a> {
    pub fn new(octets: &'a [u8], mode: Mode) -> Cursor<'a> {
        Cursor {
            octets,
            at: 0,
            mode,
            literals: 0,
            search_keys_seen: 0,
        }
    }

    pub fn want<T>(&self, what: &'static str) -> Parsed<T> {
        self.want_at(self.at, what)
    }

    pub fn want_at<T>(&self, at: usize, what: &'static str) -> Parsed<T> {
        Err(Failure {
            kind: ErrorKind::Syntax,
            at,
            why: Why::Want(what),
        })
    }

    pub fn at_most<T>(&self, number: usize, of_what: &'static str) -> Parsed<T> {
        Err(Failure {
            kind: ErrorKind::Limit,
            at: self.at,
            why: Why::AtMost(number, of_what),
        })
    }

    pub fn bad_charset<T>(&self, at: usize, what: &'static str) -> Parsed<T> {
        Err(Failure {
            kind: ErrorKind::BadCharset,
            at,
            why: Why::Want(what),
        })
    }

    pub fn rest(&self) -> &'a [u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    pub fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    pub fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, octet: u8, what: &'static str) -> Parsed<()> {
        if self.eat(octet) {
            return Ok(());
        }
        self.want(what)
    }

    pub fn skip_spaces(&mut self) {
        while self.eat(b' ') {}
    }

    /// One space; more are not held against the client.
    pub fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space")?;
        self.skip_spaces();
        Ok(())
    }

    /// The end of the command, after spaces.
    pub fn end(&mut self) -> Parsed<()> {
        self.skip_spaces();
        if self.rest().is_empty() {
            return Ok(());
        }
        self.want("the end of the command")
    }

    /// Whether there is more, after spaces.
    pub fn has_more(&mut self) -> bool {
        let before = self.at;
        self.skip_spaces();
        if self.rest().is_empty() {
            return false;
        }
        self.at = before;
        true
    }

    pub fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|octet| !is_part(*octet))
            .unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// `1*ATOM-CHAR`.
    pub fn atom(&mut self, what: &'static str) -> Parsed<&'a str> {
        let octets = self.take_while(is_atom_char);
        match std::str::from_utf8(octets) {
            Ok(atom) if !atom.is_empty() => Ok(atom),
            _ => self.want(what),
        }
    }

    /// An atom in upper case, as keywords are compared.
    pub fn keyword(&mut self, what: &'static str) -> Parsed<String> {
        self.atom(what).map(str::to_ascii_uppercase)
    }

    /// Takes this word, if it is the next one, in any letter case.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let before = self.at;
        if self
            .take_while(is_atom_char)
            .eq_ignore_ascii_case(word.as_bytes())
        {
            return true;
        }
        self.at = before;
        false
    }

    fn digits(&mut self, max: u64, what: &'static str) -> Parsed<u64> {
        let start = self.at;
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        let number = digits.iter().try_fold(0u64, |number, digit| {
            number
                .checked_mul(10)?
                .checked_add(u64::from(digit.wrapping_sub(b'0')))
        });
        match number {
            Some(number) if !digits.is_empty() && number <= max => Ok(number),
            _ => self.want_at(start, what),
        }
    }

    pub fn number(&mut self, what: &'static str) -> Parsed<u32> {
        self.digits(u64::from(u32::MAX), what)
            .map(|number| number as u32)
    }

    pub fn nz_number(&mut self, what: &'static str) -> Parsed<u32> {
        let start = self.at;
        match self.number(what)? {
            0 => self.want_at(start, what),
            number => Ok(number),
        }
    }

    /// RFC 9051 §9 number64: 63 bits.
    pub fn number64(&mut self, what: &'static str) -> Parsed<u64> {
        self.digits(i64::MAX as u64, what)
    }

    pub fn nz_number64(&mut self, what: &'static str) -> Parsed<u64> {
        let start = self.at;
        match self.number64(what)? {
            0 => self.want_at(start, what),
            number => Ok(number),
        }
    }

    pub fn is_literal(&self) -> bool {
        matches!(self.rest(), [b'{', ..] | [b'~', b'{', ..])
    }

    /// `{n}` or `~{n}`, CRLF, and n octets; and whether it was a literal8.
    pub fn literal(&mut self, what: &'static str) -> Parsed<(&'a [u8], bool)> {
        let start = self.at;
        let is_binary = self.eat(b'~');
        if !self.eat(b'{') {
            return self.want_at(start, what);
        }
        self.literals += 1;
        if self.literals > LITERALS_MAX {
            return self.at_most(LITERALS_MAX, "literals in a command");
        }
        let length = self.number64("the octets of a literal")?;
        self.eat(b'+');
        self.expect(b'}', "} after the octets of a literal")?;
        if !self.rest().starts_with(b"\r\n") {
            return self.want("CRLF before a literal");
        }
        self.at += 2;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(octets) = self.rest().get(..length) else {
            return self.want("a whole literal");
        };
        if !is_binary && let Some(nul) = memchr::memchr(0, octets) {
            return self.want_at(self.at + nul, "no NUL in a literal");
        }
        self.at += length;
        Ok((octets, is_binary))
    }

    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.expect(b'"', "a quoted string")?;
        let plain = self.take_while(|octet| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut octets = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(octets));
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(octet @ (b'"' | b'\\')) => octets.push(octet),
                        _ => return self.want("\\\" or \\\\ in a quoted string"),
                    }
                }
                None | Some(b'\r' | b'\n' | 0) => {
                    return self.want("the \" that ends a quoted string");
                }
                Some(octet) => octets.push(octet),
            }
            self.at += 1;
        }
    }

    /// Quoted, or a literal without NUL.
    pub fn string(&mut self, what: &'static str) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(what).map(|(octets, _)| Cow::Borrowed(octets)),
            _ => self.want(what),
        }
    }

    pub fn astring(&mut self, what: &'static str) -> Parsed<Cow<'a, [u8]>> {
        self.string_or(is_astring_char, what)
    }

    /// `1*list-char / string`: with wildcards.
    pub fn list_mailbox(&mut self, what: &'static str) -> Parsed<Cow<'a, [u8]>> {
        self.string_or(
            |octet| is_astring_char(octet) || matches!(octet, b'%' | b'*'),
            what,
        )
    }

    fn string_or(
        &mut self,
        is_part: impl Fn(u8) -> bool,
        what: &'static str,
    ) -> Parsed<Cow<'a, [u8]>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string(what);
        }
        let octets = self.take_while(is_part);
        if octets.is_empty() {
            return self.want(what);
        }
        Ok(Cow::Borrowed(octets))
    }

    /// An astring that is UTF-8.
    pub fn text(&mut self, what: &'static str) -> Parsed<String> {
        let start = self.at;
        let octets = self.astring(what)?;
        match String::from_utf8(octets.into_owned()) {
            Ok(text) => Ok(text),
            Err(_) => self.want_at(start, "UTF-8"),
        }
    }

    /// A string, or an atom that is not NIL, or NIL.
    pub fn ntext(&mut self, what: &'static str) -> Parsed<Option<String>> {
        if self.eat_word("NIL") {
            return Ok(None);
        }
        self.text(what).map(Some)
    }

    /// A mailbox name, decoded.
    pub fn mailbox(&mut self) -> Parsed<String> {
        let start = self.at;
        let octets = self.astring("a mailbox name")?;
        self.mailbox_name(start, &octets)
    }

    pub fn mailbox_name(&self, start: usize, octets: &[u8]) -> Parsed<String> {
        if octets.eq_ignore_ascii_case(b"INBOX") {
            return Ok("INBOX".to_owned());
        }
        match names::decode(octets, self.mode.utf8) {
            Some(name) => Ok(name),
            None if self.mode.utf8 => self.want_at(start, "a mailbox name in UTF-8"),
            None => self.want_at(start, "a mailbox name in modified UTF-7"),
        }
    }

    /// `\Seen`, `$Forwarded`.
    pub fn flag(&mut self) -> Parsed<String> {
        let start = self.at;
        let is_system = self.eat(b'\\');
        let Ok(name) = self.atom("a flag") else {
            return self.want_at(start, "a flag");
        };
        Ok(if is_system {
            format!("\\{name}")
        } else {
            name.to_owned()
        })
    }

    /// Items in parentheses, apart by spaces. It may be empty.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect(b'(', "(")?;
        let mut items = Vec::new();
        loop {
            self.skip_spaces();
            if self.eat(b')') {
                return Ok(items);
            }
            if items.len() == LIST_ITEMS_MAX {
                return self.at_most(LIST_ITEMS_MAX, "items in a list");
            }
            items.push(item(self)?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return self.want("a space or )");
            }
        }
    }

    /// The same, with at least one item.
    pub fn full_list<T>(
        &mut self,
        what: &'static str,
        item: impl FnMut(&mut Cursor<'a>) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let start = self.at;
        let items = self.list(item)?;
        if items.is_empty() {
            return self.want_at(start + 1, what);
        }
        Ok(items)
    }

    /// One item, or several in parentheses.
    pub fn one_or_list<T>(
        &mut self,
        what: &'static str,
        mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        if self.peek() == Some(b'(') {
            return self.full_list(what, item);
        }
        Ok(vec![item(self)?])
    }
}
