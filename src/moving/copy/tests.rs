//! Copies between engines in memory: broken off, changed meanwhile, and into what they must not go.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use jmap_core::rng::{Rng as _, SystemRng};
use store::{
    blob::{
        BlobEngine, BlobSettings, OutsidePlace, OutsideSettings,
        keyring::{Keyring, MasterKey},
    },
    engine::MemoryEngine,
};

use super::*;

fn silent() -> Progress {
    Arc::new(|_: &str| {})
}

async fn source(records: u64) -> Arc<dyn Engine> {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    format::open(&engine).await.unwrap();
    let mut batch = Batch::new();
    batch.put(keys::meta("scram"), vec![7; 32]);
    for number in 0..records {
        let hash = store::blob::hash(&number.to_be_bytes());
        batch.put(keys::blob(&hash), number.to_be_bytes().to_vec());
        batch.put(
            keys::search_cursor(jmap_types::AccountId::new(number)),
            vec![0; 8],
        );
    }
    engine.commit(batch).await.unwrap();
    engine
}

async fn all(engine: &Arc<dyn Engine>) -> Vec<(Bytes, Bytes)> {
    let page = Page::first(vec![0]..vec![0xff; 64], usize::MAX);
    engine.scan(page).await.unwrap()
}

async fn copied(source: &Arc<dyn Engine>, target: &Arc<dyn Engine>) -> Result<Copied, MoveError> {
    let mark = begin(source, target).await?;
    copy(source, target, mark, &silent()).await
}

#[test]
fn golden_mark() {
    let mark = CopyMark {
        source: vec![1, 2],
        next: vec![0x20],
    };
    assert_eq!(&mark.to_bytes()[..], b"\x82\x42\x01\x02\x41\x20");
    assert_eq!(CopyMark::from_bytes(b"", &mark.to_bytes()).unwrap(), mark);
}

#[tokio::test]
async fn everything_but_what_is_of_the_machine_is_copied() {
    let (source, target) = (source(1200).await, MemoryEngine::new() as Arc<dyn Engine>);
    let done = copied(&source, &target).await.unwrap();
    assert_eq!(done.records, 1202);
    let mut wanted = all(&source).await;
    wanted.retain(|(key, _)| key[0] != Subspace::SearchCursor as u8);
    assert_eq!(all(&target).await, wanted);
    format::open(&target).await.unwrap();
    // A store that is in use is not copied over.
    let again = copied(&source, &target).await;
    assert!(again.unwrap_err().to_string().contains("isn't empty"));
}

#[tokio::test]
async fn a_copy_that_was_broken_off_is_not_opened_and_goes_on() {
    let (source, target) = (source(100).await, MemoryEngine::new() as Arc<dyn Engine>);
    let rows = all(&source).await;
    let mark = CopyMark {
        source: identity(&source).await.unwrap(),
        next: after(&rows[60].0),
    };
    let mut batch = Batch::new();
    for (key, value) in &rows[..61] {
        batch.put(key.to_vec(), value.clone());
    }
    batch.put(keys::meta(format::COPY_MARK), mark.to_bytes());
    target.commit(batch).await.unwrap();
    assert!(matches!(
        format::open(&target).await,
        Err(store::Error::UnfinishedCopy)
    ));
    // Before the mark, the source has changed: a record more, one less, another value.
    let mut batch = Batch::new();
    batch.delete(rows[10].0.to_vec());
    batch.put(rows[20].0.to_vec(), vec![1]);
    batch.put(keys::meta("aaa"), vec![2]);
    source.commit(batch).await.unwrap();
    copied(&source, &target).await.unwrap();
    let mut wanted = all(&source).await;
    wanted.retain(|(key, _)| key[0] != Subspace::SearchCursor as u8);
    assert_eq!(all(&target).await, wanted);
}

#[tokio::test]
async fn a_copy_of_another_source_is_left_alone() {
    let (source, target) = (source(3).await, MemoryEngine::new() as Arc<dyn Engine>);
    let mark = CopyMark {
        source: vec![9; 32],
        next: Vec::new(),
    };
    let mut batch = Batch::new();
    batch.put(keys::meta(format::COPY_MARK), mark.to_bytes());
    target.commit(batch).await.unwrap();
    let refused = copied(&source, &target).await.unwrap_err();
    assert!(refused.to_string().contains("another source"), "{refused}");
}

#[derive(Debug)]
struct TestSource;

impl store::blob::Source for TestSource {
    fn now_ms(&self) -> u64 {
        1_800_000_000_000
    }

    fn fill(&self, out: &mut [u8]) {
        for eight in out.chunks_mut(8) {
            eight.copy_from_slice(&SystemRng.next_u64().to_be_bytes()[..eight.len()]);
        }
    }
}

/// Blobs of the engine are in the folder, encrypted by a key of this id.
async fn over(engine: &Arc<dyn Engine>, folder: &Path, key: &str) -> Arc<dyn Engine> {
    let mut keyring = Keyring::none();
    let octet = key.as_bytes()[0];
    keyring.add(key, MasterKey::new([octet; 32])).unwrap();
    let settings = BlobSettings {
        outside: Some(OutsideSettings {
            place: OutsidePlace::Folder(folder.to_owned()),
            timeout: Duration::from_secs(60),
        }),
        writes_outside: true,
        threshold: 0,
        cache: None,
        keyring,
        source: Arc::new(TestSource),
    };
    BlobEngine::open(engine.clone(), settings).await.unwrap()
}

async fn of_place(engine: &Arc<dyn Engine>) -> Vec<(Bytes, Bytes)> {
    let mut rows = all(engine).await;
    rows.retain(|(key, _)| store::blob::is_of_place(key));
    rows
}

#[tokio::test]
async fn each_side_keeps_its_blobs_in_a_place_and_by_a_key_of_its_own() {
    const BLOBS: u64 = 40;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (from, to) = (source(0).await, MemoryEngine::new() as Arc<dyn Engine>);
    let from_blobs = over(&from, folders[0].path(), "old").await;
    let mut batch = Batch::new();
    for number in 0..BLOBS {
        let octets = number.to_be_bytes();
        batch.put(keys::blob(&store::blob::hash(&octets)), octets.to_vec());
    }
    // As when its objects have been listed.
    batch.put(keys::meta("blob-listing"), numbers(&[7]));
    from_blobs.commit(batch).await.unwrap();
    let mark = begin(&from_blobs, &to).await.unwrap();
    let to_blobs = over(&to, folders[1].path(), "new").await;
    let before = of_place(&to).await;
    assert_eq!(before.len(), 2, "{before:?}");
    let done = copy(&from_blobs, &to_blobs, mark, &silent()).await.unwrap();
    assert_eq!(done.records, 2 + BLOBS);
    assert_eq!(of_place(&to).await, before);
    // Nothing of it needs what the source needs.
    drop((from, from_blobs, to_blobs));
    std::fs::remove_dir_all(folders[0].path()).unwrap();
    let to_blobs = over(&to, folders[1].path(), "new").await;
    for number in 0..BLOBS {
        let octets = number.to_be_bytes();
        let key = keys::blob(&store::blob::hash(&octets));
        let found = to_blobs.get(&key).await.unwrap();
        assert_eq!(found.unwrap(), octets[..]);
    }
}

#[tokio::test]
async fn a_source_that_changes_meanwhile_makes_no_copy() {
    let (source, target) = (source(20).await, MemoryEngine::new() as Arc<dyn Engine>);
    let mark = begin(&source, &target).await.unwrap();
    let changing = source.clone();
    let progress: Progress = Arc::new(move |sentence: &str| {
        // Behind the comparison's back.
        if sentence.ends_with("records compared") {
            let mut batch = Batch::new();
            batch.put(keys::meta("aaa"), vec![2]);
            let done = changing.commit(batch).now_or_never();
            done.expect("memory takes no time").unwrap();
        }
    });
    let refused = copy(&source, &target, mark, &progress).await.unwrap_err();
    assert!(refused.to_string().contains("changes while"), "{refused}");
    assert!(matches!(
        format::open(&target).await,
        Err(store::Error::UnfinishedCopy)
    ));
    copied(&source, &target).await.unwrap();
    format::open(&target).await.unwrap();
}
