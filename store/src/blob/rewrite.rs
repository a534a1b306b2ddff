//! Where blobs are and by which keys they are encrypted; and bringing all of them to what the settings say now.
//!
//! Holds: at every moment each blob is readable, as it was or as it is to be; what was done stays done when it is stopped,
//! and the next run goes on from there. A key or a place is given up only when no stub needs it.
//! Other half: `registry` says what the store needs to be opened.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use minicbor::{Decode, Encode};

use super::{
    engine::BlobEngine,
    packs::PackRecord,
    registry::{self, Need},
    stub::BlobStub,
};
use crate::{
    Error, Record,
    engine::{Assertion, Batch, EngineError, Key, KeyRange, Page},
    keys::{self, BlobHash, ShardRow, Subspace},
    record::hex,
    shards::Manifest,
};

/// Rows that are read together.
const ROWS_PER_PAGE: usize = 500;
/// Blobs after which it is written down how far it is.
const BLOBS_PER_MARK: u64 = 100;
/// How often a blob is tried that others change at the same time.
const TRIES: usize = 16;
/// Blobs that can't be rewritten and are named; more are counted.
const NAMED_MAX: usize = 20;
/// Problems that a check tells.
const PROBLEMS_MAX: usize = 1000;
const MARK: &str = "blob-rewrite";

/// How many blobs, and their octets where they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub blobs: u64,
    pub octets: u64,
}

/// What is where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// In the engine, not encrypted. Their octets aren't known.
    pub plain: u64,
    /// By whether they are outside, and by the id of the key.
    pub stubs: BTreeMap<(bool, Option<String>), Count>,
    /// Stubs that can't be read.
    pub damaged: u64,
    /// Objects outside that wait to be removed.
    pub garbage: u64,
    /// Objects of the search index.
    pub search: Count,
    /// Keys that they are encrypted by.
    pub search_keys: BTreeSet<String>,
    /// Keys that the store needs to be opened.
    pub keys: Vec<String>,
    /// Something may be outside.
    pub has_place: bool,
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub looked_at: u64,
    pub rewritten: u64,
    /// Blobs that are damaged, in hexadecimal: [`NAMED_MAX`] at most.
    pub damaged: Vec<String>,
    pub damaged_count: u64,
    /// Keys that the store doesn't need any more.
    pub retired_keys: Vec<String>,
    /// Nothing is outside any more.
    pub retired_place: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error("blobs are being rewritten already")]
    UnderWay,
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<EngineError> for RewriteError {
    fn from(error: EngineError) -> Self {
        Self::Store(error.into())
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RewriteMark {
    /// What it rewrites to: another aim begins anew.
    #[n(0)]
    pub aim: String,
    /// Blobs up to this one are done.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub done: BlobHash,
}

impl Record for RewriteMark {
    const KIND: &'static str = "mark of rewriting blobs";
}

impl BlobEngine {
    /// Counts all blobs by their place and key.
    pub async fn census(&self, progress: &(dyn Fn(u64) + Send + Sync)) -> Result<Census, Error> {
        let mut census = Census::default();
        let mut walk = Walk::from(None);
        let mut count = 0;
        while let Some((hash, bytes)) = walk.next(self).await? {
            count += 1;
            progress(count);
            match stub_of(&hash, bytes.as_ref()) {
                Ok(None) => census.plain += 1,
                Err(_) => census.damaged += 1,
                Ok(Some(stub)) => {
                    let place = (stub.nonce.is_some(), stub.key().map(str::to_owned));
                    let of = census.stubs.entry(place).or_default();
                    of.blobs += 1;
                    of.octets += stub.size;
                }
            }
        }
        let mut range = keys::all(Subspace::BlobGarbage);
        while let Some(rows) = page(self, &mut range).await? {
            census.garbage += rows.len() as u64;
        }
        let mut range = keys::all(Subspace::SearchShard);
        while let Some(rows) = page(self, &mut range).await? {
            for pack in rows.iter().flat_map(|(key, bytes)| packs(key, bytes)) {
                census.search.blobs += 1;
                census.search.octets += pack.stored_octets();
                census.search_keys.extend(pack.seal.map(|seal| seal.key));
            }
        }
        census.keys = registry::keys_in_use(&self.inner)
            .await?
            .into_keys()
            .collect();
        census.has_place = registry::place_in_use(&self.inner).await?.is_some();
        Ok(census)
    }

    /// Brings every blob to where, and under which key, a new one would be written now. May be dropped at any moment.
    pub async fn rewrite(
        &self,
        progress: &(dyn Fn(&Rewritten) + Send + Sync),
    ) -> Result<Rewritten, RewriteError> {
        let Ok(_turn) = self.rewriting.try_lock() else {
            return Err(RewriteError::UnderWay);
        };
        let retiring = self.mark_retiring().await?;
        let mut done = Rewritten::default();
        let aim = self.aim();
        let mut walk = Walk::from(self.marked(&aim).await?);
        while let Some((hash, bytes)) = walk.next(self).await? {
            done.looked_at += 1;
            progress(&done);
            match self.rewrite_one(&hash, bytes).await {
                Ok(true) => done.rewritten += 1,
                Ok(false) => {}
                // What is damaged stays as it is; the others go on.
                Err(Error::Corrupt { .. } | Error::Engine(EngineError::Corrupt(_))) => {
                    done.damaged_count += 1;
                    if done.damaged.len() < NAMED_MAX {
                        done.damaged.push(hex(&hash));
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if done.looked_at.is_multiple_of(BLOBS_PER_MARK) {
                let mark = RewriteMark {
                    aim: aim.clone(),
                    done: hash,
                };
                let mut batch = Batch::new();
                batch.put(keys::meta(MARK), mark.to_bytes());
                self.inner.commit(batch).await.map_err(Error::from)?;
            }
        }
        let mut batch = Batch::new();
        batch.delete(keys::meta(MARK));
        self.inner.commit(batch).await.map_err(Error::from)?;
        self.retire(retiring, &mut done).await?;
        Ok(done)
    }

    /// What all blobs are to be.
    fn aim(&self) -> String {
        let keyring = self.keyring.now();
        let key = keyring.newest().map_or("", |(id, _)| id);
        let place = self.place.map(|place| hex(&place)).unwrap_or_default();
        match self.outside_from {
            Some(from) => format!("key={key} outside={place} from={from}"),
            None => format!("key={key}"),
        }
    }

    async fn marked(&self, aim: &str) -> Result<Option<BlobHash>, Error> {
        let key = keys::meta(MARK);
        let Some(bytes) = self.inner.get(&key).await? else {
            return Ok(None);
        };
        let mark = RewriteMark::from_bytes(&key, &bytes)?;
        Ok((mark.aim == aim).then_some(mark.done))
    }

    /// Whether it had to be changed.
    async fn rewrite_one(&self, hash: &BlobHash, mut bytes: Option<Bytes>) -> Result<bool, Error> {
        let keyring = self.keyring.now();
        let aimed_key = keyring.newest().map(|(id, _)| id);
        for _ in 0..TRIES {
            let stub = stub_of(hash, bytes.as_ref())?;
            let found = stub.as_ref();
            let size = found.map(|stub| stub.size);
            let is_right = |size: u64| {
                let outside = self.outside_from.is_some_and(|from| size >= from);
                found.is_some_and(|of| of.nonce.is_some()) == outside
                    && found.and_then(BlobStub::key) == aimed_key
            };
            if size.is_some_and(is_right)
                || (found.is_none() && aimed_key.is_none() && self.outside_from.is_none())
            {
                return Ok(false);
            }
            let Some((row, now)) = self.reader.rows(hash).await? else {
                return Ok(false);
            };
            if now == bytes {
                let octets = self.reader.blob(hash, (row, now.clone())).await?;
                let Some(octets) = octets else {
                    return Ok(false);
                };
                if is_right(octets.len() as u64) {
                    return Ok(false);
                }
                // Rows without a stub are read as they are; here it counts that they are right.
                if super::hash(&octets) != *hash {
                    return Err(damaged(hash));
                }
                if self.replace_with(hash, octets, now).await? {
                    return Ok(true);
                }
            }
            bytes = self.reader.rows(hash).await?.and_then(|(_, stub)| stub);
        }
        Err(Error::Conflict)
    }

    /// `false`: somebody else has changed it meanwhile.
    async fn replace_with(
        &self,
        hash: &BlobHash,
        octets: Bytes,
        old: Option<Bytes>,
    ) -> Result<bool, Error> {
        let prepared = self.prepare(hash, octets).await?;
        let mut batch = Batch::new();
        batch.assert(Assertion::Present(keys::blob(hash)));
        let needs = prepared.stub().map(|stub| self.needs_of(stub));
        let needs = needs.unwrap_or_default();
        for need in &needs {
            batch.assert(need.assertion());
        }
        self.put(&mut batch, hash, &prepared, old);
        match self.inner.commit(batch).await.map_err(Error::from) {
            Ok(()) => Ok(true),
            Err(Error::Conflict) => {
                for need in &needs {
                    need.activate(&self.inner).await?;
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Stubs that can't be read, or that have no blob: keys, and a sentence for each.
    pub async fn check_stubs(&self) -> Result<Vec<(Key, &'static str)>, EngineError> {
        let mut problems = Vec::new();
        let mut range = keys::all(Subspace::BlobStub);
        while let Some(rows) = page(self, &mut range).await.map_err(engine_error)? {
            for (key, bytes) in rows {
                if problems.len() >= PROBLEMS_MAX {
                    return Ok(problems);
                }
                let Some(hash) = keys::decode_blob_stub(&key) else {
                    problems.push((key.to_vec(), "a key of BlobStub has the wrong shape"));
                    continue;
                };
                if BlobStub::read(&key, &bytes).is_err() {
                    problems.push((key.to_vec(), "what says where a blob is can't be read"));
                } else if !self.inner.contains(&keys::blob(&hash)).await?
                    && self.inner.contains(&key).await?
                    && !self.inner.contains(&keys::blob(&hash)).await?
                {
                    problems.push((key.to_vec(), "it is said where a blob is that isn't there"));
                }
            }
        }
        Ok(problems)
    }

    /// Marks what isn't to be needed afterwards.
    async fn mark_retiring(&self) -> Result<Vec<(Option<String>, Need)>, Error> {
        let keyring = self.keyring.now();
        let newest = keyring.newest().map(|(id, _)| id);
        let mut retiring = Vec::new();
        for id in registry::keys_in_use(&self.inner).await?.into_keys() {
            if newest != Some(&*id)
                && let Some(need) = Need::of_key(&id, &keyring)
            {
                retiring.push((Some(id), need));
            }
        }
        if let (Some(place), None) = (self.place, self.outside_from) {
            retiring.push((None, Need::of_place(place)));
        }
        for (_, need) in &retiring {
            need.mark_retiring(&self.inner).await?;
        }
        Ok(retiring)
    }

    /// Gives up what was marked, as far as no stub needs it.
    async fn retire(
        &self,
        retiring: Vec<(Option<String>, Need)>,
        done: &mut Rewritten,
    ) -> Result<(), Error> {
        if retiring.is_empty() {
            return Ok(());
        }
        let census = self.census(&|_| {}).await?;
        if census.damaged > 0 {
            return Ok(());
        }
        for (id, need) in retiring {
            let is_needed = match &id {
                Some(id) => {
                    census.search_keys.contains(id)
                        || census.stubs.keys().any(|(_, key)| key.as_ref() == Some(id))
                }
                None => census.garbage > 0 || census.stubs.keys().any(|(outside, _)| *outside),
            };
            if is_needed || !need.retire(&self.inner).await? {
                continue;
            }
            match id {
                Some(id) => done.retired_keys.push(id),
                None => done.retired_place = true,
            }
        }
        Ok(())
    }
}

/// The objects that a row about the search index names.
fn packs(key: &[u8], bytes: &[u8]) -> Vec<PackRecord> {
    let row = keys::decode_search_shard(key).map(|(_, _, row, _)| row);
    let is_manifest = row == Some(ShardRow::Manifest as u64);
    let manifest = is_manifest
        .then(|| Manifest::read(key, bytes).ok())
        .flatten();
    manifest.map(|of| of.packs).unwrap_or_default()
}

fn stub_of(hash: &BlobHash, bytes: Option<&Bytes>) -> Result<Option<BlobStub>, Error> {
    let read = |bytes: &Bytes| BlobStub::read(&keys::blob_stub(hash), bytes);
    bytes.map(read).transpose()
}

fn damaged(hash: &BlobHash) -> Error {
    Error::Corrupt {
        kind: "blob",
        key: hex(&keys::blob(hash)),
        cause: "the octets are not those that were stored".into(),
    }
}

fn engine_error(error: Error) -> EngineError {
    match error {
        Error::Engine(error) => error,
        other => EngineError::Corrupt(other.to_string().into()),
    }
}

/// All blobs in the order of their hashes, by what refers to them and by their stubs: the rows of blobs aren't read, as
/// that would read their octets.
struct Walk {
    refs: Side,
    stubs: Side,
}

/// One of the two ranges, with the rows that were read and not yet used.
struct Side {
    range: KeyRange,
    rows: std::collections::VecDeque<(Bytes, Bytes)>,
    is_over: bool,
}

impl Side {
    fn after(subspace: Subspace, done: Option<BlobHash>) -> Side {
        let mut range = keys::all(subspace);
        if let Some(hash) = done {
            let prefix = [&[subspace as u8], &hash[..]].concat();
            range.start = keys::prefix(prefix).end;
        }
        Side {
            range,
            rows: Default::default(),
            is_over: false,
        }
    }

    async fn fill(&mut self, engine: &BlobEngine) -> Result<(), Error> {
        if self.rows.is_empty() && !self.is_over {
            match page(engine, &mut self.range).await? {
                Some(rows) => self.rows = rows.into(),
                None => self.is_over = true,
            }
        }
        Ok(())
    }

    /// The hash that the next key begins with.
    fn hash(&self) -> Option<BlobHash> {
        let (key, _) = self.rows.front()?;
        key.get(1..33)?.try_into().ok()
    }
}

impl Walk {
    fn from(done: Option<BlobHash>) -> Walk {
        Walk {
            refs: Side::after(Subspace::BlobRef, done),
            stubs: Side::after(Subspace::BlobStub, done),
        }
    }

    async fn next(
        &mut self,
        engine: &BlobEngine,
    ) -> Result<Option<(BlobHash, Option<Bytes>)>, Error> {
        self.refs.fill(engine).await?;
        self.stubs.fill(engine).await?;
        let next = match (self.refs.hash(), self.stubs.hash()) {
            (Some(a), Some(b)) => a.min(b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Ok(None),
        };
        // A blob may have many references, over many pages.
        while self.refs.hash() == Some(next) {
            self.refs.rows.pop_front();
            self.refs.fill(engine).await?;
        }
        if self.stubs.hash() != Some(next) {
            return Ok(Some((next, None)));
        }
        let stub = self.stubs.rows.pop_front().map(|(_, bytes)| bytes);
        Ok(Some((next, stub)))
    }
}

/// The next rows of a range, which begins after them from then on; `None` after the last.
async fn page(
    engine: &BlobEngine,
    range: &mut KeyRange,
) -> Result<Option<Vec<(Bytes, Bytes)>>, Error> {
    tokio::task::yield_now().await;
    if range.start >= range.end {
        return Ok(None);
    }
    let rows = engine
        .inner
        .scan(Page::first(range.clone(), ROWS_PER_PAGE))
        .await?;
    if let Some((last, _)) = rows.last() {
        let next: Key = [last, &[0u8][..]].concat();
        range.start = next;
    }
    Ok((!rows.is_empty()).then_some(rows))
}
