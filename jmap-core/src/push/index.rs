//! Which subscriptions there are, what each has yet to be told, and when.
//!
//! Holds: no URL and no key: those are read when they are needed. A subscription has one request under way at the
//! most, and a host [`PER_HOST_MAX`]. What waits for a subscription is bounded by its accounts and types.
//! Other half: `worker` takes from here what is due.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use jmap_types::{AccountId, data_type::DataTypes};

use super::record::SubscriptionKey;

/// Requests to one host at a time.
pub const PER_HOST_MAX: usize = 16;

/// Types by account.
pub type Pending = BTreeMap<AccountId, DataTypes>;

#[derive(Debug, Default)]
pub struct Index {
    entries: HashMap<SubscriptionKey, Entry>,
    /// By account that a verified subscription hears of.
    listeners: HashMap<AccountId, Vec<SubscriptionKey>>,
    /// What has something to say, by the time at which it may.
    queue: BTreeSet<(Instant, SubscriptionKey)>,
    hosts: HashMap<Arc<str>, Host>,
}

/// What is known of a subscription beside its record.
#[derive(Clone, Debug)]
pub struct Facts {
    pub host: Arc<str>,
    pub wanted: DataTypes,
    pub verified: bool,
    /// Seconds since 1970.
    pub expires: i64,
    /// Accounts whose changes it hears of.
    pub visible: Vec<AccountId>,
}

#[derive(Debug)]
struct Entry {
    facts: Facts,
    pending: Pending,
    /// The verification has yet to be sent.
    verify: bool,
    turn: Turn,
    not_before: Instant,
    failures: u32,
    /// Accounts that one message tells of: fewer once the push service found one too large.
    accounts_max: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Idle,
    Queued(Instant),
    WaitsForHost,
    Busy,
}

#[derive(Debug, Default)]
struct Host {
    busy: usize,
    waiting: VecDeque<SubscriptionKey>,
}

/// What is to be sent now.
#[derive(Debug)]
pub struct Job {
    pub key: SubscriptionKey,
    pub host: Arc<str>,
    pub verify: bool,
    pub pending: Pending,
    pub accounts_max: usize,
    /// Failures in a row before this.
    pub failures: u32,
}

/// How a job ended, for one that stays subscribed.
#[derive(Debug)]
pub struct Done {
    pub verify: bool,
    /// What was not told.
    pub pending: Pending,
    pub failures: u32,
    pub accounts_max: usize,
    pub not_before: Instant,
}

impl Index {
    /// Those that are over at `now` (seconds since 1970), or all.
    pub fn keys_to_check(&self, all: bool, now: i64) -> Vec<SubscriptionKey> {
        let entries = self.entries.iter();
        entries
            .filter(|(_, entry)| all || entry.facts.expires <= now)
            .map(|(key, _)| *key)
            .collect()
    }

    /// Notes a change. Whether the worker has to look.
    pub fn changed(&mut self, account: AccountId, types: DataTypes, now: Instant) -> bool {
        let Some(listeners) = self.listeners.get(&account) else {
            return false;
        };
        let mut wake = false;
        for key in listeners {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            let wanted: DataTypes = types
                .iter()
                .filter(|t| entry.facts.wanted.contains(*t))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            add(&mut entry.pending, account, wanted);
            if entry.turn == Turn::Idle {
                let at = entry.not_before.max(now);
                entry.turn = Turn::Queued(at);
                self.queue.insert((at, *key));
                wake = true;
            }
        }
        wake
    }

    /// Takes a subscription in, or notes what is new about it. `verify`: its verification is to be sent;
    /// `tell_all`: so are the states of everything, since it is not known what it was told.
    pub fn put(
        &mut self,
        key: SubscriptionKey,
        facts: Facts,
        verify: bool,
        tell_all: bool,
        now: Instant,
    ) {
        self.unlisten(key);
        if facts.verified {
            for account in &facts.visible {
                self.listeners.entry(*account).or_default().push(key);
            }
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            facts: facts.clone(),
            pending: Pending::new(),
            verify: false,
            turn: Turn::Idle,
            not_before: now,
            failures: 0,
            accounts_max: usize::MAX,
        });
        entry.facts = facts;
        entry.verify |= verify;
        if tell_all && entry.facts.verified && !entry.facts.wanted.is_empty() {
            for account in &entry.facts.visible {
                add(&mut entry.pending, *account, entry.facts.wanted);
            }
        }
        self.schedule(key, now);
    }

    /// Forgets all subscriptions. Requests that are under way end by themselves.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Nothing is under way any more, and nobody knows what came of it: it is told of again.
    pub fn begin_again(&mut self, now: Instant) {
        self.hosts.clear();
        let under_way = |entry: &Entry| matches!(entry.turn, Turn::Busy | Turn::WaitsForHost);
        let mut again = Vec::new();
        for (key, entry) in self.entries.iter_mut().filter(|(_, of)| under_way(of)) {
            entry.turn = Turn::Idle;
            entry.verify |= !entry.facts.verified;
            if entry.facts.verified && !entry.facts.wanted.is_empty() {
                for account in &entry.facts.visible {
                    add(&mut entry.pending, *account, entry.facts.wanted);
                }
            }
            again.push(*key);
        }
        for key in again {
            self.schedule(key, now);
        }
    }

    /// The accounts that somebody hears of.
    pub fn accounts(&self) -> Vec<AccountId> {
        self.listeners.keys().copied().collect()
    }

    /// The subscriptions of an account.
    pub fn of_account(&self, account: AccountId) -> Vec<SubscriptionKey> {
        let keys = self.entries.keys();
        keys.filter(|key| key.account == account).copied().collect()
    }

    pub fn contains(&self, key: SubscriptionKey) -> bool {
        self.entries.contains_key(&key)
    }

    pub fn remove(&mut self, key: SubscriptionKey) {
        self.unlisten(key);
        let Some(entry) = self.entries.remove(&key) else {
            return;
        };
        match entry.turn {
            Turn::Queued(at) => {
                self.queue.remove(&(at, key));
            }
            Turn::WaitsForHost => {
                if let Some(host) = self.hosts.get_mut(&entry.facts.host) {
                    host.waiting.retain(|waiting| *waiting != key);
                }
            }
            Turn::Idle | Turn::Busy => {}
        }
    }

    fn unlisten(&mut self, key: SubscriptionKey) {
        let Some(entry) = self.entries.get(&key) else {
            return;
        };
        for account in &entry.facts.visible {
            if let Some(listeners) = self.listeners.get_mut(account) {
                listeners.retain(|listener| *listener != key);
                if listeners.is_empty() {
                    self.listeners.remove(account);
                }
            }
        }
    }

    /// Queues a subscription that has something to say.
    fn schedule(&mut self, key: SubscriptionKey, now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let has_news = entry.verify || (entry.facts.verified && !entry.pending.is_empty());
        if entry.turn == Turn::Idle && has_news {
            let at = entry.not_before.max(now);
            entry.turn = Turn::Queued(at);
            self.queue.insert((at, key));
        }
    }

    /// At most `max` jobs that are due; each counts as under way until [`Index::done`] or [`Index::ended`].
    pub fn take_due(&mut self, now: Instant, max: usize) -> Vec<Job> {
        let mut jobs = Vec::new();
        while jobs.len() < max {
            let Some(&(at, key)) = self.queue.first().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.queue.remove(&(at, key));
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            let host = self.hosts.entry(entry.facts.host.clone()).or_default();
            if host.busy >= PER_HOST_MAX {
                host.waiting.push_back(key);
                entry.turn = Turn::WaitsForHost;
                continue;
            }
            host.busy += 1;
            entry.turn = Turn::Busy;
            jobs.push(Job {
                key,
                host: entry.facts.host.clone(),
                verify: std::mem::take(&mut entry.verify),
                pending: std::mem::take(&mut entry.pending),
                accounts_max: entry.accounts_max,
                failures: entry.failures,
            });
        }
        jobs
    }

    /// When the next job is due.
    pub fn next_due(&self, now: Instant) -> Option<Duration> {
        let (at, _) = self.queue.first()?;
        Some(at.saturating_duration_since(now))
    }

    /// A job ended, and its subscription stays.
    pub fn done(&mut self, key: SubscriptionKey, host: &Arc<str>, done: Done, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.turn = Turn::Idle;
            entry.verify |= done.verify;
            entry.failures = done.failures;
            entry.accounts_max = done.accounts_max;
            entry.not_before = done.not_before;
            for (account, types) in done.pending {
                add(&mut entry.pending, account, types);
            }
        }
        self.schedule(key, now);
        self.ended(host, now);
    }

    /// A request to this host is no longer under way.
    pub fn ended(&mut self, host: &Arc<str>, now: Instant) {
        let Some(of_host) = self.hosts.get_mut(host) else {
            return;
        };
        of_host.busy = of_host.busy.saturating_sub(1);
        let next = of_host.waiting.pop_front();
        if of_host.busy == 0 && of_host.waiting.is_empty() {
            self.hosts.remove(host);
        }
        if let Some(next) = next
            && let Some(entry) = self.entries.get_mut(&next)
        {
            entry.turn = Turn::Idle;
            self.schedule(next, now);
        }
    }
}

fn add(pending: &mut Pending, account: AccountId, types: DataTypes) {
    let known = pending.entry(account).or_default();
    *known = types.iter().fold(*known, DataTypes::with);
}
