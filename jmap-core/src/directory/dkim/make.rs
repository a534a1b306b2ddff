//! New pairs of DKIM keys.
//!
//! Holds: making them takes a while, so it is done by a thread for such work.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    error::Unspecified,
    rsa::{self, KeySize},
    signature::{Ed25519KeyPair, KeyPair as _},
};

use super::records::DkimAlgorithm;
use crate::auth::Secret;

/// One key.
#[derive(Debug)]
pub struct Made {
    pub algorithm: DkimAlgorithm,
    /// PKCS #8.
    pub private_key: Secret<Vec<u8>>,
    pub public_key: Vec<u8>,
}

/// One key of each algorithm: receivers that don't know Ed25519 still know RSA (RFC 8463 §5). `None`: the library failed.
pub async fn pair() -> Option<Vec<Made>> {
    let made = tokio::task::spawn_blocking(|| Ok([rsa()?, ed25519()?].into()));
    made.await
        .ok()?
        .inspect_err(|_: &Unspecified| tracing::error!("no DKIM keys could be made"))
        .ok()
}

fn rsa() -> Result<Made, Unspecified> {
    // RFC 8301 §3.2: at least 1024 bits, better 2048; more don't fit well into the DNS.
    let key = rsa::KeyPair::generate(KeySize::Rsa2048)?;
    let private_key: Pkcs8V1Der<'static> = key.as_der()?;
    let public_key: PublicKeyX509Der<'static> = key.public_key().as_der()?;
    Ok(Made {
        algorithm: DkimAlgorithm::Rsa,
        private_key: Secret::new(private_key.as_ref().to_vec()),
        public_key: public_key.as_ref().to_vec(),
    })
}

fn ed25519() -> Result<Made, Unspecified> {
    let key = Ed25519KeyPair::generate()?;
    let private_key = key.to_pkcs8()?;
    Ok(Made {
        algorithm: DkimAlgorithm::Ed25519,
        private_key: Secret::new(private_key.as_ref().to_vec()),
        public_key: key.public_key().as_ref().to_vec(),
    })
}
