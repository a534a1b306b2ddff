//! The messages of a mailbox by UID, as many readers share them: a copy is a pointer.
//!
//! Holds: UIDs ascend; each block has 1 to [`BLOCK_ROWS`] rows; what a reader has got never changes under it. A change of a list that
//! is shared copies the block that it is in and the list of blocks, so that two versions have all other blocks in common, and their
//! difference is found by looking at those alone that they don't share.

use std::{cmp::Ordering, fmt, ops::Range, sync::Arc};

/// Rows of a block: what a change copies at the most.
const BLOCK_ROWS: usize = 256;

/// UID and email of each message, in UID order.
#[derive(Clone, Default)]
pub struct UidList {
    blocks: Arc<Vec<Block>>,
    len: usize,
}

#[derive(Clone)]
struct Block {
    /// The first UID.
    first: u32,
    /// Rows in the blocks before this one.
    before: u32,
    rows: Arc<Vec<Row>>,
}

/// Packed: 12 octets in place of 16.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct Row {
    uid: u32,
    email: u64,
}

impl Row {
    fn pair(self) -> (u32, u64) {
        (self.uid, self.email)
    }
}

/// What one version has and another one hasn't: UID and email, in UID order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub gone: Vec<(u32, u64)>,
    pub new: Vec<(u32, u64)>,
}

impl UidList {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Messages with smaller UIDs.
    pub fn count_before(&self, uid: u32) -> usize {
        let Some(block) = self.blocks.get(self.block_of(uid)) else {
            return 0;
        };
        block.before as usize + block.rows.partition_point(|row| row.uid < uid)
    }

    /// The place of a UID.
    pub fn position(&self, uid: u32) -> Option<usize> {
        let at = self.count_before(uid);
        (self.get(at)?.0 == uid).then_some(at)
    }

    /// The message in a place.
    pub fn get(&self, at: usize) -> Option<(u32, u64)> {
        self.range(at..at.saturating_add(1)).next()
    }

    pub fn first(&self) -> Option<(u32, u64)> {
        self.get(0)
    }

    pub fn last(&self) -> Option<(u32, u64)> {
        self.get(self.len.checked_sub(1)?)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, u64)> + '_ {
        self.range(0..self.len)
    }

    /// The messages in some places; those that there aren't are left out.
    pub fn range(&self, places: Range<usize>) -> Messages<'_> {
        let end = places.end.min(self.len);
        let after = self
            .blocks
            .partition_point(|block| block.before as usize <= places.start);
        let block = after.saturating_sub(1);
        let before = self.blocks.get(block).map_or(0, |block| block.before);
        Messages {
            blocks: &self.blocks,
            block,
            row: places.start - before as usize,
            left: end.saturating_sub(places.start),
        }
    }

    /// Puts a message in; in the place of the one that has its UID.
    pub fn insert(&mut self, uid: u32, email: u64) {
        let at = self.block_of(uid);
        let row = Row { uid, email };
        let blocks = Arc::make_mut(&mut self.blocks);
        let is_last = at + 1 >= blocks.len();
        let Some(block) = blocks.get_mut(at) else {
            blocks.push(Block::new(0, vec![row]));
            self.len = 1;
            return;
        };
        let place = block.rows.partition_point(|row| row.uid < uid);
        if let Some(same) = block.rows.get(place).filter(|row| row.uid == uid) {
            if same.email != email {
                Arc::make_mut(&mut block.rows)[place] = row;
            }
            return;
        }
        self.len += 1;
        if block.rows.len() < BLOCK_ROWS {
            Arc::make_mut(&mut block.rows).insert(place, row);
            block.first = block.first.min(uid);
        } else if is_last && place == block.rows.len() {
            // In order: the full block stays full.
            let before = block.before + block.rows.len() as u32;
            blocks.push(Block::new(before, vec![row]));
            return;
        } else {
            let mut lower = block.rows.to_vec();
            lower.insert(place, row);
            let upper = lower.split_off(BLOCK_ROWS / 2);
            let before = block.before;
            blocks[at] = Block::new(before, lower);
            blocks.insert(at + 1, Block::new(before, upper));
        }
        count_from(blocks, at);
    }

    /// Takes a message out.
    pub fn remove(&mut self, uid: u32) {
        let Some(at) = self.position(uid) else {
            return;
        };
        let index = self.block_of(uid);
        let blocks = Arc::make_mut(&mut self.blocks);
        let Some(block) = blocks.get_mut(index) else {
            return;
        };
        self.len -= 1;
        let rows = Arc::make_mut(&mut block.rows);
        rows.remove(at - block.before as usize);
        let rest = rows.len();
        let next = blocks.get(index + 1).map_or(0, |next| next.rows.len());
        if rest == 0 {
            blocks.remove(index);
        } else if next > 0 && rest + next <= BLOCK_ROWS / 2 {
            let next = blocks.remove(index + 1);
            Arc::make_mut(&mut blocks[index].rows).extend_from_slice(&next.rows);
        }
        count_from(blocks, index);
        if let Some(block) = blocks.get_mut(index) {
            block.shrink();
        }
    }

    /// What a later version hasn't any more, and what it has beside.
    pub fn difference(&self, later: &UidList) -> Difference {
        let mut difference = Difference::default();
        if Arc::ptr_eq(&self.blocks, &later.blocks) {
            return difference;
        }
        let (mut old, mut new) = (Cursor::new(self), Cursor::new(later));
        loop {
            old.skip_shared(&mut new);
            let order = match (old.row(), new.row()) {
                (None, None) => return difference,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.pair().cmp(&new.pair()),
            };
            if order.is_le() {
                let row = old.take();
                let is_gone = order.is_lt();
                difference.gone.extend(row.filter(|_| is_gone));
            }
            if order.is_ge() {
                let row = new.take();
                let is_new = order.is_gt();
                difference.new.extend(row.filter(|_| is_new));
            }
        }
    }

    /// Gives back what was taken for rows to come.
    pub fn shrink_to_fit(&mut self) {
        let blocks = Arc::make_mut(&mut self.blocks);
        blocks.shrink_to_fit();
        for block in blocks {
            block.shrink();
        }
    }

    /// The block that a UID is in, or would be.
    fn block_of(&self, uid: u32) -> usize {
        let after = self.blocks.partition_point(|block| block.first <= uid);
        after.saturating_sub(1)
    }
}

impl Block {
    fn new(before: u32, rows: Vec<Row>) -> Block {
        Block {
            first: rows.first().map_or(0, |row| row.uid),
            before,
            rows: Arc::new(rows),
        }
    }

    fn shrink(&mut self) {
        let slack = self.rows.capacity() - self.rows.len();
        if slack > self.rows.len()
            && let Some(rows) = Arc::get_mut(&mut self.rows)
        {
            rows.shrink_to_fit();
        }
    }
}

/// Rows have come or gone in a block: those after it are counted anew.
fn count_from(blocks: &mut [Block], at: usize) {
    let before = at.checked_sub(1).and_then(|at| blocks.get(at));
    let mut rows = before.map_or(0, |block| block.before + block.rows.len() as u32);
    for block in blocks.iter_mut().skip(at) {
        block.first = block.rows.first().map_or(0, |row| row.uid);
        block.before = rows;
        rows += block.rows.len() as u32;
    }
}

impl fmt::Debug for UidList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for UidList {
    fn eq(&self, other: &UidList) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for UidList {}

impl FromIterator<(u32, u64)> for UidList {
    fn from_iter<I: IntoIterator<Item = (u32, u64)>>(messages: I) -> UidList {
        let mut list = UidList::default();
        for (uid, email) in messages {
            list.insert(uid, email);
        }
        list
    }
}

/// Some messages in a row.
#[derive(Clone)]
pub struct Messages<'l> {
    blocks: &'l [Block],
    block: usize,
    row: usize,
    left: usize,
}

impl Iterator for Messages<'_> {
    type Item = (u32, u64);

    fn next(&mut self) -> Option<(u32, u64)> {
        self.left = self.left.checked_sub(1)?;
        let mut row = self.blocks.get(self.block)?.rows.get(self.row);
        if row.is_none() {
            (self.block, self.row) = (self.block + 1, 0);
            row = self.blocks.get(self.block)?.rows.first();
        }
        self.row += 1;
        row.map(|row| row.pair())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Messages<'_> {}

/// A place in a list, for comparing it with another one.
struct Cursor<'l> {
    blocks: &'l [Block],
    block: usize,
    row: usize,
}

impl<'l> Cursor<'l> {
    fn new(list: &'l UidList) -> Cursor<'l> {
        Cursor {
            blocks: &list.blocks,
            block: 0,
            row: 0,
        }
    }

    fn row(&self) -> Option<Row> {
        self.blocks.get(self.block)?.rows.get(self.row).copied()
    }

    fn take(&mut self) -> Option<(u32, u64)> {
        let row = self.row()?;
        self.row += 1;
        if self.row >= self.blocks[self.block].rows.len() {
            (self.block, self.row) = (self.block + 1, 0);
        }
        Some(row.pair())
    }

    /// Goes past the blocks that both have.
    fn skip_shared(&mut self, other: &mut Cursor<'_>) {
        while self.row == 0
            && other.row == 0
            && let (Some(one), Some(two)) =
                (self.blocks.get(self.block), other.blocks.get(other.block))
            && Arc::ptr_eq(&one.rows, &two.rows)
        {
            self.block += 1;
            other.block += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check(list: &UidList, model: &BTreeMap<u32, u64>) {
        let want: Vec<(u32, u64)> = model.iter().map(|(uid, email)| (*uid, *email)).collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), want);
        assert_eq!(list.iter().len(), want.len());
        assert_eq!(
            (list.len(), list.last()),
            (want.len(), want.last().copied())
        );
        for at in [0, 1, 7, want.len() / 2, want.len(), want.len() + 1] {
            assert_eq!(list.get(at), want.get(at).copied(), "{at}");
            let some: Vec<_> = list.range(at..at + 300).collect();
            let end = (at + 300).min(want.len());
            assert_eq!(some, want.get(at.min(end)..end).unwrap(), "{at}");
        }
        for uid in (0..40_000).step_by(977) {
            let before = model.range(..uid).count();
            assert_eq!(list.count_before(uid), before, "{uid}");
            let at = model.contains_key(&uid).then_some(before);
            assert_eq!(list.position(uid), at, "{uid}");
        }
        let sizes = |block: &Block| (1..=BLOCK_ROWS).contains(&block.rows.len());
        assert!(list.blocks.iter().all(sizes));
    }

    /// The same changes to a B-tree, from a seed; and older versions stay as they were.
    #[test]
    fn it_is_a_sorted_map_of_which_versions_are_kept() {
        for seed in 1..=12u64 {
            let (mut list, mut model) = (UidList::default(), BTreeMap::new());
            let mut kept: Vec<(UidList, BTreeMap<u32, u64>)> = Vec::new();
            let mut dice = seed;
            let mut roll = |sides: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (dice >> 33) % sides
            };
            for step in 0..6000u32 {
                // In order at first, then anywhere, then mostly fewer.
                let uid = match step < 3000 {
                    true => step * 3 + 1,
                    false => roll(10_000) as u32 + 1,
                };
                if roll(10) < if step < 4000 { 2 } else { 8 } {
                    list.remove(uid);
                    model.remove(&uid);
                } else {
                    list.insert(uid, u64::from(step));
                    model.insert(uid, u64::from(step));
                }
                if step % 997 == 0 {
                    check(&list, &model);
                    kept.push((list.clone(), model.clone()));
                }
            }
            list.shrink_to_fit();
            check(&list, &model);
            for (older, of_then) in &kept {
                check(older, of_then);
                let gone = of_then.iter().filter(|(uid, e)| model.get(uid) != Some(e));
                let new = model.iter().filter(|(uid, e)| of_then.get(uid) != Some(e));
                let want = Difference {
                    gone: gone.map(|(uid, email)| (*uid, *email)).collect(),
                    new: new.map(|(uid, email)| (*uid, *email)).collect(),
                };
                assert_eq!(older.difference(&list), want, "seed {seed}");
            }
            for uid in 0..=10_000 {
                list.remove(uid);
            }
            assert!(list.is_empty() && list.blocks.is_empty());
        }
    }

    #[test]
    fn versions_share_what_has_not_changed() {
        let mut list: UidList = (1..=100_000).map(|uid| (uid, u64::from(uid))).collect();
        assert!(list.blocks.len() <= 100_000 / BLOCK_ROWS + 1);
        let older = list.clone();
        assert!(Arc::ptr_eq(&older.blocks, &list.blocks));
        list.remove(50_000);
        list.insert(100_001, 7);
        let shared = older
            .blocks
            .iter()
            .filter(|block| Arc::strong_count(&block.rows) == 2);
        assert_eq!(shared.count(), older.blocks.len() - 2);
        let want = Difference {
            gone: vec![(50_000, 50_000)],
            new: vec![(100_001, 7)],
        };
        assert_eq!(older.difference(&list), want);
        assert_eq!(older.difference(&older.clone()), Difference::default());
    }
}
