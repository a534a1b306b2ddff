//! RocksDB: the conformance suite, and what happens at a kill, a full disk and damage.

mod crash;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{
    RocksEngine, RocksOptions,
    committer::{Committer, HERE_OCTETS_MAX},
    fence::Fence,
};
use crate::engine::{Batch, Engine, EngineError, Page, conformance};

/// So little memory that a test gets to see flushes, compactions and blob files.
fn tiny() -> RocksOptions {
    RocksOptions {
        block_cache_octets: 256 * 1024,
        write_buffer_octets: 64 * 1024,
        ..RocksOptions::default()
    }
}

fn open(path: &Path) -> Result<Arc<dyn Engine>, EngineError> {
    RocksEngine::open(path, &tiny())
}

async fn put(engine: &Arc<dyn Engine>, key: &str, value: impl Into<bytes::Bytes>) {
    let mut batch = Batch::new();
    batch.put(key.into(), value);
    engine.commit(batch).await.expect("a commit");
}

async fn keys(engine: &Arc<dyn Engine>) -> Vec<String> {
    let page = Page::first(Vec::new()..vec![0xff], 100_000).keys_only();
    let pairs = engine.scan(page).await.expect("a scan");
    pairs
        .iter()
        .map(|(key, _)| key.escape_ascii().to_string())
        .collect()
}

async fn conform(options: RocksOptions) {
    let root = TempDir::new().expect("a folder");
    let count = std::cell::Cell::new(0);
    conformance::run(async || {
        count.set(count.get() + 1);
        RocksEngine::open(root.path().join(count.get().to_string()), &options).expect("opens")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocks_conforms() {
    conform(RocksOptions::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocks_with_little_memory_conforms() {
    conform(RocksOptions {
        sync: false,
        ..tiny()
    })
    .await;
}

/// What was queued before goes to disk before: nobody overtakes the thread.
#[test]
fn a_commit_waits_for_those_before_it() {
    let folder = TempDir::new().expect("a folder");
    let db = Arc::new(rocksdb::DB::open_default(folder.path()).expect("opens"));
    let fence = Fence::open(folder.path()).expect("opens");
    let committer = Committer::new(db.clone(), true, fence);
    let mut batch = Batch::new();
    batch.put("a".into(), "1");
    let before = committer.announce();
    assert!(committer.commit_here(&batch).is_none());
    assert_eq!(db.get(b"a").expect("read"), None);
    // It went away before it was in the queue.
    drop(before);
    let mut large = Batch::new();
    large.put("b".into(), vec![0; HERE_OCTETS_MAX]);
    assert!(committer.commit_here(&large).is_none());
    assert!(matches!(committer.commit_here(&batch), Some(Ok(()))));
    assert_eq!(db.get(b"a").expect("read").as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let folder = TempDir::new().expect("a folder");
    let mut want = Vec::new();
    for round in 0..4 {
        let engine = open(folder.path()).expect("opens");
        assert_eq!(keys(&engine).await, want, "round {round}");
        for number in 0..50 {
            let key = format!("{round}/{number:02}");
            put(&engine, &key, vec![number; 100 * usize::from(number)]).await;
            want.push(key);
        }
        assert!(engine.disk_octets().await.expect("octets") > 1000);
    }
    let engine = open(folder.path()).expect("opens");
    let value = engine.get(b"2/49").await.expect("a get").expect("a value");
    assert_eq!(value, vec![49; 4900]);
}

#[tokio::test]
async fn an_engine_whose_memory_was_trimmed_answers_the_same() {
    let folder = TempDir::new().expect("a folder");
    // Larger than what is written: nothing goes to the disk by itself.
    let engine = RocksEngine::open_engine(folder.path(), &RocksOptions::default()).expect("opens");
    let db = engine.db.clone();
    let octets = |property: &str| db.property_int_value(property).expect("a property");
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let empty = octets("rocksdb.cur-size-all-mem-tables").expect("octets");
    for number in 0..200_u8 {
        put(&engine, &format!("{number:03}"), vec![number; 5000]).await;
    }
    let want = keys(&engine).await;
    assert!(octets("rocksdb.cur-size-all-mem-tables") > Some(empty + 500_000));
    engine.trim_memory().await;
    assert_eq!(octets("rocksdb.cur-size-all-mem-tables"), Some(empty));
    assert_eq!(octets("rocksdb.num-running-flushes"), Some(0));
    assert_eq!(octets("rocksdb.num-running-compactions"), Some(0));
    assert_eq!(keys(&engine).await, want);
    let value = engine.get(b"007").await.expect("a get").expect("a value");
    assert_eq!(value, vec![7; 5000]);

    // Reading has filled the cache, which is emptied but for what is pinned, and serves again.
    let capacity = octets("rocksdb.block-cache-capacity");
    let filled = octets("rocksdb.block-cache-usage").expect("octets");
    engine.trim_memory().await;
    assert!(octets("rocksdb.block-cache-usage").expect("octets") < filled);
    assert_eq!(octets("rocksdb.block-cache-capacity"), capacity);
    assert_eq!(keys(&engine).await, want);
}

#[tokio::test]
async fn a_folder_belongs_to_one_engine() {
    let folder = TempDir::new().expect("a folder");
    let engine = open(folder.path()).expect("opens");
    put(&engine, "a", "1").await;
    let second = open(folder.path());
    assert!(matches!(second, Err(EngineError::Locked(_))), "{second:?}");
    // A snapshot keeps the database open.
    let snapshot = engine.snapshot().await.expect("a snapshot");
    drop(engine);
    let second = open(folder.path());
    assert!(matches!(second, Err(EngineError::Locked(_))), "{second:?}");
    drop(snapshot);
    assert_eq!(keys(&open(folder.path()).expect("opens")).await, ["a"]);
}

#[test]
fn a_folder_that_is_given_up_a_moment_later_opens() {
    let folder = TempDir::new().expect("a folder");
    let engine = open(folder.path()).expect("opens");
    let closing = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(engine);
    });
    open(folder.path()).expect("opens");
    closing.join().expect("closed");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    let error = open(&file.join("database")).expect_err("a file isn't a folder");
    assert!(
        matches!(&error, EngineError::Io(text) if text.contains("file/database")),
        "{error}"
    );
}

#[tokio::test]
async fn damage_is_told_from_other_errors() {
    let folder = TempDir::new().expect("a folder");
    let engine = open(folder.path()).expect("opens");
    put(&engine, "a", "1").await;
    drop(engine);
    for entry in fs::read_dir(folder.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.display().to_string().contains("MANIFEST") {
            fs::write(path, b"something else, and more than a header").expect("written");
        }
    }
    let error = open(folder.path()).expect_err("damaged");
    assert!(matches!(error, EngineError::Corrupt(_)), "{error}");
}

/// A database whose log is in a file that was a longer log before; `path`: its folder.
fn with_reused_log(path: &Path, octets: usize) -> rocksdb::DB {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_recycle_log_file_num(1);
    let db = rocksdb::DB::open(&options, path).expect("opens");
    let length = |log: &Path| fs::metadata(log).map_or(0, |of| of.len() as usize);
    for count in 0_u8..100 {
        if newest_log(path).is_some_and(|log| length(&log) >= octets) {
            return db;
        }
        // Records of many lengths, so that what is left of them begins anywhere.
        for part in 0..=octets / 1000 {
            db.put(b"a", vec![count; 1000 + part % 77])
                .expect("written");
        }
        db.flush().expect("flushed");
    }
    panic!("no log was used again");
}

fn newest_log(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .max()
}

/// A log with three records; the fence is behind the second. `size` makes records span blocks.
async fn check_fence(size: usize, is_reused: bool) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path();
    let db = match is_reused {
        true => with_reused_log(path, 4 * size + 100_000),
        false => rocksdb::DB::open_default(path).expect("opens"),
    };
    db.put(b"a", vec![1; size]).expect("written");
    db.put(b"b", vec![2; size]).expect("written");
    let sequence = db.latest_sequence_number();
    db.put(b"c", vec![3; size]).expect("written");
    drop(db);
    let fence = Fence::open(path).expect("opens");
    fence.set(sequence).expect("set");
    drop(fence);
    let engine = open(path).expect("opens");
    assert_eq!(keys(&engine).await, ["a", "b"], "{size} octets");
    put(&engine, "d", "4").await;
    drop(engine);
    // What comes after isn't cut off.
    assert_eq!(
        keys(&open(path).expect("opens")).await,
        ["a", "b", "d"],
        "{size} octets"
    );
}

#[tokio::test]
async fn a_fence_cuts_off_what_failed() {
    for size in [
        0, 1, 100, 10_900, 16_300, 32_700, 32_741, 32_750, 40_000, 200_000,
    ] {
        check_fence(size, false).await;
        check_fence(size, true).await;
    }
}

#[tokio::test]
async fn a_fence_that_was_left_or_is_broken_cuts_off_nothing() {
    let folder = TempDir::new().expect("a folder");
    let db = rocksdb::DB::open_default(folder.path()).expect("opens");
    db.put(b"a", b"1").expect("written");
    drop(db);
    let fence = Fence::open(folder.path()).expect("opens");
    fence.set(0).expect("set");
    fence.leave().expect("left");
    drop(fence);
    drop(Fence::open(folder.path()).expect("opens"));
    fs::write(folder.path().join("FENCE"), [7; 32]).expect("written");
    assert_eq!(keys(&open(folder.path()).expect("opens")).await, ["a"]);
}
