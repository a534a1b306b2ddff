//! Everything that can be configured: made of `posthorn.example.toml`, so that nothing is said twice.
//!
//! Holds: the keys are those of [`Config`], with its defaults; each has a description. A comment of the example is about the keys that follow
//! it, up to the next one; a key without one has that of the same key in a table before, or the heading of its table.
//! Other half: `super`, which reads and puts into effect what has these keys.

use std::sync::LazyLock;

use jmap_core::settings::{Known, Place};
use toml::Value;

use super::lookup;
use crate::config::{
    Config,
    values::{Octets, Rate, Span},
};

const EXAMPLE: &str = include_str!("../../posthorn.example.toml");

/// What stays in the file: tables that end in a dot, keys of any table that begin with one, and single keys.
const FILE_ALONE: &[(&str, &str)] = &[
    ("data", "it says where everything else is"),
    (
        "setting-files",
        "who may change settings doesn't say which files may be read",
    ),
    ("store.", "the store is opened before settings are read"),
    ("search.", "the store is opened before settings are read"),
    (
        "cluster.",
        "a server finds the others before settings are read",
    ),
    ("log.", "the log begins before settings are read"),
    ("otlp.", "spans are gathered before settings are read"),
    (".listen", "it is about this machine alone"),
];

/// The catalogue, in the order of the example.
pub fn catalogue() -> &'static [Known] {
    static CATALOGUE: LazyLock<Vec<Known>> = LazyLock::new(|| read(EXAMPLE));
    &CATALOGUE
}

pub fn find(key: &str) -> Option<&'static Known> {
    catalogue().iter().find(|known| known.key == key)
}

/// Where a key belongs.
fn place(key: &str) -> Place {
    let is_meant = |(pattern, _): &&(&str, &str)| match pattern.strip_prefix('.') {
        Some(_) => key.ends_with(pattern),
        None if pattern.ends_with('.') => key.starts_with(pattern),
        None => key == *pattern,
    };
    match FILE_ALONE.iter().find(is_meant) {
        Some((_, why)) => Place::File(why),
        None => Place::Store,
    }
}

/// What was read of the example so far.
#[derive(Default)]
struct Reading {
    table: String,
    heading: String,
    comment: String,
    /// The last line was a comment, which goes on.
    is_open: bool,
    known: Vec<Known>,
}

fn read(example: &str) -> Vec<Known> {
    let defaults = Value::try_from(Config::default()).ok();
    let mut reading = Reading::default();
    for line in example.lines() {
        reading.line(line, defaults.as_ref());
    }
    reading.known
}

impl Reading {
    fn line(&mut self, line: &str, defaults: Option<&Value>) {
        let Some(text) = line.strip_prefix('#') else {
            self.is_open = false;
            return;
        };
        if let Some(table) = text.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            self.table = format!("{table}.");
            // What was written above is about the table.
            self.heading = std::mem::take(&mut self.comment);
            self.is_open = false;
        } else if let Some((name, value)) = setting(text) {
            self.is_open = false;
            let key = format!("{}{name}", self.table);
            self.add(key, value, defaults);
        } else {
            if !self.is_open {
                self.comment.clear();
            }
            self.is_open = true;
            let text = text.strip_prefix(' ').unwrap_or(text);
            let text = text.strip_prefix("---- ").unwrap_or(text);
            // What is further to the right is an example, in lines of its own.
            let is_example = text.starts_with([' ', '[']);
            match (self.comment.is_empty(), is_example) {
                (true, _) => {}
                (false, true) => self.comment.push('\n'),
                (false, false) => self.comment.push(' '),
            }
            self.comment.push_str(text);
        }
    }

    fn add(&mut self, key: String, value: &str, defaults: Option<&Value>) {
        let same_key = |known: &&Known| {
            let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
            known.key.contains('.') && last(&known.key) == last(&key)
        };
        let description = match self.comment.is_empty() {
            false => self.comment.clone(),
            true => match self.known.iter().rfind(same_key) {
                Some(known) => known.description.clone(),
                None => self.heading.clone(),
            },
        };
        let default = defaults.and_then(|all| lookup(all.as_table()?, &key));
        self.known.push(Known {
            place: place(&key),
            kind: kind(value),
            default: default.map(ToString::to_string),
            example: value.to_owned(),
            key,
            description,
        });
    }
}

/// The name and the value of a line that would be a setting without its `#`.
fn setting(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once(" = ")?;
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    is_name.then_some((name, value))
}

/// What kind of value this is.
fn kind(value: &str) -> &'static str {
    match super::value_of(value) {
        Ok(Value::Boolean(_)) => "true or false",
        Ok(Value::Integer(_)) => "number",
        Ok(Value::Array(_)) => "list",
        Ok(Value::Table(_)) => "table",
        Ok(Value::String(text)) if text.parse::<Rate>().is_ok() => "rate",
        Ok(Value::String(text)) if text.parse::<Span>().is_ok() => "time",
        Ok(Value::String(text)) if text.parse::<Octets>().is_ok() => "size",
        _ => "text",
    }
}
