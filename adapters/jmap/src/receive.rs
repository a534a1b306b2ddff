//! Receiving the body of a request.
//!
//! Holds: a body has a size that it can't exceed and a pace that it must keep; it takes room as it comes, whatever size
//! it says it has.
//! Other half: `room`, which bounds what all bodies take together.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use net::Pace;
use tokio::time::{Instant, timeout, timeout_at};

use crate::room::Held;

/// What a client has to keep to.
pub const BODY_PACE: Pace = Pace {
    stall: Duration::from_secs(30),
    grace: Duration::from_secs(60),
    rate_min: 1024,
};
/// Octets that are set aside at once for a body, however long it says it is.
const FIRST_OCTETS_MAX: u64 = 64 << 10;

/// Octets of a refused body that are still read, and how long.
const DISCARD_OCTETS_MAX: usize = 1 << 20;
const DISCARD_WAIT: Duration = Duration::from_secs(5);

/// Why a body was not received.
#[derive(Debug, PartialEq, Eq)]
pub enum ReceiveError {
    TooLarge,
    TooSlow,
    /// The connection, or the way that the body is framed.
    Broken,
    NoRoom,
}

/// A body, and the room that it takes.
#[derive(Debug)]
pub struct Received {
    pub octets: Bytes,
    pub room: Held,
}

/// Reads what a refused request still sends, as far as that is little: a connection that is closed with unread octets
/// may take the answer with it.
pub async fn discard(mut body: impl Body<Data = Bytes> + Unpin) {
    let reading = async {
        let mut octets = 0;
        while let Some(Ok(frame)) = body.frame().await {
            octets += frame.data_ref().map_or(0, Bytes::len);
            if octets > DISCARD_OCTETS_MAX {
                return;
            }
        }
    };
    let _ = timeout(DISCARD_WAIT, reading).await;
}

/// Receives a body of up to `limit` octets; `room` grows with it.
pub async fn receive(
    mut room: Held,
    mut body: impl Body<Data = Bytes> + Unpin,
    limit: u64,
) -> Result<Received, ReceiveError> {
    let size = body.size_hint().exact().unwrap_or(limit);
    if size > limit {
        discard(body).await;
        return Err(ReceiveError::TooLarge);
    }
    let mut meter = BODY_PACE.begin(Instant::now());
    let mut octets = BytesMut::with_capacity(size.min(FIRST_OCTETS_MAX) as usize);
    loop {
        let deadline = meter.deadline(Instant::now());
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(ReceiveError::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(ReceiveError::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers are of no interest.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let so_far = octets.len() as u64 + data.len() as u64;
        let asked = Instant::now();
        let refused = match so_far > limit {
            true => Some(ReceiveError::TooLarge),
            false => room.have(so_far).await.err().map(|_| ReceiveError::NoRoom),
        };
        if let Some(refused) = refused {
            drop((room, octets));
            discard(body).await;
            return Err(refused);
        }
        // The client has waited for us.
        meter.excuse(asked.elapsed());
        octets.extend_from_slice(&data);
        meter.moved(data.len() as u64, Instant::now());
    }
    Ok(Received {
        octets: octets.freeze(),
        room,
    })
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use hyper::body::{Frame, SizeHint};
    use jmap_types::AccountId;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;
    use crate::room::Room;

    const KIB: usize = 1024;
    const WAIT: Duration = Duration::from_secs(10);

    /// A body that says how long it is, and comes when it is sent.
    struct Announced {
        octets: u64,
        frames: UnboundedReceiver<Bytes>,
    }

    impl Body for Announced {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let next = self.frames.poll_recv(context);
            next.map(|octets| octets.map(|octets| Ok(Frame::data(octets))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.octets)
        }
    }

    fn announced(octets: usize) -> (UnboundedSender<Bytes>, Announced) {
        let (client, frames) = unbounded_channel();
        let octets = octets as u64;
        (client, Announced { octets, frames })
    }

    fn send(client: &UnboundedSender<Bytes>, octets: usize) {
        client.send(vec![0; octets].into()).unwrap();
    }

    type Receiving = tokio::task::JoinHandle<Result<Received, ReceiveError>>;

    /// Begins to receive what is announced to have so many octets.
    fn begin(room: &Room, account: u64, octets: usize) -> (UnboundedSender<Bytes>, Receiving) {
        let (client, body) = announced(octets);
        let room = room.of(AccountId::new(account));
        (client, tokio::spawn(receive(room, body, octets as u64)))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_announced_takes_nothing_from_others() {
        let room = Room::new(32 * KIB, WAIT);
        // Each announces all that there is, and sends next to nothing of it.
        let slow: Vec<_> = (0..16).map(|of| begin(&room, of, 64 * KIB)).collect();
        for (client, _) in &slow {
            send(client, 1);
        }
        tokio::task::yield_now().await;
        let before = Instant::now();
        let (client, receiving) = begin(&room, 99, 300);
        send(&client, 300);
        drop(client);
        let received = receiving.await.unwrap().unwrap();
        assert_eq!((received.octets.len(), received.room.octets()), (300, 300));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn one_account_leaves_room_for_others() {
        let room = Room::new(32 * KIB, WAIT);
        // What has come of these is the account's part.
        let slow: Vec<_> = (0..4).map(|_| begin(&room, 1, 64 * KIB)).collect();
        for (client, _) in &slow {
            send(client, 4 * KIB);
        }
        tokio::task::yield_now().await;
        assert_eq!(room.free_octets(), 16 * KIB as u64);
        for (account, expected) in [(1, Err(ReceiveError::NoRoom)), (2, Ok(300))] {
            let (client, receiving) = begin(&room, account, 300);
            send(&client, 300);
            drop(client);
            let received = receiving.await.unwrap();
            assert_eq!(received.map(|it| it.octets.len()), expected, "{account}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_wait_for_one_another_end() {
        let room = Room::new(32 * KIB, WAIT);
        let mut half = Vec::new();
        for account in 0..4 {
            let (client, receiving) = begin(&room, account, 16 * KIB);
            send(&client, 8 * KIB);
            half.push((client, receiving));
            // One after the other, as they would come.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(room.free_octets(), 0);
        for (client, _) in &half {
            send(client, 8 * KIB);
        }
        let begun = Instant::now();
        let mut whole = 0;
        for (client, receiving) in half {
            drop(client);
            match receiving.await.unwrap() {
                Ok(received) => whole += received.octets.len() / (16 * KIB),
                Err(error) => assert_eq!(error, ReceiveError::NoRoom),
            }
        }
        assert!(begun.elapsed() <= 2 * WAIT, "{:?}", begun.elapsed());
        assert!(whole <= 4);
        assert_eq!(room.free_octets(), 32 * KIB as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_is_not_late() {
        let room = Room::new(32 * KIB, BODY_PACE.stall * 4);
        let mut others: Vec<_> = (0..2).map(|of| room.of(AccountId::new(of))).collect();
        for other in &mut others {
            other.have(16 * KIB as u64).await.unwrap();
        }
        let (client, receiving) = begin(&room, 9, 2);
        send(&client, 1);
        tokio::time::sleep(BODY_PACE.stall * 3).await;
        drop(others);
        tokio::time::sleep(BODY_PACE.stall / 2).await;
        send(&client, 1);
        drop(client);
        assert_eq!(receiving.await.unwrap().unwrap().octets.len(), 2);
    }
}
