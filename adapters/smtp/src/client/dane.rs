//! Certificates by TLSA records (RFC 6698, RFC 7671, RFC 7672 §3).
//!
//! Holds: of a record for the host's own certificate nothing counts but the record: no name, no date, no authority; one for
//! an authority vouches for a chain that begins at it, for one of the names.
//! Other half: `policy`, which looks the records up and knows whether DNSSEC vouches for them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use mail_auth_adapter::dns::Tlsa;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, OtherError, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};

use super::tls::Dane;

/// DANE-TA: an authority.
const TRUST_ANCHOR: u8 = 2;
/// DANE-EE: the host's own certificate.
const END_ENTITY: u8 = 3;
/// Records of one name that are looked at: the first.
pub const TLSA_RECORDS_MAX: usize = 32;

/// RFC 7672 §3.1.3, §2.2: usages 0 and 1 are none for SMTP, and neither is what can't match anything.
pub fn is_usable(record: &Tlsa) -> bool {
    let is_known = matches!(record.usage, TRUST_ANCHOR | END_ENTITY) && record.selector <= 1;
    let is_whole = match record.matching {
        0 => !record.data.is_empty(),
        1 => record.data.len() == digest::SHA256_OUTPUT_LEN,
        2 => record.data.len() == digest::SHA512_OUTPUT_LEN,
        _ => false,
    };
    is_known && is_whole
}

#[derive(Debug)]
struct NoMatch;

impl fmt::Display for NoMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no TLSA record stands for the certificate")
    }
}

impl std::error::Error for NoMatch {}

/// Whether one of the records stands for the certificate.
pub fn verify(
    dane: &Dane,
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), rustls::Error> {
    let mut why =
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NoMatch))));
    for record in &dane.records {
        match record.usage {
            END_ENTITY if matches(record, own) => return Ok(()),
            TRUST_ANCHOR => match verify_by_anchor(record, dane, own, others, now, algorithms) {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => why = error,
                None => {}
            },
            _ => {}
        }
    }
    Err(why)
}

/// `None`: the record's authority isn't there.
fn verify_by_anchor(
    record: &Tlsa,
    dane: &Dane,
    own: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Option<Result<(), rustls::Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in others
        .iter()
        .filter(|certificate| matches(record, certificate))
    {
        let _ = roots.add(certificate.clone().into_owned());
    }
    // A whole certificate in the record need not be sent (RFC 7672 §3.1.2).
    if (record.selector, record.matching) == (0, 0) {
        let _ = roots.add(CertificateDer::from(record.data.clone()));
    }
    if roots.is_empty() {
        return None;
    }
    let check = || {
        let own = ParsedCertificate::try_from(own)?;
        verify_server_cert_signed_by_trust_anchor(&own, &roots, others, now, algorithms)?;
        let mut result = Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName,
        ));
        for name in &dane.names {
            let Ok(name) = ServerName::try_from(name.as_str()) else {
                continue;
            };
            result = verify_server_name(&own, &name);
            if result.is_ok() {
                break;
            }
        }
        result
    };
    Some(check())
}

/// RFC 6698 §2.1.2 to §2.1.4.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let key;
    let selected: &[u8] = match record.selector {
        0 => certificate,
        _ => match webpki::EndEntityCert::try_from(certificate) {
            Ok(parsed) => {
                key = parsed.subject_public_key_info();
                &key
            }
            Err(_) => return false,
        },
    };
    match record.matching {
        0 => selected == record.data,
        1 => digest::digest(&digest::SHA256, selected).as_ref() == record.data,
        2 => digest::digest(&digest::SHA512, selected).as_ref() == record.data,
        _ => false,
    }
}
