//! Random conditional batches of two nodes, and whether there is an order in which a model does the same.
//!
//! Each slot has a number that counts its changes, so that the batches that were applied tell in which order they changed a
//! slot. If these orders contradict each other, or a batch's assertions are not true in the order that follows, two batches
//! have overlapped.

use std::collections::{BTreeMap, HashMap};

use tokio::task::JoinSet;

use super::{nodes::two_nodes, *};
use crate::engine::{Assertion, CommitError, SplitMix64};

const SEED: u64 = 4242;
const SLOTS: u64 = 5;
const TASKS: u64 = 8;
const STEPS: usize = 60;

/// A batch that was applied: of each of its slots, which change it was, what was there and what is there now.
#[derive(Debug)]
struct Applied {
    changes: Vec<Change>,
    added: i64,
}

#[derive(Clone, Debug)]
struct Change {
    slot: u64,
    number: i64,
    before: Option<Bytes>,
    after: Option<Bytes>,
}

fn number_key(slot: u64) -> Vec<u8> {
    format!("{slot}/n").into()
}

fn value_key(slot: u64) -> Vec<u8> {
    format!("{slot}/v").into()
}

/// Reads some slots, asserts what was read in one way or another, and changes them.
async fn step(engine: &Arc<dyn Engine>, dice: &mut SplitMix64) -> Option<Applied> {
    let mut slots: Vec<u64> = (0..1 + dice.below(3)).map(|_| dice.below(SLOTS)).collect();
    slots.dedup();
    slots.sort_unstable();
    slots.dedup();
    let mut batch = Batch::new();
    let mut changes = Vec::new();
    // Written in any order.
    if dice.below(2) == 0 {
        slots.reverse();
    }
    for slot in slots {
        let keys = [number_key(slot), value_key(slot)];
        let found = engine.multi_get(&keys).await.expect("values");
        let [number_was, before] = <[_; 2]>::try_from(found).expect("two");
        let [number_key, value_key] = keys;
        let number = number_was.as_ref().map_or(0, |value| {
            i64::from_be_bytes(value[..].try_into().expect("a counter"))
        });
        batch.assert(match number_was {
            Some(was) => Assertion::Equals(number_key.clone(), was),
            None => Assertion::Absent(number_key.clone()),
        });
        batch.assert(match (&before, dice.below(3)) {
            (Some(_), 0) => Assertion::Present(value_key.clone()),
            (Some(value), _) => Assertion::Equals(value_key.clone(), value.clone()),
            (None, 0) => {
                let end = [&value_key[..], b"x"].concat();
                Assertion::RangeEmpty(value_key.clone()..end)
            }
            (None, _) => Assertion::Absent(value_key.clone()),
        });
        match dice.below(2) {
            0 => batch.add(number_key, 1),
            _ => batch.put(number_key, (number + 1).to_be_bytes().to_vec()),
        };
        let after = match dice.below(3) {
            0 => None,
            _ => Some(Bytes::from(dice.next_u64().to_string())),
        };
        match (&after, dice.below(4)) {
            (Some(value), _) => batch.put(value_key, value.clone()),
            (None, 0) => {
                let end = [&value_key[..], b"x"].concat();
                batch.delete_range(value_key..end)
            }
            (None, _) => batch.delete(value_key),
        };
        changes.push(Change {
            slot,
            number,
            before,
            after,
        });
    }
    let added = dice.below(10) as i64;
    batch.add(b"sum".to_vec(), added);
    match engine.commit(batch).await {
        Ok(()) => Some(Applied { changes, added }),
        Err(CommitError::Conflict(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// An order in which every slot is changed in the order of its numbers.
fn in_order(applied: &[Applied]) -> Vec<usize> {
    let mut next: HashMap<u64, i64> = HashMap::new();
    let mut order = Vec::new();
    let mut left: Vec<usize> = (0..applied.len()).collect();
    while !left.is_empty() {
        let is_next = |index: &usize| {
            let changes = &applied[*index].changes;
            changes
                .iter()
                .all(|change| change.number == *next.get(&change.slot).unwrap_or(&0))
        };
        let at = left.iter().position(is_next);
        let at = at.unwrap_or_else(|| panic!("no order: {:?}", applied[left[0]]));
        let index = left.remove(at);
        for change in &applied[index].changes {
            next.insert(change.slot, change.number + 1);
        }
        order.push(index);
    }
    order
}

async fn check(kind: ServerKind, seed: u64) {
    let database = DatabaseServer::shared(kind).database();
    let engines = two_nodes(&database).await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let engine = engines[(task % 2) as usize].clone();
        let mut dice = SplitMix64(seed + task);
        tasks.spawn(async move {
            let mut applied = Vec::new();
            for _ in 0..STEPS {
                applied.extend(step(&engine, &mut dice).await);
            }
            applied
        });
    }
    let applied: Vec<Applied> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(
        applied.len() > STEPS / 2,
        "{kind:?}: {} were applied",
        applied.len()
    );
    let mut model: BTreeMap<u64, Bytes> = BTreeMap::new();
    for index in in_order(&applied) {
        for change in &applied[index].changes {
            let was = model.get(&change.slot).cloned();
            assert_eq!(was, change.before, "{kind:?} seed {seed}: {change:?}");
            match &change.after {
                Some(value) => model.insert(change.slot, value.clone()),
                None => model.remove(&change.slot),
            };
        }
    }
    for slot in 0..SLOTS {
        let found = engines[0].get(&value_key(slot)).await.expect("a get");
        assert_eq!(
            found,
            model.get(&slot).cloned(),
            "{kind:?} seed {seed} slot {slot}"
        );
    }
    let sum: i64 = applied.iter().map(|applied| applied.added).sum();
    let found = engines[1].get(b"sum").await.expect("a get");
    assert_eq!(
        found.as_deref(),
        Some(&sum.to_be_bytes()[..]),
        "{kind:?} seed {seed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_two_nodes_happen_in_one_order() {
    for kind in KINDS {
        for round in 0..3 {
            check(kind, SEED + 1000 * round).await;
        }
    }
}
