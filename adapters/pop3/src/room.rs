//! The memory that messages on their way out may take, over all sessions together.
//!
//! Holds: who has a [`Place`] may keep as many octets as it is for, until it is dropped. A session has one message at a
//! time, and an account one session, so nobody can take it all.
//! Other half: `commands::retrieve`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets of messages that all sessions keep together.
pub const SENDING_OCTETS_MAX: u64 = 256 << 20;
/// How long a session waits for others to finish.
pub const SENDING_WAIT: Duration = Duration::from_secs(20);
/// What is counted: so many octets.
const UNIT_OCTETS: u64 = 1024;

/// There is no room, and there was none for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many octets of messages are on their way out")]
pub struct NoRoom;

/// Clones are the same room.
#[derive(Clone, Debug)]
pub struct Room {
    units: Arc<Semaphore>,
    units_max: u32,
    wait: Duration,
}

impl Default for Room {
    fn default() -> Room {
        Room::new(SENDING_OCTETS_MAX, SENDING_WAIT)
    }
}

impl Room {
    pub fn new(octets_max: u64, wait: Duration) -> Room {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let units_max = u32::try_from(octets_max / UNIT_OCTETS)
            .unwrap_or(u32::MAX)
            .min(most);
        Room {
            units: Arc::new(Semaphore::new(units_max as usize)),
            units_max,
            wait,
        }
    }

    /// A place for so many octets, after a wait if need be. One message alone always fits.
    pub async fn place(&self, octets: u64) -> Result<Place, NoRoom> {
        let units = u32::try_from(octets.div_ceil(UNIT_OCTETS)).unwrap_or(u32::MAX);
        let taken = self
            .units
            .clone()
            .acquire_many_owned(units.min(self.units_max));
        let taken = tokio::time::timeout(self.wait, taken).await;
        // The semaphore is never closed.
        let permit = taken.map_err(|_| NoRoom)?.map_err(|_| NoRoom)?;
        Ok(Place { _permit: permit })
    }
}

/// Room for one message.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_given_back_and_waited_for() {
        let room = Room::new(4096, Duration::from_millis(50));
        let first = room.place(4096).await.unwrap();
        assert_eq!(room.place(1).await.err(), Some(NoRoom));
        let waiting = {
            let room = room.clone();
            tokio::spawn(async move { room.place(1).await.is_ok() })
        };
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn a_message_larger_than_the_room_fits_alone() {
        let room = Room::new(4096, Duration::from_millis(50));
        let alone = room.place(1 << 40).await.unwrap();
        assert_eq!(room.place(1).await.err(), Some(NoRoom));
        drop(alone);
        assert!(room.place(1).await.is_ok());
    }
}
