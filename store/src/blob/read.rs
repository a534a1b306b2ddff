//! Reading blobs, wherever their octets are.
//!
//! Holds: what comes back has the hash that it is asked for by, or was decrypted as such; what can't be had now is an
//! error that says so, and never a blob that isn't there. Octets that are damaged are noted in the quarantine, and stay.
//! Other half: `engine`, which sends all reading of the subspace `Blob` through here.

use std::{collections::HashSet, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;

use super::{
    cache::Cache,
    hash,
    keyring::SharedKeyring,
    outside::{Outside, OutsideError},
    seal::{NotAuthentic, Seal},
    stub::{BlobStub, ObjectName},
};
use crate::{
    engine::{Batch, Engine, EngineError},
    keys::{self, BlobHash},
    record::hex,
};

/// Blobs that are read at once for one caller.
const READS_AT_ONCE: usize = 8;
/// From so many octets on, hashing and decryption leave the network's threads alone.
const INLINE_OCTETS: u64 = 1 << 20;
/// Blobs from this size on are read in parts, where a part is wanted.
const IN_PARTS_OCTETS: u64 = 512 << 10;
/// Damaged blobs that a process notes.
const NOTED_MAX: usize = 1000;
/// How often an object is fetched, if what comes isn't what was stored.
const FETCHES: usize = 2;
/// How often a blob may be moved while it is read.
const MOVES_MAX: usize = 8;

/// What the row and the stub of a blob are.
pub(super) type Rows = (Bytes, Option<Bytes>);

#[derive(Debug)]
pub(super) struct Reader {
    pub inner: Arc<dyn Engine>,
    pub outside: Option<Outside>,
    pub cache: Option<Arc<Cache>>,
    pub keyring: SharedKeyring,
    noted: Mutex<HashSet<BlobHash>>,
}

/// Why octets could not be had.
enum Trouble {
    /// Now; later they may be.
    Unavailable(EngineError),
    Damaged(String),
}

impl Reader {
    pub fn new(
        inner: Arc<dyn Engine>,
        outside: Option<Outside>,
        cache: Option<Arc<Cache>>,
        keyring: SharedKeyring,
    ) -> Reader {
        Reader {
            inner,
            outside,
            cache,
            keyring,
            noted: Mutex::default(),
        }
    }

    /// The octets of a blob; `None` if it was collected meanwhile.
    pub async fn blob(
        &self,
        hash: &BlobHash,
        mut rows: Rows,
    ) -> Result<Option<Bytes>, EngineError> {
        let mut why = String::new();
        for _ in 0..MOVES_MAX {
            match self.read(hash, rows.0.clone(), rows.1.as_ref()).await {
                Ok(octets) => return Ok(Some(octets)),
                Err(Trouble::Unavailable(error)) => return Err(error),
                Err(Trouble::Damaged(found)) => why = found,
            }
            // A snapshot, or who has read the rows one after the other, may know an object that is no more: the octets
            // have been moved, and are the same where they are now.
            let Some(now) = self.rows(hash).await? else {
                return Ok(None);
            };
            if now == rows {
                break;
            }
            rows = now;
        }
        self.note(hash, &why).await;
        Err(EngineError::Corrupt(
            format!("blob {}: {why}", hex(hash)).into(),
        ))
    }

    /// As [`Reader::blob`] for many, in their order. One that is damaged is logged, and `None`: the others are there.
    pub async fn blobs(
        &self,
        wanted: Vec<Option<(BlobHash, Rows)>>,
    ) -> Result<Vec<Option<Bytes>>, EngineError> {
        let read = wanted.into_iter().map(|wanted| async move {
            let Some((hash, rows)) = wanted else {
                return Ok(None);
            };
            match self.blob(&hash, rows).await {
                Err(error @ EngineError::Corrupt(_)) => {
                    tracing::error!(%error, "a blob is left out");
                    Ok(None)
                }
                result => result,
            }
        });
        let results = stream::iter(read).buffered(READS_AT_ONCE);
        results.try_collect().await
    }

    /// A range of a blob, which is cut off at its end.
    pub async fn range(
        &self,
        hash: &BlobHash,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, EngineError> {
        let Some((row, stub)) = self.rows(hash).await? else {
            return Ok(None);
        };
        if let Some(octets) = self.part(hash, &range, &row, stub.as_ref()).await? {
            return Ok(Some(octets));
        }
        let whole = self.blob(hash, (row, stub)).await?;
        Ok(whole.map(|octets| {
            let end = range.end.min(octets.len() as u64);
            let start = range.start.min(end);
            octets.slice(start as usize..end as usize)
        }))
    }

    /// A range without the rest, where that saves something and can be verified: encrypted octets can, others have one hash
    /// for the whole. `None`: by way of the whole blob.
    async fn part(
        &self,
        hash: &BlobHash,
        range: &Range<u64>,
        row: &Bytes,
        stub: Option<&Bytes>,
    ) -> Result<Option<Bytes>, EngineError> {
        let Some(stub) = stub.and_then(|bytes| BlobStub::read(&keys::blob_stub(hash), bytes).ok())
        else {
            return Ok(None);
        };
        let Some(seal) = &stub.seal else {
            return Ok(None);
        };
        let keyring = self.keyring.now();
        let Some(key) = keyring.get(&seal.key) else {
            return Ok(None);
        };
        let end = range.end.min(stub.size);
        let range = range.start.min(end)..end;
        if stub.size < IN_PARTS_OCTETS || range.end - range.start > stub.size / 2 {
            return Ok(None);
        }
        let sealed = seal.sealed_range(range.clone(), stub.size);
        let chunks = match stub.object(hash) {
            None => row
                .get(sealed.start as usize..sealed.end as usize)
                .map(|part| row.slice_ref(part)),
            Some(name) => match (self.near(name).await, &self.outside) {
                (Some(stored), _) => stored
                    .get(sealed.start as usize..sealed.end as usize)
                    .map(|part| stored.slice_ref(part)),
                (None, Some(outside)) => outside.get_range(&name, sealed).await.ok(),
                (None, None) => None,
            },
        };
        // Whatever is wrong, the way by the whole blob finds out.
        let opened =
            chunks.and_then(|chunks| seal.open_range(key, hash, stub.size, range, &chunks).ok());
        Ok(opened)
    }

    /// The row and the stub of a blob as they are now.
    pub async fn rows(&self, hash: &BlobHash) -> Result<Option<Rows>, EngineError> {
        let keys = [keys::blob(hash), keys::blob_stub(hash)];
        let mut rows = self.inner.multi_get(&keys).await?.into_iter();
        let (row, stub) = (rows.next().flatten(), rows.next().flatten());
        Ok(row.map(|row| (row, stub)))
    }

    async fn read(
        &self,
        hash: &BlobHash,
        row: Bytes,
        stub: Option<&Bytes>,
    ) -> Result<Bytes, Trouble> {
        let Some(stub) = stub else {
            return self.plain(hash, row);
        };
        let stub = BlobStub::read(&keys::blob_stub(hash), stub)
            .map_err(|error| Trouble::Damaged(error.to_string()))?;
        let Some(name) = stub.object(hash) else {
            return self.unsealed(hash, &stub, row).await;
        };
        if let Some(stored) = self.near(name).await {
            match self.unsealed(hash, &stub, stored).await {
                Err(Trouble::Damaged(_)) => self.forget(name).await,
                result => return result,
            }
        }
        let Some(outside) = &self.outside else {
            let why = "the blob is in an object store, and none is configured for this server";
            return Err(Trouble::Unavailable(EngineError::Unavailable(why.into())));
        };
        let mut outcome = Err(Trouble::Damaged(String::new()));
        for _ in 0..FETCHES {
            let stored = match outside.get(&name, stub.stored_octets()).await {
                Ok(stored) => stored,
                Err(error @ (OutsideError::Missing(_) | OutsideError::WrongSize(_))) => {
                    return Err(Trouble::Damaged(error.to_string()));
                }
                Err(error @ OutsideError::Unavailable(_)) => {
                    return Err(Trouble::Unavailable(EngineError::Unavailable(
                        error.to_string().into(),
                    )));
                }
            };
            outcome = self.unsealed(hash, &stub, stored.clone()).await;
            match &outcome {
                Err(Trouble::Damaged(_)) => {}
                Err(Trouble::Unavailable(_)) => return outcome,
                Ok(_) => {
                    self.keep_near(name, stored).await;
                    return outcome;
                }
            }
        }
        outcome
    }

    /// A row without a stub. Who reads row and stub one after the other may have a row that was written with a stub.
    fn plain(&self, hash: &BlobHash, row: Bytes) -> Result<Bytes, Trouble> {
        let is_doubtful = row.is_empty() || Seal::is_one(&row);
        if is_doubtful && super::hash(&row) != *hash {
            let why = "there are no octets, and nothing says where they are";
            return Err(Trouble::Damaged(why.into()));
        }
        Ok(row)
    }

    async fn unsealed(
        &self,
        hash: &BlobHash,
        stub: &BlobStub,
        stored: Bytes,
    ) -> Result<Bytes, Trouble> {
        let key = match &stub.seal {
            None => None,
            Some(seal) => match self.keyring.now().get(&seal.key) {
                Some(key) => Some((seal.clone(), key.clone())),
                None => return Err(Trouble::Unavailable(unknown_key(&seal.key))),
            },
        };
        let (name, size) = (*hash, stub.size);
        let is_long = stored.len() as u64 > INLINE_OCTETS;
        let open = move || match key {
            Some((seal, key)) => seal
                .open(&key, &name, size, &stored)
                .map_err(|NotAuthentic| format!("key {}: {NotAuthentic}", seal.key))
                // Of two nodes that write one blob at once, one may encrypt and the other not.
                .or_else(|why| plain_if(stored, &name).ok_or(why)),
            None => plain_if(stored, &name)
                .ok_or_else(|| "the octets are not those that were stored".to_owned()),
        };
        let opened = match is_long {
            false => open(),
            true => match tokio::task::spawn_blocking(open).await {
                Ok(opened) => opened,
                Err(_) => {
                    let why = "the server is stopping";
                    return Err(Trouble::Unavailable(EngineError::Unavailable(why.into())));
                }
            },
        };
        opened.map_err(Trouble::Damaged)
    }

    async fn near(&self, name: ObjectName) -> Option<Bytes> {
        match &self.cache {
            Some(cache) => cache.get(name).await,
            None => None,
        }
    }

    pub async fn keep_near(&self, name: ObjectName, stored: Bytes) {
        if let Some(cache) = &self.cache {
            cache.put(name, stored).await;
        }
    }

    pub async fn forget(&self, name: ObjectName) {
        if let Some(cache) = &self.cache {
            cache.forget(name).await;
        }
    }

    /// Notes a damaged blob in the quarantine, once.
    async fn note(&self, hash: &BlobHash, why: &str) {
        tracing::error!(blob = hex(hash), why, "a blob is damaged");
        {
            let mut noted = self.noted.lock();
            if noted.len() >= NOTED_MAX || !noted.insert(*hash) {
                return;
            }
        }
        let mut batch = Batch::new();
        batch.put(keys::quarantine(&keys::blob(hash)), why.to_owned());
        if let Err(error) = self.inner.commit(batch).await {
            tracing::warn!(%error, "the quarantine can't be written");
            self.noted.lock().remove(hash);
        }
    }
}

pub(super) fn unknown_key(id: &str) -> EngineError {
    let why = format!("blobs are encrypted by the key \"{id}\", which isn't configured");
    EngineError::Unavailable(why.into())
}

fn plain_if(stored: Bytes, name: &BlobHash) -> Option<Bytes> {
    (hash(&stored) == *name).then_some(stored)
}
