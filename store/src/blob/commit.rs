//! Commits with blobs: the octets are put away first, then the batch is committed that says where.
//!
//! Holds: an object is acknowledged by its place before the commit that names it begins; two uploads never share a name,
//! so removing what one was replaced by can't hit another; an object that a stub named goes to the garbage in the batch
//! that changes the stub. What an upload leaves behind whose commit never came is found by the listing of `collect`.
//! Other half: `engine::Engine::commit` of the inner engine.

use std::{collections::HashMap, sync::atomic::Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{
    engine::BlobEngine,
    registry::Need,
    seal::Seal,
    stub::{BlobStub, ObjectName},
};
use crate::{
    Error,
    engine::{Assertion, Batch, CommitError, EngineError, Key, KeyRange, Write},
    keys::{self, BlobHash, Subspace},
};

/// How often a commit is tried when stubs change under it.
const TRIES: usize = 16;
/// Uploads that wait for their callers to try again; of more, the others are left for the collection.
pub const SPARE_MAX: usize = 1024;
/// For how long they wait. Much less than the age at which an object that nothing names is removed.
const SPARE_MS: u64 = 600_000;
/// Uploads at once, of one batch.
const UPLOADS_AT_ONCE: usize = 8;
/// From so many octets on, encryption leaves the network's threads alone.
const INLINE_OCTETS: usize = 1 << 20;

/// Which writes of a batch are about blobs.
pub(super) struct Plan {
    /// For each blob, the number of its last write.
    last: HashMap<BlobHash, usize>,
}

/// What is to be written for a blob.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    row: Bytes,
    stub: Option<BlobStub>,
}

/// An upload whose commit didn't come to pass.
#[derive(Debug)]
pub(super) struct Spare {
    prepared: Prepared,
    since_ms: u64,
}

impl Spare {
    fn is_fresh(&self, now_ms: u64) -> bool {
        (self.since_ms..self.since_ms.saturating_add(SPARE_MS)).contains(&now_ms)
    }
}

impl Plan {
    /// `None`: the batch has nothing to do with blobs.
    pub fn of(batch: &Batch) -> Option<Plan> {
        let mut last: HashMap<BlobHash, usize> = HashMap::new();
        let mut has_range = false;
        for (index, write) in batch.writes.iter().enumerate() {
            match write {
                Write::Put(key, _) | Write::Delete(key) => {
                    if let Some(hash) = keys::decode_blob(key) {
                        last.insert(hash, index);
                    }
                }
                Write::DeleteRange(range) if stubs_of(range).is_some() => {
                    has_range = true;
                    last.retain(|hash, _| !range.contains(&keys::blob(hash)));
                }
                Write::DeleteRange(_) | Write::Add(..) => {}
            }
        }
        (has_range || !last.is_empty()).then_some(Plan { last })
    }

    fn is_last(&self, hash: &BlobHash, index: usize) -> bool {
        self.last.get(hash) == Some(&index)
    }
}

/// The range of the stubs of a range of blobs, if there are blobs in it.
fn stubs_of(range: &KeyRange) -> Option<KeyRange> {
    let of = |key: &Key| {
        let mut key = key.clone();
        key[0] = Subspace::BlobStub as u8;
        key
    };
    let blobs = keys::all(Subspace::Blob);
    let start = range.start.clone().max(blobs.start);
    let end = range.end.clone().min(blobs.end.clone());
    if start >= end {
        return None;
    }
    let end = match end == blobs.end {
        true => vec![Subspace::BlobStub as u8 + 1],
        false => of(&end),
    };
    Some(of(&start)..end)
}

impl BlobEngine {
    pub(super) async fn commit_blobs(&self, batch: Batch, plan: Plan) -> Result<(), CommitError> {
        let prepared = self.prepare_all(&batch, &plan).await?;
        let outcome = self.commit_prepared(&batch, &plan, &prepared).await;
        let is_certain = match &outcome {
            Ok(()) => false,
            Err(CommitError::Conflict(_)) => true,
            // Behind a network it may have been applied.
            Err(CommitError::Engine(_)) => self.inner.is_exclusive(),
        };
        if is_certain {
            self.keep_spare(prepared);
        }
        outcome
    }

    async fn commit_prepared(
        &self,
        batch: &Batch,
        plan: &Plan,
        prepared: &HashMap<BlobHash, Prepared>,
    ) -> Result<(), CommitError> {
        let own = batch.assertions.len();
        let hashes: Vec<BlobHash> = plan.last.keys().copied().collect();
        let needs = self.needs(prepared);
        for _ in 0..TRIES {
            let stubs: Vec<Key> = hashes.iter().map(keys::blob_stub).collect();
            let old = match stubs.is_empty() {
                true => Vec::new(),
                false => self.inner.multi_get(&stubs).await?,
            };
            let old = hashes.iter().copied().zip(old).collect();
            let full = self.full_batch(batch, plan, prepared, &old, &needs);
            match self.inner.commit(full).await {
                Err(CommitError::Conflict(index)) if index >= own => {}
                outcome => return outcome,
            }
            for need in &needs {
                need.activate(&self.inner).await.map_err(commit_error)?;
            }
        }
        Err(CommitError::Conflict(own))
    }

    fn full_batch(
        &self,
        batch: &Batch,
        plan: &Plan,
        prepared: &HashMap<BlobHash, Prepared>,
        old: &HashMap<BlobHash, Option<Bytes>>,
        needs: &[Need],
    ) -> Batch {
        let mut full = Batch::new();
        full.assertions.clone_from(&batch.assertions);
        for need in needs {
            full.assert(need.assertion());
        }
        for (index, write) in batch.writes.iter().enumerate() {
            let blob = match write {
                Write::Put(key, _) | Write::Delete(key) => keys::decode_blob(key),
                Write::DeleteRange(_) | Write::Add(..) => None,
            };
            let Some(hash) = blob else {
                full.writes.push(write.clone());
                if let Write::DeleteRange(range) = write
                    && let Some(stubs) = stubs_of(range)
                {
                    full.delete_range(stubs);
                }
                continue;
            };
            if !plan.is_last(&hash, index) {
                continue;
            }
            let old = old.get(&hash).cloned().flatten();
            match prepared.get(&hash) {
                Some(prepared) => self.put(&mut full, &hash, prepared, old),
                None => self.delete(&mut full, &hash, old),
            }
        }
        full
    }

    /// Adds a blob as it was prepared, in place of what `old` says.
    pub(super) fn put(
        &self,
        batch: &mut Batch,
        hash: &BlobHash,
        prepared: &Prepared,
        old: Option<Bytes>,
    ) {
        batch.put(keys::blob(hash), prepared.row.clone());
        match &prepared.stub {
            Some(stub) => batch.put(keys::blob_stub(hash), crate::Record::to_bytes(stub)),
            // The most usual case costs nothing more. Should another node write a stub at this moment, then it is that
            // by which the blob is read, or what it says is found not to be true of the row.
            None if old.is_none() => return,
            None => batch.delete(keys::blob_stub(hash)),
        };
        self.replace(batch, hash, old);
    }

    fn delete(&self, batch: &mut Batch, hash: &BlobHash, old: Option<Bytes>) {
        batch.delete(keys::blob(hash)).delete(keys::blob_stub(hash));
        self.replace(batch, hash, old);
    }

    /// What the old stub named goes, and the batch is only applied if that is still the stub.
    fn replace(&self, batch: &mut Batch, hash: &BlobHash, old: Option<Bytes>) {
        let key = keys::blob_stub(hash);
        let Some(bytes) = old else {
            batch.assert(Assertion::Absent(key));
            return;
        };
        // One that can't be read names nothing that could be found.
        if let Ok(BlobStub {
            nonce: Some(nonce), ..
        }) = BlobStub::read(&key, &bytes)
        {
            let now = self.source.now_ms();
            batch.put(keys::blob_garbage(now, hash, &nonce), Bytes::new());
        }
        batch.assert(Assertion::Equals(key, bytes));
    }

    fn needs(&self, prepared: &HashMap<BlobHash, Prepared>) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        let stubs = prepared.values().filter_map(|of| of.stub.as_ref());
        for need in stubs.flat_map(|stub| self.needs_of(stub)) {
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
        needs
    }

    pub(super) fn needs_of(&self, stub: &BlobStub) -> Vec<Need> {
        Need::of_stub(stub, &self.keyring.now(), self.place)
    }

    async fn prepare_all(
        &self,
        batch: &Batch,
        plan: &Plan,
    ) -> Result<HashMap<BlobHash, Prepared>, CommitError> {
        let mut puts = Vec::new();
        for (hash, index) in &plan.last {
            if let Some(Write::Put(_, octets)) = batch.writes.get(*index) {
                puts.push((*hash, octets.clone()));
            }
        }
        let work = puts
            .into_iter()
            .map(|(hash, octets)| async move { (hash, self.prepare(&hash, octets).await) });
        let results: Vec<_> = stream::iter(work)
            .buffer_unordered(UPLOADS_AT_ONCE)
            .collect()
            .await;
        let mut prepared = HashMap::new();
        let mut failed = None;
        for (hash, result) in results {
            match result {
                Ok(of) => drop(prepared.insert(hash, of)),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            None => Ok(prepared),
            Some(error) => {
                self.keep_spare(prepared);
                Err(error.into())
            }
        }
    }

    /// Puts the octets of a blob where the settings say. What is outside is there for good when this returns.
    pub(super) async fn prepare(
        &self,
        hash: &BlobHash,
        octets: Bytes,
    ) -> Result<Prepared, EngineError> {
        if let Some(prepared) = self.take_spare(hash) {
            return Ok(prepared);
        }
        let size = octets.len() as u64;
        let (stored, seal) = self.sealed(hash, octets).await?;
        let outside = self.outside_from.filter(|from| size >= *from);
        let Some(outside) = outside.and_then(|_| self.outside()) else {
            let stub = seal.map(|seal| BlobStub {
                size,
                nonce: None,
                seal: Some(seal),
            });
            return Ok(Prepared { row: stored, stub });
        };
        let mut nonce = [0; 16];
        self.source.fill(&mut nonce);
        let name = ObjectName { hash: *hash, nonce };
        let put = outside.put(&name, stored.clone()).await;
        self.fails.store(put.is_err(), Ordering::Relaxed);
        put.map_err(|error| EngineError::Unavailable(error.to_string().into()))?;
        // What has just come is what is asked for next.
        self.reader.keep_near(name, stored).await;
        Ok(Prepared {
            row: Bytes::new(),
            stub: Some(BlobStub {
                size,
                nonce: Some(nonce),
                seal,
            }),
        })
    }

    async fn sealed(
        &self,
        hash: &BlobHash,
        octets: Bytes,
    ) -> Result<(Bytes, Option<Seal>), EngineError> {
        let keyring = self.keyring.now();
        let Some((id, key)) = keyring.newest() else {
            return Ok((octets, None));
        };
        let mut salt = [0; 32];
        self.source.fill(&mut salt);
        let seal = Seal::new(id, salt);
        if octets.len() <= INLINE_OCTETS {
            return Ok((seal.seal(key, hash, &octets), Some(seal)));
        }
        let (of, key, hash) = (seal.clone(), key.clone(), *hash);
        let sealed = tokio::task::spawn_blocking(move || of.seal(&key, &hash, &octets)).await;
        let sealed =
            sealed.map_err(|_| EngineError::Unavailable("the server is stopping".into()))?;
        Ok((sealed, Some(seal)))
    }

    fn take_spare(&self, hash: &BlobHash) -> Option<Prepared> {
        let spare = self.spare.lock().remove(hash)?;
        spare
            .is_fresh(self.source.now_ms())
            .then_some(spare.prepared)
    }

    /// Only for what is certainly in no commit.
    fn keep_spare(&self, prepared: HashMap<BlobHash, Prepared>) {
        let mut spare = self.spare.lock();
        let since_ms = self.source.now_ms();
        for (hash, prepared) in prepared {
            let is_object = prepared.stub.as_ref().is_some_and(|of| of.nonce.is_some());
            if !is_object {
                continue;
            }
            if spare.len() >= SPARE_MAX {
                spare.retain(|_, of| of.is_fresh(since_ms));
            }
            if spare.len() < SPARE_MAX {
                spare.insert(hash, Spare { prepared, since_ms });
            }
        }
    }
}

impl Prepared {
    pub fn stub(&self) -> Option<&BlobStub> {
        self.stub.as_ref()
    }
}

pub(super) fn commit_error(error: Error) -> CommitError {
    match error {
        Error::Engine(error) => CommitError::Engine(error),
        Error::Conflict => CommitError::Conflict(usize::MAX),
        other => CommitError::Engine(EngineError::Corrupt(other.to_string().into())),
    }
}
