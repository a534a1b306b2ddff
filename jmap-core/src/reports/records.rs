//! What the store keeps of reports: those that came, and what the next ones will say.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default.
//! Other half: `tests` has the bytes of every version.

use minicbor::{Decode, Encode};
use store::Record;

/// A report on mail in a domain's name (DMARC, RFC 7489 §7.2), or on TLS to its servers (RFC 8460), as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReportRecord {
    /// Whose mail it is about.
    #[n(0)]
    pub domain: String,
    /// Who reports.
    #[n(1)]
    pub reporter: String,
    #[n(2)]
    pub contact: String,
    #[n(3)]
    pub report_id: String,
    /// Seconds since 1970.
    #[n(4)]
    pub begin: i64,
    #[n(5)]
    pub end: i64,
    #[n(6)]
    pub received_at: i64,
    /// Of a DMARC report.
    #[n(7)]
    pub dmarc: Vec<DmarcRow>,
    /// Of a TLS report.
    #[n(8)]
    pub tls: Vec<TlsRow>,
    /// There were more rows than are kept.
    #[n(9)]
    pub is_cut: bool,
}

impl Record for ReportRecord {
    const KIND: &'static str = "report";
}

/// Messages that came from one address and fared alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct DmarcRow {
    /// An IP address.
    #[n(0)]
    pub source: String,
    #[n(1)]
    pub count: u64,
    /// `none`, `quarantine` or `reject`.
    #[n(2)]
    pub disposition: String,
    /// Whether an aligned signature, an aligned SPF identity passed.
    #[n(3)]
    pub dkim_aligned: bool,
    #[n(4)]
    pub spf_aligned: bool,
    #[n(5)]
    pub header_from: String,
    #[n(6)]
    pub envelope_from: String,
    #[n(7)]
    pub dkim: Vec<AuthRow>,
    #[n(8)]
    pub spf: Vec<AuthRow>,
    /// The receiver did something else than was asked for.
    #[n(9)]
    pub is_overridden: bool,
}

/// The result of one method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct AuthRow {
    #[n(0)]
    pub domain: String,
    /// The selector of a signature; `mfrom` or `helo` of SPF.
    #[n(1)]
    pub which: String,
    /// As RFC 8601 §2.7 has it.
    #[n(2)]
    pub result: String,
}

/// Sessions under one policy (RFC 8460 §4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct TlsRow {
    /// `tlsa`, `sts` or `no-policy-found`.
    #[n(0)]
    pub policy_type: String,
    #[n(1)]
    pub policy_lines: Vec<String>,
    #[n(2)]
    pub policy_domain: String,
    #[n(3)]
    pub mx_patterns: Vec<String>,
    #[n(4)]
    pub successes: u64,
    #[n(5)]
    pub failures: u64,
    #[n(6)]
    pub details: Vec<TlsDetail>,
}

/// Sessions that failed alike (RFC 8460 §4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct TlsDetail {
    #[n(0)]
    pub result_type: String,
    #[n(1)]
    pub sending_address: Option<String>,
    #[n(2)]
    pub mx: String,
    #[n(3)]
    pub address: Option<String>,
    #[n(4)]
    pub count: u64,
    #[n(5)]
    pub reason: String,
}

/// What was counted of one domain in some minutes of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DmarcCounts {
    #[n(0)]
    pub rows: Vec<DmarcRow>,
}

impl Record for DmarcCounts {
    const KIND: &'static str = "DMARC counts";
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TlsCounts {
    #[n(0)]
    pub rows: Vec<TlsRow>,
}

impl Record for TlsCounts {
    const KIND: &'static str = "TLS counts";
}
