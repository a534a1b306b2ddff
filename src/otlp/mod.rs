//! OpenTelemetry: what `/metrics` has, and spans of what the server does, to a collector, by OTLP over HTTP with JSON
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).
//!
//! Holds: it is off unless it is configured, and costs nothing then; a collector that is away costs a bounded queue, and what doesn't fit is counted; nothing in a
//! span names a person or a message.
//! Other half: `jmap_core::span`, which the core's own spans are made with; `metrics`, for the numbers.

mod metrics;
mod spans;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

pub use self::spans::{GatherSpans, Spans};
use crate::{config, metrics::Sources};

/// From the connection up to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of an answer that are read.
const ANSWER_OCTETS_MAX: usize = 16 << 10;
/// How often spans are sent, unless there are many.
const SPANS_EVERY: Duration = Duration::from_secs(5);

/// Sends to one collector.
struct Exporter {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    config: config::Otlp,
    resource: Value,
    news: News,
}

/// What the collector didn't take when it was last sent, by path.
#[derive(Debug, Default)]
struct News(Mutex<BTreeSet<&'static str>>);

impl News {
    /// Whether it is another outcome than the last one.
    fn is_new(&self, path: &'static str, is_taken: bool) -> bool {
        let mut failing = self.0.lock();
        match is_taken {
            true => failing.remove(path),
            false => failing.insert(path),
        }
    }
}

/// Sends metrics and spans until it is dropped; nothing where no collector is configured.
pub async fn run(config: config::Otlp, sources: Sources, spans: Option<Arc<Spans>>) {
    let Some(endpoint) = config.endpoint.clone() else {
        return;
    };
    let exporter = match Exporter::new(config, &sources.core.hostname()) {
        Ok(exporter) => exporter,
        Err(error) => {
            tracing::warn!(%error, "nothing is sent to the collector of OpenTelemetry");
            return;
        }
    };
    tracing::info!(%endpoint, "metrics and spans are sent to a collector");
    tokio::join!(exporter.send_metrics(&sources), exporter.send_spans(spans));
}

impl Exporter {
    fn new(config: config::Otlp, hostname: &str) -> io::Result<Exporter> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(TIMEOUT));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        Ok(Exporter {
            client: Client::builder(TokioExecutor::new()).build(https),
            config,
            resource: resource(hostname),
            news: News::default(),
        })
    }

    async fn send_metrics(&self, sources: &Sources) {
        if !self.config.metrics {
            return;
        }
        let begun = metrics::now();
        loop {
            tokio::time::sleep(self.config.every.0.max(Duration::from_secs(1))).await;
            let body = metrics::body(&self.resource, &sources.text(), begun, metrics::now());
            self.post("/v1/metrics", &body).await;
        }
    }

    async fn send_spans(&self, spans: Option<Arc<Spans>>) {
        let Some(spans) = spans.filter(|_| self.config.traces) else {
            return;
        };
        loop {
            spans.wait(SPANS_EVERY).await;
            while let Some(some) = spans.take() {
                let body = spans::body(&self.resource, &some);
                if !self.post("/v1/traces", &body).await {
                    // A collector that is away is asked again after a while; what was in this request is lost.
                    spans.lose(some.len());
                    break;
                }
            }
        }
    }

    /// Whether the collector has taken it. It is told once in the log when that changes.
    async fn post(&self, path: &'static str, body: &Value) -> bool {
        let posted = tokio::time::timeout(TIMEOUT, self.try_post(path, body)).await;
        let result = posted.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        let is_new = self.news.is_new(path, result.is_ok());
        match &result {
            Ok(()) if is_new => {
                tracing::info!(path, "the collector of OpenTelemetry takes something again");
            }
            Err(error) if is_new => {
                tracing::warn!(
                    path,
                    error,
                    "the collector of OpenTelemetry didn't take something"
                );
            }
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(
                    path,
                    error,
                    "the collector of OpenTelemetry still takes nothing"
                );
            }
        }
        result.is_ok()
    }

    async fn try_post(&self, path: &str, body: &Value) -> Result<(), String> {
        let endpoint = self.config.endpoint.as_ref().map(ToString::to_string);
        let url = format!(
            "{}{path}",
            endpoint.unwrap_or_default().trim_end_matches('/')
        );
        let mut request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| error.to_string())?;
        if let Some(authorization) = self.config.authorization()? {
            let mut value = HeaderValue::try_from(authorization.expose().as_str())
                .map_err(|_| "the authorization isn't a header field".to_owned())?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        // The connection can be used again when the answer was read.
        let _ = Limited::new(answer.into_body(), ANSWER_OCTETS_MAX)
            .collect()
            .await;
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("it answered with {status}")),
        }
    }
}

fn resource(hostname: &str) -> Value {
    json!({"attributes": [
        attribute("service.name", &json!("posthorn")),
        attribute("service.version", &json!(env!("CARGO_PKG_VERSION"))),
        attribute("service.instance.id", &json!(hostname)),
        attribute("host.name", &json!(hostname)),
    ]})
}

/// A key and its value (opentelemetry-proto `KeyValue`; 64-bit numbers are texts in JSON).
fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            json!({"intValue": number.to_string()})
        }
        Value::Number(number) => json!({"doubleValue": number}),
        Value::String(text) => json!({"stringValue": text}),
        other => json!({"stringValue": other.to_string()}),
    };
    json!({"key": key, "value": value})
}
