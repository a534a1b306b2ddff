//! The certificate of the listeners: the configured one, or a self-signed one that is made once.
//!
//! Holds: a key that is made here is readable by its owner alone, and stays the same over restarts, so that a client
//! that has trusted it once goes on to.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use net::{Identity, tls::TlsError};
use rcgen::{CertificateParams, DnType, KeyPair};

use crate::{config::Config, folder::Folder};

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("a self-signed certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the self-signed certificate can't be kept in {0}: {1}")]
    Keep(String, io::Error),
}

/// The identity that the listeners show.
pub fn load(config: &Config, folder: &Folder) -> Result<Identity, CertificateError> {
    let hostname = &config.hostname.0;
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) {
        return Ok(Identity::from_files(certificate, key)?.also_for([hostname.as_str()]));
    }
    let (certificate, key) = self_signed_files(folder, hostname);
    if !(certificate.exists() && key.exists()) {
        make(&folder.tls(), &certificate, &key, hostname)?;
        tracing::warn!(certificate = %certificate.display(), "a self-signed certificate was made; clients will ask about it");
    }
    Ok(Identity::from_files(&certificate, &key)?.also_for([hostname.as_str()]))
}

/// Named after the host: with another hostname, another certificate is made.
fn self_signed_files(folder: &Folder, hostname: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let file = |extension| folder.tls().join(format!("{hostname}.{extension}"));
    (file("crt"), file("key"))
}

fn make(
    folder: &Path,
    certificate: &Path,
    key: &Path,
    hostname: &str,
) -> Result<(), CertificateError> {
    let mut names = vec![hostname.to_owned()];
    if hostname == "localhost" {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, hostname);
    let pem = params.self_signed(&pair)?.pem();
    let keep = || {
        if !folder.exists() {
            fs::DirBuilder::new().mode(0o700).create(folder)?;
        }
        // The certificate goes last: with it there, the key is there.
        write(key, pair.serialize_pem().as_bytes(), 0o600)?;
        write(certificate, pem.as_bytes(), 0o644)
    };
    keep().map_err(|error| CertificateError::Keep(folder.display().to_string(), error))
}

/// Writes a file whole or not at all.
fn write(path: &Path, octets: &[u8], mode: u32) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let _ = fs::remove_file(&unfinished);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&unfinished)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
