//! What a group of batches means for the table, found out without the table.
//!
//! Holds: the result is that of applying the batches one after the other ([`Overlay`]); a batch that can't be applied
//! is answered for itself and disturbs no other.
//! Other half: `committer`, which brings the rows that are asked for, locked.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use bytes::Bytes;

use super::dialect::{Changes, Row, Wanted};
use crate::engine::{
    Assertion, Batch, CommitError, EngineError, KeyRange, Write,
    overlay::{Base, Overlay},
};

pub(super) type Answer = Result<(), CommitError>;

/// What is asked of a key. The larger one stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    Stays,
    Write,
    Value,
}

/// The keys that the batches assert something of, or write.
pub(super) fn wanted(group: &[Batch]) -> Wanted<'_> {
    let mut keys: BTreeMap<&[u8], Want> = BTreeMap::new();
    let mut want = |key, want| {
        let found = keys.entry(key).or_insert(want);
        *found = want.max(*found);
    };
    for batch in group {
        for assertion in &batch.assertions {
            match assertion {
                Assertion::Absent(key) | Assertion::Present(key) => want(key, Want::Stays),
                Assertion::Equals(key, _) => want(key, Want::Value),
                Assertion::RangeEmpty(_) => {}
            }
        }
        for write in &batch.writes {
            match write {
                Write::Put(key, _) | Write::Delete(key) => want(key, Want::Write),
                Write::Add(key, _) => want(key, Want::Value),
                Write::DeleteRange(_) => {}
            }
        }
    }
    let mut wanted = Wanted::default();
    for (key, want) in keys {
        match want {
            Want::Stays => wanted.stays.push(key),
            Want::Write => wanted.writes.push(key),
            Want::Value => wanted.values.push(key),
        }
    }
    wanted
}

/// Whether the group is about keys that it doesn't name. Nobody else may write meanwhile.
pub(super) fn has_ranges(group: &[Batch]) -> bool {
    group.iter().any(|batch| {
        let asserts = |of: &Assertion| matches!(of, Assertion::RangeEmpty(_));
        let writes = |of: &Write| matches!(of, Write::DeleteRange(_));
        batch.assertions.iter().any(asserts) || batch.writes.iter().any(writes)
    })
}

/// What is known of the table.
#[derive(Debug)]
pub(super) struct Found {
    rows: HashMap<Vec<u8>, Option<Bytes>>,
    pages: Vec<FoundPage>,
    missing: RefCell<Option<KeyRange>>,
}

/// All keys of a range.
#[derive(Debug)]
struct FoundPage {
    range: KeyRange,
    keys: Vec<Bytes>,
}

impl Found {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            pages: Vec::new(),
            missing: RefCell::new(None),
        }
    }

    /// The first keys of `range`, as many as were asked for (`limit`), or all of them.
    pub(super) fn add_page(&mut self, mut range: KeyRange, keys: Vec<Bytes>, limit: usize) {
        if let Some(last) = keys.last()
            && keys.len() >= limit
        {
            range.end = [&last[..], &[0]].concat();
        }
        self.pages.push(FoundPage { range, keys });
    }

    fn is_there(&self, key: &[u8]) -> bool {
        self.rows.contains_key(key)
    }
}

impl Base for Found {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        // Who only asks whether it is there gets an empty value.
        let row = self.rows.get(key);
        Ok(row.map(|value| value.clone().unwrap_or_default()))
    }

    fn next_key(&self, from: &[u8], end: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let mut from = from.to_vec();
        while from.as_slice() < end {
            let has = |page: &&FoundPage| page.range.contains(&from);
            let Some(page) = self.pages.iter().find(has) else {
                *self.missing.borrow_mut() = Some(from..end.to_vec());
                return Err(EngineError::Io("the range was not read".into()));
            };
            let next = page.keys.iter().find(|key| key[..] >= from[..]);
            match next {
                Some(key) if key[..] < *end => return Ok(Some(key.to_vec())),
                Some(_) => return Ok(None),
                None => from.clone_from(&page.range.end),
            }
        }
        Ok(None)
    }
}

pub(super) enum Decision<'g> {
    /// The keys of this range have to be known.
    Read(KeyRange),
    Done(Outcome<'g>),
}

pub(super) struct Outcome<'g> {
    /// One for each batch, in their order.
    pub(super) answers: Vec<Answer>,
    pub(super) changes: Changes<'g>,
    /// Something is to be absent that is not put: only with nobody else writing is that sure.
    pub(super) needs_exclusive: bool,
}

pub(super) fn decide<'g>(group: &'g [Batch], found: &Found) -> Decision<'g> {
    let mut bad: BTreeMap<usize, EngineError> = BTreeMap::new();
    'anew: loop {
        let mut overlay = Overlay::default();
        let mut answers: Vec<Answer> = Vec::with_capacity(group.len());
        for (index, batch) in group.iter().enumerate() {
            if let Some(error) = bad.get(&index) {
                answers.push(Err(CommitError::Engine(error.clone())));
                continue;
            }
            match overlay.accept(found, batch) {
                Err(CommitError::Engine(error)) => {
                    if let Some(range) = found.missing.take() {
                        return Decision::Read(range);
                    }
                    // The overlay may hold a part of it.
                    bad.insert(index, error);
                    continue 'anew;
                }
                answer => answers.push(answer),
            }
        }
        let (ranges, points) = overlay.into_parts();
        let accepted = group
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| answer.is_ok());
        let needs_exclusive = accepted
            .flat_map(|(batch, _)| &batch.assertions)
            .any(|assertion| match assertion {
                Assertion::Absent(key) => {
                    !found.is_there(key) && !matches!(points.get(key.as_slice()), Some(Some(_)))
                }
                _ => false,
            });
        return Decision::Done(Outcome {
            answers,
            changes: changes(ranges, points, found),
            needs_exclusive,
        });
    }
}

fn changes<'g>(
    ranges: Vec<&'g KeyRange>,
    points: BTreeMap<&'g [u8], Option<Bytes>>,
    found: &Found,
) -> Changes<'g> {
    let mut changes = Changes {
        ranges,
        ..Changes::default()
    };
    for (key, value) in points {
        match (value, found.is_there(key)) {
            (Some(value), true) => changes.updates.push((key, value)),
            (Some(value), false) => changes.inserts.push((key, value)),
            (None, true) => changes.deletes.push(key),
            (None, false) => changes.absent.push(key),
        }
    }
    changes
}
