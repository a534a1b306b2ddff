//! TLS as a client has it: what a connection needs, and what was made of a peer's certificate.
//!
//! Holds: a handshake succeeds only when the need is met; without a need the certificate is looked at all the same, so that
//! it can be told what was found. No name is taken from a certificate.
//! Other half: `policy` says what is needed; `net::Stream` does the handshake.

use std::path::Path;
use std::sync::Arc;

use mail_auth_adapter::dns::Tlsa;
use net::tls::{pem_problem, provider};
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::dane;

/// Octets of a file with certificates of authorities.
const CA_FILE_OCTETS_MAX: u64 = 16 << 20;

/// What a connection has to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Not encrypted.
    Plain,
    /// Encrypted if the peer can, whoever it is (RFC 7435).
    Opportunistic,
    /// Encrypted, whoever the peer is (RFC 7672 §2.2: TLSA records, none of them usable).
    Encrypted,
    /// Encrypted, with a certificate that the records stand for (RFC 7672).
    Dane(Arc<Dane>),
    /// Encrypted, with a certificate for the host's name by an authority that is trusted.
    Pkix,
}

/// TLSA records, and the names that a certificate may have where names count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dane {
    pub records: Vec<Tlsa>,
    /// RFC 7672 §3.2.2; the first is the one that is asked for (SNI).
    pub names: Vec<String>,
}

impl Need {
    pub fn is_strict(&self) -> bool {
        !matches!(self, Need::Plain | Need::Opportunistic)
    }

    /// The peer is known to be the one that is meant (RFC 8689 §4.2.1).
    pub fn authenticates(&self) -> bool {
        matches!(self, Need::Dane(_) | Need::Pkix)
    }
}

/// Why a session is not what it should be: RFC 8460 §4.3 and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub result_type: &'static str,
    pub reason: String,
}

impl Failure {
    pub fn new(result_type: &'static str, reason: impl Into<String>) -> Failure {
        Failure {
            result_type,
            reason: reason.into(),
        }
    }
}

/// The authorities that are trusted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

/// Why there are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    #[error("the certificates in {0} can't be used: {1}")]
    File(String, String),
}

impl Roots {
    /// Those of the system. With none, nobody's certificate can be verified.
    pub fn of_the_system() -> Roots {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            tracing::warn!(
                "the system has no certificates of authorities: MTA-STS policies can't be fetched or kept to"
            );
        }
        Roots(Arc::new(store))
    }

    /// Those of a PEM file.
    pub fn of_file(path: &Path) -> Result<Roots, RootsError> {
        let wrong = |why: String| RootsError::File(path.display().to_string(), why);
        let size = std::fs::metadata(path)
            .map_err(|error| wrong(error.to_string()))?
            .len();
        if size > CA_FILE_OCTETS_MAX {
            return Err(wrong("the file is too large".into()));
        }
        let mut store = RootCertStore::empty();
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|error| wrong(pem_problem(&error)))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| wrong(pem_problem(&error)))?;
            store
                .add(certificate)
                .map_err(|error| wrong(error.to_string()))?;
        }
        match store.is_empty() {
            true => Err(wrong("there are none".into())),
            false => Ok(Roots(Arc::new(store))),
        }
    }

    /// For HTTPS.
    pub fn https(&self) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.0.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// A configuration for one handshake, and where it leaves what it has found.
    pub fn handshake(&self, need: &Need) -> Result<(Arc<ClientConfig>, Arc<Found>), rustls::Error> {
        let found = Arc::new(Found::default());
        let verifier = Verifier {
            roots: self.0.clone(),
            need: need.clone(),
            found: found.clone(),
            algorithms: provider().signature_verification_algorithms,
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // Each session shows its certificate.
        config.resumption = Resumption::disabled();
        Ok((Arc::new(config), found))
    }
}

/// What a verifier has found.
#[derive(Debug, Default)]
pub struct Found {
    /// By the authorities. `None`: the handshake never came to it.
    pub pkix: Mutex<Option<Result<(), Failure>>>,
    /// Why the need isn't met.
    pub unmet: Mutex<Option<Failure>>,
}

#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    need: Need,
    found: Arc<Found>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn pkix(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let own = ParsedCertificate::try_from(own)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&own, &self.roots, others, now, algorithms)?;
        verify_server_name(&own, name)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pkix = self.pkix(own, others, name, now);
        *self.found.pkix.lock() = Some(pkix.as_ref().map(|_| ()).map_err(failure));
        let result = match &self.need {
            Need::Plain | Need::Opportunistic | Need::Encrypted => Ok(()),
            Need::Pkix => pkix,
            Need::Dane(dane) => dane::verify(dane, own, others, now, self.algorithms.all),
        };
        if let Err(error) = &result {
            *self.found.unmet.lock() = Some(match &self.need {
                Need::Dane(_) => Failure::new("validation-failure", reason(error)),
                _ => failure(error),
            });
        }
        result.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Where anybody's certificate will do, a signature by it shows nothing; and some can't be read at all.
        match self.need.authenticates() {
            true => verify_tls12_signature(message, certificate, signature, &self.algorithms),
            false => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.need.authenticates() {
            true => verify_tls13_signature(message, certificate, signature, &self.algorithms),
            false => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn failure(error: &rustls::Error) -> Failure {
    use CertificateError::*;
    let result_type = match error {
        rustls::Error::InvalidCertificate(why) => match why {
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                "certificate-expired"
            }
            NotValidForName | NotValidForNameContext { .. } => "certificate-host-mismatch",
            _ => "certificate-not-trusted",
        },
        _ => "validation-failure",
    };
    Failure::new(result_type, reason(error))
}

fn reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(why)) => why.to_string(),
        other => other.to_string(),
    }
}

/// The name to ask for, and to verify by; the address where the name can be none.
pub fn server_name(host: &str, address: std::net::IpAddr) -> ServerName<'static> {
    ServerName::try_from(host.to_owned()).unwrap_or_else(|_| ServerName::IpAddress(address.into()))
}
