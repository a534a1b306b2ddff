//! Reads every record of the store, says what is wrong, and puts it right where it is asked to.
//!
//! Holds: a check reads a snapshot and changes nothing, so it may run while the server works; what it keeps in memory
//! grows with one account's mail, not with the store; a damaged record is a problem, and not the end.
//! A repair is the same reading: each problem brings its edits with it (`edits`), an account's are made in the account's turn, and it is
//! read again until nothing is left to do.
//! Other half: `store::keys` has the table of what there is; the modules that write have the rules.

mod account;
mod administration;
mod blobs;
mod directory;
mod edits;
mod findings;
mod kept;
mod lost;
mod meta;
mod queue;
mod repair;
mod shape;
#[cfg(test)]
mod tests;
mod trace;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    Record, decode_numbers,
    engine::{Engine, EngineError, KeyRange, Page, Snapshot},
    keys::BlobHash,
};

use self::edits::{Edits, Scope};
pub use self::{
    account::RECOVERED,
    findings::{Code, PROBLEMS_MAX, Problem, Report},
    meta::mend_before_open,
    repair::RepairError,
};
use crate::{Core, directory::AccountRecord};

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

/// The store could not be read, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Search(#[from] crate::mail::search::Error),
}

impl Core {
    /// Checks the store as it is at this moment.
    pub async fn check(
        &self,
        options: CheckOptions,
        progress: Progress<'_>,
    ) -> Result<Report, CheckError> {
        let mut checker = Checker::new(self, options, progress, None).await?;
        checker.run().await?;
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
    /// `None`: this is no repair.
    edits: Option<Edits>,
    /// All account numbers that keys begin with, or records have; `None` where the record can't be read.
    accounts: BTreeMap<u64, Option<AccountRecord>>,
    /// By owner: with whom something is shared, by the rows of `SharedWith`.
    shared: HashMap<u64, Vec<u64>>,
    /// By account: emails whose records are lost, and their messages.
    lost: BTreeMap<u64, Vec<(u64, BlobHash)>>,
    /// Accounts that are to be indexed anew.
    reindex: BTreeSet<u64>,
    /// Account and number of emails that can be brought back, while references to blobs are looked at.
    deleted: HashSet<(u64, u64)>,
}

impl<'c> Checker<'c> {
    async fn new(
        core: &'c Core,
        options: CheckOptions,
        progress: Progress<'c>,
        edits: Option<Edits>,
    ) -> Result<Self, CheckError> {
        let engine: &Arc<dyn Engine> = &core.engine;
        Ok(Self {
            core,
            options,
            snapshot: engine.snapshot().await?,
            progress,
            report: Report::default(),
            edits,
            accounts: BTreeMap::new(),
            shared: HashMap::new(),
            lost: BTreeMap::new(),
            reindex: BTreeSet::new(),
            deleted: HashSet::new(),
        })
    }

    /// All of the store, room by room.
    async fn run(&mut self) -> Result<(), CheckError> {
        self.check_shapes().await?;
        self.finish_room().await?;
        self.check_meta().await?;
        self.finish_room().await?;
        self.set_scope(Scope::Directory);
        self.check_directory().await?;
        self.finish_room().await?;
        self.check_accounts().await?;
        self.finish_room().await?;
        self.check_blobs().await?;
        self.finish_room().await?;
        self.check_queue().await?;
        self.check_sts_policies().await?;
        self.finish_room().await?;
        self.check_traces().await?;
        self.finish_room().await?;
        self.check_administration().await?;
        self.finish_room().await
    }

    /// What was found so far is put right, and seen by what comes next.
    async fn finish_room(&mut self) -> Result<(), CheckError> {
        if self.is_repair() {
            self.flush().await?;
            self.set_scope(Scope::Rows);
            self.look_anew().await?;
        }
        Ok(())
    }

    fn set_scope(&mut self, scope: Scope) {
        if let Some(edits) = &mut self.edits {
            edits.scope = scope;
        }
    }

    /// Goes on with the store as it is now.
    async fn look_anew(&mut self) -> Result<(), CheckError> {
        self.snapshot = self.core.engine.snapshot().await?;
        Ok(())
    }

    fn problem(&mut self, code: Code, key: &[u8], sentence: impl Into<String>) {
        self.report.add_problem(Problem {
            key: key.to_vec(),
            code,
            sentence: sentence.into(),
        });
    }

    fn must_reindex(&mut self, account: AccountId) {
        if self.is_repair() {
            self.reindex.insert(account.number());
        }
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
                self.problem(Code::Record, key, format!("the {} can't be read", R::KIND));
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
            self.problem(Code::Record, key, format!("the {what} can't be read"));
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
