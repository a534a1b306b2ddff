//! How a listener behaves. Nothing is taken from the environment.
//!
//! Holds: every limit on what a client can make grow has its name here, or in `parse`, `locks`, `room` and `net`.
//! Other half: the binary, which fills it from its configuration.

use std::time::Duration;

use net::Pace;
use net::reader::LinePace;
use net::tls::TlsServer;

use crate::locks::Locks;
use crate::room::Room;

/// How a listener behaves.
#[derive(Clone)]
pub struct Config {
    /// The name that the server goes by.
    pub hostname: String,
    /// For STLS. Where TLS comes first it belongs to the listener instead.
    pub tls: Option<TlsServer>,
    pub plaintext_logins: PlaintextLogins,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Shared by all listeners: a maildrop has one session.
    pub locks: Locks,
    /// Shared by all listeners, so that they have one limit together.
    pub room: Room,
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
    /// Commands before a login.
    pub stranger_commands_max: u32,
    /// Commands that are none, or out of order, in one connection.
    pub bad_commands_max: u32,
    /// Failed logins of one connection.
    pub auth_failures_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            stranger_commands_max: 50,
            bad_commands_max: 20,
            auth_failures_max: 3,
        }
    }
}

/// What is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub command: LinePace,
    pub write: Pace,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            // RFC 1939 §3: at least 10 minutes.
            command: LinePace {
                idle: Duration::from_secs(600),
                line: Duration::from_secs(60),
            },
            write: Pace::WRITE,
        }
    }
}

impl Config {
    /// With the usual limits and timeouts, without STLS.
    pub fn new(hostname: &str, locks: Locks, room: Room) -> Config {
        Config {
            hostname: hostname.to_owned(),
            tls: None,
            plaintext_logins: PlaintextLogins::Loopback,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            locks,
            room,
        }
    }
}
