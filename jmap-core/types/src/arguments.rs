//! Reading the arguments of a method call, strictly (RFC 8620 §3.6.2 `invalidArguments`).
//!
//! Holds: an argument of the wrong type, a missing one and an unknown one are errors that name it; what is an id, or a creation id, has
//! the octets of an Id (§1.2).

use std::collections::HashSet;

use crate::{
    AccountId, MethodError, MethodErrorKind, Property, UtcDate, WireId,
    value::{Map, MapExt, Value},
};

/// The arguments of one call that have not been read yet.
#[derive(Debug)]
pub struct Arguments(Map);

/// A Rust value out of a JSON value; `None` when it is of another type.
pub trait FromValue: Sized {
    const EXPECTED: &'static str;
    fn from_value(value: Value) -> Option<Self>;
}

impl Arguments {
    pub fn new(map: Map) -> Self {
        Self(map)
    }

    /// A mandatory argument.
    pub fn required<T: FromValue>(&mut self, property: Property) -> Result<T, MethodError> {
        let value = self.0.take(property).ok_or_else(|| {
            MethodError::invalid_arguments(format!("The argument \"{property}\" is missing."))
        })?;
        convert(property, value)
    }

    /// An argument that may be missing or null.
    pub fn optional<T: FromValue>(&mut self, property: Property) -> Result<Option<T>, MethodError> {
        match self.0.take(property) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => convert(property, value).map(Some),
        }
    }

    /// An argument with a default; null is not among its values.
    pub fn or<T: FromValue>(&mut self, property: Property, default: T) -> Result<T, MethodError> {
        match self.0.take(property) {
            None => Ok(default),
            Some(value) => convert(property, value),
        }
    }

    /// An argument with a default, for which null says the same as its absence.
    pub fn or_default<T: FromValue + Default>(
        &mut self,
        property: Property,
    ) -> Result<T, MethodError> {
        Ok(self.optional(property)?.unwrap_or_default())
    }

    /// Names of properties or types, each once: twice says no more than once, and must not cost or answer more.
    pub fn names(&mut self, property: Property) -> Result<Option<Vec<String>>, MethodError> {
        Ok(self.optional(property)?.map(distinct))
    }

    /// As [`Arguments::names`], where they must be given.
    pub fn required_names(&mut self, property: Property) -> Result<Vec<String>, MethodError> {
        self.required(property).map(distinct)
    }

    /// Objects by creation id (RFC 8620 §5.3 `create`).
    pub fn creations(&mut self, property: Property) -> Result<Vec<(String, Map)>, MethodError> {
        let objects: Vec<(String, Map)> = self.or_default(property)?;
        check_each(property, objects, |(id, _)| WireId::is_valid(id))
    }

    /// As [`Arguments::creations`], where they must be given.
    pub fn required_creations(
        &mut self,
        property: Property,
    ) -> Result<Vec<(String, Map)>, MethodError> {
        let objects: Vec<(String, Map)> = self.required(property)?;
        check_each(property, objects, |(id, _)| WireId::is_valid(id))
    }

    /// Patches by id, or by creation id behind `#` (RFC 8620 §5.3 `update`).
    pub fn patches(&mut self, property: Property) -> Result<Vec<(String, Map)>, MethodError> {
        let patches: Vec<(String, Map)> = self.or_default(property)?;
        check_each(property, patches, |(id, _)| is_reference(id))
    }

    /// Ids, or creation ids behind `#` (RFC 8620 §5.3 `destroy`).
    pub fn references(&mut self, property: Property) -> Result<Vec<String>, MethodError> {
        let ids: Vec<String> = self.or_default(property)?;
        check_each(property, ids, |id| is_reference(id))
    }

    /// As [`Arguments::references`], where they must be given.
    pub fn required_references(&mut self, property: Property) -> Result<Vec<String>, MethodError> {
        let ids: Vec<String> = self.required(property)?;
        check_each(property, ids, |id| is_reference(id))
    }

    /// RFC 8620 §3.6.2: an accountId that isn't one names no account.
    pub fn account_id(&mut self) -> Result<AccountId, MethodError> {
        let id: String = self.required(Property::AccountId)?;
        AccountId::parse(&id).ok_or(MethodErrorKind::AccountNotFound.into())
    }

    /// All arguments have been read.
    pub fn finish(self) -> Result<(), MethodError> {
        match self.0.as_vec().first() {
            None => Ok(()),
            Some((key, _)) => Err(MethodError::invalid_arguments(format!(
                "The argument \"{}\" is unknown.",
                key.to_string()
            ))),
        }
    }

    pub fn into_rest(self) -> Map {
        self.0
    }
}

fn distinct(mut names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn check_each<T>(
    property: Property,
    items: Vec<T>,
    is_valid: impl Fn(&T) -> bool,
) -> Result<Vec<T>, MethodError> {
    match items.iter().all(is_valid) {
        true => Ok(items),
        false => Err(MethodError::invalid_arguments(format!(
            "\"{property}\" has something that is no Id."
        ))),
    }
}

fn is_reference(id: &str) -> bool {
    WireId::is_valid(id.strip_prefix('#').unwrap_or(id))
}

fn convert<T: FromValue>(property: Property, value: Value) -> Result<T, MethodError> {
    T::from_value(value).ok_or_else(|| {
        MethodError::invalid_arguments(format!("\"{property}\" must be {}.", T::EXPECTED))
    })
}

macro_rules! from_value {
    ($type:ty, $expected:literal, $pattern:pat => $result:expr) => {
        impl FromValue for $type {
            const EXPECTED: &'static str = $expected;
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    $pattern => $result,
                    _ => None,
                }
            }
        }
    };
}

/// RFC 8620 §1.3: integers are within ±(2^53 - 1).
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

from_value!(bool, "a Boolean", Value::Bool(b) => Some(b));
from_value!(String, "a String", Value::Str(text) => Some(text.into_owned()));
from_value!(u64, "an UnsignedInt", Value::Number(n) => n.as_u64().filter(|&n| n <= INTEGER_MAX as u64));
from_value!(i64, "an Int", Value::Number(n) => n.as_i64().filter(|n| n.abs() <= INTEGER_MAX));
from_value!(Map, "an object", Value::Object(map) => Some(map));
from_value!(WireId, "an Id", Value::Str(text) => WireId::parse(&text));
from_value!(UtcDate, "a UTCDate", Value::Str(text) => UtcDate::parse(&text));

impl FromValue for Value {
    const EXPECTED: &'static str = "a value";
    fn from_value(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    const EXPECTED: &'static str = "an array of the right type";
    fn from_value(value: Value) -> Option<Self> {
        value.into_array()?.into_iter().map(T::from_value).collect()
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// `{"x": …}` in its order.
impl<T: FromValue> FromValue for Vec<(String, T)> {
    const EXPECTED: &'static str = "an object of the right type";
    fn from_value(value: Value) -> Option<Self> {
        let entries = value.into_object()?.into_vec().into_iter();
        entries
            .map(|(key, value)| Some((key.into_string(), T::from_value(value)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::NoElement;

    fn arguments(json: &'static str) -> Arguments {
        let value = jmap_tools::Value::<Property, NoElement>::parse_json(json);
        Arguments::new(value.expect("JSON").into_object().expect("an object"))
    }

    #[test]
    fn names_come_once_in_their_order() {
        let mut of = arguments(r#"{"properties":["b","a","b","A","a"],"typeNames":["x","x"]}"#);
        let names = of.names(Property::Properties).expect("names");
        assert_eq!(names.expect("some"), ["b", "a", "A"]);
        assert_eq!(of.names(Property::Properties).expect("none"), None);
        let names = of.required_names(Property::TypeNames).expect("names");
        assert_eq!(names, ["x"]);
        assert!(of.required_names(Property::TypeNames).is_err());
        let mut null = arguments(r#"{"properties":null,"typeNames":[1]}"#);
        assert_eq!(null.names(Property::Properties).expect("null"), None);
        assert!(null.names(Property::TypeNames).is_err());
    }

    type Read = fn(&mut Arguments, Property) -> Result<usize, MethodError>;

    /// Both as the keys of an object and as the items of an array.
    const KEYS: [Read; 3] = [
        |of, name| of.creations(name).map(|all| all.len()),
        |of, name| of.required_creations(name).map(|all| all.len()),
        |of, name| of.patches(name).map(|all| all.len()),
    ];
    const ITEMS: [Read; 2] = [
        |of, name| of.references(name).map(|all| all.len()),
        |of, name| of.required_references(name).map(|all| all.len()),
    ];

    fn check_id(id: &str, is_creation_id: bool, is_reference: bool) {
        let keys: &'static str = format!(r#"{{"create":{{"ok":{{}},"{id}":{{}}}}}}"#).leak();
        let items: &'static str = format!(r#"{{"create":["ok","{id}"]}}"#).leak();
        let [creations, required, patches] =
            KEYS.map(|read| read(&mut arguments(keys), Property::Create));
        let [references, required_references] =
            ITEMS.map(|read| read(&mut arguments(items), Property::Create));
        for (read, is_valid) in [
            (creations, is_creation_id),
            (required, is_creation_id),
            (patches, is_reference),
            (references, is_reference),
            (required_references, is_reference),
        ] {
            match read {
                Ok(count) => assert!(is_valid && count == 2, "{id}"),
                Err(error) => {
                    assert!(!is_valid, "{id}");
                    assert_eq!(error.kind, MethodErrorKind::InvalidArguments, "{id}");
                }
            }
        }
    }

    #[test]
    fn ids_and_creation_ids_are_ids() {
        check_id("k1", true, true);
        check_id("0_-Z", true, true);
        check_id(&"k".repeat(255), true, true);
        check_id("#k1", false, true);
        check_id(&format!("#{}", "k".repeat(255)), false, true);
        for wrong in ["", "a b", "é", "a.b", "a/b", "#", "##k", "#a b"] {
            check_id(wrong, false, false);
        }
        check_id(&"k".repeat(256), false, false);
    }
}
