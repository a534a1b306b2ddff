//! How a listener behaves. Nothing is taken from the environment.
//!
//! Holds: every limit on what a client can make grow has its name here, or in `parse` and `net`.
//! Other half: the binary, which fills it from its configuration.

use std::sync::Arc;
use std::time::Duration;

use jmap_core::clock::Clock;
use net::reader::LinePace;
use net::tls::TlsServer;
use net::{Budget, Pace};

pub use crate::selected::Recents;

/// Octets of messages on their way out, of all sessions together.
pub const SENDING_OCTETS_MAX: u64 = 256 << 20;

/// How a listener behaves.
#[derive(Clone)]
pub struct Config {
    /// The name that the server goes by.
    pub hostname: String,
    /// For STARTTLS. Where TLS comes first it belongs to the listener instead.
    pub tls: Option<TlsServer>,
    pub plaintext_logins: PlaintextLogins,
    /// Where the JMAP session resource is, for GETJMAPACCESS (RFC 9698).
    pub jmap_url: Option<String>,
    /// `/shared/admin` of the server (RFC 5464 §3.2.1.1): a URI, such as `mailto:` with an address.
    pub admin_uri: Option<String>,
    /// `/shared/comment` of the server.
    pub comment: Option<String>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Memory of messages on their way in: shared by all listeners, so that they have one limit together.
    pub budget: Budget,
    /// The same of messages on their way out.
    pub sending: Budget,
    pub clock: Arc<dyn Clock>,
    /// Which messages sessions were told of: shared by all listeners, as a message is recent once.
    pub recents: Recents,
}

/// Where a login over a connection that isn't encrypted is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaintextLogins {
    Loopback,
    Anywhere,
}

/// What is too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command's lines together, without its literals; before login, and after.
    pub stranger_line_octets_max: usize,
    pub line_octets_max: usize,
    /// Octets of one literal, and of all of a command; before login.
    pub stranger_literal_octets_max: u64,
    /// The same after login, where it is no message.
    pub literal_octets_max: u64,
    /// Octets of one message (APPENDLIMIT, RFC 7889).
    pub message_octets_max: u64,
    /// Octets of all messages of one APPEND (RFC 3502).
    pub append_octets_max: u64,
    /// Octets of literals that are too large and come anyway, which one command may throw away (RFC 7888 §4).
    pub discard_octets_max: u64,
    /// Commands before a login.
    pub stranger_commands_max: u32,
    /// Commands that are none, or not for now, in one connection.
    pub bad_commands_max: u32,
    /// Failed logins of one connection.
    pub auth_failures_max: u32,
    /// Compressed connections at once: each takes about 400 KiB.
    pub compressed_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            stranger_line_octets_max: 16 << 10,
            line_octets_max: 64 << 10,
            stranger_literal_octets_max: 4 << 10,
            literal_octets_max: 64 << 10,
            message_octets_max: 50 << 20,
            append_octets_max: 100 << 20,
            discard_octets_max: 100 << 20,
            stranger_commands_max: 50,
            bad_commands_max: 50,
            auth_failures_max: 3,
            compressed_max: 1000,
        }
    }
}

/// What is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Before login.
    pub stranger: LinePace,
    /// After it. RFC 9051 §5.4: at least 30 minutes of silence.
    pub command: LinePace,
    pub literal: Pace,
    pub write: Pace,
    /// How often a client is told of a command that takes long (RFC 9585).
    pub progress: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            stranger: LinePace {
                idle: Duration::from_secs(60),
                line: Duration::from_secs(30),
            },
            command: LinePace {
                idle: Duration::from_secs(30 * 60),
                line: Duration::from_secs(60),
            },
            literal: Pace::DATA,
            write: Pace::WRITE,
            progress: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// With the usual limits and timeouts, without STARTTLS.
    pub fn new(hostname: &str, budget: Budget, clock: Arc<dyn Clock>) -> Config {
        Config {
            hostname: hostname.to_owned(),
            tls: None,
            plaintext_logins: PlaintextLogins::Loopback,
            jmap_url: None,
            admin_uri: None,
            comment: None,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            budget,
            sending: Budget::new(SENDING_OCTETS_MAX, net::budget::IN_FLIGHT_WAIT),
            clock,
            recents: Recents::default(),
        }
    }
}
