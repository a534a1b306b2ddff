//! What can go wrong with a repository: sentences for the operator.

/// Names files of the repository, never what is in them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no backup in {0}")]
    Missing(String),
    #[error("there is a backup already")]
    Exists,
    #[error("the folder has other files than those of a backup")]
    NotEmpty,
    #[error(
        "the backup has format {found}, and this version reads formats up to {known}; a newer version of the server made it"
    )]
    Newer { found: u64, known: u64 },
    /// Nothing is wrong with what was read so far; the place doesn't work.
    #[error("{path}: {why}")]
    Storage { path: String, why: String },
    #[error("{path} is damaged: {why}")]
    Damaged { path: String, why: String },
    #[error("{path} is missing")]
    Gone { path: String },
    #[error("the backup is in use: {0}")]
    Locked(String),
    #[error("another process has taken this one for dead and uses the backup; begin again")]
    LockLost,
    #[error(
        "the backup is encrypted: name the file of an age identity with --identity, or of its passphrase with --passphrase-file"
    )]
    NeedsKey,
    #[error("the identity or passphrase doesn't open this backup")]
    WrongKey,
    #[error(
        "this server hasn't got the key that names things in this encrypted backup; name the age identity once with --identity"
    )]
    NeedsNamingKey,
    #[error("the backup was made with other recipients; those of a backup stay as they are")]
    OtherRecipients,
    #[error("the backup isn't encrypted; use another folder for one that is")]
    NotEncrypted,
    #[error("\"{0}\" is no recipient of age; one begins with age1")]
    Recipient(String),
    #[error("the file of the identity has no secret key of age (AGE-SECRET-KEY-1...)")]
    Identity,
    #[error("\"{0}\" is no place for a backup: {1}")]
    Place(String, String),
    #[error("there is no such snapshot: {0}")]
    NoSnapshot(String),
    #[error("{0}")]
    Keep(&'static str),
    #[error("it was interrupted")]
    Interrupted,
}

impl Error {
    /// Whether something of the backup is lost; the rest of it can still be read.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Gone { .. })
    }

    pub(crate) fn damaged(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.into(),
            why: why.into(),
        }
    }
}
