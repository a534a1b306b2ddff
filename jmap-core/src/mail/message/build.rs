//! A message from the properties of Email/set create (RFC 8621 §4.6).
//! Holds: what is written parses back to what was asked for; no value can start a header field of
//! its own; a boundary is in no content; the same input, clock and random octets give the same message.
//! Other half: `summary` and `headers` read; `emit` writes the octets.

use super::address::{EmailAddress, EmailAddressGroup};
use super::date::SentAt;
use super::emit::{self, Encoded};
use super::headers::{Form, HeaderProperty, HeaderPropertyError};
use super::params;
use check::Check;
use std::collections::BTreeMap;

mod check;

/// What a client asked to create.
#[derive(Debug, Clone, Default)]
pub struct NewMessage {
    /// Header fields in the order in which they are to be written.
    pub headers: Vec<NewHeader>,
    /// The forbidden `headers` property was given.
    pub has_headers: bool,
    pub body_structure: Option<NewPart>,
    pub text_body: Option<Vec<NewPart>>,
    pub html_body: Option<Vec<NewPart>>,
    pub attachments: Option<Vec<NewPart>>,
    pub body_values: BTreeMap<String, NewBodyValue>,
}

/// An EmailBodyValue as a client gives it.
#[derive(Debug, Clone, Default)]
pub struct NewBodyValue {
    pub value: String,
    pub is_encoding_problem: bool,
    pub is_truncated: bool,
}

/// One property that stands for header fields.
#[derive(Debug, Clone)]
pub struct NewHeader {
    /// As the client named it: `from`, `header:X-Loop:asText:all`.
    pub property: String,
    pub name: String,
    /// One value a field; empty when the client said null.
    pub values: Vec<NewHeaderValue>,
}

/// A header field value in the form in which it was given (RFC 8621 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewHeaderValue {
    Raw(String),
    Text(String),
    Addresses(Vec<EmailAddress>),
    GroupedAddresses(Vec<EmailAddressGroup>),
    MessageIds(Vec<String>),
    /// RFC 3339.
    Date(String),
    Urls(Vec<String>),
}

/// An EmailBodyPart as a client gives it.
#[derive(Debug, Clone, Default)]
pub struct NewPart {
    pub part_id: Option<String>,
    pub blob_id: Option<String>,
    pub has_size: bool,
    /// The forbidden `headers` property was given.
    pub has_headers: bool,
    pub media_type: Option<String>,
    pub charset: Option<String>,
    pub disposition: Option<String>,
    pub name: Option<String>,
    pub cid: Option<String>,
    pub language: Option<Vec<String>>,
    pub location: Option<String>,
    pub headers: Vec<NewHeader>,
    pub sub_parts: Option<Vec<NewPart>>,
}

/// What a message takes from outside.
pub struct BuildContext<'x> {
    /// For Date, when there is none.
    pub now: SentAt,
    /// For Message-ID and boundaries; fresh for every message.
    pub random: [u8; 32],
    /// Right side of the Message-ID.
    pub domain: &'x str,
    /// Octets of a blob; `None`: there is no such blob.
    pub blob: &'x dyn Fn(&str) -> Option<Vec<u8>>,
}

/// What is wrong with one property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("the headers property can't be set; set each header field as a property")]
    HeadersGiven,
    #[error("two properties stand for the same header field")]
    DuplicateField,
    #[error("{0}")]
    Field(#[from] HeaderPropertyError),
    #[error("the value is not valid for this header field")]
    BadValue,
    #[error("a message has exactly one Message-ID, in angle brackets")]
    NotOneMessageId,
    #[error("Content-* header fields can be set on body parts only")]
    ContentFieldOnEmail,
    #[error("bodyStructure can't be given together with textBody, htmlBody or attachments")]
    StructureAndBodies,
    #[error("must be exactly one part of the right type")]
    BodyShape,
    #[error("a part has a partId or a blobId, not both")]
    PartIdAndBlobId,
    #[error("a part needs a partId or a blobId")]
    NoContent,
    #[error("there is no such partId in bodyValues")]
    UnknownPartId,
    #[error("charset can't be given with a partId")]
    CharsetWithPartId,
    #[error("size can't be given with a partId")]
    SizeWithPartId,
    #[error("Content-Transfer-Encoding can't be set")]
    TransferEncodingGiven,
    #[error(
        "a multipart has at least one part in subParts and no content, any other part has content and no subParts"
    )]
    MultipartContent,
    #[error("isEncodingProblem and isTruncated must be false")]
    FlagOnBodyValue,
    #[error("too many parts, or parts nested too deeply")]
    TooMany,
}

/// One property that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidProperty {
    /// The property of the Email, as `bodyStructure`.
    pub property: String,
    /// Where exactly, as `bodyStructure/subParts/0/charset`.
    pub path: String,
    pub problem: Problem,
}

/// Why no message was built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("invalid properties")]
    InvalidProperties(Vec<InvalidProperty>),
    /// The blob ids that do not exist.
    #[error("blobs not found")]
    BlobNotFound(Vec<String>),
}

/// Octets of a message id that fits into a line, whatever the field is called (RFC 5322 §2.1.1).
pub const MESSAGE_ID_OCTETS_MAX: usize = 900;

/// Field name and form of a convenience property (RFC 8621 §4.1.3).
pub fn convenience(property: &str) -> Option<(&'static str, Form)> {
    Some(match property {
        "messageId" => ("Message-ID", Form::MessageIds),
        "inReplyTo" => ("In-Reply-To", Form::MessageIds),
        "references" => ("References", Form::MessageIds),
        "sender" => ("Sender", Form::Addresses),
        "from" => ("From", Form::Addresses),
        "to" => ("To", Form::Addresses),
        "cc" => ("Cc", Form::Addresses),
        "bcc" => ("Bcc", Form::Addresses),
        "replyTo" => ("Reply-To", Form::Addresses),
        "subject" => ("Subject", Form::Text),
        "sentAt" => ("Date", Form::Date),
        _ => return None,
    })
}

impl NewHeader {
    /// From a property name and its values; the name is a convenience property or `header:...`.
    pub fn new(
        property: &str,
        values: Vec<NewHeaderValue>,
    ) -> Result<NewHeader, HeaderPropertyError> {
        let name = match convenience(property) {
            Some((name, _)) => name.to_owned(),
            None => HeaderProperty::parse(property)?.name,
        };
        Ok(NewHeader {
            property: property.to_owned(),
            name,
            values,
        })
    }
}

impl NewMessage {
    /// All rules of RFC 8621 §4.6 that need no blob.
    pub fn check(&self) -> Result<(), BuildError> {
        let mut check = Check::default();
        check.email(self);
        match check.found.is_empty() {
            true => Ok(()),
            false => Err(BuildError::InvalidProperties(check.found)),
        }
    }

    /// Builds the message.
    pub fn build(&self, context: &BuildContext<'_>) -> Result<Vec<u8>, BuildError> {
        self.check()?;
        let stem = emit::boundary_stem(&context.random[..16]);
        let mut writer = PartWriter {
            message: self,
            context,
            stem,
            boundaries: 0,
            missing: Vec::new(),
        };
        let root = self.root();
        let (fields, body) = writer.part(&root);
        if !writer.missing.is_empty() {
            writer.missing.sort();
            writer.missing.dedup();
            return Err(BuildError::BlobNotFound(writer.missing));
        }
        let mut out = Vec::with_capacity(body.len() + 1024);
        self.write_headers(context, &mut out);
        out.extend_from_slice(&fields);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
        Ok(out)
    }

    fn write_headers(&self, context: &BuildContext<'_>, out: &mut Vec<u8>) {
        for header in &self.headers {
            write_header(header, out);
        }
        let root_headers = self.body_structure.iter().flat_map(|root| &root.headers);
        let given: Vec<&NewHeader> = self.headers.iter().chain(root_headers).collect();
        let has = |name: &str| {
            let is_it = |header: &&NewHeader| header.name.eq_ignore_ascii_case(name);
            given
                .iter()
                .filter(|h| is_it(h))
                .any(|h| !h.values.iter().all(is_blank))
        };
        // RFC 8621 §4.6: what is not included, or is no more than white space, comes from here.
        if !has("Date") {
            emit::raw_field(out, "Date", &format!(" {}", context.now.to_rfc5322()));
        }
        if !has("Message-ID") {
            let id = emit::hex(&context.random[16..]);
            emit::raw_field(out, "Message-ID", &format!(" <{id}@{}>", context.domain));
        }
        if !has("MIME-Version") {
            emit::raw_field(out, "MIME-Version", " 1.0");
        }
    }

    /// The tree of parts: as given, or made of textBody, htmlBody and attachments.
    fn root(&self) -> NewPart {
        if let Some(root) = &self.body_structure {
            return root.clone();
        }
        let first =
            |list: &Option<Vec<NewPart>>| list.as_ref().and_then(|list| list.first().cloned());
        let with_type = |mut part: NewPart, media_type: &str| {
            if part.media_type.is_none() && !has_field(&part.headers, "Content-Type") {
                part.media_type = Some(media_type.to_owned());
            }
            part
        };
        let text = first(&self.text_body).map(|part| with_type(part, "text/plain"));
        let html = first(&self.html_body).map(|part| with_type(part, "text/html"));
        let attachments = self.attachments.clone().unwrap_or_default();
        let has_html = html.is_some();
        // RFC 2387: what the HTML shows by cid travels together with it.
        let is_related = |part: &NewPart| {
            has_html && part.cid.is_some() && part.disposition.as_deref() == Some("inline")
        };
        let (related, mut attached): (Vec<_>, Vec<_>) =
            attachments.into_iter().partition(is_related);
        for part in &mut attached {
            if part.disposition.is_none() && !has_field(&part.headers, "Content-Disposition") {
                part.disposition = Some("attachment".to_owned());
            }
        }
        let html = html.map(|html| multipart("related", [vec![html], related].concat()));
        let body: Vec<NewPart> = text.into_iter().chain(html).collect();
        let body = (!body.is_empty()).then(|| multipart("alternative", body));
        let all: Vec<NewPart> = body.into_iter().chain(attached).collect();
        match all.is_empty() {
            true => NewPart::default(),
            false if all.len() == 1 && all[0].disposition.as_deref() == Some("attachment") => {
                container("mixed", all)
            }
            false => multipart("mixed", all),
        }
    }
}

/// One part stands for itself.
fn multipart(subtype: &str, mut parts: Vec<NewPart>) -> NewPart {
    match parts.len() {
        1 => parts.remove(0),
        _ => container(subtype, parts),
    }
}

fn container(subtype: &str, parts: Vec<NewPart>) -> NewPart {
    NewPart {
        media_type: Some(format!("multipart/{subtype}")),
        sub_parts: Some(parts),
        ..NewPart::default()
    }
}

fn has_field(headers: &[NewHeader], name: &str) -> bool {
    headers
        .iter()
        .any(|header| header.name.eq_ignore_ascii_case(name))
}

/// Whether a field would say nothing.
fn is_blank(value: &NewHeaderValue) -> bool {
    match value {
        NewHeaderValue::Raw(text) | NewHeaderValue::Text(text) => text.trim().is_empty(),
        NewHeaderValue::Addresses(list) => list.is_empty(),
        NewHeaderValue::GroupedAddresses(list) => list.is_empty(),
        NewHeaderValue::MessageIds(list) | NewHeaderValue::Urls(list) => list.is_empty(),
        NewHeaderValue::Date(_) => false,
    }
}

/// Fields that a message has in any case.
const GENERATED: [&str; 3] = ["Date", "Message-ID", "MIME-Version"];

fn write_header(header: &NewHeader, out: &mut Vec<u8>) {
    let is_it = |name: &&str| name.eq_ignore_ascii_case(&header.name);
    let is_generated = GENERATED.iter().any(is_it);
    for value in &header.values {
        if is_generated && is_blank(value) {
            continue;
        }
        let name = header.name.as_str();
        match value {
            NewHeaderValue::Raw(value) => emit::raw_field(out, name, value),
            NewHeaderValue::Text(value) => emit::text_field(out, name, value),
            NewHeaderValue::Date(value) => {
                if let Some(at) = SentAt::parse_rfc3339(value) {
                    emit::raw_field(out, name, &format!(" {}", at.to_rfc5322()));
                }
            }
            // A field without an address or id would not be valid: it is left out.
            NewHeaderValue::Addresses(list) if list.is_empty() => {}
            NewHeaderValue::GroupedAddresses(list) if list.is_empty() => {}
            NewHeaderValue::MessageIds(list) | NewHeaderValue::Urls(list) if list.is_empty() => {}
            NewHeaderValue::Addresses(list) => emit::field(out, name, emit::addresses(list)),
            NewHeaderValue::GroupedAddresses(list) => emit::field(out, name, emit::groups(list)),
            NewHeaderValue::MessageIds(list) => emit::field(out, name, emit::message_ids(list)),
            NewHeaderValue::Urls(list) => emit::field(out, name, emit::urls(list)),
        }
    }
}

/// The Content-Type of a part, with parameters of ours and those that were given.
fn write_type(
    part: &NewPart,
    media_type: &str,
    params: &[(&str, Option<&str>)],
    out: &mut Vec<u8>,
) {
    let given = given_type(part);
    let mut all: Vec<(&str, Option<&str>)> = params.to_vec();
    if let Some(given) = &given {
        let is_new = |name: &str| {
            !params
                .iter()
                .any(|(known, value)| *known == name && value.is_some())
        };
        let more = given.params.iter().filter(|(name, _)| is_new(name));
        all.extend(more.map(|(name, value)| (name.as_str(), Some(value.as_str()))));
    }
    emit::field(out, "Content-Type", emit::parameterized(media_type, &all));
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// A Content-Type that was given as a header field.
fn given_type(part: &NewPart) -> Option<params::Parameterized> {
    let is_it = |header: &&NewHeader| header.name.eq_ignore_ascii_case("Content-Type");
    match part.headers.iter().find(is_it)?.values.last()? {
        NewHeaderValue::Raw(value) | NewHeaderValue::Text(value) => {
            Some(params::parse(value.as_bytes()))
        }
        _ => None,
    }
}

/// The type of a part in lower case, given or implied.
fn media_type(part: &NewPart) -> String {
    if let Some(given) = &part.media_type {
        return given.to_ascii_lowercase();
    }
    if let Some(given) = given_type(part).filter(|given| given.value.contains('/')) {
        return given.value;
    }
    let implied = match (&part.sub_parts, &part.blob_id) {
        (Some(_), _) => "multipart/mixed",
        (None, Some(_)) => "application/octet-stream",
        (None, None) => "text/plain",
    };
    implied.to_owned()
}

struct PartWriter<'x> {
    message: &'x NewMessage,
    context: &'x BuildContext<'x>,
    stem: String,
    boundaries: usize,
    missing: Vec<String>,
}

impl PartWriter<'_> {
    /// Header fields and body of a part; the depth was checked.
    fn part(&mut self, part: &NewPart) -> (Vec<u8>, Vec<u8>) {
        let media_type = media_type(part);
        if let Some(subs) = &part.sub_parts {
            return self.multipart(part, subs, &media_type);
        }
        let encoded = self.content(part, &media_type);
        let charset = match (&part.part_id, &part.charset) {
            (_, Some(charset)) => Some(charset.as_str()),
            (Some(_), None) if media_type.starts_with("text/") => Some("utf-8"),
            (None, None) if part.blob_id.is_none() => Some("utf-8"),
            _ => None,
        };
        let mut fields = Vec::new();
        let params = [("charset", charset), ("name", part.name.as_deref())];
        self.fields(part, &media_type, &params, &mut fields);
        emit::raw_field(
            &mut fields,
            "Content-Transfer-Encoding",
            &format!(" {}", encoded.name),
        );
        (fields, encoded.octets)
    }

    fn content(&mut self, part: &NewPart, media_type: &str) -> Encoded {
        if let Some(part_id) = &part.part_id {
            let text = self.message.body_values.get(part_id);
            return emit::encode_text(text.map_or("", |value| value.value.as_str()));
        }
        let Some(blob_id) = &part.blob_id else {
            return emit::encode_text("");
        };
        let Some(octets) = (self.context.blob)(blob_id) else {
            self.missing.push(blob_id.clone());
            return emit::encode_text("");
        };
        match media_type.starts_with("message/") {
            true => emit::keep_message(octets),
            false => emit::encode_octets(octets, media_type.starts_with("text/")),
        }
    }

    fn multipart(
        &mut self,
        part: &NewPart,
        subs: &[NewPart],
        media_type: &str,
    ) -> (Vec<u8>, Vec<u8>) {
        let children: Vec<(Vec<u8>, Vec<u8>)> = subs.iter().map(|sub| self.part(sub)).collect();
        let boundary = self.boundary(&children);
        let mut body = Vec::new();
        for (fields, content) in &children {
            body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            body.extend_from_slice(fields);
            body.extend_from_slice(b"\r\n");
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let mut fields = Vec::new();
        let params = [("boundary", Some(boundary.as_str()))];
        self.fields(part, media_type, &params, &mut fields);
        (fields, body)
    }

    /// A boundary that is not in the children; all have one length, so none starts another.
    fn boundary(&mut self, children: &[(Vec<u8>, Vec<u8>)]) -> String {
        loop {
            self.boundaries += 1;
            let boundary = format!("{}_{:05}", self.stem, self.boundaries);
            let is_in =
                |octets: &Vec<u8>| memchr::memmem::find(octets, boundary.as_bytes()).is_some();
            if !children
                .iter()
                .any(|(fields, body)| is_in(fields) || is_in(body))
            {
                return boundary;
            }
        }
    }

    /// The Content-* fields of a part, and the ones given one by one.
    fn fields(
        &self,
        part: &NewPart,
        media_type: &str,
        params: &[(&str, Option<&str>)],
        out: &mut Vec<u8>,
    ) {
        write_type(part, media_type, params, out);
        if let Some(disposition) = &part.disposition {
            let params = [("filename", part.name.as_deref())];
            emit::field(
                out,
                "Content-Disposition",
                emit::parameterized(disposition, &params),
            );
        }
        if let Some(cid) = &part.cid {
            emit::raw_field(out, "Content-ID", &format!(" <{cid}>"));
        }
        if let Some(tags) = part.language.as_deref().filter(|tags| !tags.is_empty()) {
            emit::raw_field(out, "Content-Language", &format!(" {}", tags.join(", ")));
        }
        if let Some(location) = &part.location {
            emit::raw_field(out, "Content-Location", &format!(" {location}"));
        }
        for header in &part.headers {
            if !header.name.eq_ignore_ascii_case("Content-Type") {
                write_header(header, out);
            }
        }
    }
}
