//! MAIL and RCPT as a peer is sent them: addresses and parameters (RFC 5321 §4.1.1.2, §4.1.1.3).
//!
//! Holds: a parameter goes only to a peer that has announced its extension; no address or value can end a command or begin
//! another one.
//! Other half: `transaction` sends the lines; `parse` of the server's side reads their like.

use jmap_core::mail::submission::records::EnvelopeAddress;

use super::extensions::Extensions;

/// Octets of a command line with its parameters; what is longer isn't sent.
pub const COMMAND_OCTETS_MAX: usize = 4096;

/// Why an envelope can't be told to this peer: a reply of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CantSay(pub &'static str);

pub const NO_SMTPUTF8: CantSay = CantSay(
    "553 5.6.7 The next server does not take addresses or headers that are not in ASCII (SMTPUTF8)",
);
const BAD_ADDRESS: CantSay = CantSay("553 5.1.3 The address can't be written as SMTP has it");
const BAD_SENDER: CantSay =
    CantSay("553 5.1.7 The sender's address can't be written as SMTP has it");
const NO_DELIVERBY: CantSay =
    CantSay("554 5.3.3 The next server does not deliver by a given time (DELIVERBY)");

/// What of the message stands in MAIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    pub size: u64,
    pub body: Option<&'static str>,
    pub smtputf8: bool,
    pub requiretls: bool,
}

/// The line of MAIL, with its CRLF.
pub fn mail(from: &EnvelopeAddress, about: &About, peer: &Extensions) -> Result<String, CantSay> {
    let path = match from.email.as_str() {
        "" => String::new(),
        email => path(email, about.smtputf8).map_err(|why| match why == BAD_ADDRESS {
            true => BAD_SENDER,
            false => why,
        })?,
    };
    let mut line = format!("MAIL FROM:<{path}>");
    if peer.size.is_some() {
        line.push_str(&format!(" SIZE={}", about.size));
    }
    if let Some(body) = about.body {
        line.push_str(" BODY=");
        line.push_str(body);
    }
    if about.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    if about.requiretls {
        line.push_str(" REQUIRETLS");
    }
    if peer.dsn {
        for name in ["RET", "ENVID"] {
            if let Some(value) = value(from, name) {
                line.push_str(&format!(" {name}={}", xtext(value)));
            }
        }
    }
    if peer.mt_priority
        && let Some(priority) =
            value(from, "MT-PRIORITY").and_then(|value| value.parse::<i8>().ok())
    {
        line.push_str(&format!(" MT-PRIORITY={}", priority.clamp(-9, 9)));
    }
    if let Some(by) = deliver_by(from, peer)? {
        line.push_str(&format!(" BY={by}"));
    }
    finish(line).ok_or(BAD_SENDER)
}

/// The line of RCPT, with its CRLF.
pub fn rcpt(to: &EnvelopeAddress, smtputf8: bool, peer: &Extensions) -> Result<String, CantSay> {
    let mut line = format!("RCPT TO:<{}>", path(&to.email, smtputf8)?);
    if peer.dsn {
        if let Some(notify) = value(to, "NOTIFY") {
            line.push_str(&format!(" NOTIFY={}", xtext(notify)));
        }
        if let Some(original) = value(to, "ORCPT") {
            line.push_str(&format!(
                " ORCPT={}",
                original_recipient(original, smtputf8)
            ));
        }
    }
    finish(line).ok_or(BAD_ADDRESS)
}

fn value<'a>(address: &'a EnvelopeAddress, name: &str) -> Option<&'a str> {
    address
        .parameter(name)?
        .value
        .as_deref()
        .filter(|value| !value.is_empty())
}

fn finish(mut line: String) -> Option<String> {
    let is_one = !line.bytes().any(|octet| octet < b' ' || octet == 0x7f);
    line.push_str("\r\n");
    (is_one && line.len() <= COMMAND_OCTETS_MAX).then_some(line)
}

/// RFC 2852 §4: `BY=seconds;mode`. With mode R nobody relays to a server that doesn't know it (§4.1.4).
fn deliver_by(from: &EnvelopeAddress, peer: &Extensions) -> Result<Option<String>, CantSay> {
    let Some(by) = value(from, "BY") else {
        return Ok(None);
    };
    let Some((seconds, mode)) = by.split_once(';') else {
        return Ok(None);
    };
    let Ok(seconds) = seconds.trim().parse::<i64>() else {
        return Ok(None);
    };
    let mode = mode.trim().to_ascii_uppercase();
    let returns = mode.starts_with('R');
    match peer.deliverby {
        Some(least) if !returns || seconds >= least => {
            Ok(matches!(mode.as_str(), "R" | "N" | "RT" | "NT")
                .then(|| format!("{seconds};{mode}")))
        }
        _ if returns => Err(NO_DELIVERBY),
        _ => Ok(None),
    }
}

/// The address between the brackets. RFC 6531 §3.3: without SMTPUTF8 a domain is sent as A-labels; a local part has no
/// other form.
fn path(email: &str, smtputf8: bool) -> Result<String, CantSay> {
    let (local, domain) = email.rsplit_once('@').ok_or(BAD_ADDRESS)?;
    if local.is_empty() || domain.is_empty() || !is_local_part(local) {
        return Err(BAD_ADDRESS);
    }
    if domain.starts_with('[') {
        let is_literal = domain.ends_with(']')
            && domain
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"[]:.-".contains(&b));
        return match is_literal && (smtputf8 || local.is_ascii()) {
            true => Ok(email.to_owned()),
            false => Err(BAD_ADDRESS),
        };
    }
    if smtputf8 && !email.is_ascii() {
        let is_clean = domain
            .chars()
            .all(|c| !c.is_control() && !c.is_whitespace() && !"<>@,;\"\\".contains(c));
        return if is_clean {
            Ok(email.to_owned())
        } else {
            Err(BAD_ADDRESS)
        };
    }
    if !local.is_ascii() {
        return Err(NO_SMTPUTF8);
    }
    let domain = idna::domain_to_ascii(domain).map_err(|_| BAD_ADDRESS)?;
    let is_name = !domain.is_empty()
        && domain
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    match is_name {
        true => Ok(format!("{local}@{domain}")),
        false => Err(BAD_ADDRESS),
    }
}

/// RFC 5321 §4.1.2: nothing outside of quotes that could end the path.
fn is_local_part(local: &str) -> bool {
    if local.chars().any(char::is_control) {
        return false;
    }
    let Some(inner) = local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return !local
            .chars()
            .any(|c| c.is_whitespace() || "<>()[],;:\\\"@".contains(c));
    };
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return false,
            '\\' if characters.next().is_none() => return false,
            _ => {}
        }
    }
    local.len() > 2
}

/// RFC 3461 §4.
pub fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'+' | b'=' | ..=b' ' | 0x7f.. => out.push_str(&format!("+{octet:02X}")),
            _ => out.push(char::from(octet)),
        }
    }
    out
}

/// RFC 3461 §4.2; RFC 6533 §3 for addresses that are not in ASCII.
fn original_recipient(value: &str, smtputf8: bool) -> String {
    let Some((kind, address)) = value.split_once(';') else {
        return xtext(value);
    };
    if !kind.eq_ignore_ascii_case("utf-8") {
        return format!("{};{}", xtext(kind), xtext(address));
    }
    let mut out = String::from("utf-8;");
    for c in address.chars() {
        match c {
            // utf-8-addr-unitext has them as they are; `\`, `+` and `=` are always encoded.
            _ if !c.is_ascii() && smtputf8 => out.push(c),
            '!'..='~' if !"\\+=".contains(c) => out.push(c),
            _ => out.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    out
}
