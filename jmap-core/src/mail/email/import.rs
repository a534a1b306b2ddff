//! Email/import (RFC 8621 §4.8).
//! Holds: each email is one transaction; what is reported as created is on disk.
//! Other half: uploads put the blobs there, `create` stages emails.

use bytes::Bytes;
use jmap_types::{
    BlobId, MethodError, MethodErrorKind, Property, SetError, SetErrorKind, UtcDate, WireId,
    email::{Import, ImportResponse},
    mail::Email,
    method::CreatedIds,
    value::{Map, MapExt, as_text},
};

use super::{
    create::{self, described, stopped, too_large},
    metadata, with_octets,
};
use crate::{
    Context, Handle,
    blob::BlobError,
    mail::{
        message::date,
        write::{Message, Placement},
    },
    object::{GetObject, Guard, States, resolve_creation_ids},
};

/// Octets of messages that are held until they are on disk.
const OCTETS_WAITING_MAX: usize = 16 << 20;

/// New emails on their way to the disk: for Email/import and Email/copy.
pub(super) struct Arrivals<'a> {
    context: &'a Context,
    created_ids: &'a CreatedIds,
    waiting: Vec<(String, Arrival)>,
    octets: usize,
    guard: &'a Guard,
    pub created: Vec<(String, Map)>,
    pub not_created: Vec<(String, SetError)>,
}

/// One new email.
pub(super) struct Arrival {
    pub message: Message,
    pub placement: Placement,
}

impl<'a> Arrivals<'a> {
    pub fn new(context: &'a Context, created_ids: &'a CreatedIds, guard: &'a Guard) -> Self {
        Self {
            context,
            created_ids,
            waiting: Vec::new(),
            octets: 0,
            guard,
            created: Vec::new(),
            not_created: Vec::new(),
        }
    }

    /// Takes one more. What waits is written once it takes much memory.
    pub async fn add(
        &mut self,
        creation_id: String,
        arrival: Result<Arrival, SetError>,
    ) -> Result<(), MethodError> {
        match arrival {
            Ok(arrival) => {
                self.octets += arrival.message.octets.len();
                self.waiting.push((creation_id, arrival));
            }
            Err(error) => self.not_created.push((creation_id, error)),
        }
        match self.octets > OCTETS_WAITING_MAX {
            true => self.write().await,
            false => Ok(()),
        }
    }

    /// Stages what waits, and waits until it is on disk. What was read before is read without the account's turn: it may be much.
    ///
    /// Errors: `stateMismatch`, and nothing was written before.
    pub async fn write(&mut self) -> Result<(), MethodError> {
        self.octets = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let mut staged = Vec::with_capacity(waiting.len());
        let staging = async {
            for (_, arrival) in &waiting {
                let inserted = create::insert(self.context, &arrival.message, &arrival.placement);
                staged.push(inserted.await);
            }
        };
        self.guard.stage(staging).await?;
        for ((creation_id, arrival), staged) in waiting.into_iter().zip(staged) {
            let again = || create::insert(self.context, &arrival.message, &arrival.placement);
            match self.guard.durable(staged, again).await {
                Ok(inserted) => {
                    let id = Email::wire_id(inserted.id);
                    let mut map = Map::with_capacity(4).with(Property::Id, id.to_string());
                    map.as_mut_vec()
                        .extend(described(&arrival.message, inserted).into_vec());
                    self.created_ids.insert(creation_id.clone(), id);
                    self.created.push((creation_id, map));
                }
                Err(error) => self.not_created.push((creation_id, error)),
            }
        }
        Ok(())
    }
}

impl Handle for Import {
    async fn handle(self, context: Context) -> Result<ImportResponse, MethodError> {
        if self.emails.len() as u64 > context.core.limits().max_objects_in_set {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let account = context.account()?.clone();
        let guard = Guard::new(account, Email::STATE, self.if_in_state);
        let mut arrivals = Arrivals::new(&context, &self.created_ids, &guard);
        for (creation_id, mut email) in self.emails {
            let arrival = match resolve_creation_ids(&mut email, &self.created_ids) {
                Ok(()) => read(&context, email).await,
                Err(error) => Err(error),
            };
            arrivals.add(creation_id, arrival).await?;
        }
        arrivals.write().await?;
        let States { old, new } = guard.states().await?;
        let Arrivals {
            created,
            not_created,
            ..
        } = arrivals;
        Ok(ImportResponse {
            account_id: self.account_id,
            old_state: old,
            new_state: new,
            created,
            not_created,
        })
    }
}

/// An EmailImport object, and the message that it names.
async fn read(context: &Context, email: Map) -> Result<Arrival, SetError> {
    let (mut blob, mut mailboxes, mut keywords) = (None, None, Vec::new());
    let mut received_at = None;
    for (key, value) in email.into_vec() {
        match key.as_property() {
            Some(Property::BlobId) => blob = as_text(&value).and_then(WireId::parse),
            Some(Property::MailboxIds) => mailboxes = Some(metadata::mailboxes(value)?),
            Some(Property::Keywords) => keywords = metadata::keywords(value)?,
            Some(Property::ReceivedAt) => {
                let date = as_text(&value).and_then(UtcDate::parse);
                received_at = Some(date.ok_or_else(|| {
                    SetError::invalid_property("receivedAt", "It must be a UTCDate.")
                })?);
            }
            _ => {
                let why = "An EmailImport has no such property.";
                return Err(SetError::invalid_property(key.to_string(), why));
            }
        }
    }
    let blob = blob.ok_or_else(|| SetError::invalid_property("blobId", "It must be an Id."))?;
    let mailboxes = mailboxes.ok_or_else(|| {
        SetError::invalid_property("mailboxIds", "An email is in at least one mailbox.")
    })?;
    metadata::check_limits(&context.core.limits(), &mailboxes, &keywords)?;
    let octets = message_of(context, blob).await?;
    let length = octets.len();
    let parsed = with_octets(length, move || Message::parse(octets)).await;
    let message = parsed.ok_or_else(stopped)?;
    if message.summary.fields.is_empty() {
        let why = "The blob is no message: it begins without a header field.";
        return Err(SetError::describe(SetErrorKind::InvalidEmail, why));
    }
    let received_at = match received_at {
        Some(date) => date.0,
        None => received(&message).unwrap_or_else(|| context.core.clock.now().seconds()),
    };
    Ok(Arrival {
        message,
        placement: Placement {
            mailboxes,
            keywords,
            received_at,
            quota_octets: 0,
            is_delivery: false,
            is_deleted: false,
        },
    })
}

/// RFC 8621 §4.8: a blob that is not found is an invalid property; its id is told as well.
async fn message_of(context: &Context, blob: WireId) -> Result<Bytes, SetError> {
    let not_found = || SetError {
        not_found: vec![blob.clone()],
        ..SetError::invalid_property("blobId", "There is no such blob.")
    };
    let id = BlobId::parse(blob.as_str()).ok_or_else(not_found)?;
    let account = context.account().map_err(|_| not_found())?.id;
    let octets = match context.core.read_blob(&context.who, account, id).await {
        Ok(octets) => octets,
        Err(BlobError::NotFound) => return Err(not_found()),
        Err(error) => return Err(error.into()),
    };
    let max = context.core.limits().max_size_message;
    if octets.len() as u64 > max {
        return Err(too_large(max));
    }
    Ok(octets)
}

/// When the message came to the last server on its way: by its first Received field.
pub(crate) fn received(message: &Message) -> Option<i64> {
    let octets = &message.octets;
    let mut fields = message.summary.fields.iter();
    let field = fields.find(|field| field.name(octets).eq_ignore_ascii_case(b"received"))?;
    let value = field.value(octets);
    // RFC 5321 §4.4: the date is behind the last semicolon.
    let at = value.iter().rposition(|&c| c == b';')?;
    date::parse(&value[at + 1..]).map(|date| date.timestamp)
}
