//! A pack: objects together in one file, compressed.
//!
//! Other half: `writer` fills packs, `snapshot` and `verify` read them.

use std::{collections::HashMap, io::Read as _};

use bytes::Bytes;

use crate::{
    Error, Name,
    records::{Framed, PackObject, PackRecord},
};

/// Objects of one pack.
pub const OBJECTS_MAX: usize = 65_536;
/// Octets of the head of a pack.
const HEAD_OCTETS_MAX: usize = 16 << 20;
const LEVEL: i32 = 3;

/// A pack that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    objects: Vec<PackObject>,
    octets: Vec<u8>,
}

impl Builder {
    pub fn add(&mut self, name: Name, octets: &[u8]) {
        self.objects.push(PackObject {
            name,
            octets: octets.len() as u64,
        });
        self.octets.extend_from_slice(octets);
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether another object of so many octets is better put into another pack.
    pub fn is_full(&self, octets: usize, octets_max: usize) -> bool {
        !self.is_empty()
            && (self.octets.len() + octets > octets_max || self.objects.len() >= OBJECTS_MAX)
    }

    pub fn names(&self) -> impl Iterator<Item = Name> {
        self.objects.iter().map(|object| object.name)
    }

    /// What the file has before it is sealed. Takes a while: for a thread of its own.
    pub fn build(self) -> Result<Vec<u8>, Error> {
        let head = PackRecord {
            objects: self.objects,
        }
        .to_frame();
        let mut content = u32::try_from(head.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes()
            .to_vec();
        content.extend_from_slice(&head);
        let compressed = zstd::bulk::compress(&self.octets, LEVEL);
        content.extend_from_slice(&compressed.map_err(|error| Error::Storage {
            path: "zstd".to_owned(),
            why: error.to_string(),
        })?);
        Ok(content)
    }
}

/// A pack that was read.
#[derive(Debug)]
pub(crate) struct Pack {
    /// In their order.
    pub names: Vec<Name>,
    objects: HashMap<Name, (usize, usize)>,
    octets: Bytes,
}

impl Pack {
    /// Reads what was unsealed. Each object is compared with its name.
    pub fn parse(path: &str, content: &[u8]) -> Result<Self, Error> {
        let damaged = |why: &str| Error::damaged(path, why);
        let (length, rest) = content
            .split_first_chunk::<4>()
            .ok_or_else(|| damaged("it is too short"))?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > HEAD_OCTETS_MAX || length > rest.len() {
            return Err(damaged("its head is longer than the file"));
        }
        let (head, compressed) = rest.split_at(length);
        let head = PackRecord::from_frame(path, head)?;
        let sum = head
            .objects
            .iter()
            .try_fold(0_u64, |sum, object| sum.checked_add(object.octets));
        let sum = sum
            .filter(|sum| *sum <= crate::storage::FILE_OCTETS_MAX)
            .ok_or_else(|| damaged("its objects are larger than any file of a backup"))?;
        let mut octets = Vec::new();
        // One more than there should be, to see that there is no more.
        zstd::stream::read::Decoder::new(compressed)
            .and_then(|decoder| decoder.take(sum + 1).read_to_end(&mut octets))
            .map_err(|error| damaged(&error.to_string()))?;
        if octets.len() as u64 != sum {
            return Err(damaged("it has other octets than its head says"));
        }
        let mut objects = HashMap::with_capacity(head.objects.len());
        let mut names = Vec::with_capacity(head.objects.len());
        let mut at = 0;
        for object in head.objects {
            // The sum is that of a vector.
            let end = at + object.octets as usize;
            if Name::of(&octets[at..end]) != object.name {
                return Err(damaged("an object isn't what its name says"));
            }
            names.push(object.name);
            objects.insert(object.name, (at, end));
            at = end;
        }
        Ok(Self {
            names,
            objects,
            octets: octets.into(),
        })
    }

    pub fn get(&self, name: &Name) -> Option<Bytes> {
        let &(at, end) = self.objects.get(name)?;
        Some(self.octets.slice(at..end))
    }

    pub fn octets(&self) -> usize {
        self.octets.len()
    }
}
