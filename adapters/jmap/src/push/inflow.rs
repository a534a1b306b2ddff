//! What the client of a WebSocket sends, as it comes in.
//!
//! Holds: a message that isn't complete keeps the pace of a body, whatever else the client says meanwhile; from
//! [`MESSAGE_FREE_OCTETS`] on it takes room as it comes, and no more of it is read before it has that.
//! Other half: `websocket`, which says when a message is complete.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use jmap_types::AccountId;
use net::{
    pace::Meter,
    slots::{Slot, Slots},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    receive::BODY_PACE,
    room::{Held, Room},
};

/// Octets of a message that isn't complete which take no room: connections are counted themselves.
pub const MESSAGE_FREE_OCTETS: u64 = 16 << 10;
/// Octets that a message takes room for at a time.
const STEP_OCTETS: u64 = 256 << 10;
/// Octets of a control frame of a client beside its payload (RFC 6455 §5.2, §5.5): they have a mask, and 125 octets at most.
const CONTROL_OCTETS: u64 = 6;

/// Where the messages of an account find room.
#[derive(Clone, Debug)]
pub struct Places {
    pub slots: Arc<Slots<AccountId>>,
    pub account: AccountId,
    pub room: Room,
    /// How large a message may be.
    pub octets: u64,
}

/// What one message has.
#[derive(Debug)]
struct Place {
    _slot: Slot<AccountId>,
    room: Held,
    /// Octets of the message that may come before there has to be more room.
    until: u64,
}

impl Places {
    /// As for a body: first the account's turn, then room.
    async fn take(self) -> Option<Place> {
        let slot = self.slots.enter(self.account).await.ok()?;
        let place = Place {
            _slot: slot,
            room: self.room.of(self.account),
            until: 0,
        };
        self.more(place).await
    }

    /// A step more. The room of a message that waits in vain is given back.
    async fn more(self, mut place: Place) -> Option<Place> {
        place.until += STEP_OCTETS;
        let octets = place.until.min(self.octets);
        place.room.have(octets).await.ok()?;
        Some(place)
    }
}

/// Why no more is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is no room for the message")]
    NoRoom,
    #[error("the message comes too slowly")]
    TooSlow,
}

impl Refusal {
    pub fn of(error: &io::Error) -> Option<Refusal> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// See the module.
pub struct Inflow<S> {
    inner: S,
    places: Places,
    /// Octets that have come of what isn't complete.
    octets: u64,
    meter: Meter,
    heard: Instant,
    late: Pin<Box<Sleep>>,
    taking: Option<BoxFuture<'static, Option<Place>>>,
    place: Option<Place>,
}

impl<S> Inflow<S> {
    pub fn new(inner: S, places: Places) -> Self {
        let now = Instant::now();
        Self {
            inner,
            places,
            octets: 0,
            meter: BODY_PACE.begin(now),
            heard: now,
            late: Box::pin(sleep_until(now)),
            taking: None,
            place: None,
        }
    }

    /// A message is complete. What it takes of the room of all is the caller's from now on.
    pub fn complete(&mut self) -> Option<Held> {
        // The octets of a next one that were read along with it are few: one reading's.
        self.octets = 0;
        self.taking = None;
        self.place.take().map(|place| place.room)
    }

    /// A control frame with so many octets of payload has come, maybe between the fragments of a message: it is no part of that, and
    /// keeps none alive.
    pub fn control(&mut self, payload: usize) {
        let octets = CONTROL_OCTETS + payload as u64;
        self.octets = self.octets.saturating_sub(octets);
        self.meter.moved_in_vain(octets);
        if self.octets == 0 {
            self.complete();
        }
    }

    /// The pace is measured from now on: until now, nobody has read.
    pub fn measure_anew(&mut self) {
        self.heard = Instant::now();
        self.meter = BODY_PACE.begin(self.heard);
    }

    fn came(&mut self, octets: u64) {
        if self.octets == 0 {
            self.measure_anew();
        }
        self.heard = Instant::now();
        self.octets += octets;
        self.meter.moved(octets, self.heard);
    }

    /// Octets that may come before there has to be more room.
    fn octets_in_place(&self) -> u64 {
        let place = self.place.as_ref();
        place.map_or(MESSAGE_FREE_OCTETS, |place| place.until)
    }

    /// Whether what isn't complete is too late.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.meter.deadline(self.heard);
        if self.late.deadline() != deadline {
            self.late.as_mut().reset(deadline);
        }
        self.late.as_mut().poll(cx)
    }

    fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let taking = self.taking.get_or_insert_with(|| {
            let places = self.places.clone();
            match self.place.take() {
                None => Box::pin(places.take()),
                Some(place) => Box::pin(places.more(place)),
            }
        });
        let taken = ready!(taking.as_mut().poll(cx));
        self.taking = None;
        self.measure_anew();
        self.place = taken;
        Poll::Ready(match self.place {
            Some(_) => Ok(()),
            None => Err(io::Error::other(Refusal::NoRoom)),
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Inflow<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.octets >= this.octets_in_place() {
            ready!(this.poll_place(cx))?;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                this.came((buffer.filled().len() - before) as u64);
                Poll::Ready(Ok(()))
            }
            Poll::Pending if this.octets > 0 => {
                ready!(this.poll_late(cx));
                Poll::Ready(Err(io::Error::other(Refusal::TooSlow)))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inflow<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const ALICE: AccountId = AccountId::new(1);
    const BOB: AccountId = AccountId::new(2);
    const MESSAGE: u64 = 1 << 20;
    const WAIT: Duration = Duration::from_secs(10);

    /// Two messages, and two steps, of an account at once.
    fn places() -> Places {
        Places {
            slots: Slots::new(2, 0, WAIT),
            account: ALICE,
            room: Room::new(4 * STEP_OCTETS as usize, WAIT),
            octets: MESSAGE,
        }
    }

    fn inflow(places: &Places, account: AccountId) -> (DuplexStream, Inflow<DuplexStream>) {
        let (client, server) = duplex(1 << 20);
        let places = Places {
            account,
            ..places.clone()
        };
        (client, Inflow::new(server, places))
    }

    /// Sends so many octets, and has them read.
    async fn come(
        client: &mut DuplexStream,
        inflow: &mut Inflow<DuplexStream>,
        octets: u64,
    ) -> Result<(), Refusal> {
        let octets = vec![0; octets as usize];
        client.write_all(&octets).await.unwrap();
        let mut read = vec![0; octets.len()];
        let result = inflow.read_exact(&mut read).await;
        result
            .map(drop)
            .map_err(|error| Refusal::of(&error).expect("a refusal"))
    }

    #[tokio::test(start_paused = true)]
    async fn one_octet_past_what_is_free_takes_room() {
        let places = places();
        let mut open = Vec::new();
        for account in [ALICE, ALICE, BOB] {
            let (mut client, mut inflow) = inflow(&places, account);
            come(&mut client, &mut inflow, MESSAGE_FREE_OCTETS)
                .await
                .unwrap();
            assert!(inflow.place.is_none(), "as much as is free");
            come(&mut client, &mut inflow, 1).await.unwrap();
            assert!(inflow.place.is_some(), "one octet more");
            open.push((client, inflow));
        }
        let (mut client, mut third) = inflow(&places, ALICE);
        come(&mut client, &mut third, MESSAGE_FREE_OCTETS)
            .await
            .unwrap();
        let more = come(&mut client, &mut third, 1).await;
        assert_eq!(more, Err(Refusal::NoRoom));
        // A message that is complete gives the account's turn back at once, and the room when it is done with.
        let room = open[0].1.complete();
        let (mut client, mut inflow) = inflow(&places, ALICE);
        come(&mut client, &mut inflow, MESSAGE_FREE_OCTETS)
            .await
            .unwrap();
        let more = come(&mut client, &mut inflow, 1).await;
        assert_eq!(more, Err(Refusal::NoRoom));
        drop(room);
        come(&mut client, &mut inflow, 1).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_takes_room_as_it_comes() {
        let places = places();
        let taken = || 4 * STEP_OCTETS - places.room.free_octets();
        let (mut alice, mut first) = inflow(&places, ALICE);
        for octets in [MESSAGE_FREE_OCTETS, STEP_OCTETS - MESSAGE_FREE_OCTETS] {
            come(&mut alice, &mut first, octets).await.unwrap();
        }
        assert_eq!(taken(), STEP_OCTETS);
        // Another message takes the rest of the account's part: no more comes of the first, whose room is there again.
        let (mut more, mut second) = inflow(&places, ALICE);
        for octets in [MESSAGE_FREE_OCTETS, 1] {
            come(&mut more, &mut second, octets).await.unwrap();
        }
        assert_eq!(taken(), 2 * STEP_OCTETS);
        let refused = come(&mut alice, &mut first, 1).await;
        assert_eq!(refused, Err(Refusal::NoRoom));
        assert_eq!(taken(), STEP_OCTETS);
        // Others are not kept from anything.
        let (mut bob, mut other) = inflow(&places, BOB);
        for octets in [MESSAGE_FREE_OCTETS, STEP_OCTETS - MESSAGE_FREE_OCTETS, 1] {
            come(&mut bob, &mut other, octets).await.unwrap();
        }
        assert_eq!(taken(), 3 * STEP_OCTETS);
        assert_eq!(other.complete().unwrap().octets(), 2 * STEP_OCTETS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_complete_keeps_the_pace_whatever_comes_between() {
        let (mut client, mut inflow) = inflow(&places(), ALICE);
        // Nothing is late before a message has begun, nor after it is complete.
        let mut octet = [0];
        let idle = Duration::from_secs(3600);
        let nothing = tokio::time::timeout(idle, inflow.read(&mut octet)).await;
        assert!(nothing.is_err());
        come(&mut client, &mut inflow, 100).await.unwrap();
        inflow.complete();
        let nothing = tokio::time::timeout(idle, inflow.read(&mut octet)).await;
        assert!(nothing.is_err());
        // An answer to a ping is no message.
        come(&mut client, &mut inflow, CONTROL_OCTETS + 4)
            .await
            .unwrap();
        inflow.control(4);
        let nothing = tokio::time::timeout(idle, inflow.read(&mut octet)).await;
        assert!(nothing.is_err());
        // A fragment, and answers to pings for as long as they help.
        let begun = Instant::now();
        come(&mut client, &mut inflow, 2048).await.unwrap();
        let refusal = loop {
            let next = Instant::now() + BODY_PACE.stall - Duration::from_secs(1);
            let late = tokio::time::timeout_at(next, inflow.read(&mut octet)).await;
            if let Ok(read) = late {
                break Refusal::of(&read.unwrap_err());
            }
            come(&mut client, &mut inflow, CONTROL_OCTETS)
                .await
                .unwrap();
            inflow.control(0);
        };
        assert_eq!(refusal, Some(Refusal::TooSlow));
        let passed = begun.elapsed();
        let allowed = BODY_PACE.grace + Duration::from_secs(2048 / BODY_PACE.rate_min);
        assert!(passed <= allowed + Duration::from_secs(1), "{passed:?}");
        assert!(passed > BODY_PACE.stall, "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_reads_nothing_is_late() {
        let (mut client, mut inflow) = inflow(&places(), ALICE);
        come(&mut client, &mut inflow, 100).await.unwrap();
        tokio::time::advance(Duration::from_secs(600)).await;
        inflow.measure_anew();
        let mut octet = [0];
        let soon = BODY_PACE.stall - Duration::from_secs(1);
        let nothing = tokio::time::timeout(soon, inflow.read(&mut octet)).await;
        assert!(nothing.is_err(), "it has its time again");
        let late = inflow.read(&mut octet).await.unwrap_err();
        assert_eq!(Refusal::of(&late), Some(Refusal::TooSlow));
    }
}
