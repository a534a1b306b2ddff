//! Objects from outside that are kept near: files in a folder, as they are stored outside.
//!
//! Holds: the files have at most the octets that were allowed, each counted as at least [`FILE_OCTETS_MIN`]; whoever reads
//! one compares it with its hash or decrypts it, so one that a crash has cut off is only fetched anew; what is encrypted
//! outside is encrypted here.
//! Other half: `engine` asks here before it goes outside.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::stub::ObjectName;

/// What a small file takes of the disk.
pub const FILE_OCTETS_MIN: u64 = 4096;
/// A file that is being written ends so; it is nobody's after a crash.
const UNFINISHED: &str = ".new";

#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    octets_max: u64,
    known: Mutex<Known>,
}

/// What is there, the one that was used longest ago first.
#[derive(Debug, Default)]
struct Known {
    files: HashMap<ObjectName, Entry>,
    by_use: BTreeMap<u64, ObjectName>,
    octets: u64,
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    octets: u64,
    used: u64,
}

impl Cache {
    /// Takes up what is in the folder, which is made where it isn't there. Blocks.
    pub fn open(folder: PathBuf, octets_max: u64) -> io::Result<Cache> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().and_then(ObjectName::parse);
            let metadata = entry.metadata()?;
            match name {
                Some(name) if metadata.is_file() => {
                    found.push((metadata.modified()?, name, metadata.len()));
                }
                _ if entry
                    .file_name()
                    .as_encoded_bytes()
                    .ends_with(UNFINISHED.as_bytes()) =>
                {
                    fs::remove_file(entry.path())?;
                }
                _ => {}
            }
        }
        found.sort_unstable_by_key(|(modified, _, _)| *modified);
        let cache = Cache {
            folder,
            octets_max,
            known: Mutex::default(),
        };
        for (_, name, octets) in found {
            for gone in cache.known.lock().add(name, octets, octets_max) {
                cache.remove_file(&gone);
            }
        }
        Ok(cache)
    }

    pub async fn get(self: &Arc<Self>, name: ObjectName) -> Option<Bytes> {
        if !self.known.lock().use_again(&name) {
            return None;
        }
        let path = self.path(&name);
        let read = tokio::task::spawn_blocking(move || fs::read(path)).await;
        match read {
            Ok(Ok(octets)) => Some(octets.into()),
            _ => {
                self.forget(name).await;
                None
            }
        }
    }

    /// Keeps an object, if it can; that it can't is no error.
    pub async fn put(self: &Arc<Self>, name: ObjectName, octets: Bytes) {
        if counted(octets.len() as u64) > self.octets_max {
            return;
        }
        let cache = self.clone();
        let kept = tokio::task::spawn_blocking(move || cache.write(name, &octets)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "an object can't be kept near");
        }
    }

    pub async fn forget(self: &Arc<Self>, name: ObjectName) {
        self.known.lock().remove(&name);
        let cache = self.clone();
        let _ = tokio::task::spawn_blocking(move || cache.remove_file(&name)).await;
    }

    fn write(&self, name: ObjectName, octets: &[u8]) -> io::Result<()> {
        let path = self.path(&name);
        // Two may write the same object at once.
        let number = self.known.lock().next_use();
        let unfinished = self.folder.join(format!("{number}{UNFINISHED}"));
        // Not synced: it is compared when it is read.
        let written = fs::write(&unfinished, octets).and_then(|()| {
            let gone = self
                .known
                .lock()
                .add(name, octets.len() as u64, self.octets_max);
            gone.iter().for_each(|gone| self.remove_file(gone));
            fs::rename(&unfinished, &path)
        });
        if written.is_err() {
            self.known.lock().remove(&name);
            let _ = fs::remove_file(&unfinished);
        } else if !self.known.lock().files.contains_key(&name) {
            // It had to go before it was there.
            self.remove_file(&name);
        }
        written
    }

    fn remove_file(&self, name: &ObjectName) {
        if let Err(error) = fs::remove_file(self.path(name))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "an object that was kept near can't be removed");
        }
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.folder.join(Path::new(&name.file()))
    }

    /// Octets of the files, as they are counted.
    #[cfg(test)]
    pub fn octets(&self) -> u64 {
        self.known.lock().octets
    }
}

fn counted(octets: u64) -> u64 {
    octets.max(FILE_OCTETS_MIN)
}

impl Known {
    /// What has to go for it.
    fn add(&mut self, name: ObjectName, octets: u64, octets_max: u64) -> Vec<ObjectName> {
        self.remove(&name);
        let octets = counted(octets);
        let mut gone = Vec::new();
        while self.octets + octets > octets_max
            && let Some((_, oldest)) = self.by_use.first_key_value()
        {
            let oldest = *oldest;
            self.remove(&oldest);
            gone.push(oldest);
        }
        if octets > octets_max {
            gone.push(name);
            return gone;
        }
        let used = self.next_use();
        self.files.insert(name, Entry { octets, used });
        self.by_use.insert(used, name);
        self.octets += octets;
        gone
    }

    fn remove(&mut self, name: &ObjectName) {
        if let Some(entry) = self.files.remove(name) {
            self.by_use.remove(&entry.used);
            self.octets -= entry.octets;
        }
    }

    fn use_again(&mut self, name: &ObjectName) -> bool {
        let used = self.next_use();
        let Some(entry) = self.files.get_mut(name) else {
            return false;
        };
        self.by_use.remove(&entry.used);
        entry.used = used;
        self.by_use.insert(used, *name);
        true
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }
}
