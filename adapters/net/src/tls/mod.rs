//! TLS for servers (RFC 8446, RFC 9325): certificates, which one answers to which name, and rustls' configuration.
//!
//! Holds: certificates can be replaced at any time, and every handshake after that sees the new ones, all of them or none; no
//! session is resumed that began with others. The provider is passed explicitly, so that a second one somewhere in the build
//! changes nothing.
//! Other half: `stream`, which does the handshake.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ::aws_lc_rs::digest::{SHA256, digest};
use async_trait::async_trait;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

mod der;

/// The protocol of tls-alpn-01 (RFC 8737 §6.2).
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// Largest certificate or key file that is read.
pub const PEM_OCTETS_MAX: u64 = 1 << 20;

/// What can be wrong with a certificate or key. `origin` is the file, or what the caller has called the bytes.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("can't read {origin}: {source}")]
    Read {
        origin: String,
        source: std::io::Error,
    },
    #[error("{origin} is larger than {PEM_OCTETS_MAX} octets: that is no certificate or key")]
    TooLarge { origin: String },
    #[error("{origin} is not proper PEM: {reason}")]
    Pem { origin: String, reason: String },
    #[error("{origin} has no CERTIFICATE section")]
    NoCertificate { origin: String },
    #[error("{origin} has no PRIVATE KEY section (PKCS #8, PKCS #1 or SEC 1, not encrypted)")]
    NoKey { origin: String },
    #[error("the first certificate in {origin} can't be used: {reason}")]
    Certificate { origin: String, reason: String },
    #[error("the key in {origin} can't be used: {reason}")]
    Key { origin: String, reason: String },
    #[error("the key in {key} does not belong to the first certificate in {certificate}")]
    Mismatch { certificate: String, key: String },
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A certificate chain with its private key, and the names it stands for.
#[derive(Debug, Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    names: Vec<String>,
    end_point: Option<Arc<[u8]>>,
}

impl Identity {
    /// Reads PEM files. The chain begins with the server's own certificate; names come from its subjectAltName.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
        let certificate_pem = read_pem(certificate)?;
        let key_pem = zeroize::Zeroizing::new(read_pem(key)?);
        let certificate = certificate.display().to_string();
        let key = key.display().to_string();
        Identity::parse(&certificate_pem, &key_pem, certificate, key)
    }

    /// The same from PEM in memory; `origin` names it in errors.
    pub fn from_pem(certificate: &[u8], key: &[u8], origin: &str) -> Result<Identity, TlsError> {
        Identity::parse(certificate, key, origin.to_owned(), origin.to_owned())
    }

    /// The same from DER.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        origin: &str,
    ) -> Result<Identity, TlsError> {
        Identity::build(chain, key, origin.to_owned(), origin.to_owned())
    }

    /// The names in lower case, some perhaps beginning with `*.`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a client that asks for `name`, in lower case, takes the certificate for that server's.
    pub fn answers_to(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            Some(of) => parent == Some(of),
            None => own == name,
        })
    }

    /// The chain as sent, the server's own certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// From when to when the server's own certificate is good, in seconds since 1970; None where that can't be read.
    pub fn validity(&self) -> Option<(i64, i64)> {
        der::validity(self.chain().first()?)
    }

    /// Who has signed the server's own certificate, for people: organization and common name; None where neither can be read.
    pub fn issuer(&self) -> Option<String> {
        der::issuer(self.chain().first()?)
    }

    /// The SHA-256 of the public key (SubjectPublicKeyInfo): what a TLSA record "3 1 1" has (RFC 7672 §3.1.1).
    pub fn public_key_hash(&self) -> Option<[u8; 32]> {
        let parsed = webpki::EndEntityCert::try_from(self.chain().first()?).ok()?;
        let hash = digest(&SHA256, &parsed.subject_public_key_info());
        hash.as_ref().try_into().ok()
    }

    fn parse(
        certificate_pem: &[u8],
        key_pem: &[u8],
        certificate: String,
        key: String,
    ) -> Result<Identity, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificate_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsError::Pem {
                origin: certificate.clone(),
                reason: pem_problem(&error),
            })?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate {
                origin: certificate,
            });
        }
        let private_key = private_key(key_pem, &key)?;
        Identity::build(chain, private_key, certificate, key)
    }

    fn build(
        chain: Vec<CertificateDer<'static>>,
        private_key: PrivateKeyDer<'static>,
        certificate: String,
        key: String,
    ) -> Result<Identity, TlsError> {
        let Some(own) = chain.first() else {
            return Err(TlsError::NoCertificate {
                origin: certificate,
            });
        };
        let parsed =
            webpki::EndEntityCert::try_from(own).map_err(|error| TlsError::Certificate {
                origin: certificate.clone(),
                reason: error.to_string(),
            })?;
        let names = parsed
            .valid_dns_names()
            .map(str::to_ascii_lowercase)
            .collect();
        let end_point = der::tls_server_end_point(own).map(Arc::from);
        let signing_key = provider()
            .key_provider
            .load_private_key(private_key)
            .map_err(|error| TlsError::Key {
                origin: key.clone(),
                reason: error.to_string(),
            })?;
        let certified = CertifiedKey::new(chain, signing_key);
        match certified.keys_match() {
            // "Unknown" is a kind of key that can't be compared; the handshake will show.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(TlsError::Mismatch { certificate, key }),
        }
        Ok(Identity {
            certified: Arc::new(certified),
            names,
            end_point,
        })
    }
}

/// The certificates of all listeners, by the name that the client asks for (SNI, RFC 6066 §3). Clones share them.
#[derive(Debug, Clone, Default)]
pub struct CertResolver(Arc<RwLock<Arc<Certificates>>>);

/// Certificates that are shown at the same time.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    exact: HashMap<String, Identity>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Identity>,
    default: Option<Identity>,
}

impl CertResolver {
    /// `identities`: the first also serves clients that name no server, or an unknown one; mail clients are often set
    /// up with an alias, and the certificate's own name tells them more than an alert. Of two for one name the first is used.
    pub fn new(identities: Vec<Identity>) -> CertResolver {
        let resolver = CertResolver::default();
        resolver.replace(identities);
        resolver
    }

    /// Replaces all certificates. Connections that are open keep what they have.
    pub fn replace(&self, identities: Vec<Identity>) {
        let mut certificates = Certificates {
            default: identities.first().cloned(),
            ..Certificates::default()
        };
        for identity in identities {
            for name in &identity.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut certificates.wildcard, parent),
                    None => (&mut certificates.exact, name.as_str()),
                };
                map.entry(name.to_owned())
                    .or_insert_with(|| identity.clone());
            }
        }
        *self.0.write() = Arc::new(certificates);
    }

    /// The identity that answers to `name`.
    pub fn find(&self, name: Option<&str>) -> Option<Identity> {
        self.current().find(name).cloned()
    }

    fn current(&self) -> Arc<Certificates> {
        self.0.read().clone()
    }
}

impl Certificates {
    fn find(&self, name: Option<&str>) -> Option<&Identity> {
        let named = name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let exact = self.exact.get(&name);
            exact.or_else(|| self.wildcard.get(name.split_once('.')?.1))
        });
        named.or(self.default.as_ref())
    }

    /// RFC 5929 §4.1: the hash of the certificate that a client asking for `name` is shown.
    pub(crate) fn end_point(&self, name: Option<&str>) -> Option<Arc<[u8]>> {
        self.find(name)?.end_point.clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
            .map(|identity| identity.certified.clone())
    }
}

/// Has the certificates that prove to an ACME server that a name is ours (tls-alpn-01, RFC 8737).
#[async_trait]
pub trait ChallengeCertificates: fmt::Debug + Send + Sync {
    /// The one for `name`, which is in lower case; None where no proof is asked for. It is no [`Identity`]: it has a critical
    /// extension that nobody else takes.
    async fn find(&self, name: &str) -> Option<ChallengeCertificate>;
}

/// A certificate, signed by itself, and its key.
pub type ChallengeCertificate = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// What a listener needs to speak TLS: rustls' configuration and the certificates. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TlsServer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// All but certificates and tickets.
    base: ServerConfig,
    resolver: CertResolver,
    now: RwLock<Handshakes>,
    challenges: Option<Arc<dyn ChallengeCertificates>>,
}

/// What handshakes use as long as the certificates stay the same.
#[derive(Debug, Clone)]
pub(crate) struct Handshakes {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) certificates: Arc<Certificates>,
}

impl TlsServer {
    /// TLS 1.2 and 1.3 (RFC 9325 §3.1), with forward secrecy and AEAD only: rustls has nothing older. `alpn` (RFC 7301): what
    /// this listener speaks, preferred first; empty means that ALPN is ignored. When it is given, a client that offers only
    /// other protocols is refused (RFC 7301 §3.2; ALPACA attack).
    pub fn new(resolver: &CertResolver, alpn: &[&[u8]]) -> Result<TlsServer, TlsError> {
        let mut base = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Certificates::default()));
        base.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        // Sessions are resumed from tickets: nothing is kept here for a client that has gone.
        base.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        let now = Handshakes::new(&base, resolver.current())?;
        Ok(TlsServer(Arc::new(Shared {
            base,
            resolver: resolver.clone(),
            now: RwLock::new(now),
            challenges: None,
        })))
    }

    /// The same, which also answers the challenges of ACME servers.
    pub fn answering(self, challenges: Arc<dyn ChallengeCertificates>) -> TlsServer {
        let now = self.handshakes();
        TlsServer(Arc::new(Shared {
            base: self.0.base.clone(),
            resolver: self.0.resolver.clone(),
            now: RwLock::new(now),
            challenges: Some(challenges),
        }))
    }

    /// What the next handshake uses.
    pub(crate) fn handshakes(&self) -> Handshakes {
        let certificates = self.0.resolver.current();
        let now = self.0.now.read().clone();
        if Arc::ptr_eq(&now.certificates, &certificates) {
            return now;
        }
        match Handshakes::new(&self.0.base, certificates) {
            Ok(new) => {
                *self.0.now.write() = new.clone();
                new
            }
            // The system has no randomness to give. Whoever comes next tries again.
            Err(error) => {
                tracing::error!(%error, "the new certificates can't be used yet");
                now
            }
        }
    }

    /// What to show to whoever asks for a proof that `name` is ours, and for nothing else (RFC 8737 §3).
    pub(crate) async fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let challenges = self.0.challenges.as_ref()?;
        if !hello.alpn()?.eq([ACME_TLS_ALPN]) {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        let (certificate, key) = challenges.find(&name).await?;
        let key = provider().key_provider.load_private_key(key);
        let key = key
            .inspect_err(|error| tracing::error!(%error, "an ACME challenge can't be answered"))
            .ok()?;
        let only = CertifiedKey::new(vec![certificate], key);
        let mut config = self.0.base.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(only));
        config.alpn_protocols = vec![ACME_TLS_ALPN.to_vec()];
        Some(Arc::new(config))
    }
}

impl Handshakes {
    /// With keys for tickets of their own. A client that goes on with a session has seen the certificate that began it: with
    /// another one, tls-server-end-point would differ on both sides, and a certificate that was taken away would still be good.
    fn new(base: &ServerConfig, certificates: Arc<Certificates>) -> Result<Handshakes, TlsError> {
        let mut config = base.clone();
        config.cert_resolver = certificates.clone();
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Handshakes {
            config: Arc::new(config),
            certificates,
        })
    }
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(aws_lc_rs::default_provider()))
        .clone()
}

/// The first private key of a PEM file; `origin` names it in errors.
pub fn private_key(pem: &[u8], origin: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let origin = || origin.to_owned();
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => TlsError::NoKey { origin: origin() },
        error => TlsError::Pem {
            origin: origin(),
            reason: pem_problem(&error),
        },
    })
}

/// What is wrong with a PEM file, with nothing of what is in it: it may be another file than was meant, with a secret in its first line.
pub fn pem_problem(error: &rustls_pki_types::pem::Error) -> String {
    use rustls_pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { .. } => "a section has no end".to_owned(),
        Error::IllegalSectionStart { .. } => "a section begins in a wrong way".to_owned(),
        Error::Base64Decode(_) => "a section is not base64".to_owned(),
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "there is nothing in it".to_owned(),
        Error::SectionTooLarge => "a section is too large".to_owned(),
        _ => "it can't be read".to_owned(),
    }
}

fn read_pem(path: &Path) -> Result<Vec<u8>, TlsError> {
    let origin = || path.display().to_string();
    let failed = |source| TlsError::Read {
        origin: origin(),
        source,
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > PEM_OCTETS_MAX {
        return Err(TlsError::TooLarge { origin: origin() });
    }
    std::fs::read(path).map_err(failed)
}

#[cfg(test)]
pub(crate) mod tests;
