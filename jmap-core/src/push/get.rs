//! PushSubscription/get (RFC 8620 §7.2.1), and which subscriptions are a caller's.
//!
//! Holds: a caller sees what the same credential has made, as long as it is in force; `url` and `keys` never.

use std::collections::HashSet;

use jmap_types::{
    DataType, MethodError, MethodErrorKind, Property, Value, WireId,
    mail::PushSubscription,
    push::{PushSubscriptionGet, PushSubscriptionGetResponse},
    value::{Map, MapExt, key, string},
};
use store::{Record, engine::Page, keys};

use super::record::PushSubscriptionRecord;
use crate::{
    Context, Core, Handle, caller::Caller, directory::records::CredentialRecord,
    error::method_error,
};

pub(super) const PROPERTIES: &[&str] = &[
    "id",
    "deviceClientId",
    "verificationCode",
    "expires",
    "types",
];
/// RFC 8620 §7.2.1: asking for these is `forbidden`.
const PRIVATE_PROPERTIES: &[&str] = &["url", "keys"];

impl Handle for PushSubscriptionGet {
    async fn handle(self, context: Context) -> Result<PushSubscriptionGetResponse, MethodError> {
        let properties = match &self.properties {
            None => PROPERTIES.to_vec(),
            Some(asked) => check_properties(asked)?,
        };
        let max = context.core.limits().max_objects_in_get as usize;
        if self.ids.as_ref().is_some_and(|ids| ids.len() > max) {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let mine = context.core.subscriptions_of(&context.who).await;
        let mine = mine.map_err(method_error)?;
        let mut response = PushSubscriptionGetResponse {
            list: Vec::new(),
            not_found: Vec::new(),
        };
        let Some(ids) = self.ids else {
            let objects = mine
                .iter()
                .map(|(id, record)| Value::Object(to_map(*id, record, &properties)));
            response.list = objects.collect();
            return Ok(response);
        };
        let mut seen = HashSet::new();
        for id in ids {
            if !seen.insert(id.clone()) {
                continue;
            }
            let number = id.as_id::<PushSubscription>().map(|id| id.number());
            match mine.iter().find(|(id, _)| Some(*id) == number) {
                Some((id, record)) => {
                    response
                        .list
                        .push(Value::Object(to_map(*id, record, &properties)))
                }
                None => response.not_found.push(id),
            }
        }
        Ok(response)
    }
}

fn check_properties(asked: &[String]) -> Result<Vec<&str>, MethodError> {
    for name in asked.iter().map(String::as_str) {
        if PRIVATE_PROPERTIES.contains(&name) {
            let why = format!("\"{name}\" is never returned.");
            return Err(MethodError::describe(MethodErrorKind::Forbidden, why));
        }
        if !PROPERTIES.contains(&name) {
            let why = format!("PushSubscription has no property \"{name}\".");
            return Err(MethodError::invalid_arguments(why));
        }
    }
    let mut names = vec!["id"];
    names.extend(
        asked
            .iter()
            .map(String::as_str)
            .filter(|name| *name != "id"),
    );
    Ok(names)
}

pub(super) fn wire_id(number: u64) -> WireId {
    jmap_types::Id::<PushSubscription>::new(number).to_wire()
}

pub(super) fn to_map(id: u64, record: &PushSubscriptionRecord, properties: &[&str]) -> Map {
    let mut map = Map::with_capacity(properties.len());
    for &name in properties {
        let value = match name {
            "id" => string(wire_id(id).as_str()),
            "deviceClientId" => string(record.device_client_id.as_str()),
            // RFC 8620 §7.2: what the client has set, which is nothing yet or the right code.
            "verificationCode" if record.verified => string(record.verification_code.as_str()),
            "expires" => string(record.expires().to_string()),
            "types" => types(record),
            _ => Value::Null,
        };
        map.insert(key(name), value);
    }
    map
}

fn types(record: &PushSubscriptionRecord) -> Value {
    match &record.types {
        Some(types) => Value::Array(types.iter().map(|name| string(name.as_str())).collect()),
        None => Value::Null,
    }
}

/// What the server has set in a subscription that was created.
pub(super) fn server_set(id: u64, record: &PushSubscriptionRecord) -> Map {
    Map::with_capacity(2)
        .with(Property::Id, string(wire_id(id).as_str()))
        .with(Property::Expires, string(record.expires().to_string()))
}

impl Core {
    /// The credential that a caller has used, as it is stored now.
    pub(super) async fn credential_of(
        &self,
        who: &Caller,
    ) -> Result<Option<CredentialRecord>, store::Error> {
        let row = keys::credential(who.account, who.credential);
        let bytes = self.engine.get(&row).await?;
        bytes
            .map(|bytes| CredentialRecord::from_bytes(&row, &bytes))
            .transpose()
    }

    /// The subscriptions of a caller, by number.
    async fn subscriptions_of(
        &self,
        who: &Caller,
    ) -> Result<Vec<(u64, PushSubscriptionRecord)>, store::Error> {
        let Some(credential) = self.credential_of(who).await? else {
            return Ok(Vec::new());
        };
        let now = self.clock.now().0;
        // The limit is what one account has; old ones may be there until they are cleared away.
        let limit = 2 * self.limits().max_push_subscriptions as usize + 1;
        let range = keys::objects(who.account, DataType::PushSubscription);
        let mut mine = Vec::new();
        for (row, bytes) in self.engine.scan(Page::first(range, limit)).await? {
            let Some((_, _, id)) = keys::decode_object(&row) else {
                continue;
            };
            match PushSubscriptionRecord::from_bytes(&row, &bytes) {
                Ok(record)
                    if record.credential == who.credential
                        && record.is_live(now, Some(&credential)) =>
                {
                    mine.push((id, record));
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "a push subscription is left out"),
            }
        }
        Ok(mine)
    }
}
