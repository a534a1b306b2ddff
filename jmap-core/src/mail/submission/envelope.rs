//! The envelope of a submission: as a client gives it, or made from the message (RFC 8621 §7).
//!
//! Holds: addresses have the shape of RFC 5321 §4.1.2, each recipient is there once; parameters are those that
//! this server announces, with values of the right shape.
//! Other half: `set` says who may send what, `inproc::queue` sends.

use bytes::Bytes;
use jmap_types::{
    Property, SetError, SetErrorKind, UtcDate, Value, arguments::FromValue, date::parse_rfc3339,
    value::Map,
};

use super::{
    parameters::{self, Fault},
    records::{EnvelopeAddress, Parameter},
};
use crate::{
    Limits,
    directory::names,
    mail::message::{EmailAddressGroup, Summary, address},
};

/// Octets of an address (RFC 5321 §4.5.3.1.3, with room for UTF-8).
const ADDRESS_OCTETS_MAX: usize = 1024;
/// Parameters of one address.
const PARAMETERS_MAX: usize = 16;
/// Octets of a parameter's value.
const PARAMETER_OCTETS_MAX: usize = 1024;
/// RFC 5321 §4.5.3.1.1, with room for UTF-8.
const LOCAL_PART_OCTETS_MAX: usize = 256;

/// The extensions that the session's `submissionExtensions` names (RFC 8621 §1.3.2), with their arguments.
pub const EXTENSIONS: &[(&str, &[&str])] = &[
    ("FUTURERELEASE", &[]),
    ("SIZE", &[]),
    ("8BITMIME", &[]),
    ("BINARYMIME", &[]),
    ("SMTPUTF8", &[]),
    ("DSN", &[]),
    ("DELIVERBY", &[]),
    ("REQUIRETLS", &[]),
    ("MT-PRIORITY", &[]),
];

/// What says whether a parameter is one, and how it is kept.
type Check = fn(&str, Option<&str>) -> Result<Parameter, Fault>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// An empty address is the null reverse-path.
    pub mail_from: EnvelopeAddress,
    pub recipients: Vec<EnvelopeAddress>,
}

/// Whether mail can be addressed to this: `local@domain` of RFC 5321 §4.1.2, or RFC 6531.
pub fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_literal = domain.starts_with('[') && domain.ends_with(']') && domain.len() > 2;
    let domain_is_valid = match is_literal {
        true => domain[1..domain.len() - 1]
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b)),
        false => names::domain(domain).is_ok(),
    };
    text.len() <= ADDRESS_OCTETS_MAX && domain_is_valid && is_local_part(local)
}

fn is_local_part(local: &str) -> bool {
    if local.is_empty()
        || local.len() > LOCAL_PART_OCTETS_MAX
        || local.chars().any(char::is_control)
    {
        return false;
    }
    let Some(inner) = local.strip_prefix('"') else {
        let is_atom = |c: char| !c.is_whitespace() && !r#"()<>[]:;@\,""#.contains(c);
        return local.chars().all(is_atom)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
    };
    let Some(inner) = inner.strip_suffix('"') else {
        return false;
    };
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return false,
            '\\' if characters.next().is_none() => return false,
            _ => {}
        }
    }
    true
}

fn wrong(path: &str, why: &str) -> SetError {
    SetError::invalid_property(path, why)
}

/// The `envelope` property; `None` when it is null.
pub fn read(value: Value) -> Result<Option<Envelope>, SetError> {
    let map = match value {
        Value::Null => return Ok(None),
        Value::Object(map) => map,
        _ => return Err(wrong("envelope", "It must be an Envelope, or null.")),
    };
    let mut mail_from = None;
    let mut recipients = None;
    for (key, value) in map.into_vec() {
        match &*key.to_string() {
            "mailFrom" => {
                mail_from = Some(read_address(
                    "envelope/mailFrom",
                    value,
                    parameters::of_mail,
                )?)
            }
            "rcptTo" => {
                let list = Vec::<Value>::from_value(value)
                    .ok_or_else(|| wrong("envelope/rcptTo", "It must be a list of Addresses."))?;
                let each = list
                    .into_iter()
                    .map(|v| read_address("envelope/rcptTo", v, parameters::of_rcpt));
                recipients = Some(each.collect::<Result<Vec<_>, _>>()?);
            }
            _ => {
                return Err(wrong(
                    "envelope",
                    "It has mailFrom and rcptTo, and nothing else.",
                ));
            }
        }
    }
    let (Some(mail_from), Some(recipients)) = (mail_from, recipients) else {
        return Err(wrong("envelope", "It must have mailFrom and rcptTo."));
    };
    if !mail_from.email.is_empty() && !is_address(&mail_from.email) {
        return Err(wrong("envelope/mailFrom", "It is not a valid address."));
    }
    Ok(Some(Envelope {
        mail_from,
        recipients: without_duplicates(recipients),
    }))
}

fn read_address(path: &str, value: Value, check: Check) -> Result<EnvelopeAddress, SetError> {
    let Value::Object(map) = value else {
        return Err(wrong(path, "It must be an Address."));
    };
    let mut email = None;
    let mut parameters = None;
    for (key, value) in map.into_vec() {
        match (&*key.to_string(), value) {
            ("email", Value::Str(text)) => email = Some(text.into_owned()),
            ("parameters", Value::Null) => {}
            ("parameters", Value::Object(map)) => {
                parameters = Some(read_parameters(path, map, check)?)
            }
            _ => return Err(wrong(path, "An Address has an email and parameters.")),
        }
    }
    let email = email.ok_or_else(|| wrong(path, "An Address has an email."))?;
    Ok(EnvelopeAddress { email, parameters })
}

fn read_parameters(path: &str, map: Map, check: Check) -> Result<Vec<Parameter>, SetError> {
    let wrong = |why: &str| SetError::invalid_property(format!("{path}/parameters"), why);
    if map.len() > PARAMETERS_MAX {
        return Err(wrong("There are too many parameters."));
    }
    let mut parameters: Vec<Parameter> = Vec::with_capacity(map.len());
    for (key, value) in map.into_vec() {
        let name = key.to_string().into_owned();
        let value = match value {
            Value::Null => None,
            Value::Str(text)
                if text.len() <= PARAMETER_OCTETS_MAX && !text.chars().any(char::is_control) =>
            {
                Some(text.into_owned())
            }
            _ => return Err(wrong("The value of a parameter is a String or null.")),
        };
        let parameter = check(&name, value.as_deref()).map_err(|fault| match fault {
            Fault::Unknown => wrong("This server doesn't know one of the parameters."),
            Fault::Value | Fault::Excluded => wrong(&format!("The value of {name} is not one.")),
        })?;
        if parameters
            .iter()
            .any(|other| other.name.eq_ignore_ascii_case(&name))
        {
            return Err(wrong("A parameter is given twice."));
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

/// The envelope that the header fields give; who may send from its address is for the caller to see.
pub fn from_message(summary: &Summary) -> Envelope {
    let all = |groups: &Option<Vec<EmailAddressGroup>>| {
        address::flatten(groups.as_deref().unwrap_or_default())
    };
    let sender = all(&summary.sender).into_iter().next();
    let sender = sender.or_else(|| all(&summary.from).into_iter().next());
    let fields = [&summary.to, &summary.cc, &summary.bcc];
    let recipients = fields
        .into_iter()
        .flat_map(all)
        .map(|address| EnvelopeAddress::plain(address.email));
    Envelope {
        mail_from: EnvelopeAddress::plain(sender.map(|address| address.email).unwrap_or_default()),
        recipients: without_duplicates(recipients.collect()),
    }
}

/// RFC 5321 §2.4: domains are the same in any letter case, local parts perhaps not.
fn without_duplicates(mut recipients: Vec<EnvelopeAddress>) -> Vec<EnvelopeAddress> {
    let mut seen = std::collections::HashSet::new();
    recipients.retain(|recipient| {
        let same = match recipient.email.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
            None => recipient.email.clone(),
        };
        seen.insert(same)
    });
    recipients
}

/// RFC 8621 §7.5: there must be recipients, not too many, and each a valid address.
pub fn check_recipients(recipients: &[EnvelopeAddress], limits: &Limits) -> Result<(), SetError> {
    if recipients.is_empty() {
        return Err(SetError::describe(
            SetErrorKind::NoRecipients,
            "The message is for nobody.",
        ));
    }
    if recipients.len() as u64 > limits.max_recipients {
        return Err(SetError::describe(
            SetErrorKind::TooManyRecipients,
            "There are too many recipients.",
        )
        .with(Property::MaxRecipients, limits.max_recipients));
    }
    let invalid: Vec<String> = recipients
        .iter()
        .map(|r| &r.email)
        .filter(|email| !is_address(email))
        .cloned()
        .collect();
    if !invalid.is_empty() {
        return Err(SetError::describe(
            SetErrorKind::InvalidRecipients,
            "Some addresses are not valid.",
        )
        .with(Property::InvalidRecipients, invalid));
    }
    Ok(())
}

/// When the message is to be released (RFC 4865): seconds since 1970; `None`: now.
pub fn hold_until(
    mail_from: &EnvelopeAddress,
    now: i64,
    limits: &Limits,
) -> Result<Option<i64>, SetError> {
    let wrong = |why: &str| SetError::invalid_property("envelope/mailFrom/parameters", why);
    let hold_for = mail_from.parameter("HOLDFOR");
    let hold_until = mail_from.parameter("HOLDUNTIL");
    let until = match (hold_for, hold_until) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(wrong("HOLDFOR and HOLDUNTIL exclude each other.")),
        (Some(parameter), None) => {
            let seconds = parameter
                .value
                .as_deref()
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let seconds: i64 = seconds
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| wrong("HOLDFOR must be a number of seconds."))?;
            now.saturating_add(seconds)
        }
        (None, Some(parameter)) => {
            let date = parameter.value.as_deref().and_then(parse_rfc3339);
            let (UtcDate(seconds), _) =
                date.ok_or_else(|| wrong("HOLDUNTIL must be a date and time."))?;
            seconds
        }
    };
    let max = i64::try_from(limits.max_delayed_send).unwrap_or(i64::MAX);
    if until > now.saturating_add(max) {
        return Err(wrong("The message can't be held for so long."));
    }
    Ok((until > now).then_some(until))
}

/// The message without its Bcc fields (RFC 8621 §7.5); the same octets when it has none.
pub fn without_bcc(message: &Bytes) -> Bytes {
    let mut kept: Vec<std::ops::Range<usize>> = Vec::new();
    let mut removed = false;
    let mut in_bcc = false;
    let mut at = 0;
    while at < message.len() {
        let end = memchr::memchr(b'\n', &message[at..]).map_or(message.len(), |line| at + line + 1);
        let line = &message[at..end];
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        if !matches!(line[0], b' ' | b'\t') {
            in_bcc = is_bcc(line);
        }
        removed |= in_bcc;
        if !in_bcc {
            match kept.last_mut().filter(|range| range.end == at) {
                Some(range) => range.end = end,
                None => kept.push(at..end),
            }
        }
        at = end;
    }
    if !removed {
        return message.clone();
    }
    kept.push(at..message.len());
    let mut octets = Vec::with_capacity(message.len());
    for range in kept {
        octets.extend_from_slice(&message[range]);
    }
    octets.into()
}

fn is_bcc(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else {
        return false;
    };
    let name = line[..colon].trim_ascii_end();
    name.eq_ignore_ascii_case(b"bcc") || name.eq_ignore_ascii_case(b"resent-bcc")
}

#[cfg(test)]
mod tests;
