//! Copies between engines in memory: broken off, changed meanwhile, and into what they must not go.

use std::sync::Arc;

use store::engine::MemoryEngine;

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
