//! A shard as a copy of what was published: giving out its files, and taking in others.
//!
//! Holds: nobody writes to a shard while its files are listed or another copy is put in; who searches goes on in what was there.
//! Other half: `copy` has the folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use tantivy::index::SegmentComponent;

use super::{FORMAT_FILE, FORMAT_VERSION, Shard, format_text, open_index, write_synced};
use crate::search::{
    copy::{self, Contents, CopyFile, Incoming, ShardCopy},
    error::SearchError,
    folder::{META_FILE, segment_files},
};

impl Shard {
    /// What it is a copy of; it may have gone on since.
    pub fn note(&self) -> Option<ShardCopy> {
        copy::note(&self.folder).filter(|copy| copy.layout == self.layout())
    }

    pub fn layout(&self) -> (u64, u64) {
        (u64::from(FORMAT_VERSION), u64::from(self.shards))
    }

    /// It isn't a copy any more.
    pub fn forget_note(&self) -> io::Result<()> {
        copy::forget_note(&self.folder)
    }

    /// What it is now was published. Errors: `Failed`.
    pub fn write_note(&self, of: &ShardCopy) -> Result<(), SearchError> {
        copy::write_note(&self.folder, of).map_err(|error| self.failed(error.to_string()))
    }

    /// What it is made of, with those files open that `wanted` picks of all names. Errors: `NeedsRebuild`, `Failed`.
    pub fn contents(
        &self,
        wanted: impl FnOnce(&BTreeMap<String, u64>) -> BTreeSet<String>,
    ) -> Result<Contents, SearchError> {
        let _writing = self.writing.lock();
        let open = self.ready()?;
        self.guarded(&open, || {
            let meta = fs::read(self.folder.join(META_FILE))?;
            let mut files = BTreeMap::new();
            for segment in open.index.searchable_segment_metas()? {
                let of_segment = segment.id().uuid_string();
                let deletions = segment
                    .has_deletes()
                    .then(|| segment.relative_path(SegmentComponent::Delete));
                for path in copy_files(&self.folder, &of_segment, deletions.as_deref())? {
                    let octets = fs::metadata(self.folder.join(&path))?.len();
                    files.insert(path, octets);
                }
            }
            let mut opened = Vec::new();
            for name in wanted(&files) {
                let file = fs::File::open(self.folder.join(&name))?;
                opened.push((name, file));
            }
            Ok(Contents {
                meta,
                files,
                open: opened,
            })
        })
    }

    /// The files of a copy that aren't here. Errors: `Failed`.
    pub fn missing(&self, of: &ShardCopy) -> Result<Vec<CopyFile>, SearchError> {
        copy::missing(&self.folder, of).map_err(|error| self.failed(error.to_string()))
    }

    /// Takes in one of them. Errors: `Failed`.
    pub fn take_in(&self, file: &CopyFile) -> Result<Incoming, SearchError> {
        Incoming::begin(&self.folder, file).map_err(|error| self.failed(error.to_string()))
    }

    /// Becomes the copy, damaged or not. Errors: `NeedsRebuild` if what was published can't be opened; `Failed`, also with files
    /// missing.
    pub fn put_in(&self, of: &ShardCopy) -> Result<(), SearchError> {
        if of.layout != self.layout() || !of.is_sound() {
            return Err(self.failed("what was published is of another kind".to_owned()));
        }
        let _writing = self.writing.lock();
        let is_closed = self.ready().is_ok_and(|open| open.reader.lock().is_none());
        let put = || {
            let format = format_text(self.shards);
            let file = self.folder.join(FORMAT_FILE);
            if fs::read_to_string(&file).ok().as_ref() != Some(&format) {
                write_synced(&file, &format)?;
            }
            copy::put_in(&self.folder, of)
        };
        match put() {
            Ok(true) => {}
            Ok(false) => return Err(self.failed("files are missing".to_owned())),
            Err(error) => return Err(self.failed(error.to_string())),
        }
        let opened = catch_unwind(AssertUnwindSafe(|| open_index(&self.folder)));
        let opened = opened.unwrap_or_else(|_| Err("panic over damaged files".to_owned()));
        if let (true, Ok(open)) = (is_closed, &opened) {
            // Nobody was searching: what has been read is given back.
            open.reader.lock().take();
        }
        let outcome = match &opened {
            Ok(_) => self.write_note(of),
            Err(reason) => Err(SearchError::NeedsRebuild {
                shard: self.number,
                reason: reason.clone(),
            }),
        };
        *self.state.write() = opened;
        outcome
    }
}

/// The files of a segment that belong to it now.
fn copy_files(
    folder: &Path,
    segment: &str,
    deletions: Option<&Path>,
) -> tantivy::Result<Vec<String>> {
    let mut names = Vec::new();
    for path in segment_files(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let is_list = name.ends_with(".del");
        let is_old = is_list && deletions != Some(Path::new(name));
        if name.starts_with(segment) && !is_old && !name.ends_with(".temp") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
