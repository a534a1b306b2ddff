//! What a push to a subscription's URL is made of (RFC 8620 §7.2): encryption, identification, and the URL itself.
//! Holds: no I/O. All cryptography is that of the crypto library; here are only the formats around it.
//! Other half: the push worker resolves the host, checks each address with [`endpoint::is_public`] and sends.

pub mod content_coding;
pub mod endpoint;
pub mod message;
pub mod vapid;

pub use endpoint::{EndpointError, EndpointPolicy, PushEndpoint, is_public};
pub use message::{SubscriptionKeys, encrypt};
pub use vapid::VapidKey;

use aws_lc_rs::agreement::{self, ECDH_P256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::rng::Rng;

/// Octets of a P-256 point in uncompressed form (SEC 1 §2.3.3).
pub const P256_POINT_OCTETS: usize = 65;
/// Octets of a P-256 private key.
pub const P256_PRIVATE_OCTETS: usize = 32;

/// Why a push could not be encrypted or signed, or something received is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushCryptoError {
    #[error("p256dh is not an uncompressed P-256 public key in base64url")]
    BadPublicKey,
    #[error("auth is not 16 octets in base64url")]
    BadAuthSecret,
    #[error("the message is longer than {} octets", message::PLAINTEXT_OCTETS_MAX)]
    TooLong,
    #[error("the private key can't be read")]
    BadPrivateKey,
    #[error("the encrypted content is malformed or was not made for this key")]
    BadContent,
    #[error("the signed identification is not valid")]
    BadIdentification,
    #[error("the contact is neither a mailto: nor an https: URI")]
    BadContact,
    #[error("a cryptographic operation failed")]
    Failed,
}

/// Base64url with or without padding: RFC 8620 §7.2 says base64url, and clients differ in what they take that for.
fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Draws a P-256 private key.
fn new_private_key(rng: &dyn Rng) -> Result<agreement::PrivateKey, PushCryptoError> {
    // All but 2^-32 of the numbers are keys. More than a few misses in a row: the generator is broken.
    for _ in 0..8 {
        let mut octets = Zeroizing::new([0; P256_PRIVATE_OCTETS]);
        rng.fill(&mut *octets);
        if let Ok(key) = agreement::PrivateKey::from_private_key(&ECDH_P256, &*octets) {
            return Ok(key);
        }
    }
    Err(PushCryptoError::Failed)
}

fn public_point(key: &agreement::PrivateKey) -> Result<[u8; P256_POINT_OCTETS], PushCryptoError> {
    let public = key
        .compute_public_key()
        .map_err(|_| PushCryptoError::Failed)?;
    public
        .as_ref()
        .try_into()
        .map_err(|_| PushCryptoError::Failed)
}

#[cfg(test)]
mod tests;
