//! JMAP over HTTP (RFC 8620) and WebSocket (RFC 8887).
//!
//! Holds: the JSON envelope, result references, `using` and the limits of requests are decided here and nowhere else;
//! what a call means and who may make it, the core says. Whatever a client can make grow has a named limit.
//! Other half: `jmap_core::Core`, which makes the calls; `net`, which accepts the connections.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use jmap_core::Core;
use net::{Listener, Network, Shutdown};

mod api;
mod auth;
mod blob;
mod bounds;
mod client;
mod connection;
mod encode;
mod incoming;
mod methods;
mod parse;
mod process;
mod push;
mod readers;
mod receive;
mod reference;
mod room;
mod route;
mod session;
mod translate;

pub use bounds::Bounds;
pub use client::Client;
pub use connection::{HEADER_FIELDS_MAX, HEADER_OCTETS_MAX, Jmap, STREAMS_MAX};
pub use encode::{body::Body, problem::Problem};
pub use incoming::Incoming;
pub use methods::METHODS;
pub use push::{inflow::MESSAGE_FREE_OCTETS, websocket::REQUEST_ID_OCTETS_MAX};
pub use route::{SESSION_PATH, URI_OCTETS_MAX};

/// What an operator decides.
#[derive(Clone)]
pub struct Config {
    /// Scheme and host of the URLs that clients are told, without a slash at the end. By default those that the client
    /// has used.
    pub base_url: Option<String>,
    /// `Access-Control-Allow-Origin`: one origin, or `*`. Cookies and the like are never allowed.
    pub allowed_origin: String,
    /// Proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.
    pub proxies: Vec<Network>,
    pub plaintext_logins: PlaintextLogins,
    /// RFC 9749: the public key that pushes are signed with, as unpadded base64url.
    pub application_server_key: Option<String>,
    /// The text of `/metrics`; without it there is none.
    pub metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    /// Networks that may read `/metrics`.
    pub metrics_networks: Vec<Network>,
    pub bounds: Bounds,
    /// Where the metadata is of what tokens are for (RFC 9728): a path, which whoever isn't logged in is told.
    pub resource_metadata: Option<&'static str>,
    /// What answers at addresses that are not JMAP's.
    pub fallback: Option<Fallback>,
}

/// Answers requests that are not JMAP's, such as those of the console.
pub type Fallback =
    Arc<dyn Fn(Request<Incoming>, Client) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Where a login over a connection that isn't encrypted is taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlaintextLogins {
    Loopback,
    Anywhere,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            base_url: None,
            allowed_origin: "*".into(),
            proxies: Vec::new(),
            plaintext_logins: PlaintextLogins::Loopback,
            application_server_key: None,
            metrics: None,
            metrics_networks: client::loopback_networks(),
            bounds: Bounds::default(),
            resource_metadata: None,
            fallback: None,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("base_url", &self.base_url)
            .field("allowed_origin", &self.allowed_origin)
            .field("proxies", &self.proxies)
            .field("plaintext_logins", &self.plaintext_logins)
            .finish_non_exhaustive()
    }
}

/// What a TLS listener of ours offers by ALPN, preferred first.
pub const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Serves a listener until a stop is asked for. For several listeners, make one [`Jmap`] and share it.
pub async fn serve(listener: Listener, core: Core, config: Config, shutdown: Shutdown) {
    let jmap = Jmap::new(core, config);
    jmap.serve(listener, shutdown).await;
}

/// Whether these octets are a Request (RFC 8620 §3.3), read as the API endpoint reads them. For fuzzing.
pub fn is_request(octets: &[u8]) -> bool {
    parse::request::json(octets)
        .and_then(parse::request::request)
        .is_ok()
}
