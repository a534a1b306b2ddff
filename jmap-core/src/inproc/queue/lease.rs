//! Whose work a submission is.
//!
//! Holds: whoever works on a submission has the lease of its row of the queue, and every transaction of that work
//! asserts it; while lanes of one submission run, its row stays where it is, so that none takes the fence of another away.
//! Of a node of a cluster, a lease is its own for as long as the registry knows it: no clocks are compared. Elsewhere it runs out.
//! Other half: `work` takes leases, `note` gives them back with what came of it; `cluster` knows who lives.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    decode_numbers,
    engine::{Assertion, Batch, Key, Page},
    keys, numbers,
    quarantine::{self, Aside},
};

use super::{
    Queue,
    board::{HERE, Item, Name},
    note::Step,
};
use crate::{
    Core,
    cluster::Cluster,
    mail::submission::{self, records::SubmissionRecord},
    work::check::Code,
};

/// How long a process without a cluster may work on one submission before others take it for dead, in milliseconds. Renewed while
/// it works.
pub(super) const LEASE_MS: u64 = 120_000;

/// What the lanes of one submission share: one at a time takes or uses the lease.
#[derive(Debug, Default)]
pub struct Gate(pub(super) tokio::sync::Mutex<Hold>);

#[derive(Debug, Default)]
pub(super) struct Hold {
    pub row: Option<Row>,
    /// Lanes that are being sent.
    pub running: BTreeSet<Name>,
}

impl Hold {
    /// A lane delivers here, with the fence in the transactions of other accounts.
    fn runs_here(&self) -> bool {
        self.running.contains(HERE)
    }

    /// A lane has come to its end.
    pub fn leave(&mut self, place: &str) {
        self.running.remove(place);
        if self.running.is_empty() {
            self.row = None;
        }
    }
}

/// A row of the queue that we have the lease of.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub due: u64,
    pub expires: u64,
    /// The node's epoch when it was taken; `None` without a cluster.
    pub epoch: Option<u64>,
    pub fence: Assertion,
}

/// Whose work a row is. Until when (milliseconds since 1970, by the owner's clock) counts only without a cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub owner: u64,
    pub expires: u64,
}

impl Lease {
    /// `None`: it is nobody's, or can't be read. Of the latter nobody can say that it is theirs: their fence is another value.
    pub fn decode(key: &[u8], value: &Bytes) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        let [owner, expires] = decode_numbers(key, value).ok()?;
        Some(Self { owner, expires })
    }
}

impl Queue {
    /// Whether another process works on it. With a database of its own there is none: what a process that has crashed was working on
    /// is taken up at once. In a cluster it is so as long as that process lives. Else only time tells.
    pub(super) fn is_anothers(&self, lease: &Lease, now: u64) -> bool {
        if self.is_alone || lease.owner == self.owner {
            return false;
        }
        match &self.cluster {
            Some(cluster) => cluster.is_alive(lease.owner),
            None => lease.expires > now,
        }
    }

    /// Whether a lease of this process lasts long enough to begin something under it.
    fn is_fresh(&self, lease: &Lease, now: u64) -> bool {
        self.cluster.is_some() || lease.expires > now.saturating_add(LEASE_MS / 2)
    }

    /// Whether a row is still ours without a look at it. Of a lease that may have been lost, only the row tells whose it is.
    async fn is_held(&self, row: &Row, now: u64) -> bool {
        match &self.cluster {
            Some(cluster) => row.epoch.is_some() && row.epoch == cluster.own_epoch().await,
            None => self.is_alone || row.expires > now,
        }
    }
}

/// The epoch to take a lease in. `None`: others take this node for dead, it may be.
async fn epoch_for(cluster: &Cluster, lease: Option<&Lease>) -> Result<Option<u64>, store::Error> {
    let epoch = cluster.living_epoch().await?;
    if lease.is_some_and(|lease| !cluster.is_alive(lease.owner)) {
        // It may have come a moment ago: whoever has a lease was there before.
        cluster.look_around().await?;
    }
    Ok(epoch)
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
        self.hold_if(hold, item, |_| true).await
    }

    /// The same for who wants to send it. `None` also where it is on hold: then the lease is left alone.
    pub(super) async fn hold_to_send(
        &self,
        hold: &mut Hold,
        item: Item,
    ) -> Result<Option<SubmissionRecord>, store::Error> {
        self.hold_if(hold, item, |record| record.on_hold.is_none())
            .await
    }

    async fn hold_if(
        &self,
        hold: &mut Hold,
        item: Item,
        is_wanted: impl Fn(&SubmissionRecord) -> bool,
    ) -> Result<Option<SubmissionRecord>, store::Error> {
        /// How often the row may move while it is looked for.
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let Some(record) = submission::record(self, item.0, item.1).await? else {
                return Ok(None);
            };
            if !is_wanted(&record) {
                return Ok(None);
            }
            if let Some(row) = &hold.row {
                if row.due == record.due && self.queue.is_held(row, self.queue_now()).await {
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
        let lease = Lease::decode(&key, &value);
        if lease.is_none() && !value.is_empty() {
            tracing::error!(account = %item.0, submission = item.1, "nobody can tell who works on a submission: it is taken over");
        }
        let mut epoch = None;
        if let Some(cluster) = &self.cluster {
            epoch = epoch_for(cluster, lease.as_ref()).await?;
            if epoch.is_none() {
                return Ok(None);
            }
        }
        match lease {
            Some(lease) if lease.owner == self.queue.owner && self.queue.is_fresh(&lease, now) => {
                return Ok(Some(Row {
                    due,
                    expires: lease.expires,
                    epoch,
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
                epoch,
                fence: Assertion::Equals(key, mine),
            })),
            Err(store::Error::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renews the leases of what is being sent: those of a node last as long as it does. Those that were lost are found out about when something is recorded.
    pub(super) async fn renew_leases(&self) {
        if self.cluster.is_some() {
            return;
        }
        let running = self.queue.board.lock().gates_running();
        for (item, gate) in running {
            let mut hold = gate.0.lock().await;
            let now = self.queue_now();
            let Some(row) = hold.row.clone() else {
                continue;
            };
            let is_fresh = row.expires > now.saturating_add(LEASE_MS * 2 / 3);
            if is_fresh || hold.runs_here() {
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
                        epoch: None,
                        fence: Assertion::Equals(key, mine),
                    });
                }
                Err(error) => {
                    tracing::warn!(account = %item.0, submission = item.1, %error, "a lease could not be renewed")
                }
            }
        }
    }

    /// Rows that a node was working on which is no more, and that aren't due by this node's clock, are due now. The others are found as what
    /// is due is.
    pub(super) async fn adopt_orphans(&self) -> Result<(), store::Error> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        if !self.queue.has_orphans.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let adopted = self.try_adopt_orphans(cluster).await;
        if adopted.is_err() {
            self.queue.has_orphans.store(true, Ordering::Release);
        }
        adopted
    }

    async fn try_adopt_orphans(&self, cluster: &Cluster) -> Result<(), store::Error> {
        const ROWS_PER_PAGE: usize = 256;
        let mut range = keys::all(keys::Subspace::QueueDue);
        range.start = keys::queue_due_before(self.queue_now().saturating_add(1)).end;
        loop {
            let page = Page::first(range.clone(), ROWS_PER_PAGE);
            let rows = self.engine.scan(page).await?;
            for (key, value) in &rows {
                // One that can't be read is told of when it is due.
                let Some((_, account, submission)) = keys::decode_queue_due(key) else {
                    continue;
                };
                let lease = Lease::decode(key, value);
                if lease.is_none_or(|lease| cluster.is_alive(lease.owner)) {
                    continue;
                }
                match self.change_held((account, submission), Step::Adopt).await {
                    // Its owner lives after all, or another node has it.
                    Ok(_) | Err(store::Error::Conflict | store::Error::Corrupt { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// Puts a row aside whose key can't be read (Invariant 5): the others have their turn.
    pub(super) async fn put_row_aside(&self, key: &Bytes, value: &Bytes) {
        let row = keys::describe(key);
        if let Err(error) = self.try_put_aside(key, value).await {
            tracing::error!(row, %error, "a row of the queue can't be read");
            return;
        }
        tracing::error!(
            row,
            "a row of the queue can't be read, and is in the quarantine; posthorn check --repair puts its submission in line again"
        );
    }

    async fn try_put_aside(&self, key: &Bytes, value: &Bytes) -> Result<(), store::Error> {
        let place = keys::quarantine(key);
        let known = self.engine.get(&place).await?;
        let aside = Aside {
            key: key.to_vec(),
            octets: value.to_vec(),
            reason: Code::KeyShape.name().to_owned(),
            at: self.clock.now().0,
        };
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key.to_vec(), value.clone()));
        batch.assert(match &known {
            Some(known) => Assertion::Equals(place.clone(), known.clone()),
            None => Assertion::Absent(place.clone()),
        });
        batch.delete(key.to_vec());
        quarantine::put(&mut batch, place, known.as_ref(), aside);
        Ok(self.engine.commit(batch).await?)
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
