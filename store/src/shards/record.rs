//! What the engine has of published shards.
//!
//! Holds: the manifest of a generation and its head are written in one commit, together with how far accounts are in it.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::{
    Error, Record,
    blob::packs::PackRecord,
    record::hex,
    search::{CopyFile, ShardCopy},
};

/// Generations that an account's row tells of.
pub const PAIRS_MAX: usize = 8;

/// The newest generation of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ShardHead {
    #[n(0)]
    pub generation: u64,
    /// The first generation of those that were made one out of the other: what is known of older ones says nothing of this one.
    #[n(1)]
    pub base: u64,
    /// Of the manifest's octets, so that no two publications have one head.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub mark: [u8; 16],
}

impl Record for ShardHead {
    const KIND: &'static str = "head of a search shard";
}

/// Everything that a published shard is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Manifest {
    #[n(0)]
    pub generation: u64,
    #[n(1)]
    pub base: u64,
    /// tantivy's list of the segments.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub meta: Vec<u8>,
    #[n(3)]
    pub packs: Vec<PackRecord>,
    #[n(4)]
    pub files: Vec<PackedFile>,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PackedFile {
    #[n(0)]
    pub file: CopyFile,
    /// The number of its pack in the manifest.
    #[n(1)]
    pub pack: u64,
    /// Where in the pack it begins.
    #[n(2)]
    pub offset: u64,
}

impl Record for Manifest {
    const KIND: &'static str = "manifest of a search shard";
}

impl Manifest {
    /// As [`Record::from_bytes`], and nothing in it leads elsewhere.
    pub fn read(key: &[u8], bytes: &[u8]) -> Result<Self, Error> {
        let manifest = Self::from_bytes(key, bytes)?;
        let is_sound = manifest.packs.iter().all(PackRecord::is_sound)
            && manifest.copy((0, 0)).is_sound()
            && manifest.files.iter().all(|of| {
                let pack = manifest.pack_of(of);
                let end = of.offset.checked_add(of.file.octets);
                pack.is_some_and(|pack| end.is_some_and(|end| end <= pack.size))
            });
        match is_sound {
            true => Ok(manifest),
            false => Err(Error::Corrupt {
                kind: Self::KIND,
                key: hex(key),
                cause: "its numbers or names are beyond all bounds".into(),
            }),
        }
    }

    pub fn pack_of(&self, file: &PackedFile) -> Option<&PackRecord> {
        self.packs.get(usize::try_from(file.pack).ok()?)
    }

    /// The copy that a folder becomes by it.
    pub fn copy(&self, layout: (u64, u64)) -> ShardCopy {
        ShardCopy {
            generation: self.generation,
            base: self.base,
            meta: self.meta.clone(),
            files: self.files.iter().map(|of| of.file.clone()).collect(),
            layout,
        }
    }

    /// Its files by name.
    pub fn by_name(&self) -> BTreeMap<&str, &PackedFile> {
        let files = self.files.iter();
        files.map(|of| (&*of.file.name, of)).collect()
    }

    pub fn head(&self, bytes: &[u8]) -> ShardHead {
        let mut mark = [0; 16];
        mark.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        ShardHead {
            generation: self.generation,
            base: self.base,
            mark,
        }
    }
}

/// How far the last generations have an account: the last transaction that is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct IndexedRecord {
    /// Format and number of shards of the index that it is about.
    #[n(0)]
    pub layout: (u64, u64),
    /// Generation and sequence, ascending: those in which something of the account changed.
    #[n(1)]
    pub pairs: Vec<(u64, u64)>,
}

impl Record for IndexedRecord {
    const KIND: &'static str = "how far an account is in the search index";
}

impl IndexedRecord {
    /// The last transaction that this generation has for sure; 0: it may have nothing.
    pub fn cursor(&self, layout: (u64, u64), generation: u64, base: u64) -> u64 {
        if self.layout != layout {
            return 0;
        }
        let known = self.pairs.iter().rev();
        let mut known = known.filter(|(of, _)| (base..=generation).contains(of));
        known.next().map_or(0, |(_, cursor)| *cursor)
    }

    /// Adds what a generation has.
    pub fn add(&mut self, layout: (u64, u64), generation: u64, base: u64, cursor: u64) {
        if self.layout != layout {
            *self = Self {
                layout,
                pairs: Vec::new(),
            };
        }
        self.pairs.retain(|(of, _)| (base..generation).contains(of));
        self.pairs.push((generation, cursor));
        let surplus = self.pairs.len().saturating_sub(PAIRS_MAX);
        self.pairs.drain(..surplus);
    }
}
