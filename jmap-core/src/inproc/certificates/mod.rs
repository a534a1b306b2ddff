//! Certificates that are in the store, so that all nodes show them: imported, or ordered from an ACME server (RFC 8555).
//!
//! Holds: one node at a time works on a certificate, by a lease; what it still writes when another one has taken over is refused. An
//! order is noted as a failure before it begins, so a server that dies in the middle of each doesn't order without an end. A private
//! key leaves the store for whoever shows its certificate, and for nobody else.
//! Other half: `adapters/acme` orders; the binary shows what is here, on every node.

mod records;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use store::{
    Record as _,
    engine::{Assertion, Batch, CommitError, EngineError, Page},
    keys,
};

pub use self::records::{
    AcmeAccountRecord, CertificateOrigin, CertificateRecord, ChallengeKind, ChallengeRecord,
};
use crate::{
    Caller, Core,
    access::{self, Operation},
    admin::Deed,
    cluster::CERTIFICATE,
};

/// Certificates in the store.
pub const CERTIFICATES_MAX: usize = 1000;
/// Names of one certificate.
pub const CERTIFICATE_NAMES_MAX: usize = 100;
/// Octets of a chain and its key together.
pub const CERTIFICATE_OCTETS_MAX: usize = 128 << 10;
/// Octets of a token or name by which a challenge is asked for.
pub const CHALLENGE_NAME_OCTETS_MAX: usize = 253;
/// Characters that are kept of what was wrong with an order.
const PROBLEM_CHARS_MAX: usize = 500;
const ROWS_PER_PAGE: usize = 100;

/// Why something can't be done with a certificate: a sentence for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("only an administrator may do this")]
    Forbidden,
    #[error("there is no certificate by the name of {0} in the store")]
    NotFound(String),
    /// A named limit of this module is reached.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    #[error("the certificate has no name of a host")]
    NoName,
    #[error("the chain and its key have more than {CERTIFICATE_OCTETS_MAX} octets")]
    TooLarge,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<EngineError> for CertificateError {
    fn from(error: EngineError) -> CertificateError {
        CertificateError::Store(error.into())
    }
}

impl From<CommitError> for CertificateError {
    fn from(error: CommitError) -> CertificateError {
        CertificateError::Store(error.into())
    }
}

/// The right to work on a certificate.
#[derive(Clone, Debug)]
pub struct CertificateLease {
    name: String,
    /// What must be true of whatever is written; `None`: there are no other nodes.
    fence: Option<Assertion>,
}

impl CertificateLease {
    /// The certificate's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A challenge in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub kind: ChallengeKind,
    /// The token or name by which it is asked for.
    pub name: String,
    pub record: ChallengeRecord,
}

impl Core {
    /// Another number after each change to any certificate.
    pub async fn certificate_changes(&self) -> Result<i64, CertificateError> {
        let found = self.engine.get(&keys::certificate_changes()).await?;
        let octets = found.and_then(|bytes| <[u8; 8]>::try_from(&bytes[..]).ok());
        Ok(octets.map_or(0, i64::from_be_bytes))
    }

    /// All certificates. One that can't be read is left out.
    pub async fn certificates(
        &self,
        who: &Caller,
    ) -> Result<Vec<(String, CertificateRecord)>, CertificateError> {
        may(who, Operation::SeeCertificates)?;
        let mut found = Vec::new();
        let mut range = keys::certificates();
        loop {
            let page = Page::first(range.clone(), ROWS_PER_PAGE);
            let rows = self.engine.scan(page).await?;
            for (key, bytes) in &rows {
                let name = keys::decode_certificate(key).unwrap_or_default();
                match CertificateRecord::from_bytes(key, bytes) {
                    Ok(record) => found.push((name.to_owned(), record)),
                    Err(error) => {
                        tracing::error!(name, %error, "a certificate can't be read, and isn't shown")
                    }
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(found);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// One of them; `None` also where it can't be read, so that another one takes its place.
    pub async fn certificate(
        &self,
        who: &Caller,
        name: &str,
    ) -> Result<Option<CertificateRecord>, CertificateError> {
        may(who, Operation::SeeCertificates)?;
        Ok(self.stored_certificate(name).await?.1)
    }

    /// Keeps a certificate that an operator brings, in place of one by the same name.
    pub async fn import_certificate(
        &self,
        who: &Caller,
        record: CertificateRecord,
    ) -> Result<(), CertificateError> {
        may(who, Operation::ChangeCertificates)?;
        let Some(name) = record.names.first().cloned() else {
            return Err(CertificateError::NoName);
        };
        check_size(&record)?;
        let change = |of: &mut CertificateRecord| *of = record.clone();
        let deed = Deed::new(Operation::ChangeCertificates, &*name).secret("certificate");
        let by = By::Administrator(who, deed);
        self.change_row(&name, by, Absent::IsMade, change).await
    }

    /// Takes one away.
    pub async fn remove_certificate(
        &self,
        who: &Caller,
        name: &str,
    ) -> Result<(), CertificateError> {
        may(who, Operation::ChangeCertificates)?;
        if !self.has_certificate(name).await? {
            return Err(not_found(name));
        }
        let mut batch = Batch::new();
        batch.delete(keys::certificate(name));
        batch.add(keys::certificate_changes(), 1);
        let deed = Deed::new(Operation::ChangeCertificates, name);
        let deed = deed.field("certificate", name.to_owned(), None);
        self.audit(&mut batch, who, deed);
        Ok(self.engine.commit(batch).await?)
    }

    /// Has the next one ordered now, whatever went wrong before.
    pub async fn renew_certificate(
        &self,
        who: &Caller,
        name: &str,
    ) -> Result<(), CertificateError> {
        may(who, Operation::ChangeCertificates)?;
        if !self.has_certificate(name).await? {
            return Err(not_found(name));
        }
        let change = |record: &mut CertificateRecord| {
            record.renew_at = Some(0);
            record.next_try = None;
            record.failures = 0;
        };
        let deed = Deed::new(Operation::ChangeCertificates, name);
        let by = By::Administrator(who, deed.field("renewal", None, "now".to_owned()));
        self.change_row(name, by, Absent::StaysSo, change).await
    }

    /// Takes the work on a certificate; `None`: another node is at it.
    pub async fn lease_certificate(
        &self,
        name: &str,
    ) -> Result<Option<CertificateLease>, CertificateError> {
        let fence = match &self.cluster {
            None => None,
            Some(cluster) => match cluster.lease(&lease_name(name)).await? {
                Some(fence) => Some(fence),
                None => return Ok(None),
            },
        };
        let name = name.to_owned();
        Ok(Some(CertificateLease { name, fence }))
    }

    /// Gives the work back.
    pub async fn release_certificate(
        &self,
        lease: CertificateLease,
    ) -> Result<(), CertificateError> {
        match (&self.cluster, &lease.fence) {
            (Some(cluster), Some(fence)) => {
                Ok(cluster.give_back(&lease_name(&lease.name), fence).await?)
            }
            _ => Ok(()),
        }
    }

    /// Changes a certificate that is leased.
    ///
    /// # Errors
    /// [`store::Error::Conflict`] where the lease is another node's by now.
    pub async fn change_certificate(
        &self,
        lease: &CertificateLease,
        change: impl Fn(&mut CertificateRecord) + Send + Sync,
    ) -> Result<(), CertificateError> {
        let bounded = |record: &mut CertificateRecord| {
            change(record);
            record.problem = record.problem.take().map(|text| short(&text));
        };
        let mut tried = CertificateRecord::default();
        bounded(&mut tried);
        check_size(&tried)?;
        let by = By::Worker(lease.fence.as_ref());
        self.change_row(&lease.name, by, Absent::IsMade, bounded)
            .await
    }

    async fn has_certificate(&self, name: &str) -> Result<bool, store::Error> {
        // The key without a name is that of the counter.
        Ok(!name.is_empty() && self.engine.contains(&keys::certificate(name)).await?)
    }

    async fn stored_certificate(
        &self,
        name: &str,
    ) -> Result<(Option<Bytes>, Option<CertificateRecord>), store::Error> {
        let key = keys::certificate(name);
        let found = self.engine.get(&key).await?;
        let record = found.as_ref().and_then(|bytes| {
            CertificateRecord::from_bytes(&key, bytes)
                .inspect_err(|error| tracing::error!(name, %error, "a certificate can't be read"))
                .ok()
        });
        Ok((found, record))
    }

    /// Makes a change of a row that somebody else may change at the same time.
    async fn change_row(
        &self,
        name: &str,
        by: By<'_>,
        absent: Absent,
        change: impl Fn(&mut CertificateRecord) + Send + Sync,
    ) -> Result<(), CertificateError> {
        let key = keys::certificate(name);
        let fence = match &by {
            By::Administrator(..) => None,
            By::Worker(fence) => *fence,
        };
        for _ in 0..crate::object::TRIES {
            let (found, record) = self.stored_certificate(name).await?;
            let mut batch = Batch::new();
            if let Some(fence) = fence {
                batch.assert(fence.clone());
            }
            batch.assert(match &found {
                Some(bytes) => Assertion::Equals(key.clone(), bytes.clone()),
                None if absent == Absent::StaysSo => return Err(not_found(name)),
                None => Assertion::Absent(key.clone()),
            });
            if found.is_none() && self.count_certificates().await? >= CERTIFICATES_MAX {
                return Err(CertificateError::TooMany("certificates"));
            }
            let mut record = record.unwrap_or_default();
            let before = record.clone();
            change(&mut record);
            batch.put(key.clone(), record.to_bytes());
            batch.add(keys::certificate_changes(), 1);
            match &by {
                By::Administrator(who, deed) => self.audit(&mut batch, who, deed.clone()),
                By::Worker(_) => self.tell_certificate(&mut batch, &before, &record),
            }
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Err(store::Error::Conflict) if self.holds(fence).await? => {}
                done => return Ok(done?),
            }
        }
        Err(store::Error::Conflict.into())
    }

    async fn count_certificates(&self) -> Result<usize, store::Error> {
        let page = Page::first(keys::certificates(), CERTIFICATES_MAX).keys_only();
        Ok(self.engine.scan(page).await?.len())
    }

    /// Whether what a lease asserts is still true.
    async fn holds(&self, fence: Option<&Assertion>) -> Result<bool, store::Error> {
        match fence {
            Some(Assertion::Equals(key, bytes)) => {
                Ok(self.engine.get(key).await?.as_ref() == Some(bytes))
            }
            _ => Ok(true),
        }
    }
}

/// Who changes a certificate.
enum By<'a> {
    /// It is audited.
    Administrator(&'a Caller, Deed),
    /// Under what its lease asserts.
    Worker(Option<&'a Assertion>),
}

/// What becomes of a row that isn't there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    IsMade,
    StaysSo,
}

/// Accounts and challenges.
impl Core {
    /// The account at an ACME server.
    pub async fn acme_account(
        &self,
        directory: &str,
    ) -> Result<Option<AcmeAccountRecord>, CertificateError> {
        let key = keys::acme_account(directory);
        let found = self.engine.get(&key).await?;
        let record = found.map(|bytes| AcmeAccountRecord::from_bytes(&key, &bytes));
        Ok(record.transpose()?)
    }

    /// Keeps an account in place of `before`. What is kept now: another node's, if that was faster.
    pub async fn keep_acme_account(
        &self,
        directory: &str,
        before: Option<&AcmeAccountRecord>,
        account: AcmeAccountRecord,
    ) -> Result<AcmeAccountRecord, CertificateError> {
        let key = keys::acme_account(directory);
        let mut batch = Batch::new();
        batch.assert(as_it_was(&key, before));
        batch.put(key, account.to_bytes());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => Ok(account),
            Err(store::Error::Conflict) => {
                let theirs = self.acme_account(directory).await?;
                theirs.ok_or(store::Error::Conflict.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets an account that the server doesn't know any more.
    pub async fn forget_acme_account(
        &self,
        directory: &str,
        account: &AcmeAccountRecord,
    ) -> Result<(), CertificateError> {
        let key = keys::acme_account(directory);
        let mut batch = Batch::new();
        batch.assert(as_it_was(&key, Some(account)));
        batch.delete(key);
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            // It is another one by now.
            Err(store::Error::Conflict) => Ok(()),
            done => Ok(done?),
        }
    }

    /// The answer to a challenge, whichever node is asked; `None`: nobody asks for it.
    pub async fn challenge(
        &self,
        kind: ChallengeKind,
        name: &str,
    ) -> Result<Option<ChallengeRecord>, CertificateError> {
        if name.is_empty() || name.len() > CHALLENGE_NAME_OCTETS_MAX {
            return Ok(None);
        }
        let key = keys::challenge(kind as u8, name);
        let Some(bytes) = self.engine.get(&key).await? else {
            return Ok(None);
        };
        let record = ChallengeRecord::from_bytes(&key, &bytes)?;
        Ok(Some(record).filter(|record| record.expires > self.clock.now().seconds()))
    }

    /// The challenges of a certificate, also those that have expired.
    pub async fn challenges_of(
        &self,
        certificate: &str,
    ) -> Result<Vec<Challenge>, CertificateError> {
        let mut all = self.all_challenges().await?;
        all.retain(|challenge| challenge.record.certificate == certificate);
        Ok(all)
    }

    /// Puts challenges into their places.
    pub async fn put_challenges(
        &self,
        lease: &CertificateLease,
        challenges: &[Challenge],
    ) -> Result<(), CertificateError> {
        let mut batch = fenced(lease);
        for of in challenges {
            let key = keys::challenge(of.kind as u8, &of.name);
            batch.put(key, of.record.to_bytes());
        }
        Ok(self.engine.commit(batch).await?)
    }

    /// Takes challenges away.
    pub async fn remove_challenges(
        &self,
        lease: &CertificateLease,
        challenges: &[Challenge],
    ) -> Result<(), CertificateError> {
        let mut batch = fenced(lease);
        for of in challenges {
            batch.delete(keys::challenge(of.kind as u8, &of.name));
        }
        Ok(self.engine.commit(batch).await?)
    }

    async fn all_challenges(&self) -> Result<Vec<Challenge>, CertificateError> {
        let mut found = Vec::new();
        let mut range = keys::all(keys::Subspace::Challenge);
        loop {
            let page = Page::first(range.clone(), ROWS_PER_PAGE);
            let rows = self.engine.scan(page).await?;
            for (key, bytes) in &rows {
                let (kind, name) = keys::decode_challenge(key)
                    .ok_or_else(|| store::Error::bad_key("ACME challenge", key))?;
                // A kind that is new to this version is another one's work.
                let Some(kind) = ChallengeKind::from_number(kind) else {
                    continue;
                };
                found.push(Challenge {
                    kind,
                    name: name.to_owned(),
                    record: ChallengeRecord::from_bytes(key, bytes)?,
                });
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                return Ok(found);
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }
}

fn lease_name(certificate: &str) -> String {
    format!("{CERTIFICATE}{certificate}")
}

fn fenced(lease: &CertificateLease) -> Batch {
    let mut batch = Batch::new();
    if let Some(fence) = &lease.fence {
        batch.assert(fence.clone());
    }
    batch
}

fn as_it_was(key: &[u8], account: Option<&AcmeAccountRecord>) -> Assertion {
    match account {
        Some(account) => Assertion::Equals(key.to_vec(), account.to_bytes()),
        None => Assertion::Absent(key.to_vec()),
    }
}

fn check_size(record: &CertificateRecord) -> Result<(), CertificateError> {
    if record.names.len() > CERTIFICATE_NAMES_MAX {
        return Err(CertificateError::TooMany("names of a certificate"));
    }
    let chain: usize = record
        .chain
        .iter()
        .map(|certificate| certificate.len())
        .sum();
    if chain + record.private_key.expose().len() > CERTIFICATE_OCTETS_MAX {
        return Err(CertificateError::TooLarge);
    }
    Ok(())
}

fn not_found(name: &str) -> CertificateError {
    CertificateError::NotFound(name.to_owned())
}

fn may(who: &Caller, operation: Operation) -> Result<(), CertificateError> {
    access::may_run(who, operation).map_err(|_| CertificateError::Forbidden)
}

fn short(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(PROBLEM_CHARS_MAX).collect()
}
