//! What every engine must do: one suite, run against each.
//!
//! Holds: a case gets an empty engine of its own, and panics where the engine is wrong.
//! Other half: the `tests.rs` of each engine calls [`run`].

mod batches;
mod blobs;
mod model;
mod reads;

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;

use super::{Assertion, Batch, CommitError, Direction, Engine, Key, KeyRange, Page, Snapshot};

type Case = (
    &'static str,
    fn(Arc<dyn Engine>) -> Pin<Box<dyn Future<Output = ()> + Send>>,
);

macro_rules! cases {
    ($($module:ident::$case:ident,)*) => {
        &[$((
            concat!(stringify!($module), "/", stringify!($case)),
            |engine| Box::pin($module::$case(engine)),
        ),)*]
    };
}

const CASES: &[Case] = cases![
    reads::get_and_multi_get_keep_the_order_of_the_keys,
    reads::scan_orders_by_octets_in_both_directions,
    reads::scan_pages_go_on_from_the_last_key,
    reads::scan_of_an_empty_or_inverted_range_is_empty,
    reads::keys_only_leaves_the_keys,
    reads::empty_keys_and_values_are_keys_and_values,
    reads::large_values_come_back,
    reads::snapshots_do_not_move,
    reads::snapshots_outlive_the_engine,
    batches::assertions_hold_or_conflict,
    batches::assertions_see_nothing_of_their_own_batch,
    batches::the_first_false_assertion_is_named,
    batches::a_conflict_leaves_nothing,
    batches::the_later_write_wins,
    batches::counters_add_and_stay_at_their_ends,
    batches::a_counter_of_wrong_length_is_corrupt,
    batches::ranges_are_deleted_in_their_place,
    batches::large_ranges_are_deleted,
    batches::concurrent_counters_add_up,
    batches::one_of_many_wins_a_key,
    batches::one_of_many_wins_a_range,
    batches::commits_keep_the_order_of_their_callers,
    blobs::blobs_are_rows_with_their_octets,
    blobs::pages_with_blobs_are_full,
    blobs::blobs_go_and_come_back,
    blobs::snapshots_keep_blobs,
    blobs::assertions_on_blobs_hold_or_conflict,
    blobs::the_later_write_of_a_blob_wins,
    blobs::one_of_many_writes_a_blob,
    model::random_batches_match_a_model,
];

/// Runs every case against an engine from `fresh`, which gives an empty one at each call.
///
/// # Panics
/// Where the engine does something else than it should; the case's name is printed before.
pub async fn run<F, Fut>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Engine>>,
{
    for (name, case) in CASES {
        println!("case {name}");
        case(fresh().await).await;
    }
}

fn key(text: &str) -> Key {
    text.as_bytes().to_vec()
}

fn range(from: &str, to: &str) -> KeyRange {
    key(from)..key(to)
}

/// Puts pairs like `"a=1 b=2"`.
async fn put(engine: &Arc<dyn Engine>, pairs: &str) {
    let mut batch = Batch::new();
    for pair in pairs.split_whitespace() {
        let (key, value) = pair.split_once('=').expect("a pair");
        batch.put(key.into(), value.to_owned());
    }
    engine.commit(batch).await.expect("a commit");
}

/// All pairs of `page`, like `"a=1 b=2"`.
fn show(pairs: &[(Bytes, Bytes)]) -> String {
    let show =
        |(key, value): &(Bytes, Bytes)| format!("{}={}", key.escape_ascii(), value.escape_ascii());
    pairs.iter().map(show).collect::<Vec<_>>().join(" ")
}

async fn all(engine: &Arc<dyn Engine>) -> String {
    let everything = Vec::new()..vec![0xff; 64];
    show(
        &engine
            .scan(Page::first(everything, 10_000))
            .await
            .expect("a scan"),
    )
}

async fn get(engine: &Arc<dyn Engine>, key: &str) -> Option<String> {
    let value = engine.get(key.as_bytes()).await.expect("a get");
    value.map(|value| value.escape_ascii().to_string())
}

/// What became of a commit: `"ok"`, `"conflict 0"` or the error.
async fn commit(engine: &Arc<dyn Engine>, batch: &Batch) -> String {
    match engine.commit(batch.clone()).await {
        Ok(()) => "ok".into(),
        Err(CommitError::Conflict(index)) => format!("conflict {index}"),
        Err(CommitError::Engine(error)) => error.to_string(),
    }
}

fn number(value: Option<Bytes>) -> i64 {
    value.map_or(0, |value| {
        i64::from_be_bytes(value[..].try_into().expect("a counter"))
    })
}
