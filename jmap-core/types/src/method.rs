//! Method calls: the trait that they share, and the six standard methods (RFC 8620 §5).
//!
//! Holds: what `from_arguments` accepts is well-formed; whether it is allowed and what it
//! does, the core says.

use std::{
    collections::HashMap,
    fmt::Debug,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    AccountId, Arguments, ChangesState, DataType, FromValue, MethodError, MethodErrorKind,
    Property, SetError, State, WireId,
    value::{Map, MapExt, Value, key, string},
};

/// What a call needs of its account before it is begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// No account: any caller.
    Anyone,
    /// To read something of the account; each object has rights of its own.
    Read,
    /// To change something of the account.
    Write,
}

/// A typed method call: the same in-process and over HTTP.
pub trait MethodCall: Sized + Send + 'static {
    const NAME: &'static str;
    const ACCESS: Access;
    /// What a caller hears whose account it isn't (RFC 8620 §3.6.2).
    const NO_ACCOUNT: MethodErrorKind = MethodErrorKind::AccountNotFound;
    type Response: MethodResponse;

    fn account_id(&self) -> Option<AccountId>;
    /// The account that it copies from, if it does (RFC 8620 §5.4, §6.3).
    fn source_account_id(&self) -> Option<AccountId> {
        None
    }
    fn from_arguments(arguments: Arguments) -> Result<Self, MethodError>;
    /// Lets the call see and add creation ids of the request it belongs to (RFC 8620 §3.3, §5.3).
    fn set_created_ids(&mut self, _created: CreatedIds) {}
    /// Names of data types in the arguments whose capabilities have to be in `using` (RFC 9404 §4.3).
    fn named_types(&self) -> &[String] {
        &[]
    }
}

pub trait MethodResponse: Send + 'static {
    fn into_map(self) -> Map;

    /// Responses of calls that this one implied, by name (RFC 8620 §5.4, RFC 8621 §7.5).
    fn take_implicit(&mut self) -> Vec<(&'static str, Result<Map, MethodError>)> {
        Vec::new()
    }
}

impl MethodResponse for Map {
    fn into_map(self) -> Map {
        self
    }
}

/// Creation ids of one request and the ids they stand for.
#[derive(Clone, Default, Debug)]
pub struct CreatedIds(Arc<Mutex<HashMap<String, WireId>>>);

impl CreatedIds {
    pub fn get(&self, creation_id: &str) -> Option<WireId> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(creation_id)
            .cloned()
    }

    pub fn insert(&self, creation_id: String, id: WireId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(creation_id, id);
    }

    pub fn remove(&self, creation_id: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(creation_id);
    }

    pub fn to_map(&self) -> Map {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter()
            .map(|(creation_id, id)| (key(creation_id), string(id.as_str())))
            .collect()
    }
}

/// Arguments that one object adds to a standard method.
pub trait ExtraArguments: Sized + Send + Sync + Default + Debug + 'static {
    fn take(arguments: &mut Arguments) -> Result<Self, MethodError>;
}

impl ExtraArguments for () {
    fn take(_: &mut Arguments) -> Result<Self, MethodError> {
        Ok(())
    }
}

/// A FilterCondition of one object, read strictly: an unknown one is `unsupportedFilter`.
pub trait Condition: Sized + Send + Sync + Debug + Clone + 'static {
    fn from_map(map: Map) -> Result<Self, MethodError>;
}

/// What a Comparator of one object names; an unknown property is `unsupportedSort`.
pub trait SortKey: Sized + Send + Sync + Debug + Clone + 'static {
    fn from_property(property: &str, rest: &mut Arguments) -> Result<Self, MethodError>;
}

/// An object with the standard methods. Those that it doesn't have are simply not implemented
/// by the core.
pub trait Object: Debug + Send + Sync + 'static {
    const NAME: &'static str;
    const DATA_TYPE: Option<DataType>;
    const GET: &'static str;
    const CHANGES: &'static str;
    const SET: &'static str;
    const COPY: &'static str;
    const QUERY: &'static str;
    const QUERY_CHANGES: &'static str;
    type GetArguments: ExtraArguments;
    type SetArguments: ExtraArguments;
    type QueryArguments: ExtraArguments;
    type Condition: Condition;
    type SortKey: SortKey;
}

/// The names of an [`Object`]'s methods.
#[macro_export]
macro_rules! object_names {
    ($name:literal, $data_type:expr) => {
        const NAME: &'static str = $name;
        const DATA_TYPE: Option<$crate::DataType> = $data_type;
        const GET: &'static str = concat!($name, "/get");
        const CHANGES: &'static str = concat!($name, "/changes");
        const SET: &'static str = concat!($name, "/set");
        const COPY: &'static str = concat!($name, "/copy");
        const QUERY: &'static str = concat!($name, "/query");
        const QUERY_CHANGES: &'static str = concat!($name, "/queryChanges");
    };
}

/// An object without filters.
#[derive(Clone, Debug)]
pub enum NoCondition {}

impl Condition for NoCondition {
    fn from_map(_: Map) -> Result<Self, MethodError> {
        Err(MethodErrorKind::UnsupportedFilter.into())
    }
}

/// An object without sort orders.
#[derive(Clone, Debug)]
pub enum NoSortKey {}

impl SortKey for NoSortKey {
    fn from_property(_: &str, _: &mut Arguments) -> Result<Self, MethodError> {
        Err(MethodErrorKind::UnsupportedSort.into())
    }
}

/// /get (RFC 8620 §5.1).
#[derive(Debug)]
pub struct Get<O: Object> {
    pub account_id: AccountId,
    /// `None`: all.
    pub ids: Option<Vec<WireId>>,
    /// `None`: the object's default ones.
    pub properties: Option<Vec<String>>,
    pub arguments: O::GetArguments,
}

#[derive(Debug)]
pub struct GetResponse {
    pub account_id: AccountId,
    pub state: State,
    pub list: Vec<Value>,
    pub not_found: Vec<WireId>,
}

/// /changes (RFC 8620 §5.2).
#[derive(Debug)]
pub struct Changes<O: Object> {
    pub account_id: AccountId,
    pub since_state: String,
    pub max_changes: Option<u64>,
    pub object: PhantomData<fn() -> O>,
}

#[derive(Debug, Default)]
pub struct ChangesResponse {
    pub account_id: Option<AccountId>,
    pub old_state: String,
    pub new_state: ChangesState,
    pub has_more_changes: bool,
    pub created: Vec<WireId>,
    pub updated: Vec<WireId>,
    pub destroyed: Vec<WireId>,
    /// Mailbox/changes alone (RFC 8621 §2.2): `None` is not given, `Some(None)` is null.
    pub updated_properties: Option<Option<Vec<Property>>>,
}

/// /set (RFC 8620 §5.3).
#[derive(Debug)]
pub struct Set<O: Object> {
    pub account_id: AccountId,
    pub if_in_state: Option<String>,
    pub create: Vec<(String, Map)>,
    /// By id, or by creation id behind `#`.
    pub update: Vec<(String, Map)>,
    pub destroy: Vec<String>,
    pub arguments: O::SetArguments,
    pub created_ids: CreatedIds,
}

#[derive(Debug)]
pub struct SetResponse {
    pub account_id: AccountId,
    /// `None` where the state before can't be told.
    pub old_state: Option<State>,
    pub new_state: State,
    pub created: Vec<(String, Map)>,
    pub updated: Vec<(WireId, Option<Map>)>,
    pub destroyed: Vec<WireId>,
    pub not_created: Vec<(String, SetError)>,
    pub not_updated: Vec<(String, SetError)>,
    pub not_destroyed: Vec<(String, SetError)>,
    pub implicit: Vec<(&'static str, Result<Map, MethodError>)>,
}

/// /copy (RFC 8620 §5.4).
#[derive(Debug)]
pub struct Copy<O: Object> {
    pub from_account_id: AccountId,
    pub if_from_in_state: Option<String>,
    pub account_id: AccountId,
    pub if_in_state: Option<String>,
    pub create: Vec<(String, Map)>,
    pub on_success_destroy_original: bool,
    pub destroy_from_if_in_state: Option<String>,
    pub created_ids: CreatedIds,
    pub object: PhantomData<fn() -> O>,
}

#[derive(Debug)]
pub struct CopyResponse {
    pub from_account_id: AccountId,
    pub account_id: AccountId,
    pub old_state: Option<State>,
    pub new_state: State,
    pub created: Vec<(String, Map)>,
    pub not_created: Vec<(String, SetError)>,
    pub implicit: Vec<(&'static str, Result<Map, MethodError>)>,
}

/// /query (RFC 8620 §5.5).
#[derive(Debug)]
pub struct Query<O: Object> {
    pub account_id: AccountId,
    pub filter: Option<Filter<O::Condition>>,
    pub sort: Vec<Comparator<O::SortKey>>,
    pub position: i64,
    pub anchor: Option<WireId>,
    pub anchor_offset: i64,
    pub limit: Option<u64>,
    pub calculate_total: bool,
    pub arguments: O::QueryArguments,
}

#[derive(Debug)]
pub struct QueryResponse {
    pub account_id: AccountId,
    pub query_state: String,
    pub can_calculate_changes: bool,
    pub position: u64,
    pub ids: Vec<WireId>,
    pub total: Option<u64>,
    /// Only when the server lowered it.
    pub limit: Option<u64>,
}

/// /queryChanges (RFC 8620 §5.6).
#[derive(Debug)]
pub struct QueryChanges<O: Object> {
    pub account_id: AccountId,
    pub filter: Option<Filter<O::Condition>>,
    pub sort: Vec<Comparator<O::SortKey>>,
    pub since_query_state: String,
    pub max_changes: Option<u64>,
    pub up_to_id: Option<WireId>,
    pub calculate_total: bool,
    pub arguments: O::QueryArguments,
}

#[derive(Debug)]
pub struct QueryChangesResponse {
    pub account_id: AccountId,
    pub old_query_state: String,
    pub new_query_state: String,
    pub total: Option<u64>,
    pub removed: Vec<WireId>,
    /// Id and index, by index.
    pub added: Vec<(WireId, u64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Filter<C> {
    And(Vec<Filter<C>>),
    Or(Vec<Filter<C>>),
    /// None of them.
    Not(Vec<Filter<C>>),
    Condition(C),
}

#[derive(Clone, Debug)]
pub struct Comparator<K> {
    pub key: K,
    pub is_ascending: bool,
    pub collation: Option<String>,
}

pub const FILTER_DEPTH_MAX: usize = 32;
pub const FILTER_CONDITIONS_MAX: usize = 1000;
pub const COMPARATORS_MAX: usize = 16;

/// Collations that comparators may name (RFC 8620 §2 `collationAlgorithms`).
pub const COLLATIONS: &[&str] = &[
    "i;ascii-casemap",
    "i;ascii-numeric",
    "i;octet",
    "i;unicode-casemap",
];

fn parse_filter<C: Condition>(
    value: Map,
    depth: usize,
    budget: &mut usize,
) -> Result<Filter<C>, MethodError> {
    let too_large = || {
        MethodError::describe(
            MethodErrorKind::UnsupportedFilter,
            "The filter is too large or too deep.",
        )
    };
    *budget = budget.checked_sub(1).ok_or_else(too_large)?;
    if depth >= FILTER_DEPTH_MAX {
        return Err(too_large());
    }
    if value.find(Property::Operator).is_none() {
        return C::from_map(value).map(Filter::Condition);
    }
    let mut arguments = Arguments::new(value);
    let operator: String = arguments.required(Property::Operator)?;
    let conditions: Vec<Map> = arguments.required(Property::Conditions)?;
    arguments.finish()?;
    let conditions = conditions
        .into_iter()
        .map(|c| parse_filter(c, depth + 1, budget))
        .collect::<Result<_, _>>()?;
    match operator.as_str() {
        "AND" => Ok(Filter::And(conditions)),
        "OR" => Ok(Filter::Or(conditions)),
        "NOT" => Ok(Filter::Not(conditions)),
        _ => Err(MethodError::invalid_arguments(
            "\"operator\" must be AND, OR or NOT.",
        )),
    }
}

pub fn take_filter<C: Condition>(
    arguments: &mut Arguments,
) -> Result<Option<Filter<C>>, MethodError> {
    let mut budget = FILTER_CONDITIONS_MAX;
    let filter: Option<Map> = arguments.optional(Property::Filter)?;
    filter
        .map(|map| parse_filter(map, 0, &mut budget))
        .transpose()
}

fn take_sort<K: SortKey>(arguments: &mut Arguments) -> Result<Vec<Comparator<K>>, MethodError> {
    let sort: Vec<Map> = arguments.or_default(Property::Sort)?;
    if sort.len() > COMPARATORS_MAX {
        return Err(MethodError::describe(
            MethodErrorKind::UnsupportedSort,
            "There are too many comparators.",
        ));
    }
    sort.into_iter()
        .map(|map| {
            let mut rest = Arguments::new(map);
            let property: String = rest.required(Property::Property)?;
            let is_ascending = rest.or(Property::IsAscending, true)?;
            let collation: Option<String> = rest.optional(Property::Collation)?;
            if collation
                .as_deref()
                .is_some_and(|c| !COLLATIONS.contains(&c))
            {
                return Err(MethodError::describe(
                    MethodErrorKind::UnsupportedSort,
                    "The collation is unknown.",
                ));
            }
            let key = K::from_property(&property, &mut rest)?;
            rest.finish()?;
            Ok(Comparator {
                key,
                is_ascending,
                collation,
            })
        })
        .collect()
}

impl<O: Object> MethodCall for Get<O> {
    const NAME: &'static str = O::GET;
    const ACCESS: Access = Access::Read;
    type Response = GetResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            ids: arguments.optional(Property::Ids)?,
            properties: arguments.names(Property::Properties)?,
            arguments: O::GetArguments::take(&mut arguments)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl<O: Object> MethodCall for Changes<O> {
    const NAME: &'static str = O::CHANGES;
    const ACCESS: Access = Access::Read;
    type Response = ChangesResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            since_state: arguments.required(Property::SinceState)?,
            max_changes: take_max_changes(&mut arguments)?,
            object: PhantomData,
        };
        arguments.finish()?;
        Ok(call)
    }
}

/// RFC 8620 §5.2: `maxChanges` must be greater than 0.
fn take_max_changes(arguments: &mut Arguments) -> Result<Option<u64>, MethodError> {
    let max: Option<u64> = arguments.optional(Property::MaxChanges)?;
    match max {
        Some(0) => Err(MethodError::invalid_arguments(
            "\"maxChanges\" must be greater than 0.",
        )),
        max => Ok(max),
    }
}

impl<O: Object> MethodCall for Set<O> {
    const NAME: &'static str = O::SET;
    const ACCESS: Access = Access::Write;
    type Response = SetResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            if_in_state: arguments.optional(Property::IfInState)?,
            create: arguments.creations(Property::Create)?,
            update: arguments.patches(Property::Update)?,
            destroy: arguments.references(Property::Destroy)?,
            arguments: O::SetArguments::take(&mut arguments)?,
            created_ids: CreatedIds::default(),
        };
        arguments.finish()?;
        Ok(call)
    }

    fn set_created_ids(&mut self, created: CreatedIds) {
        self.created_ids = created;
    }
}

impl<O: Object> MethodCall for Copy<O> {
    const NAME: &'static str = O::COPY;
    const ACCESS: Access = Access::Write;
    type Response = CopyResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn source_account_id(&self) -> Option<AccountId> {
        Some(self.from_account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let from: String = arguments.required(Property::FromAccountId)?;
        let call = Self {
            from_account_id: AccountId::parse(&from).ok_or(MethodErrorKind::FromAccountNotFound)?,
            if_from_in_state: arguments.optional(Property::IfFromInState)?,
            account_id: arguments.account_id()?,
            if_in_state: arguments.optional(Property::IfInState)?,
            create: arguments.required_creations(Property::Create)?,
            on_success_destroy_original: arguments.or(Property::OnSuccessDestroyOriginal, false)?,
            destroy_from_if_in_state: arguments.optional(Property::DestroyFromIfInState)?,
            created_ids: CreatedIds::default(),
            object: PhantomData,
        };
        arguments.finish()?;
        Ok(call)
    }

    fn set_created_ids(&mut self, created: CreatedIds) {
        self.created_ids = created;
    }
}

impl<O: Object> MethodCall for Query<O> {
    const NAME: &'static str = O::QUERY;
    const ACCESS: Access = Access::Read;
    type Response = QueryResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            filter: take_filter(&mut arguments)?,
            sort: take_sort(&mut arguments)?,
            position: arguments.or_default(Property::Position)?,
            anchor: arguments.optional(Property::Anchor)?,
            anchor_offset: arguments.or_default(Property::AnchorOffset)?,
            limit: arguments.optional(Property::Limit)?,
            calculate_total: arguments.or_default(Property::CalculateTotal)?,
            arguments: O::QueryArguments::take(&mut arguments)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl<O: Object> MethodCall for QueryChanges<O> {
    const NAME: &'static str = O::QUERY_CHANGES;
    const ACCESS: Access = Access::Read;
    type Response = QueryChangesResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            filter: take_filter(&mut arguments)?,
            sort: take_sort(&mut arguments)?,
            since_query_state: arguments.required(Property::SinceQueryState)?,
            max_changes: take_max_changes(&mut arguments)?,
            up_to_id: arguments.optional(Property::UpToId)?,
            calculate_total: arguments.or_default(Property::CalculateTotal)?,
            arguments: O::QueryArguments::take(&mut arguments)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

fn ids(ids: Vec<WireId>) -> Value {
    Value::Array(ids.into_iter().map(|id| string(id.as_str())).collect())
}

/// `null` in place of an empty object, as the RFC has it for /set.
fn map_or_null<T>(entries: Vec<(String, T)>, to_value: impl Fn(T) -> Value) -> Value {
    if entries.is_empty() {
        return Value::Null;
    }
    Value::Object(
        entries
            .into_iter()
            .map(|(name, entry)| (key(name), to_value(entry)))
            .collect(),
    )
}

fn errors(entries: Vec<(String, SetError)>) -> Value {
    map_or_null(entries, |error| Value::Object(error.into_map()))
}

impl MethodResponse for GetResponse {
    fn into_map(self) -> Map {
        Map::with_capacity(4)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::State, self.state.to_string())
            .with(Property::List, self.list)
            .with(Property::NotFound, ids(self.not_found))
    }
}

impl MethodResponse for ChangesResponse {
    fn into_map(self) -> Map {
        let map = Map::with_capacity(8)
            .with(
                Property::AccountId,
                self.account_id.map(|id| id.to_string()),
            )
            .with(Property::OldState, self.old_state)
            .with(Property::NewState, self.new_state.to_string())
            .with(Property::HasMoreChanges, self.has_more_changes)
            .with(Property::Created, ids(self.created))
            .with(Property::Updated, ids(self.updated))
            .with(Property::Destroyed, ids(self.destroyed));
        match self.updated_properties {
            None => map,
            Some(None) => map.with(Property::UpdatedProperties, Value::Null),
            Some(Some(properties)) => {
                let names: Vec<Value> = properties.iter().map(|p| string(p.name())).collect();
                map.with(Property::UpdatedProperties, names)
            }
        }
    }
}

impl MethodResponse for SetResponse {
    fn into_map(self) -> Map {
        let updated = self
            .updated
            .into_iter()
            .map(|(id, map)| (id.to_string(), map))
            .collect();
        let destroyed = if self.destroyed.is_empty() {
            Value::Null
        } else {
            ids(self.destroyed)
        };
        Map::with_capacity(9)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::OldState, self.old_state.map(|s| s.to_string()))
            .with(Property::NewState, self.new_state.to_string())
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

    fn take_implicit(&mut self) -> Vec<(&'static str, Result<Map, MethodError>)> {
        std::mem::take(&mut self.implicit)
    }
}

impl MethodResponse for CopyResponse {
    fn into_map(self) -> Map {
        Map::with_capacity(6)
            .with(Property::FromAccountId, self.from_account_id.to_string())
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::OldState, self.old_state.map(|s| s.to_string()))
            .with(Property::NewState, self.new_state.to_string())
            .with(Property::Created, map_or_null(self.created, Value::Object))
            .with(Property::NotCreated, errors(self.not_created))
    }

    fn take_implicit(&mut self) -> Vec<(&'static str, Result<Map, MethodError>)> {
        std::mem::take(&mut self.implicit)
    }
}

impl MethodResponse for QueryResponse {
    fn into_map(self) -> Map {
        let mut map = Map::with_capacity(7)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::QueryState, self.query_state)
            .with(Property::CanCalculateChanges, self.can_calculate_changes)
            .with(Property::Position, self.position)
            .with(Property::Ids, ids(self.ids));
        if let Some(total) = self.total {
            map.set(Property::Total, total);
        }
        if let Some(limit) = self.limit {
            map.set(Property::Limit, limit);
        }
        map
    }
}

impl MethodResponse for QueryChangesResponse {
    fn into_map(self) -> Map {
        let added: Vec<Value> = self
            .added
            .into_iter()
            .map(|(id, index)| {
                let item = Map::with_capacity(2);
                Value::Object(
                    item.with(Property::Id, string(id.as_str()))
                        .with(Property::Index, index),
                )
            })
            .collect();
        let mut map = Map::with_capacity(6)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::OldQueryState, self.old_query_state)
            .with(Property::NewQueryState, self.new_query_state);
        if let Some(total) = self.total {
            map.set(Property::Total, total);
        }
        map.with(Property::Removed, ids(self.removed))
            .with(Property::Added, added)
    }
}

/// Core/echo (RFC 8620 §4).
#[derive(Debug)]
pub struct Echo(pub Map);

impl MethodCall for Echo {
    const NAME: &'static str = "Core/echo";
    const ACCESS: Access = Access::Anyone;
    type Response = Map;

    fn account_id(&self) -> Option<AccountId> {
        None
    }

    fn from_arguments(arguments: Arguments) -> Result<Self, MethodError> {
        Ok(Self(arguments.into_rest()))
    }
}

/// A value that a filter condition holds, or `unsupportedFilter` with its name.
pub fn condition_value<T: FromValue>(name: &str, value: Value) -> Result<T, MethodError> {
    T::from_value(value).ok_or_else(|| {
        MethodError::invalid_arguments(format!("\"{name}\" in the filter must be {}.", T::EXPECTED))
    })
}

#[cfg(test)]
mod tests;
