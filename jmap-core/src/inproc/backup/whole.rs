//! A server out of a backup: rows and blobs into a store that has nothing.
//!
//! Holds: nobody works on the store before the restore is over, and it may be interrupted and gone on with at any moment. A client that
//! remembers anything of the server that was lost is never given the same number for another thing: see [`JUMP`].
//! Other half: `source` has read them; the binary hands them in.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Head, Record as _, decode_numbers,
    engine::{Assertion, Batch, CommitError, Engine, EngineError, Page, Snapshot},
    format::FORMAT,
    keys::{self, BlobHash, Subspace},
    numbers,
};

use super::records::MarkRecord;
use crate::mail::records::MailboxRecord;

/// The server that was lost has gone on after its backup, and clients remember what it told them. No number that it may have given since is
/// given again: the sequence of each account (states, MODSEQ), its ids, and the numbers of accounts go on this much further. The log
/// of changes begins anew there, so that /changes tells clients to begin anew as well. UIDVALIDITY becomes a new one in each mailbox.
pub const JUMP: u64 = 1 << 32;
/// The row that is there while a restore isn't over.
pub(super) const MARK: &str = "restore";
/// The number that the next account gets.
const NEXT_ACCOUNT: &str = "next account";
const FORMAT_NAME: &str = "format";
/// Octets of one commit.
const BATCH_OCTETS: usize = 4 << 20;
const BATCH_ROWS: usize = 1000;
/// Mailboxes of an account that are read in one page.
const MAILBOXES_PER_PAGE: usize = 1000;

#[derive(Debug, thiserror::Error)]
pub enum WholeError {
    #[error(
        "the store isn't empty; a server is restored into a data folder, or a database, that has nothing"
    )]
    NotEmpty,
    #[error("the restore of another snapshot was begun in this store; go on with that one: {0}")]
    OtherSnapshot(String),
    #[error(
        "the backup has format {found}, and this version reads formats up to {known}; a newer version of the server made it"
    )]
    Newer { found: u64, known: u64 },
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What is in the store after all isn't what the backup has.
    #[error("what was restored isn't what was backed up: {0}")]
    Differs(String),
}

impl From<EngineError> for WholeError {
    fn from(error: EngineError) -> Self {
        Self::Store(error.into())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WholeOptions {
    /// Mail that was on its way stays where it is until somebody lets it go: it may have been sent since.
    pub hold_queue: bool,
}

/// Whether a restore into this store was begun and isn't over.
pub async fn is_unfinished(engine: &Arc<dyn Engine>) -> Result<bool, store::Error> {
    Ok(engine.contains(&keys::meta(MARK)).await?)
}

/// A restore that is under way.
pub struct Restorer {
    engine: Arc<dyn Engine>,
    /// The rows of the backup.
    archive: Arc<dyn Snapshot>,
    mark: MarkRecord,
    options: WholeOptions,
    /// UIDVALIDITY by mailbox, of the account that rows were last read of.
    validities: Option<(AccountId, BTreeMap<u64, u32>)>,
    batch: Batch,
    octets: usize,
}

impl std::fmt::Debug for Restorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restorer")
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

impl Restorer {
    /// Begins, or goes on where it was interrupted. `now`: seconds since 1970.
    pub async fn begin(
        engine: Arc<dyn Engine>,
        archive: Arc<dyn Snapshot>,
        snapshot: [u8; 32],
        options: WholeOptions,
        now: i64,
    ) -> Result<Self, WholeError> {
        let format_key = keys::meta(FORMAT_NAME);
        if let Some(bytes) = archive.get(&format_key).await? {
            let [found] = decode_numbers(&format_key, &bytes)?;
            if found > FORMAT {
                return Err(WholeError::Newer {
                    found,
                    known: FORMAT,
                });
            }
        }
        let key = keys::meta(MARK);
        let mark = match engine.get(&key).await? {
            Some(bytes) => MarkRecord::from_bytes(&key, &bytes)?,
            None => Self::mark(&engine, snapshot, now).await?,
        };
        if mark.snapshot != snapshot {
            let other = mark.snapshot.iter().take(8);
            let other = other.map(|octet| format!("{octet:02x}")).collect();
            return Err(WholeError::OtherSnapshot(other));
        }
        Ok(Self {
            engine,
            archive,
            mark,
            options,
            validities: None,
            batch: Batch::new(),
            octets: 0,
        })
    }

    /// Marks a store that has nothing.
    async fn mark(
        engine: &Arc<dyn Engine>,
        snapshot: [u8; 32],
        now: i64,
    ) -> Result<MarkRecord, WholeError> {
        let meta = Page::first(keys::all(Subspace::Meta), BATCH_ROWS).keys_only();
        let is_new = engine.scan(meta).await?;
        let is_new = is_new
            .iter()
            .all(|(key, _)| *key == keys::meta(FORMAT_NAME) || store::blob::is_of_place(key));
        let mark = MarkRecord {
            snapshot,
            began: now,
            upto: Vec::new(),
        };
        let mut batch = Batch::new();
        batch.assert(Assertion::Absent(keys::meta(MARK)));
        batch.assert(Assertion::RangeEmpty(
            vec![Subspace::Meta as u8 + 1]..vec![0xff; 64],
        ));
        batch.put(keys::meta(MARK), mark.to_bytes());
        if !is_new {
            return Err(WholeError::NotEmpty);
        }
        match engine.commit(batch).await {
            Ok(()) => Ok(mark),
            Err(CommitError::Conflict(_)) => Err(WholeError::NotEmpty),
            Err(CommitError::Engine(error)) => Err(error.into()),
        }
    }

    /// Rows up to this key are there already.
    pub fn upto(&self) -> &[u8] {
        &self.mark.upto
    }

    /// Puts rows of the backup, in the order of their keys.
    pub async fn put_rows(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), WholeError> {
        for (key, value) in rows {
            for (key, value) in self.restored(key, value).await? {
                self.octets += key.len() + value.len();
                self.batch.put(key, value);
            }
            self.mark.upto = key.to_vec();
            if self.octets > BATCH_OCTETS || self.batch.writes.len() > BATCH_ROWS {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Writes what waits.
    pub async fn flush(&mut self) -> Result<(), WholeError> {
        let mut batch = std::mem::take(&mut self.batch);
        self.octets = 0;
        if !batch.is_empty() {
            batch.put(keys::meta(MARK), self.mark.to_bytes());
            self.engine
                .commit(batch)
                .await
                .map_err(store::Error::from)?;
        }
        Ok(())
    }

    /// Whether a blob is there, from before it was interrupted.
    pub async fn has_blob(&self, hash: &BlobHash) -> Result<bool, WholeError> {
        Ok(self.engine.contains(&keys::blob(hash)).await?)
    }

    /// Puts blobs of the backup.
    pub async fn put_blob(&mut self, hash: &BlobHash, octets: Bytes) -> Result<(), WholeError> {
        self.octets += octets.len();
        self.batch.put(keys::blob(hash), octets);
        match self.octets > BATCH_OCTETS || self.batch.writes.len() > BATCH_ROWS {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Compares rows of the backup with what is in the store. Returns how many rows they have become.
    pub async fn verify_rows(&mut self, rows: &[(Bytes, Bytes)]) -> Result<u64, WholeError> {
        let mut wanted = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            wanted.extend(self.restored(key, value).await?);
        }
        let keys: Vec<Vec<u8>> = wanted.iter().map(|(key, _)| key.clone()).collect();
        let found = self.engine.multi_get(&keys).await?;
        for ((key, value), found) in wanted.iter().zip(&found) {
            if found.as_ref() != Some(value) {
                let key: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
                return Err(WholeError::Differs(format!("row {key}")));
            }
        }
        Ok(wanted.len() as u64)
    }

    /// Compares a blob in the store with what the backup has. `object`: the hash of what the server had under the name.
    pub async fn verify_blob(&self, hash: &BlobHash, object: &BlobHash) -> Result<(), WholeError> {
        let octets = store::blob::get(&self.engine, hash).await?;
        let is_right = octets.is_some_and(|octets| store::blob::hash(&octets) == *object);
        match is_right {
            true => Ok(()),
            false => {
                let hash: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
                Err(WholeError::Differs(format!("blob {hash}")))
            }
        }
    }

    /// Counts what is in the store, which is to be `rows` and `blobs`, and lets the server work.
    pub async fn finish(mut self, rows: u64, blobs: u64) -> Result<(), WholeError> {
        let found = self.count(vec![0]..vec![0xff; 64]).await?;
        let wanted = rows + blobs + 1;
        if found != wanted {
            return Err(WholeError::Differs(format!(
                "there are {found} rows and blobs, and not {wanted}"
            )));
        }
        if self.options.hold_queue {
            let since = u64::try_from(self.mark.began)
                .unwrap_or(0)
                .saturating_mul(1000);
            self.batch.put(keys::queue_pause(""), numbers(&[since]));
        }
        self.batch.delete(keys::meta(MARK));
        let batch = std::mem::take(&mut self.batch);
        Ok(self
            .engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?)
    }

    async fn count(&self, mut range: store::engine::KeyRange) -> Result<u64, WholeError> {
        let mut count = 0;
        loop {
            let page = Page::first(range.clone(), BATCH_ROWS).keys_only();
            let rows = self.engine.scan(page).await?;
            let is_of_backup = |(key, _): &&(Bytes, Bytes)| !store::blob::is_of_place(key);
            count += rows.iter().filter(is_of_backup).count() as u64;
            let Some((last, _)) = rows.last().filter(|_| rows.len() == BATCH_ROWS) else {
                return Ok(count);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// What a row of the backup becomes.
    async fn restored(
        &mut self,
        key: &[u8],
        value: &Bytes,
    ) -> Result<Vec<(Vec<u8>, Bytes)>, WholeError> {
        let same = || (key.to_vec(), value.clone());
        if key == keys::meta(NEXT_ACCOUNT) {
            let [next] = decode_numbers(key, value)?;
            return Ok(vec![(key.to_vec(), numbers(&[next.saturating_add(JUMP)]))]);
        }
        if let Some(account) = keys::decode_head(key) {
            // One that can't be read stays as it is: `check` tells of it.
            let Ok(head) = Head::from_bytes(key, value) else {
                return Ok(vec![same()]);
            };
            let head = self.restored_head(account, head).await?;
            let mut rows = vec![(key.to_vec(), head.to_bytes())];
            if head.state(DataType::Email) != 0 {
                let sequence = numbers(&[head.state(DataType::Email)]);
                rows.push((keys::search_pending(account), sequence));
            }
            return Ok(rows);
        }
        if let Some((account, DataType::Mailbox, id)) = keys::decode_object(key) {
            let Ok(mut mailbox) = MailboxRecord::from_bytes(key, value) else {
                return Ok(vec![same()]);
            };
            if let Some(validity) = self.validity(account, id).await? {
                mailbox.uid_validity = validity;
            }
            return Ok(vec![(key.to_vec(), mailbox.to_bytes())]);
        }
        if let Some((account, id)) = keys::decode_mailbox_uid(key) {
            let Ok([_, next]) = decode_numbers(key, value) else {
                return Ok(vec![same()]);
            };
            let validity = self.validity(account, id).await?;
            return Ok(match validity {
                Some(validity) => vec![(key.to_vec(), numbers(&[validity.into(), next]))],
                None => vec![same()],
            });
        }
        if keys::decode_queue_due(key).is_some() {
            // The lease was that of a process that is no more.
            return Ok(vec![(key.to_vec(), Bytes::new())]);
        }
        Ok(vec![same()])
    }

    async fn restored_head(
        &mut self,
        account: AccountId,
        mut head: Head,
    ) -> Result<Head, WholeError> {
        head.sequence = head.sequence.saturating_add(JUMP);
        let types = head.states.len().max(DataType::ALL.len());
        head.states = vec![head.sequence; types];
        head.log_trimmed = head.sequence;
        head.last_id = head.last_id.saturating_add(JUMP);
        head.writers = None;
        let validities = self.validities(account).await?;
        head.uid_validity = validities.values().copied().max().or(head.uid_validity);
        Ok(head)
    }

    async fn validity(&mut self, account: AccountId, id: u64) -> Result<Option<u32>, WholeError> {
        Ok(self.validities(account).await?.get(&id).copied())
    }

    /// RFC 9051 §2.3.1.1: greater ones than any mailbox has had, and different ones: they have the seconds of the time of restoring, or go on from
    /// what was given last.
    async fn validities(&mut self, account: AccountId) -> Result<&BTreeMap<u64, u32>, WholeError> {
        if self
            .validities
            .as_ref()
            .is_none_or(|(of, _)| *of != account)
        {
            let validities = self.new_validities(account).await?;
            self.validities = Some((account, validities));
        }
        let found = self.validities.as_ref().map(|(_, validities)| validities);
        found.ok_or(WholeError::Store(store::Error::Conflict))
    }

    async fn new_validities(&self, account: AccountId) -> Result<BTreeMap<u64, u32>, WholeError> {
        let head_key = keys::head(account);
        let head = self.archive.get(&head_key).await?;
        let head = head.and_then(|bytes| Head::from_bytes(&head_key, &bytes).ok());
        let last = head.and_then(|head| head.uid_validity).unwrap_or(0);
        let now = u32::try_from(self.mark.began).unwrap_or(u32::MAX);
        let (mut mailboxes, mut last) = (Vec::new(), last);
        let mut range = keys::objects(account, DataType::Mailbox);
        loop {
            let page = Page::first(range.clone(), MAILBOXES_PER_PAGE);
            let rows = self.archive.scan(page).await?;
            for (key, bytes) in &rows {
                let Some((_, _, id)) = keys::decode_object(key) else {
                    continue;
                };
                if let Ok(record) = MailboxRecord::from_bytes(key, bytes) {
                    last = last.max(record.uid_validity);
                }
                mailboxes.push(id);
            }
            let Some((row, _)) = rows.last().filter(|_| rows.len() == MAILBOXES_PER_PAGE) else {
                break;
            };
            range.start = [row, &[0u8][..]].concat();
        }
        let first = now.max(last.saturating_add(1));
        let numbers = (first..).chain(std::iter::repeat(u32::MAX));
        Ok(mailboxes.into_iter().zip(numbers).collect())
    }
}
