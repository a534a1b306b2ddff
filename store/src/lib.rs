//! Bytes on disk: transactions, keys, records, change log, blobs, search, migration.
//!
//! Holds: what was acknowledged is on disk (invariant 1 of ARCHITECTURE.md).
//! Other half: `jmap-core` says what the bytes mean.

pub mod engine;
pub mod search;
