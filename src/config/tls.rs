//! Certificates: which, and where they are.
//!
//! Holds: keys and secrets are in files, never in here.
//! Other half: `crate::tls`, which reads them.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor},
};

use super::{acme::Acme, named_file::NamedFile};

/// The names of settings in errors.
const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";
/// Pairs of files.
const PAIRS_MAX: usize = 1000;

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// Without any, and without one in the store, a self-signed one is made.
    pub certificate: Option<CertificateFiles>,
    /// Of the only certificate.
    pub key: Option<NamedFile>,
    pub acme: Acme,
}

/// `certificate = "FILE"` and `key = "FILE"`, or any number of `[[tls.certificate]]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CertificateFiles {
    One(NamedFile),
    Many(Vec<CertificatePair>),
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertificatePair {
    /// The server's own certificate first.
    pub chain: NamedFile,
    pub key: NamedFile,
}

impl Tls {
    /// All pairs of files, the one that serves unknown names first.
    pub fn pairs(&self) -> Vec<CertificatePair> {
        match (&self.certificate, &self.key) {
            (Some(CertificateFiles::One(chain)), Some(key)) => vec![CertificatePair {
                chain: chain.clone(),
                key: key.clone(),
            }],
            (Some(CertificateFiles::Many(pairs)), _) => pairs.clone(),
            _ => Vec::new(),
        }
    }

    /// The files that it names, with their keys.
    pub(super) fn files_mut(&mut self) -> Vec<(&'static str, &mut NamedFile)> {
        let certificates: Vec<&mut NamedFile> = match &mut self.certificate {
            None => Vec::new(),
            Some(CertificateFiles::One(chain)) => vec![chain],
            Some(CertificateFiles::Many(pairs)) => pairs
                .iter_mut()
                .flat_map(|pair| [&mut pair.chain, &mut pair.key])
                .collect(),
        };
        let certificates = certificates.into_iter().map(|path| (CERTIFICATE, path));
        let key = self.key.iter_mut().map(|path| (KEY, path));
        let acme = self.acme.files_mut().into_iter();
        let acme = acme.filter_map(|(key, path)| Some((key, path.as_mut()?)));
        certificates.chain(key).chain(acme).collect()
    }

    /// The first key that doesn't fit, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        match (&self.certificate, &self.key) {
            (Some(CertificateFiles::One(_)), None) => Err((
                CERTIFICATE,
                "the certificate needs tls.key as well".to_owned(),
            )),
            (None, Some(_)) => Err((KEY, "the key needs tls.certificate as well".to_owned())),
            (Some(CertificateFiles::Many(_)), Some(_)) => Err((
                KEY,
                "each [[tls.certificate]] has a key of its own".to_owned(),
            )),
            (Some(CertificateFiles::Many(pairs)), None) if pairs.len() > PAIRS_MAX => {
                Err((CERTIFICATE, format!("there are more than {PAIRS_MAX}")))
            }
            _ => self.acme.check(),
        }
    }
}

impl<'de> Deserialize<'de> for CertificateFiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CertificateFiles, D::Error> {
        deserializer.deserialize_any(FilesVisitor)
    }
}

/// By hand, so that errors say what is wrong and not only that neither form fits.
struct FilesVisitor;

impl<'de> Visitor<'de> for FilesVisitor {
    type Value = CertificateFiles;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a file, or [[tls.certificate]] with chain and key")
    }

    fn visit_str<E: de::Error>(self, file: &str) -> Result<CertificateFiles, E> {
        Ok(CertificateFiles::One(file.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<CertificateFiles, A::Error> {
        let mut all = Vec::new();
        while let Some(pair) = pairs.next_element()? {
            all.push(pair);
        }
        Ok(CertificateFiles::Many(all))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn tls(text: &str) -> Result<Tls, String> {
        let config = Config::parse(text, Path::new("p.toml"));
        config
            .map(|config| config.tls)
            .map_err(|error| error.to_string())
    }

    fn pair(chain: &str, key: &str) -> CertificatePair {
        CertificatePair {
            chain: chain.into(),
            key: key.into(),
        }
    }

    #[test]
    fn one_or_many() {
        let one = tls("[tls]\ncertificate = \"c\"\nkey = \"k\"\n").unwrap();
        assert_eq!(one.pairs(), [pair("c", "k")]);
        let many = "[[tls.certificate]]\nchain = \"c\"\nkey = \"k\"\n[[tls.certificate]]\nchain = \"d\"\nkey = \"l\"\n";
        assert_eq!(tls(many).unwrap().pairs(), [pair("c", "k"), pair("d", "l")]);
        assert_eq!(Tls::default().pairs(), []);
    }

    #[test]
    fn paths_are_meant_from_the_file() {
        let mut of = tls("[[tls.certificate]]\nchain = \"c\"\nkey = \"k\"\n").unwrap();
        for (_, file) in of.files_mut() {
            file.mean_from(Path::new("/etc"));
        }
        assert_eq!(of.pairs(), [pair("/etc/c", "/etc/k")]);
    }

    #[test]
    fn wrong_values_are_told() {
        let rows = [
            (
                "[[tls.certificate]]\nchain = \"c\"\n",
                "p.toml, line 1, tls.certificate: missing field `key`",
            ),
            (
                "[[tls.certificate]]\nchain = \"c\"\nkeys = \"k\"\n",
                "p.toml, line 3, tls.certificate.keys: unknown field `keys`",
            ),
            (
                "[tls]\ncertificate = 5\n",
                "p.toml, line 2, tls.certificate: invalid type: integer `5`, expected a file",
            ),
            (
                "[tls]\nkey = \"k\"\n[[tls.certificate]]\nchain = \"c\"\nkey = \"k\"\n",
                "p.toml, line 2, tls.key: each [[tls.certificate]] has a key of its own",
            ),
        ];
        for (text, expected) in rows {
            let error = tls(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
        let many = |count: usize| Tls {
            certificate: Some(CertificateFiles::Many(vec![pair("c", "k"); count])),
            ..Tls::default()
        };
        assert_eq!(many(PAIRS_MAX).check(), Ok(()));
        assert_eq!(many(PAIRS_MAX + 1).check().unwrap_err().0, CERTIFICATE);
    }
}
