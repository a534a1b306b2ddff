//! Passwords that were found right a moment ago.
//! Holds: an entry counts only while the account's credential generation is the one it was made with, so that a
//! changed password, a revoked app password or a disabled account counts at once; a wrong secret is never an entry.
//! No secret is kept, only a hash of it under a key that dies with the process.
//! Other half: the core's `login` looks here before it hashes. The generation is part of the account's record and
//! is counted up whenever anything that login depends on changes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::secret::Secret;
use crate::clock::Clock;
use crate::rng::Rng;

/// How long a password is remembered, counted from when it was hashed and compared.
pub const VERIFIED_FOR: Duration = Duration::from_secs(5 * 60);
/// Passwords that are remembered at a time.
pub const VERIFIED_ENTRIES_MAX: usize = 10_000;

type Key = [u8; 32];

#[derive(Clone)]
struct Entry<V> {
    generation: u64,
    until: Instant,
    value: V,
}

/// Remembers which passwords were right. `V` is what was found out with them, such as which app password it was.
pub struct VerifiedCache<V: Clone> {
    key: Key,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    entries: Cache<Key, Entry<V>>,
}

impl<V: Clone> VerifiedCache<V> {
    pub fn new(rng: &dyn Rng, clock: Arc<dyn Clock>) -> VerifiedCache<V> {
        VerifiedCache::with_limits(rng, clock, VERIFIED_FOR, VERIFIED_ENTRIES_MAX)
    }

    /// `ttl` of zero: nothing is remembered.
    pub fn with_limits(
        rng: &dyn Rng,
        clock: Arc<dyn Clock>,
        ttl: Duration,
        entries_max: usize,
    ) -> VerifiedCache<V> {
        let mut key = [0; 32];
        rng.fill(&mut key);
        VerifiedCache {
            key,
            clock,
            ttl,
            entries: Cache::new(entries_max.max(1)),
        }
    }

    /// What was found out with this password, if that was a short time ago and the account's generation is still
    /// `generation`. The caller has just read the generation, and that the account may log in, from its record.
    pub fn get(&self, login: &str, password: &Secret<String>, generation: u64) -> Option<V> {
        let key = self.key_of(login, password);
        let entry = self.entries.get(&key)?;
        if entry.generation == generation && self.clock.monotonic() < entry.until {
            return Some(entry.value);
        }
        // A newer entry may have taken its place meanwhile.
        self.entries.remove_if(&key, |present| {
            present.generation == entry.generation && present.until == entry.until
        });
        None
    }

    /// Remembers a password that was found right with the record of generation `generation` (as it was read
    /// *before* comparing).
    pub fn put(&self, login: &str, password: &Secret<String>, generation: u64, value: V) {
        if self.ttl.is_zero() {
            return;
        }
        let Some(until) = self.clock.monotonic().checked_add(self.ttl) else {
            return;
        };
        let entry = Entry {
            generation,
            until,
            value,
        };
        self.entries.insert(self.key_of(login, password), entry);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.entries.clear();
    }

    fn key_of(&self, login: &str, password: &Secret<String>) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // With its length before it, no login and password run into one another.
        hasher.update(&(login.len() as u64).to_le_bytes());
        hasher.update(login.as_bytes());
        hasher.update(password.expose().as_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl<V: Clone> fmt::Debug for VerifiedCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedCache")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
