//! The master keys that blobs are encrypted by.
//!
//! Holds: a key is never shown; what is stored of it ([`MasterKey::check`]) doesn't tell it.
//! Other half: the binary reads the keys; `registry` knows which of them the store needs.

use std::{collections::BTreeMap, fmt, sync::Arc};

use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::seal::derive;

/// Octets of a key's id.
pub const KEY_ID_OCTETS_MAX: usize = 32;

/// 32 random octets that nobody else knows.
#[derive(Clone)]
pub struct MasterKey(Arc<Zeroizing<[u8; 32]>>);

/// Why a text is no key: a sentence for the operator, without the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key has 64 hexadecimal digits; `openssl rand -hex 32` makes one")]
    Digits,
    #[error("the id of a key has 1 to 32 letters, digits, \"-\", \"_\" or \".\"")]
    Id,
    #[error("two keys have the same id")]
    Twice,
}

impl MasterKey {
    pub fn new(octets: [u8; 32]) -> MasterKey {
        MasterKey(Arc::new(Zeroizing::new(octets)))
    }

    /// Out of 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<MasterKey, KeyError> {
        let text = text.trim().as_bytes();
        let mut octets = Zeroizing::new([0; 32]);
        let (pairs, rest) = text.as_chunks::<2>();
        if pairs.len() != octets.len() || !rest.is_empty() {
            return Err(KeyError::Digits);
        }
        for (octet, [high, low]) in octets.iter_mut().zip(pairs) {
            *octet = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(MasterKey(Arc::new(octets)))
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What tells this key from another one, and says nothing else about it.
    pub(super) fn check(&self, id: &str) -> [u8; 16] {
        let octets = derive(self, b"posthorn key check", &[id.as_bytes()]);
        let mut check = [0; 16];
        check.copy_from_slice(&octets[..16]);
        check
    }
}

fn digit(octet: u8) -> Result<u8, KeyError> {
    let digit = char::from(octet).to_digit(16).ok_or(KeyError::Digits)?;
    Ok(digit as u8)
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// All keys, by their ids, and the one that new blobs are encrypted by.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: BTreeMap<String, MasterKey>,
    newest: Option<String>,
}

impl Keyring {
    /// Nothing is encrypted, and nothing that is can be read.
    pub fn none() -> Keyring {
        Keyring::default()
    }

    /// Adds a key, which is the newest one from now on.
    pub fn add(&mut self, id: &str, key: MasterKey) -> Result<(), KeyError> {
        let is_of_id = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if id.is_empty() || id.len() > KEY_ID_OCTETS_MAX || !id.bytes().all(is_of_id) {
            return Err(KeyError::Id);
        }
        if self.keys.insert(id.to_owned(), key).is_some() {
            return Err(KeyError::Twice);
        }
        self.newest = Some(id.to_owned());
        Ok(())
    }

    /// Keys are for reading alone from now on.
    pub fn encrypt_no_more(&mut self) {
        self.newest = None;
    }

    pub fn get(&self, id: &str) -> Option<&MasterKey> {
        self.keys.get(id)
    }

    /// The key for new blobs.
    pub fn newest(&self) -> Option<(&str, &MasterKey)> {
        let id = self.newest.as_deref()?;
        Some((id, self.keys.get(id)?))
    }
}

/// The keys of an open store: others may join them while it works, and none goes.
#[derive(Clone, Debug)]
pub(super) struct SharedKeyring(Arc<RwLock<Arc<Keyring>>>);

impl SharedKeyring {
    pub fn new(keyring: Keyring) -> SharedKeyring {
        SharedKeyring(Arc::new(RwLock::new(Arc::new(keyring))))
    }

    pub fn now(&self) -> Arc<Keyring> {
        self.0.read().clone()
    }

    /// What `newer` says counts from now on. Keys that it doesn't have stay for what is under way. Errors: the id of a key that is
    /// another one than before; then nothing has changed.
    pub fn join(&self, mut newer: Keyring) -> Result<(), String> {
        let mut keyring = self.0.write();
        for (id, key) in &keyring.keys {
            let joined = newer.keys.entry(id.clone()).or_insert_with(|| key.clone());
            if joined.check(id) != key.check(id) {
                return Err(id.clone());
            }
        }
        *keyring = Arc::new(newer);
        Ok(())
    }
}
