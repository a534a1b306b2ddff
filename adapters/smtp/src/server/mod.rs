//! The server's side of SMTP: sessions, and the transactions within them.
//!
//! Holds: `session` and `body` do the I/O; everything else works on values.
//! Other half: `commands`, one file per command.

use std::sync::Arc;

use net::{ClientKey, RateLimiter};

use crate::backend::Backend;
use crate::config::{CLIENT_RATES_MAX, Config};

mod authentication;
pub mod body;
mod reported;
pub mod session;
pub mod transaction;

/// What all sessions of a listener share; and the configuration, as it was when they began.
pub struct Server<B> {
    pub backend: Arc<B>,
    pub config: Arc<Config>,
    /// Messages, by client.
    pub client_rates: Arc<RateLimiter<ClientKey>>,
    /// Refusals that are traced, by client.
    pub refusal_rates: Arc<RateLimiter<ClientKey>>,
}

impl<B: Backend> Server<B> {
    pub fn new(backend: B, config: Arc<Config>) -> Server<B> {
        let limiter = |rate| Arc::new(RateLimiter::new(rate, CLIENT_RATES_MAX));
        Server {
            backend: Arc::new(backend),
            refusal_rates: limiter(config.limits.traced_refusals),
            client_rates: limiter(config.limits.client_rate),
            config,
        }
    }

    /// The same listener, as it is configured now.
    pub fn configured(&self, config: Arc<Config>) -> Server<B> {
        self.client_rates.set_rate(config.limits.client_rate);
        Server {
            backend: self.backend.clone(),
            client_rates: self.client_rates.clone(),
            refusal_rates: self.refusal_rates.clone(),
            config,
        }
    }
}
