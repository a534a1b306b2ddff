//! What the store keeps of a DKIM key.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default; nothing shows the private key.
//! Other half: `tests::golden` has the bytes of every version.

use minicbor::{
    Decode, Encode,
    decode::{self, Decoder},
    encode::{self, Encoder, Write},
};
use store::Record;

use crate::auth::Secret;

/// A key that mail of a domain is signed with. Domain and selector are in its key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DkimKeyRecord {
    #[n(0)]
    pub algorithm: DkimAlgorithm,
    /// PKCS #8 (RFC 5958).
    #[cbor(n(1), with = "secret_octets")]
    pub private_key: Secret<Vec<u8>>,
    /// As `p=` has it, before base64: the SubjectPublicKeyInfo of an RSA key, the 32 octets of an Ed25519 key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub public_key: Vec<u8>,
    /// Seconds since 1970.
    #[n(3)]
    pub created: i64,
    #[n(4)]
    pub state: DkimState,
    /// When it came to that state, in seconds since 1970.
    #[n(5)]
    pub since: i64,
}

impl Record for DkimKeyRecord {
    const KIND: &'static str = "DKIM key";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum DkimAlgorithm {
    /// RSA-2048 with SHA-256 (RFC 8301).
    #[n(0)]
    Rsa,
    /// RFC 8463.
    #[n(1)]
    Ed25519,
}

impl DkimAlgorithm {
    pub const ALL: [DkimAlgorithm; 2] = [DkimAlgorithm::Rsa, DkimAlgorithm::Ed25519];

    /// The value of `k=` (RFC 6376 §3.6.1, RFC 8463 §4).
    pub fn name(self) -> &'static str {
        match self {
            DkimAlgorithm::Rsa => "rsa",
            DkimAlgorithm::Ed25519 => "ed25519",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum DkimState {
    /// To be published; it doesn't sign yet.
    #[n(0)]
    Waiting,
    /// Signs.
    #[n(1)]
    Active,
    /// Signs no more, and stays published for the mail that it has signed.
    #[n(2)]
    Retired,
}

/// A secret as a byte string.
pub(crate) mod secret_octets {
    use super::{Decoder, Encoder, Secret, Write, decode, encode};

    pub fn encode<C, W: Write>(
        value: &Secret<Vec<u8>>,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(value.expose())?;
        Ok(())
    }

    pub fn decode<C>(
        decoder: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Secret<Vec<u8>>, decode::Error> {
        Ok(Secret::new(decoder.bytes()?.to_vec()))
    }
}
