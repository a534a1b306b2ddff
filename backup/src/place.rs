//! Where a repository is: the path of a folder, or `s3://BUCKET/PREFIX`.
//!
//! Holds: an error has no credentials in it.

use std::{
    collections::BTreeMap,
    fmt, fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use object_store::{
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    local::LocalFileSystem,
};

use crate::{Error, ObjectStorage, Storage};

/// A place that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Folder(PathBuf),
    S3 { bucket: String, prefix: String },
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Err(Error::Place(text.to_owned(), why.to_owned()));
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text.is_empty() {
                true => wrong("it is empty"),
                false => Ok(Self::Folder(PathBuf::from(text))),
            };
        };
        match scheme {
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() || bucket.contains(['@', '?', '#']) {
                    return wrong("write it like s3://bucket/prefix");
                }
                Ok(Self::S3 {
                    bucket: bucket.to_owned(),
                    prefix: prefix.trim_matches('/').to_owned(),
                })
            }
            "file" if rest.starts_with('/') => Ok(Self::Folder(PathBuf::from(rest))),
            _ => wrong("name a folder, or s3://bucket/prefix"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// What S3 has to know beside the place, by the names of the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Settings(pub BTreeMap<String, String>);

// Some of them are secrets.
impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Settings of the environment that S3 is told.
pub const S3_PREFIX: &str = "AWS_";

impl Place {
    /// The files of the place. A folder that isn't there is made, for its owner alone, if `make` is set.
    pub fn storage(&self, settings: &S3Settings, make: bool) -> Result<Arc<dyn Storage>, Error> {
        match self {
            Self::Folder(folder) => self.open_folder(folder, make),
            Self::S3 { bucket, prefix } => self.open_s3(bucket, prefix, settings),
        }
    }

    fn open_folder(&self, folder: &Path, make: bool) -> Result<Arc<dyn Storage>, Error> {
        let wrong = |error: String| Error::Place(self.to_string(), error);
        if !folder.exists() {
            if !make {
                return Err(Error::Missing(self.to_string()));
            }
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder);
            made.map_err(|error| wrong(error.to_string()))?;
        }
        let folder = folder
            .canonicalize()
            .map_err(|error| wrong(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| wrong(error.to_string()))?
            .with_fsync(true);
        Ok(Arc::new(ObjectStorage::in_folder(Arc::new(store), folder)))
    }

    fn open_s3(
        &self,
        bucket: &str,
        prefix: &str,
        settings: &S3Settings,
    ) -> Result<Arc<dyn Storage>, Error> {
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
        for (name, value) in &settings.0 {
            // Those of other tools have names that S3 doesn't know.
            if let Ok(key) = AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase()) {
                builder = builder.with_config(key, value);
            }
        }
        let is_plain = settings
            .0
            .iter()
            .any(|(name, value)| name.starts_with("AWS_ENDPOINT") && value.starts_with("http://"));
        if is_plain {
            builder = builder.with_allow_http(true);
        }
        let store = builder
            .build()
            .map_err(|error| Error::Place(self.to_string(), error.to_string()))?;
        Ok(Arc::new(ObjectStorage::new(Arc::new(store), prefix.into())))
    }
}
