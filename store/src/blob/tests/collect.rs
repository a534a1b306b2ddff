//! What goes from the object store, and what must not.

use super::{places::objects, *};
use crate::{
    blob,
    engine::{FaultPlan, FaultyEngine, MemoryEngine},
};

const HOUR: Duration = Duration::from_secs(3600);

struct Bench {
    folder: tempfile::TempDir,
    inner: Arc<dyn Engine>,
    source: Arc<TestSource>,
    engine: Arc<BlobEngine>,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let source = TestSource::new();
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let settings = BlobSettings {
        source: source.clone(),
        ..in_folder(folder.path())
    };
    Bench {
        engine: open(&inner, &settings).await,
        folder,
        inner,
        source,
    }
}

async fn delete(engine: &Arc<BlobEngine>, hash: &BlobHash) {
    let mut batch = Batch::new();
    batch.delete(keys::blob(hash));
    engine.commit(batch).await.unwrap();
}

#[tokio::test]
async fn an_object_goes_after_its_time_of_grace() {
    let bench = bench().await;
    let hash = put(&bench.engine, "gone").await;
    let kept = put(&bench.engine, "kept").await;
    // Written anew, it has a new object.
    put(&bench.engine, "kept").await;
    delete(&bench.engine, &hash).await;
    assert_eq!(objects(bench.folder.path()), 3);
    bench.source.advance(HOUR);
    bench.engine.collect_garbage().await.unwrap();
    assert_eq!(objects(bench.folder.path()), 3);
    bench.source.advance(2 * HOUR);
    assert!(!bench.engine.collect_garbage().await.unwrap());
    assert_eq!(objects(bench.folder.path()), 1);
    assert_eq!(get(&bench.engine, &kept).await.unwrap(), "kept");
    let garbage = keys::all(keys::Subspace::BlobGarbage);
    let page = crate::engine::Page::first(garbage, 9);
    assert_eq!(bench.inner.scan(page).await.unwrap(), []);
}

/// One node removes a blob while another one writes it, over and over: whoever was last, a blob that is there can be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_never_hits_a_new_writer() {
    let bench = bench().await;
    let settings = BlobSettings {
        source: bench.source.clone(),
        ..in_folder(bench.folder.path())
    };
    let nodes = [bench.engine.clone(), open(&bench.inner, &settings).await];
    let hash = blob::hash(b"contested");
    let work = nodes.iter().cloned().enumerate().map(|(number, node)| {
        let source = bench.source.clone();
        tokio::spawn(async move {
            for round in 0..150 {
                match (round + number) % 3 {
                    0 => drop(put(&node, "contested").await),
                    1 => delete(&node, &hash).await,
                    _ => {
                        source.advance(3 * HOUR);
                        node.collect_garbage().await.unwrap();
                    }
                }
                if let Some(octets) = node.get(&keys::blob(&hash)).await.unwrap() {
                    assert_eq!(octets, "contested");
                }
            }
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    put(&nodes[0], "contested").await;
    bench.source.advance(3 * HOUR);
    while nodes[1].collect_garbage().await.unwrap() {}
    assert_eq!(get(&nodes[1], &hash).await.unwrap(), "contested");
    assert_eq!(objects(bench.folder.path()), 1);
}

#[tokio::test]
async fn uploads_without_a_commit_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let plan = FaultPlan {
        seed: 5,
        ..FaultPlan::default()
    };
    let inner = FaultyEngine::new(plan) as Arc<dyn Engine>;
    let engine = open(&inner, &in_folder(folder.path())).await;
    let kept = put(&engine, "kept").await;
    // The process ends between the upload and the commit.
    let lost = engine.prepare(&blob::hash(b"lost"), "lost".into()).await;
    assert!(lost.unwrap().stub().is_some());
    std::fs::write(folder.path().join("of-another-program"), "x").unwrap();
    assert_eq!(objects(folder.path()), 2);
    assert_eq!(engine.remove_orphans(0).await.unwrap(), 0);
    assert_eq!(engine.remove_orphans(u64::MAX).await.unwrap(), 1);
    assert_eq!(objects(folder.path()), 1);
    assert_eq!(get(&engine, &kept).await.unwrap(), "kept");
    assert!(folder.path().join("of-another-program").exists());
}

#[tokio::test]
async fn objects_are_listed_once_a_day_and_young_ones_stay() {
    let bench = bench().await;
    let hash = blob::hash(b"lost");
    bench.engine.prepare(&hash, "lost".into()).await.unwrap();
    // The clock of the folder is that of this machine: by it the object is young, whatever ours says.
    let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    bench
        .source
        .now
        .store(real.unwrap().as_millis() as u64, Ordering::Relaxed);
    assert_eq!(bench.engine.collect_orphans().await.unwrap(), 0);
    bench.source.advance(23 * HOUR);
    assert_eq!(bench.engine.collect_orphans().await.unwrap(), 0);
    assert_eq!(objects(bench.folder.path()), 1);
    bench.source.advance(2 * HOUR);
    assert_eq!(bench.engine.collect_orphans().await.unwrap(), 1);
    assert_eq!(objects(bench.folder.path()), 0);
}

#[tokio::test]
async fn two_stores_in_one_place_leave_each_other_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (
        MemoryEngine::new() as Arc<dyn Engine>,
        MemoryEngine::new() as Arc<dyn Engine>,
    );
    let one = open(&one, &in_folder(folder.path())).await;
    let two = open(&two, &in_folder(folder.path())).await;
    let (a, b) = (put(&one, "same").await, put(&two, "same").await);
    assert_eq!(one.remove_orphans(u64::MAX).await.unwrap(), 0);
    delete(&two, &b).await;
    assert_eq!(two.remove_orphans(u64::MAX).await.unwrap(), 1);
    assert_eq!(get(&one, &a).await.unwrap(), "same");
    assert_eq!(get(&two, &b).await, None);
}

#[tokio::test]
async fn a_snapshot_finds_what_has_moved_since() {
    let bench = bench().await;
    let hash = put(&bench.engine, "moved").await;
    let snapshot = bench.engine.snapshot().await.unwrap();
    // Written anew, and the object that the snapshot knows is gone.
    put(&bench.engine, "moved").await;
    bench.source.advance(3 * HOUR);
    bench.engine.collect_garbage().await.unwrap();
    assert_eq!(objects(bench.folder.path()), 1);
    let found = snapshot.get(&keys::blob(&hash)).await.unwrap();
    assert_eq!(found.unwrap(), "moved");
}

#[tokio::test]
async fn what_a_damaged_stub_may_name_stays() {
    let bench = bench().await;
    let hash = put(&bench.engine, "named").await;
    let mut batch = Batch::new();
    batch.put(keys::blob_stub(&hash), vec![0xff]);
    bench.inner.commit(batch).await.unwrap();
    assert_eq!(bench.engine.remove_orphans(u64::MAX).await.unwrap(), 0);
    assert_eq!(objects(bench.folder.path()), 1);
}
