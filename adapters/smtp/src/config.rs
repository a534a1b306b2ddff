//! How a listener behaves. Nothing is taken from the environment.
//!
//! Holds: every limit on what a client can make grow has its name here, or in `parse` and `net`.
//! Other half: the binary, which fills it from its configuration.

use std::sync::Arc;
use std::time::Duration;

use jmap_core::clock::Clock;
use jmap_core::rng::Rng;
use mail_auth_adapter::Verifier;
use net::reader::LinePace;
use net::tls::TlsServer;
use net::{Network, Pace, Rate};

use crate::budget::Budget;

/// What the listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Mail from other servers for domains served here (port 25).
    Receive,
    /// The same with an answer for each recipient (RFC 2033), for a machine or network that is trusted.
    Lmtp,
    /// Mail from users to anybody (RFC 6409; ports 587 and 465).
    Submission,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Receive, Mode::Lmtp, Mode::Submission];

    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Receive => "smtp",
            Mode::Lmtp => "lmtp",
            Mode::Submission => "submission",
        }
    }
}

/// How a listener behaves.
#[derive(Clone)]
pub struct Config {
    pub mode: Mode,
    /// The name that the server goes by.
    pub hostname: String,
    /// For STARTTLS. Where TLS comes first it belongs to the listener instead.
    pub tls: Option<TlsServer>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Shared by all listeners, so that they have one limit together.
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// Clients whose word counts for more than their own mail: how urgent a message is (RFC 6710 §4.1). They may also fill the whole budget.
    pub trusted: Vec<Network>,
    /// For mail from other servers (`Mode::Receive`). `None`: nothing is verified.
    pub verification: Option<Arc<Verification>>,
}

/// How the origin of mail from other servers is looked at, and what follows.
pub struct Verification {
    pub verifier: Verifier,
    /// Clients about whose mail nobody is asked.
    pub trusted: Vec<Network>,
    /// What is done when the author's domain asks for a refusal (DMARC `p=reject`).
    pub on_reject: Treatment,
    /// What is done when it asks for quarantine.
    pub on_quarantine: Treatment,
    /// Whether mail is put off while it isn't known what the author's domain asks for, since the DNS does not answer.
    pub defers: bool,
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Treatment {
    Reject,
    /// It is delivered as junk.
    Quarantine,
    /// Only the Authentication-Results field says what was found.
    Mark,
}

/// What is too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message, as it is sent: without what we put in front.
    pub size_max: u64,
    /// Octets of a message beyond `size_max` that are read and thrown away, so that the client sees the answer.
    pub discard_max: u64,
    /// Recipients of one message. RFC 5321 §4.5.3.1.8: at least 100.
    pub recipients_max: usize,
    /// Seconds that a submission may be held (RFC 4865); 0: FUTURERELEASE is not offered.
    pub hold_seconds_max: u64,
    /// Refusals of one client that are traced; of more the log alone tells.
    pub traced_refusals: Rate,
    /// Messages of one connection.
    pub transactions_max: u32,
    /// Commands that are none, or out of order, in one connection.
    pub bad_commands_max: u32,
    /// Commands that lead nowhere (NOOP, RSET, VRFY and the like), between two messages.
    pub idle_commands_max: u32,
    /// Recipients that were refused, in one connection. Guessing addresses ends here.
    pub refused_recipients_max: u32,
    /// Failed logins of one connection.
    pub auth_failures_max: u32,
    /// Messages from one client (see [`net::ClientKey`]), on listeners that receive.
    pub client_rate: Rate,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            size_max: 50 << 20,
            discard_max: 50 << 20,
            recipients_max: 1000,
            transactions_max: 10_000,
            bad_commands_max: 20,
            idle_commands_max: 100,
            refused_recipients_max: 100,
            auth_failures_max: 3,
            hold_seconds_max: 30 * 86_400,
            traced_refusals: Rate::new(60, Duration::from_secs(3600)),
            client_rate: Rate::new(3000, Duration::from_secs(3600)),
        }
    }
}

/// Octets of an envelope for which there is room besides those of a message in what a stranger may have of the budget.
pub const ENVELOPE_OCTETS: u64 = 1 << 20;
/// Clients whose rate is remembered.
pub const CLIENT_RATES_MAX: usize = 65_536;

/// What is too slow (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub command: LinePace,
    pub data: Pace,
    pub write: Pace,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            // RFC 5321 §4.5.3.2.7: at least 5 minutes.
            command: LinePace {
                idle: Duration::from_secs(300),
                line: Duration::from_secs(60),
            },
            data: Pace::DATA,
            write: Pace::WRITE,
        }
    }
}

impl Config {
    /// With the usual limits and timeouts, without STARTTLS.
    pub fn new(
        mode: Mode,
        hostname: &str,
        budget: Budget,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Config {
        Config {
            mode,
            hostname: hostname.to_owned(),
            tls: None,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            budget,
            clock,
            rng,
            trusted: Vec::new(),
            verification: None,
        }
    }
}
