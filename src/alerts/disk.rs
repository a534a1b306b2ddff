//! Disks that are nearly full.
//!
//! Holds: a disk is told of once, whatever is on it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jmap_core::alert::{AlertKind, Condition};

use crate::config::{BlobPlace, Config, LogTarget};

/// `None`: it could not be found out.
pub async fn full(config: &Config) -> Option<Vec<Condition>> {
    let percent = config.alerts.disk;
    if percent == 0 {
        return Some(Vec::new());
    }
    let folders = folders(config);
    // A disk that is broken may not answer.
    let looked = tokio::task::spawn_blocking(move || look(&folders, percent));
    looked.await.ok()?
}

/// What is written to.
fn folders(config: &Config) -> Vec<PathBuf> {
    let mut folders = vec![config.data.clone()];
    if let Some(BlobPlace::Folder(folder)) = config.store.blobs.place(&config.data) {
        folders.push(folder);
    }
    if config.log.to == LogTarget::File {
        folders.extend(config.log_file().parent().map(Path::to_owned));
    }
    folders
}

fn look(folders: &[PathBuf], percent: u8) -> Option<Vec<Condition>> {
    let mut disks = BTreeSet::new();
    let mut found = Vec::new();
    for folder in folders {
        let of = match rustix::fs::statvfs(folder) {
            Ok(of) => of,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "it could not be found out how full a disk is");
                return None;
            }
        };
        let free = of.f_bavail.saturating_mul(of.f_frsize);
        let all = of.f_blocks.saturating_mul(of.f_frsize);
        if !disks.insert((of.f_fsid, all)) || !is_full(free, all, percent) {
            continue;
        }
        let folder = folder.display().to_string();
        let sentence = format!(
            "The disk of {folder} has {} MiB left of {} MiB. When it is full, mail is put off.",
            free >> 20,
            all >> 20
        );
        found.push(Condition::new(AlertKind::DiskFull, folder, sentence));
    }
    Some(found)
}

pub fn is_full(free: u64, all: u64, percent: u8) -> bool {
    let used = u128::from(all.saturating_sub(free));
    all > 0 && used * 100 >= u128::from(all) * u128::from(percent)
}
