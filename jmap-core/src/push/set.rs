//! PushSubscription/set (RFC 8620 §7.2.2).
//!
//! Holds: each item is one transaction; a subscription is changed by the credential that made it, and by no other;
//! a wrong verification code changes nothing.
//! Other half: `worker` sends the verification that a creation asks for.

use std::{collections::HashSet, future::Future, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jmap_types::{
    FromValue, MethodError, MethodErrorKind, Property, SetError, SetErrorKind, UtcDate, Value,
    WireId,
    mail::PushSubscription,
    patch,
    push::{PushSubscriptionSet, PushSubscriptionSetResponse},
    value::{Map, MapExt, string},
};
use store::{Record, Txn, keys};
use subtle::ConstantTimeEq;

use super::{
    crypto::{PushEndpoint, SubscriptionKeys},
    get::{PROPERTIES, server_set, to_map, wire_id},
    index::Facts,
    record::{KeysRecord, PushSubscriptionRecord, SubscriptionKey},
};
use crate::{
    Context, Handle,
    accounts::AccountHandle,
    directory::records::CredentialRecord,
    error::{method_error, set_error},
    mail::view::ViewEvent,
    object::{Rejected, add_updated},
};

/// Octets of a deviceClientId.
pub const DEVICE_CLIENT_ID_OCTETS_MAX: usize = 512;
/// Names in `types`, and octets of each.
pub const TYPES_MAX: usize = 64;
pub const TYPE_NAME_OCTETS_MAX: usize = 128;
/// Octets of randomness in a verification code.
pub const CODE_OCTETS: usize = 24;

const DAY_SECONDS: i64 = 86_400;
/// How long a subscription lives when the client doesn't say, and at the most (RFC 8620 §7.2: 7 days at least).
/// Those of a credential with an end of its own live as long as they want until then.
pub const EXPIRES_DEFAULT_SECONDS: i64 = 7 * DAY_SECONDS;
pub const EXPIRES_MAX_SECONDS: i64 = 30 * DAY_SECONDS;
/// How often an item is tried when concurrent changes win.
const TRIES: usize = crate::object::TRIES;

impl Handle for PushSubscriptionSet {
    async fn handle(self, context: Context) -> Result<PushSubscriptionSetResponse, MethodError> {
        let items = self.create.len() + self.update.len() + self.destroy.len();
        if items > context.core.limits().max_objects_in_set as usize {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let credential = context.core.credential_of(&context.who).await;
        let setting = Setting {
            account: context.core.accounts.handle(context.who.account),
            credential: credential.map_err(method_error)?,
            context: &context,
        };
        let mut response = PushSubscriptionSetResponse::default();
        for (creation_id, properties) in self.create {
            match again(|| setting.create(&properties)).await {
                Ok((id, map)) => {
                    self.created_ids.insert(creation_id.clone(), wire_id(id));
                    response.created.push((creation_id, map));
                }
                Err(error) => response.not_created.push((creation_id, error)),
            }
        }
        let number = |id: &str| -> Option<u64> {
            let id = match id.strip_prefix('#') {
                Some(creation_id) => self.created_ids.get(creation_id)?,
                None => WireId::parse(id)?,
            };
            id.as_id::<PushSubscription>().map(|id| id.number())
        };
        for (id, patch) in self.update {
            let result = match number(&id) {
                None => Err(SetError::not_found()),
                Some(_) if self.destroy.contains(&id) => {
                    Err(SetError::new(SetErrorKind::WillDestroy))
                }
                Some(number) => again(|| setting.update(number, &patch))
                    .await
                    .map(|map| (number, map)),
            };
            match result {
                Ok((number, map)) => add_updated(&mut response.updated, wire_id(number), map),
                Err(error) => response.not_updated.push((id, error)),
            }
        }
        let mut seen = HashSet::new();
        for id in self.destroy {
            if !seen.insert(id.clone()) {
                continue;
            }
            let result = match number(&id) {
                None => Err(SetError::not_found()),
                Some(number) => again(|| setting.destroy(number)).await.map(|()| number),
            };
            match result {
                Ok(number) => response.destroyed.push(wire_id(number)),
                Err(error) => response.not_destroyed.push((id, error)),
            }
        }
        Ok(response)
    }
}

async fn again<T, F>(item: impl Fn() -> F) -> Result<T, SetError>
where
    F: Future<Output = Result<T, Rejected>>,
{
    for _ in 0..TRIES {
        match item().await {
            Err(Rejected::Store(store::Error::Conflict)) => {}
            result => return result.map_err(SetError::from),
        }
    }
    Err(set_error(store::Error::Conflict))
}

/// A /set under way.
struct Setting<'s> {
    context: &'s Context,
    account: Arc<AccountHandle>,
    /// The caller's; `None` when it was taken away a moment ago, or for the server itself.
    credential: Option<CredentialRecord>,
}

impl Setting<'_> {
    async fn create(&self, properties: &Map) -> Result<(u64, Map), Rejected> {
        let (core, who) = (&self.context.core, &self.context.who);
        let (Some(credential), true) = (&self.credential, core.can_push()) else {
            return Err(SetError::forbidden("This server does not push.").into());
        };
        let mut code = [0; CODE_OCTETS];
        core.rng.fill(&mut code);
        let asked = Asked::read(properties.clone())?;
        let endpoint = PushEndpoint::parse(&asked.url, core.push.policy())
            .map_err(|error| invalid(Property::Url, error.to_string()))?;
        let record = PushSubscriptionRecord {
            credential: who.credential,
            credential_created: credential.created,
            device_client_id: asked.device_client_id,
            url: asked.url,
            keys: asked.keys,
            verification_code: URL_SAFE_NO_PAD.encode(code),
            verified: false,
            expires: self.expires(asked.expires)?,
            types: asked.types,
        };
        let mut txn = self.account.writer.begin().await?;
        self.make_room(&mut txn).await?;
        let now = core.clock.monotonic();
        let host: Arc<str> = endpoint.host().to_string().into();
        if !core.push.rate.lock().take(who.account, &host, now) {
            let why = "Too many push subscriptions were made lately.";
            return Err(SetError::describe(SetErrorKind::RateLimit, why).into());
        }
        let key = SubscriptionKey {
            account: who.account,
            id: txn.new_id(),
        };
        txn.put_record(key.row(), &record);
        txn.commit().await?;
        let facts = self.facts(&record, host);
        core.push.note(key, facts, true);
        let mut map = server_set(key.id, &record);
        for property in [Property::Keys, Property::VerificationCode, Property::Types] {
            if properties.find(property).is_none() {
                map.set(property, Value::Null);
            }
        }
        Ok((key.id, map))
    }

    /// Takes away what is over, and sees whether another one may come.
    async fn make_room(&self, txn: &mut Txn<ViewEvent>) -> Result<(), Rejected> {
        let core = &self.context.core;
        let now = core.clock.now().seconds();
        let account = self.context.who.account;
        let mut count = 0;
        for (row, bytes) in txn
            .scan(keys::objects(
                account,
                jmap_types::DataType::PushSubscription,
            ))
            .await?
        {
            let is_over = PushSubscriptionRecord::from_bytes(&row, &bytes)
                .is_ok_and(|record| record.expires <= now);
            if is_over {
                txn.delete(row.to_vec());
            } else {
                count += 1;
            }
        }
        if count >= core.limits().max_push_subscriptions {
            let why = "There are too many push subscriptions.";
            return Err(SetError::describe(SetErrorKind::OverQuota, why).into());
        }
        Ok(())
    }

    async fn update(&self, id: u64, patch: &Map) -> Result<Option<Map>, Rejected> {
        let core = &self.context.core;
        let key = SubscriptionKey {
            account: self.context.who.account,
            id,
        };
        let mut txn = self.account.writer.begin().await?;
        let mut record = self.mine(&txn, key).await?;
        let shown = || to_map(id, &record, PROPERTIES);
        let patch = patch::whole_properties(patch.clone(), shown).map_err(SetError::from)?;
        let mut changed = Map::new();
        for (name, value) in patch.into_vec() {
            let name = name.to_string();
            match Property::from_name(&name) {
                Some(Property::VerificationCode) => verify(&mut record, &value)?,
                Some(Property::Expires) => {
                    let asked = read(Property::Expires, value)?;
                    record.expires = self.expires(asked)?;
                    if asked != Some(record.expires()) {
                        changed.set(Property::Expires, string(record.expires().to_string()));
                    }
                }
                Some(Property::Types) => record.types = read_types(value)?,
                Some(Property::Id) if value == string(wire_id(id).as_str()) => {}
                Some(Property::DeviceClientId)
                    if value == string(record.device_client_id.as_str()) => {}
                Some(Property::Id | Property::DeviceClientId | Property::Url | Property::Keys) => {
                    return Err(invalid(&name, "It can't be changed.").into());
                }
                _ => return Err(invalid(&name, "PushSubscription has no such property.").into()),
            }
        }
        txn.put_record(key.row(), &record);
        txn.commit().await?;
        let endpoint = PushEndpoint::parse(&record.url, core.push.policy());
        if let Ok(endpoint) = endpoint {
            let facts = self.facts(&record, endpoint.host().to_string().into());
            core.push.note(key, facts, false);
        }
        Ok((!changed.is_empty()).then_some(changed))
    }

    async fn destroy(&self, id: u64) -> Result<(), Rejected> {
        let key = SubscriptionKey {
            account: self.context.who.account,
            id,
        };
        let mut txn = self.account.writer.begin().await?;
        self.mine(&txn, key).await?;
        txn.delete(key.row());
        txn.commit().await?;
        self.context.core.push.forget(key);
        Ok(())
    }

    async fn mine(
        &self,
        txn: &Txn<ViewEvent>,
        key: SubscriptionKey,
    ) -> Result<PushSubscriptionRecord, Rejected> {
        let now = self.context.core.clock.now().0;
        let record = txn.record::<PushSubscriptionRecord>(&key.row()).await?;
        record
            .filter(|record| record.credential == self.context.who.credential)
            .filter(|record| record.is_live(now, self.credential.as_ref()))
            .ok_or_else(|| SetError::not_found().into())
    }

    /// RFC 8620 §7.2: bounded by the server, unless the credential is bounded itself.
    fn expires(&self, asked: Option<UtcDate>) -> Result<i64, SetError> {
        let now = self.context.core.clock.now().seconds();
        if asked.is_some_and(|asked| asked.0 <= now) {
            return Err(invalid(Property::Expires, "It is in the past."));
        }
        let of_credential = self
            .credential
            .as_ref()
            .and_then(|credential| credential.expires);
        let (default, max) = match of_credential {
            Some(millis) => (millis.div_euclid(1000), millis.div_euclid(1000)),
            None => (now + EXPIRES_DEFAULT_SECONDS, now + EXPIRES_MAX_SECONDS),
        };
        Ok(asked.map_or(default, |asked| asked.0.min(max)))
    }

    fn facts(&self, record: &PushSubscriptionRecord, host: Arc<str>) -> Facts {
        Facts {
            host,
            wanted: record.wanted(),
            verified: record.verified,
            expires: record.expires,
            visible: self.context.who.accounts().collect(),
        }
    }
}

/// RFC 8620 §7.2.2: the code that was pushed, or nothing new.
fn verify(record: &mut PushSubscriptionRecord, value: &Value) -> Result<(), SetError> {
    let given = match value {
        Value::Null if !record.verified => return Ok(()),
        Value::Str(text) => text.as_bytes(),
        _ => &[],
    };
    if !bool::from(record.verification_code.as_bytes().ct_eq(given)) {
        return Err(invalid(
            Property::VerificationCode,
            "It is not the code that was pushed.",
        ));
    }
    record.verified = true;
    Ok(())
}

/// What a client asks for in a new subscription.
struct Asked {
    device_client_id: String,
    url: String,
    keys: Option<KeysRecord>,
    expires: Option<UtcDate>,
    types: Option<Vec<String>>,
}

impl Asked {
    fn read(mut properties: Map) -> Result<Self, SetError> {
        let mut take = |property| properties.take(property).unwrap_or(Value::Null);
        let device_client_id: String =
            read(Property::DeviceClientId, take(Property::DeviceClientId))?
                .ok_or_else(|| invalid(Property::DeviceClientId, "It is missing."))?;
        if !(1..=DEVICE_CLIENT_ID_OCTETS_MAX).contains(&device_client_id.len()) {
            return Err(invalid(
                Property::DeviceClientId,
                "It is empty or too long.",
            ));
        }
        let url: String = read(Property::Url, take(Property::Url))?
            .ok_or_else(|| invalid(Property::Url, "It is missing."))?;
        let keys = read_keys(take(Property::Keys))?;
        if take(Property::VerificationCode) != Value::Null {
            let why = "It must be null until it was pushed.";
            return Err(invalid(Property::VerificationCode, why));
        }
        let expires = read(Property::Expires, take(Property::Expires))?;
        let types = read_types(take(Property::Types))?;
        if let Some((name, _)) = properties.as_vec().first() {
            return Err(invalid(
                name.to_string(),
                "It can't be set, or does not exist.",
            ));
        }
        Ok(Self {
            device_client_id,
            url,
            keys,
            expires,
            types,
        })
    }
}

fn read_keys(value: Value) -> Result<Option<KeysRecord>, SetError> {
    let Some(mut map): Option<Map> = read(Property::Keys, value)? else {
        return Ok(None);
    };
    let mut text = |property: Property| -> Result<String, SetError> {
        let value = map.take(property).and_then(String::from_value);
        value.ok_or_else(|| invalid(Property::Keys, format!("\"{property}\" is missing.")))
    };
    let keys = KeysRecord {
        p256dh: text(Property::P256dh)?,
        auth: text(Property::Auth)?,
    };
    SubscriptionKeys::from_base64url(&keys.p256dh, &keys.auth)
        .map_err(|error| invalid(Property::Keys, error.to_string()))?;
    Ok(Some(keys))
}

fn read_types(value: Value) -> Result<Option<Vec<String>>, SetError> {
    let types: Option<Vec<String>> = read(Property::Types, value)?;
    let is_too_large = |types: &Vec<String>| {
        types.len() > TYPES_MAX || types.iter().any(|name| name.len() > TYPE_NAME_OCTETS_MAX)
    };
    if types.as_ref().is_some_and(is_too_large) {
        return Err(invalid(
            Property::Types,
            "There are too many, or one is too long.",
        ));
    }
    Ok(types)
}

fn read<T: FromValue>(property: Property, value: Value) -> Result<Option<T>, SetError> {
    if value == Value::Null {
        return Ok(None);
    }
    T::from_value(value)
        .map(Some)
        .ok_or_else(|| invalid(property, format!("It must be {}.", T::EXPECTED)))
}

fn invalid(property: impl ToString, why: impl Into<String>) -> SetError {
    SetError::invalid_property(property, why)
}

#[cfg(test)]
mod tests;
