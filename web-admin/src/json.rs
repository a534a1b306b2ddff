//! Reading and making JSON by pointers.
//!
//! Holds: what isn't there, or is something else, is empty: a newer server may leave a field out.

use serde_json::{Map, Value};

pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

pub fn flag(value: &Value, pointer: &str) -> bool {
    value
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

pub fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The strings of an array.
pub fn texts(value: &Value, pointer: &str) -> Vec<String> {
    let texts = items(value, pointer).iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Puts a value at a pointer, and makes the objects on the way.
pub fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for name in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(map) = at.as_object_mut() else {
            return;
        };
        at = map.entry(name.to_owned()).or_insert(Value::Null);
    }
    *at = value;
}

/// What has to be sent to change `before` into `after` (RFC 7396): only the members that differ.
pub fn changes(before: &Value, after: &Value) -> Value {
    let mut changes = Map::new();
    for (name, value) in after.as_object().into_iter().flatten() {
        match before.get(name) {
            Some(old) if old == value => {}
            Some(old) if old.is_object() && value.is_object() => {
                let below = self::changes(old, value);
                if below.as_object().is_some_and(|below| !below.is_empty()) {
                    changes.insert(name.clone(), below);
                }
            }
            None if value.is_null() => {}
            _ => {
                changes.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(changes)
}

/// What takes such changes back: the members that they touch, as they were before.
pub fn reverse(before: &Value, changes: &Value) -> Value {
    let mut back = Map::new();
    for (name, value) in changes.as_object().into_iter().flatten() {
        let was = before.get(name).unwrap_or(&Value::Null);
        let is_below = was.is_object() && value.is_object();
        let was = if is_below {
            reverse(was, value)
        } else {
            was.clone()
        };
        back.insert(name.clone(), was);
    }
    Value::Object(back)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn put_makes_the_way() {
        let mut object = json!({"a": 1});
        put(&mut object, "/b/c", json!("x"));
        put(&mut object, "/a", Value::Null);
        assert_eq!(object, json!({"a": null, "b": {"c": "x"}}));
    }

    #[test]
    fn only_what_differs_is_sent() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]});
        let after = json!({"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2], "f": null, "g": "x"});
        assert_eq!(
            changes(&before, &after),
            json!({"b": {"d": 3}, "e": [1, 2], "g": "x"})
        );
        assert_eq!(changes(&before, &before), json!({}));
    }

    #[test]
    fn what_was_changed_goes_back() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]});
        let changes = json!({"a": null, "b": {"d": 3}, "e": [1, 2], "g": "x"});
        let back = json!({"a": 1, "b": {"d": 2}, "e": [1], "g": null});
        assert_eq!(reverse(&before, &changes), back);
    }
}
