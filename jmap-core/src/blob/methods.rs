//! Blob/copy (RFC 8620 §6.3), Blob/upload, Blob/get, Blob/lookup (RFC 9404).
//!
//! Holds: what one call reads into memory is bounded; a blob that the caller may not see is one that isn't there.
//! Other half: `jmap_types::blob` has the calls.

use std::collections::{BTreeSet, HashSet};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jmap_types::{
    AccountId, BlobId, DataType, MethodError, MethodErrorKind, SetError, SetErrorKind, Value,
    WireId,
    blob::{
        BlobCopy, BlobCopyResponse, BlobGet, BlobGetResponse, BlobInfo, BlobLookup,
        BlobLookupResponse, BlobUpload, BlobUploadResponse, CreatedBlob, DataSource, UploadObject,
    },
    mail::{EmailId, MailboxId, ThreadId},
    method::CreatedIds,
    value::{Map, key, string},
};

use super::{BlobError, emails};
use crate::{
    Context, Handle,
    access::{self, MailboxRights},
    error::method_error,
};

/// RFC 9404 §3.1 `maxDataSources`.
pub const DATA_SOURCES_MAX: usize = 64;
/// Octets of data that one Blob/get gives.
pub const BLOB_GET_OCTETS_MAX: u64 = 50 << 20;
/// Of the largest blobs, so many are read by one Blob/get or one Blob/upload. A part of a blob costs as much as all of it.
pub const BLOBS_READ_MAX: u64 = 5;
/// From so many octets on, an object of Blob/get is made where nobody waits for the thread.
const INLINE_OCTETS: usize = 1 << 20;
/// RFC 9404 §3.1 `supportedDigestAlgorithms`.
pub const DIGEST_ALGORITHMS: &[&str] = &["sha", "sha-256", "sha-512"];
/// RFC 9404 §3.1 `supportedTypeNames`.
pub const LOOKUP_TYPES: &[&str] = &["Mailbox", "Thread", "Email"];

impl Handle for BlobCopy {
    async fn handle(self, context: Context) -> Result<BlobCopyResponse, MethodError> {
        let missing = || MethodError::new(MethodErrorKind::FromAccountNotFound);
        let from = self.from_account_id.ok_or_else(missing)?;
        access::standing(&context.who, from).map_err(|_| missing())?;
        if self.blob_ids.len() as u64 > context.core.limits().max_objects_in_set {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let mut response = BlobCopyResponse {
            from_account_id: from,
            account_id: self.account_id,
            copied: Vec::new(),
            not_copied: Vec::new(),
        };
        let mut seen = HashSet::new();
        for id in self.blob_ids {
            if !seen.insert(id.clone()) {
                continue;
            }
            match copy(&context, from, self.account_id, &id).await {
                Ok(copied) => response.copied.push((id, copied.to_wire())),
                // RFC 8620 §6.3: this method says notFound.
                Err(BlobError::NotFound) => response.not_copied.push((id, SetError::not_found())),
                Err(error) => response.not_copied.push((id, error.into())),
            }
        }
        Ok(response)
    }
}

async fn copy(
    context: &Context,
    from: AccountId,
    to: AccountId,
    id: &WireId,
) -> Result<BlobId, BlobError> {
    let id = BlobId::parse(id.as_str()).ok_or(BlobError::NotFound)?;
    let octets = context.core.read_blob(&context.who, from, id).await?;
    context.core.write_blob(&context.who, to, octets, "").await
}

impl Handle for BlobUpload {
    async fn handle(self, context: Context) -> Result<BlobUploadResponse, MethodError> {
        if self.create.len() as u64 > context.core.limits().max_objects_in_set {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let mut response = BlobUploadResponse {
            account_id: self.account_id,
            created: Vec::new(),
            not_created: Vec::new(),
        };
        let mut waiting = Vec::with_capacity(self.create.len());
        for (creation_id, map) in self.create {
            match UploadObject::from_map(map) {
                Ok(object) => waiting.push((creation_id, object)),
                Err(error) => response.not_created.push((creation_id, error)),
            }
        }
        let mut reading = Reading::new(&context, self.account_id);
        // An object may take from one that is made in the same call: it has to wait for that one.
        while !waiting.is_empty() {
            let names: HashSet<String> = waiting.iter().map(|(name, _)| name.clone()).collect();
            let (ready, blocked): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|(_, object)| !refers_to(object, &names));
            let stuck = ready.is_empty();
            let (ready, blocked) = if stuck {
                (blocked, Vec::new())
            } else {
                (ready, blocked)
            };
            for (creation_id, object) in ready {
                match upload(&mut reading, object, &self.created_ids).await {
                    Ok(blob) => {
                        self.created_ids
                            .insert(creation_id.clone(), blob.id.clone());
                        response.created.push((creation_id, blob));
                    }
                    Err(error) => response.not_created.push((creation_id, error)),
                }
            }
            waiting = blocked;
        }
        Ok(response)
    }
}

fn refers_to(object: &UploadObject, names: &HashSet<String>) -> bool {
    object.data.iter().any(|source| match source {
        DataSource::Blob { id, .. } => id
            .strip_prefix('#')
            .is_some_and(|name| names.contains(name)),
        DataSource::Text(_) | DataSource::Base64(_) => false,
    })
}

/// The blobs that one call reads: how much it may, and the one that it read last.
struct Reading<'c> {
    context: &'c Context,
    account: AccountId,
    octets: u64,
    last: Option<(BlobId, Bytes)>,
}

impl<'c> Reading<'c> {
    fn new(context: &'c Context, account: AccountId) -> Self {
        Self {
            context,
            account,
            octets: 0,
            last: None,
        }
    }

    /// All octets of a blob; `None`: the call has read too much.
    async fn read(&mut self, id: BlobId) -> Result<Option<Bytes>, BlobError> {
        // A store that is on this machine never makes anybody wait, and the others are to have their turn.
        tokio::task::yield_now().await;
        if let Some((last, octets)) = &self.last
            && *last == id
        {
            return Ok(Some(octets.clone()));
        }
        let core = &self.context.core;
        let max = core.limits().max_size_upload.saturating_mul(BLOBS_READ_MAX);
        if self.octets >= max {
            return Ok(None);
        }
        let octets = core.read_blob(&self.context.who, self.account, id).await?;
        self.octets = self.octets.saturating_add(octets.len() as u64);
        self.last = Some((id, octets.clone()));
        Ok(Some(octets))
    }
}

async fn upload(
    reading: &mut Reading<'_>,
    object: UploadObject,
    created: &CreatedIds,
) -> Result<CreatedBlob, SetError> {
    if object.data.len() > DATA_SOURCES_MAX {
        let why = format!("A blob is made of at most {DATA_SOURCES_MAX} data sources.");
        return Err(SetError::invalid_property("data", why));
    }
    let (core, account) = (&reading.context.core, reading.account);
    let max = core.limits().max_size_upload;
    let mut octets = Vec::new();
    for source in object.data {
        let part = part(reading, source, created).await?;
        if (octets.len() + part.len()) as u64 > max {
            return Err(BlobError::TooLarge { max }.into());
        }
        octets.extend_from_slice(&part);
    }
    let size = octets.len() as u64;
    let media_type = object.media_type.as_deref().unwrap_or_default();
    let who = &reading.context.who;
    let id = core
        .write_blob(who, account, octets.into(), media_type)
        .await?;
    Ok(CreatedBlob {
        id: id.to_wire(),
        media_type: object.media_type,
        size,
    })
}

async fn part(
    reading: &mut Reading<'_>,
    source: DataSource,
    created: &CreatedIds,
) -> Result<Bytes, SetError> {
    match source {
        DataSource::Text(text) => Ok(text.into()),
        DataSource::Base64(text) => {
            let decoded = STANDARD.decode(text);
            decoded
                .map(Bytes::from)
                .map_err(|_| SetError::invalid_property("data", "data:asBase64 is not base64."))
        }
        DataSource::Blob { id, offset, length } => {
            let not_found = || SetError::blob_not_found(WireId::parse(&id).into_iter().collect());
            let blob = named(&id, created).ok_or_else(not_found)?;
            let octets = match reading.read(blob).await {
                Ok(Some(octets)) => octets,
                Ok(None) => {
                    let why = "The data sources of one call are of too many octets together.";
                    return Err(SetError::describe(SetErrorKind::TooLarge, why));
                }
                Err(BlobError::NotFound) => return Err(not_found()),
                Err(error) => return Err(error.into()),
            };
            let range = Selected::of(octets.len(), offset, length);
            // RFC 9404 §4.1: a source that does not have the octets asked for is an error.
            if range.is_truncated {
                return Err(SetError::describe(
                    SetErrorKind::InvalidProperties,
                    "The range goes beyond the end of the blob.",
                ));
            }
            Ok(octets.slice(range.start..range.end))
        }
    }
}

/// The blob that an id, or a creation id behind `#`, names.
fn named(id: &str, created: &CreatedIds) -> Option<BlobId> {
    match id.strip_prefix('#') {
        Some(creation_id) => BlobId::parse(created.get(creation_id)?.as_str()),
        None => BlobId::parse(id),
    }
}

/// The octets that `offset` and `length` select.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub start: usize,
    pub end: usize,
    /// There are fewer than were asked for.
    pub is_truncated: bool,
}

impl Selected {
    pub(super) fn of(size: usize, offset: u64, length: Option<u64>) -> Self {
        let size_u64 = size as u64;
        let end = length.map_or(size_u64.max(offset), |length| offset.saturating_add(length));
        Self {
            start: offset.min(size_u64) as usize,
            end: end.min(size_u64) as usize,
            is_truncated: end > size_u64,
        }
    }
}

/// A property of Blob/get.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlobProperty {
    Id,
    Size,
    Data,
    AsText,
    AsBase64,
    Digest(&'static str),
}

impl BlobProperty {
    fn parse(name: &str) -> Result<Self, MethodError> {
        match name {
            "id" => Ok(Self::Id),
            "size" => Ok(Self::Size),
            "data" => Ok(Self::Data),
            "data:asText" => Ok(Self::AsText),
            "data:asBase64" => Ok(Self::AsBase64),
            other => {
                let algorithm = other.strip_prefix("digest:");
                let known =
                    algorithm.and_then(|a| DIGEST_ALGORITHMS.iter().find(|known| **known == a));
                known.map(|known| Self::Digest(known)).ok_or_else(|| {
                    MethodError::invalid_arguments(format!("A blob has no property \"{other}\"."))
                })
            }
        }
    }
}

impl Handle for BlobGet {
    async fn handle(self, context: Context) -> Result<BlobGetResponse, MethodError> {
        if self.ids.len() as u64 > context.core.limits().max_objects_in_get {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let properties = match &self.properties {
            None => vec![BlobProperty::Data, BlobProperty::Size],
            Some(names) => names
                .iter()
                .map(|name| BlobProperty::parse(name))
                .collect::<Result<_, _>>()?,
        };
        let mut response = BlobGetResponse {
            account_id: self.account_id,
            list: Vec::new(),
            not_found: Vec::new(),
        };
        let mut seen = HashSet::new();
        let mut sum = 0u64;
        let mut reading = Reading::new(&context, self.account_id);
        for id in self.ids {
            if !seen.insert(id.clone()) {
                continue;
            }
            let Some(blob) = named(&id, &self.created_ids) else {
                response.not_found.push(id);
                continue;
            };
            let octets = match reading.read(blob).await {
                Ok(Some(octets)) => octets,
                Ok(None) => return Err(MethodErrorKind::RequestTooLarge.into()),
                Err(BlobError::NotFound) => {
                    response.not_found.push(id);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let range = Selected::of(octets.len(), self.offset, self.length);
            sum = sum.saturating_add((range.end - range.start) as u64);
            if sum > BLOB_GET_OCTETS_MAX {
                return Err(MethodErrorKind::RequestTooLarge.into());
            }
            let object = match range.end - range.start {
                ..=INLINE_OCTETS => object(blob, &octets, &range, &properties),
                _ => {
                    let properties = properties.clone();
                    let make = move || object(blob, &octets, &range, &properties);
                    let made = tokio::task::spawn_blocking(make).await;
                    // The runtime is stopping.
                    made.map_err(|_| MethodError::new(MethodErrorKind::ServerUnavailable))?
                }
            };
            response.list.push(object);
        }
        Ok(response)
    }
}

/// RFC 9404 §4.2: the object of one blob.
fn object(id: BlobId, octets: &Bytes, range: &Selected, properties: &[BlobProperty]) -> Value {
    let selected = &octets[range.start..range.end];
    let text = std::str::from_utf8(selected).ok();
    let has = |property| properties.contains(&property);
    let mut map = Map::with_capacity(properties.len() + 3);
    map.insert(key("id"), string(id.to_string()));
    // Octets that are no text: data:asText is null, also where `data` gives them as base64.
    if has(BlobProperty::AsText) || has(BlobProperty::Data) {
        map.insert(key("data:asText"), text.map_or(Value::Null, string));
    }
    if has(BlobProperty::AsBase64) || (has(BlobProperty::Data) && text.is_none()) {
        map.insert(key("data:asBase64"), string(STANDARD.encode(selected)));
    }
    for property in properties {
        if let BlobProperty::Digest(name) = property {
            let digest = digest::digest(algorithm(name), selected);
            map.insert(
                key(format!("digest:{name}")),
                string(STANDARD.encode(digest)),
            );
        }
    }
    if has(BlobProperty::Size) {
        map.insert(key("size"), Value::from(octets.len() as u64));
    }
    if text.is_none() && (has(BlobProperty::AsText) || has(BlobProperty::Data)) {
        map.insert(key("isEncodingProblem"), Value::Bool(true));
    }
    if range.is_truncated {
        map.insert(key("isTruncated"), Value::Bool(true));
    }
    Value::Object(map)
}

fn algorithm(name: &str) -> &'static digest::Algorithm {
    match name {
        "sha" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha-512" => &digest::SHA512,
        _ => &digest::SHA256,
    }
}

impl Handle for BlobLookup {
    async fn handle(self, context: Context) -> Result<BlobLookupResponse, MethodError> {
        if self.ids.len() as u64 > context.core.limits().max_objects_in_get {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        if !self
            .type_names
            .iter()
            .all(|name| LOOKUP_TYPES.contains(&name.as_str()))
        {
            return Err(MethodErrorKind::UnknownDataType.into());
        }
        let mut response = BlobLookupResponse {
            account_id: self.account_id,
            list: Vec::new(),
            not_found: Vec::new(),
        };
        let mut seen = HashSet::new();
        for id in self.ids {
            if !seen.insert(id.clone()) {
                continue;
            }
            let visible = match named(&id, &self.created_ids) {
                Some(blob)
                    if context
                        .core
                        .blob_is_visible(&context.who, self.account_id, &blob)
                        .await? =>
                {
                    Some(blob)
                }
                _ => None,
            };
            match visible {
                Some(blob) => {
                    let matched_ids = matched(&context, &blob, &self.type_names).await?;
                    response.list.push(BlobInfo { id, matched_ids });
                }
                None => response.not_found.push(id),
            }
        }
        Ok(response)
    }
}

/// The emails that refer to a blob and that the caller may see, with their threads and mailboxes.
async fn matched(
    context: &Context,
    blob: &BlobId,
    type_names: &[String],
) -> Result<Vec<(String, Vec<WireId>)>, MethodError> {
    let account = context.account()?;
    let standing = context.standing()?;
    let refs = context
        .core
        .blob_refs(account.id, &blob.hash)
        .await
        .map_err(method_error)?;
    let (mut found_emails, mut threads, mut mailboxes) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    {
        let view = account.view().await.map_err(method_error)?;
        for id in emails(&refs) {
            let Some(row) = view.email(id) else { continue };
            let places = row.places().map(|place| place.mailbox);
            let readable: Vec<u64> = places
                .filter(|&mailbox| {
                    view.mailbox(mailbox).is_some_and(|mailbox| {
                        let rights =
                            access::mailbox_rights(&context.who, standing, &mailbox.record);
                        rights.contains(MailboxRights::READ_ITEMS)
                    })
                })
                .collect();
            if !readable.is_empty() {
                found_emails.insert(id);
                threads.insert(row.thread);
                mailboxes.extend(readable);
            }
        }
    }
    let of_type = |name: &String| {
        let ids: Vec<WireId> = match DataType::from_name(name) {
            Some(DataType::Email) => found_emails
                .iter()
                .map(|&id| EmailId::new(id).to_wire())
                .collect(),
            Some(DataType::Thread) => threads
                .iter()
                .map(|&id| ThreadId::new(id).to_wire())
                .collect(),
            Some(DataType::Mailbox) => mailboxes
                .iter()
                .map(|&id| MailboxId::new(id).to_wire())
                .collect(),
            _ => Vec::new(),
        };
        (name.clone(), ids)
    };
    Ok(type_names.iter().map(of_type).collect())
}
