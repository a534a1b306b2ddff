//! Keys of what administrators have done, and of their requests that are made once.

use jmap_types::AccountId;

use super::{BlobHash, Builder, Fields, Subspace, prefix};
use crate::engine::{Key, KeyRange};

/// A deed. `time`: milliseconds since 1970; `number` tells those of one millisecond apart.
pub fn audit(time: u64, number: u64) -> Key {
    Builder::new(Subspace::Audit).u64(time).u64(number).0
}

/// (time, number)
pub fn decode_audit(key: &[u8]) -> Option<(u64, u64)> {
    let mut fields = Fields::of(Subspace::Audit, key)?;
    let pair = (fields.u64()?, fields.u64()?);
    fields.end().map(|()| pair)
}

/// A request of an account, by the hash of its idempotency key.
pub fn idempotency(account: AccountId, key: &BlobHash) -> Key {
    Builder::new(Subspace::Idempotency)
        .u64(account.number())
        .bytes(key)
        .0
}

pub fn idempotency_of(account: AccountId) -> KeyRange {
    prefix(Builder::new(Subspace::Idempotency).u64(account.number()).0)
}

pub fn decode_idempotency(key: &[u8]) -> Option<(AccountId, BlobHash)> {
    let mut fields = Fields::of(Subspace::Idempotency, key)?;
    let pair = (AccountId::new(fields.u64()?), fields.hash()?);
    fields.end().map(|()| pair)
}

/// A ban. `network`: an address, a slash, and the number of bits.
pub fn ban(network: &str) -> Key {
    Builder::new(Subspace::Ban).bytes(network.as_bytes()).0
}

/// The network.
pub fn decode_ban(key: &[u8]) -> Option<&str> {
    let network = Fields::of(Subspace::Ban, key)?.rest();
    let network = std::str::from_utf8(network).ok()?;
    (!network.is_empty()).then_some(network)
}
