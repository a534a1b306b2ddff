//! How a listener behaves. Nothing is taken from the environment.
//!
//! Holds: every limit on what a client can make grow has its name here, or in `parse` and `net`.
//! Other half: the binary, which fills it from its configuration.

use std::time::Duration;

use net::Pace;
use net::reader::LinePace;
use net::tls::TlsServer;

/// How a listener behaves.
#[derive(Clone)]
pub struct Config {
    /// For STARTTLS.
    pub tls: Option<TlsServer>,
    pub plaintext_logins: PlaintextLogins,
    pub limits: Limits,
    pub timeouts: Timeouts,
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
    pub literal: Pace,
    pub write: Pace,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            // RFC 5804 §1.2: at least 30 minutes after a login. Strangers get what `limits` and the listener allow.
            command: LinePace {
                idle: Duration::from_secs(1800),
                line: Duration::from_secs(60),
            },
            literal: Pace::WRITE,
            write: Pace::WRITE,
        }
    }
}

impl Default for Config {
    /// With the usual limits and timeouts, without STARTTLS.
    fn default() -> Config {
        Config {
            tls: None,
            plaintext_logins: PlaintextLogins::Loopback,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}
