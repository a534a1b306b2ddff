use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};

use super::*;

/// A self-signed certificate for these names, as PEM: certificate, key.
pub(crate) fn self_signed(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

pub(crate) fn identity(names: &[&str]) -> Identity {
    let (certificate, key) = self_signed(names);
    Identity::from_pem(certificate.as_bytes(), key.as_bytes(), "test").unwrap()
}

/// A client that trusts these.
pub(crate) fn client(trusted: &[&Identity], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for identity in trusted {
        roots.add(identity.chain()[0].clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn check_found(resolver: &CertResolver, name: Option<&str>, want: &str) {
    let found = resolver.find(name);
    let found = found.map_or("none".to_owned(), |found| found.names()[0].clone());
    assert_eq!(found, want, "{name:?}");
}

#[test]
fn names() {
    let first = identity(&["mail.example.org"]);
    let second = identity(&["*.example.net", "EXAMPLE.net"]);
    let resolver = CertResolver::new(vec![first, second]);
    check_found(&resolver, Some("mail.example.org"), "mail.example.org");
    check_found(&resolver, Some("MAIL.Example.ORG."), "mail.example.org");
    check_found(&resolver, Some("imap.example.net"), "*.example.net");
    check_found(&resolver, Some("example.NET"), "*.example.net");
    check_found(&resolver, Some("a.imap.example.net"), "mail.example.org");
    check_found(&resolver, Some("unknown.example"), "mail.example.org");
    check_found(&resolver, Some(""), "mail.example.org");
    check_found(&resolver, None, "mail.example.org");
    resolver.replace(vec![identity(&["new.example.org"])]);
    check_found(&resolver, Some("mail.example.org"), "new.example.org");
    resolver.replace(Vec::new());
    check_found(&resolver, Some("mail.example.org"), "none");
}

#[test]
fn whom_a_certificate_is_good_for() {
    let identity = identity(&["example.net", "*.example.org"]);
    let rows = [
        ("example.net", true),
        ("mail.example.org", true),
        ("example.org", false),
        ("a.mail.example.org", false),
        ("mail.example.net", false),
        ("", false),
    ];
    for (name, want) in rows {
        assert_eq!(identity.answers_to(name), want, "{name}");
    }
}

fn check_error(certificate: &str, key: &str, want: &str) {
    let error = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), "x.pem").unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(want) && message.contains("x.pem"),
        "{message}"
    );
}

#[test]
fn errors_say_what_is_wrong() {
    let (certificate, key) = self_signed(&["a.example"]);
    let (_, other_key) = self_signed(&["a.example"]);
    check_error("", &key, "no CERTIFICATE section");
    check_error(&key, &key, "no CERTIFICATE section");
    check_error(&certificate, "", "no PRIVATE KEY section");
    check_error(&certificate, &certificate, "no PRIVATE KEY section");
    check_error(&certificate, &other_key, "does not belong to");
    check_error(&certificate[..200], &key, "not proper PEM");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check_error(nonsense, &key, "can't be used");
    let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    check_error(&certificate, nonsense, "the key in x.pem can't be used");
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = self_signed(&["a.example"]);
    let certificate_path = folder.path().join("cert.pem");
    let key_path = folder.path().join("key.pem");
    std::fs::write(&certificate_path, &certificate).unwrap();
    let error = Identity::from_files(&certificate_path, &key_path).unwrap_err();
    assert!(error.to_string().contains("key.pem"), "{error}");
    std::fs::write(&key_path, key).unwrap();
    let identity = Identity::from_files(&certificate_path, &key_path).unwrap();
    assert_eq!(identity.names(), ["a.example"]);
    std::fs::write(&key_path, vec![b'x'; PEM_OCTETS_MAX as usize + 1]).unwrap();
    let error = Identity::from_files(&certificate_path, &key_path).unwrap_err();
    assert!(matches!(error, TlsError::TooLarge { .. }), "{error}");
}

#[test]
fn what_a_certificate_says() {
    let identity = identity(&["a.example"]);
    let certificate = &identity.chain()[0];
    let want = aws_lc_rs_digest(certificate);
    assert_eq!(identity.end_point.as_deref(), Some(want.as_slice()));
    // What rcgen gives to certificates that have no end: from 1975-01-01 to 4096-01-01.
    assert_eq!(identity.validity(), Some((157_766_400, 67_090_118_400)));
    for cut in 0..certificate.len() {
        der::tls_server_end_point(&certificate[..cut]);
        der::validity(&certificate[..cut]);
    }
}

fn aws_lc_rs_digest(octets: &[u8]) -> Vec<u8> {
    use ::aws_lc_rs::digest;
    digest::digest(&digest::SHA256, octets).as_ref().to_vec()
}
