//! Mail to other servers: the client's side of SMTP (RFC 5321) and LMTP (RFC 2033).
//!
//! Holds: one call is one mail transaction at most; what was accepted is told before the connection is used again; a host
//! that a policy asks TLS of gets mail over TLS as the policy has it, or none.
//! Other half: `jmap_core`'s queue, which calls; other servers.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jmap_core::clock::Clock;
use jmap_core::inproc::outbound::{Attempt, Job, Outbound};
use jmap_core::rng::Rng;
use mail_auth_adapter::Dns;

pub use self::auth::Login;
pub use self::fetch::Fetcher;
pub use self::settings::{Family, Limits, Protocol, Route, RouteTls, Settings, Timeouts};
pub use self::sts::{KeptPolicy, PolicyKeeper};
pub use self::tls::{Failure, Roots, RootsError};

mod auth;
mod connection;
mod content;
mod dane;
mod envelope;
mod extensions;
mod fetch;
mod hosts;
mod letter;
mod pool;
mod reply;
mod send;
mod settings;
mod sts;
#[cfg(test)]
mod tests;
mod tls;
mod transaction;

/// Signs what is sent.
#[async_trait]
pub trait Signer: Send + Sync + fmt::Debug {
    /// The header fields to put in front of a message, each with its CRLF; none if nobody's keys are here for it. `message`
    /// is what is sent, after all conversions. `Err`: the message waits.
    async fn sign(&self, job: &Job, message: &Bytes) -> Result<Bytes, String>;
}

/// What a client is made of.
#[derive(Debug)]
pub struct Parts {
    pub settings: Settings,
    pub dns: Dns,
    pub roots: Roots,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub signer: Option<Arc<dyn Signer>>,
    pub policies: Option<Arc<dyn PolicyKeeper>>,
}

/// Sends mail. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<send::Sender>);

impl Client {
    /// Errors: TLS can't be set up.
    pub fn new(parts: Parts) -> Result<Client, rustls::Error> {
        Ok(Client(Arc::new(send::Sender::new(parts)?)))
    }

    /// Connections that wait for the next message.
    pub fn idle_connections(&self) -> usize {
        self.0.pool.len()
    }
}

#[async_trait]
impl Outbound for Client {
    async fn send(&self, job: &Job) -> Attempt {
        self.0.send(job).await
    }
}
