//! Sees to it that the certificates that are wanted are there.
//!
//! Holds: an order is noted as a failure, with the time before which there is no other, before it begins; only its success takes
//! that away. So a server that dies in each order waits as one does whose orders are refused.
//! Other half: `order` does one; `schedule` says when.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use instant_acme::{Account, CertificateIdentifier, ExternalAccountKey, NewAccount};
use jmap_core::{
    Caller,
    auth::Secret,
    inproc::certificates::{
        AcmeAccountRecord, CertificateError, CertificateLease, CertificateOrigin, CertificateRecord,
    },
};
use minicbor::bytes::ByteVec;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::sync::Mutex;

use crate::{
    Settings, Tools, Wanted,
    client::AcmeHttp,
    order::{Issued, OrderError, Ordering},
    schedule::{self, Unwanted},
};

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often it is looked for what nobody wants any more.
pub const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// Orders at the same time.
pub const ORDERS_AT_ONCE_MAX: usize = 4;
/// How often the server is asked when it wants a certificate renewed (RFC 9773 §4.3), at most and at least, whatever it says.
const ASK_EVERY_MIN: Duration = Duration::from_secs(3600);
const ASK_EVERY_MAX: Duration = Duration::from_secs(86_400);

/// Orders what is due until the future is dropped.
pub async fn run(settings: Settings, tools: Tools) {
    let worker = Worker {
        settings,
        tools,
        account: Mutex::default(),
        asked: Mutex::default(),
    };
    let mut forgets_at = worker.tools.clock.monotonic();
    loop {
        if worker.tools.clock.monotonic() >= forgets_at {
            forget_unwanted(&worker.tools, &worker.settings.certificates).await;
            forgets_at = worker.tools.clock.monotonic() + FORGET_EVERY;
        }
        futures_util::stream::iter(&worker.settings.certificates)
            .for_each_concurrent(ORDERS_AT_ONCE_MAX, |wanted| worker.look_after(wanted))
            .await;
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY.min(worker.settings.retry.first)) => {}
            () = worker.tools.wake.notified() => {}
        }
    }
}

/// Forgets what was ordered for names that nobody wants any more, and what went wrong with it: a name that was mistyped would be complained of
/// for ever.
pub async fn forget_unwanted(tools: &Tools, wanted: &[Wanted]) {
    let found = match tools.core.certificates(&Caller::server()).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, "certificates that nobody wants could not be looked for");
            return;
        }
    };
    let is_wanted = |name: &String| wanted.iter().any(|of| of.names.first() == Some(name));
    for (name, _) in found.into_iter().filter(|(name, _)| !is_wanted(name)) {
        if let Err(error) = forget(tools, &name).await {
            tracing::error!(certificate = %name, %error, "a certificate that nobody wants could not be forgotten");
        }
    }
}

async fn forget(tools: &Tools, name: &str) -> Result<(), CertificateError> {
    let (core, who) = (&tools.core, &Caller::server());
    if fate(tools, name).await? == Unwanted::Stays {
        return Ok(());
    }
    let Some(lease) = core.lease_certificate(name).await? else {
        return Ok(());
    };
    // Another node may have had it meanwhile.
    let done = match fate(tools, name).await? {
        Unwanted::Stays => Ok(()),
        Unwanted::IsNotTried => {
            let untried = |record: &mut CertificateRecord| {
                (record.failures, record.next_try, record.problem) = (0, None, None);
            };
            core.change_certificate(&lease, untried).await
        }
        Unwanted::Goes => {
            tracing::info!(certificate = %name, "a certificate that nobody wants is forgotten");
            core.remove_certificate(who, name).await
        }
    };
    core.release_certificate(lease).await?;
    done
}

async fn fate(tools: &Tools, name: &str) -> Result<Unwanted, CertificateError> {
    let record = tools.core.certificate(&Caller::server(), name).await?;
    let now = tools.clock.now().seconds();
    Ok(record.map_or(Unwanted::Stays, |of| schedule::unwanted(&of, now)))
}

struct Worker {
    settings: Settings,
    tools: Tools,
    /// As long as all goes well with it.
    account: Mutex<Option<(Account, AcmeAccountRecord)>>,
    /// By certificate: when the server is asked again when to renew it, and whether it has said so.
    asked: Mutex<HashMap<String, (Instant, bool)>>,
}

impl Worker {
    async fn look_after(&self, wanted: &Wanted) {
        let Some(name) = wanted.names.first() else {
            return;
        };
        if let Err(error) = self.try_look_after(name, wanted).await {
            tracing::error!(certificate = %name, %error, "a certificate could not be looked after");
        }
    }

    async fn try_look_after(&self, name: &str, wanted: &Wanted) -> Result<(), CertificateError> {
        let (core, who) = (&self.tools.core, &Caller::server());
        let record = core.certificate(who, name).await?;
        if !self.is_due(record.as_ref(), wanted) {
            return match record {
                Some(record) => self.ask_when_to_renew(name, wanted, &record).await,
                None => Ok(()),
            };
        }
        let Some(lease) = core.lease_certificate(name).await? else {
            return Ok(());
        };
        // Another node may have done it a moment ago.
        let record = core.certificate(who, name).await?;
        let done = match self.is_due(record.as_ref(), wanted) {
            true => {
                self.attempt(&lease, wanted, record.unwrap_or_default())
                    .await
            }
            false => Ok(()),
        };
        core.release_certificate(lease).await?;
        done
    }

    fn is_due(&self, record: Option<&CertificateRecord>, wanted: &Wanted) -> bool {
        let now = self.now();
        schedule::due(record, &wanted.names, now, &self.settings.retry) <= now
    }

    fn now(&self) -> i64 {
        self.tools.clock.now().seconds()
    }

    /// Notes the attempt, makes it, and notes what became of it.
    async fn attempt(
        &self,
        lease: &CertificateLease,
        wanted: &Wanted,
        before: CertificateRecord,
    ) -> Result<(), CertificateError> {
        let core = &self.tools.core;
        let failures = before.failures.saturating_add(1);
        let wait = self.settings.retry.wait(failures, &*self.tools.rng);
        let wait = i64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let next_try = self.now().saturating_add(wait);
        core.change_certificate(lease, |record| {
            record.failures = failures;
            record.next_try = Some(next_try);
            if record.chain.is_empty() {
                record.names = wanted.names.clone();
            }
        })
        .await?;
        tracing::info!(certificate = lease.name(), names = %wanted.names.join(" "), "a certificate is ordered");
        match self.order(lease, wanted, &before).await {
            Ok(issued) => self.keep(lease, wanted, &issued).await,
            Err(error) => {
                self.note_failure(&error).await;
                // From its end on, since it may have taken long.
                let next_try = self.now().saturating_add(wait);
                tracing::error!(certificate = lease.name(), %error, seconds = wait, "a certificate could not be had; the next try is after these seconds");
                let problem = error.to_string();
                core.change_certificate(lease, |record| {
                    record.next_try = Some(next_try);
                    record.problem = Some(problem.clone());
                })
                .await
            }
        }
    }

    async fn keep(
        &self,
        lease: &CertificateLease,
        wanted: &Wanted,
        issued: &Issued,
    ) -> Result<(), CertificateError> {
        let chain: Vec<ByteVec> = issued
            .chain
            .iter()
            .map(|certificate| ByteVec::from(certificate.to_vec()))
            .collect();
        let of = CertificateRecord {
            names: wanted.names.clone(),
            origin: CertificateOrigin::Acme,
            chain,
            private_key: issued.key.clone(),
            not_before: issued.not_before,
            not_after: issued.not_after,
            ..CertificateRecord::default()
        };
        let kept = |record: &mut CertificateRecord| *record = of.clone();
        self.tools.core.change_certificate(lease, kept).await?;
        self.asked.lock().await.remove(lease.name());
        tracing::info!(certificate = lease.name(), names = %wanted.names.join(" "), "there is a new certificate");
        self.tools.changed.notify_one();
        Ok(())
    }

    async fn order(
        &self,
        lease: &CertificateLease,
        wanted: &Wanted,
        before: &CertificateRecord,
    ) -> Result<Issued, OrderError> {
        let account = self.account().await?;
        let has_key = !before.private_key.expose().is_empty() && self.settings.reuse_key;
        // A server may refuse the second order that replaces the same certificate: that is not tried again.
        let replaces = match before.failures == 0 && self.has_window(lease.name()).await {
            true => identifier(before),
            false => None,
        };
        let ordering = Ordering {
            settings: &self.settings,
            tools: &self.tools,
            account: &account,
            lease,
            wanted,
            key: has_key.then(|| before.private_key.clone()),
            replaces,
        };
        ordering.run().await
    }

    /// An account that was registered before, or one that is now.
    async fn account(&self) -> Result<Account, OrderError> {
        let mut known = self.account.lock().await;
        if let Some((account, _)) = &*known {
            return Ok(account.clone());
        }
        let of = &self.settings;
        let core = &self.tools.core;
        let http = || Box::new(AcmeHttp::new(&of.tls));
        let contact: Vec<&str> = of.contact.iter().map(String::as_str).collect();
        let mut record = match core.acme_account(&of.directory).await? {
            Some(record) => record,
            None => {
                let new = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let external = of.external_account.as_ref().map(|external| {
                    ExternalAccountKey::new(external.id.clone(), external.key.expose())
                });
                let (account, credentials) = Account::builder_with_http(http())
                    .create(&new, of.directory.clone(), external.as_ref())
                    .await?;
                let key = credentials.private_key().secret_pkcs8_der().to_vec();
                let record = AcmeAccountRecord {
                    url: account.id().to_owned(),
                    private_key: Secret::new(key),
                    contact: of.contact.clone(),
                    created: self.now(),
                };
                tracing::info!(directory = %of.directory, "an account at the ACME server was made");
                core.keep_acme_account(&of.directory, None, record).await?
            }
        };
        let key = PrivatePkcs8KeyDer::from(record.private_key.expose().as_slice());
        let account = Account::builder_with_http(http())
            .from_parts(record.url.clone(), key, of.directory.clone())
            .await?;
        if record.contact != of.contact {
            account.update_contacts(&contact).await?;
            let new = AcmeAccountRecord {
                contact: of.contact.clone(),
                ..record.clone()
            };
            record = core
                .keep_acme_account(&of.directory, Some(&record), new)
                .await?;
        }
        *known = Some((account.clone(), record));
        Ok(account)
    }

    /// Whatever was wrong, the directory is read again the next time; and an account that isn't known there is none.
    async fn note_failure(&self, error: &OrderError) {
        let known = self.account.lock().await.take();
        if let (Some("accountDoesNotExist"), Some((_, record))) = (error.acme_type(), known) {
            let forgotten = self
                .tools
                .core
                .forget_acme_account(&self.settings.directory, &record)
                .await;
            match forgotten {
                Ok(()) => tracing::warn!(
                    "the ACME server doesn't know the account any more, and the next order makes one"
                ),
                Err(error) => tracing::error!(%error, "an ACME account can't be forgotten"),
            }
        }
    }

    /// RFC 9773: servers may want certificates renewed at another time than everybody thinks. One that doesn't say is not asked twice a day.
    async fn ask_when_to_renew(
        &self,
        name: &str,
        wanted: &Wanted,
        record: &CertificateRecord,
    ) -> Result<(), CertificateError> {
        let now = self.tools.clock.monotonic();
        let is_acme = record.origin == CertificateOrigin::Acme;
        if !is_acme || !schedule::covers(record, &wanted.names) || record.failures > 0 {
            return Ok(());
        }
        let asked = self.asked.lock().await.get(name).copied();
        if asked.is_some_and(|(next, _)| now < next) {
            return Ok(());
        }
        let (window, pause) = match self.renewal_window(record).await {
            Ok((start, end, pause)) => (Some((start, end)), pause),
            Err(error) => {
                tracing::debug!(certificate = name, %error, "the ACME server doesn't say when to renew");
                (None, ASK_EVERY_MAX)
            }
        };
        let pause = pause.clamp(ASK_EVERY_MIN, ASK_EVERY_MAX);
        let next = (now + pause, window.is_some());
        self.asked.lock().await.insert(name.to_owned(), next);
        let Some((start, end)) = window else {
            return Ok(());
        };
        let moment = schedule::in_window(start, end, record.renew_at, &*self.tools.rng);
        if record.renew_at == Some(moment) {
            return Ok(());
        }
        let core = &self.tools.core;
        let Some(lease) = core.lease_certificate(name).await? else {
            return Ok(());
        };
        let chain = &record.chain;
        let changed = core
            .change_certificate(&lease, |record| {
                // That of another certificate says nothing of this one.
                if record.chain == *chain {
                    record.renew_at = Some(moment);
                }
            })
            .await;
        core.release_certificate(lease).await?;
        changed
    }

    async fn renewal_window(
        &self,
        record: &CertificateRecord,
    ) -> Result<(i64, i64, Duration), OrderError> {
        let account = self.account().await?;
        let identifier = identifier(record).ok_or(instant_acme::Error::Str("identifier"))?;
        let (info, pause) = account.renewal_info(&identifier).await?;
        let window = info.suggested_window;
        Ok((
            window.start.unix_timestamp(),
            window.end.unix_timestamp(),
            pause,
        ))
    }

    /// Whether the server knows the certificate by its identifier.
    async fn has_window(&self, name: &str) -> bool {
        let asked = self.asked.lock().await;
        asked.get(name).is_some_and(|(_, has_window)| *has_window)
    }
}

/// RFC 9773 §4.1.
fn identifier(record: &CertificateRecord) -> Option<CertificateIdentifier<'static>> {
    let certificate = CertificateDer::from(record.chain.first()?.to_vec());
    let identifier = CertificateIdentifier::try_from(&certificate);
    identifier.ok().map(CertificateIdentifier::into_owned)
}
