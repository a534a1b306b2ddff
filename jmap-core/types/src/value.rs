//! JSON values with typed keys, over `jmap-tools`.
//!
//! Holds: an object of these has each key at most once (the edge refuses others, RFC 7493 §2.3).

use std::borrow::Cow;

use crate::property::{NoElement, Property};

pub type Value = jmap_tools::Value<'static, Property, NoElement>;
pub type Map = jmap_tools::Map<'static, Property, NoElement>;
pub type Key = jmap_tools::Key<'static, Property>;

/// Building objects, in their order.
pub trait MapExt {
    fn with(self, property: Property, value: impl Into<Value>) -> Self;
    fn set(&mut self, property: Property, value: impl Into<Value>);
    /// The value of `property`, if it is there (it may be null).
    fn find(&self, property: Property) -> Option<&Value>;
    /// Takes the value of `property` out, keeping the order of the others.
    fn take(&mut self, property: Property) -> Option<Value>;
    /// Takes the value of any key out, keeping the order of the others.
    fn take_key(&mut self, key: &str) -> Option<Value>;
}

impl MapExt for Map {
    fn with(mut self, property: Property, value: impl Into<Value>) -> Self {
        self.insert_unchecked(Key::Property(property), value);
        self
    }

    fn set(&mut self, property: Property, value: impl Into<Value>) {
        self.insert(Key::Property(property), value);
    }

    fn find(&self, property: Property) -> Option<&Value> {
        self.get(&Key::Property(property))
    }

    fn take(&mut self, property: Property) -> Option<Value> {
        let entries = self.as_mut_vec();
        let at = entries
            .iter()
            .position(|(key, _)| *key == Key::Property(property))?;
        Some(entries.remove(at).1)
    }

    fn take_key(&mut self, key: &str) -> Option<Value> {
        let entries = self.as_mut_vec();
        let at = entries.iter().position(|(k, _)| k.to_string() == key)?;
        Some(entries.remove(at).1)
    }
}

/// A key of any text: a property where the name is one.
pub fn key(text: impl Into<String>) -> Key {
    let text = text.into();
    match <Property as jmap_tools::Property>::try_parse(None, &text) {
        Some(property) => Key::Property(property),
        None => Key::Owned(text),
    }
}

/// A string value.
pub fn string(text: impl Into<String>) -> Value {
    Value::Str(Cow::Owned(text.into()))
}

/// `{"a": true, "b": true}`
pub fn set_of<T: ToString>(members: impl IntoIterator<Item = T>) -> Value {
    let map: Map = members
        .into_iter()
        .map(|m| (key(m.to_string()), Value::Bool(true)))
        .collect();
    Value::Object(map)
}

/// How much memory a value takes, roughly, in octets.
pub fn weight(value: &Value) -> usize {
    const VALUE: usize = 48;
    VALUE
        + match value {
            Value::Str(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(map) => weight_of_map(map),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Element(_) => 0,
        }
}

pub fn weight_of_map(map: &Map) -> usize {
    let entries = map.iter();
    entries
        .map(|(key, value)| weight_of_key(key) + weight(value))
        .sum()
}

pub fn weight_of_key(key: &Key) -> usize {
    const KEY: usize = 32;
    KEY + key.as_string_key().map_or(0, str::len)
}

/// The text of a string value.
pub fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::Str(text) => Some(text),
        _ => None,
    }
}
