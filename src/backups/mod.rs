//! Backups: what the core reads goes into a repository, and back.
//!
//! Holds: a backup has the whole server, its secrets among it: a repository in a folder is its owner's alone. What a run has
//! stored stays when it is stopped, and the next one goes on from there.
//! Other half: the crate `backup` has the repository, `jmap_core::inproc::backup` the server.

pub mod archive;
pub mod restore;
pub mod run;
pub mod schedule;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use backup::{
    Encryption, Key, Lock, LockOwner, LockTimes, NewRepository, Repository,
    place::{Place, S3Settings},
};
use jmap_core::{
    clock::Clock, directory::DirectoryError, inproc::backup::WholeError,
    mail::bring_back::BringBackError, rng::Rng,
};
use zeroize::Zeroizing;

/// Why a backup, or a restore, didn't work: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Repository(#[from] backup::Error),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Whole(#[from] WholeError),
    #[error(transparent)]
    BringBack(#[from] BringBackError),
    #[error("{0} can't be read: {1}")]
    File(PathBuf, std::io::Error),
    #[error(
        "another server has taken this one for dead while it read blobs; what was stored stays, begin again"
    )]
    HoldLost,
    #[error(
        "the database ended the snapshot before all rows were read: {0}; what was stored stays, begin again"
    )]
    SnapshotEnded(store::Error),
    #[error(
        "{0} has no backup, and this server has made some there: is the disk mounted? To begin anew, give `posthorn backup {0} --new` once"
    )]
    NotMounted(String),
    #[error(
        "{0} has another backup than the one that this server has made there: is the right disk mounted? To go on with this one, give `posthorn backup {0} --new` once"
    )]
    OtherBackup(String),
    #[error("{0}")]
    Refused(String),
}

/// A repository, and how to get into it.
#[derive(Clone, Debug)]
pub struct Target {
    pub place: Place,
    pub s3: S3Settings,
    pub encryption: Encryption,
    pub key: Key,
    /// Another repository may take the place of the one that this server made there.
    pub begins_anew: bool,
}

impl Target {
    /// A repository that is there.
    pub async fn open(&self) -> Result<Repository, BackupError> {
        let found = self.find().await?;
        Ok(found.ok_or_else(|| backup::Error::Missing(self.place.to_string()))?)
    }

    /// The repository, if there is one; nothing is made.
    pub async fn find(&self) -> Result<Option<Repository>, BackupError> {
        match self.place.storage(&self.s3, false) {
            Err(backup::Error::Missing(_)) => Ok(None),
            storage => Ok(Repository::open(storage?, &self.key).await?),
        }
    }

    /// Makes a repository where there is none.
    pub async fn make(&self, clock: &dyn Clock, rng: &dyn Rng) -> Result<Repository, BackupError> {
        let storage = self.place.storage(&self.s3, true)?;
        let mut id = [0; 16];
        rng.fill(&mut id);
        let mut naming = Zeroizing::new([0; 32]);
        rng.fill(&mut *naming);
        let new = NewRepository {
            encryption: self.encryption.clone(),
            id,
            naming,
            created: clock.now().seconds(),
        };
        Ok(Repository::create(storage, new).await?)
    }
}

/// Takes the lock of a repository.
pub async fn lock(
    repository: &Repository,
    purpose: &str,
    hostname: &str,
    rng: &dyn Rng,
    progress: backup::Progress<'_>,
) -> Result<Lock, BackupError> {
    let owner = LockOwner {
        id: rng.next_u64(),
        hostname: hostname.to_owned(),
        purpose: purpose.to_owned(),
    };
    Ok(repository
        .lock(owner, LockTimes::default(), progress)
        .await?)
}

/// What a long work needs beside what it works on.
#[derive(Clone)]
pub struct Tools {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
}
