//! What a backup reads of a server, and what a server knows of its backups.
//!
//! Holds: rows are those of one moment; what they refer to can be read for as long as the [`Source`] lives, however long that takes:
//! no blob is collected meanwhile, on any node.
//! Other half: the binary puts it into a repository; `whole` makes a server of it again, `mail::bring_back` parts of one.

mod records;
mod source;
#[cfg(test)]
mod tests;
mod whole;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Record as _,
    engine::{Assertion, Batch, Page},
    keys,
};

pub use self::{
    records::{OutcomeRecord, RepositoryRecord},
    source::{References, Source},
    whole::{JUMP, Restorer, WholeError, WholeOptions, is_unfinished},
};
use crate::{Caller, Core, access, cluster::BACKUP, directory::DirectoryError};

/// How often a hold is counted up, and after how long one that doesn't move is nobody's any more.
const BEAT: Duration = Duration::from_secs(30);
const DEAD_AFTER: Duration = Duration::from_secs(600);
/// Backups at the same time, and repositories that are remembered.
const HOLDS_MAX: usize = 1000;
const REPOSITORIES_MAX: usize = 1000;

/// When each hold was seen to move last, by this process's clock.
#[derive(Debug, Default)]
pub struct Holds(Mutex<HashMap<Bytes, (Bytes, Instant)>>);

impl Core {
    /// Whether a backup reads blobs. The hold of one that was killed goes after [`DEAD_AFTER`].
    pub(crate) async fn is_held_for_backup(&self) -> Result<bool, store::Error> {
        let rows = self
            .engine
            .scan(Page::first(keys::backup_holds(), HOLDS_MAX))
            .await?;
        let now = self.clock.monotonic();
        let mut dead = Vec::new();
        {
            let mut seen = self.backup_holds.0.lock();
            seen.retain(|key, _| rows.iter().any(|(row, _)| row == key));
            for (key, beat) in &rows {
                let last = seen.entry(key.clone()).or_insert((beat.clone(), now));
                if last.0 != *beat {
                    *last = (beat.clone(), now);
                }
                if now.saturating_duration_since(last.1) >= DEAD_AFTER {
                    dead.push((key.clone(), beat.clone()));
                }
            }
        }
        let is_held = rows.len() > dead.len();
        for (key, beat) in dead {
            let mut batch = Batch::new();
            batch.assert(Assertion::Equals(key.to_vec(), beat));
            batch.delete(key.to_vec());
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Ok(()) | Err(store::Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(is_held)
    }

    /// What the server knows of a repository.
    pub async fn backup_repository(
        &self,
        who: &Caller,
        repository: &[u8; keys::REPOSITORY_OCTETS],
    ) -> Result<Option<RepositoryRecord>, DirectoryError> {
        access::may_run(who, access::Operation::Backup)?;
        let key = keys::backup_repository(repository);
        let bytes = self.engine.get(&key).await.map_err(store::Error::from)?;
        let record = bytes.map(|bytes| RepositoryRecord::from_bytes(&key, &bytes));
        Ok(record.transpose()?)
    }

    /// All repositories that it knows.
    pub async fn backup_repositories(
        &self,
        who: &Caller,
    ) -> Result<Vec<RepositoryRecord>, DirectoryError> {
        access::may_run(who, access::Operation::Backup)?;
        let page = Page::first(keys::backup_repositories(), REPOSITORIES_MAX);
        let rows = self.engine.scan(page).await.map_err(store::Error::from)?;
        let records = rows
            .iter()
            .map(|(key, bytes)| RepositoryRecord::from_bytes(key, bytes));
        Ok(records.collect::<Result<_, _>>()?)
    }

    /// Changes what the server knows of a repository.
    pub async fn note_backup(
        &self,
        who: &Caller,
        repository: &[u8; keys::REPOSITORY_OCTETS],
        change: impl Fn(&mut RepositoryRecord) + Send + Sync,
    ) -> Result<(), DirectoryError> {
        access::may_run(who, access::Operation::Backup)?;
        let key = keys::backup_repository(repository);
        for _ in 0..crate::object::TRIES {
            let found = self.engine.get(&key).await.map_err(store::Error::from)?;
            let mut record = match &found {
                Some(bytes) => RepositoryRecord::from_bytes(&key, bytes)?,
                None => RepositoryRecord::default(),
            };
            let before = record.clone();
            change(&mut record);
            let mut batch = Batch::new();
            self.tell_backup(&mut batch, &before, &record);
            batch.assert(match found {
                Some(bytes) => Assertion::Equals(key.clone(), bytes),
                None => Assertion::Absent(key.clone()),
            });
            batch.put(key.clone(), record.to_bytes());
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Err(store::Error::Conflict) => {}
                result => return Ok(result?),
            }
        }
        Err(store::Error::Conflict.into())
    }

    /// A backup has failed before its repository was open: nobody knows which one it is, but where.
    pub async fn note_unopened_backup(
        &self,
        who: &Caller,
        place: &str,
        failure: OutcomeRecord,
    ) -> Result<(), DirectoryError> {
        let id = self.repository_at(who, place).await?;
        let note = |record: &mut RepositoryRecord| {
            record.place = place.to_owned();
            record.failure = Some(failure.clone());
        };
        self.note_backup(who, &id, note).await
    }

    /// One has worked there: what is known of the repository by its own name counts from now on.
    pub async fn forget_unopened_backup(
        &self,
        who: &Caller,
        place: &str,
    ) -> Result<(), DirectoryError> {
        access::may_run(who, access::Operation::Backup)?;
        let mut batch = Batch::new();
        batch.delete(keys::backup_repository(&unopened(place)));
        Ok(self
            .engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?)
    }

    /// The repository that was there the last time; else one in place of it.
    async fn repository_at(
        &self,
        who: &Caller,
        place: &str,
    ) -> Result<[u8; keys::REPOSITORY_OCTETS], DirectoryError> {
        access::may_run(who, access::Operation::Backup)?;
        let page = Page::first(keys::backup_repositories(), REPOSITORIES_MAX);
        let rows = self.engine.scan(page).await.map_err(store::Error::from)?;
        let known = rows.iter().filter_map(|(key, bytes)| {
            let record = RepositoryRecord::from_bytes(key, bytes).ok()?;
            let Some(keys::BackupKey::Repository(id)) = keys::decode_backup(key) else {
                return None;
            };
            let at = record.success.as_ref().map(|success| success.at);
            (record.place == place).then_some((at, id))
        });
        let last = known.max().map(|(_, id)| id);
        Ok(last.unwrap_or_else(|| unopened(place)))
    }

    /// Whether the backups that nobody has to ask for are this node's work.
    pub async fn leads_backup(&self) -> Result<bool, store::Error> {
        self.leads(BACKUP).await
    }
}

/// In place of the name of a repository that could not be opened yet.
fn unopened(place: &str) -> [u8; keys::REPOSITORY_OCTETS] {
    let hash = blake3::hash(place.as_bytes());
    let mut id = [0; keys::REPOSITORY_OCTETS];
    id.copy_from_slice(&hash.as_bytes()[..keys::REPOSITORY_OCTETS]);
    id
}
