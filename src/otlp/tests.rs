//! The text of Prometheus, and spans, as OTLP has them.

use std::sync::Arc;

use serde_json::json;
use tracing_subscriber::prelude::*;

use super::{
    News, metrics,
    spans::{self, GatherSpans, Spans, WAITING_MAX},
};

#[test]
fn lines_of_metrics() {
    let rows = [
        ("a_total 5", ("a_total", vec![], "5")),
        ("a{b=\"c\"} 1.5", ("a", vec![("b", "c")], "1.5")),
        (
            "a{b=\"c,d=\\\"}\",e=\"\\\\\\n\"} 2",
            ("a", vec![("b", "c,d=\"}"), ("e", "\\\n")], "2"),
        ),
    ];
    for (line, (name, labels, value)) in rows {
        let (got, got_labels, got_value) = metrics::sample(line).unwrap();
        let got_labels: Vec<(&str, &str)> = got_labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!((got.as_str(), got_labels, got_value), (name, labels, value));
    }
    for wrong in ["", "a", "a{", "a{b=\"", "a{b} 1"] {
        assert!(metrics::sample(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn metrics_are_sums_and_gauges() {
    let text = "# HELP p_logins Logins.\n# TYPE p_logins counter\np_logins_total 7\n# HELP p_disk_bytes Octets.\n# TYPE p_disk_bytes gauge\n# UNIT p_disk_bytes bytes\np_disk_bytes 9\n# TYPE p_none gauge\n# EOF\n";
    let body = metrics::body(&json!({}), text, 1, 2);
    let metrics = &body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    assert_eq!(metrics.as_array().unwrap().len(), 2);
    assert_eq!(metrics[0]["name"], "p_logins_total");
    assert_eq!(metrics[0]["description"], "Logins.");
    assert_eq!(
        metrics[0]["sum"],
        json!({"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
            {"attributes": [], "asInt": "7", "startTimeUnixNano": "1", "timeUnixNano": "2"}
        ]})
    );
    assert_eq!(metrics[1]["unit"], "By");
    assert_eq!(metrics[1]["gauge"]["dataPoints"][0]["asInt"], "9");
}

#[test]
fn spans_know_what_they_are_in() {
    let gathered = Arc::new(Spans::default());
    let subscriber = tracing_subscriber::registry().with(GatherSpans(gathered.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let outer = tracing::info_span!("outer", count = 3, done = tracing::field::Empty);
        outer.in_scope(|| tracing::info_span!("inner", name = "x").in_scope(|| {}));
        outer.record("done", true);
    });
    let body = spans::body(&json!({}), &gathered.take().unwrap());
    let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let (inner, outer) = (&spans[0], &spans[1]);
    assert_eq!(
        (&inner["name"], &outer["name"]),
        (&json!("inner"), &json!("outer"))
    );
    assert_eq!(inner["traceId"], outer["traceId"]);
    assert_eq!(inner["parentSpanId"], outer["spanId"]);
    assert_eq!(outer.get("parentSpanId"), None);
    assert_eq!(outer["traceId"].as_str().unwrap().len(), 32);
    assert_eq!(
        outer["attributes"],
        json!([
            {"key": "count", "value": {"intValue": "3"}},
            {"key": "done", "value": {"boolValue": true}},
        ])
    );
    assert!(gathered.take().is_none());
}

#[test]
fn what_waits_is_bounded() {
    let gathered = Arc::new(Spans::default());
    let subscriber = tracing_subscriber::registry().with(GatherSpans(gathered.clone()));
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..WAITING_MAX + 7 {
            drop(tracing::info_span!("one"));
        }
    });
    assert_eq!(gathered.lost(), 7);
    let mut count = 0;
    while let Some(some) = gathered.take() {
        count += some.len();
    }
    assert_eq!(count, WAITING_MAX);
}

#[test]
fn that_a_collector_is_away_is_told_once() {
    let news = News::default();
    let told = [
        ("/v1/traces", true, false),
        ("/v1/traces", false, true),
        ("/v1/traces", false, false),
        ("/v1/metrics", true, false),
        ("/v1/traces", false, false),
        ("/v1/traces", true, true),
        ("/v1/traces", true, false),
        ("/v1/traces", false, true),
    ];
    for (path, is_taken, want) in told {
        assert_eq!(news.is_new(path, is_taken), want, "{path} {is_taken}");
    }
}
