//! Directories beside the internal one: LDAP (RFC 4511) and OpenID Connect.
//!
//! Holds: what a client has said never becomes part of a filter or a name unescaped; a directory that doesn't answer is away, which is no
//! answer about anybody; whatever is waited for has an end, and whatever is read has a limit.
//! Other half: `jmap_core::directory::external`, which says what follows from the answers; the binary, which reads the configuration.

mod http;
mod jwt;
pub mod ldap;
pub mod oidc;
mod template;

use std::{io, path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

pub use self::{
    http::check as check_address,
    ldap::{Attributes, Ldap, LdapConfig},
    oidc::{Introspection, Oidc, OidcConfig},
    template::{Template, TemplateError},
};

/// TLS that trusts the certificates of a file, or else what the system trusts. Errors: a sentence for the operator.
pub fn tls(ca_file: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let named = |error: String| io::Error::other(format!("{}: {error}", file.display()));
            let certificates = CertificateDer::pem_file_iter(file);
            for certificate in certificates.map_err(|error| named(error.to_string()))? {
                let certificate = certificate.map_err(|error| named(error.to_string()))?;
                let added = roots.add(certificate);
                added.map_err(|error| named(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(named("there is no certificate in it".to_owned()));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
