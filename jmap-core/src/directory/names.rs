//! The names of domains, addresses and accounts, in the one form that they are stored and looked up by.
//!
//! Holds: two spellings that mean the same have the same form: domains are lower-case A-labels (RFC 5891
//! §4), local parts are lower case in Normalization Form C (RFC 6530 §10.1 leaves that to the server).
//! Other half: `records` keeps them, `resolve` looks them up.

use std::borrow::Cow;

use idna::{AsciiDenyList, uts46};
use unicode_normalization::UnicodeNormalization as _;

use super::DirectoryError;

/// RFC 5321 §4.5.3.1.1, in octets.
pub const LOCAL_PART_OCTETS_MAX: usize = 64;
/// RFC 1035 §2.3.4 without the last dot, in octets.
pub const DOMAIN_OCTETS_MAX: usize = 253;
/// Longest name of an account that is no address, in octets.
pub const BARE_NAME_OCTETS_MAX: usize = 64;

/// An address in its stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub local: String,
    pub domain: String,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

fn invalid(why: &'static str) -> DirectoryError {
    DirectoryError::InvalidName { why }
}

/// The stored form of a domain, from A-labels or Unicode.
pub fn domain(text: &str) -> Result<String, DirectoryError> {
    let text = text.trim_end_matches('.');
    if text.is_empty() {
        return Err(invalid("the domain is empty"));
    }
    // Before the mapping, which takes longer: no valid domain is longer than this in UTF-8.
    if text.len() > DOMAIN_OCTETS_MAX * 4 {
        return Err(invalid("the domain is too long"));
    }
    let name = match plain_ascii(text) {
        Some(name) => name,
        None => mapped(text)?,
    };
    if name.len() > DOMAIN_OCTETS_MAX {
        return Err(invalid("the domain is too long"));
    }
    let labels_are_valid = name.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    if !labels_are_valid {
        return Err(invalid("a label of the domain is not valid"));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid("an IP address is not a domain"));
    }
    Ok(name)
}

/// The usual case, without tables: ASCII without A-labels, which would have to be looked into.
fn plain_ascii(text: &str) -> Option<String> {
    let has_a_label = || {
        text.split('.').any(|label| {
            label
                .get(..4)
                .is_some_and(|start| start.eq_ignore_ascii_case("xn--"))
        })
    };
    (text.is_ascii() && !has_a_label()).then(|| text.to_ascii_lowercase())
}

fn mapped(text: &str) -> Result<String, DirectoryError> {
    let ascii = uts46::Uts46::new().to_ascii(
        text.as_bytes(),
        AsciiDenyList::STD3,
        uts46::Hyphens::Check,
        uts46::DnsLength::Verify,
    );
    ascii
        .map(Cow::into_owned)
        .map_err(|_| invalid("the domain is not a valid internationalized name"))
}

/// The stored form of a local part: a dot-string, whose quotes count for nothing.
pub fn local_part(text: &str) -> Result<String, DirectoryError> {
    let unquoted = unquote(text)?;
    if unquoted.is_empty() {
        return Err(invalid("the part before the @ is empty"));
    }
    if unquoted.len() > LOCAL_PART_OCTETS_MAX * 4 {
        return Err(invalid("the part before the @ is too long"));
    }
    let name: String = unquoted.nfc().flat_map(char::to_lowercase).nfc().collect();
    if name.len() > LOCAL_PART_OCTETS_MAX {
        return Err(invalid("the part before the @ is too long"));
    }
    if !name.chars().all(is_atom)
        || name.starts_with('.')
        || name.ends_with('.')
        || name.contains("..")
    {
        return Err(invalid(
            "the part before the @ has a character that is not allowed",
        ));
    }
    Ok(name)
}

/// RFC 5321 §4.1.2: a quoted string that needs no quotes is the same as one without.
fn unquote(text: &str) -> Result<Cow<'_, str>, DirectoryError> {
    let Some(rest) = text.strip_prefix('"') else {
        return Ok(Cow::Borrowed(text));
    };
    let Some(inner) = rest.strip_suffix('"') else {
        return Err(invalid("a quote is not closed"));
    };
    let mut unquoted = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => unquoted.extend(characters.next()),
            '"' => return Err(invalid("a quote is not closed")),
            other => unquoted.push(other),
        }
    }
    Ok(Cow::Owned(unquoted))
}

/// RFC 5322 §3.2.3 `atext`, RFC 6531 §3.3, and the dot.
fn is_atom(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_'
        | '`' | '{' | '|' | '}' | '~' => true,
        other => !other.is_ascii() && !other.is_control() && !other.is_whitespace(),
    }
}

/// The stored form of an address.
pub fn address(text: &str) -> Result<Address, DirectoryError> {
    let Some((local, domain_text)) = text.trim().rsplit_once('@') else {
        return Err(invalid("the address has no @"));
    };
    Ok(Address {
        local: local_part(local)?,
        domain: domain(domain_text)?,
    })
}

/// The stored form of an account's name: an address, or a word.
pub fn account(text: &str) -> Result<AccountName, DirectoryError> {
    let text = text.trim();
    if text.contains('@') {
        return address(text).map(AccountName::Address);
    }
    let name = text.to_ascii_lowercase();
    let valid = (1..=BARE_NAME_OCTETS_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !valid {
        return Err(invalid(
            "a name without an @ has letters, digits, dots, dashes and underscores",
        ));
    }
    Ok(AccountName::Bare(name))
}

/// What an account logs in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountName {
    Address(Address),
    /// An account without an address of that name, such as the first administrator.
    Bare(String),
}

impl std::fmt::Display for AccountName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Bare(name) => f.write_str(name),
        }
    }
}
