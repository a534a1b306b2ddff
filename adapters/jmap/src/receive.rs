//! Receiving the body of a request.
//!
//! Holds: a body has a size that it can't exceed and a pace that it must keep; what all bodies take together is bounded.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use net::Pace;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::incoming::Incoming;

/// What a client has to keep to.
pub const BODY_PACE: Pace = Pace {
    stall: Duration::from_secs(30),
    grace: Duration::from_secs(60),
    rate_min: 1024,
};
/// Octets that are set aside at once for a body, however long it says it is.
const FIRST_OCTETS_MAX: u64 = 1 << 20;

/// Octets of a refused body that are still read, and how long.
const DISCARD_OCTETS_MAX: usize = 1 << 20;
const DISCARD_WAIT: Duration = Duration::from_secs(5);
/// Counts octets in units of this many.
const UNIT: usize = 1024;

/// The room for bodies.
#[derive(Debug, Clone)]
pub struct Room {
    free: Arc<Semaphore>,
    /// All that there is.
    units: u32,
    /// How long a body waits for others to be done with.
    wait: Duration,
}

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
    pub room: OwnedSemaphorePermit,
}

impl Room {
    pub fn new(octets: usize, wait: Duration) -> Room {
        let units = u32::try_from(octets / UNIT).unwrap_or(u32::MAX).max(1);
        Room {
            free: Arc::new(Semaphore::new(units as usize)),
            units,
            wait,
        }
    }

    /// Room for so many octets; `None`: there was none for as long as a body waits.
    pub async fn take(&self, octets: u64) -> Option<OwnedSemaphorePermit> {
        let units = octets.div_ceil(UNIT as u64).max(1);
        let units = u32::try_from(units).unwrap_or(u32::MAX).min(self.units);
        let permit = timeout(self.wait, self.free.clone().acquire_many_owned(units)).await;
        permit.ok()?.ok()
    }
}

/// Reads what a refused request still sends, as far as that is little: a connection that is closed with unread octets
/// may take the answer with it.
pub async fn discard(mut body: Incoming) {
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

/// Receives a body of up to `limit` octets.
pub async fn receive(
    room: &Room,
    mut body: Incoming,
    limit: u64,
) -> Result<Received, ReceiveError> {
    let declared = body.size_hint().exact();
    let size = declared.unwrap_or(limit);
    if size > limit {
        discard(body).await;
        return Err(ReceiveError::TooLarge);
    }
    let room = room.take(size).await.ok_or(ReceiveError::NoRoom)?;
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
        if octets.len() as u64 + data.len() as u64 > limit {
            discard(body).await;
            return Err(ReceiveError::TooLarge);
        }
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
    use super::*;

    #[tokio::test]
    async fn one_octet_past_the_room_waits_in_vain() {
        let kib = UNIT as u64;
        let room = Room::new(4 * UNIT, Duration::from_millis(50));
        let three = room.take(3 * kib).await.unwrap();
        assert!(room.take(kib + 1).await.is_none(), "one past");
        let last = room.take(kib).await.expect("as much as there is");
        assert!(room.take(0).await.is_none(), "what is empty takes room too");
        drop((three, last));
        // A body that is larger than all room has to have it for itself.
        let all = room.take(100 * kib).await.unwrap();
        assert!(room.take(1).await.is_none());
        drop(all);
        assert!(room.take(1).await.is_some());
    }
}
