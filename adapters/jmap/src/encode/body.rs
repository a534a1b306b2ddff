//! The body of a response: octets that are there, or a stream of events.
//!
//! Holds: what a response keeps occupied (a slot, room, the connection's count of open exchanges) is given back when the last
//! of its octets has been sent or dropped, not before: a client that doesn't read can't pile answers up.
//! Other half: `readers`, which ends a connection whose client takes too little of it.

use std::{
    any::Any,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::readers::Reading;

/// Octets that are handed to the connection at a time: few enough that a slow client asks for more in time.
const FRAME_OCTETS: usize = 16 << 10;

/// See the module.
pub struct Body {
    content: Content,
    kept: Vec<Box<dyn Any + Send>>,
    reading: Option<Arc<Reading>>,
    /// Octets that were handed out last: they are taken once more is asked for.
    handed: usize,
}

/// The octets of a response that is being sent. The connection may keep some of them longer than the body.
struct Sending {
    octets: Bytes,
    _kept: Vec<Box<dyn Any + Send>>,
    _reading: Arc<Reading>,
}

impl AsRef<[u8]> for Sending {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
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
        Body::of(Content::Full(octets.into()))
    }

    pub fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Body {
        Body::of(Content::Events(events.boxed()))
    }

    fn of(content: Content) -> Body {
        Body {
            content,
            kept: Vec::new(),
            reading: None,
            handed: 0,
        }
    }

    /// Keeps something until the body has been sent or dropped.
    pub fn keep(&mut self, guard: impl Any + Send) {
        self.kept.push(Box::new(guard));
    }

    /// Octets that are there.
    pub(crate) fn octets(&self) -> usize {
        match &self.content {
            Content::Full(octets) => octets.len(),
            Content::Events(_) => 0,
        }
    }

    /// It goes to the client now, who has to keep a pace if there is something to be taken at once.
    pub(crate) fn send(&mut self, begin: impl FnOnce() -> Arc<Reading>) {
        let Content::Full(octets) = &mut self.content else {
            return;
        };
        if octets.is_empty() {
            return;
        }
        let reading = begin();
        self.reading = Some(reading.clone());
        *octets = Bytes::from_owner(Sending {
            octets: std::mem::take(octets),
            _kept: std::mem::take(&mut self.kept),
            _reading: reading,
        });
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
        let this = &mut *self;
        match &mut this.content {
            Content::Full(octets) if octets.is_empty() => Poll::Ready(None),
            Content::Full(octets) => {
                let frame = octets.split_to(octets.len().min(FRAME_OCTETS));
                let taken = std::mem::replace(&mut this.handed, frame.len());
                if let Some(reading) = this.reading.as_ref().filter(|_| taken > 0) {
                    reading.took(taken as u64);
                }
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
            Content::Full(_) => SizeHint::with_exact(self.octets() as u64),
            Content::Events(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::readers::Readers;

    #[tokio::test]
    async fn what_it_keeps_is_kept_until_the_last_octet_is_sent() {
        let readers = Arc::new(Readers::default());
        let kept = Arc::new(());
        let octets = vec![7; 2 * FRAME_OCTETS + 1];
        let mut body = Body::full(octets.clone());
        body.keep(kept.clone());
        body.send(|| readers.begin());
        let mut frames = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            frames.push(frame.into_data().unwrap());
        }
        assert_eq!(frames.concat(), octets);
        drop(body);
        let last = frames.pop();
        drop(frames);
        assert_eq!(Arc::strong_count(&kept), 2, "the connection has some of it");
        drop(last);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
