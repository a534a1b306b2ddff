//! The data folder: what is where in it, and what is wrong when it can't be used.
//!
//! Holds: a new folder is its owner's alone; whoever reads the error knows what to do.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use store::engine::EngineError;

/// The places in a data folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn database(&self) -> PathBuf {
        self.0.join("db")
    }

    pub fn search(&self) -> PathBuf {
        self.0.join("search")
    }

    pub fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }

    /// Where a running server takes commands.
    pub fn control_socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Why the data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error(
        "there is no data folder {0}; start the server with `posthorn serve`, or name the folder with --data"
    )]
    Missing(PathBuf),
    #[error(
        "{0} is not a folder; name the data folder with --data, or with `data` in the configuration"
    )]
    NotAFolder(PathBuf),
    #[error(
        "the data folder {0} can't be written: {1}; check its owner and permissions, and that the disk isn't read-only"
    )]
    ReadOnly(PathBuf, io::Error),
    #[error("the data folder {0} can't be used: {1}")]
    Io(PathBuf, io::Error),
    #[error(
        "the data folder {0} is in use by another process, and no server takes commands there; stop that process first"
    )]
    Locked(PathBuf),
    #[error("the store of the data folder {0} can't be opened: {1}")]
    Newer(PathBuf, store::Error),
    #[error("the database in {0} can't be opened: {1}")]
    Database(PathBuf, EngineError),
    #[error("the database can't be opened: {0}")]
    SqlDatabase(EngineError),
    #[error("the password of the database can't be read from {0}: {1}")]
    DatabasePassword(PathBuf, io::Error),
    #[error("the search index in {0} can't be opened: {1}")]
    Search(PathBuf, String),
    #[error("the store in {0} can't be read: {1}")]
    Store(PathBuf, store::Error),
    #[error("{0}")]
    Blobs(String),
    #[error("cluster.notices can't be used: {0}")]
    Notices(String),
    #[error(
        "a backup is being restored here, and not all of it is there: do the same `posthorn restore` again"
    )]
    Restoring,
}

impl Folder {
    /// Makes the folder when it isn't there, for its owner alone.
    pub fn make(path: &Path) -> Result<Folder, FolderError> {
        if !path.exists() {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path);
            made.map_err(|error| not_writable(path, error))?;
        }
        Folder::open(path)
    }

    /// A folder that is there and can be written.
    pub fn open(path: &Path) -> Result<Folder, FolderError> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(FolderError::Missing(path.to_owned()));
            }
            Err(error) => return Err(FolderError::Io(path.to_owned(), error)),
        };
        if !metadata.is_dir() {
            return Err(FolderError::NotAFolder(path.to_owned()));
        }
        if metadata.permissions().mode() & 0o007 != 0 {
            tracing::debug!(folder = %path.display(), "the data folder is open to other users of the machine");
        }
        let probe = path.join(".writable");
        fs::write(&probe, b"")
            .and_then(|()| fs::remove_file(&probe))
            .map_err(|error| not_writable(path, error))?;
        Ok(Folder(path.to_owned()))
    }

    /// What a failure to open the engine means.
    pub fn engine_error(&self, error: EngineError) -> FolderError {
        match error {
            EngineError::Locked(_) => FolderError::Locked(self.0.clone()),
            EngineError::Full(why) => {
                FolderError::ReadOnly(self.0.clone(), io::Error::other(why.to_string()))
            }
            EngineError::Corrupt(_) | EngineError::Io(_) | EngineError::Unavailable(_) => {
                FolderError::Database(self.0.clone(), error)
            }
        }
    }

    pub fn store_error(&self, error: store::Error) -> FolderError {
        match error {
            store::Error::NewerFormat { .. }
            | store::Error::UnfinishedCopy
            | store::Error::NoUpgrade { .. }
            | store::Error::NodesServe => FolderError::Newer(self.0.clone(), error),
            store::Error::Engine(error) => self.engine_error(error),
            store::Error::Conflict | store::Error::Corrupt { .. } => {
                FolderError::Store(self.0.clone(), error)
            }
        }
    }
}

fn not_writable(path: &Path, error: io::Error) -> FolderError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            FolderError::ReadOnly(path.to_owned(), error)
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            FolderError::NotAFolder(path.to_owned())
        }
        _ => FolderError::Io(path.to_owned(), error),
    }
}
