//! What the store keeps of administrators' deeds.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default; no secret is in here.
//! Other half: `tests` has the bytes of every version.

use minicbor::{Decode, Encode};
use store::Record;

use crate::Role;

/// A deed: who has done what, to what, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AuditRecord {
    /// 0: the server, or whoever owns its store.
    #[n(0)]
    pub account: u64,
    /// As it was called then.
    #[n(1)]
    pub name: String,
    #[n(2)]
    pub role: Role,
    /// See [`crate::Way::name`].
    #[n(3)]
    pub way: String,
    /// From where; `None`: from this machine.
    #[n(4)]
    pub address: Option<String>,
    /// See [`crate::access::Operation::name`].
    #[n(5)]
    pub operation: String,
    /// The name of what it was done to.
    #[n(6)]
    pub object: String,
    /// Its account, where it is one, or is of one.
    #[n(7)]
    pub of_account: Option<u64>,
    /// The domains that it is of.
    #[n(8)]
    pub domains: Vec<String>,
    #[n(9)]
    pub changes: Vec<ChangedField>,
    #[n(10)]
    pub outcome: Outcome,
    /// Why it was refused.
    #[n(11)]
    pub note: Option<String>,
    /// The credential that the caller has used; 0: none.
    #[n(12)]
    pub credential: u64,
}

impl Record for AuditRecord {
    const KIND: &'static str = "audit";
}

/// A field of an object, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChangedField {
    #[n(0)]
    pub field: String,
    /// `None`: it had no value, or it isn't told.
    #[n(1)]
    pub before: Option<String>,
    #[n(2)]
    pub after: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Outcome {
    #[n(0)]
    Done,
    /// The caller may not do it.
    #[n(1)]
    Refused,
}

impl Outcome {
    pub const ALL: [Self; 2] = [Self::Done, Self::Refused];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// A request that was made, and that is not made again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OnceRecord {
    /// A hash of the request.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub fingerprint: [u8; 32],
    /// The name or the number of what it has made.
    #[n(1)]
    pub made: String,
    /// Seconds since 1970.
    #[n(2)]
    pub at: i64,
}

impl Record for OnceRecord {
    const KIND: &'static str = "request made once";
}
