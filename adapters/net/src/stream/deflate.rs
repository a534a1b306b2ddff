//! COMPRESS=DEFLATE (RFC 4978): a layer between a connection and its reader and writer.
//!
//! Holds: nothing is inflated before somebody has room for it, so that few octets can't become many in memory; what is deflated is sent
//! when somebody flushes, and what waits to be sent is bounded.
//! Other half: [`Wire::deflate`](crate::Wire::deflate), which puts it in place.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;

/// Compressed octets that are read at once.
const READ_OCTETS: usize = 4 * 1024;
/// Compressed octets that wait to be sent, before no more are taken.
const WAITING_OCTETS_MAX: usize = 16 * 1024;
/// Octets that are deflated at once.
const DEFLATE_OCTETS: usize = 16 * 1024;

/// A connection whose octets are deflated (RFC 1951, without a header), both ways.
pub struct Deflated {
    io: Stream,
    inflate: Decompress,
    deflate: Compress,
    /// Compressed, and not inflated yet.
    received: BytesMut,
    /// The last reader had no room left: there may be more without anything being received.
    may_have_more: bool,
    ended: bool,
    /// Compressed, and not sent yet.
    waiting: BytesMut,
    /// Something may still be in `deflate`.
    is_dirty: bool,
}

impl std::fmt::Debug for Deflated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflated")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

impl Deflated {
    /// `received`: what was read of the connection already, which is compressed.
    pub(crate) fn new(io: Stream, received: BytesMut) -> Deflated {
        Deflated {
            io,
            inflate: Decompress::new(false),
            deflate: Compress::new(Compression::fast(), false),
            may_have_more: false,
            received,
            ended: false,
            waiting: BytesMut::new(),
            is_dirty: false,
        }
    }

    pub(super) fn inner(&self) -> &Stream {
        &self.io
    }

    /// Inflates into the room that there is. Whether anything came of it.
    fn inflate(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        if self.received.is_empty() && !self.may_have_more {
            return Ok(false);
        }
        let room = buffer.initialize_unfilled();
        let (taken, made) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(&self.received, room, FlushDecompress::None)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let taken = usize::try_from(self.inflate.total_in() - taken).unwrap_or(usize::MAX);
        let made = usize::try_from(self.inflate.total_out() - made).unwrap_or(usize::MAX);
        self.may_have_more = made == room.len();
        self.received.advance(taken.min(self.received.len()));
        buffer.advance(made);
        if status == Status::StreamEnd {
            self.ended = true;
        }
        Ok(made > 0)
    }

    /// Deflates, at the end of what waits.
    fn deflate(&mut self, octets: &[u8], flush: FlushCompress) -> io::Result<usize> {
        let mut taken = 0;
        let mut room = [0; 4096];
        loop {
            let (before_in, before_out) = (self.deflate.total_in(), self.deflate.total_out());
            let rest = octets.get(taken..).unwrap_or_default();
            self.deflate
                .compress(rest, &mut room, flush)
                .map_err(io::Error::other)?;
            let used = self.deflate.total_in() - before_in;
            taken += usize::try_from(used).unwrap_or(usize::MAX);
            let made = usize::try_from(self.deflate.total_out() - before_out).unwrap_or(usize::MAX);
            self.waiting
                .extend_from_slice(room.get(..made).unwrap_or_default());
            if made < room.len() && taken >= octets.len() {
                return Ok(taken);
            }
        }
    }

    /// Sends what waits, until no more than so many octets are left.
    fn poll_send(&mut self, context: &mut Context<'_>, rest_max: usize) -> Poll<io::Result<()>> {
        while self.waiting.len() > rest_max {
            let sent = ready!(Pin::new(&mut self.io).poll_write(context, &self.waiting))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(sent);
        }
        if self.waiting.is_empty() {
            self.waiting = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Deflated {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if buffer.remaining() == 0 || this.ended || this.inflate(buffer)? {
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            // Inflating takes all there is unless it has no room.
            let mut room = [0; READ_OCTETS];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut this.io).poll_read(context, &mut room))?;
            if room.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if this.received.is_empty() {
                this.received = BytesMut::new();
            }
            this.received.extend_from_slice(room.filled());
        }
    }
}

impl AsyncWrite for Deflated {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(context, WAITING_OCTETS_MAX))?;
        let some = octets.get(..DEFLATE_OCTETS).unwrap_or(octets);
        this.is_dirty = true;
        Poll::Ready(this.deflate(some, FlushCompress::None))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_dirty {
            this.deflate(&[], FlushCompress::Sync)?;
            this.is_dirty = false;
        }
        ready!(this.poll_send(context, 0))?;
        Pin::new(&mut this.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Stream::Tcp(near.unwrap()), far.unwrap().0)
    }

    fn deflated(octets: &[u8]) -> Vec<u8> {
        let mut deflate = Compress::new(Compression::best(), false);
        let mut made = Vec::with_capacity(octets.len() + 1024);
        deflate
            .compress_vec(octets, &mut made, FlushCompress::Sync)
            .unwrap();
        made
    }

    #[tokio::test]
    async fn what_is_written_is_read_at_the_other_end() {
        let (near, far) = pair().await;
        let mut near = Deflated::new(near, BytesMut::new());
        let mut far = Deflated::new(Stream::Tcp(far), BytesMut::new());
        let text: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let sent = text.clone();
        let writing = tokio::spawn(async move {
            near.write_all(&sent).await.unwrap();
            near.flush().await.unwrap();
            near
        });
        let mut received = vec![0; text.len()];
        far.read_exact(&mut received).await.unwrap();
        assert!(received == text);
        let mut near = writing.await.unwrap();
        for word in ["a", "", "and so on"] {
            near.write_all(word.as_bytes()).await.unwrap();
            near.flush().await.unwrap();
            let mut received = vec![0; word.len()];
            far.read_exact(&mut received).await.unwrap();
            assert_eq!(received, word.as_bytes());
        }
        near.shutdown().await.unwrap();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first() {
        let (near, mut far) = pair().await;
        let ahead = deflated(b"first second");
        let (one, other) = ahead.split_at(5);
        let mut near = Deflated::new(near, BytesMut::from(one));
        far.write_all(other).await.unwrap();
        let mut received = [0; 12];
        near.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"first second");
    }

    /// A thousand to one, as deflate can: it is inflated as it is read.
    #[tokio::test]
    async fn few_octets_do_not_become_many_at_once() {
        let (near, mut far) = pair().await;
        let mut near = Deflated::new(near, BytesMut::new());
        far.write_all(&deflated(&vec![b'a'; 4 << 20]))
            .await
            .unwrap();
        let mut total = 0;
        let mut room = vec![0; 1000];
        while total < 4 << 20 {
            let read = near.read(&mut room).await.unwrap();
            assert!(read > 0 && near.received.len() <= READ_OCTETS);
            total += read;
        }
    }

    #[tokio::test]
    async fn what_is_no_deflate_is_an_error() {
        let (near, mut far) = pair().await;
        let mut near = Deflated::new(near, BytesMut::new());
        far.write_all(&[0xff; 100]).await.unwrap();
        let error = near.read(&mut [0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
