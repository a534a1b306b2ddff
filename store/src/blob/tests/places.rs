//! Each place and each kind of storing passes the suite of the engines; what is where, and what a store needs.

use super::*;
use crate::{
    Error,
    blob::s3_server::walk,
    engine::{
        EngineError, FaultPlan, FaultyEngine, MemoryEngine, Page, RocksEngine, RocksOptions,
        conformance,
    },
    format,
    keys::Subspace,
};

fn memory() -> Arc<dyn Engine> {
    MemoryEngine::new()
}

/// An engine for the suite, which wants an empty one: without the rows of keys and places, which come back with the first blob.
async fn fresh(inner: &Arc<dyn Engine>, settings: &BlobSettings) -> Arc<dyn Engine> {
    let engine = open(inner, settings).await;
    let mut batch = Batch::new();
    batch.delete_range(keys::all(Subspace::Meta));
    inner.commit(batch).await.unwrap();
    engine
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_conforms() {
    conformance::run(|| async { fresh(&memory(), &settings()).await }).await;
}

/// Where nobody else writes, the first keys are the end of a store that needs no stubs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_loaded_into_a_store_without_stubs() {
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions::default();
    let inner: Arc<dyn Engine> = RocksEngine::open(folder.path().join("db"), &options).unwrap();
    let before = Bytes::from_static(b"before there were keys");
    let after = Bytes::from_static(b"after");
    {
        let engine = open(&inner, &settings()).await;
        let snapshot = engine.snapshot().await.unwrap();
        let old = put(&engine, before.clone()).await;
        assert_eq!(get(&engine, &old).await.unwrap(), before);
        engine.load_keys(keyring(&[("key", 1)])).await.unwrap();
        let new = put(&engine, after.clone()).await;
        // The same octets again, now encrypted.
        put(&engine, before.clone()).await;
        for (hash, octets) in [(&old, &before), (&new, &after)] {
            let row = inner.get(&keys::blob(hash)).await.unwrap();
            assert_ne!(row.as_ref(), Some(octets));
        }
        for (hash, octets) in [(&old, &before), (&new, &after)] {
            assert_eq!(get(&engine, hash).await.unwrap(), *octets);
            let many = engine.multi_get(&[keys::blob(hash)]).await.unwrap();
            assert_eq!(many, [Some(octets.clone())]);
            assert_eq!(snapshot.get(&keys::blob(hash)).await.unwrap(), None);
        }
    }
    // No key encrypts any more, but there are stubs.
    let mut settings = BlobSettings {
        keyring: keyring(&[("key", 1)]),
        ..settings()
    };
    settings.keyring.encrypt_no_more();
    let engine = open(&inner, &settings).await;
    for octets in [&before, &after] {
        let hash = super::super::hash(octets);
        assert_eq!(get(&engine, &hash).await.unwrap(), *octets);
        let mut batch = Batch::new();
        batch.delete(keys::blob(&hash));
        engine.commit(batch).await.unwrap();
        assert_eq!(get(&engine, &hash).await, None);
    }
    let stubs = Page::first(keys::all(Subspace::BlobStub), 1);
    assert!(inner.scan(stubs).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_conforms_over_rocksdb() {
    let folders = tempfile::tempdir().unwrap();
    let number = AtomicU64::new(0);
    let of_rocksdb = || async {
        let number = number.fetch_add(1, Ordering::Relaxed).to_string();
        let options = RocksOptions::default();
        let inner = RocksEngine::open(folders.path().join(number), &options).unwrap();
        fresh(&(inner as Arc<dyn Engine>), &settings()).await
    };
    conformance::run(of_rocksdb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_conforms() {
    let settings = BlobSettings {
        keyring: keyring(&[("old", 1), ("new", 2)]),
        ..settings()
    };
    conformance::run(|| async { fresh(&memory(), &settings).await }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_conforms_over_rocksdb() {
    let folders = tempfile::tempdir().unwrap();
    let number = AtomicU64::new(0);
    let of_rocksdb = || async {
        let number = number.fetch_add(1, Ordering::Relaxed).to_string();
        let folder = folders.path().join(number);
        std::fs::create_dir(&folder).unwrap();
        let options = RocksOptions::default();
        let inner = RocksEngine::open(folder.join("db"), &options).unwrap();
        let settings = BlobSettings {
            keyring: keyring(&[("key", 1)]),
            threshold: 4,
            ..in_folder(&folder.join("blobs"))
        };
        fresh(&(inner as Arc<dyn Engine>), &settings).await
    };
    conformance::run(of_rocksdb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms() {
    let server = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = BlobSettings {
        cache: Some((folder.path().to_owned(), 300 << 10)),
        ..in_s3(&server, PATIENCE)
    };
    let inner = || FaultyEngine::new(FaultPlan::default()) as Arc<dyn Engine>;
    conformance::run(|| async { fresh(&inner(), &settings).await }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_blobs_go_in_parts() {
    let server = S3Server::start();
    let settings = BlobSettings {
        keyring: keyring(&[("key", 1)]),
        ..in_s3(&server, PATIENCE)
    };
    let engine = open(&memory(), &settings).await;
    let octets = mail(1, 20 << 20);
    let hash = put(&engine, octets.clone()).await;
    assert_eq!(get(&engine, &hash).await, Some(octets.clone()));
    // A part is read without the rest.
    let before = server.requests();
    let range = 10_000_000..10_000_100;
    let part = engine.get_range(&keys::blob(&hash), range).await.unwrap();
    assert_eq!(part, Some(octets.slice(10_000_000..10_000_100)));
    assert_eq!(server.requests(), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_used_below_a_prefix() {
    let server = S3Server::start();
    let settings = BlobSettings {
        outside: Some(server.settings(PATIENCE, "a/prefix")),
        ..settings()
    };
    let hash = put(&open(&memory(), &settings).await, "below").await;
    let objects = server.objects();
    assert_eq!(objects.len(), 1);
    assert!(objects[0].starts_with(server.bucket().join("a/prefix")));
    assert!(
        objects[0]
            .to_string_lossy()
            .contains(&crate::record::hex(&hash))
    );
}

#[tokio::test]
async fn only_large_ones_go_outside() {
    let folder = tempfile::tempdir().unwrap();
    let settings = BlobSettings {
        threshold: 1000,
        ..in_folder(folder.path())
    };
    let engine = open(&memory(), &settings).await;
    let (small, large) = (
        put(&engine, mail(1, 999)).await,
        put(&engine, mail(2, 1000)).await,
    );
    assert_eq!(get(&engine, &small).await, Some(mail(1, 999)));
    assert_eq!(get(&engine, &large).await, Some(mail(2, 1000)));
    assert_eq!(objects(folder.path()), 1);
    // What says where they are can't be seen.
    for subspace in [Subspace::BlobStub, Subspace::BlobGarbage] {
        let page = Page::first(keys::all(subspace), 9);
        assert_eq!(engine.scan(page).await.unwrap(), []);
    }
}

/// Objects of blobs in a folder.
pub(super) fn objects(folder: &Path) -> usize {
    let mut files = Vec::new();
    walk(folder, &mut files);
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files
        .iter()
        .filter(|path| crate::blob::stub::ObjectName::parse(&name(path)).is_some())
        .count()
}

#[tokio::test]
async fn nothing_readable_lies_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let settings = BlobSettings {
        threshold: 3000,
        keyring: keyring(&[("key", 1)]),
        ..in_folder(folder.path())
    };
    let engine = open(&inner, &settings).await;
    let secret = "the meeting is at noon";
    for size in [100, 5000] {
        let text = format!("{secret}{}", "x".repeat(size));
        let hash = put(&engine, text.clone()).await;
        assert_eq!(get(&engine, &hash).await, Some(text.into()));
    }
    let everything = Page::first(Vec::new()..vec![0xff; 9], 1000);
    let mut octets = Vec::new();
    for (_, value) in inner.scan(everything).await.unwrap() {
        octets.extend_from_slice(&value);
    }
    let mut files = Vec::new();
    walk(folder.path(), &mut files);
    for file in files {
        octets.extend(std::fs::read(file).unwrap());
    }
    let found = memchr::memmem::find(&octets, secret.as_bytes());
    assert_eq!(found, None);
}

#[tokio::test]
async fn a_store_says_what_it_needs() {
    let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let inner = memory();
    let with = |keys: &[(&str, u8)]| BlobSettings {
        keyring: keyring(keys),
        ..in_folder(here.path())
    };
    format::open(&inner).await.unwrap();
    put(&open(&inner, &with(&[("one", 1)])).await, "secret").await;
    // Older versions would take an empty row for a message.
    assert_eq!(
        inner.get(&keys::meta("format")).await.unwrap(),
        Some(crate::numbers(&[2]))
    );
    format::open(&inner).await.unwrap();
    let error = |settings: BlobSettings| {
        let inner = inner.clone();
        async move { try_open(&inner, &settings).await.unwrap_err() }
    };
    assert!(matches!(error(with(&[])).await, OpenError::MissingKey(id) if id == "one"));
    assert!(matches!(error(with(&[("one", 2)])).await, OpenError::WrongKey(id) if id == "one"));
    let nowhere = BlobSettings {
        outside: None,
        ..with(&[("one", 1)])
    };
    assert!(matches!(error(nowhere).await, OpenError::NoPlace));
    let wrong = BlobSettings {
        keyring: keyring(&[("one", 1)]),
        ..in_folder(elsewhere.path())
    };
    assert!(matches!(error(wrong).await, OpenError::WrongPlace(_)));
    open(&inner, &with(&[("one", 1), ("two", 2)])).await;
    assert!(matches!(error(with(&[("one", 1)])).await, OpenError::MissingKey(id) if id == "two"));
}

#[tokio::test]
async fn a_node_with_other_settings_says_that_it_can_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let inner = memory();
    // It was started before anything was outside or encrypted.
    let before = open(&inner, &settings()).await;
    let settings = BlobSettings {
        threshold: 10,
        keyring: keyring(&[("key", 1)]),
        ..in_folder(folder.path())
    };
    let engine = open(&inner, &settings).await;
    for text in ["short", "longer than the threshold"] {
        let hash = put(&engine, text).await;
        let error = before.get(&keys::blob(&hash)).await.unwrap_err();
        assert!(matches!(error, EngineError::Unavailable(_)), "{error}");
        let error = before.multi_get(&[keys::blob(&hash)]).await.unwrap_err();
        assert!(matches!(error, EngineError::Unavailable(_)), "{error}");
        // What it writes itself is right for both.
        put(&before, text).await;
        assert_eq!(get(&engine, &hash).await.unwrap(), text);
        assert_eq!(get(&before, &hash).await.unwrap(), text);
    }
}

#[tokio::test]
async fn two_nodes_begin_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let inner = memory();
    let settings = in_folder(folder.path());
    let nodes = (0..4).map(|_| open(&inner, &settings));
    let nodes = futures_util::future::join_all(nodes).await;
    for (number, node) in nodes.iter().enumerate() {
        put(node, mail(number as u64, 50)).await;
    }
    for node in &nodes {
        for number in 0..nodes.len() as u64 {
            let hash = crate::blob::hash(&mail(number, 50));
            assert_eq!(get(node, &hash).await, Some(mail(number, 50)));
        }
    }
}

#[tokio::test]
async fn a_damaged_blob_is_an_error_and_the_others_are_read() {
    let inner = memory();
    let settings = BlobSettings {
        keyring: keyring(&[("key", 1)]),
        ..settings()
    };
    let engine = open(&inner, &settings).await;
    let (good, bad) = (put(&engine, "good").await, put(&engine, "bad").await);
    let mut row = inner
        .get(&keys::blob(&bad))
        .await
        .unwrap()
        .unwrap()
        .to_vec();
    *row.last_mut().unwrap() ^= 1;
    let mut batch = Batch::new();
    batch.put(keys::blob(&bad), row);
    inner.commit(batch).await.unwrap();
    let error = engine.get(&keys::blob(&bad)).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Corrupt(why) if why.contains("key")),
        "{error}"
    );
    let both = engine
        .multi_get(&[keys::blob(&bad), keys::blob(&good)])
        .await;
    assert_eq!(both.unwrap(), [None, Some("good".into())]);
    let noted = inner
        .get(&keys::quarantine(&keys::blob(&bad)))
        .await
        .unwrap();
    assert!(noted.is_some());
    // Who has it once more makes it whole.
    assert_eq!(put(&engine, "bad").await, bad);
    assert_eq!(get(&engine, &bad).await.unwrap(), "bad");
    assert_eq!(engine.check_stubs().await.unwrap(), []);
    let mut batch = Batch::new();
    batch.delete(keys::blob(&bad));
    inner.commit(batch).await.unwrap();
    assert_eq!(engine.check_stubs().await.unwrap().len(), 1);
    assert_eq!(get(&engine, &bad).await, None);
}

#[tokio::test]
async fn a_conflict_is_the_callers_own() {
    let folder = tempfile::tempdir().unwrap();
    let inner = memory();
    let engine = open(&inner, &in_folder(folder.path())).await;
    let octets = mail(1, 100);
    let mut batch = put_batch(&octets);
    batch.assert(crate::engine::Assertion::Present(b"absent".to_vec()));
    for _ in 0..3 {
        let error = engine.commit(batch.clone()).await.map_err(Error::from);
        assert!(matches!(error, Err(Error::Conflict)));
    }
    put(&engine, octets).await;
    // It was uploaded once.
    assert_eq!(objects(folder.path()), 1);
}
