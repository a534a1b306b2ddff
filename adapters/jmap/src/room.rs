//! The room that bodies, messages and responses take in memory, over all connections together.
//!
//! Holds: what is kept has its room first, and gives it back when it is dropped; an announced size takes nothing from
//! others; no account has more than its part.
//! Other half: `net::budget`, which counts; `receive`, `push::inflow`, `process` and `blob`, which ask before they keep.

use std::time::Duration;

use futures_util::FutureExt;
use jmap_types::AccountId;
use net::{
    Budget,
    budget::{NoRoom, Share},
};

/// Clones are the same room.
#[derive(Clone, Debug)]
pub struct Room(Budget);

/// What one body, message or response has of a room.
#[derive(Debug)]
pub struct Held {
    share: Share,
    /// The most that its account can have. What is larger than that has to have all of it, and is then let in.
    part: u64,
}

impl Room {
    /// `wait`: how long somebody waits for others to be done with.
    pub fn new(octets: usize, wait: Duration) -> Room {
        Room(Budget::new(octets as u64, wait))
    }

    /// Nothing yet, for an account.
    pub fn of(&self, account: AccountId) -> Held {
        Held {
            share: self.0.share_of_user(account.number()),
            part: self.0.part_of_user(),
        }
    }

    #[cfg(test)]
    pub fn free_octets(&self) -> u64 {
        self.0.free_octets()
    }
}

impl Held {
    /// Has room for so many octets in all, after a wait if need be.
    pub async fn have(&mut self, octets: u64) -> Result<(), NoRoom> {
        let octets = octets.min(self.part);
        match octets.saturating_sub(self.share.octets()) {
            0 => Ok(()),
            more => self.share.grow(more).await,
        }
    }

    /// The same, without a wait: for what is in memory already.
    pub fn have_at_once(&mut self, octets: u64) -> Result<(), NoRoom> {
        self.have(octets).now_or_never().unwrap_or(Err(NoRoom))
    }

    /// Gives back what is more than so many octets.
    pub fn shrink_to(&mut self, octets: u64) {
        self.share.shrink_to(octets);
    }

    #[cfg(test)]
    pub fn octets(&self) -> u64 {
        self.share.octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_octet_past_a_part_waits_in_vain() {
        let kib = 1024;
        let room = Room::new(8 * kib as usize, Duration::from_secs(10));
        let of = |account| room.of(AccountId::new(account));
        let (mut first, mut second) = (of(1), of(1));
        first.have(3 * kib).await.unwrap();
        assert_eq!(second.have(kib + 1).await, Err(NoRoom), "one past");
        second.have(kib).await.unwrap();
        assert_eq!(of(1).have_at_once(1), Err(NoRoom));
        // Others have theirs, at once; what is larger than a part has all of it.
        let mut others = [of(2)];
        for other in &mut others {
            other.have_at_once(100 * kib).unwrap();
            assert_eq!(other.octets(), 4 * kib);
        }
        assert_eq!(of(5).have(1).await, Err(NoRoom), "all is taken");
        first.shrink_to(kib);
        of(5).have(2 * kib).await.unwrap();
        drop((first, second, others));
        assert_eq!(room.free_octets(), 8 * kib);
    }
}
