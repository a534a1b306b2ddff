//! Settings as a file in the format of the configuration, for those who keep them in git.
//!
//! Holds: what is written is read back as the same settings; what counts for nothing is a comment.
//! Other half: the command line and the API for administrators, which apply it.

use std::fmt::Write as _;

use jmap_core::settings::{Place, Setting, Source, Texts};
use toml::{Table, Value};

use super::{catalogue, normal};
use crate::config::line_of_key;

/// The settings that a file in the format of the configuration has. Errors: a sentence that says where.
pub fn of_file(text: &str, file: &str) -> Result<Texts, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| {
            let before = text.get(..span.start).unwrap_or(text);
            before.matches('\n').count() + 1
        });
        let why = error.message().replace('\n', "; ");
        format!("{file}, line {line}: {why}")
    })?;
    let mut texts = Texts::new();
    gather("", &table, &mut texts);
    for (key, value) in &mut texts {
        let place = match line_of_key(text, key) {
            Some(line) => format!("{file}, line {line}, {key}"),
            None => format!("{file}, {key}"),
        };
        match catalogue::find(key) {
            None => return Err(format!("{place}: there is no such setting")),
            Some(_) => {
                *value = normal(key, value).map_err(|why| format!("{place}: {why}"))?;
            }
        }
    }
    Ok(texts)
}

fn gather(prefix: &str, table: &Table, into: &mut Texts) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) if catalogue::find(&key).is_none() => {
                gather(&format!("{key}."), inner, into);
            }
            value => drop(into.insert(key, value.to_string())),
        }
    }
}

/// The other way: what the store has; with `all`, also what can be set, as comments. A key that doesn't count is one.
pub fn to_file(settings: &[Setting], all: bool) -> String {
    let mut text = String::new();
    let (mut table, mut said) = ("", "");
    for setting in settings {
        let Some(known) = &setting.known else {
            if let Some(record) = &setting.stored {
                let _ = writeln!(
                    text,
                    "\n# This version has no such setting:\n#{} = {}",
                    setting.key, record.text
                );
            }
            continue;
        };
        let stored = setting.stored.as_ref();
        if known.place != Place::Store || (stored.is_none() && !all) {
            continue;
        }
        let (of, name) = known.key.rsplit_once('.').unwrap_or(("", &known.key));
        if of != table {
            let _ = writeln!(text, "\n[{of}]");
            (table, said) = (of, "");
        }
        // What keys have in common is said once.
        if said != known.description {
            said = &known.description;
            let _ = writeln!(text, "# {}", said.replace('\n', "\n#   "));
        }
        let _ = match (stored, &setting.fault) {
            (Some(record), None) => writeln!(text, "{name} = {}", record.text),
            (Some(record), Some(why)) if setting.source == Source::Store => writeln!(
                text,
                "# What this is about waits: {why}\n{name} = {}",
                record.text
            ),
            (Some(record), Some(why)) => writeln!(
                text,
                "# This counts for nothing: {why}\n#{name} = {}",
                record.text
            ),
            (None, _) => {
                let value = known.default.as_ref().unwrap_or(&known.example);
                writeln!(text, "#{name} = {value}")
            }
        };
    }
    match text.trim_start() {
        "" => "# Nothing is set: everything is as it is by default, or as the configuration file has it.".to_owned(),
        text => text.trim_end().to_owned(),
    }
}
