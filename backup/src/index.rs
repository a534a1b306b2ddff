//! The index: which object is in which pack.
//!
//! Holds: an object that is in the index is in a pack that was there when the index was read.

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
            check_name(&path, &file)?;
            for pack in IndexRecord::from_frame(&path, &file)?.packs {
                match there.contains(&pack.pack) {
                    true => index.insert(&path, &pack)?,
                    false => index.missing.push(pack.pack),
                }
            }
            index.files.push(path);
        }
        Ok(index)
    }

    fn insert(&mut self, path: &str, of: &IndexPack) -> Result<(), Error> {
        let number = self.add_pack(Some(of.pack));
        let names = of.objects.chunks_exact(32);
        if !names.remainder().is_empty() {
            return Err(Error::damaged(path, "a name is cut off"));
        }
        for name in names {
            let name = name.try_into().unwrap_or_default();
            self.objects.entry(name).or_insert(number);
        }
        Ok(())
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

    pub(crate) fn number_of(&self, object: &Name) -> Option<u32> {
        let name = keyed(self.naming.as_ref(), object);
        self.objects.get(&name).copied()
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

/// Puts the rows of index files together in as few files as they fit in, then removes the former ones.
pub(crate) async fn join(
    repository: &Repository,
    files: &[String],
    keep: impl Fn(&Name) -> bool,
) -> Result<(), Error> {
    let (mut rows, mut octets) = (Vec::new(), 0);
    let mut written = HashSet::new();
    let mut seen = HashSet::new();
    for path in files {
        let Some(file) = repository.storage.get(path).await? else {
            continue;
        };
        check_name(path, &file)?;
        for row in IndexRecord::from_frame(path, &file)?.packs {
            if !keep(&row.pack) || !seen.insert(row.pack) {
                continue;
            }
            octets += row.objects.len();
            rows.push(row);
            if octets > FILE_OCTETS {
                written.insert(write(repository, std::mem::take(&mut rows)).await?);
                octets = 0;
            }
        }
    }
    if !rows.is_empty() {
        written.insert(write(repository, rows).await?);
    }
    for path in files.iter().filter(|path| !written.contains(*path)) {
        repository.storage.delete(path).await?;
    }
    Ok(())
}
