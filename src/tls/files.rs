//! A certificate in files, which is read anew when they change.
//!
//! Holds: what can't be used never takes the place of what can. Files that were written while they were read are read again.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use net::{Identity, tls::TlsError};

use crate::config::{CertificatePair, NamedFile};

/// A pair of files.
#[derive(Debug)]
pub struct Watched {
    pub files: CertificatePair,
    /// What is shown; that of an earlier state of the files, if there is a problem.
    pub identity: Identity,
    /// What is wrong with the files as they are now: a sentence.
    pub problem: Option<String>,
    seen: [Option<Stamp>; 2],
}

/// What tells that a file isn't as it was. Time and size are not enough: a file that was replaced within the
/// resolution of the clock by one of the same size has another inode, or a change of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    octets: u64,
    inode: u64,
    device: u64,
}

impl Watched {
    /// Reads a pair for the first time.
    pub fn open(files: CertificatePair) -> Result<Watched, TlsError> {
        let seen = stamps(&files);
        let identity = read(&files)?;
        Ok(Watched {
            files,
            identity,
            problem: None,
            seen,
        })
    }

    /// Reads the pair again if it has changed, or `anyway`. Whether something else is shown from now on.
    pub fn look(&mut self, anyway: bool) -> bool {
        // Before they are read: what is written meanwhile is found the next time.
        let now = stamps(&self.files);
        if now == self.seen && !anyway {
            return false;
        }
        self.seen = now;
        let chain = self.files.chain.path().display();
        match read(&self.files) {
            Ok(identity) => {
                self.problem = None;
                let is_new = identity.chain() != self.identity.chain();
                if is_new {
                    tracing::info!(file = %chain, names = %identity.names().join(" "), "a certificate was replaced");
                    self.identity = identity;
                }
                is_new
            }
            Err(error) => {
                tracing::error!(file = %chain, %error, "a certificate can't be replaced, and the one before goes on to be shown");
                self.problem = Some(error.to_string());
                false
            }
        }
    }
}

/// What a pair of files has now.
pub fn read(files: &CertificatePair) -> Result<Identity, TlsError> {
    let path = |file: &NamedFile| match file.to_read() {
        Ok(path) => Ok(path.to_owned()),
        Err(source) => Err(TlsError::Read {
            origin: file.path().display().to_string(),
            source,
        }),
    };
    Identity::from_files(&path(&files.chain)?, &path(&files.key)?)
}

fn stamps(files: &CertificatePair) -> [Option<Stamp>; 2] {
    [stamp(files.chain.path()), stamp(files.key.path())]
}

/// Of what a link leads to: tools that renew certificates change links.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        octets: metadata.size(),
        inode: metadata.ino(),
        device: metadata.dev(),
    })
}
