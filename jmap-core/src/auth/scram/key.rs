//! The key that the salts of accounts come from that don't exist: made once, kept in the store.
//!
//! Holds: nodes that start at the same time end up with one key, so that a name has one salt everywhere.

use std::sync::Arc;

use bytes::Bytes;
use store::{
    engine::{Assertion, Batch, Engine},
    keys,
};

use super::KEY_OCTETS;
use crate::{auth::Secret, rng::Rng};

/// The row that the key is in.
pub const NAME: &str = "scram";
const TRIES: usize = 5;

/// Reads the key, or makes it.
pub(crate) async fn load(
    engine: &Arc<dyn Engine>,
    rng: &dyn Rng,
) -> Result<Secret<[u8; KEY_OCTETS]>, store::Error> {
    let row = keys::meta(NAME);
    for _ in 0..TRIES {
        if let Some(stored) = engine.get(&row).await? {
            let key = stored[..].try_into().map_err(|_| store::Error::Corrupt {
                kind: "SCRAM key",
                key: NAME.to_owned(),
                cause: format!("{} octets", stored.len()),
            })?;
            return Ok(Secret::new(key));
        }
        let mut key = [0; KEY_OCTETS];
        rng.fill(&mut key);
        let mut batch = Batch::new();
        batch.assert(Assertion::Absent(row.clone()));
        batch.put(row.clone(), Bytes::copy_from_slice(&key));
        match engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => return Ok(Secret::new(key)),
            // Another node was faster: its key is there now.
            Err(store::Error::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(store::Error::Conflict)
}
