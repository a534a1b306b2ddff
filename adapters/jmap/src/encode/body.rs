//! The body of a response: octets that are there, or a stream of events.
//!
//! Holds: what a response keeps occupied (a slot, the connection's count of open exchanges) is given back when its body
//! has been sent or dropped, not before: a client that doesn't read can't pile answers up.

use std::{
    any::Any,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Octets that are handed to the connection at a time.
const FRAME_OCTETS: usize = 64 << 10;

/// See the module.
pub struct Body {
    content: Content,
    kept: Vec<Box<dyn Any + Send>>,
}

enum Content {
    Full(Bytes),
    Events(BoxStream<'static, Bytes>),
}

impl Body {
    pub fn empty() -> Body {
        Body::full(Bytes::new())
    }

    pub fn full(octets: impl Into<Bytes>) -> Body {
        Body {
            content: Content::Full(octets.into()),
            kept: Vec::new(),
        }
    }

    pub fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Body {
        Body {
            content: Content::Events(events.boxed()),
            kept: Vec::new(),
        }
    }

    /// Keeps something until the body is dropped.
    pub fn keep(&mut self, guard: impl Any + Send) {
        self.kept.push(Box::new(guard));
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.content {
            Content::Full(octets) => write!(f, "Body({} octets)", octets.len()),
            Content::Events(_) => f.write_str("Body(events)"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Full(octets) if octets.is_empty() => Poll::Ready(None),
            Content::Full(octets) => {
                let frame = octets.split_to(octets.len().min(FRAME_OCTETS));
                Poll::Ready(Some(Ok(Frame::data(frame))))
            }
            Content::Events(events) => {
                let next = events.poll_next_unpin(context);
                next.map(|event| event.map(|event| Ok(Frame::data(event))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(octets) => octets.is_empty(),
            Content::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(octets) => SizeHint::with_exact(octets.len() as u64),
            Content::Events(_) => SizeHint::default(),
        }
    }
}
