//! What is ordered from an ACME server, as the configuration has it.
//!
//! Holds: files are read when the server starts, so a secret that is missing is told then.
//! Other half: `adapters/acme`, which does it.

use std::{io, path::PathBuf, sync::Arc};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jmap_core::auth::Secret;
use smtp::client::{Roots, RootsError};
use tokio::sync::watch;

use crate::{
    config::{Config, DnsAlgorithm, NamedFile},
    delivery, wire,
};

/// Why nothing can be ordered: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{0} can't be read: {1}")]
    File(PathBuf, io::Error),
    #[error("the first line of {0} is no key in {1}")]
    Key(PathBuf, &'static str),
    #[error(transparent)]
    Update(#[from] acme::UpdateError),
}

/// `None`: nothing is ordered.
pub fn settings(config: &Config) -> Result<Option<acme::Settings>, AcmeError> {
    let of = &config.tls.acme;
    if of.certificate.is_empty() {
        return Ok(None);
    }
    let roots = match &of.ca_file {
        Some(file) => delivery::authorities(file)?,
        None => Roots::of_the_system(),
    };
    let external_account = match (&of.external_account, &of.external_account_key_file) {
        (Some(id), Some(file)) => {
            let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
            Some(acme::ExternalAccount {
                id: id.clone(),
                key: key(file, "base64url", decode)?,
            })
        }
        _ => None,
    };
    let certificates = of.certificate.iter().map(|wanted| acme::Wanted {
        names: wanted.names.iter().map(|name| name.0.clone()).collect(),
        challenge: of.challenge_of(wanted),
    });
    Ok(Some(acme::Settings {
        directory: of.directory.clone(),
        tls: Arc::new(roots.https()?),
        contact: of.contact.iter().map(|to| format!("mailto:{to}")).collect(),
        external_account,
        certificates: certificates.collect(),
        dns: updater(config)?,
        dns_wait: of.dns.wait.0,
        reuse_key: of.reuse_key,
        retry: acme::Retry {
            first: of.retry.0,
            longest: of.retry_max.0,
        },
    }))
}

/// Orders what the settings of the moment say, for as long as there may be others.
pub async fn run(mut settings: watch::Receiver<Option<acme::Settings>>, tools: acme::Tools) {
    loop {
        let now = settings.borrow_and_update().clone();
        let ordering = async {
            match now {
                Some(now) => acme::run(now, tools.clone()).await,
                None => loop {
                    acme::forget_unwanted(&tools, &[]).await;
                    tokio::time::sleep(acme::FORGET_EVERY).await;
                },
            }
        };
        tokio::select! {
            // An order that is broken off is taken up when its lease is over.
            changed = settings.changed() => if changed.is_err() { return },
            () = ordering => return,
        }
    }
}

/// The name server that takes updates.
fn updater(config: &Config) -> Result<Option<acme::Updater>, AcmeError> {
    let of = &config.tls.acme.dns;
    let (Some(server), Some(key_name), Some(file)) = (of.server, &of.key_name, &of.key_file) else {
        return Ok(None);
    };
    let settings = acme::UpdateSettings {
        server,
        key_name: key_name.clone(),
        algorithm: match of.algorithm {
            DnsAlgorithm::HmacSha256 => acme::UpdateAlgorithm::HmacSha256,
            DnsAlgorithm::HmacSha384 => acme::UpdateAlgorithm::HmacSha384,
            DnsAlgorithm::HmacSha512 => acme::UpdateAlgorithm::HmacSha512,
        },
        key: key(file, "base64", |text| STANDARD.decode(text))?,
    };
    let updater = acme::Updater::new(&settings, wire::clock(), wire::rng())?;
    Ok(Some(updater))
}

/// The key in the first line of a file.
fn key(
    file: &NamedFile,
    form: &'static str,
    decode: impl Fn(&str) -> Result<Vec<u8>, base64::DecodeError>,
) -> Result<Secret<Vec<u8>>, AcmeError> {
    let path = || file.path().to_owned();
    let line = delivery::password_of(file);
    let line = line.map_err(|error| AcmeError::File(path(), error))?;
    let octets = decode(line.expose().trim());
    let octets = octets.map_err(|_| AcmeError::Key(path(), form))?;
    Ok(Secret::new(octets))
}
