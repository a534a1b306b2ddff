//! Email/parse (RFC 8621 §4.9).
//! Holds: parts of what was parsed have blob ids that can be read, also where the blob was itself an
//! encoded part.
//! Other half: `render` makes the values.

use std::collections::HashSet;

use bytes::Bytes;
use jmap_types::{
    BlobId, MethodError, MethodErrorKind, Property, TransferEncoding, Value, WireId,
    email::{Parse, ParseResponse},
    mail::Email,
    value::Map,
};

use super::{
    budget::{ANSWER_OCTETS_MAX, Budget},
    plan::{Plan, Wanted, WantedPart},
    render::{Place, Rendering},
    with_octets,
};
use crate::{
    Context, Handle,
    blob::BlobError,
    mail::message::Summary,
    object::{GetObject, properties_of},
};

/// RFC 8621 §4.9: `properties` when it is not given.
const DEFAULT_PROPERTIES: &[&str] = &[
    "messageId",
    "inReplyTo",
    "references",
    "sender",
    "from",
    "to",
    "cc",
    "bcc",
    "replyTo",
    "subject",
    "sentAt",
    "hasAttachment",
    "preview",
    "bodyValues",
    "textBody",
    "htmlBody",
    "attachments",
];

/// The media type under which a message inside of another one is kept.
const MESSAGE_TYPE: &str = "message/rfc822";

impl Handle for Parse {
    async fn handle(self, context: Context) -> Result<ParseResponse, MethodError> {
        let names = self.properties.unwrap_or_else(|| {
            DEFAULT_PROPERTIES
                .iter()
                .map(|name| (*name).to_owned())
                .collect()
        });
        let properties = properties_of::<Email>(Some(names))?;
        Email::check_arguments(&self.arguments)?;
        if self.blob_ids.len() as u64 > context.core.limits().max_objects_in_get {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let mut plan = Plan::new(properties.iter(), &self.arguments)?;
        plan.wants_id = properties.has("id");
        let mut response = ParseResponse {
            account_id: self.account_id,
            parsed: Vec::new(),
            not_parsable: Vec::new(),
            not_found: Vec::new(),
        };
        let budget = Budget::new(ANSWER_OCTETS_MAX);
        parse_all(&context, &plan, &budget, self.blob_ids, &mut response).await?;
        Ok(response)
    }
}

pub(super) async fn parse_all(
    context: &Context,
    plan: &Plan,
    budget: &Budget,
    ids: Vec<WireId>,
    response: &mut ParseResponse,
) -> Result<(), MethodError> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id.clone()) {
            continue;
        }
        let Some((blob, octets)) = read_blob(context, &id).await? else {
            response.not_found.push(id);
            continue;
        };
        match parse(context, plan, budget, blob, octets).await? {
            Some(email) => response.parsed.push((id, email)),
            None => response.not_parsable.push(id),
        }
        budget.check()?;
    }
    Ok(())
}

/// A blob that a call names; `None` when there is none for the caller.
pub(in crate::mail) async fn read_blob(
    context: &Context,
    id: &WireId,
) -> Result<Option<(BlobId, Bytes)>, MethodError> {
    let Some(blob) = BlobId::parse(id.as_str()) else {
        return Ok(None);
    };
    let account = context.account()?.id;
    match context.core.read_blob(&context.who, account, blob).await {
        Ok(octets) => Ok(Some((blob, octets))),
        Err(BlobError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The summary of octets; `None` when they are no message.
pub(in crate::mail) async fn summary_of(octets: &Bytes) -> Option<Summary> {
    let copy = octets.clone();
    let summary = with_octets(octets.len(), move || Summary::parse(&copy)).await?;
    (!summary.fields.is_empty()).then_some(summary)
}

async fn parse(
    context: &Context,
    plan: &Plan,
    budget: &Budget,
    blob: BlobId,
    octets: Bytes,
) -> Result<Option<Value>, MethodError> {
    let Some(summary) = summary_of(&octets).await else {
        return Ok(None);
    };
    let place = place_of(context, plan, blob, &octets).await?;
    let rendering = Rendering {
        plan,
        budget,
        place,
        summary: &summary,
        octets: &octets,
    };
    let mut map = Map::with_capacity(plan.wanted.len() + 1);
    if plan.wants_id {
        map.insert_unchecked(Property::Id.name(), Value::Null);
    }
    for wanted in &plan.wanted {
        let value = match wanted {
            Wanted::Property(Property::BlobId) => blob.to_string().into(),
            Wanted::Property(property) | Wanted::Alias(property, _) => {
                rendering.property(*property)
            }
            Wanted::Header(header, _) => rendering.header(header),
        };
        map.insert_unchecked(budget.key(wanted.key()), value);
    }
    Ok(Some(Value::Object(map)))
}

/// Where the octets are kept, as far as somebody wants to know.
async fn place_of(
    context: &Context,
    plan: &Plan,
    blob: BlobId,
    octets: &Bytes,
) -> Result<Place, MethodError> {
    let names_blobs = plan
        .parts
        .iter()
        .any(|part| matches!(part, WantedPart::Property(Property::BlobId)));
    let (start, hash) = match blob.section {
        None => (0, blob.hash),
        Some(section) if section.encoding == TransferEncoding::Identity => {
            (section.start, blob.hash)
        }
        Some(_) if !names_blobs => return Ok(Place::Nowhere),
        // The decoded octets are in no blob yet: they become one, as if they had been uploaded.
        Some(_) => {
            let account = context.account()?.id;
            let core = &context.core;
            let stored = core.write_blob(&context.who, account, octets.clone(), MESSAGE_TYPE);
            (0, stored.await?.hash)
        }
    };
    Ok(Place::In { hash, start })
}
