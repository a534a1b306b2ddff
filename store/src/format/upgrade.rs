//! Upgrades in place, step by step, in bounded batches.
//!
//! Holds: the format's row has the new number before the first row is converted, so older versions refuse the store from then on; rows and
//! the note of how far it is change in one commit, so that after a crash each row is converted once; a node that is still served by an older
//! version isn't pulled away under.
//! Other half: the `Step`s.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Formats, KEY, Progress, Step, UPGRADE, UpgradeRecord};
use crate::{
    Error, Record as _, decode_numbers,
    engine::{Assertion, Batch, Engine, Key, Page},
    keys::{self, Subspace},
    numbers,
};

/// Rows of one batch.
const ROWS_PER_BATCH: usize = 500;
/// Octets of values after which a batch ends.
const OCTETS_PER_BATCH: usize = 8 << 20;
/// How often a node that waits looks how far another one is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks without anything new before a node that is at a step is taken for dead: half a minute.
const STALE_LOOKS: u32 = 60;
/// Looks at the nodes before it is sure that none of them serves: each moves its row every few seconds.
const NODE_LOOKS: u32 = 12;

pub(super) async fn upgrade(
    engine: &Arc<dyn Engine>,
    formats: &Formats,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let format_key = keys::meta(KEY);
    let mut may_go_on = engine.is_exclusive();
    loop {
        let Some(found) = engine.get(&format_key).await? else {
            return Err(Error::bad_key("format version", &format_key));
        };
        let [format] = decode_numbers(&format_key, &found)?;
        if format > formats.current {
            return Err(Error::NewerFormat {
                found: format,
                known: formats.current,
            });
        }
        let under_way = under_way(engine).await?;
        if let Some((record, row)) = under_way {
            let step = step(formats, record.to)?;
            if !may_go_on {
                may_go_on = !is_moving(engine, &row, progress).await?;
                continue;
            }
            match go_on(engine, &**step, record, row, progress).await {
                // Another node is at it after all.
                Err(Error::Conflict) => may_go_on = false,
                done => done?,
            }
            continue;
        }
        if format == formats.current {
            return Ok(());
        }
        let step = step(formats, format + 1)?;
        if !engine.is_exclusive() {
            wait_for_nodes(engine, progress).await?;
        }
        progress(&format!(
            "upgrading from format {format} to {}: it {}",
            step.to(),
            step.what()
        ));
        match begin(engine, &**step, found).await {
            Ok(()) => may_go_on = true,
            // Another node has begun.
            Err(Error::Conflict) => may_go_on = false,
            Err(error) => return Err(error),
        }
    }
}

fn step(formats: &Formats, to: u64) -> Result<&Arc<dyn Step>, Error> {
    formats.step_to(to).ok_or(Error::NoUpgrade {
        from: to.saturating_sub(1),
        to: formats.current,
    })
}

async fn under_way(engine: &Arc<dyn Engine>) -> Result<Option<(UpgradeRecord, Bytes)>, Error> {
    let key = keys::meta(UPGRADE);
    let Some(row) = engine.get(&key).await? else {
        return Ok(None);
    };
    Ok(Some((UpgradeRecord::from_bytes(&key, &row)?, row)))
}

/// From now on, versions that don't know the new format refuse the store.
async fn begin(engine: &Arc<dyn Engine>, step: &dyn Step, format: Bytes) -> Result<(), Error> {
    let (format_key, key) = (keys::meta(KEY), keys::meta(UPGRADE));
    let record = UpgradeRecord {
        to: step.to(),
        ..UpgradeRecord::default()
    };
    let mut batch = Batch::new();
    batch
        .assert(Assertion::Equals(format_key.clone(), format))
        .assert(Assertion::Absent(key.clone()))
        .put(format_key, numbers(&[step.to()]))
        .put(key, record.to_bytes());
    Ok(engine.commit(batch).await?)
}

/// Does what is left of a step.
async fn go_on(
    engine: &Arc<dyn Engine>,
    step: &dyn Step,
    mut record: UpgradeRecord,
    mut row: Bytes,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let key = keys::meta(UPGRADE);
    let ranges = step.ranges();
    while let Some(range) = usize::try_from(record.range)
        .ok()
        .and_then(|at| ranges.get(at))
    {
        let mut rest = range.clone();
        if !record.after.is_empty() {
            rest.start = after(&record.after);
        }
        let rows = engine.scan(Page::first(rest, ROWS_PER_BATCH)).await?;
        let mut batch = Batch::new();
        let mut octets = 0;
        let mut next = UpgradeRecord { ..record.clone() };
        let mut taken = 0;
        for (row_key, value) in &rows {
            step.convert(row_key, value, &mut batch)?;
            octets += value.len();
            taken += 1;
            next.after = row_key.to_vec();
            next.rows += 1;
            if octets >= OCTETS_PER_BATCH {
                break;
            }
        }
        if taken == rows.len() && rows.len() < ROWS_PER_BATCH {
            next.range += 1;
            next.after = Vec::new();
        }
        let written = next.to_bytes();
        batch.assert(Assertion::Equals(key.clone(), row));
        batch.put(key.clone(), written.clone());
        engine.commit(batch).await?;
        progress(&format!(
            "upgrading to format {}: {} records done",
            step.to(),
            next.rows
        ));
        (record, row) = (next, written);
    }
    let mut batch = Batch::new();
    batch
        .assert(Assertion::Equals(key.clone(), row))
        .delete(key);
    engine.commit(batch).await?;
    progress(&format!(
        "the data has format {} now: {} records were looked at",
        step.to(),
        record.rows
    ));
    Ok(())
}

fn after(key: &[u8]) -> Key {
    [key, &[0]].concat()
}

/// Whether another node is at the step; waits until that is known, or it is over.
async fn is_moving(
    engine: &Arc<dyn Engine>,
    row: &Bytes,
    progress: Progress<'_>,
) -> Result<bool, Error> {
    progress("another node upgrades the data: waiting until it is done");
    for _ in 0..STALE_LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = engine.get(&keys::meta(UPGRADE)).await?;
        if now.as_ref() != Some(row) {
            return Ok(true);
        }
    }
    progress("the node that upgraded the data is gone: going on with it");
    Ok(false)
}

/// Nodes of an older version that serve would write what they know, under rows that are converted.
async fn wait_for_nodes(engine: &Arc<dyn Engine>, progress: Progress<'_>) -> Result<(), Error> {
    let nodes = async || {
        engine
            .scan(Page::first(keys::all(Subspace::Node), 1000))
            .await
    };
    let before = nodes().await?;
    if before.is_empty() {
        return Ok(());
    }
    progress("looking whether other nodes serve from this database");
    for _ in 0..NODE_LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        if nodes().await? != before {
            return Err(Error::NodesServe);
        }
    }
    Ok(())
}
