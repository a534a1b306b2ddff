//! What a check would have done about what it finds: edits, gathered and committed in bounded batches.
//!
//! Holds: an edit is made only to the value that was looked at, and what it destroys is put aside in the same commit; so each commit
//! leaves the store better than before, and a repair that was broken off goes on with what is left.
//! Other half: `repair` commits; the rooms beside this one make them.

use bytes::Bytes;
use jmap_types::AccountId;
use store::{
    Change, Head,
    engine::{Assertion, Batch, Key},
    keys, numbers,
    quarantine::{self, Aside},
};

use super::{CheckError, Checker, Code};

/// Edits of one commit, and octets that they carry.
const EDITS_MAX: usize = 500;
const OCTETS_MAX: usize = 8 << 20;

/// One row that is to become another.
#[derive(Debug)]
pub(super) struct Edit {
    pub key: Key,
    /// What was found under it.
    pub found: Option<Bytes>,
    /// What is to be there.
    pub write: Option<Bytes>,
    /// The octets found are put aside, for this reason.
    pub aside: Option<Code>,
    /// What must be true of other rows.
    pub guards: Vec<Assertion>,
}

impl Edit {
    pub fn put(key: Key, found: Option<Bytes>, write: impl Into<Bytes>) -> Self {
        Self {
            key,
            found,
            write: Some(write.into()),
            aside: None,
            guards: Vec::new(),
        }
    }

    pub fn delete(key: Key, found: Bytes) -> Self {
        Self {
            key,
            found: Some(found),
            write: None,
            aside: None,
            guards: Vec::new(),
        }
    }

    /// Takes the row away and puts it aside.
    pub fn aside(key: Key, found: Bytes, why: Code) -> Self {
        Self::delete(key, found).keeping(why)
    }

    /// What is found is put aside.
    pub fn keeping(mut self, why: Code) -> Self {
        self.aside = self.found.is_some().then_some(why);
        self
    }

    pub fn guard(mut self, guard: Assertion) -> Self {
        self.guards.push(guard);
        self
    }

    fn octets(&self) -> usize {
        let found = self.found.as_ref().map_or(0, Bytes::len);
        2 * found + self.write.as_ref().map_or(0, Bytes::len) + self.key.len()
    }
}

/// Whose rows the edits are of.
pub(super) enum Scope {
    /// Rows that stand alone.
    Rows,
    /// Those of the directory: each change of it asserts that it is the one that was read.
    Directory,
    /// Those of an account whose turn the check has.
    Account(Box<OfAccount>),
}

pub(super) struct OfAccount {
    pub account: AccountId,
    /// The head's row on disk.
    pub found: Option<Bytes>,
    /// What that says; `None`: it can't be read, or isn't there.
    pub stored: Option<Head>,
    /// As it is to be.
    pub head: Head,
    pub changes: Vec<Change>,
    /// Accounts that see more or less of this one.
    pub concerned: Vec<AccountId>,
}

/// The edits that wait for the next commit.
pub(super) struct Edits {
    pub scope: Scope,
    waiting: Vec<Edit>,
    /// Numbers that are added to counters.
    adds: Vec<(Key, i64)>,
    /// The account's log goes up to this row.
    trim: Option<u64>,
    octets: usize,
    /// Rows written since the check began.
    pub done: u64,
    /// Edits that somebody else's change came before.
    pub missed: u64,
    pub now: i64,
}

impl Edits {
    pub fn new(now: i64) -> Self {
        Self {
            scope: Scope::Rows,
            waiting: Vec::new(),
            adds: Vec::new(),
            trim: None,
            octets: 0,
            done: 0,
            missed: 0,
            now,
        }
    }
}

impl Checker<'_> {
    /// Notes an edit, if this is a repair; commits when many wait.
    pub(super) async fn edit(&mut self, edit: Edit) -> Result<(), CheckError> {
        let Some(edits) = &mut self.edits else {
            return Ok(());
        };
        edits.octets += edit.octets();
        edits.waiting.push(edit);
        if edits.waiting.len() >= EDITS_MAX || edits.octets >= OCTETS_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// Adds to a counter, if this is a repair.
    pub(super) fn add(&mut self, key: Key, delta: i64) {
        if let Some(edits) = &mut self.edits {
            edits.adds.push((key, delta));
        }
    }

    pub(super) fn is_repair(&self) -> bool {
        self.edits.is_some()
    }

    /// The account whose turn the check has, if this is a repair.
    pub(super) fn of_account(&mut self) -> Option<&mut OfAccount> {
        match &mut self.edits.as_mut()?.scope {
            Scope::Account(of_account) => Some(of_account),
            Scope::Rows | Scope::Directory => None,
        }
    }

    /// Rows of the account's log up to this one go with the next commit.
    pub(super) fn trim_log(&mut self, upto: u64) {
        if let Some(edits) = &mut self.edits {
            edits.trim = Some(upto);
        }
    }

    /// Changes the head that is to be written.
    pub(super) fn mend_head(&mut self, mend: impl FnOnce(&mut Head)) {
        if let Some(of_account) = self.of_account() {
            mend(&mut of_account.head);
        }
    }

    /// Clients of the account are told of a change.
    pub(super) fn changed(&mut self, change: Change) {
        if let Some(of_account) = self.of_account()
            && !of_account.changes.contains(&change)
        {
            of_account.changes.push(change);
        }
    }

    /// Commits what waits.
    pub(super) async fn flush(&mut self) -> Result<(), CheckError> {
        let Some(edits) = &mut self.edits else {
            return Ok(());
        };
        let waiting = std::mem::take(&mut edits.waiting);
        let adds = std::mem::take(&mut edits.adds);
        edits.octets = 0;
        let is_directory = matches!(edits.scope, Scope::Directory);
        if let Scope::Account(of_account) = &edits.scope {
            let same = of_account.stored.as_ref() == Some(&of_account.head);
            if waiting.is_empty() && adds.is_empty() && same && of_account.changes.is_empty() {
                return Ok(());
            }
            return self.flush_account(waiting, adds).await;
        }
        if waiting.is_empty() && adds.is_empty() {
            return Ok(());
        }
        let count = (waiting.len() + adds.len()) as u64;
        match self.commit_rows(&waiting, &adds, is_directory).await {
            Ok(()) => self.count_done(count),
            // One of them was changed meanwhile: each for itself.
            Err(store::Error::Conflict) if waiting.len() + adds.len() > 1 => {
                for edit in &waiting {
                    self.commit_one(std::slice::from_ref(edit), &[], is_directory)
                        .await?;
                }
                if !adds.is_empty() {
                    self.commit_one(&[], &adds, is_directory).await?;
                }
            }
            Err(store::Error::Conflict) => self.count_missed(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn commit_one(
        &mut self,
        edits: &[Edit],
        adds: &[(Key, i64)],
        is_directory: bool,
    ) -> Result<(), CheckError> {
        match self.commit_rows(edits, adds, is_directory).await {
            Ok(()) => self.count_done(1),
            Err(store::Error::Conflict) => self.count_missed(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn count_done(&mut self, count: u64) {
        if let Some(edits) = &mut self.edits {
            edits.done += count;
        }
    }

    fn count_missed(&mut self) {
        if let Some(edits) = &mut self.edits {
            edits.missed += 1;
        }
    }

    async fn commit_rows(
        &self,
        edits: &[Edit],
        adds: &[(Key, i64)],
        is_directory: bool,
    ) -> Result<(), store::Error> {
        let mut batch = self.batch_of(edits, adds).await?;
        if !is_directory {
            return Ok(self.core.engine.commit(batch).await?);
        }
        self.core.count_directory(&mut batch).await?;
        let core = self.core.clone();
        let task = tokio::spawn(async move {
            let committed = core.engine.commit(batch).await;
            // Also after an error: with a database behind a network it may have happened.
            core.directory_changed();
            committed
        });
        match task.await {
            Ok(committed) => Ok(committed?),
            Err(_) => Err(store::Error::Conflict),
        }
    }

    async fn flush_account(
        &mut self,
        waiting: Vec<Edit>,
        adds: Vec<(Key, i64)>,
    ) -> Result<(), CheckError> {
        let mut batch = self.batch_of(&waiting, &adds).await?;
        let trim = self.edits.as_mut().and_then(|edits| edits.trim.take());
        let Some(of_account) = self.of_account() else {
            return Ok(());
        };
        if let Some(upto) = trim {
            batch.delete_range(keys::log_range(of_account.account, 0..upto + 1));
        }
        let (account, found) = (of_account.account, of_account.found.clone());
        let (head, changes) = (
            of_account.head.clone(),
            std::mem::take(&mut of_account.changes),
        );
        let concerned = std::mem::take(&mut of_account.concerned);
        if !concerned.is_empty() {
            self.core.count_sharing(&mut batch);
        }
        let core = self.core.clone();
        // In a task of its own: a repair that is broken off must not leave it half-way, with views of what was.
        let task = tokio::spawn(async move {
            let writer = &core.accounts.handle(account).writer;
            let written = writer.mend(found.as_ref(), head, changes, batch).await;
            if !concerned.is_empty() {
                core.sharing_changed(&concerned);
            }
            written
        });
        match task.await.unwrap_or(Err(store::Error::Conflict)) {
            Ok((head, row)) => {
                self.count_done((waiting.len() + adds.len()).max(1) as u64);
                if let Some(of_account) = self.of_account() {
                    of_account.stored = Some(head.clone());
                    of_account.head = head;
                    of_account.found = Some(row);
                }
            }
            // Another node was faster, or what stands beside the account has changed: the next pass looks again.
            Err(store::Error::Conflict) => self.count_missed(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn batch_of(&self, edits: &[Edit], adds: &[(Key, i64)]) -> Result<Batch, store::Error> {
        let mut batch = Batch::new();
        let now = self.edits.as_ref().map_or(0, |edits| edits.now);
        // Two values of one key may go in one commit.
        let mut asides: std::collections::BTreeMap<Key, Option<Bytes>> = Default::default();
        for edit in edits {
            batch.assert(match &edit.found {
                Some(found) => Assertion::Equals(edit.key.clone(), found.clone()),
                None => Assertion::Absent(edit.key.clone()),
            });
            edit.guards.iter().for_each(|guard| {
                batch.assert(guard.clone());
            });
            if let (Some(why), Some(found)) = (edit.aside, &edit.found) {
                let row = keys::quarantine(&edit.key);
                let known = match asides.get(&row) {
                    Some(known) => known.clone(),
                    None => {
                        let known = self.core.engine.get(&row).await?;
                        batch.assert(match &known {
                            Some(known) => Assertion::Equals(row.clone(), known.clone()),
                            None => Assertion::Absent(row.clone()),
                        });
                        known
                    }
                };
                let aside = Aside {
                    key: edit.key.clone(),
                    octets: found.to_vec(),
                    reason: why.name().to_owned(),
                    at: now,
                };
                quarantine::put(&mut batch, row.clone(), known.as_ref(), aside);
                let written = match batch.writes.last() {
                    Some(store::engine::Write::Put(_, value)) => Some(value.clone()),
                    _ => known,
                };
                asides.insert(row, written);
            }
            match &edit.write {
                Some(value) => batch.put(edit.key.clone(), value.clone()),
                None => batch.delete(edit.key.clone()),
            };
        }
        for (key, delta) in adds {
            batch.add(key.clone(), *delta);
        }
        Ok(batch)
    }

    /// A row goes that is of no use, whatever its value is.
    pub(super) async fn take_row(
        &mut self,
        key: Key,
        guards: Vec<Assertion>,
    ) -> Result<(), CheckError> {
        if !self.is_repair() {
            return Ok(());
        }
        let Some(found) = self.get(&key).await? else {
            return Ok(());
        };
        let edit = guards
            .into_iter()
            .fold(Edit::delete(key, found), Edit::guard);
        self.edit(edit).await
    }

    /// A row that can't be read is put aside.
    pub(super) async fn put_aside(
        &mut self,
        why: Code,
        key: &[u8],
        found: &Bytes,
    ) -> Result<(), CheckError> {
        self.edit(Edit::aside(key.to_vec(), found.clone(), why))
            .await
    }

    /// Numbers are to be there.
    pub(super) async fn put_numbers(
        &mut self,
        key: Key,
        found: Option<Bytes>,
        values: &[u64],
    ) -> Result<(), CheckError> {
        self.edit(Edit::put(key, found, numbers(values))).await
    }
}
