//! PatchObjects (RFC 8620 §5.3) and JSON Pointer (RFC 6901) over objects.
//!
//! Holds: a patch that can't be applied as a whole changes nothing.

use crate::{
    SetError, SetErrorKind,
    value::{Map, Value, key},
};

/// Why a patch is no patch: the path at fault.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct InvalidPatch {
    pub path: String,
    pub why: &'static str,
}

impl From<InvalidPatch> for SetError {
    fn from(invalid: InvalidPatch) -> Self {
        Self {
            properties: vec![invalid.path],
            ..Self::describe(SetErrorKind::InvalidPatch, invalid.why)
        }
    }
}

/// How deep a patch may point.
pub const POINTER_DEPTH_MAX: usize = 32;

/// The steps of a JSON Pointer without its leading slash; `None` when an escape is wrong.
pub fn parse_pointer(path: &str) -> Option<Vec<String>> {
    let steps: Vec<String> = path.split('/').map(unescape).collect::<Option<_>>()?;
    (steps.len() <= POINTER_DEPTH_MAX).then_some(steps)
}

/// RFC 6901 §3: `~1` is a slash, `~0` a tilde, nothing else is.
fn unescape(step: &str) -> Option<String> {
    if !step.contains('~') {
        return Some(step.to_owned());
    }
    let mut plain = String::with_capacity(step.len());
    let mut chars = step.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

/// Applies `patch` to `object`. A null takes the member away; the caller gives properties that
/// have a default their default again (RFC 8620 §5.3).
pub fn apply(object: &mut Map, patch: Map) -> Result<(), InvalidPatch> {
    let entries = patch.into_vec();
    let mut parsed = Vec::with_capacity(entries.len());
    for (path, value) in entries {
        let path = path.into_string();
        let invalid = |why| InvalidPatch {
            path: path.clone(),
            why,
        };
        let steps =
            parse_pointer(&path).ok_or_else(|| invalid("The path is not a JSON Pointer."))?;
        parsed.push((path, steps, value));
    }
    refuse_prefixes(&parsed)?;
    let mut patched = object.clone();
    for (path, steps, value) in parsed {
        set_at(&mut patched, &steps, value).map_err(|why| InvalidPatch { path, why })?;
    }
    *object = patched;
    Ok(())
}

/// What a patch makes of each property that it touches, as a whole; null of one that it takes away. `object` is the object before: it is
/// made only for a patch that goes into a property.
pub fn whole_properties(patch: Map, object: impl FnOnce() -> Map) -> Result<Map, InvalidPatch> {
    let is_name = |path: &str| !path.contains(['/', '~']);
    if patch.keys().all(|path| is_name(&path.to_string())) {
        return Ok(patch);
    }
    let mut properties = Map::with_capacity(patch.len());
    for path in patch.keys() {
        // A path that is none is refused below.
        let steps = parse_pointer(&path.to_string()).unwrap_or_default();
        if let Some(name) = steps.into_iter().next() {
            properties.insert(key(name), Value::Null);
        }
    }
    let mut patched = object();
    apply(&mut patched, patch)?;
    for (name, value) in properties.as_mut_vec() {
        if let Some(now) = patched.get_mut(name) {
            *value = std::mem::replace(now, Value::Null);
        }
    }
    Ok(properties)
}

/// RFC 8620 §5.3: no pointer may be a prefix of another.
fn refuse_prefixes(parsed: &[(String, Vec<String>, Value)]) -> Result<(), InvalidPatch> {
    let mut paths: Vec<&[String]> = parsed
        .iter()
        .map(|(_, steps, _)| steps.as_slice())
        .collect();
    paths.sort_unstable();
    match paths.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        Some(pair) => Err(InvalidPatch {
            path: pair[1].join("/"),
            why: "Another path of the patch is a prefix of this one.",
        }),
        None => Ok(()),
    }
}

fn set_at(object: &mut Map, steps: &[String], value: Value) -> Result<(), &'static str> {
    let [step, rest @ ..] = steps else {
        return Err("The path is empty.");
    };
    let name = key(step.as_str());
    if !rest.is_empty() {
        return match object.get_mut(&name) {
            Some(Value::Object(inner)) => set_at(inner, rest, value),
            Some(Value::Array(_)) => Err("A patch must not point into an array."),
            _ => Err("What the path goes through does not exist."),
        };
    }
    let entries = object.as_mut_vec();
    let at = entries.iter().position(|(k, _)| *k == name);
    match (at, value) {
        (Some(at), Value::Null) => {
            entries.remove(at);
        }
        (None, Value::Null) => {}
        (Some(at), value) => entries[at].1 = value,
        (None, value) => entries.push((name, value)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: &str) -> Map {
        Value::parse_json(json.to_owned().leak())
            .unwrap()
            .into_object()
            .unwrap()
    }

    fn check(object: &str, patch: &str, expected: Result<&str, &str>) {
        let mut patched = map(object);
        let result = apply(&mut patched, map(patch));
        match expected {
            Ok(json) => {
                assert_eq!(result, Ok(()), "{patch}");
                assert_eq!(Value::Object(patched), Value::Object(map(json)), "{patch}");
            }
            Err(path) => {
                assert_eq!(result.unwrap_err().path, path);
                assert_eq!(
                    Value::Object(patched),
                    Value::Object(map(object)),
                    "{patch}"
                );
            }
        }
    }

    #[test]
    fn patches() {
        let object = r#"{"a": {"x": true}, "n": 1, "l": [1]}"#;
        check(
            object,
            r#"{"a/y": true}"#,
            Ok(r#"{"a": {"x": true, "y": true}, "n": 1, "l": [1]}"#),
        );
        check(
            object,
            r#"{"a/x": null, "n": 2}"#,
            Ok(r#"{"a": {}, "n": 2, "l": [1]}"#),
        );
        check(
            object,
            r#"{"a/0123": 1}"#,
            Ok(r#"{"a": {"x": true, "0123": 1}, "n": 1, "l": [1]}"#),
        );
        check(
            object,
            r#"{"a/s~1t~0": 1}"#,
            Ok(r#"{"a": {"x": true, "s/t~": 1}, "n": 1, "l": [1]}"#),
        );
        check(object, r#"{"n": 2, "b/c": 1}"#, Err("b/c"));
        check(object, r#"{"l/0": 2}"#, Err("l/0"));
        check(object, r#"{"a": {}, "a/x": null}"#, Err("a/x"));
        check(object, r#"{"a~2": 1}"#, Err("a~2"));
    }

    fn check_whole(patch: &str, expected: Result<&str, &str>) {
        let object = || map(r#"{"a": {"x": true}, "n": 1, "l": [1], "nothing": null}"#);
        let whole = whole_properties(map(patch), object);
        match expected {
            Ok(json) => assert_eq!(
                whole.map(Value::Object),
                Ok(Value::Object(map(json))),
                "{patch}"
            ),
            Err(path) => assert_eq!(whole.unwrap_err().path, path, "{patch}"),
        }
    }

    #[test]
    fn whole_properties_of_a_patch() {
        check_whole(r#"{"n": 2, "l": null}"#, Ok(r#"{"n": 2, "l": null}"#));
        let patch = r#"{"n": null, "a/y": 1, "a/x": null, "other": 3}"#;
        check_whole(patch, Ok(r#"{"n": null, "a": {"y": 1}, "other": 3}"#));
        check_whole(r#"{"a~1b": 1}"#, Ok(r#"{"a/b": 1}"#));
        for (patch, path) in [
            (r#"{"l/0": 1}"#, "l/0"),
            (r#"{"l/-": 1}"#, "l/-"),
            (r#"{"l/0/x": 1}"#, "l/0/x"),
            (r#"{"n/x": 1}"#, "n/x"),
            (r#"{"nothing/x": 1}"#, "nothing/x"),
            (r#"{"other/x": 1}"#, "other/x"),
            (r#"{"n": 2, "n/x": 1}"#, "n/x"),
            (r#"{"a": {}, "a/x": 1}"#, "a/x"),
            (r#"{"n~2": 1}"#, "n~2"),
        ] {
            check_whole(patch, Err(path));
        }
    }

    #[test]
    fn one_past_the_depth_of_a_pointer() {
        // A member within as many objects as a pointer may have steps before it.
        let nested = |inner: &str, depth: usize| {
            format!("{}{inner}{}", "{\"a\":".repeat(depth), "}".repeat(depth))
        };
        let path = |steps: usize| vec!["a"; steps].join("/");
        let deepest = POINTER_DEPTH_MAX - 1;
        let (object, deepest_path) = (nested("{}", deepest), path(POINTER_DEPTH_MAX));
        let patched = nested("{\"a\":1}", deepest);
        check(&object, &format!("{{\"{deepest_path}\":1}}"), Ok(&patched));
        let object = nested("{}", deepest + 1);
        let too_deep = path(POINTER_DEPTH_MAX + 1);
        check(&object, &format!("{{\"{too_deep}\":1}}"), Err(&too_deep));
    }
}
