//! Public keys of passkeys, as COSE has them (RFC 9052 §7, RFC 9053 §2 and §7, RFC 8230 §4).
//!
//! Holds: ES256 (over P-256), EdDSA (Ed25519) and RS256 (2048 bits and more), and nothing else.
//! Other half: `super`, which knows what is signed.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use minicbor::{Decode, Decoder, Encode, data::Type};

use super::PasskeyError;

/// The algorithms, best first, by their numbers with IANA.
pub const ALGORITHMS: [i64; 3] = [ES256, EDDSA, RS256];
const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;

/// Labels of a COSE key.
const KTY: i64 = 1;
const ALG: i64 = 3;
const OKP: i64 = 1;
const EC2: i64 = 2;
const RSA: i64 = 3;
const P256: i64 = 1;
const CURVE_ED25519: i64 = 6;
const MEMBERS_MAX: u64 = 16;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PublicKey {
    /// The point, not compressed (SEC 1 §2.3.3).
    #[n(0)]
    Es256(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    #[n(1)]
    EdDsa(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Modulus and exponent, big-endian.
    #[n(2)]
    Rs256(
        #[cbor(n(0), with = "minicbor::bytes")] Vec<u8>,
        #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>,
    ),
}

/// The members of a key that count here.
#[derive(Default)]
struct Members<'m> {
    kty: i64,
    alg: i64,
    /// Label -1: a curve, or a modulus.
    curve: i64,
    modulus: &'m [u8],
    /// Labels -2 and -3.
    x: &'m [u8],
    y: &'m [u8],
}

fn members(octets: &[u8]) -> Option<Members<'_>> {
    let mut decoder = Decoder::new(octets);
    let count = decoder.map().ok()??;
    let mut members = Members::default();
    for _ in 0..count.min(MEMBERS_MAX) {
        let label = decoder.i64().ok()?;
        let is_bytes = decoder.datatype().ok()? == Type::Bytes;
        match (label, is_bytes) {
            (KTY, false) => members.kty = decoder.i64().ok()?,
            (ALG, false) => members.alg = decoder.i64().ok()?,
            (-1, false) => members.curve = decoder.i64().ok()?,
            (-1, true) => members.modulus = decoder.bytes().ok()?,
            (-2, true) => members.x = decoder.bytes().ok()?,
            (-3, true) => members.y = decoder.bytes().ok()?,
            _ => decoder.skip().ok()?,
        }
    }
    Some(members)
}

impl PublicKey {
    /// Reads a COSE key; what follows it is of extensions.
    pub fn read(octets: &[u8]) -> Result<PublicKey, PasskeyError> {
        let of = members(octets).ok_or(PasskeyError::Malformed)?;
        match (of.alg, of.kty, of.curve) {
            (ES256, EC2, P256) if of.x.len() == 32 && of.y.len() == 32 => {
                Ok(PublicKey::Es256([&[4], of.x, of.y].concat()))
            }
            (EDDSA, OKP, CURVE_ED25519) if of.x.len() == 32 => Ok(PublicKey::EdDsa(of.x.to_vec())),
            (RS256, RSA, _) if of.modulus.len() <= 1024 && (1..=8).contains(&of.x.len()) => {
                Ok(PublicKey::Rs256(of.modulus.to_vec(), of.x.to_vec()))
            }
            _ => Err(PasskeyError::Algorithm),
        }
    }

    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), PasskeyError> {
        let verified = match self {
            PublicKey::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(signed, signature)
            }
            PublicKey::EdDsa(key) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature)
            }
            PublicKey::Rs256(n, e) => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                signed,
                signature,
            ),
        };
        verified.map_err(|_| PasskeyError::Signature)
    }
}
