//! The newest records, in memory.
//!
//! Holds: they take no more than so many octets, and the newest one is always there; who follows and is too slow is told how many it has missed,
//! and costs nothing meanwhile.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::record::Record;

/// See the module.
#[derive(Debug)]
pub struct Recent {
    octets_max: usize,
    kept: Mutex<Kept>,
    /// The number that the next record gets; `None`: nobody follows any more.
    newest: watch::Sender<Option<u64>>,
}

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Arc<Record>>,
    octets: usize,
    /// Of the first one in `records`.
    first_number: u64,
}

impl Kept {
    fn end(&self) -> u64 {
        self.first_number + self.records.len() as u64
    }
}

/// What comes next to somebody who follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Record(Arc<Record>),
    /// So many have come and gone.
    Missed(u64),
}

impl Recent {
    pub fn new(octets_max: usize) -> Recent {
        Recent {
            octets_max,
            kept: Mutex::default(),
            newest: watch::Sender::new(Some(0)),
        }
    }

    pub fn push(&self, record: Record) {
        let octets = record.octets();
        let mut kept = self.kept.lock();
        kept.octets += octets;
        kept.records.push_back(Arc::new(record));
        while kept.octets > self.octets_max && kept.records.len() > 1 {
            if let Some(oldest) = kept.records.pop_front() {
                kept.octets -= oldest.octets();
                kept.first_number += 1;
            }
        }
        let end = kept.end();
        drop(kept);
        self.newest.send_if_modified(|newest| match newest {
            Some(number) => {
                *number = end.max(*number);
                true
            }
            None => false,
        });
    }

    /// All that are here, oldest first.
    pub fn all(&self) -> Vec<Arc<Record>> {
        self.kept.lock().records.iter().cloned().collect()
    }

    /// Nobody follows from now on: the server stops.
    pub fn end(&self) {
        self.newest.send_replace(None);
    }

    /// Follows what comes from now on, or what has come after a time in microseconds.
    pub fn follow(&self, after_us: Option<u64>) -> Follower {
        let kept = self.kept.lock();
        let next = match after_us {
            None => kept.end(),
            Some(after) => {
                let known = kept.records.partition_point(|of| of.time_us <= after);
                kept.first_number + known as u64
            }
        };
        Follower {
            next,
            newest: self.newest.subscribe(),
        }
    }
}

/// Somebody who follows.
#[derive(Debug)]
pub struct Follower {
    /// The number of the record that comes next.
    next: u64,
    newest: watch::Receiver<Option<u64>>,
}

impl Follower {
    /// What comes next, as soon as it is there. `None`: nothing does any more. May be dropped before it is ready.
    pub async fn next(&mut self, of: &Recent) -> Option<Next> {
        loop {
            if self.newest.borrow_and_update().is_none() {
                return None;
            }
            {
                let kept = of.kept.lock();
                if self.next < kept.first_number {
                    let missed = kept.first_number - self.next;
                    self.next = kept.first_number;
                    return Some(Next::Missed(missed));
                }
                let at = usize::try_from(self.next - kept.first_number).unwrap_or(usize::MAX);
                if let Some(record) = kept.records.get(at) {
                    self.next += 1;
                    return Some(Next::Record(record.clone()));
                }
            }
            self.newest.changed().await.ok()?;
        }
    }
}
