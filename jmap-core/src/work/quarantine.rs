//! The quarantine, for the operator: what was put aside, why, and what becomes of it.
//!
//! Holds: a list doesn't read secrets out; nothing goes but what is named.
//! Other half: `store::quarantine` is the record, `check` and those who find bad rows put things into it.

use bytes::Bytes;
use store::{
    engine::{Assertion, Batch, Page},
    keys::{self, Subspace},
    quarantine::{Aside, QuarantineRecord},
};

use crate::Core;

/// Rows that one list has at most.
pub const ROWS_MAX: usize = 1000;
/// Rows that one page of reading takes: a row may have a whole message.
const ROWS_PER_PAGE: usize = 16;

/// A value that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it was.
    pub key: Vec<u8>,
    /// Which of the values under the key, from 1: the oldest.
    pub entry: usize,
    /// The code of the check's finding; empty: it was put aside before there were codes.
    pub reason: String,
    /// Milliseconds since 1970; 0: not known.
    pub at: i64,
    /// How many.
    pub octets: u64,
}

/// Why something can't be done to the quarantine.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    #[error(
        "there is no such record in the quarantine; name it by its key in hexadecimal, as `posthorn quarantine list` has it"
    )]
    NotFound,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<store::engine::EngineError> for QuarantineError {
    fn from(error: store::engine::EngineError) -> Self {
        Self::Store(error.into())
    }
}

impl Quarantined {
    fn of(aside: &Aside, at: usize) -> Self {
        Self {
            key: aside.key.clone(),
            entry: at + 1,
            reason: aside.reason.clone(),
            at: aside.at,
            octets: aside.octets.len() as u64,
        }
    }

    /// The key in words.
    pub fn key_words(&self) -> String {
        keys::describe(&self.key)
    }
}

impl Core {
    /// What is in the quarantine, by key: at most `limit`, and whether there is more.
    pub async fn quarantined(
        &self,
        limit: usize,
    ) -> Result<(Vec<Quarantined>, bool), QuarantineError> {
        let limit = limit.min(ROWS_MAX);
        let mut found = Vec::new();
        let mut range = keys::all(Subspace::Quarantine);
        loop {
            let page = Page::first(range.clone(), ROWS_PER_PAGE);
            let rows = self.engine.scan(page).await?;
            for (row, value) in &rows {
                let record = QuarantineRecord::read(row, value);
                for (at, aside) in record.entries.iter().enumerate() {
                    if found.len() == limit {
                        return Ok((found, true));
                    }
                    found.push(Quarantined::of(aside, at));
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok((found, false));
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// What was put aside from under a key: each value with its octets.
    pub async fn quarantined_at(
        &self,
        key: &[u8],
    ) -> Result<Vec<(Quarantined, Bytes)>, QuarantineError> {
        let row = keys::quarantine(key);
        let value = self.engine.get(&row).await?;
        let record = value.map(|value| QuarantineRecord::read(&row, &value));
        let record = record.ok_or(QuarantineError::NotFound)?;
        let entries = record.entries.into_iter().enumerate();
        let entry = |(at, aside): (usize, Aside)| {
            let row = Quarantined::of(&aside, at);
            (row, Bytes::from(aside.octets))
        };
        Ok(entries.map(entry).collect())
    }

    /// Takes what was put aside from under a key out for good. Returns how many values that were.
    pub async fn forget_quarantined(&self, key: &[u8]) -> Result<usize, QuarantineError> {
        let row = keys::quarantine(key);
        let Some(value) = self.engine.get(&row).await? else {
            return Err(QuarantineError::NotFound);
        };
        let count = QuarantineRecord::read(&row, &value).entries.len();
        let mut batch = Batch::new();
        // What came to it meanwhile stays.
        batch.assert(Assertion::Equals(row.clone(), value));
        batch.delete(row);
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        Ok(count)
    }
}
