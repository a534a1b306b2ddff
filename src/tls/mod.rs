//! The certificates of all listeners: from files, from the store, or signed by the server itself until there are any.
//!
//! Holds: files and store are looked at every few seconds, and at once after SIGHUP; what can't be used is complained of, and
//! what was there before goes on to be shown.
//! Other half: `net::tls`, which shows them; `adapters/acme`, which orders those in the store.

pub mod acme;
pub mod files;
mod self_signed;
mod stored;
#[cfg(test)]
pub mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jmap_core::{
    Core,
    clock::Clock,
    inproc::certificates::{self, CertificateRecord},
};
use net::{CertResolver, Identity, tls::TlsError};
use parking_lot::Mutex;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

pub use self::stored::imported;
use self::{files::Watched, stored::Stored};
use crate::{
    config::Config,
    folder::{Folder, FolderError},
    hex,
};

/// How often files and store are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Stored(#[from] certificates::CertificateError),
    #[error("a self-signed certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the self-signed certificate can't be kept in {0}: {1}")]
    Keep(PathBuf, io::Error),
}

/// Where a certificate comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    File(PathBuf),
    /// With its name.
    Store(String, Arc<CertificateRecord>),
    SelfSigned,
}

/// A certificate, as it is told of.
#[derive(Clone, Debug)]
pub struct Shown {
    pub origin: Origin,
    /// `None`: it was ordered, and hasn't come yet.
    pub identity: Option<Identity>,
    /// Why something newer isn't shown.
    pub problem: Option<String>,
}

impl Shown {
    /// Its name and record in the store.
    pub fn stored(&self) -> Option<(&String, &CertificateRecord)> {
        match &self.origin {
            Origin::Store(name, record) => Some((name, record)),
            Origin::File(_) | Origin::SelfSigned => None,
        }
    }

    /// The names of hosts that it is for.
    pub fn names(&self) -> Vec<String> {
        match (&self.identity, self.stored()) {
            (Some(identity), _) => identity.names().to_vec(),
            (None, Some((_, record))) => record.names.clone(),
            (None, None) => Vec::new(),
        }
    }

    /// The data of a TLSA record (RFC 7672 §3.1.1).
    pub fn tlsa(&self) -> Option<String> {
        let hash = self.identity.as_ref()?.public_key_hash()?;
        Some(format!("3 1 1 {}", hex::hex(&hash)))
    }
}

/// All certificates of a server.
#[derive(Debug)]
pub struct Certificates {
    hostname: Mutex<String>,
    folder: Folder,
    core: Core,
    clock: Arc<dyn Clock>,
    resolver: CertResolver,
    files: Mutex<Vec<Watched>>,
    stored: Mutex<Stored>,
    /// Read only when there is nothing else.
    self_signed: Mutex<Option<Watched>>,
    /// When the next of those that are shown ends, in seconds since 1970: another one may come first then.
    next_end: AtomicI64,
    /// Wakes [`Certificates::watch`].
    pub changed: Arc<Notify>,
    /// Wakes whoever orders certificates.
    pub ordered: Arc<Notify>,
}

impl Certificates {
    /// Reads them all.
    pub async fn open(
        config: &Config,
        folder: &Folder,
        core: &Core,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Certificates>, CertificateError> {
        let files = config.tls.pairs().into_iter().map(Watched::open);
        let certificates = Certificates {
            hostname: Mutex::new(config.hostname.0.clone()),
            folder: folder.clone(),
            core: core.clone(),
            clock,
            resolver: CertResolver::default(),
            files: Mutex::new(files.collect::<Result<_, _>>()?),
            stored: Mutex::new(Stored::read(core).await?),
            self_signed: Mutex::default(),
            next_end: AtomicI64::new(i64::MAX),
            changed: Arc::default(),
            ordered: Arc::default(),
        };
        certificates.show()?;
        Ok(Arc::new(certificates))
    }

    /// Goes over to other files, or another hostname. Errors: what was there before goes on to be shown.
    pub fn configure(&self, config: &Config) -> Result<(), CertificateError> {
        let files = config.tls.pairs().into_iter().map(Watched::open);
        let files = files.collect::<Result<_, _>>()?;
        *self.files.lock() = files;
        let before = std::mem::replace(&mut *self.hostname.lock(), config.hostname.0.clone());
        if before != config.hostname.0 {
            // Another one is made for the new name.
            *self.self_signed.lock() = None;
        }
        self.show()
    }

    /// What listeners take them from.
    pub fn resolver(&self) -> &CertResolver {
        &self.resolver
    }

    /// All of them, those of files first.
    pub fn all(&self) -> Vec<Shown> {
        let mut all: Vec<Shown> = Vec::new();
        all.extend(self.files.lock().iter().map(|of| Shown {
            origin: Origin::File(of.files.chain.path().to_owned()),
            identity: Some(of.identity.clone()),
            problem: of.problem.clone(),
        }));
        all.extend(self.stored.lock().all());
        all.extend(self.self_signed.lock().iter().map(|of| Shown {
            origin: Origin::SelfSigned,
            identity: Some(of.identity.clone()),
            problem: None,
        }));
        all
    }

    /// Looks at files and store for as long as the future lives.
    pub async fn watch(self: Arc<Self>) {
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP can't be received"))
            .ok();
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            let anyway = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = self.changed.notified() => false,
                _ = hung_up => true,
            };
            if anyway {
                tracing::info!("SIGHUP: all certificates are read again");
            }
            if let Err(error) = self.look(anyway).await {
                tracing::error!(%error, "the certificates could not be looked at");
            }
        }
    }

    /// Takes in what has changed, or has ended, or reads files `anyway`.
    pub async fn look(self: &Arc<Self>, anyway: bool) -> Result<(), CertificateError> {
        let this = self.clone();
        // Files may be on a disk that doesn't answer.
        let looked = tokio::task::spawn_blocking(move || {
            let mut files = this.files.lock();
            let new = files
                .iter_mut()
                .filter_map(|of| of.look(anyway).then_some(()));
            new.count() > 0
        });
        let mut is_new = looked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "certificates in files could not be looked at");
            false
        });
        let known = self.stored.lock().changes;
        if self.core.certificate_changes().await? != known {
            *self.stored.lock() = Stored::read(&self.core).await?;
            is_new = true;
        }
        let has_ended = self.clock.now().seconds() > self.next_end.load(Ordering::Relaxed);
        match is_new || has_ended {
            true => self.show(),
            false => Ok(()),
        }
    }

    /// Has the listeners show what there is now.
    fn show(&self) -> Result<(), CertificateError> {
        let files = self
            .files
            .lock()
            .iter()
            .map(|of| of.identity.clone())
            .collect();
        let mut identities: Vec<Identity> = files;
        identities.extend(self.stored.lock().identities());
        let hostname = self.hostname.lock().clone();
        let mut self_signed = self.self_signed.lock();
        if identities.is_empty() {
            let own = match self_signed.take() {
                Some(own) => own,
                None => Watched::open(self_signed::files(&self.folder, &hostname)?)?,
            };
            identities.push(own.identity.clone());
            *self_signed = Some(own);
        } else {
            *self_signed = None;
        }
        let now = self.clock.now().seconds();
        let ends = identities.iter().filter_map(Identity::validity);
        let next = ends.map(|(_, end)| end).filter(|end| *end >= now).min();
        self.next_end
            .store(next.unwrap_or(i64::MAX), Ordering::Relaxed);
        self.resolver.replace(ordered(identities, &hostname, now));
        Ok(())
    }
}

/// In the order of preference: what has ended comes last, and the first, which is shown to whoever names no server, has the
/// server's own name if one does.
fn ordered(mut identities: Vec<Identity>, hostname: &str, now: i64) -> Vec<Identity> {
    let is_over = |of: &Identity| of.validity().is_some_and(|(_, end)| end < now);
    identities.sort_by_key(is_over);
    if let Some(own) = identities.iter().position(|of| of.answers_to(hostname)) {
        let own = identities.remove(own);
        identities.insert(0, own);
    }
    identities
}
