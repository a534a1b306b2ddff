//! TLS for servers (RFC 8446, RFC 9325): certificates, which one answers to which name, and rustls' configuration.
//!
//! Holds: certificates can be replaced at any time, and every handshake after that sees the new ones; the provider is
//! passed explicitly, so that a second one somewhere in the build changes nothing.
//! Other half: `stream`, which does the handshake.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

mod der;

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

    /// Lets the identity also answer to other names than its certificate has; `*.` in front means one label.
    pub fn also_for<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Identity {
        let names = names.into_iter().map(str::to_ascii_lowercase);
        self.names.extend(names);
        self
    }

    /// The names in lower case, some perhaps beginning with `*.`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The chain as sent, the server's own certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// When the server's own certificate ends, in seconds since 1970; None where that can't be read.
    pub fn not_after(&self) -> Option<i64> {
        der::not_after(self.chain().first()?)
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
                reason: error.to_string(),
            })?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate {
                origin: certificate,
            });
        }
        let private_key = match PrivateKeyDer::from_pem_slice(key_pem) {
            Ok(private_key) => private_key,
            Err(rustls_pki_types::pem::Error::NoItemsFound) => {
                return Err(TlsError::NoKey { origin: key });
            }
            Err(error) => {
                return Err(TlsError::Pem {
                    origin: key,
                    reason: error.to_string(),
                });
            }
        };
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

/// Picks the certificate by the name that the client asks for (SNI, RFC 6066 §3). Clones share the certificates.
#[derive(Debug, Clone, Default)]
pub struct CertResolver(Arc<RwLock<Arc<Certificates>>>);

#[derive(Debug, Default)]
struct Certificates {
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
        let certificates = self.0.read().clone();
        let named = name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let exact = certificates.exact.get(&name);
            exact.or_else(|| certificates.wildcard.get(name.split_once('.')?.1))
        });
        named.or(certificates.default.as_ref()).cloned()
    }

    /// RFC 5929 §4.1: the hash of the certificate that a client asking for `name` is shown.
    pub(crate) fn end_point(&self, name: Option<&str>) -> Option<Arc<[u8]>> {
        self.find(name)?.end_point
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
            .map(|identity| identity.certified)
    }
}

/// What a listener needs to speak TLS: rustls' configuration and the certificates. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    resolver: CertResolver,
}

impl TlsServer {
    /// TLS 1.2 and 1.3. `alpn` (RFC 7301): what this listener speaks, preferred first; empty means that ALPN is ignored.
    /// When it is given, a client that offers only other protocols is refused (RFC 7301 §3.2; ALPACA attack).
    pub fn new(resolver: &CertResolver, alpn: &[&[u8]]) -> Result<TlsServer, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver.clone()));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        // Sessions are resumed from tickets: nothing is kept here for a client that has gone.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(TlsServer {
            config: Arc::new(config),
            resolver: resolver.clone(),
        })
    }

    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    pub fn resolver(&self) -> &CertResolver {
        &self.resolver
    }
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(aws_lc_rs::default_provider()))
        .clone()
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
