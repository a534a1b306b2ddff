//! Webhooks: who is told of events, by an HTTP request each.
//!
//! Holds: what was written down is told at least once, also through `kill -9`, by one node; a webhook that is away is told later, and one that stays
//! away is disabled; requests go where pushes may go, and nowhere else; how much waits for a webhook, and how much is told in a minute, is bounded.
//! Other half: the parts where things happen call [`Core::tell_event`]; a [`PushTransport`] makes the requests.

mod admin;
mod events;
mod queue;
mod records;
mod sign;
mod tell;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicU64},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use jmap_types::{AccountId, UtcDate};
use parking_lot::Mutex;
use store::{
    Record as _,
    engine::{Engine, Page},
    keys::{self, Subspace},
};
use tokio::sync::Notify;

pub use self::{
    admin::{Delivery, NewWebhook, Webhook, WebhookChange},
    events::{Event, EventKind},
    records::{DoneRecord, DueRecord, WebhookRecord},
    sign::{event_id, read_secret, secret_text},
};
use crate::{
    Core,
    directory::DirectoryError,
    push::{
        PushTransport,
        crypto::{EndpointError, EndpointPolicy},
    },
};

/// Webhooks of a server.
pub const WEBHOOKS_MAX: usize = 50;
/// Events that wait for one of them; what comes then is lost to it.
pub const WAITING_MAX: usize = 2000;
/// Events in memory that are yet to be written down.
pub const UNWRITTEN_MAX: usize = 10_000;
/// Events of one kind that are told in a minute.
pub const PER_MINUTE_MAX: u32 = 600;
/// Octets of a description.
pub const DESCRIPTION_OCTETS_MAX: usize = 500;

/// Why something can't be done with a webhook: a sentence for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("only an administrator may do this")]
    Forbidden,
    #[error("there is no such webhook")]
    NotFound,
    #[error("the URL can't be used: {0}")]
    InvalidUrl(#[from] EndpointError),
    #[error("a secret is \"whsec_\" and 24 to 64 octets in base64")]
    InvalidSecret,
    #[error("a description has at most {DESCRIPTION_OCTETS_MAX} octets")]
    DescriptionTooLong,
    /// A named limit of this module is reached.
    #[error("there are too many webhooks")]
    TooMany,
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<store::engine::EngineError> for WebhookError {
    fn from(error: store::engine::EngineError) -> WebhookError {
        WebhookError::Store(error.into())
    }
}

/// How requests go out.
#[derive(Clone, Debug)]
struct Way {
    transport: Arc<dyn PushTransport>,
    policy: EndpointPolicy,
}

/// What a process has of webhooks.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    way: ArcSwapOption<Way>,
    /// As they were in the store a moment ago.
    known: ArcSwap<BTreeMap<u64, WebhookRecord>>,
    /// How many events wait, by webhook.
    waiting: Mutex<HashMap<u64, queue::Waiting>>,
    unwritten: Mutex<Vec<(u64, i64, Event)>>,
    /// Who writes them takes out what it has written: one at a time.
    writing: tokio::sync::Mutex<()>,
    last_event: AtomicU64,
    paces: Mutex<HashMap<EventKind, queue::Pace>>,
    /// When each account was last told of to have no room, in hours since 1970.
    full: Mutex<HashMap<AccountId, i64>>,
    /// Something is to be written down, or is due.
    wake: Notify,
    written: Notify,
}

impl Webhooks {
    pub(crate) async fn open(engine: &Arc<dyn Engine>) -> Result<Webhooks, store::Error> {
        let webhooks = Webhooks::default();
        webhooks.look(engine).await?;
        Ok(webhooks)
    }

    /// Takes in what the store has. One that can't be read is left out.
    async fn look(&self, engine: &Arc<dyn Engine>) -> Result<(), store::Error> {
        let page = Page::first(keys::all(Subspace::Webhook), WEBHOOKS_MAX);
        let mut known = BTreeMap::new();
        for (key, bytes) in engine.scan(page).await? {
            let Some(number) = keys::decode_webhook(&key) else {
                continue;
            };
            match WebhookRecord::from_bytes(&key, &bytes) {
                Ok(record) => drop(known.insert(number, record)),
                Err(error) => tracing::error!(%error, "a webhook is left out"),
            }
        }
        self.known.store(Arc::new(known));
        Ok(())
    }

    /// Those that are told of such an event.
    fn told_of(&self, kind: EventKind) -> Vec<u64> {
        let known = self.known.load();
        let wants = |record: &WebhookRecord| {
            !record.disabled && (record.events.is_empty() || record.events.contains(&kind))
        };
        known
            .iter()
            .filter(|(_, record)| wants(record))
            .map(|(number, _)| *number)
            .collect()
    }
}

/// Milliseconds since 1970, as events have them.
fn time_text(ms: i64) -> String {
    UtcDate(ms.div_euclid(1000)).to_string()
}

impl Core {
    /// How webhooks are told, from now on. Until the first call, what is to be told waits.
    pub fn tell_webhooks_by(&self, transport: Arc<dyn PushTransport>, policy: EndpointPolicy) {
        let way = Way { transport, policy };
        self.webhooks.way.store(Some(Arc::new(way)));
        self.webhooks.wake.notify_one();
    }

    fn webhook_policy(&self) -> EndpointPolicy {
        let way = self.webhooks.way.load();
        way.as_ref().map(|way| way.policy).unwrap_or_default()
    }
}
