//! The batches that were accepted since the last write to disk, laid over what is there.
//!
//! Holds: an assertion sees every batch accepted before its own and nothing of its own; a
//! batch that is refused leaves no trace; what comes out at the end is the same as applying
//! the accepted batches one after the other.
//! Other half: each engine brings a [`Base`] to look things up in, and writes the result.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;

use super::{Assertion, Batch, CommitError, EngineError, KeyRange, Write};

/// What is on disk (or in memory) below an [`Overlay`].
pub(crate) trait Base {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The first key that is at or after `from` and before `end`.
    fn next_key(&self, from: &[u8], end: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;
}

/// Writes that wait for the disk. Borrows the batches that it was made from.
#[derive(Debug, Default)]
pub(crate) struct Overlay<'b> {
    points: BTreeMap<&'b [u8], Option<Bytes>>,
    ranges: Vec<&'b KeyRange>,
}

impl<'b> Overlay<'b> {
    /// Takes `batch` in when all that it asserts is true of `base` and the batches before.
    ///
    /// After an error other than a conflict the overlay may hold a part of the batch, and
    /// must be thrown away.
    pub(crate) fn accept(&mut self, base: &impl Base, batch: &'b Batch) -> Result<(), CommitError> {
        for (index, assertion) in batch.assertions.iter().enumerate() {
            if !self.holds(base, assertion)? {
                return Err(CommitError::Conflict(index));
            }
        }
        for write in &batch.writes {
            self.write(base, write)?;
        }
        Ok(())
    }

    /// What has to be done: first all keys of each range go, then each point is set or goes.
    pub(crate) fn into_parts(self) -> (Vec<&'b KeyRange>, BTreeMap<&'b [u8], Option<Bytes>>) {
        (self.ranges, self.points)
    }

    fn write(&mut self, base: &impl Base, write: &'b Write) -> Result<(), EngineError> {
        match write {
            Write::Put(key, value) => {
                self.points.insert(key, Some(value.clone()));
            }
            Write::Delete(key) => {
                self.points.insert(key, None);
            }
            Write::DeleteRange(range) => self.delete_range(range),
            Write::Add(key, delta) => {
                let before = self.get(base, key)?;
                let sum = counter(key, before.as_deref())?.saturating_add(*delta);
                self.points
                    .insert(key, Some(Bytes::copy_from_slice(&sum.to_be_bytes())));
            }
        }
        Ok(())
    }

    fn delete_range(&mut self, range: &'b KeyRange) {
        if range.is_empty() {
            return;
        }
        let hidden: Vec<&'b [u8]> = self.points_in(range).map(|(key, _)| key).collect();
        for key in hidden {
            self.points.remove(key);
        }
        self.ranges.push(range);
    }

    fn holds(&self, base: &impl Base, assertion: &Assertion) -> Result<bool, EngineError> {
        Ok(match assertion {
            Assertion::Absent(key) => self.get(base, key)?.is_none(),
            Assertion::Present(key) => self.get(base, key)?.is_some(),
            Assertion::Equals(key, value) => self.get(base, key)?.as_ref() == Some(value),
            Assertion::RangeEmpty(range) => self.range_is_empty(base, range)?,
        })
    }

    fn get(&self, base: &impl Base, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if let Some(value) = self.points.get(key) {
            return Ok(value.clone());
        }
        if self.deleted_range(key).is_some() {
            return Ok(None);
        }
        base.get(key)
    }

    fn range_is_empty(&self, base: &impl Base, range: &KeyRange) -> Result<bool, EngineError> {
        if range.is_empty() {
            return Ok(true);
        }
        if self.points_in(range).any(|(_, value)| value.is_some()) {
            return Ok(false);
        }
        let mut from = range.start.clone();
        while let Some(key) = base.next_key(&from, &range.end)? {
            // A point in this range can only be a delete here.
            if self.points.contains_key(key.as_slice()) {
                from = key;
                from.push(0);
            } else if let Some(deleted) = self.deleted_range(&key) {
                from.clone_from(&deleted.end);
            } else {
                return Ok(false);
            }
            if from >= range.end {
                break;
            }
        }
        Ok(true)
    }

    fn deleted_range(&self, key: &[u8]) -> Option<&'b KeyRange> {
        self.ranges
            .iter()
            .copied()
            .find(|range| range_contains(range, key))
    }

    fn points_in<'s>(
        &'s self,
        range: &'s KeyRange,
    ) -> impl Iterator<Item = (&'b [u8], &'s Option<Bytes>)> {
        let bounds = (
            Bound::Included(range.start.as_slice()),
            Bound::Excluded(range.end.as_slice()),
        );
        self.points
            .range::<[u8], _>(bounds)
            .map(|(key, value)| (*key, value))
    }
}

/// The counter in `value`, which is 0 while there is none.
pub(crate) fn counter(key: &[u8], value: Option<&[u8]>) -> Result<i64, EngineError> {
    let Some(value) = value else { return Ok(0) };
    let octets = <[u8; 8]>::try_from(value).map_err(|_| {
        EngineError::Corrupt(
            format!(
                "the counter {} has {} octets",
                key.escape_ascii(),
                value.len()
            )
            .into(),
        )
    })?;
    Ok(i64::from_be_bytes(octets))
}

fn range_contains(range: &KeyRange, key: &[u8]) -> bool {
    range.start.as_slice() <= key && key < range.end.as_slice()
}
