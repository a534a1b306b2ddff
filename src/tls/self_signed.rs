//! The certificate of a server that has none: made once, signed by itself.
//!
//! Holds: its key is readable by its owner alone, and stays the same over restarts, so that a client that has trusted it once
//! goes on to.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, DnType, KeyPair};

use super::CertificateError;
use crate::{config::CertificatePair, folder::Folder};

/// Its files, which are made if they aren't there. They are named after the host: with another hostname, another certificate is made.
pub fn files(folder: &Folder, hostname: &str) -> Result<CertificatePair, CertificateError> {
    let file = |extension| folder.tls().join(format!("{hostname}.{extension}"));
    let pair = CertificatePair {
        chain: file("crt").into(),
        key: file("key").into(),
    };
    let chain = pair.chain.path();
    if !(chain.exists() && pair.key.path().exists()) {
        make(&folder.tls(), &pair, hostname)?;
        tracing::warn!(certificate = %chain.display(), "a self-signed certificate was made; clients will ask about it");
    }
    Ok(pair)
}

fn make(folder: &Path, files: &CertificatePair, hostname: &str) -> Result<(), CertificateError> {
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
        write(files.key.path(), pair.serialize_pem().as_bytes(), 0o600)?;
        write(files.chain.path(), pem.as_bytes(), 0o644)
    };
    keep().map_err(|error| CertificateError::Keep(PathBuf::from(folder), error))
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
