//! Objects of the search index, beside those of blobs: many files in one, written as a stream and read by ranges.
//!
//! Holds: what [`BlobEngine::put_pack`] has said yes to is there for good, under a name that was never used before; it is
//! encrypted as blobs are, bound to its name; nothing of it is in memory but a few parts. What lists or collects blobs
//! doesn't see it, as its name is shorter than theirs.
//! Other half: `crate::shards` says which files are in which.

use std::{io::Read, ops::Range};

use bytes::Bytes;
use minicbor::{Decode, Encode};
use object_store::WriteMultipart;

use super::{
    engine::BlobEngine,
    outside::{Outside, OutsideError, PART_OCTETS},
    registry::Need,
    seal::Seal,
};
use crate::{
    Error,
    engine::Assertion,
    keys::{BlobHash, BlobNonce},
    record::hex,
};

/// The folder of all packs.
pub const FOLDER: &str = "search";
/// Objects that one listing has.
pub const LISTED_MAX: usize = 50_000;
/// A pack that is larger than this is none of ours.
const SIZE_MAX: u64 = 1 << 40;

/// A pack, as who names it knows it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PackRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: BlobNonce,
    /// Octets of all files in it.
    #[n(1)]
    pub size: u64,
    /// `None`: it isn't encrypted.
    #[n(2)]
    pub seal: Option<Seal>,
}

/// Why a pack could not be written or read. For the log.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error(transparent)]
    Outside(#[from] OutsideError),
    #[error("a file can't be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("the pack {0} was changed, or is encrypted by another key")]
    NotAuthentic(String),
    #[error("the pack is encrypted by the key \"{0}\", which isn't configured")]
    NoKey(String),
    #[error("there is no object store")]
    NoPlace,
    #[error("the server is stopping")]
    Stopping,
}

impl PackError {
    /// Whether the object isn't what was stored, and not only away.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Outside(OutsideError::Missing(_) | OutsideError::WrongSize(_))
            | Self::NotAuthentic(_) => true,
            Self::Outside(OutsideError::Unavailable(_))
            | Self::Read(_)
            | Self::NoKey(_)
            | Self::NoPlace
            | Self::Stopping => false,
        }
    }
}

impl PackRecord {
    pub fn file(&self) -> String {
        hex(&self.name)
    }

    /// Octets of what is stored.
    pub fn stored_octets(&self) -> u64 {
        match &self.seal {
            Some(seal) => seal.sealed_octets(self.size),
            None => self.size,
        }
    }

    /// What its encryption is bound to.
    fn identity(&self) -> BlobHash {
        let mut hasher = blake3::Hasher::new_derive_key("posthorn search pack");
        hasher.update(&self.name);
        *hasher.finalize().as_bytes()
    }

    /// Nothing in it is beyond all bounds.
    pub fn is_sound(&self) -> bool {
        self.size <= SIZE_MAX && self.seal.as_ref().is_none_or(Seal::is_sound)
    }
}

fn path(folder: &str, pack: &PackRecord) -> String {
    format!("{FOLDER}/{folder}/{}", pack.file())
}

/// The next part of what is packed; shorter only at the end.
fn read_part(reader: &mut impl Read, left: u64) -> std::io::Result<Vec<u8>> {
    let mut part = vec![0; left.min(PART_OCTETS as u64) as usize];
    reader.read_exact(&mut part)?;
    Ok(part)
}

impl BlobEngine {
    /// Whether new objects are written outside: then packs are too.
    pub fn keeps_packs(&self) -> bool {
        self.outside_from.is_some() && self.outside().is_some()
    }

    fn place_of_packs(&self) -> Result<&Outside, PackError> {
        self.outside().ok_or(PackError::NoPlace)
    }

    /// Whether a pack is encrypted as a new one would be.
    pub fn is_as_new(&self, pack: &PackRecord) -> bool {
        let key = pack.seal.as_ref().map(|seal| &*seal.key);
        key == self.keyring.now().newest().map(|(id, _)| id)
    }

    /// Writes `size` octets of a reader as a pack; the reader comes back.
    pub async fn put_pack<R: Read + Send + 'static>(
        &self,
        folder: &str,
        size: u64,
        reader: R,
    ) -> Result<(PackRecord, R), PackError> {
        let outside = self.place_of_packs()?;
        let mut name = [0; 16];
        self.source.fill(&mut name);
        let seal = self.keyring.now().newest().map(|(id, _)| {
            let mut salt = [0; 32];
            self.source.fill(&mut salt);
            Seal::new(id, salt)
        });
        let pack = PackRecord { name, size, seal };
        let path = path(folder, &pack);
        if size <= PART_OCTETS as u64 {
            let (octets, reader) = self.next_part(&pack, 0, reader).await?;
            outside.put_path(&path, octets).await?;
            return Ok((pack, reader));
        }
        let mut upload = outside.begin_parts(&path).await?;
        let sent = self.send_parts(outside, &pack, &mut upload, reader).await;
        let reader = match sent {
            Ok(reader) => reader,
            Err(error) => {
                // What is left of it is for the bucket's own rule, if this doesn't work.
                let _ = upload.abort().await;
                return Err(error);
            }
        };
        outside.finish_parts(upload).await?;
        Ok((pack, reader))
    }

    async fn send_parts<R: Read + Send + 'static>(
        &self,
        outside: &Outside,
        pack: &PackRecord,
        upload: &mut WriteMultipart,
        mut reader: R,
    ) -> Result<R, PackError> {
        let mut start = 0;
        while start < pack.size {
            let octets;
            (octets, reader) = self.next_part(pack, start, reader).await?;
            outside.room_for_part(upload).await?;
            upload.put(octets);
            start += PART_OCTETS as u64;
        }
        Ok(reader)
    }

    /// Reads the part after `start` octets, and encrypts it.
    async fn next_part<R: Read + Send + 'static>(
        &self,
        pack: &PackRecord,
        start: u64,
        mut reader: R,
    ) -> Result<(Bytes, R), PackError> {
        let (size, identity) = (pack.size, pack.identity());
        let seal = pack.seal.clone();
        let key = self.key_of(pack)?;
        let work = tokio::task::spawn_blocking(move || {
            let part = read_part(&mut reader, size - start)?;
            let sealed = match (seal, key) {
                (Some(seal), Some(key)) => seal.seal_part(&key, &identity, size, start, &part),
                _ => part,
            };
            Ok((Bytes::from(sealed), reader))
        });
        work.await.map_err(|_| PackError::Stopping)?
    }

    fn key_of(&self, pack: &PackRecord) -> Result<Option<super::keyring::MasterKey>, PackError> {
        let Some(seal) = &pack.seal else {
            return Ok(None);
        };
        let key = self.keyring.now().get(&seal.key).cloned();
        let key = key.ok_or_else(|| PackError::NoKey(seal.key.clone()))?;
        Ok(Some(key))
    }

    /// A part of what was packed. Without encryption, nobody has looked yet whether the octets are right.
    pub async fn read_pack(
        &self,
        folder: &str,
        pack: &PackRecord,
        range: Range<u64>,
    ) -> Result<Bytes, PackError> {
        if range.is_empty() || range.end > pack.size || !pack.is_sound() {
            return Err(PackError::NotAuthentic(pack.file()));
        }
        let (Some(seal), Some(key)) = (pack.seal.clone(), self.key_of(pack)?) else {
            return self.stored_part(folder, pack, range).await;
        };
        let sealed = seal.sealed_range(range.clone(), pack.size);
        let chunks = self.stored_part(folder, pack, sealed).await?;
        let (size, identity, file) = (pack.size, pack.identity(), pack.file());
        let opened = tokio::task::spawn_blocking(move || {
            seal.open_range(&key, &identity, size, range, &chunks)
        });
        let opened = opened.await.map_err(|_| PackError::Stopping)?;
        opened.map_err(|_| PackError::NotAuthentic(file))
    }

    /// Octets of an object as they are there.
    async fn stored_part(
        &self,
        folder: &str,
        pack: &PackRecord,
        range: Range<u64>,
    ) -> Result<Bytes, PackError> {
        let outside = self.place_of_packs()?;
        match outside.get_path(&path(folder, pack), range).await {
            // A range that the object is too short for is refused, by each service in its own words.
            Err(away @ OutsideError::Unavailable(_)) => match self.has_pack(folder, pack).await {
                Ok(false) => Err(PackError::NotAuthentic(pack.file())),
                Ok(true) | Err(_) => Err(away.into()),
            },
            part => Ok(part?),
        }
    }

    /// Whether a pack is there, as large as it was stored.
    pub async fn has_pack(&self, folder: &str, pack: &PackRecord) -> Result<bool, PackError> {
        let outside = self.place_of_packs()?;
        match outside.size_of_path(&path(folder, pack)).await {
            Ok(size) => Ok(size == pack.stored_octets()),
            Err(OutsideError::Missing(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Paths of packs below a folder, that of all packs left out: `FOLDER/NAME`.
    pub async fn list_packs(&self, folder: &str) -> Result<Vec<String>, PackError> {
        let within = match folder {
            "" => FOLDER.to_owned(),
            folder => format!("{FOLDER}/{folder}"),
        };
        let listed = self
            .place_of_packs()?
            .list_paths(&within, LISTED_MAX)
            .await?;
        let prefix = format!("{FOLDER}/");
        let names = listed.iter().filter_map(|path| path.strip_prefix(&prefix));
        Ok(names.map(str::to_owned).collect())
    }

    /// Removes a pack, by its path as [`BlobEngine::list_packs`] has it.
    pub async fn delete_pack(&self, path: &str) -> Result<(), PackError> {
        let outside = self.place_of_packs()?;
        Ok(outside.delete_path(&format!("{FOLDER}/{path}")).await?)
    }

    /// What must be true of whatever names these packs: the key and the place that they need are known to be in use.
    pub fn pack_assertions(&self, packs: &[PackRecord]) -> Vec<Assertion> {
        self.pack_needs(packs).iter().map(Need::assertion).collect()
    }

    /// Makes that true.
    pub async fn need_packs(&self, packs: &[PackRecord]) -> Result<(), Error> {
        for need in self.pack_needs(packs) {
            need.activate(&self.inner).await?;
        }
        Ok(())
    }

    fn pack_needs(&self, packs: &[PackRecord]) -> Vec<Need> {
        let mut ids: Vec<&str> = packs
            .iter()
            .filter_map(|pack| pack.seal.as_ref())
            .map(|seal| &*seal.key)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let keyring = self.keyring.now();
        let of_keys = ids.into_iter().filter_map(|id| Need::of_key(id, &keyring));
        let of_place = self.place.map(Need::of_place);
        of_keys.chain(of_place).collect()
    }
}
