//! The body of a request, as it comes in.
//!
//! Holds: whether it was read to its end is known also after who had it has let it go.
//! Other half: `route::respond`, which says so where the connection can't be used again.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, SizeHint};

/// See the module.
#[derive(Debug)]
pub struct Incoming {
    body: hyper::body::Incoming,
    is_read: Arc<AtomicBool>,
}

/// Knows of one body whether it was read to its end.
pub(crate) struct Reading(Arc<AtomicBool>);

impl Incoming {
    pub(crate) fn of(request: Request<hyper::body::Incoming>) -> (Request<Incoming>, Reading) {
        // A request without a body has nothing to be read.
        let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let reading = Reading(is_read.clone());
        (request.map(|body| Incoming { body, is_read }), reading)
    }
}

impl Reading {
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Release);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
