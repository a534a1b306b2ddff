//! What a domain tells over HTTP: its MTA-STS policy (RFC 8461), and how mail programs reach its servers (Mozilla's
//! autoconfiguration, Microsoft's Autodiscover, Apple's configuration profiles, PACC).
//!
//! Holds: pages are only of domains whose mail is kept here, and tell only of services that listen; what a client has said is
//! in a page only as a domain's or address' characters; nobody learns whether an address exists.
//! Other half: the binary, which puts this behind the HTTP server; `posthorn domain records`, which has the names that lead here.

mod apple;
mod clients;
mod pacc;
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
/// Autodiscover v2, which leads to the one before; more may follow the path.
const AUTODISCOVER_JSON_PATH: &str = "/autodiscover/autodiscover.json";
/// A configuration profile.
pub const PROFILE_PATH: &str = "/mail/profile.mobileconfig";
/// draft-ietf-mailmaint-pacc-02.
const PACC_PATH: &str = "/.well-known/user-agent-configuration.json";
/// Before the domain, in the name of the host that has it.
pub const PACC_LABEL: &str = "ua-auto-config";

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
    /// Where JMAP's session is (RFC 8620 §2.2); `None`: nowhere that others reach.
    pub jmap_url: Option<String>,
    /// Where ManageSieve listens.
    pub managesieve_port: Option<u16>,
    pub policy: Policy,
}

impl Settings {
    /// The document of PACC of a domain, the same to the last octet as long as nothing changes.
    pub fn pacc(&self, domain: &str) -> String {
        pacc::document(self, domain)
    }
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
    pub status: u16,
    pub content_type: &'static str,
    pub octets: Vec<u8>,
}

impl Page {
    fn of(content_type: &'static str, text: String) -> Page {
        Page {
            status: 200,
            content_type,
            octets: text.into_bytes(),
        }
    }
}

/// Signs what comes from us, as the server that its certificate names.
pub trait Sign: Send + Sync + fmt::Debug {
    /// SignedData of CMS (RFC 5652), in DER; `None`: there is no certificate to sign with.
    fn signed(&self, content: &[u8]) -> Option<Vec<u8>>;
}

/// Whether a path is one of ours, so that its body is worth reading.
pub fn is_ours(path: &str) -> bool {
    [POLICY_PATH, PROFILE_PATH, PACC_PATH].contains(&path)
        || AUTOCONFIG_PATHS.contains(&path)
        || is_autodiscover(path)
        || is_autodiscover_json(path)
}

/// Outlook writes it in several ways.
fn is_autodiscover(path: &str) -> bool {
    path.eq_ignore_ascii_case(AUTODISCOVER_PATH)
}

/// Some put a version and the address behind it.
fn is_autodiscover_json(path: &str) -> bool {
    path.get(..AUTODISCOVER_JSON_PATH.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(AUTODISCOVER_JSON_PATH))
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
    sign: Arc<dyn Sign>,
}

impl Site {
    pub fn new(domains: Arc<dyn Domains>, settings: Settings, sign: Arc<dyn Sign>) -> Site {
        Site {
            domains,
            settings,
            sign,
        }
    }

    /// `None`: there is nothing here.
    pub async fn answer(&self, request: Request<'_>) -> Option<Page> {
        let host = host_name(request.host)?;
        match request.path {
            POLICY_PATH if !request.is_post && request.tls => {
                let domain = self.ours(host.strip_prefix("mta-sts.")?).await?;
                let text = self.settings.policy.text(&self.settings.hostname)?;
                tracing::debug!(domain, "an MTA-STS policy was asked for");
                Some(Page::of("text/plain; charset=utf-8", text))
            }
            // The draft, §4.1: over HTTPS alone.
            PACC_PATH if !request.is_post && request.tls => {
                let prefix = format!("{PACC_LABEL}.");
                let domain = self.ours(host.strip_prefix(&prefix)?).await?;
                Some(Page::of("application/json", self.settings.pacc(&domain)))
            }
            PROFILE_PATH if !request.is_post => {
                let address = request.query.and_then(asked_address)?;
                self.ours(domain_of(&address)?).await?;
                let profile = apple::profile(&self.settings, &address)?;
                let signed = self.sign.signed(profile.as_bytes());
                Some(Page {
                    status: 200,
                    content_type: apple::CONTENT_TYPE,
                    // One that isn't signed is taken, too, with a warning.
                    octets: signed.unwrap_or_else(|| profile.into_bytes()),
                })
            }
            path if !request.is_post && is_autodiscover_json(path) => {
                Some(clients::autodiscover_json(&self.settings, request.query))
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

/// A parameter of a query, undecoded; its name in any letter case.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| {
        let (of, value) = pair.split_once('=')?;
        of.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The address of `emailaddress=` in a query.
fn asked_address(query: &str) -> Option<String> {
    let value = parameter(query, "emailaddress")?;
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
