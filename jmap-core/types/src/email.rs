//! Email/import and Email/parse (RFC 8621 §4.8, §4.9): the calls that only emails have.

use crate::{
    AccountId, Arguments, MethodError, Property, SetError, State, Value, WireId,
    mail::EmailGetArguments,
    method::{Access, CreatedIds, ExtraArguments, MethodCall, MethodResponse},
    value::{Map, MapExt, key, string},
};

/// Email/import (RFC 8621 §4.8).
#[derive(Debug)]
pub struct Import {
    pub account_id: AccountId,
    pub if_in_state: Option<String>,
    /// EmailImport objects by creation id.
    pub emails: Vec<(String, Map)>,
    pub created_ids: CreatedIds,
}

#[derive(Debug)]
pub struct ImportResponse {
    pub account_id: AccountId,
    pub old_state: Option<State>,
    pub new_state: State,
    pub created: Vec<(String, Map)>,
    pub not_created: Vec<(String, SetError)>,
}

/// Email/parse (RFC 8621 §4.9).
#[derive(Debug)]
pub struct Parse {
    pub account_id: AccountId,
    pub blob_ids: Vec<WireId>,
    /// `None`: the default ones of §4.9.
    pub properties: Option<Vec<String>>,
    pub arguments: EmailGetArguments,
}

#[derive(Debug)]
pub struct ParseResponse {
    pub account_id: AccountId,
    pub parsed: Vec<(WireId, Value)>,
    pub not_parsable: Vec<WireId>,
    pub not_found: Vec<WireId>,
}

impl MethodCall for Import {
    const NAME: &'static str = "Email/import";
    const ACCESS: Access = Access::Write;
    type Response = ImportResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            if_in_state: arguments.optional(Property::IfInState)?,
            emails: arguments.required_creations(Property::Emails)?,
            created_ids: CreatedIds::default(),
        };
        arguments.finish()?;
        Ok(call)
    }

    fn set_created_ids(&mut self, created: CreatedIds) {
        self.created_ids = created;
    }
}

impl MethodCall for Parse {
    const NAME: &'static str = "Email/parse";
    const ACCESS: Access = Access::Read;
    type Response = ParseResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            blob_ids: arguments.required(Property::BlobIds)?,
            properties: arguments.names(Property::Properties)?,
            arguments: EmailGetArguments::take(&mut arguments)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

/// An object by name, or null for none.
pub(crate) fn by_name<T>(entries: Vec<(String, T)>, to_value: impl Fn(T) -> Value) -> Value {
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

/// A list of ids, or null for none.
pub(crate) fn ids_or_null(ids: Vec<WireId>) -> Value {
    if ids.is_empty() {
        return Value::Null;
    }
    Value::Array(ids.into_iter().map(|id| string(id.as_str())).collect())
}

impl MethodResponse for ImportResponse {
    fn into_map(self) -> Map {
        Map::with_capacity(5)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::OldState, self.old_state.map(|s| s.to_string()))
            .with(Property::NewState, self.new_state.to_string())
            .with(Property::Created, by_name(self.created, Value::Object))
            .with(
                Property::NotCreated,
                by_name(self.not_created, |error| Value::Object(error.into_map())),
            )
    }
}

impl MethodResponse for ParseResponse {
    fn into_map(self) -> Map {
        let parsed = self.parsed.into_iter();
        let parsed = parsed.map(|(id, email)| (id.to_string(), email)).collect();
        Map::with_capacity(4)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::Parsed, by_name(parsed, |email| email))
            .with(Property::NotParsable, ids_or_null(self.not_parsable))
            .with(Property::NotFound, ids_or_null(self.not_found))
    }
}
