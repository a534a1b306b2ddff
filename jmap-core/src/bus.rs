//! Who wants to know of changes, and the changes (RFC 8620 §7.1 `StateChange`).
//!
//! Holds: a subscriber that is slow loses intermediate states, never the last one; what waits for a
//! subscriber is bounded by the number of its accounts and types.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use jmap_types::{AccountId, DataType, State, data_type::DataTypes};
use parking_lot::Mutex;
use store::Head;
use tokio::sync::Notify;

/// New states by account and type.
pub type StateChange = BTreeMap<AccountId, BTreeMap<DataType, State>>;

#[derive(Debug, Default)]
pub struct Bus {
    subscribers: Mutex<HashMap<AccountId, Vec<Weak<Mailbox>>>>,
    watchers: Mutex<Vec<Arc<dyn Watcher>>>,
}

/// Background work that hears of every change of every account, at once: it must not block.
pub trait Watcher: Send + Sync + std::fmt::Debug {
    fn changed(&self, account: AccountId, types: DataTypes, head: &Head);
}

#[derive(Debug)]
struct Mailbox {
    types: DataTypes,
    waiting: Mutex<StateChange>,
    /// The subscriber may see more or less than when it subscribed.
    look_again: AtomicBool,
    wake: Notify,
}

/// A stream of changes.
#[derive(Debug)]
pub struct Subscription(Arc<Mailbox>);

impl Bus {
    pub fn subscribe(&self, accounts: Vec<AccountId>, types: DataTypes) -> Subscription {
        let mailbox = Arc::new(Mailbox {
            types,
            waiting: Mutex::default(),
            look_again: AtomicBool::new(false),
            wake: Notify::new(),
        });
        let mut subscribers = self.subscribers.lock();
        for account in accounts {
            let of_account = subscribers.entry(account).or_default();
            of_account.retain(|s| s.strong_count() > 0);
            of_account.push(Arc::downgrade(&mailbox));
        }
        Subscription(mailbox)
    }

    /// What the callers of an account, or of a group, may see has changed.
    pub fn look_again(&self, account: AccountId) {
        let subscribers = self.subscribers.lock();
        let of_account = subscribers.get(&account).into_iter().flatten();
        for subscriber in of_account.filter_map(Weak::upgrade) {
            subscriber.look_again.store(true, Ordering::Release);
            subscriber.wake.notify_one();
        }
    }

    /// What callers may see has changed, and it isn't known for whom.
    pub fn all_look_again(&self) {
        let subscribers = self.subscribers.lock();
        for subscriber in subscribers.values().flatten().filter_map(Weak::upgrade) {
            subscriber.look_again.store(true, Ordering::Release);
            subscriber.wake.notify_one();
        }
    }

    /// The accounts that somebody wants to hear of.
    pub fn accounts(&self) -> Vec<AccountId> {
        let subscribers = self.subscribers.lock();
        let is_live = |of_account: &Vec<Weak<Mailbox>>| {
            of_account
                .iter()
                .any(|subscriber| subscriber.strong_count() > 0)
        };
        let live = subscribers.iter().filter(|(_, of)| is_live(of));
        live.map(|(account, _)| *account).collect()
    }

    pub fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.watchers.lock().push(watcher);
    }

    pub fn publish(&self, account: AccountId, types: DataTypes, head: &Head) {
        for watcher in self.watchers.lock().iter() {
            watcher.changed(account, types, head);
        }
        let subscribers = self.subscribers.lock();
        for subscriber in subscribers
            .get(&account)
            .into_iter()
            .flatten()
            .filter_map(Weak::upgrade)
        {
            let wanted = types.iter().filter(|t| subscriber.types.contains(*t));
            let states: Vec<(DataType, State)> =
                wanted.map(|t| (t, State(head.state(t)))).collect();
            if !states.is_empty() {
                subscriber
                    .waiting
                    .lock()
                    .entry(account)
                    .or_default()
                    .extend(states);
                subscriber.wake.notify_one();
            }
        }
    }
}

impl Subscription {
    /// The next change. Changes that came in between are gathered into one. An empty one: the caller may see more
    /// or less than before, and a new subscription is needed.
    pub async fn next(&mut self) -> StateChange {
        loop {
            let look_again = self.0.look_again.swap(false, Ordering::AcqRel);
            let waiting = std::mem::take(&mut *self.0.waiting.lock());
            if look_again || !waiting.is_empty() {
                return waiting;
            }
            self.0.wake.notified().await;
        }
    }
}
