//! The wire-ready structures of messages: from memory, from the store, or made of the message.
//!
//! Holds: what is kept in memory takes at most [`STRUCTURE_CACHE_OCTETS_MAX`]. A message never changes and its hash is its name, so what
//! is here is right; whether somebody may see it is decided before it is asked for.
//! Other half: `mail::write` puts them into the store with the summaries.

use quick_cache::{Weighter, sync::Cache};
use store::keys::{self, BlobHash};

use crate::{
    Core,
    mail::{
        email::{read as emails, with_octets},
        message::WireStructure,
    },
};

/// Octets (estimated) that all of them may take.
pub const STRUCTURE_CACHE_OCTETS_MAX: u64 = 4 << 20;
/// How many they are then, about.
const STRUCTURES: usize = 4096;

pub(crate) struct Structures(Cache<BlobHash, WireStructure, Octets>);

#[derive(Clone)]
struct Octets;

impl Weighter<BlobHash, WireStructure> for Octets {
    fn weight(&self, _: &BlobHash, structure: &WireStructure) -> u64 {
        const ENTRY: u64 = 256;
        ENTRY + structure.octets() as u64
    }
}

impl Default for Structures {
    fn default() -> Self {
        Self(Cache::with_weighter(
            STRUCTURES,
            STRUCTURE_CACHE_OCTETS_MAX,
            Octets,
        ))
    }
}

impl std::fmt::Debug for Structures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Structures")
            .field("octets", &self.0.weight())
            .finish_non_exhaustive()
    }
}

/// Those that are asked for together by who goes through a whole mailbox: they take nobody's place in memory.
const PASSING: usize = 64;

/// The structures of messages, in their order; `None` where the message is missing.
pub(super) async fn structures(
    core: &Core,
    hashes: &[BlobHash],
) -> Result<Vec<Option<WireStructure>>, store::Error> {
    let cache = &core.structures.0;
    let mut found: Vec<_> = hashes.iter().map(|hash| cache.get(hash)).collect();
    let missing: Vec<usize> = (0..hashes.len())
        .filter(|&at| found[at].is_none())
        .collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let keys: Vec<_> = missing
        .iter()
        .map(|&at| keys::structure(&hashes[at]))
        .collect();
    let rows = core.engine.multi_get(&keys).await?;
    for (row, &at) in rows.into_iter().zip(&missing) {
        let hash = hashes[at];
        let stored = row.and_then(|row| WireStructure::decode(&row));
        found[at] = match stored {
            Some(structure) => Some(structure),
            None => make(core, hash).await?,
        };
        if let Some(structure) = found[at].as_ref().filter(|_| hashes.len() <= PASSING) {
            cache.insert(hash, structure.clone());
        }
    }
    Ok(found)
}

/// Makes a structure of the message: older stores don't have it.
async fn make(core: &Core, hash: BlobHash) -> Result<Option<WireStructure>, store::Error> {
    let Some(summary) = emails::summaries_in_passing(core, &[hash])
        .await?
        .pop()
        .flatten()
    else {
        return Ok(None);
    };
    let Some(octets) = emails::blobs(core, &[hash]).await?.pop().flatten() else {
        return Ok(None);
    };
    let length = octets.len();
    let make = move || WireStructure::new(&octets, &summary);
    Ok(with_octets(length, make).await)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn they_take_no_more_than_their_limit() {
        let structures = Structures::default();
        for n in 0..20_000u32 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&n.to_le_bytes());
            let structure = WireStructure {
                envelope: Bytes::from(vec![b'x'; 1000]),
                ..WireStructure::default()
            };
            structures.0.insert(hash, structure);
            assert!(structures.0.weight() <= STRUCTURE_CACHE_OCTETS_MAX);
        }
        assert!(structures.0.weight() > STRUCTURE_CACHE_OCTETS_MAX / 2);
    }
}
