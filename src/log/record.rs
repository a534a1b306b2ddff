//! One event, as it is kept and written: when, how bad, by whom, what, and fields with values.
//!
//! Holds: the times of one process's records only grow, so that a time says which record is meant; a record has at most
//! [`RECORD_OCTETS_MAX`] octets of text, and is one line whatever is in it.
//! Other half: `search` reads the lines that are written here.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use jmap_types::UtcDate;
use serde_json::{Map, Value, json};
use tracing::{
    Event,
    field::{Field, Visit},
};

/// Octets of the texts of one record, all together; what is more is left out.
pub const RECORD_OCTETS_MAX: usize = 16 << 10;
/// Behind a text that was cut.
const CUT: &str = "…";

/// How bad something is. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    pub const ALL: [Level; 5] = [
        Level::Error,
        Level::Warn,
        Level::Info,
        Level::Debug,
        Level::Trace,
    ];

    /// As in lines of the log.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }

    pub fn parse(name: &str) -> Option<Level> {
        let same = |level: &Level| level.name().eq_ignore_ascii_case(name);
        Level::ALL.into_iter().find(same)
    }

    fn of(level: tracing::Level) -> Level {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        }
    }

    /// SGR parameters (ECMA-48 §8.3.117).
    fn colour(self) -> &'static str {
        match self {
            Level::Error => "31",
            Level::Warn => "33",
            Level::Info => "32",
            Level::Debug => "34",
            Level::Trace => "35",
        }
    }
}

/// The times of records.
#[derive(Debug, Default)]
pub struct Times(AtomicU64);

impl Times {
    /// Now, in microseconds since 1970; later than all before.
    pub fn next(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| {
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        });
        let later = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        // The closure always has a value.
        let (Ok(last) | Err(last)) = last;
        now.max(last.saturating_add(1))
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Microseconds since 1970.
    pub time_us: u64,
    pub level: Level,
    /// The module that it comes from.
    pub target: String,
    pub message: String,
    pub fields: Map<String, Value>,
}

impl Record {
    pub fn of(event: &Event<'_>, time_us: u64) -> Record {
        let mut gathered = Gathered {
            message: String::new(),
            fields: Map::new(),
            octets_left: RECORD_OCTETS_MAX,
        };
        event.record(&mut gathered);
        Record {
            time_us,
            level: Level::of(*event.metadata().level()),
            target: event.metadata().target().to_owned(),
            message: gathered.message,
            fields: gathered.fields,
        }
    }

    /// Octets that it takes in memory, about.
    pub fn octets(&self) -> usize {
        let value = |value: &Value| value.as_str().map_or(16, str::len);
        let fields = self
            .fields
            .iter()
            .map(|(name, of)| name.len() + value(of) + 64);
        128 + self.target.len() + self.message.len() + fields.sum::<usize>()
    }

    /// RFC 3339 §5.6, with microseconds.
    pub fn time_text(&self) -> String {
        time_text(self.time_us)
    }

    /// A line of JSON: fields are members beside `timestamp`, `level`, `message` and `target`.
    pub fn json_line(&self) -> String {
        let mut members = Map::new();
        members.insert("timestamp".into(), json!(self.time_text()));
        members.insert("level".into(), json!(self.level.name()));
        members.insert("message".into(), json!(self.message));
        for (name, value) in &self.fields {
            members.entry(name.clone()).or_insert_with(|| value.clone());
        }
        members.insert("target".into(), json!(self.target));
        format!("{}\n", Value::Object(members))
    }

    /// A line for people.
    pub fn text_line(&self, is_coloured: bool) -> String {
        let time = self.time_text();
        let (level, target) = (self.level.name(), &self.target);
        let mut line = match is_coloured {
            true => {
                let colour = self.level.colour();
                format!(
                    "\x1b[2m{time}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m \x1b[2m{target}:\x1b[0m "
                )
            }
            false => format!("{time} {level:>5} {target}: "),
        };
        line.push_str(&one_line(&self.message));
        for (name, value) in &self.fields {
            let text = match value {
                Value::String(text) => one_line(text),
                other => other.to_string(),
            };
            let _ = write!(line, " {name}={text}");
        }
        line.push('\n');
        line
    }
}

/// Microseconds since 1970 as RFC 3339 has them.
pub fn time_text(time_us: u64) -> String {
    let seconds = i64::try_from(time_us / 1_000_000).unwrap_or(i64::MAX);
    let whole = UtcDate(seconds).to_string();
    let whole = whole.trim_end_matches('Z');
    format!("{whole}.{:06}Z", time_us % 1_000_000)
}

/// Control characters would make more lines of it, or colours.
fn one_line(text: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().collect::<String>(),
        false => c.to_string(),
    };
    match text.contains(|c: char| c.is_control()) {
        true => text.chars().map(shown).collect(),
        false => text.to_owned(),
    }
}

struct Gathered {
    message: String,
    fields: Map<String, Value>,
    octets_left: usize,
}

impl Gathered {
    fn text(&mut self, field: &Field, text: &str) {
        let mut end = text.len().min(self.octets_left);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (kept, more) = text.split_at(end);
        self.octets_left -= end;
        let kept = match more.is_empty() {
            true => kept.to_owned(),
            false => format!("{kept}{CUT}"),
        };
        match field.name() {
            "message" => self.message = kept,
            name => drop(self.fields.insert(name.to_owned(), Value::String(kept))),
        }
    }

    fn value(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Gathered {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value.into());
    }
}
