//! IMAP4rev2 (RFC 9051) and IMAP4rev1 (RFC 3501), as a translation to the core.
//!
//! Holds: nothing is decided here that the core decides; no capability is announced that does not work.
//! Other half: `jmap_core::inproc::imap_view`, and the clients.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jmap_core::Core;
use net::listener::Goodbye;
use net::{Listener, Shutdown};

pub use self::config::{Config, Limits, Timeouts};

pub mod command;
mod commands;
pub mod config;
pub mod encode;
mod fetch;
mod out;
pub mod parse;
mod read;
mod search;
mod selected;
mod session;
mod translate;

/// Serves connections until a stop is asked for. A session that is in the middle of a command finishes it first. Another configuration
/// counts for connections from then on.
pub async fn serve(
    listener: Listener,
    shutdown: Shutdown,
    core: Core,
    config: Arc<ArcSwap<Config>>,
) {
    let server = session::Server::new(core, config.load_full());
    let handler = move |connection| {
        let server = server.configured(config.load_full());
        session::run(Arc::new(server), connection)
    };
    listener.run(shutdown, handler).await;
}

/// What the listener says to clients that it does not let in.
pub fn goodbye() -> Goodbye {
    Arc::new(|why| {
        let mut out = Vec::new();
        let (code, text) = translate::errors::refusal(why);
        encode::untagged(&mut out, encode::Status::Bye, Some(&code), text);
        out
    })
}
