//! A line protocol's conversation: a [`Reader`], and answers that are gathered while the client pipelines (RFC 2920).
//!
//! Holds: answers are sent before anything is waited for, so that no peer waits for us while we wait for it; what is
//! gathered is bounded; nothing that was sent before a TLS handshake is read after it (CVE-2011-0411).
//! Other half: the adapters' sessions.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::pace::Pace;
use crate::reader::{Data, DataLimits, Line, LinePace, ReadError, Reader};
use crate::stream::{Deflated, Stream, UpgradeError};
use crate::tls::TlsServer;
use crate::writer::{self, WriteError};

/// Answers that are gathered before they are sent in any case.
pub const OUT_OCTETS_MAX: usize = 16 * 1024;
/// What the gathering buffer may keep at rest.
pub const OUT_REST_OCTETS_MAX: usize = 1024;
/// Longest wait for the end of a connection that is being closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Both directions of a connection.
#[derive(Debug)]
pub struct Wire<S> {
    reader: Reader<S>,
    out: BytesMut,
    /// Whether the transport may hold something back.
    unflushed: bool,
    pace: Pace,
}

impl<S> Wire<S> {
    pub fn new(stream: S) -> Wire<S> {
        Wire::with_pace(stream, Pace::WRITE)
    }

    /// `pace`: how fast the peer has to take what it is sent.
    pub fn with_pace(stream: S, pace: Pace) -> Wire<S> {
        Wire {
            reader: Reader::new(stream),
            out: BytesMut::new(),
            unflushed: false,
            pace,
        }
    }

    /// The stream, for its addresses and TLS; do not read from it or write to it.
    pub fn stream(&self) -> &S {
        self.reader.get_ref()
    }

    /// Whether the peer has already sent more than was read. Before STARTTLS is accepted it must not have.
    pub fn has_buffered(&self) -> bool {
        self.reader.has_buffered()
    }

    /// See [`Reader::long_line_head`].
    pub fn long_line_head(&self) -> &[u8] {
        self.reader.long_line_head()
    }

    /// Whether the next line can be read without waiting.
    pub fn has_line(&self) -> bool {
        self.reader.has_line()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Adds to the answers. They are sent when there are many, at `flush`, or before the next wait for the peer.
    /// Not to be dropped half-way.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), WriteError> {
        if self.out.len() + octets.len() <= OUT_OCTETS_MAX {
            self.out.extend_from_slice(octets);
            return Ok(());
        }
        // Large ones are not copied.
        let gathered = std::mem::take(&mut self.out);
        writer::write_both(self.reader.get_mut(), &gathered, octets, self.pace).await
    }

    /// Sends all answers. May be dropped and called again: nothing is lost or sent twice.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        if self.out.is_empty() && !self.unflushed {
            return Ok(());
        }
        let mut meter = self.pace.begin(Instant::now());
        while !self.out.is_empty() {
            let deadline = meter.deadline(Instant::now());
            let write = timeout_at(deadline, self.reader.get_mut().write(&self.out)).await;
            let count = write.map_err(|_| WriteError::TooSlow)?;
            let count = count.map_err(writer::write_error)?;
            if count == 0 {
                return Err(WriteError::Closed);
            }
            self.out.advance(count);
            self.unflushed = true;
            meter.moved(count as u64, Instant::now());
        }
        if self.out.capacity() > OUT_REST_OCTETS_MAX {
            self.out = BytesMut::new();
        }
        writer::flush(self.reader.get_mut(), &meter).await?;
        self.unflushed = false;
        Ok(())
    }

    /// See [`Reader::read_line`]. Answers are sent first, unless the line is there already. May be dropped and called
    /// again.
    pub async fn read_line(&mut self, limit: usize, pace: LinePace) -> Result<Line, ReadError> {
        if !self.has_line() {
            self.flush().await?;
        }
        self.reader.read_line(limit, pace).await
    }

    /// See [`Reader::read_data`].
    pub async fn read_data(&mut self, limits: DataLimits) -> Result<Data, ReadError> {
        self.flush().await?;
        self.reader.read_data(limits).await
    }

    /// See [`Reader::read_exact`].
    pub async fn read_exact(
        &mut self,
        length: u64,
        length_max: u64,
        pace: Pace,
    ) -> Result<Vec<u8>, ReadError> {
        self.flush_before(length).await?;
        self.reader.read_exact(length, length_max, pace).await
    }

    /// See [`Reader::read_into`].
    pub async fn read_into(
        &mut self,
        length: u64,
        octets: &mut Vec<u8>,
        pace: Pace,
    ) -> Result<(), ReadError> {
        self.flush_before(length).await?;
        self.reader.read_into(length, octets, pace).await
    }

    /// See [`Reader::fill_buffer`]. Answers are sent before a wait.
    pub async fn fill_buffer(&mut self, deadline: Instant) -> Result<&[u8], ReadError> {
        self.flush_before(1).await?;
        self.reader.fill_buffer(deadline).await
    }

    /// See [`Reader::consume`].
    pub fn consume(&mut self, octets: usize) {
        self.reader.consume(octets);
    }

    /// See [`Reader::discard`].
    pub async fn discard(&mut self, length: u64, pace: Pace) -> Result<(), ReadError> {
        self.flush_before(length).await?;
        self.reader.discard(length, pace).await
    }

    /// Sends the answers, then closes in good order, as far as the peer is quick about it.
    pub async fn close(mut self) {
        if self.flush().await.is_err() {
            return;
        }
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        let _ = timeout_at(deadline, self.reader.get_mut().shutdown()).await;
    }

    /// Sends the answers unless so many octets are buffered already.
    async fn flush_before(&mut self, length: u64) -> Result<(), WriteError> {
        if self.reader.buffered() as u64 >= length {
            return Ok(());
        }
        self.flush().await
    }
}

impl Wire<Stream> {
    /// Sends the answers (`220 Ready to start TLS`), then does the server's side of the handshake.
    ///
    /// Errors: `Injected` when the client has sent anything after its STARTTLS without waiting for the answer. The
    /// connection is gone then: what it has sent may be someone else's.
    pub async fn start_tls(mut self, server: &TlsServer) -> Result<Wire<Stream>, UpgradeError> {
        self.flush().await.map_err(std::io::Error::other)?;
        let pace = self.pace;
        let stream = self.into_bare_stream()?.upgrade_tls(server).await?;
        Ok(Wire::with_pace(stream, pace))
    }

    /// Sends the answers (`OK`), and compresses what follows, both ways (RFC 4978). Octets that have come since count as compressed.
    pub async fn deflate(mut self) -> Result<Wire<Stream>, WriteError> {
        self.flush().await?;
        let pace = self.pace;
        let (stream, ahead) = self.reader.into_parts();
        let stream = Stream::Deflated(Box::new(Deflated::new(stream, ahead)));
        Ok(Wire::with_pace(stream, pace))
    }

    /// The client's side, after the server has agreed to STARTTLS.
    ///
    /// Errors: `Injected` when the server has said more than that it agrees.
    pub async fn connect_tls(
        self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Wire<Stream>, UpgradeError> {
        let pace = self.pace;
        let stream = self.into_bare_stream()?.connect_tls(config, name).await?;
        Ok(Wire::with_pace(stream, pace))
    }

    /// The stream, provided that nothing was read ahead of it.
    fn into_bare_stream(self) -> Result<Stream, UpgradeError> {
        let (stream, ahead) = self.reader.into_parts();
        match ahead.len() {
            0 => Ok(stream),
            octets => Err(UpgradeError::Injected(octets)),
        }
    }
}

#[cfg(test)]
mod tests;
