//! An engine whose blobs may be encrypted, and may be in an object store: a decorator over any other engine.
//!
//! Holds: above it, a blob is a row of the subspace `Blob` with its octets in it, as over a plain engine; the rows that
//! say where the octets are can't be seen. The row of a blob is there exactly as long as the blob is, so that assertions
//! about it mean what they say.
//! Other half: `read` finds octets, `commit` puts them away.

use std::{
    collections::HashMap,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    cache::Cache,
    commit::{Plan, Spare},
    keyring::{Keyring, SharedKeyring},
    outside::{Outside, OutsideError, OutsideSettings},
    read::{Reader, Rows},
    registry::{self, Need},
};
use crate::{
    Error,
    engine::{Batch, CommitError, Direction, Engine, EngineError, Key, KeyRange, Page, Snapshot},
    keys::{self, BlobHash, Subspace},
    record::hex,
};

/// How blobs are kept.
#[derive(Clone, Debug)]
pub struct BlobSettings {
    /// Where objects are; also needed to read what is there when new ones aren't written there.
    pub outside: Option<OutsideSettings>,
    /// New blobs go outside.
    pub writes_outside: bool,
    /// Those of at least so many octets.
    pub threshold: u64,
    /// A folder for objects that are kept near, and its octets.
    pub cache: Option<(PathBuf, u64)>,
    pub keyring: Keyring,
    pub source: Arc<dyn Source>,
}

/// Time and randomness, passed in.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Overwrites all of `out` with octets that nobody can guess.
    fn fill(&self, out: &mut [u8]);
}

/// Why the blobs of a store can't be opened: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(
        "blobs are encrypted by the key \"{0}\", which isn't configured; add it to store.encryption.keys, or run `posthorn blobs rewrite` while it is there to do without it"
    )]
    MissingKey(String),
    #[error(
        "the key \"{0}\" of store.encryption.keys is not the one that blobs were encrypted by under this id"
    )]
    WrongKey(String),
    #[error(
        "blobs are in an object store, and store.blobs.url doesn't say where; name it, or run `posthorn blobs rewrite` with store.blobs.outside = false while it is there to do without it"
    )]
    NoPlace,
    #[error(
        "the object store that store.blobs.url names is not the one that the blobs of this store are in: its folder {0} is missing"
    )]
    WrongPlace(String),
    #[error("blobs are being rewritten at the moment; keys can be loaded when that has ended")]
    Rewriting,
    #[error("the object store of store.blobs can't be used: {0}")]
    Outside(String),
    #[error("the folder {0} can't be used: {1}")]
    Cache(PathBuf, std::io::Error),
}

/// See the module.
#[derive(Debug)]
pub struct BlobEngine {
    pub(super) inner: Arc<dyn Engine>,
    pub(super) reader: Arc<Reader>,
    /// The name of this store's folder outside, once there is one.
    pub(super) place: Option<[u8; 16]>,
    /// New blobs of at least so many octets go outside; `None`: none do.
    pub(super) outside_from: Option<u64>,
    pub(super) source: Arc<dyn Source>,
    pub(super) spare: Mutex<HashMap<BlobHash, Spare>>,
    /// One rewriting at a time.
    pub(super) rewriting: tokio::sync::Mutex<()>,
    pub(super) keyring: SharedKeyring,
    /// The last octets that were to go outside didn't get there.
    pub(super) fails: AtomicBool,
    is_plain: Plain,
}

/// Whether the rows of blobs are all there is: no stub was ever written, and nothing here writes one. Once that isn't so, it never is again.
#[derive(Clone, Debug)]
struct Plain(Arc<AtomicBool>);

impl Plain {
    /// Only where no other process writes can it be known.
    async fn of(inner: &Arc<dyn Engine>, writes_stubs: bool) -> Result<Self, Error> {
        let stubs = Page::first(keys::all(Subspace::BlobStub), 1).keys_only();
        let is_plain = inner.is_exclusive() && !writes_stubs && inner.scan(stubs).await?.is_empty();
        Ok(Self(Arc::new(AtomicBool::new(is_plain))))
    }

    /// Asked before a commit, and after rows were read: a stub that is committed later isn't theirs.
    fn holds(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn ends(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl BlobEngine {
    /// Whether the last octets that were to go to the object store got there.
    pub fn is_taken(&self) -> bool {
        !self.fails.load(Ordering::Relaxed)
    }

    /// Looks at what the blobs of the store need, before anything is read.
    pub async fn open(
        inner: Arc<dyn Engine>,
        settings: BlobSettings,
    ) -> Result<Arc<BlobEngine>, OpenError> {
        use_keys(&inner, &settings.keyring).await?;
        let keyring = SharedKeyring::new(settings.keyring);
        let outside = match &settings.outside {
            Some(of) => Some(Outside::open(of).map_err(OpenError::Outside)?),
            None => None,
        };
        let source = settings.source;
        let (place, outside) = match (registry::place_in_use(&inner).await?, outside) {
            (Some(_), None) => return Err(OpenError::NoPlace),
            (Some(place), Some(outside)) => {
                let outside = outside.within(&hex(&place));
                check_mark(&outside, place).await?;
                (Some(place), Some(outside))
            }
            (None, Some(outside)) if settings.writes_outside => {
                let (place, outside) = begin(&inner, outside, &*source).await?;
                (Some(place), Some(outside))
            }
            (None, _) => (None, None),
        };
        let cache = match (settings.cache, &outside) {
            (Some((folder, octets)), Some(_)) if octets > 0 => {
                let opened = {
                    let folder = folder.clone();
                    tokio::task::spawn_blocking(move || Cache::open(folder, octets)).await
                };
                let opened = opened.unwrap_or_else(|_| Err(std::io::ErrorKind::Interrupted.into()));
                Some(Arc::new(
                    opened.map_err(|error| OpenError::Cache(folder, error))?,
                ))
            }
            _ => None,
        };
        let outside_from =
            (settings.writes_outside && outside.is_some()).then_some(settings.threshold);
        let writes_stubs = outside_from.is_some() || keyring.now().newest().is_some();
        let is_plain = Plain::of(&inner, writes_stubs).await?;
        let reader = Reader::new(inner.clone(), outside, cache, keyring.clone());
        Ok(Arc::new(BlobEngine {
            inner,
            reader: Arc::new(reader),
            place,
            outside_from,
            source,
            spare: Mutex::default(),
            rewriting: tokio::sync::Mutex::default(),
            keyring,
            fails: AtomicBool::new(false),
            is_plain,
        }))
    }

    /// Takes keys as they would be taken by [`BlobEngine::open`]; new blobs are written as they say from now on. Keys that aren't
    /// among them any more stay known until the store is closed. Errors: `Store`, `MissingKey`, `WrongKey`, `Rewriting`; then
    /// nothing has changed.
    pub async fn load_keys(&self, keyring: Keyring) -> Result<(), OpenError> {
        let _not_meanwhile = self
            .rewriting
            .try_lock()
            .map_err(|_| OpenError::Rewriting)?;
        use_keys(&self.inner, &keyring).await?;
        if keyring.newest().is_some() {
            self.is_plain.ends();
        }
        self.keyring.join(keyring).map_err(OpenError::WrongKey)
    }

    pub(super) fn outside(&self) -> Option<&Outside> {
        self.reader.outside.as_ref()
    }
}

/// Looks whether these keys are what the store needs, and notes that it needs the newest.
async fn use_keys(inner: &Arc<dyn Engine>, keyring: &Keyring) -> Result<(), OpenError> {
    for (id, mark) in registry::keys_in_use(inner).await? {
        let Some(key) = keyring.get(&id) else {
            return Err(OpenError::MissingKey(id));
        };
        if key.check(&id) != mark {
            return Err(OpenError::WrongKey(id));
        }
    }
    if let Some((id, _)) = keyring.newest()
        && let Some(need) = Need::of_key(id, keyring)
    {
        need.activate(inner).await?;
    }
    Ok(())
}

/// One that doesn't answer isn't a wrong one: reads say then that they can't be done now.
async fn check_mark(outside: &Outside, place: [u8; 16]) -> Result<(), OpenError> {
    match outside.mark().await {
        Ok(Some(octets)) if octets[..] == place => Ok(()),
        Ok(_) => Err(OpenError::WrongPlace(hex(&place))),
        Err(error) => {
            tracing::warn!(%error, "the object store doesn't answer; blobs that are there can't be read until it does");
            Ok(())
        }
    }
}

/// The first time that this store has something outside. Of two nodes that begin at once, one finds the other's.
async fn begin(
    inner: &Arc<dyn Engine>,
    outside: Outside,
    source: &dyn Source,
) -> Result<([u8; 16], Outside), OpenError> {
    let mut place = [0; 16];
    source.fill(&mut place);
    let failed = |error: OutsideError| OpenError::Outside(error.to_string());
    let ours = outside.within(&hex(&place));
    let mark = Bytes::copy_from_slice(&place);
    ours.put_mark(mark).await.map_err(failed)?;
    let begun = Need::of_place(place).activate(inner).await;
    let theirs = registry::place_in_use(inner).await?;
    match (begun, theirs) {
        (Err(Error::Conflict), Some(theirs)) => Ok((theirs, outside.within(&hex(&theirs)))),
        (Ok(()), _) => Ok((place, ours)),
        (Err(error), _) => Err(error.into()),
    }
}

/// The subspaces that nobody above sees.
fn hidden() -> KeyRange {
    vec![Subspace::BlobStub as u8]..vec![Subspace::BlobGarbage as u8 + 1]
}

/// A page without what is hidden: at most two, in the order in which they are read.
fn visible(page: &Page) -> Vec<Page> {
    let hidden = hidden();
    let range = &page.range;
    let before = range.start.clone()..range.end.clone().min(hidden.start);
    let after = range.start.clone().max(hidden.end)..range.end.clone();
    let with = |range: KeyRange| Page {
        range,
        ..page.clone()
    };
    let mut pages: Vec<Page> = [before, after]
        .into_iter()
        .filter(|range| range.start < range.end)
        .map(with)
        .collect();
    if page.direction == Direction::Descending {
        pages.reverse();
    }
    pages
}

/// Keys with the stubs of those that are blobs behind them.
fn with_stubs(keys: &[Key]) -> (Vec<Key>, Vec<Option<BlobHash>>) {
    let hashes: Vec<_> = keys.iter().map(|key| keys::decode_blob(key)).collect();
    let stubs = hashes.iter().flatten().map(keys::blob_stub);
    (keys.iter().cloned().chain(stubs).collect(), hashes)
}

/// Values as they were asked for, out of what [`with_stubs`] asked for.
async fn resolved(
    reader: &Reader,
    hashes: Vec<Option<BlobHash>>,
    values: Vec<Option<Bytes>>,
) -> Result<Vec<Option<Bytes>>, EngineError> {
    if hashes.iter().all(Option::is_none) {
        return Ok(values);
    }
    let mut values = values.into_iter();
    let rows: Vec<_> = values.by_ref().take(hashes.len()).collect();
    let mut wanted: Vec<Option<(BlobHash, Rows)>> = Vec::with_capacity(rows.len());
    for (hash, row) in hashes.iter().zip(&rows) {
        let stub = hash.and_then(|_| values.next().flatten());
        wanted.push(hash.zip(row.clone().map(|row| (row, stub))));
    }
    let blobs = reader.blobs(wanted).await?;
    let each = hashes.into_iter().zip(rows).zip(blobs);
    Ok(each
        .map(|((hash, row), blob)| match hash {
            Some(_) => blob,
            None => row,
        })
        .collect())
}

#[async_trait]
impl Engine for BlobEngine {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let Some(hash) = keys::decode_blob(key) else {
            return self.inner.get(key).await;
        };
        let mut rows = None;
        if self.is_plain.holds() {
            rows = self.inner.get(key).await?.map(|row| (row, None));
        }
        if !self.is_plain.holds() {
            rows = self.reader.rows(&hash).await?;
        }
        match rows {
            Some(rows) => self.reader.blob(&hash, rows).await,
            None => Ok(None),
        }
    }

    async fn get_range(&self, key: &[u8], range: Range<u64>) -> Result<Option<Bytes>, EngineError> {
        match keys::decode_blob(key) {
            Some(hash) => self.reader.range(&hash, range).await,
            None => self.inner.get_range(key, range).await,
        }
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        if self.is_plain.holds() {
            let values = self.inner.multi_get(keys).await?;
            if self.is_plain.holds() {
                let hashes = keys.iter().map(|key| keys::decode_blob(key)).collect();
                return resolved(&self.reader, hashes, values).await;
            }
        }
        let (all, hashes) = with_stubs(keys);
        let values = self.inner.multi_get(&all).await?;
        resolved(&self.reader, hashes, values).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut found = Vec::new();
        for mut page in visible(&page) {
            page.limit -= found.len();
            found.extend(self.inner.scan(page).await?);
        }
        let Some(stubs) = wanted_stubs(&page, &found) else {
            return Ok(found);
        };
        let stubs = self.inner.multi_get(&stubs).await?;
        with_octets(&self.reader, found, stubs).await
    }

    async fn contains(&self, key: &[u8]) -> Result<bool, EngineError> {
        self.inner.contains(key).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        Ok(Arc::new(BlobSnapshot {
            inner: self.inner.snapshot().await?,
            reader: self.reader.clone(),
        }))
    }

    /// A batch with blobs takes its place when their octets are where they are to be.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        // Keys that are loaded at this moment are a node's that writes at the same time: see `put`.
        if self.is_plain.holds() {
            return self.inner.commit(batch).await;
        }
        match Plan::of(&batch) {
            None => self.inner.commit(batch).await,
            Some(plan) => self.commit_blobs(batch, plan).await,
        }
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        self.inner.disk_octets().await
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    fn is_writable(&self) -> bool {
        self.inner.is_writable()
    }

    async fn trim_memory(&self) {
        self.inner.trim_memory().await;
    }

    fn blobs(&self) -> Option<&BlobEngine> {
        Some(self)
    }
}

/// What a snapshot of the inner engine says, with the octets of blobs.
struct BlobSnapshot {
    inner: Arc<dyn Snapshot>,
    reader: Arc<Reader>,
}

#[async_trait]
impl Snapshot for BlobSnapshot {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let Some(hash) = keys::decode_blob(key) else {
            return self.inner.get(key).await;
        };
        let rows = [key.to_vec(), keys::blob_stub(&hash)];
        let mut rows = self.inner.multi_get(&rows).await?.into_iter();
        match (rows.next().flatten(), rows.next().flatten()) {
            (Some(row), stub) => self.reader.blob(&hash, (row, stub)).await,
            (None, _) => Ok(None),
        }
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let (all, hashes) = with_stubs(keys);
        let values = self.inner.multi_get(&all).await?;
        resolved(&self.reader, hashes, values).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let mut found = Vec::new();
        for mut page in visible(&page) {
            page.limit -= found.len();
            found.extend(self.inner.scan(page).await?);
        }
        let Some(stubs) = wanted_stubs(&page, &found) else {
            return Ok(found);
        };
        let stubs = self.inner.multi_get(&stubs).await?;
        with_octets(&self.reader, found, stubs).await
    }
}

/// The keys of the stubs that are needed for what a scan has found; `None`: none are.
fn wanted_stubs(page: &Page, found: &[(Bytes, Bytes)]) -> Option<Vec<Key>> {
    if page.keys_only {
        return None;
    }
    let hashes = found.iter().filter_map(|(key, _)| keys::decode_blob(key));
    let stubs: Vec<Key> = hashes.map(|hash| keys::blob_stub(&hash)).collect();
    (!stubs.is_empty()).then_some(stubs)
}

/// What a scan has found, with the octets of blobs. A damaged one is an error: a row can't be left out of a scan.
async fn with_octets(
    reader: &Reader,
    found: Vec<(Bytes, Bytes)>,
    stubs: Vec<Option<Bytes>>,
) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
    let mut stubs = stubs.into_iter();
    let mut pairs = Vec::with_capacity(found.len());
    for (key, row) in found {
        let Some(hash) = keys::decode_blob(&key) else {
            pairs.push((key, row));
            continue;
        };
        let rows = (row, stubs.next().flatten());
        if let Some(octets) = reader.blob(&hash, rows).await? {
            pairs.push((key, octets));
        }
    }
    Ok(pairs)
}

/// How long garbage stays: who has a snapshot, or has just read a stub, may be about to read the object.
pub(super) const GARBAGE_GRACE: Duration = Duration::from_secs(2 * 3600);
