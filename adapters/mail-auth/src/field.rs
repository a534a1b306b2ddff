//! The Authentication-Results field (RFC 8601): ours is written, those that pretend to be ours are recognised.
//!
//! Holds: whatever comes from the message or its envelope is written as a token, an address or a quoted string, so that it
//! can't end a result, the field or a line; lines are folded between properties.
//! Other half: `adapters/smtp`, which puts the one in front and takes the others out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::limits::VALUE_OCTETS_MAX;
use crate::verdict::{Finding, Identity, Outcome, Verdict};

/// Characters of a line that is not made longer (RFC 5322 §2.1.1).
const LINE_MAX: usize = 78;
/// RFC 8601 §2.2: nothing was looked at.
const NAME: &str = "Authentication-Results";

/// The field with its CRLF for a message that nothing was asked about.
pub fn not_verified(authserv_id: &str) -> String {
    format!("{NAME}: {authserv_id}; none\r\n")
}

impl Verdict {
    /// The field with its CRLF.
    pub fn field(&self, authserv_id: &str) -> String {
        let mut field = Writer::new(authserv_id);
        let peer = self.peer.to_canonical().to_string();
        field.result("iprev", &self.iprev.finding);
        field.property("policy.iprev", &peer);
        for spf in &self.spf {
            field.result("spf", &spf.finding);
            match spf.identity {
                Identity::MailFrom => field.property("smtp.mailfrom", &spf.value),
                Identity::Helo => field.property("smtp.helo", &spf.value),
            }
        }
        if self.dkim.is_empty() {
            field.result("dkim", &Finding::of(Outcome::None));
        }
        for dkim in &self.dkim {
            field.result("dkim", &dkim.finding);
            field.property("header.d", &dkim.domain);
            field.property("header.i", &dkim.identity);
            field.property("header.s", &dkim.selector);
            field.property("header.a", dkim.algorithm);
            field.property("header.b", &dkim.signature);
        }
        if let Some(arc) = &self.arc {
            field.result("arc", &arc.finding);
            field.property("smtp.remote-ip", &peer);
        }
        field.result("dmarc", &self.dmarc.finding);
        field.property("header.from", &self.dmarc.domain);
        if let Some(policy) = self.dmarc.policy {
            field.property("policy.dmarc", policy.name());
        }
        field.end()
    }
}

/// The first eight characters of a signature in base64 (RFC 6008).
pub(crate) fn first_of_signature(octets: &[u8]) -> String {
    STANDARD.encode(&octets[..octets.len().min(6)])
}

struct Writer {
    text: String,
    /// Of the last line.
    column: usize,
}

impl Writer {
    fn new(authserv_id: &str) -> Writer {
        let text = format!("{NAME}: {authserv_id}");
        let column = text.len();
        Writer { text, column }
    }

    /// Each result begins a line.
    fn result(&mut self, method: &str, finding: &Finding) {
        let result = format!("{method}={}", finding.outcome.name());
        self.text.push_str(";\r\n\t");
        self.text.push_str(&result);
        self.column = 8 + result.len();
        if let Some(reason) = finding.reason {
            self.word(&format!("reason={}", quoted(reason)));
        }
    }

    fn property(&mut self, name: &str, value: &str) {
        if value.is_empty() || value.len() > VALUE_OCTETS_MAX {
            return;
        }
        self.word(&format!("{name}={}", pvalue(value)));
    }

    fn word(&mut self, word: &str) {
        if self.column + 1 + word.len() + 1 > LINE_MAX {
            self.text.push_str("\r\n\t ");
            self.column = 9;
        } else {
            self.text.push(' ');
            self.column += 1;
        }
        self.text.push_str(word);
        self.column += word.len();
    }

    fn end(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }
}

/// RFC 8601 §2.2: a token, a quoted string, or an address.
fn pvalue(value: &str) -> String {
    let is_domain = |text: &str| {
        let proper = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        !text.is_empty() && text.bytes().all(proper)
    };
    let plain = match value.rsplit_once('@') {
        // A local part without need for quotes: dot-atom-text of RFC 5322 §3.2.3, or none at all.
        Some((local, domain)) => {
            let atoms = local.is_empty()
                || local
                    .split('.')
                    .all(|atom| !atom.is_empty() && atom.bytes().all(is_atext));
            atoms && is_domain(domain)
        }
        None => value.bytes().all(is_token),
    };
    match plain {
        true => value.to_owned(),
        false => quoted(value),
    }
}

fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

/// RFC 2045 §5.1.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push('?'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether an Authentication-Results field, given what follows its colon, says that `authserv_id` has written it. RFC 8601
/// §5: when it comes from elsewhere it is a lie.
pub fn claims(value: &[u8], authserv_id: &str) -> bool {
    let mut id = Vec::new();
    let mut rest = skip_cfws(value);
    match rest.split_first() {
        Some((b'"', quoted)) => {
            let mut escaped = false;
            for &octet in quoted {
                match octet {
                    b'\\' if !escaped => escaped = true,
                    b'"' if !escaped => break,
                    b'\r' | b'\n' => {}
                    octet => {
                        id.push(octet);
                        escaped = false;
                    }
                }
            }
        }
        _ => {
            while let Some((&octet, after)) = rest.split_first() {
                if octet.is_ascii_whitespace() || b";(/".contains(&octet) {
                    break;
                }
                id.push(octet);
                rest = after;
            }
        }
    }
    let id = id.strip_suffix(b".").unwrap_or(&id);
    id.eq_ignore_ascii_case(authserv_id.as_bytes())
}

/// White space, line ends and comments (RFC 5322 §3.2.2).
fn skip_cfws(mut text: &[u8]) -> &[u8] {
    let mut depth = 0usize;
    while let Some((&octet, after)) = text.split_first() {
        match octet {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => {
                text = after.get(1..).unwrap_or_default();
                continue;
            }
            octet if depth > 0 || octet.is_ascii_whitespace() => {}
            _ => break,
        }
        text = after;
    }
    text
}

#[cfg(test)]
mod tests;
