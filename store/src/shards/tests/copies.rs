//! What is published, and what a folder becomes by it, when things go another way.

use super::*;

#[tokio::test]
async fn what_is_made_anew_begins_a_new_base() {
    let mut bench = Bench::new();
    let (mut a, mut b) = (bench.node().await, bench.node().await);
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 10).await;
    let is_new = What {
        is_new: true,
        ..What::default()
    };
    let last = a.last.as_ref().map(|(manifest, _)| manifest.clone());
    let snapshot = a.shards.snapshot(0, last, is_new).await.unwrap();
    assert!(!snapshot.is_published());
    let manifest = a.shards.pack(0, snapshot, 2).await.unwrap();
    assert_eq!(manifest.base, 2);
    // Nothing of it is where the former one was, and what is known of that says nothing of it.
    assert_eq!(manifest.packs.len(), 1);
    assert_ne!(manifest.packs, a.last.as_ref().unwrap().0.packs);
    let account = AccountId::new(ACCOUNT);
    let indexed = a.shards.indexed(account).await.unwrap();
    assert_eq!(indexed.cursor(a.shards.layout, 2, manifest.base), 0);
    a.publish(is_new, 20).await;
    assert_eq!(a.shards.indexed(account).await.unwrap().pairs, [(2, 20)]);
    b.follow().await;
    assert_eq!(b.find("alpha"), [1]);
}

#[tokio::test]
async fn a_file_is_known_by_the_hash_that_was_noted() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    let mut copy = a.last.as_ref().unwrap().0.copy(a.shards.layout);
    assert_eq!(a.shards.index.missing(0, &copy).unwrap(), []);
    copy.files[0].hash[0] ^= 1;
    assert_eq!(a.shards.index.missing(0, &copy).unwrap(), copy.files[..1]);
    // Without all of its files there is no copy, and what was here stays.
    assert!(a.shards.index.put_in(0, &copy).is_err());
    assert_eq!(a.find("alpha"), [1]);
    let noted = a.shards.index.copied(0).unwrap().unwrap();
    assert_ne!(noted.files[0], copy.files[0]);
}

#[tokio::test]
async fn a_folder_that_became_half_a_copy_is_none() {
    let mut bench = Bench::new();
    let (mut a, mut b) = (bench.node().await, bench.node().await);
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    b.follow().await;
    a.apply(vec![document(2, "alpha")]);
    a.publish(What::default(), 2).await;
    // The last of the files can't be put in its place.
    let manifest = &a.last.as_ref().unwrap().0;
    let of_last = |of: &&PackedFile| of.pack == manifest.packs.len() as u64 - 1;
    let last = manifest.files.iter().rfind(of_last).unwrap();
    let shard = b.folder.join("shard-00000");
    fs::create_dir(shard.join(&last.file.name)).unwrap();
    let error = b.try_follow().await.unwrap_err();
    assert!(matches!(error, FetchError::Index(_)), "{error}");
    assert_eq!(b.shards.index.copied(0).unwrap(), None);
    assert_eq!(b.find("alpha"), [1]);
    fs::remove_dir(shard.join(&last.file.name)).unwrap();
    b.follow().await;
    assert_eq!(b.find("alpha"), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_was_the_shard_at_one_moment() {
    const DOCUMENTS: u64 = 60;
    let mut bench = Bench::new();
    let (mut a, mut b) = (bench.node().await, bench.node().await);
    a.apply(vec![document(0, "alpha")]);
    let index = a.shards.index.clone();
    let writing = tokio::task::spawn_blocking(move || {
        for id in 1..DOCUMENTS {
            index.apply(0, vec![document(id, "alpha")]).unwrap();
        }
    });
    while !writing.is_finished() {
        a.publish(What::default(), 1).await;
        b.follow().await;
        b.shards.index.verify(0).unwrap();
        let found = b.find("alpha");
        assert!(found.iter().copied().eq(0..found.len() as u64), "{found:?}");
    }
    writing.await.unwrap();
    // Nor does anybody write while another copy is put in.
    let manifest = a.last.as_ref().unwrap().0.clone();
    let copied = a.find("alpha").len();
    b.follow().await;
    for id in DOCUMENTS..DOCUMENTS + 20 {
        let index = b.shards.index.clone();
        let writing =
            tokio::task::spawn_blocking(move || index.apply(0, vec![document(id, "beta")]));
        b.shards.gather(0, &manifest).await.unwrap();
        b.shards.put_in(0, &manifest).await.unwrap();
        writing.await.unwrap().unwrap();
        b.shards.index.verify(0).unwrap();
        let found = b.find("beta");
        assert!(found.is_empty() || found == [id], "{found:?}");
        assert!(b.find("alpha").len() <= copied);
        b.follow().await;
    }
}

#[tokio::test]
async fn records_that_cant_be_read_are_as_none() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    let account = AccountId::new(ACCOUNT);
    let mut batch = Batch::new();
    for row in [ShardRow::Head, ShardRow::Manifest, ShardRow::Complaint] {
        batch.put(a.shards.key(0, row), "x");
    }
    batch.put(keys::search_indexed(account), "x");
    bench.inner.commit(batch).await.unwrap();
    let rows = a.shards.rows(0).await.unwrap();
    assert_eq!((rows.head, rows.complaint), (None, None));
    // What is published next is built on it all the same.
    assert_eq!(rows.head_bytes.as_deref(), Some(&b"x"[..]));
    assert_eq!(a.shards.manifest(0).await.unwrap(), None);
    let indexed = a.shards.indexed(account).await.unwrap();
    assert_eq!(indexed, IndexedRecord::default());
    let head = rows.head_bytes.unwrap();
    a.last = a.last.map(|(manifest, _)| (manifest, head));
    a.apply(vec![document(2, "alpha")]);
    assert_eq!(a.publish(What::default(), 2).await, Committed::Done);
    assert!(a.shards.manifest(0).await.unwrap().is_some());
}
