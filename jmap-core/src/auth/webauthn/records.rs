//! What the store keeps of a passkey: a part of the credential that it is.
//!
//! Holds: numbers of fields are never reused; nothing of it is secret.
//! Other half: `directory::tests::golden` has the bytes of every version.

use minicbor::{Decode, Encode};

use super::key::PublicKey;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Passkey {
    /// As the authenticator calls it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: Vec<u8>,
    #[n(1)]
    pub key: PublicKey,
    /// How often it was used, as it says; 0: it doesn't count.
    #[n(2)]
    pub counter: u32,
    /// The host that it was made for.
    #[n(3)]
    pub rp_id: String,
}
