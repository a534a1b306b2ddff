//! Full-text search: documents of accounts, in shards, found by their words.
//!
//! Holds: a batch that `SearchIndex::apply` took is on disk, and may be given again; every search is of one
//! account; what isn't indexed yet can be asked the same with a `Matcher`, with the same answer.
//! Knows nothing of JMAP's objects or the engine: it can be thrown away and built again at any time.
//! Other half: the caller follows the change log, keeps a cursor a shard, and hands over the texts.

mod containing;
mod copy;
mod document;
mod error;
mod fold;
mod folder;
mod matcher;
mod needle;
mod plan;
mod query;
mod shard;
mod token;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

pub use containing::{Containing, Place};
pub use copy::{Contents, CopyFile, Incoming, ShardCopy};
pub use document::{
    BODY_OCTETS_MAX, Change, Document, DocumentKey, DocumentText, Field, HEADER_OCTETS_MAX,
    REST_OCTETS_MAX, TEXTS_MAX,
};
pub use error::SearchError;
pub use matcher::Matcher;
pub use needle::{Needle, casemap};
pub use query::{
    PHRASE_TOKENS_MAX, PREFIX_CHARS_MIN, QUERY_DEPTH_MAX, QUERY_NODES_MAX, Query, Scope, TextTerm,
    parse_text,
};
use shard::Shard;
pub use shard::{ShardStats, ShardStatus};
pub use token::{TOKEN_OCTETS_MAX, TOKENS_PER_TEXT_MAX, Token, tokens};

/// The least memory tantivy writes with.
const WRITER_MEMORY_OCTETS_MIN: usize = 15_000_000;
/// What a few thousand mails take: with less, a batch becomes several segments, each with a dictionary of its own.
const WRITER_MEMORY_OCTETS: usize = 18_000_000;
/// More memory than this buys nothing.
const WRITER_MEMORY_OCTETS_MAX: usize = 1 << 30;

/// How to open an index.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// Folders the accounts are spread over. Another number makes all shards `NeedsRebuild`.
    pub shards: u16,
    /// Memory of a writer while it writes; at least 15 MB.
    pub writer_memory_octets: usize,
}

impl Default for SearchOptions {
    fn default() -> SearchOptions {
        SearchOptions {
            shards: 4,
            writer_memory_octets: WRITER_MEMORY_OCTETS,
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchHits {
    /// Ids of documents, ascending, each once.
    pub ids: Vec<u64>,
    /// There were more than the limit; those with the smallest ids were left out.
    pub truncated: bool,
}

impl SearchHits {
    /// Whether this document was found.
    pub fn contains(&self, id: u64) -> bool {
        self.ids.binary_search(&id).is_ok()
    }
}

/// The index. All calls block on the disk; any number of threads may search while one writes.
pub struct SearchIndex {
    shards: Vec<Shard>,
    writer_memory_octets: usize,
    dictionaries: containing::Dictionaries,
}

impl SearchIndex {
    /// Opens or makes the index in `folder`. Shards that are damaged don't keep it from opening: see `status`.
    /// Errors: `SearchError::Folder`.
    pub fn open(folder: &Path, options: &SearchOptions) -> Result<SearchIndex, SearchError> {
        let count = options.shards.max(1);
        fs::create_dir_all(folder)?;
        let shards = (0..count)
            .map(|number| Shard::open(folder.join(format!("shard-{number:05}")), number, count))
            .collect::<std::io::Result<Vec<Shard>>>()?;
        let writer_memory_octets = options
            .writer_memory_octets
            .clamp(WRITER_MEMORY_OCTETS_MIN, WRITER_MEMORY_OCTETS_MAX);
        Ok(SearchIndex {
            shards,
            writer_memory_octets,
            dictionaries: containing::Dictionaries::default(),
        })
    }

    /// Forgets what is kept in memory between searches, and closes the files.
    pub fn trim_memory(&self) {
        self.dictionaries.forget();
        self.shards.iter().for_each(Shard::close_reader);
    }

    /// How many shards there are; they're numbered from 0.
    pub fn shards(&self) -> u16 {
        self.shards.len() as u16
    }

    /// The shard an account's documents are in.
    pub fn shard_of(&self, account: u64) -> u16 {
        (mixed(account) % self.shards.len() as u64) as u16
    }

    /// Whether a shard can be used. Errors: `WrongShard`.
    pub fn status(&self, shard: u16) -> Result<ShardStatus, SearchError> {
        Ok(self.shard(shard)?.status())
    }

    /// Numbers of a shard. Errors: `WrongShard`.
    pub fn stats(&self, shard: u16) -> Result<ShardStats, SearchError> {
        Ok(self.shard(shard)?.stats())
    }

    /// Writes a batch to a shard with one commit; it's on disk when this returns, and searches see it.
    /// The changes take effect in their order; applying them again changes nothing.
    /// Errors: `WrongShard` (then nothing was written), `NeedsRebuild`, `Failed`.
    pub fn apply(&self, shard: u16, changes: Vec<Change>) -> Result<(), SearchError> {
        let target = self.shard(shard)?;
        if changes
            .iter()
            .any(|change| self.shard_of(change.account()) != shard)
        {
            return Err(SearchError::WrongShard { shard });
        }
        target.apply(changes, self.writer_memory_octets)
    }

    /// The documents of an account, of one kind, that match; at most `limit`.
    /// Errors: `QueryTooLarge`, `NeedsRebuild`, `Failed`.
    pub fn search(
        &self,
        account: u64,
        kind: u8,
        query: &Query,
        limit: usize,
    ) -> Result<SearchHits, SearchError> {
        let node = query::compile(query)?;
        let shard = self.shard(self.shard_of(account))?;
        let mut ids = shard.search(account, kind, &node)?;
        ids.sort_unstable();
        ids.dedup();
        let surplus = ids.len().saturating_sub(limit);
        ids.drain(..surplus);
        Ok(SearchHits {
            ids,
            truncated: surplus > 0,
        })
    }

    /// The documents of an account, of one kind, in which a needle is or may be; in all others it isn't.
    /// `None`: the index can't tell, all documents may have it.
    /// Errors: `NeedsRebuild`, `Failed`.
    pub fn containing(
        &self,
        account: u64,
        kind: u8,
        needle: &Needle,
        place: Place,
    ) -> Result<Option<Containing>, SearchError> {
        let Some(asked) = containing::Asked::new(account, kind, needle, place) else {
            return Ok(None);
        };
        let shard = self.shard(self.shard_of(account))?;
        shard.containing(&asked, &self.dictionaries).map(Some)
    }

    /// Reads all of a shard's files and compares their checksums; a damaged shard becomes `NeedsRebuild`.
    /// Errors: `WrongShard`, `NeedsRebuild`, `Failed`.
    pub fn verify(&self, shard: u16) -> Result<(), SearchError> {
        self.shard(shard)?.verify()
    }

    /// Empties a shard, damaged or not. Errors: `WrongShard`, `Failed`.
    pub fn reset(&self, shard: u16) -> Result<(), SearchError> {
        self.shard(shard)?.reset()
    }

    /// Version of the format of the files, and the number of shards: copies can be exchanged where both are the same.
    pub fn layout(&self) -> (u64, u64) {
        let first = self.shards.first();
        first.map_or((0, 0), Shard::layout)
    }

    /// What a shard is a copy of; it may have been written to since. Errors: `WrongShard`.
    pub fn copied(&self, shard: u16) -> Result<Option<ShardCopy>, SearchError> {
        Ok(self.shard(shard)?.note())
    }

    /// Notes that what a shard is now is this copy. Errors: `WrongShard`, `Failed`.
    pub fn note_copy(&self, shard: u16, copy: &ShardCopy) -> Result<(), SearchError> {
        self.shard(shard)?.write_note(copy)
    }

    /// None of the shards is a copy of something any more. Errors: `Folder`.
    pub fn forget_copies(&self) -> Result<(), SearchError> {
        for shard in &self.shards {
            shard.forget_note()?;
        }
        Ok(())
    }

    /// What a shard is made of, with the files open that `wanted` picks of all names and octets.
    /// Errors: `WrongShard`, `NeedsRebuild`, `Failed`.
    pub fn contents(
        &self,
        shard: u16,
        wanted: impl FnOnce(&BTreeMap<String, u64>) -> BTreeSet<String>,
    ) -> Result<Contents, SearchError> {
        self.shard(shard)?.contents(wanted)
    }

    /// The files of a copy that are not here. Those that may be others of the same name are read through.
    /// Errors: `WrongShard`, `Failed`.
    pub fn missing(&self, shard: u16, copy: &ShardCopy) -> Result<Vec<CopyFile>, SearchError> {
        self.shard(shard)?.missing(copy)
    }

    /// Takes in one of them; it is of no account before `Incoming::finish`. Errors: `WrongShard`, `Failed`.
    pub fn take_in(&self, shard: u16, file: &CopyFile) -> Result<Incoming, SearchError> {
        self.shard(shard)?.take_in(file)
    }

    /// Makes a shard, damaged or not, the copy, when all its files are here; searches go over to it.
    /// Errors: `WrongShard`, `NeedsRebuild` (that is what was published), `Failed`.
    pub fn put_in(&self, shard: u16, copy: &ShardCopy) -> Result<(), SearchError> {
        self.shard(shard)?.put_in(copy)
    }

    fn shard(&self, shard: u16) -> Result<&Shard, SearchError> {
        self.shards
            .get(usize::from(shard))
            .ok_or(SearchError::WrongShard { shard })
    }
}

/// Spreads account numbers that follow each other (the finalizer of SplitMix64). The shards depend on
/// it: it never changes.
fn mixed(account: u64) -> u64 {
    let mut mixed = account.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
