//! Backups of a server in memory, of damaged blobs and out of damaged packs, and places that aren't what they were.

use std::{fs, path::Path, sync::Arc};

use backup::{Encryption, Key, Name, place::S3Settings};
use bytes::Bytes;
use jmap_core::{
    Caller, Core, Parts,
    clock::SystemClock,
    inproc::backup::{OutcomeRecord, WholeOptions},
    rng::{Rng as _, SeededRng, SystemRng},
};
use jmap_types::{AccountId, DataType};
use store::{
    blob::{
        BlobEngine, BlobSettings,
        keyring::{Keyring, MasterKey},
    },
    engine::{Batch, Engine, MemoryEngine},
    format, keys,
    search::{SearchIndex, SearchOptions},
};

use super::{BackupError, Target, Tools, restore, run, schedule};

struct Server {
    engine: Arc<dyn Engine>,
    core: Core,
    tools: Tools,
    folder: tempfile::TempDir,
}

impl Server {
    async fn over(engine: Arc<dyn Engine>) -> Server {
        format::open(&engine).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("search");
        fs::create_dir(&index).unwrap();
        let search = SearchIndex::open(&index, &SearchOptions::default()).unwrap();
        let tools = Tools {
            clock: Arc::new(SystemClock),
            rng: Arc::new(SeededRng::new(1)),
        };
        let parts = Parts {
            engine: engine.clone(),
            clock: tools.clock.clone(),
            rng: tools.rng.clone(),
            limits: jmap_core::Limits::default(),
            hostname: "mx.example.org".into(),
            search: Arc::new(search),
            push: Default::default(),
        };
        Server {
            engine,
            core: Core::open(parts).await.unwrap(),
            tools,
            folder,
        }
    }

    /// Keeps blobs with these numbers, each under a reference.
    async fn keep(&self, blobs: std::ops::Range<u64>) {
        let mut batch = Batch::new();
        for number in blobs {
            let octets = octets(number);
            let name = store::blob::hash(&octets);
            batch.put(keys::blob(&name), octets);
            let account = AccountId::new(1);
            let reference = keys::blob_ref(&name, account, DataType::Email, number);
            batch.put(reference, Bytes::new());
        }
        self.engine.commit(batch).await.unwrap();
    }

    fn place(&self) -> std::path::PathBuf {
        self.folder.path().join("backup")
    }

    async fn back_up(&self, begins_anew: bool) -> Result<run::Done, BackupError> {
        let target = Target {
            begins_anew,
            ..target(&self.place())
        };
        let who = Caller::server();
        run::run(&self.core, &who, &target, &self.tools, &|_| {}).await
    }
}

fn octets(number: u64) -> Vec<u8> {
    format!("the mail number {number}").into_bytes()
}

fn target(place: &Path) -> Target {
    Target {
        place: place.to_str().unwrap().parse().unwrap(),
        s3: S3Settings::default(),
        encryption: Encryption::None,
        key: Key::None,
        begins_anew: false,
    }
}

/// A damaged pack of blobs costs those that are in it: the others are restored, and the server can be started.
#[tokio::test]
async fn a_restore_brings_all_that_a_damaged_pack_has_not() {
    let server = Server::over(MemoryEngine::new()).await;
    server.keep(0..30).await;
    server.back_up(false).await.unwrap();
    server.keep(30..37).await;
    let done = server.back_up(false).await.unwrap();
    let mut costs = Vec::new();
    for pack in packs(&server.place().join("packs")) {
        let whole = fs::read(&pack).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&pack, damaged).unwrap();
        let repository = target(&server.place()).open().await.unwrap();
        let snapshot = repository.snapshot(&done.snapshot).await.unwrap();
        let engine: Arc<dyn Engine> = MemoryEngine::new();
        let begun = || Ok(());
        let options = WholeOptions::default();
        let restored = restore::whole(&snapshot, engine.clone(), options, 1, begun, &|_| {}).await;
        fs::write(&pack, whole).unwrap();
        // Without its rows, a server isn't one.
        let Ok(restored) = restored else {
            continue;
        };
        let mut found = 0;
        for number in 0..37 {
            let key = keys::blob(&store::blob::hash(&octets(number)));
            found += u64::from(engine.contains(&key).await.unwrap());
        }
        assert_eq!(
            (restored.blobs, restored.damaged_blobs),
            (found, 37 - found)
        );
        format::open(&engine).await.unwrap();
        costs.push(restored.damaged_blobs);
    }
    costs.retain(|cost| *cost > 0);
    costs.sort_unstable();
    assert_eq!(costs, [7, 30]);
}

fn packs(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut packs = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => packs.extend(self::packs(&path)),
            false => packs.push(path),
        }
    }
    packs
}

#[derive(Debug)]
struct TestSource;

impl store::blob::Source for TestSource {
    fn now_ms(&self) -> u64 {
        1_800_000_000_000
    }

    fn fill(&self, out: &mut [u8]) {
        SystemRng.fill(out);
    }
}

/// An encrypted blob that can't be opened any more is named, and the others are backed up.
#[tokio::test]
async fn a_damaged_blob_costs_no_backup() {
    let inner: Arc<dyn Engine> = MemoryEngine::new();
    let mut keyring = Keyring::none();
    keyring.add("key", MasterKey::new([7; 32])).unwrap();
    let settings = BlobSettings {
        outside: None,
        writes_outside: false,
        threshold: 0,
        cache: None,
        keyring,
        source: Arc::new(TestSource),
    };
    let sealed = BlobEngine::open(inner.clone(), settings).await.unwrap();
    let server = Server::over(sealed).await;
    server.keep(0..20).await;
    let name = store::blob::hash(&octets(3));
    let row = inner.get(&keys::blob(&name)).await.unwrap().unwrap();
    let mut damaged = row.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut batch = Batch::new();
    batch.put(keys::blob(&name), damaged);
    inner.commit(batch).await.unwrap();
    let done = server.back_up(false).await.unwrap();
    let lost: Vec<Name> = done.record.substitutes.iter().map(|of| of.blob).collect();
    assert_eq!((lost, done.new_blobs), (vec![Name(name)], 19));
}

/// A disk that isn't mounted looks like an empty folder.
#[tokio::test]
async fn a_place_that_is_not_what_it_was_gets_no_new_backup() {
    let server = Server::over(MemoryEngine::new()).await;
    server.keep(0..3).await;
    server.back_up(false).await.unwrap();
    let (place, away) = (server.place(), server.folder.path().join("away"));
    fs::rename(&place, &away).unwrap();
    let refused = |done: Result<run::Done, BackupError>| done.unwrap_err().to_string();
    assert!(refused(server.back_up(false).await).contains("is the disk mounted?"));
    assert!(!place.exists());
    fs::create_dir(&place).unwrap();
    assert!(refused(server.back_up(false).await).contains("is the disk mounted?"));
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    // The repository of somebody else.
    fs::remove_dir(&place).unwrap();
    let other = target(&place);
    let other = other.make(&*server.tools.clock, &*server.tools.rng);
    other.await.unwrap();
    assert!(refused(server.back_up(false).await).contains("another backup"));
    // Who says so goes on with that one; and the first is still one of this server.
    server.back_up(true).await.unwrap();
    server.back_up(false).await.unwrap();
    fs::remove_dir_all(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    server.back_up(false).await.unwrap();
    fs::remove_dir_all(&place).unwrap();
    server.back_up(true).await.unwrap();
    server.back_up(false).await.unwrap();
}

/// A success of a time that is still to come keeps no backup from being made.
#[tokio::test]
async fn a_backup_of_a_clock_that_was_ahead_counts_as_none() {
    let server = Server::over(MemoryEngine::new()).await;
    let (who, now) = (Caller::server(), 1_800_000_000);
    for (id, at) in [(1, now + 400_000_000), (2, now - 5)] {
        let last = schedule::last_success(&server.core, &who, "/b", now).await;
        assert_eq!(last.unwrap(), None);
        let outcome = OutcomeRecord {
            at,
            ..OutcomeRecord::default()
        };
        let note = |record: &mut jmap_core::inproc::backup::RepositoryRecord| {
            record.place = "/b".to_owned();
            record.success = Some(outcome.clone());
        };
        server
            .core
            .note_backup(&who, &[id; 16], note)
            .await
            .unwrap();
    }
    let last = schedule::last_success(&server.core, &who, "/b", now).await;
    assert_eq!(last.unwrap(), Some(now - 5));
}
