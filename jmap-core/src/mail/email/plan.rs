//! What a client asks of an email, read once for all emails of a call (RFC 8621 §4.1, §4.2).
//! Holds: each property once; a form that a field can't have is never in a plan.
//! Other half: `render` carries plans out.

use jmap_types::{MethodError, MethodErrorKind, Property, mail::EmailGetArguments, value::Key};

use crate::mail::message::{Form, HeaderProperty};

/// All properties of an Email, without the header properties.
const PROPERTIES: &[Property] = &[
    Property::Id,
    Property::BlobId,
    Property::ThreadId,
    Property::MailboxIds,
    Property::Keywords,
    Property::Size,
    Property::ReceivedAt,
    Property::MessageId,
    Property::InReplyTo,
    Property::References,
    Property::Sender,
    Property::From,
    Property::To,
    Property::Cc,
    Property::Bcc,
    Property::ReplyTo,
    Property::Subject,
    Property::SentAt,
    Property::HasAttachment,
    Property::Preview,
    Property::Headers,
    Property::BodyStructure,
    Property::BodyValues,
    Property::TextBody,
    Property::HtmlBody,
    Property::Attachments,
];

/// All properties of an EmailBodyPart.
const PART_PROPERTIES: &[Property] = &[
    Property::PartId,
    Property::BlobId,
    Property::Size,
    Property::Headers,
    Property::Name,
    Property::Type,
    Property::Charset,
    Property::Disposition,
    Property::Cid,
    Property::Language,
    Property::Location,
    Property::SubParts,
];

/// RFC 8621 §4.2: `bodyProperties` when it is not given.
const PART_DEFAULTS: &[Property] = &[
    Property::PartId,
    Property::BlobId,
    Property::Size,
    Property::Name,
    Property::Type,
    Property::Charset,
    Property::Disposition,
    Property::Cid,
    Property::Language,
    Property::Location,
];

/// Properties that one call may name, of emails or of parts: each costs work for each of them.
pub(super) const PROPERTIES_MAX: usize = 200;

/// One property of an Email.
#[derive(Debug)]
pub(super) enum Wanted {
    Property(Property),
    /// A header property whose value the summary has, under the name that was asked for.
    Alias(Property, String),
    Header(HeaderProperty, String),
}

/// One property of an EmailBodyPart.
#[derive(Debug)]
pub(super) enum WantedPart {
    Property(Property),
    Header(HeaderProperty, String),
}

/// Which text parts go into `bodyValues`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values {
    pub text: bool,
    pub html: bool,
    pub all: bool,
    /// Octets; 0 is no limit.
    pub octets_max: usize,
}

/// What a call asks of each email.
#[derive(Debug)]
pub(super) struct Plan {
    pub wanted: Vec<Wanted>,
    pub parts: Vec<WantedPart>,
    pub values: Values,
    pub needs_summary: bool,
    pub needs_octets: bool,
    /// Email/parse alone: /get gives `id` unasked.
    pub wants_id: bool,
}

pub(super) fn is_property(name: &str) -> bool {
    match Property::from_name(name) {
        Some(property) => PROPERTIES.contains(&property),
        None => HeaderProperty::parse(name).is_ok(),
    }
}

pub(super) fn is_part_property(name: &str) -> bool {
    match Property::from_name(name) {
        Some(property) => PART_PROPERTIES.contains(&property),
        None => HeaderProperty::parse(name).is_ok(),
    }
}

impl Plan {
    /// Names that are no properties are passed over: they were refused before.
    /// Errors: `requestTooLarge`, beyond [`PROPERTIES_MAX`].
    pub fn new<'n>(
        names: impl Iterator<Item = &'n str>,
        arguments: &EmailGetArguments,
    ) -> Result<Self, MethodError> {
        let mut plan = Self {
            wanted: Vec::new(),
            parts: parts(arguments)?,
            values: Values {
                text: arguments.fetch_text_body_values,
                html: arguments.fetch_html_body_values,
                all: arguments.fetch_all_body_values,
                octets_max: usize::try_from(arguments.max_body_value_bytes).unwrap_or(usize::MAX),
            },
            needs_summary: false,
            needs_octets: false,
            wants_id: false,
        };
        for name in distinct(names)? {
            plan.add(name);
        }
        plan.needs_summary |= plan.needs_octets;
        Ok(plan)
    }

    fn add(&mut self, name: &str) {
        if let Some(property) = Property::from_name(name) {
            if property == Property::Id || !PROPERTIES.contains(&property) {
                return;
            }
            self.note_needs(property);
            self.wanted.push(Wanted::Property(property));
        } else if let Ok(header) = HeaderProperty::parse(name) {
            self.wanted.push(match summary_property(&header) {
                Some(property) => {
                    self.needs_summary = true;
                    Wanted::Alias(property, name.to_owned())
                }
                None => {
                    self.needs_octets = true;
                    Wanted::Header(header, name.to_owned())
                }
            });
        }
    }

    fn note_needs(&mut self, property: Property) {
        match property {
            Property::BlobId
            | Property::ThreadId
            | Property::MailboxIds
            | Property::Keywords
            | Property::Size
            | Property::ReceivedAt
            | Property::HasAttachment => {}
            Property::Headers => self.needs_octets = true,
            Property::BodyValues => {
                let Values {
                    text, html, all, ..
                } = self.values;
                self.needs_octets |= text || html || all;
            }
            Property::BodyStructure
            | Property::TextBody
            | Property::HtmlBody
            | Property::Attachments => {
                self.needs_summary = true;
                let from_octets = |part: &WantedPart| {
                    matches!(
                        part,
                        WantedPart::Header(..) | WantedPart::Property(Property::Headers)
                    )
                };
                self.needs_octets |= self.parts.iter().any(from_octets);
            }
            _ => self.needs_summary = true,
        }
    }
}

impl Wanted {
    /// The key of the property's value.
    pub fn key(&self) -> Key {
        match self {
            Self::Property(property) => Key::Property(*property),
            Self::Alias(_, name) | Self::Header(_, name) => Key::Owned(name.clone()),
        }
    }
}

impl WantedPart {
    pub fn key(&self) -> Key {
        match self {
            Self::Property(property) => Key::Property(*property),
            Self::Header(_, name) => Key::Owned(name.clone()),
        }
    }
}

/// The letter case of a field's name is of no account (RFC 5322 §1.2.2).
fn is_same_name(a: &str, b: &str) -> bool {
    match (a.strip_prefix("header:"), b.strip_prefix("header:")) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => a == b,
    }
}

/// Each name once, in their order, as it was first written.
fn distinct<'n>(names: impl Iterator<Item = &'n str>) -> Result<Vec<&'n str>, MethodError> {
    let mut distinct: Vec<&str> = Vec::new();
    for name in names {
        if !distinct.iter().any(|known| is_same_name(known, name)) {
            distinct.push(name);
        }
        if distinct.len() > PROPERTIES_MAX {
            let why = format!("At most {PROPERTIES_MAX} properties can be named.");
            return Err(MethodError::describe(MethodErrorKind::RequestTooLarge, why));
        }
    }
    Ok(distinct)
}

fn parts(arguments: &EmailGetArguments) -> Result<Vec<WantedPart>, MethodError> {
    let Some(names) = &arguments.body_properties else {
        let defaults = PART_DEFAULTS.iter();
        return Ok(defaults
            .map(|property| WantedPart::Property(*property))
            .collect());
    };
    let mut parts = Vec::with_capacity(names.len().min(PROPERTIES_MAX));
    for name in distinct(names.iter().map(String::as_str))? {
        if let Some(property) = Property::from_name(name) {
            if PART_PROPERTIES.contains(&property) {
                parts.push(WantedPart::Property(property));
            }
        } else if let Ok(header) = HeaderProperty::parse(name) {
            parts.push(WantedPart::Header(header, name.to_owned()));
        }
    }
    Ok(parts)
}

/// The property that a header property says in other words (RFC 8621 §4.1.3).
fn summary_property(header: &HeaderProperty) -> Option<Property> {
    if header.all {
        return None;
    }
    let rows = [
        ("Message-ID", Form::MessageIds, Property::MessageId),
        ("In-Reply-To", Form::MessageIds, Property::InReplyTo),
        ("References", Form::MessageIds, Property::References),
        ("Sender", Form::Addresses, Property::Sender),
        ("From", Form::Addresses, Property::From),
        ("To", Form::Addresses, Property::To),
        ("Cc", Form::Addresses, Property::Cc),
        ("Bcc", Form::Addresses, Property::Bcc),
        ("Reply-To", Form::Addresses, Property::ReplyTo),
        ("Subject", Form::Text, Property::Subject),
        ("Date", Form::Date, Property::SentAt),
    ];
    let is_it = |(name, form, _): &&(&str, Form, Property)| {
        *form == header.form && name.eq_ignore_ascii_case(&header.name)
    };
    rows.iter().find(is_it).map(|(_, _, property)| *property)
}
