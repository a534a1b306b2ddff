//! Taking away objects of the search index that no manifest names.
//!
//! Holds: an object goes only when it has been seen to be named by nothing for as long as [`GRACE`], by who builds the shard at the
//! moment; the manifest is read after the listing, so what was named in between stays. Who was still reading such an object reads the
//! manifest again. Layouts that nobody builds any more go the same way.
//! Other half: `publish`, which leaves objects behind when it is interrupted.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use jmap_types::AccountId;

use super::{Manifest, PublishError, Shards};
use crate::{
    Error,
    engine::{Assertion, Batch, Key, Page},
    keys::{self, ShardRow, Subspace},
};

/// How long an object that nothing names stays: readers may be at it, or it may be about to be named.
pub const GRACE: Duration = Duration::from_secs(30 * 60);
/// Rows that are looked at together.
const ROWS: usize = 500;

/// Paths of objects that nothing names, and since when that is known.
#[derive(Debug, Default)]
pub struct Unnamed(HashMap<String, Instant>);

impl Unnamed {
    /// Takes what nothing names now. Returns what has been so for long enough.
    fn due(&mut self, unnamed: Vec<String>, now: Instant) -> Vec<String> {
        let before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for path in unnamed {
            let since = before.get(&path).copied().unwrap_or(now);
            if now.saturating_duration_since(since) >= GRACE {
                due.push(path);
            } else {
                self.0.insert(path, since);
            }
        }
        due
    }
}

impl Shards {
    /// Removes objects of a shard that nothing names any more. Returns how many. Only for who builds it.
    pub async fn clean(
        &self,
        shard: u16,
        unnamed: &mut Unnamed,
        now: Instant,
    ) -> Result<usize, PublishError> {
        let folder = Self::folder(self.layout, shard.into());
        let listed = self.blobs()?.list_packs(&folder).await?;
        self.clean_listed(listed, unnamed, now).await
    }

    /// The names of the work of building shards of other layouts, of which there are rows.
    pub async fn other_works(&self) -> Result<Vec<String>, Error> {
        let shards = self.other_shards().await?.into_iter();
        Ok(shards
            .map(|(layout, shard)| Self::work(layout, shard))
            .collect())
    }

    /// The same for the shards of other layouts, after forgetting those whose work isn't among `built`.
    pub async fn clean_others(
        &self,
        built: &BTreeSet<String>,
        unnamed: &mut Unnamed,
        now: Instant,
    ) -> Result<usize, PublishError> {
        self.forget_layouts(built).await?;
        self.forget_accounts().await?;
        let mut listed = self.blobs()?.list_packs("").await?;
        listed.retain(|path| parse(path).is_none_or(|(layout, _)| layout != self.layout));
        self.clean_listed(listed, unnamed, now).await
    }

    async fn clean_listed(
        &self,
        listed: Vec<String>,
        unnamed: &mut Unnamed,
        now: Instant,
    ) -> Result<usize, PublishError> {
        let mut by_shard: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for path in listed {
            by_shard.entry(parse(&path)).or_default().push(path);
        }
        let mut free = Vec::new();
        for (shard, paths) in by_shard {
            // What has no name of ours is somebody else's.
            let Some((layout, shard)) = shard else {
                continue;
            };
            let key = keys::search_shard(layout, shard, ShardRow::Manifest, AccountId::new(0));
            let named: BTreeSet<String> = match self.engine.get(&key).await.map_err(Error::from)? {
                None => BTreeSet::new(),
                // One that can't be read may name anything, until another one is written.
                Some(bytes) => match super::noted(Manifest::read(&key, &bytes)) {
                    None => continue,
                    Some(manifest) => manifest.packs.iter().map(|pack| pack.file()).collect(),
                },
            };
            let is_named = |path: &String| {
                let file = path.rsplit('/').next().unwrap_or_default();
                named.contains(file)
            };
            free.extend(paths.into_iter().filter(|path| !is_named(path)));
        }
        let due = unnamed.due(free, now);
        let blobs = self.blobs()?;
        for path in &due {
            blobs.delete_pack(path).await?;
        }
        Ok(due.len())
    }

    async fn other_shards(&self) -> Result<BTreeSet<((u64, u64), u64)>, Error> {
        let mut shards = BTreeSet::new();
        let mut range = keys::all(Subspace::SearchShard);
        loop {
            let page = Page::first(range.clone(), ROWS).keys_only();
            let rows = self.engine.scan(page).await?;
            let decoded = rows
                .iter()
                .filter_map(|(key, _)| keys::decode_search_shard(key));
            let others = decoded.filter(|(layout, ..)| *layout != self.layout);
            shards.extend(others.map(|(layout, shard, ..)| (layout, shard)));
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                return Ok(shards);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// Rows of layouts that nobody builds any more go.
    async fn forget_layouts(&self, built: &BTreeSet<String>) -> Result<(), Error> {
        for (layout, shard) in self.other_shards().await? {
            let work = Self::work(layout, shard);
            if built.contains(&work) {
                continue;
            }
            let lease = keys::lease(&work);
            let mut batch = Batch::new();
            batch.assert(match self.engine.get(&lease).await? {
                Some(bytes) => Assertion::Equals(lease.clone(), bytes),
                None => Assertion::Absent(lease.clone()),
            });
            for row in [ShardRow::Head, ShardRow::Manifest, ShardRow::Complaint] {
                let key = keys::search_shard(layout, shard, row, AccountId::new(0));
                batch.delete(key);
            }
            batch.delete_range(keys::search_requests(layout, shard));
            batch.delete(lease);
            match self.engine.commit(batch).await.map_err(Error::from) {
                // Somebody has just begun to build it.
                Ok(()) | Err(Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Rows of accounts that are no more: one may have been written while its account was removed.
    async fn forget_accounts(&self) -> Result<(), Error> {
        let mut range = keys::all(Subspace::SearchIndexed);
        loop {
            let page = Page::first(range.clone(), ROWS).keys_only();
            let rows = self.engine.scan(page).await?;
            let head = |(key, _): &(bytes::Bytes, bytes::Bytes)| -> Option<Key> {
                Some(keys::head(keys::decode_search_indexed(key)?))
            };
            let heads: Vec<Key> = rows.iter().filter_map(head).collect();
            let found = self.engine.multi_get(&heads).await?;
            let mut batch = Batch::new();
            for ((key, _), head) in rows.iter().zip(found) {
                if head.is_none() {
                    batch.delete(key.to_vec());
                }
            }
            if !batch.is_empty() {
                self.engine.commit(batch).await?;
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }
}

/// Which shard of which layout an object is of.
fn parse(path: &str) -> Option<((u64, u64), u64)> {
    let mut parts = path.split('/');
    let (format, shards) = parts.next()?.split_once('-')?;
    let shard = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let is_name = name.len() == 32 && name.bytes().all(|octet| octet.is_ascii_hexdigit());
    (is_name && parts.next().is_none())
        .then_some(())
        .and(Some(((format.parse().ok()?, shards.parse().ok()?), shard)))
}
