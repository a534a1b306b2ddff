//! An SPF record, read whole before any of it is followed (RFC 7208 §4.6, §12).
//!
//! Holds: what has a syntax error anywhere is an error, as §4.6 asks for; sync, pure.
//! Other half: `super`, which follows it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What a matching mechanism means (§4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// Lengths of prefixes, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub v4: u8,
    pub v6: u8,
}

/// §5. A `None` target is the current domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    All,
    Include(Text),
    A(Option<Text>, Prefix),
    Mx(Option<Text>, Prefix),
    Ptr(Option<Text>),
    Ip4(Ipv4Addr, u8),
    Ip6(Ipv6Addr, u8),
    Exists(Text),
}

/// A text with macros (§7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    Macro {
        /// In lower case.
        letter: u8,
        /// It was written in upper case.
        is_escaped: bool,
        /// So many parts of the right side; `None`: all.
        parts: Option<usize>,
        is_reversed: bool,
        /// Not empty.
        delimiters: Vec<u8>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record {
    pub directives: Vec<(Qualifier, Mechanism)>,
    pub redirect: Option<Text>,
}

/// Whether it is an SPF record at all (§4.5).
pub fn is_spf(text: &[u8]) -> bool {
    let Some((version, rest)) = text.split_at_checked(6) else {
        return false;
    };
    version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
}

/// `None`: there is a syntax error.
pub fn parse(text: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(text.get(6..)?).ok()?;
    if !text.bytes().all(|octet| (0x20..0x7f).contains(&octet)) {
        return None;
    }
    let mut record = Record::default();
    let mut has_exp = false;
    for term in text.split(' ').filter(|term| !term.is_empty()) {
        let stop = term.find([':', '/', '=']);
        match stop.filter(|&at| term.as_bytes()[at] == b'=') {
            Some(at) => {
                let (name, value) = (&term[..at], &term[at + 1..]);
                if !is_name(name) {
                    return None;
                }
                if name.eq_ignore_ascii_case("redirect") {
                    let is_second = record.redirect.replace(domain_spec(value)?).is_some();
                    if is_second {
                        return None;
                    }
                } else if name.eq_ignore_ascii_case("exp") {
                    // The explanation is for the peer, who gets our own.
                    domain_spec(value)?;
                    if std::mem::replace(&mut has_exp, true) {
                        return None;
                    }
                } else {
                    macros(value, true)?;
                }
            }
            None => record.directives.push(directive(term)?),
        }
    }
    Some(record)
}

/// §4.6.1.
fn is_name(name: &str) -> bool {
    let rest = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && name.bytes().all(rest)
}

fn directive(term: &str) -> Option<(Qualifier, Mechanism)> {
    let (qualifier, term) = match term.as_bytes().first()? {
        b'+' => (Qualifier::Pass, &term[1..]),
        b'-' => (Qualifier::Fail, &term[1..]),
        b'~' => (Qualifier::SoftFail, &term[1..]),
        b'?' => (Qualifier::Neutral, &term[1..]),
        _ => (Qualifier::Pass, term),
    };
    let end = term.find([':', '/']).unwrap_or(term.len());
    let (name, rest) = term.split_at(end);
    let value = rest.strip_prefix(':');
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(domain_spec(value?)?),
        "exists" => Mechanism::Exists(domain_spec(value?)?),
        "ptr" if rest.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(domain_spec(value?)?)),
        "a" => {
            let (target, prefix) = target_and_prefix(rest)?;
            Mechanism::A(target, prefix)
        }
        "mx" => {
            let (target, prefix) = target_and_prefix(rest)?;
            Mechanism::Mx(target, prefix)
        }
        "ip4" => {
            let (address, bits) = network(value?, 32)?;
            Mechanism::Ip4(address.parse().ok()?, bits)
        }
        "ip6" => {
            let (address, bits) = network(value?, 128)?;
            Mechanism::Ip6(address.parse().ok()?, bits)
        }
        _ => return None,
    };
    Some((qualifier, mechanism))
}

fn network(text: &str, most: u8) -> Option<(&str, u8)> {
    match text.split_once('/') {
        None => Some((text, most)),
        Some((address, bits)) => Some((address, length(bits, most)?)),
    }
}

/// §5.6: without zeros in front.
fn length(text: &str, most: u8) -> Option<u8> {
    let proper = text == "0" || !text.starts_with('0');
    if !proper || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&bits| bits <= most)
}

/// `[":" domain-spec] ["/" bits] ["//" bits]`. A domain-spec may have slashes too, so it is read from the end.
fn target_and_prefix(text: &str) -> Option<(Option<Text>, Prefix)> {
    let is_number =
        |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let mut rest = text;
    let mut prefix = Prefix { v4: 32, v6: 128 };
    if let Some((before, bits)) = rest.rsplit_once("//").filter(|(_, bits)| is_number(bits)) {
        prefix.v6 = length(bits, 128)?;
        rest = before;
    }
    if let Some((before, bits)) = rest.rsplit_once('/').filter(|(_, bits)| is_number(bits)) {
        prefix.v4 = length(bits, 32)?;
        rest = before;
    }
    match rest.strip_prefix(':') {
        Some(target) => Some((Some(domain_spec(target)?), prefix)),
        None => rest.is_empty().then_some((None, prefix)),
    }
}

/// §7.1: it ends with a macro, or with a dot and a label that isn't a number.
fn domain_spec(text: &str) -> Option<Text> {
    let spec = macros(text, false)?;
    match spec.0.last()? {
        Piece::Macro { .. } => Some(spec),
        Piece::Literal(end) => {
            let end = end.strip_suffix('.').unwrap_or(end);
            // Before the last dot there is something: a literal or a macro.
            let (before, label) = end.rsplit_once('.')?;
            let is_first = spec.0.len() == 1 && before.is_empty();
            (is_top_label(label) && !is_first).then_some(spec)
        }
    }
}

fn is_top_label(label: &str) -> bool {
    let octets = label.as_bytes();
    let proper = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-';
    octets.iter().all(proper)
        && octets.first().is_some_and(u8::is_ascii_alphanumeric)
        && octets.last().is_some_and(u8::is_ascii_alphanumeric)
        && !octets.iter().all(u8::is_ascii_digit)
}

/// `is_free`: the letters of explanations are allowed as well.
fn macros(text: &str, is_free: bool) -> Option<Text> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.as_bytes().first()? {
            b'%' => literal.push('%'),
            b'_' => literal.push(' '),
            b'-' => literal.push_str("%20"),
            b'{' => {
                let end = rest.find('}')?;
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(one_macro(&rest.as_bytes()[1..end], is_free)?);
                rest = &rest[end..];
            }
            _ => return None,
        }
        rest = &rest[1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Some(Text(pieces))
}

fn one_macro(text: &[u8], is_free: bool) -> Option<Piece> {
    let (&first, rest) = text.split_first()?;
    let letter = first.to_ascii_lowercase();
    let letters: &[u8] = match is_free {
        true => b"slodiphvcrt",
        false => b"slodiphv",
    };
    if !letters.contains(&letter) {
        return None;
    }
    let digits = rest
        .iter()
        .take_while(|octet| octet.is_ascii_digit())
        .count();
    let (digits, rest) = rest.split_at(digits);
    let parts = match digits {
        [] => None,
        digits => {
            let number: u32 = std::str::from_utf8(digits)
                .ok()?
                .parse()
                .unwrap_or(u32::MAX);
            Some(number as usize)
                .filter(|&number| number > 0)
                .map(Some)?
        }
    };
    let (is_reversed, rest) = match rest.split_first() {
        Some((b'r' | b'R', rest)) => (true, rest),
        _ => (false, rest),
    };
    if !rest.iter().all(|octet| b".-+,/_=".contains(octet)) {
        return None;
    }
    Some(Piece::Macro {
        letter,
        is_escaped: first.is_ascii_uppercase(),
        parts,
        is_reversed,
        delimiters: match rest {
            [] => vec![b'.'],
            rest => rest.to_vec(),
        },
    })
}
