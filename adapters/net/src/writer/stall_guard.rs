//! A stream whose writes fail when the peer takes too little for too long: for libraries that write by themselves (hyper).
//! Holds: reads are passed on as they are; the timer exists only while a write waits; while nothing waits to be taken, time costs nothing.
//! Other half: `writer`, for those who write through it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::pace::{Meter, Pace};

/// See the module. A write whose peer doesn't keep the pace fails with `TimedOut`.
#[derive(Debug)]
pub struct StallGuard<S> {
    io: S,
    meter: Meter,
    /// When the last write was done with.
    rested: Instant,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    pub fn new(io: S, pace: Pace) -> StallGuard<S> {
        let now = Instant::now();
        StallGuard {
            io,
            meter: pace.begin(now),
            rested: now,
            waiting: None,
        }
    }

    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Lets `poll` pass, and counts how long it has been pending; `octets` are those that the peer has taken with it.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
        octets: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let now = Instant::now();
        if self.waiting.is_none() {
            // Until now, nothing was there to be taken.
            self.meter.excuse(now - self.rested);
            self.rested = now;
        }
        if let Poll::Ready(result) = poll {
            let octets = result.as_ref().map_or(0, octets);
            self.meter.moved(octets as u64, now);
            self.rested = now;
            self.waiting = None;
            return Poll::Ready(result);
        }
        let deadline = self.meter.deadline(self.rested);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(context, octets);
        self.watch(context, poll, |octets| *octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.watch(context, poll, |octets| *octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(context);
        self.watch(context, poll, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_shutdown(context);
        self.watch(context, poll, |()| 0)
    }
}
