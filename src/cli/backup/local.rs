//! What needs no server: it is about a repository, or makes a server out of one.

use std::fs;

use backup::{Keep, Name, Progress, VerifyOptions, prune, verify};
use jmap_core::inproc::backup::WholeOptions;

use super::rows::{
    BackupAnswer, ContentRow, PrunedRow, RepositoryAccess, RestoredRow, SnapshotRow, VerifiedRow,
    WhichSnapshot,
};
use crate::{
    backups::{self, BackupError},
    cli::{AnyError, control},
    config::Config,
    engine,
    folder::Folder,
    wire,
};

/// The file in the data folder that says how far a node's index is.
const CURSORS: &str = "search-cursors";

pub enum Work {
    List(RepositoryAccess),
    Verify {
        access: RepositoryAccess,
        read_all: bool,
    },
    Prune {
        access: RepositoryAccess,
        keep: Keep,
    },
    Restore {
        access: RepositoryAccess,
        snapshot: WhichSnapshot,
        hold_queue: bool,
    },
}

pub async fn execute(
    config: &Config,
    work: Work,
    progress: Progress<'_>,
) -> Result<BackupAnswer, AnyError> {
    Ok(match work {
        Work::List(access) => BackupAnswer::Snapshots(list(&access).await?),
        Work::Verify { access, read_all } => {
            let repository = access.target()?.open().await?;
            let report = verify(&repository, VerifyOptions { read_all }, progress).await;
            let report = report.map_err(BackupError::from)?;
            BackupAnswer::Verified(VerifiedRow {
                snapshots: report.snapshots,
                packs: report.packs,
                rows: report.rows,
                blobs: report.objects,
                unused_files: report.unused,
                is_closed: report.is_closed,
                problems: report.problems,
                has_more: report.has_more,
            })
        }
        Work::Prune { access, keep } => {
            let row = prune_place(&access, keep, &config.hostname.0, progress).await?;
            BackupAnswer::Pruned(row)
        }
        Work::Restore {
            access,
            snapshot,
            hold_queue,
        } => {
            let options = WholeOptions { hold_queue };
            let row = restore(config, &access, &snapshot, options, progress).await?;
            BackupAnswer::Restored(row)
        }
    })
}

async fn list(access: &RepositoryAccess) -> Result<Vec<SnapshotRow>, BackupError> {
    let repository = access.target()?.open().await?;
    let mut rows = Vec::new();
    let (entries, damaged) = repository.entries().await?;
    for (id, error) in damaged {
        tracing::error!(%error, snapshot = id.short(), "a snapshot isn't listed");
    }
    for entry in entries {
        let content = match repository.is_open() {
            false => None,
            true => {
                let record = match repository.record(&entry.id).await {
                    Ok(record) => record,
                    Err(error) if error.is_loss() => {
                        tracing::error!(%error, "a snapshot isn't listed");
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                Some(ContentRow {
                    rows: record.rows(),
                    hostname: record.hostname,
                    version: record.version,
                    accounts: record.accounts,
                    emails: record.emails,
                    blobs: record.blobs,
                    added_octets: record.added_octets,
                    lost_blobs: record.substitutes.len() as u64,
                })
            }
        };
        rows.push(SnapshotRow {
            id: entry.id.short(),
            time: entry.time,
            pack_octets: entry.pack_octets,
            content,
        });
    }
    Ok(rows)
}

async fn prune_place(
    access: &RepositoryAccess,
    keep: Keep,
    hostname: &str,
    progress: Progress<'_>,
) -> Result<PrunedRow, BackupError> {
    let repository = access.target()?.open().await?;
    let lock = backups::lock(&repository, "pruning", hostname, &*wire::rng(), progress).await?;
    let pruned = prune(&repository, &lock, keep, progress).await;
    lock.release().await?;
    let pruned = pruned?;
    let short = |ids: &[Name]| ids.iter().map(Name::short).collect();
    Ok(PrunedRow {
        kept: short(&pruned.kept),
        removed: short(&pruned.removed),
        packs: pruned.packs,
        octets: pruned.octets,
    })
}

async fn restore(
    config: &Config,
    access: &RepositoryAccess,
    which: &WhichSnapshot,
    options: WholeOptions,
    progress: Progress<'_>,
) -> Result<RestoredRow, AnyError> {
    let repository = access.target()?.open().await?;
    let id = which.find(&repository).await?;
    let snapshot = repository.snapshot(&id).await?;
    let folder = Folder::make(&config.data)?;
    if control::connect(&folder.control_socket()).await?.is_some() {
        let why =
            "a server runs on this data folder; stop it, or restore an account with --account";
        return Err(BackupError::Refused(why.to_owned()).into());
    }
    let engine = engine::open_restoring(config, &folder).await?;
    let now = wire::clock().now().seconds();
    let forget = || forget_index(&folder);
    let restored =
        backups::restore::whole(&snapshot, engine, options, now, forget, progress).await?;
    Ok(RestoredRow {
        snapshot: id.short(),
        restored_rows: restored.rows,
        restored_blobs: restored.blobs,
        lost_blobs: restored.lost_blobs,
        damaged_blobs: restored.damaged_blobs,
        is_queue_held: options.hold_queue,
    })
}

/// An index that is there is of another store; the server makes a new one.
fn forget_index(folder: &Folder) -> Result<(), BackupError> {
    let failed = |path: std::path::PathBuf, error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(BackupError::File(path, error)),
    };
    let cursors = folder.path().join(CURSORS);
    fs::remove_file(&cursors).or_else(|error| failed(cursors, error))?;
    let search = folder.search();
    fs::remove_dir_all(&search).or_else(|error| failed(search, error))
}
