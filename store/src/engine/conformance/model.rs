//! Thousands of random batches, compared with a map that applies them one by one.

use std::collections::BTreeMap;

use super::*;
use crate::engine::{SplitMix64, Write};

const SEED: u64 = 20_240_229;
const STEPS: usize = 3000;
/// A snapshot is taken this often, and compared until the next one.
const SNAPSHOT_STEPS: usize = 250;
const TRIM_STEPS: usize = 700;

type Model = BTreeMap<Key, Bytes>;

pub(super) async fn random_batches_match_a_model(engine: Arc<dyn Engine>) {
    println!("seed {SEED}");
    let mut dice = SplitMix64(SEED);
    let mut model = Model::new();
    let mut snapshot = (engine.snapshot().await.expect("a snapshot"), model.clone());
    for step in 0..STEPS {
        let batch = random_batch(&mut dice, &model);
        let want = match false_assertion(&model, &batch) {
            Some(index) => format!("conflict {index}"),
            None => {
                batch
                    .writes
                    .iter()
                    .for_each(|write| apply(&mut model, write));
                "ok".into()
            }
        };
        assert_eq!(
            commit(&engine, &batch).await,
            want,
            "step {step}: {batch:?}"
        );
        let page = random_page(&mut dice);
        let found = engine.scan(page.clone()).await.expect("a scan");
        assert_eq!(
            show(&found),
            show(&scan(&model, &page)),
            "step {step}: {page:?}"
        );
        let found = snapshot.0.scan(page.clone()).await.expect("a scan");
        assert_eq!(
            show(&found),
            show(&scan(&snapshot.1, &page)),
            "snapshot at {step}"
        );
        let keys = [random_key(&mut dice), random_key(&mut dice)];
        let values = engine.multi_get(&keys).await.expect("values");
        assert_eq!(
            values,
            keys.each_ref().map(|key| model.get(key).cloned()),
            "step {step}"
        );
        let has = engine.contains(&keys[0]).await.expect("an answer");
        assert_eq!(has, model.contains_key(&keys[0]), "step {step}");
        if step % SNAPSHOT_STEPS == 0 {
            snapshot = (engine.snapshot().await.expect("a snapshot"), model.clone());
        }
        if step % TRIM_STEPS == 0 {
            engine.trim_memory().await;
        }
    }
}

/// One to three octets out of few, so that keys meet.
fn random_key(dice: &mut SplitMix64) -> Key {
    const OCTETS: [u8; 5] = [0, b'a', b'b', 0xfe, 0xff];
    (0..dice.below(4))
        .map(|_| OCTETS[dice.below(5) as usize])
        .collect()
}

fn random_range(dice: &mut SplitMix64) -> KeyRange {
    random_key(dice)..random_key(dice)
}

fn random_page(dice: &mut SplitMix64) -> Page {
    let limit = dice.below(20) as usize;
    match dice.below(2) {
        0 => Page::first(random_range(dice), limit),
        _ => Page::last(random_range(dice), limit),
    }
}

/// Counters have keys of their own: 4 octets.
fn counter_key(dice: &mut SplitMix64) -> Key {
    vec![b'a', 0xff, 0, dice.below(3) as u8]
}

fn random_batch(dice: &mut SplitMix64, model: &Model) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..dice.below(3) {
        let key = random_key(dice);
        let assertion = match (dice.below(8), model.get(&key)) {
            (0, _) => Assertion::RangeEmpty(random_range(dice)),
            (1, _) => Assertion::Present(key),
            (2, _) => Assertion::Equals(key, Bytes::from_static(b"1")),
            (_, Some(value)) => Assertion::Equals(key, value.clone()),
            (_, None) => Assertion::Absent(key),
        };
        batch.assert(assertion);
    }
    for _ in 0..dice.below(6) {
        match dice.below(20) {
            0 => batch.delete_range(random_range(dice)),
            1..=4 => batch.delete(random_key(dice)),
            5..=9 => batch.add(counter_key(dice), dice.next_u64() as i64),
            10 => batch.put(random_key(dice), vec![7; 3000]),
            number => batch.put(random_key(dice), number.to_string()),
        };
    }
    batch
}

fn false_assertion(model: &Model, batch: &Batch) -> Option<usize> {
    batch
        .assertions
        .iter()
        .position(|assertion| match assertion {
            Assertion::Absent(key) => model.contains_key(key),
            Assertion::Present(key) => !model.contains_key(key),
            Assertion::Equals(key, value) => model.get(key) != Some(value),
            Assertion::RangeEmpty(range) => model.keys().any(|key| range.contains(key)),
        })
}

fn apply(model: &mut Model, write: &Write) {
    match write {
        Write::Put(key, value) => {
            model.insert(key.clone(), value.clone());
        }
        Write::Delete(key) => {
            model.remove(key);
        }
        Write::DeleteRange(range) => model.retain(|key, _| !range.contains(key)),
        Write::Add(key, delta) => {
            let sum = number(model.get(key).cloned()).saturating_add(*delta);
            model.insert(key.clone(), sum.to_be_bytes().to_vec().into());
        }
    }
}

fn scan(model: &Model, page: &Page) -> Vec<(Bytes, Bytes)> {
    let mut pairs: Vec<_> = model
        .iter()
        .filter(|(key, _)| page.range.contains(*key))
        .map(|(key, value)| (Bytes::from(key.clone()), value.clone()))
        .collect();
    if page.direction == Direction::Descending {
        pairs.reverse();
    }
    pairs.truncate(page.limit);
    pairs
}
