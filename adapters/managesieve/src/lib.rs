//! ManageSieve (RFC 5804): the scripts of an account, as a translation to the SieveScript methods of the core.
//!
//! Holds: what is stored was checked by the core; no capability is announced that does not work.
//! Other half: `jmap_core::mail::sieve`, and the clients.

use std::sync::Arc;

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

/// Serves connections until a stop is asked for. A session that carries out a command finishes it first.
pub async fn serve(listener: Listener, shutdown: Shutdown, core: Core, config: Config) {
    let server = Arc::new(session::Server { core, config });
    let handler = move |connection| session::run(server.clone(), connection);
    listener.run(shutdown, handler).await;
}

/// What the listener says to clients that it does not let in.
pub fn goodbye() -> Goodbye {
    Arc::new(|why| translate::refusal(why).encode())
}
