//! Push notifications to URLs (RFC 8620 §7.2).
//!
//! Holds: nothing but its verification goes to a URL before the client has proved that it reads there; what a
//! subscription missed is told later, as the states of that moment; a change of an account that nobody has
//! subscribed to costs one look into a table.
//! Other half: `crypto` has the formats, [`PushTransport`] the connections, `bus` says what has changed.

pub mod crypto;
mod get;
mod index;
mod rate;
pub mod record;
mod set;
mod transport;
mod vapid_key;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::{Arc, atomic::AtomicBool};

use arc_swap::ArcSwap;
use jmap_types::{AccountId, data_type::DataTypes};
use parking_lot::Mutex;
use store::{Head, engine::Engine};
use tokio::sync::Notify;

pub(crate) use record::PushSubscriptionRecord;
pub use transport::{PushError, PushRequest, PushResponse, PushTransport};
pub(crate) use vapid_key::{NAME as VAPID, is_readable as is_vapid_key};
pub use worker::run;

use self::{
    crypto::{EndpointPolicy, VapidKey},
    index::Index,
    rate::VerificationRate,
};
use crate::{Core, bus::Watcher, clock::Clock, cluster::Cluster, rng::Rng};

/// How pushes go out. The default is that they don't.
#[derive(Clone, Debug, Default)]
pub struct PushConfig {
    /// `None`: push subscriptions can't be created.
    pub transport: Option<Arc<dyn PushTransport>>,
    pub policy: EndpointPolicy,
    /// A mailto: or https: URI of the operator, for those who run push services (RFC 8292 §2.1).
    pub contact: Option<String>,
}

/// How pushes go out at the moment.
#[derive(Debug)]
struct Way {
    transport: Option<Arc<dyn PushTransport>>,
    policy: EndpointPolicy,
}

/// The push of one server.
#[derive(Debug)]
pub struct Push {
    way: ArcSwap<Way>,
    contact: Option<String>,
    vapid: VapidKey,
    clock: Arc<dyn Clock>,
    index: Mutex<Index>,
    rate: Mutex<VerificationRate>,
    wake: Notify,
    cluster: Option<Arc<Cluster>>,
    /// This node pushes: in a cluster, one does.
    is_ours: AtomicBool,
}

impl Push {
    pub(crate) async fn open(
        config: PushConfig,
        engine: &Arc<dyn Engine>,
        clock: &Arc<dyn Clock>,
        rng: &Arc<dyn Rng>,
        cluster: Option<Arc<Cluster>>,
    ) -> Result<Arc<Self>, store::Error> {
        Ok(Arc::new(Self {
            way: ArcSwap::from_pointee(Way {
                transport: config.transport,
                policy: config.policy,
            }),
            contact: config.contact,
            vapid: vapid_key::load(engine, rng).await?,
            clock: clock.clone(),
            index: Mutex::default(),
            rate: Mutex::default(),
            wake: Notify::new(),
            is_ours: AtomicBool::new(cluster.is_none()),
            cluster,
        }))
    }

    fn transport(&self) -> Option<Arc<dyn PushTransport>> {
        self.way.load().transport.clone()
    }

    fn policy(&self) -> EndpointPolicy {
        self.way.load().policy
    }

    /// The accounts of whose changes subscriptions hear.
    pub(crate) fn accounts(&self) -> Vec<AccountId> {
        self.index.lock().accounts()
    }
}

impl Watcher for Push {
    fn changed(&self, account: AccountId, types: DataTypes, _: &Head) {
        if self
            .index
            .lock()
            .changed(account, types, self.clock.monotonic())
        {
            self.wake.notify_one();
        }
    }
}

impl Core {
    /// The `applicationServerKey` of the session (RFC 9749 §3): base64url.
    pub fn vapid_public_key(&self) -> &str {
        self.push.vapid.public()
    }

    /// Whether push subscriptions can be created.
    pub fn can_push(&self) -> bool {
        self.push.way.load().transport.is_some()
    }

    /// How pushes go out from now on, where they do. Subscriptions to what isn't allowed any more are no longer heard.
    pub fn push_by(&self, transport: Arc<dyn PushTransport>, policy: EndpointPolicy) {
        if self.can_push() {
            let transport = Some(transport);
            self.push.way.store(Arc::new(Way { transport, policy }));
        }
    }
}
