//! DKIM signatures (RFC 6376, with RSA and Ed25519 by RFC 8301 and 8463).
//!
//! Holds: relaxed/relaxed, so that servers on the way may fold and trim; never `l=`, which lets anybody add to the body; the
//! time is given. A private key is not shown.
//!
//! Over-signing (RFC 6376 §5.4.2, §8.15): `h=` names each of [`SEALED_ONCE`] once more than the message has it, so that none
//! can be added to a signed message. The fields of [`SIGNED`] are signed where they are and can be added: mailing lists do.
//!
//! Internationalised mail (RFC 8616 §5): `d=` and `s=` are A-labels always, which every verifier reads; `From` in UTF-8 is
//! signed as it is.
//! Other half: the verifier of this crate, and everybody else's; `jmap_core::directory::dkim`, which keeps the keys.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{Ed25519KeyPair, RSA_PKCS1_SHA256},
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::canonical::{Split, name_of, relaxed_body_hash, relaxed_field};

/// Fields that a reader sees or that say what the body is.
const SEALED_ONCE: &[&str] = &[
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Reply-To",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];
/// Others that are signed if they are there.
const SIGNED: &[&str] = &[
    "Sender",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Date",
    "Resent-Message-ID",
    "List-ID",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Auto-Submitted",
    "Content-Language",
    "Autocrypt",
    "TLS-Required",
];
/// Fields of one name that are signed: the last ones.
pub const SIGNED_PER_NAME_MAX: usize = 5;
/// Characters of a line of `h=` or `b=`.
const LINE_MAX: usize = 72;

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    Rsa,
    Ed25519,
}

impl SigningAlgorithm {
    /// The value of `a=`.
    fn name(self) -> &'static str {
        match self {
            SigningAlgorithm::Rsa => "rsa-sha256",
            SigningAlgorithm::Ed25519 => "ed25519-sha256",
        }
    }
}

/// The octets are no such key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key can't be read")]
pub struct KeyError;

/// Somebody's key, ready to sign.
pub struct SigningKey {
    pub domain: String,
    pub selector: String,
    key: Key,
}

enum Key {
    Rsa(Box<rsa::KeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// `domain`, `selector`: A-labels. `pkcs8`: RFC 5958.
    pub fn from_pkcs8(
        algorithm: SigningAlgorithm,
        domain: &str,
        selector: &str,
        pkcs8: &[u8],
    ) -> Result<SigningKey, KeyError> {
        let key = match algorithm {
            SigningAlgorithm::Rsa => {
                rsa::KeyPair::from_pkcs8(pkcs8).map(|key| Key::Rsa(Box::new(key)))
            }
            SigningAlgorithm::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
                .map(|key| Key::Ed25519(Box::new(key))),
        };
        Ok(SigningKey {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            key: key.map_err(|_| KeyError)?,
        })
    }

    pub fn algorithm(&self) -> SigningAlgorithm {
        match &self.key {
            Key::Rsa(_) => SigningAlgorithm::Rsa,
            Key::Ed25519(_) => SigningAlgorithm::Ed25519,
        }
    }

    /// The signature of canonical octets, in base64.
    pub(crate) fn signature(&self, canonical: &[u8]) -> Option<String> {
        let octets = match &self.key {
            Key::Rsa(key) => {
                let mut octets = vec![0; key.public_modulus_len()];
                let random = SystemRandom::new();
                key.sign(&RSA_PKCS1_SHA256, &random, canonical, &mut octets)
                    .ok()?;
                octets
            }
            // RFC 8463 §3: Ed25519 signs the SHA-256 hash of what RSA would sign.
            Key::Ed25519(key) => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical);
                key.sign(hash.as_ref()).as_ref().to_vec()
            }
        };
        Some(STANDARD.encode(octets))
    }

    /// `a=`, `d=` and `s=`.
    pub(crate) fn tags(&self) -> String {
        let algorithm = self.algorithm().name();
        format!("a={algorithm}; d={}; s={}", self.domain, self.selector)
    }
}

/// A DKIM-Signature field with its CRLF for each key, in their order. `now`: seconds since 1970. Blocks, for as long as
/// hashing the body takes; `None`: the library failed.
pub fn dkim_signatures(keys: &[SigningKey], message: &[u8], now: i64) -> Option<String> {
    let split = Split::of(message);
    let signed = Signed::of(&split, &[]);
    let body_hash = STANDARD.encode(relaxed_body_hash(split.body));
    let mut fields = String::new();
    for key in keys {
        let tags = format!(
            "DKIM-Signature: v=1; {};\r\n\tc=relaxed/relaxed; q=dns/txt; t={now};\r\n\th={};\r\n\tbh={body_hash};\r\n\tb=",
            key.tags(),
            signed.names(),
        );
        fields.push_str(&signed.field(key, &tags)?);
    }
    Some(fields)
}

/// The fields of a message that are signed.
pub(crate) struct Signed {
    names: Vec<&'static str>,
    /// In the order of the names.
    canonical: Vec<u8>,
}

impl Signed {
    /// `more`: names beside the usual ones.
    pub fn of(split: &Split<'_>, more: &[&'static str]) -> Signed {
        let mut signed = Signed {
            names: Vec::new(),
            canonical: Vec::new(),
        };
        let listed = SEALED_ONCE.iter().map(|name| (*name, true));
        let others = SIGNED.iter().chain(more).map(|name| (*name, false));
        for (name, is_sealed) in listed.chain(others) {
            let is_it = |field: &&&[u8]| name_of(field).eq_ignore_ascii_case(name.as_bytes());
            // RFC 6376 §5.4.2: of several, the last is the first that is signed.
            let mut fields = split.fields.iter().rev().filter(is_it);
            for field in fields.by_ref().take(SIGNED_PER_NAME_MAX) {
                signed.names.push(name);
                relaxed_field(field, &mut signed.canonical);
                signed.canonical.extend_from_slice(b"\r\n");
            }
            // With more of them than are signed, one more name would be one of those.
            if is_sealed && fields.next().is_none() {
                signed.names.push(name);
            }
        }
        signed
    }

    /// The value of `h=`, folded.
    pub fn names(&self) -> String {
        let mut text = String::new();
        let mut column = 0;
        for (at, name) in self.names.iter().enumerate() {
            if at > 0 {
                text.push(':');
                column += 1;
            }
            if column + name.len() > LINE_MAX {
                text.push_str("\r\n\t ");
                column = 0;
            }
            text.push_str(name);
            column += name.len();
        }
        text
    }

    /// Signs the fields, and the field that says so, of which `text` is everything up to `b=`.
    pub fn field(&self, key: &SigningKey, text: &str) -> Option<String> {
        let mut canonical = self.canonical.clone();
        relaxed_field(text.as_bytes(), &mut canonical);
        Some(finished(text, &key.signature(&canonical)?))
    }
}

/// The field with its signature, folded (RFC 6376 §3.5: white space in `b=` counts for nothing).
pub(crate) fn finished(text: &str, signature: &str) -> String {
    let mut field = text.to_owned();
    for (at, character) in signature.chars().enumerate() {
        if at > 0 && at.is_multiple_of(LINE_MAX) {
            field.push_str("\r\n\t ");
        }
        field.push(character);
    }
    field.push_str("\r\n");
    field
}

/// The domains of the authors, as they are written in the From field (RFC 6376 §5.4: whose mail it is).
pub fn author_domains(message: &[u8]) -> Vec<String> {
    let split = Split::of(message);
    let Some(from) = split
        .fields
        .iter()
        .rev()
        .find(|field| name_of(field).eq_ignore_ascii_case(b"From"))
    else {
        return Vec::new();
    };
    let alone = [from, &b"\r\n"[..]].concat();
    let parsed = mail_auth::AuthenticatedMessage::parse(&alone).unwrap_or_default();
    let domains = parsed
        .from
        .iter()
        .filter_map(|address| address.rsplit_once('@'));
    domains.map(|(_, domain)| domain.to_owned()).collect()
}
