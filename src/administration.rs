//! What the API for administrators needs of the process: the DNS, connections, certificates, files of settings, the repository of backups.
//!
//! Other half: `admin::Host`.

use std::sync::{Arc, atomic::Ordering};

use admin::{
    CertificateSource, DnsFinding, DnsRecord, DnsStatus, Host, HostError, HostNumbers,
    ShownCertificate,
};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use jmap_core::{
    Caller, Core,
    inproc::certificates::CertificateOrigin,
    settings::{Setting, Texts},
    work::check::Progress,
};

use crate::{
    backups::{Tools, run, schedule},
    config::Config,
    metrics::{self, Sources},
    publish::{
        PublishError, Publisher,
        check::{Finding, Status},
        records::Record,
    },
    settings,
    tls::{self, CertificateError, Origin, Shown},
};

/// What a file of settings is called in errors.
const SETTINGS_FILE: &str = "the file";

/// The process that serves.
#[derive(Clone)]
pub struct Process {
    pub publisher: Publisher,
    pub sources: Sources,
    pub config: Arc<ArcSwap<Config>>,
    pub tools: Tools,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process(..)")
    }
}

fn refused(error: PublishError) -> HostError {
    match error {
        PublishError::Directory(error) => error.into(),
        PublishError::NoHostname => HostError::Refused(error.to_string()),
    }
}

fn record(of: Record) -> DnsRecord {
    DnsRecord {
        kind: of.kind().name().to_owned(),
        data: of.data_text(),
        is_needed: of.is_needed(),
        is_in_domain: of.is_in_domain,
        name: of.name,
    }
}

fn finding(of: Finding) -> DnsFinding {
    DnsFinding {
        what: of.what,
        name: of.name,
        status: match of.status {
            Status::Ok => DnsStatus::Ok,
            Status::Missing => DnsStatus::Missing,
            Status::Different => DnsStatus::Different,
            Status::Unknown => DnsStatus::Unknown,
        },
        is_needed: of.is_needed,
        sentence: of.sentence,
    }
}

fn certificate(of: Shown) -> ShownCertificate {
    let (name, stored) = of.stored().unzip();
    let identity = of.identity.as_ref();
    ShownCertificate {
        name: name.cloned(),
        names: of.names(),
        source: match &of.origin {
            Origin::File(_) => CertificateSource::File,
            Origin::SelfSigned => CertificateSource::SelfSigned,
            Origin::Store(_, record) => match record.origin {
                CertificateOrigin::Acme => CertificateSource::Acme,
                CertificateOrigin::Imported => CertificateSource::Imported,
            },
        },
        file: match &of.origin {
            Origin::File(file) => Some(file.display().to_string()),
            Origin::SelfSigned | Origin::Store(..) => None,
        },
        issuer: identity.and_then(|of| of.issuer()),
        validity: identity.and_then(|of| of.validity()),
        tlsa: of.tlsa(),
        failures: stored.map_or(0, |record| record.failures),
        next_try: stored.and_then(|record| record.next_try),
        problem: of.problem.clone(),
    }
}

/// Why certificates can't be looked at. What is wrong with files is told of each.
fn unseen(error: CertificateError) -> HostError {
    match error {
        CertificateError::Stored(error) => error.into(),
        error => HostError::Refused(error.to_string()),
    }
}

#[async_trait]
impl Host for Process {
    async fn dns_records(
        &self,
        core: &Core,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<DnsRecord>, HostError> {
        let records = self.publisher.records(core, who, domain).await;
        let records = records.map_err(refused)?;
        Ok(records.into_iter().map(record).collect())
    }

    async fn check_dns(
        &self,
        core: &Core,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<DnsFinding>, HostError> {
        let findings = self.publisher.check(core, who, domain).await;
        let findings = findings.map_err(refused)?;
        Ok(findings.into_iter().map(finding).collect())
    }

    fn numbers(&self) -> HostNumbers {
        HostNumbers {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections: self.sources.connections_by_listener(),
            memory_octets: metrics::resident_octets(),
            disk_octets: self.sources.disk_octets.load(Ordering::Relaxed),
        }
    }

    async fn back_up(
        &self,
        core: &Core,
        who: &Caller,
        progress: Progress<'_>,
    ) -> Result<String, HostError> {
        let sentence = |error: crate::backups::BackupError| HostError::Refused(error.to_string());
        let target = schedule::target(&self.config.load().backup).map_err(sentence)?;
        let target = target.ok_or_else(|| {
            HostError::Refused(
                "the configuration has no repository for backups ([backup] to)".to_owned(),
            )
        })?;
        let done = run::run(core, who, &target, &self.tools, progress)
            .await
            .map_err(sentence)?;
        Ok(format!(
            "Snapshot {} was made: {} blobs were new, {} octets were added.",
            done.snapshot.short(),
            done.new_blobs,
            done.record.added_octets
        ))
    }

    async fn certificates(&self) -> Result<Vec<ShownCertificate>, HostError> {
        let certificates = &self.sources.certificates;
        // What another node, or a command, has changed a moment ago.
        certificates.look(false).await.map_err(unseen)?;
        Ok(certificates.all().into_iter().map(certificate).collect())
    }

    async fn import_certificate(
        &self,
        core: &Core,
        who: &Caller,
        chain: &str,
        private_key: &str,
    ) -> Result<String, HostError> {
        let record = tls::imported(chain.as_bytes(), private_key.as_bytes());
        let record = record.map_err(|error| HostError::Invalid(error.to_string()))?;
        let name = record.names.first().cloned().unwrap_or_default();
        core.import_certificate(who, record).await?;
        self.certificates_changed();
        Ok(name)
    }

    fn certificates_changed(&self) {
        self.sources.certificates.changed.notify_one();
        self.sources.certificates.ordered.notify_one();
    }

    fn settings_of_file(&self, text: &str) -> Result<Texts, String> {
        settings::of_file(text, SETTINGS_FILE)
    }

    fn file_of_settings(&self, settings: &[Setting], all: bool) -> String {
        settings::to_file(settings, all)
    }
}
