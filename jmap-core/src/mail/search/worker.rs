//! Brings the index up to date with the change logs.
//!
//! Holds: an account's cursor is written after the index is on disk; what is indexed twice after a
//! crash replaces itself.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jmap_types::{AccountId, DataType};
use store::{
    Head, Record,
    engine::{Assertion, Batch, Page},
    keys, log, numbers,
    search::{Change, Document, DocumentKey, SearchError},
};

use super::{Error, KIND, Search};

/// The index lags behind by this much at the most when little comes in. A segment of the index costs some milliseconds
/// before the first mail is in it, so it is to have many; what isn't in it yet is found all the same.
const LAG: Duration = Duration::from_secs(10);
/// With this many transactions waiting, a batch is written at once.
pub(super) const WAITING_MAX: u64 = 6000;
/// Documents and octets of text that one batch has at the most.
const BATCH_DOCUMENTS: usize = 4000;
pub(super) const BATCH_OCTETS: usize = 12 << 20;
/// After so many, others who wait for the thread have their turn.
const TURN_DOCUMENTS: usize = 16;
/// After a fault.
const PAUSE: Duration = Duration::from_secs(5);

/// Works until the future is dropped. What isn't indexed then is found by the next run.
pub async fn run(search: Arc<Search>) {
    futures_util::future::join(run_indexing(&search), search.run_shared()).await;
}

/// The same, without what is about published shards.
pub async fn run_indexing(search: &Arc<Search>) {
    // What waits from before tells nobody that it is there.
    search.wake.notify_one();
    loop {
        search.wake.notified().await;
        search.wait_for_a_batch().await;
        search.waiting.store(0, Ordering::Relaxed);
        if let Err(error) = search.index_pending().await {
            tracing::error!(%error, "indexing failed, and is tried again");
            tokio::time::sleep(PAUSE).await;
            search.wake.notify_one();
        }
        if let Some(shared) = search.shared() {
            shared.wake_builders();
        }
    }
}

/// Changes to one account's part of the index, and where they lead.
struct AccountBatch {
    account: AccountId,
    changes: Vec<Change>,
    /// Rows up to this one are in it.
    cursor: u64,
    /// There are no rows behind it.
    is_last: bool,
    /// The account is no more.
    is_gone: bool,
}

impl Search {
    async fn wait_for_a_batch(&self) {
        const STEP: Duration = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        while waited < LAG && self.waiting.load(Ordering::Relaxed) < WAITING_MAX {
            tokio::time::sleep(STEP).await;
            self.arrivals.take_words().await;
            waited += STEP;
        }
    }

    /// Indexes everything that waits now. What comes in meanwhile is for the next time: each few emails would cost a batch of
    /// their own, and who waits for their turn would wait for as long as mail comes in.
    pub async fn index_pending(self: &Arc<Self>) -> Result<(), Error> {
        let _one_at_a_time = self.indexing.lock().await;
        let mut waiting = self.pending.lock().clone();
        loop {
            if let Some(shared) = self.shared() {
                // Of a shard that went to another node.
                waiting.retain(|account, _| shared.builds(*account));
                let mut pending = self.pending.lock();
                pending.retain(|account, _| shared.builds(*account));
            }
            if waiting.is_empty() {
                // Of what is gone again, or came to several accounts.
                self.arrivals.forget();
                return Ok(());
            }
            let reached = self.index_some(self.of_one_shard(&waiting)).await?;
            waiting.retain(|account, sequence| {
                reached.get(account).is_none_or(|cursor| cursor < sequence)
            });
        }
    }

    /// The accounts of a shard that waits. Each batch that a shard gets is one more segment, with a dictionary of its own, that
    /// is merged with others later: one large batch costs much less than a part of several.
    fn of_one_shard(&self, waiting: &HashMap<AccountId, u64>) -> Vec<AccountId> {
        let shard_of = |account: &AccountId| self.index.shard_of(account.number());
        let first = waiting.keys().next().map(shard_of);
        let accounts = waiting.keys().copied();
        accounts
            .filter(|account| Some(shard_of(account)) == first)
            .collect()
    }

    /// Indexes an account now, since somebody waits for it.
    pub(super) async fn index_account(self: &Arc<Self>, account: AccountId) -> Result<(), Error> {
        let _one_at_a_time = self.indexing.lock().await;
        if let Some(shared) = self.shared() {
            match shared.builds(account) {
                true => drop(self.pending.lock().entry(account).or_default()),
                false => drop(self.pending.lock().remove(&account)),
            }
        }
        let Some(sequence) = self.pending.lock().get(&account).copied() else {
            return Ok(());
        };
        loop {
            let reached = self.index_some(vec![account]).await?;
            if reached
                .get(&account)
                .is_none_or(|cursor| *cursor >= sequence)
            {
                return Ok(());
            }
        }
    }

    /// One batch for a shard, over as many of its accounts as fit. Returns how far those are now; at the end of its log, an
    /// account is as far as can be.
    async fn index_some(
        self: &Arc<Self>,
        accounts: Vec<AccountId>,
    ) -> Result<HashMap<AccountId, u64>, Error> {
        const END: u64 = u64::MAX;
        let mut reached = HashMap::new();
        let mut batches: Vec<AccountBatch> = Vec::new();
        let (mut documents, mut octets) = (0, 0);
        for account in accounts {
            if documents >= BATCH_DOCUMENTS || octets >= BATCH_OCTETS {
                break;
            }
            let collected = self
                .collect(account, BATCH_DOCUMENTS - documents, BATCH_OCTETS - octets)
                .await;
            let batch = match collected {
                // Invariant 5: the others are indexed. Repair has this one indexed anew.
                Err(Error::Store(error @ store::Error::Corrupt { .. })) => {
                    tracing::error!(%account, %error, "an account is not indexed");
                    self.pending.lock().remove(&account);
                    reached.insert(account, END);
                    continue;
                }
                collected => collected?,
            };
            documents += batch.changes.len();
            octets += batch.changes.iter().map(text_octets).sum::<usize>();
            batches.push(batch);
        }
        let changes: Vec<Change> = batches
            .iter_mut()
            .flat_map(|batch| std::mem::take(&mut batch.changes))
            .collect();
        if let Some(first) = batches.first().filter(|_| !changes.is_empty()) {
            let shard = self.index.shard_of(first.account.number());
            self.write(shard, changes).await?;
        }
        for batch in batches {
            let cursor = if batch.is_last { END } else { batch.cursor };
            reached.insert(batch.account, cursor);
            self.advance(batch).await?;
        }
        Ok(reached)
    }

    async fn write(self: &Arc<Self>, shard: u16, changes: Vec<Change>) -> Result<(), Error> {
        self.indexed
            .fetch_add(documents(&changes), Ordering::Relaxed);
        let index = self.index.clone();
        let applied = tokio::task::spawn_blocking(move || index.apply(shard, changes)).await;
        match applied.map_err(|_| Error::Interrupted)? {
            Ok(()) => Ok(()),
            // Its copy is given up, and begun with anew.
            Err(error @ SearchError::NeedsRebuild { .. }) if self.shared().is_some() => {
                self.look_at_shards();
                Err(error.into())
            }
            Err(SearchError::NeedsRebuild { shard, reason }) => {
                tracing::warn!(shard, reason, "a search shard is rebuilt");
                self.reset(shard).await?;
                // The accounts come again, from the start.
                Err(SearchError::Failed {
                    shard,
                    reason: "emptied, to be rebuilt".into(),
                }
                .into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the rows after an account's cursor mean for the index.
    async fn collect(
        &self,
        account: AccountId,
        documents: usize,
        octets: usize,
    ) -> Result<AccountBatch, Error> {
        let key = keys::head(account);
        let Some(bytes) = self.engine.get(&key).await? else {
            return self.collect_all(account, &Head::default(), true).await;
        };
        let head = Head::from_bytes(&key, &bytes)?;
        let cursor = self.cursors.get(account).await?;
        let Some(cursor) = cursor
            .filter(|cursor| *cursor >= head.log_trimmed && (*cursor != 0 || head.sequence != 0))
        else {
            return self.collect_all(account, &head, false).await;
        };
        let max = documents.max(1);
        let delta = log::changes(
            &self.engine,
            account,
            DataType::Email,
            cursor,
            head.sequence,
            max,
        )
        .await;
        let delta = match delta {
            // Where the log is damaged, all emails are looked at.
            Err(store::Error::Corrupt { .. }) => {
                return self.collect_all(account, &head, false).await;
            }
            delta => delta?,
        };
        let mut changes: Vec<Change> = delta
            .destroyed
            .iter()
            .map(|&id| Change::Delete(document_key(account, id)))
            .collect();
        let mut size = 0;
        for (number, id) in delta.created.into_iter().enumerate() {
            if number % TURN_DOCUMENTS == TURN_DOCUMENTS - 1 {
                tokio::task::yield_now().await;
            }
            // One account may go over the octets: its rows are not split.
            if let Some(change) = self.upsert(account, id).await? {
                size += text_octets(&change);
                changes.push(change);
            }
        }
        if size > octets {
            tracing::trace!(%account, size, "a large batch for the index");
        }
        Ok(AccountBatch {
            account,
            changes,
            cursor: delta.upto,
            is_last: !delta.has_more,
            is_gone: false,
        })
    }

    /// All emails of an account whose log doesn't reach back to the cursor.
    async fn collect_all(
        &self,
        account: AccountId,
        head: &Head,
        is_gone: bool,
    ) -> Result<AccountBatch, Error> {
        let mut changes = vec![Change::DeleteAccount(account.number())];
        let mut size = 0;
        let mut range = keys::objects(account, DataType::Email);
        loop {
            const ROWS: usize = 500;
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS).keys_only())
                .await?;
            for (key, _) in &rows {
                let (_, _, id) =
                    keys::decode_object(key).ok_or_else(|| store::Error::bad_key("email", key))?;
                if let Some(change) = self.upsert(account, id).await? {
                    size += text_octets(&change);
                    changes.push(change);
                }
                if size > BATCH_OCTETS {
                    let shard = self.index.shard_of(account.number());
                    let full = std::mem::take(&mut changes);
                    self.indexed.fetch_add(documents(&full), Ordering::Relaxed);
                    let index = self.index.clone();
                    let applied =
                        tokio::task::spawn_blocking(move || index.apply(shard, full)).await;
                    applied.map_err(|_| Error::Interrupted)??;
                    size = 0;
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        Ok(AccountBatch {
            account,
            changes,
            cursor: head.sequence,
            is_last: true,
            is_gone,
        })
    }

    async fn upsert(&self, account: AccountId, id: u64) -> Result<Option<Change>, Error> {
        let Some(record) = self.record_of(account, id).await? else {
            return Ok(None);
        };
        let text = match self.arrivals.take(&record.blob) {
            Some(text) => Some(text),
            None => self
                .text_of_record(&record)
                .await?
                .map(Arc::unwrap_or_clone),
        };
        Ok(text.map(|text| {
            Change::Upsert(Document {
                key: document_key(account, id),
                text,
            })
        }))
    }

    /// The index is on disk up to the batch's cursor.
    async fn advance(&self, batch: AccountBatch) -> Result<(), Error> {
        if self.cursors.is_local() || self.shared().is_some() {
            match self.shared() {
                Some(shared) => {
                    let cursor = (!batch.is_gone).then_some(batch.cursor);
                    shared.put(batch.account, cursor);
                }
                None => self.cursors.put(&[(batch.account, Some(batch.cursor))])?,
            }
            let mut pending = self.pending.lock();
            let waiting = pending.get(&batch.account);
            if batch.is_last && waiting.is_none_or(|sequence| *sequence <= batch.cursor) {
                pending.remove(&batch.account);
            }
            return Ok(());
        }
        let mut write = Batch::new();
        write.put(keys::search_cursor(batch.account), numbers(&[batch.cursor]));
        let waiting = self.pending.lock().get(&batch.account).copied();
        let is_done = batch.is_last && waiting.is_none_or(|sequence| sequence <= batch.cursor);
        if !is_done {
            return Ok(self
                .engine
                .commit(write)
                .await
                .map_err(store::Error::from)?);
        }
        let key = keys::search_pending(batch.account);
        if let Some(value) = self.engine.get(&key).await? {
            if store::decode_numbers::<1>(&key, &value)?[0] > batch.cursor {
                return Ok(self
                    .engine
                    .commit(write)
                    .await
                    .map_err(store::Error::from)?);
            }
            write
                .assert(Assertion::Equals(key.clone(), value))
                .delete(key);
        }
        match self.engine.commit(write).await.map_err(store::Error::from) {
            Ok(()) => {
                let mut pending = self.pending.lock();
                if pending
                    .get(&batch.account)
                    .is_some_and(|sequence| *sequence <= batch.cursor)
                {
                    pending.remove(&batch.account);
                }
                Ok(())
            }
            // Mail came in meanwhile: the next round has it.
            Err(store::Error::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Empties a shard, and has all its accounts indexed anew.
    async fn reset(self: &Arc<Self>, shard: u16) -> Result<(), Error> {
        let index = self.index.clone();
        let done = tokio::task::spawn_blocking(move || index.reset(shard)).await;
        done.map_err(|_| Error::Interrupted)??;
        let mut range = keys::all(keys::Subspace::Head);
        loop {
            const ROWS: usize = 1000;
            let rows = self.engine.scan(Page::first(range.clone(), ROWS)).await?;
            for (key, value) in &rows {
                let account =
                    keys::decode_head(key).ok_or_else(|| store::Error::bad_key("head", key))?;
                if self.index.shard_of(account.number()) == shard {
                    match Head::from_bytes(key, value) {
                        Ok(head) => self.forget_cursor(account, &head).await?,
                        // Invariant 5: the others are indexed.
                        Err(error) => tracing::error!(%error, "an account is not indexed"),
                    }
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    async fn forget_cursor(&self, account: AccountId, head: &Head) -> Result<(), Error> {
        if self.cursors.is_local() {
            self.cursors.put(&[(account, None)])?;
            self.pending
                .lock()
                .insert(account, head.state(DataType::Email));
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.delete(keys::search_cursor(account));
        batch.put(
            keys::search_pending(account),
            numbers(&[head.state(DataType::Email)]),
        );
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        self.pending
            .lock()
            .insert(account, head.state(DataType::Email));
        Ok(())
    }

    /// Indexes an account anew: first what it has, then what is indexed and isn't there any more goes. Meanwhile what was
    /// indexed is still found, and what comes in as well.
    pub(crate) async fn reindex(self: &Arc<Self>, account: AccountId) -> Result<(), Error> {
        match self.shared() {
            Some(_) => self.reindex_anywhere(account).await,
            None => self.reindex_here(account).await,
        }
    }

    pub(super) async fn reindex_here(self: &Arc<Self>, account: AccountId) -> Result<(), Error> {
        let _one_at_a_time = self.indexing.lock().await;
        let key = keys::head(account);
        let Some(bytes) = self.engine.get(&key).await? else {
            return Ok(());
        };
        let head = Head::from_bytes(&key, &bytes)?;
        let shard = self.index.shard_of(account.number());
        let before = self.indexed(account).await;
        let mut kept = std::collections::BTreeSet::new();
        let mut range = keys::objects(account, DataType::Email);
        loop {
            const ROWS: usize = 200;
            let page = Page::first(range.clone(), ROWS).keys_only();
            let rows = self.engine.scan(page).await?;
            let mut changes = Vec::with_capacity(rows.len());
            for (key, _) in &rows {
                let (_, _, id) =
                    keys::decode_object(key).ok_or_else(|| store::Error::bad_key("email", key))?;
                if let Some(change) = self.upsert(account, id).await? {
                    kept.insert(id);
                    changes.push(change);
                }
            }
            self.write_some(shard, changes).await?;
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        match before {
            Some(before) => {
                let gone = before.into_iter().filter(|id| !kept.contains(id));
                let gone = gone.map(|id| Change::Delete(document_key(account, id)));
                self.write_some(shard, gone.collect()).await?;
            }
            None => self.reset_account(account, shard).await?,
        }
        // What came in since the head was read is behind the cursor.
        self.set_cursor(account, head.sequence).await?;
        let mut pending = self.pending.lock();
        pending.insert(account, head.state(DataType::Email));
        self.wake.notify_one();
        Ok(())
    }

    /// The index can't tell what it has of the account: all goes, and comes again.
    async fn reset_account(&self, account: AccountId, shard: u16) -> Result<(), Error> {
        let key = keys::head(account);
        let head = match self.engine.get(&key).await? {
            Some(bytes) => Head::from_bytes(&key, &bytes)?,
            None => Head::default(),
        };
        let batch = self.collect_all(account, &head, false).await?;
        self.write_some(shard, batch.changes).await
    }

    async fn write_some(&self, shard: u16, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        self.indexed
            .fetch_add(documents(&changes), Ordering::Relaxed);
        let index = self.index.clone();
        let applied = tokio::task::spawn_blocking(move || index.apply(shard, changes)).await;
        Ok(applied.map_err(|_| Error::Interrupted)??)
    }

    async fn set_cursor(&self, account: AccountId, cursor: u64) -> Result<(), Error> {
        if let Some(shared) = self.shared() {
            shared.put(account, Some(cursor));
            return Ok(());
        }
        if self.cursors.is_local() {
            return Ok(self.cursors.put(&[(account, Some(cursor))])?);
        }
        let mut batch = Batch::new();
        batch.put(keys::search_cursor(account), numbers(&[cursor]));
        let pending = keys::search_pending(account);
        if self.engine.get(&pending).await?.is_none() {
            // Whatever came in meanwhile is looked for once more.
            batch.put(pending, numbers(&[cursor]));
        }
        let committed = self.engine.commit(batch).await;
        Ok(committed.map_err(store::Error::from)?)
    }

    /// Builds the whole index anew. Searches wait where their shard isn't ready.
    pub async fn rebuild_all(self: &Arc<Self>) -> Result<(), Error> {
        for shard in 0..self.index.shards() {
            match self.shared() {
                Some(_) => self.reindex_shard(shard).await?,
                None => self.rebuild(shard).await?,
            }
        }
        Ok(())
    }

    /// Indexes all accounts of a shard anew, whoever builds it.
    async fn reindex_shard(self: &Arc<Self>, shard: u16) -> Result<(), Error> {
        let mut accounts = Vec::new();
        self.each_head(shard, |account, _| accounts.push(account))
            .await?;
        for account in accounts {
            self.reindex(account).await?;
        }
        Ok(())
    }

    /// Makes a damaged shard whole again, while its searches wait.
    pub(super) async fn rebuild(self: &Arc<Self>, shard: u16) -> Result<(), Error> {
        {
            let _one_at_a_time = self.indexing.lock().await;
            self.reset(shard).await?;
        }
        self.index_pending().await
    }
}

fn document_key(account: AccountId, id: u64) -> DocumentKey {
    DocumentKey {
        account: account.number(),
        kind: KIND,
        id,
    }
}

fn documents(changes: &[Change]) -> u64 {
    let is_document = |change: &&Change| matches!(change, Change::Upsert(_));
    changes.iter().filter(is_document).count() as u64
}

fn text_octets(change: &Change) -> usize {
    match change {
        Change::Upsert(document) => document.text.octets(),
        Change::Delete(_) | Change::DeleteAccount(_) => 0,
    }
}
