//! The key that ID tokens are signed with: RS256 (RFC 7518 §3.3), which every client knows; made once, kept in the store.
//!
//! Holds: nodes that start at the same time end up with one key; nothing shows its private half.
//! Other half: `id_token` signs with it; clients read its public half as a JWK (RFC 7517).

use std::sync::Arc;

use aws_lc_rs::{
    digest,
    encoding::{AsDer as _, Pkcs8V1Der},
    error::Unspecified,
    rand,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use store::{
    engine::{Assertion, Batch},
    keys,
};

use super::{ErrorCode, OAuthError};
use crate::Core;

/// The row that the key is in, as PKCS #8 (RFC 5958).
pub const ROW: &str = "id token key";
const TRIES: usize = 5;
/// RFC 8017, appendix A.1.1: tags of the public key.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// The key, and what clients are told of it.
pub(super) struct SigningKey {
    pair: RsaKeyPair,
    /// Its name: the thumbprint (RFC 7638).
    pub(super) kid: String,
    /// Modulus and exponent, as base64url.
    pub(super) n: String,
    pub(super) e: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Whether these octets are such a key.
pub(crate) fn is_key(pkcs8: &[u8]) -> bool {
    read(pkcs8).is_some()
}

fn read(pkcs8: &[u8]) -> Option<SigningKey> {
    let pair = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
    let (key, _) = member(SEQUENCE, pair.public_key().as_ref())?;
    let (n, rest) = member(INTEGER, key)?;
    let (e, _) = member(INTEGER, rest)?;
    // RFC 7518 §6.3.1: without the zero that says that a number isn't negative.
    let text = |number: &[u8]| {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        BASE64_URL_SAFE_NO_PAD.encode(number)
    };
    let (n, e) = (text(n), text(e));
    // RFC 7638 §3: the members that are needed, in the order of their names.
    let thumbprint = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    let hash = digest::digest(&digest::SHA256, thumbprint.as_bytes());
    let kid = BASE64_URL_SAFE_NO_PAD.encode(hash.as_ref());
    Some(SigningKey { kid, pair, n, e })
}

/// What a tag of DER holds, and what follows it (X.690 §8.1).
fn member(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    if length < 0x80 {
        return rest.split_at_checked(usize::from(length));
    }
    let (octets, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
    let length = octets.iter().try_fold(0_usize, |all, octet| {
        all.checked_mul(256)?.checked_add(usize::from(*octet))
    })?;
    rest.split_at_checked(length)
}

/// A new key, as PKCS #8; it takes a while.
async fn made() -> Option<Vec<u8>> {
    let made = tokio::task::spawn_blocking(|| -> Result<Vec<u8>, Unspecified> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'static> = key.as_der()?;
        Ok(der.as_ref().to_vec())
    });
    made.await.ok()?.ok()
}

impl SigningKey {
    /// RFC 7515 §7.1: header and payload, signed.
    pub(super) fn sign(&self, payload: &str) -> Option<String> {
        let header = format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{}"}}"#, self.kid);
        let mut token = BASE64_URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let random = rand::SystemRandom::new();
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = token.as_bytes();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature)
            .ok()?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }
}

impl Core {
    /// Reads the key, or makes it.
    pub(super) async fn id_token_key(&self) -> Result<Arc<SigningKey>, OAuthError> {
        if let Some(key) = &*self.oauth.key.lock() {
            return Ok(key.clone());
        }
        let row = keys::meta(ROW);
        let unusable =
            || OAuthError::Refused(ErrorCode::ServerError, "there is no key to sign with");
        for _ in 0..TRIES {
            if let Some(stored) = self.engine.get(&row).await? {
                let key = Arc::new(read(&stored).ok_or_else(unusable)?);
                *self.oauth.key.lock() = Some(key.clone());
                return Ok(key);
            }
            let made = made().await.ok_or_else(unusable)?;
            let mut batch = Batch::new();
            batch.assert(Assertion::Absent(row.clone()));
            batch.put(row.clone(), Bytes::from(made));
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                // Another node may have been faster: its key is there now.
                Ok(()) | Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(store::Error::Conflict.into())
    }

    /// The public keys of ID tokens: a JWK Set (RFC 7517 §5), as JSON.
    pub async fn jwks(&self) -> Result<serde_json::Value, OAuthError> {
        let key = self.id_token_key().await?;
        Ok(serde_json::json!({"keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": key.kid,
            "n": key.n,
            "e": key.e,
        }]}))
    }
}
