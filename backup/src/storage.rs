//! Where the files of a repository are: a folder, or an object store.
//!
//! Holds: a file is put whole or not at all; in a folder it is on disk when `put` returns, and its owner's alone.

use std::{fmt, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};

use crate::Error;

/// Octets of one file that is read; a pack is far smaller, unless a single blob is larger.
pub const FILE_OCTETS_MAX: u64 = 4 << 30;
/// Files are their owner's alone: a backup has the whole server.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Files by path, such as `packs/ab/abcd`.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug {
    /// Puts a file whole; one of the same path is replaced.
    async fn put(&self, path: &str, octets: Bytes) -> Result<(), Error>;
    /// `None`: there is none.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error>;
    /// Paths and sizes of all files under a folder, or with an empty `under` of all.
    async fn list(&self, under: &str) -> Result<Vec<(String, u64)>, Error>;
    /// One that isn't there is no error.
    async fn delete(&self, path: &str) -> Result<(), Error>;
}

/// Files in an object store, or in a folder by way of one.
#[derive(Debug)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    /// What paths begin with, in the object store.
    prefix: Path,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
}

impl ObjectStorage {
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self {
            store,
            prefix,
            folder: None,
        }
    }

    pub(crate) fn in_folder(store: Arc<dyn ObjectStore>, folder: PathBuf) -> Self {
        Self {
            store,
            prefix: Path::default(),
            folder: Some(folder),
        }
    }

    fn path(&self, path: &str) -> Path {
        let parts = self.prefix.parts();
        let own = path.split('/').filter(|part| !part.is_empty());
        parts
            .map(|part| part.as_ref().to_owned())
            .chain(own.map(str::to_owned))
            .collect()
    }

    /// The umask may leave a file or a folder to others.
    fn close(&self, path: &str) -> std::io::Result<()> {
        let Some(root) = &self.folder else {
            return Ok(());
        };
        let mut at = root.clone();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            let mode = match parts.peek() {
                Some(_) => FOLDER_MODE,
                None => FILE_MODE,
            };
            let permissions = std::fs::metadata(&at)?.permissions();
            if permissions.mode() & 0o777 != mode {
                std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode))?;
            }
        }
        Ok(())
    }
}

fn failed(path: &str, error: impl fmt::Display) -> Error {
    Error::Storage {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    async fn put(&self, path: &str, octets: Bytes) -> Result<(), Error> {
        let put = self.store.put(&self.path(path), octets.into()).await;
        put.map_err(|error| failed(path, error))?;
        self.close(path).map_err(|error| failed(path, error))
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        let found = match self.store.get(&self.path(path)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(path, error)),
        };
        if found.meta.size > FILE_OCTETS_MAX {
            return Err(Error::damaged(
                path,
                "it is larger than any file of a backup",
            ));
        }
        let octets = found.bytes().await;
        octets.map(Some).map_err(|error| failed(path, error))
    }

    async fn list(&self, under: &str) -> Result<Vec<(String, u64)>, Error> {
        let prefix = self.path(under);
        let prefix = (!prefix.as_ref().is_empty()).then_some(&prefix);
        let metas: Vec<_> = self
            .store
            .list(prefix)
            .try_collect()
            .await
            .map_err(|error| failed(under, error))?;
        let own = |meta: &object_store::ObjectMeta| {
            let rest = meta.location.as_ref().strip_prefix(self.prefix.as_ref())?;
            Some((rest.trim_start_matches('/').to_owned(), meta.size))
        };
        Ok(metas.iter().filter_map(own).collect())
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        match self.store.delete(&self.path(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(path, error)),
        }
    }
}
