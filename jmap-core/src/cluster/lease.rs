//! Work that one node does at a time.
//!
//! Holds: a lease is its node's while the node is in the registry with the epoch that the lease names; whoever takes it over changes its
//! row, so that what the former owner still writes under the old one is refused.
//! Other half: `registry` says who lives.

use store::{
    Record as _,
    engine::{Assertion, Batch},
    keys,
};

use super::{Cluster, LeaseRecord};
use crate::Core;

/// Clearing away: uploads, blobs, traces, accounts, what was left half-done.
pub(crate) const UPKEEP: &str = "upkeep";
/// Reports to other servers.
pub(crate) const REPORTS: &str = "reports";
/// Repair of the store.
pub(crate) const REPAIR: &str = "repair";
/// Backups that nobody has to ask for.
pub(crate) const BACKUP: &str = "backup";
/// Begins the name of the work on a certificate; its name follows.
pub(crate) const CERTIFICATE: &str = "certificate/";
/// Webhooks.
pub(crate) const WEBHOOKS: &str = "webhooks";
/// Push subscriptions.
pub(crate) const PUSH: &str = "push";

impl Cluster {
    /// Takes a lease, or keeps it: what must be true of whatever is done under it. `None`: it is another node's.
    pub(crate) async fn lease(&self, work: &str) -> Result<Option<Assertion>, store::Error> {
        // A machine that has slept, or whose clock was set, isn't dead.
        let Some(epoch) = self.living_epoch().await? else {
            return Ok(None);
        };
        let key = keys::lease(work);
        let found = self.engine.get(&key).await?;
        let record = match &found {
            Some(bytes) => LeaseRecord::from_bytes(&key, bytes)?,
            None => LeaseRecord::default(),
        };
        if let Some(bytes) = &found {
            if (record.session, record.epoch) == (self.session(), epoch) {
                return Ok(Some(Assertion::Equals(key, bytes.clone())));
            }
            if self.has_epoch(record.session, record.epoch) {
                return Ok(None);
            }
            // It may have joined a moment ago.
            self.look_around().await?;
            if self.has_epoch(record.session, record.epoch) {
                return Ok(None);
            }
        }
        let mine = LeaseRecord {
            session: self.session(),
            epoch,
            token: record.token + 1,
        };
        let mine = mine.to_bytes();
        let mut batch = Batch::new();
        batch.assert(match found {
            Some(bytes) => Assertion::Equals(key.clone(), bytes),
            None => Assertion::Absent(key.clone()),
        });
        batch.put(key.clone(), mine.clone());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => Ok(Some(Assertion::Equals(key, mine))),
            Err(store::Error::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Nobody has a lease with this session.
const NOBODY: u64 = 0;

impl Cluster {
    /// Gives a lease back. It keeps its number, so that what was done under it isn't taken for what is done under the next one.
    pub(crate) async fn give_back(
        &self,
        work: &str,
        lease: &Assertion,
    ) -> Result<(), store::Error> {
        let Assertion::Equals(key, bytes) = lease else {
            return Ok(());
        };
        let record = LeaseRecord {
            session: NOBODY,
            ..LeaseRecord::from_bytes(key, bytes)?
        };
        let mut batch = Batch::new();
        batch.assert(lease.clone());
        batch.put(keys::lease(work), record.to_bytes());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            // It was another one's already.
            Err(store::Error::Conflict) => Ok(()),
            done => done,
        }
    }

    /// Which living process has each of these leases, as of the last look around.
    pub(crate) async fn holders(&self, works: &[String]) -> Result<Vec<Option<u64>>, store::Error> {
        let rows: Vec<_> = works.iter().map(|work| keys::lease(work)).collect();
        let found = self.engine.multi_get(&rows).await?;
        let mut holders = Vec::with_capacity(rows.len());
        for (key, bytes) in rows.iter().zip(found) {
            let record = bytes.map(|bytes| LeaseRecord::from_bytes(key, &bytes));
            let record = record.transpose()?;
            let is_living = |of: &LeaseRecord| {
                of.session == self.session() || self.has_epoch(of.session, of.epoch)
            };
            let living = record.filter(is_living);
            holders.push(living.map(|of| of.session));
        }
        Ok(holders)
    }
}

impl Core {
    /// Whether some work is this node's. Without other nodes, everything is.
    pub(crate) async fn leads(&self, work: &str) -> Result<bool, store::Error> {
        match &self.cluster {
            None => Ok(true),
            Some(cluster) => Ok(cluster.lease(work).await?.is_some()),
        }
    }
}
