//! Puts objects into a repository, and at last the snapshot that refers to them.
//!
//! Holds: an object that the index has isn't stored again; a pack is followed by its index file at once, so a run that was stopped is gone
//! on with by the next one; the snapshot comes after all that it refers to, and counts only if the lock was held until then.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::{
    Error, Index, Lock, Name, Repository,
    index::{self},
    pack::Builder,
    records::{Framed as _, RefsRecord, SnapshotRecord},
    repository::{REFS, SNAPSHOTS, pack_path},
};

/// Octets of the objects of one pack, before they are compressed.
const DATA_PACK_OCTETS: usize = 16 << 20;
const TREE_PACK_OCTETS: usize = 4 << 20;
/// Packs that are compressed and put at the same time: each takes up to twice its octets of memory.
const PACKS_UNDER_WAY: usize = 3;
/// Index files of one pack each that are left as they are.
const INDEX_FILES_MIN: usize = 2;

/// What an object is; those of one kind are together in packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of the tree of rows.
    Tree,
    /// A blob.
    Data,
}

/// What a run has stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects that were not there.
    pub objects: u64,
    /// Octets of these.
    pub octets: u64,
    /// Octets of the packs that have them.
    pub pack_octets: u64,
    pub packs: u64,
    /// Objects that were there.
    pub known: u64,
}

/// Writes into a repository.
#[derive(Debug)]
pub struct Writer {
    repository: Repository,
    index: Index,
    tree: Open,
    data: Open,
    /// Numbers of the packs that the snapshot needs.
    used: BTreeSet<u32>,
    putting: JoinSet<Result<Put, Error>>,
    counts: Counts,
    /// Index files of this run.
    files: Arc<Mutex<Vec<String>>>,
}

/// A pack that is being filled.
#[derive(Debug, Default)]
struct Open {
    builder: Builder,
    number: Option<u32>,
}

/// A pack that is in the repository.
#[derive(Debug)]
struct Put {
    number: u32,
    name: Name,
    octets: u64,
}

impl Writer {
    pub async fn new(repository: &Repository) -> Result<Self, Error> {
        let mut index = repository.index().await?;
        index::mend(repository, &mut index).await?;
        if !index.missing.is_empty() {
            tracing::warn!(
                packs = index.missing.len(),
                "packs of the backup are missing; what was in them is stored again"
            );
        }
        Ok(Self {
            repository: repository.clone(),
            index,
            tree: Open::default(),
            data: Open::default(),
            used: BTreeSet::new(),
            putting: JoinSet::new(),
            counts: Counts::default(),
            files: Arc::default(),
        })
    }

    /// Notes that the snapshot needs an object. Returns whether it is there.
    pub fn uses(&mut self, name: &Name) -> bool {
        let Some(pack) = self.index.number_of(name) else {
            return false;
        };
        self.used.insert(pack);
        self.counts.known += 1;
        true
    }

    /// Stores an object that the snapshot needs, if it isn't there.
    pub async fn put(&mut self, kind: Kind, name: Name, octets: &[u8]) -> Result<(), Error> {
        if self.uses(&name) {
            return Ok(());
        }
        let pack_octets_max = match kind {
            Kind::Tree => TREE_PACK_OCTETS,
            Kind::Data => DATA_PACK_OCTETS,
        };
        if self
            .open(kind)
            .builder
            .is_full(octets.len(), pack_octets_max)
        {
            self.close(kind).await?;
        }
        let number = match self.open(kind).number {
            Some(number) => number,
            None => self.index.new_pack(),
        };
        let open = self.open(kind);
        open.number = Some(number);
        open.builder.add(name, octets);
        self.index.add(&name, number);
        self.used.insert(number);
        self.counts.objects += 1;
        self.counts.octets += octets.len() as u64;
        Ok(())
    }

    fn open(&mut self, kind: Kind) -> &mut Open {
        match kind {
            Kind::Tree => &mut self.tree,
            Kind::Data => &mut self.data,
        }
    }

    /// Hands a pack over to be put.
    async fn close(&mut self, kind: Kind) -> Result<(), Error> {
        let open = std::mem::take(self.open(kind));
        let Some(number) = open.number.filter(|_| !open.builder.is_empty()) else {
            return Ok(());
        };
        while self.putting.len() >= PACKS_UNDER_WAY {
            self.wait_for_one().await?;
        }
        let names: Vec<Name> = open.builder.names().collect();
        let row = self.index.row(Name([0; 32]), names.into_iter());
        let (repository, files) = (self.repository.clone(), self.files.clone());
        self.putting.spawn(async move {
            let seal = repository.seal.clone();
            let built = tokio::task::spawn_blocking(move || {
                let file = seal.seal(open.builder.build()?)?;
                Ok::<_, Error>((Name::of(&file), file))
            });
            let (name, file) = built.await.map_err(|_| Error::Interrupted)??;
            let octets = file.len() as u64;
            repository
                .storage
                .put(&pack_path(&name), file.into())
                .await?;
            let row = index::write(
                &repository,
                vec![crate::records::IndexPack { pack: name, ..row }],
            );
            let path = row.await?;
            files.lock().push(path);
            Ok(Put {
                number,
                name,
                octets,
            })
        });
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<(), Error> {
        let Some(put) = self.putting.join_next().await else {
            return Ok(());
        };
        let put = put.map_err(|_| Error::Interrupted)??;
        self.index.name_pack(put.number, put.name);
        self.counts.pack_octets += put.octets;
        self.counts.packs += 1;
        Ok(())
    }

    /// Waits until all that was put is in the repository.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.close(Kind::Tree).await?;
        self.close(Kind::Data).await?;
        while !self.putting.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Writes the snapshot. `record.added_octets` is filled in.
    pub async fn finish(
        mut self,
        lock: &Lock,
        mut record: SnapshotRecord,
    ) -> Result<(Name, SnapshotRecord), Error> {
        self.flush().await?;
        record.added_octets = self.counts.pack_octets;
        let packs = self.used.iter().filter_map(|&pack| self.index.pack(pack));
        let mut packs: Vec<Name> = packs.collect();
        packs.sort_unstable();
        lock.check().await?;
        let (known, _) = self.repository.entries().await?;
        let last = known.iter().map(|entry| entry.number).max();
        let refs = RefsRecord {
            time: record.time,
            packs,
            number: last.unwrap_or(0) + 1,
        };
        let storage = &self.repository.storage;
        let file = self.repository.seal.seal(record.to_frame())?;
        let id = Name::of(&file);
        lock.check().await?;
        storage
            .put(&format!("{REFS}/{id}"), refs.to_frame().into())
            .await?;
        let path = format!("{SNAPSHOTS}/{id}");
        storage.put(&path, file.into()).await?;
        // Who has taken the lock away may not have seen the snapshot, and may be removing what it needs.
        if let Err(error) = lock.check().await {
            storage.delete(&path).await?;
            return Err(error);
        }
        let mut files = std::mem::take(&mut *self.files.lock());
        if files.len() > INDEX_FILES_MIN {
            // Those of runs that were stopped as well.
            files.extend(std::mem::take(&mut self.index.files));
            files.sort_unstable();
            files.dedup();
            self.join(files).await;
        }
        Ok((id, record))
    }

    /// Small index files become larger ones. The snapshot is there; that this fails doesn't matter.
    async fn join(&self, files: Vec<String>) {
        if let Err(error) = index::join(&self.repository, &files, |_| true).await {
            tracing::warn!(%error, "index files of the backup could not be joined");
        }
    }
}
