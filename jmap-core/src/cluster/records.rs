//! What the store has of nodes and leases.

use minicbor::{Decode, Encode};
use store::Record;

/// A node: written anew with each beat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct NodeRecord {
    /// The number of its process.
    #[n(0)]
    pub session: u64,
    /// Counted up whenever it joins: what was leased before that is not its own any more.
    #[n(1)]
    pub epoch: u64,
    /// Counted up as long as it lives.
    #[n(2)]
    pub beat: u64,
    /// What people call it.
    #[n(3)]
    pub name: String,
    /// When it joined, by its own clock: seconds since 1970. To be shown, not to be compared.
    #[n(4)]
    pub joined: i64,
    #[n(5)]
    pub version: String,
    /// Format and number of shards of the search index that it can build for others; `None`: it doesn't.
    #[n(6)]
    pub search: Option<(u64, u64)>,
}

impl Record for NodeRecord {
    const KIND: &'static str = "node";
}

/// Who does some work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct LeaseRecord {
    #[n(0)]
    pub session: u64,
    #[n(1)]
    pub epoch: u64,
    /// Counted up with each new owner: the fence.
    #[n(2)]
    pub token: u64,
}

impl Record for LeaseRecord {
    const KIND: &'static str = "lease";
}
