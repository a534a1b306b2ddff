//! A shard as a copy of what was published: which files it is made of, which of them are there, and putting in the others.
//!
//! Holds: a file counts as one of a copy only by its hash, which was computed here, or noted when the copy was put in; the note is
//! taken away before files change, and written when they are all in place. A file that comes in has another name until it is whole,
//! on disk, and has its hash.
//! Other half: `crate::shards` publishes copies, and fetches them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use minicbor::{Decode, Encode};

use super::folder::{FILES_FILE, META_FILE, segment_files};

/// Says which copy a folder is.
const NOTE_FILE: &str = ".copy";
/// Where files come in.
const INCOMING: &str = ".incoming";
/// A file of a shard that is larger than this is none of ours.
pub(super) const FILE_OCTETS_MAX: u64 = 1 << 40;

/// A file of a copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct CopyFile {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub octets: u64,
    /// BLAKE3.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub hash: [u8; 32],
}

/// What a shard was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ShardCopy {
    /// Counted up with each publication.
    #[n(0)]
    pub generation: u64,
    /// The first generation of those that were made one out of the other.
    #[n(1)]
    pub base: u64,
    /// tantivy's list of the segments.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub meta: Vec<u8>,
    #[n(3)]
    pub files: Vec<CopyFile>,
    /// What `SearchIndex::layout` says of an index that it fits into.
    #[n(4)]
    pub layout: (u64, u64),
}

impl ShardCopy {
    /// Whether the names in it are those of files of segments, and lead nowhere else.
    pub fn is_sound(&self) -> bool {
        self.files.iter().all(|file| {
            let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'.';
            // Each ends with a footer of tantivy's.
            (1..=FILE_OCTETS_MAX).contains(&file.octets)
                && !file.name.starts_with('.')
                && file.name != META_FILE
                && file.name.len() <= 128
                && file.name.bytes().all(is_of_name)
        })
    }
}

/// What a shard is made of at the moment: files that are open stay readable when their shard goes on.
#[derive(Debug)]
pub struct Contents {
    pub meta: Vec<u8>,
    /// Names and octets of all files.
    pub files: BTreeMap<String, u64>,
    /// Those that were asked for.
    pub open: Vec<(String, File)>,
}

/// What the note says; `None`: there is none, or it can't be read.
pub(super) fn note(folder: &Path) -> Option<ShardCopy> {
    let octets = fs::read(folder.join(NOTE_FILE)).ok()?;
    minicbor::decode(&octets).ok()
}

pub(super) fn forget_note(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(NOTE_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok(()),
        // What changes files next must not come to the disk before this.
        Ok(()) => File::open(folder)?.sync_all(),
    }
}

pub(super) fn write_note(folder: &Path, copy: &ShardCopy) -> io::Result<()> {
    let octets = minicbor::to_vec(copy).map_err(io::Error::other)?;
    write_atomically(folder, NOTE_FILE, &octets)
}

/// The files of a copy that are neither in the folder nor have come in, each hash once.
pub(super) fn missing(folder: &Path, copy: &ShardCopy) -> io::Result<Vec<CopyFile>> {
    let known = known(folder);
    let mut missing = Vec::new();
    let mut hashes = BTreeSet::new();
    for file in &copy.files {
        let is_there = is_in_place(folder, file, &known)? || has_come(folder, file);
        if !is_there && hashes.insert(file.hash) {
            missing.push(file.clone());
        }
    }
    forget_incoming_but(folder, copy)?;
    Ok(missing)
}

fn known(folder: &Path) -> BTreeMap<String, [u8; 32]> {
    let files = note(folder).map(|copy| copy.files).unwrap_or_default();
    files
        .into_iter()
        .map(|file| (file.name, file.hash))
        .collect()
}

fn is_in_place(
    folder: &Path,
    file: &CopyFile,
    known: &BTreeMap<String, [u8; 32]>,
) -> io::Result<bool> {
    let path = folder.join(&file.name);
    match fs::metadata(&path) {
        Ok(found) if found.len() == file.octets => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    match known.get(&file.name) {
        Some(hash) => Ok(*hash == file.hash),
        // The name of a list of deletions has a number that another node may have come to with other deletions.
        None => Ok(hash_of(&path)? == file.hash),
    }
}

fn hash_of(path: &Path) -> io::Result<[u8; 32]> {
    const OCTETS: usize = 1 << 20;
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut part = vec![0; OCTETS];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(*hasher.finalize().as_bytes()),
            count => hasher.update(&part[..count]),
        };
    }
}

fn incoming(folder: &Path, file: &CopyFile) -> PathBuf {
    folder.join(INCOMING).join(crate::record::hex(&file.hash))
}

fn has_come(folder: &Path, file: &CopyFile) -> bool {
    fs::metadata(incoming(folder, file)).is_ok_and(|found| found.len() == file.octets)
}

/// What came in for another copy, or not whole, goes.
fn forget_incoming_but(folder: &Path, copy: &ShardCopy) -> io::Result<()> {
    let wanted: BTreeSet<PathBuf> = copy
        .files
        .iter()
        .map(|file| incoming(folder, file))
        .collect();
    let entries = match fs::read_dir(folder.join(INCOMING)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if !wanted.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// A file that comes in.
pub struct Incoming {
    file: CopyFile,
    folder: PathBuf,
    partial: PathBuf,
    out: File,
    hasher: blake3::Hasher,
    octets: u64,
}

impl Incoming {
    pub(super) fn begin(folder: &Path, file: &CopyFile) -> io::Result<Self> {
        fs::create_dir_all(folder.join(INCOMING))?;
        let partial = incoming(folder, file).with_extension("part");
        Ok(Self {
            file: file.clone(),
            folder: folder.to_owned(),
            out: File::create(&partial)?,
            partial,
            hasher: blake3::Hasher::new(),
            octets: 0,
        })
    }

    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.hasher.update(octets);
        self.octets += octets.len() as u64;
        self.out.write_all(octets)
    }

    /// It is there, and on disk. `false`: it isn't what it should be, and goes.
    pub fn finish(self) -> io::Result<bool> {
        let is_right =
            self.octets == self.file.octets && *self.hasher.finalize().as_bytes() == self.file.hash;
        if !is_right {
            fs::remove_file(&self.partial)?;
            return Ok(false);
        }
        self.out.sync_all()?;
        fs::rename(&self.partial, incoming(&self.folder, &self.file))?;
        Ok(true)
    }
}

/// Makes the files of the folder those of the copy. `false`: some are missing, and nothing was changed. Nobody may be writing; the note
/// is to be written once the index has been opened.
pub(super) fn put_in(folder: &Path, copy: &ShardCopy) -> io::Result<bool> {
    let known = known(folder);
    let mut moves = Vec::new();
    for file in &copy.files {
        if is_in_place(folder, file, &known)? {
            continue;
        }
        if !has_come(folder, file) {
            return Ok(false);
        }
        moves.push(file);
    }
    forget_note(folder)?;
    for file in moves {
        // Who searches in a former file of this name goes on with that one.
        let from = incoming(folder, file);
        let to = folder.join(&file.name);
        let is_shared = copy
            .files
            .iter()
            .filter(|of| of.hash == file.hash)
            .nth(1)
            .is_some();
        match is_shared {
            false => fs::rename(from, to)?,
            true => {
                fs::copy(&from, &to)?;
                File::open(&to)?.sync_all()?;
            }
        }
    }
    let names = copy.files.iter().map(|file| &*file.name);
    let names: BTreeSet<&str> = names.chain([META_FILE]).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    write_atomically(
        folder,
        FILES_FILE,
        format!("[{}]\n", quoted.join(",")).as_bytes(),
    )?;
    write_atomically(folder, META_FILE, &copy.meta)?;
    for path in segment_files(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_none_or(|name| !names.contains(name)) {
            fs::remove_file(path)?;
        }
    }
    File::open(folder)?.sync_all()?;
    match fs::remove_dir_all(folder.join(INCOMING)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(true),
    }
}

fn write_atomically(folder: &Path, name: &str, octets: &[u8]) -> io::Result<()> {
    let draft = folder.join(format!(".draft-{}", name.trim_start_matches('.')));
    let mut out = File::create(&draft)?;
    out.write_all(octets)?;
    out.sync_all()?;
    fs::rename(&draft, folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_same_name_and_length_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let hash = |octets: &[u8]| *blake3::hash(octets).as_bytes();
        let file = CopyFile {
            name: "a.7.del".into(),
            octets: 4,
            hash: hash(b"mine"),
        };
        let copy = ShardCopy {
            files: vec![file.clone()],
            ..ShardCopy::default()
        };
        let is_missing = || missing(folder.path(), &copy).unwrap() == [file.clone()];
        assert!(is_missing());
        for (there, is_another) in [("ours", true), ("min", true), ("mine", false)] {
            fs::write(folder.path().join(&file.name), there).unwrap();
            assert_eq!(is_missing(), is_another, "{there}");
        }
        // A note of what another copy had there.
        let other = CopyFile {
            hash: hash(b"ours"),
            ..file.clone()
        };
        let noted = ShardCopy {
            files: vec![other],
            ..ShardCopy::default()
        };
        write_note(folder.path(), &noted).unwrap();
        assert!(is_missing());
    }
}
