//! A sorted map for keys that come almost always in order: dense, and cheap to change anywhere.
//!
//! Holds: keys ascend within a block and from block to block; no block is empty, or larger than
//! [`BLOCK_ROWS`]. A B-tree that is filled in order is left half empty; this one isn't.

use std::ops::RangeInclusive;

/// Rows of a block: what a change in the middle moves at the most.
const BLOCK_ROWS: usize = 128;

#[derive(Debug, Clone)]
pub struct Blocks<K, V> {
    blocks: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for Blocks<K, V> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
        }
    }
}

/// Where a key is, or where it would go.
enum Place {
    At(usize, usize),
    Before(usize, usize),
}

impl<K: Ord + Copy, V> Blocks<K, V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, key: K) -> Option<&V> {
        match self.place(key) {
            Place::At(block, row) => self.blocks.get(block)?.get(row).map(|(_, value)| value),
            Place::Before(..) => None,
        }
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match self.place(key) {
            Place::At(block, row) => {
                let row = self.blocks.get_mut(block)?.get_mut(row);
                row.map(|(_, value)| value)
            }
            Place::Before(..) => None,
        }
    }

    /// Puts a value in; returns the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (block, row) = match self.place(key) {
            Place::At(block, row) => {
                let old = &mut self.blocks[block][row].1;
                return Some(std::mem::replace(old, value));
            }
            Place::Before(block, row) => (block, row),
        };
        self.len += 1;
        let is_last = block + 1 == self.blocks.len();
        let Some(rows) = self.blocks.get_mut(block) else {
            self.blocks.push(vec![(key, value)]);
            return None;
        };
        if rows.len() < BLOCK_ROWS {
            rows.insert(row, (key, value));
            return None;
        }
        if row == rows.len() && is_last {
            // In order: the full block stays full.
            self.blocks.push(vec![(key, value)]);
            return None;
        }
        let mut upper = rows.split_off(BLOCK_ROWS / 2);
        match row.checked_sub(rows.len()) {
            Some(row) if row > 0 => upper.insert(row, (key, value)),
            _ => rows.insert(row, (key, value)),
        }
        self.blocks.insert(block + 1, upper);
        None
    }

    pub fn remove(&mut self, key: K) -> Option<V> {
        let Place::At(block, row) = self.place(key) else {
            return None;
        };
        self.len -= 1;
        let rows = &mut self.blocks[block];
        let (_, value) = rows.remove(row);
        if rows.is_empty() {
            self.blocks.remove(block);
        } else if rows.len() <= rows.capacity() / 4 {
            self.thin_out(block);
        }
        Some(value)
    }

    /// A block that has become small goes into the next one, or gives its memory back.
    fn thin_out(&mut self, block: usize) {
        let sum = |next: &Vec<(K, V)>| next.len() + self.blocks[block].len();
        if self.blocks.get(block + 1).map(sum) <= Some(BLOCK_ROWS / 2)
            && block + 1 < self.blocks.len()
        {
            let next = self.blocks.remove(block + 1);
            self.blocks[block].extend(next);
        }
        let rows = &mut self.blocks[block];
        rows.shrink_to(rows.len() * 2);
    }

    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter {
            rows: self.blocks.iter().flatten(),
            left: self.len,
        }
    }

    /// The rows of a range of keys, in order.
    pub fn range(&self, keys: RangeInclusive<K>) -> impl Iterator<Item = (K, &V)> {
        let (block, row) = match self.place(*keys.start()) {
            Place::At(block, row) | Place::Before(block, row) => (block, row),
        };
        let first = self.blocks.get(block).and_then(|rows| rows.get(row..));
        let others = self.blocks.get(block + 1..).unwrap_or_default();
        let rows = first.into_iter().flatten().chain(others.iter().flatten());
        rows.map(|(key, value)| (*key, value))
            .take_while(move |(key, _)| key <= keys.end())
    }

    /// Gives back what was taken for rows to come.
    pub fn shrink_to_fit(&mut self) {
        self.blocks.shrink_to_fit();
        if let Some(last) = self.blocks.last_mut() {
            last.shrink_to_fit();
        }
    }

    fn place(&self, key: K) -> Place {
        let starts_before =
            |rows: &Vec<(K, V)>| rows.first().is_some_and(|(first, _)| *first <= key);
        let block = self.blocks.partition_point(starts_before).saturating_sub(1);
        let Some(rows) = self.blocks.get(block) else {
            return Place::Before(0, 0);
        };
        match rows.binary_search_by(|(at, _)| at.cmp(&key)) {
            Ok(row) => Place::At(block, row),
            Err(row) => Place::Before(block, row),
        }
    }
}

/// All rows, in order.
#[derive(Debug)]
pub struct Iter<'b, K, V> {
    rows: std::iter::Flatten<std::slice::Iter<'b, Vec<(K, V)>>>,
    left: usize,
}

impl<'b, K: Copy, V> Iterator for Iter<'b, K, V> {
    type Item = (K, &'b V);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.rows.next()?;
        self.left = self.left.saturating_sub(1);
        Some((*key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Copy, V> ExactSizeIterator for Iter<'_, K, V> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check(blocks: &Blocks<u64, u64>, model: &BTreeMap<u64, u64>) {
        assert_eq!(blocks.len(), model.len());
        let rows: Vec<_> = blocks.iter().map(|(key, value)| (key, *value)).collect();
        let want: Vec<_> = model.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(rows, want);
        assert_eq!(blocks.iter().len(), want.len());
        let sizes = |rows: &Vec<(u64, u64)>| (1..=BLOCK_ROWS).contains(&rows.len());
        assert!(blocks.blocks.iter().all(sizes));
    }

    /// The same changes to a B-tree, from a seed.
    #[test]
    fn it_is_a_sorted_map() {
        for seed in 1..=20u64 {
            let (mut blocks, mut model) = (Blocks::default(), BTreeMap::new());
            let mut dice = seed;
            let mut roll = |sides: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (dice >> 33) % sides
            };
            for step in 0..4000 {
                // In order at first, then anywhere, then mostly fewer.
                let key = if step < 1000 { step } else { roll(3000) };
                let goes = roll(10) < if step < 2500 { 2 } else { 8 };
                if goes {
                    assert_eq!(blocks.remove(key), model.remove(&key), "seed {seed}");
                } else {
                    assert_eq!(blocks.insert(key, step), model.insert(key, step));
                }
                assert_eq!(blocks.get(key), model.get(&key), "seed {seed}");
                assert_eq!(blocks.get_mut(key + 1), model.get_mut(&(key + 1)));
                let (from, to) = (roll(3000), roll(3000));
                if from <= to && step % 50 == 0 {
                    check(&blocks, &model);
                    let rows: Vec<_> = blocks.range(from..=to).map(|(k, v)| (k, *v)).collect();
                    let want: Vec<_> = model.range(from..=to).map(|(k, v)| (*k, *v)).collect();
                    assert_eq!(rows, want, "seed {seed}: {from} to {to}");
                }
            }
            check(&blocks, &model);
            blocks.shrink_to_fit();
            for key in 0..4000 {
                assert_eq!(blocks.remove(key), model.remove(&key), "seed {seed}");
            }
            assert_eq!((blocks.len(), blocks.blocks.len()), (0, 0));
        }
    }

    #[test]
    fn what_comes_in_order_is_dense() {
        let mut blocks = Blocks::default();
        for key in 0..100_000u64 {
            blocks.insert(key, ());
        }
        let capacity: usize = blocks.blocks.iter().map(Vec::capacity).sum();
        assert!(capacity < 100_000 + 2 * BLOCK_ROWS, "{capacity}");
    }

    #[test]
    fn what_is_removed_gives_its_memory_back() {
        let mut blocks = Blocks::default();
        for key in 0..100_000u64 {
            blocks.insert(key, ());
        }
        for key in (0..100_000).filter(|key| key % 100 > 0) {
            blocks.remove(key);
        }
        let capacity: usize = blocks.blocks.iter().map(Vec::capacity).sum();
        assert!(capacity < 5000, "{capacity} for {} rows", blocks.len());
    }
}
