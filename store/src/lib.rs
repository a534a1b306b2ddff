//! Bytes on disk: transactions, keys, records, change log, blobs, search, migration.
//!
//! Holds: what was acknowledged is on disk (invariant 1 of ARCHITECTURE.md).
//! Other half: `jmap-core` says what the bytes mean.

pub mod account;
pub mod blob;
pub mod engine;
mod error;
pub mod format;
pub mod keys;
pub mod log;
pub mod quarantine;
mod record;
pub mod shards;

pub use account::{AccountWriter, Committed, Head, Txn};
pub use error::Error;
pub use log::{Change, ChangeKind};
pub use record::{Record, decode_numbers, numbers};
pub mod search;
