//! Whose work a submission is.
//!
//! Holds: whoever works on a submission has the lease of its row of the queue, and every transaction of that work
//! asserts it; while lanes of one submission run, its row stays where it is, so that none takes the fence of another away.
//! Other half: `work` takes leases, `note` gives them back with what came of it.

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    decode_numbers,
    engine::{Assertion, Batch, Key},
    keys, numbers,
    quarantine::{self, Aside},
};

use super::{Queue, board::Item};
use crate::{
    Core,
    mail::submission::{self, records::SubmissionRecord},
};

/// How long a node may work on one submission before others take it for dead, in milliseconds. Renewed while it works.
pub(super) const LEASE_MS: u64 = 120_000;

/// What the lanes of one submission share: one at a time takes or uses the lease.
#[derive(Debug, Default)]
pub struct Gate(pub(super) tokio::sync::Mutex<Hold>);

#[derive(Debug, Default)]
pub(super) struct Hold {
    pub row: Option<Row>,
    /// Lanes that are being sent.
    pub running: usize,
    /// Of them, those that deliver here, with the fence in the transactions of other accounts.
    pub running_here: usize,
}

/// A row of the queue that we have the lease of.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub due: u64,
    pub expires: u64,
    pub fence: Assertion,
}

/// Whose work a row is, and until when (milliseconds since 1970).
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub owner: u64,
    pub expires: u64,
}

impl Lease {
    pub fn decode(key: &[u8], value: &Bytes) -> Result<Option<Self>, store::Error> {
        if value.is_empty() {
            return Ok(None);
        }
        let [owner, expires] = decode_numbers(key, value)?;
        Ok(Some(Self { owner, expires }))
    }
}

impl Queue {
    /// Whether another node works on it. With a database of its own there is none: what a process that has crashed
    /// was working on is taken up at once. On a shared one, only time tells whether the other node still lives.
    pub(super) fn is_anothers(&self, lease: &Lease, now: u64) -> bool {
        let is_gone =
            |cluster: &std::sync::Arc<crate::cluster::Cluster>| !cluster.is_alive(lease.owner);
        !self.is_alone
            && lease.owner != self.owner
            && lease.expires > now
            && !self.cluster.as_ref().is_some_and(is_gone)
    }

    /// Whether a lease seems to be that of a node that is no more.
    fn is_orphan(&self, lease: &Lease) -> bool {
        let mut cluster = self.cluster.iter();
        lease.owner != self.owner && cluster.any(|cluster| !cluster.is_alive(lease.owner))
    }
}

pub(super) fn row_key((account, submission): Item, due: u64) -> Key {
    keys::queue_due(due, account, submission)
}

impl Core {
    /// Takes the lease of a submission, or keeps it, and reads the record. `None`: it is another node's, or has no row.
    pub(super) async fn hold(
        &self,
        hold: &mut Hold,
        item: Item,
    ) -> Result<Option<SubmissionRecord>, store::Error> {
        /// How often the row may move while it is looked for.
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let Some(record) = submission::record(self, item.0, item.1).await? else {
                return Ok(None);
            };
            if let Some(row) = &hold.row {
                // Of a lease that has run out, only the row tells whose it is.
                let is_held = self.queue.is_alone || row.expires > self.queue_now();
                if row.due == record.due && is_held {
                    return Ok(Some(record));
                }
                // Called back, or another node's by now.
                hold.row = None;
            }
            if record.due == 0 {
                return Ok(None);
            }
            hold.row = self.lease(item, record.due).await?;
            if hold.row.is_none() {
                // Where the row has moved meanwhile, the record tells.
                match submission::record(self, item.0, item.1).await? {
                    Some(now) if now.due != record.due => continue,
                    _ => return Ok(None),
                }
            }
        }
        Ok(None)
    }

    /// Takes the lease of a row. `None`: another node has it, or the row is gone.
    pub(super) async fn lease(&self, item: Item, due: u64) -> Result<Option<Row>, store::Error> {
        let key = row_key(item, due);
        let Some(value) = self.engine.get(&key).await? else {
            return Ok(None);
        };
        let now = self.queue_now();
        let lease = Lease::decode(&key, &value)?;
        if let (Some(cluster), Some(lease)) = (&self.cluster, &lease)
            && self.queue.is_orphan(lease)
        {
            // It may have come a moment ago: whoever has a lease was there before.
            cluster.look_around().await?;
        }
        match lease {
            Some(lease)
                if lease.owner == self.queue.owner
                    && lease.expires > now.saturating_add(LEASE_MS / 2) =>
            {
                return Ok(Some(Row {
                    due,
                    expires: lease.expires,
                    fence: Assertion::Equals(key, value),
                }));
            }
            Some(lease) if self.queue.is_anothers(&lease, now) => return Ok(None),
            _ => {}
        }
        let expires = now.saturating_add(LEASE_MS);
        let mine = numbers(&[self.queue.owner, expires]);
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key.clone(), value));
        batch.put(key.clone(), mine.clone());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => Ok(Some(Row {
                due,
                expires,
                fence: Assertion::Equals(key, mine),
            })),
            Err(store::Error::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renews the leases of what is being sent. Those that were lost are found out about when something is recorded.
    pub(super) async fn renew_leases(&self) {
        let running = self.queue.board.lock().gates_running();
        for (item, gate) in running {
            let mut hold = gate.0.lock().await;
            let now = self.queue_now();
            let Some(row) = hold.row.clone() else {
                continue;
            };
            let is_fresh = row.expires > now.saturating_add(LEASE_MS * 2 / 3);
            if is_fresh || hold.running_here > 0 {
                continue;
            }
            let expires = now.saturating_add(LEASE_MS);
            let (key, mine) = (
                row_key(item, row.due),
                numbers(&[self.queue.owner, expires]),
            );
            let mut batch = Batch::new();
            batch.assert(row.fence);
            batch.put(key.clone(), mine.clone());
            match self.engine.commit(batch).await {
                Ok(()) => {
                    hold.row = Some(Row {
                        due: row.due,
                        expires,
                        fence: Assertion::Equals(key, mine),
                    });
                }
                Err(error) => {
                    tracing::warn!(account = %item.0, submission = item.1, %error, "a lease could not be renewed")
                }
            }
        }
    }

    /// Takes a row away that has no submission, or a damaged one.
    pub(super) async fn drop_row(
        &self,
        account: AccountId,
        submission: u64,
        (due, row): (u64, Row),
        why: Dropped<'_>,
    ) -> Result<(), store::Error> {
        let key = keys::queue_due(due, account, submission);
        let mut batch = Batch::new();
        batch.assert(row.fence);
        batch.delete(key.clone());
        match why {
            Dropped::IsLeftOver => {}
            Dropped::HasNoRecord => {
                batch.add(keys::queue_length(), -1);
            }
            // Invariant 5: a bad record is put aside, and the queue goes on.
            Dropped::IsDamaged(error) => {
                batch.add(keys::queue_length(), -1);
                let aside = Aside {
                    key: key.clone(),
                    octets: error.to_string().into_bytes(),
                    reason: "queue/unreadable".to_owned(),
                    at: self.clock.now().0,
                };
                let place = keys::quarantine(&key);
                let known = self.engine.get(&place).await?;
                quarantine::put(&mut batch, place, known.as_ref(), aside);
            }
        }
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Err(store::Error::Conflict) => Ok(()),
            result => result,
        }
    }
}

/// Why a row goes.
pub(super) enum Dropped<'e> {
    /// Its submission is due at another time, and has another row.
    IsLeftOver,
    HasNoRecord,
    IsDamaged(&'e store::Error),
}
