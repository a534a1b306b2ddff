//! What each listener is told.
//!
//! Holds: the defaults are those of `net` and of the adapters.
//! Other half: `wire`, which opens the sockets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{BaseUrl, CorsOrigin, Listen, Network, Rate, Span};

/// A listener for SMTP, submission or LMTP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MailListener {
    /// `None` only until the defaults of the listener were put in.
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    /// Networks to which only `connections` applies.
    pub exempt: Vec<Network>,
    pub message_rate: Rate,
    pub messages_per_connection: u32,
    pub bad_commands: u32,
    pub refused_recipients: u32,
    pub auth_failures: u32,
    pub idle_timeout: Span,
}

/// A listener for IMAP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImapListener {
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    /// Networks to which only `connections` applies.
    pub exempt: Vec<Network>,
    pub bad_commands: u32,
    pub auth_failures: u32,
    pub idle_timeout: Span,
    pub compressed_connections: usize,
    pub plaintext_logins: PlaintextLogins,
}

/// A listener for POP3, without TLS or with it from the first byte.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pop3 {
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    pub exempt: Vec<Network>,
    pub bad_commands: u32,
    pub auth_failures: u32,
    pub idle_timeout: Span,
    pub plaintext_logins: PlaintextLogins,
}

/// A listener for ManageSieve.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ManageSieve {
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    pub exempt: Vec<Network>,
    pub bad_commands: u32,
    pub auth_failures: u32,
    pub idle_timeout: Span,
    pub plaintext_logins: PlaintextLogins,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Http {
    pub listen: Option<Vec<Listen>>,
    /// Proxies whose `X-Forwarded-*` fields are believed; of `https` too.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    pub exempt: Vec<Network>,
    pub base_url: Option<BaseUrl>,
    pub cors_origin: CorsOrigin,
    /// `None`: no page of another origin.
    pub admin_cors_origin: Option<BaseUrl>,
    pub plaintext_logins: PlaintextLogins,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Https {
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    pub exempt: Vec<Network>,
}

/// Where a login over a connection that isn't encrypted is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaintextLogins {
    Loopback,
    Anywhere,
}

/// The usual limits of connections, as the network code has them.
fn connection_rate() -> Rate {
    Rate(net::ConnectionLimits::default().rate)
}

impl Default for MailListener {
    fn default() -> MailListener {
        let limits = net::ConnectionLimits::default();
        MailListener {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            message_rate: Rate::new(3000, Duration::from_secs(3600)),
            messages_per_connection: 500,
            bad_commands: 20,
            refused_recipients: 100,
            auth_failures: 3,
            idle_timeout: Span::seconds(300),
        }
    }
}

impl Default for ImapListener {
    fn default() -> ImapListener {
        let limits = net::ConnectionLimits::default();
        let of = imap::Limits::default();
        ImapListener {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            bad_commands: of.bad_commands_max,
            auth_failures: of.auth_failures_max,
            idle_timeout: Span(imap::Timeouts::default().command.idle),
            compressed_connections: of.compressed_max,
            plaintext_logins: PlaintextLogins::Loopback,
        }
    }
}

impl Default for Pop3 {
    fn default() -> Pop3 {
        let limits = net::ConnectionLimits::default();
        Pop3 {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            bad_commands: 20,
            auth_failures: 3,
            idle_timeout: Span::seconds(600),
            plaintext_logins: PlaintextLogins::Loopback,
        }
    }
}

impl Default for ManageSieve {
    fn default() -> ManageSieve {
        let limits = net::ConnectionLimits::default();
        ManageSieve {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            bad_commands: 20,
            auth_failures: 3,
            idle_timeout: Span::seconds(1800),
            plaintext_logins: PlaintextLogins::Loopback,
        }
    }
}

impl Default for Http {
    fn default() -> Http {
        let limits = net::ConnectionLimits::default();
        Http {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            base_url: None,
            cors_origin: CorsOrigin("*".to_owned()),
            admin_cors_origin: None,
            plaintext_logins: PlaintextLogins::Loopback,
        }
    }
}

impl Default for Https {
    fn default() -> Https {
        let limits = net::ConnectionLimits::default();
        Https {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
        }
    }
}
