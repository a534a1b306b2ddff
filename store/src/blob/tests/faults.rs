//! What goes wrong with an object store, and with the engine in front of it: errors that say "later", and nothing lost.

use super::*;
use crate::{
    blob,
    blob::s3_server::S3Fault,
    engine::{CommitError, EngineError, FaultPlan, FaultyEngine, MemoryEngine},
};

/// So that a test of what never answers doesn't take long; what answers at once has plenty.
const IMPATIENCE: Duration = Duration::from_secs(3);

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, EngineError>) -> bool {
    matches!(result, Err(EngineError::Unavailable(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_lost_comes_back_with_everything() {
    let server = S3Server::start();
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let engine = open(&inner, &in_s3(&server, IMPATIENCE)).await;
    let hash = put(&engine, mail(1, 5000)).await;
    let key = keys::blob(&hash);
    for fault in [
        S3Fault::Down,
        S3Fault::Failing,
        S3Fault::Slow(PATIENCE),
        S3Fault::Truncating,
    ] {
        server.set(fault);
        assert!(is_unavailable(&engine.get(&key).await), "{fault:?}");
        assert!(is_unavailable(
            &engine.multi_get(std::slice::from_ref(&key)).await
        ));
        // What isn't a blob goes on.
        assert!(engine.contains(&key).await.unwrap());
        if fault != S3Fault::Truncating {
            let another = mail(2, 5000);
            let refused = engine.commit(put_batch(&another)).await;
            assert!(matches!(
                refused,
                Err(CommitError::Engine(EngineError::Unavailable(_)))
            ));
            assert!(!engine.blobs().unwrap().is_taken(), "{fault:?}");
            assert_eq!(get(&engine, &blob::hash(&another)).await, None);
        }
        server.set(S3Fault::None);
        assert_eq!(get(&engine, &hash).await, Some(mail(1, 5000)), "{fault:?}");
    }
    let another = put(&engine, mail(2, 5000)).await;
    assert!(engine.blobs().unwrap().is_taken());
    assert_eq!(get(&engine, &another).await, Some(mail(2, 5000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_failure_is_not_even_seen() {
    let server = Arc::new(S3Server::start());
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let engine = open(&inner, &in_s3(&server, PATIENCE)).await;
    let faults = [S3Fault::Failing, S3Fault::Down, S3Fault::LosingAnswers];
    for (seed, fault) in (0..).zip(faults) {
        server.set(fault);
        let mended = server.clone();
        let mend = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            mended.set(S3Fault::None);
        });
        let octets = mail(seed, 3000);
        let hash = put(&engine, octets.clone()).await;
        mend.await.unwrap();
        assert_eq!(get(&engine, &hash).await, Some(octets));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_octets_never_come_through() {
    let server = S3Server::start();
    for keys in [&[][..], &[("key", 1)][..]] {
        let inner = MemoryEngine::new() as Arc<dyn Engine>;
        let settings = BlobSettings {
            keyring: keyring(keys),
            ..in_s3(&server, PATIENCE)
        };
        let engine = open(&inner, &settings).await;
        let hash = put(&engine, mail(1, 1 << 20)).await;
        server.set(S3Fault::WrongOctets);
        let found = engine.get(&keys::blob(&hash)).await;
        assert!(matches!(found, Err(EngineError::Corrupt(_))), "{found:?}");
        let part = engine.get_range(&keys::blob(&hash), 5..9).await;
        assert!(matches!(part, Err(EngineError::Corrupt(_))), "{part:?}");
        server.set(S3Fault::None);
        assert_eq!(get(&engine, &hash).await, Some(mail(1, 1 << 20)));
        // An object that is gone is damage, and not a blob that isn't there.
        for object in server.objects() {
            std::fs::remove_file(object).unwrap();
        }
        let found = engine.get(&keys::blob(&hash)).await;
        assert!(matches!(found, Err(EngineError::Corrupt(_))), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_without_its_object_store() {
    let server = S3Server::start();
    let inner = MemoryEngine::new() as Arc<dyn Engine>;
    let settings = in_s3(&server, IMPATIENCE);
    let hash = put(&open(&inner, &settings).await, mail(1, 100)).await;
    server.set(S3Fault::Down);
    let engine = open(&inner, &settings).await;
    assert!(is_unavailable(&engine.get(&keys::blob(&hash)).await));
    server.set(S3Fault::None);
    assert_eq!(get(&engine, &hash).await, Some(mail(1, 100)));
    // The first time it has to be there.
    server.set(S3Fault::Down);
    let another = MemoryEngine::new() as Arc<dyn Engine>;
    let error = try_open(&another, &settings).await.unwrap_err();
    assert!(matches!(error, OpenError::Outside(_)), "{error}");
}

/// Crashes and lost answers of the engine, by seed: whatever was acknowledged can be read, whatever is there can be read, and
/// a listing removes nothing of it.
#[tokio::test]
async fn acknowledged_blobs_survive_crashes_of_the_engine() {
    for seed in 0..30 {
        let folder = tempfile::tempdir().unwrap();
        let plan = FaultPlan {
            seed,
            commits_fail: 50,
            answers_lost: 100,
            crashes: 60,
            ..FaultPlan::default()
        };
        let sound = FaultyEngine::new(FaultPlan::default());
        // The place is begun while nothing is wrong.
        let settings = BlobSettings {
            keyring: keyring(&[("key", 1)]),
            threshold: 40,
            ..in_folder(folder.path())
        };
        let first = sound.clone() as Arc<dyn Engine>;
        drop(open(&first, &settings).await);
        let mut faulty = sound.restart_with(plan);
        let mut acknowledged = Vec::new();
        for number in 0..60 {
            let inner = faulty.clone() as Arc<dyn Engine>;
            let Ok(engine) = try_open(&inner, &settings).await else {
                faulty = faulty.restart();
                continue;
            };
            let octets = mail(number, 20 + number as usize);
            if engine.commit(put_batch(&octets)).await.is_ok() {
                acknowledged.push(octets);
            }
            if number % 7 == 6 {
                faulty = faulty.restart();
            }
        }
        let inner = faulty.restart_with(FaultPlan::default()) as Arc<dyn Engine>;
        let engine = open(&inner, &settings).await;
        engine.remove_orphans(u64::MAX).await.unwrap();
        assert!(!acknowledged.is_empty(), "seed {seed}");
        for octets in &acknowledged {
            let found = get(&engine, &blob::hash(octets)).await;
            assert_eq!(found.as_ref(), Some(octets), "seed {seed}");
        }
        let all = crate::engine::Page::first(keys::all(keys::Subspace::Blob), 1000);
        for (key, octets) in engine.scan(all).await.unwrap() {
            let hash = keys::decode_blob(&key).unwrap();
            assert_eq!(blob::hash(&octets), hash, "seed {seed}");
        }
        assert_eq!(engine.check_stubs().await.unwrap(), [], "seed {seed}");
    }
}

#[tokio::test]
async fn a_row_without_its_stub_is_damage_and_not_a_blob() {
    // Outside; encrypted in the engine.
    for (key, threshold) in [(None, 0), (Some(("key", 1)), u64::MAX)] {
        let folder = tempfile::tempdir().unwrap();
        let inner = MemoryEngine::new() as Arc<dyn Engine>;
        let settings = BlobSettings {
            keyring: keyring(&Vec::from_iter(key)),
            threshold,
            ..in_folder(folder.path())
        };
        let engine = open(&inner, &settings).await;
        let hash = put(&engine, "octets").await;
        let mut batch = Batch::new();
        batch.delete(keys::blob_stub(&hash));
        inner.commit(batch).await.unwrap();
        let found = engine.get(&keys::blob(&hash)).await;
        assert!(matches!(found, Err(EngineError::Corrupt(_))), "{found:?}");
    }
}
