//! How far a client has seen the changes of all its accounts: the event id of RFC 8620 §7.3, the `pushState` of RFC 8887.
//!
//! Holds: what is written is read back; a client that shows what it was given last misses nothing. An account has one
//! sequence of changes for all types, so one number an account says it all.

use std::fmt;

use jmap_core::bus::StateChange;
use jmap_types::{AccountId, State};

/// Octets of such a text that are looked at.
pub const SEEN_OCTETS_MAX: usize = 16 << 10;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(Vec<(AccountId, u64)>);

impl Seen {
    /// `a1.17-a2.5`
    pub fn parse(text: &str) -> Option<Seen> {
        if text.len() > SEEN_OCTETS_MAX {
            return None;
        }
        let accounts = text.split('-').map(|item| {
            let (account, state) = item.split_once('.')?;
            let plain = state.bytes().all(|b| b.is_ascii_digit());
            let state = plain.then(|| state.parse().ok()).flatten()?;
            Some((AccountId::parse(account)?, state))
        });
        accounts.collect::<Option<Vec<_>>>().map(Seen)
    }

    /// All of this has been seen.
    pub fn advance(&mut self, change: &StateChange) {
        for (account, states) in change {
            let latest = states.values().map(|state| state.0).max().unwrap_or(0);
            match self.0.iter_mut().find(|(id, _)| id == account) {
                Some((_, seen)) => *seen = latest.max(*seen),
                None => self.0.push((*account, latest)),
            }
        }
    }

    /// What of the current states is newer than what was seen.
    pub fn missed(&self, current: &StateChange) -> StateChange {
        let newer = current.iter().map(|(account, states)| {
            let seen = self.0.iter().find(|(id, _)| id == account);
            let seen = State(seen.map_or(0, |(_, seen)| *seen));
            let states = states.iter().filter(|(_, state)| **state > seen);
            (*account, states.map(|(t, s)| (*t, *s)).collect())
        });
        let mut missed: StateChange = newer.collect();
        missed.retain(|_, states| !states.is_empty());
        missed
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (account, state)) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "-" };
            write!(f, "{separator}{account}.{state}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jmap_types::DataType;

    use super::*;

    fn change(rows: &[(u64, DataType, u64)]) -> StateChange {
        let mut change = StateChange::new();
        for &(account, data_type, state) in rows {
            let states = change.entry(AccountId::new(account)).or_default();
            states.insert(data_type, State(state));
        }
        change
    }

    #[test]
    fn what_was_seen_is_not_missed() {
        use DataType::{Email, Mailbox, Thread};
        let mut seen = Seen::default();
        seen.advance(&change(&[(1, Email, 7), (1, Mailbox, 9), (2, Email, 4)]));
        assert_eq!(seen.to_string(), "a1.9-a2.4");
        assert_eq!(Seen::parse("a1.9-a2.4"), Some(seen.clone()));
        let current = change(&[
            (1, Email, 11),
            (1, Mailbox, 9),
            (2, Email, 4),
            (3, Thread, 1),
        ]);
        let missed = change(&[(1, Email, 11), (3, Thread, 1)]);
        assert_eq!(seen.missed(&current), missed);
        seen.advance(&current);
        assert!(seen.missed(&current).is_empty());
    }

    #[test]
    fn nonsense_is_nothing() {
        let long = "a1.1-".repeat(SEEN_OCTETS_MAX);
        for text in [
            "",
            "a1",
            "a1.",
            "a1.x",
            "b1.1",
            "a1.1-",
            "a1.-1",
            "a1.+1",
            "a1.99999999999999999999",
            &long,
        ] {
            assert_eq!(Seen::parse(text), None, "{text:.20}");
        }
    }
}
