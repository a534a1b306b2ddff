//! Reads every record of the store and says what is wrong.
//!
//! Holds: it reads a snapshot and changes nothing, so it may run while the server works; what it keeps in memory
//! grows with one account's mail, not with the store; a damaged record is a problem, and not the end.
//! Other half: `store::keys` has the table of what there is; the modules that write have the rules.

mod account;
mod blobs;
mod directory;
mod queue;
mod shape;
#[cfg(test)]
mod tests;
mod trace;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::Arc,
};

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    Record, decode_numbers,
    engine::{Engine, EngineError, KeyRange, Page, Snapshot},
};

use crate::{Core, directory::AccountRecord};

/// Problems that are listed; more are only said to be there.
pub const PROBLEMS_MAX: usize = 1000;
/// Rows that one page of reading takes.
const ROWS_PER_PAGE: usize = 500;
/// Records between two sentences of progress.
const PROGRESS_EVERY: u64 = 5000;

/// Is told now and then how far it is: a sentence.
pub type Progress<'p> = &'p (dyn Fn(&str) + Send + Sync);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Doesn't read blobs to compare their octets with their names.
    pub skip_hashing: bool,
}

/// The store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What was read, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub records: u64,
    pub accounts: u64,
    pub emails: u64,
    pub blobs: u64,
    pub problems: Vec<Problem>,
    /// More than [`PROBLEMS_MAX`] were found.
    pub has_more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub key: Vec<u8>,
    pub kind: ProblemKind,
    /// For the operator.
    pub sentence: String,
}

/// What is wrong, by what it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A key that no version is known to write.
    Key,
    /// A value that can't be read.
    Record,
    /// Domains, accounts, addresses, credentials and memberships.
    Directory,
    /// Octets that are missing, or not what their name says.
    Blob,
    Summary,
    /// A reference without its blob or object, or the other way round.
    BlobRef,
    Mailbox,
    Uid,
    Email,
    Thread,
    Quota,
    /// The change log and the account's sequence.
    Log,
    Share,
    Search,
    /// Submissions that are on their way.
    Queue,
    /// What is told of messages.
    Trace,
    /// The view in memory isn't what is stored.
    View,
    /// Something damaged was put aside before.
    Quarantine,
}

impl ProblemKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Record => "record",
            Self::Directory => "directory",
            Self::Blob => "blob",
            Self::Summary => "summary",
            Self::BlobRef => "blob reference",
            Self::Mailbox => "mailbox",
            Self::Uid => "uid",
            Self::Email => "email",
            Self::Thread => "thread",
            Self::Quota => "quota",
            Self::Log => "log",
            Self::Share => "share",
            Self::Search => "search",
            Self::Queue => "queue",
            Self::Trace => "trace",
            Self::View => "view",
            Self::Quarantine => "quarantine",
        }
    }
}

impl Problem {
    /// The key in hexadecimal.
    pub fn key_text(&self) -> String {
        self.key.iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        })
    }
}

impl Core {
    /// Checks the store as it is at this moment.
    pub async fn check(
        &self,
        options: CheckOptions,
        progress: Progress<'_>,
    ) -> Result<Report, CheckError> {
        let mut checker = Checker::new(self, options, progress).await?;
        checker.check_shapes().await?;
        checker.check_directory().await?;
        checker.check_accounts().await?;
        checker.check_blobs().await?;
        checker.check_queue().await?;
        checker.check_sts_policies().await?;
        checker.check_traces().await?;
        Ok(checker.report)
    }
}

/// A check that is going on.
struct Checker<'c> {
    core: &'c Core,
    options: CheckOptions,
    snapshot: Arc<dyn Snapshot>,
    progress: Progress<'c>,
    report: Report,
    /// All account numbers that keys begin with, or records have; `None` where the record can't be read.
    accounts: BTreeMap<u64, Option<AccountRecord>>,
    /// Rows of `SharedWith` by owner.
    shared: HashMap<u64, u64>,
}

impl<'c> Checker<'c> {
    async fn new(
        core: &'c Core,
        options: CheckOptions,
        progress: Progress<'c>,
    ) -> Result<Self, CheckError> {
        let engine: &Arc<dyn Engine> = &core.engine;
        Ok(Self {
            core,
            options,
            snapshot: engine.snapshot().await?,
            progress,
            report: Report::default(),
            accounts: BTreeMap::new(),
            shared: HashMap::new(),
        })
    }

    fn problem(&mut self, kind: ProblemKind, key: &[u8], sentence: impl Into<String>) {
        if self.report.problems.len() >= PROBLEMS_MAX {
            self.report.has_more = true;
            return;
        }
        self.report.problems.push(Problem {
            key: key.to_vec(),
            kind,
            sentence: sentence.into(),
        });
    }

    /// Says how far it is, every so many records.
    fn tell(&self, count: u64, what: &str) {
        if count.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(&format!("{what}: {count}"));
        }
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, CheckError> {
        Ok(self.snapshot.get(key).await?)
    }

    /// Whether there is a value, without reading it.
    async fn exists(&self, key: &[u8]) -> Result<bool, CheckError> {
        let mut end = key.to_vec();
        end.push(0);
        let page = Page::first(key.to_vec()..end, 1).keys_only();
        Ok(!self.snapshot.scan(page).await?.is_empty())
    }

    async fn is_empty(&self, range: KeyRange) -> Result<bool, CheckError> {
        Ok(self
            .snapshot
            .scan(Page::first(range, 1).keys_only())
            .await?
            .is_empty())
    }

    /// The record, or a problem.
    fn record<R: Record>(&mut self, key: &[u8], bytes: &[u8]) -> Option<R> {
        match R::from_bytes(key, bytes) {
            Ok(record) => Some(record),
            Err(_) => {
                self.problem(
                    ProblemKind::Record,
                    key,
                    format!("the {} can't be read", R::KIND),
                );
                None
            }
        }
    }

    fn numbers<const N: usize>(
        &mut self,
        key: &[u8],
        bytes: &[u8],
        what: &str,
    ) -> Option<[u64; N]> {
        let numbers = decode_numbers(key, bytes).ok();
        if numbers.is_none() {
            self.problem(
                ProblemKind::Record,
                key,
                format!("the {what} can't be read"),
            );
        }
        numbers
    }

    /// An account that is there, and isn't being removed.
    fn living(&self, account: u64) -> Option<&AccountRecord> {
        self.accounts
            .get(&account)?
            .as_ref()
            .filter(|record| !record.removed)
    }

    /// A record that is being removed doesn't have to be whole.
    fn is_going(&self, account: u64) -> bool {
        matches!(self.accounts.get(&account), Some(Some(record)) if record.removed)
    }

    /// What an operator knows an account by.
    fn name_of(&self, account: u64) -> String {
        match self.living(account) {
            Some(record) => record.name.clone(),
            None => format!("account {}", AccountId::new(account)),
        }
    }
}

/// Goes through a range page by page.
struct Rows {
    range: KeyRange,
    keys_only: bool,
    is_over: bool,
}

impl Rows {
    fn new(range: KeyRange) -> Self {
        Self {
            range,
            keys_only: false,
            is_over: false,
        }
    }

    fn keys_only(range: KeyRange) -> Self {
        Self {
            keys_only: true,
            ..Self::new(range)
        }
    }

    /// The next rows; `None` after the last. Others get a turn before.
    async fn next(
        &mut self,
        snapshot: &Arc<dyn Snapshot>,
    ) -> Result<Option<Vec<(Bytes, Bytes)>>, CheckError> {
        if self.is_over {
            return Ok(None);
        }
        tokio::task::yield_now().await;
        let mut page = Page::first(self.range.clone(), ROWS_PER_PAGE);
        page.keys_only = self.keys_only;
        let rows = snapshot.scan(page).await?;
        self.is_over = rows.len() < ROWS_PER_PAGE;
        if let Some((last, _)) = rows.last() {
            self.range.start = [last, &[0u8][..]].concat();
        }
        Ok((!rows.is_empty()).then_some(rows))
    }
}
