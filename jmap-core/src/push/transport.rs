//! How a push gets to its push service: an HTTP POST that somebody else makes.
//!
//! Other half: the binary has one over real connections, tests have others.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::crypto::PushEndpoint;

/// Makes the requests of the push worker.
#[async_trait]
pub trait PushTransport: Send + Sync + std::fmt::Debug {
    /// POSTs once, without following redirects, and only to addresses that its policy allows: the endpoint's name
    /// was checked, its addresses were not.
    async fn post(&self, request: PushRequest) -> Result<PushResponse, PushError>;
}

#[derive(Clone, Debug)]
pub struct PushRequest {
    pub endpoint: PushEndpoint,
    /// Names in lower case. `host` and `content-length` are the transport's business.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushResponse {
    pub status: u16,
    /// `Retry-After` (RFC 9110 §10.2.3).
    pub retry_after: Option<Duration>,
}

/// Why there was no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The name has no address that pushes may go to.
    #[error("the host has no public address")]
    NotPublic,
    #[error("the push service did not answer in time")]
    TimedOut,
    #[error("the push service can't be reached: {0}")]
    Unreachable(String),
}
