//! Restores a whole server into a store that has nothing.
//!
//! Holds: a restore that was interrupted is gone on with by the same command; until it is over, no server works on the store. Blobs that
//! can't be read in the backup are named, and cost no more than themselves.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use backup::{Name, Progress, Snapshot};
use jmap_core::inproc::backup::{Restorer, WholeOptions};
use store::engine::Engine;

use super::{BackupError, archive::Archive};

const PROGRESS_EVERY: u64 = 1000;

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub rows: u64,
    pub blobs: u64,
    /// Blobs that the server that was backed up had lost.
    pub lost_blobs: u64,
    /// Blobs that can't be read in the backup.
    pub damaged_blobs: u64,
}

/// Puts a snapshot into `engine`, and compares what is there then with the backup. `now`: seconds since 1970; `begun` is called when
/// it is certain that the store is one to restore into.
pub async fn whole(
    snapshot: &Snapshot,
    engine: Arc<dyn Engine>,
    options: WholeOptions,
    now: i64,
    begun: impl FnOnce() -> Result<(), BackupError>,
    progress: Progress<'_>,
) -> Result<Restored, BackupError> {
    let archive = Archive::shared(snapshot);
    let mut restorer = Restorer::begin(engine, archive, snapshot.id.0, options, now).await?;
    begun()?;
    let mut start = restorer.upto().to_vec();
    if !start.is_empty() {
        start.push(0);
    }
    let (mut count, total) = (0, snapshot.record.rows());
    let mut walk = snapshot.walk(&start, &END);
    while let Some(rows) = walk.next().await? {
        restorer.put_rows(&rows).await?;
        count += rows.len() as u64;
        progress(&format!("rows: {count} of {total}"));
    }
    restorer.flush().await?;
    let blobs = blobs_of(snapshot).await?;
    let damaged = put_blobs(snapshot, &mut restorer, &blobs, progress).await?;
    verify(snapshot, restorer, &blobs, &damaged, progress).await
}

/// After every key.
const END: [u8; 64] = [0xff; 64];

/// The blobs that the rows refer to, and the objects that have their octets, by pack: each pack is read once.
type ByPack = BTreeMap<Option<Name>, Vec<(Name, Name)>>;

#[derive(Debug, Default)]
struct Blobs {
    by_pack: ByPack,
    count: u64,
    lost: u64,
}

async fn blobs_of(snapshot: &Snapshot) -> Result<Blobs, BackupError> {
    let mut blobs = Blobs::default();
    for reference in &snapshot.record.references {
        let mut end = reference.prefix.clone();
        end.extend_from_slice(&END);
        let mut walk = snapshot.walk(&reference.prefix, &end);
        let mut last = None;
        while let Some(rows) = walk.next().await? {
            for (key, _) in rows {
                let blob = reference.blob(&key);
                let Some(blob) = blob.filter(|blob| last.replace(*blob) != Some(*blob)) else {
                    continue;
                };
                let Some(object) = snapshot.object_of(&blob) else {
                    blobs.lost += 1;
                    continue;
                };
                blobs.count += 1;
                let pack = snapshot.index().pack_of(&object);
                blobs.by_pack.entry(pack).or_default().push((blob, object));
            }
        }
    }
    Ok(blobs)
}

/// Returns the blobs that can't be read in the backup.
async fn put_blobs(
    snapshot: &Snapshot,
    restorer: &mut Restorer,
    blobs: &Blobs,
    progress: Progress<'_>,
) -> Result<HashSet<Name>, BackupError> {
    let mut damaged = HashSet::new();
    let mut count: u64 = 0;
    for (blob, object) in blobs.by_pack.values().flatten() {
        count += 1;
        if count.is_multiple_of(PROGRESS_EVERY) {
            progress(&format!("blobs: {count} of {}", blobs.count));
        }
        if restorer.has_blob(&blob.0).await? {
            continue;
        }
        match snapshot.object(object).await {
            Ok(octets) => restorer.put_blob(&blob.0, octets).await?,
            Err(error) if error.is_loss() => {
                tracing::error!(%blob, %error, "a blob can't be read in the backup");
                damaged.insert(*blob);
            }
            Err(error) => return Err(error.into()),
        }
    }
    restorer.flush().await?;
    Ok(damaged)
}

async fn verify(
    snapshot: &Snapshot,
    mut restorer: Restorer,
    blobs: &Blobs,
    damaged: &HashSet<Name>,
    progress: Progress<'_>,
) -> Result<Restored, BackupError> {
    let mut rows = 0;
    let mut walk = snapshot.walk(&[], &END);
    while let Some(of_leaf) = walk.next().await? {
        rows += restorer.verify_rows(&of_leaf).await?;
        progress(&format!("comparing rows: {rows}"));
    }
    let mut count: u64 = 0;
    let put = blobs.by_pack.values().flatten();
    for (blob, object) in put.filter(|(blob, _)| !damaged.contains(blob)) {
        count += 1;
        if count.is_multiple_of(PROGRESS_EVERY) {
            progress(&format!("comparing blobs: {count} of {}", blobs.count));
        }
        restorer.verify_blob(&blob.0, &object.0).await?;
    }
    restorer.finish(rows, count).await?;
    Ok(Restored {
        rows,
        blobs: count,
        lost_blobs: blobs.lost,
        damaged_blobs: damaged.len() as u64,
    })
}
