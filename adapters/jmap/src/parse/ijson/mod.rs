//! I-JSON (RFC 7493) into values.
//!
//! Holds: invalid UTF-8, surrogates, noncharacters, repeated names, and what is deeper or more than the limits are
//! refused while they are read: neither the stack nor memory grows with what is refused.
//! Other half: `jmap_types::value`, whose objects have each name at most once because of this.

use std::{cell::Cell, collections::HashSet, fmt};

use jmap_types::{
    Value,
    value::{Key, Map, key, string},
};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Arrays and objects within each other.
pub const JSON_DEPTH_MAX: usize = 64;
/// Values of one document; each takes some 30 octets of memory, however short it is.
pub const JSON_VALUES_MAX: usize = 500_000;
/// Up to so many names are compared one by one.
const FEW_NAMES: usize = 8;

/// Why octets are not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("not I-JSON: {0}")]
    Syntax(String),
    #[error("not I-JSON: more than {JSON_DEPTH_MAX} levels of arrays and objects")]
    TooDeep,
    #[error("more than {JSON_VALUES_MAX} values")]
    TooMany,
}

/// Reads one document and nothing behind it.
pub fn parse(octets: &[u8]) -> Result<Value, JsonError> {
    let limits = Limits {
        left: Cell::new(JSON_VALUES_MAX),
        exceeded: Cell::new(None),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(octets);
    let seed = ValueSeed {
        limits: &limits,
        depth: 0,
    };
    let parsed = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| match limits.exceeded.get() {
        Some(Exceeded::Depth) => JsonError::TooDeep,
        Some(Exceeded::Count) => JsonError::TooMany,
        None => JsonError::Syntax(error.to_string()),
    })
}

struct Limits {
    left: Cell<usize>,
    exceeded: Cell<Option<Exceeded>>,
}

#[derive(Clone, Copy)]
enum Exceeded {
    Depth,
    Count,
}

#[derive(Clone, Copy)]
struct ValueSeed<'l> {
    limits: &'l Limits,
    /// Arrays and objects around this value.
    depth: usize,
}

impl ValueSeed<'_> {
    fn count<E: Error>(&self) -> Result<(), E> {
        match self.limits.left.get().checked_sub(1) {
            Some(left) => {
                self.limits.left.set(left);
                Ok(())
            }
            None => self.exceed(Exceeded::Count),
        }
    }

    fn inner<E: Error>(&self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > JSON_DEPTH_MAX {
            self.exceed(Exceeded::Depth)?;
        }
        Ok(Self { depth, ..*self })
    }

    fn exceed<E: Error>(&self, what: Exceeded) -> Result<(), E> {
        self.limits.exceeded.set(Some(what));
        Err(E::custom("a limit is exceeded"))
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(string(checked(text)?))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut entries = Vec::new();
        while let Some(name) = members.next_key_seed(KeySeed)? {
            entries.push((name, members.next_value_seed(inner)?));
        }
        refuse_repeated(&entries)?;
        Ok(Value::Object(Map::from(entries)))
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Key, E> {
        Ok(key(checked(text)?))
    }
}

/// RFC 7493 §2.3: a name occurs once in an object.
fn refuse_repeated<E: Error>(entries: &[(Key, Value)]) -> Result<(), E> {
    let repeated = if entries.len() <= FEW_NAMES {
        let mut rest = entries;
        let mut found = None;
        while let Some(((name, _), others)) = rest.split_first() {
            found = found.or_else(|| others.iter().find(|(other, _)| other == name));
            rest = others;
        }
        found.map(|(name, _)| name)
    } else {
        let mut seen = HashSet::with_capacity(entries.len());
        entries
            .iter()
            .map(|(name, _)| name)
            .find(|name| !seen.insert(name.to_string()))
    };
    match repeated {
        None => Ok(()),
        Some(name) => {
            let name = name.to_string();
            Err(E::custom(format_args!("the name {name:?} is repeated")))
        }
    }
}

/// RFC 7493 §2.1: no noncharacters. (Surrogates can't be in a `str`.)
fn checked<E: Error>(text: &str) -> Result<&str, E> {
    // All noncharacters begin with one of these octets in UTF-8; most text has none of them.
    let suspicious = text.bytes().any(|octet| octet >= 0xef);
    if suspicious && text.chars().any(is_noncharacter) {
        return Err(E::custom("a string has a Unicode noncharacter"));
    }
    Ok(text)
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests;
