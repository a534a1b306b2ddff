//! The work of pushing: verifications and StateChanges, to one push service after the other.
//!
//! Holds: what is pushed are the states of the moment of pushing, of accounts that the subscription's owner can see
//! at that moment; what could not be told stays pending. A subscription whose credential is gone, whose time is over,
//! or that its push service no longer knows, is destroyed.
//! Other half: `index` says what is due; a [`PushTransport`](super::PushTransport) makes the requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use jmap_types::{AccountId, DataType, State, data_type::DataTypes};
use serde::Serialize;
use store::{Record, engine::Page, keys};
use tokio::task::JoinSet;

use super::{
    Push, PushRequest, PushResponse, PushTransport,
    crypto::{PushCryptoError, PushEndpoint, SubscriptionKeys, encrypt, message},
    get::wire_id,
    index::{Done, Facts, Job, Pending},
    record::{PushSubscriptionRecord, SubscriptionKey},
};
use crate::{
    Core,
    caller::Caller,
    cluster::PUSH,
    directory::records::{AccountKind, CredentialRecord},
};

/// Requests under way at the same time.
pub const IN_FLIGHT_MAX: usize = 64;
/// A subscription is pushed to no more often than this.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// After the first failure; doubled by each further one.
pub const BACK_OFF_FIRST: Duration = Duration::from_secs(5);
pub const BACK_OFF_MAX: Duration = Duration::from_secs(3600);
/// The longest that a push service may ask to wait for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);
/// After so many failures in a row a subscription is destroyed: some two days.
pub const FAILURES_MAX: u32 = 56;
/// A verification is tried this often.
pub const VERIFICATION_TRIES: u32 = 5;
/// However patient the transport is.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// What is over, or lost its credential, is cleared away this often.
pub const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether this node is the one that pushes.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long push services keep a message for a device that is away, in seconds (RFC 8030 §5.2).
const TTL_SECONDS: u32 = 86_400;
const VERIFICATION_TTL_SECONDS: u32 = 3600;

/// Pushes until the future is dropped.
pub async fn run(core: &Core) {
    if !core.can_push() {
        return;
    }
    // Nothing, unless this has panicked.
    core.push.index.lock().begin_again(core.clock.monotonic());
    loop {
        core.wait_for_pushing().await;
        core.push_while_ours().await;
        // Another node was faster to take over what this one could not keep; it tells the states of now.
        core.push.index.lock().clear();
    }
}

impl Core {
    /// Until this node is the one that pushes.
    async fn wait_for_pushing(&self) {
        loop {
            match self.leads(PUSH).await {
                Ok(true) => return self.push.is_ours.store(true, Ordering::Release),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "who pushes could not be found out"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn push_while_ours(&self) {
        // What was known before this panicked may have changed since.
        let is_new = self.push.index.lock().is_empty();
        let now = (self.clock.monotonic(), self.directory.generation());
        let mut housekeeping = Housekeeping {
            last: is_new.then_some(now),
        };
        if let Err(error) = self.load_subscriptions().await {
            tracing::error!(%error, "not all push subscriptions could be read");
        }
        let mut asked = tokio::time::Instant::now();
        let mut jobs = JoinSet::new();
        loop {
            if self.push.cluster.is_some() && asked.elapsed() >= LOOK_EVERY {
                asked = tokio::time::Instant::now();
                if !matches!(self.leads(PUSH).await, Ok(true)) {
                    return self.push.is_ours.store(false, Ordering::Release);
                }
            }
            self.push_some(&mut housekeeping, &mut jobs).await;
        }
    }

    async fn push_some(&self, housekeeping: &mut Housekeeping, jobs: &mut JoinSet<()>) {
        let core = self;
        core.keep_house(housekeeping).await;
        let now = core.clock.monotonic();
        let (due, next) = core
            .push
            .take_due(now, IN_FLIGHT_MAX - jobs.len().min(IN_FLIGHT_MAX));
        for job in due {
            // Once there is a way, there always is one.
            if let Some(transport) = core.push.transport() {
                jobs.spawn(core.clone().push_one(transport, job));
            }
        }
        let longest = match core.push.cluster {
            Some(_) => LOOK_EVERY,
            None => HOUSEKEEPING_EVERY,
        };
        let pause = match next {
            Some(next) if jobs.len() < IN_FLIGHT_MAX => next.min(longest),
            _ => longest,
        };
        tokio::select! {
            () = core.push.wake.notified() => {}
            Some(_) = jobs.join_next() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// When the house was last kept, and what the directory was then.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    last: Option<(Instant, u64)>,
}

/// What a subscription was told before it was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// It isn't known what.
    Something,
    /// The index knows.
    AsBefore,
}

/// What has become of a job.
enum Outcome {
    /// The subscription is gone, or has to go.
    Gone,
    /// The push service took it, or there was nothing to say. What is left has yet to be told.
    Told {
        left: Pending,
    },
    Failed {
        retry_after: Option<Duration>,
    },
    /// 413: it was told of too much at once.
    TooLarge,
}

impl Push {
    /// A subscription was created or changed.
    pub(super) fn note(&self, key: SubscriptionKey, facts: Facts, verify: bool) {
        self.tell_others(key);
        if !self.is_ours.load(Ordering::Acquire) {
            return;
        }
        let now = self.clock.monotonic();
        self.index.lock().put(key, facts, verify, false, now);
        self.wake.notify_one();
    }

    pub(super) fn forget(&self, key: SubscriptionKey) {
        self.tell_others(key);
        self.index.lock().remove(key);
    }

    fn tell_others(&self, key: SubscriptionKey) {
        if let Some(cluster) = &self.cluster {
            cluster.tell_subscriptions(key.account);
        }
    }

    pub(super) fn take_due(&self, now: Instant, max: usize) -> (Vec<Job>, Option<Duration>) {
        let mut index = self.index.lock();
        let due = index.take_due(now, max);
        let next = index.next_due(now);
        (due, next)
    }

    fn finish(&self, job: &Job, done: Done) {
        self.index
            .lock()
            .done(job.key, &job.host, done, self.clock.monotonic());
        self.wake.notify_one();
    }
}

impl Core {
    /// Finds the subscriptions that there are. What they were told before the server stopped is not known: they are
    /// told the states of now.
    pub(super) async fn load_subscriptions(&self) -> Result<(), store::Error> {
        const ROWS: usize = 1000;
        let mut accounts = keys::all(keys::Subspace::Account);
        loop {
            let rows = self
                .engine
                .scan(Page::first(accounts.clone(), ROWS).keys_only())
                .await?;
            for account in rows.iter().filter_map(|(row, _)| keys::decode_account(row)) {
                self.load_subscriptions_of(account, Told::Something).await?;
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                return Ok(());
            };
            accounts.start = [last, &[0u8][..]].concat();
        }
    }

    /// Finds all subscriptions again, if this is the node that pushes: something about them may have been missed.
    pub(crate) async fn load_subscriptions_again(&self) {
        if !self.push.is_ours.load(Ordering::Acquire) || !self.can_push() {
            return;
        }
        if let Err(error) = self.load_subscriptions().await {
            tracing::error!(%error, "not all push subscriptions could be read");
        }
    }

    /// Another node has changed subscriptions of these accounts.
    pub(crate) async fn reload_subscriptions(&self, accounts: &[AccountId]) {
        if !self.push.is_ours.load(Ordering::Acquire) || !self.can_push() {
            return;
        }
        for &account in accounts {
            if let Err(error) = self.reload_subscriptions_of(account).await {
                tracing::error!(%account, %error, "push subscriptions could not be read");
            }
        }
        self.push.wake.notify_one();
    }

    async fn reload_subscriptions_of(&self, account: AccountId) -> Result<(), store::Error> {
        let known = self.push.index.lock().of_account(account);
        for key in known {
            match self.subscription(key).await? {
                Some(record) => self.take_in(key, record, Told::AsBefore).await?,
                None => self.push.index.lock().remove(key),
            }
        }
        self.load_subscriptions_of(account, Told::Nothing).await
    }

    async fn load_subscriptions_of(
        &self,
        account: AccountId,
        told: Told,
    ) -> Result<(), store::Error> {
        let limit = self.limits().max_push_subscriptions as usize;
        let range = keys::objects(account, DataType::PushSubscription);
        for (row, bytes) in self.engine.scan(Page::first(range, limit)).await? {
            let Some((_, _, id)) = keys::decode_object(&row) else {
                continue;
            };
            let key = SubscriptionKey { account, id };
            if self.push.index.lock().contains(key) {
                continue;
            }
            let record = match PushSubscriptionRecord::from_bytes(&row, &bytes) {
                Ok(record) => record,
                Err(error) => {
                    tracing::error!(%error, "a push subscription is left out");
                    continue;
                }
            };
            self.take_in(key, record, told).await?;
        }
        Ok(())
    }

    /// Puts what is in force into the index, and destroys the rest.
    pub(super) async fn take_in(
        &self,
        key: SubscriptionKey,
        record: PushSubscriptionRecord,
        told: Told,
    ) -> Result<(), store::Error> {
        let (mut record, mut told) = (record, told);
        loop {
            self.take_in_as(key, &record, told).await?;
            // Whoever has changed it since it was read has told the index, before this.
            match self.subscription(key).await? {
                Some(now) if now == record => return Ok(()),
                Some(now) => (record, told) = (now, Told::AsBefore),
                None => {
                    self.push.forget(key);
                    return Ok(());
                }
            }
        }
    }

    async fn take_in_as(
        &self,
        key: SubscriptionKey,
        record: &PushSubscriptionRecord,
        told: Told,
    ) -> Result<(), store::Error> {
        let owner = self.owner(key, record).await?;
        let endpoint = PushEndpoint::parse(&record.url, self.push.policy());
        let (Some(owner), Ok(endpoint)) = (owner, endpoint) else {
            return self.destroy_subscription(key).await;
        };
        let facts = Facts {
            host: endpoint.host().to_string().into(),
            wanted: record.wanted(),
            verified: record.verified,
            expires: record.expires,
            visible: owner.accounts().collect(),
        };
        let now = self.clock.monotonic();
        // What was just made elsewhere hears of its verification, and what was verified of all that happens from now on.
        let verify = told == Told::Nothing && !record.verified;
        let tell_all = told == Told::Something;
        self.push
            .index
            .lock()
            .put(key, facts, verify, tell_all, now);
        Ok(())
    }

    /// Who the subscription speaks to; `None` when it is no longer in force.
    async fn owner(
        &self,
        key: SubscriptionKey,
        record: &PushSubscriptionRecord,
    ) -> Result<Option<Caller>, store::Error> {
        let generation = self.directory.generation();
        let Some(account) = self.account_record(key.account).await? else {
            return Ok(None);
        };
        let row = keys::credential(key.account, record.credential);
        let credential = match self.engine.get(&row).await? {
            Some(bytes) => Some(CredentialRecord::from_bytes(&row, &bytes)?),
            None => None,
        };
        let is_live = record.is_live(self.clock.now().0, credential.as_ref());
        if account.disabled || account.kind != AccountKind::Person || !is_live {
            return Ok(None);
        }
        self.caller(key.account, &account, record.credential, generation)
            .await
            .map(Some)
    }

    /// Takes a subscription away for good: record, and what memory knows of it.
    async fn destroy_subscription(&self, key: SubscriptionKey) -> Result<(), store::Error> {
        self.push.forget(key);
        let account = self.accounts.handle(key.account);
        let mut txn = account.writer.begin().await?;
        if txn.get(&key.row()).await?.is_some() {
            txn.delete(key.row());
            txn.commit().await?;
        }
        Ok(())
    }

    pub(super) async fn subscription(
        &self,
        key: SubscriptionKey,
    ) -> Result<Option<PushSubscriptionRecord>, store::Error> {
        let row = key.row();
        let bytes = self.engine.get(&row).await?;
        bytes
            .map(|bytes| PushSubscriptionRecord::from_bytes(&row, &bytes))
            .transpose()
    }

    /// Now and then: destroys what is over. When the directory has changed, finds out anew who sees what.
    pub(super) async fn keep_house(&self, housekeeping: &mut Housekeeping) {
        let (now, generation) = (self.clock.monotonic(), self.directory.generation());
        if let Some((last, _)) = housekeeping.last
            && now.saturating_duration_since(last) < HOUSEKEEPING_EVERY
        {
            return;
        }
        let directory_changed = housekeeping
            .last
            .is_none_or(|(_, known)| known != generation);
        housekeeping.last = Some((now, generation));
        let keys = self
            .push
            .index
            .lock()
            .keys_to_check(directory_changed, self.clock.now().seconds());
        for key in keys {
            let result = match self.subscription(key).await {
                Ok(Some(record)) => self.take_in(key, record, Told::AsBefore).await,
                Ok(None) => {
                    self.push.forget(key);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                tracing::error!(%error, "a push subscription could not be looked after");
            }
        }
    }

    /// Does one job, whatever comes of it.
    pub(super) async fn push_one(self, transport: Arc<dyn PushTransport>, mut job: Job) {
        let attempt = self.attempt(&*transport, &job);
        let outcome = match self.supervisor.once("push", attempt).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => {
                tracing::error!(%error, "a push failed in the store");
                Outcome::Failed { retry_after: None }
            }
            None => Outcome::Failed { retry_after: None },
        };
        let now = self.clock.monotonic();
        let pending = std::mem::take(&mut job.pending);
        let mut done = Done {
            verify: false,
            pending,
            failures: 0,
            accounts_max: job.accounts_max,
            not_before: now + INTERVAL_MIN,
        };
        match outcome {
            Outcome::Gone => return self.end(&job).await,
            Outcome::Told { left } => done.pending = left,
            Outcome::TooLarge => {
                done.accounts_max = (done.pending.len().min(job.accounts_max) / 2).max(1);
                if job.accounts_max == 1 || done.pending.len() <= 1 {
                    // It can't be told with less. The client finds out when it asks.
                    done.pending.clear();
                }
            }
            Outcome::Failed { retry_after } => {
                done.failures = job.failures + 1;
                done.not_before = now + back_off(job.failures, retry_after);
                done.verify = job.verify && done.failures < VERIFICATION_TRIES;
                if done.failures >= FAILURES_MAX {
                    return self.end(&job).await;
                }
            }
        }
        self.push.finish(&job, done);
    }

    async fn end(&self, job: &Job) {
        if let Err(error) = self.destroy_subscription(job.key).await {
            tracing::error!(%error, "a push subscription could not be destroyed");
        }
        self.push
            .index
            .lock()
            .ended(&job.host, self.clock.monotonic());
        self.push.wake.notify_one();
    }

    async fn attempt(
        &self,
        transport: &dyn PushTransport,
        job: &Job,
    ) -> Result<Outcome, store::Error> {
        let Some(record) = self.subscription(job.key).await? else {
            return Ok(Outcome::Gone);
        };
        let owner = self.owner(job.key, &record).await?;
        let endpoint = PushEndpoint::parse(&record.url, self.push.policy());
        let (Some(owner), Ok(endpoint)) = (owner, endpoint) else {
            return Ok(Outcome::Gone);
        };
        let (message, left) = if job.verify && !record.verified {
            (
                Message::verification(job.key.id, &record),
                job.pending.clone(),
            )
        } else if record.verified {
            match self.state_change(&owner, job, record.wanted()).await? {
                (Some(message), left) => (message, left),
                (None, left) => return Ok(Outcome::Told { left }),
            }
        } else {
            return Ok(Outcome::Told {
                left: Pending::new(),
            });
        };
        let request = match self.request(&record, endpoint, message) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(account = %job.key.account, %error, "a push could not be made");
                return Ok(Outcome::Failed { retry_after: None });
            }
        };
        let response = tokio::time::timeout(REQUEST_TIMEOUT, transport.post(request)).await;
        Ok(match response {
            Ok(Ok(response)) => judge(response, left),
            Ok(Err(error)) => {
                tracing::debug!(host = %job.host, %error, "a push failed");
                Outcome::Failed { retry_after: None }
            }
            Err(_) => Outcome::Failed { retry_after: None },
        })
    }

    /// The states of now of what is pending, as far as they fit, and what is left. `None`: nothing is to be told.
    async fn state_change(
        &self,
        owner: &Caller,
        job: &Job,
        wanted: DataTypes,
    ) -> Result<(Option<Message>, Pending), store::Error> {
        let mut changed: BTreeMap<AccountId, BTreeMap<DataType, State>> = BTreeMap::new();
        let mut left = Pending::new();
        let mut octets = StateChange::OCTETS;
        for (account, types) in &job.pending {
            if !owner.accounts().any(|visible| visible == *account) {
                continue;
            }
            let head = self.accounts.handle(*account).head().await?;
            // A type without a state has never changed.
            let states: BTreeMap<DataType, State> = types
                .iter()
                .filter(|t| wanted.contains(*t) && head.state(*t) != 0)
                .map(|t| (t, State(head.state(t))))
                .collect();
            let more: usize = states
                .keys()
                .map(|t| t.name().len() + STATE_OCTETS)
                .sum::<usize>()
                + ACCOUNT_OCTETS;
            if states.is_empty() {
                continue;
            }
            if changed.len() >= job.accounts_max || octets + more > message::PLAINTEXT_OCTETS_MAX {
                left.insert(*account, *types);
                continue;
            }
            octets += more;
            changed.insert(*account, states);
        }
        let message = (!changed.is_empty()).then(|| Message::state_change(&changed));
        Ok((message, left))
    }

    fn request(
        &self,
        record: &PushSubscriptionRecord,
        endpoint: PushEndpoint,
        message: Message,
    ) -> Result<PushRequest, PushCryptoError> {
        let contact = self.push.contact.as_deref();
        let authorization = self
            .push
            .vapid
            .authorization(&endpoint, contact, self.clock.now())?;
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("ttl", message.ttl_seconds.to_string()),
            ("urgency", message.urgency.to_owned()),
            ("authorization", authorization),
        ];
        headers.extend(message.topic.map(|topic| ("topic", topic)));
        let body = match &record.keys {
            None => message.body,
            Some(keys) => {
                let keys = SubscriptionKeys::from_base64url(&keys.p256dh, &keys.auth)?;
                headers.push(("content-encoding", message::CONTENT_ENCODING.to_owned()));
                encrypt(&keys, &message.body, &*self.rng)?
            }
        };
        Ok(PushRequest {
            endpoint,
            headers,
            body: Bytes::from(body),
        })
    }
}

/// What the push service's answer means.
fn judge(response: PushResponse, left: Pending) -> Outcome {
    match response.status {
        200..=299 => Outcome::Told { left },
        // RFC 8030 §7.3, RFC 8620 §7.2.
        404 | 410 => Outcome::Gone,
        413 => Outcome::TooLarge,
        _ => Outcome::Failed {
            retry_after: response.retry_after,
        },
    }
}

/// How long to wait after `failures` earlier failures and this one.
fn back_off(failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = BACK_OFF_FIRST.saturating_mul(1 << failures.min(16));
    let own = doubled.min(BACK_OFF_MAX);
    retry_after.map_or(own, |asked| asked.min(RETRY_AFTER_MAX).max(own))
}

/// Octets that an account takes in a StateChange, at the most, beside its types.
const ACCOUNT_OCTETS: usize = 24;
/// Octets of a state with what is around it, beside the type's name.
const STATE_OCTETS: usize = 28;

/// A message as it is before encryption.
struct Message {
    body: Vec<u8>,
    ttl_seconds: u32,
    urgency: &'static str,
    topic: Option<String>,
}

/// RFC 8620 §7.1
#[derive(Serialize)]
struct StateChange {
    #[serde(rename = "@type")]
    kind: &'static str,
    changed: BTreeMap<String, BTreeMap<&'static str, String>>,
}

impl StateChange {
    /// Octets of one without accounts.
    const OCTETS: usize = 40;
}

/// RFC 8620 §7.2.2
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PushVerification<'r> {
    #[serde(rename = "@type")]
    kind: &'static str,
    push_subscription_id: String,
    verification_code: &'r str,
}

impl Message {
    fn verification(id: u64, record: &PushSubscriptionRecord) -> Self {
        let object = PushVerification {
            kind: "PushVerification",
            push_subscription_id: wire_id(id).to_string(),
            verification_code: &record.verification_code,
        };
        Self {
            body: to_json(&object),
            ttl_seconds: VERIFICATION_TTL_SECONDS,
            urgency: "high",
            topic: None,
        }
    }

    fn state_change(changed: &BTreeMap<AccountId, BTreeMap<DataType, State>>) -> Self {
        // RFC 8030 §5.4: a message replaces one that waits under its topic. It may do so when it tells of the same
        // accounts and types, no more and no less.
        let mut topic = blake3::Hasher::new();
        for (account, states) in changed {
            topic.update(&account.number().to_be_bytes());
            topic.update(&[u8::try_from(states.len()).unwrap_or(u8::MAX)]);
            for data_type in states.keys() {
                topic.update(&[*data_type as u8]);
            }
        }
        let changed = changed.iter().map(|(account, states)| {
            let states = states
                .iter()
                .map(|(data_type, state)| (data_type.name(), state.to_string()));
            (account.to_string(), states.collect())
        });
        let object = StateChange {
            kind: "StateChange",
            changed: changed.collect(),
        };
        Self {
            body: to_json(&object),
            ttl_seconds: TTL_SECONDS,
            urgency: "normal",
            // At most 32 characters.
            topic: Some(URL_SAFE_NO_PAD.encode(&topic.finalize().as_bytes()[..18])),
        }
    }
}

fn to_json(object: &impl Serialize) -> Vec<u8> {
    // Maps with string keys and strings: there is nothing that could fail.
    serde_json::to_vec(object).unwrap_or_default()
}
