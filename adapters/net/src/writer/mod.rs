//! Writes to a peer that may never read.
//! Holds: no write waits longer than its [`Pace`] allows.
//! Other half: `wire`, which gathers small answers.

use std::io::{self, IoSlice};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

pub use self::stall_guard::StallGuard;
use crate::pace::{Meter, Pace};

mod stall_guard;

/// Most that is given to the transport at once; in TLS what it is given is copied and encrypted at once.
pub const WRITE_CHUNK_MAX: usize = 64 * 1024;

/// Why an answer could not be sent. The connection has to be closed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the peer does not take its answers, or too slowly")]
    TooSlow,
    #[error("the peer has closed the connection")]
    Closed,
    #[error(transparent)]
    Io(io::Error),
}

/// Writes all, and flushes. Not to be dropped half-way.
pub async fn write_all<W: AsyncWrite + Unpin>(
    writer: &mut W,
    octets: &[u8],
    pace: Pace,
) -> Result<(), WriteError> {
    write_both(writer, octets, &[], pace).await
}

/// Writes one after the other, and flushes; in one system call where the transport can do that.
pub async fn write_both<W: AsyncWrite + Unpin>(
    writer: &mut W,
    mut first: &[u8],
    mut second: &[u8],
    pace: Pace,
) -> Result<(), WriteError> {
    let mut meter = pace.begin(Instant::now());
    while !(first.is_empty() && second.is_empty()) {
        // The second may begin only where all of the first fits in.
        let both = first.len() <= WRITE_CHUNK_MAX;
        let slices = [chunk(first), chunk(if both { second } else { &[] })];
        let deadline = meter.deadline(Instant::now());
        let write = timeout_at(deadline, writer.write_vectored(&slices)).await;
        let count = write
            .map_err(|_| WriteError::TooSlow)?
            .map_err(write_error)?;
        if count == 0 {
            return Err(WriteError::Closed);
        }
        meter.moved(count as u64, Instant::now());
        let of_first = count.min(first.len());
        first = &first[of_first..];
        second = second.get(count - of_first..).unwrap_or_default();
    }
    flush(writer, &meter).await
}

/// Flushes what the transport holds back (TLS).
pub(crate) async fn flush<W: AsyncWrite + Unpin>(
    writer: &mut W,
    meter: &Meter,
) -> Result<(), WriteError> {
    let deadline = meter.deadline(Instant::now());
    let flush = timeout_at(deadline, writer.flush()).await;
    flush.map_err(|_| WriteError::TooSlow)?.map_err(write_error)
}

fn chunk(octets: &[u8]) -> IoSlice<'_> {
    IoSlice::new(&octets[..octets.len().min(WRITE_CHUNK_MAX)])
}

pub(crate) fn write_error(error: io::Error) -> WriteError {
    use io::ErrorKind::*;
    match error.kind() {
        BrokenPipe | ConnectionReset | ConnectionAborted | WriteZero | NotConnected => {
            WriteError::Closed
        }
        _ => WriteError::Io(error),
    }
}

#[cfg(test)]
mod tests;
