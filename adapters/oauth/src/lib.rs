//! OAuth 2.0 and OpenID Connect over HTTP: how other programs get at an account without its password.
//!
//! | RFC | what of it |
//! |---|---|
//! | 6749, 7636, 9700 | authorization code with PKCE, refresh tokens with rotation |
//! | 8628 | device flow |
//! | 7591 | dynamic registration, where it is configured |
//! | 8414, 9728, OpenID Connect Discovery | metadata |
//! | 7662, 7009 | introspection, revocation |
//! | 9207 | `iss` in the authorization response |
//! | 8707 | resource indicators are taken, and change nothing: there is one resource |
//! | OpenID Connect Core | ID tokens of the code flow, userinfo |
//!
//! Holds: pages have no scripts but the one for passkeys, and are shown in no frame; a form counts only with the cookie of the page that it is on; passwords,
//! codes and tokens are in no address but the one that the RFC asks for, and in no log.
//! Other half: `jmap_core::auth::oauth`, which decides everything.

mod bound;
mod client;
mod error;
mod form;
mod html;
mod metadata;
mod pages;
mod register;
mod serve;
mod token;

use std::{net::IpAddr, sync::Arc};

use jmap_core::{
    Core,
    auth::{Origin, Protocol},
};

pub use form::{BODY_OCTETS_MAX, PAIRS_MAX};
pub use metadata::RESOURCE_PATH;
pub use serve::is_ours;

/// What an operator decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Clients may register themselves (RFC 7591).
    pub registration: bool,
    /// Logins are taken over connections that aren't encrypted.
    pub plaintext_logins: bool,
}

/// One request's client.
#[derive(Clone, Debug)]
pub struct Client {
    pub ip: IpAddr,
    /// Whether its own connection is encrypted.
    pub tls: bool,
    /// Scheme and host by which it has found us: the issuer (RFC 8414 §2).
    pub base_url: String,
    /// The host, perhaps with a port.
    pub host: String,
}

impl Client {
    fn origin(&self) -> Origin {
        Origin {
            ip: self.ip,
            protocol: Protocol::OAuth,
            tls: self.tls,
        }
    }
}

/// Answers for all addresses of OAuth. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provider(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Core,
    config: Config,
}

impl Provider {
    pub fn new(core: Core, config: Config) -> Provider {
        Provider(Arc::new(Inner { core, config }))
    }
}
