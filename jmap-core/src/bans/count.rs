//! What clients do that may lead to a ban.
//!
//! Holds: memory is bounded; no secret is kept, only some bits of a hash of it under a key that dies with the process; the same wrong
//! login counts once.

use std::{
    hash::{BuildHasher, Hash},
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use quick_cache::unsync::Cache;

use super::{
    BanRule, Network,
    settings::{KNOWN_FACTOR, Threshold},
};

/// Clients, by what they do, that are remembered.
pub const COUNTED_MAX: usize = 32_768;
/// Clients from where somebody has logged in that are remembered.
pub const KNOWN_MAX: usize = 65_536;
/// How long they are known.
pub const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// Wrong logins of one client that are told apart.
const GUESSES: usize = 16;

/// See the module.
pub(super) struct Counts {
    hasher: std::hash::RandomState,
    tables: Mutex<Tables>,
}

struct Tables {
    counted: Cache<(Network, BanRule), Count>,
    known: Cache<Network, Instant>,
}

#[derive(Clone)]
struct Count {
    since: Instant,
    count: u32,
    guesses: [u64; GUESSES],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            hasher: std::hash::RandomState::new(),
            tables: Mutex::new(Tables {
                counted: Cache::new(COUNTED_MAX),
                known: Cache::new(KNOWN_MAX),
            }),
        }
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counts(..)")
    }
}

impl Counts {
    /// Counts one more; how many there are, if that is enough for a ban. `guess`: what was guessed, if that is what was done.
    pub fn add(
        &self,
        client: Network,
        rule: BanRule,
        threshold: Threshold,
        guess: Option<(&str, &str)>,
        now: Instant,
    ) -> Option<u32> {
        // Never 0, which stands for nothing.
        let guess = guess.map(|guess| self.hash(guess) | 1);
        let mut tables = self.tables.lock();
        let key = (client, rule);
        let fresh = || Count {
            since: now,
            count: 0,
            guesses: [0; GUESSES],
        };
        let mut count = match tables.counted.get(&key) {
            Some(count) if now.saturating_duration_since(count.since) < threshold.within => {
                count.clone()
            }
            _ => fresh(),
        };
        if let Some(guess) = guess {
            if count.guesses.contains(&guess) {
                return None;
            }
            let place = count.count as usize % GUESSES;
            if let Some(place) = count.guesses.get_mut(place) {
                *place = guess;
            }
        }
        count.count += 1;
        let is_known = tables.known.get(&client).is_some_and(|until| now < *until);
        let factor = if is_known { KNOWN_FACTOR } else { 1 };
        let found = count.count;
        if found >= threshold.count.saturating_mul(factor) {
            tables.counted.remove(&key);
            return Some(found);
        }
        tables.counted.insert(key, count);
        None
    }

    /// Somebody has logged in from there.
    pub fn knows(&self, address: IpAddr, now: Instant) {
        if let Some(until) = now.checked_add(KNOWN_FOR) {
            let mut tables = self.tables.lock();
            tables.known.insert(Network::of_client(address), until);
            if let Some(site) = Network::site_of(address) {
                tables.known.insert(site, until);
            }
        }
    }

    fn hash(&self, guess: impl Hash) -> u64 {
        self.hasher.hash_one(guess)
    }
}
