//! A shard's folder, as tantivy uses it.
//!
//! Holds: tantivy notes each file in a list of its own before it makes the file, by a synced write of the whole list: a
//! dozen for a segment. Here the list is written once, with the segments' names, just before a commit takes effect.
//! What a crash before that leaves behind isn't in the list, and goes when the shard is opened.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tantivy::Index;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, WatchCallback, WatchHandle, WritePtr,
};

/// tantivy's list of the segments, and that of its files.
pub(super) const META_FILE: &str = "meta.json";
pub(super) const FILES_FILE: &str = ".managed.json";
/// The part of a file's name before the dot is its segment: a UUID without hyphens.
const SEGMENT_NAME_OCTETS: usize = 32;

#[derive(Clone, Debug)]
pub(super) struct ShardFolder {
    inner: MmapDirectory,
    /// The list of files, where it isn't written yet.
    files: Arc<Mutex<Option<Vec<u8>>>>,
}

impl ShardFolder {
    pub fn open(path: &Path) -> Result<Self, String> {
        Ok(Self {
            inner: MmapDirectory::open(path).map_err(|error| error.to_string())?,
            files: Arc::default(),
        })
    }
}

impl Directory for ShardFolder {
    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let mut files = self.files.lock();
        if path == Path::new(FILES_FILE) {
            *files = Some(data.to_vec());
            return Ok(());
        }
        if path == Path::new(META_FILE)
            && let Some(list) = files.take()
        {
            self.inner.atomic_write(Path::new(FILES_FILE), &list)?;
        }
        drop(files);
        self.inner.atomic_write(path, data)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        if path == Path::new(FILES_FILE)
            && let Some(list) = &*self.files.lock()
        {
            return Ok(list.clone());
        }
        self.inner.atomic_read(path)
    }

    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.inner.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.inner.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.inner.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.inner.open_write(path)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.inner.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.inner.watch(callback)
    }
}

/// Removes files of segments that are not of the index. Nobody may be writing.
pub(super) fn remove_leftovers(path: &Path, index: &Index) -> Result<(), String> {
    let segments = index.searchable_segment_ids();
    let known: HashSet<String> = segments
        .map_err(|error| error.to_string())?
        .iter()
        .map(|segment| segment.uuid_string())
        .collect();
    for file in segment_files(path).map_err(|error| error.to_string())? {
        let segment = file
            .file_name()
            .and_then(|name| name.to_str()?.get(..SEGMENT_NAME_OCTETS));
        if segment.is_some_and(|segment| !known.contains(segment)) {
            tracing::info!(file = %file.display(), "left behind by an interrupted write, and removed");
            fs::remove_file(&file).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

pub(super) fn segment_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.split('.').next());
        let is_segment = stem.is_some_and(|stem| {
            stem.len() == SEGMENT_NAME_OCTETS && stem.bytes().all(|octet| octet.is_ascii_hexdigit())
        });
        if is_segment {
            files.push(entry.path());
        }
    }
    Ok(files)
}
