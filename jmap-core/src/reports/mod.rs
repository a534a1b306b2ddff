//! Reports about mail: DMARC aggregate reports (RFC 7489 §7.2) and TLS reports (RFC 8460), those that come and those that are sent.
//!
//! Holds: what is counted or read is bounded by the names in here; no delivery waits for a report; a report that can't be read or sent is logged, and
//! the mail that it came in is delivered like any other.
//! Other half: a [`Reporting`] reads and writes the formats and asks the DNS; the binary makes it, over `mail-auth-adapter`.

mod gather;
mod incoming;
mod message;
mod outgoing;
pub mod records;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

pub(crate) use self::incoming::{Waiting, note_arrival};
use self::{
    gather::Gathered,
    records::{DmarcRow, ReportRecord, TlsRow},
};
use crate::{Core, cluster::REPORTS};

/// Rows of one report that are kept, or sent.
pub const ROWS_MAX: usize = 2000;
/// Reports about one domain that are kept; the oldest go.
pub const REPORTS_PER_DOMAIN_MAX: usize = 2000;
/// How long counts wait to be written down.
const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether reports are due.
const SEND_EVERY: Duration = Duration::from_secs(3600);
/// Local parts of addresses that reports come to, beside those of the configuration.
const LOCAL_PARTS: &[&str] = &["postmaster", "dmarc-reports", "tls-reports"];

/// What the operator says of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportSettings {
    /// Whether reports are sent to the domains that ask for them.
    pub send: bool,
    /// Who reports, for people. Empty: the name of the server.
    pub organisation: String,
    /// The address that reports come from, at a domain of ours. Empty: postmaster at the first domain.
    pub contact: String,
    /// More addresses that reports come to.
    pub addresses: Vec<String>,
}

/// Where a report is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Mail {
        address: String,
        /// Octets that it takes at the most; 0: no limit (RFC 7489 §6.2).
        octets_max: u64,
    },
    Https(String),
}

/// What a domain has published of DMARC, and whom it wants to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmarcWish {
    /// Where the record is: the domain itself or one above it.
    pub domain: String,
    /// `none`, `quarantine` or `reject`.
    pub policy: String,
    pub subdomain_policy: String,
    pub is_dkim_strict: bool,
    pub is_spf_strict: bool,
    /// Those that may be told (RFC 7489 §7.1); none: nobody wants a report.
    pub destinations: Vec<Destination>,
}

/// What a report is about, and from whom it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub organisation: String,
    pub contact: String,
    pub report_id: String,
    /// Seconds since 1970.
    pub begin: i64,
    pub end: i64,
}

/// A file in a mail that may be a report.
#[derive(Clone, Debug)]
pub struct File<'x> {
    /// In lower case, without parameters, as `application/gzip`.
    pub media_type: &'x str,
    /// Empty: it has none.
    pub name: &'x str,
    /// Without its transfer encoding; a text is in UTF-8.
    pub octets: Cow<'x, [u8]>,
}

/// The DNS has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the DNS has not answered")]
pub struct NoAnswer;

/// Reads and writes reports, and finds out who wants them.
#[async_trait]
pub trait Reporting: Send + Sync + fmt::Debug {
    /// The report among the files of a mail; `None`: there is none. Takes its time: called on a thread for that. The error is a sentence.
    fn read(&self, files: &[File<'_>]) -> Result<Option<ReportRecord>, String>;
    /// `None`: the domain has no DMARC record.
    async fn dmarc_wish(&self, domain: &str) -> Result<Option<DmarcWish>, NoAnswer>;
    /// RFC 8460 §3: `_smtp._tls`.
    async fn tls_wish(&self, domain: &str) -> Result<Vec<Destination>, NoAnswer>;
    /// The compressed file of an aggregate report.
    fn dmarc_file(&self, head: &Head, wish: &DmarcWish, rows: &[DmarcRow]) -> Vec<u8>;
    /// The compressed file of a TLS report.
    fn tls_file(&self, head: &Head, rows: &[TlsRow]) -> Vec<u8>;
    /// Posts a TLS report (RFC 8460 §5.2). The error is a sentence.
    async fn post(&self, url: &str, file: Bytes) -> Result<(), String>;
}

/// What a process knows of reports.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    with: ArcSwapOption<(ReportSettings, Arc<dyn Reporting>)>,
    gathered: Gathered,
    /// A report has come.
    arrived: Notify,
}

impl Reports {
    /// A report may have come.
    pub(crate) fn wake(&self) {
        self.arrived.notify_one();
    }
}

impl Core {
    /// Who reads and writes reports, from now on. Until the first call none are looked for and none are sent.
    pub fn report_with(&self, settings: ReportSettings, reporting: Arc<dyn Reporting>) {
        let with = Arc::new((settings, reporting));
        self.reports.with.store(Some(with));
        self.reports.arrived.notify_one();
    }

    /// Whether reports come to an address.
    pub(crate) fn takes_reports(&self, address: &str) -> bool {
        let with = self.reports.with.load();
        let Some((settings, _)) = with.as_deref() else {
            return false;
        };
        let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
        let local = local.split_once('+').map_or(local, |(local, _)| local);
        LOCAL_PARTS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(local))
            || settings
                .addresses
                .iter()
                .any(|known| known.eq_ignore_ascii_case(address))
    }

    /// Does the work of reports for as long as the future is polled.
    pub async fn run_reports(&self) {
        let reading = async {
            loop {
                let read = async {
                    match self.leads(REPORTS).await? {
                        true => self.read_reports().await,
                        false => Ok(0),
                    }
                };
                if let Err(error) = read.await {
                    tracing::error!(%error, "reports that have come could not be read, and are tried again");
                }
                tokio::select! {
                    () = tokio::time::sleep(FLUSH_EVERY) => {}
                    () = self.reports.arrived.notified() => {}
                }
            }
        };
        let flushing = async {
            loop {
                tokio::time::sleep(FLUSH_EVERY).await;
                if let Err(error) = self.flush_counts().await {
                    tracing::error!(%error, "counts for reports could not be written, and are tried again");
                }
            }
        };
        let sending = async {
            loop {
                // Not all servers of the world at the same time.
                let jitter = Duration::from_secs(self.rng.next_u64() % SEND_EVERY.as_secs());
                tokio::time::sleep(SEND_EVERY / 2 + jitter).await;
                let sent = async {
                    match self.leads(REPORTS).await? {
                        true => self.send_reports().await,
                        false => Ok(0),
                    }
                };
                if let Err(error) = sent.await {
                    tracing::error!(%error, "reports could not be sent, and are tried again");
                }
            }
        };
        tokio::join!(reading, flushing, sending);
    }
}
