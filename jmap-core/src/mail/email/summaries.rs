//! The summaries that were read a short time ago.
//!
//! Holds: they take at most [`SUMMARY_OCTETS_MAX`]. A message never changes and its hash is its name,
//! so a summary that is here is right; whether somebody may see it is decided before it is asked for.
//! Other half: `read` looks here before it goes to the store.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};
use store::keys::BlobHash;

use crate::mail::message::Summary;

/// Octets (estimated) that all of them may take.
pub const SUMMARY_OCTETS_MAX: u64 = 8 << 20;
/// How many they are then, about.
const SUMMARIES: usize = 4096;

pub struct Summaries(Cache<BlobHash, Arc<Summary>, Octets>);

#[derive(Clone)]
struct Octets;

impl Weighter<BlobHash, Arc<Summary>> for Octets {
    fn weight(&self, _: &BlobHash, summary: &Arc<Summary>) -> u64 {
        const ENTRY: u64 = 96;
        ENTRY + summary.octets() as u64
    }
}

impl Default for Summaries {
    fn default() -> Self {
        Self(Cache::with_weighter(SUMMARIES, SUMMARY_OCTETS_MAX, Octets))
    }
}

impl Summaries {
    pub fn get(&self, hash: &BlobHash) -> Option<Arc<Summary>> {
        self.0.get(hash)
    }

    pub fn put(&self, hash: BlobHash, summary: &Arc<Summary>) {
        self.0.insert(hash, summary.clone());
    }

    pub fn octets(&self) -> u64 {
        self.0.weight()
    }

    pub fn clear(&self) {
        self.0.clear();
    }
}

impl std::fmt::Debug for Summaries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Summaries")
            .field("octets", &self.octets())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_take_no_more_than_their_limit() {
        let summaries = Summaries::default();
        let of = |octets: usize| {
            Arc::new(Summary {
                preview: "x".repeat(octets),
                ..Summary::default()
            })
        };
        for n in 0..20_000u32 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&n.to_le_bytes());
            summaries.put(hash, &of(2000));
            assert!(summaries.octets() <= SUMMARY_OCTETS_MAX);
        }
        assert!(summaries.octets() > SUMMARY_OCTETS_MAX / 2);
        // One that is larger than all may be is not kept.
        summaries.put([1; 32], &of(SUMMARY_OCTETS_MAX as usize + 1));
        assert!(summaries.get(&[1; 32]).is_none());
        assert!(summaries.octets() <= SUMMARY_OCTETS_MAX);
        summaries.put([2; 32], &of(10));
        assert!(summaries.get(&[2; 32]).is_some());
        summaries.clear();
        assert_eq!(summaries.octets(), 0);
    }
}
