//! Stores as files: all rows of a database, key by key, compressed.
//!
//! Holds: a dump that was read and written again is the same; it has no secret of anybody but the tests.
//! Other half: `tests/fixtures`, and the tests that open them.

use std::{io, path::Path, sync::Arc};

use store::engine::{Batch, Engine, Page, RocksEngine, RocksOptions};

/// What a dump begins with.
const MAGIC: &[u8] = b"posthorn dump 1\n";
/// Rows of one commit.
const ROWS_PER_BATCH: usize = 1000;

/// Keys and values, in the order of the keys.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// A dump of rows.
pub fn write(rows: &Rows) -> io::Result<Vec<u8>> {
    const LEVEL: i32 = 19;
    let mut plain = MAGIC.to_vec();
    for (key, value) in rows {
        for octets in [key, value] {
            let length = u32::try_from(octets.len()).map_err(|_| invalid("a row is too long"))?;
            plain.extend(length.to_be_bytes());
            plain.extend(octets);
        }
    }
    zstd::encode_all(&plain[..], LEVEL)
}

/// The rows of a dump.
pub fn read(dump: &[u8]) -> io::Result<Rows> {
    let plain = zstd::decode_all(dump)?;
    let mut rest = plain
        .strip_prefix(MAGIC)
        .ok_or_else(|| invalid("it is no dump"))?;
    let mut take = || -> io::Result<Option<Vec<u8>>> {
        if rest.is_empty() {
            return Ok(None);
        }
        let cut = || invalid("the dump is cut off");
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let octets = after.get(..length).ok_or_else(cut)?;
        rest = &after[length..];
        Ok(Some(octets.to_vec()))
    };
    let mut rows = Vec::new();
    while let Some(key) = take()? {
        let value = take()?.ok_or_else(|| invalid("a key has no value"))?;
        rows.push((key, value));
    }
    Ok(rows)
}

/// The embedded database in a data folder, while no server runs over it.
pub fn open(data: &Path) -> Arc<dyn Engine> {
    RocksEngine::open(data.join("db"), &RocksOptions::default())
        .expect("the database can't be opened")
}

/// All rows of a database.
pub async fn rows_of(engine: &Arc<dyn Engine>) -> Rows {
    let everything = Page::first(vec![]..vec![0xff; 64], usize::MAX);
    let rows = engine.scan(everything).await;
    let rows = rows.expect("the database can't be read").into_iter();
    rows.map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

/// Puts rows into an empty database.
pub async fn fill(engine: &Arc<dyn Engine>, rows: &Rows) {
    for rows in rows.chunks(ROWS_PER_BATCH) {
        let mut batch = Batch::new();
        for (key, value) in rows {
            batch.put(key.clone(), value.clone());
        }
        let done = engine.commit(batch).await;
        done.expect("the database can't be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_comes_back_and_one_that_is_cut_is_an_error() {
        let rows = vec![(vec![1], vec![]), (vec![2, 3], vec![4; 100])];
        let dump = write(&rows).expect("no dump");
        assert_eq!(read(&dump).expect("no rows"), rows);
        assert!(read(&dump[..dump.len() - 5]).is_err());
        assert!(read(b"").is_err());
    }
}
