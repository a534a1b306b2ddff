//! The message on its way in: DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030).
//!
//! Holds: it is kept in one piece of memory, with room in front for what we add, and never copied as a whole; its room
//! grows as octets arrive, and each growth is asked of the budget first. What is not kept is still read to its end, so
//! that the client sees the answer. All chunks of a message, and the waits between them, have one pace.
//! Other half: `transaction`, which makes a message of it.

use bytes::Bytes;
use net::reader::{ReadError, Unstuffer};
use net::{Meter, Pace, Stream, Wire};
use tokio::time::Instant;

use crate::budget::Share;
use crate::config::Limits;
use crate::message;

/// Room for what we put in front: trace fields, Authentication-Results, Date, Message-ID.
pub const FRONT_OCTETS: usize = 4096;
/// Room for content that is taken at first.
const FIRST_OCTETS: usize = 8 * 1024;

/// What has become of the content so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Kept,
    TooLarge,
    /// The budget had no room.
    NoRoom,
}

/// A message that is arriving.
#[derive(Debug)]
pub struct Body {
    /// Empty, or `FRONT_OCTETS` and the content.
    octets: Vec<u8>,
    /// The octets while others read them.
    lent: Option<Bytes>,
    share: Share,
    meter: Meter,
    fate: Fate,
    strict: bool,
}

impl Body {
    /// One that begins to arrive now.
    pub fn new(share: Share, pace: Pace) -> Body {
        Body {
            octets: Vec::new(),
            lent: None,
            share,
            meter: pace.begin(Instant::now()),
            fate: Fate::Kept,
            strict: true,
        }
    }

    /// When its next chunk must be on its way.
    pub fn due(&self) -> Instant {
        self.meter.due()
    }

    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// Whether it ends its lines with CRLF, and has no CR or LF elsewhere. Known once all has arrived.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// All chunks have arrived: looks at the line endings, which may be divided between chunks.
    pub fn end_chunks(&mut self) {
        self.strict = message::is_strict(self.content());
    }

    /// What has arrived, if it is kept.
    pub fn content(&self) -> &[u8] {
        self.octets.get(FRONT_OCTETS..).unwrap_or_default()
    }

    /// The content, to be shared for a while; `put_back` undoes it.
    pub fn take_content(&mut self) -> Bytes {
        let octets = Bytes::from(std::mem::take(&mut self.octets));
        let start = FRONT_OCTETS.min(octets.len());
        self.lent = Some(octets.clone());
        octets.slice(start..)
    }

    /// After `take_content`. Copies nothing when nobody else has the content any more.
    pub fn put_back(&mut self, content: Bytes) {
        drop(content);
        if let Some(octets) = self.lent.take() {
            self.octets = Vec::from(octets);
        }
    }

    /// The memory of it, in which the content begins at `FRONT_OCTETS`.
    pub fn octets_mut(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// The message with `front` in front of it, and its share of the budget, which is to be kept as long as the message.
    pub fn into_message(mut self, front: &[u8]) -> (Bytes, Share) {
        if self.octets.is_empty() {
            self.octets.resize(FRONT_OCTETS, 0);
        }
        let start = match FRONT_OCTETS.checked_sub(front.len()) {
            Some(start) => {
                self.octets[start..FRONT_OCTETS].copy_from_slice(front);
                start
            }
            // Longer than what we mostly write; then it is copied.
            None => {
                let front = front.iter().copied();
                self.octets.splice(..FRONT_OCTETS, front);
                0
            }
        };
        (Bytes::from(self.octets).slice(start..), self.share)
    }

    fn give_up(&mut self, fate: Fate) {
        if self.fate == Fate::Kept {
            self.fate = fate;
            self.octets = Vec::new();
            self.share.clear();
        }
    }

    /// Makes room for so many octets more.
    async fn make_room(&mut self, octets: usize, size_max: u64) {
        if self.fate != Fate::Kept {
            return;
        }
        let length = self.octets.len().max(FRONT_OCTETS);
        let needed = length + octets;
        let room = self.octets.capacity();
        if room < needed {
            let most = usize::try_from(size_max).unwrap_or(usize::MAX);
            let most = most.saturating_add(FRONT_OCTETS);
            let doubled = room.saturating_mul(2).max(FRONT_OCTETS + FIRST_OCTETS);
            let wanted = doubled.min(most).max(needed);
            if self.share.grow((wanted - room) as u64).await.is_err() {
                return self.give_up(Fate::NoRoom);
            }
            self.octets.reserve_exact(wanted - self.octets.len());
        }
        self.octets.resize(length, 0);
    }
}

/// Reads to the line with nothing but a dot. Errors: as of [`Wire::fill_buffer`], and `Flooded`; all are fatal.
pub async fn read_data(
    wire: &mut Wire<Stream>,
    body: &mut Body,
    limits: &Limits,
) -> Result<(), ReadError> {
    let mut unstuffer = Unstuffer::new(limits.size_max);
    let mut nowhere = Vec::new();
    let mut received = 0u64;
    loop {
        let deadline = body.meter.deadline(Instant::now());
        let input = wire.fill_buffer(deadline).await?;
        let before = Instant::now();
        // One more: a CR that looked like a part of the end.
        body.make_room(input.len() + 1, limits.size_max).await;
        // Our own waits are not the client's fault.
        body.meter.excuse(before.elapsed());
        let progress = match body.fate {
            Fate::Kept => unstuffer.feed(input, &mut body.octets),
            Fate::TooLarge | Fate::NoRoom => {
                nowhere.clear();
                unstuffer.feed(input, &mut nowhere)
            }
        };
        wire.consume(progress.consumed);
        received += progress.consumed as u64;
        body.meter.moved(progress.consumed as u64, Instant::now());
        if unstuffer.is_too_large() {
            body.give_up(Fate::TooLarge);
        }
        if progress.ended {
            body.strict = unstuffer.form().is_strict();
            return Ok(());
        }
        let surplus = received.saturating_sub(limits.size_max);
        if body.fate != Fate::Kept && surplus > limits.discard_max {
            return Err(ReadError::Flooded(received));
        }
    }
}

/// Reads one chunk, and appends it. Errors: as of [`read_data`].
pub async fn read_chunk(
    wire: &mut Wire<Stream>,
    body: &mut Body,
    size: u64,
    limits: &Limits,
) -> Result<(), ReadError> {
    let total = (body.content().len() as u64).saturating_add(size);
    if total > limits.size_max {
        body.give_up(Fate::TooLarge);
    }
    if body.fate != Fate::Kept && size > limits.discard_max.saturating_add(limits.size_max) {
        return Err(ReadError::Flooded(size));
    }
    let mut left = size;
    while left > 0 {
        let deadline = body.meter.deadline(Instant::now());
        let input = wire.fill_buffer(deadline).await?;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let input = &input[..input.len().min(most)];
        let before = Instant::now();
        body.make_room(input.len(), limits.size_max).await;
        body.meter.excuse(before.elapsed());
        if body.fate == Fate::Kept {
            body.octets.extend_from_slice(input);
        }
        let taken = input.len();
        wire.consume(taken);
        left -= taken as u64;
        body.meter.moved(taken as u64, Instant::now());
    }
    Ok(())
}

/// Reads a chunk that nobody wants.
pub async fn discard_chunk(
    wire: &mut Wire<Stream>,
    size: u64,
    limits: &Limits,
    pace: Pace,
) -> Result<(), ReadError> {
    if size > limits.discard_max.saturating_add(limits.size_max) {
        return Err(ReadError::Flooded(size));
    }
    wire.discard(size, pace).await
}
