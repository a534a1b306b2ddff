//! The store's format version, and the way from older ones.
//!
//! Holds: a data folder of a newer format is refused before anything is read from it; so is one that is being brought to a newer one, by
//! every version that doesn't know that one. An upgrade that was broken off goes on where it was.
//! Other half: `upgrade` does the steps; the binary says what comes of it.

mod plan;
mod record;
#[cfg(test)]
mod tests;
mod upgrade;

use std::sync::Arc;

use crate::{
    Error, decode_numbers,
    engine::{Assertion, Batch, Engine, KeyRange},
    keys, numbers,
    quarantine::{self, Aside},
};

pub use self::{
    plan::{Plan, PlannedStep},
    record::UpgradeRecord,
};

/// The format that this version writes: 2 has blobs that are encrypted or somewhere else.
pub const FORMAT: u64 = 2;

/// The name of the format's row, and of that which is there while a step is under way.
pub(crate) const KEY: &str = "format";
pub(crate) const UPGRADE: &str = "upgrade";
/// A record of this name is in a store that another one is being copied to.
pub const COPY_MARK: &str = "copy";

/// Is told now and then how far an upgrade is: a sentence.
pub type Progress<'p> = &'p (dyn Fn(&str) + Send + Sync);

/// One step from a format to the next.
pub trait Step: Send + Sync {
    /// The format that it leads to, from the one before.
    fn to(&self) -> u64;

    /// What it does, as the end of the sentence "it …".
    fn what(&self) -> &str;

    /// The rows that it looks at, in this order. Later versions must not change it.
    fn ranges(&self) -> Vec<KeyRange>;

    /// What becomes of a row: what is added to `batch`. It may be asked about a row that it has already converted, if that comes
    /// to a place that is still ahead, and leaves it as it is then.
    fn convert(&self, key: &[u8], value: &[u8], batch: &mut Batch) -> Result<(), Error>;
}

/// The formats that a version knows.
#[derive(Clone)]
pub struct Formats {
    /// The one that it writes.
    pub current: u64,
    /// The way there from older ones, one format after the other.
    pub steps: Vec<Arc<dyn Step>>,
}

impl Formats {
    /// Those of this version.
    pub fn of_this_version() -> Self {
        Self {
            current: FORMAT,
            steps: vec![Arc::new(BlobStubs)],
        }
    }

    fn step_to(&self, to: u64) -> Option<&Arc<dyn Step>> {
        self.steps.iter().find(|step| step.to() == to)
    }
}

/// To format 2. No row becomes another; but who knows only format 1 would take the empty row of a blob that is in an object store
/// for its octets.
struct BlobStubs;

impl Step for BlobStubs {
    fn to(&self) -> u64 {
        2
    }

    fn what(&self) -> &str {
        "lets the octets of blobs be encrypted, and be in an object store"
    }

    fn ranges(&self) -> Vec<KeyRange> {
        Vec::new()
    }

    fn convert(&self, _: &[u8], _: &[u8], _: &mut Batch) -> Result<(), Error> {
        Ok(())
    }
}

/// What a store is, before anything is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is nothing in it yet.
    New,
    Format {
        format: u64,
        /// The step to this format isn't over.
        is_under_way: bool,
    },
}

/// Marks a new store with the current format, brings an older one to it, refuses a newer one.
pub async fn open(engine: &Arc<dyn Engine>) -> Result<(), Error> {
    open_with(engine, &Formats::of_this_version(), &|_| ()).await
}

/// The same, with the formats of some version; `progress` is told of an upgrade.
pub async fn open_with(
    engine: &Arc<dyn Engine>,
    formats: &Formats,
    progress: Progress<'_>,
) -> Result<(), Error> {
    if look(engine, formats).await? != Found::New {
        return upgrade::upgrade(engine, formats, progress).await;
    }
    let key = keys::meta(KEY);
    let mut batch = Batch::new();
    batch
        .assert(Assertion::Absent(key.clone()))
        .put(key, numbers(&[formats.current]));
    match engine.commit(batch).await.map_err(Error::from) {
        // Another node was faster: what it has made is looked at.
        Err(Error::Conflict) => upgrade::upgrade(engine, formats, progress).await,
        done => done,
    }
}

/// What a store is; an error where it is newer than this version, or isn't whole.
pub async fn look(engine: &Arc<dyn Engine>, formats: &Formats) -> Result<Found, Error> {
    if engine.contains(&keys::meta(COPY_MARK)).await? {
        return Err(Error::UnfinishedCopy);
    }
    let key = keys::meta(KEY);
    let Some(bytes) = engine.get(&key).await? else {
        return Ok(Found::New);
    };
    let [format] = decode_numbers(&key, &bytes)?;
    if format > formats.current {
        return Err(Error::NewerFormat {
            found: format,
            known: formats.current,
        });
    }
    let is_under_way = engine.contains(&keys::meta(UPGRADE)).await?;
    Ok(Found::Format {
        format,
        is_under_way,
    })
}

/// The time, in milliseconds since some moment.
pub type NowMs<'n> = &'n (dyn Fn() -> i64 + Send + Sync);

/// What an upgrade would do, from counts and a sample that is timed by `now`. Changes nothing.
pub async fn plan(
    engine: &Arc<dyn Engine>,
    formats: &Formats,
    now: NowMs<'_>,
) -> Result<Plan, Error> {
    plan::plan(engine, formats, now).await
}

/// Puts the format's row aside if it can't be read, and takes the store for one of the current format: only at the operator's word,
/// since nobody else can know. `true`: that was so.
pub async fn mend(engine: &Arc<dyn Engine>, now_ms: i64) -> Result<bool, Error> {
    let key = keys::meta(KEY);
    let Some(found) = engine.get(&key).await? else {
        return Ok(false);
    };
    if decode_numbers::<1>(&key, &found).is_ok() {
        return Ok(false);
    }
    let row = keys::quarantine(&key);
    let known = engine.get(&row).await?;
    let mut batch = Batch::new();
    batch.assert(Assertion::Equals(key.clone(), found.clone()));
    batch.put(key.clone(), numbers(&[FORMAT]));
    let aside = Aside {
        key,
        octets: found.to_vec(),
        reason: "record/server-value".to_owned(),
        at: now_ms,
    };
    quarantine::put(&mut batch, row, known.as_ref(), aside);
    engine.commit(batch).await?;
    Ok(true)
}
