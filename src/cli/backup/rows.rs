//! What is asked of a server about backups, and what comes of it, as data.

use std::collections::BTreeMap;

use backup::{Encryption, Key, Name, Repository, place::S3Settings};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    backups::{BackupError, Target},
    cli::command::Password,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BackupCommand {
    Run {
        access: RepositoryAccess,
        begins_anew: bool,
    },
    Status,
    BringBack(Box<BringBackCommand>),
}

/// Where a repository is, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RepositoryAccess {
    pub place: String,
    /// Settings of the environment of who asks, some of them secret.
    pub s3: BTreeMap<String, Password>,
    /// Recipients of age, for a new one.
    pub encrypt_to: Vec<String>,
    /// The text of a file of identities.
    pub identity: Option<Password>,
    pub passphrase: Option<Password>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BringBackCommand {
    pub access: RepositoryAccess,
    pub snapshot: WhichSnapshot,
    pub account: String,
    pub into: Option<String>,
    pub mailbox: Option<String>,
    pub message_id: Option<String>,
    pub email: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichSnapshot {
    Last,
    /// The beginning of an id.
    Id(String),
    /// The last one of this time or before: seconds since 1970.
    At(i64),
}

impl RepositoryAccess {
    pub fn target(&self) -> Result<Target, BackupError> {
        let text = |password: &Password| Zeroizing::new(password.0.expose().clone());
        let s3 = self.s3.iter();
        let s3 = s3.map(|(name, value)| (name.clone(), value.0.expose().clone()));
        Ok(Target {
            place: self.place.parse()?,
            s3: S3Settings(s3.collect()),
            encryption: match &self.passphrase {
                Some(passphrase) => Encryption::Passphrase(text(passphrase)),
                None if self.encrypt_to.is_empty() => Encryption::None,
                None => Encryption::Recipients(self.encrypt_to.clone()),
            },
            key: match (&self.passphrase, &self.identity) {
                (Some(passphrase), _) => Key::Passphrase(text(passphrase)),
                (None, Some(identity)) => Key::Identity(text(identity)),
                (None, None) => Key::None,
            },
            begins_anew: false,
        })
    }
}

impl WhichSnapshot {
    pub async fn find(&self, repository: &Repository) -> Result<Name, BackupError> {
        Ok(match self {
            Self::Last => repository.find(None).await?,
            Self::Id(id) => repository.find(Some(id)).await?,
            Self::At(time) => repository.find_at(*time).await?,
        })
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BackupAnswer {
    Made(MadeRow),
    Status(Vec<RepositoryRow>),
    Snapshots(Vec<SnapshotRow>),
    Verified(VerifiedRow),
    Pruned(PrunedRow),
    Restored(RestoredRow),
    BroughtBack(BroughtBackRow),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MadeRow {
    pub snapshot: String,
    pub rows: u64,
    pub row_octets: u64,
    pub blobs: u64,
    pub new_blobs: u64,
    /// What was stored: before it was compressed, and as it is in the repository.
    pub new_octets: u64,
    pub added_octets: u64,
    /// Blobs that the server has lost, or that are damaged.
    pub lost_blobs: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepositoryRow {
    pub place: String,
    pub success: Option<OutcomeRow>,
    /// A later one that failed.
    pub failure: Option<OutcomeRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutcomeRow {
    /// Seconds since 1970.
    pub at: i64,
    pub seconds: u64,
    pub sentence: String,
    pub added_octets: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotRow {
    pub id: String,
    /// Seconds since 1970.
    pub time: i64,
    /// Octets of all that it needs.
    pub pack_octets: u64,
    /// `None`: the repository is encrypted and wasn't opened.
    pub content: Option<ContentRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContentRow {
    pub hostname: String,
    pub version: String,
    pub accounts: u64,
    pub emails: u64,
    pub rows: u64,
    pub blobs: u64,
    pub added_octets: u64,
    pub lost_blobs: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifiedRow {
    pub snapshots: u64,
    pub packs: u64,
    pub rows: u64,
    pub blobs: u64,
    pub unused_files: u64,
    pub is_closed: bool,
    pub problems: Vec<String>,
    pub has_more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrunedRow {
    pub kept: Vec<String>,
    pub removed: Vec<String>,
    pub packs: u64,
    pub octets: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoredRow {
    pub snapshot: String,
    pub restored_rows: u64,
    pub restored_blobs: u64,
    /// Blobs that the server that was backed up had lost.
    pub lost_blobs: u64,
    /// Blobs that can't be read in the backup.
    pub damaged_blobs: u64,
    pub is_queue_held: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BroughtBackRow {
    pub account: String,
    pub made_account: bool,
    pub made_mailboxes: u64,
    /// Mails that were not there any more.
    pub emails: u64,
    /// Mails that were in the trash, or marked as deleted, and are back in their mailboxes.
    pub put_back: u64,
    /// Mails that were there.
    pub already_there: u64,
    /// Mails whose octets the backup hasn't got.
    pub lost: u64,
    /// Identities, Sieve scripts and the like.
    pub others: u64,
    /// Addresses that others have now.
    pub taken_addresses: Vec<String>,
}
