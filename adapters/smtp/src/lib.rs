//! SMTP (RFC 5321): mail from other servers, LMTP (RFC 2033), and submission (RFC 6409), as a translation to the core.
//!
//! Holds: a message is answered with 250 only after the core has it on disk; nothing is decided here that the core
//! decides; no keyword is announced that does not work.
//! Other half: `jmap_core::inproc::deliver`, and the clients.

use std::sync::Arc;

use arc_swap::ArcSwap;
use net::listener::Goodbye;
pub use net::{Budget, budget};
use net::{Listener, Shutdown};

pub use self::backend::{Backend, Submission, SubmitError};
pub use self::config::{Config, Limits, Mode, Timeouts, Treatment, Verification};

pub mod backend;
pub mod client;
mod commands;
pub mod config;
pub mod encode;
pub mod message;
pub mod parse;
mod server;
pub mod signing;
pub mod translate;

/// Serves connections until a stop is asked for. A session that is in the middle of a message finishes it first. Another configuration
/// counts for connections from then on.
pub async fn serve<B: Backend>(
    listener: Listener,
    shutdown: Shutdown,
    backend: B,
    config: Arc<ArcSwap<Config>>,
) {
    let server = server::Server::new(backend, config.load_full());
    let handler = move |connection| {
        let server = server.configured(config.load_full());
        server::session::run(Arc::new(server), connection)
    };
    listener.run(shutdown, handler).await;
}

/// What the listener says to clients that it does not let in.
pub fn goodbye() -> Goodbye {
    Arc::new(|why| translate::refusal(why).encode())
}
