//! The trace: what happened to each message and why, kept for a set time.
//!
//! Holds: a delivery never waits for its trace: records are gathered in memory and written together, so a crash may lose those of the
//! last second; what one message, one peer and all of them together can make it keep is bounded.
//! Other half: `inproc::deliver`, `inproc::submit` and the queue tell what they do; `adapters/smtp` tells whom it refused.

mod methods;
mod notes;
mod read;
mod records;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use notes::{Arrived, Submitted, Told};
pub use notes::{Refusal, id_in};
pub use read::{TraceError, TraceFilter, Traced};
pub use records::{
    TraceHost, TraceKind, TracePlace, TraceRecipient, TraceRecord, TraceSession, TraceSubmission,
};
pub(crate) use write::{COUNT, Trace, index_of};

/// Recipients that one record names; of more it has the number.
pub const RECIPIENTS_MAX: usize = 100;
/// Hosts that one record names.
pub const HOSTS_MAX: usize = 20;
/// Actions and mailboxes of one recipient.
pub const ACTIONS_MAX: usize = 32;
/// Octets of one text of a record.
pub const TEXT_OCTETS_MAX: usize = 400;
/// Records that wait to be written; more are lost.
pub const WAITING_MAX: usize = 20_000;
