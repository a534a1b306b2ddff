//! The key that ID tokens are signed with: ES256 (RFC 7518 §3.4), made once, kept in the store.
//!
//! Holds: nodes that start at the same time end up with one key; nothing shows its private half.
//! Other half: `id_token` signs with it; clients read its public half as a JWK (RFC 7517).

use std::sync::Arc;

use aws_lc_rs::{
    digest, rand,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
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
/// Octets of a coordinate of P-256.
const COORDINATE_OCTETS: usize = 32;

/// The key, and what clients are told of it.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    /// Its name: the thumbprint (RFC 7638).
    pub(super) kid: String,
    /// Coordinates, as base64url.
    pub(super) x: String,
    pub(super) y: String,
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
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
    // SEC 1 §2.3.3: an octet that says that the point isn't compressed, and its coordinates.
    let point = pair.public_key().as_ref().strip_prefix(&[4])?;
    let (x, y) = point.split_at_checked(COORDINATE_OCTETS)?;
    let (x, y) = (
        BASE64_URL_SAFE_NO_PAD.encode(x),
        BASE64_URL_SAFE_NO_PAD.encode(y),
    );
    // RFC 7638 §3: the members that are needed, in the order of their names.
    let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let hash = digest::digest(&digest::SHA256, thumbprint.as_bytes());
    Some(SigningKey {
        kid: BASE64_URL_SAFE_NO_PAD.encode(hash.as_ref()),
        pair,
        x,
        y,
    })
}

impl SigningKey {
    /// RFC 7515 §7.1: header and payload, signed.
    pub(super) fn sign(&self, payload: &str) -> Option<String> {
        let header = format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#, self.kid);
        let mut token = BASE64_URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let random = rand::SystemRandom::new();
        let signature = self.pair.sign(&random, token.as_bytes()).ok()?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
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
            let random = rand::SystemRandom::new();
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
            let made = made.map_err(|_| unusable())?;
            let mut batch = Batch::new();
            batch.assert(Assertion::Absent(row.clone()));
            batch.put(row.clone(), Bytes::copy_from_slice(made.as_ref()));
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
            "kty": "EC",
            "crv": "P-256",
            "use": "sig",
            "alg": "ES256",
            "kid": key.kid,
            "x": key.x,
            "y": key.y,
        }]}))
    }
}
