//! JMAP for Sieve Scripts (RFC 9661): the object, what adds to the standard methods, and SieveScript/validate.

use crate::{
    AccountId, Arguments, DataType, Id, MethodError, MethodErrorKind, ObjectKind, Property,
    SetError, WireId,
    method::{
        Access, Condition, ExtraArguments, MethodCall, MethodResponse, Object, SortKey,
        condition_value,
    },
    object_names,
    value::{Map, MapExt, Value},
};

/// RFC 9661 §2
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SieveScript {}

impl ObjectKind for SieveScript {
    const PREFIX: char = 's';
}

pub type SieveScriptId = Id<SieveScript>;

impl Object for SieveScript {
    object_names!("SieveScript", Some(DataType::SieveScript));
    type GetArguments = ();
    type SetArguments = SieveScriptSetArguments;
    type QueryArguments = ();
    type Condition = SieveScriptCondition;
    type SortKey = SieveScriptSortKey;
}

/// RFC 9661 §2.2 SieveScript/set.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SieveScriptSetArguments {
    /// An id, or a creation id behind `#`.
    pub on_success_activate_script: Option<String>,
    pub on_success_deactivate_script: bool,
}

impl ExtraArguments for SieveScriptSetArguments {
    fn take(arguments: &mut Arguments) -> Result<Self, MethodError> {
        let deactivate: Option<bool> = arguments.optional(Property::OnSuccessDeactivateScript)?;
        Ok(Self {
            on_success_activate_script: arguments.optional(Property::OnSuccessActivateScript)?,
            on_success_deactivate_script: deactivate.unwrap_or(false),
        })
    }
}

/// What SieveScript/query filters by: all of those given must be true.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SieveScriptCondition {
    /// The name contains this text.
    pub name: Option<String>,
    pub is_active: Option<bool>,
}

impl Condition for SieveScriptCondition {
    fn from_map(map: Map) -> Result<Self, MethodError> {
        let mut condition = Self::default();
        for (key, value) in map.into_vec() {
            let name = key.into_string();
            match name.as_str() {
                "name" => condition.name = Some(condition_value(&name, value)?),
                "isActive" => condition.is_active = Some(condition_value(&name, value)?),
                _ => {
                    let why = format!("The filter knows no \"{name}\".");
                    return Err(MethodError::describe(
                        MethodErrorKind::UnsupportedFilter,
                        why,
                    ));
                }
            }
        }
        Ok(condition)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SieveScriptSortKey {
    Name,
    IsActive,
}

impl SortKey for SieveScriptSortKey {
    fn from_property(property: &str, _: &mut Arguments) -> Result<Self, MethodError> {
        match property {
            "name" => Ok(Self::Name),
            "isActive" => Ok(Self::IsActive),
            other => Err(MethodError::describe(
                MethodErrorKind::UnsupportedSort,
                format!("There is no sorting by \"{other}\"."),
            )),
        }
    }
}

/// SieveScript/validate: whether a blob is a script that could be stored.
#[derive(Debug)]
pub struct SieveScriptValidate {
    pub account_id: AccountId,
    pub blob_id: WireId,
}

#[derive(Debug)]
pub struct SieveScriptValidateResponse {
    pub account_id: AccountId,
    /// `None`: it is valid. Otherwise an `invalidSieve`.
    pub error: Option<SetError>,
}

impl MethodCall for SieveScriptValidate {
    const NAME: &'static str = "SieveScript/validate";
    const ACCESS: Access = Access::Read;
    type Response = SieveScriptValidateResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            blob_id: arguments.required(Property::BlobId)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl MethodResponse for SieveScriptValidateResponse {
    fn into_map(self) -> Map {
        let error = self
            .error
            .map_or(Value::Null, |error| Value::Object(error.into_map()));
        Map::with_capacity(2)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::Error, error)
    }
}
