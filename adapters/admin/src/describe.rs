//! Objects of the API, each with its JSON and with the schema of that (JSON Schema 2020-12, as OpenAPI 3.1 has it).
//!
//! Holds: what is served and what is described come from one declaration.
//! Other half: `openapi` puts the schemas into the document.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Schemas by name, as far as they were asked for.
#[derive(Debug, Default)]
pub struct Schemas(pub BTreeMap<&'static str, Value>);

impl Schemas {
    /// A reference to a schema, which is made when it is asked for the first time.
    pub fn refer(&mut self, name: &'static str, make: impl FnOnce(&mut Schemas) -> Value) -> Value {
        if !self.0.contains_key(name) {
            self.0.insert(name, Value::Null);
            let made = make(self);
            self.0.insert(name, made);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

/// Something that has a schema.
pub trait Described {
    /// A request may leave it out.
    const IS_OPTIONAL: bool = false;

    fn schema(schemas: &mut Schemas) -> Value;
}

impl Described for String {
    fn schema(_: &mut Schemas) -> Value {
        json!({"type": "string"})
    }
}

impl Described for bool {
    fn schema(_: &mut Schemas) -> Value {
        json!({"type": "boolean"})
    }
}

impl Described for u64 {
    fn schema(_: &mut Schemas) -> Value {
        json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": u64::MAX})
    }
}

impl<T: Described> Described for Vec<T> {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({"type": "array", "items": T::schema(schemas)})
    }
}

impl<T: Described> Described for Option<T> {
    const IS_OPTIONAL: bool = true;

    fn schema(schemas: &mut Schemas) -> Value {
        nullable(T::schema(schemas))
    }
}

/// The schema, or null.
fn nullable(mut schema: Value) -> Value {
    match schema
        .get("type")
        .and_then(Value::as_str)
        .map(str::to_owned)
    {
        Some(kind) => {
            if let Some(object) = schema.as_object_mut() {
                object.insert("type".into(), json!([kind, "null"]));
            }
            schema
        }
        None => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

/// What a merge patch (RFC 7396) says of a member that may be null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    /// `None`: as it was; `Some(None)`: none any more.
    pub fn change(self) -> Option<Option<T>> {
        match self {
            Patch::Keep => None,
            Patch::Clear => Some(None),
            Patch::Set(value) => Some(Some(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Patch<T>, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            None => Patch::Clear,
            Some(value) => Patch::Set(value),
        })
    }
}

impl<T: Described> Described for Patch<T> {
    const IS_OPTIONAL: bool = true;

    fn schema(schemas: &mut Schemas) -> Value {
        nullable(T::schema(schemas))
    }
}

/// A member of a patch that may be left out, and is never null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Optional<T>(pub Option<T>);

impl<T> Default for Optional<T> {
    fn default() -> Optional<T> {
        Optional(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Optional<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Optional<T>, D::Error> {
        T::deserialize(deserializer).map(|value| Optional(Some(value)))
    }
}

impl<T: Described> Described for Optional<T> {
    const IS_OPTIONAL: bool = true;

    fn schema(schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }
}

/// A property of an object: its schema, what is said of it, and what else holds of it.
pub fn property(schema: Value, text: &[&str], limits: Option<Value>) -> Value {
    let mut schema = match schema {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let text = sentence(text);
    if !text.is_empty() {
        schema.insert("description".into(), json!(text));
    }
    if let Some(Value::Object(limits)) = limits {
        schema.extend(limits);
    }
    Value::Object(schema)
}

/// The lines of a comment as one text.
pub fn sentence(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// `quota_octets` as JSON has it: `quotaOctets`.
pub fn camel_case(name: &str) -> String {
    let mut parts = name.trim_start_matches("r#").split('_');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut characters = part.chars();
        text.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(characters.as_str());
    }
    text
}

/// Declares an object of the API: `answer`, `request` (members are needed, unless their type says otherwise) or `patch` (none is).
macro_rules! object {
    (answer $(#[doc = $about:literal])* $name:ident {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty $(= $limits:tt)?),* $(,)?
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($(#[doc = $doc])* pub $field: $type),* }
        $crate::describe::object!(@schema true, [$($about),*], $name,
            $([$($doc),*] $field: $type [$($limits)?]),*);
    };
    (request $(#[doc = $about:literal])* $name:ident {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty $(= $limits:tt)?),* $(,)?
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name { $($(#[doc = $doc])* pub $field: $type),* }
        $crate::describe::object!(@schema false, [$($about),*], $name,
            $([$($doc),*] $field: $type [$($limits)?]),*);
    };
    (patch $(#[doc = $about:literal])* $name:ident {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty $(= $limits:tt)?),* $(,)?
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $name { $($(#[doc = $doc])* pub $field: $type),* }
        $crate::describe::object!(@schema false, [$($about),*], $name,
            $([$($doc),*] $field: $type [$($limits)?]),*);
    };
    (@schema $is_answer:literal, [$($about:literal),*], $name:ident,
        $([$($doc:literal),*] $field:ident: $type:ty [$($limits:tt)?]),*) => {
        impl $crate::describe::Described for $name {
            fn schema(schemas: &mut $crate::describe::Schemas) -> serde_json::Value {
                schemas.refer(stringify!($name), |schemas| {
                    let mut properties = serde_json::Map::new();
                    let mut required: Vec<String> = Vec::new();
                    $({
                        let name = $crate::describe::camel_case(stringify!($field));
                        let schema = <$type as $crate::describe::Described>::schema(schemas);
                        let limits = $crate::describe::object!(@limits $($limits)?);
                        let schema = $crate::describe::property(schema, &[$($doc),*], limits);
                        if $is_answer || !<$type as $crate::describe::Described>::IS_OPTIONAL {
                            required.push(name.clone());
                        }
                        properties.insert(name, schema);
                    })*
                    serde_json::json!({
                        "type": "object",
                        "description": $crate::describe::sentence(&[$($about),*]),
                        "properties": properties,
                        "required": required,
                        "additionalProperties": false,
                    })
                })
            }
        }
    };
    (@limits) => { None };
    (@limits $limits:tt) => { Some(serde_json::json!($limits)) };
}
pub(crate) use object;

/// Declares words of which one is chosen.
macro_rules! choice {
    ($(#[doc = $about:literal])* $name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name { $(#[serde(rename = $word)] $variant),* }

        impl $name {
            pub const WORDS: &[&str] = &[$($word),*];
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(word: &str) -> Result<$name, ()> {
                match word {
                    $($word => Ok($name::$variant),)*
                    _ => Err(()),
                }
            }
        }

        impl $crate::describe::Described for $name {
            fn schema(schemas: &mut $crate::describe::Schemas) -> serde_json::Value {
                schemas.refer(stringify!($name), |_| serde_json::json!({
                    "type": "string",
                    "description": $crate::describe::sentence(&[$($about),*]),
                    "enum": $name::WORDS,
                }))
            }
        }
    };
}
pub(crate) use choice;
