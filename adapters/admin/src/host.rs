//! What the API needs of the process that it is in, and the core doesn't have: the DNS, connections, repositories of backups.
//!
//! Other half: the binary.

use async_trait::async_trait;
use jmap_core::{Caller, Core, directory::DirectoryError, work::check::Progress};

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
}

/// Why something can't be done.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A sentence for whoever asked.
    #[error("{0}")]
    Refused(String),
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Problem {
        match error {
            HostError::Directory(error) => error.into(),
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
}
