//! When large values that were deleted are taken out of the files that have them.
//!
//! Holds: as long as little is garbage, no value is copied because it is old. RocksDB by itself copies the oldest quarter of them, garbage or
//! not, whenever their tables are merged: on a server that is filled, more than what comes in.
//! Other half: the writer, which asks now and then; RocksDB does the work where it merges tables.

use rocksdb::DB;

use super::error::engine_error;
use crate::engine::EngineError;

/// Writes between two looks.
const LOOK_EVERY: u32 = 4096;
/// Of all octets in such files, the part from which on they are cleared, and the part that they are cleared down to.
const GARBAGE_MAX: f64 = 0.25;
const GARBAGE_MIN: f64 = 0.1;
/// Of these files, the part that is cleared: the oldest ones.
const OLDEST: &str = "0.5";
const NONE: &str = "0";

#[derive(Debug, Default)]
pub(super) struct Garbage {
    writes: u32,
    is_cleared: bool,
}

impl Garbage {
    /// A write was made.
    pub fn written(&mut self, db: &DB) {
        if self.writes.is_multiple_of(LOOK_EVERY)
            && let Err(error) = self.look(db)
        {
            tracing::warn!(%error, "it isn't known how much of the blob files is garbage");
        }
        self.writes = self.writes.wrapping_add(1);
    }

    fn look(&mut self, db: &DB) -> Result<(), EngineError> {
        let number = |name: &str| {
            let found = db.property_int_value(name).map_err(engine_error)?;
            Ok::<f64, EngineError>(found.unwrap_or(0) as f64)
        };
        let all = number("rocksdb.live-blob-file-size")?;
        let garbage = number("rocksdb.live-blob-file-garbage-size")?;
        let max = match self.is_cleared {
            true => GARBAGE_MIN,
            false => GARBAGE_MAX,
        };
        let is_cleared = garbage > max * all;
        if is_cleared != self.is_cleared {
            let cutoff = if is_cleared { OLDEST } else { NONE };
            db.set_options(&[("blob_garbage_collection_age_cutoff", cutoff)])
                .map_err(engine_error)?;
            tracing::debug!(all, garbage, is_cleared, "garbage in blob files");
            self.is_cleared = is_cleared;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rocksdb::{Cache, Options};

    use super::{super::RocksOptions, *};

    const VALUES: u32 = 400;

    fn octets(db: &DB) -> u64 {
        let found = db.property_int_value("rocksdb.live-blob-file-size");
        found.expect("a number").expect("some")
    }

    fn write_and_merge(db: &DB) {
        db.flush().expect("flushed");
        db.compact_range::<&[u8], &[u8]>(None, None);
    }

    #[test]
    fn values_are_copied_only_where_much_is_garbage() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options: Options = RocksOptions::default().database(&Cache::new_lru_cache(1 << 20));
        options.create_if_missing(true);
        // Many files, so that there are oldest ones.
        options.set_blob_file_size(100_000);
        let db = DB::open(&options, folder.path()).expect("opens");
        // Octets that can't be compressed, the same each time.
        let mut random = 1_u64;
        let mut value = || -> Vec<u8> {
            let mut next = || {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (random >> 56) as u8
            };
            (0..5000).map(|_| next()).collect()
        };
        for number in 0..VALUES {
            db.put(number.to_be_bytes(), value()).expect("written");
        }
        write_and_merge(&db);
        let full = octets(&db);
        let files = || -> Vec<String> {
            let entries = std::fs::read_dir(folder.path()).expect("a folder");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            let names = names.map(|name| name.to_string_lossy().into_owned());
            let mut blobs: Vec<String> = names.filter(|name| name.ends_with(".blob")).collect();
            blobs.sort();
            blobs
        };
        let before = files();
        let mut garbage = Garbage::default();
        // A tenth goes: nothing is copied for it.
        for number in (0..VALUES).step_by(10) {
            db.delete(number.to_be_bytes()).expect("deleted");
        }
        write_and_merge(&db);
        garbage.look(&db).expect("a look");
        assert!(!garbage.is_cleared);
        db.put(b"more", b"x").expect("written");
        write_and_merge(&db);
        assert_eq!(files(), before);
        // Two of three go.
        for number in (0..VALUES).filter(|number| number % 3 > 0) {
            db.delete(number.to_be_bytes()).expect("deleted");
        }
        write_and_merge(&db);
        for round in 0_u32..20 {
            garbage.look(&db).expect("a look");
            if round == 0 {
                assert!(garbage.is_cleared);
            }
            db.put(b"more", round.to_be_bytes()).expect("written");
            write_and_merge(&db);
        }
        assert!(octets(&db) < full / 2, "{} of {full}", octets(&db));
        assert!(!garbage.is_cleared);
        for number in (0..VALUES).filter(|number| number % 30 == 3) {
            let found = db.get(number.to_be_bytes()).expect("read");
            assert_eq!(found.map(|value| value.len()), Some(5000), "{number}");
        }
    }

    #[test]
    fn it_is_looked_at_now_and_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = RocksOptions::default().database(&Cache::new_lru_cache(1 << 20));
        options.create_if_missing(true);
        let db = DB::open(&options, folder.path()).expect("opens");
        let mut garbage = Garbage {
            is_cleared: true,
            ..Garbage::default()
        };
        garbage.written(&db);
        assert!(!garbage.is_cleared, "at the first write");
        garbage.is_cleared = true;
        for _ in 1..LOOK_EVERY {
            garbage.written(&db);
        }
        assert!(garbage.is_cleared);
        garbage.written(&db);
        assert!(!garbage.is_cleared);
    }
}
