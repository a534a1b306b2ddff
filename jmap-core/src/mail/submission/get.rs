//! EmailSubmission/get and EmailSubmission/changes (RFC 8621 §7.1, §7.2).

use jmap_types::{
    BlobId, DataType, MethodError, UtcDate, Value,
    mail::{EmailId, EmailSubmission, IdentityId, ThreadId},
    value::{Map, key, string},
};
use store::{Record as _, keys, log::Delta};

use super::records::{BlobRecord, SubmissionRecord};
use crate::{
    Context,
    access::Standing,
    error::method_error,
    object::{ChangesObject, GetObject, Properties},
};

impl GetObject for EmailSubmission {
    const STATE: DataType = DataType::EmailSubmission;
    const DEFAULT_PROPERTIES: &'static [&'static str] = &[
        "id",
        "identityId",
        "emailId",
        "threadId",
        "envelope",
        "sendAt",
        "undoStatus",
        "deliveryStatus",
        "dsnBlobIds",
        "mdnBlobIds",
    ];

    async fn all(context: &Context) -> Result<Vec<u64>, MethodError> {
        if context.standing()? == Standing::Guest {
            return Ok(Vec::new());
        }
        let account = context.account()?.id;
        let submissions = super::visible(&context.core, account)
            .await
            .map_err(method_error)?;
        Ok(submissions.into_iter().map(|(id, _)| id).collect())
    }

    async fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        (): &(),
    ) -> Result<Vec<Option<Value>>, MethodError> {
        if context.standing()? == Standing::Guest {
            return Ok(vec![None; ids.len()]);
        }
        let account = context.account()?.id;
        let keys: Vec<_> = ids
            .iter()
            .map(|&id| keys::object(account, DataType::EmailSubmission, id))
            .collect();
        let found = context
            .core
            .engine
            .multi_get(&keys)
            .await
            .map_err(|error| method_error(error.into()))?;
        let mut values = Vec::with_capacity(ids.len());
        for ((&id, key), bytes) in ids.iter().zip(&keys).zip(found) {
            let record = bytes
                .map(|bytes| SubmissionRecord::from_bytes(key, &bytes))
                .transpose();
            let record = record
                .map_err(method_error)?
                .filter(|record| !record.is_hidden);
            values.push(record.map(|record| Value::Object(to_map(id, &record, properties.iter()))));
        }
        Ok(values)
    }
}

/// The value of one property; `None`: there is no such property.
pub(super) fn property(record: &SubmissionRecord, name: &str) -> Option<Value> {
    let blobs = |list: &[BlobRecord]| {
        let ids = list
            .iter()
            .map(|blob| string(BlobId::whole(blob.hash).to_string()));
        Value::Array(ids.collect())
    };
    Some(match name {
        "identityId" => string(IdentityId::new(record.identity).to_string()),
        "emailId" => string(EmailId::new(record.email).to_string()),
        "threadId" => string(ThreadId::new(record.thread).to_string()),
        "envelope" => record.envelope_value(),
        "sendAt" => string(UtcDate(record.send_at).to_string()),
        "undoStatus" => string(record.undo_status.as_str()),
        "deliveryStatus" => record.delivery_status_value(),
        "dsnBlobIds" => blobs(&record.dsns),
        "mdnBlobIds" => blobs(&record.mdns),
        _ => return None,
    })
}

pub(super) fn to_map<'n>(
    id: u64,
    record: &SubmissionRecord,
    names: impl Iterator<Item = &'n str>,
) -> Map {
    let mut map = Map::with_capacity(10);
    map.insert(key("id"), string(EmailSubmission::wire_id(id).as_str()));
    for name in names {
        if let Some(value) = property(record, name) {
            map.insert(key(name), value);
        }
    }
    map
}

impl ChangesObject for EmailSubmission {
    async fn restrict(context: &Context, delta: Delta) -> Result<Delta, MethodError> {
        match context.standing()? {
            Standing::Owner => Ok(delta),
            Standing::Guest => Ok(Delta {
                created: Vec::new(),
                updated: Vec::new(),
                destroyed: Vec::new(),
                ..delta
            }),
        }
    }
}
