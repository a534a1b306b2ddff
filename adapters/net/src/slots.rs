//! How much of something one user of it does at once, such as an account.
//!
//! Holds: each has at most `open` slots, and at most `waiting` that wait for one; what is not used any more takes
//! no memory; whoever waits and goes away gives the place in the queue back.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module.
#[derive(Debug)]
pub struct Slots<K: Copy + Eq + Hash> {
    open: usize,
    waiting: usize,
    wait: Duration,
    users: Mutex<HashMap<K, Entry>>,
}

#[derive(Debug)]
struct Entry {
    semaphore: Arc<Semaphore>,
    /// Those that have a slot or wait for one.
    users: usize,
}

/// A slot; dropping it gives it back.
#[derive(Debug)]
pub struct Slot<K: Copy + Eq + Hash> {
    _permit: OwnedSemaphorePermit,
    _user: User<K>,
}

/// There are too many.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Debug)]
struct User<K: Copy + Eq + Hash> {
    slots: Arc<Slots<K>>,
    user: K,
}

impl<K: Copy + Eq + Hash> Slots<K> {
    pub fn new(open: usize, waiting: usize, wait: Duration) -> Arc<Slots<K>> {
        Arc::new(Slots {
            open,
            waiting,
            wait,
            users: Mutex::default(),
        })
    }

    /// Takes a slot, or waits for one for a while.
    pub async fn enter(self: &Arc<Self>, user: K) -> Result<Slot<K>, Full> {
        let (semaphore, place) = self.queue(user)?;
        let permit = tokio::time::timeout(self.wait, semaphore.acquire_owned()).await;
        match permit {
            Ok(Ok(permit)) => Ok(Slot {
                _permit: permit,
                _user: place,
            }),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    fn queue(self: &Arc<Self>, user: K) -> Result<(Arc<Semaphore>, User<K>), Full> {
        let mut users = self.users.lock();
        let entry = users.entry(user).or_insert_with(|| Entry {
            semaphore: Arc::new(Semaphore::new(self.open)),
            users: 0,
        });
        if entry.users >= self.open + self.waiting {
            return Err(Full);
        }
        entry.users += 1;
        let place = User {
            slots: self.clone(),
            user,
        };
        Ok((entry.semaphore.clone(), place))
    }
}

impl<K: Copy + Eq + Hash> Drop for User<K> {
    fn drop(&mut self) {
        let mut users = self.slots.users.lock();
        if let Some(entry) = users.get_mut(&self.user) {
            entry.users -= 1;
            if entry.users == 0 {
                users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_past_every_limit() {
        let slots = Slots::new(2, 1, Duration::from_millis(100));
        let (a, b) = (1_u64, 2);
        let first = slots.enter(a).await.unwrap();
        let _second = slots.enter(a).await.unwrap();
        // The third waits in vain; the fourth need not even wait.
        let third = tokio::spawn({
            let slots = slots.clone();
            async move { slots.enter(a).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(slots.enter(a).await.map(drop), Err(Full));
        assert_eq!(slots.enter(b).await.map(drop), Ok(()));
        assert_eq!(third.await.unwrap(), Err(Full));
        let third = tokio::spawn({
            let slots = slots.clone();
            async move { slots.enter(a).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(third.await.unwrap(), Ok(()));
        drop(_second);
        assert!(slots.users.lock().is_empty());
    }
}
