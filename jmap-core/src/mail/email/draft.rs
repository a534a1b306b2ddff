//! An Email object as a client creates it, read into a message to build (RFC 8621 §4.6).
//! Holds: every property of the wrong type or name is reported by its path, all at once; parts nested
//! deeper than a message may have are refused before they are read.
//! Other half: `message::build` checks the rules between properties and writes the message.

use std::collections::BTreeMap;

use jmap_types::{
    Property, SetError, UtcDate, Value, WireId,
    value::{Map, as_text},
};

use super::metadata;
use crate::mail::message::{
    EmailAddress, EmailAddressGroup, Form, HeaderProperty, MIME_DEPTH_MAX, MIME_PARTS_MAX,
    NewBodyValue, NewHeader, NewHeaderValue, NewMessage, NewPart, build::convenience,
};

/// Paths that one error names.
pub(super) const WRONG_MAX: usize = 100;

/// What a client asks to create.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub message: NewMessage,
    pub mailboxes: Vec<u64>,
    pub keywords: Vec<String>,
    pub received_at: Option<UtcDate>,
    pub given: Given,
}

/// Which properties with defaults the client gave.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub keywords: bool,
    pub message_id: bool,
    pub sent_at: bool,
}

/// Reads an Email, and collects what is wrong with it.
#[derive(Default)]
struct Reader {
    wrong: Vec<String>,
    parts: usize,
}

impl Draft {
    pub fn read(properties: Map) -> Result<Self, SetError> {
        let mut reader = Reader::default();
        let mut draft = Self::default();
        let mut has_mailboxes = false;
        for (key, value) in properties.into_vec() {
            match key.as_property().copied() {
                Some(Property::MailboxIds) => {
                    has_mailboxes = true;
                    draft.mailboxes = reader.take(metadata::mailboxes(value));
                }
                Some(Property::Keywords) => {
                    draft.given.keywords = true;
                    draft.keywords = reader.take(metadata::keywords(value));
                }
                Some(Property::ReceivedAt) => {
                    draft.received_at = as_text(&value).and_then(UtcDate::parse);
                    if draft.received_at.is_none() {
                        reader.wrong("receivedAt");
                    }
                }
                Some(property) => reader.property(&mut draft, property, value),
                None => reader.header(&mut draft.message.headers, "", &key.to_string(), value),
            }
        }
        if !has_mailboxes {
            reader.wrong("mailboxIds");
        }
        reader.finish()?;
        Ok(draft)
    }
}

impl Reader {
    fn wrong(&mut self, path: impl Into<String>) {
        if self.wrong.len() < WRONG_MAX {
            self.wrong.push(path.into());
        }
    }

    fn take<T: Default>(&mut self, result: Result<T, SetError>) -> T {
        result.unwrap_or_else(|error| {
            for path in error.properties {
                self.wrong(path);
            }
            T::default()
        })
    }

    fn finish(self) -> Result<(), SetError> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        let why = "These are missing, unknown, of the wrong type, or set by the server.";
        Err(SetError {
            properties: self.wrong,
            ..SetError::invalid_property("", why)
        })
    }

    /// A property of the Email with a name of its own.
    fn property(&mut self, draft: &mut Draft, property: Property, value: Value) {
        let message = &mut draft.message;
        match property {
            Property::Headers => message.has_headers = true,
            Property::BodyStructure => {
                message.body_structure = self.given(property, value, Self::whole_part);
            }
            Property::TextBody => message.text_body = self.given(property, value, Self::part_list),
            Property::HtmlBody => message.html_body = self.given(property, value, Self::part_list),
            Property::Attachments => {
                message.attachments = self.given(property, value, Self::part_list);
            }
            Property::BodyValues => self.body_values(message, value),
            property => {
                let name = property.name();
                if convenience(name).is_none() {
                    return self.wrong(name);
                }
                match property {
                    // None is given either where the list is empty: one is generated.
                    Property::MessageId => {
                        let is_empty = value == Value::Array(Vec::new());
                        draft.given.message_id = value != Value::Null && !is_empty;
                    }
                    Property::SentAt => draft.given.sent_at = value != Value::Null,
                    _ => {}
                }
                self.header(&mut message.headers, "", name, value);
            }
        }
    }

    /// A property for which null says the same as its absence.
    fn given<T>(
        &mut self,
        property: Property,
        value: Value,
        read: impl Fn(&mut Self, Value, &str) -> Option<T>,
    ) -> Option<T> {
        match value {
            Value::Null => None,
            value => read(self, value, property.name()),
        }
    }

    /// A property that stands for header fields, of the Email or of the part at `prefix`.
    fn header(&mut self, headers: &mut Vec<NewHeader>, prefix: &str, name: &str, value: Value) {
        let path = || format!("{prefix}{name}");
        let (form, all) = match (convenience(name), HeaderProperty::parse(name)) {
            (Some((_, form)), _) if prefix.is_empty() => (form, false),
            (_, Ok(header)) => (header.form, header.all),
            _ => return self.wrong(path()),
        };
        let values = match (value, all) {
            (Value::Null, false) => Some(Vec::new()),
            (value, false) => header_value(form, value).map(|value| vec![value]),
            (Value::Array(values), true) => values
                .into_iter()
                .map(|value| header_value(form, value))
                .collect(),
            (_, true) => None,
        };
        match values.and_then(|values| NewHeader::new(name, values).ok()) {
            Some(header) => headers.push(header),
            None => self.wrong(path()),
        }
    }

    fn part_list(&mut self, value: Value, path: &str) -> Option<Vec<NewPart>> {
        let Value::Array(parts) = value else {
            self.wrong(path);
            return None;
        };
        let each = parts.into_iter().enumerate();
        Some(
            each.map(|(at, part)| self.part(part, format!("{path}/{at}"), 1))
                .collect(),
        )
    }

    fn whole_part(&mut self, value: Value, path: &str) -> Option<NewPart> {
        Some(self.part(value, path.to_owned(), 0))
    }

    fn part(&mut self, value: Value, path: String, depth: usize) -> NewPart {
        let mut part = NewPart::default();
        self.parts += 1;
        let Value::Object(map) = value else {
            self.wrong(path);
            return part;
        };
        if depth > MIME_DEPTH_MAX || self.parts > MIME_PARTS_MAX {
            self.wrong(path);
            return part;
        }
        for (key, value) in map.into_vec() {
            let Some(property) = key.as_property().copied() else {
                self.header(
                    &mut part.headers,
                    &format!("{path}/"),
                    &key.to_string(),
                    value,
                );
                continue;
            };
            self.part_property(&mut part, property, value, &path, depth);
        }
        part
    }

    fn part_property(
        &mut self,
        part: &mut NewPart,
        property: Property,
        value: Value,
        path: &str,
        depth: usize,
    ) {
        let path = format!("{path}/{}", property.name());
        if property == Property::Headers {
            part.has_headers = true;
            return;
        }
        // Null says the same as leaving it out.
        if value == Value::Null {
            return;
        }
        match property {
            Property::PartId => part.part_id = self.text(value, path),
            Property::BlobId => match as_text(&value).and_then(WireId::parse) {
                Some(id) => part.blob_id = Some(id.to_string()),
                None => self.wrong(path),
            },
            Property::Size => match value.as_u64() {
                Some(_) => part.has_size = true,
                None => self.wrong(path),
            },
            Property::Type => part.media_type = self.text(value, path),
            Property::Charset => part.charset = self.text(value, path),
            Property::Disposition => part.disposition = self.text(value, path),
            Property::Name => part.name = self.text(value, path),
            Property::Cid => part.cid = self.text(value, path),
            Property::Location => part.location = self.text(value, path),
            Property::Language => {
                part.language = strings(value);
                if part.language.is_none() {
                    self.wrong(path);
                }
            }
            Property::SubParts => {
                let Value::Array(subs) = value else {
                    return self.wrong(path);
                };
                let each = subs.into_iter().enumerate();
                let subs = each.map(|(at, sub)| self.part(sub, format!("{path}/{at}"), depth + 1));
                part.sub_parts = Some(subs.collect());
            }
            _ => self.wrong(path),
        }
    }

    fn text(&mut self, value: Value, path: String) -> Option<String> {
        match value {
            Value::Str(text) => Some(text.into_owned()),
            _ => {
                self.wrong(path);
                None
            }
        }
    }

    fn body_values(&mut self, message: &mut NewMessage, value: Value) {
        let map = match value {
            Value::Null => return,
            Value::Object(map) => map,
            _ => return self.wrong("bodyValues"),
        };
        for (part_id, value) in map.into_vec() {
            let part_id = part_id.into_string();
            match body_value(value) {
                Some(value) => {
                    message.body_values.insert(part_id, value);
                }
                None => self.wrong(format!("bodyValues/{part_id}")),
            }
        }
    }
}

/// An EmailBodyValue (RFC 8621 §4.1.4).
fn body_value(value: Value) -> Option<NewBodyValue> {
    let mut read = NewBodyValue::default();
    let mut has_value = false;
    for (key, value) in value.into_object()?.into_vec() {
        match (key.as_property()?, value) {
            (Property::Value, Value::Str(text)) => {
                has_value = true;
                read.value = text.into_owned();
            }
            (Property::IsEncodingProblem, Value::Bool(is)) => read.is_encoding_problem = is,
            (Property::IsTruncated, Value::Bool(is)) => read.is_truncated = is,
            _ => return None,
        }
    }
    has_value.then_some(read)
}

fn header_value(form: Form, value: Value) -> Option<NewHeaderValue> {
    Some(match form {
        Form::Raw => NewHeaderValue::Raw(text(value)?),
        Form::Text => NewHeaderValue::Text(text(value)?),
        Form::Date => NewHeaderValue::Date(text(value)?),
        Form::MessageIds => NewHeaderValue::MessageIds(strings(value)?),
        Form::Urls => NewHeaderValue::Urls(strings(value)?),
        Form::Addresses => NewHeaderValue::Addresses(list(value, address)?),
        Form::GroupedAddresses => NewHeaderValue::GroupedAddresses(list(value, group)?),
    })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.into_owned()),
        _ => None,
    }
}

fn strings(value: Value) -> Option<Vec<String>> {
    list(value, text)
}

fn list<T>(value: Value, read: impl Fn(Value) -> Option<T>) -> Option<Vec<T>> {
    value.into_array()?.into_iter().map(read).collect()
}

fn optional_text(value: Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        value => text(value).map(Some),
    }
}

/// RFC 8621 §4.1.2.3: `name` may be left out.
fn address(value: Value) -> Option<EmailAddress> {
    let (mut name, mut email) = (None, None);
    for (key, value) in value.into_object()?.into_vec() {
        match key.as_property()? {
            Property::Name => name = optional_text(value)?,
            Property::Email => email = Some(text(value)?),
            _ => return None,
        }
    }
    Some(EmailAddress {
        email: email?,
        name,
    })
}

/// RFC 8621 §4.1.2.4.
fn group(value: Value) -> Option<EmailAddressGroup> {
    let (mut name, mut addresses) = (None, None);
    for (key, value) in value.into_object()?.into_vec() {
        match key.as_property()? {
            Property::Name => name = optional_text(value)?,
            Property::Addresses => addresses = Some(list(value, address)?),
            _ => return None,
        }
    }
    Some(EmailAddressGroup {
        addresses: addresses?,
        name,
    })
}

/// The blob ids that the parts name, and how often.
pub(super) fn blob_ids(message: &NewMessage) -> BTreeMap<String, u64> {
    fn visit(part: &NewPart, ids: &mut BTreeMap<String, u64>) {
        if let Some(id) = &part.blob_id {
            *ids.entry(id.clone()).or_default() += 1;
        }
        for sub in part.sub_parts.iter().flatten() {
            visit(sub, ids);
        }
    }
    let lists = [&message.text_body, &message.html_body, &message.attachments];
    let listed = lists.into_iter().flatten().flatten();
    let mut ids = BTreeMap::new();
    for part in message.body_structure.iter().chain(listed) {
        visit(part, &mut ids);
    }
    ids
}
