//! Places in the audit, for whoever pages through it.
//!
//! Holds: a cursor tells nothing of its place to those who have it: the row there may be none that they may see. All nodes read those of
//! each other, also after a restart.
//! Other half: `audit`, which goes on from a place.

use crate::{Core, auth::Secret};

/// What the key is made for: it is another one than that of anything else.
const CONTEXT: &str = "posthorn 2026 places in the audit";
/// Rounds of a Feistel network of functions that can't be told from random ones: four make a permutation that can't be told from a
/// random one either, also by whoever may ask in both directions (Luby and Rackoff).
const ROUNDS: u8 = 4;

/// A place: (time, number).
type Place = (u64, u64);

impl Core {
    /// A place as it may be shown.
    pub fn sealed_place(&self, place: Place) -> [u8; 16] {
        let key = self.place_key();
        let (left, right) = (0..ROUNDS).fold(place, |(left, right), round| {
            (right, left ^ mixed(&key, round, right))
        });
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&left.to_be_bytes());
        octets[8..].copy_from_slice(&right.to_be_bytes());
        octets
    }

    /// The place that was shown so. What never was is some place.
    pub fn opened_place(&self, sealed: [u8; 16]) -> Place {
        let key = self.place_key();
        let number = u128::from_be_bytes(sealed);
        let halves = ((number >> 64) as u64, number as u64);
        (0..ROUNDS).rev().fold(halves, |(left, right), round| {
            (right ^ mixed(&key, round, left), left)
        })
    }

    fn place_key(&self) -> Secret<[u8; 32]> {
        Secret::new(blake3::derive_key(
            CONTEXT,
            self.directory.scram_key.expose(),
        ))
    }
}

fn mixed(key: &Secret<[u8; 32]>, round: u8, half: u64) -> u64 {
    let mut input = [round; 9];
    input[1..].copy_from_slice(&half.to_be_bytes());
    let hash = blake3::keyed_hash(key.expose(), &input);
    let first = hash.as_bytes().first_chunk::<8>().copied();
    first.map_or(0, u64::from_be_bytes)
}
