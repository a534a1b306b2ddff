//! `posthorn tls`: the certificates that listeners show.
//!
//! Holds: a private key goes in, and none comes out.
//! Other half: `crate::tls`.

use std::{fmt::Write as _, fs, io, path::PathBuf};

use clap::Subcommand;
use jmap_core::{
    Caller,
    auth::Secret,
    inproc::certificates::{CertificateOrigin, CertificateRecord},
};
use net::tls::PEM_OCTETS_MAX;
use serde::{Deserialize, Serialize};

use super::{
    command::{Answer, Password},
    execute::{Done, Target, done},
    print::day,
};
use crate::tls::{Origin, Shown, imported};

#[derive(Debug, Subcommand)]
pub enum TlsVerb {
    /// Which there are, until when they are good, and their TLSA record for DANE
    List,
    /// Orders the next certificate from the ACME server now
    Renew {
        /// The first name of the certificate
        name: String,
    },
    /// Puts a certificate into the store, for all servers over it
    Import {
        /// PEM, the server's own certificate first
        chain: PathBuf,
        /// PEM, not encrypted
        key: PathBuf,
    },
    /// Takes a certificate out of the store; if it is ordered, there will be another one
    Remove {
        /// The first name of the certificate
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum TlsCommand {
    List,
    Renew { name: String },
    Import { chain: String, key: Password },
    Remove { name: String },
}

impl TlsVerb {
    /// Files are read here: the server may not see them.
    pub fn command(self) -> io::Result<TlsCommand> {
        Ok(match self {
            TlsVerb::List => TlsCommand::List,
            TlsVerb::Renew { name } => TlsCommand::Renew { name },
            TlsVerb::Import { chain, key } => TlsCommand::Import {
                chain: read(&chain)?,
                key: Password(Secret::new(read(&key)?)),
            },
            TlsVerb::Remove { name } => TlsCommand::Remove { name },
        })
    }
}

fn read(file: &PathBuf) -> io::Result<String> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    if fs::metadata(file).map_err(named)?.len() > PEM_OCTETS_MAX {
        return Err(named(io::Error::other("it is too large for a certificate")));
    }
    fs::read_to_string(file).map_err(named)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateSource {
    File,
    Acme,
    Imported,
    SelfSigned,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRow {
    /// What `renew` and `remove` call it by; `None`: it isn't in the store.
    pub name: Option<String>,
    pub names: Vec<String>,
    pub source: CertificateSource,
    pub file: Option<String>,
    /// Seconds since 1970; `None`: it hasn't come yet.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// The data of a TLSA record (RFC 7672 §3.1.1).
    pub tlsa: Option<String>,
    /// Orders that were begun since the last one that was fulfilled.
    pub failures: u32,
    /// Nothing is ordered before, in seconds since 1970.
    pub next_try: Option<i64>,
    /// Why something newer isn't shown.
    pub problem: Option<String>,
}

pub async fn execute(target: &Target, who: &Caller, command: TlsCommand) -> Done {
    let core = &target.core;
    match command {
        TlsCommand::List => {
            let certificates = match &target.certificates {
                Some(certificates) => certificates.clone(),
                None => target.publisher.certificates(core).await?,
            };
            // What another node, or a command, has changed a moment ago.
            certificates.look(false).await?;
            let rows = certificates.all().into_iter().map(row);
            Ok(Answer::Certificates(rows.collect()))
        }
        TlsCommand::Import { chain, key } => {
            let record = imported(chain.as_bytes(), key.0.expose().as_bytes())?;
            let names = record.names.join(" ");
            core.import_certificate(who, record).await?;
            tell(target);
            done(format!("the certificate for {names} is shown from now on"))
        }
        TlsCommand::Remove { name } => {
            core.remove_certificate(who, &name).await?;
            tell(target);
            done(format!("the certificate {name} is gone"))
        }
        TlsCommand::Renew { name } => {
            core.renew_certificate(who, &name).await?;
            tell(target);
            done(match target.certificates {
                Some(_) => format!("{name} is ordered now: `posthorn tls list` tells how it goes"),
                None => format!("{name} is ordered when a server runs"),
            })
        }
    }
}

/// Has a running server take notice.
fn tell(target: &Target) {
    if let Some(certificates) = &target.certificates {
        certificates.changed.notify_one();
        certificates.ordered.notify_one();
    }
}

fn row(shown: Shown) -> CertificateRow {
    let (name, stored) = shown.stored().unzip();
    let (file, source) = match &shown.origin {
        Origin::File(file) => (Some(file), CertificateSource::File),
        Origin::SelfSigned => (None, CertificateSource::SelfSigned),
        Origin::Store(_, record) => (None, source_of(record)),
    };
    let validity = shown.identity.as_ref().and_then(|of| of.validity());
    CertificateRow {
        name: name.cloned(),
        names: shown.names(),
        source,
        file: file.map(|file| file.display().to_string()),
        not_before: validity.map(|(from, _)| from),
        not_after: validity.map(|(_, to)| to),
        tlsa: shown.tlsa(),
        failures: stored.map_or(0, |record| record.failures),
        next_try: stored.and_then(|record| record.next_try),
        problem: shown.problem,
    }
}

fn source_of(record: &CertificateRecord) -> CertificateSource {
    match record.origin {
        CertificateOrigin::Acme => CertificateSource::Acme,
        CertificateOrigin::Imported => CertificateSource::Imported,
    }
}

/// Some lines for people.
pub fn line(row: &CertificateRow) -> String {
    let mut text = row.names.join(" ");
    let _ = match row.source {
        CertificateSource::File => {
            write!(text, "  from {}", row.file.as_deref().unwrap_or("a file"))
        }
        CertificateSource::Acme => write!(text, "  ordered"),
        CertificateSource::Imported => write!(text, "  imported"),
        CertificateSource::SelfSigned => write!(text, "  signed by itself"),
    };
    let _ = match row.not_after {
        Some(end) => write!(text, "  good until {}", day(end)),
        None => write!(text, "  not there yet"),
    };
    if let Some(tlsa) = &row.tlsa {
        let _ = write!(text, "\n  TLSA {tlsa}");
    }
    if row.failures > 0 {
        let _ = write!(text, "\n  {} orders without a certificate", row.failures);
    }
    if let Some(problem) = &row.problem {
        let _ = write!(text, "\n  ! {problem}");
    }
    text
}
