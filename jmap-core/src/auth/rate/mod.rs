//! Limits on failed logins, over all protocols.
//! Holds: nobody can lock an owner out of an account from elsewhere who hasn't its password. What is refused is a network (an IPv4 address,
//! an IPv6 /64, and more of them together a /48), or one account from one network; an account as such is only slowed down. Whoever logged in from a
//! network before is spared what others do: the limit of that network, and the slowing down.
//! Codes of a second factor are few: wrong ones of an account count wherever they come from, and nothing but a right one gives any back.
//! An attempt that was refused is not counted, so a client that goes on trying gets in as soon as it may.
//! Memory is bounded; what is forgotten first is what was not asked for lately.
//! Other half: the core's `login` asks [`LoginRate::check`] before it compares anything, waits as long as it is
//! told, and reports the outcome. Attempts under way at the same time are bounded by the password hasher.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jmap_types::AccountId;
use parking_lot::Mutex;
use quick_cache::unsync::Cache;

use super::credentials::Origin;
use crate::clock::Clock;

/// Networks, accounts, and pairs of both that are remembered: so many of each.
pub const RATE_ENTRIES_MAX: usize = 65_536;

/// What follows on failures of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Failures without consequence.
    pub free: u32,
    /// One failure is forgiven in this time.
    pub forgive_every: Duration,
    /// The consequence of the first failure that is not free; doubled by each further one.
    pub first: Duration,
    /// The longest consequence.
    pub longest: Duration,
}

/// The limits, and how long a network is known to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// One account from one network: refused for a while.
    pub pair: Limit,
    /// One network, over all accounts: refused for a while.
    pub network: Limit,
    /// One IPv6 /48, over all accounts: refused for a while.
    pub site: Limit,
    /// One account, over all networks: slowed down.
    pub account: Limit,
    /// Codes for one account, over all networks: refused for a while.
    pub code: Limit,
    /// How long a successful login makes its network known to its account.
    pub known_for: Duration,
}

impl Default for LoginLimits {
    fn default() -> LoginLimits {
        const fn minutes(minutes: u64) -> Duration {
            Duration::from_secs(minutes * 60)
        }
        LoginLimits {
            pair: Limit {
                free: 5,
                forgive_every: minutes(10),
                first: Duration::from_secs(2),
                longest: minutes(15),
            },
            network: Limit {
                free: 50,
                forgive_every: minutes(1),
                first: Duration::from_secs(2),
                longest: minutes(60),
            },
            // Who has a /48, which many providers give to anybody (RFC 6177), has 65,536 networks.
            site: Limit {
                free: 500,
                forgive_every: Duration::from_secs(6),
                first: Duration::from_secs(2),
                longest: minutes(60),
            },
            account: Limit {
                free: 20,
                forgive_every: minutes(1),
                first: Duration::from_millis(100),
                longest: Duration::from_secs(2),
            },
            code: Limit {
                free: 10,
                forgive_every: minutes(10),
                first: minutes(1),
                longest: minutes(15),
            },
            known_for: minutes(7 * 24 * 60),
        }
    }
}

/// The login is refused unheard; the client may try again after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

/// Counts failed logins and answers who has to wait.
pub struct LoginRate {
    limits: LoginLimits,
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

struct Tables {
    pairs: Cache<(Network, Account), Pair>,
    networks: Cache<Network, Counter>,
    accounts: Cache<Account, Counter>,
    codes: Cache<AccountId, Counter>,
}

/// An IPv4 address, the first half of an IPv6 address, or what comes before its number of the network there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 4]),
    V6([u8; 8]),
    Site([u8; 6]),
}

/// A hash of the login name, so that long names take no more memory than short ones.
type Account = [u8; 16];

#[derive(Clone, Copy)]
struct Pair {
    counter: Counter,
    known_until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Counter {
    failures: u32,
    /// Up to when failures have been forgiven.
    forgiven_at: Instant,
    /// Until when there are consequences.
    until: Instant,
}

impl LoginRate {
    pub fn new(limits: LoginLimits, clock: Arc<dyn Clock>) -> LoginRate {
        LoginRate::with_entries(limits, clock, RATE_ENTRIES_MAX)
    }

    /// Remembers `entries_max` of each kind.
    pub fn with_entries(
        limits: LoginLimits,
        clock: Arc<dyn Clock>,
        entries_max: usize,
    ) -> LoginRate {
        let entries_max = entries_max.max(1);
        LoginRate {
            limits,
            clock,
            tables: Mutex::new(Tables {
                pairs: Cache::new(entries_max),
                networks: Cache::new(entries_max),
                accounts: Cache::new(entries_max),
                codes: Cache::new(entries_max),
            }),
        }
    }

    /// Whether a login may be tried, and how long to wait before comparing anything (mostly not at all).
    ///
    /// `login`: the login name, in the form the account is looked up by; `None` for a token.
    pub fn check(&self, origin: &Origin, login: Option<&str>) -> Result<Duration, RetryAfter> {
        let network = Network::of(origin.ip);
        let account = login.map(account_of);
        let tables = self.tables.lock();
        // Under the lock: a login that succeeds at this moment must not be in this one's future.
        let now = self.clock.monotonic();
        if let Some(account) = account
            && let Some(pair) = tables.pairs.get(&(network, account))
        {
            pair.counter.refuses(now)?;
            if pair.known_until.is_some_and(|until| now < until) {
                return Ok(Duration::ZERO);
            }
        }
        for network in std::iter::once(network).chain(network.site()) {
            if let Some(counter) = tables.networks.get(&network) {
                counter.refuses(now)?;
            }
        }
        let counter = account.and_then(|account| tables.accounts.get(&account));
        Ok(counter.map_or(Duration::ZERO, |counter| {
            counter.delay(&self.limits.account, now)
        }))
    }

    /// A login failed: unknown account, wrong password or bad token.
    pub fn failed(&self, origin: &Origin, login: Option<&str>) {
        let now = self.clock.monotonic();
        let network = Network::of(origin.ip);
        let mut tables = self.tables.lock();
        let mut known = false;
        if let Some(account) = login.map(account_of) {
            let mut pair = tables
                .pairs
                .get(&(network, account))
                .copied()
                .unwrap_or_else(|| Pair::new(now));
            pair.counter.fail(&self.limits.pair, now);
            known = pair.known_until.is_some_and(|until| now < until);
            tables.pairs.insert((network, account), pair);
            bump(&mut tables.accounts, account, &self.limits.account, now);
        }
        // The owner's own client with an old password is not what the others of that network should suffer from;
        // and behind a proxy or web mail on the same machine is everybody.
        if !known && !origin.ip.to_canonical().is_loopback() {
            bump(&mut tables.networks, network, &self.limits.network, now);
            if let Some(site) = network.site() {
                bump(&mut tables.networks, site, &self.limits.site, now);
            }
        }
    }

    /// A login was right: its failures from this network are forgotten. Those of the network over all accounts are
    /// not, or an attacker would only need one account of their own.
    pub fn succeeded(&self, origin: &Origin, login: Option<&str>) {
        let Some(account) = login.map(account_of) else {
            return;
        };
        let now = self.clock.monotonic();
        let mut pair = Pair::new(now);
        pair.known_until = now.checked_add(self.limits.known_for);
        let network = Network::of(origin.ip);
        self.tables.lock().pairs.insert((network, account), pair);
    }

    /// Whether a code may be compared. It counts as a wrong one until it was a right one, so that those who come at the same time are no
    /// more than may.
    pub fn begin_code(&self, account: AccountId) -> Result<(), RetryAfter> {
        let mut tables = self.tables.lock();
        let now = self.clock.monotonic();
        if let Some(counter) = tables.codes.get(&account) {
            counter.refuses(now)?;
        }
        bump(&mut tables.codes, account, &self.limits.code, now);
        Ok(())
    }

    /// The code that was begun with was right, or was not compared. Those before it count on.
    pub fn give_code_back(&self, account: AccountId) {
        let mut tables = self.tables.lock();
        let now = self.clock.monotonic();
        if let Some(counter) = tables.codes.get(&account).copied() {
            let back = Counter {
                failures: counter.failures.saturating_sub(1),
                until: now,
                ..counter
            };
            tables.codes.insert(account, back);
        }
    }
}

fn bump<K: std::hash::Hash + Eq>(
    counters: &mut Cache<K, Counter>,
    key: K,
    limit: &Limit,
    now: Instant,
) {
    let mut counter = counters
        .get(&key)
        .copied()
        .unwrap_or_else(|| Counter::new(now));
    counter.fail(limit, now);
    counters.insert(key, counter);
}

impl fmt::Debug for LoginRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.tables.lock();
        f.debug_struct("LoginRate")
            .field("pairs", &tables.pairs.len())
            .field("networks", &tables.networks.len())
            .field("accounts", &tables.accounts.len())
            .field("codes", &tables.codes.len())
            .finish_non_exhaustive()
    }
}

impl Network {
    fn of(ip: IpAddr) -> Network {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Network::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Network::V6([a, b, c, d, e, f, g, h])
            }
        }
    }

    /// The /48 that an IPv6 /64 is in.
    fn site(self) -> Option<Network> {
        match self {
            Network::V6([a, b, c, d, e, f, ..]) => Some(Network::Site([a, b, c, d, e, f])),
            Network::V4(_) | Network::Site(_) => None,
        }
    }
}

fn account_of(login: &str) -> Account {
    let hash = blake3::hash(login.trim().to_lowercase().as_bytes());
    let mut account = [0; 16];
    account.copy_from_slice(&hash.as_bytes()[..16]);
    account
}

impl Pair {
    fn new(now: Instant) -> Pair {
        Pair {
            counter: Counter::new(now),
            known_until: None,
        }
    }
}

impl Counter {
    fn new(now: Instant) -> Counter {
        Counter {
            failures: 0,
            forgiven_at: now,
            until: now,
        }
    }

    fn refuses(&self, now: Instant) -> Result<(), RetryAfter> {
        match self.until.saturating_duration_since(now) {
            rest if self.failures > 0 && !rest.is_zero() => Err(RetryAfter(rest)),
            _ => Ok(()),
        }
    }

    /// The consequence of the failures that are not forgiven yet.
    fn delay(&self, limit: &Limit, now: Instant) -> Duration {
        let mut counter = *self;
        counter.forgive(limit, now);
        limit.consequence_of(counter.failures)
    }

    fn fail(&mut self, limit: &Limit, now: Instant) {
        self.forgive(limit, now);
        self.failures = self.failures.saturating_add(1).min(limit.most());
        if let Some(until) = now.checked_add(limit.consequence_of(self.failures)) {
            self.until = self.until.max(until);
        }
    }

    fn forgive(&mut self, limit: &Limit, now: Instant) {
        let every = limit.forgive_every.as_millis().max(1);
        let passed = now.saturating_duration_since(self.forgiven_at).as_millis();
        let forgiven = u32::try_from(passed / every).unwrap_or(u32::MAX);
        if forgiven >= self.failures {
            self.failures = 0;
            self.forgiven_at = now;
            return;
        }
        self.failures -= forgiven;
        self.forgiven_at += limit.forgive_every * forgiven;
    }
}

impl Limit {
    /// Failures beyond this are not counted: the consequence would not grow, only last.
    fn most(&self) -> u32 {
        let mut beyond = 1;
        while beyond < 32 && self.consequence_of(self.free.saturating_add(beyond)) < self.longest {
            beyond += 1;
        }
        self.free.saturating_add(beyond)
    }

    fn consequence_of(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(self.free.saturating_add(1)) else {
            return Duration::ZERO;
        };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first
            .checked_mul(factor)
            .unwrap_or(self.longest)
            .min(self.longest)
    }
}

#[cfg(test)]
mod tests;
