//! RocksDB's errors, which are texts, as [`EngineError`].
//!
//! Holds: whoever reads the error knows what to do: make room, end the other process, restore.
//! Other half: `rocksdb::Error`, which has no more than the text.

use std::path::Path;

use rocksdb::ErrorKind;

use crate::engine::EngineError;

/// What the operating system says (`strerror`) when writing is the matter, not the disk's health.
const FULL_TEXTS: [&str; 6] = [
    "No space left",
    "Disk quota exceeded",
    "File too large",
    "Read-only file system",
    "Permission denied",
    "Space limit reached",
];

const LOCKED_TEXTS: [&str; 2] = ["lock hold by current process", "While lock file"];

pub(super) fn engine_error(error: rocksdb::Error) -> EngineError {
    let text = error.as_ref();
    if contains_any(text, &FULL_TEXTS) {
        return EngineError::Full(text.into());
    }
    match error.kind() {
        ErrorKind::Corruption => EngineError::Corrupt(text.into()),
        _ => EngineError::Io(text.into()),
    }
}

/// As [`engine_error`], for the texts of `DB::open` and of making its folder.
pub(super) fn open_error(path: &Path, text: &str) -> EngineError {
    let folder = path.display();
    if contains_any(text, &FULL_TEXTS) {
        return EngineError::Full(format!("{folder}: {text}").into());
    }
    if contains_any(text, &LOCKED_TEXTS) {
        return EngineError::Locked(format!("{folder}: {text}").into());
    }
    // A database without some of its files is an invalid argument to RocksDB.
    if text.starts_with("Corruption") || text.starts_with("Invalid argument") {
        return EngineError::Corrupt(format!("{folder}: {text}").into());
    }
    EngineError::Io(format!("{folder}: {text}").into())
}

fn contains_any(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| text.contains(part))
}
