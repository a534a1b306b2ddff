//! The log: looked through, and followed.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use jmap_core::{access, access::Operation};
use jmap_types::date::parse_rfc3339;
use serde_json::{Map, Value, json};

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described, Schemas, choice, object},
    host::{LogNext, LogQuery, LogRecord},
    live::Events,
    page,
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Parameter, Route},
};

/// How long one answer follows the log; a client then asks again, and its login is looked at again.
const FOLLOW_SECONDS_MAX: u64 = 900;

choice! {
    /// How bad something is: this, or worse.
    LogLevel {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

/// Names and values of fields, which are each record's own.
#[derive(Debug, serde::Serialize)]
#[serde(transparent)]
pub struct LogFields(Map<String, Value>);

impl Described for LogFields {
    fn schema(_: &mut Schemas) -> Value {
        json!({"type": "object"})
    }
}

object! {
    answer
    /// A record of the log.
    LogEntry {
        /// With microseconds; no two records of a server have the same.
        time: String = {"format": "date-time"},
        level: LogLevel,
        /// The module of the server that it comes from.
        target: String,
        message: String,
        fields: LogFields,
    }
}

const TAG: &str = "Log";
const FILTERS: &[Parameter] = &[
    Parameter {
        name: "level",
        about: "Only those that are as bad as this, or worse.",
        schema: || json!({"type": "string", "enum": LogLevel::WORDS}),
    },
    Parameter {
        name: "q",
        about: "Only those that have this text in their message or their fields, in any letter case.",
        schema: super::text,
    },
    Parameter {
        name: "target",
        about: "Only those of modules whose name begins with this.",
        schema: super::text,
    },
];
const SINCE: Parameter = Parameter {
    name: "since",
    about: "Only those from this time on.",
    schema: super::date,
};
const SECONDS: Parameter = Parameter {
    name: "seconds",
    about: "How long the answer goes on; a client then asks again.",
    schema: || json!({"type": "integer", "minimum": 1, "maximum": FOLLOW_SECONDS_MAX, "default": FOLLOW_SECONDS_MAX}),
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/logs",
            (TAG, "listLogs"),
            "Looks through the log of the node that answers, newest first. A page may be short, or empty, and the search go on nevertheless",
            Operation::SeeLogs,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .query(FILTERS)
        .query(&[SINCE])
        .answers(|schemas| page::schema::<LogEntry>(schemas, false)),
        Route::new(
            Method::GET,
            "/logs/live",
            (TAG, "followLogs"),
            "Follows the log of the node that answers, as server-sent events: `record` has a LogEntry, `missed` a number. With Last-Event-ID it begins where another answer has ended",
            Operation::SeeLogs,
            handler!(follow),
        )
        .query(FILTERS)
        .query(&[SECONDS])
        .follows(LogEntry::schema),
    ]
}

fn query(request: &Request) -> Result<LogQuery, Problem> {
    access::may_run(&request.who, Operation::SeeLogs)?;
    let level = request.asked_as::<LogLevel>("level")?;
    let level = level.and(request.asked("level"));
    let text = |name| request.asked(name).map(str::to_owned);
    Ok(LogQuery {
        level: level.map(str::to_owned),
        text: text("q"),
        target: text("target"),
        ..LogQuery::default()
    })
}

fn entry(of: LogRecord) -> LogEntry {
    LogEntry {
        time: of.time,
        level: of.level.parse().unwrap_or(LogLevel::Error),
        target: of.target,
        message: of.message,
        fields: LogFields(of.fields),
    }
}

async fn list(request: &Request) -> Outcome {
    let mut query = query(request)?;
    if let Some(text) = request.asked("since") {
        let (since, _) = parse_rfc3339(text).ok_or_else(|| {
            let why = "The parameter \"since\" looks like 2030-01-31T12:00:00Z.";
            Problem::new(Kind::InvalidRequest, why)
        })?;
        let micros = u64::try_from(since.0)
            .unwrap_or(0)
            .saturating_mul(1_000_000);
        query.since_us = Some(micros);
    }
    if let Some((before, _)) = page::cursor(request)? {
        let before = before.parse().ok();
        query.before_us = Some(before.ok_or_else(|| Problem::of(Kind::InvalidCursor))?);
    }
    query.limit = page::limit(request)?;
    let (records, next) = request.site.host.logs(query).await;
    let items = records.into_iter().map(|record| json!(entry(record)));
    let next = next.map(|before| page::cursor_text(&(before.to_string(), String::new())));
    Ok(Answer::ok(page::json_of(items.collect(), next, None)))
}

async fn follow(request: &Request) -> Outcome {
    let query = query(request)?;
    let seconds = request
        .asked_as::<u64>("seconds")?
        .unwrap_or(FOLLOW_SECONDS_MAX);
    if !(1..=FOLLOW_SECONDS_MAX).contains(&seconds) {
        let why = format!("The log is followed for 1 to {FOLLOW_SECONDS_MAX} seconds.");
        return Err(Problem::new(Kind::InvalidRequest, why));
    }
    let last = request.headers.get("last-event-id");
    let last = last.and_then(|value| value.to_str().ok()?.parse().ok());
    let followed = request.site.host.follow_logs(query, last);
    let followed = followed
        .ok_or_else(|| Problem::new(Kind::TooManyRequests, "Too many follow the log already."))?;
    let events = followed.map(|next| match next {
        LogNext::Record(record) => {
            let id = record.time_us;
            event("record", Some(id), &json!(entry(*record)))
        }
        LogNext::Missed(count) => event("missed", None, &json!(count)),
    });
    Ok(Answer {
        status: StatusCode::OK,
        body: None,
        tag: None,
        location: None,
        events: Some(Events::of(events, Duration::from_secs(seconds))),
    })
}

/// JSON has no line ends outside of strings, and none in them.
fn event(name: &str, id: Option<u64>, data: &Value) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n").into()
}
