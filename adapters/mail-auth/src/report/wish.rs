//! Who wants reports: what domains say in the DNS (RFC 7489 §6.3 and §7.1, RFC 8460 §3).
//!
//! Holds: nobody outside of a domain gets reports about it who hasn't agreed to that in the DNS; a domain is asked about within [`Verifier`]'s time.
//! Other half: the name servers.

use std::sync::Arc;

use mail_auth::common::cache::NoCache;
use mail_auth::dmarc::{Alignment, Dmarc, Policy, Psd};
use mail_auth::mta_sts::{ReportUri, TlsRpt};
use mail_auth::{DnsError, Error, MessageAuthenticator, Txt};
use tokio::time::timeout;

use crate::Verifier;

type Cache<'c> = Option<&'c NoCache<Box<str>, Txt>>;

/// Names that are asked for a record (RFC 9989 §4.10): past it, the middle of a name is passed over.
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

/// The record that counts for a domain: its own, else that of its organisation, else that of the public suffix it is in (RFC 9989
/// §4.10).
async fn record_of(
    dns: &MessageAuthenticator,
    domain: &str,
) -> Result<Option<(String, Arc<Dmarc>)>, NoAnswer> {
    let cache: Cache<'_> = None;
    let mut found: Vec<(&str, Arc<Dmarc>)> = Vec::new();
    for name in walk(domain) {
        let key = format!("_dmarc.{name}.");
        match dns.txt_lookup::<Dmarc>(key, cache).await {
            Ok(record) => {
                let is_last = record.psd != Psd::Default;
                found.push((name, record));
                // The domain's own counts, whatever is above it.
                if is_last || name == domain {
                    break;
                }
            }
            Err(Error::Dns(DnsError::Resolver(_)) | Error::Io(_)) => return Err(NoAnswer),
            Err(_) => {}
        }
    }
    // Without `psd`, the shortest name is the organisation's; with `psd=y`, it is one label longer than that name.
    let Some((name, record)) = found.pop() else {
        return Ok(None);
    };
    let labels = |name: &str| name.split('.').count();
    let is_below = |above: &str| record.psd == Psd::Yes && labels(above) == labels(name) + 1;
    let below = found.pop().filter(|(above, _)| is_below(above));
    let (name, record) = below.unwrap_or((name, record));
    Ok(Some((name.to_owned(), record)))
}

/// The names that are asked for a record, at most [`NAMES_MAX`]: the domain, then those above it; the first of these has seven
/// labels at the most.
fn walk(domain: &str) -> impl Iterator<Item = &str> {
    // A top-level domain alone sends no mail.
    let first = Some(domain).filter(|domain| domain.contains('.'));
    let names = std::iter::successors(first, |name| {
        let (_, mut rest) = name.split_once('.')?;
        while rest.split('.').count() >= NAMES_MAX {
            (_, rest) = rest.split_once('.')?;
        }
        Some(rest)
    });
    names.take(NAMES_MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9989 §4.10.
    #[test]
    fn names_of_the_walk() {
        let names = |domain| walk(domain).collect::<Vec<_>>();
        assert_eq!(
            names("a.b.example"),
            ["a.b.example", "b.example", "example"]
        );
        assert!(names("example").is_empty());
        let long = "1.2.3.4.5.6.7.8.9.example.test";
        let found = names(long);
        assert_eq!(found.len(), NAMES_MAX);
        assert_eq!(found[..2], [long, "5.6.7.8.9.example.test"]);
        assert_eq!(found[NAMES_MAX - 1], "test");
    }
}
