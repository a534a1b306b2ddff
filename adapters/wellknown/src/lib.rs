//! What a domain tells over HTTP: its MTA-STS policy (RFC 8461), and how mail programs reach its servers (Mozilla's
//! autoconfiguration, Microsoft's Autodiscover).
//!
//! Holds: pages are only of domains whose mail is kept here, and tell only of services that listen; what a client has said is
//! in a page only as a domain's or address' characters; nobody learns whether an address exists.
//! Other half: the binary, which puts this behind the HTTP server; `posthorn domain records`, which has the names that lead here.

mod clients;
mod policy;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jmap_core::{Core, directory::names};

pub use policy::{Mode, Policy};

/// Octets of a request's body.
pub const BODY_OCTETS_MAX: usize = 16 << 10;
/// Octets of an address that a client asks for.
pub const ADDRESS_OCTETS_MAX: usize = 320;

/// RFC 8461 §3.2.
const POLICY_PATH: &str = "/.well-known/mta-sts.txt";
const AUTOCONFIG_PATHS: &[&str] = &[
    "/mail/config-v1.1.xml",
    "/.well-known/autoconfig/mail/config-v1.1.xml",
];
const AUTODISCOVER_PATH: &str = "/autodiscover/autodiscover.xml";

/// A protocol that mail programs speak with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Imap,
    Pop3,
    Submission,
}

/// A listener that mail programs can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    pub protocol: Protocol,
    pub port: u16,
    /// TLS from the first octet; otherwise by STARTTLS or STLS.
    pub implicit_tls: bool,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the server, as its certificate has it.
    pub hostname: String,
    /// Best first.
    pub services: Vec<Service>,
    pub policy: Policy,
}

/// A request, as far as it counts here.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub is_post: bool,
    pub tls: bool,
    /// The Host field, with or without a port.
    pub host: &'r str,
    pub path: &'r str,
    pub query: Option<&'r str>,
    pub body: &'r [u8],
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub content_type: &'static str,
    pub text: String,
}

/// Whether a path is one of ours, so that its body is worth reading.
pub fn is_ours(path: &str) -> bool {
    path == POLICY_PATH || AUTOCONFIG_PATHS.contains(&path) || is_autodiscover(path)
}

/// Outlook writes it in several ways.
fn is_autodiscover(path: &str) -> bool {
    path.eq_ignore_ascii_case(AUTODISCOVER_PATH)
}

/// Which domains are ours.
#[async_trait]
pub trait Domains: Send + Sync + fmt::Debug {
    /// Whether mail for a domain is kept here. `domain`: lower-case A-labels.
    async fn is_ours(&self, domain: &str) -> bool;
}

#[async_trait]
impl Domains for Core {
    async fn is_ours(&self, domain: &str) -> bool {
        let is_local = self.is_local_domain(domain).await;
        is_local
            .inspect_err(|error| tracing::error!(%error, "a domain could not be looked up"))
            .unwrap_or(false)
    }
}

/// Answers for our domains.
#[derive(Clone, Debug)]
pub struct Site {
    domains: Arc<dyn Domains>,
    settings: Settings,
}

impl Site {
    pub fn new(domains: Arc<dyn Domains>, settings: Settings) -> Site {
        Site { domains, settings }
    }

    /// `None`: there is nothing here.
    pub async fn answer(&self, request: Request<'_>) -> Option<Page> {
        let host = host_name(request.host)?;
        match request.path {
            POLICY_PATH if !request.is_post && request.tls => {
                let domain = self.ours(host.strip_prefix("mta-sts.")?).await?;
                let text = self.settings.policy.text(&self.settings.hostname)?;
                tracing::debug!(domain, "an MTA-STS policy was asked for");
                Some(Page {
                    content_type: "text/plain; charset=utf-8",
                    text,
                })
            }
            path if !request.is_post && AUTOCONFIG_PATHS.contains(&path) => {
                let address = request.query.and_then(asked_address);
                let named = address.as_deref().and_then(domain_of);
                let domain = self
                    .ours(named.unwrap_or(without(&host, "autoconfig.")))
                    .await?;
                Some(clients::autoconfig(&self.settings, &domain))
            }
            path if request.is_post && is_autodiscover(path) => {
                let address = clients::asked_address(request.body)?;
                self.ours(domain_of(&address)?).await?;
                Some(clients::autodiscover(&self.settings, &address))
            }
            _ => None,
        }
    }

    /// A domain in its stored form, if its mail is kept here.
    async fn ours(&self, domain: &str) -> Option<String> {
        let domain = names::domain(domain).ok()?;
        self.domains.is_ours(&domain).await.then_some(domain)
    }
}

/// The name in a Host field, in lower case.
fn host_name(host: &str) -> Option<String> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => name,
        _ => host,
    };
    names::domain(name).ok()
}

fn without<'h>(host: &'h str, prefix: &str) -> &'h str {
    host.strip_prefix(prefix).unwrap_or(host)
}

fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// The address of `emailaddress=` in a query.
fn asked_address(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.eq_ignore_ascii_case("emailaddress").then_some(value)
    })?;
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                octets.push((high * 16 + low) as u8);
            }
            octet => octets.push(octet),
        }
    }
    clients::proper_address(std::str::from_utf8(&octets).ok()?)
}
