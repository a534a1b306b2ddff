//! What administrators need beside the changes themselves: on which terms a change is made, and what is remembered of it.
//!
//! Holds: whatever an administrator changes leaves a row of the audit, in the same commit where the change is one; a request that is
//! to be made once is made once, also through `kill -9`; nobody's change is overwritten by one who has not seen it.
//! Other half: `directory` and the others make the changes; `access` says who may.

mod audit;
mod cursor;
mod once;
mod records;
#[cfg(test)]
mod tests;

pub use audit::{AUDIT_KEEP, AUDIT_ROWS_MAX, AuditFilter, AuditRow, Deed, REFUSALS_PER_HOUR_MAX};
pub(crate) use audit::{Audit, COUNT as AUDIT_COUNT, FIELDS_MAX as AUDIT_FIELDS_MAX};
pub use once::{IDEMPOTENCY_KEEP, IDEMPOTENCY_KEYS_MAX, Once};
pub use records::{AuditRecord, ChangedField, OnceRecord, Outcome};

use store::Record;

use crate::{
    Caller, Core,
    access::{self, Operation},
    cluster::NodeInfo,
    directory::DirectoryError,
};

/// Which version of a record somebody has seen: a hash of its octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(pub [u8; 16]);

impl Version {
    pub fn of(record: &impl Record) -> Self {
        let hash = blake3::hash(&record.to_bytes());
        Self(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

/// On which terms a change is made.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Only if the record is still one of these.
    pub expected: Option<Vec<Version>>,
    /// Only if it has not been made before.
    pub once: Option<Once>,
}

impl Terms {
    /// Whether the record is the one that the caller has seen.
    pub(crate) fn check(&self, record: &impl Record) -> Result<(), DirectoryError> {
        match &self.expected {
            Some(expected) if !expected.contains(&Version::of(record)) => {
                Err(DirectoryError::Changed)
            }
            _ => Ok(()),
        }
    }
}

impl Core {
    /// The servers that work over the same database; none, where one has it alone.
    pub async fn nodes(&self, who: &Caller) -> Result<Vec<NodeInfo>, DirectoryError> {
        access::may_run(who, Operation::SeeServer)?;
        match &self.cluster {
            Some(cluster) => Ok(cluster.nodes().await?),
            None => Ok(Vec::new()),
        }
    }
}
