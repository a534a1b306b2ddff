//! Searching in a shard that others may build: the copy that is here, and the emails behind it.
//!
//! Holds: nobody waits for a download unless the emails behind the copy are too many to be looked at; then that wait is bounded, and they
//! are looked at all the same.
//! Other half: `super::Place` says where the copy ends.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jmap_types::{AccountId, DataType};
use store::{
    Head,
    engine::Page,
    keys, log,
    search::{Containing, Matcher, Needle, Place as Field, Query, SearchError},
};

use super::{Error, Place, Search};
use crate::mail::search::{KIND, TAIL_EMAILS_MAX};

/// How long a search waits for a newer generation when much is behind the one that is here.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it is asked again, when the copy changes meanwhile.
const TRIES: usize = 8;

/// The emails behind a cursor.
enum Tail {
    Few(Vec<u64>),
    Many,
}

impl Search {
    pub(in crate::mail::search) async fn search_shared(
        self: &Arc<Self>,
        account: AccountId,
        query: Query,
        head: &Head,
    ) -> Result<Vec<u64>, Error> {
        let Some(shared) = self.shared() else {
            return Ok(Vec::new());
        };
        let matcher = Matcher::new(&query)?;
        for _ in 0..TRIES {
            let (place, tail) = self.place_and_tail(account, head).await?;
            let mut found: BTreeSet<u64> = match self.hits(account, &query).await? {
                Some(hits) => hits.into_iter().collect(),
                None => continue,
            };
            if shared.epoch(account) != place.epoch {
                continue;
            }
            match tail {
                Tail::Few(ids) => self.match_some(account, &matcher, ids, &mut found).await?,
                Tail::Many => {
                    self.match_many(account, &matcher, place.cursor, head, &mut found)
                        .await?
                }
            }
            return Ok(found.into_iter().collect());
        }
        // What is here changes again and again: it does without.
        let mut found = BTreeSet::new();
        self.match_many(account, &matcher, 0, head, &mut found)
            .await?;
        Ok(found.into_iter().collect())
    }

    pub(in crate::mail::search) async fn containing_shared(
        self: &Arc<Self>,
        account: AccountId,
        needle: &Needle,
        field: Field,
        head: &Head,
    ) -> Result<Option<Containing>, Error> {
        let Some(shared) = self.shared() else {
            return Ok(None);
        };
        for _ in 0..TRIES {
            let (place, tail) = self.place_and_tail(account, head).await?;
            let Tail::Few(tail) = tail else {
                return Ok(None);
            };
            let answer = match self.ask_containing(account, needle, field).await? {
                Err(SearchError::NeedsRebuild { .. }) => {
                    self.tend_soon(account).await;
                    continue;
                }
                answer => answer?,
            };
            if shared.epoch(account) != place.epoch {
                continue;
            }
            return Ok(answer.map(|mut answer| {
                if !tail.is_empty() {
                    answer.possible.extend(tail);
                    answer.possible.sort_unstable();
                }
                answer
            }));
        }
        Ok(None)
    }

    /// What the copy here has; `None`: it was damaged, and is another one by now.
    async fn hits(
        self: &Arc<Self>,
        account: AccountId,
        query: &Query,
    ) -> Result<Option<Vec<u64>>, Error> {
        let index = &self.index;
        match index.search(account.number(), KIND, query, super::super::HITS_MAX) {
            Ok(hits) => Ok(Some(hits.ids)),
            Err(SearchError::NeedsRebuild { shard, reason }) => {
                tracing::warn!(shard, reason, "the copy of a search shard is damaged");
                self.tend_soon(account).await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Where the copy ends, and what is behind it. The copy is brought up to date where that is too much.
    async fn place_and_tail(
        self: &Arc<Self>,
        account: AccountId,
        head: &Head,
    ) -> Result<(Place, Tail), Error> {
        let Some(shared) = self.shared() else {
            return Err(Error::Interrupted);
        };
        let slot = shared.slot(shared.shard_of(account));
        let end = tokio::time::Instant::now() + WAIT_MAX;
        let mut has_told = false;
        loop {
            let moved = slot.moved.notified();
            let place = shared.place(account).await?;
            if let Some(ids) = self.few_behind(account, place.cursor, head).await? {
                return Ok((place, Tail::Few(ids)));
            }
            if place.is_own {
                self.index_account(account).await?;
                let place = shared.place(account).await?;
                if let Some(ids) = self.few_behind(account, place.cursor, head).await? {
                    return Ok((place, Tail::Few(ids)));
                }
                if place.is_own {
                    return Ok((place, Tail::Many));
                }
                continue;
            }
            if tokio::time::Instant::now() >= end {
                return Ok((place, Tail::Many));
            }
            if place.is_old {
                self.tend_until(account, end).await;
            }
            if !has_told {
                has_told = true;
                shared.cluster.tell_index(account);
                continue;
            }
            let _ = tokio::time::timeout_at(end, moved).await;
        }
    }

    /// The emails behind a cursor; `None`: too many, or nobody knows.
    async fn few_behind(
        &self,
        account: AccountId,
        cursor: u64,
        head: &Head,
    ) -> Result<Option<Vec<u64>>, Error> {
        if head.state(DataType::Email) <= cursor {
            return Ok(Some(Vec::new()));
        }
        self.behind(account, cursor, head).await
    }

    /// Brings the copy of an account's shard to what is published, as far as that is done in time.
    async fn tend_until(self: &Arc<Self>, account: AccountId, end: tokio::time::Instant) {
        let shard = self.index.shard_of(account.number());
        let search = self.clone();
        // It goes on when nobody waits for it any more.
        let tending = tokio::spawn(async move { search.tend(shard, false).await });
        if let Ok(Ok(Err(error))) = tokio::time::timeout_at(end, tending).await {
            tracing::warn!(shard, %error, "a search shard could not be brought up to date");
        }
    }

    async fn tend_soon(self: &Arc<Self>, account: AccountId) {
        self.tend_until(account, tokio::time::Instant::now() + WAIT_MAX)
            .await;
    }

    /// Adds those of the emails that match.
    async fn match_some(
        &self,
        account: AccountId,
        matcher: &Matcher,
        ids: Vec<u64>,
        found: &mut BTreeSet<u64>,
    ) -> Result<(), Error> {
        for id in ids {
            if let Some(text) = self.text_of(account, id).await?
                && matcher.matches(&text)
            {
                found.insert(id);
            }
        }
        Ok(())
    }

    /// The same for all emails behind a cursor, in pieces.
    async fn match_many(
        &self,
        account: AccountId,
        matcher: &Matcher,
        mut cursor: u64,
        head: &Head,
        found: &mut BTreeSet<u64>,
    ) -> Result<(), Error> {
        while cursor != 0 && cursor >= head.log_trimmed {
            let of = DataType::Email;
            let delta = log::changes(
                &self.engine,
                account,
                of,
                cursor,
                head.sequence,
                TAIL_EMAILS_MAX,
            );
            let delta = match delta.await {
                // Where the log is damaged, all emails are looked at.
                Err(store::Error::Corrupt { .. }) => break,
                delta => delta?,
            };
            self.match_some(account, matcher, delta.created, found)
                .await?;
            if !delta.has_more {
                return Ok(());
            }
            cursor = delta.upto;
        }
        let mut range = keys::objects(account, DataType::Email);
        loop {
            let page = Page::first(range.clone(), TAIL_EMAILS_MAX).keys_only();
            let rows = self.engine.scan(page).await?;
            let ids = rows
                .iter()
                .filter_map(|(key, _)| Some(keys::decode_object(key)?.2));
            let ids = ids.filter(|id| !found.contains(id)).collect();
            self.match_some(account, matcher, ids, found).await?;
            let Some((last, _)) = rows.last().filter(|_| rows.len() == TAIL_EMAILS_MAX) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }
}
