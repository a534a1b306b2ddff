//! The store's format version, and the way from older ones.
//!
//! Holds: a data folder of a newer format is refused before anything is read from it.

use std::sync::Arc;

use crate::{
    Error, decode_numbers,
    engine::{Assertion, Batch, Engine},
    keys, numbers,
};

/// The format that this version writes.
pub const FORMAT: u64 = 1;

const KEY: &str = "format";

/// Marks a new store with the current format; refuses a newer one.
pub async fn open(engine: &Arc<dyn Engine>) -> Result<(), Error> {
    let key = keys::meta(KEY);
    let Some(bytes) = engine.get(&key).await? else {
        let mut batch = Batch::new();
        batch
            .assert(Assertion::Absent(key.clone()))
            .put(key, numbers(&[FORMAT]));
        return Ok(engine.commit(batch).await?);
    };
    let [found] = decode_numbers(&key, &bytes)?;
    match found {
        FORMAT => Ok(()),
        newer if newer > FORMAT => Err(Error::NewerFormat {
            found: newer,
            known: FORMAT,
        }),
        // Format 1 is the first: nothing older exists.
        _ => Err(Error::bad_key("format version", &key)),
    }
}
