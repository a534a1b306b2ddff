//! Reads what a line protocol sends: lines, literals of a known length, and dot-stuffed message data.
//!
//! Holds: the buffer grows only as bytes really arrive, never beyond what the caller allows, and is small again when
//! the peer is silent; nothing is waited for without a time limit; what follows a line, literal or message stays
//! buffered for the next read.
//! Other half: `wire`, which adds the writing side.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

pub use self::unstuff::{Progress, Unstuffer};
use crate::pace::Pace;
use crate::writer::WriteError;

mod unstuff;

/// Room for the first read after a silence: all that a connection at rest keeps.
pub const READ_CHUNK_MIN: usize = 1024;
/// Room for one read when the peer sends fast.
pub const READ_CHUNK_MAX: usize = 64 * 1024;
/// Octets of an over-long line that are thrown away in search of its end, before the connection is given up.
pub const LINE_DISCARD_OCTETS_MAX: u64 = 1 << 20;

/// Octets of an over-long line that are remembered: a command and what ends it.
pub const LINE_HEAD_OCTETS: usize = 16;

/// How long a line may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePace {
    /// Until its first octet.
    pub idle: Duration,
    /// From its first octet to its last.
    pub line: Duration,
}

/// Which line endings there were. RFC 5321 §2.3.8 allows CRLF alone; other readings of the same octets are how one
/// message is smuggled inside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// A CR without LF after it.
    pub bare_cr: bool,
    /// An LF without CR before it.
    pub bare_lf: bool,
}

impl Form {
    /// CRLF and nothing else.
    pub fn is_strict(self) -> bool {
        self == Form::default()
    }
}

/// One line. It ends at the first LF, whether there is a CR before it or not: `form` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Without its line ending.
    pub octets: Vec<u8>,
    pub form: Form,
}

/// A message, as it was before it was dot-stuffed, with the CRLF of its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    pub octets: Vec<u8>,
    /// A bare CR or LF is left where it was; it ends neither a line nor the data.
    pub form: Form,
}

/// What [`Reader::read_data`] puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataLimits {
    /// Largest message, in octets, dots removed.
    pub size_max: u64,
    /// How many more octets are thrown away in search of the end, before the connection is given up.
    pub discard_max: u64,
    pub pace: Pace,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the peer has closed the connection")]
    Closed,
    #[error("the peer has closed the connection in the middle of something")]
    Truncated,
    /// The line was thrown away to its end; the next can be read.
    #[error("line of more than {0} octets")]
    LineTooLong(usize),
    /// Data was thrown away to its end. A literal was not read at all.
    #[error("more than {0} octets")]
    TooLarge(u64),
    #[error("still no end after throwing away {0} octets")]
    Flooded(u64),
    #[error("the peer says nothing")]
    Idle,
    #[error("the peer is too slow")]
    TooSlow,
    /// Answers that were due before could not be sent.
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Io(io::Error),
}

impl ReadError {
    /// Whether nothing more can be read, so that the connection has to be closed.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, ReadError::LineTooLong(_) | ReadError::TooLarge(_))
    }
}

/// A reader with a buffer.
#[derive(Debug)]
pub struct Reader<S> {
    io: S,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no LF.
    scanned: usize,
    /// Octets of an over-long line thrown away so far.
    discarded: Option<u64>,
    /// How the last over-long line began.
    long_line_head: Vec<u8>,
    /// When the first octet of an unfinished line was seen.
    line_started: Option<Instant>,
    /// Room for the next read.
    chunk: usize,
}

impl<S> Reader<S> {
    /// Allocates nothing.
    pub fn new(io: S) -> Reader<S> {
        Reader {
            io,
            buffer: BytesMut::new(),
            scanned: 0,
            discarded: None,
            long_line_head: Vec::new(),
            line_started: None,
            chunk: READ_CHUNK_MIN,
        }
    }

    /// The stream, for writing; do not read from it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.io
    }

    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// The stream, and what was read ahead.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.io, self.buffer)
    }

    /// Whether the peer has already sent more than was read.
    pub fn has_buffered(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// How much of it.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the next line can be read without waiting.
    pub fn has_line(&self) -> bool {
        let unscanned = self.buffer.get(self.scanned..).unwrap_or_default();
        memchr::memchr(b'\n', unscanned).is_some()
    }

    /// The next line, if all of it is buffered.
    fn take_line(&mut self, limit: usize) -> Result<Option<Line>, ReadError> {
        let found = memchr::memchr(b'\n', &self.buffer[self.scanned..]);
        let Some(end) = found.map(|at| self.scanned + at) else {
            self.scanned = self.buffer.len();
            if self.discarded.is_some() || self.buffer.len() >= limit {
                self.discard_unfinished()?;
            }
            return Ok(None);
        };
        self.scanned = 0;
        self.line_started = None;
        if self.discarded.is_some() || end >= limit {
            self.note_head(end);
            self.discarded = None;
            self.buffer.advance(end + 1);
            return Err(ReadError::LineTooLong(limit));
        }
        let (octets, bare_lf) = match self.buffer[..end].strip_suffix(b"\r") {
            Some(octets) => (octets, false),
            None => (&self.buffer[..end], true),
        };
        let bare_cr = memchr::memchr(b'\r', octets).is_some();
        let line = Line {
            octets: octets.to_vec(),
            form: Form { bare_cr, bare_lf },
        };
        self.buffer.advance(end + 1);
        Ok(Some(line))
    }

    /// How the line began of which `read_line` has last said `LineTooLong`: no more than [`LINE_HEAD_OCTETS`].
    pub fn long_line_head(&self) -> &[u8] {
        &self.long_line_head
    }

    /// Remembers how an over-long line begins, of which `octets` are buffered, unless some of it was thrown away before.
    fn note_head(&mut self, octets: usize) {
        if self.discarded.is_none() {
            let head = &self.buffer[..octets.min(LINE_HEAD_OCTETS)];
            self.long_line_head = head.to_vec();
        }
    }

    /// Throws away what there is of an over-long line.
    fn discard_unfinished(&mut self) -> Result<(), ReadError> {
        self.note_head(self.buffer.len());
        let discarded = self.discarded.unwrap_or(0) + self.buffer.len() as u64;
        self.discarded = Some(discarded);
        self.buffer.clear();
        self.scanned = 0;
        match discarded {
            0..=LINE_DISCARD_OCTETS_MAX => Ok(()),
            _ => Err(ReadError::Flooded(discarded)),
        }
    }

    /// Gives the memory of a burst back.
    fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > READ_CHUNK_MIN {
            self.buffer = BytesMut::new();
        }
        self.chunk = READ_CHUNK_MIN;
    }

    /// Takes octets from the front of what is buffered.
    pub fn consume(&mut self, octets: usize) {
        self.buffer.advance(octets.min(self.buffer.len()));
        self.scanned = 0;
    }
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// The next line, of at most `limit` octets with its line ending. May be dropped and called again: nothing is lost,
    /// and the time goes on counting.
    ///
    /// Errors: `LineTooLong` after the whole line was thrown away; `Closed` between lines, `Truncated` within one.
    pub async fn read_line(&mut self, limit: usize, pace: LinePace) -> Result<Line, ReadError> {
        loop {
            if let Some(line) = self.take_line(limit)? {
                return Ok(line);
            }
            let idle = self.buffer.is_empty() && self.discarded.is_none();
            let (deadline, late) = if idle {
                self.shrink();
                (Instant::now() + pace.idle, ReadError::Idle)
            } else {
                let started = *self.line_started.get_or_insert_with(Instant::now);
                (started + pace.line, ReadError::TooSlow)
            };
            match self.fill(deadline, late).await {
                Ok(()) => {}
                Err(ReadError::Truncated) if idle => return Err(ReadError::Closed),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a dot-stuffed message to the line with nothing but a dot (RFC 5321 §4.5.2). Only CRLF, dot, CRLF ends it.
    ///
    /// Errors: `TooLarge` after the message was thrown away to its end. Not to be dropped half-way.
    pub async fn read_data(&mut self, limits: DataLimits) -> Result<Data, ReadError> {
        let mut unstuffer = Unstuffer::new(limits.size_max);
        let mut octets = Vec::new();
        let mut meter = limits.pace.begin(Instant::now());
        let mut received = 0;
        loop {
            let progress = unstuffer.feed(&self.buffer, &mut octets);
            self.consume(progress.consumed);
            received += progress.consumed as u64;
            let now = Instant::now();
            meter.moved(progress.consumed as u64, now);
            if progress.ended {
                break;
            }
            if unstuffer.is_too_large() {
                octets = Vec::new();
            }
            let surplus = received.saturating_sub(limits.size_max);
            if unstuffer.is_too_large() && surplus > limits.discard_max {
                return Err(ReadError::Flooded(surplus));
            }
            self.fill(meter.deadline(now), ReadError::TooSlow).await?;
        }
        if unstuffer.is_too_large() {
            return Err(ReadError::TooLarge(limits.size_max));
        }
        let form = unstuffer.form();
        Ok(Data { octets, form })
    }

    /// Reads a literal or chunk of `length` octets; when that is more than `length_max` it is refused unread.
    /// Not to be dropped half-way.
    pub async fn read_exact(
        &mut self,
        length: u64,
        length_max: u64,
        pace: Pace,
    ) -> Result<Vec<u8>, ReadError> {
        if length > length_max {
            return Err(ReadError::TooLarge(length_max));
        }
        let mut octets = Vec::new();
        self.read_into(length, &mut octets, pace).await?;
        Ok(octets)
    }

    /// Appends the next `length` octets to `octets`, whose room grows as they arrive (RFC 3030: one BDAT after the
    /// other). The caller has checked that so many are welcome.
    pub async fn read_into(
        &mut self,
        length: u64,
        octets: &mut Vec<u8>,
        pace: Pace,
    ) -> Result<(), ReadError> {
        let mut meter = pace.begin(Instant::now());
        let mut left = length;
        let ready = self.buffered_of(left);
        octets.extend_from_slice(&self.buffer[..ready]);
        self.consume(ready);
        left -= ready as u64;
        while left > 0 {
            let chunk =
                usize::try_from(left).map_or(READ_CHUNK_MAX, |left| left.min(READ_CHUNK_MAX));
            if octets.capacity() - octets.len() < chunk.min(READ_CHUNK_MIN) {
                octets.reserve(chunk);
            }
            let deadline = meter.deadline(Instant::now());
            let mut limited = (&mut self.io).take(left);
            let read = timeout_at(deadline, limited.read_buf(octets)).await;
            match read.map_err(|_| ReadError::TooSlow)?.map_err(read_error)? {
                0 => return Err(ReadError::Truncated),
                read => {
                    left -= read as u64;
                    meter.moved(read as u64, Instant::now());
                }
            }
        }
        Ok(())
    }

    /// What is buffered, after a wait for more when there is nothing: for content that the caller puts where it wants,
    /// and [`consume`](Reader::consume)s. May be dropped: nothing is lost.
    pub async fn fill_buffer(&mut self, deadline: Instant) -> Result<&[u8], ReadError> {
        if self.buffer.is_empty() {
            self.fill(deadline, ReadError::TooSlow).await?;
        }
        Ok(&self.buffer)
    }

    /// Throws `length` octets away: a literal that is not wanted. The caller decides how many are worth it.
    pub async fn discard(&mut self, length: u64, pace: Pace) -> Result<(), ReadError> {
        let mut meter = pace.begin(Instant::now());
        let mut left = length;
        loop {
            let ready = self.buffered_of(left);
            self.consume(ready);
            left -= ready as u64;
            let now = Instant::now();
            meter.moved(ready as u64, now);
            if left == 0 {
                return Ok(());
            }
            self.fill(meter.deadline(now), ReadError::TooSlow).await?;
        }
    }

    /// How many of the next `wanted` octets are buffered.
    fn buffered_of(&self, wanted: u64) -> usize {
        usize::try_from(wanted).map_or(self.buffer.len(), |wanted| wanted.min(self.buffer.len()))
    }

    /// Waits for more, and appends it to the buffer. May be dropped: nothing is lost.
    async fn fill(&mut self, deadline: Instant, late: ReadError) -> Result<(), ReadError> {
        self.buffer.reserve(self.chunk);
        let room = self.buffer.capacity() - self.buffer.len();
        let read = timeout_at(deadline, self.io.read_buf(&mut self.buffer)).await;
        let read = read.map_err(|_| late)?.map_err(read_error)?;
        if read == 0 {
            return Err(ReadError::Truncated);
        }
        if read == room {
            self.chunk = (self.chunk * 4).min(READ_CHUNK_MAX);
        }
        Ok(())
    }
}

/// A peer that goes away without a word, or without TLS' close_notify, has closed.
fn read_error(error: io::Error) -> ReadError {
    use io::ErrorKind::*;
    match error.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => ReadError::Truncated,
        _ => ReadError::Io(error),
    }
}

#[cfg(test)]
mod tests;
