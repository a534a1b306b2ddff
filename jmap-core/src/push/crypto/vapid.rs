//! Voluntary identification of this server to push services (VAPID, RFC 8292).
//! Holds: a signature names one push service and expires within a day, so that it is of little use to whoever gets it.
//! Other half: the push worker sends the header; `applicationServerKey` of the session (RFC 9749) is the public key,
//! with which a client restricts its subscription to this server.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::endpoint::PushEndpoint;
use super::{P256_POINT_OCTETS, PushCryptoError, decode_base64url, new_private_key};
use crate::auth::secret::Secret;
use crate::clock::UtcMillis;
use crate::rng::Rng;

/// How long a signature is good for. RFC 8292 §2: no more than 24 hours; half of it leaves room for wrong clocks.
pub const VALID_FOR: Duration = Duration::from_secs(12 * 60 * 60);
/// The longest that [`verify`] accepts.
pub const VALID_FOR_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest contact, in octets.
pub const CONTACT_OCTETS_MAX: usize = 512;
/// Longest header value that [`verify`] looks at, in octets.
pub const AUTHORIZATION_OCTETS_MAX: usize = 4096;

const JWT_HEADER: &str = r#"{"typ":"JWT","alg":"ES256"}"#;

/// The key by which push services know this server.
pub struct VapidKey {
    pair: EcdsaKeyPair,
    pkcs8: Secret<Vec<u8>>,
    public: String,
}

impl std::fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VapidKey").field(&self.public).finish()
    }
}

/// RFC 8292 §2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The origin of the push service.
    pub aud: String,
    /// Seconds since 1970.
    pub exp: i64,
    /// Whom to write to when there is trouble: a mailto: or https: URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
}

impl VapidKey {
    /// A new key.
    pub fn generate(rng: &dyn Rng) -> Result<VapidKey, PushCryptoError> {
        let key = new_private_key(rng)?;
        let der: Pkcs8V1Der = key.as_der().map_err(|_| PushCryptoError::Failed)?;
        VapidKey::from_pkcs8(der.as_ref())
    }

    /// A key from storage.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<VapidKey, PushCryptoError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| PushCryptoError::BadPrivateKey)?;
        let point = pair.public_key().as_ref();
        if point.len() != P256_POINT_OCTETS {
            return Err(PushCryptoError::BadPrivateKey);
        }
        Ok(VapidKey {
            public: URL_SAFE_NO_PAD.encode(point),
            pkcs8: Secret::new(pkcs8.to_vec()),
            pair,
        })
    }

    /// For storage: a PKCS #8 document (RFC 5208).
    pub fn pkcs8(&self) -> &Secret<Vec<u8>> {
        &self.pkcs8
    }

    /// The `applicationServerKey`: the point in uncompressed form, as base64url.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The value of the `Authorization` header for a push to `endpoint`: `vapid t=..., k=...` (RFC 8292 §3).
    ///
    /// `contact`: a mailto: or https: URI of the server's operator.
    pub fn authorization(
        &self,
        endpoint: &PushEndpoint,
        contact: Option<&str>,
        now: UtcMillis,
    ) -> Result<String, PushCryptoError> {
        if !contact.is_none_or(is_contact) {
            return Err(PushCryptoError::BadContact);
        }
        let claims = Claims {
            aud: endpoint.origin(),
            exp: now.saturating_add(VALID_FOR).seconds(),
            sub: contact.map(str::to_owned),
        };
        let claims = serde_json::to_vec(&claims).map_err(|_| PushCryptoError::Failed)?;
        let mut token = URL_SAFE_NO_PAD.encode(JWT_HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| PushCryptoError::Failed)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(format!("vapid t={token}, k={}", self.public))
    }
}

/// What a push service does with the header: reads it, checks signature, audience and time, and gives the claims and
/// the public key. For those who want to see what was sent, such as a push service of a test.
///
/// `audience`: the origin of the push service.
pub fn verify(
    authorization: &str,
    audience: &str,
    now: UtcMillis,
) -> Result<(Claims, Vec<u8>), PushCryptoError> {
    let bad = PushCryptoError::BadIdentification;
    if authorization.len() > AUTHORIZATION_OCTETS_MAX {
        return Err(bad);
    }
    let (token, public) = parameters(authorization).ok_or(bad)?;
    let (signed, signature) = token.rsplit_once('.').ok_or(bad)?;
    let (header, claims) = signed.split_once('.').ok_or(bad)?;
    let public = decode_base64url(public)
        .filter(|public| public.len() == P256_POINT_OCTETS)
        .ok_or(bad)?;
    let signature = decode_base64url(signature).ok_or(bad)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &public)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| bad)?;

    #[derive(Deserialize)]
    struct JoseHeader {
        alg: String,
    }
    let header: JoseHeader = from_json(header).ok_or(bad)?;
    let claims: Claims = from_json(claims).ok_or(bad)?;
    let latest = now.saturating_add(VALID_FOR_MAX).seconds();
    let in_time = claims.exp > now.seconds() && claims.exp <= latest;
    if header.alg != "ES256" || claims.aud != audience || !in_time {
        return Err(bad);
    }
    Ok((claims, public))
}

/// The parameters `t` and `k` (RFC 8292 §3).
fn parameters(authorization: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("vapid") {
        return None;
    }
    let (mut token, mut public) = (None, None);
    for parameter in rest.split(',') {
        match parameter.trim().split_once('=')? {
            ("t", value) => token = Some(value),
            ("k", value) => public = Some(value),
            _ => {}
        }
    }
    Some((token?, public?))
}

fn from_json<T: for<'de> Deserialize<'de>>(base64url: &str) -> Option<T> {
    serde_json::from_slice(&decode_base64url(base64url)?).ok()
}

/// RFC 8292 §2.1.
fn is_contact(contact: &str) -> bool {
    let after = contact
        .strip_prefix("mailto:")
        .or_else(|| contact.strip_prefix("https://"));
    contact.len() <= CONTACT_OCTETS_MAX
        && after.is_some_and(|after| !after.is_empty())
        && contact.bytes().all(|octet| octet.is_ascii_graphic())
}
