//! Webhooks: who is told of events, and what came of that.

use http::Method;
use jmap_core::{
    access::{self, Operation},
    admin::Version,
    auth::Secret,
    directory::DirectoryError,
    webhook::{self, Delivery as CoreDelivery, EventKind, WebhookChange, WebhookError},
};
use serde_json::{Value, json};

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described, Optional, Schemas, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::{Request, tag},
    table::{Answer, Outcome, Route},
};

/// The name of a kind of event.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct EventName(String);

impl Described for EventName {
    fn schema(schemas: &mut Schemas) -> Value {
        schemas.refer("EventName", |_| {
            let names: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
            let of = |kind: &EventKind| format!("`{kind}`: {}", kind.about());
            let about: Vec<String> = EventKind::ALL.iter().map(of).collect();
            json!({
                "type": "string",
                "description": format!("What has happened. {}", about.join(" ")),
                "enum": names,
            })
        })
    }
}

object! {
    answer
    /// Somebody who is told of events, by a signed POST each (Standard Webhooks).
    Webhook {
        number: u64,
        url: String,
        description: String,
        /// Empty: all of them.
        events: Vec<EventName>,
        disabled: bool,
        /// Why, where it wasn't an administrator.
        disabled_reason: Option<String>,
        /// Since when nothing has arrived.
        failing_since: Option<String> = {"format": "date-time"},
        created: String = {"format": "date-time"},
        /// Events that it is yet to be told of.
        waiting: u64,
    }
}

object! {
    request
    /// A new webhook.
    NewWebhook {
        /// It begins with `https://`, and its host is a public one, unless the setting webhooks.private-services says otherwise.
        url: String = {"minLength": 9, "maxLength": 2048},
        description: Option<String> = {"maxLength": 500},
        /// Without it, or empty: all of them.
        events: Option<Vec<EventName>> = {"maxItems": 100},
        /// What signs the requests: `whsec_` and 24 to 64 octets in base64. Without it, one is made.
        secret: Option<String> = {"format": "password", "writeOnly": true, "maxLength": 100},
    }
}

object! {
    answer
    /// A webhook that was just made.
    MadeWebhook {
        webhook: Webhook,
        /// Shown this once; null: the same request was made before, and has been told.
        secret: Option<String>,
    }
}

object! {
    patch
    /// What is to change of a webhook. Members that are left out stay as they are.
    WebhookPatch {
        url: Optional<String> = {"minLength": 9, "maxLength": 2048},
        description: Optional<String> = {"maxLength": 500},
        events: Optional<Vec<EventName>> = {"maxItems": 100},
        /// One that is enabled again begins without failures.
        disabled: Optional<bool>,
        secret: Optional<String> = {"format": "password", "writeOnly": true, "maxLength": 100},
    }
}

object! {
    answer
    /// What came of trying a webhook.
    WebhookTest {
        delivered: bool,
        /// The status of its answer.
        status: Option<u64>,
        /// Why there was none.
        problem: Option<String>,
    }
}

object! {
    answer
    /// An event, and what has come of telling it.
    Delivery {
        /// `webhook-id`, the same with each try.
        id: String,
        event: EventName,
        /// When it happened.
        time: String = {"format": "date-time"},
        /// When it was told last.
        tried: String = {"format": "date-time"},
        attempts: u64,
        /// The status of the last answer.
        status: Option<u64>,
        problem: Option<String>,
        /// Null: it has arrived, or was given up.
        next_try: Option<String> = {"format": "date-time"},
        delivered: bool,
    }
}

object! {
    answer
    /// Something that may happen.
    EventInfo {
        event: EventName,
        /// What it means.
        about: String,
    }
}

const TAG: &str = "Webhooks";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/webhooks",
            (TAG, "listWebhooks"),
            "Lists the webhooks",
            Operation::SeeWebhooks,
            handler!(list),
        )
        .answers(|schemas| page::schema::<Webhook>(schemas, false)),
        Route::new(
            Method::GET,
            "/webhook-events",
            (TAG, "listEvents"),
            "Lists the kinds of events that webhooks are told of",
            Operation::SeeWebhooks,
            handler!(events),
        )
        .answers(|schemas| page::schema::<EventInfo>(schemas, false)),
        Route::new(
            Method::POST,
            "/webhooks",
            (TAG, "addWebhook"),
            "Makes a webhook, and shows its secret once",
            Operation::ChangeWebhooks,
            handler!(add),
        )
        .body(NewWebhook::schema)
        .creates(MadeWebhook::schema),
        Route::new(
            Method::GET,
            "/webhooks/{webhook}",
            (TAG, "getWebhook"),
            "Shows a webhook",
            Operation::SeeWebhooks,
            handler!(get),
        )
        .versioned()
        .answers(Webhook::schema),
        Route::new(
            Method::PATCH,
            "/webhooks/{webhook}",
            (TAG, "changeWebhook"),
            "Changes a webhook",
            Operation::ChangeWebhooks,
            handler!(change),
        )
        .versioned()
        .body(WebhookPatch::schema)
        .may_fail(&[Kind::InvalidValue])
        .answers(Webhook::schema),
        Route::new(
            Method::DELETE,
            "/webhooks/{webhook}",
            (TAG, "removeWebhook"),
            "Removes a webhook, and what it has yet to be told",
            Operation::ChangeWebhooks,
            handler!(remove),
        )
        .versioned(),
        Route::new(
            Method::POST,
            "/webhooks/{webhook}/test",
            (TAG, "testWebhook"),
            "Sends a webhook an event of its own, and tells how it has answered",
            Operation::ChangeWebhooks,
            handler!(test),
        )
        .answers(WebhookTest::schema),
        Route::new(
            Method::GET,
            "/webhooks/{webhook}/deliveries",
            (TAG, "listDeliveries"),
            "Lists the last events that a webhook was told of, newest first",
            Operation::SeeWebhooks,
            handler!(deliveries),
        )
        .query(&[CURSOR, LIMIT])
        .answers(|schemas| page::schema::<Delivery>(schemas, true)),
    ]
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Problem {
        let detail = error.to_string();
        match error {
            WebhookError::Forbidden => Problem::of(Kind::Forbidden),
            WebhookError::NotFound => Problem::not_found(),
            WebhookError::InvalidUrl(_)
            | WebhookError::InvalidSecret
            | WebhookError::DescriptionTooLong => Problem::new(Kind::InvalidValue, detail),
            WebhookError::TooMany => Problem::new(Kind::LimitReached, detail),
            WebhookError::Directory(error) => error.into(),
            WebhookError::Store(error) => DirectoryError::Store(error).into(),
        }
    }
}

fn date(ms: i64) -> String {
    super::date_text(ms.div_euclid(1000))
}

fn name(kind: EventKind) -> EventName {
    EventName(kind.name().to_owned())
}

fn shown(of: &webhook::Webhook) -> Webhook {
    let record = &of.record;
    Webhook {
        number: of.number,
        url: record.url.clone(),
        description: record.description.clone(),
        events: record.events.iter().map(|kind| name(*kind)).collect(),
        disabled: record.disabled,
        disabled_reason: record.disabled_reason.clone(),
        failing_since: record.failing_since.map(date),
        created: super::date_text(record.created),
        waiting: of.waiting as u64,
    }
}

fn answer(of: &webhook::Webhook) -> Answer {
    Answer::ok(json!(shown(of))).with_tag(tag(Version::of(&of.record)))
}

fn kinds(names: &[EventName]) -> Result<Vec<EventKind>, Problem> {
    let of = |EventName(name): &EventName| {
        EventKind::parse(name).ok_or_else(|| {
            Problem::new(
                Kind::InvalidValue,
                "There is no event of one of these names.",
            )
        })
    };
    names.iter().map(of).collect()
}

fn secret(text: Option<String>) -> Result<Option<Secret<Vec<u8>>>, Problem> {
    match text {
        None => Ok(None),
        Some(text) => Ok(Some(Secret::new(webhook::read_secret(&text)?))),
    }
}

async fn events(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::SeeWebhooks)?;
    let items = EventKind::ALL.iter().map(|kind| {
        json!(EventInfo {
            event: EventName(kind.name().to_owned()),
            about: kind.about(),
        })
    });
    Ok(Answer::ok(page::json_of(items.collect(), None, None)))
}

async fn list(request: &Request) -> Outcome {
    let webhooks = request.core.webhooks(&request.who).await?;
    // There are at most 50: one page.
    let items = webhooks.iter().map(|of| json!(shown(of))).collect();
    Ok(Answer::ok(page::json_of(items, None, None)))
}

async fn add(request: &Request) -> Outcome {
    let new: NewWebhook = request.read()?;
    let (core, who) = (&request.core, &request.who);
    let secret = secret(new.secret)?.unwrap_or_else(|| core.make_webhook_secret());
    let of_core = webhook::NewWebhook {
        url: new.url,
        description: new.description.unwrap_or_default(),
        events: kinds(&new.events.unwrap_or_default())?,
        secret: Some(secret.clone()),
    };
    let terms = request.terms()?;
    let before = match &terms.once {
        Some(once) => core.done_before(who, once).await?,
        None => None,
    };
    let (webhook, secret) = match before {
        Some(made) => {
            let number = made.parse().map_err(|_| Problem::not_found())?;
            (core.webhook(who, number).await?, None)
        }
        None => {
            let webhook = core.add_webhook(who, of_core, &terms).await?;
            (webhook, Some(webhook::secret_text(secret.expose())))
        }
    };
    let made = MadeWebhook {
        webhook: shown(&webhook),
        secret,
    };
    let place = format!("/webhooks/{}", webhook.number);
    Ok(Answer::ok(json!(made)).created(place))
}

async fn get(request: &Request) -> Outcome {
    let number = request.number("webhook")?;
    Ok(answer(&request.core.webhook(&request.who, number).await?))
}

async fn change(request: &Request) -> Outcome {
    let patch: WebhookPatch = request.read()?;
    let change = WebhookChange {
        url: patch.url.0,
        description: patch.description.0,
        events: patch.events.0.as_deref().map(kinds).transpose()?,
        disabled: patch.disabled.0,
        secret: secret(patch.secret.0)?,
    };
    let (number, terms) = (request.number("webhook")?, request.terms()?);
    let (core, who) = (&request.core, &request.who);
    Ok(answer(
        &core.change_webhook(who, number, change, &terms).await?,
    ))
}

async fn remove(request: &Request) -> Outcome {
    let (number, terms) = (request.number("webhook")?, request.terms()?);
    request
        .core
        .remove_webhook(&request.who, number, &terms)
        .await?;
    Ok(Answer::nothing())
}

async fn test(request: &Request) -> Outcome {
    let number = request.number("webhook")?;
    let answered = request.core.test_webhook(&request.who, number).await?;
    let status = answered.as_ref().ok().copied();
    let test = WebhookTest {
        delivered: status.is_some_and(|status| (200..300).contains(&status)),
        status: status.map(u64::from),
        problem: answered.err(),
    };
    Ok(Answer::ok(json!(test)))
}

fn delivery(of: &CoreDelivery) -> Delivery {
    let record = &of.record;
    Delivery {
        id: of.id.clone(),
        event: name(record.kind),
        time: date(record.at),
        tried: date(record.tried),
        attempts: u64::from(record.attempts),
        status: record.status.map(u64::from),
        problem: record.problem.clone(),
        next_try: record.next_try.map(date),
        delivered: record.delivered,
    }
}

async fn deliveries(request: &Request) -> Outcome {
    let number = request.number("webhook")?;
    let found = request
        .core
        .webhook_deliveries(&request.who, number)
        .await?;
    // Newest first.
    let page = Page::of(request, found, |of| {
        (format!("{:020}", u64::MAX - of.event), String::new())
    })?;
    let items = page.items.iter().map(|of| json!(delivery(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}
