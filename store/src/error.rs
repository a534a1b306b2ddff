//! What can go wrong below the core.

use crate::{
    engine::{CommitError, EngineError},
    record::hex,
};

/// For the log: it names keys. Nothing of it goes to a client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Somebody else changed what this was built on: read again and try anew.
    #[error("a concurrent change was faster")]
    Conflict,
    /// A record that can't be read. The rest of the account goes on working.
    #[error("the {kind} under key {key} is damaged: {cause}")]
    Corrupt {
        kind: &'static str,
        key: String,
        cause: String,
    },
    #[error(
        "the data folder has format {found}, and this version reads formats up to {known}; a newer version of the server wrote it: install that version, or go back to a backup that was made before the upgrade"
    )]
    NewerFormat { found: u64, known: u64 },
    #[error(
        "it is a copy that was not finished; give the command `posthorn copy` again, or empty it"
    )]
    UnfinishedCopy,
    #[error(
        "the data has format {from}, and this version knows no way from there to format {to}; upgrade with a version between the two first"
    )]
    NoUpgrade { from: u64, to: u64 },
    /// An upgrade would change records under them.
    #[error(
        "the data is to be upgraded, and other nodes serve from it; stop all nodes, and start this one first"
    )]
    NodesServe,
}

impl Error {
    pub fn bad_key(kind: &'static str, key: &[u8]) -> Self {
        Self::Corrupt {
            kind,
            key: hex(key),
            cause: "the key has the wrong shape".into(),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(_) => Self::Conflict,
            CommitError::Engine(error) => Self::Engine(error),
        }
    }
}
