//! The search index: it is no further than the account, it is known where it is behind, and it has the emails that there are.
//!
//! Other half: `mail::search` brings it up to date.

use jmap_types::{AccountId, DataType};
use store::{Head, keys, shards::IndexedRecord};

use super::{
    super::{CheckError, Checker, Code, edits::Edit},
    Count,
};

impl Checker<'_> {
    pub(super) async fn check_search(
        &mut self,
        account: AccountId,
        head: &Head,
        count: &Count,
    ) -> Result<(), CheckError> {
        if self.core.search.is_shared() {
            return self.check_shared(account, head, count).await;
        }
        let (cursor_key, pending_key) =
            (keys::search_cursor(account), keys::search_pending(account));
        let cursor_found = self.get(&cursor_key).await?;
        let cursor = match &cursor_found {
            Some(bytes) => self
                .numbers::<1>(&cursor_key, bytes, "cursor of the search index")
                .map(|[cursor]| cursor),
            None => Some(0),
        };
        let pending_found = self.get(&pending_key).await?;
        let pending = match &pending_found {
            Some(bytes) => self.numbers::<1>(&pending_key, bytes, "note for the search index"),
            None => None,
        };
        if let (None, Some(found)) = (cursor, &cursor_found) {
            self.put_aside(Code::Record, &cursor_key, found).await?;
            self.must_reindex(account);
            return Ok(());
        }
        if let (None, Some(found)) = (pending, pending_found) {
            let state = head.state(DataType::Email);
            let edit = Edit::put(pending_key, Some(found), store::numbers(&[state]));
            self.edit(edit.keeping(Code::Record)).await?;
            self.must_reindex(account);
            return Ok(());
        }
        let cursor = cursor.unwrap_or(0);
        if cursor > head.sequence {
            let why = "the search index is ahead of the last transaction";
            self.problem(Code::SearchAhead, &cursor_key, why);
            self.must_reindex(account);
            return Ok(());
        }
        // A node of a cluster knows from its own cursors.
        let has_own = self.core.cluster.is_some();
        if head.state(DataType::Email) > cursor && pending.is_none() && !has_own {
            let why = "emails are not indexed, and nobody knows that they should be";
            self.problem(Code::SearchForgotten, &cursor_key, why);
            self.must_reindex(account);
            return Ok(());
        }
        if pending.is_none() && !has_own && !count.is_partial {
            self.check_index(account, head, count).await?;
        }
        Ok(())
    }

    /// The same where one node builds each shard for all.
    async fn check_shared(
        &mut self,
        account: AccountId,
        head: &Head,
        count: &Count,
    ) -> Result<(), CheckError> {
        let key = keys::search_indexed(account);
        let record = match self.get(&key).await? {
            None => IndexedRecord::default(),
            Some(bytes) => match self.record::<IndexedRecord>(&key, &bytes) {
                Some(record) => record,
                None => {
                    self.put_aside(Code::Record, &key, &bytes).await?;
                    self.must_reindex(account);
                    return Ok(());
                }
            },
        };
        let newest = record.pairs.last().map_or(0, |(_, cursor)| *cursor);
        if newest > head.sequence {
            let why = "the search index is ahead of the last transaction";
            self.problem(Code::SearchAhead, &key, why);
            self.must_reindex(account);
            return Ok(());
        }
        // What this node has of it may be behind.
        let is_whole = self.core.search.is_whole(account, head).await?;
        if is_whole && !count.is_partial {
            self.check_index(account, head, count).await?;
        }
        Ok(())
    }

    /// What is indexed is what there is, while nothing happens.
    async fn check_index(
        &mut self,
        account: AccountId,
        head: &Head,
        count: &Count,
    ) -> Result<(), CheckError> {
        let Some(indexed) = self.core.search.indexed(account).await else {
            return Ok(());
        };
        let is_same = indexed.len() == count.visible.len()
            && indexed.iter().all(|id| count.visible.contains(id));
        if is_same {
            return Ok(());
        }
        let handle = self.core.accounts.handle(account);
        let now = handle.writer.stored_head().await.ok();
        if now.is_none_or(|now| now.sequence != head.sequence) {
            // Mail has come in since.
            return Ok(());
        }
        let why = format!(
            "the search index has {} emails, and there are {}",
            indexed.len(),
            count.visible.len()
        );
        self.problem(Code::SearchOther, &keys::search_cursor(account), why);
        self.must_reindex(account);
        Ok(())
    }
}
