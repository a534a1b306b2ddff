//! Header fields in the parsed forms of JMAP (RFC 8621 §4.1.2 and §4.1.3).
//! Holds: a form is given only for the fields it is allowed for; any octets give a value.
//! Other half: `build` takes the same properties to write a message.

use super::address::{self, EmailAddress, EmailAddressGroup, without_comments};
use super::scan::{self, HeaderField};
use super::words::{self, unfold};
use super::{HEADER_VALUE_OCTETS_MAX, date};
use std::borrow::Cow;

/// A parsed form (RFC 8621 §4.1.2.1 to §4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    Raw,
    Text,
    Addresses,
    GroupedAddresses,
    MessageIds,
    Date,
    Urls,
}

/// One header field value in one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// Raw and Text.
    Text(String),
    Addresses(Vec<EmailAddress>),
    GroupedAddresses(Vec<EmailAddressGroup>),
    MessageIds(Option<Vec<String>>),
    /// RFC 3339, as JMAP's Date.
    Date(Option<String>),
    Urls(Option<Vec<String>>),
    /// There is no such field.
    Null,
}

/// The value of a header property: of the last field of the name, or of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    One(HeaderValue),
    All(Vec<HeaderValue>),
}

/// A property `header:{name}[:as{form}][:all]` (RFC 8621 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderProperty {
    /// In the letter case that was asked for.
    pub name: String,
    pub form: Form,
    pub all: bool,
}

/// Why a property name is no header property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderPropertyError {
    #[error("not a header property")]
    NotHeader,
    #[error("the header field name is empty or has characters that are not allowed")]
    BadName,
    #[error("unknown suffix, or suffixes in the wrong order")]
    BadSuffix,
    #[error("this header field can't have this form")]
    FormNotAllowed,
}

/// Address fields (RFC 8621 §4.1.2.3).
const ADDRESS_FIELDS: [&str; 12] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "resent-from",
    "resent-sender",
    "resent-reply-to",
    "resent-to",
    "resent-cc",
    "resent-bcc",
];
/// Message-id fields (RFC 8621 §4.1.2.5).
const MESSAGE_ID_FIELDS: [&str; 4] = [
    "message-id",
    "in-reply-to",
    "references",
    "resent-message-id",
];
/// Date fields (RFC 8621 §4.1.2.6).
const DATE_FIELDS: [&str; 2] = ["date", "resent-date"];
/// The fields of RFC 2369, whose values are URLs.
const URL_FIELDS: [&str; 6] = [
    "list-help",
    "list-unsubscribe",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
];
/// Fields of RFC 5322 that have the Text form, and List-Id.
const TEXT_FIELDS: [&str; 4] = ["subject", "comments", "keywords", "list-id"];
/// Fields of RFC 5322 that have the Raw form only.
const RAW_FIELDS: [&str; 2] = ["return-path", "received"];

impl Form {
    /// Whether the form may be asked or set for the field (RFC 8621 §4.1.2.2 to §4.1.2.7).
    pub fn is_allowed_for(self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        let is_in = |list: &[&str]| list.contains(&lower.as_str());
        let is_defined = is_in(&ADDRESS_FIELDS)
            || is_in(&MESSAGE_ID_FIELDS)
            || is_in(&DATE_FIELDS)
            || is_in(&URL_FIELDS)
            || is_in(&TEXT_FIELDS[..3])
            || is_in(&RAW_FIELDS);
        match self {
            Form::Raw => true,
            Form::Text => is_in(&TEXT_FIELDS) || !is_defined,
            Form::Addresses | Form::GroupedAddresses => is_in(&ADDRESS_FIELDS) || !is_defined,
            Form::MessageIds => is_in(&MESSAGE_ID_FIELDS) || !is_defined,
            Form::Date => is_in(&DATE_FIELDS) || !is_defined,
            Form::Urls => is_in(&URL_FIELDS) || !is_defined,
        }
    }

    fn from_suffix(suffix: &str) -> Option<Form> {
        Some(match suffix.strip_prefix("as")? {
            "Raw" => Form::Raw,
            "Text" => Form::Text,
            "Addresses" => Form::Addresses,
            "GroupedAddresses" => Form::GroupedAddresses,
            "MessageIds" => Form::MessageIds,
            "Date" => Form::Date,
            "URLs" => Form::Urls,
            _ => return None,
        })
    }

    /// Parses a raw header field value into this form.
    pub fn parse(self, raw: &[u8]) -> HeaderValue {
        let bounded = &raw[..raw.len().min(HEADER_VALUE_OCTETS_MAX)];
        match self {
            Form::Raw => HeaderValue::Text(raw_text(raw)),
            Form::Text => HeaderValue::Text(words::text(bounded)),
            Form::Addresses => HeaderValue::Addresses(address::flatten(&address::parse(bounded))),
            Form::GroupedAddresses => HeaderValue::GroupedAddresses(address::parse(bounded)),
            Form::MessageIds => HeaderValue::MessageIds(message_ids(bounded)),
            Form::Date => HeaderValue::Date(date::parse(bounded).map(|at| at.to_rfc3339())),
            Form::Urls => HeaderValue::Urls(urls(bounded)),
        }
    }
}

impl HeaderProperty {
    /// Parses a property name and checks that the form is allowed for the field.
    pub fn parse(property: &str) -> Result<HeaderProperty, HeaderPropertyError> {
        let rest = property
            .strip_prefix("header:")
            .ok_or(HeaderPropertyError::NotHeader)?;
        let mut pieces = rest.split(':');
        let name = pieces.next().unwrap_or_default();
        if !is_field_name(name) {
            return Err(HeaderPropertyError::BadName);
        }
        let suffixes: Vec<&str> = pieces.collect();
        let (form, all) = match suffixes.as_slice() {
            [] => (Some(Form::Raw), false),
            ["all"] => (Some(Form::Raw), true),
            [form] => (Form::from_suffix(form), false),
            [form, "all"] => (Form::from_suffix(form), true),
            _ => (None, false),
        };
        let form = form.ok_or(HeaderPropertyError::BadSuffix)?;
        if !form.is_allowed_for(name) {
            return Err(HeaderPropertyError::FormNotAllowed);
        }
        Ok(HeaderProperty {
            name: name.to_owned(),
            form,
            all,
        })
    }

    /// The value among `fields`, whose offsets count from the start of `raw`;
    /// `raw` need not go further than the header section.
    pub fn value(&self, raw: &[u8], fields: &[HeaderField]) -> PropertyValue {
        let name = self.name.as_bytes();
        let mut found = fields
            .iter()
            .filter(|field| field.name(raw).eq_ignore_ascii_case(name));
        if self.all {
            return PropertyValue::All(found.map(|f| self.form.parse(f.value(raw))).collect());
        }
        PropertyValue::One(match found.next_back() {
            Some(field) => self.form.parse(field.value(raw)),
            None => HeaderValue::Null,
        })
    }
}

/// A field name of RFC 5322 §3.6.8, bounded.
pub fn is_field_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|c| (33..=126).contains(&c) && c != b':')
}

/// The fields of the header section that is at `section`, as of a body part.
pub fn fields_of(raw: &[u8], section: std::ops::Range<usize>) -> Vec<HeaderField> {
    let raw = &raw[..section.end.min(raw.len())];
    scan::section(raw, section.start.min(raw.len()), |_| false).fields
}

/// Names and Raw values of all fields: the `headers` property (RFC 8621 §4.1.3).
pub fn email_headers(raw: &[u8], fields: &[HeaderField]) -> Vec<(String, String)> {
    let pair = |field: &HeaderField| (raw_text(field.name(raw)), raw_text(field.value(raw)));
    fields.iter().map(pair).collect()
}

/// The Raw form (RFC 8621 §4.1.2.1): NUL dropped, what is no UTF-8 replaced, folds kept.
pub fn raw_text(raw: &[u8]) -> String {
    match String::from_utf8_lossy(raw) {
        Cow::Borrowed(text) if !text.contains('\0') => text.to_owned(),
        text => text.chars().filter(|c| *c != '\0').collect(),
    }
}

/// The MessageIds form (RFC 8621 §4.1.2.5), without angle brackets.
pub fn message_ids(raw: &[u8]) -> Option<Vec<String>> {
    let value = unfold(raw);
    let value = without_comments(&value);
    let found = match value.contains('<') {
        true => bracketed(&value),
        // Some programs leave the brackets out.
        false => value
            .split([' ', '\t', ','])
            .filter(|token| !token.is_empty())
            .map(|token| token.contains('@').then(|| token.to_owned()))
            .collect::<Option<Vec<String>>>()?,
    };
    (!found.is_empty()).then_some(found)
}

/// The URLs form (RFC 8621 §4.1.2.7, RFC 2369).
fn urls(raw: &[u8]) -> Option<Vec<String>> {
    let value = unfold(raw);
    // Parentheses may be part of a URL: only those outside of the brackets are comments.
    let found = bracketed(&value);
    (!found.is_empty()).then_some(found)
}

/// What stands between angle brackets, white space removed; comments and quoted strings
/// between them are passed over.
fn bracketed(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find(['<', '(', '"']) {
        rest = &rest[at..];
        if rest.starts_with('(') {
            rest = &rest[address::comment_len(rest)..];
        } else if rest.starts_with('"') {
            rest = &rest[address::quoted(rest).1..];
        } else {
            let Some(end) = rest.find('>') else { break };
            let inner: String = rest[1..end]
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect();
            if !inner.is_empty() {
                found.push(inner);
            }
            rest = &rest[end + 1..];
        }
    }
    found
}
