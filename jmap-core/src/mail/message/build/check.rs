//! The rules of Email/set create (RFC 8621 §4.6) that need no blob.
//! Holds: every property that breaks a rule is named; depth and number of parts are bounded before
//! anything is written.
//! Other half: `build` writes what passed.

use super::{
    InvalidProperty, NewHeader, NewHeaderValue, NewMessage, NewPart, Problem, given_type,
    has_field, has_prefix, is_blank, media_type, write_header, write_type,
};
use crate::mail::message::address::EmailAddress;
use crate::mail::message::date::SentAt;
use crate::mail::message::headers::{Form, HeaderPropertyError, is_field_name, message_ids};
use crate::mail::message::{MIME_DEPTH_MAX, MIME_PARTS_MAX, emit};
use std::collections::BTreeSet;

/// What a line has room for besides the name of a Content-* field (RFC 5322 §2.1.1).
const WORD_OCTETS_MAX: usize = 900;

/// Collects what is not valid.
#[derive(Default)]
pub(super) struct Check {
    pub found: Vec<InvalidProperty>,
    parts: usize,
}

impl Check {
    fn add(&mut self, path: String, problem: Problem) {
        let property = match path.starts_with("header:") {
            true => path.clone(),
            false => path.split('/').next().unwrap_or_default().to_owned(),
        };
        self.found.push(InvalidProperty {
            property,
            path,
            problem,
        });
    }

    pub fn email(&mut self, message: &NewMessage) {
        if message.has_headers {
            self.add("headers".to_owned(), Problem::HeadersGiven);
        }
        let mut names = BTreeSet::new();
        for header in &message.headers {
            if has_prefix(&header.name, "content-") {
                self.add(header.property.clone(), Problem::ContentFieldOnEmail);
            }
        }
        self.headers(&message.headers, "", &mut names);
        let lists = [
            ("textBody", &message.text_body, Some("text/plain")),
            ("htmlBody", &message.html_body, Some("text/html")),
            ("attachments", &message.attachments, None),
        ];
        if let Some(root) = &message.body_structure {
            if lists.iter().any(|(_, list, _)| list.is_some()) {
                self.add("bodyStructure".to_owned(), Problem::StructureAndBodies);
            }
            self.part(message, root, "bodyStructure".to_owned(), &mut names, 0);
        }
        for (property, list, media_type) in lists {
            let Some(list) = list else { continue };
            if let Some(wanted) = media_type {
                let is_right = list.len() == 1
                    && list[0]
                        .media_type
                        .as_deref()
                        .is_none_or(|t| t.eq_ignore_ascii_case(wanted))
                    && list[0].sub_parts.is_none();
                if !is_right {
                    self.add(property.to_owned(), Problem::BodyShape);
                }
            }
            for (at, part) in list.iter().enumerate() {
                let path = format!("{property}/{at}");
                self.part(message, part, path, &mut BTreeSet::new(), 1);
            }
        }
        for (part_id, value) in &message.body_values {
            if value.is_encoding_problem || value.is_truncated {
                self.add(format!("bodyValues/{part_id}"), Problem::FlagOnBodyValue);
            }
        }
    }

    fn headers(&mut self, headers: &[NewHeader], path: &str, names: &mut BTreeSet<String>) {
        for header in headers {
            let path = format!("{path}{}", header.property);
            if !is_field_name(&header.name) {
                self.add(path.clone(), Problem::Field(HeaderPropertyError::BadName));
            }
            if !names.insert(header.name.to_ascii_lowercase()) {
                self.add(path.clone(), Problem::DuplicateField);
            }
            let is_allowed = |value| form_of(value).is_allowed_for(&header.name);
            if !header.values.iter().all(is_allowed) {
                self.add(path, Problem::Field(HeaderPropertyError::FormNotAllowed));
            } else if !header.values.iter().all(is_valid) || !fits(header) {
                self.add(path, Problem::BadValue);
            } else if header.name.eq_ignore_ascii_case("Message-ID") && !is_one_id(header) {
                self.add(path, Problem::NotOneMessageId);
            }
        }
    }

    fn part(
        &mut self,
        message: &NewMessage,
        part: &NewPart,
        path: String,
        names: &mut BTreeSet<String>,
        depth: usize,
    ) {
        self.parts += 1;
        // Three more levels may be put around the lists.
        if depth + 3 > MIME_DEPTH_MAX || self.parts + 4 > MIME_PARTS_MAX {
            if self.parts + 4 == MIME_PARTS_MAX + 1 || depth + 3 > MIME_DEPTH_MAX {
                self.add(path, Problem::TooMany);
            }
            return;
        }
        if part.has_headers {
            self.add(format!("{path}/headers"), Problem::HeadersGiven);
        }
        self.part_fields(part, &path, names);
        self.headers(&part.headers, &format!("{path}/"), names);
        self.given_type(part, &path);
        self.part_content(message, part, &path);
        for (at, sub) in part.sub_parts.iter().flatten().enumerate() {
            let path = format!("{path}/subParts/{at}");
            self.part(message, sub, path, &mut BTreeSet::new(), depth + 1);
        }
    }

    /// The properties that stand for Content-* fields.
    fn part_fields(&mut self, part: &NewPart, path: &str, names: &mut BTreeSet<String>) {
        if has_field(&part.headers, "Content-Transfer-Encoding") {
            let path = format!("{path}/header:Content-Transfer-Encoding");
            self.add(path, Problem::TransferEncodingGiven);
        }
        let is_type = |text: &str| {
            let token = |text: &str| {
                !text.is_empty()
                    && text.len() < 128
                    && text
                        .bytes()
                        .all(|c| c.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&c))
            };
            text.split_once('/')
                .is_some_and(|(main, sub)| token(main) && token(sub))
        };
        let one_word = |text: &str| {
            (1..WORD_OCTETS_MAX).contains(&text.len())
                && text
                    .bytes()
                    .all(|c| c.is_ascii_graphic() && !b"<>;,\"".contains(&c))
        };
        let tags = part.language.as_deref().unwrap_or_default();
        let rows = [
            (
                "type",
                "content-type",
                part.media_type.is_some(),
                part.media_type.as_deref().is_none_or(is_type),
            ),
            (
                "charset",
                "content-type",
                part.charset.is_some() && part.media_type.is_none(),
                part.charset.as_deref().is_none_or(one_word),
            ),
            (
                "name",
                "content-type",
                part.name.is_some() && part.media_type.is_none() && part.charset.is_none(),
                part.name.as_deref().is_none_or(emit::is_one_line),
            ),
            (
                "disposition",
                "content-disposition",
                part.disposition.is_some(),
                part.disposition.as_deref().is_none_or(one_word),
            ),
            (
                "cid",
                "content-id",
                part.cid.is_some(),
                part.cid.as_deref().is_none_or(one_word),
            ),
            (
                "language",
                "content-language",
                part.language.is_some(),
                tags.iter().all(|tag| one_word(tag)) && tags.join(", ").len() < WORD_OCTETS_MAX,
            ),
            (
                "location",
                "content-location",
                part.location.is_some(),
                part.location.as_deref().is_none_or(|uri| {
                    (1..WORD_OCTETS_MAX).contains(&uri.len())
                        && uri.bytes().all(|c| c.is_ascii_graphic())
                }),
            ),
        ];
        for (property, field, is_given, is_good) in rows {
            if !is_good {
                self.add(format!("{path}/{property}"), Problem::BadValue);
            }
            if is_given && !names.insert(field.to_owned()) {
                self.add(format!("{path}/{property}"), Problem::DuplicateField);
            }
        }
    }

    /// The Content-Type of a header property is not written as it came.
    fn given_type(&mut self, part: &NewPart, path: &str) {
        let is_it = |header: &&NewHeader| header.name.eq_ignore_ascii_case("Content-Type");
        let Some(header) = part.headers.iter().find(is_it) else {
            return;
        };
        let mut written = Vec::new();
        write_type(part, &media_type(part), &[], &mut written);
        if !emit::lines_fit(&written) {
            self.add(format!("{path}/{}", header.property), Problem::BadValue);
        }
    }

    fn part_content(&mut self, message: &NewMessage, part: &NewPart, path: &str) {
        let has_content = part.part_id.is_some() || part.blob_id.is_some();
        let is_multipart = has_prefix(&media_type(part), "multipart/");
        if is_multipart || part.sub_parts.is_some() {
            // RFC 2046 §5.1.1: a multipart has at least one part.
            let is_empty = part.sub_parts.as_deref().is_none_or(<[_]>::is_empty);
            if !is_multipart || is_empty || has_content {
                self.add(format!("{path}/subParts"), Problem::MultipartContent);
            }
            return;
        }
        let Some(part_id) = &part.part_id else {
            if !has_content {
                self.add(format!("{path}/partId"), Problem::NoContent);
            }
            return;
        };
        if part.blob_id.is_some() {
            self.add(format!("{path}/blobId"), Problem::PartIdAndBlobId);
        }
        if !message.body_values.contains_key(part_id) {
            self.add(format!("{path}/partId"), Problem::UnknownPartId);
        }
        if part.charset.is_some() || given_type(part).is_some_and(|t| t.get("charset").is_some()) {
            self.add(format!("{path}/charset"), Problem::CharsetWithPartId);
        }
        if part.has_size {
            self.add(format!("{path}/size"), Problem::SizeWithPartId);
        }
    }
}

/// RFC 5322 §3.6.4: whether a Message-ID is one id; none at all will be generated.
fn is_one_id(header: &NewHeader) -> bool {
    let mut given = header.values.iter().filter(|value| !is_blank(value));
    let is_one = |value: &NewHeaderValue| match value {
        NewHeaderValue::MessageIds(ids) => ids.len() == 1,
        NewHeaderValue::Raw(text) => {
            let ids = message_ids(text.as_bytes());
            text.contains('<') && ids.is_some_and(|ids| ids.len() == 1)
        }
        _ => false,
    };
    given.next().is_none_or(is_one) && given.next().is_none()
}

/// RFC 5322 §2.1.1: whether no line of the field is too long: what has no space in it can't be folded.
fn fits(header: &NewHeader) -> bool {
    let mut written = Vec::new();
    write_header(header, &mut written);
    emit::lines_fit(&written)
}

/// Whether a value can be written as one field of the form.
fn is_valid(value: &NewHeaderValue) -> bool {
    let is_token = |text: &String| {
        !text.is_empty()
            && !text
                .chars()
                .any(|c| c.is_control() || c.is_whitespace() || "<>".contains(c))
    };
    let is_address = |address: &EmailAddress| {
        let email = &address.email;
        let name = address.name.as_deref().unwrap_or("");
        emit::is_one_line(email) && !email.contains(['<', '>']) && emit::is_one_line(name)
    };
    match value {
        NewHeaderValue::Raw(value) => emit::is_raw_value(value),
        NewHeaderValue::Text(value) => emit::is_one_line(value),
        NewHeaderValue::Addresses(list) => list.iter().all(is_address),
        NewHeaderValue::GroupedAddresses(list) => list.iter().all(|group| {
            emit::is_one_line(group.name.as_deref().unwrap_or(""))
                && group.addresses.iter().all(is_address)
        }),
        NewHeaderValue::MessageIds(list) | NewHeaderValue::Urls(list) => list.iter().all(is_token),
        NewHeaderValue::Date(value) => SentAt::parse_rfc3339(value).is_some(),
    }
}

fn form_of(value: &NewHeaderValue) -> Form {
    match value {
        NewHeaderValue::Raw(_) => Form::Raw,
        NewHeaderValue::Text(_) => Form::Text,
        NewHeaderValue::Addresses(_) => Form::Addresses,
        NewHeaderValue::GroupedAddresses(_) => Form::GroupedAddresses,
        NewHeaderValue::MessageIds(_) => Form::MessageIds,
        NewHeaderValue::Date(_) => Form::Date,
        NewHeaderValue::Urls(_) => Form::Urls,
    }
}
