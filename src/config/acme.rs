//! Certificates that are ordered from an ACME server.
//!
//! Holds: secrets are in files, never in here; what no ACME server would take is an error already at the start.
//! Other half: `crate::tls::acme`, which makes the worker's settings of it.

use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr};

use jmap_core::{
    directory::names,
    inproc::certificates::{CERTIFICATE_NAMES_MAX, CERTIFICATES_MAX, ChallengeKind},
};
use serde::{Deserialize, Serialize};

use super::{named_file::NamedFile, values::Span};

/// Longest URL of a directory, in octets.
const DIRECTORY_OCTETS_MAX: usize = 1000;

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Acme {
    /// The URL of the server's directory.
    pub directory: String,
    /// The terms of service of whoever runs the server. Without it nothing is ordered.
    pub agree_to_terms: bool,
    /// Addresses that the server's owner may write to.
    pub contact: Vec<String>,
    /// PEM: the authorities by which the server itself is known, in place of the system's.
    pub ca_file: Option<NamedFile>,
    /// The account that whoever runs the server has given, and a file with its key in the first line (base64url).
    pub external_account: Option<String>,
    pub external_account_key_file: Option<NamedFile>,
    pub challenge: ChallengeName,
    pub certificate: Vec<AcmeCertificate>,
    pub dns: AcmeDns,
    /// The next certificate has the key of the one before.
    pub reuse_key: bool,
    /// How long to wait after the first order that came to nothing, and at most.
    pub retry: Span,
    pub retry_max: Span,
}

/// A certificate that is to be there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AcmeCertificate {
    pub names: Vec<CertificateName>,
    /// By default that of all certificates.
    pub challenge: Option<ChallengeName>,
}

/// The name server that takes updates (RFC 2136).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AcmeDns {
    pub server: Option<SocketAddr>,
    /// The name of the key, as the name server has it, and a file with the key in its first line (base64).
    pub key_name: Option<String>,
    pub key_file: Option<NamedFile>,
    pub algorithm: DnsAlgorithm,
    /// How long other name servers may take to get what was changed.
    pub wait: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsAlgorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

/// How names are proven to be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChallengeName(pub ChallengeKind);

/// A name of a certificate; `*.` may be in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateName(pub String);

impl Default for Acme {
    fn default() -> Acme {
        Acme {
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            agree_to_terms: false,
            contact: Vec::new(),
            ca_file: None,
            external_account: None,
            external_account_key_file: None,
            challenge: ChallengeName(ChallengeKind::TlsAlpn01),
            certificate: Vec::new(),
            dns: AcmeDns::default(),
            reuse_key: true,
            retry: Span::seconds(60),
            retry_max: Span::seconds(12 * 3600),
        }
    }
}

impl Default for AcmeDns {
    fn default() -> AcmeDns {
        AcmeDns {
            server: None,
            key_name: None,
            key_file: None,
            algorithm: DnsAlgorithm::HmacSha256,
            wait: Span::seconds(10),
        }
    }
}

impl Acme {
    /// How the names of a certificate are proven.
    pub fn challenge_of(&self, certificate: &AcmeCertificate) -> ChallengeKind {
        certificate.challenge.unwrap_or(self.challenge).0
    }

    pub(super) fn files_mut(&mut self) -> [(&'static str, &mut Option<NamedFile>); 3] {
        [
            ("tls.acme.ca-file", &mut self.ca_file),
            (
                "tls.acme.external-account-key-file",
                &mut self.external_account_key_file,
            ),
            ("tls.acme.dns.key-file", &mut self.dns.key_file),
        ]
    }

    /// The first key that doesn't fit, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let wrong = |key: &'static str, why: &str| Err((key, why.to_owned()));
        let is_https = self.directory.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_https || self.directory.len() > DIRECTORY_OCTETS_MAX {
            return wrong("tls.acme.directory", "this is not an https URL");
        }
        if self.external_account.is_some() != self.external_account_key_file.is_some() {
            return wrong(
                "tls.acme.external-account",
                "tls.acme.external-account-key-file and this need each other",
            );
        }
        if !self.contact.iter().all(|text| names::address(text).is_ok()) {
            return wrong("tls.acme.contact", "one of them is not an address");
        }
        if self.retry.0 < acme::RETRY_FIRST_MIN {
            return wrong("tls.acme.retry", "it takes some time");
        }
        if self.retry_max.0 < self.retry.0 {
            return wrong("tls.acme.retry-max", "it is not less than tls.acme.retry");
        }
        self.check_certificates()
    }

    fn check_certificates(&self) -> Result<(), (&'static str, String)> {
        const KEY: &str = "tls.acme.certificate";
        if !self.certificate.is_empty() && !self.agree_to_terms {
            let why = "nothing is ordered before tls.acme.agree-to-terms is true: read the terms of service that the directory names";
            return Err(("tls.acme.agree-to-terms", why.to_owned()));
        }
        if self.certificate.len() > CERTIFICATES_MAX {
            return Err((KEY, format!("there are more than {CERTIFICATES_MAX}")));
        }
        let mut firsts = BTreeSet::new();
        for certificate in &self.certificate {
            let Some(first) = certificate.names.first() else {
                return Err((KEY, "a certificate has names".to_owned()));
            };
            if !firsts.insert(first) {
                let why = format!("two of them begin with {first}");
                return Err((KEY, why));
            }
            if certificate.names.len() > CERTIFICATE_NAMES_MAX {
                let why = format!("{first}: there are more than {CERTIFICATE_NAMES_MAX} names");
                return Err((KEY, why));
            }
            let kind = self.challenge_of(certificate);
            let wildcard = certificate.names.iter().find(|name| name.is_wildcard());
            if let Some(name) = wildcard
                && kind != ChallengeKind::Dns01
            {
                let why = format!("{name} can be proven by dns-01 alone");
                return Err((KEY, why));
            }
            let of = &self.dns;
            let has_dns = of.server.is_some() && of.key_name.is_some() && of.key_file.is_some();
            if kind == ChallengeKind::Dns01 && !has_dns {
                let why =
                    format!("{first}: dns-01 needs server, key-name and key-file of tls.acme.dns");
                return Err((KEY, why));
            }
        }
        Ok(())
    }
}

impl CertificateName {
    fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }
}

impl FromStr for CertificateName {
    type Err = String;

    fn from_str(text: &str) -> Result<CertificateName, String> {
        let (star, name) = match text.strip_prefix("*.") {
            Some(name) => ("*.", name),
            None => ("", text),
        };
        names::domain(name)
            .map(|name| CertificateName(format!("{star}{name}")))
            .map_err(|error| format!("\"{text}\" is not a name for a certificate: {error}"))
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ChallengeName {
    type Err = String;

    fn from_str(text: &str) -> Result<ChallengeName, String> {
        [
            ChallengeKind::Http01,
            ChallengeKind::TlsAlpn01,
            ChallengeKind::Dns01,
        ]
        .into_iter()
        .find(|kind| kind.name() == text)
        .map(ChallengeName)
        .ok_or_else(|| {
            format!("\"{text}\" is not a challenge; there are tls-alpn-01, http-01 and dns-01")
        })
    }
}

impl fmt::Display for ChallengeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn name(text: &str) -> CertificateName {
        text.parse().unwrap()
    }

    fn of(names: &[&str], challenge: ChallengeKind) -> AcmeCertificate {
        AcmeCertificate {
            names: names.iter().copied().map(name).collect(),
            challenge: Some(ChallengeName(challenge)),
        }
    }

    #[test]
    fn a_whole_section() {
        let text = "[tls.acme]\nagree-to-terms = true\ncontact = [\"a@example.org\"]\n\
                    [[tls.acme.certificate]]\nnames = [\"MAIL.example.org\", \"*.example.net\"]\nchallenge = \"dns-01\"\n\
                    [tls.acme.dns]\nserver = \"192.0.2.1:53\"\nkey-name = \"k\"\nkey-file = \"f\"\n";
        let acme = Config::parse(text, Path::new("p.toml")).unwrap().tls.acme;
        let want = of(&["mail.example.org", "*.example.net"], ChallengeKind::Dns01);
        assert_eq!(acme.certificate, [want]);
        assert_eq!(acme.dns.server, Some("192.0.2.1:53".parse().unwrap()));
    }

    #[test]
    fn wrong_values_are_told() {
        let rows = [
            (
                "[tls.acme]\ndirectory = \"http://acme.example/\"\n",
                "p.toml, line 2, tls.acme.directory: this is not an https URL",
            ),
            (
                "[tls.acme]\nchallenge = \"dns\"\n",
                "p.toml, line 2, tls.acme.challenge: \"dns\" is not a challenge",
            ),
            (
                "[[tls.acme.certificate]]\nnames = [\"a b\"]\n",
                "p.toml, line 2, tls.acme.certificate.names: \"a b\" is not a name for a certificate",
            ),
            (
                "[[tls.acme.certificate]]\nnames = [\"a.example\"]\n",
                "p.toml, tls.acme.agree-to-terms: nothing is ordered before",
            ),
            (
                "[tls.acme]\nexternal-account = \"a\"\n",
                "p.toml, line 2, tls.acme.external-account: tls.acme.external-account-key-file",
            ),
            (
                "[tls.acme]\ncontact = [\"a\"]\n",
                "p.toml, line 2, tls.acme.contact: one of them is not an address",
            ),
            (
                "[tls.acme]\nretry = \"0s\"\n",
                "p.toml, line 2, tls.acme.retry: it takes some time",
            ),
            (
                "[tls.acme]\nretry-max = \"1s\"\n",
                "p.toml, line 2, tls.acme.retry-max: it is not less",
            ),
        ];
        for (text, expected) in rows {
            let error = Config::parse(text, Path::new("p.toml"))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    fn check(certificates: Vec<AcmeCertificate>, want: &str) {
        let acme = Acme {
            agree_to_terms: true,
            certificate: certificates,
            ..Acme::default()
        };
        let found = acme.check().err().map(|(_, why)| why).unwrap_or_default();
        assert!(
            found.contains(want) && found.is_empty() == want.is_empty(),
            "{found}"
        );
    }

    #[test]
    fn certificates_that_nobody_issues() {
        let http = ChallengeKind::Http01;
        check(vec![of(&["a.example", "b.example"], http)], "");
        check(vec![of(&[], http)], "a certificate has names");
        check(vec![of(&["*.a.example"], http)], "by dns-01 alone");
        check(
            vec![of(&["a.example"], ChallengeKind::Dns01)],
            "dns-01 needs",
        );
        let same = of(&["a.example"], http);
        check(vec![same.clone(), same], "two of them begin with a.example");
        let names: Vec<String> = (0..=CERTIFICATE_NAMES_MAX)
            .map(|n| format!("{n}.example"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(vec![of(&names[1..], http)], "");
        check(vec![of(&names, http)], "names");
        let many: Vec<AcmeCertificate> = (0..=CERTIFICATES_MAX)
            .map(|number| of(&[format!("{number}.example").as_str()], http))
            .collect();
        check(many[1..].to_vec(), "");
        check(many, "there are more than");
    }
}
