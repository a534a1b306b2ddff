//! Mail on its way: where it comes from, where it goes, what is signed and reported.
//!
//! Holds: the defaults are those of the core and of the adapters.
//! Other half: `delivery`, `publish` and `reports`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use jmap_core::{directory::names, inproc::queue};
use serde::{Deserialize, Serialize};

use super::{
    named_file::NamedFile,
    values::{Network, Octets, Rate, Span},
};

/// How the origin of mail from other servers is verified, and what follows.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Authentication {
    pub verify: bool,
    /// Clients about whose mail nobody is asked.
    pub trusted: Vec<Network>,
    /// Name servers; none: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// For one message.
    pub timeout: Span,
    /// DMARC fails, and the domain asks for a refusal.
    pub dmarc_reject: Treatment,
    /// DMARC fails, and the domain asks for quarantine.
    pub dmarc_quarantine: Treatment,
    /// The DNS does not tell what the domain asks for.
    pub temporary_error: OnTemporaryError,
}

/// How the DNS is asked where mail goes to. The name servers are those of `authentication`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dns {
    /// Whether answers are validated (DNSSEC); without that there is no DANE.
    pub dnssec: bool,
    /// A file of DNSKEY records of the root that are trusted in place of the usual ones.
    pub trust_anchor: Option<NamedFile>,
    /// For one lookup.
    pub timeout: Span,
}

/// How mail goes to other servers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Delivery {
    // Of the queue; see `jmap_core::inproc::queue::Delivery`.
    pub retry: Vec<Span>,
    pub expiry: Span,
    pub delay_notice: Span,
    /// Mail transactions at once.
    pub transactions: usize,
    /// Memory of their messages.
    pub max_memory: Octets,
    pub transactions_per_domain: usize,
    /// `None`: as fast as it goes.
    pub rate_per_domain: Option<Rate>,
    /// Domains that differ.
    pub domains: BTreeMap<String, DeliveryDomain>,
    // Of the client: to whom, from where, and how.
    /// The port of mail exchangers.
    pub port: u16,
    /// Addresses to send from; the first of each kind.
    pub source: Vec<IpAddr>,
    /// Kinds of addresses to send to, preferred first.
    pub families: Vec<Family>,
    /// Whether an MX record may lead to this machine or its networks.
    pub allow_private: bool,
    /// Certificates of authorities that are trusted in place of the system's.
    pub ca_file: Option<NamedFile>,
    pub connect_timeout: Span,
    /// How long a connection waits for the next message.
    pub idle_connection_time: Span,
    pub messages_per_connection: u64,
    pub recipients_per_message: usize,
    pub route: Vec<Route>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// Where the mail of some domains goes instead of to their mail exchangers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// `example.org`, `*.example.org` for what is below it, `*` for all others.
    pub domains: Vec<String>,
    /// A name or an IP address.
    pub host: String,
    #[serde(default = "Route::default_port")]
    pub port: u16,
    #[serde(default)]
    pub protocol: RouteProtocol,
    #[serde(default)]
    pub tls: RouteTls,
    pub user: Option<String>,
    /// A file with the password in its first line.
    pub password_file: Option<NamedFile>,
}

impl Route {
    fn default_port() -> u16 {
        25
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteProtocol {
    #[default]
    Smtp,
    Lmtp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteTls {
    None,
    Opportunistic,
    #[default]
    Required,
    Implicit,
}

/// How the DKIM keys of domains are replaced.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signing {
    /// Nothing: never by itself.
    pub rotate_every: Span,
    /// How long new keys are published, at least, before they sign.
    pub publish_before: Span,
    /// How long old keys stay published.
    pub publish_after: Span,
}

/// The MTA-STS policy of all domains.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MtaSts {
    pub mode: MtaStsMode,
    pub max_age: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MtaStsMode {
    Enforce,
    Testing,
    None,
}

/// Reports about mail: DMARC aggregate reports and TLS reports.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reports {
    /// To domains that ask for them.
    pub send: bool,
    /// Who reports, for people; empty: the name of the server.
    pub organisation: String,
    /// The address that reports come from; empty: postmaster at the first domain.
    pub contact: String,
    /// More addresses that reports come to.
    pub addresses: Vec<String>,
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    Reject,
    Quarantine,
    Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnTemporaryError {
    Deliver,
    Defer,
}

/// What is different about a domain that mail is sent to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeliveryDomain {
    pub transactions: Option<usize>,
    pub rate: Option<Rate>,
}

/// Networks that no other server on the internet writes from (RFC 1122, 1918, 3927, 4193, 4291): what comes from them has
/// no SPF record, and has been with others before.
const PRIVATE_NETWORKS: &[&str] = &[
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

impl Default for Authentication {
    fn default() -> Authentication {
        Authentication {
            verify: true,
            trusted: PRIVATE_NETWORKS
                .iter()
                .filter_map(|network| network.parse().ok())
                .collect(),
            resolvers: Vec::new(),
            timeout: Span::seconds(10),
            dmarc_reject: Treatment::Reject,
            dmarc_quarantine: Treatment::Quarantine,
            temporary_error: OnTemporaryError::Deliver,
        }
    }
}

impl Default for Dns {
    fn default() -> Dns {
        Dns {
            dnssec: true,
            trust_anchor: None,
            timeout: Span::seconds(10),
        }
    }
}

impl Default for Delivery {
    fn default() -> Delivery {
        let client = smtp::client::Settings::new("");
        let core = queue::Delivery::default();
        Delivery {
            retry: core.retry.iter().map(|wait| Span(*wait)).collect(),
            expiry: Span(core.expiry),
            delay_notice: Span(core.delay_notice),
            transactions: core.at_once,
            max_memory: Octets(core.octets_max),
            transactions_per_domain: core.domain.at_once,
            rate_per_domain: None,
            domains: BTreeMap::new(),
            port: client.port,
            source: Vec::new(),
            families: vec![Family::Ipv4, Family::Ipv6],
            allow_private: false,
            ca_file: None,
            connect_timeout: Span(client.timeouts.connect),
            idle_connection_time: Span(client.timeouts.idle),
            messages_per_connection: client.limits.messages_max,
            recipients_per_message: client.limits.recipients_max,
            route: Vec::new(),
        }
    }
}

impl Default for Signing {
    fn default() -> Signing {
        let settings = jmap_core::directory::dkim::SigningSettings::default();
        Signing {
            rotate_every: Span(settings.rotate_every.unwrap_or_default()),
            publish_before: Span(settings.publish_before),
            publish_after: Span(settings.publish_after),
        }
    }
}

impl Default for MtaSts {
    fn default() -> MtaSts {
        MtaSts {
            mode: MtaStsMode::Testing,
            max_age: Span::seconds(7 * 86_400),
        }
    }
}

impl Default for Reports {
    fn default() -> Reports {
        Reports {
            send: true,
            organisation: String::new(),
            contact: String::new(),
            addresses: Vec::new(),
        }
    }
}

impl Delivery {
    pub fn core(&self) -> queue::Delivery {
        let rate = |rate: Rate| queue::QueueRate {
            count: rate.0.burst,
            per: rate.0.per,
        };
        let domain = queue::DomainLimits {
            at_once: self.transactions_per_domain,
            rate: self.rate_per_domain.map(rate),
        };
        let domains = self.domains.iter().map(|(name, of)| {
            // As the queue knows it; `read` has looked at it.
            let name = names::domain(name).unwrap_or_else(|_| name.to_ascii_lowercase());
            let limits = queue::DomainLimits {
                at_once: of.transactions.unwrap_or(domain.at_once),
                rate: of.rate.map(rate).or(domain.rate),
            };
            (name, limits)
        });
        queue::Delivery {
            retry: self.retry.iter().map(|wait| wait.0).collect(),
            expiry: self.expiry.0,
            delay_notice: self.delay_notice.0,
            at_once: self.transactions,
            octets_max: self.max_memory.0,
            domain,
            domains: domains.collect(),
        }
    }
}
