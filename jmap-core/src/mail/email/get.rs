//! Email/get and Email/changes (RFC 8621 §4.2, §4.3).
//! Holds: whether an email is there for the caller is decided by the view, before anything is read.
//! Other half: `plan` reads the properties, `render` makes their values.

use jmap_types::{
    BlobId, DataType, Id, MethodError, Property, UtcDate, Value,
    mail::{Email, EmailGetArguments, Mailbox, Thread},
    value::{Key, Map, MapExt, key, weight_of_map},
};
use store::{keys::BlobHash, log::Delta};

use super::{
    budget::{ANSWER_OCTETS_MAX, Budget},
    plan::{Plan, Wanted, is_part_property, is_property},
    read,
    render::{Place, Rendering},
};
use crate::{
    Caller, Context,
    access::{self, MailboxRights, Standing},
    error::method_error,
    mail::{
        access::{check_guest_state, is_email_visible},
        message::Summary,
        view::{EmailRow, View},
    },
    object::{ChangesObject, GetObject, Properties},
};

impl GetObject for Email {
    const STATE: DataType = DataType::Email;
    const DEFAULT_PROPERTIES: &'static [&'static str] = &[
        "id",
        "blobId",
        "threadId",
        "mailboxIds",
        "keywords",
        "size",
        "receivedAt",
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

    fn is_property(name: &str) -> bool {
        is_property(name)
    }

    fn check_arguments(arguments: &EmailGetArguments) -> Result<(), MethodError> {
        let names = arguments.body_properties.iter().flatten();
        match names.into_iter().find(|name| !is_part_property(name)) {
            Some(unknown) => Err(MethodError::invalid_arguments(format!(
                "EmailBodyPart has no property \"{unknown}\"."
            ))),
            None => Ok(()),
        }
    }

    async fn all(context: &Context) -> Result<Vec<u64>, MethodError> {
        let standing = context.standing()?;
        let view = context.account()?.view().await.map_err(method_error)?;
        let visible = view
            .emails()
            .filter(|(_, row)| is_email_visible(&view, &context.who, standing, row));
        Ok(visible.map(|(id, _)| id).collect())
    }

    async fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        arguments: &EmailGetArguments,
    ) -> Result<Vec<Option<Value>>, MethodError> {
        let plan = Plan::new(properties.iter(), arguments)?;
        fetch(context, ids, &plan, &Budget::new(ANSWER_OCTETS_MAX)).await
    }
}

pub(super) async fn fetch(
    context: &Context,
    ids: &[u64],
    plan: &Plan,
    budget: &Budget,
) -> Result<Vec<Option<Value>>, MethodError> {
    let mut emails = from_view(context, plan, budget, ids).await?;
    if !plan.needs_summary {
        return Ok(emails
            .into_iter()
            .map(|email| Some(email?.object()))
            .collect());
    }
    let mut values = Vec::with_capacity(ids.len());
    while !emails.is_empty() {
        let count = batch_len(plan, &emails);
        let rest = emails.split_off(count);
        complete(context, plan, budget, emails, &mut values).await?;
        emails = rest;
    }
    Ok(values)
}

/// An email on its way: what the view has of it.
struct Found {
    blob: BlobHash,
    /// As in the view; larger ones count as 4 GiB.
    size: u32,
    /// `id` and then a value for each property of the plan, null where it is still to be read.
    map: Map,
}

impl Found {
    fn object(self) -> Value {
        Value::Object(self.map)
    }
}

/// The columns of the view, for emails that the caller sees.
async fn from_view(
    context: &Context,
    plan: &Plan,
    budget: &Budget,
    ids: &[u64],
) -> Result<Vec<Option<Found>>, MethodError> {
    let standing = context.standing()?;
    let view = context.account()?.view().await.map_err(method_error)?;
    let found = |&id: &u64| {
        budget.check()?;
        let row = view.email(id);
        let is_visible = |row: &&EmailRow| is_email_visible(&view, &context.who, standing, row);
        let Some(row) = row.filter(is_visible) else {
            return Ok(None);
        };
        let mut map = Map::with_capacity(plan.wanted.len() + 1)
            .with(Property::Id, Id::<Email>::new(id).to_string());
        for wanted in &plan.wanted {
            let value = match wanted {
                Wanted::Property(property) => {
                    from_row(&view, &context.who, standing, row, *property)
                }
                _ => Value::Null,
            };
            map.insert_unchecked(wanted.key(), value);
        }
        budget.spend(weight_of_map(&map));
        Ok(Some(Found {
            blob: row.blob,
            size: row.size,
            map,
        }))
    };
    ids.iter().map(found).collect()
}

/// A property that the view has, or that needs no reading; null for others.
fn from_row(
    view: &View,
    who: &Caller,
    standing: Standing,
    row: &EmailRow,
    property: Property,
) -> Value {
    match property {
        Property::BlobId => BlobId::whole(row.blob).to_string().into(),
        Property::ThreadId => Id::<Thread>::new(row.thread).to_string().into(),
        Property::MailboxIds => {
            let places = row.places().map(|place| place.mailbox);
            let visible = places.filter(|&id| is_mailbox_readable(view, who, standing, id));
            mailbox_ids(visible)
        }
        Property::Keywords => keywords(view.keywords(row).map(|name| &**name)),
        Property::Size => row.size.into(),
        Property::ReceivedAt => UtcDate(row.received_at).to_string().into(),
        Property::HasAttachment => row.has_attachment.into(),
        // RFC 8621 §4.1.4: it is never null. `complete` writes over it what is to be fetched.
        Property::BodyValues => Value::Object(Map::with_capacity(0)),
        _ => Value::Null,
    }
}

/// A guest doesn't hear of the mailboxes that are not shared with them.
fn is_mailbox_readable(view: &View, who: &Caller, standing: Standing, id: u64) -> bool {
    standing == Standing::Owner
        || view.mailbox(id).is_some_and(|row| {
            access::mailbox_rights(who, standing, &row.record).contains(MailboxRights::READ_ITEMS)
        })
}

/// `mailboxIds`
pub(super) fn mailbox_ids(ids: impl Iterator<Item = u64>) -> Value {
    let entries = ids.map(|id| {
        let id = Id::<Mailbox>::new(id).to_string();
        (Key::Owned(id), Value::Bool(true))
    });
    Value::Object(entries.collect())
}

/// `keywords`
pub(super) fn keywords<'k>(names: impl Iterator<Item = &'k str>) -> Value {
    Value::Object(names.map(|name| (key(name), Value::Bool(true))).collect())
}

/// How many of `emails` are read together.
fn batch_len(plan: &Plan, emails: &[Option<Found>]) -> usize {
    match plan.needs_octets {
        false => emails.len().min(read::EMAILS_PER_BATCH),
        true => read::batch_len(emails.iter().map(|e| e.as_ref().map_or(0, |e| e.size))),
    }
}

/// Reads what the view doesn't have, and appends the emails to `values`.
async fn complete(
    context: &Context,
    plan: &Plan,
    budget: &Budget,
    emails: Vec<Option<Found>>,
    values: &mut Vec<Option<Value>>,
) -> Result<(), MethodError> {
    let core = &context.core;
    let hashes: Vec<_> = emails.iter().flatten().map(|email| email.blob).collect();
    let summaries = read::summaries(core, &hashes).await.map_err(method_error)?;
    let mut blobs = Vec::new();
    if plan.needs_octets {
        blobs = read::blobs(core, &hashes).await.map_err(method_error)?;
    }
    let (mut summaries, mut blobs) = (summaries.into_iter(), blobs.into_iter());
    for email in emails {
        let Some(mut email) = email else {
            values.push(None);
            continue;
        };
        budget.check()?;
        let (summary, octets) = (summaries.next().flatten(), blobs.next().flatten());
        // Between the view and the store it may have been destroyed; else it is damaged.
        let summary = summary.filter(|_| octets.is_some() || !plan.needs_octets);
        values.push(summary.map(|summary| {
            let octets = octets.as_deref().unwrap_or_default();
            fill(plan, budget, &mut email, &summary, octets);
            email.object()
        }));
    }
    // Of the last one, too, everything is there.
    budget.check()
}

/// Puts the values that are not of the view into the email's map.
fn fill(plan: &Plan, budget: &Budget, email: &mut Found, summary: &Summary, octets: &[u8]) {
    let rendering = Rendering {
        plan,
        budget,
        place: Place::In {
            hash: email.blob,
            start: 0,
        },
        summary,
        octets,
    };
    // The first entry is `id`.
    let slots = email.map.as_mut_vec().iter_mut().skip(1);
    for (wanted, (_, slot)) in plan.wanted.iter().zip(slots) {
        match wanted {
            Wanted::Property(
                Property::BlobId
                | Property::ThreadId
                | Property::MailboxIds
                | Property::Keywords
                | Property::Size
                | Property::ReceivedAt
                | Property::HasAttachment,
            ) => {}
            Wanted::Property(property) | Wanted::Alias(property, _) => {
                *slot = rendering.property(*property);
            }
            Wanted::Header(header, _) => *slot = rendering.header(header),
        }
    }
}

impl ChangesObject for Email {
    async fn widen(context: &Context, since: u64, delta: Delta) -> Result<Delta, MethodError> {
        check_guest_state(context, since, delta.upto).await?;
        Ok(delta)
    }

    async fn restrict(context: &Context, mut delta: Delta) -> Result<Delta, MethodError> {
        let standing = context.standing()?;
        if standing == Standing::Owner {
            return Ok(delta);
        }
        let view = context.account()?.view().await.map_err(method_error)?;
        let visible = |id: &u64| {
            view.email(*id)
                .is_some_and(|row| is_email_visible(&view, &context.who, standing, row))
        };
        // What can't be seen (any more) is, for this caller, gone.
        let (seen, gone): (Vec<u64>, Vec<u64>) = delta.updated.iter().partition(|id| visible(id));
        delta.updated = seen;
        delta.destroyed.extend(gone);
        delta.created.retain(visible);
        Ok(delta)
    }
}
