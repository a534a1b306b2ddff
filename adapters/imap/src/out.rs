//! Where answers go, and where the octets of a client come from.
//!
//! Holds: answers are sent before anything is waited for; what is gathered is small, or sent as it grows, as long as who makes much says
//! [`Out::settle`] now and then.
//! Other half: `encode`, which writes into the buffer.

use net::reader::{Line, LinePace, ReadError};
use net::stream::UpgradeError;
use net::tls::TlsServer;
use net::{Pace, Stream, Wire};

use crate::encode::{self, Code, Status};

/// Octets that are gathered before [`Out::settle`] sends them.
const SETTLE_OCTETS: usize = 32 * 1024;
/// What the buffer may keep at rest.
const REST_OCTETS_MAX: usize = 1024;

/// Both directions of a session's connection.
pub struct Out {
    wire: Wire<Stream>,
    buffer: Vec<u8>,
}

impl Out {
    pub fn new(stream: Stream, write: Pace) -> Out {
        Out {
            wire: Wire::with_pace(stream, write),
            buffer: Vec::new(),
        }
    }

    /// For the functions of `encode`, which write at its end.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub fn tagged(&mut self, tag: &str, status: Status, code: Option<&Code>, text: &str) {
        encode::tagged(&mut self.buffer, tag, status, code, text);
    }

    pub fn untagged(&mut self, status: Status, code: Option<&Code>, text: &str) {
        encode::untagged(&mut self.buffer, status, code, text);
    }

    /// Sends what was gathered if it is much: to be said between the items of a long answer. Not to be dropped half-way.
    pub async fn settle(&mut self) -> Result<(), ReadError> {
        if self.buffer.len() < SETTLE_OCTETS {
            return Ok(());
        }
        self.hand_over().await
    }

    /// Sends what was gathered, and these octets without copying them if they are many. Not to be dropped half-way.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), ReadError> {
        self.hand_over().await?;
        Ok(self.wire.send(octets).await?)
    }

    /// Sends everything. Not to be dropped half-way.
    pub async fn flush(&mut self) -> Result<(), ReadError> {
        self.hand_over().await?;
        Ok(self.wire.flush().await?)
    }

    async fn hand_over(&mut self) -> Result<(), ReadError> {
        if !self.buffer.is_empty() {
            self.wire.send(&self.buffer).await?;
            self.buffer.clear();
        }
        if self.buffer.capacity() > REST_OCTETS_MAX {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// The next line. Answers are sent before a wait. What is in the buffer has to be flushed before this may be dropped half-way and
    /// called again: then nothing is lost.
    pub async fn read_line(
        &mut self,
        octets_max: usize,
        pace: LinePace,
    ) -> Result<Line, ReadError> {
        self.hand_over().await?;
        self.wire.read_line(octets_max, pace).await
    }

    /// Appends a literal.
    pub async fn read_into(
        &mut self,
        length: u64,
        octets: &mut Vec<u8>,
        pace: Pace,
    ) -> Result<(), ReadError> {
        self.hand_over().await?;
        self.wire.read_into(length, octets, pace).await
    }

    /// Throws a literal away.
    pub async fn discard(&mut self, length: u64, pace: Pace) -> Result<(), ReadError> {
        self.hand_over().await?;
        self.wire.discard(length, pace).await
    }

    /// Whether the client has sent a whole line that was not read yet.
    pub fn has_line(&self) -> bool {
        self.wire.has_line()
    }

    /// Whether the client has sent anything that was not read yet.
    pub fn has_buffered(&self) -> bool {
        self.wire.has_buffered()
    }

    /// To be said where the client may wait for an acknowledgement before it goes on.
    pub fn acknowledge(&self) {
        if !self.wire.has_buffered() {
            self.wire.stream().acknowledge();
        }
    }

    pub fn stream(&self) -> &Stream {
        self.wire.stream()
    }

    /// Sends the answers, and does the handshake.
    pub async fn start_tls(mut self, server: &TlsServer) -> Result<Out, UpgradeError> {
        self.hand_over().await.map_err(std::io::Error::other)?;
        Ok(Out {
            wire: self.wire.start_tls(server).await?,
            buffer: self.buffer,
        })
    }

    /// Sends the answers, and compresses what follows.
    pub async fn compress(mut self) -> Result<Out, ReadError> {
        self.hand_over().await?;
        Ok(Out {
            wire: self.wire.deflate().await?,
            buffer: self.buffer,
        })
    }

    /// Sends the answers, and closes.
    pub async fn close(mut self) {
        if self.hand_over().await.is_ok() {
            self.wire.close().await;
        }
    }
}
