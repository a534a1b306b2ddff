//! Who wants reports: what domains say in the DNS (RFC 7489 §6.3 and §7.1, RFC 8460 §3).
//!
//! Holds: nobody outside of a domain gets reports about it who hasn't agreed to that in the DNS; a domain is asked about within [`Verifier`]'s time.
//! Other half: the name servers.

use std::sync::Arc;

use mail_auth::common::cache::NoCache;
use mail_auth::dmarc::{Alignment, Dmarc, Policy};
use mail_auth::mta_sts::{ReportUri, TlsRpt};
use mail_auth::{DnsError, Error, MessageAuthenticator, Txt};
use tokio::time::timeout;

use crate::Verifier;

type Cache<'c> = Option<&'c NoCache<Box<str>, Txt>>;

/// Names that are asked for a record: the domain's, and those above it (RFC 9989 §4.10).
const NAMES_MAX: usize = 8;
/// Addresses of a record that are looked at.
const DESTINATIONS_MAX: usize = 10;

/// Where reports are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The address, and the octets that it takes at the most (0: no limit).
    Mail(String, u64),
    Https(String),
}

/// The DMARC record of a domain, and who is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmarcWish {
    /// Where the record is.
    pub domain: String,
    pub policy: &'static str,
    pub subdomain_policy: &'static str,
    pub is_dkim_strict: bool,
    pub is_spf_strict: bool,
    /// Without those outside that haven't agreed.
    pub destinations: Vec<Destination>,
}

/// The DNS has not answered, or nobody can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the DNS has not answered")]
pub struct NoAnswer;

impl Verifier {
    /// `None`: there is no DMARC record.
    pub async fn dmarc_wish(&self, domain: &str) -> Result<Option<DmarcWish>, NoAnswer> {
        let dns = self.dns.as_ref().ok_or(NoAnswer)?;
        let asked = timeout(self.timeout, dmarc_wish(dns, domain)).await;
        asked.unwrap_or(Err(NoAnswer))
    }

    /// Who wants TLS reports of a domain.
    pub async fn tls_wish(&self, domain: &str) -> Result<Vec<Destination>, NoAnswer> {
        let dns = self.dns.as_ref().ok_or(NoAnswer)?;
        let asked = timeout(self.timeout, tls_wish(dns, domain)).await;
        asked.unwrap_or(Err(NoAnswer))
    }
}

async fn dmarc_wish(
    dns: &MessageAuthenticator,
    domain: &str,
) -> Result<Option<DmarcWish>, NoAnswer> {
    let Some((domain, record)) = record_of(dns, domain).await? else {
        return Ok(None);
    };
    let cache: Cache<'_> = None;
    let named = record.rua.get(..DESTINATIONS_MAX).unwrap_or(&record.rua);
    let agreed = dns
        .verify_dmarc_report_address(&domain, named, cache)
        .await
        .ok_or(NoAnswer)?;
    let destinations = agreed.into_iter().map(|uri| {
        let max = u64::try_from(uri.max_size).unwrap_or(u64::MAX);
        Destination::Mail(uri.uri().to_owned(), max)
    });
    Ok(Some(DmarcWish {
        policy: name(record.p),
        // RFC 7489 §6.3: without sp it is p.
        subdomain_policy: match record.sp {
            Policy::Unspecified => name(record.p),
            policy => name(policy),
        },
        is_dkim_strict: record.adkim == Alignment::Strict,
        is_spf_strict: record.aspf == Alignment::Strict,
        destinations: destinations.collect(),
        domain,
    }))
}

fn name(policy: Policy) -> &'static str {
    match policy {
        Policy::None | Policy::Unspecified => "none",
        Policy::Quarantine => "quarantine",
        Policy::Reject => "reject",
    }
}

/// The record of a domain, or of the nearest one above it.
async fn record_of(
    dns: &MessageAuthenticator,
    domain: &str,
) -> Result<Option<(String, Arc<Dmarc>)>, NoAnswer> {
    let cache: Cache<'_> = None;
    let mut rest = domain;
    for _ in 0..NAMES_MAX {
        if !rest.contains('.') {
            return Ok(None);
        }
        let key = format!("_dmarc.{rest}.");
        match dns.txt_lookup::<Dmarc>(key, cache).await {
            Ok(record) => return Ok(Some((rest.to_owned(), record))),
            Err(Error::Dns(DnsError::Resolver(_)) | Error::Io(_)) => return Err(NoAnswer),
            Err(_) => {}
        }
        match rest.split_once('.') {
            Some((_, above)) => rest = above,
            None => return Ok(None),
        }
    }
    Ok(None)
}

async fn tls_wish(dns: &MessageAuthenticator, domain: &str) -> Result<Vec<Destination>, NoAnswer> {
    let cache: Cache<'_> = None;
    let key = format!("_smtp._tls.{domain}.");
    let record = match dns.txt_lookup::<TlsRpt>(key, cache).await {
        Ok(record) => record,
        Err(Error::Dns(DnsError::Resolver(_)) | Error::Io(_)) => return Err(NoAnswer),
        Err(_) => return Ok(Vec::new()),
    };
    let each = record.rua.iter().take(DESTINATIONS_MAX);
    let each = each.filter_map(|uri| match uri {
        ReportUri::Mail(address) => Some(Destination::Mail(address.clone(), 0)),
        ReportUri::Http(url) if url.to_ascii_lowercase().starts_with("https://") => {
            Some(Destination::Https(url.clone()))
        }
        ReportUri::Http(_) => None,
    });
    Ok(each.collect())
}
