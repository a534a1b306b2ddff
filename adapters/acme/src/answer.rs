//! Answers to challenges that come in at listeners: http-01 (RFC 8555 §8.3) and tls-alpn-01 (RFC 8737).
//!
//! Holds: whoever asks gets something only while an order waits for that; what is looked up is bounded before it is.
//! Other half: `order` puts the challenges into the store; the binary's HTTP pages and `net::tls` ask here.

use std::sync::Arc;

use async_trait::async_trait;
use jmap_core::{Core, inproc::certificates::ChallengeKind};
use net::tls::{ChallengeCertificate, ChallengeCertificates};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls_pki_types::PrivateKeyDer;

/// Begins the path of an http-01 challenge; the token follows.
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// Octets of a token. RFC 8555 §8.3 has no limit; servers use 43.
pub const TOKEN_OCTETS_MAX: usize = 128;
/// Octets of a SHA-256.
const DIGEST_OCTETS: usize = 32;

/// Answers for whatever node is asked.
#[derive(Clone, Debug)]
pub struct Challenges(Core);

impl Challenges {
    pub fn new(core: Core) -> Arc<Challenges> {
        Arc::new(Challenges(core))
    }

    /// What an http-01 challenge at this path is answered with; `None`: nobody waits for it.
    pub async fn http(&self, path: &str) -> Option<Vec<u8>> {
        let token = path.strip_prefix(CHALLENGE_PATH)?;
        if !is_token(token) {
            return None;
        }
        self.find(ChallengeKind::Http01, token).await
    }

    async fn find(&self, kind: ChallengeKind, name: &str) -> Option<Vec<u8>> {
        let found = self.0.challenge(kind, name).await;
        let found = found.inspect_err(
            |error| tracing::error!(name, %error, "an ACME challenge can't be answered"),
        );
        Some(found.ok()??.answer)
    }
}

/// RFC 8555 §8.3: base64url.
fn is_token(text: &str) -> bool {
    let is_digit = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
    (1..=TOKEN_OCTETS_MAX).contains(&text.len()) && text.bytes().all(is_digit)
}

#[async_trait]
impl ChallengeCertificates for Challenges {
    async fn find(&self, name: &str) -> Option<ChallengeCertificate> {
        let digest = Challenges::find(self, ChallengeKind::TlsAlpn01, name).await?;
        let made = certificate(name, &digest);
        made.inspect_err(
            |error| tracing::error!(name, %error, "an ACME challenge can't be answered"),
        )
        .ok()
    }
}

/// RFC 8737 §3: for this one name, with the digest of the key authorization.
fn certificate(name: &str, digest: &[u8]) -> Result<ChallengeCertificate, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    if digest.len() != DIGEST_OCTETS {
        return Err(rcgen::Error::CouldNotParseCertificate);
    }
    let identifier = CustomExtension::new_acme_identifier(digest);
    params.custom_extensions.push(identifier);
    let certificate = params.self_signed(&key)?.der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der());
    Ok((
        certificate,
        key.map_err(|_| rcgen::Error::CouldNotParseKeyPair)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let most = "a".repeat(TOKEN_OCTETS_MAX);
        let more = "a".repeat(TOKEN_OCTETS_MAX + 1);
        let rows = [
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", true),
            ("a-_9", true),
            (most.as_str(), true),
            (more.as_str(), false),
            ("", false),
            ("a/b", false),
            ("..", false),
            ("a%2f", false),
            ("é", false),
        ];
        for (text, want) in rows {
            assert_eq!(is_token(text), want, "{text}");
        }
    }

    #[test]
    fn a_certificate_has_the_digest_in_a_critical_extension() {
        let (certificate, _) = certificate("a.example", &[7; DIGEST_OCTETS]).unwrap();
        // RFC 8737 §6.1: 1.3.6.1.5.5.7.1.31, critical, an OCTET STRING in an OCTET STRING.
        let head = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff\x04\x22\x04\x20";
        let wanted = [&head[..], &[7; DIGEST_OCTETS]].concat();
        let has = certificate.windows(wanted.len()).any(|part| part == wanted);
        assert!(has, "{certificate:?}");
        assert!(certificate_of_wrong_digest().is_err());
    }

    fn certificate_of_wrong_digest() -> Result<ChallengeCertificate, rcgen::Error> {
        certificate("a.example", &[7; DIGEST_OCTETS - 1])
    }
}
