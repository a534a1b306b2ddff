//! The server's side of SMTP: sessions, and the transactions within them.
//!
//! Holds: `session` and `body` do the I/O; everything else works on values.
//! Other half: `commands`, one file per command.

use net::{ClientKey, RateLimiter};

use crate::backend::Backend;
use crate::config::{CLIENT_RATES_MAX, Config};

mod authentication;
pub mod body;
mod reported;
pub mod session;
pub mod transaction;

/// What all sessions of a listener share.
pub struct Server<B> {
    pub backend: B,
    pub config: Config,
    /// Messages, by client.
    pub client_rates: RateLimiter<ClientKey>,
    /// Refusals that are traced, by client.
    pub refusal_rates: RateLimiter<ClientKey>,
}

impl<B: Backend> Server<B> {
    pub fn new(backend: B, config: Config) -> Server<B> {
        Server {
            backend,
            refusal_rates: RateLimiter::new(config.limits.traced_refusals, CLIENT_RATES_MAX),
            client_rates: RateLimiter::new(config.limits.client_rate, CLIENT_RATES_MAX),
            config,
        }
    }
}
