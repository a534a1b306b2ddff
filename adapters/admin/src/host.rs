//! What the API needs of the process that it is in, and the core doesn't have: the DNS, connections, certificates as they are shown, files of
//! settings, repositories of backups.
//!
//! Holds: who may is asked by the core where the work is its own, and by the routes before the rest.
//! Other half: the binary.

use async_trait::async_trait;
use jmap_core::{
    Caller, Core,
    directory::DirectoryError,
    inproc::certificates::CertificateError,
    settings::{Setting, Texts},
    work::check::Progress,
};

use crate::problem::{Kind, Problem};

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// Without the last dot.
    pub name: String,
    pub kind: String,
    /// As a zone file has it.
    pub data: String,
    pub is_needed: bool,
    /// Of the domain's zone, not of that of the server's name.
    pub is_in_domain: bool,
}

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsFinding {
    /// The type of the record, or what was looked at.
    pub what: String,
    pub name: String,
    pub status: DnsStatus,
    /// Mail goes wrong unless it is mended.
    pub is_needed: bool,
    /// What to do, or what it is good for.
    pub sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsStatus {
    Ok,
    Missing,
    Different,
    Unknown,
}

/// Numbers of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNumbers {
    pub version: String,
    /// By listener.
    pub connections: Vec<(String, u64)>,
    pub memory_octets: u64,
    /// What the database takes, as it was a moment ago.
    pub disk_octets: u64,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    File,
    Acme,
    Imported,
    SelfSigned,
}

/// A certificate that listeners show, or that is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate {
    /// What it is called in the store; `None`: it isn't in there.
    pub name: Option<String>,
    /// The names of hosts that it is for.
    pub names: Vec<String>,
    pub source: CertificateSource,
    /// The file that it is in.
    pub file: Option<String>,
    pub issuer: Option<String>,
    /// From when to when it is good, in seconds since 1970; `None`: it hasn't come yet.
    pub validity: Option<(i64, i64)>,
    /// The data of a TLSA record (RFC 7672 §3.1.1).
    pub tlsa: Option<String>,
    /// Orders that were begun since the last one that was fulfilled.
    pub failures: u32,
    /// Nothing is ordered before, in seconds since 1970.
    pub next_try: Option<i64>,
    /// Why something newer isn't shown.
    pub problem: Option<String>,
}

/// Why something can't be done.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// What was given can't be taken; a sentence for whoever asked.
    #[error("{0}")]
    Invalid(String),
    /// It can't be done as things are; a sentence for whoever asked.
    #[error("{0}")]
    Refused(String),
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Problem {
        match error {
            HostError::Directory(error) => error.into(),
            HostError::Certificate(error) => error.into(),
            HostError::Invalid(why) => Problem::new(Kind::InvalidValue, why),
            HostError::Refused(why) => Problem::new(Kind::InUse, why),
        }
    }
}

/// See the module.
#[async_trait]
pub trait Host: Send + Sync + std::fmt::Debug {
    /// What a domain has to publish.
    async fn dns_records(
        &self,
        core: &Core,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<DnsRecord>, HostError>;

    /// What the DNS has of that.
    async fn check_dns(
        &self,
        core: &Core,
        who: &Caller,
        domain: &str,
    ) -> Result<Vec<DnsFinding>, HostError>;

    fn numbers(&self) -> HostNumbers;

    /// Makes a backup into the repository of the configuration; a sentence on what it came to.
    async fn back_up(
        &self,
        core: &Core,
        who: &Caller,
        progress: Progress<'_>,
    ) -> Result<String, HostError>;

    /// All certificates, as of now: those of files first.
    async fn certificates(&self) -> Result<Vec<ShownCertificate>, HostError>;

    /// Puts a certificate into the store and has it shown. PEM, the server's own certificate first. What it is called from then on.
    async fn import_certificate(
        &self,
        core: &Core,
        who: &Caller,
        chain: &str,
        private_key: &str,
    ) -> Result<String, HostError>;

    /// A certificate in the store was changed: who shows or orders it looks now.
    fn certificates_changed(&self);

    /// The settings that a file in the format of the configuration has. Errors: a sentence that says where.
    fn settings_of_file(&self, text: &str) -> Result<Texts, String>;

    /// The other way: what is stored; `all`: the others as comments, too.
    fn file_of_settings(&self, settings: &[Setting], all: bool) -> String;
}
