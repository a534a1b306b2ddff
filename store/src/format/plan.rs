//! What an upgrade would do: counted, and tried on a sample.

use std::sync::Arc;

use super::{Formats, Found, NowMs, Step, UPGRADE, UpgradeRecord, look};
use crate::{
    Error, Record as _,
    engine::{Batch, Engine, Page, Write},
    keys,
};

/// Rows that are converted, and not written, to see what that takes.
const SAMPLE_ROWS: usize = 500;
/// Rows that one page of counting takes.
const ROWS_PER_PAGE: usize = 5000;
/// Converting is the smaller part: reading and a synced write come to it.
const WRITING_FACTOR: u64 = 4;

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// `None`: the store is new.
    pub format: Option<u64>,
    pub current: u64,
    pub steps: Vec<PlannedStep>,
}

/// A step, and what it is expected to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    pub to: u64,
    pub what: String,
    /// It was begun, and not finished.
    pub is_under_way: bool,
    /// Rows that it looks at, without those that are done.
    pub records: u64,
    /// Octets that it writes, by a sample.
    pub octets: u64,
    /// By a sample, rounded up.
    pub seconds: u64,
}

pub(super) async fn plan(
    engine: &Arc<dyn Engine>,
    formats: &Formats,
    now: NowMs<'_>,
) -> Result<Plan, Error> {
    let mut plan = Plan {
        current: formats.current,
        ..Plan::default()
    };
    let Found::Format {
        format,
        is_under_way,
    } = look(engine, formats).await?
    else {
        return Ok(plan);
    };
    plan.format = Some(format);
    let first = if is_under_way { format } else { format + 1 };
    for to in first..=formats.current {
        let step = formats.step_to(to).ok_or(Error::NoUpgrade {
            from: to.saturating_sub(1),
            to: formats.current,
        })?;
        let is_under_way = is_under_way && to == format;
        plan.steps
            .push(planned(engine, &**step, is_under_way, now).await?);
    }
    Ok(plan)
}

async fn planned(
    engine: &Arc<dyn Engine>,
    step: &dyn Step,
    is_under_way: bool,
    now: NowMs<'_>,
) -> Result<PlannedStep, Error> {
    let mut done = UpgradeRecord::default();
    if is_under_way {
        let key = keys::meta(UPGRADE);
        if let Some(row) = engine.get(&key).await? {
            done = UpgradeRecord::from_bytes(&key, &row)?;
        }
    }
    let skipped = usize::try_from(done.range).unwrap_or(usize::MAX);
    let (mut records, mut sampled, mut written) = (0_u64, 0_u64, 0_u64);
    let mut took = 0;
    for (at, mut range) in step.ranges().into_iter().enumerate().skip(skipped) {
        if at == skipped && !done.after.is_empty() {
            range.start = [&done.after[..], &[0]].concat();
        }
        let began = now();
        let sample = engine.scan(Page::first(range.clone(), SAMPLE_ROWS)).await?;
        for (key, value) in &sample {
            let mut batch = Batch::new();
            step.convert(key, value, &mut batch)?;
            written += batch.writes.iter().map(octets).sum::<u64>();
        }
        sampled += sample.len() as u64;
        took += u64::try_from(now() - began).unwrap_or(0);
        loop {
            let page = Page::first(range.clone(), ROWS_PER_PAGE).keys_only();
            let rows = engine.scan(page).await?;
            records += rows.len() as u64;
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }
    let each = |of_sample: u64| of_sample.saturating_mul(records) / sampled.max(1);
    Ok(PlannedStep {
        to: step.to(),
        what: step.what().to_owned(),
        is_under_way,
        records,
        octets: each(written),
        seconds: each(took * WRITING_FACTOR).div_ceil(1000),
    })
}

fn octets(write: &Write) -> u64 {
    match write {
        Write::Put(key, value) => (key.len() + value.len()) as u64,
        Write::Delete(key) | Write::Add(key, _) => key.len() as u64,
        Write::DeleteRange(range) => (range.start.len() + range.end.len()) as u64,
    }
}
