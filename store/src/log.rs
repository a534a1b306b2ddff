//! The change log: one row a transaction, in the account's one sequence.
//!
//! Holds: the rows from an old state on, applied in order, lead to the new state.
//! Other half: `account::Txn` writes what this reads.

use std::{collections::BTreeMap, sync::Arc};

use jmap_types::{AccountId, DataType};
use minicbor::{Decode, Encode};

use crate::{
    Error, Record,
    engine::{Engine, Page},
    keys,
};

/// What happened to one object in one transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Encode, Decode)]
pub struct Change {
    /// Number of the `DataType`.
    #[n(0)]
    data_type: u8,
    #[n(1)]
    pub id: u64,
    #[n(2)]
    pub kind: ChangeKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum ChangeKind {
    #[n(0)]
    Created,
    #[n(1)]
    Updated,
    #[n(2)]
    Destroyed,
    /// A Mailbox of which only the counts changed (RFC 8621 §2.2 `updatedProperties`).
    #[n(3)]
    Counts,
}

/// A row of the log.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct LogRow {
    #[n(0)]
    pub changes: Vec<Change>,
    /// Emails that were written without a change that clients hear of, such as one whose `\Deleted` keeps it from JMAP.
    #[n(1)]
    pub unseen: Option<Vec<u64>>,
}

impl Record for LogRow {
    const KIND: &'static str = "log row";
}

impl Change {
    pub fn new(data_type: DataType, id: u64, kind: ChangeKind) -> Self {
        Self {
            data_type: data_type as u8,
            id,
            kind,
        }
    }

    /// `None`: a type that only a newer version knows.
    pub fn data_type(&self) -> Option<DataType> {
        DataType::from_number(self.data_type)
    }
}

/// The net effect of some rows on the objects of one type.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub created: Vec<u64>,
    pub updated: Vec<u64>,
    pub destroyed: Vec<u64>,
    /// All updates were of counts alone.
    pub counts_only: bool,
    /// The last row that is contained.
    pub upto: u64,
    /// There are more rows behind `upto`.
    pub has_more: bool,
}

/// Rows of a log that one page of reading takes.
const ROWS_PER_PAGE: usize = 1000;

/// What happened to the objects of `data_type` in the rows after `since` and up to `head`, and
/// at most `max` objects of it.
///
/// A row isn't split: `max` may be passed by a first row that has more changes than that, and
/// the caller has to refuse then.
pub async fn changes(
    engine: &Arc<dyn Engine>,
    account: AccountId,
    data_type: DataType,
    since: u64,
    head: u64,
    max: usize,
) -> Result<Delta, Error> {
    let mut folded = Folded::default();
    let mut upto = since;
    'pages: while upto < head {
        let range = keys::log_range(account, upto + 1..head + 1);
        let rows = engine.scan(Page::first(range, ROWS_PER_PAGE)).await?;
        let full = rows.len() == ROWS_PER_PAGE;
        for (key, value) in rows {
            let (_, sequence) =
                keys::decode_log(&key).ok_or_else(|| Error::bad_key("log row", &key))?;
            let row = LogRow::from_bytes(&key, &value)?;
            if !folded.objects.is_empty() && folded.objects_with(data_type, &row) > max {
                break 'pages;
            }
            folded.add(data_type, &row);
            upto = sequence;
        }
        if !full {
            upto = head;
        }
    }
    Ok(folded.into_delta(upto, upto < head))
}

/// By object: what it was before the first row, and what it is after the last.
#[derive(Debug, Default)]
struct Folded {
    objects: BTreeMap<u64, (bool, Now)>,
    full_updates: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Now {
    Exists,
    Gone,
}

impl Folded {
    /// How many objects there would be with `row` as well.
    fn objects_with(&self, data_type: DataType, row: &LogRow) -> usize {
        let of_type = row
            .changes
            .iter()
            .filter(|c| c.data_type() == Some(data_type));
        self.objects.len()
            + of_type
                .filter(|c| !self.objects.contains_key(&c.id))
                .count()
    }

    fn add(&mut self, data_type: DataType, row: &LogRow) {
        for change in row
            .changes
            .iter()
            .filter(|c| c.data_type() == Some(data_type))
        {
            let existed = change.kind != ChangeKind::Created;
            let now = if change.kind == ChangeKind::Destroyed {
                Now::Gone
            } else {
                Now::Exists
            };
            self.objects.entry(change.id).or_insert((existed, now)).1 = now;
            self.full_updates |= change.kind == ChangeKind::Updated;
        }
    }

    fn into_delta(self, upto: u64, has_more: bool) -> Delta {
        let mut delta = Delta {
            counts_only: !self.full_updates,
            upto,
            has_more,
            ..Delta::default()
        };
        for (id, object) in self.objects {
            match object {
                (false, Now::Exists) => delta.created.push(id),
                (true, Now::Exists) => delta.updated.push(id),
                (true, Now::Gone) => delta.destroyed.push(id),
                (false, Now::Gone) => {}
            }
        }
        delta
    }
}

#[cfg(test)]
mod tests;
