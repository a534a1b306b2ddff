//! Certificates from an ACME server (RFC 8555): ordered, proven, renewed.
//!
//! Holds: of all nodes, one works on a certificate at a time; whatever goes wrong, the next order waits, longer each time, also
//! over restarts; what is kept is a chain that has all names and belongs to its key. Challenges are answered by every node.
//! Other half: `jmap_core::inproc::certificates` keeps everything; the binary shows the certificates, and has the listeners that
//! challenges come in at.

mod answer;
mod client;
mod order;
mod schedule;
mod update;
mod worker;

use std::{sync::Arc, time::Duration};

use jmap_core::{Core, auth::Secret, clock::Clock, inproc::certificates::ChallengeKind, rng::Rng};
use rustls::ClientConfig;
use tokio::sync::Notify;

pub use self::{
    answer::{CHALLENGE_PATH, Challenges, TOKEN_OCTETS_MAX},
    order::ORDER_TIME_MAX,
    schedule::{RETRY_FIRST_MIN, Retry},
    update::{UpdateAlgorithm, UpdateError, UpdateSettings, Updater},
    worker::{FORGET_EVERY, ORDERS_AT_ONCE_MAX, forget_unwanted, run},
};

/// What is ordered, and from whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL of the server's directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// The authorities by which the server itself is known.
    pub tls: Arc<ClientConfig>,
    /// URIs, such as `mailto:postmaster@example.org`.
    pub contact: Vec<String>,
    /// RFC 8555 §7.3.4.
    pub external_account: Option<ExternalAccount>,
    pub certificates: Vec<Wanted>,
    /// How dns-01 challenges are answered.
    pub dns: Option<Updater>,
    /// How long other name servers may take to get what was put into the first one.
    pub dns_wait: Duration,
    /// The next certificate has the key of the one before, so that TLSA records stay true.
    pub reuse_key: bool,
    pub retry: Retry,
}

/// An account that the operator of the ACME server knows already.
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    pub id: String,
    /// The key of its HMAC.
    pub key: Secret<Vec<u8>>,
}

/// A certificate that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// In lower case, some perhaps beginning with `*.`; the first is what the certificate is called by.
    pub names: Vec<String>,
    pub challenge: ChallengeKind,
}

/// What the worker works with.
#[derive(Clone, Debug)]
pub struct Tools {
    pub core: Core,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// Tells that there may be something to order.
    pub wake: Arc<Notify>,
    /// Is told that there is another certificate.
    pub changed: Arc<Notify>,
}
