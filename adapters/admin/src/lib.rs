//! The API for administrators: REST over the core's typed calls, described by OpenAPI.
//!
//! Holds: what an administrator may do, the core says; no page of another site can make a browser change anything; whatever a client
//! can make grow has a named limit.
//! Other half: `jmap_core::directory` and `jmap_core::admin`, which do it; the binary, which has the connections.

mod describe;
mod docs;
mod factors;
pub mod history;
mod host;
mod jobs;
mod live;
pub mod openapi;
mod page;
mod problem;
mod request;
mod routes;
mod serve;
mod sign_in;
mod table;

use std::{net::IpAddr, sync::Arc};

use jmap_core::{Core, clock::Clock};
use jmap_types::AccountId;
use net::slots::Slots;

pub use host::{
    CertificateSource, DnsFinding, DnsRecord, DnsStatus, Host, HostError, HostNumbers, LogNext,
    LogQuery, LogRecord, ShownCertificate,
};
pub use jobs::{FINDINGS_MAX, JOBS_MAX};
pub use live::Events;
pub use page::{PAGE_DEFAULT, PAGE_MAX};
pub use problem::{Kind, TYPE_PREFIX};
pub use request::{IDEMPOTENCY_KEY_OCTETS_MAX, VERSIONS_MAX};
pub use serve::{BODY_OCTETS_MAX, URI_OCTETS_MAX};

/// What all addresses of the API begin with.
pub const BASE: &str = "/api/v1";
/// Where the document is, and its pages.
pub const DOCUMENT_PATH: &str = "/api/openapi.json";
pub const DOCS_PATH: &str = "/api/docs";

/// Requests of one account at once, and those that wait for them.
const REQUESTS_MAX: usize = 8;
const REQUESTS_WAITING_MAX: usize = 16;

/// What the handlers have, beside the core.
#[derive(Clone, Debug)]
pub struct Site {
    pub clock: Arc<dyn Clock>,
    pub host: Arc<dyn Host>,
    jobs: Arc<jobs::Jobs>,
    history: Arc<history::History>,
}

impl Site {
    pub fn new(clock: Arc<dyn Clock>, host: Arc<dyn Host>) -> Site {
        Site {
            clock,
            host,
            jobs: Arc::default(),
            history: Arc::default(),
        }
    }

    /// Takes the numbers of the server in, for as long as the future lives.
    pub async fn keep_history(self, core: Core) {
        let mut ticks = tokio::time::interval(history::STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.history.take(self.clock.now(), &core, &self.host);
        }
    }
}

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// Logins are taken over connections that aren't encrypted, also from other machines.
    pub plaintext_logins: bool,
    /// The one origin of other pages that may use the API. `None`: no page of another origin may.
    pub allowed_origin: Option<String>,
}

/// Who a request comes from.
#[derive(Clone, Debug)]
pub struct Client {
    pub ip: IpAddr,
    pub tls: bool,
    /// The host, perhaps with a port, that the client has asked for.
    pub host: String,
}

/// The API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    core: Core,
    site: Site,
    config: Config,
    requests: Arc<Slots<AccountId>>,
}

impl Admin {
    pub fn new(core: Core, site: Site, config: Config) -> Admin {
        Admin(Arc::new(Shared {
            core,
            site,
            config,
            requests: Slots::new(REQUESTS_MAX, REQUESTS_WAITING_MAX, serve::SLOT_WAIT),
        }))
    }
}

/// Whether an address is one of ours.
pub fn is_ours(path: &str) -> bool {
    let rest = path.strip_prefix("/api");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Names of the routes that are for everybody, also for who has not logged in.
pub fn open_routes() -> impl Iterator<Item = &'static str> {
    let open = table::table().iter().filter(|route| route.is_open());
    open.map(|route| route.id)
}

/// Method and address of every route, and its name: for whoever has to know that none is missing.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    table::table()
        .iter()
        .map(|route| (route.method.as_str(), route.path, route.id))
}
