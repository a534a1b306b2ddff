//! What a server shows to who connects: `openssl s_client`, and what it says.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e::Server;
pub use e2e::acme::{s_client, wait_up_to};
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

/// How long a change may take to be seen.
const WAIT: Duration = Duration::from_secs(20);

/// A way to TLS: the port, and the protocol that it begins in.
pub type Way = (&'static str, u16, Option<&'static str>);

/// Every listener of a server that speaks TLS.
pub fn ways(server: &Server) -> Vec<Way> {
    let home = &server.home;
    vec![
        ("smtp", home.smtp, Some("smtp")),
        ("submission", home.submission, Some("smtp")),
        ("lmtp", home.lmtp, Some("lmtp")),
        ("imap", home.imap, Some("imap")),
        ("imaps", home.imaps, None),
        ("pop3", home.pop3, Some("pop3")),
        ("pop3s", home.pop3s, None),
        ("managesieve", home.managesieve, Some("sieve")),
        ("https", home.https, None),
    ]
}

/// The server's own certificate, as PEM.
pub fn shown(port: u16, starttls: Option<&str>, name: Option<&str>) -> String {
    let output = s_client(port, starttls, name, &[]);
    let begin = output.find("-----BEGIN CERTIFICATE-----");
    let end = output.find("-----END CERTIFICATE-----");
    match (begin, end) {
        (Some(begin), Some(end)) => output[begin..end].trim().to_owned(),
        _ => panic!("no certificate at port {port}:\n{output}"),
    }
}

/// A pair of files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// For these names, signed by itself.
    pub fn make(
        folder: &Path,
        file: &str,
        names: &[&str],
        kind: &'static SignatureAlgorithm,
    ) -> Pair {
        let key = KeyPair::generate_for(kind).expect("no key");
        Pair::write(folder, file, names, &key)
    }

    fn write(folder: &Path, file: &str, names: &[&str], key: &KeyPair) -> Pair {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let params = CertificateParams::new(names).expect("no names");
        let certificate = params.self_signed(key).expect("no certificate");
        let pair = Pair {
            chain: folder.join(format!("{file}.crt")),
            key: folder.join(format!("{file}.key")),
        };
        fs::write(&pair.chain, certificate.pem()).expect("not written");
        fs::write(&pair.key, key.serialize_pem()).expect("not written");
        pair
    }

    /// As [`shown`] has it.
    pub fn certificate(&self) -> String {
        let pem = fs::read_to_string(&self.chain).expect("not read");
        let pem = pem.replace('\r', "");
        let end = pem.find("-----END CERTIFICATE-----");
        pem[..end.expect("no certificate")].trim().to_owned()
    }

    /// As the configuration has it.
    pub fn line(&self) -> String {
        format!(
            "chain = \"{}\"\nkey = \"{}\"",
            self.chain.display(),
            self.key.display()
        )
    }
}

/// Waits until something is true.
pub fn wait_for(what: &str, is_true: impl Fn() -> bool) {
    wait_up_to(WAIT, what, is_true);
}
