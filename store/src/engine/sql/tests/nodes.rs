//! Two engines over one database: what a batch asserts is true whoever else commits.
//!
//! Each round races a few batches that can't all be applied. A seed makes the batches; the order is the servers'.

use tokio::task::JoinSet;

use super::*;
use crate::engine::{Assertion, CommitError, KeyRange, SplitMix64};

const SEED: u64 = 77;
const ROUNDS: u64 = 60;

/// Commits the batches at once, over two engines in turn. Which of them were applied.
pub(super) async fn race(engines: &[Arc<dyn Engine>; 2], batches: Vec<Batch>) -> Vec<bool> {
    let mut tasks = JoinSet::new();
    for (number, batch) in batches.into_iter().enumerate() {
        let engine = engines[number % 2].clone();
        tasks.spawn(async move {
            match engine.commit(batch).await {
                Ok(()) => (number, true),
                Err(CommitError::Conflict(_)) => (number, false),
                Err(error) => panic!("{error}"),
            }
        });
    }
    let mut done = tasks.join_all().await;
    done.sort_unstable();
    done.into_iter().map(|(_, applied)| applied).collect()
}

pub(super) async fn two_nodes(database: &TestDatabase<'_>) -> [Arc<dyn Engine>; 2] {
    [open(database).await, open(database).await]
}

fn key(round: u64, name: &str) -> Vec<u8> {
    format!("{round}/{name}").into()
}

fn all_of(round: u64) -> KeyRange {
    key(round, "")..format!("{round}0").into()
}

/// Who puts a key that is asserted to be absent is alone, also with several keys in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_are_disjoint() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let engines = two_nodes(&database).await;
        let mut dice = SplitMix64(SEED);
        for round in 0..ROUNDS {
            let mut claims: Vec<Vec<&str>> = Vec::new();
            let mut batches = Vec::new();
            for number in 0..6_u32 {
                let mut claim: Vec<&str> = (0..3).map(|_| NAMES[dice.below(6) as usize]).collect();
                claim.dedup();
                let mut batch = Batch::new();
                for name in &claim {
                    batch.assert(Assertion::Absent(key(round, name)));
                    batch.put(key(round, name), number.to_string());
                }
                claims.push(claim);
                batches.push(batch);
            }
            let applied = race(&engines, batches).await;
            for name in NAMES {
                let owners: Vec<usize> = (0..claims.len())
                    .filter(|number| applied[*number] && claims[*number].contains(&name))
                    .collect();
                assert!(
                    owners.len() <= 1,
                    "{kind:?} seed {SEED} round {round}: {name} has {owners:?}"
                );
                let found = engines[0].get(&key(round, name)).await.expect("a get");
                let want = owners.first().map(|number| Bytes::from(number.to_string()));
                assert_eq!(found, want, "{kind:?} seed {SEED} round {round} {name}");
            }
            assert!(applied.contains(&true));
        }
    }
}

/// Each asserts what the other one changes: one of them may be applied, not both.
async fn check_skew(what: &str, prepare: &[&str], batches: impl Fn(u64) -> [Batch; 2]) {
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let engines = two_nodes(&database).await;
        for round in 0..ROUNDS {
            for name in prepare {
                let mut batch = Batch::new();
                batch.put(key(round, name), "1");
                engines[0].commit(batch).await.expect("a commit");
            }
            let applied = race(&engines, batches(round).into()).await;
            let count = applied.iter().filter(|applied| **applied).count();
            assert_eq!(count, 1, "{kind:?} {what} round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absences_without_a_put_hold() {
    let one = |absent: Vec<u8>, put: Vec<u8>| {
        let mut batch = Batch::new();
        batch.assert(Assertion::Absent(absent)).put(put, "1");
        batch
    };
    check_skew("absent", &[], |round| {
        let (a, b) = (key(round, "a"), key(round, "b"));
        [one(a.clone(), b.clone()), one(b, a)]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presences_and_values_hold() {
    let one = |assertion: Assertion, delete: Vec<u8>| {
        let mut batch = Batch::new();
        batch.assert(assertion).delete(delete);
        batch
    };
    check_skew("present", &["a", "b"], |round| {
        let (a, b) = (key(round, "a"), key(round, "b"));
        [
            one(Assertion::Present(a.clone()), b.clone()),
            one(Assertion::Present(b), a),
        ]
    })
    .await;
    check_skew("equals", &["a", "b"], |round| {
        let (a, b) = (key(round, "a"), key(round, "b"));
        let one = |equals: Vec<u8>, put: Vec<u8>| {
            let mut batch = Batch::new();
            batch
                .assert(Assertion::Equals(equals, "1".into()))
                .put(put, "2");
            batch
        };
        [one(a.clone(), b.clone()), one(b, a)]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_ranges_hold() {
    check_skew("range", &[], |round| {
        ["a", "b"].map(|name| {
            let mut batch = Batch::new();
            batch
                .assert(Assertion::RangeEmpty(all_of(round)))
                .put(key(round, name), "1");
            batch
        })
    })
    .await;
}

/// A delete that finds nothing, or a range that is deleted, comes before or after the other batch, not in its middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_without_assertions_are_in_one_order() {
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let engines = two_nodes(&database).await;
        for round in 0..ROUNDS {
            let mut puts = Batch::new();
            puts.put(key(round, "a"), "1").put(key(round, "z"), "put");
            let mut deletes = Batch::new();
            deletes.put(key(round, "z"), "deleted");
            match round % 2 {
                0 => deletes.delete(key(round, "a")),
                _ => deletes.delete_range(key(round, "a")..key(round, "b")),
            };
            let applied = race(&engines, vec![puts, deletes]).await;
            assert_eq!(applied, [true, true]);
            let keys = [key(round, "a"), key(round, "z")];
            let values = engines[0].multi_get(&keys).await.expect("values");
            let found = (values[0].is_some(), values[1].as_deref());
            let right = [(true, Some(&b"put"[..])), (false, Some(&b"deleted"[..]))];
            assert!(right.contains(&found), "{kind:?} round {round}: {found:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_of_two_nodes_add_up() {
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let engines = two_nodes(&database).await;
        let batches = (0..200_u32).map(|number| {
            let mut batch = Batch::new();
            // In both orders, and from nothing.
            let names = if number % 3 == 0 {
                ["m", "n"]
            } else {
                ["n", "m"]
            };
            for name in names {
                batch.add(name.into(), 1);
            }
            batch.put(number.to_be_bytes().to_vec(), "1");
            batch
        });
        let applied = race(&engines, batches.collect()).await;
        assert!(applied.into_iter().all(|applied| applied));
        for name in ["m", "n"] {
            let value = engines[1].get(name.as_bytes()).await.expect("a get");
            assert_eq!(
                value.as_deref(),
                Some(&200_i64.to_be_bytes()[..]),
                "{kind:?}"
            );
        }
        assert_eq!(keys(&engines[1]).await.len(), 202);
    }
}
