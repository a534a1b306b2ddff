//! A field: what belongs into it, and what it has.

use std::borrow::Cow;

use leptos::prelude::*;
use serde_json::Value;

use crate::{format, json, messages::t};

pub const OCTET_UNITS: [(&str, u64); 4] = [
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

#[derive(Clone, Debug)]
pub enum Kind {
    Text,
    Address,
    /// Of whoever signs in.
    Username,
    /// The one that is there.
    Password,
    NewPassword,
    /// A code of the second factor.
    OneTimeCode,
    Number,
    Octets,
    Check,
    /// (value, label)
    Choice(Vec<(String, String)>),
    /// An array of those that are ticked: (value, label).
    Several(Vec<(String, String)>),
    /// An array of strings, one a line.
    Lines,
    Area,
    Code,
    /// A time, in local time.
    Date,
}

#[derive(Clone, Debug)]
pub struct Field {
    /// Where the value belongs in the object.
    pub pointer: Cow<'static, str>,
    pub label: Cow<'static, str>,
    pub hint: Cow<'static, str>,
    pub kind: Kind,
    pub required: bool,
    /// Nothing is an empty text, and not no value.
    pub empty_is_text: bool,
    pub initial: Value,
}

impl Field {
    pub fn new(
        pointer: impl Into<Cow<'static, str>>,
        label: impl Into<Cow<'static, str>>,
        kind: Kind,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            label: label.into(),
            hint: Cow::Borrowed(""),
            kind,
            required: false,
            empty_is_text: false,
            initial: Value::Null,
        }
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub fn empty_is_text(mut self) -> Self {
        self.empty_is_text = true;
        self
    }

    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = hint.into();
        self
    }

    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.initial = value.into();
        self
    }

    /// With what the object has.
    pub fn from(mut self, object: &Value) -> Self {
        self.initial = object.pointer(&self.pointer).cloned().unwrap_or_default();
        self
    }

    pub fn id(&self) -> String {
        format!("field{}", self.pointer.replace('/', "-"))
    }
}

/// What is in a field now.
#[derive(Clone, Copy)]
pub struct Input {
    pub text: RwSignal<String>,
    pub unit: RwSignal<u64>,
    pub checked: RwSignal<bool>,
}

impl Input {
    pub fn new(field: &Field) -> Self {
        let initial = &field.initial;
        let mut unit = 1_000_000_000;
        let text = match (&field.kind, initial) {
            (Kind::Octets, Value::Number(number)) => {
                let octets = number.as_u64().unwrap_or_default();
                let fits = OCTET_UNITS
                    .iter()
                    .rev()
                    .find(|(_, of)| octets >= *of && octets.is_multiple_of(*of / 10));
                unit = fits.map_or(1000, |(_, of)| *of);
                let value = octets as f64 / unit as f64;
                value.to_string()
            }
            (Kind::Lines | Kind::Several(_), _) => json::texts(initial, "").join("\n"),
            (Kind::Date, Value::String(date)) => local_input(date),
            (_, Value::String(text)) => text.clone(),
            (_, Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Self {
            text: RwSignal::new(text),
            unit: RwSignal::new(unit),
            checked: RwSignal::new(initial.as_bool().unwrap_or_default()),
        }
    }

    /// The field's value, or why it has none.
    pub fn value(&self, field: &Field) -> Result<Value, &'static str> {
        let text = self.text.get_untracked();
        let trimmed = text.trim();
        Ok(match &field.kind {
            Kind::Check => Value::Bool(self.checked.get_untracked()),
            Kind::Lines | Kind::Several(_) => {
                let lines = trimmed
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty());
                lines.map(Value::from).collect()
            }
            Kind::Area | Kind::Code => Value::String(text),
            _ if text.is_empty() && field.empty_is_text => Value::String(text),
            _ if text.is_empty() => Value::Null,
            Kind::Password | Kind::NewPassword => Value::String(text),
            Kind::Number => trimmed
                .parse::<u64>()
                .map(Value::from)
                .map_err(|_| t().not_a_number)?,
            Kind::Octets => {
                let number = trimmed.parse::<f64>().map_err(|_| t().not_a_number)?;
                if !(0.0..1e7).contains(&number) {
                    return Err(t().not_a_number);
                }
                Value::from((number * self.unit.get_untracked() as f64).round() as u64)
            }
            Kind::Date => Value::from(utc_of_input(trimmed).ok_or(t().not_a_date)?),
            Kind::Text | Kind::Address | Kind::Username | Kind::OneTimeCode | Kind::Choice(_) => {
                Value::from(trimmed)
            }
        })
    }
}

/// A date of the API as an `<input type="datetime-local">` has it.
fn local_input(date: &str) -> String {
    let Some(seconds) = format::parse_date(date) else {
        return String::new();
    };
    let then = js_sys::Date::new(&((seconds as f64) * 1000.0).into());
    let local = seconds - (then.get_timezone_offset() as i64) * 60;
    format::utc_date(local)
        .get(..16)
        .unwrap_or_default()
        .to_owned()
}

fn utc_of_input(text: &str) -> Option<String> {
    let millis = js_sys::Date::parse(text);
    millis
        .is_finite()
        .then(|| format::utc_date((millis / 1000.0) as i64))
}
