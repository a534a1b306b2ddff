//! How mail is sent: routes, limits, times. Nothing is taken from the environment.
//!
//! Holds: every limit on what a peer can make grow has its name here, or in `reply` and `hosts`.
//! Other half: the binary, which fills it from its configuration.

use std::net::IpAddr;
use std::time::Duration;

use super::auth::Login;

/// How mail is sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name, in EHLO.
    pub hostname: String,
    /// The port of mail exchangers.
    pub port: u16,
    /// From where; the first of each family is used. None: as the system does.
    pub source: Vec<IpAddr>,
    /// Kinds of addresses, preferred first; one that isn't named isn't used.
    pub families: Vec<Family>,
    /// Whether an MX record may lead to this machine or its networks.
    pub allow_private: bool,
    pub routes: Vec<Route>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    /// The port of MTA-STS policy hosts.
    pub sts_port: u16,
}

impl Settings {
    pub fn new(hostname: &str) -> Settings {
        Settings {
            hostname: hostname.to_owned(),
            port: 25,
            source: Vec::new(),
            families: vec![Family::Ipv4, Family::Ipv6],
            allow_private: false,
            routes: Vec::new(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            sts_port: 443,
        }
    }

    /// The route of a domain: one for its name, then for the closest `*.parent`, then for `*`.
    pub fn route(&self, domain: &str) -> Option<&Route> {
        let has = |pattern: &str| {
            self.routes
                .iter()
                .find(|route| route.domains.iter().any(|own| own == pattern))
        };
        has(domain)
            .or_else(|| {
                let mut rest = domain;
                while let Some((_, parent)) = rest.split_once('.') {
                    if let Some(route) = has(&format!("*.{parent}")) {
                        return Some(route);
                    }
                    rest = parent;
                }
                None
            })
            .or_else(|| has("*"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// Where the mail of some domains goes instead of to their mail exchangers.
#[derive(Clone, Debug)]
pub struct Route {
    /// In lower case, A-labels: `example.org`, `*.example.org`, `*`.
    pub domains: Vec<String>,
    /// A name, or an IP address.
    pub host: String,
    pub port: u16,
    pub protocol: Protocol,
    pub tls: RouteTls,
    pub login: Option<Login>,
    /// What it needs isn't there at the moment: its mail waits.
    pub is_unusable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Smtp,
    /// RFC 2033.
    Lmtp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteTls {
    /// Never.
    None,
    /// STARTTLS if it is offered, with any certificate.
    Opportunistic,
    /// STARTTLS, with a certificate that is verified.
    Required,
    /// From the first octet (RFC 8314), with a certificate that is verified.
    Implicit,
}

/// How long is waited (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    pub greeting: Duration,
    /// EHLO, MAIL, RCPT, AUTH, STARTTLS.
    pub command: Duration,
    /// MAIL and all RCPT of one transaction together.
    pub envelope: Duration,
    /// From DATA to 354.
    pub data: Duration,
    /// From the end of the message to its reply.
    pub end: Duration,
    /// RSET and QUIT, when there is nothing to lose.
    pub goodbye: Duration,
    /// After so long no other host is tried.
    pub call: Duration,
    /// How long a connection is kept that nobody uses.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(300),
            command: Duration::from_secs(300),
            envelope: Duration::from_secs(1200),
            data: Duration::from_secs(120),
            end: Duration::from_secs(600),
            goodbye: Duration::from_secs(10),
            call: Duration::from_secs(900),
            idle: Duration::from_secs(10),
        }
    }
}

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are tried for one call, over all hosts and addresses.
    pub sessions_max: usize,
    /// Messages on one connection.
    pub messages_max: u64,
    /// Connections that are kept open, over all hosts; and to one host.
    pub idle_max: usize,
    pub idle_per_host_max: usize,
    /// Recipients of one transaction (RFC 5321 §4.5.3.1.8: servers take 100 at least).
    pub recipients_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions_max: 8,
            messages_max: 100,
            idle_max: 200,
            idle_per_host_max: 8,
            recipients_max: 100,
        }
    }
}
