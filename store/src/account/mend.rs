//! What is done to an account whose records are damaged.
//!
//! Holds: a commit of mending asserts the head that it was built on, as every other commit of the account does, so neither this node's
//! transactions nor those of others fall between what it has read and what it writes. With the account's claim (`alone`), others don't
//! even come before it.
//! Other half: `jmap-core`'s check finds out what has to be done.

use bytes::Bytes;
use jmap_types::DataType;

use super::{AccountWriter, Committed, Head};
use crate::{
    Change, Error, Record as _,
    engine::{Assertion, Batch, Page},
    keys::{self, Subspace},
    log::LogRow,
    numbers,
};

impl<E: Send + 'static> AccountWriter<E> {
    /// Whether the account has objects or a log. Without a head it was lost then: to begin at 1 again would give their ids to others.
    pub(super) async fn has_records(&self) -> Result<bool, Error> {
        for subspace in [Subspace::Object, Subspace::Log] {
            let mut start = vec![subspace as u8];
            start.extend_from_slice(&self.account.number().to_be_bytes());
            let page = Page::first(keys::prefix(start), 1).keys_only();
            if !self.engine.scan(page).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn lost_head(&self) -> Error {
        Error::Corrupt {
            kind: Head::KIND,
            key: crate::record::hex(&keys::head(self.account)),
            cause: "it is missing, and the account has records".into(),
        }
    }

    /// Writes `batch` and `head` as one transaction, with a row of the log if there are `changes`. `found`: the head's row as it is on disk.
    /// To be called in a turn, after `drained`; where other nodes write, better `alone`. Whoever has a view of the account loads it anew.
    ///
    /// Returns the head as it was written, and its row. `Conflict`: something has changed meanwhile, and nothing was written.
    pub async fn mend(
        &self,
        found: Option<&Bytes>,
        mut head: Head,
        changes: Vec<Change>,
        mut batch: Batch,
    ) -> Result<(Head, Bytes), Error> {
        let mut building = self.building.lock().await;
        let key = keys::head(self.account);
        batch.assert(match found {
            Some(found) => Assertion::Equals(key.clone(), found.clone()),
            None => Assertion::Absent(key.clone()),
        });
        if let Some(claim) = &building.claim {
            batch.assert(Assertion::Equals(keys::turn(self.account), claim.clone()));
        }
        if !changes.is_empty() {
            head.sequence += 1;
            for data_type in changes.iter().filter_map(Change::data_type) {
                head.set_state(data_type, head.sequence);
            }
            let row = LogRow {
                changes: changes.clone(),
                unseen: None,
            };
            batch.put(keys::log(self.account, head.sequence), row.to_bytes());
            let is_email = |change: &Change| change.data_type() == Some(DataType::Email);
            if changes.iter().any(is_email) {
                batch.put(
                    keys::search_pending(self.account),
                    numbers(&[head.sequence]),
                );
            }
        }
        head.revision = head.revision.map(|revision| revision + 1);
        let bytes = head.to_bytes();
        batch.put(key, bytes.clone());
        // What is known of the head counts no more, whatever becomes of this.
        building.head = None;
        building.base = None;
        let committed = self.engine.commit(batch).await;
        // The view goes; then subscribers hear.
        (self.sink)(self.account, Vec::new());
        committed?;
        if !changes.is_empty() {
            let told = Committed {
                sequence: head.sequence,
                changes,
                events: Vec::new(),
                head: head.clone(),
            };
            (self.sink)(self.account, vec![told]);
        }
        Ok((head, bytes))
    }
}
