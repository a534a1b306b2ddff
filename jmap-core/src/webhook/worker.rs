//! Telling webhooks what is due.
//!
//! Holds: a try and its outcome are one commit: what is told and could not be noted is told again, under the same `webhook-id`; one that hears nothing keeps
//! no other one waiting.
//! Other half: `queue` writes down what is due; [`PushTransport`](crate::push::PushTransport) makes the requests.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use store::{
    Record as _,
    engine::{Assertion, Batch, Page},
    keys::{self, Subspace},
};
use tokio::task::JoinSet;

use super::{DoneRecord, DueRecord, WebhookRecord, sign};
use crate::{
    Core,
    cluster::WEBHOOKS,
    push::{PushError, PushRequest, PushResponse, crypto::PushEndpoint},
};

/// Requests under way to one webhook, and to all.
const IN_FLIGHT_OF_ONE_MAX: usize = 4;
const IN_FLIGHT_MAX: usize = 32;
/// Waits between the tries, in seconds; after the last one an event is given up: some three days.
pub(super) const WAITS: [u64; 14] = [
    5, 30, 120, 600, 1800, 3600, 7200, 14_400, 21_600, 28_800, 36_000, 43_200, 43_200, 43_200,
];
/// The longest that a webhook may ask to wait for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);
/// A webhook to which nothing has arrived for so long is disabled.
pub const FAILING_MAX: Duration = Duration::from_secs(5 * 86_400);
/// However patient the transport is.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked for what others have written down, and whose work this is.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Deliveries that are remembered of each webhook.
pub const DELIVERIES_KEPT: usize = 200;
/// Octets of a sentence on what went wrong.
const PROBLEM_OCTETS_MAX: usize = 300;

/// An event whose time has come.
struct Job {
    webhook: u64,
    record: WebhookRecord,
    key: Vec<u8>,
    stored: Bytes,
    event: u64,
    due: DueRecord,
}

impl Core {
    /// Tells webhooks until the future is dropped.
    pub(crate) async fn run_webhooks(&self) {
        let mut jobs: JoinSet<Vec<u8>> = JoinSet::new();
        let mut under_way: HashSet<Vec<u8>> = HashSet::new();
        loop {
            match self.tell_some(&mut jobs, &mut under_way).await {
                Ok(()) => {}
                Err(error) => tracing::error!(%error, "webhooks could not be told"),
            }
            // Where nobody is to be told, and no other node can add somebody, nothing has to be looked for.
            let has_work = self.cluster.is_some() || !self.webhooks.known.load().is_empty();
            tokio::select! {
                () = self.webhooks.written.notified() => {}
                Some(done) = jobs.join_next() => match done {
                    Ok(key) => drop(under_way.remove(&key)),
                    // Nobody knows which one: what is still there is tried again.
                    Err(_) => under_way.clear(),
                },
                () = tokio::time::sleep(LOOK_EVERY), if has_work => {}
            }
        }
    }

    /// Begins with what is due, if it is this node's work.
    pub(super) async fn tell_some(
        &self,
        jobs: &mut JoinSet<Vec<u8>>,
        under_way: &mut HashSet<Vec<u8>>,
    ) -> Result<(), store::Error> {
        self.webhooks.look(&self.engine).await?;
        let known = self.webhooks.known.load_full();
        if known.is_empty() || self.webhooks.way.load().is_none() || !self.leads(WEBHOOKS).await? {
            return Ok(());
        }
        let mut busy: HashMap<u64, usize> = HashMap::new();
        for key in &*under_way {
            if let Some((webhook, ..)) = keys::decode_webhook_due(key) {
                *busy.entry(webhook).or_default() += 1;
            }
        }
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        for (&webhook, record) in known.iter().filter(|(_, record)| !record.disabled) {
            let page = Page::first(keys::webhook_due_of(webhook), IN_FLIGHT_OF_ONE_MAX * 2);
            for (key, stored) in self.engine.scan(page).await? {
                let count = busy.entry(webhook).or_default();
                let Some((_, time, event)) = keys::decode_webhook_due(&key) else {
                    continue;
                };
                if time > now || *count >= IN_FLIGHT_OF_ONE_MAX || jobs.len() >= IN_FLIGHT_MAX {
                    break;
                }
                if under_way.contains(&key[..]) {
                    continue;
                }
                let due = match DueRecord::from_bytes(&key, &stored) {
                    Ok(due) => due,
                    Err(error) => {
                        tracing::error!(%error, "an event can't be told");
                        continue;
                    }
                };
                *count += 1;
                let key = key.to_vec();
                under_way.insert(key.clone());
                let job = Job {
                    webhook,
                    record: record.clone(),
                    key,
                    stored,
                    event,
                    due,
                };
                jobs.spawn(self.clone().tell_one(job));
            }
        }
        Ok(())
    }

    async fn tell_one(self, job: Job) -> Vec<u8> {
        let telling = async {
            let outcome = self.request_webhook(&job.record, job.event, &job.due).await;
            self.note_told(&job, outcome).await
        };
        let why = match self.supervisor.once("webhooks", telling).await {
            Some(Ok(())) => return job.key,
            Some(Err(error)) => error.to_string(),
            None => "it panicked".to_owned(),
        };
        tracing::error!(webhook = job.webhook, error = %why, "what came of telling a webhook could not be noted, and it is told again");
        // It isn't told over and over while the disk is full.
        tokio::time::sleep(LOOK_EVERY).await;
        job.key
    }

    /// One try.
    pub(super) async fn request_webhook(
        &self,
        record: &WebhookRecord,
        event: u64,
        due: &DueRecord,
    ) -> Result<PushResponse, String> {
        let Some(way) = self.webhooks.way.load_full() else {
            return Err("this server makes no requests".to_owned());
        };
        let endpoint = PushEndpoint::parse(&record.url, way.policy);
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let body = sign::body(due);
        let now = self.clock.now().seconds();
        let request = PushRequest {
            endpoint,
            headers: sign::headers(&record.secret, event, now, &body),
            body,
        };
        let asked = way.transport.post(request);
        let answered = match tokio::time::timeout(REQUEST_TIMEOUT, asked).await {
            Ok(answered) => answered,
            Err(_) => Err(PushError::TimedOut),
        };
        answered.map_err(|error| match error {
            PushError::NotPublic => error.to_string(),
            PushError::TimedOut => "it did not answer in time".to_owned(),
            PushError::Unreachable(why) => format!("it can't be reached: {why}"),
        })
    }

    async fn note_told(
        &self,
        job: &Job,
        outcome: Result<PushResponse, String>,
    ) -> Result<(), store::Error> {
        let now = self.clock.now();
        let status = outcome.as_ref().ok().map(|response| response.status);
        let delivered = status.is_some_and(|status| (200..300).contains(&status));
        let attempts = job.due.attempts.saturating_add(1);
        let problem = match &outcome {
            Ok(_) if delivered => None,
            Ok(response) => Some(format!("it answered with {}", response.status)),
            Err(why) => Some(shortened(why)),
        };
        let asked = outcome.ok().and_then(|response| response.retry_after);
        let next_try = match delivered || status == Some(410) {
            true => None,
            false => self
                .wait(attempts, asked)
                .map(|wait| now.saturating_add(wait).0),
        };
        let done = DoneRecord {
            kind: job.due.kind,
            at: job.due.at,
            tried: now.0,
            attempts,
            status,
            problem: problem.clone(),
            next_try,
            delivered,
        };
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(job.key.clone(), job.stored.clone()));
        batch.delete(job.key.clone());
        if let Some(next) = next_try {
            let due = DueRecord {
                attempts,
                ..job.due.clone()
            };
            let time = u64::try_from(next).unwrap_or(0);
            let key = keys::webhook_due(job.webhook, time, job.event);
            batch.put(key, due.to_bytes());
        }
        batch.put(keys::webhook_done(job.webhook, job.event), done.to_bytes());
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => {}
            // The webhook is gone, or another node has taken over.
            Err(store::Error::Conflict) => return Ok(()),
            Err(error) => return Err(error),
        }
        match delivered {
            true => self.metrics.webhook_events_told.add(1),
            false => self.metrics.webhook_tries_failed.add(1),
        }
        self.note_health(job.webhook, delivered, status, problem)
            .await
    }

    /// `None`: it is given up.
    fn wait(&self, attempts: u32, asked: Option<Duration>) -> Option<Duration> {
        let at = usize::try_from(attempts)
            .unwrap_or(usize::MAX)
            .checked_sub(1)?;
        let seconds = *WAITS.get(at)?;
        // Up to a tenth more, so that what has failed together isn't tried together.
        let jitter = self.rng.next_u64() % (seconds * 100);
        let wait = Duration::from_secs(seconds) + Duration::from_millis(jitter);
        Some(asked.map_or(wait, |asked| asked.min(RETRY_AFTER_MAX).max(wait)))
    }

    /// Since when a webhook fails, and whether that is long enough.
    async fn note_health(
        &self,
        webhook: u64,
        delivered: bool,
        status: Option<u16>,
        problem: Option<String>,
    ) -> Result<(), store::Error> {
        let now = self.clock.now();
        let change = |record: &mut WebhookRecord| {
            if delivered {
                record.failing_since = None;
                return;
            }
            let since = *record.failing_since.get_or_insert(now.0);
            let is_long = now.saturating_sub(FAILING_MAX).0 >= since;
            if record.disabled || !(is_long || status == Some(410)) {
                return;
            }
            record.disabled = true;
            let problem = problem.clone().unwrap_or_default();
            let why = match status {
                Some(410) => "it answered with 410: it wants to hear no more".to_owned(),
                _ => format!("nothing has arrived for 5 days; the last time, {problem}"),
            };
            // Its URL may have a secret in it.
            tracing::warn!(webhook, why, "a webhook is disabled");
            record.disabled_reason = Some(why);
        };
        let known = self.webhooks.known.load();
        let is_news = |record: &WebhookRecord| {
            let mut changed = record.clone();
            change(&mut changed);
            changed != *record
        };
        if !known.get(&webhook).is_some_and(is_news) {
            return Ok(());
        }
        match self.change_webhook_record(webhook, None, change).await {
            Ok(_) | Err(super::WebhookError::NotFound) => Ok(()),
            Err(super::WebhookError::Store(error)) => Err(error),
            Err(error) => {
                tracing::error!(webhook, %error, "the state of a webhook could not be noted");
                Ok(())
            }
        }
    }

    /// Removes what is left of webhooks that are gone, and deliveries beyond those that are remembered.
    pub(crate) async fn purge_webhooks(&self) -> Result<(), store::Error> {
        for subspace in [Subspace::WebhookDue, Subspace::WebhookDone] {
            let mut range = keys::all(subspace);
            loop {
                let page = Page::first(range.clone(), 1).keys_only();
                let rows = self.engine.scan(page).await?;
                let first = rows.first().and_then(|(key, _)| {
                    keys::Fields::of(subspace, key).and_then(|mut fields| fields.u64())
                });
                let Some(webhook) = first else { break };
                let of = match subspace {
                    Subspace::WebhookDue => keys::webhook_due_of(webhook),
                    _ => keys::webhook_done_of(webhook),
                };
                range.start = of.end.clone();
                self.purge_webhook(webhook, subspace, of).await?;
            }
        }
        Ok(())
    }

    async fn purge_webhook(
        &self,
        webhook: u64,
        subspace: Subspace,
        of: store::engine::KeyRange,
    ) -> Result<(), store::Error> {
        let key = keys::webhook(webhook);
        let mut batch = Batch::new();
        if !self.engine.contains(&key).await? {
            batch.assert(Assertion::Absent(key));
            batch.delete_range(of);
        } else if subspace == Subspace::WebhookDone {
            let page = Page::last(of.clone(), DELIVERIES_KEPT + 1).keys_only();
            let rows = self.engine.scan(page).await?;
            if let (Some((oldest, _)), true) =
                (rows.get(DELIVERIES_KEPT - 1), rows.len() > DELIVERIES_KEPT)
            {
                batch.delete_range(of.start..oldest.to_vec());
            }
        }
        match batch.is_empty() {
            true => Ok(()),
            false => match self.engine.commit(batch).await.map_err(store::Error::from) {
                Err(store::Error::Conflict) => Ok(()),
                done => done,
            },
        }
    }
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(PROBLEM_OCTETS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
