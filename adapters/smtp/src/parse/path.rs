//! Paths and mailboxes (RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3).
//!
//! Holds: an [`Address`] can be written between angle brackets into a header field as it is: no control characters, no
//! angle bracket outside of quotes.
//! Other half: the core, which knows who is behind an address.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest local part. RFC 5321 §4.5.3.1.1 asks for 64; senders that put a recipient into their address need more.
pub const LOCAL_PART_OCTETS_MAX: usize = 255;
/// Longest domain (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_OCTETS_MAX: usize = 255;
/// Longest label of a domain (RFC 1035 §2.3.4).
pub const LABEL_OCTETS_MAX: usize = 63;

/// A mailbox as the client wrote it, without angle brackets and source route. `postmaster` may have no domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    /// Whether it may be used without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

/// `<` [source route `:`] mailbox `>`, and what follows.
pub(super) fn in_brackets(octets: &[u8]) -> Option<(Address, &[u8])> {
    let rest = skip_route(octets.strip_prefix(b"<")?)?;
    let length = mailbox(rest)?;
    let (mailbox, rest) = rest.split_at(length);
    let rest = rest.strip_prefix(b">")?;
    Some((address(mailbox)?, rest))
}

/// The same; RFC 5321 §4.1.1.3: `<Postmaster>` needs no domain, and is in any letter case.
pub(super) fn recipient(octets: &[u8]) -> Option<(Address, &[u8])> {
    const POSTMASTER: &[u8] = b"postmaster";
    let inside = octets.strip_prefix(b"<")?;
    if let Some((name, rest)) = inside.split_at_checked(POSTMASTER.len())
        && name.eq_ignore_ascii_case(POSTMASTER)
        && let Some(rest) = rest.strip_prefix(b">")
    {
        return Some((address(name)?, rest));
    }
    in_brackets(octets)
}

fn address(octets: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(octets).ok()?;
    Some(Address(text.to_owned()))
}

/// RFC 5321 §3.3: source routes are accepted and ignored.
fn skip_route(octets: &[u8]) -> Option<&[u8]> {
    let mut rest = octets;
    if !rest.starts_with(b"@") {
        return Some(rest);
    }
    loop {
        rest = rest.strip_prefix(b"@")?;
        rest = &rest[domain(rest)?..];
        match rest.split_first()? {
            (b',', after) => rest = after,
            (b':', after) => return Some(after),
            _ => return None,
        }
    }
}

/// How long the mailbox at the start of `octets` is.
fn mailbox(octets: &[u8]) -> Option<usize> {
    let local_part = match octets.first()? {
        b'"' => quoted_string(octets)?,
        _ => dot_string(octets)?,
    };
    if local_part > LOCAL_PART_OCTETS_MAX {
        return None;
    }
    let rest = octets[local_part..].strip_prefix(b"@")?;
    let domain = match rest.first()? {
        b'[' => address_literal(rest)?,
        _ => domain(rest)?,
    };
    Some(local_part + 1 + domain)
}

/// Dots may be anywhere: there are mailboxes like `a..b@` and `a.@`, and their mail is not ours to refuse.
fn dot_string(octets: &[u8]) -> Option<usize> {
    let inside = |octet: &u8| is_atext(*octet) || *octet == b'.';
    let length = octets.iter().take_while(|octet| inside(octet)).count();
    (length > 0).then_some(length)
}

/// RFC 5322 §3.2.3; RFC 6531 §3.3 adds all that is not ASCII.
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet >= 0x80 || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

fn quoted_string(octets: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match *octets.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                let quoted = *octets.get(at + 1)?;
                if !(b' '..=b'~').contains(&quoted) {
                    return None;
                }
                at += 2;
            }
            b' '..=b'~' | 0x80.. => at += 1,
            _ => return None,
        }
    }
}

/// Labels of letters, digits, hyphens, underscores (which some do have) and what is not ASCII.
fn domain(octets: &[u8]) -> Option<usize> {
    let inside = |octet: u8| {
        octet.is_ascii_alphanumeric() || octet >= 0x80 || matches!(octet, b'-' | b'_' | b'.')
    };
    let length = octets.iter().take_while(|octet| inside(**octet)).count();
    let text = &octets[..length];
    let proper = |label: &[u8]| {
        !label.is_empty()
            && label.len() <= LABEL_OCTETS_MAX
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    let labels_proper = text.split(|octet| *octet == b'.').all(proper);
    (labels_proper && length <= DOMAIN_OCTETS_MAX).then_some(length)
}

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]`. There are no other kinds of literals (RFC 5321 §4.1.3).
fn address_literal(octets: &[u8]) -> Option<usize> {
    const IPV6: &str = "ipv6:";
    let end = octets.iter().position(|octet| *octet == b']')?;
    let text = std::str::from_utf8(&octets[1..end]).ok()?;
    let v6 = match text.split_at_checked(IPV6.len()) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case(IPV6) => Some(v6),
        _ => None,
    };
    let valid = match v6 {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => text.parse::<Ipv4Addr>().is_ok(),
    };
    valid.then_some(end + 1)
}
