//! What is in the object store, and what goes from there.

use std::{collections::BTreeSet, time::Instant};

use super::*;
use crate::{
    engine::between::{Between, Moment},
    shards::clean::GRACE,
};

#[tokio::test]
async fn packs_under_another_key_go_out_again() {
    let mut bench = Bench::new();
    bench.keys = vec!["a"];
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    let last = a.last.clone();
    let folder = a.folder.clone();
    drop(a);
    bench.keys = vec!["a", "b"];
    let mut a = bench.node_in(folder).await;
    a.last = last;
    let engine = bench.engine().await;
    let blobs = engine.blobs().unwrap();
    let census = blobs.census(&|_| ()).await.unwrap();
    assert_eq!(census.search.blobs, 1);
    assert!(census.search_keys.contains("a"));
    // The key stays as long as an object needs it.
    assert_eq!(blobs.rewrite(&|_| ()).await.unwrap().retired_keys, [""; 0]);
    a.publish(What::default(), 2).await;
    let retired = blobs.rewrite(&|_| ()).await.unwrap().retired_keys;
    assert_eq!(retired, ["a"]);
    bench.keys = vec!["b"];
    let mut b = bench.node().await;
    b.follow().await;
    assert_eq!(b.find("alpha"), [1]);
}

#[tokio::test]
async fn a_pack_that_is_mostly_dead_is_packed_anew() {
    let mut bench = Bench::new();
    let (mut a, mut b) = (bench.node().await, bench.node().await);
    // Many segments go out in one object, and later most are merged away.
    a.apply(vec![document(0, "kept")]);
    a.publish(What::default(), 0).await;
    for id in 1..60 {
        a.apply(vec![document(id, "alpha")]);
        a.publish(What::default(), id).await;
        let manifest = &a.last.as_ref().unwrap().0;
        for (number, pack) in (0u64..).zip(&manifest.packs) {
            let of_pack = manifest.files.iter().filter(|of| of.pack == number);
            let live: u64 = of_pack.map(|of| of.file.octets).sum();
            assert!(live * 4 >= pack.size, "{live} of {}", pack.size);
        }
    }
    b.follow().await;
    assert_eq!(b.find("kept"), [0]);
    assert_eq!(b.find("alpha").len(), 59);
}

#[tokio::test]
async fn objects_that_nothing_names_go_after_a_while_and_no_others() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    // A crash between object and commit.
    a.apply(vec![document(2, "alpha")]);
    let last = a.last.as_ref().map(|(manifest, _)| manifest.clone());
    let snapshot = a.shards.snapshot(0, last, What::default()).await.unwrap();
    a.shards.pack(0, snapshot, 2).await.unwrap();
    assert_eq!(bench.objects().len(), 2);
    let mut unnamed = Unnamed::default();
    let now = Instant::now();
    let clean =
        async |unnamed: &mut Unnamed, after| a.shards.clean(0, unnamed, now + after).await.unwrap();
    assert_eq!(clean(&mut unnamed, Duration::ZERO).await, 0);
    assert_eq!(clean(&mut unnamed, GRACE / 2).await, 0);
    assert_eq!(clean(&mut unnamed, GRACE).await, 1);
    assert_eq!(clean(&mut unnamed, GRACE * 3).await, 0);
    let engine = bench.engine().await;
    let blobs = engine.blobs().unwrap();
    assert_eq!(blobs.collect_orphans().await.unwrap(), 0);
    let object = bench.objects();
    assert_eq!(object.len(), 1);
    let name = a.last.as_ref().unwrap().0.packs[0].file();
    assert!(object[0].ends_with(name));
}

#[tokio::test]
async fn layouts_that_nobody_builds_are_forgotten() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    a.shards.request(AccountId::new(ACCOUNT)).await.unwrap();
    // An account that is there, whose row stays.
    let living = AccountId::new(ACCOUNT + 1);
    let mut batch = Batch::new();
    batch.put(keys::head(living), "a head");
    batch.put(keys::search_indexed(living), "a row");
    bench.inner.commit(batch).await.unwrap();
    let mut other = a.shards.clone();
    other.layout = (99, 1);
    let mut unnamed = Unnamed::default();
    let now = Instant::now();
    let works = other.other_works().await.unwrap();
    assert_eq!(works, [Shards::work(a.shards.layout, 0)]);
    let built = &BTreeSet::from_iter(works);
    let free = &BTreeSet::new();
    other.clean_others(built, &mut unnamed, now).await.unwrap();
    other
        .clean_others(built, &mut unnamed, now + GRACE)
        .await
        .unwrap();
    assert!(a.shards.manifest(0).await.unwrap().is_some());
    assert_eq!(bench.objects().len(), 1);
    other.clean_others(free, &mut unnamed, now).await.unwrap();
    assert!(a.shards.manifest(0).await.unwrap().is_none());
    assert_eq!(other.other_works().await.unwrap(), [""; 0]);
    assert_eq!(bench.objects().len(), 1);
    let removed = other.clean_others(free, &mut unnamed, now + GRACE).await;
    assert_eq!(removed.unwrap(), 1);
    assert_eq!(bench.objects(), [""; 0].map(PathBuf::from));
    // An account without a head is no more.
    let indexed = a.shards.indexed(AccountId::new(ACCOUNT)).await.unwrap();
    assert_eq!(indexed, IndexedRecord::default());
    let row = keys::search_indexed(living);
    assert!(bench.inner.contains(&row).await.unwrap());
}

#[tokio::test]
async fn a_layout_that_somebody_begins_to_build_meanwhile_stays() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    let lease = keys::lease(&Shards::work(a.shards.layout, 0));
    let mut meanwhile = Batch::new();
    meanwhile.put(lease.clone(), "somebody");
    let sound = bench.inner.clone();
    let between = Between::new(sound.clone(), Moment::Row(lease), sound, meanwhile);
    bench.inner = Arc::new(between);
    let mut other = bench.node().await.shards;
    other.layout = (99, 1);
    let mut unnamed = Unnamed::default();
    other
        .clean_others(&BTreeSet::new(), &mut unnamed, Instant::now())
        .await
        .unwrap();
    assert!(a.shards.manifest(0).await.unwrap().is_some());
}

#[tokio::test]
async fn what_may_be_named_and_what_is_not_ours_stays() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    let ours = bench.objects().remove(0);
    let foreign = ours.with_file_name("of-another-program");
    fs::write(&foreign, "x").unwrap();
    // Nobody knows what a manifest names that can't be read.
    let mut batch = Batch::new();
    batch.put(a.shards.key(0, ShardRow::Manifest), "x");
    bench.inner.commit(batch).await.unwrap();
    let mut unnamed = Unnamed::default();
    for after in [Duration::ZERO, GRACE, GRACE * 2] {
        let now = Instant::now() + after;
        assert_eq!(a.shards.clean(0, &mut unnamed, now).await.unwrap(), 0);
    }
    assert!(ours.exists() && foreign.exists());
}

#[tokio::test]
async fn complaints_and_requests_are_settled_with_a_publication() {
    let mut bench = Bench::new();
    let mut a = bench.node().await;
    a.apply(vec![document(1, "alpha")]);
    a.publish(What::default(), 1).await;
    let account = AccountId::new(ACCOUNT);
    a.shards.complain(0, 1).await.unwrap();
    a.shards.request(account).await.unwrap();
    assert_eq!(a.shards.rows(0).await.unwrap().complaint, Some(1));
    assert_eq!(a.shards.requests(0).await.unwrap(), [account]);
    let mut also = Batch::new();
    a.shards.settle(&mut also, 0, true, &[account]);
    let (manifest, head) = a.last.clone().unwrap();
    let (fence, cursors) = (fence(), [(account, None)]);
    let done = a
        .shards
        .commit_cursors(0, &fence, &head, &manifest, &cursors, also);
    assert_eq!(done.await.unwrap(), Committed::Done);
    assert_eq!(a.shards.rows(0).await.unwrap().complaint, None);
    assert!(!a.shards.is_requested(account).await.unwrap());
    let indexed = a.shards.indexed(account).await.unwrap();
    assert_eq!(indexed, IndexedRecord::default());
}
