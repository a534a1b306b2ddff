//! The engines without a disk: the conformance suite, and what `FaultyEngine` promises.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Batch, CommitError, Engine, EngineError, FaultPlan, FaultyEngine, MemoryEngine, Page,
    SplitMix64, conformance,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms() {
    conformance::run(|| async { MemoryEngine::new() as std::sync::Arc<dyn Engine> }).await;
}

#[tokio::test]
async fn faulty_without_faults_conforms() {
    let fresh = || async { FaultyEngine::new(FaultPlan::default()) as std::sync::Arc<dyn Engine> };
    conformance::run(fresh).await;
}

/// Commits `count` batches at once and says which were acknowledged. Batch `n` puts `n/a`,
/// `n/b` and adds 1 to `count`.
async fn commit_at_once(
    engine: &FaultyEngine,
    numbers: std::ops::Range<u32>,
) -> BTreeMap<u32, Result<(), CommitError>> {
    let commits = numbers.map(|number| async move {
        let mut batch = Batch::new();
        batch.put(format!("{number:08}/a").into(), "1");
        batch.put(format!("{number:08}/b").into(), "1");
        batch.add("count".into(), 1);
        (number, engine.commit(batch).await)
    });
    let mut pending: Vec<_> = commits.map(Box::pin).collect();
    let mut results = BTreeMap::new();
    std::future::poll_fn(|context| {
        pending.retain_mut(|commit| match commit.as_mut().poll(context) {
            std::task::Poll::Ready((number, result)) => {
                results.insert(number, result);
                false
            }
            std::task::Poll::Pending => true,
        });
        match pending.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    results
}

/// The batches of [`commit_at_once`] that are there. Panics when one is there in part.
async fn whole_batches(engine: &FaultyEngine) -> Vec<u32> {
    let page = Page::first(b"0".to_vec()..b"a".to_vec(), usize::MAX);
    let keys = engine.scan(page).await.expect("a scan");
    let keys: Vec<_> = keys
        .iter()
        .map(|(key, _)| key.escape_ascii().to_string())
        .collect();
    let numbers: Vec<u32> = keys
        .chunks(2)
        .map(|pair| {
            assert_eq!(pair[0].replace("/a", "/b"), pair[1], "{engine:?}");
            pair[0][..8].parse().expect("a number")
        })
        .collect();
    let count = engine
        .get(b"count")
        .await
        .expect("a get")
        .unwrap_or_else(|| Bytes::from(vec![0; 8]));
    assert_eq!(
        i64::from_be_bytes(count[..].try_into().expect("8")),
        numbers.len() as i64
    );
    numbers
}

#[tokio::test]
async fn a_crash_keeps_what_was_acknowledged_and_nothing_in_part() {
    for seed in 0..200 {
        let plan = FaultPlan {
            seed,
            crashes: 150,
            commits_fail: 100,
            ..FaultPlan::default()
        };
        let mut engine = FaultyEngine::new(plan);
        let mut dice = SplitMix64(seed);
        let mut acknowledged = Vec::new();
        let mut number = 0;
        for _ in 0..20 {
            let to = number + 1 + dice.below(6) as u32;
            let results = commit_at_once(&engine, number..to).await;
            acknowledged.extend(results.iter().filter(|(_, r)| r.is_ok()).map(|(n, _)| *n));
            if engine.is_crashed() {
                assert!(engine.get(b"count").await.is_err());
                engine = engine.restart();
                let there = whole_batches(&engine).await;
                let lost: Vec<_> = acknowledged.iter().filter(|n| !there.contains(n)).collect();
                assert!(lost.is_empty(), "lost {lost:?}: {engine:?}");
                let unasked: Vec<_> = there
                    .iter()
                    .copied()
                    .filter(|n| !acknowledged.contains(n))
                    .collect();
                let first_few: Vec<_> = (number..to).take(unasked.len()).collect();
                assert_eq!(unasked, first_few, "{engine:?}");
                acknowledged = there;
            }
            number = to;
        }
    }
}

#[tokio::test]
async fn a_crash_at_a_commit_happens_once() {
    let plan = FaultPlan {
        crash_at_commit: Some(3),
        ..FaultPlan::default()
    };
    let engine = FaultyEngine::new(plan);
    for number in 0..2 {
        assert!(commit_at_once(&engine, number..number + 1).await[&number].is_ok());
    }
    assert!(commit_at_once(&engine, 2..3).await[&2].is_err());
    assert!(engine.is_crashed());
    let engine = engine.restart();
    let there = whole_batches(&engine).await;
    assert!(there == [0, 1] || there == [0, 1, 2], "{there:?}");
    assert!(
        commit_at_once(&engine, 3..9)
            .await
            .values()
            .all(Result::is_ok)
    );
}

#[tokio::test]
async fn a_lost_answer_means_applied() {
    let plan = FaultPlan {
        answers_lost: 1000,
        ..FaultPlan::default()
    };
    let engine = FaultyEngine::new(plan);
    let results = commit_at_once(&engine, 0..3).await;
    assert!(
        results
            .values()
            .all(|r| matches!(r, Err(CommitError::Engine(EngineError::Io(_)))))
    );
    assert_eq!(whole_batches(&engine).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_failed_commit_leaves_nothing_and_failed_reads_say_so() {
    let plan = FaultPlan {
        commits_fail: 1000,
        ..FaultPlan::default()
    };
    let engine = FaultyEngine::new(plan);
    let results = commit_at_once(&engine, 0..3).await;
    assert!(
        results
            .values()
            .all(|r| matches!(r, Err(CommitError::Engine(EngineError::Full(_)))))
    );
    assert_eq!(whole_batches(&engine).await, Vec::<u32>::new());
    let engine = engine.restart_with(FaultPlan {
        reads_fail: 1000,
        ..FaultPlan::default()
    });
    assert!(engine.get(b"a").await.is_err());
    assert!(engine.multi_get(&[]).await.is_err());
    assert!(engine.snapshot().await.is_err());
    assert!(commit_at_once(&engine, 0..1).await[&0].is_ok());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_run() {
    let mut journals = Vec::new();
    for _ in 0..2 {
        let plan = FaultPlan {
            seed: 7,
            commits_fail: 200,
            answers_lost: 200,
            crashes: 50,
            reads_fail: 100,
            ..FaultPlan::default()
        };
        let mut engine = FaultyEngine::new(plan);
        for number in (0..400).step_by(4) {
            commit_at_once(&engine, number..number + 4).await;
            let _ = engine.get(b"count").await;
            if engine.is_crashed() {
                engine = engine.restart();
            }
        }
        journals.push(engine.journal());
    }
    assert_eq!(journals[0], journals[1]);
    assert!(journals[0].iter().any(|line| line.starts_with("crash")));
}
