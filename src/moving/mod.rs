//! Moving in and out: imports from IMAP, JMAP, Maildir and mbox, exports to Maildir and mbox, copies from engine to engine.
//!
//! Holds: sources are only read; whatever is cut anywhere is taken up where it was by giving the same command again; memory is bounded by a
//! batch of messages, not by a mailbox; one bad message is listed with its place, and the others go on.
//! Other half: `jmap_core::inproc::{import, export}` write and read the accounts.

pub mod copy;
mod csv;
mod dates;
pub mod export;
mod flags;
pub mod imap;
mod intake;
pub mod jmap;
pub mod maildir;
pub mod mbox;
mod names;
mod protocol;
pub mod serve;
mod session;
mod tally;
#[cfg(test)]
mod tests;

pub use csv::{AccountRow, FILE_OCTETS_MAX as ACCOUNTS_FILE_OCTETS_MAX, read_accounts};
pub use intake::Intake;
pub use session::Destination;
pub use tally::{MovedRow, Tally};

/// Is told now and then how far it is: a sentence.
pub type Progress = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

/// Why a move can't go on: a sentence for the operator. Given again, the command goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("{0}")]
    Refused(String),
    #[error(
        "the server doesn't answer any more ({0}); give the command again, and it goes on where it was"
    )]
    Session(std::io::Error),
    #[error("{place}: {error}")]
    File {
        place: String,
        error: std::io::Error,
    },
    #[error("{0}")]
    Source(String),
}

impl MoveError {
    pub(crate) fn file(path: &std::path::Path, error: std::io::Error) -> MoveError {
        MoveError::File {
            place: path.display().to_string(),
            error,
        }
    }
}
