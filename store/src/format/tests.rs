//! Upgrades, with steps of the tests' own: resumed after a crash at each commit, shared by nodes, refused by older versions.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::*;
use crate::{
    Record as _,
    engine::{
        FaultPlan, FaultyEngine, Key, MemoryEngine, Page,
        between::{Between, Moment},
    },
    keys::Subspace,
};

/// Rewrites values `a…` to `b…`, and moves rows from one subspace to another.
struct Rewrite {
    to: u64,
    from: u8,
    into: u8,
}

impl Step for Rewrite {
    fn to(&self) -> u64 {
        self.to
    }

    fn what(&self) -> &str {
        "writes values in another way"
    }

    fn ranges(&self) -> Vec<KeyRange> {
        vec![keys::all(Subspace::Object), keys::all(Subspace::StsPolicy)]
    }

    fn convert(&self, key: &[u8], value: &[u8], batch: &mut Batch) -> Result<(), Error> {
        if value.first() == Some(&self.from) {
            let mut value = value.to_vec();
            value[0] = self.into;
            // Were it done twice, it would be seen.
            value.push(b'!');
            batch.put(key.to_vec(), value);
        }
        Ok(())
    }
}

fn formats(current: u64) -> Formats {
    let steps: [Arc<dyn Step>; 2] = [
        Arc::new(Rewrite {
            to: 2,
            from: b'a',
            into: b'b',
        }),
        Arc::new(Rewrite {
            to: 3,
            from: b'b',
            into: b'c',
        }),
    ];
    Formats {
        current,
        steps: steps.into_iter().filter(|s| s.to() <= current).collect(),
    }
}

fn row(number: u64) -> Key {
    keys::object(
        jmap_types::AccountId::new(1),
        jmap_types::DataType::Email,
        number,
    )
}

const ROWS: u64 = 1200;

async fn fill(engine: &Arc<dyn Engine>) {
    open_with(engine, &formats(1), &|_| ()).await.unwrap();
    let mut batch = Batch::new();
    for number in 1..=ROWS {
        batch.put(row(number), format!("a{number}"));
    }
    batch.put(keys::sts_policy("example.net"), "a");
    batch.put(keys::domain("example.org"), "a");
    engine.commit(batch).await.unwrap();
}

async fn everything(engine: &Arc<dyn Engine>) -> Vec<(Bytes, Bytes)> {
    let all = Page::first(vec![]..vec![0xff; 64], usize::MAX);
    engine.scan(all).await.unwrap()
}

async fn is_done(engine: &Arc<dyn Engine>, first: char, marks: &str) {
    for number in 1..=ROWS {
        let value = engine.get(&row(number)).await.unwrap().unwrap();
        assert_eq!(value, format!("{first}{number}{marks}"));
    }
    let value = engine.get(&keys::sts_policy("example.net")).await.unwrap();
    assert_eq!(value.unwrap(), format!("{first}{marks}"));
    // Rows of other ranges stay.
    let value = engine.get(&keys::domain("example.org")).await.unwrap();
    assert_eq!(value.unwrap(), "a");
    assert!(!engine.contains(&keys::meta(UPGRADE)).await.unwrap());
}

#[tokio::test]
async fn steps_are_done_one_after_the_other_and_once() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    fill(&engine).await;
    let told = Mutex::new(Vec::new());
    let progress = |sentence: &str| told.lock().unwrap().push(sentence.to_owned());
    open_with(&engine, &formats(3), &progress).await.unwrap();
    is_done(&engine, 'c', "!!").await;
    let told = told.into_inner().unwrap();
    assert!(told[0].contains("from format 1 to 2"), "{told:?}");
    let before = everything(&engine).await;
    open_with(&engine, &formats(3), &|_| ()).await.unwrap();
    assert_eq!(everything(&engine).await, before);
}

#[tokio::test]
async fn a_crash_at_any_commit_is_gone_on_from() {
    let mut crashes = 0;
    for at in 1.. {
        let engine = FaultyEngine::new(FaultPlan {
            seed: at,
            ..FaultPlan::default()
        });
        let shared: Arc<dyn Engine> = engine.clone();
        fill(&shared).await;
        let engine = engine.restart_with(FaultPlan {
            seed: at,
            crash_at_commit: Some(at),
            ..FaultPlan::default()
        });
        let shared: Arc<dyn Engine> = engine.clone();
        let done = open_with(&shared, &formats(3), &|_| ()).await;
        if done.is_ok() {
            is_done(&shared, 'c', "!!").await;
            break;
        }
        crashes += 1;
        let engine = engine.restart_with(FaultPlan::default());
        let shared: Arc<dyn Engine> = engine.clone();
        let version = async |current| open_with(&shared, &formats(current), &|_| ()).await;
        // Once it was begun, what knows the old format alone keeps away; the plan says how far it is.
        let [format] =
            decode_numbers(b"", &shared.get(&keys::meta(KEY)).await.unwrap().unwrap()).unwrap();
        if format > 1 {
            assert!(matches!(version(1).await, Err(Error::NewerFormat { .. })));
        }
        // The engine of the tests is shared: the node that began is waited for in vain.
        tokio::time::pause();
        version(3).await.unwrap();
        tokio::time::resume();
        is_done(&shared, 'c', "!!").await;
    }
    assert!(crashes >= 8, "{crashes} crashes");
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_one_upgrades_and_the_other_waits() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    fill(&engine).await;
    let formats = formats(3);
    let told = Mutex::new(Vec::new());
    let progress = |sentence: &str| told.lock().unwrap().push(sentence.to_owned());
    let (a, b) = tokio::join!(
        open_with(&engine, &formats, &progress),
        open_with(&engine, &formats, &progress)
    );
    a.unwrap();
    b.unwrap();
    is_done(&engine, 'c', "!!").await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_serve_are_not_pulled_away_under() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    fill(&engine).await;
    let mut batch = Batch::new();
    batch.put(keys::node(1), "0");
    engine.commit(batch).await.unwrap();
    let serving = async {
        for beat in 1..4 {
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            let mut batch = Batch::new();
            batch.put(keys::node(1), format!("{beat}"));
            engine.commit(batch).await.unwrap();
        }
    };
    let formats = formats(2);
    let upgrading = open_with(&engine, &formats, &|_| ());
    let (refused, ()) = tokio::join!(upgrading, serving);
    assert!(matches!(refused, Err(Error::NodesServe)), "{refused:?}");
    // The row of one that is no more doesn't move.
    open_with(&engine, &formats, &|_| ()).await.unwrap();
    is_done(&engine, 'b', "!").await;
}

#[tokio::test]
async fn a_newer_format_and_one_without_a_way_are_refused() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    open_with(&engine, &formats(3), &|_| ()).await.unwrap();
    let refused = open_with(&engine, &formats(2), &|_| ()).await.unwrap_err();
    let sentence = refused.to_string();
    assert!(
        sentence.contains("format 3") && sentence.contains("install"),
        "{sentence}"
    );
    let without = Formats {
        current: 4,
        steps: Vec::new(),
    };
    let refused = open_with(&engine, &without, &|_| ()).await.unwrap_err();
    assert!(matches!(refused, Error::NoUpgrade { from: 3, .. }));
}

#[tokio::test]
async fn a_plan_counts_and_changes_nothing() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    assert_eq!(
        plan(&engine, &formats(3), &|| 0).await.unwrap().format,
        None
    );
    fill(&engine).await;
    let before = everything(&engine).await;
    let found = plan(&engine, &formats(3), &|| 0).await.unwrap();
    assert_eq!(found.format, Some(1));
    let steps: Vec<(u64, u64)> = found.steps.iter().map(|s| (s.to, s.records)).collect();
    assert_eq!(steps, [(2, ROWS + 1), (3, ROWS + 1)]);
    assert!(found.steps[0].octets > ROWS * 20);
    assert_eq!(everything(&engine).await, before);
    // Of a step that is under way, what is done doesn't count.
    let mut batch = Batch::new();
    batch.put(keys::meta(KEY), numbers(&[2]));
    let record = UpgradeRecord {
        to: 2,
        range: 0,
        after: row(1000),
        rows: 1000,
    };
    batch.put(keys::meta(UPGRADE), record.to_bytes());
    engine.commit(batch).await.unwrap();
    let found = plan(&engine, &formats(3), &|| 0).await.unwrap();
    assert!(found.steps[0].is_under_way);
    assert_eq!(found.steps[0].records, ROWS - 1000 + 1);
}

#[tokio::test]
async fn a_format_that_cant_be_read_is_put_aside_at_the_operators_word() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    open(&engine).await.unwrap();
    assert!(!mend(&engine, 1).await.unwrap());
    let mut batch = Batch::new();
    batch.put(keys::meta(KEY), "x");
    engine.commit(batch).await.unwrap();
    assert!(matches!(open(&engine).await, Err(Error::Corrupt { .. })));
    assert!(mend(&engine, 1).await.unwrap());
    open(&engine).await.unwrap();
    let aside = engine.get(&keys::quarantine(&keys::meta(KEY))).await;
    assert!(aside.unwrap().is_some());
}

/// Adds an octet to each row, and can't see that it has: how far it is, the note alone says.
struct Append;

impl Step for Append {
    fn to(&self) -> u64 {
        2
    }

    fn what(&self) -> &str {
        "makes values longer"
    }

    fn ranges(&self) -> Vec<KeyRange> {
        vec![keys::all(Subspace::Object), keys::all(Subspace::StsPolicy)]
    }

    fn convert(&self, key: &[u8], value: &[u8], batch: &mut Batch) -> Result<(), Error> {
        batch.put(key.to_vec(), [value, b"!"].concat());
        Ok(())
    }
}

#[tokio::test]
async fn each_row_is_converted_once_through_crashes() {
    let formats = Formats {
        current: 2,
        steps: vec![Arc::new(Append)],
    };
    for at in 1.. {
        let engine = FaultyEngine::new(FaultPlan {
            seed: at,
            ..FaultPlan::default()
        });
        let shared: Arc<dyn Engine> = engine.clone();
        fill(&shared).await;
        let engine = engine.restart_with(FaultPlan {
            seed: at,
            crash_at_commit: Some(at),
            ..FaultPlan::default()
        });
        let shared: Arc<dyn Engine> = engine.clone();
        let is_whole = open_with(&shared, &formats, &|_| ()).await.is_ok();
        let shared: Arc<dyn Engine> = engine.restart_with(FaultPlan::default());
        tokio::time::pause();
        open_with(&shared, &formats, &|_| ()).await.unwrap();
        tokio::time::resume();
        is_done(&shared, 'a', "!").await;
        if is_whole {
            assert!(at > 4, "{at} commits");
            break;
        }
    }
}

/// What another node does, from the beginning of a step to its end.
fn whole_step(to: u64, value: impl Fn(u64) -> String) -> Batch {
    let mut batch = Batch::new();
    for number in 1..=ROWS {
        batch.put(row(number), value(number));
    }
    batch.put(keys::sts_policy("example.net"), "a!");
    batch.put(keys::meta(KEY), numbers(&[to]));
    batch.delete(keys::meta(UPGRADE));
    batch
}

#[tokio::test(start_paused = true)]
async fn what_another_node_has_upgraded_meanwhile_is_not_upgraded_again() {
    let formats = Formats {
        current: 2,
        steps: vec![Arc::new(Append)],
    };
    // Before the step is begun; while its first rows are read.
    for subspace in [Subspace::Node, Subspace::Object] {
        let inner: Arc<dyn Engine> = MemoryEngine::new();
        fill(&inner).await;
        let moment = Moment::Range(keys::all(subspace).start);
        let meanwhile = whole_step(2, |number| format!("a{number}!"));
        let between = Arc::new(Between::new(
            inner.clone(),
            moment,
            inner.clone(),
            meanwhile,
        ));
        let engine: Arc<dyn Engine> = between.clone();
        open_with(&engine, &formats, &|_| ()).await.unwrap();
        assert!(between.has_happened());
        is_done(&inner, 'a', "!").await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_step_is_not_taken_for_that_of_the_next_one() {
    let inner: Arc<dyn Engine> = MemoryEngine::new();
    fill(&inner).await;
    // Another node has ended the step, and begun the next one.
    let next = UpgradeRecord {
        to: 3,
        ..UpgradeRecord::default()
    };
    let mut meanwhile = Batch::new();
    meanwhile.put(keys::meta(KEY), numbers(&[3]));
    meanwhile.put(keys::meta(UPGRADE), next.to_bytes());
    let moment = Moment::Deletion(keys::meta(UPGRADE));
    let between = Between::new(inner.clone(), moment, inner.clone(), meanwhile);
    let engine: Arc<dyn Engine> = Arc::new(between);
    open_with(&engine, &formats(3), &|_| ()).await.unwrap();
    is_done(&inner, 'c', "!!").await;
}
