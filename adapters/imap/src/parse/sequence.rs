//! Sequence sets (RFC 9051 §9 sequence-set, RFC 5182).
//!
//! Holds: no zero, and at most [`RANGES_MAX`] ranges, in the order in which they were written.
//! Other half: `encode::set`.

use super::RANGES_MAX;
use super::cursor::{Cursor, Parsed};
use crate::command::{SequenceNumber, SequenceSet};

impl Cursor<'_> {
    pub(crate) fn sequence_number(&mut self, what: &'static str) -> Parsed<SequenceNumber> {
        if self.eat(b'*') {
            return Ok(SequenceNumber::Star);
        }
        self.nz_number(what).map(SequenceNumber::Number)
    }

    pub(crate) fn sequence_set(&mut self) -> Parsed<SequenceSet> {
        if self.eat(b'$') {
            return Ok(SequenceSet::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            if ranges.len() == RANGES_MAX {
                return self.at_most(RANGES_MAX, "ranges in a sequence set");
            }
            let first = self.sequence_number("a sequence set")?;
            let last = if self.eat(b':') {
                self.sequence_number("the end of a range")?
            } else {
                first
            };
            ranges.push((first, last));
            if !self.eat(b',') {
                return Ok(SequenceSet::Ranges(ranges));
            }
        }
    }

    /// RFC 7162 §7: without `*`.
    pub(crate) fn known_set(&mut self) -> Parsed<SequenceSet> {
        let start = self.at;
        let set = self.sequence_set()?;
        let SequenceSet::Ranges(ranges) = &set else {
            return self.want_at(start, "a sequence set of numbers");
        };
        let is_number = |number: &SequenceNumber| matches!(number, SequenceNumber::Number(_));
        if !ranges
            .iter()
            .all(|(first, last)| is_number(first) && is_number(last))
        {
            return self.want_at(start, "a sequence set without *");
        }
        Ok(set)
    }
}

/// A sequence set and nothing else.
pub fn sequence_set(octets: &[u8]) -> Option<SequenceSet> {
    let mut cursor = Cursor::new(octets, super::Mode::default());
    let set = cursor.sequence_set().ok()?;
    cursor.rest().is_empty().then_some(set)
}
