//! ManageSieve (RFC 5804): the scripts of an account, as a translation to the SieveScript methods of the core.
//!
//! Holds: what is stored was checked by the core; no capability is announced that does not work.
//! Other half: `jmap_core::mail::sieve`, and the clients.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jmap_core::Core;
use net::listener::Goodbye;
use net::{Listener, Shutdown};

pub use self::config::{Config, Limits, PlaintextLogins, Timeouts};

mod commands;
pub mod config;
pub mod encode;
pub mod parse;
mod session;
pub mod translate;

/// Serves connections until a stop is asked for. A session that carries out a command finishes it first. Another configuration
/// counts for connections from then on.
pub async fn serve(
    listener: Listener,
    shutdown: Shutdown,
    core: Core,
    config: Arc<ArcSwap<Config>>,
) {
    let handler = move |connection| {
        let (core, config) = (core.clone(), config.load_full());
        session::run(Arc::new(session::Server { core, config }), connection)
    };
    listener.run(shutdown, handler).await;
}

/// What the listener says to clients that it does not let in.
pub fn goodbye() -> Goodbye {
    Arc::new(|why| translate::refusal(why).encode())
}
