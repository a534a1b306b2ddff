//! The memory that messages on their way in may take, over all sessions together.
//!
//! Holds: who has a [`Share`] of so many octets may keep so many octets, and gives them back by dropping it. Shares grow
//! only as octets really arrive, so that an announced size takes nothing from others. Strangers from one place have only a
//! part of it together, and so has a user where users are told apart; the table of these has no more than two entries a share.
//! Other half: the adapters' sessions, which ask before every growth.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::network::{IPV6_CLIENT_PREFIX_BITS, Network};

/// Octets of messages and envelopes that all sessions keep together, unless it is configured otherwise.
pub const IN_FLIGHT_OCTETS_MAX: u64 = 512 << 20;
/// How long a session waits for others to finish, before its message is refused.
pub const IN_FLIGHT_WAIT: Duration = Duration::from_secs(20);
/// Strangers from one client have no more than one in so many of the octets, those from one network no more than one in so many.
pub const CLIENT_ONE_IN: u64 = 4;
pub const NETWORK_ONE_IN: u64 = 2;
/// One user has no more than one in so many of the octets, where users are told apart.
pub const USER_ONE_IN: u64 = 2;
/// What counts as one network here: what one customer of a provider is given at the most (RFC 6177), and the smallest that is routed.
pub const IPV4_NETWORK_PREFIX_BITS: u8 = 24;
pub const IPV6_NETWORK_PREFIX_BITS: u8 = 48;
/// What is counted: so many octets.
const UNIT_OCTETS: u64 = 1024;

/// There is no room, and there was none for a while: 451 4.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many octets of messages are in flight")]
pub struct NoRoom;

/// Clones are the same budget.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    /// How many units there are, whoever has them.
    all: Arc<Mutex<usize>>,
    parts: Parts,
    wait: Duration,
}

/// Those that have a part, as long as they have a share.
type Parts = Arc<Mutex<HashMap<Whose, Part>>>;

/// Whose shares are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    /// Strangers from one place.
    Network(Network),
    User(u64),
}

#[derive(Debug)]
struct Part {
    /// As many as there were for it when the first of them came.
    units: Arc<Semaphore>,
    /// Shares that are counted here.
    shares: usize,
}

impl Budget {
    pub fn new(octets_max: u64, wait: Duration) -> Budget {
        let units = units_of(octets_max);
        Budget {
            units: Arc::new(Semaphore::new(units)),
            all: Arc::new(Mutex::new(units)),
            parts: Parts::default(),
            wait,
        }
    }

    /// Another size, from now on. What is too much of it is taken away as soon as it is given back. Needs a running tokio.
    pub fn resize(&self, octets_max: u64) {
        let mut all = self.all.lock();
        let units = units_of(octets_max);
        let less = all.saturating_sub(units);
        self.units.add_permits(units.saturating_sub(*all));
        let still = less - self.units.forget_permits(less);
        *all = units;
        if let Ok(still @ 1..) = u32::try_from(still) {
            let all = self.units.clone();
            tokio::spawn(async move {
                // The semaphore is never closed.
                if let Ok(taken) = all.acquire_many_owned(still).await {
                    taken.forget();
                }
            });
        }
    }

    /// A share of nothing, which can grow.
    pub fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            parts: Vec::new(),
            permits: Vec::new(),
            octets: 0,
        }
    }

    /// The same for a stranger: all that are from the same place have a part of the budget together, which is no smaller than `one` message.
    pub fn share_of(&self, stranger: IpAddr, one: u64) -> Share {
        let stranger = stranger.to_canonical();
        let (client_bits, network_bits) = match stranger {
            IpAddr::V4(_) => (32, IPV4_NETWORK_PREFIX_BITS),
            IpAddr::V6(_) => (IPV6_CLIENT_PREFIX_BITS, IPV6_NETWORK_PREFIX_BITS),
        };
        let all = self.all_octets();
        let from = [
            (client_bits, all / CLIENT_ONE_IN),
            (network_bits, all / NETWORK_ONE_IN),
        ];
        let of = from.map(|(bits, part)| {
            let network = Network::new(stranger, bits);
            (Whose::Network(network), part.max(one))
        });
        self.share_among(&of)
    }

    /// The same for a user, who has [`Budget::part_of_user`] with all shares together.
    pub fn share_of_user(&self, user: u64) -> Share {
        self.share_among(&[(Whose::User(user), self.part_of_user())])
    }

    /// The most octets that one user can have.
    pub fn part_of_user(&self) -> u64 {
        let part = self.all_octets() / USER_ONE_IN;
        (part - part % UNIT_OCTETS).max(UNIT_OCTETS)
    }

    fn share_among(&self, of: &[(Whose, u64)]) -> Share {
        let mut share = self.share();
        let mut parts = self.parts.lock();
        for &(whose, octets) in of {
            let part = parts.entry(whose).or_insert_with(|| Part {
                units: Arc::new(Semaphore::new(units_of(octets))),
                shares: 0,
            });
            part.shares += 1;
            share.parts.push((whose, part.units.clone()));
        }
        share
    }

    fn all_octets(&self) -> u64 {
        *self.all.lock() as u64 * UNIT_OCTETS
    }

    /// Octets that nobody has.
    pub fn free_octets(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT_OCTETS
    }
}

fn units_of(octets: u64) -> usize {
    let units = usize::try_from(octets / UNIT_OCTETS).unwrap_or(usize::MAX);
    // What is taken at once is counted in 32 bits.
    units.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize)
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new(IN_FLIGHT_OCTETS_MAX, IN_FLIGHT_WAIT)
    }
}

/// The part of a budget that one message has.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    /// Whose it is, if that counts.
    parts: Vec<(Whose, Arc<Semaphore>)>,
    /// Of each part, and of the budget.
    permits: Vec<OwnedSemaphorePermit>,
    octets: u64,
}

impl Share {
    /// Grows by so many octets, after a wait if need be.
    pub async fn grow(&mut self, octets: u64) -> Result<(), NoRoom> {
        let total = self.octets.saturating_add(octets);
        let held = self.permits.last().map_or(0, |of| of.num_permits()) as u64;
        let missing = total.div_ceil(UNIT_OCTETS).saturating_sub(held);
        if missing > 0 {
            let missing = u32::try_from(missing).map_err(|_| NoRoom)?;
            let more = tokio::time::timeout(self.budget.wait, self.take(missing)).await;
            let more = more.map_err(|_| NoRoom)??;
            match self.permits.is_empty() {
                true => self.permits = more,
                false => {
                    for (permit, more) in self.permits.iter_mut().zip(more) {
                        permit.merge(more);
                    }
                }
            }
        }
        self.octets = total;
        Ok(())
    }

    /// Of each part first: whose part is taken already keeps nothing from others.
    async fn take(&self, units: u32) -> Result<Vec<OwnedSemaphorePermit>, NoRoom> {
        let parts = self.parts.iter().map(|(_, of)| of);
        let mut permits = Vec::with_capacity(self.parts.len() + 1);
        for of in parts.chain([&self.budget.units]) {
            // The semaphores are never closed.
            let permit = of.clone().acquire_many_owned(units).await;
            permits.push(permit.map_err(|_| NoRoom)?);
        }
        Ok(permits)
    }

    /// A share of nothing in the same budget.
    pub fn sibling(&self) -> Share {
        self.budget.share()
    }

    /// How many octets it has.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Gives back what is more than so many octets.
    pub fn shrink_to(&mut self, octets: u64) {
        if octets >= self.octets {
            return;
        }
        let kept = units_of(octets.next_multiple_of(UNIT_OCTETS));
        for permit in &mut self.permits {
            drop(permit.split(permit.num_permits().saturating_sub(kept)));
        }
        self.octets = octets;
    }

    /// Gives all back.
    pub fn clear(&mut self) {
        self.permits.clear();
        self.octets = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.parts.is_empty() {
            return;
        }
        let mut parts = self.budget.parts.lock();
        for (whose, _) in &self.parts {
            if let Some(part) = parts.get_mut(whose) {
                part.shares -= 1;
                if part.shares == 0 {
                    parts.remove(whose);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_are_given_back_and_waited_for() {
        let budget = Budget::new(4096, Duration::from_millis(50));
        let mut first = budget.share();
        first.grow(1).await.unwrap();
        first.grow(1023).await.unwrap();
        assert_eq!(budget.free_octets(), 3072);
        first.grow(3072).await.unwrap();
        let mut second = budget.share();
        assert_eq!(second.grow(1).await, Err(NoRoom));
        let waiting = tokio::spawn(async move { second.grow(1).await });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert_eq!(budget.share().grow(4097).await, Err(NoRoom));
        assert_eq!(budget.free_octets(), 4096);
    }

    #[tokio::test]
    async fn one_place_has_a_part_of_it() {
        const PART: u64 = 16 * 1024;
        let budget = Budget::new(CLIENT_ONE_IN * PART, Duration::from_millis(50));
        let share = |address: &str| budget.share_of(address.parse().unwrap(), 1);
        for [client, neighbour, stranger] in [
            ["192.0.2.1", "192.0.2.2", "198.51.100.1"],
            ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1"],
        ] {
            let (mut one, mut two) = (share(client), share(client));
            one.grow(PART - 1024).await.unwrap();
            two.grow(1024).await.unwrap();
            assert_eq!(two.grow(1).await, Err(NoRoom));
            // The neighbours have what one network may have besides; others have the rest.
            let mut third = share(neighbour);
            third.grow(PART).await.unwrap();
            let mut fourth = share(&neighbour.replace(".2.2", ".2.3").replace(":1::", ":2::"));
            assert_eq!(fourth.grow(1).await, Err(NoRoom));
            let mut other = share(stranger);
            assert_eq!(other.grow(PART + 1).await, Err(NoRoom));
            other.grow(PART).await.unwrap();
            // Who waits gets what is given back.
            let waiting = tokio::spawn(async move { two.grow(1024).await.map(|()| two) });
            tokio::task::yield_now().await;
            drop(one);
            let two = waiting.await.unwrap().unwrap();
            // Who isn't a stranger may have what there is.
            assert_eq!(budget.share().grow(2 * PART - 2048).await, Ok(()));
            drop((two, third, fourth, other));
            assert_eq!(budget.free_octets(), CLIENT_ONE_IN * PART);
            assert!(budget.parts.lock().is_empty());
        }
        // One message always fits, if it fits into the budget.
        let mut large = budget.share_of("192.0.2.1".parse().unwrap(), 3 * PART);
        assert_eq!(large.grow(3 * PART).await, Ok(()));
        assert_eq!(large.grow(1).await, Err(NoRoom));
    }

    #[tokio::test]
    async fn one_user_has_a_part_of_it() {
        const PART: u64 = 16 * 1024;
        let budget = Budget::new(USER_ONE_IN * PART, Duration::from_millis(50));
        assert_eq!(budget.part_of_user(), PART);
        let mut shares: Vec<Share> = (0..USER_ONE_IN)
            .map(|user| budget.share_of_user(user))
            .collect();
        let mut second = budget.share_of_user(0);
        shares[0].grow(PART - 1024).await.unwrap();
        second.grow(1024).await.unwrap();
        assert_eq!(second.grow(1).await, Err(NoRoom), "one past its part");
        for share in &mut shares[1..] {
            share.grow(PART).await.unwrap();
        }
        assert_eq!(budget.share_of_user(9).grow(1).await, Err(NoRoom));
        // What is given back early is there for others.
        shares[1].shrink_to(PART - 1);
        assert_eq!(budget.free_octets(), 0, "what is begun is had");
        shares[1].shrink_to(1024);
        shares[1].shrink_to(PART);
        assert_eq!(
            (shares[1].octets(), budget.free_octets()),
            (1024, PART - 1024)
        );
        shares[1].grow(PART - 1024).await.unwrap();
        shares[1].shrink_to(0);
        drop((shares, second));
        assert_eq!(budget.free_octets(), USER_ONE_IN * PART);
        assert!(budget.parts.lock().is_empty());
        // However small it is, one unit is everybody's.
        assert_eq!(
            Budget::new(1024, Duration::ZERO)
                .share_of_user(1)
                .grow(1024)
                .await,
            Ok(())
        );
    }

    #[tokio::test]
    async fn another_size_counts_from_then_on() {
        let budget = Budget::new(4096, Duration::from_millis(50));
        let mut first = budget.share();
        first.grow(3072).await.unwrap();
        budget.resize(2048);
        assert_eq!(budget.share().grow(1).await, Err(NoRoom));
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert_eq!(budget.free_octets(), 2048);
        budget.resize(8192);
        assert_eq!(budget.share().grow(8192).await, Ok(()));
        assert_eq!(budget.share().grow(8193).await, Err(NoRoom));
    }
}
