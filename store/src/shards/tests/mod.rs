//! Shards that are published by one index and read by another, over an engine without a disk and a real object store.

mod copies;
mod objects;
mod records;

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::{
    blob::{
        BlobEngine, BlobSettings, OpenError, OutsidePlace, OutsideSettings, Source,
        keyring::{Keyring, MasterKey},
        s3_server::{S3Fault, S3Server, walk},
    },
    engine::{Assertion, Batch, MemoryEngine},
    search::{Change, Document, DocumentKey, DocumentText, Field, Query, Scope, SearchOptions},
};

const KIND: u8 = 0;
const ACCOUNT: u64 = 7;
const LEASE: &[u8] = b"\x91lease";

#[derive(Debug, Default)]
struct Dice(AtomicU64);

impl Source for Dice {
    fn now_ms(&self) -> u64 {
        1_800_000_000_000
    }

    fn fill(&self, out: &mut [u8]) {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let all = DRAWN.fetch_add(1, Ordering::Relaxed);
        let own = self.0.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&all.to_le_bytes()).update(&own.to_le_bytes());
        hasher.finalize_xof().fill(out);
    }
}

fn keyring(ids: &[&str]) -> Keyring {
    let mut keyring = Keyring::none();
    for id in ids {
        let octet = id.bytes().next().unwrap();
        keyring.add(id, MasterKey::new([octet; 32])).unwrap();
    }
    keyring
}

/// A database, an object store, and folders.
struct Bench {
    inner: Arc<dyn Engine>,
    place: OutsideSettings,
    keys: Vec<&'static str>,
    folders: Vec<TempDir>,
}

impl Bench {
    fn over(place: OutsideSettings) -> Self {
        Self {
            inner: MemoryEngine::new(),
            place,
            keys: Vec::new(),
            folders: Vec::new(),
        }
    }

    /// The first folder has the objects.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = OutsideSettings {
            place: OutsidePlace::Folder(folder.path().to_owned()),
            timeout: Duration::from_secs(60),
        };
        let mut bench = Self::over(place);
        bench.folders.push(folder);
        bench
    }

    async fn engine(&self) -> Arc<dyn Engine> {
        self.try_engine().await.unwrap()
    }

    async fn try_engine(&self) -> Result<Arc<BlobEngine>, OpenError> {
        let settings = BlobSettings {
            outside: Some(self.place.clone()),
            writes_outside: true,
            threshold: 0,
            cache: None,
            keyring: keyring(&self.keys),
            source: Arc::new(Dice::default()),
        };
        BlobEngine::open(self.inner.clone(), settings).await
    }

    async fn node(&mut self) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let node = self.node_in(folder.path().to_owned()).await;
        self.folders.push(folder);
        node
    }

    async fn node_in(&self, folder: PathBuf) -> Node {
        let options = SearchOptions {
            shards: 1,
            ..SearchOptions::default()
        };
        let index = Arc::new(SearchIndex::open(&folder, &options).unwrap());
        let engine = self.engine().await;
        Node {
            shards: Shards::over(&engine, &index).unwrap(),
            last: None,
            folder,
        }
    }

    fn objects(&self) -> Vec<PathBuf> {
        let OutsidePlace::Folder(folder) = &self.place.place else {
            panic!("the objects are in no folder");
        };
        let mut found = Vec::new();
        walk(folder, &mut found);
        found.retain(|path| path.to_string_lossy().contains("/search/"));
        found
    }
}

struct Node {
    shards: Shards,
    last: Option<(Arc<Manifest>, Bytes)>,
    folder: PathBuf,
}

fn document(id: u64, text: &str) -> Change {
    let mut texts = DocumentText::default();
    texts.push(Field::Body, text);
    Change::Upsert(Document {
        key: key(id),
        text: texts,
    })
}

fn key(id: u64) -> DocumentKey {
    DocumentKey {
        account: ACCOUNT,
        kind: KIND,
        id,
    }
}

fn fence() -> Assertion {
    Assertion::Absent(LEASE.to_vec())
}

impl Node {
    fn apply(&self, changes: Vec<Change>) {
        self.shards.index.apply(0, changes).unwrap();
    }

    fn find(&self, text: &str) -> Vec<u64> {
        let query = Query::text(Scope::Any, text);
        self.shards
            .index
            .search(ACCOUNT, KIND, &query, 1000)
            .unwrap()
            .ids
    }

    async fn publish(&mut self, what: What, cursor: u64) -> Committed {
        let last = self.last.as_ref().map(|(manifest, _)| manifest.clone());
        let generation = last.as_ref().map_or(0, |last| last.generation) + 1;
        let snapshot = self.shards.snapshot(0, last, what).await.unwrap();
        let manifest = self.shards.pack(0, snapshot, generation).await.unwrap();
        let former = self.last.as_ref().map(|(_, head)| head.clone());
        let cursors = [(AccountId::new(ACCOUNT), Some(cursor))];
        let (fence, also) = (fence(), Batch::new());
        let committed = self
            .shards
            .commit(0, &fence, former.as_ref(), &manifest, &cursors, also);
        let (committed, head) = committed.await.unwrap();
        if committed == Committed::Done {
            let rows = self.shards.rows(0).await.unwrap();
            assert_eq!(rows.head_bytes.as_ref(), Some(&head));
            let copy = manifest.copy(self.shards.layout);
            self.shards.index.note_copy(0, &copy).unwrap();
            self.last = Some((Arc::new(manifest), head));
        }
        committed
    }

    async fn try_follow(&mut self) -> Result<Fetched, FetchError> {
        let manifest = self
            .shards
            .manifest(0)
            .await
            .unwrap()
            .expect("nothing is published");
        let fetched = self.shards.gather(0, &manifest).await?;
        self.shards.put_in(0, &manifest).await?;
        let head = self.shards.rows(0).await.unwrap().head_bytes.unwrap();
        self.last = Some((Arc::new(manifest), head));
        Ok(fetched)
    }

    async fn follow(&mut self) -> Fetched {
        self.try_follow().await.unwrap()
    }

    fn files(&self, ending: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.join("shard-00000"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(ending))
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn what_one_publishes_another_one_finds() {
    for keys in [vec![], vec!["k"]] {
        let mut bench = Bench::new();
        bench.keys = keys;
        let (mut a, mut b) = (bench.node().await, bench.node().await);
        a.apply(vec![document(1, "cuckooflower"), document(2, "marmalade")]);
        assert_eq!(a.publish(What::default(), 10).await, Committed::Done);
        assert!(b.follow().await.files > 0);
        assert_eq!(b.find("cuckooflower"), [1]);
        let rows = b.shards.rows(0).await.unwrap();
        let head = rows.head.unwrap();
        assert_eq!((head.generation, head.base), (1, 1));
        let indexed = b.shards.indexed(AccountId::new(ACCOUNT)).await.unwrap();
        assert_eq!(indexed.cursor(b.shards.layout, 1, 1), 10);
        // The next one has what is new alone, and that is all that is fetched.
        a.apply(vec![document(3, "cuckooflower")]);
        assert_eq!(a.publish(What::default(), 20).await, Committed::Done);
        let manifest = &a.last.as_ref().unwrap().0;
        assert_eq!(manifest.packs.len(), 2);
        let fetched = b.follow().await;
        assert_eq!(fetched.octets, manifest.packs[1].size);
        assert_eq!(b.find("cuckooflower"), [1, 3]);
        assert_eq!(b.follow().await, Fetched::default());
        assert_eq!(bench.objects().len(), 2);
        // Each file of tantivy's ends with a line that can be read.
        let is_plain = bench.objects().iter().any(|path| {
            let octets = fs::read(path).unwrap();
            octets.windows(5).any(|part| part == b"\"crc\"")
        });
        assert_eq!(is_plain, bench.keys.is_empty());
        // Either of them can go on from there.
        b.apply(vec![document(4, "cuckooflower"), Change::Delete(key(1))]);
        assert_eq!(b.publish(What::default(), 30).await, Committed::Done);
        a.follow().await;
        assert_eq!(a.find("cuckooflower"), [3, 4]);
    }
}

#[tokio::test]
async fn a_key_that_nothing_but_the_index_needs_is_in_use() {
    let mut bench = Bench::new();
    bench.keys = vec!["k"];
    let mut node = bench.node().await;
    node.apply(vec![document(1, "cuckooflower")]);
    assert_eq!(node.publish(What::default(), 1).await, Committed::Done);
    bench.keys = Vec::new();
    let opened = bench.try_engine().await.map(|_| ());
    assert!(
        matches!(&opened, Err(OpenError::MissingKey(id)) if id == "k"),
        "{opened:?}"
    );
}

#[tokio::test]
async fn nothing_is_published_twice() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    let snapshot = a.shards.snapshot(0, None, What::default()).await.unwrap();
    assert!(!snapshot.is_published());
    assert!(snapshot.octets() > 0);
    a.publish(What::default(), 1).await;
    let last = a.last.as_ref().map(|(manifest, _)| manifest.clone());
    let snapshot = a
        .shards
        .snapshot(0, last.clone(), What::default())
        .await
        .unwrap();
    assert!(snapshot.is_published());
    // Cursors alone need no object.
    let (manifest, head) = a.last.clone().unwrap();
    let cursors = [(AccountId::new(ACCOUNT), Some(5))];
    let (fence, also) = (fence(), Batch::new());
    let committed = a
        .shards
        .commit_cursors(0, &fence, &head, &manifest, &cursors, also);
    assert_eq!(committed.await.unwrap(), Committed::Done);
    let indexed = a.shards.indexed(AccountId::new(ACCOUNT)).await.unwrap();
    assert_eq!(indexed.pairs, [(1, 5)]);
    assert_eq!(bench.objects().len(), 1);
    // All of it, when somebody asks.
    let again = What {
        again: true,
        ..What::default()
    };
    let snapshot = a.shards.snapshot(0, last, again).await.unwrap();
    assert!(!snapshot.is_published());
    a.publish(again, 6).await;
    let manifest = &a.last.as_ref().unwrap().0;
    assert_eq!((manifest.packs.len(), manifest.base), (1, 1));
    assert_eq!(bench.objects().len(), 2);
}

#[tokio::test]
async fn who_has_lost_the_lease_publishes_nothing_and_goes_back() {
    let mut bench = Bench::new();
    let (mut a, mut b) = (bench.node().await, bench.node().await);
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    b.follow().await;
    // Both go on; one is faster.
    a.apply(vec![document(2, "alpha")]);
    b.apply(vec![document(3, "alpha")]);
    assert_eq!(b.publish(What::default(), 3).await, Committed::Done);
    assert_eq!(a.publish(What::default(), 2).await, Committed::Lost);
    a.follow().await;
    assert_eq!(a.find("alpha"), [1, 3]);
    // A lease that is another's, too.
    let mut batch = Batch::new();
    batch.put(LEASE.to_vec(), "another");
    bench.inner.commit(batch).await.unwrap();
    a.apply(vec![document(4, "alpha")]);
    assert_eq!(a.publish(What::default(), 4).await, Committed::Lost);
    let indexed = a.shards.indexed(AccountId::new(ACCOUNT)).await.unwrap();
    assert_eq!(indexed.pairs, [(1, 1), (2, 3)]);
}

#[tokio::test]
async fn a_list_of_deletions_of_the_same_name_is_not_taken_for_another_one() {
    let mut bench = Bench::new();
    let (mut a, mut b) = (bench.node().await, bench.node().await);
    a.apply((1..=6).map(|id| document(id, "alpha")).collect());
    a.publish(What::default(), 6).await;
    b.follow().await;
    a.apply(vec![Change::Delete(key(1))]);
    b.apply(vec![Change::Delete(key(2))]);
    let clash = a.files(".del");
    assert_eq!(clash, b.files(".del"), "the test needs lists of one name");
    assert_eq!(clash.len(), 1);
    b.publish(What::default(), 7).await;
    let fetched = a.follow().await;
    assert_eq!(fetched.files, 1);
    assert_eq!(a.files(".del"), clash);
    assert_eq!(a.find("alpha"), [1, 3, 4, 5, 6]);
    // Also where the process that had it is another one by now.
    a.apply(vec![Change::Delete(key(3))]);
    b.apply(vec![Change::Delete(key(4))]);
    assert_eq!(a.files(".del"), b.files(".del"));
    b.publish(What::default(), 8).await;
    let folder = a.folder.clone();
    drop(a);
    let mut a = bench.node_in(folder).await;
    a.follow().await;
    assert_eq!(a.find("alpha"), [1, 3, 5, 6]);
}

#[tokio::test]
async fn half_a_download_counts_for_nothing() {
    let server = S3Server::start();
    let mut bench = Bench::over(server.settings(Duration::from_secs(2), ""));
    let (mut a, mut b) = (bench.node().await, bench.node().await);
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    b.follow().await;
    a.apply(vec![document(2, "alpha")]);
    a.publish(What::default(), 2).await;
    for fault in [
        S3Fault::Truncating,
        S3Fault::WrongOctets,
        S3Fault::Down,
        S3Fault::Failing,
    ] {
        server.set(fault);
        let error = b.try_follow().await.unwrap_err();
        let is_damage = matches!(error, FetchError::Damaged { .. });
        assert_eq!(
            is_damage,
            fault == S3Fault::WrongOctets,
            "{fault:?}: {error}"
        );
        assert_eq!(b.find("alpha"), [1], "{fault:?}");
    }
    server.set(S3Fault::None);
    b.follow().await;
    assert_eq!(b.find("alpha"), [1, 2]);
    // What waits when the object store is away goes out later.
    a.apply(vec![document(3, "alpha")]);
    server.set(S3Fault::Down);
    let last = a.last.as_ref().map(|(manifest, _)| manifest.clone());
    let snapshot = a.shards.snapshot(0, last, What::default()).await.unwrap();
    assert!(a.shards.pack(0, snapshot, 3).await.is_err());
    server.set(S3Fault::None);
    a.publish(What::default(), 3).await;
    b.follow().await;
    assert_eq!(b.find("alpha"), [1, 2, 3]);
}

#[tokio::test]
async fn damage_outside_is_told_from_an_object_store_that_is_away() {
    for damage in ["missing", "short", "changed"] {
        for keys in [vec![], vec!["k"]] {
            let mut bench = Bench::new();
            bench.keys = keys;
            let (mut a, mut b) = (bench.node().await, bench.node().await);
            a.apply(vec![document(1, "alpha")]);
            a.publish(What::default(), 1).await;
            let object = bench.objects().remove(0);
            let mut octets = fs::read(&object).unwrap();
            match damage {
                "missing" => fs::remove_file(&object).unwrap(),
                "short" => fs::write(&object, &octets[..octets.len() - 1]).unwrap(),
                _ => {
                    let middle = octets.len() / 2;
                    octets[middle] ^= 1;
                    fs::write(&object, &octets).unwrap();
                }
            }
            let error = b.try_follow().await.unwrap_err();
            assert!(
                matches!(error, FetchError::Damaged { .. }),
                "{damage}: {error}"
            );
            let again = What {
                again: true,
                ..What::default()
            };
            a.publish(again, 1).await;
            b.follow().await;
            assert_eq!(b.find("alpha"), [1]);
        }
    }
}

#[tokio::test]
async fn a_damaged_copy_is_fetched_anew() {
    let mut bench = Bench::new();
    let (mut a, mut b) = (bench.node().await, bench.node().await);
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    b.follow().await;
    let folder = b.folder.clone();
    drop(b);
    for name in fs::read_dir(folder.join("shard-00000")).unwrap() {
        let path = name.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "term") {
            let octets = fs::read(&path).unwrap().len();
            fs::write(&path, vec![7; octets]).unwrap();
        }
    }
    let mut b = bench.node_in(folder).await;
    b.shards.index.reset(0).unwrap();
    assert!(b.follow().await.files > 0);
    assert_eq!(b.find("alpha"), [1]);
}

#[tokio::test]
async fn after_a_start_the_copy_is_what_it_last_was() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply((1..=3).map(|id| document(id, "alpha")).collect());
    a.publish(What::default(), 3).await;
    // This was never published.
    a.apply(vec![document(4, "alpha"), Change::Delete(key(1))]);
    let folder = a.folder.clone();
    drop(a);
    let a = bench.node_in(folder).await;
    assert_eq!(a.find("alpha"), [2, 3, 4]);
    let copy = a.shards.index.copied(0).unwrap().unwrap();
    assert_eq!(copy.generation, 1);
    assert_eq!(a.shards.index.missing(0, &copy).unwrap(), []);
    a.shards.index.put_in(0, &copy).unwrap();
    assert_eq!(a.find("alpha"), [1, 2, 3]);
    a.shards.index.verify(0).unwrap();
    // It can be written to, and leaves nothing of what it was.
    a.apply(vec![document(5, "alpha")]);
    assert_eq!(a.find("alpha"), [1, 2, 3, 5]);
    assert_eq!(a.files(".del"), [""; 0]);
    // A copy is one of its layout alone.
    let other = SearchOptions {
        shards: 2,
        ..SearchOptions::default()
    };
    let index = SearchIndex::open(&a.folder, &other).unwrap();
    assert_eq!(index.copied(0).unwrap(), None);
    assert!(index.put_in(0, &copy).is_err());
}

#[tokio::test]
async fn a_large_shard_goes_in_parts() {
    for keys in [vec![], vec!["k"]] {
        let mut bench = Bench::new();
        bench.keys = keys;
        let (mut a, mut b) = (bench.node().await, bench.node().await);
        let mut hasher = blake3::Hasher::new();
        for round in 0..2u64 {
            let changes = (0..5).map(|of| {
                let id = round * 5 + of;
                hasher.update(&id.to_le_bytes());
                let mut octets = vec![0; 300_000];
                hasher.finalize_xof().fill(&mut octets);
                let mut text: String = octets
                    .chunks(6)
                    .map(|word| crate::record::hex(word) + " ")
                    .collect();
                text.push_str(&format!("number{id}"));
                document(id, &text)
            });
            a.apply(changes.collect());
        }
        a.publish(What::default(), 1).await;
        let pack = a.last.as_ref().unwrap().0.packs[0].clone();
        assert!(pack.size > 9 << 20, "{}", pack.size);
        b.follow().await;
        b.shards.index.verify(0).unwrap();
        assert_eq!(b.find("number9"), [9]);
        assert!(
            b.shards
                .engine
                .blobs()
                .unwrap()
                .has_pack(&Shards::folder(b.shards.layout, 0), &pack)
                .await
                .unwrap()
        );
    }
}
