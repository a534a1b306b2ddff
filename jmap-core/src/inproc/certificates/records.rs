//! What the store keeps of certificates, and of the accounts and challenges of ACME (RFC 8555).
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default; nothing shows a private key.
//! Other half: `tests` has the bytes of every version.

use minicbor::{Decode, Encode, bytes::ByteVec};
use store::Record;

use crate::{auth::Secret, directory::dkim::records::secret_octets};

/// A certificate, and how far its next one is. The first of its names is in its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CertificateRecord {
    /// In lower case, some perhaps beginning with `*.`.
    #[n(0)]
    pub names: Vec<String>,
    #[n(1)]
    pub origin: CertificateOrigin,
    /// DER, the server's own certificate first; empty: it isn't there yet.
    #[n(2)]
    pub chain: Vec<ByteVec>,
    /// DER: PKCS #8, PKCS #1 or SEC 1.
    #[cbor(n(3), with = "secret_octets")]
    pub private_key: Secret<Vec<u8>>,
    /// From when to when the certificate is good, in seconds since 1970.
    #[n(4)]
    pub not_before: i64,
    #[n(5)]
    pub not_after: i64,
    /// When the next one is ordered, in seconds since 1970; `None`: when two thirds of its time are over.
    #[n(6)]
    pub renew_at: Option<i64>,
    /// Orders that were begun since the last one that was fulfilled.
    #[n(7)]
    pub failures: u32,
    /// Nothing is ordered before, in seconds since 1970.
    #[n(8)]
    pub next_try: Option<i64>,
    /// What was wrong with the last order: a sentence.
    #[n(9)]
    pub problem: Option<String>,
}

impl Record for CertificateRecord {
    const KIND: &'static str = "certificate";
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum CertificateOrigin {
    /// Ordered from an ACME server.
    #[default]
    #[n(0)]
    Acme,
    /// Brought in by an operator.
    #[n(1)]
    Imported,
}

/// An account at an ACME server (RFC 8555 §7.1.2). The URL of the server's directory is in its key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AcmeAccountRecord {
    /// The account's URL.
    #[n(0)]
    pub url: String,
    /// PKCS #8 (RFC 5958).
    #[cbor(n(1), with = "secret_octets")]
    pub private_key: Secret<Vec<u8>>,
    /// URIs, as the server was told.
    #[n(2)]
    pub contact: Vec<String>,
    /// Seconds since 1970.
    #[n(3)]
    pub created: i64,
}

impl Record for AcmeAccountRecord {
    const KIND: &'static str = "ACME account";
}

/// How a challenge is answered. Its kind, and what it is asked by, are in its key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChallengeRecord {
    /// The certificate that it is for.
    #[n(0)]
    pub certificate: String,
    /// http-01: the key authorization (RFC 8555 §8.1); tls-alpn-01: its SHA-256; dns-01: the text of the TXT record.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub answer: Vec<u8>,
    /// dns-01: the name of the TXT record.
    #[n(2)]
    pub at: Option<String>,
    /// Seconds since 1970: from then on nobody asks for it.
    #[n(3)]
    pub expires: i64,
}

impl Record for ChallengeRecord {
    const KIND: &'static str = "ACME challenge";
}

/// The kinds of challenges; a number is never used for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ChallengeKind {
    /// RFC 8555 §8.3; asked by the token.
    Http01 = 1,
    /// RFC 8737; asked by the name.
    TlsAlpn01 = 2,
    /// RFC 8555 §8.4; asked in the DNS, by the text of the record.
    Dns01 = 3,
}

impl ChallengeKind {
    /// The name that RFC 8555 §8 and RFC 8737 §3 have for it.
    pub fn name(self) -> &'static str {
        match self {
            ChallengeKind::Http01 => "http-01",
            ChallengeKind::TlsAlpn01 => "tls-alpn-01",
            ChallengeKind::Dns01 => "dns-01",
        }
    }

    pub(super) fn from_number(number: u8) -> Option<ChallengeKind> {
        [
            ChallengeKind::Http01,
            ChallengeKind::TlsAlpn01,
            ChallengeKind::Dns01,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == number)
    }
}
