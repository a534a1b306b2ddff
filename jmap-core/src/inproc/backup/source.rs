//! A server as a backup reads it.
//!
//! Holds: the hold is committed before the snapshot is taken, so that what the snapshot refers to stays; rows come in the order of their
//! keys, without those that mean something only to a process that lives.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use store::{
    engine::{Assertion, Batch, Engine, EngineError, KeyRange, Page, Snapshot},
    keys::{self, BlobHash, Subspace},
    numbers,
};

use super::BEAT;
use crate::{Caller, Core, access, directory::DirectoryError};

/// Rows that one page of reading takes.
const ROWS_PER_PAGE: usize = 500;

/// What a backup doesn't have: blobs come by themselves; which are to be collected is found out anew; after a restore nobody may go on from
/// an older state, so the log has no use; the others are of processes and of indexes that are somewhere else, of challenges and codes
/// that nobody waits for any more, and of events and alerts that were told then.
const LEFT_OUT: &[Subspace] = &[
    Subspace::Log,
    Subspace::Blob,
    Subspace::BlobCandidate,
    Subspace::SearchPending,
    Subspace::SearchCursor,
    Subspace::SearchShard,
    Subspace::SearchIndexed,
    Subspace::Node,
    Subspace::Lease,
    Subspace::Turn,
    Subspace::Backup,
    Subspace::Challenge,
    Subspace::OAuthPending,
    Subspace::WebhookDue,
    Subspace::WebhookDone,
    Subspace::Alert,
];

/// Rows whose keys begin with a hash, so that new ones come in between others at random.
const AT_RANDOM: &[Subspace] = &[Subspace::BlobRef, Subspace::Summary, Subspace::Structure];

/// Keys that begin with this octet have the hash of a blob behind it.
#[derive(Clone, Copy, Debug, Default)]
pub struct References;

impl References {
    pub const FIRST_OCTET: u8 = Subspace::BlobRef as u8;
}

/// A server at one moment.
pub struct Source {
    engine: Arc<dyn Engine>,
    snapshot: Option<Arc<dyn Snapshot>>,
    /// What has not been read yet, the next one last.
    ranges: Vec<KeyRange>,
    /// Hashes of what the rows refer to, in their order.
    blobs: Vec<BlobHash>,
    hold: Hold,
    /// When the snapshot was taken, in seconds since 1970.
    pub time: i64,
    pub hostname: String,
    pub accounts: u64,
    pub emails: u64,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Begins to read all that the server has.
    pub async fn begin_backup(&self, who: &Caller) -> Result<Source, DirectoryError> {
        access::may_run(who, access::Operation::Backup)?;
        let hold = Hold::take(&self.engine, self.rng.next_u64()).await?;
        let time = self.clock.now().seconds();
        let snapshot = self.engine.snapshot().await.map_err(store::Error::from)?;
        Ok(Source {
            engine: self.engine.clone(),
            snapshot: Some(snapshot),
            ranges: ranges(),
            blobs: Vec::new(),
            hold,
            time,
            hostname: self.hostname().to_string(),
            accounts: 0,
            emails: 0,
        })
    }
}

/// All keys but those that are left out; the first range last.
fn ranges() -> Vec<KeyRange> {
    let mut left_out: Vec<u8> = LEFT_OUT.iter().map(|subspace| *subspace as u8).collect();
    left_out.sort_unstable();
    let mut ranges = Vec::new();
    let mut start = vec![0];
    for octet in left_out {
        ranges.push(start..vec![octet]);
        start = vec![octet + 1];
    }
    ranges.push(start..vec![0xff; 64]);
    ranges.reverse();
    ranges
}

impl Source {
    /// The next rows; `None` after the last, and then the snapshot is no longer needed.
    pub async fn next_rows(&mut self) -> Result<Option<Vec<(Bytes, Bytes)>>, store::Error> {
        while let (Some(snapshot), Some(range)) = (&self.snapshot, self.ranges.last_mut()) {
            let mut rows = snapshot
                .scan(Page::first(range.clone(), ROWS_PER_PAGE))
                .await?;
            match rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) {
                Some((last, _)) => range.start = [last, &[0u8][..]].concat(),
                None => drop(self.ranges.pop()),
            }
            for (key, _) in &rows {
                self.note(key);
            }
            rows.retain(|(key, _)| self.is_wanted(key));
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        self.snapshot = None;
        Ok(None)
    }

    fn note(&mut self, key: &[u8]) {
        if let Some((hash, ..)) = keys::decode_blob_ref(key) {
            if self.blobs.last() != Some(&hash) {
                self.blobs.push(hash);
            }
        } else if keys::decode_account(key).is_some() {
            self.accounts += 1;
        } else if let Some((_, jmap_types::DataType::Email, _)) = keys::decode_object(key) {
            self.emails += 1;
        }
    }

    fn is_wanted(&self, key: &[u8]) -> bool {
        // What is derived from a blob goes with it: one that nothing refers to is about to be collected.
        if let Some(hash) = keys::decode_summary(key).or_else(|| keys::decode_structure(key)) {
            return self.blobs.binary_search(&hash).is_ok();
        }
        // How blobs are kept is a matter of the place where they are.
        key != keys::meta(super::whole::MARK)
            && key != keys::meta("probe")
            && !store::blob::is_of_place(key)
    }

    /// Whether rows with such keys come in at random between others.
    pub fn is_at_random(key: &[u8]) -> bool {
        let first = key.first();
        AT_RANDOM
            .iter()
            .any(|subspace| first == Some(&(*subspace as u8)))
    }

    /// What the rows refer to, once they were read: 32 octets of memory for each blob of the server.
    pub fn take_blobs(&mut self) -> Vec<BlobHash> {
        std::mem::take(&mut self.blobs)
    }

    /// The octets of a blob; `None`: the store has lost it.
    pub async fn blob(&self, hash: &BlobHash) -> Result<Option<Bytes>, store::Error> {
        store::blob::get(&self.engine, hash).await
    }

    /// Whether blobs have been kept until now: another node may have taken this one for dead.
    pub async fn check_hold(&self) -> Result<bool, store::Error> {
        Ok(self.engine.contains(&self.hold.key).await?)
    }

    /// Blobs may be collected again.
    pub async fn end(self) -> Result<(), store::Error> {
        self.hold.release().await
    }
}

/// Keeps blobs from being collected until it is released or dropped.
struct Hold {
    engine: Arc<dyn Engine>,
    key: Vec<u8>,
    beating: tokio::task::JoinHandle<()>,
    is_released: bool,
}

impl Hold {
    async fn take(engine: &Arc<dyn Engine>, number: u64) -> Result<Self, store::Error> {
        let key = keys::backup_hold(number);
        let mut batch = Batch::new();
        batch.assert(Assertion::Absent(key.clone()));
        batch.put(key.clone(), numbers(&[0]));
        engine.commit(batch).await?;
        Ok(Self {
            engine: engine.clone(),
            beating: tokio::spawn(beat(engine.clone(), key.clone(), BEAT)),
            key,
            is_released: false,
        })
    }

    async fn release(mut self) -> Result<(), store::Error> {
        self.is_released = true;
        self.beating.abort();
        // A beat that is under way would find it gone, and leaves it so.
        let _ = (&mut self.beating).await;
        delete(&self.engine, &self.key).await
    }
}

async fn delete(engine: &Arc<dyn Engine>, key: &[u8]) -> Result<(), store::Error> {
    let mut batch = Batch::new();
    batch.delete(key.to_vec());
    Ok(engine.commit(batch).await?)
}

async fn beat(engine: Arc<dyn Engine>, key: Vec<u8>, every: Duration) {
    for number in 1.. {
        tokio::time::sleep(every).await;
        let mut batch = Batch::new();
        batch.assert(Assertion::Present(key.clone()));
        batch.put(key.clone(), numbers(&[number]));
        match engine.commit(batch).await {
            Ok(()) => {}
            Err(store::engine::CommitError::Conflict(_)) => return,
            Err(store::engine::CommitError::Engine(error)) => warn(&error),
        }
    }
}

fn warn(error: &EngineError) {
    tracing::warn!(%error, "blobs that a backup reads could not be kept from being collected");
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.beating.abort();
        if self.is_released {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (engine, key) = (self.engine.clone(), std::mem::take(&mut self.key));
            runtime.spawn(async move {
                // Otherwise it goes when nobody has seen it move for a while.
                let _ = delete(&engine, &key).await;
            });
        }
    }
}
