//! What administrators do with webhooks.
//!
//! Holds: a secret is shown once, to whoever has it made; each change is audited, in its own commit.

use minicbor::bytes::ByteVec;
use store::{
    Record as _,
    engine::{Assertion, Batch, Page},
    keys::{self, Subspace},
};

use super::{
    DESCRIPTION_OCTETS_MAX, DoneRecord, DueRecord, EventKind, WEBHOOKS_MAX, WebhookError,
    WebhookRecord, event_id, worker::DELIVERIES_KEPT,
};
use crate::{
    Caller, Core,
    access::{self, Operation},
    admin::{Deed, Terms},
    auth::Secret,
    push::crypto::PushEndpoint,
};

/// Octets of a secret that is made here.
const SECRET_OCTETS: usize = 32;

/// Somebody who is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub number: u64,
    pub record: WebhookRecord,
    /// Events that it is yet to be told of.
    pub waiting: usize,
}

/// A new one.
#[derive(Clone, Debug, Default)]
pub struct NewWebhook {
    pub url: String,
    pub description: String,
    /// Empty: all of them.
    pub events: Vec<EventKind>,
    /// `None`: one is made.
    pub secret: Option<Secret<Vec<u8>>>,
}

/// What is to change; `None`: as it was.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    pub url: Option<String>,
    pub description: Option<String>,
    pub events: Option<Vec<EventKind>>,
    pub disabled: Option<bool>,
    pub secret: Option<Secret<Vec<u8>>>,
}

/// An event, and what has come of telling it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub event: u64,
    /// As the webhook sees it.
    pub id: String,
    pub record: DoneRecord,
}

fn may(who: &Caller, operation: Operation) -> Result<(), WebhookError> {
    access::may_run(who, operation).map_err(|_| WebhookError::Forbidden)
}

impl Core {
    /// A secret that nobody knows.
    pub fn make_webhook_secret(&self) -> Secret<Vec<u8>> {
        let mut secret = vec![0; SECRET_OCTETS];
        self.rng.fill(&mut secret);
        Secret::new(secret)
    }

    /// All of them.
    pub async fn webhooks(&self, who: &Caller) -> Result<Vec<Webhook>, WebhookError> {
        may(who, Operation::SeeWebhooks)?;
        self.webhooks.look(&self.engine).await?;
        self.count_waiting().await?;
        let known = self.webhooks.known.load();
        let waiting = self.webhooks.waiting.lock();
        let all = known.iter().map(|(number, record)| Webhook {
            number: *number,
            record: record.clone(),
            waiting: waiting.get(number).map_or(0, |of| of.count),
        });
        Ok(all.collect())
    }

    /// One of them.
    pub async fn webhook(&self, who: &Caller, number: u64) -> Result<Webhook, WebhookError> {
        let mut all = self.webhooks(who).await?.into_iter();
        all.find(|of| of.number == number)
            .ok_or(WebhookError::NotFound)
    }

    /// Adds one; `terms.expected` has no meaning here.
    pub async fn add_webhook(
        &self,
        who: &Caller,
        new: NewWebhook,
        terms: &Terms,
    ) -> Result<Webhook, WebhookError> {
        may(who, Operation::ChangeWebhooks)?;
        let secret = new.secret.unwrap_or_else(|| self.make_webhook_secret());
        let record = WebhookRecord {
            url: new.url,
            description: new.description,
            secret: ByteVec::from(secret.expose().clone()),
            events: sorted(new.events),
            disabled: false,
            disabled_reason: None,
            failing_since: None,
            created: self.clock.now().seconds(),
        };
        self.check_webhook(&record)?;
        let page = Page::first(keys::all(Subspace::Webhook), WEBHOOKS_MAX).keys_only();
        if self.engine.scan(page).await?.len() >= WEBHOOKS_MAX {
            return Err(WebhookError::TooMany);
        }
        // Below 2⁵³, so that every client reads it right.
        let number = self.rng.next_u64() >> 12;
        let key = keys::webhook(number);
        let mut batch = Batch::new();
        batch.assert(Assertion::Absent(key.clone()));
        batch.put(key, record.to_bytes());
        let made = number.to_string();
        self.note_once(&mut batch, who, terms.once.as_ref(), &made)
            .await?;
        let deed = Deed::new(Operation::ChangeWebhooks, made)
            .field("url", None, record.url.clone())
            .field("events", None, names(&record.events))
            .secret("secret");
        self.audit(&mut batch, who, deed);
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        self.webhooks.look(&self.engine).await?;
        self.webhooks.written.notify_one();
        Ok(Webhook {
            number,
            record,
            waiting: 0,
        })
    }

    /// Changes one. A webhook that is enabled again starts with no failures.
    pub async fn change_webhook(
        &self,
        who: &Caller,
        number: u64,
        change: WebhookChange,
        terms: &Terms,
    ) -> Result<Webhook, WebhookError> {
        may(who, Operation::ChangeWebhooks)?;
        let apply = |record: &mut WebhookRecord| {
            let of = change.clone();
            record.url = of.url.unwrap_or_else(|| record.url.clone());
            record.description = of.description.unwrap_or_else(|| record.description.clone());
            record.events = of.events.map_or_else(|| record.events.clone(), sorted);
            if let Some(secret) = of.secret {
                record.secret = ByteVec::from(secret.expose().clone());
            }
            if let Some(disabled) = of.disabled {
                record.disabled = disabled;
                record.disabled_reason = None;
                record.failing_since = None;
            }
        };
        self.change_webhook_record(number, Some((who, terms)), apply)
            .await?;
        self.webhooks.written.notify_one();
        self.webhook(who, number).await
    }

    /// Changes a record that others may change at the same time. `by`: an administrator, whose deed it is.
    pub(super) async fn change_webhook_record(
        &self,
        number: u64,
        by: Option<(&Caller, &Terms)>,
        change: impl Fn(&mut WebhookRecord) + Send + Sync,
    ) -> Result<(), WebhookError> {
        let key = keys::webhook(number);
        for _ in 0..crate::object::TRIES {
            let Some(bytes) = self.engine.get(&key).await? else {
                return Err(WebhookError::NotFound);
            };
            let old = WebhookRecord::from_bytes(&key, &bytes)?;
            let mut new = old.clone();
            change(&mut new);
            let mut batch = Batch::new();
            batch.assert(Assertion::Equals(key.clone(), bytes));
            batch.put(key.clone(), new.to_bytes());
            if let Some((who, terms)) = by {
                terms.check(&old)?;
                self.check_webhook(&new)?;
                self.audit(&mut batch, who, deed(number, &old, &new));
            }
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Err(store::Error::Conflict) => {}
                done => {
                    done?;
                    self.webhooks.look(&self.engine).await?;
                    return Ok(());
                }
            }
        }
        Err(store::Error::Conflict.into())
    }

    fn check_webhook(&self, record: &WebhookRecord) -> Result<(), WebhookError> {
        PushEndpoint::parse(&record.url, self.webhook_policy())?;
        match record.description.len() <= DESCRIPTION_OCTETS_MAX {
            true => Ok(()),
            false => Err(WebhookError::DescriptionTooLong),
        }
    }

    /// Removes one, and what waits for it.
    pub async fn remove_webhook(
        &self,
        who: &Caller,
        number: u64,
        terms: &Terms,
    ) -> Result<(), WebhookError> {
        may(who, Operation::ChangeWebhooks)?;
        let key = keys::webhook(number);
        let Some(bytes) = self.engine.get(&key).await? else {
            return Err(WebhookError::NotFound);
        };
        let mut batch = Batch::new();
        let deed = Deed::new(Operation::ChangeWebhooks, number.to_string());
        let url = match WebhookRecord::from_bytes(&key, &bytes) {
            Ok(record) => {
                terms.check(&record)?;
                Some(record.url)
            }
            // One that can't be read can be removed all the same.
            Err(_) => None,
        };
        batch.assert(Assertion::Equals(key.clone(), bytes));
        batch.delete(key);
        batch.delete_range(keys::webhook_due_of(number));
        batch.delete_range(keys::webhook_done_of(number));
        self.audit(&mut batch, who, deed.field("url", url, None));
        self.engine
            .commit(batch)
            .await
            .map_err(store::Error::from)?;
        self.webhooks.look(&self.engine).await?;
        Ok(())
    }

    /// Sends a webhook an event of its own, once and now. The status of the answer, or why there was none.
    pub async fn test_webhook(
        &self,
        who: &Caller,
        number: u64,
    ) -> Result<Result<u16, String>, WebhookError> {
        may(who, Operation::ChangeWebhooks)?;
        let webhook = self.webhook(who, number).await?;
        self.note_deed(
            who,
            Deed::new(Operation::ChangeWebhooks, number.to_string()).field(
                "test",
                None,
                "sent".to_owned(),
            ),
        )
        .await?;
        let now = self.clock.now().0;
        let due = DueRecord {
            kind: EventKind::Test,
            at: now,
            data: "{}".to_owned(),
            attempts: 0,
        };
        let event = self.next_webhook_event(now);
        let outcome = self.request_webhook(&webhook.record, event, &due).await;
        Ok(outcome.map(|response| response.status))
    }

    /// What has come of the last events, newest first.
    pub async fn webhook_deliveries(
        &self,
        who: &Caller,
        number: u64,
    ) -> Result<Vec<Delivery>, WebhookError> {
        may(who, Operation::SeeWebhooks)?;
        if !self.engine.contains(&keys::webhook(number)).await? {
            return Err(WebhookError::NotFound);
        }
        let page = Page::last(keys::webhook_done_of(number), DELIVERIES_KEPT);
        let mut deliveries = Vec::new();
        for (key, bytes) in self.engine.scan(page).await? {
            let Some((_, event)) = keys::decode_webhook_done(&key) else {
                continue;
            };
            // One that can't be read is reported by the check.
            if let Ok(record) = DoneRecord::from_bytes(&key, &bytes) {
                deliveries.push(Delivery {
                    event,
                    id: event_id(event),
                    record,
                });
            }
        }
        Ok(deliveries)
    }
}

fn sorted(mut events: Vec<EventKind>) -> Vec<EventKind> {
    events.sort_unstable();
    events.dedup();
    events
}

fn names(events: &[EventKind]) -> Option<String> {
    let names: Vec<&str> = events.iter().map(|kind| kind.name()).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

fn deed(number: u64, old: &WebhookRecord, new: &WebhookRecord) -> Deed {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let deed = Deed::new(Operation::ChangeWebhooks, number.to_string())
        .field("url", old.url.clone(), new.url.clone())
        .field(
            "description",
            text(&old.description),
            text(&new.description),
        )
        .field("events", names(&old.events), names(&new.events))
        .field(
            "disabled",
            old.disabled.to_string(),
            new.disabled.to_string(),
        );
    match old.secret == new.secret {
        true => deed,
        false => deed.secret("secret"),
    }
}
