//! PushSubscription (RFC 8620 §7.2): its standard methods, which know neither account nor state.
//! Other half: `jmap_core::push` keeps the subscriptions and pushes.

pub use crate::mail::PushSubscription;
use crate::{
    AccountId, Arguments, MethodError, Property, SetError, Value, WireId,
    method::{Access, CreatedIds, MethodCall, MethodResponse},
    value::{Map, MapExt, key, string},
};

/// PushSubscription/get (RFC 8620 §7.2.1).
#[derive(Debug)]
pub struct PushSubscriptionGet {
    /// `None`: all.
    pub ids: Option<Vec<WireId>>,
    /// `None`: all but `url` and `keys`.
    pub properties: Option<Vec<String>>,
}

#[derive(Debug)]
pub struct PushSubscriptionGetResponse {
    pub list: Vec<Value>,
    pub not_found: Vec<WireId>,
}

/// PushSubscription/set (RFC 8620 §7.2.2).
#[derive(Debug, Default)]
pub struct PushSubscriptionSet {
    pub create: Vec<(String, Map)>,
    /// By id, or by creation id behind `#`.
    pub update: Vec<(String, Map)>,
    pub destroy: Vec<String>,
    pub created_ids: CreatedIds,
}

#[derive(Debug, Default)]
pub struct PushSubscriptionSetResponse {
    pub created: Vec<(String, Map)>,
    pub updated: Vec<(WireId, Option<Map>)>,
    pub destroyed: Vec<WireId>,
    pub not_created: Vec<(String, SetError)>,
    pub not_updated: Vec<(String, SetError)>,
    pub not_destroyed: Vec<(String, SetError)>,
}

impl MethodCall for PushSubscriptionGet {
    const NAME: &'static str = "PushSubscription/get";
    const ACCESS: Access = Access::Anyone;
    type Response = PushSubscriptionGetResponse;

    fn account_id(&self) -> Option<AccountId> {
        None
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            ids: arguments.optional(Property::Ids)?,
            properties: arguments.names(Property::Properties)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl MethodCall for PushSubscriptionSet {
    const NAME: &'static str = "PushSubscription/set";
    const ACCESS: Access = Access::Anyone;
    type Response = PushSubscriptionSetResponse;

    fn account_id(&self) -> Option<AccountId> {
        None
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            create: arguments.creations(Property::Create)?,
            update: arguments.patches(Property::Update)?,
            destroy: arguments.references(Property::Destroy)?,
            created_ids: CreatedIds::default(),
        };
        arguments.finish()?;
        Ok(call)
    }

    fn set_created_ids(&mut self, created: CreatedIds) {
        self.created_ids = created;
    }
}

impl MethodResponse for PushSubscriptionGetResponse {
    fn into_map(self) -> Map {
        let not_found: Vec<Value> = self
            .not_found
            .iter()
            .map(|id| string(id.as_str()))
            .collect();
        Map::with_capacity(2)
            .with(Property::List, self.list)
            .with(Property::NotFound, not_found)
    }
}

impl MethodResponse for PushSubscriptionSetResponse {
    fn into_map(self) -> Map {
        let updated = self
            .updated
            .into_iter()
            .map(|(id, map)| (id.to_string(), map))
            .collect();
        let destroyed = match self.destroyed {
            ids if ids.is_empty() => Value::Null,
            ids => Value::Array(ids.iter().map(|id| string(id.as_str())).collect()),
        };
        let errors = |entries: Vec<(String, SetError)>| {
            map_or_null(entries, |error| Value::Object(error.into_map()))
        };
        Map::with_capacity(6)
            .with(Property::Created, map_or_null(self.created, Value::Object))
            .with(
                Property::Updated,
                map_or_null(updated, |map| map.map_or(Value::Null, Value::Object)),
            )
            .with(Property::Destroyed, destroyed)
            .with(Property::NotCreated, errors(self.not_created))
            .with(Property::NotUpdated, errors(self.not_updated))
            .with(Property::NotDestroyed, errors(self.not_destroyed))
    }
}

/// `null` in place of an empty object, as the RFC has it for /set.
fn map_or_null<T>(entries: Vec<(String, T)>, to_value: impl Fn(T) -> Value) -> Value {
    if entries.is_empty() {
        return Value::Null;
    }
    let entries = entries.into_iter();
    Value::Object(
        entries
            .map(|(name, entry)| (key(name), to_value(entry)))
            .collect(),
    )
}
