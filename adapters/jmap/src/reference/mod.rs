//! References to the results of earlier calls (RFC 8620 §3.7).
//!
//! Holds: a reference is resolved against the values that the earlier call gave, which are not written as JSON in
//! between; what all references of a request copy is bounded, so they can't double themselves call by call.

use std::{collections::HashMap, sync::Arc};

use jmap_types::{
    MethodError, MethodErrorKind, Property, Value,
    patch::parse_pointer,
    value::{Key, Map, MapExt, as_text, key, weight, weight_of_map},
};

/// One response of a method call (RFC 8620 §3.2).
#[derive(Debug)]
pub struct Answer {
    /// The method's name, or `error`.
    pub name: &'static str,
    pub arguments: Map,
    pub call_id: Arc<str>,
}

/// The responses so far, in their order.
#[derive(Debug)]
pub struct Answers {
    answers: Vec<Answer>,
    /// By method call id: the first response.
    first: HashMap<Arc<str>, usize>,
    /// Octets that references may still copy.
    budget: usize,
}

impl Answers {
    /// `budget`: the octets that references may copy.
    pub fn new(budget: usize) -> Answers {
        Answers {
            answers: Vec::new(),
            first: HashMap::new(),
            budget,
        }
    }

    pub fn push(&mut self, name: &'static str, arguments: Map, call_id: Arc<str>) {
        let at = self.answers.len();
        self.first.entry(call_id.clone()).or_insert(at);
        self.answers.push(Answer {
            name,
            arguments,
            call_id,
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter()
    }

    /// Puts what the references among `arguments` stand for in their place.
    pub fn resolve(&mut self, arguments: Map) -> Result<Map, MethodError> {
        let refers = |key: &Key| reference_name(key).is_some();
        if !arguments.keys().any(refers) {
            return Ok(arguments);
        }
        for name in arguments.keys().filter_map(reference_name) {
            if arguments.contains_key(&key(name)) {
                return Err(MethodError::invalid_arguments(format!(
                    "\"{name}\" is given both as a value and as a result reference."
                )));
            }
        }
        let entries = arguments.into_vec().into_iter();
        entries
            .map(|(name, value)| match reference_name(&name) {
                None => Ok((name, value)),
                Some(plain) => Ok((key(plain), self.evaluate(plain, &value)?)),
            })
            .collect()
    }

    fn evaluate(&mut self, name: &str, reference: &Value) -> Result<Value, MethodError> {
        let unresolved = |why: &str| {
            let detail = format!("The reference \"#{name}\" can't be resolved: {why}.");
            MethodError::describe(MethodErrorKind::InvalidResultReference, detail)
        };
        let Some((result_of, response_name, path)) = parts(reference) else {
            return Err(unresolved("it is not a ResultReference"));
        };
        let Some(&at) = self.first.get(result_of) else {
            return Err(unresolved("no earlier call has this method call id"));
        };
        let answer = &self.answers[at];
        if answer.name != response_name {
            return Err(unresolved("the call's response has another name"));
        }
        let Some(steps) = steps(path) else {
            return Err(unresolved("the path is not a JSON Pointer"));
        };
        let mut budget = self.budget;
        let found = match steps.split_first() {
            None => copy_map(&answer.arguments, &mut budget),
            Some((step, rest)) => match answer.arguments.get(&step.key) {
                Some(value) => follow(value, rest, &mut budget),
                None => Err(Lost::Nothing),
            },
        };
        self.budget = budget;
        found.map_err(|lost| match lost {
            Lost::Nothing => unresolved("the path leads to nothing"),
            Lost::TooLarge => MethodError::describe(
                MethodErrorKind::RequestTooLarge,
                "The result references of this request stand for too much.",
            ),
        })
    }
}

/// `#ids` refers to something to be put in as `ids`.
fn reference_name(key: &Key) -> Option<&str> {
    key.as_string_key()?.strip_prefix('#')
}

fn parts(reference: &Value) -> Option<(&str, &str, &str)> {
    let reference = reference.as_object()?;
    let text = |property| reference.find(property).and_then(as_text);
    Some((
        text(Property::ResultOf)?,
        text(Property::Name)?,
        text(Property::Path)?,
    ))
}

/// One token of a pointer, in the forms that it is compared in.
struct Step {
    text: String,
    key: Key,
}

fn steps(path: &str) -> Option<Vec<Step>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    let steps = parse_pointer(path.strip_prefix('/')?)?.into_iter();
    Some(
        steps
            .map(|text| Step {
                key: key(text.as_str()),
                text,
            })
            .collect(),
    )
}

enum Lost {
    Nothing,
    TooLarge,
}

/// RFC 6901 §4, and `*` over arrays. There are as many levels as the pointer has tokens.
fn follow(value: &Value, steps: &[Step], budget: &mut usize) -> Result<Value, Lost> {
    let Some((step, rest)) = steps.split_first() else {
        return copy(value, budget);
    };
    match value {
        Value::Object(map) => match map.get(&step.key) {
            Some(member) => follow(member, rest, budget),
            None => Err(Lost::Nothing),
        },
        Value::Array(items) if step.text == "*" => {
            let mut all = Vec::new();
            for item in items {
                match follow(item, rest, budget)? {
                    // RFC 8620 §3.7: an array of arrays becomes one array.
                    Value::Array(inner) => all.extend(inner),
                    other => all.push(other),
                }
            }
            Ok(Value::Array(all))
        }
        Value::Array(items) => {
            let item = index(&step.text).and_then(|index| items.get(index));
            follow(item.ok_or(Lost::Nothing)?, rest, budget)
        }
        _ => Err(Lost::Nothing),
    }
}

/// RFC 6901 §4: digits without leading zeros.
fn index(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn copy(value: &Value, budget: &mut usize) -> Result<Value, Lost> {
    *budget = budget.checked_sub(weight(value)).ok_or(Lost::TooLarge)?;
    Ok(value.clone())
}

fn copy_map(map: &Map, budget: &mut usize) -> Result<Value, Lost> {
    *budget = budget
        .checked_sub(weight_of_map(map))
        .ok_or(Lost::TooLarge)?;
    Ok(Value::Object(map.clone()))
}

#[cfg(test)]
mod tests;
