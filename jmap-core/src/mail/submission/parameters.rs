//! Parameters of MAIL and RCPT (RFC 5321 §4.1.1.11), as envelopes keep them: by name, the value decoded.
//!
//! Holds: what passes has a shape that every other part can rely on; a decoded value has no control character in it.
//! Other half: `envelope` reads them from JMAP, `adapters/smtp/src/parse` from command lines.

use jmap_types::date::parse_rfc3339;

use super::records::{EnvelopeAddress, Parameter};

/// Octets of ENVID (RFC 3461 §4.4).
pub const ENVID_OCTETS_MAX: usize = 100;
/// Octets of ORCPT (RFC 3461 §4.2).
pub const ORCPT_OCTETS_MAX: usize = 500;
/// Digits of HOLDFOR (RFC 4865 §4.3) and of BY (RFC 2852 §4).
const SECONDS_DIGITS_MAX: usize = 9;

/// What is wrong with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is not one of this command")]
    Unknown,
    #[error("its value has the wrong shape")]
    Value,
    /// HOLDFOR and HOLDUNTIL (RFC 4865 §4).
    #[error("it excludes another one")]
    Excluded,
}

/// A name, and whether a value has the right shape.
type Known = (&'static str, fn(Option<&str>) -> bool);

/// Names of parameters of MAIL: SIZE (RFC 1870), BODY (RFC 6152, 3030), SMTPUTF8 (RFC 6531), RET and ENVID (RFC 3461), HOLDFOR and
/// HOLDUNTIL (RFC 4865), BY (RFC 2852), REQUIRETLS (RFC 8689), MT-PRIORITY (RFC 6710).
const MAIL: &[Known] = &[
    ("SIZE", is_size),
    ("BODY", is_body),
    ("SMTPUTF8", is_absent),
    ("RET", is_ret),
    ("ENVID", is_envid),
    ("HOLDFOR", is_seconds),
    ("HOLDUNTIL", is_moment),
    ("BY", is_by),
    ("REQUIRETLS", is_absent),
    ("MT-PRIORITY", is_priority),
];

/// Names of parameters of RCPT (RFC 3461).
const RCPT: &[Known] = &[("NOTIFY", is_notify), ("ORCPT", is_orcpt)];

/// A parameter of MAIL, its name as the RFC writes it.
pub fn of_mail(name: &str, value: Option<&str>) -> Result<Parameter, Fault> {
    check(MAIL, name, value)
}

/// A parameter of RCPT.
pub fn of_rcpt(name: &str, value: Option<&str>) -> Result<Parameter, Fault> {
    check(RCPT, name, value)
}

/// Whether parameters can stand side by side.
pub fn together(parameters: &[Parameter]) -> Result<(), Fault> {
    let has = |name: &str| parameters.iter().any(|parameter| parameter.name == name);
    match has("HOLDFOR") && has("HOLDUNTIL") {
        true => Err(Fault::Excluded),
        false => Ok(()),
    }
}

fn check(known: &[Known], name: &str, value: Option<&str>) -> Result<Parameter, Fault> {
    let found = known
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    let (name, is_valid) = found.ok_or(Fault::Unknown)?;
    if !is_valid(value) {
        return Err(Fault::Value);
    }
    Ok(Parameter {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    })
}

fn is_absent(value: Option<&str>) -> bool {
    value.is_none()
}

fn is_one_of(value: Option<&str>, words: &[&str]) -> bool {
    value.is_some_and(|value| words.iter().any(|word| word.eq_ignore_ascii_case(value)))
}

fn is_digits(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit())
}

fn is_size(value: Option<&str>) -> bool {
    value.is_some_and(|value| is_digits(value, 20))
}

fn is_body(value: Option<&str>) -> bool {
    is_one_of(value, &["7BIT", "8BITMIME", "BINARYMIME"])
}

fn is_ret(value: Option<&str>) -> bool {
    is_one_of(value, &["FULL", "HDRS"])
}

/// RFC 3461 §4.4: printable ASCII once it is decoded.
fn is_envid(value: Option<&str>) -> bool {
    value.is_some_and(|value| {
        (1..=ENVID_OCTETS_MAX).contains(&value.len())
            && value.bytes().all(|octet| (b' '..=b'~').contains(&octet))
    })
}

fn is_seconds(value: Option<&str>) -> bool {
    value.is_some_and(|value| is_digits(value, SECONDS_DIGITS_MAX))
}

fn is_moment(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.len() <= 40 && parse_rfc3339(value).is_some())
}

/// RFC 2852 §4: seconds, `;`, the mode, and perhaps `T`. With `R`, there must be time.
fn is_by(value: Option<&str>) -> bool {
    let Some((time, mode)) = value.and_then(|value| value.split_once(';')) else {
        return false;
    };
    let digits = time.strip_prefix(['-', '+']).unwrap_or(time);
    if !is_digits(digits, SECONDS_DIGITS_MAX) {
        return false;
    }
    let is_past = time.starts_with('-') || digits.bytes().all(|octet| octet == b'0');
    match mode.to_ascii_uppercase().as_str() {
        "N" | "NT" => true,
        "R" | "RT" => !is_past,
        _ => false,
    }
}

/// RFC 6710 §3: from -9 to 9.
fn is_priority(value: Option<&str>) -> bool {
    let Some(value) = value else { return false };
    match value.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [b'-', digit] => (b'1'..=b'9').contains(digit),
        _ => false,
    }
}

/// RFC 3461 §4.1: NEVER, or a list of the others.
fn is_notify(value: Option<&str>) -> bool {
    let Some(value) = value else { return false };
    if value.eq_ignore_ascii_case("NEVER") {
        return true;
    }
    let mut seen = Vec::new();
    value.split(',').all(|word| {
        let word = word.to_ascii_uppercase();
        let is_new = !seen.contains(&word);
        let is_known = matches!(word.as_str(), "SUCCESS" | "FAILURE" | "DELAY");
        seen.push(word);
        is_new && is_known
    })
}

/// RFC 3461 §4.2: the type of the address, `;`, the address.
fn is_orcpt(value: Option<&str>) -> bool {
    let Some((kind, address)) = value.and_then(|value| value.split_once(';')) else {
        return false;
    };
    let is_atom = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    !kind.is_empty()
        && kind.bytes().all(is_atom)
        && !address.is_empty()
        && kind.len() + address.len() < ORCPT_OCTETS_MAX
        && !address.chars().any(char::is_control)
}

/// Whether the sender wants to hear of a delivery that worked (RFC 3461 §4.1).
pub fn wants_success(parameters: &[Parameter]) -> bool {
    notify(parameters).any(|word| word.eq_ignore_ascii_case("SUCCESS"))
}

fn notify(parameters: &[Parameter]) -> impl Iterator<Item = &str> {
    let value = parameters
        .iter()
        .find(|parameter| parameter.name == "NOTIFY");
    let value = value.and_then(|parameter| parameter.value.as_deref());
    value.into_iter().flat_map(|value| value.split(','))
}

/// Parameters of MAIL that go on with a message that is redirected: what is asked of every server on its way.
const HANDED_ON: &[&str] = &[
    "BODY",
    "SMTPUTF8",
    "RET",
    "ENVID",
    "REQUIRETLS",
    "MT-PRIORITY",
];

/// The parameters of MAIL of a message that goes on to somewhere else.
pub fn handed_on(mail: &[Parameter]) -> Vec<Parameter> {
    let goes_on = |parameter: &&Parameter| HANDED_ON.contains(&parameter.name.as_str());
    mail.iter().filter(goes_on).cloned().collect()
}

/// The parameters of MAIL of a message that goes to the members of a list: what it can't do without.
pub fn needed_by_list(mail: &[Parameter]) -> Vec<Parameter> {
    let needed = |parameter: &&Parameter| {
        ["BODY", "SMTPUTF8", "REQUIRETLS"].contains(&parameter.name.as_str())
    };
    mail.iter().filter(needed).cloned().collect()
}

/// The parameters of the new recipient of a message that came for `address` (RFC 3461 §5.2.7). `is_reported`: it is in a
/// mailbox here too, or goes on to others as well, and whoever wants to hear of success hears of that.
pub fn handed_on_to(address: &str, rcpt: &[Parameter], is_reported: bool) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    if let Some(asked) = rcpt.iter().find(|parameter| parameter.name == "NOTIFY") {
        let is_left = |word: &&str| !(is_reported && word.eq_ignore_ascii_case("SUCCESS"));
        let words: Vec<&str> = notify(rcpt).filter(is_left).collect();
        let value = match words.is_empty() {
            true => "NEVER".to_owned(),
            false => words.join(","),
        };
        parameters.push(Parameter {
            name: asked.name.clone(),
            value: Some(value),
        });
    }
    let original = rcpt.iter().find(|parameter| parameter.name == "ORCPT");
    match original {
        Some(original) => parameters.push(original.clone()),
        // RFC 3461 §5.2.3: the address as it was when it came here.
        None if !parameters.is_empty() => {
            let kind = if address.is_ascii() {
                "rfc822"
            } else {
                "utf-8"
            };
            parameters.extend(of_rcpt("ORCPT", Some(&format!("{kind};{address}"))));
        }
        None => {}
    }
    parameters
}

/// The address with its parameters; `None` where there are none.
pub fn with(email: impl Into<String>, parameters: Vec<Parameter>) -> EnvelopeAddress {
    EnvelopeAddress {
        email: email.into(),
        parameters: (!parameters.is_empty()).then_some(parameters),
    }
}

#[cfg(test)]
mod tests;
