//! Certificates that are in the store: imported, or ordered.
//!
//! Holds: one that can't be used costs itself and nothing else.
//! Other half: `jmap_core::inproc::certificates`.

use std::sync::Arc;

use jmap_core::{
    Caller, Core,
    auth::Secret,
    inproc::certificates::{CertificateError, CertificateOrigin, CertificateRecord},
};
use minicbor::bytes::ByteVec;
use net::{Identity, tls::TlsError};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Origin, Shown};

/// All of them, as they were when they were read.
#[derive(Debug, Default)]
pub struct Stored {
    /// The number of changes that they are of.
    pub changes: i64,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    record: Arc<CertificateRecord>,
    identity: Option<Identity>,
    problem: Option<String>,
}

impl Stored {
    pub async fn read(core: &Core) -> Result<Stored, CertificateError> {
        // Before the rows: what changes meanwhile is read the next time.
        let changes = core.certificate_changes().await?;
        let rows = core.certificates(&Caller::server()).await?;
        let rows = rows
            .into_iter()
            .map(|(name, record)| Row::new(name, record));
        Ok(Stored {
            changes,
            rows: rows.collect(),
        })
    }

    pub fn all(&self) -> Vec<Shown> {
        let shown = self.rows.iter().map(|row| Shown {
            origin: Origin::Store(row.name.clone(), row.record.clone()),
            identity: row.identity.clone(),
            problem: row.problem.clone(),
        });
        shown.collect()
    }

    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        self.rows.iter().filter_map(|row| row.identity.clone())
    }
}

impl Row {
    fn new(name: String, record: CertificateRecord) -> Row {
        let (identity, unusable) = match identity(&name, &record) {
            Ok(identity) => (identity, None),
            Err(error) => {
                tracing::error!(certificate = %name, %error, "a certificate in the store can't be used");
                (None, Some(error.to_string()))
            }
        };
        Row {
            identity,
            problem: unusable.or_else(|| record.problem.clone()),
            record: Arc::new(record),
            name,
        }
    }
}

/// `None`: it hasn't come yet.
fn identity(name: &str, record: &CertificateRecord) -> Result<Option<Identity>, TlsError> {
    if record.chain.is_empty() {
        return Ok(None);
    }
    let chain = record.chain.iter();
    let chain = chain.map(|of| CertificateDer::from(of.to_vec())).collect();
    let key = PrivateKeyDer::try_from(record.private_key.expose().clone());
    let key = key.map_err(|reason| TlsError::Key {
        origin: name.to_owned(),
        reason: reason.to_owned(),
    })?;
    Identity::from_der(chain, key, name).map(Some)
}

/// Makes a record of what an operator brings, if it can be used. Errors are sentences.
pub fn imported(chain_pem: &[u8], key_pem: &[u8]) -> Result<CertificateRecord, TlsError> {
    let identity = Identity::from_pem(chain_pem, key_pem, "what was given")?;
    let key = net::tls::private_key(key_pem, "what was given")?;
    let (not_before, not_after) = identity.validity().unwrap_or_default();
    let chain = identity.chain().iter();
    Ok(CertificateRecord {
        names: identity.names().to_vec(),
        origin: CertificateOrigin::Imported,
        chain: chain.map(|of| ByteVec::from(of.to_vec())).collect(),
        private_key: Secret::new(key.secret_der().to_vec()),
        not_before,
        not_after,
        ..CertificateRecord::default()
    })
}
