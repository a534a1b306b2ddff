//! A repository of backups: snapshots of rows and blobs, in a folder or in an object store.
//!
//! Holds: a file is whole under its name, or isn't there; everything is named by its hash; what a snapshot refers to was there before
//! the snapshot, so whoever is killed at any moment leaves a repository that is whole. What is there already isn't stored again.
//! Other half: `README.md` has the format; the binary reads a server into it and out of it.

mod error;
mod index;
mod lock;
mod name;
mod pack;
pub mod place;
mod prune;
mod records;
mod repository;
mod seal;
mod snapshot;
mod storage;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod writer;

pub use self::{
    error::Error,
    index::Index,
    lock::{Lock, LockOwner, LockTimes},
    name::Name,
    prune::{Keep, Pruned, prune},
    records::{Child, FORMAT, Reference, SnapshotRecord, Substitute},
    repository::{Entry, NewRepository, Repository},
    seal::{Encryption, Key},
    snapshot::Snapshot,
    storage::{ObjectStorage, Storage},
    tree::{Row, TreeWriter},
    verify::{Report, VerifyOptions, verify},
    writer::{Counts, Kind, Writer},
};

/// Is told now and then how far it is: a sentence.
pub type Progress<'p> = &'p (dyn Fn(&str) + Send + Sync);
