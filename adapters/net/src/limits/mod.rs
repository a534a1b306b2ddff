//! A rate limiter: one token bucket a key, in bounded memory.
//!
//! A bucket is kept as the one instant at which it will be full again (the "generic cell rate algorithm"), so that
//! nothing has to run in the background.
//! Holds: never more than `keys_max` buckets; when there is one too many the least recently used is forgotten. Time is
//! passed in.
//! Other half: `listener` (connections), and whoever counts failures, messages or requests.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often: `burst` at once, and `burst` in every `per` for ever after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub per: Duration,
}

impl Rate {
    pub const fn new(burst: u32, per: Duration) -> Rate {
        Rate { burst, per }
    }

    /// Time that one token takes to come back.
    fn interval(&self) -> Duration {
        self.per / self.burst.max(1)
    }

    /// When a bucket would be full, had `tokens` been taken.
    fn after(&self, full_at: Instant, tokens: u32, now: Instant) -> Result<Instant, RetryAfter> {
        if self.burst == 0 {
            return Err(RetryAfter(self.per));
        }
        let cost = self.interval().saturating_mul(tokens);
        let Some(new_full_at) = full_at.max(now).checked_add(cost) else {
            return Err(RetryAfter(self.per));
        };
        let latest = now + self.per;
        match new_full_at.checked_duration_since(latest) {
            Some(wait) if !wait.is_zero() => Err(RetryAfter(wait)),
            _ => Ok(new_full_at),
        }
    }
}

/// Refused; the same will be allowed after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too often; try again in {0:?}")]
pub struct RetryAfter(pub Duration);

/// Token buckets by key. Cheap to share: it locks for the time of one lookup.
#[derive(Debug)]
pub struct RateLimiter<K> {
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    full: Lru<K>,
}

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// `keys_max`: how many keys are remembered.
    pub fn new(rate: Rate, keys_max: usize) -> RateLimiter<K> {
        RateLimiter {
            buckets: Mutex::new(Buckets {
                rate,
                full: Lru::new(keys_max),
            }),
        }
    }

    /// Another rate, from now on: everybody begins it with a full bucket.
    pub fn set_rate(&self, rate: Rate) {
        let mut buckets = self.buckets.lock();
        if buckets.rate != rate {
            *buckets = Buckets {
                rate,
                full: Lru::new(buckets.full.keys_max),
            };
        }
    }

    /// Takes one token.
    pub fn take(&self, key: &K, now: Instant) -> Result<(), RetryAfter> {
        self.take_many(key, 1, now)
    }

    /// Takes `tokens` at once, or none. More than `burst` are never allowed.
    pub fn take_many(&self, key: &K, tokens: u32, now: Instant) -> Result<(), RetryAfter> {
        let mut buckets = self.buckets.lock();
        let full_at = buckets.full.touch(key).unwrap_or(now);
        let full_at = buckets.rate.after(full_at, tokens, now)?;
        buckets.full.put(key, full_at);
        Ok(())
    }

    /// Whether one token could be taken, without taking it. For counting failures only: `check` before the attempt and
    /// `charge` after it has failed.
    pub fn check(&self, key: &K, now: Instant) -> Result<(), RetryAfter> {
        let mut buckets = self.buckets.lock();
        let full_at = buckets.full.touch(key).unwrap_or(now);
        buckets.rate.after(full_at, 1, now).map(|_| ())
    }

    /// Takes `tokens` even when there are not enough; the bucket is at worst left empty.
    pub fn charge(&self, key: &K, tokens: u32, now: Instant) {
        let mut buckets = self.buckets.lock();
        let rate = buckets.rate;
        let full_at = buckets.full.touch(key).unwrap_or(now).max(now);
        let cost = rate.interval().saturating_mul(tokens);
        let charged = full_at + cost.min(rate.per);
        buckets.full.put(key, charged.min(now + rate.per));
    }

    /// Forgets what was counted for a key, as after a successful login.
    pub fn forget(&self, key: &K) {
        self.buckets.lock().full.remove(key);
    }

    /// How many keys are remembered at present.
    pub fn len(&self) -> usize {
        self.buckets.lock().full.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const NONE: usize = usize::MAX;

/// A map that forgets its least recently used entry: a slab of entries, chained from newest to oldest.
#[derive(Debug)]
struct Lru<K> {
    index: HashMap<K, usize>,
    slots: Vec<Slot<K>>,
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
    keys_max: usize,
}

#[derive(Debug)]
struct Slot<K> {
    key: K,
    full_at: Instant,
    newer: usize,
    older: usize,
}

impl<K: Hash + Eq + Clone> Lru<K> {
    fn new(keys_max: usize) -> Lru<K> {
        Lru {
            index: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            keys_max: keys_max.max(1),
        }
    }

    /// Reads an entry and makes it the newest.
    fn touch(&mut self, key: &K) -> Option<Instant> {
        let at = *self.index.get(key)?;
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
        Some(self.slots[at].full_at)
    }

    fn put(&mut self, key: &K, full_at: Instant) {
        if let Some(&at) = self.index.get(key) {
            self.slots[at].full_at = full_at;
            return;
        }
        if self.index.len() >= self.keys_max {
            let forgotten = self.slots[self.oldest].key.clone();
            self.remove(&forgotten);
        }
        let slot = Slot {
            key: key.clone(),
            full_at,
            newer: NONE,
            older: NONE,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.index.insert(key.clone(), at);
        self.link_newest(at);
    }

    fn remove(&mut self, key: &K) {
        if let Some(at) = self.index.remove(key) {
            self.unlink(at);
            self.free.push(at);
        }
    }

    fn unlink(&mut self, at: usize) {
        let (newer, older) = (self.slots[at].newer, self.slots[at].older);
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older].newer = newer,
        }
    }

    fn link_newest(&mut self, at: usize) {
        self.slots[at].newer = NONE;
        self.slots[at].older = self.newest;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.slots[newest].newer = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests;
