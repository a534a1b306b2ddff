//! What others are told of the server: Prometheus, with the dashboard and the rules that are made for it, and a collector of OpenTelemetry.

use std::collections::BTreeSet;

use e2e::{
    Server,
    corpus::message,
    deploy,
    http::Http,
    receiver::{Received, Receiver},
};
use serde_json::{Value, json};

use crate::client::{Api, staffed, staffed_home};

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words
        .filter(|word| word.starts_with("posthorn_"))
        .map(str::to_owned)
        .collect()
}

/// All texts under a key, wherever it is.
fn texts(value: &Value, key: &str, into: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, into)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == key => into.push(text.clone()),
                    other => texts(other, key, into),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn dashboard_and_rules_name_metrics_that_there_are() {
    let server = staffed();
    let answer = Http::new(server.home.http).get("/metrics", &[]);
    let there: BTreeSet<String> = answer
        .text()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(names)
        .collect();
    let dashboard: Value =
        serde_json::from_str(&deploy::file("grafana/posthorn.json")).expect("no JSON");
    let (mut asked, mut queries) = (Vec::new(), Vec::new());
    texts(&dashboard, "expr", &mut asked);
    texts(&dashboard, "query", &mut queries);
    assert!(asked.len() > 30, "{}", asked.len());
    let rules = deploy::file("prometheus/posthorn.rules.yml");
    let of_rules: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect();
    assert!(of_rules.len() > 8);
    let mut named = BTreeSet::new();
    for text in asked
        .iter()
        .chain(&queries)
        .map(String::as_str)
        .chain(of_rules)
    {
        named.extend(names(text));
    }
    let missing: Vec<&String> = named.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {there:?}");
    // Each panel has a place of its own.
    let panels = dashboard["panels"].as_array().expect("panels");
    let places: BTreeSet<String> = panels.iter().map(|of| of["gridPos"].to_string()).collect();
    assert_eq!(places.len(), panels.len());
}

fn spans(of: &Received) -> Vec<Value> {
    let body = of.json();
    let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
    spans.as_array().cloned().unwrap_or_default()
}

#[test]
fn a_collector_gets_metrics_and_spans() {
    let collector = Receiver::start();
    let home = staffed_home();
    let authority = home.path().join("collector.pem");
    std::fs::write(&authority, &collector.certificate_pem).expect("not written");
    let authorization = home.path().join("authorization");
    std::fs::write(&authorization, "Bearer for-the-collector\n").expect("not written");
    let home = home
        .with_variable("SSL_CERT_FILE", authority)
        .set(
            "otlp",
            &format!("endpoint = \"https://localhost:{}\"", collector.port),
        )
        .set(
            "otlp",
            &format!("authorization-file = \"{}\"", authorization.display()),
        )
        .set("otlp", "every = \"1s\"");
    // It is away at first.
    collector.answer_with(&[503, 503]);
    let mut server = Server::start_in(home);
    let octets = message("one@example.net", "A subject", "A plover.");
    let reply = server
        .lmtp()
        .send("carol@example.net", "alice@example.org", &octets);
    assert!(reply.expect("no answer").is_ok());
    Api::new(&server, "root").shown("/me");
    let mut alice = server.jmap("alice");
    alice.query_all(json!({}));
    let has = |name: &'static str| {
        move |of: &Received| {
            of.line.starts_with("POST /v1/traces ")
                && spans(of).iter().any(|span| span["name"] == name)
        }
    };
    let metrics = collector.wait_for(3, |of| of.line.starts_with("POST /v1/metrics "));
    let last = metrics.last().expect("metrics");
    assert_eq!(last.header("authorization"), "Bearer for-the-collector");
    assert_eq!(last.header("content-type"), "application/json");
    let body = last.json();
    let of = &body["resourceMetrics"][0];
    let attributes = of["resource"]["attributes"].to_string();
    assert!(attributes.contains("posthorn") && attributes.contains("mail.example.org"));
    let all = of["scopeMetrics"][0]["metrics"]
        .as_array()
        .expect("metrics")
        .clone();
    let find = |name: &str| all.iter().find(|metric| metric["name"] == name).cloned();
    let received = find("posthorn_messages_received_total").expect("a counter");
    assert_eq!(received["sum"]["isMonotonic"], true);
    assert_eq!(received["sum"]["dataPoints"][0]["asInt"], "1");
    let resident = find("posthorn_resident_bytes").expect("a gauge");
    assert_eq!(resident["unit"], "By");
    // They are those of /metrics.
    let there = names(&Http::new(server.home.http).get("/metrics", &[]).text());
    assert!(all.len() > 25, "{}", all.len());
    for metric in &all {
        let name = metric["name"].as_str().expect("a name");
        assert!(there.contains(name), "{name}");
    }
    // Spans come every five seconds; the first ones may be lost with the collector.
    let octets = message("two@example.net", "A subject", "A plover.");
    let reply = server
        .lmtp()
        .send("carol@example.net", "alice@example.org", &octets);
    assert!(reply.expect("no answer").is_ok());
    alice.query_all(json!({"subject": "A subject"}));
    collector.wait_for(1, has("deliver"));
    collector.wait_for(1, has("call"));
    let all: Vec<Value> = collector
        .seen()
        .iter()
        .filter(|of| of.line.starts_with("POST /v1/traces "))
        .flat_map(spans)
        .collect();
    for span in &all {
        assert_eq!(span["traceId"].as_str().map(str::len), Some(32), "{span}");
        assert_eq!(span["spanId"].as_str().map(str::len), Some(16), "{span}");
        let time = |name: &str| {
            span[name]
                .as_str()
                .expect("a time")
                .parse::<u64>()
                .expect("a number")
        };
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
    }
    let call = all
        .iter()
        .find(|span| span["name"] == "call")
        .expect("a call");
    assert_eq!(call["attributes"][0]["key"], "method", "{call}");
    let text = serde_json::to_string(&all).expect("no JSON");
    for secret in ["alice", "carol", "A subject", e2e::PASSWORD] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!server.log().contains("for-the-collector"));
    server.stop();
}
