//! Batches: assertions, writes, and many callers at once.

use std::task::Poll;

use tokio::task::JoinSet;

use super::*;
use crate::engine::EngineError;

/// Tasks that commit at once.
const WRITERS: usize = 64;

pub(super) async fn assertions_hold_or_conflict(engine: Arc<dyn Engine>) {
    use Assertion::*;
    put(&engine, "a=1 b= d=4").await;
    let rows = [
        (Absent(key("a")), "conflict 0"),
        (Absent(key("b")), "conflict 0"),
        (Absent(key("c")), "ok"),
        (Present(key("a")), "ok"),
        (Present(key("b")), "ok"),
        (Present(key("c")), "conflict 0"),
        (Equals(key("a"), "1".into()), "ok"),
        (Equals(key("a"), "".into()), "conflict 0"),
        (Equals(key("a"), "11".into()), "conflict 0"),
        (Equals(key("c"), "".into()), "conflict 0"),
        (RangeEmpty(range("b", "c")), "conflict 0"),
        (RangeEmpty(range("bb", "d")), "ok"),
        (RangeEmpty(range("bb", "dd")), "conflict 0"),
        (RangeEmpty(range("e", "z")), "ok"),
        (RangeEmpty(range("a", "a")), "ok"),
        (RangeEmpty(range("z", "a")), "ok"),
    ];
    for (assertion, want) in rows {
        let mut batch = Batch::new();
        batch.assert(assertion.clone());
        assert_eq!(commit(&engine, &batch).await, want, "{assertion:?}");
        batch.put(key("x"), "x").delete(key("x"));
        assert_eq!(
            commit(&engine, &batch).await,
            want,
            "{assertion:?} with writes"
        );
    }
    assert_eq!(commit(&engine, &Batch::new()).await, "ok");
}

pub(super) async fn assertions_see_nothing_of_their_own_batch(engine: Arc<dyn Engine>) {
    put(&engine, "a=1").await;
    let mut batch = Batch::new();
    batch
        .delete(key("a"))
        .put(key("b"), "2")
        .assert(Assertion::Present(key("a")))
        .assert(Assertion::RangeEmpty(range("b", "c")));
    assert_eq!(commit(&engine, &batch).await, "ok");
    assert_eq!(commit(&engine, &batch).await, "conflict 0");
    assert_eq!(all(&engine).await, "b=2");
}

pub(super) async fn the_first_false_assertion_is_named(engine: Arc<dyn Engine>) {
    put(&engine, "a=1").await;
    let mut batch = Batch::new();
    batch
        .assert(Assertion::Present(key("a")))
        .assert(Assertion::Absent(key("b")))
        .assert(Assertion::Equals(key("a"), "2".into()))
        .assert(Assertion::Absent(key("a")));
    assert_eq!(commit(&engine, &batch).await, "conflict 2");
}

pub(super) async fn a_conflict_leaves_nothing(engine: Arc<dyn Engine>) {
    put(&engine, "a=1 c=3").await;
    let mut batch = Batch::new();
    batch
        .put(key("b"), "2")
        .delete(key("a"))
        .add(key("n"), 1)
        .delete_range(range("c", "d"))
        .assert(Assertion::Absent(key("a")));
    assert_eq!(commit(&engine, &batch).await, "conflict 0");
    assert_eq!(all(&engine).await, "a=1 c=3");
    // The next one isn't disturbed.
    put(&engine, "d=4").await;
    assert_eq!(all(&engine).await, "a=1 c=3 d=4");
}

pub(super) async fn the_later_write_wins(engine: Arc<dyn Engine>) {
    let mut batch = Batch::new();
    batch
        .put(key("a"), "1")
        .put(key("a"), "2")
        .put(key("b"), "1")
        .delete(key("b"))
        .delete(key("c"))
        .put(key("c"), "3");
    assert_eq!(commit(&engine, &batch).await, "ok");
    assert_eq!(all(&engine).await, "a=2 c=3");
    let mut first = Batch::new();
    first
        .put(key("a"), "3")
        .assert(Assertion::Present(key("a")));
    let mut second = Batch::new();
    second
        .put(key("a"), "4")
        .assert(Assertion::Present(key("c")));
    first.append(second);
    assert_eq!(commit(&engine, &first).await, "ok");
    assert_eq!(get(&engine, "a").await.as_deref(), Some("4"));
}

pub(super) async fn counters_add_and_stay_at_their_ends(engine: Arc<dyn Engine>) {
    let add = |deltas: &[i64]| {
        let mut batch = Batch::new();
        for delta in deltas {
            batch.add(key("n"), *delta);
        }
        batch
    };
    let rows: &[(&[i64], i64)] = &[
        (&[5], 5),
        (&[-7], -2),
        (&[1, 1, 1], 1),
        (&[0], 1),
        (&[i64::MAX], i64::MAX),
        (&[1], i64::MAX),
        (&[-1, 5], i64::MAX),
        (&[i64::MIN], -1),
        (&[i64::MIN], i64::MIN),
    ];
    for (deltas, want) in rows {
        assert_eq!(commit(&engine, &add(deltas)).await, "ok");
        assert_eq!(
            number(engine.get(b"n").await.expect("a get")),
            *want,
            "{deltas:?}"
        );
    }
    let mut batch = Batch::new();
    batch
        .delete(key("n"))
        .add(key("n"), 3)
        .add(key("m"), 1)
        .delete(key("m"));
    assert_eq!(commit(&engine, &batch).await, "ok");
    assert_eq!(number(engine.get(b"n").await.expect("a get")), 3);
    assert_eq!(engine.get(b"m").await.expect("a get"), None);
    let mut batch = Batch::new();
    batch.delete_range(range("a", "z")).add(key("n"), 4);
    batch
        .put(key("p"), 40_i64.to_be_bytes().to_vec())
        .add(key("p"), 2);
    assert_eq!(commit(&engine, &batch).await, "ok");
    assert_eq!(number(engine.get(b"n").await.expect("a get")), 4);
    assert_eq!(number(engine.get(b"p").await.expect("a get")), 42);
}

pub(super) async fn a_counter_of_wrong_length_is_corrupt(engine: Arc<dyn Engine>) {
    put(&engine, "n=text").await;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let engine = engine.clone();
        tasks.spawn(async move {
            let mut batch = Batch::new();
            batch.put(writer.to_be_bytes().to_vec(), "1");
            if writer % 8 == 0 {
                batch.add(key("n"), 1);
            }
            (writer, engine.commit(batch).await)
        });
    }
    // Those in the same group aren't disturbed.
    for (writer, result) in tasks.join_all().await {
        let is_there = engine
            .get(&writer.to_be_bytes())
            .await
            .expect("a get")
            .is_some();
        match result {
            Ok(()) => assert!(writer % 8 != 0 && is_there),
            Err(CommitError::Engine(EngineError::Corrupt(_))) => {
                assert!(writer % 8 == 0 && !is_there);
            }
            Err(error) => panic!("writer {writer}: {error}"),
        }
    }
    assert_eq!(get(&engine, "n").await.as_deref(), Some("text"));
}

pub(super) async fn ranges_are_deleted_in_their_place(engine: Arc<dyn Engine>) {
    put(&engine, "a=1 b=2 c=3 d=4").await;
    let mut batch = Batch::new();
    batch
        .put(key("bb"), "gone")
        .delete_range(range("b", "d"))
        .put(key("c"), "stays")
        .delete_range(range("d", "d"))
        .delete_range(range("z", "a"));
    assert_eq!(commit(&engine, &batch).await, "ok");
    assert_eq!(all(&engine).await, "a=1 c=stays d=4");
    let mut batch = Batch::new();
    batch
        .delete_range(range("", "c"))
        .delete_range(range("c", "e"))
        .put(key("b"), "2");
    assert_eq!(commit(&engine, &batch).await, "ok");
    assert_eq!(all(&engine).await, "b=2");
}

pub(super) async fn large_ranges_are_deleted(engine: Arc<dyn Engine>) {
    let mut batch = Batch::new();
    for number in 0..2000_u16 {
        batch.put(number.to_be_bytes().to_vec(), "1");
    }
    engine.commit(batch).await.expect("a commit");
    let mut batch = Batch::new();
    let middle = 10_u16.to_be_bytes().to_vec()..1990_u16.to_be_bytes().to_vec();
    batch
        .delete_range(middle.clone())
        .put(500_u16.to_be_bytes().to_vec(), "2");
    assert_eq!(commit(&engine, &batch).await, "ok");
    let found = engine
        .scan(Page::first(middle.clone(), 9999))
        .await
        .expect("a scan");
    assert_eq!(found, [(Bytes::from_static(&[1, 244]), Bytes::from("2"))]);
    let everything = Page::last(Vec::new()..vec![0xff], 9999);
    assert_eq!(engine.scan(everything).await.expect("a scan").len(), 21);
    let mut batch = Batch::new();
    batch.assert(Assertion::RangeEmpty(middle.clone()));
    assert_eq!(commit(&engine, &batch).await, "conflict 0");
    let mut delete = Batch::new();
    delete.delete(500_u16.to_be_bytes().to_vec());
    assert_eq!(commit(&engine, &delete).await, "ok");
    assert_eq!(commit(&engine, &batch).await, "ok");
}

pub(super) async fn concurrent_counters_add_up(engine: Arc<dyn Engine>) {
    const ROUNDS: usize = 8;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let engine = engine.clone();
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let mut batch = Batch::new();
                batch.add(key("sum"), 1).add(key("twice"), 2);
                batch.put([writer as u8, round as u8].to_vec(), "x");
                engine.commit(batch).await.expect("a commit");
                let row = engine
                    .get(&[writer as u8, round as u8])
                    .await
                    .expect("a get");
                assert!(
                    row.is_some(),
                    "a commit is visible when it was acknowledged"
                );
            }
        });
    }
    tasks.join_all().await;
    let total = (WRITERS * ROUNDS) as i64;
    assert_eq!(number(engine.get(b"sum").await.expect("a get")), total);
    assert_eq!(
        number(engine.get(b"twice").await.expect("a get")),
        2 * total
    );
}

/// Commits a batch for each writer at once; the numbers of those that were not refused.
async fn race(engine: &Arc<dyn Engine>, batch: impl Fn(usize) -> Batch) -> Vec<usize> {
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let (engine, batch) = (engine.clone(), batch(writer));
        tasks.spawn(async move {
            match engine.commit(batch).await {
                Ok(()) => Some(writer),
                Err(CommitError::Conflict(0)) => None,
                Err(error) => panic!("writer {writer}: {error}"),
            }
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

pub(super) async fn one_of_many_wins_a_key(engine: Arc<dyn Engine>) {
    let claim = |writer: usize| {
        let mut batch = Batch::new();
        batch
            .assert(Assertion::Absent(key("prize")))
            .put(key("prize"), writer.to_string());
        batch
    };
    let winners = race(&engine, claim).await;
    assert_eq!(winners.len(), 1);
    assert_eq!(get(&engine, "prize").await, Some(winners[0].to_string()));
    // Each may set it once more, one after the other: of those who read the same value, one.
    let before = Bytes::from(winners[0].to_string());
    let replace = |writer: usize| {
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key("prize"), before.clone()));
        batch.put(key("prize"), format!("{writer} again"));
        batch
    };
    let winners = race(&engine, replace).await;
    assert_eq!(winners.len(), 1);
    assert_eq!(
        get(&engine, "prize").await,
        Some(format!("{} again", winners[0]))
    );
}

pub(super) async fn one_of_many_wins_a_range(engine: Arc<dyn Engine>) {
    put(&engine, "r5=old s=1").await;
    // Each empties the range, puts one key into it, and asserts that it held only that of none.
    let claim = |writer: usize| {
        let mut batch = Batch::new();
        batch.assert(Assertion::RangeEmpty(range("r", "s")));
        batch.put(format!("r{writer}").into(), "x");
        batch
    };
    assert_eq!(race(&engine, claim).await, Vec::<usize>::new());
    let mut clear = Batch::new();
    clear.delete_range(range("r", "s"));
    let cleared = engine.commit(clear);
    let claims = race(&engine, claim);
    let (cleared, winners) = tokio::join!(cleared, claims);
    cleared.expect("a commit");
    assert_eq!(winners.len(), 1);
    let found = engine
        .scan(Page::first(range("r", "s"), 99))
        .await
        .expect("a scan");
    assert_eq!(found.len(), winners.len());
}

pub(super) async fn commits_keep_the_order_of_their_callers(engine: Arc<dyn Engine>) {
    // Polled in order by one task, so applied in order.
    let mut commits = Vec::new();
    for number in 0..50_i64 {
        let mut batch = Batch::new();
        if number == 0 {
            batch.assert(Assertion::Absent(key("n")));
        } else {
            batch.assert(Assertion::Equals(
                key("n"),
                Bytes::from((number - 1).to_string()),
            ));
        }
        batch.put(key("n"), number.to_string());
        let engine = engine.clone();
        commits.push(Box::pin(async move { engine.commit(batch).await }));
    }
    std::future::poll_fn(|context| {
        commits.retain_mut(|commit| match commit.as_mut().poll(context) {
            Poll::Ready(result) => {
                result.expect("each finds the one before");
                false
            }
            Poll::Pending => true,
        });
        if commits.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    assert_eq!(get(&engine, "n").await.as_deref(), Some("49"));
}
