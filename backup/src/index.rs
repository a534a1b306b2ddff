//! The index: which object is in which pack.
//!
//! Holds: an object that is in the index is in a pack that was there when the index was read. A file of it that is damaged costs no
//! more than itself: what it said is in the heads of the packs.

use std::collections::{HashMap, HashSet};

use crate::{
    Error, Name, Repository,
    records::{Framed as _, IndexPack, IndexRecord},
    seal::keyed,
};

pub(crate) const FOLDER: &str = "index";
/// Octets of an index file that is written anew by joining others.
pub(crate) const FILE_OCTETS: usize = 32 << 20;

/// All index files of a repository, in memory: 36 octets and some more for each object.
#[derive(Debug, Default)]
pub struct Index {
    naming: Option<[u8; 32]>,
    /// By number; `None` until its file is there.
    packs: Vec<Option<Name>>,
    objects: HashMap<[u8; 32], u32>,
    /// Paths of the files that were read.
    pub(crate) files: Vec<String>,
    /// Packs that the index has and the repository hasn't.
    pub missing: Vec<Name>,
    /// Paths of the files that can't be read.
    pub(crate) damaged: Vec<String>,
}

impl Index {
    pub(crate) async fn read(repository: &Repository) -> Result<Self, Error> {
        let storage = &repository.storage;
        let there = repository.packs().await?;
        let there: HashSet<Name> = there.into_iter().map(|(name, _)| name).collect();
        let mut index = Self {
            naming: repository.naming,
            ..Self::default()
        };
        for (path, _) in storage.list(FOLDER).await? {
            // One that is joined with others at this moment is in the new file.
            let Some(file) = storage.get(&path).await? else {
                continue;
            };
            let packs = match read_file(&path, &file) {
                Ok(packs) => packs,
                Err(error) => {
                    tracing::error!(%error, "an index file of the backup is left out");
                    index.damaged.push(path);
                    continue;
                }
            };
            for pack in packs {
                match there.contains(&pack.pack) {
                    true => index.insert(&pack),
                    false => index.missing.push(pack.pack),
                }
            }
            index.files.push(path);
        }
        Ok(index)
    }

    /// Reads of what the index should have and hasn't got: packs that are there, one after the other. A damaged one stays out. Returns
    /// their rows. Does nothing for who can't open packs.
    pub(crate) async fn fill(
        &mut self,
        repository: &Repository,
        packs: impl IntoIterator<Item = Name>,
    ) -> Result<Vec<IndexPack>, Error> {
        if !repository.is_open() {
            return Ok(Vec::new());
        }
        let known: HashSet<Name> = self.packs.iter().flatten().copied().collect();
        let unknown = packs.into_iter().filter(|pack| !known.contains(pack));
        let mut rows = Vec::new();
        for name in unknown {
            match repository.pack(&name).await {
                Ok(pack) => {
                    let row = self.row(name, pack.names.into_iter());
                    self.insert(&row);
                    rows.push(row);
                }
                Err(error) if error.is_loss() => {
                    tracing::error!(%error, "a pack of the backup is left out");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    fn insert(&mut self, of: &IndexPack) {
        let number = self.add_pack(Some(of.pack));
        for name in of.objects.chunks_exact(32) {
            let name = name.try_into().unwrap_or_default();
            self.objects.entry(name).or_insert(number);
        }
    }

    fn add_pack(&mut self, name: Option<Name>) -> u32 {
        self.packs.push(name);
        u32::try_from(self.packs.len() - 1).unwrap_or(u32::MAX)
    }

    /// A number for a pack that is being filled.
    pub(crate) fn new_pack(&mut self) -> u32 {
        self.add_pack(None)
    }

    pub(crate) fn name_pack(&mut self, number: u32, name: Name) {
        self.packs[number as usize] = Some(name);
    }

    pub(crate) fn add(&mut self, object: &Name, pack: u32) {
        self.objects
            .insert(keyed(self.naming.as_ref(), object), pack);
    }

    /// By what name it has an object.
    pub(crate) fn name_of(&self, object: &Name) -> [u8; 32] {
        keyed(self.naming.as_ref(), object)
    }

    pub(crate) fn number_of(&self, object: &Name) -> Option<u32> {
        self.objects.get(&self.name_of(object)).copied()
    }

    pub(crate) fn pack(&self, number: u32) -> Option<Name> {
        self.packs.get(number as usize).copied().flatten()
    }

    pub fn pack_of(&self, object: &Name) -> Option<Name> {
        self.number_of(object).and_then(|number| self.pack(number))
    }

    pub fn contains(&self, object: &Name) -> bool {
        self.number_of(object).is_some()
    }

    /// Objects that it knows.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(crate) fn row(&self, pack: Name, objects: impl Iterator<Item = Name>) -> IndexPack {
        let naming = self.naming.as_ref();
        IndexPack {
            pack,
            objects: objects.flat_map(|name| keyed(naming, &name)).collect(),
        }
    }
}

/// The rows of an index file.
pub(crate) fn read_file(path: &str, file: &[u8]) -> Result<Vec<IndexPack>, Error> {
    check_name(path, file)?;
    let packs = IndexRecord::from_frame(path, file)?.packs;
    let is_whole = |pack: &IndexPack| pack.objects.len().is_multiple_of(32);
    match packs.iter().all(is_whole) {
        true => Ok(packs),
        false => Err(Error::damaged(path, "a name is cut off")),
    }
}

/// A file that is named by its hash has it.
pub(crate) fn check_name(path: &str, file: &[u8]) -> Result<(), Error> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match Name::parse(name) == Some(Name::of(file)) {
        true => Ok(()),
        false => Err(Error::damaged(path, "it isn't what its name says")),
    }
}

/// Writes an index file. Returns its path.
pub(crate) async fn write(repository: &Repository, packs: Vec<IndexPack>) -> Result<String, Error> {
    let frame = IndexRecord { packs }.to_frame();
    let path = format!("{FOLDER}/{}", Name::of(&frame));
    repository.storage.put(&path, frame.into()).await?;
    Ok(path)
}

/// Rows on their way into as few index files as they fit in.
#[derive(Default)]
struct Joined {
    rows: Vec<IndexPack>,
    octets: usize,
    /// Paths of the files.
    written: HashSet<String>,
}

impl Joined {
    async fn add(&mut self, repository: &Repository, row: IndexPack) -> Result<(), Error> {
        self.octets += row.objects.len();
        self.rows.push(row);
        match self.octets > FILE_OCTETS {
            true => self.end(repository).await,
            false => Ok(()),
        }
    }

    async fn end(&mut self, repository: &Repository) -> Result<(), Error> {
        self.octets = 0;
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() {
            self.written.insert(write(repository, rows).await?);
        }
        Ok(())
    }
}

/// Puts the rows of index files together in as few files as they fit in, then removes the former ones. A damaged one stays where it is.
pub(crate) async fn join(
    repository: &Repository,
    files: &[String],
    keep: impl Fn(&Name) -> bool,
) -> Result<(), Error> {
    let mut joined = Joined::default();
    let mut seen = HashSet::new();
    let mut former = Vec::new();
    for path in files {
        let Some(file) = repository.storage.get(path).await? else {
            continue;
        };
        let packs = match read_file(path, &file) {
            Ok(packs) => packs,
            Err(error) => {
                tracing::error!(%error, "an index file of the backup is left as it is");
                continue;
            }
        };
        former.push(path);
        for row in packs {
            if keep(&row.pack) && seen.insert(row.pack) {
                joined.add(repository, row).await?;
            }
        }
    }
    joined.end(repository).await?;
    for path in former {
        if !joined.written.contains(path) {
            repository.storage.delete(path).await?;
        }
    }
    Ok(())
}

/// Makes anew what the damaged files of the index had, out of all packs that it doesn't know. Who can't open packs leaves it as it is,
/// and stores again what was in them.
pub(crate) async fn mend(repository: &Repository, index: &mut Index) -> Result<(), Error> {
    if index.damaged.is_empty() || !repository.is_open() {
        return Ok(());
    }
    let packs = repository.packs().await?.into_iter();
    let rows = index.fill(repository, packs.map(|(name, _)| name)).await?;
    let mut joined = Joined::default();
    for row in rows {
        joined.add(repository, row).await?;
    }
    joined.end(repository).await?;
    for path in std::mem::take(&mut index.damaged) {
        if !joined.written.contains(&path) {
            repository.storage.delete(&path).await?;
        }
    }
    index.files.extend(joined.written);
    Ok(())
}
