//! Backups that nobody has to ask for.
//!
//! Other half: `backups::schedule`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{named_file::NamedFile, values::Span};

/// Without `to`, none is made.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Backup {
    pub to: Option<BackupPlace>,
    pub every: Span,
    /// Recipients of age, for a new repository.
    pub encrypt_to: Vec<String>,
    /// A file with the passphrase of the repository in its first line.
    pub passphrase_file: Option<NamedFile>,
    /// How many snapshots are kept. All 0: all of them.
    pub keep_last: usize,
    pub keep_daily: usize,
    pub keep_weekly: usize,
    pub keep_monthly: usize,
    /// Of S3, in place of what the environment says (`AWS_*`).
    pub s3_endpoint: Option<String>,
    pub s3_region: Option<String>,
    pub s3_access_key_id: Option<String>,
    pub s3_secret_access_key_file: Option<NamedFile>,
}

impl Default for Backup {
    fn default() -> Backup {
        Backup {
            to: None,
            every: Span::seconds(86_400),
            encrypt_to: Vec::new(),
            passphrase_file: None,
            keep_last: 0,
            keep_daily: 0,
            keep_weekly: 0,
            keep_monthly: 0,
            s3_endpoint: None,
            s3_region: None,
            s3_access_key_id: None,
            s3_secret_access_key_file: None,
        }
    }
}

/// A folder, by an absolute path, or `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPlace(pub backup::place::Place);

impl FromStr for BackupPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<BackupPlace, String> {
        let place: backup::place::Place = text
            .parse()
            .map_err(|error: backup::Error| error.to_string())?;
        match &place {
            backup::place::Place::Folder(folder) if folder.is_relative() => Err(format!(
                "\"{text}\": the path of a backup begins with a slash"
            )),
            _ => Ok(BackupPlace(place)),
        }
    }
}

impl fmt::Display for BackupPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for BackupPlace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for BackupPlace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
