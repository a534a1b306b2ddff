//! New emails from properties (RFC 8621 §4.6), and the one way in which new emails are staged.
//! Holds: attachments are read with the caller's own rights; what is built is within the limits.
//! Other half: `draft` reads the properties, `message::build` writes the message.

use std::collections::HashMap;

use bytes::Bytes;
use jmap_types::{
    BlobId, Id, Property, SetError, SetErrorKind, UtcDate, WireId,
    mail::Thread,
    value::{Map, MapExt},
};

use super::{
    draft::{self, Draft, Given, WRONG_MAX},
    get, metadata, set, with_octets,
};
use crate::{
    Context,
    blob::BlobError,
    mail::{
        message::{BuildContext, BuildError, NewMessage, SentAt},
        write::{self, Inserted, Message, Placement},
    },
    object::{Rejected, Staged},
};

/// Stages the email that `properties` describe: its number and what the server set.
pub(super) async fn create(context: &Context, properties: Map) -> Staged<(u64, Map)> {
    let has_received_at = properties.find(Property::ReceivedAt).is_some();
    let Draft {
        message,
        mailboxes,
        keywords,
        received_at,
        given,
    } = Draft::read(properties)?;
    metadata::check_limits(&context.core.limits(), &mailboxes, &keywords)?;
    message.check().map_err(build_error)?;
    let blobs = attachments(context, &message).await?;
    let message = build(context, message, blobs).await?;
    let now = context.core.clock.now();
    let placement = Placement {
        mailboxes,
        keywords,
        received_at: received_at.map_or(now.seconds(), |date| date.0),
        quota_octets: 0,
        is_delivery: false,
        is_deleted: false,
    };
    let (inserted, ticket) = insert(context, &message, &placement).await?;
    let mut told = described(&message, inserted);
    if !has_received_at {
        told.set(
            Property::ReceivedAt,
            UtcDate(placement.received_at).to_string(),
        );
    }
    add_defaults(&mut told, &message, &given);
    Ok(((inserted.id, told), ticket))
}

/// RFC 8621 §4.6: what is told of an email that was created, imported or copied, but its `id`.
pub(super) fn described(message: &Message, inserted: Inserted) -> Map {
    Map::with_capacity(9)
        .with(Property::BlobId, BlobId::whole(message.hash).to_string())
        .with(
            Property::ThreadId,
            Id::<Thread>::new(inserted.thread).to_string(),
        )
        .with(Property::Size, message.octets.len())
}

/// RFC 8620 §5.3: what the client left out, and has a value now.
fn add_defaults(told: &mut Map, message: &Message, given: &Given) {
    let summary = &message.summary;
    if !given.keywords {
        told.set(Property::Keywords, get::keywords(std::iter::empty()));
    }
    if !given.message_id {
        told.set(Property::MessageId, summary.message_id.clone());
    }
    if !given.sent_at {
        told.set(Property::SentAt, summary.sent_at.map(SentAt::to_rfc3339));
    }
    told.set(Property::HasAttachment, summary.has_attachment);
    told.set(Property::Preview, summary.preview.clone());
}

/// Stages an email with a message that is there already.
pub(super) async fn insert(
    context: &Context,
    message: &Message,
    placement: &Placement,
) -> Staged<Inserted> {
    let account = context.account()?;
    let placement = Placement {
        quota_octets: context.core.quota_octets(account.id).await?,
        ..placement.clone()
    };
    let mut txn = account.writer.begin().await?;
    set::check_add(context, &txn, &placement.mailboxes).await?;
    let now = context.core.clock.now();
    let inserted = write::insert_email(&mut txn, message, &placement, now).await?;
    Ok((inserted, Some(txn.stage())))
}

pub(super) fn too_large(max: u64) -> SetError {
    SetError::new(SetErrorKind::TooLarge).with(Property::MaxSize, max)
}

fn build_error(error: BuildError) -> SetError {
    match error {
        BuildError::InvalidProperties(found) => {
            let first = found.first();
            let why = first.map_or_else(String::new, |invalid| {
                format!("{}: {}.", invalid.path, invalid.problem)
            });
            let paths = found.into_iter().map(|invalid| invalid.path);
            SetError {
                properties: paths.take(WRONG_MAX).collect(),
                ..SetError::describe(SetErrorKind::InvalidProperties, why)
            }
        }
        BuildError::BlobNotFound(ids) => {
            SetError::blob_not_found(ids.iter().filter_map(|id| WireId::parse(id)).collect())
        }
    }
}

/// The blobs that the parts name, by id, as far as they exist for the caller.
async fn attachments(
    context: &Context,
    message: &NewMessage,
) -> Result<HashMap<String, Bytes>, Rejected> {
    let account = context.account()?.id;
    let max = context.core.limits().max_size_attachments_per_email;
    let mut blobs = HashMap::new();
    let mut octets = 0u64;
    for (text, uses) in draft::blob_ids(message) {
        let Some(id) = BlobId::parse(&text) else {
            continue;
        };
        match context.core.read_blob(&context.who, account, id).await {
            Ok(blob) => {
                octets = octets.saturating_add(uses.saturating_mul(blob.len() as u64));
                if octets > max {
                    return Err(too_large(max).into());
                }
                blobs.insert(text, blob);
            }
            // The builder names all of them.
            Err(BlobError::NotFound) => {}
            Err(error) => return Err(SetError::from(error).into()),
        }
    }
    Ok(blobs)
}

async fn build(
    context: &Context,
    message: NewMessage,
    blobs: HashMap<String, Bytes>,
) -> Result<Message, Rejected> {
    let mut random = [0; 32];
    context.core.rng.fill(&mut random);
    let now = SentAt::utc(context.core.clock.now().seconds());
    let domain = context.core.hostname().to_string();
    let max = context.core.limits().max_size_message;
    let texts = message.body_values.values().map(|value| value.value.len());
    let octets = texts.chain(blobs.values().map(Bytes::len)).sum::<usize>();
    let work = move || {
        let build = BuildContext {
            now,
            random,
            domain: &domain,
            blob: &|id| blobs.get(id).map(|octets| octets.to_vec()),
        };
        let octets = message.build(&build).map_err(build_error)?;
        if octets.len() as u64 > max {
            return Err(too_large(max));
        }
        Ok(Message::parse(octets.into()))
    };
    // Encoding and parsing take their time each.
    let built = with_octets(octets.saturating_mul(2), work).await;
    Ok(built.ok_or_else(stopped)??)
}

/// Work in another thread came to no end.
pub(super) fn stopped() -> SetError {
    SetError::describe(SetErrorKind::ServerFail, "The server is stopping.")
}
