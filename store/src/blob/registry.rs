//! Which keys and which place the blobs of a store need: what has to be configured for it to be opened.
//!
//! Holds: no stub is committed that names a key or the place outside unless its row here is there and in use; a row goes
//! only after all stubs were looked through while it was marked, and only if nobody has marked it as in use meanwhile.
//! Other half: `commit` asserts the rows, `rewrite` retires them.

use std::{collections::BTreeMap, sync::Arc};

use minicbor::{Decode, Encode};

use super::{keyring::Keyring, seal::Seal, stub::BlobStub};
use crate::{
    Error, Record,
    engine::{Assertion, Batch, Engine, Key, Page},
    keys,
};

/// What the names of all rows begin with that are about blobs.
pub(super) const PREFIX: &str = "blob-";
const STORE: &str = "blob-store";
const KEY_PREFIX: &str = "blob-key/";
/// Keys that a store may need at once.
pub const KEYS_MAX: usize = 1000;
/// How often a row is tried to be written when others are faster.
const TRIES: usize = 16;

/// A key or a place that blobs need.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UseRecord {
    /// Of a key: what it is known by. Of the place outside: the name of the folder in it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub mark: [u8; 16],
    /// Whether it is still needed is being looked at.
    #[n(1)]
    #[cbor(default)]
    pub is_retiring: bool,
}

impl Record for UseRecord {
    const KIND: &'static str = "key or place of blobs";
}

/// What a stub needs: a row, and what it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    key: Key,
    mark: [u8; 16],
}

impl Need {
    pub fn of_key(id: &str, keyring: &Keyring) -> Option<Need> {
        let mark = keyring.get(id)?.check(id);
        Some(Need {
            key: keys::meta(&format!("{KEY_PREFIX}{id}")),
            mark,
        })
    }

    pub fn of_place(id: [u8; 16]) -> Need {
        Need {
            key: keys::meta(STORE),
            mark: id,
        }
    }

    pub fn of_stub(stub: &BlobStub, keyring: &Keyring, place: Option<[u8; 16]>) -> Vec<Need> {
        let key = |seal: &Seal| Need::of_key(&seal.key, keyring);
        let of_key = stub.seal.as_ref().and_then(key);
        let of_place = stub.nonce.and(place).map(Need::of_place);
        of_key.into_iter().chain(of_place).collect()
    }

    pub fn assertion(&self) -> Assertion {
        Assertion::Equals(self.key.clone(), self.record(false).to_bytes())
    }

    fn record(&self, is_retiring: bool) -> UseRecord {
        UseRecord {
            mark: self.mark,
            is_retiring,
        }
    }

    /// Makes the row say that this is in use; a conflict if it says so of another key or place.
    pub async fn activate(&self, engine: &Arc<dyn Engine>) -> Result<(), Error> {
        self.set(engine, self.record(false)).await
    }

    /// Marks the row, so that whoever still needs it changes it back.
    pub async fn mark_retiring(&self, engine: &Arc<dyn Engine>) -> Result<(), Error> {
        self.set(engine, self.record(true)).await
    }

    async fn set(&self, engine: &Arc<dyn Engine>, to: UseRecord) -> Result<(), Error> {
        let want = to.to_bytes();
        for _ in 0..TRIES {
            let found = engine.get(&self.key).await?;
            if found.as_ref() == Some(&want) {
                return Ok(());
            }
            // Another key under the same id, or another server that has begun a place of its own: theirs is used.
            if let Some(bytes) = &found
                && UseRecord::from_bytes(&self.key, bytes)?.mark != self.mark
            {
                return Err(Error::Conflict);
            }
            let mut batch = Batch::new();
            batch.assert(match found {
                Some(bytes) => Assertion::Equals(self.key.clone(), bytes),
                None => Assertion::Absent(self.key.clone()),
            });
            batch.put(self.key.clone(), want.clone());
            match engine.commit(batch).await.map_err(Error::from) {
                Err(Error::Conflict) => {}
                result => return result,
            }
        }
        Err(Error::Conflict)
    }

    /// Removes a row that is still marked. `false`: somebody needs it.
    pub async fn retire(&self, engine: &Arc<dyn Engine>) -> Result<bool, Error> {
        let mut batch = Batch::new();
        let marked = self.record(true).to_bytes();
        batch
            .assert(Assertion::Equals(self.key.clone(), marked))
            .delete(self.key.clone());
        match engine.commit(batch).await.map_err(Error::from) {
            Ok(()) => Ok(true),
            Err(Error::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The keys that the store needs, with what they are known by.
pub(super) async fn keys_in_use(
    engine: &Arc<dyn Engine>,
) -> Result<BTreeMap<String, [u8; 16]>, Error> {
    let range = keys::prefix(keys::meta(KEY_PREFIX));
    let rows = engine.scan(Page::first(range, KEYS_MAX)).await?;
    let mut found = BTreeMap::new();
    let prefix = keys::meta(KEY_PREFIX).len();
    for (key, bytes) in rows {
        let id = std::str::from_utf8(key.get(prefix..).unwrap_or_default())
            .map_err(|_| Error::bad_key("key of blobs", &key))?;
        found.insert(id.to_owned(), UseRecord::from_bytes(&key, &bytes)?.mark);
    }
    Ok(found)
}

/// The folder of this store in the place outside, if anything is there.
pub(super) async fn place_in_use(engine: &Arc<dyn Engine>) -> Result<Option<[u8; 16]>, Error> {
    let key = keys::meta(STORE);
    let Some(bytes) = engine.get(&key).await? else {
        return Ok(None);
    };
    Ok(Some(UseRecord::from_bytes(&key, &bytes)?.mark))
}
