//! A message as the properties of an Email (RFC 8621 §4.1.2 to §4.1.4).
//! Holds: any summary and any octets give a value; a summary whose offsets lie is cut, not believed.
//! Other half: `plan` says what is wanted; `get` and `parse` bring the message.

use std::collections::BTreeSet;

use jmap_types::{
    BlobId, Property, Section, TransferEncoding, Value,
    value::{Key, Map, MapExt, key, string},
};

use super::{
    budget::Budget,
    plan::{Plan, WantedPart},
};
use crate::mail::message::{
    BodyValue, EmailAddress, EmailAddressGroup, Encoding, HeaderField, HeaderProperty, HeaderValue,
    Part, PropertyValue, Summary, body_value, headers,
};

/// Where the octets of a message are, so that its parts have blob ids.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// From `start` of the blob on.
    In { hash: [u8; 32], start: u32 },
    /// In no blob.
    Nowhere,
}

/// One message while its properties are made.
pub(super) struct Rendering<'r> {
    pub plan: &'r Plan,
    pub budget: &'r Budget,
    pub place: Place,
    pub summary: &'r Summary,
    /// Empty when the plan doesn't need them.
    pub octets: &'r [u8],
}

impl Rendering<'_> {
    /// A property that is in the message; null for others.
    pub fn property(&self, property: Property) -> Value {
        match property {
            // These count what they are made of.
            Property::BodyStructure if self.summary.parts.is_empty() => Value::Null,
            Property::BodyStructure => self.part(0, true),
            Property::BodyValues => self.body_values(),
            Property::TextBody => self.list(|summary| &summary.text_body),
            Property::HtmlBody => self.list(|summary| &summary.html_body),
            Property::Attachments => self.list(|summary| &summary.attachments),
            _ => self.budget.value(|| self.of_summary(property)),
        }
    }

    fn of_summary(&self, property: Property) -> Value {
        let summary = self.summary;
        match property {
            Property::MessageId => strings(&summary.message_id),
            Property::InReplyTo => strings(&summary.in_reply_to),
            Property::References => strings(&summary.references),
            Property::Sender => flat_addresses(&summary.sender),
            Property::From => flat_addresses(&summary.from),
            Property::To => flat_addresses(&summary.to),
            Property::Cc => flat_addresses(&summary.cc),
            Property::Bcc => flat_addresses(&summary.bcc),
            Property::ReplyTo => flat_addresses(&summary.reply_to),
            Property::Subject => summary.subject.clone().into(),
            Property::SentAt => summary.sent_at.map(|date| date.to_rfc3339()).into(),
            Property::HasAttachment => summary.has_attachment.into(),
            Property::Preview => string(summary.preview.as_str()),
            Property::Size => summary.size.into(),
            Property::Headers => header_list(self.octets, &summary.fields),
            _ => Value::Null,
        }
    }

    pub fn header(&self, header: &HeaderProperty) -> Value {
        let value = || property_value(header.value(self.octets, &self.summary.fields));
        self.budget.value(value)
    }

    fn list(&self, of: impl Fn(&Summary) -> &Vec<u32>) -> Value {
        let indices = of(self.summary).iter();
        Value::Array(indices.map(|&index| self.part(index, false)).collect())
    }

    /// An EmailBodyPart. The depth of parts is bounded where they are found.
    fn part(&self, index: u32, in_structure: bool) -> Value {
        let Some(part) = self.summary.parts.get(index as usize) else {
            return Value::Null;
        };
        if self.budget.is_spent() {
            return Value::Null;
        }
        let fields = self.fields_of(part);
        let mut map = Map::with_capacity(self.plan.parts.len() + 1);
        let mut has_sub_parts = false;
        for wanted in &self.plan.parts {
            let value = match wanted {
                WantedPart::Property(Property::SubParts) => {
                    has_sub_parts = true;
                    self.sub_parts(part, in_structure)
                }
                _ => self.budget.value(|| match wanted {
                    WantedPart::Header(header, _) => {
                        property_value(header.value(self.octets, &fields))
                    }
                    WantedPart::Property(Property::Headers) => header_list(self.octets, &fields),
                    WantedPart::Property(property) => self.part_property(index, part, *property),
                }),
            };
            map.insert_unchecked(self.budget.key(wanted.key()), value);
        }
        // RFC 8621 §4.1.4: `bodyStructure` is the full structure.
        if in_structure && !has_sub_parts && part.is_multipart() {
            map.insert_unchecked(
                Key::Property(Property::SubParts),
                self.sub_parts(part, in_structure),
            );
        }
        Value::Object(map)
    }

    fn part_property(&self, index: u32, part: &Part, property: Property) -> Value {
        match property {
            Property::PartId => self.summary.part_id(index).into(),
            Property::BlobId => self.blob_id(part).map(|id| id.to_string()).into(),
            Property::Size => part.size.into(),
            Property::Name => part.name.clone().into(),
            Property::Type => string(&part.media_type),
            Property::Charset => part.charset().map(str::to_owned).into(),
            Property::Disposition => part.disposition.clone().into(),
            Property::Cid => part.cid.clone().into(),
            Property::Language if part.language.is_empty() => Value::Null,
            Property::Language => part.language.clone().into(),
            Property::Location => part.location.clone().into(),
            _ => Value::Null,
        }
    }

    fn sub_parts(&self, part: &Part, in_structure: bool) -> Value {
        if !in_structure || !part.is_multipart() {
            return Value::Null;
        }
        let children = part.children.iter();
        Value::Array(children.map(|&index| self.part(index, true)).collect())
    }

    fn fields_of(&self, part: &Part) -> Vec<HeaderField> {
        let from_octets = |wanted: &WantedPart| {
            matches!(
                wanted,
                WantedPart::Header(..) | WantedPart::Property(Property::Headers)
            )
        };
        if !self.plan.parts.iter().any(from_octets) {
            return Vec::new();
        }
        headers::fields_of(
            self.octets,
            part.header_start as usize..part.body_start as usize,
        )
    }

    /// RFC 8621 §4.1.4: the decoded octets of the part; none for a multipart.
    fn blob_id(&self, part: &Part) -> Option<BlobId> {
        let Place::In { hash, start } = self.place else {
            return None;
        };
        if part.is_multipart() {
            return None;
        }
        let encoding = match part.encoding {
            Encoding::Identity | Encoding::Unknown => TransferEncoding::Identity,
            Encoding::Base64 => TransferEncoding::Base64,
            Encoding::QuotedPrintable => TransferEncoding::QuotedPrintable,
        };
        Some(BlobId::section(
            hash,
            Section {
                start: start.checked_add(part.body_start)?,
                end: start.checked_add(part.body_end)?,
                encoding,
            },
        ))
    }

    fn body_values(&self) -> Value {
        let values = self.plan.values;
        let summary = self.summary;
        let mut indices = BTreeSet::new();
        if values.all {
            indices.extend(0..summary.parts.len() as u32);
        }
        if values.text {
            indices.extend(&summary.text_body);
        }
        if values.html {
            indices.extend(&summary.html_body);
        }
        let mut map = Map::with_capacity(indices.len());
        for index in indices {
            let part = summary.parts.get(index as usize);
            let Some(part) = part.filter(|part| part.is_text()) else {
                continue;
            };
            let Some(part_id) = summary.part_id(index) else {
                continue;
            };
            let value = || body_value_object(body_value(self.octets, part, values.octets_max));
            let value = self.budget.value(value);
            map.insert_unchecked(self.budget.key(key(part_id)), value);
        }
        Value::Object(map)
    }
}

fn strings(list: &Option<Vec<String>>) -> Value {
    list.clone().into()
}

fn body_value_object(value: BodyValue) -> Value {
    let map = Map::with_capacity(3)
        .with(Property::Value, value.value)
        .with(Property::IsEncodingProblem, value.is_encoding_problem)
        .with(Property::IsTruncated, value.is_truncated);
    Value::Object(map)
}

/// An EmailAddress (RFC 8621 §4.1.2.3).
fn address(address: EmailAddress) -> Value {
    let map = Map::with_capacity(2)
        .with(Property::Name, address.name)
        .with(Property::Email, address.email);
    Value::Object(map)
}

fn addresses(list: Vec<EmailAddress>) -> Value {
    Value::Array(list.into_iter().map(address).collect())
}

fn flat_addresses(groups: &Option<Vec<EmailAddressGroup>>) -> Value {
    let Some(groups) = groups else {
        return Value::Null;
    };
    let each = groups.iter().flat_map(|group| &group.addresses);
    Value::Array(each.cloned().map(address).collect())
}

/// An EmailAddressGroup (RFC 8621 §4.1.2.4).
fn group(group: EmailAddressGroup) -> Value {
    let map = Map::with_capacity(2)
        .with(Property::Name, group.name)
        .with(Property::Addresses, addresses(group.addresses));
    Value::Object(map)
}

fn header_value(value: HeaderValue) -> Value {
    match value {
        HeaderValue::Text(text) => text.into(),
        HeaderValue::Addresses(list) => addresses(list),
        HeaderValue::GroupedAddresses(groups) => {
            Value::Array(groups.into_iter().map(group).collect())
        }
        HeaderValue::MessageIds(list) | HeaderValue::Urls(list) => list.into(),
        HeaderValue::Date(date) => date.into(),
        HeaderValue::Null => Value::Null,
    }
}

fn property_value(value: PropertyValue) -> Value {
    match value {
        PropertyValue::One(value) => header_value(value),
        PropertyValue::All(values) => Value::Array(values.into_iter().map(header_value).collect()),
    }
}

/// EmailHeader objects (RFC 8621 §4.1.3).
fn header_list(octets: &[u8], fields: &[HeaderField]) -> Value {
    let pairs = headers::email_headers(octets, fields).into_iter();
    let header = |(name, value): (String, String)| {
        let map = Map::with_capacity(2)
            .with(Property::Name, name)
            .with(Property::Value, value);
        Value::Object(map)
    };
    Value::Array(pairs.map(header).collect())
}
