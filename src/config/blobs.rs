//! Where the octets of messages are kept, and how they are encrypted.
//!
//! Holds: secrets are in files or in the environment, never in here.
//! Other half: `crate::blobs`, which reads them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::values::{Octets, Span};

/// Begins the URL of a bucket.
const S3: &str = "s3://";

/// Blobs outside of the database.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Blobs {
    /// `s3://BUCKET` or `s3://BUCKET/PREFIX`, or a folder.
    pub url: Option<String>,
    /// New ones go there, and `blobs rewrite` moves the others.
    pub outside: bool,
    /// Of at least this size.
    pub threshold: Octets,
    /// Of an S3-compatible service.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    /// A file with the secret in its first line.
    pub secret_access_key_file: Option<PathBuf>,
    pub virtual_hosted: bool,
    pub timeout: Span,
    /// Of the files in the data folder that were fetched last.
    pub cache: Octets,
}

/// Where blobs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobPlace {
    Folder(PathBuf),
    Bucket { name: String, prefix: String },
}

/// Encryption of blobs at rest.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Encryption {
    /// New blobs are encrypted, by the last key; otherwise keys are only for reading.
    pub encrypt: bool,
    pub keys: Vec<EncryptionKey>,
}

/// A key, in one of two places.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EncryptionKey {
    pub id: String,
    /// A file with the key in its first line.
    pub file: Option<PathBuf>,
    /// A variable of the environment.
    pub variable: Option<String>,
}

impl Default for Blobs {
    fn default() -> Blobs {
        Blobs {
            url: None,
            outside: true,
            threshold: Octets(64 << 10),
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key_file: None,
            virtual_hosted: false,
            timeout: Span::seconds(30),
            cache: Octets::mib(1024),
        }
    }
}

impl Default for Encryption {
    fn default() -> Encryption {
        Encryption {
            encrypt: true,
            keys: Vec::new(),
        }
    }
}

impl Blobs {
    /// What the URL says; a relative folder is meant from `data`.
    pub fn place(&self, data: &Path) -> Option<BlobPlace> {
        let url = self.url.as_deref()?;
        let Some(bucket) = url.strip_prefix(S3) else {
            return Some(BlobPlace::Folder(data.join(url)));
        };
        let (name, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
        Some(BlobPlace::Bucket {
            name: name.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        match self.place(Path::new("")) {
            Some(BlobPlace::Bucket { name, .. }) if name.is_empty() => {
                return Err(("store.blobs.url", "the bucket has no name".into()));
            }
            Some(BlobPlace::Folder(folder))
                if folder.as_os_str().is_empty() || folder.to_string_lossy().contains("://") =>
            {
                let why = "this is neither a folder nor s3://BUCKET/PREFIX";
                return Err(("store.blobs.url", why.into()));
            }
            _ => {}
        }
        let is_http = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if self.endpoint.as_deref().is_some_and(|url| !is_http(url)) {
            let why = "an endpoint begins with https:// or http://";
            return Err(("store.blobs.endpoint", why.into()));
        }
        if self.access_key_id.is_some() != self.secret_access_key_file.is_some() {
            let why = "store.blobs.secret-access-key-file and this need each other";
            return Err(("store.blobs.access-key-id", why.into()));
        }
        if self.timeout.0.is_zero() {
            return Err(("store.blobs.timeout", "nobody answers in no time".into()));
        }
        Ok(())
    }
}

impl Encryption {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let is_one = |key: &EncryptionKey| key.file.is_some() != key.variable.is_some();
        match self.keys.iter().find(|key| !is_one(key)) {
            None => Ok(()),
            Some(key) => Err((
                "store.encryption.keys",
                format!("the key \"{}\" needs a file or a variable", key.id),
            )),
        }
    }
}
