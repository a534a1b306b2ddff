//! Blobs, under their hashes: an engine may keep their octets anywhere, as long as that can't be seen.

use super::*;
use crate::{blob, keys};

/// Small ones, an empty one, one of several chunks.
fn samples() -> Vec<Bytes> {
    let long: Vec<u8> = (0..200_000u32).map(|number| (number % 251) as u8).collect();
    vec![
        Bytes::new(),
        Bytes::from_static(b"one"),
        Bytes::from_static(b"PHSEAL1\0 is how something else begins"),
        long.into(),
    ]
}

fn blob_key(octets: &[u8]) -> Key {
    keys::blob(&blob::hash(octets))
}

async fn put_samples(engine: &Arc<dyn Engine>) {
    let mut batch = Batch::new();
    for octets in samples() {
        batch.put(blob_key(&octets), octets);
    }
    engine.commit(batch).await.expect("a commit");
}

pub(super) async fn blobs_are_rows_with_their_octets(engine: Arc<dyn Engine>) {
    put(&engine, "a=1").await;
    put_samples(&engine).await;
    let samples = samples();
    let mut keys: Vec<Key> = samples.iter().map(|octets| blob_key(octets)).collect();
    for (key, octets) in keys.iter().zip(&samples) {
        assert_eq!(
            engine.get(key).await.expect("a blob").as_ref(),
            Some(octets)
        );
        assert!(engine.contains(key).await.expect("an answer"));
        for range in [0..0, 0..3, 70_000..140_001, 199_990..300_000] {
            let (start, end) = (range.start as usize, range.end as usize);
            let end = end.min(octets.len());
            let want = octets.slice(start.min(end)..end);
            let found = engine.get_range(key, range.clone()).await;
            assert_eq!(found.expect("a range"), Some(want), "{range:?}");
        }
    }
    keys.extend([key("a"), key("b"), blob_key(b"absent")]);
    let found = engine.multi_get(&keys).await.expect("values");
    let mut want: Vec<_> = samples.iter().cloned().map(Some).collect();
    want.extend([Some(Bytes::from_static(b"1")), None, None]);
    assert_eq!(found, want);
    let mut want: Vec<(Bytes, Bytes)> = samples
        .iter()
        .map(|octets| (blob_key(octets).into(), octets.clone()))
        .collect();
    want.sort();
    let all = keys::all(keys::Subspace::Blob);
    let found = engine.scan(Page::first(all.clone(), 99)).await;
    assert_eq!(found.expect("a scan"), want);
    let keys_only = engine.scan(Page::first(all, 99).keys_only()).await;
    let keys_only: Vec<_> = keys_only.expect("keys").into_iter().map(|p| p.0).collect();
    assert_eq!(
        keys_only,
        want.iter().map(|p| p.0.clone()).collect::<Vec<_>>()
    );
}

pub(super) async fn pages_with_blobs_are_full(engine: Arc<dyn Engine>) {
    put(&engine, "a=1 b=2 c=3").await;
    put_samples(&engine).await;
    let everything = keys::all(keys::Subspace::Blob).start..vec![0xff; 64];
    for limit in 1..8 {
        for page in [
            Page::first(everything.clone(), limit),
            Page::last(everything.clone(), limit),
        ] {
            let found = engine.scan(page).await.expect("a scan");
            assert_eq!(found.len(), limit.min(7), "{limit}");
        }
    }
}

pub(super) async fn blobs_go_and_come_back(engine: Arc<dyn Engine>) {
    let all = keys::all(keys::Subspace::Blob);
    for _ in 0..3 {
        put_samples(&engine).await;
        // Again: it replaces itself.
        put_samples(&engine).await;
        let mut batch = Batch::new();
        batch.delete(blob_key(b"one")).delete(blob_key(b"absent"));
        engine.commit(batch).await.expect("a commit");
        assert_eq!(engine.get(&blob_key(b"one")).await.expect("none"), None);
        let left = engine.scan(Page::first(all.clone(), 99)).await;
        assert_eq!(left.expect("a scan").len(), 3);
        let mut batch = Batch::new();
        batch.delete_range(all.clone());
        engine.commit(batch).await.expect("a commit");
        let left = engine.scan(Page::first(all.clone(), 99)).await;
        assert_eq!(left.expect("a scan"), []);
    }
}

pub(super) async fn snapshots_keep_blobs(engine: Arc<dyn Engine>) {
    put_samples(&engine).await;
    let snapshot = engine.snapshot().await.expect("a snapshot");
    let mut batch = Batch::new();
    batch.delete(blob_key(b"one"));
    batch.put(blob_key(b"two"), "two");
    engine.commit(batch).await.expect("a commit");
    let all = keys::all(keys::Subspace::Blob);
    let found = snapshot.scan(Page::first(all, 99).keys_only()).await;
    assert_eq!(found.expect("a scan").len(), 4);
    let two = snapshot.get(&blob_key(b"two")).await.expect("none");
    assert_eq!(two, None);
    for octets in samples().into_iter().filter(|octets| octets != "one") {
        let keys = [blob_key(&octets)];
        let found = snapshot.multi_get(&keys).await.expect("a blob");
        assert_eq!(found, [Some(octets)]);
    }
}

pub(super) async fn assertions_on_blobs_hold_or_conflict(engine: Arc<dyn Engine>) {
    put_samples(&engine).await;
    let (there, absent) = (blob_key(b"one"), blob_key(b"absent"));
    let rows = [
        (Assertion::Present(there.clone()), "ok"),
        (Assertion::Present(absent.clone()), "conflict 0"),
        (Assertion::Absent(absent), "ok"),
        (Assertion::Absent(there), "conflict 0"),
        (
            Assertion::RangeEmpty(keys::all(keys::Subspace::Blob)),
            "conflict 0",
        ),
    ];
    for (assertion, want) in rows {
        let mut batch = Batch::new();
        batch.assert(assertion.clone());
        batch.put(blob_key(b"another"), "another");
        assert_eq!(commit(&engine, &batch).await, want, "{assertion:?}");
        let mut batch = Batch::new();
        batch.delete(blob_key(b"another"));
        assert_eq!(commit(&engine, &batch).await, "ok");
    }
}

pub(super) async fn the_later_write_of_a_blob_wins(engine: Arc<dyn Engine>) {
    let (one, all) = (blob_key(b"one"), keys::all(keys::Subspace::Blob));
    type Writes = fn(&mut Batch, Key, KeyRange);
    let rows: [(Writes, bool); 5] = [
        (
            |b, k, _| {
                b.put(k.clone(), "one").delete(k);
            },
            false,
        ),
        (
            |b, k, _| {
                b.delete(k.clone()).put(k, "one");
            },
            true,
        ),
        (
            |b, k, r| {
                b.put(k, "one").delete_range(r);
            },
            false,
        ),
        (
            |b, k, r| {
                b.delete_range(r).put(k, "one");
            },
            true,
        ),
        (
            |b, k, _| {
                b.put(k.clone(), "one").put(k, "one");
            },
            true,
        ),
    ];
    for (number, (writes, is_there)) in rows.into_iter().enumerate() {
        for _ in 0..2 {
            let mut batch = Batch::new();
            writes(&mut batch, one.clone(), all.clone());
            assert_eq!(commit(&engine, &batch).await, "ok", "{number}");
            let found = engine.get(&one).await.expect("a get");
            let want = is_there.then_some(Bytes::from_static(b"one"));
            assert_eq!(found, want, "{number}");
        }
    }
}

pub(super) async fn one_of_many_writes_a_blob(engine: Arc<dyn Engine>) {
    let writers = (0..8).map(|number| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut batch = Batch::new();
            batch.put(blob_key(b"shared"), "shared");
            batch.put(format!("ref/{number}").into(), "");
            commit(&engine, &batch).await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        assert_eq!(writer.await.expect("a writer"), "ok");
    }
    let found = engine.get(&blob_key(b"shared")).await.expect("a blob");
    assert_eq!(found, Some(Bytes::from_static(b"shared")));
    let refs = engine.scan(Page::first(range("ref/", "ref0"), 99)).await;
    assert_eq!(refs.expect("a scan").len(), 8);
}
