//! Keys of OAuth 2.0: clients, and codes under way.

use super::{Builder, Fields, Subspace, all, prefix};
use crate::engine::{Key, KeyRange};

/// A client, by its id.
pub fn oauth_client(id: &str) -> Key {
    Builder::new(Subspace::OAuthClient).bytes(id.as_bytes()).0
}

pub fn oauth_clients() -> KeyRange {
    all(Subspace::OAuthClient)
}

pub fn decode_oauth_client(key: &[u8]) -> Option<&str> {
    let id = Fields::of(Subspace::OAuthClient, key)?.rest();
    std::str::from_utf8(id).ok().filter(|id| !id.is_empty())
}

/// What is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Pending {
    /// An authorization code, by its id.
    Code = 0,
    /// A device, by its id.
    Device = 1,
    /// The way to a device, by what people type.
    UserCode = 2,
    /// A challenge that a passkey is to answer, by its id.
    Challenge = 3,
}

impl Pending {
    const ALL: [Pending; 4] = [
        Pending::Code,
        Pending::Device,
        Pending::UserCode,
        Pending::Challenge,
    ];
}

pub fn oauth_pending(kind: Pending, id: &[u8]) -> Key {
    Builder::new(Subspace::OAuthPending)
        .u8(kind as u8)
        .bytes(id)
        .0
}

/// All of a kind.
pub fn oauth_pending_of(kind: Pending) -> KeyRange {
    prefix(oauth_pending(kind, &[]))
}

pub fn decode_oauth_pending(key: &[u8]) -> Option<(Pending, &[u8])> {
    let mut fields = Fields::of(Subspace::OAuthPending, key)?;
    let number = fields.u8()?;
    let kind = Pending::ALL
        .into_iter()
        .find(|kind| *kind as u8 == number)?;
    let id = fields.rest();
    (!id.is_empty()).then_some((kind, id))
}
