//! The tree of rows: leaves have rows, nodes have leaves, a snapshot has nodes.
//!
//! Holds: where a leaf or a node ends depends on keys and sizes alone, so rows that have not changed are in the same leaves as before;
//! a row that changed its value changes one leaf.
//! Other half: `snapshot` reads it.

use bytes::Bytes;

use crate::{
    Error, Name,
    records::{Child, Framed as _, NodeRecord},
    writer::{Kind, Writer},
};

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// What a leaf begins with.
const LEAF: &[u8; 8] = b"phleaf01";
/// A leaf has no more octets, unless a single row has.
const LEAF_OCTETS_MAX: usize = 1 << 20;
/// Smaller ones aren't worth it.
const LEAF_OCTETS_MIN: usize = 2 << 10;
/// Leaves of a node: about, and at the most.
const LEAVES: u64 = 256;
const LEAVES_MAX: usize = 2048;
/// Octets of a key.
const KEY_OCTETS_MAX: usize = u16::MAX as usize;

/// Makes the tree out of rows in the order of their keys.
#[derive(Debug, Default)]
pub struct TreeWriter {
    leaf: Vec<u8>,
    leaf_rows: u64,
    leaf_octets: u64,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    node: NodeRecord,
    nodes: Vec<Child>,
}

impl TreeWriter {
    /// Adds a row. `leaf_octets`: how large leaves of such rows should be, about: those that come in at random among
    /// others want small ones.
    pub async fn add(
        &mut self,
        writer: &mut Writer,
        key: &[u8],
        value: &[u8],
        leaf_octets: usize,
    ) -> Result<(), Error> {
        let length = key.len() + value.len() + 6;
        if !self.leaf.is_empty() && self.ends_before(key, length, leaf_octets) {
            self.end_leaf(writer).await?;
        }
        if self.leaf.is_empty() {
            self.leaf.extend_from_slice(LEAF);
            self.first_key = key.to_vec();
        }
        put_row(&mut self.leaf, key, value)?;
        self.leaf_rows += 1;
        self.leaf_octets += (key.len() + value.len()) as u64;
        self.last_key = key.to_vec();
        Ok(())
    }

    fn ends_before(&self, key: &[u8], length: usize, leaf_octets: usize) -> bool {
        let size = self.leaf.len();
        if self.last_key.first() != key.first() || size + length > LEAF_OCTETS_MAX {
            return true;
        }
        size >= LEAF_OCTETS_MIN
            && u128::from(dice(key)) * (leaf_octets as u128) < (length as u128) << 64
    }

    async fn end_leaf(&mut self, writer: &mut Writer) -> Result<(), Error> {
        let leaf = std::mem::take(&mut self.leaf);
        let child = Child {
            first_key: std::mem::take(&mut self.first_key),
            name: Name::of(&leaf),
            rows: std::mem::take(&mut self.leaf_rows),
            octets: std::mem::take(&mut self.leaf_octets),
        };
        writer.put(Kind::Tree, child.name, &leaf).await?;
        let is_last = dice(&child.first_key)
            .rotate_left(32)
            .is_multiple_of(LEAVES);
        self.node.leaves.push(child);
        if is_last || self.node.leaves.len() >= LEAVES_MAX {
            self.end_node(writer).await?;
        }
        Ok(())
    }

    async fn end_node(&mut self, writer: &mut Writer) -> Result<(), Error> {
        let node = std::mem::take(&mut self.node);
        let Some(first) = node.leaves.first() else {
            return Ok(());
        };
        let frame = node.to_frame();
        let child = Child {
            first_key: first.first_key.clone(),
            name: Name::of(&frame),
            rows: node.leaves.iter().map(|leaf| leaf.rows).sum(),
            octets: node.leaves.iter().map(|leaf| leaf.octets).sum(),
        };
        writer.put(Kind::Tree, child.name, &frame).await?;
        self.nodes.push(child);
        Ok(())
    }

    /// The nodes of the snapshot.
    pub async fn finish(mut self, writer: &mut Writer) -> Result<Vec<Child>, Error> {
        if !self.leaf.is_empty() {
            self.end_leaf(writer).await?;
        }
        self.end_node(writer).await?;
        Ok(self.nodes)
    }
}

/// A number that a key always throws.
fn dice(key: &[u8]) -> u64 {
    let hash = blake3::hash(key);
    let first = hash.as_bytes().first_chunk::<8>();
    first.map_or(0, |octets| u64::from_be_bytes(*octets))
}

fn put_row(leaf: &mut Vec<u8>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let too_long = || Error::Storage {
        path: "a row".to_owned(),
        why: "it is longer than a backup can have it".to_owned(),
    };
    let key_length = u16::try_from(key.len()).map_err(|_| too_long())?;
    let value_length = u32::try_from(value.len()).map_err(|_| too_long())?;
    leaf.extend_from_slice(&key_length.to_be_bytes());
    leaf.extend_from_slice(&value_length.to_be_bytes());
    leaf.extend_from_slice(key);
    leaf.extend_from_slice(value);
    Ok(())
}

/// The rows of a leaf.
pub(crate) fn rows(name: &Name, leaf: &Bytes) -> Result<Vec<Row>, Error> {
    let damaged = || Error::damaged(format!("leaf {name}"), "its rows can't be read");
    let mut rest = leaf.strip_prefix(LEAF).ok_or_else(damaged)?;
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (key_length, after) = rest.split_first_chunk::<2>().ok_or_else(damaged)?;
        let (value_length, after) = after.split_first_chunk::<4>().ok_or_else(damaged)?;
        let key_length = usize::from(u16::from_be_bytes(*key_length)).min(KEY_OCTETS_MAX);
        let value_length = u32::from_be_bytes(*value_length) as usize;
        let (key, after) = after.split_at_checked(key_length).ok_or_else(damaged)?;
        let (value, after) = after.split_at_checked(value_length).ok_or_else(damaged)?;
        rows.push((leaf.slice_ref(key), leaf.slice_ref(value)));
        rest = after;
    }
    Ok(rows)
}
