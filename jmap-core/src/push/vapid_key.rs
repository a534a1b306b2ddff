//! The server's VAPID key: made once, kept in the store.
//!
//! Holds: nodes that start at the same time end up with one key.
//! Other half: `crypto::vapid` signs with it.

use std::sync::Arc;

use bytes::Bytes;
use store::{
    engine::{Assertion, Batch, Engine},
    keys,
};

use super::crypto::{PushCryptoError, VapidKey};
use crate::rng::Rng;

pub(crate) const NAME: &str = "vapid";
const TRIES: usize = 5;

/// Whether the octets are a key.
pub(crate) fn is_readable(octets: &[u8]) -> bool {
    VapidKey::from_pkcs8(octets).is_ok()
}

/// Reads the key, or makes it.
pub(super) async fn load(
    engine: &Arc<dyn Engine>,
    rng: &dyn Rng,
) -> Result<VapidKey, store::Error> {
    let row = keys::meta(NAME);
    let damaged = |error: PushCryptoError| store::Error::Corrupt {
        kind: "VAPID key",
        key: NAME.to_owned(),
        cause: error.to_string(),
    };
    for _ in 0..TRIES {
        if let Some(pkcs8) = engine.get(&row).await? {
            return VapidKey::from_pkcs8(&pkcs8).map_err(damaged);
        }
        let key = VapidKey::generate(rng).map_err(damaged)?;
        let mut batch = Batch::new();
        batch.assert(Assertion::Absent(row.clone()));
        batch.put(row.clone(), Bytes::copy_from_slice(key.pkcs8().expose()));
        match engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => return Ok(key),
            // Another node was faster: its key is there now.
            Err(store::Error::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(store::Error::Conflict)
}
