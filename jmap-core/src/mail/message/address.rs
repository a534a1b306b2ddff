//! Address lists (RFC 5322 §3.4, RFC 8621 §4.1.2.3 and §4.1.2.4), best effort.
//! Holds: no address is lost because another one is odd; comments nest without recursion; one pass.
//! Other half: `emit` writes address lists.

use super::words::{Words, decode_words, nfc, unfold};
use minicbor::{Decode, Encode};
use std::borrow::Cow;

/// RFC 8621 §4.1.2.3. `email` need not be a valid addr-spec.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct EmailAddress {
    #[n(0)]
    pub email: String,
    #[n(1)]
    pub name: Option<String>,
}

/// RFC 8621 §4.1.2.4. `name` is `None` for addresses that are in no group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct EmailAddressGroup {
    #[n(0)]
    pub addresses: Vec<EmailAddress>,
    #[n(1)]
    pub name: Option<String>,
}

/// All addresses of a list, without their groups.
pub fn flatten(groups: &[EmailAddressGroup]) -> Vec<EmailAddress> {
    groups
        .iter()
        .flat_map(|group| group.addresses.iter().cloned())
        .collect()
}

/// Parses a raw address-list value.
pub fn parse(raw: &[u8]) -> Vec<EmailAddressGroup> {
    let value = unfold(raw);
    let mut parser = Parser::default();
    parser.run(&value);
    parser.groups
}

/// The same with the names as they are: encoded words are not decoded.
pub(super) fn parse_raw(raw: &[u8]) -> Vec<EmailAddressGroup> {
    let value = unfold(raw);
    let mut parser = Parser {
        keeps_words: true,
        ..Parser::default()
    };
    parser.run(&value);
    parser.groups
}

/// One piece of a mailbox before it is known what it is.
struct Word<'x> {
    /// As it is in the value, with quotes.
    source: &'x str,
    /// What a quoted string says.
    quoted: Option<String>,
    spaced: bool,
}

#[derive(Default)]
struct Parser<'x> {
    /// Encoded words stay as they are.
    keeps_words: bool,
    groups: Vec<EmailAddressGroup>,
    in_group: bool,
    words: Vec<Word<'x>>,
    angle: Option<String>,
    comment: Option<String>,
}

impl<'x> Parser<'x> {
    fn run(&mut self, value: &'x str) {
        let mut rest = value;
        let mut spaced = false;
        while let Some(first) = rest.chars().next() {
            let len = match first {
                ' ' | '\t' => {
                    spaced = true;
                    rest = &rest[1..];
                    continue;
                }
                '(' => {
                    let (text, len) = comment(rest);
                    self.comment = Some(match self.keeps_words {
                        true => text,
                        false => nfc(Cow::Borrowed(decode_words(&text).trim())),
                    });
                    len
                }
                '"' => {
                    let (text, len) = quoted(rest);
                    self.push(&rest[..len], Some(text), spaced);
                    len
                }
                '<' => {
                    let (text, len) = angle(rest);
                    self.angle = Some(text);
                    len
                }
                ',' => {
                    self.end_mailbox();
                    1
                }
                ';' => {
                    self.end_mailbox();
                    self.in_group = false;
                    1
                }
                ':' if self.angle.is_none() && !self.in_group && !self.words.is_empty() => {
                    self.start_group();
                    1
                }
                ':' | '>' | ')' => 1,
                _ => {
                    let len = atom_len(rest);
                    self.push(&rest[..len], None, spaced);
                    len
                }
            };
            spaced = false;
            rest = &rest[len..];
        }
        self.end_mailbox();
    }

    fn push(&mut self, source: &'x str, quoted: Option<String>, spaced: bool) {
        self.words.push(Word {
            source,
            quoted,
            spaced,
        });
    }

    fn start_group(&mut self) {
        let words = std::mem::take(&mut self.words);
        self.comment = None;
        self.in_group = true;
        self.groups.push(EmailAddressGroup {
            addresses: Vec::new(),
            name: Some(self.phrase(&words).unwrap_or_default()),
        });
    }

    fn end_mailbox(&mut self) {
        let words = std::mem::take(&mut self.words);
        let comment = self.comment.take();
        let Some((email, name)) = (match self.angle.take() {
            Some(email) => Some((email, self.phrase(&words))),
            None => self.bare(&words),
        }) else {
            return;
        };
        if email.is_empty() && name.is_none() {
            return;
        }
        let name = name.or_else(|| comment.filter(|text| !text.is_empty()));
        let address = EmailAddress { email, name };
        match self.groups.last_mut() {
            Some(group) if group.name.is_some() == self.in_group => group.addresses.push(address),
            _ => self.groups.push(EmailAddressGroup {
                addresses: vec![address],
                name: None,
            }),
        }
    }

    /// The text of a display-name; encoded words in it are decoded if they are to be, quoted strings are not.
    fn phrase(&self, words: &[Word<'_>]) -> Option<String> {
        if !self.keeps_words {
            return phrase(words);
        }
        let mut text = String::new();
        for word in words {
            if word.spaced && !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word.quoted.as_deref().unwrap_or(word.source));
        }
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A mailbox without angle brackets: the addr-spec, and what stands before it as a name.
    fn bare(&self, words: &[Word<'_>]) -> Option<(String, Option<String>)> {
        if words.is_empty() {
            return None;
        }
        let has_at = |word: &Word<'_>| word.quoted.is_none() && word.source.contains('@');
        let Some(at) = words.iter().rposition(has_at) else {
            let text = self.phrase(words)?;
            return Some((text, None));
        };
        // RFC 5322 §4.4: white space may stand around "@" and "." in obsolete addresses.
        let glued = |left: &Word<'_>, right: &Word<'_>| {
            !right.spaced
                || left.source.ends_with(['@', '.'])
                || right.source.starts_with(['@', '.'])
        };
        let mut first = at;
        while first > 0 && glued(&words[first - 1], &words[first]) {
            first -= 1;
        }
        let mut last = at;
        while last + 1 < words.len() && glued(&words[last], &words[last + 1]) {
            last += 1;
        }
        let email = words[first..=last].iter().map(|word| word.source).collect();
        Some((email, self.phrase(&words[..first])))
    }
}

/// The text of a display-name; encoded words in it are decoded, quoted strings are not.
fn phrase(words: &[Word<'_>]) -> Option<String> {
    let mut out = Words::default();
    for (at, word) in words.iter().enumerate() {
        let gap = if word.spaced && at > 0 { " " } else { "" };
        match &word.quoted {
            Some(text) => out.push_verbatim(gap, text),
            None => out.push(gap, word.source),
        }
    }
    let text = out.finish();
    let text = text.trim();
    (!text.is_empty()).then(|| nfc(Cow::Borrowed(text)))
}

fn atom_len(rest: &str) -> usize {
    // An encoded word may carry characters that would otherwise end an atom.
    if rest.starts_with("=?") {
        let word = rest.split([' ', '\t']).next().unwrap_or(rest);
        let mut marks = word.match_indices('?').skip(3).map(|(at, _)| at);
        if let Some(end) = marks.next().filter(|&at| word[at..].starts_with("?=")) {
            return end + 2;
        }
    }
    let mut in_literal = false;
    for (at, c) in rest.char_indices() {
        match c {
            '[' if rest[..at].ends_with('@') => in_literal = true,
            ']' => in_literal = false,
            ' ' | '\t' | ',' | ';' | '<' | '>' | '(' | ')' | '"' => return at,
            ':' if !in_literal => return at,
            _ => {}
        }
    }
    rest.len()
}

/// What a quoted string says (RFC 5322 §3.2.4), and its length with the quotes.
pub(super) fn quoted(rest: &str) -> (String, usize) {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, at + 1),
            '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => text.push(c),
        }
    }
    (text, rest.len())
}

/// The text of a comment, encoded words as they are, and its length with the parentheses.
fn comment(rest: &str) -> (String, usize) {
    let mut text = String::new();
    let mut depth = 0usize;
    let mut end = rest.len();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => {
                end = at + 1;
                break;
            }
            ')' => depth -= 1,
            '\\' => {
                text.extend(chars.next().map(|(_, escaped)| escaped));
                continue;
            }
            _ => {}
        }
        if (c != '(' || depth > 1) && depth > 0 {
            text.push(c);
        }
    }
    (text.trim().to_owned(), end)
}

/// Length of the comment that `rest` starts with.
pub(super) fn comment_len(rest: &str) -> usize {
    comment(rest).1
}

/// The addr-spec between angle brackets, without white space, comments and route.
fn angle(rest: &str) -> (String, usize) {
    let mut email = String::new();
    let mut pos = 1;
    while let Some(c) = rest[pos..].chars().next() {
        match c {
            '>' => {
                pos += 1;
                break;
            }
            // The bracket was not closed: the next address must not be swallowed.
            '<' => break,
            ',' if !email.starts_with('@') => break,
            '"' => {
                let len = quoted(&rest[pos..]).1;
                email.push_str(&rest[pos..pos + len]);
                pos += len;
                continue;
            }
            '(' => {
                pos += comment(&rest[pos..]).1;
                continue;
            }
            ' ' | '\t' => {}
            _ => email.push(c),
        }
        pos += c.len_utf8();
    }
    // RFC 5322 §4.4: an obsolete route is passed over.
    if email.starts_with('@')
        && let Some((_, address)) = email.split_once(':')
    {
        email = address.to_owned();
    }
    (email, pos)
}

/// The value with each comment outside of quoted strings made a space.
pub(super) fn without_comments(value: &str) -> Cow<'_, str> {
    if !value.contains('(') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find(['(', '"']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let len = if rest.starts_with('(') {
            out.push(' ');
            comment(rest).1
        } else {
            let len = quoted(rest).1;
            out.push_str(&rest[..len]);
            len
        };
        rest = &rest[len..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}
