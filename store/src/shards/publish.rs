//! Publishing a generation of a shard: what the last one hasn't got goes into one object, then one commit names it.
//!
//! Holds: what is published is what the shard was at one moment, with cursors that are not ahead of it; a publication that comes to nothing
//! leaves an object that nothing names, and nothing else.
//! Other half: `fetch`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use jmap_types::AccountId;

use super::{IndexedRecord, Manifest, PackedFile, Shards};
use crate::{
    Error, Record as _,
    blob::packs::PackError,
    engine::{Assertion, Batch, CommitError, Key},
    keys::{self, ShardRow},
    search::{Contents, CopyFile, SearchError},
};

/// A pack of which less than one part in so many is still needed is packed anew, ...
const DEAD_SHARE: u64 = 4;
/// ... if what is needed isn't more than these octets.
const REPACKED_OCTETS_MAX: u64 = 32 << 20;
/// How often a commit is tried while keys of encryption are being given up.
const TRIES: usize = 4;

/// Why a shard could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Index(#[from] SearchError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("there is no object store")]
    NoPlace,
    #[error("the server is stopping")]
    Stopping,
}

/// What is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct What {
    /// It isn't made out of what was published before.
    pub is_new: bool,
    /// All files go out again.
    pub again: bool,
}

/// A shard as it was at one moment.
#[derive(Debug)]
pub struct Snapshot {
    contents: Contents,
    last: Option<Arc<Manifest>>,
    what: What,
}

impl Snapshot {
    /// Whether its files are those that are published.
    pub fn is_published(&self) -> bool {
        let Some(last) = &self.last else {
            return false;
        };
        !self.what.is_new && last.meta == self.contents.meta && self.contents.open.is_empty()
    }

    /// Octets that aren't published.
    pub fn octets(&self) -> u64 {
        let open = self.contents.open.iter();
        open.filter_map(|(name, _)| self.contents.files.get(name))
            .sum()
    }
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    Done,
    /// Somebody else has the shard.
    Lost,
}

impl Shards {
    /// Takes hold of what a shard is now. Blocks on the disk for a moment.
    pub async fn snapshot(
        &self,
        shard: u16,
        last: Option<Arc<Manifest>>,
        what: What,
    ) -> Result<Snapshot, PublishError> {
        let carries = match (&last, what) {
            (
                Some(last),
                What {
                    is_new: false,
                    again: false,
                },
            ) => self.carried_packs(last)?,
            _ => BTreeSet::new(),
        };
        let (index, of) = (self.index.clone(), last.clone());
        let work = move || {
            index.contents(shard, |files| {
                let carried = of.as_deref().map(|last| carried(last, &carries, files));
                let carried = carried.unwrap_or_default();
                let names = files.keys();
                names
                    .filter(|name| !carried.contains(*name))
                    .cloned()
                    .collect()
            })
        };
        let contents = tokio::task::spawn_blocking(work).await;
        Ok(Snapshot {
            contents: contents.map_err(|_| PublishError::Stopping)??,
            last,
            what,
        })
    }

    /// The packs whose files don't have to be packed anew for the sake of their key.
    fn carried_packs(&self, last: &Manifest) -> Result<BTreeSet<u64>, PublishError> {
        let blobs = self.blobs()?;
        let packs = (0u64..).zip(&last.packs);
        Ok(packs
            .filter(|(_, pack)| blobs.is_as_new(pack))
            .map(|(number, _)| number)
            .collect())
    }

    /// Puts what isn't published into an object, and makes the manifest of a generation, which is above all that there were.
    pub async fn pack(
        &self,
        shard: u16,
        snapshot: Snapshot,
        generation: u64,
    ) -> Result<Manifest, PublishError> {
        let Snapshot {
            contents,
            last,
            what,
        } = snapshot;
        let mut manifest = Manifest {
            generation,
            base: match &last {
                Some(last) if !what.is_new => last.base,
                _ => generation,
            },
            meta: contents.meta,
            ..Manifest::default()
        };
        let fresh: BTreeSet<String> = contents.open.iter().map(|(name, _)| name.clone()).collect();
        let mut packs: BTreeMap<u64, u64> = BTreeMap::new();
        if let Some(last) = &last {
            let by_name = last.by_name();
            for name in contents.files.keys().filter(|name| !fresh.contains(*name)) {
                let Some((of, pack)) = by_name
                    .get(&**name)
                    .and_then(|of| Some((*of, last.pack_of(of)?)))
                else {
                    continue;
                };
                let number = *packs.entry(of.pack).or_insert_with(|| {
                    manifest.packs.push(pack.clone());
                    manifest.packs.len() as u64 - 1
                });
                manifest.files.push(PackedFile {
                    pack: number,
                    ..of.clone()
                });
            }
        }
        if !contents.open.is_empty() {
            let mut reader = Joined::new(contents.open, &contents.files);
            let folder = Self::folder(self.layout, shard.into());
            let pack;
            (pack, reader) = self
                .blobs()?
                .put_pack(&folder, reader.octets, reader)
                .await?;
            let number = manifest.packs.len() as u64;
            let mut offset = 0;
            for file in reader.done {
                let octets = file.octets;
                manifest.files.push(PackedFile {
                    file,
                    pack: number,
                    offset,
                });
                offset += octets;
            }
            manifest.packs.push(pack);
        }
        Ok(manifest)
    }

    /// Makes a manifest the newest one, and says how far accounts are in it: a cursor of none is of an account that is no more.
    /// `fence` is the lease, `former` the head that it was built on; `also` is done in the same commit.
    /// An error may mean that it was done: then the head is another one.
    pub async fn commit(
        &self,
        shard: u16,
        fence: &Assertion,
        former: Option<&Bytes>,
        manifest: &Manifest,
        cursors: &[(AccountId, Option<u64>)],
        also: Batch,
    ) -> Result<(Committed, Bytes), PublishError> {
        let octets = manifest.to_bytes();
        let head = manifest.head(&octets).to_bytes();
        let mut batch = self
            .cursors_batch(shard, fence, former, cursors, manifest)
            .await?;
        batch.put(self.key(shard, ShardRow::Head), head.clone());
        batch.put(self.key(shard, ShardRow::Manifest), octets);
        batch.append(also);
        let own = batch.assertions.len();
        let blobs = self.blobs()?;
        for assertion in blobs.pack_assertions(&manifest.packs) {
            batch.assert(assertion);
        }
        for _ in 0..TRIES {
            match self.engine.commit(batch.clone()).await {
                Ok(()) => return Ok((Committed::Done, head)),
                Err(CommitError::Conflict(at)) if at < own => {
                    return Ok((Committed::Lost, head));
                }
                Err(CommitError::Conflict(_)) => blobs.need_packs(&manifest.packs).await?,
                Err(CommitError::Engine(error)) => return Err(Error::from(error).into()),
            }
        }
        Err(Error::Conflict.into())
    }

    /// Says how far accounts are, where nothing else of the shard has changed since `manifest`, whose head is `former`.
    pub async fn commit_cursors(
        &self,
        shard: u16,
        fence: &Assertion,
        former: &Bytes,
        manifest: &Manifest,
        cursors: &[(AccountId, Option<u64>)],
        also: Batch,
    ) -> Result<Committed, PublishError> {
        let mut batch = self
            .cursors_batch(shard, fence, Some(former), cursors, manifest)
            .await?;
        batch.append(also);
        match self.engine.commit(batch).await.map_err(Error::from) {
            Ok(()) => Ok(Committed::Done),
            Err(Error::Conflict) => Ok(Committed::Lost),
            Err(error) => Err(error.into()),
        }
    }

    async fn cursors_batch(
        &self,
        shard: u16,
        fence: &Assertion,
        former: Option<&Bytes>,
        cursors: &[(AccountId, Option<u64>)],
        manifest: &Manifest,
    ) -> Result<Batch, Error> {
        let key = self.key(shard, ShardRow::Head);
        let mut batch = Batch::new();
        batch.assert(fence.clone());
        batch.assert(match former {
            Some(bytes) => Assertion::Equals(key, bytes.clone()),
            None => Assertion::Absent(key),
        });
        let rows: Vec<Key> = cursors
            .iter()
            .map(|(account, _)| keys::search_indexed(*account))
            .collect();
        let values = self.engine.multi_get(&rows).await?;
        for ((key, value), (_, cursor)) in rows.into_iter().zip(values).zip(cursors) {
            let Some(cursor) = cursor else {
                batch.delete(key);
                continue;
            };
            let read = |bytes: Bytes| super::noted(IndexedRecord::from_bytes(&key, &bytes));
            let mut record = value.and_then(read).unwrap_or_default();
            record.add(self.layout, manifest.generation, manifest.base, *cursor);
            batch.put(key, record.to_bytes());
        }
        Ok(batch)
    }

    /// Adds that a complaint, and requests, were dealt with.
    pub fn settle(&self, batch: &mut Batch, shard: u16, complaint: bool, requests: &[AccountId]) {
        if complaint {
            batch.delete(self.key(shard, ShardRow::Complaint));
        }
        for account in requests {
            batch.delete(self.request_key(*account));
        }
    }
}

/// Of the files that there are, those that can stay where the last manifest has them.
fn carried(
    last: &Manifest,
    packs: &BTreeSet<u64>,
    files: &BTreeMap<String, u64>,
) -> BTreeSet<String> {
    let mut live: BTreeMap<u64, u64> = BTreeMap::new();
    let is_there = |of: &&PackedFile| files.get(&of.file.name) == Some(&of.file.octets);
    for of in last.files.iter().filter(is_there) {
        *live.entry(of.pack).or_default() += of.file.octets;
    }
    let is_worth_it = |of: &PackedFile| {
        let live = live.get(&of.pack).copied().unwrap_or(0);
        let size = last.pack_of(of).map_or(0, |pack| pack.size);
        live.saturating_mul(DEAD_SHARE) >= size || live > REPACKED_OCTETS_MAX
    };
    let kept = last.files.iter().filter(is_there);
    kept.filter(|of| packs.contains(&of.pack) && is_worth_it(of))
        .map(|of| of.file.name.clone())
        .collect()
}

/// Files one after the other, hashed as they are read.
struct Joined {
    left: VecDeque<(String, File, u64)>,
    /// What has been read of the first one that is left.
    at: u64,
    hasher: blake3::Hasher,
    octets: u64,
    done: Vec<CopyFile>,
}

impl Joined {
    fn new(open: Vec<(String, File)>, octets: &BTreeMap<String, u64>) -> Self {
        let of = |(name, file): (String, File)| {
            let octets = octets.get(&name).copied().unwrap_or(0);
            (name, file, octets)
        };
        let left: VecDeque<_> = open.into_iter().map(of).collect();
        let mut joined = Self {
            octets: left.iter().map(|(_, _, octets)| octets).sum(),
            left,
            at: 0,
            hasher: blake3::Hasher::new(),
            done: Vec::new(),
        };
        joined.finish_whole();
        joined
    }

    /// Goes on behind files that were read whole.
    fn finish_whole(&mut self) {
        while let Some((name, _, octets)) = self.left.pop_front_if(|(_, _, of)| *of == self.at) {
            self.done.push(CopyFile {
                name,
                octets,
                hash: *self.hasher.finalize().as_bytes(),
            });
            self.hasher.reset();
            self.at = 0;
        }
    }
}

impl Read for Joined {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some((_, file, octets)) = self.left.front_mut() else {
            return Ok(0);
        };
        let room = usize::try_from(*octets - self.at).unwrap_or(usize::MAX);
        let room = room.min(out.len());
        let count = file.read(&mut out[..room])?;
        if count == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hasher.update(&out[..count]);
        self.at += count as u64;
        self.finish_whole();
        Ok(count)
    }
}
