//! Alerts: what needs an administrator is mailed when it begins, once a day while it goes on, and when it is over.
//!
//! Holds: what was mailed is noted after the mail is there, so none is lost, and one may come twice after a crash; mail for accounts here goes into
//! them without the queue, which may be what is stuck; what comes and goes within a few minutes is one alert. That the store can't be written is kept in memory
//! as long as it lasts, and mailed afterwards.
//! Other half: the binary finds out what is wrong, and calls [`Core::note_conditions`].

mod conditions;
mod find;
mod mail;
mod records;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Record as _,
    engine::{Assertion, Batch, Page},
    keys::{self, Subspace},
};

pub use self::{
    conditions::{AlertKind, Condition},
    find::{FindError, OF_NODE, OF_SERVER, Thresholds},
    records::AlertRecord,
};
use crate::{
    Caller, Core,
    access::{self, Operation},
    admin::Deed,
    cluster::UPKEEP,
    directory::DirectoryError,
    webhook::{Event, EventKind},
};

/// Alerts at a time; of more, nothing is noted but in the log.
pub const ALERTS_MAX: usize = 500;
/// Whom to tell, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    pub is_mailed: bool,
    /// Addresses; empty: the inboxes of all administrators.
    pub to: Vec<String>,
    /// Between reminders.
    pub remind_ms: i64,
    /// Something is over when it was not seen for so long.
    pub calm_ms: i64,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub number: u64,
    pub record: AlertRecord,
}

/// What a process remembers of alerts.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    /// Since when each was not seen, in milliseconds since 1970.
    absent: Mutex<HashMap<u64, i64>>,
    /// Those that are in the store.
    count: AtomicU64,
    /// Those that the store can't have yet, by number.
    unwritten: Mutex<BTreeMap<u64, AlertRecord>>,
}

impl Alerts {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed) + self.unwritten.lock().len() as u64
    }

    /// Remembers those that the store can't have.
    fn remember(&self, node: &str, found: &[Condition], now: i64) {
        for condition in found.iter().filter(|of| of.kind.is_kept_in_memory()) {
            let number = number_of(condition.kind, node, &condition.subject);
            let begin = || new_record(node, condition, now);
            self.unwritten.lock().entry(number).or_insert_with(begin);
        }
    }
}

/// The same condition has the same number, whoever finds it.
fn number_of(kind: AlertKind, node: &str, subject: &str) -> u64 {
    let hash = blake3::hash(format!("{kind}\0{node}\0{subject}").as_bytes());
    let first = hash.as_bytes().first_chunk::<8>();
    // Below 2⁵³, so that every client reads it right.
    first.map_or(0, |octets| u64::from_be_bytes(*octets)) >> 12
}

/// An alert as it is in the store.
struct Stored {
    number: u64,
    record: AlertRecord,
    bytes: Bytes,
}

impl Core {
    /// Whether what is wrong with the server as a whole is this node's to find out.
    pub async fn leads_alerts(&self) -> Result<bool, store::Error> {
        self.leads(UPKEEP).await
    }

    /// Takes in that servers are gone, which this one has taken for dead.
    pub async fn note_gone_nodes(&self, settings: &AlertSettings) -> Result<(), store::Error> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        for name in cluster.taken_away() {
            let condition = find::node_gone(&name);
            self.raise("", &condition, self.clock.now().0, settings)
                .await?;
            cluster.forget_taken_away(&name);
        }
        Ok(())
    }

    /// Takes in what is wrong with `node`, or with the server as a whole where that is empty. `looked`: what was looked for; what is among that,
    /// and isn't in `found`, is over.
    pub async fn note_conditions(
        &self,
        node: &str,
        looked: &[AlertKind],
        found: &[Condition],
        settings: &AlertSettings,
    ) -> Result<(), store::Error> {
        let now = self.clock.now().0;
        self.alerts.remember(node, found, now);
        let mut stored = self.stored_alerts().await?;
        {
            // One that comes back before it was over is still there.
            let mut unwritten = self.alerts.unwritten.lock();
            unwritten.retain(|number, _| !stored.iter().any(|of| of.number == *number));
        }
        self.alerts.count.store(
            stored.iter().filter(|of| of.record.over.is_none()).count() as u64,
            Ordering::Relaxed,
        );
        let is_ours = |of: &Stored| of.record.node == node && looked.contains(&of.record.kind);
        let room = ALERTS_MAX.saturating_sub(stored.len());
        stored.retain(is_ours);
        let is_known = |condition: &&Condition| {
            let number = number_of(condition.kind, node, &condition.subject);
            stored.iter().any(|of| of.number == number)
        };
        let is_new = |of: &&Condition| !of.kind.is_kept_in_memory() && !is_known(of);
        let new: Vec<&Condition> = found.iter().filter(is_new).collect();
        for of in &stored {
            let is_it = |condition: &&Condition| {
                number_of(condition.kind, node, &condition.subject) == of.number
            };
            match found.iter().find(is_it) {
                Some(condition) => self.goes_on(of, condition, now, settings).await?,
                None => self.is_absent(of, now, settings).await?,
            }
        }
        self.write_remembered(node, looked, found).await?;
        for (at, condition) in new.into_iter().enumerate() {
            match at < room {
                true => self.raise(node, condition, now, settings).await?,
                false => {
                    tracing::warn!(kind = %condition.kind, sentence = condition.sentence, "there are too many alerts")
                }
            }
        }
        Ok(())
    }

    /// Puts into the store what was in memory and isn't so any more: it is over when it has stayed so for a while, and mailed then.
    async fn write_remembered(
        &self,
        node: &str,
        looked: &[AlertKind],
        found: &[Condition],
    ) -> Result<(), store::Error> {
        let is_over = |(number, of): &(&u64, &AlertRecord)| {
            let is_it = |condition: &Condition| {
                number_of(condition.kind, node, &condition.subject) == **number
            };
            of.node == node && looked.contains(&of.kind) && !found.iter().any(is_it)
        };
        let over: Vec<(u64, AlertRecord)> = {
            let unwritten = self.alerts.unwritten.lock();
            let over = unwritten.iter().filter(is_over);
            over.map(|(number, record)| (*number, record.clone()))
                .collect()
        };
        for (number, record) in over {
            self.write_new(number, record).await?;
            self.alerts.unwritten.lock().remove(&number);
        }
        Ok(())
    }

    async fn stored_alerts(&self) -> Result<Vec<Stored>, store::Error> {
        let page = Page::first(keys::all(Subspace::Alert), ALERTS_MAX);
        let mut stored = Vec::new();
        for (key, bytes) in self.engine.scan(page).await? {
            let Some(number) = keys::decode_alert(&key) else {
                continue;
            };
            match AlertRecord::from_bytes(&key, &bytes) {
                Ok(record) => stored.push(Stored {
                    number,
                    record,
                    bytes,
                }),
                Err(error) => tracing::error!(%error, "an alert is left out"),
            }
        }
        Ok(stored)
    }

    async fn raise(
        &self,
        node: &str,
        condition: &Condition,
        now: i64,
        settings: &AlertSettings,
    ) -> Result<(), store::Error> {
        let number = number_of(condition.kind, node, &condition.subject);
        let record = new_record(node, condition, now);
        match self.write_new(number, record).await? {
            Some(stored) => self.mail_if_due(&stored, now, settings).await,
            None => Ok(()),
        }
    }

    /// `None`: another node has found it, too.
    async fn write_new(
        &self,
        number: u64,
        record: AlertRecord,
    ) -> Result<Option<Stored>, store::Error> {
        let (key, bytes) = (keys::alert(number), record.to_bytes());
        let mut batch = Batch::new();
        batch.assert(Assertion::Absent(key.clone()));
        batch.put(key, bytes.clone());
        self.tell_event_with(&mut batch, event(EventKind::AlertRaised, number, &record));
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => {}
            Err(store::Error::Conflict) => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(Stored {
            number,
            record,
            bytes,
        }))
    }

    async fn goes_on(
        &self,
        of: &Stored,
        condition: &Condition,
        now: i64,
        settings: &AlertSettings,
    ) -> Result<(), store::Error> {
        self.alerts.absent.lock().remove(&of.number);
        let record = AlertRecord {
            sentence: condition.sentence.clone(),
            over: None,
            ..of.record.clone()
        };
        let Some(stored) = self.changed(of, record).await? else {
            return Ok(());
        };
        self.mail_if_due(&stored, now, settings).await
    }

    async fn is_absent(
        &self,
        of: &Stored,
        now: i64,
        settings: &AlertSettings,
    ) -> Result<(), store::Error> {
        let since = *self.alerts.absent.lock().entry(of.number).or_insert(now);
        if of.record.over.is_none() {
            if now.saturating_sub(since) < settings.calm_ms {
                return Ok(());
            }
            tracing::info!(kind = %of.record.kind, subject = of.record.subject, "an alert is over");
            let record = AlertRecord {
                over: Some(since),
                ..of.record.clone()
            };
            let mut batch = Batch::new();
            batch.assert(Assertion::Equals(keys::alert(of.number), of.bytes.clone()));
            batch.put(keys::alert(of.number), record.to_bytes());
            self.tell_event_with(
                &mut batch,
                event(EventKind::AlertCleared, of.number, &record),
            );
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Ok(()) => {}
                Err(store::Error::Conflict) => return Ok(()),
                Err(error) => return Err(error),
            }
            let bytes = record.to_bytes();
            let stored = Stored {
                number: of.number,
                record,
                bytes,
            };
            return self.end_alert(&stored, settings).await;
        }
        self.end_alert(of, settings).await
    }

    /// Mails that it is over, if anybody was told that it has begun, or could not be; and forgets it.
    async fn end_alert(&self, of: &Stored, settings: &AlertSettings) -> Result<(), store::Error> {
        let is_told = of.record.mailed.is_some() || of.record.kind.stops_mail();
        if settings.is_mailed && is_told && !self.mail(of, settings).await {
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(keys::alert(of.number), of.bytes.clone()));
        batch.delete(keys::alert(of.number));
        match self.engine.commit(batch).await.map_err(store::Error::from) {
            Ok(()) => {
                self.alerts.absent.lock().remove(&of.number);
                Ok(())
            }
            Err(store::Error::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn mail_if_due(
        &self,
        of: &Stored,
        now: i64,
        settings: &AlertSettings,
    ) -> Result<(), store::Error> {
        let is_due = |mailed: i64| now.saturating_sub(mailed) >= settings.remind_ms;
        if !settings.is_mailed || !of.record.mailed.is_none_or(is_due) {
            return Ok(());
        }
        if !self.mail(of, settings).await {
            return Ok(());
        }
        let record = AlertRecord {
            mailed: Some(now),
            ..of.record.clone()
        };
        self.changed(of, record).await.map(drop)
    }

    /// `None`: somebody else has changed it.
    async fn changed(
        &self,
        of: &Stored,
        record: AlertRecord,
    ) -> Result<Option<Stored>, store::Error> {
        let bytes = record.to_bytes();
        if bytes != of.bytes {
            let key = keys::alert(of.number);
            let mut batch = Batch::new();
            batch.assert(Assertion::Equals(key.clone(), of.bytes.clone()));
            batch.put(key, bytes.clone());
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Ok(()) => {}
                Err(store::Error::Conflict) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Stored {
            number: of.number,
            record,
            bytes,
        }))
    }

    /// What is wrong, the newest first.
    pub async fn alerts(&self, who: &Caller) -> Result<Vec<Alert>, DirectoryError> {
        access::may_run(who, Operation::SeeAlerts)?;
        let unwritten = self.alerts.unwritten.lock().clone();
        let stored = match self.stored_alerts().await {
            // A store that fails can't be read either, it may be.
            Err(error) if unwritten.is_empty() => return Err(error.into()),
            stored => stored.unwrap_or_default(),
        };
        let is_in_store = |number: &u64| stored.iter().any(|of| of.number == *number);
        let mut alerts: Vec<Alert> = unwritten
            .into_iter()
            .filter(|(number, _)| !is_in_store(number))
            .map(|(number, record)| Alert { number, record })
            .collect();
        let open = stored.into_iter().filter(|of| of.record.over.is_none());
        alerts.extend(open.map(|of| Alert {
            number: of.number,
            record: of.record,
        }));
        alerts.sort_by_key(|of| (-of.record.since, of.number));
        Ok(alerts)
    }

    /// Forgets an alert; if it is still so, it begins anew.
    pub async fn dismiss_alert(&self, who: &Caller, number: u64) -> Result<(), DirectoryError> {
        access::may_run(who, Operation::DismissAlert)?;
        let key = keys::alert(number);
        let unwritten = self.alerts.unwritten.lock().get(&number).cloned();
        let record = match (self.engine.get(&key).await?, unwritten) {
            (Some(bytes), _) => AlertRecord::from_bytes(&key, &bytes).ok(),
            (None, Some(record)) => Some(record),
            (None, None) => return Err(DirectoryError::NotFound(number.to_string())),
        };
        let name = match record {
            Some(record) => format!("{} {}", record.kind, record.subject),
            None => number.to_string(),
        };
        let mut batch = Batch::new();
        batch.delete(key);
        let deed = Deed::new(Operation::DismissAlert, name.trim());
        self.audit(&mut batch, who, deed);
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        self.alerts.unwritten.lock().remove(&number);
        Ok(())
    }
}

/// What begins now.
fn new_record(node: &str, condition: &Condition, now: i64) -> AlertRecord {
    tracing::warn!(kind = %condition.kind, node, subject = condition.subject, sentence = condition.sentence, "an alert begins");
    AlertRecord {
        kind: condition.kind,
        node: node.to_owned(),
        subject: condition.subject.clone(),
        sentence: condition.sentence.clone(),
        since: now,
        mailed: None,
        over: None,
    }
}

fn event(kind: EventKind, number: u64, record: &AlertRecord) -> Event {
    let event = Event::new(kind)
        .with("alert", number)
        .with("kind", record.kind.name())
        .with("subject", record.subject.as_str())
        .with("sentence", record.sentence.as_str());
    match record.node.is_empty() {
        true => event,
        false => event.with("node", record.node.as_str()),
    }
}
