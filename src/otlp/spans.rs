//! Spans: gathered as they end, and sent together.
//!
//! Holds: no more than [`WAITING_MAX`] wait; of a span inside of another one, the other's id is known; ids are random.
//! Other half: `jmap_core::span` makes them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{attribute, metrics::now};

/// Spans that wait to be sent.
pub const WAITING_MAX: usize = 8192;
/// Spans of one request.
const AT_ONCE: usize = 512;
/// Octets of an attribute.
const TEXT_OCTETS_MAX: usize = 200;
/// `SPAN_KIND_INTERNAL`
const INTERNAL: u8 = 1;

/// A span that has ended.
#[derive(Debug)]
pub struct Ended {
    trace: u128,
    id: u64,
    parent: Option<u64>,
    name: &'static str,
    begin: u64,
    end: u64,
    attributes: Map<String, Value>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Spans {
    waiting: Mutex<Vec<Ended>>,
    many: Notify,
    lost: AtomicU64,
}

impl Spans {
    /// Until there are many, or some time has passed.
    pub async fn wait(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.many.notified()).await;
    }

    /// Some of them; `None`: there are none.
    pub fn take(&self) -> Option<Vec<Ended>> {
        let mut waiting = self.waiting.lock();
        let count = waiting.len().min(AT_ONCE);
        let some: Vec<Ended> = waiting.drain(..count).collect();
        (!some.is_empty()).then_some(some)
    }

    pub fn lose(&self, count: usize) {
        self.lost.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn push(&self, span: Ended) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            drop(waiting);
            return self.lose(1);
        }
        waiting.push(span);
        if waiting.len() == AT_ONCE {
            self.many.notify_one();
        }
    }
}

/// Gathers spans.
#[derive(Debug)]
pub struct GatherSpans(pub std::sync::Arc<Spans>);

/// What is known of a span that goes on.
struct Open {
    trace: u128,
    id: u64,
    parent: Option<u64>,
    begin: u64,
    attributes: Attributed,
}

#[derive(Default)]
struct Attributed(Map<String, Value>);

impl Visit for Attributed {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let short: String = value.chars().take(TEXT_OCTETS_MAX).collect();
        self.0.insert(field.name().to_owned(), json!(short));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
}

fn random<const N: usize>() -> [u8; N] {
    use jmap_core::rng::Rng as _;
    let mut octets = [0; N];
    jmap_core::rng::SystemRng.fill(&mut octets);
    octets
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for GatherSpans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut gathered = Attributed::default();
        attributes.record(&mut gathered);
        let parent = span.parent();
        let of_parent = parent.as_ref().and_then(|parent| {
            let extensions = parent.extensions();
            let open = extensions.get::<Open>()?;
            Some((open.trace, open.id))
        });
        let open = Open {
            trace: of_parent.map_or_else(|| u128::from_be_bytes(random()), |(trace, _)| trace),
            id: u64::from_be_bytes(random()) | 1,
            parent: of_parent.map(|(_, id)| id),
            begin: now(),
            attributes: gathered,
        };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.attributes);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        self.0.push(Ended {
            trace: open.trace,
            id: open.id,
            parent: open.parent,
            name: span.name(),
            begin: open.begin,
            end: now(),
            attributes: open.attributes.0,
        });
    }
}

/// A request for `/v1/traces`. Ids are hexadecimal in JSON, unlike other octets.
pub fn body(resource: &Value, spans: &[Ended]) -> Value {
    let spans: Vec<Value> = spans.iter().map(span_json).collect();
    json!({"resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{
            "scope": {"name": "posthorn", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    }]})
}

fn span_json(of: &Ended) -> Value {
    let attributes: Vec<Value> = of
        .attributes
        .iter()
        .map(|(name, value)| attribute(name, value))
        .collect();
    let mut span = json!({
        "traceId": format!("{:032x}", of.trace),
        "spanId": format!("{:016x}", of.id),
        "name": of.name,
        "kind": INTERNAL,
        "startTimeUnixNano": of.begin.to_string(),
        "endTimeUnixNano": of.end.max(of.begin).to_string(),
        "attributes": attributes,
        "status": {},
    });
    if let (Some(parent), Some(members)) = (of.parent, span.as_object_mut()) {
        members.insert("parentSpanId".into(), json!(format!("{parent:016x}")));
    }
    span
}
