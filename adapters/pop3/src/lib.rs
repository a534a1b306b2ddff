//! POP3 (RFC 1939): the inbox for clients that fetch it, as a translation to the core.
//!
//! Holds: a message is removed only after QUIT, and only if it was marked in that session; a maildrop has one session at
//! a time; no capability is announced that does not work.
//! Other half: `jmap_core::inproc::imap_view`, and the clients.

use std::sync::Arc;

use arc_swap::ArcSwap;
use net::listener::Goodbye;
use net::{Listener, Shutdown};

pub use self::backend::Backend;
pub use self::config::{Config, Limits, PlaintextLogins, Timeouts};
pub use self::locks::Locks;
pub use self::room::Room;

pub mod backend;
mod commands;
pub mod config;
pub mod encode;
pub mod locks;
pub mod maildrop;
pub mod parse;
pub mod room;
mod session;
pub mod translate;

/// Serves connections until a stop is asked for. A session that carries out a command finishes it first. Another configuration
/// counts for connections from then on.
pub async fn serve<B: Backend>(
    listener: Listener,
    shutdown: Shutdown,
    backend: B,
    config: Arc<ArcSwap<Config>>,
) {
    let backend = Arc::new(backend);
    let handler = move |connection| {
        let (backend, config) = (backend.clone(), config.load_full());
        session::run(Arc::new(session::Server { backend, config }), connection)
    };
    listener.run(shutdown, handler).await;
}

/// What the listener says to clients that it does not let in.
pub fn goodbye() -> Goodbye {
    Arc::new(|why| translate::refusal(why).encode())
}
