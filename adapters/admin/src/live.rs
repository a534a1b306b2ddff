//! Answers that go on: server-sent events (the HTML standard, §9.2).
//!
//! Holds: what nobody reads is not made; an answer ends at the time that it was given, so that who may not any more is found out then.
//! Other half: the binary, which sends the stream in place of a body.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream, stream::BoxStream};
use http::{HeaderValue, Response, header};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

pub const CONTENT_TYPE: &str = "text/event-stream";
/// How often something is sent where nothing happens, so that nobody in between takes the connection for dead.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A stream of octets, for the one who takes it first.
#[derive(Clone)]
pub struct Events(Arc<Mutex<Option<BoxStream<'static, Bytes>>>>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events(..)")
    }
}

impl Events {
    /// Sends events for some time, and a comment now and then.
    pub fn of(events: impl Stream<Item = Bytes> + Send + 'static, lasts: Duration) -> Events {
        let end = Instant::now() + lasts;
        let events = events.take_until(sleep_until(end)).boxed();
        let events = stream::unfold(events, |mut events| async move {
            match timeout(PING_EVERY, events.next()).await {
                Ok(event) => Some((event?, events)),
                Err(_) => Some((Bytes::from_static(b":\n\n"), events)),
            }
        });
        // The first octets tell the client that it was let in.
        let begin = stream::iter([Bytes::from_static(b":\n\n")]);
        Events(Arc::new(Mutex::new(Some(begin.chain(events).boxed()))))
    }

    /// Has a response go on with the events.
    pub fn put<B>(self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        let buffering = header::HeaderName::from_static("x-accel-buffering");
        headers.insert(buffering, HeaderValue::from_static("no"));
        response.extensions_mut().insert(self);
    }

    /// What a response goes on with, if it does.
    pub fn take<B>(response: &mut Response<B>) -> Option<BoxStream<'static, Bytes>> {
        let events = response.extensions_mut().remove::<Events>()?;
        events.0.lock().take()
    }
}
