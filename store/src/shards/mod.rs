//! Shards of the search index that one node builds and all nodes read: in the object store, by manifests in the engine.
//!
//! Holds: objects come first, then the commit that names them, which asserts the lease of who publishes and the head that it was built
//! on; so each generation is made out of the one before. What an account's row says of a generation is true of every later one up to the
//! next base. A copy is only used whole: each file has its hash.
//! Other half: `search` has the files, `blob::packs` the objects; `jmap-core` says who publishes, and when.

mod clean;
mod fetch;
mod publish;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use jmap_types::AccountId;

use crate::{
    Error, Record as _,
    blob::BlobEngine,
    engine::{Engine, Key, Page},
    keys::{self, ShardRow},
    search::SearchIndex,
};

pub use self::{
    clean::Unnamed,
    fetch::{FetchError, Fetched},
    publish::{Committed, PublishError, Snapshot, What},
    record::{IndexedRecord, Manifest, PAIRS_MAX, PackedFile, ShardHead},
};

/// Requests for one shard that are read at once.
const REQUESTS_MAX: usize = 100;

/// The shards of a layout, as the engine and the object store have them.
#[derive(Clone)]
pub struct Shards {
    engine: Arc<dyn Engine>,
    index: Arc<SearchIndex>,
    layout: (u64, u64),
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shards")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// The rows of a shard that are looked at again and again.
#[derive(Clone, Debug, Default)]
pub struct ShardRows {
    pub head: Option<ShardHead>,
    /// The same, as it is stored.
    pub head_bytes: Option<Bytes>,
    /// A generation that somebody could not read.
    pub complaint: Option<u64>,
}

impl Shards {
    /// `None`: there is no object store to publish in.
    pub fn over(engine: &Arc<dyn Engine>, index: &Arc<SearchIndex>) -> Option<Self> {
        engine.blobs().filter(|blobs| blobs.keeps_packs())?;
        Some(Self {
            engine: engine.clone(),
            index: index.clone(),
            layout: index.layout(),
        })
    }

    /// Format and number of shards.
    pub fn layout(&self) -> (u64, u64) {
        self.layout
    }

    pub fn index(&self) -> &Arc<SearchIndex> {
        &self.index
    }

    /// The name of the work of building a shard, for its lease.
    pub fn work(layout: (u64, u64), shard: u64) -> String {
        format!("search {}/{}/{shard}", layout.0, layout.1)
    }

    /// The object store, which [`Shards::over`] has found.
    fn blobs(&self) -> Result<&BlobEngine, PublishError> {
        self.engine.blobs().ok_or(PublishError::NoPlace)
    }

    /// The folder of a shard's packs.
    fn folder(layout: (u64, u64), shard: u64) -> String {
        format!("{}-{}/{shard:05}", layout.0, layout.1)
    }

    fn key(&self, shard: u16, row: ShardRow) -> Key {
        keys::search_shard(self.layout, shard.into(), row, AccountId::new(0))
    }

    /// What is known of a shard.
    pub async fn rows(&self, shard: u16) -> Result<ShardRows, Error> {
        let keys = [ShardRow::Head, ShardRow::Complaint].map(|row| self.key(shard, row));
        let mut values = self.engine.multi_get(&keys).await?.into_iter();
        let (head, complaint) = (values.next().flatten(), values.next().flatten());
        let read = |bytes: &Bytes| ShardHead::from_bytes(&keys[0], bytes);
        let number = |bytes: &Bytes| crate::decode_numbers::<1>(&keys[1], bytes);
        Ok(ShardRows {
            // One that can't be read is as none: who publishes next writes another one over it.
            head: head.as_ref().and_then(|bytes| noted(read(bytes))),
            complaint: complaint
                .and_then(|bytes| noted(number(&bytes)))
                .map(|[of]| of),
            head_bytes: head,
        })
    }

    /// What a shard is made of; `None`: nothing that can be read was published.
    pub async fn manifest(&self, shard: u16) -> Result<Option<Manifest>, Error> {
        let key = self.key(shard, ShardRow::Manifest);
        let found = self.engine.get(&key).await?;
        Ok(found.and_then(|bytes| noted(Manifest::read(&key, &bytes))))
    }

    /// How far generations have an account.
    pub async fn indexed(&self, account: AccountId) -> Result<IndexedRecord, Error> {
        let key = keys::search_indexed(account);
        let found = self.engine.get(&key).await?;
        let record = found.and_then(|bytes| noted(IndexedRecord::from_bytes(&key, &bytes)));
        Ok(record.unwrap_or_default())
    }

    /// Accounts of a shard that are to be indexed anew.
    pub async fn requests(&self, shard: u16) -> Result<Vec<AccountId>, Error> {
        let range = keys::search_requests(self.layout, shard.into());
        let page = Page::first(range, REQUESTS_MAX).keys_only();
        let rows = self.engine.scan(page).await?;
        let account = |(key, _): &(Bytes, Bytes)| Some(keys::decode_search_shard(key)?.3);
        Ok(rows.iter().filter_map(account).collect())
    }

    /// Asks whoever builds its shard to index an account anew.
    pub async fn request(&self, account: AccountId) -> Result<(), Error> {
        let mut batch = crate::engine::Batch::new();
        batch.put(self.request_key(account), Bytes::new());
        Ok(self.engine.commit(batch).await?)
    }

    /// Whether that is still to be done.
    pub async fn is_requested(&self, account: AccountId) -> Result<bool, Error> {
        Ok(self.engine.contains(&self.request_key(account)).await?)
    }

    fn request_key(&self, account: AccountId) -> Key {
        let shard = self.index.shard_of(account.number());
        keys::search_shard(self.layout, shard.into(), ShardRow::Request, account)
    }

    /// Tells whoever builds a shard that what is published of it can't be read.
    pub async fn complain(&self, shard: u16, generation: u64) -> Result<(), Error> {
        let mut batch = crate::engine::Batch::new();
        let key = self.key(shard, ShardRow::Complaint);
        batch.put(key, crate::numbers(&[generation]));
        Ok(self.engine.commit(batch).await?)
    }
}

/// A record that can't be read is said, and does without: everything here is made again of the mail.
fn noted<T>(read: Result<T, Error>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(%error, "the search index does without a record"))
        .ok()
}
