//! What the store has of repositories of backups, and of a restore that is under way.

use minicbor::{Decode, Encode};
use store::Record;

/// A repository that this server is backed up to.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct RepositoryRecord {
    /// Where it is, for people.
    #[n(0)]
    pub place: String,
    /// Of an encrypted one: with what names in its index are keyed. A secret.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub naming_key: Option<[u8; 32]>,
    /// The last backup that worked.
    #[n(2)]
    pub success: Option<OutcomeRecord>,
    /// The last one that failed, after that.
    #[n(3)]
    pub failure: Option<OutcomeRecord>,
}

impl Record for RepositoryRecord {
    const KIND: &'static str = "backup repository";
}

impl std::fmt::Debug for RepositoryRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryRecord")
            .field("place", &self.place)
            .field("success", &self.success)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// How a backup ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct OutcomeRecord {
    /// When, in seconds since 1970.
    #[n(0)]
    pub at: i64,
    #[n(1)]
    pub seconds: u64,
    /// What it came to, for people: the snapshot, or why it failed.
    #[n(2)]
    pub sentence: String,
    #[n(3)]
    pub added_octets: u64,
}

/// A restore that has begun and isn't over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct MarkRecord {
    /// What is restored.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub snapshot: [u8; 32],
    /// When it began, in seconds since 1970: what is derived from the time is the same after it was interrupted.
    #[n(1)]
    pub began: i64,
    /// Rows up to this one are there.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub upto: Vec<u8>,
}

impl Record for MarkRecord {
    const KIND: &'static str = "mark of a restore";
}
