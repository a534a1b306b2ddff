//! The numbers of `/metrics`, as OTLP has them.
//!
//! Holds: what is in the text is what is sent, under the same names.
//! Other half: `crate::metrics` makes the text.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::attribute;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: counted since the server has started.
const CUMULATIVE: u8 = 2;

/// Nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// A request for `/v1/metrics`, of the text of Prometheus. `begun`, `now`: nanoseconds since 1970.
pub fn body(resource: &Value, text: &str, begun: u64, now: u64) -> Value {
    let mut metrics: Vec<Metric> = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name) = (words.next(), words.next().unwrap_or_default());
            let rest = words.next().unwrap_or_default();
            if metrics.last().is_none_or(|of| of.family != name) && kind != Some("EOF") {
                metrics.push(Metric::new(name));
            }
            if let Some(of) = metrics.last_mut() {
                match kind {
                    Some("HELP") => of.help = rest.to_owned(),
                    Some("TYPE") => of.is_counter = rest == "counter",
                    Some("UNIT") => of.unit = rest.to_owned(),
                    _ => {}
                }
            }
        } else if let Some((name, labels, value)) = sample(line)
            && let Some(of) = metrics.last_mut()
        {
            of.name = name;
            of.points
                .push(point(labels, value, of.is_counter, begun, now));
        }
    }
    metrics.retain(|of| !of.points.is_empty());
    let metrics: Vec<Value> = metrics.into_iter().map(Metric::json).collect();
    json!({"resourceMetrics": [{
        "resource": resource,
        "scopeMetrics": [{
            "scope": {"name": "posthorn", "version": env!("CARGO_PKG_VERSION")},
            "metrics": metrics,
        }],
    }]})
}

/// Names and values.
type Labels = Vec<(String, String)>;

struct Metric {
    family: String,
    name: String,
    help: String,
    unit: String,
    is_counter: bool,
    points: Vec<Value>,
}

impl Metric {
    fn new(family: &str) -> Metric {
        Metric {
            family: family.to_owned(),
            name: String::new(),
            help: String::new(),
            unit: String::new(),
            is_counter: false,
            points: Vec::new(),
        }
    }

    fn json(self) -> Value {
        let mut of = json!({"name": self.name, "description": self.help});
        let unit = match self.unit.as_str() {
            "seconds" => "s",
            "bytes" => "By",
            _ => "1",
        };
        let (kind, data) = match self.is_counter {
            true => (
                "sum",
                json!({
                    "aggregationTemporality": CUMULATIVE,
                    "isMonotonic": true,
                    "dataPoints": self.points,
                }),
            ),
            false => ("gauge", json!({"dataPoints": self.points})),
        };
        if let Some(members) = of.as_object_mut() {
            members.insert("unit".into(), json!(unit));
            members.insert(kind.into(), data);
        }
        of
    }
}

fn point(labels: Labels, value: &str, is_counter: bool, begun: u64, now: u64) -> Value {
    let attributes = labels.iter().map(|(name, of)| attribute(name, &json!(of)));
    let mut point = Map::new();
    point.insert("attributes".into(), attributes.collect());
    point.insert("timeUnixNano".into(), json!(now.to_string()));
    if is_counter {
        point.insert("startTimeUnixNano".into(), json!(begun.to_string()));
    }
    match value.parse::<i64>() {
        Ok(number) => point.insert("asInt".into(), json!(number.to_string())),
        Err(_) => point.insert(
            "asDouble".into(),
            json!(value.parse::<f64>().unwrap_or(0.0)),
        ),
    };
    Value::Object(point)
}

/// Name, labels and value of a line of OpenMetrics.
pub fn sample(line: &str) -> Option<(String, Labels, &str)> {
    let (name, rest) = match line.find(['{', ' ']) {
        Some(at) => line.split_at(at),
        None => return None,
    };
    let mut labels = Vec::new();
    let mut rest = rest;
    if let Some(mut inner) = rest.strip_prefix('{') {
        while !inner.starts_with('}') {
            let (label, after) = inner.split_once("=\"")?;
            let mut value = String::new();
            let mut characters = after.char_indices();
            let end = loop {
                match characters.next()? {
                    (_, '\\') => match characters.next()?.1 {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    (at, '"') => break at,
                    (_, other) => value.push(other),
                }
            };
            labels.push((label.to_owned(), value));
            inner = after.get(end + 1..)?;
            inner = inner.strip_prefix(',').unwrap_or(inner);
        }
        rest = inner.strip_prefix('}')?;
    }
    Some((name.to_owned(), labels, rest.trim()))
}
