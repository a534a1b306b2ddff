//! Moving all blobs to another place and another key, while others use them.

use super::{places::objects, *};
use crate::{
    blob::{Census, RewriteError, s3_server::S3Fault},
    engine::{EngineError, MemoryEngine, Page},
};

/// Blobs of these octets, which are there all the time.
const SIZES: [usize; 8] = [0, 1, 50, 99, 100, 5000, 70_000, 200_000];

async fn put_all(engine: &Arc<BlobEngine>) {
    for (seed, size) in SIZES.iter().enumerate() {
        put(engine, mail(seed as u64, *size)).await;
    }
}

async fn check_all(engine: &Arc<BlobEngine>) {
    for (seed, size) in SIZES.iter().enumerate() {
        let octets = mail(seed as u64, *size);
        let hash = crate::blob::hash(&octets);
        assert_eq!(get(engine, &hash).await, Some(octets), "{size} octets");
    }
    assert_eq!(engine.check_stubs().await.unwrap(), []);
}

async fn census(engine: &Arc<BlobEngine>) -> Census {
    engine.census(&|_| {}).await.unwrap()
}

/// How many are plain, and `[(outside, key, blobs)]`.
type Rows<'c> = (u64, Vec<(bool, Option<&'c str>, u64)>);

fn rows(census: &Census) -> Rows<'_> {
    let of = |((outside, key), count): (&(bool, Option<String>), &crate::blob::Count)| {
        (
            *outside,
            key.as_deref().map(|key| match key {
                "one" => "one",
                "two" => "two",
                _ => "another",
            }),
            count.blobs,
        )
    };
    (census.plain, census.stubs.iter().map(of).collect())
}

#[tokio::test]
async fn blobs_go_from_anywhere_to_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let source = TestSource::new();
    let with = |threshold, keys: &[(&str, u8)], writes_outside| BlobSettings {
        threshold,
        writes_outside,
        keyring: keyring(keys),
        source: source.clone(),
        ..in_folder(folder.path())
    };
    let plain = BlobSettings {
        outside: None,
        ..with(0, &[], true)
    };
    put_all(&open(&inner, &plain).await).await;
    let one = ("one", 1);
    let two = ("two", 2);
    let steps: Vec<(BlobSettings, Rows<'static>)> = vec![
        (plain.clone(), (8, vec![])),
        // Outside, not encrypted.
        (with(100, &[], true), (4, vec![(true, None, 4)])),
        (
            with(100, &[one], true),
            (0, vec![(false, Some("one"), 4), (true, Some("one"), 4)]),
        ),
        // Another key, another threshold.
        (
            with(5000, &[one, two], true),
            (0, vec![(false, Some("two"), 5), (true, Some("two"), 3)]),
        ),
        (with(0, &[two], true), (0, vec![(true, Some("two"), 8)])),
        // Back into the engine.
        (with(0, &[two], false), (0, vec![(false, Some("two"), 8)])),
    ];
    for (number, (settings, want)) in steps.into_iter().enumerate() {
        let engine = open(&inner, &settings).await;
        check_all(&engine).await;
        let done = engine.rewrite(&|_| {}).await.unwrap();
        assert_eq!(
            (done.looked_at, done.damaged_count),
            (8, 0),
            "step {number}"
        );
        assert_eq!(rows(&census(&engine).await), want, "step {number}");
        check_all(&engine).await;
        let again = engine.rewrite(&|_| {}).await.unwrap();
        assert_eq!(again.rewritten, 0, "step {number}");
    }
    // Nothing encrypted, nothing outside; then neither a key nor a place is needed.
    let mut settings = with(0, &[two], false);
    settings.keyring.encrypt_no_more();
    let engine = open(&inner, &settings).await;
    let done = engine.rewrite(&|_| {}).await.unwrap();
    assert_eq!(done.retired_keys, ["two"]);
    assert!(!done.retired_place, "objects wait to be removed");
    source.advance(Duration::from_secs(3 * 3600));
    while engine.collect_garbage().await.unwrap() {}
    assert_eq!(objects(folder.path()), 0);
    assert!(engine.rewrite(&|_| {}).await.unwrap().retired_place);
    let engine = open(&inner, &plain).await;
    check_all(&engine).await;
    assert_eq!(rows(&census(&engine).await), (8, vec![]));
}

#[tokio::test]
async fn a_key_stays_while_anything_needs_it() {
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let with = |keys| BlobSettings {
        keyring: keyring(keys),
        ..settings()
    };
    let old = open(&inner, &with(&[("one", 1)])).await;
    put_all(&old).await;
    let new = open(&inner, &with(&[("one", 1), ("two", 2)])).await;
    // A node that was started before goes on writing with the old key.
    let writes = std::sync::atomic::AtomicBool::new(false);
    let done = new
        .rewrite(&|done| {
            if done.looked_at == 8 {
                writes.store(true, Ordering::Relaxed);
            }
        })
        .await
        .unwrap();
    assert!(writes.load(Ordering::Relaxed));
    assert_eq!(done.retired_keys, ["one"]);
    // It can still write, and then the key is needed again.
    put(&old, "by the old node").await;
    assert_eq!(census(&new).await.keys, ["one", "two"]);
    assert!(matches!(
        try_open(&inner, &with(&[("two", 2)])).await,
        Err(OpenError::MissingKey(_))
    ));
    let done = new.rewrite(&|_| {}).await.unwrap();
    assert_eq!(
        (done.rewritten, done.retired_keys),
        (1, vec!["one".to_owned()])
    );
    check_all(&open(&inner, &with(&[("two", 2)])).await).await;
}

#[tokio::test]
async fn one_that_is_damaged_stays_and_keeps_its_key() {
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let with = |keys| BlobSettings {
        keyring: keyring(keys),
        ..settings()
    };
    let old = open(&inner, &with(&[("one", 1)])).await;
    put_all(&old).await;
    let bad = keys::blob(&put(&old, "bad").await);
    let mut row = inner.get(&bad).await.unwrap().unwrap().to_vec();
    row[70] ^= 1;
    let mut batch = Batch::new();
    batch.put(bad.clone(), row.clone());
    inner.commit(batch).await.unwrap();
    let new = open(&inner, &with(&[("one", 1), ("two", 2)])).await;
    let done = new.rewrite(&|_| {}).await.unwrap();
    assert_eq!((done.rewritten, done.damaged_count), (8, 1));
    assert_eq!(done.damaged.len(), 1);
    assert!(done.retired_keys.is_empty());
    assert_eq!(inner.get(&bad).await.unwrap().unwrap(), row);
    check_all(&new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_stopped_and_goes_on() {
    let server = S3Server::start();
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let plain = open(&inner, &settings()).await;
    for seed in 0..350 {
        put(&plain, mail(seed, 60)).await;
    }
    let settings = in_s3(&server, Duration::from_secs(3));
    let engine = open(&inner, &settings).await;
    // The object store is lost in the middle.
    let stopped = engine
        .rewrite(&|done| {
            if done.looked_at == 250 {
                server.set(S3Fault::Down);
            }
        })
        .await;
    assert!(matches!(
        stopped,
        Err(RewriteError::Store(crate::Error::Engine(
            EngineError::Unavailable(_)
        )))
    ));
    server.set(S3Fault::None);
    // Somebody ends it in the middle: the second half of what is left.
    let (started, mut was_started) = tokio::sync::mpsc::unbounded_channel();
    let task = {
        let engine = open(&inner, &settings).await;
        tokio::spawn(async move {
            let progress = move |done: &crate::blob::Rewritten| {
                if done.looked_at == 20 {
                    let _ = started.send(());
                }
            };
            engine.rewrite(&progress).await
        })
    };
    was_started.recv().await;
    task.abort();
    let _ = task.await;
    let engine = open(&inner, &settings).await;
    let done = engine.rewrite(&|_| {}).await.unwrap();
    assert!(done.looked_at <= 150, "{done:?}");
    let mark = inner.get(&keys::meta("blob-rewrite")).await.unwrap();
    assert_eq!(mark, None);
    assert_eq!(rows(&census(&engine).await), (0, vec![(true, None, 350)]));
    for seed in 0..350 {
        let octets = mail(seed, 60);
        let found = get(&engine, &crate::blob::hash(&octets)).await;
        assert_eq!(found, Some(octets));
    }
}

/// Readers with and without snapshots, writers and removers, while all blobs are moved back and forth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_goes_on_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let with = |keys: &[(&str, u8)], writes_outside| BlobSettings {
        writes_outside,
        keyring: keyring(keys),
        ..in_folder(folder.path())
    };
    let keys_of = [("one", 1), ("two", 2)];
    let first = open(&inner, &with(&keys_of, true)).await;
    put_all(&first).await;
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let other = {
        let (engine, is_over) = (first.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut round = 0;
            while !is_over.load(Ordering::Relaxed) || round == 0 {
                round += 1;
                let snapshot = engine.snapshot().await.unwrap();
                let hash = put(&engine, mail(1000 + round, 300)).await;
                check_all(&engine).await;
                let page = Page::first(keys::all(keys::Subspace::Blob), 100);
                for (key, octets) in snapshot.scan(page).await.unwrap() {
                    let hash = keys::decode_blob(&key).unwrap();
                    assert_eq!(crate::blob::hash(&octets), hash);
                }
                let mut batch = Batch::new();
                batch.delete(keys::blob(&hash));
                engine.commit(batch).await.unwrap();
                assert_eq!(get(&engine, &hash).await, None);
            }
        })
    };
    for round in 0..12 {
        let keys = match round % 2 {
            0 => [("one", 1), ("two", 2)],
            _ => [("two", 2), ("one", 1)],
        };
        let engine = open(&inner, &with(&keys, round % 3 != 0)).await;
        engine.rewrite(&|_| {}).await.unwrap();
        check_all(&engine).await;
    }
    is_over.store(true, Ordering::Relaxed);
    other.await.unwrap();
}

#[tokio::test]
async fn one_at_a_time() {
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let engine = open(&inner, &settings()).await;
    let turn = engine.rewriting.lock().await;
    let second = engine.rewrite(&|_| {}).await;
    assert!(matches!(second, Err(RewriteError::UnderWay)));
    drop(turn);
    engine.rewrite(&|_| {}).await.unwrap();
}
