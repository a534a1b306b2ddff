//! Who has which maildrop open (RFC 1939 §4: one session at a time).
//!
//! Holds: an account has at most one [`Lock`], and loses it when that is dropped, however the session ends.
//! Other half: `session`, which keeps the lock beside the maildrop.

use std::collections::HashSet;
use std::sync::Arc;

use jmap_types::AccountId;
use parking_lot::Mutex;

/// Maildrops that are open at once.
pub const MAILDROPS_MAX: usize = 65_536;

/// Why there is no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    #[error("another session has the maildrop")]
    InUse,
    #[error("too many maildrops are open")]
    TooMany,
}

/// The maildrops that are open. Clones are the same.
#[derive(Clone, Debug)]
pub struct Locks {
    open: Arc<Mutex<HashSet<AccountId>>>,
    maildrops_max: usize,
}

impl Default for Locks {
    fn default() -> Locks {
        Locks::new(MAILDROPS_MAX)
    }
}

impl Locks {
    pub fn new(maildrops_max: usize) -> Locks {
        Locks {
            open: Arc::default(),
            maildrops_max,
        }
    }

    pub fn take(&self, account: AccountId) -> Result<Lock, LockError> {
        let mut open = self.open.lock();
        if open.contains(&account) {
            return Err(LockError::InUse);
        }
        if open.len() >= self.maildrops_max {
            return Err(LockError::TooMany);
        }
        open.insert(account);
        Ok(Lock {
            open: self.open.clone(),
            account,
        })
    }
}

/// The right to one maildrop.
#[derive(Debug)]
pub struct Lock {
    open: Arc<Mutex<HashSet<AccountId>>>,
    account: AccountId,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.open.lock().remove(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maildrop_is_locked_once_and_freed_by_dropping() {
        let locks = Locks::default();
        let (ann, bob) = (AccountId::new(1), AccountId::new(2));
        let lock = locks.take(ann).unwrap();
        assert_eq!(locks.clone().take(ann).err(), Some(LockError::InUse));
        let _other = locks.take(bob).unwrap();
        drop(lock);
        assert!(locks.take(ann).is_ok());
    }

    #[test]
    fn a_panic_frees_it_too() {
        let locks = Locks::default();
        let held = locks.clone();
        let ended = std::thread::spawn(move || {
            let _lock = held.take(AccountId::new(1)).unwrap();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(ended.join().is_err());
        assert!(locks.take(AccountId::new(1)).is_ok());
    }

    #[test]
    fn one_past_the_limit_is_refused() {
        let locks = Locks::new(2);
        let _held = [1, 2].map(|id| locks.take(AccountId::new(id)).unwrap());
        let third = locks.take(AccountId::new(3));
        assert_eq!(third.err(), Some(LockError::TooMany));
    }
}
