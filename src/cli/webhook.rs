//! `posthorn webhook`: who is told of events, and what came of that.
//!
//! Holds: a secret is shown once, when a webhook is made.
//! Other half: `jmap_core::webhook`.

use clap::{Args, Subcommand};
use jmap_core::{
    Caller, Core,
    admin::Terms,
    auth::Secret,
    webhook::{self, EventKind, NewWebhook, WebhookChange},
};
use jmap_types::UtcDate;
use serde::{Deserialize, Serialize};

use super::{
    command::{Answer, Password},
    execute::{Done, done},
};

#[derive(Debug, Subcommand)]
pub enum WebhookVerb {
    /// Which there are, and how they get on
    List,
    /// The kinds of events, and what they mean
    Events,
    /// Adds one, and shows the secret that signs what it is sent
    Add {
        /// Where it is told, by HTTPS
        url: String,
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        events: Events,
    },
    /// Changes one
    Change {
        number: u64,
        #[arg(long)]
        url: Option<String>,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        events: Events,
        /// Of all of them
        #[arg(long, conflicts_with = "event")]
        all_events: bool,
        /// Sends nothing any more
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Sends again, as if nothing had failed
        #[arg(long)]
        enable: bool,
        /// Makes another secret, and shows it
        #[arg(long)]
        new_secret: bool,
    },
    /// Removes one, and what it has yet to be told
    Remove { number: u64 },
    /// Sends it an event of its own, and says how it has answered
    Test { number: u64 },
    /// The last events that it was told of, newest first
    Deliveries { number: u64 },
}

#[derive(Debug, Args)]
pub struct Events {
    /// Of these events; without it, of all. May be given more than once
    #[arg(long, value_name = "EVENT", value_parser = kind)]
    event: Vec<EventKind>,
}

fn kind(name: &str) -> Result<EventKind, String> {
    EventKind::parse(name)
        .ok_or_else(|| "there is no such event; `posthorn webhook events` has them all".to_owned())
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum WebhookCommand {
    List,
    Events,
    Add {
        url: String,
        description: String,
        events: Vec<String>,
    },
    Change {
        number: u64,
        url: Option<String>,
        description: Option<String>,
        /// `None`: as before; empty: all.
        events: Option<Vec<String>>,
        disabled: Option<bool>,
        new_secret: bool,
    },
    Remove {
        number: u64,
    },
    Test {
        number: u64,
    },
    Deliveries {
        number: u64,
    },
}

impl WebhookVerb {
    pub fn command(self) -> WebhookCommand {
        let names = |of: Events| -> Vec<String> {
            of.event.iter().map(|kind| kind.name().to_owned()).collect()
        };
        match self {
            WebhookVerb::List => WebhookCommand::List,
            WebhookVerb::Events => WebhookCommand::Events,
            WebhookVerb::Add {
                url,
                description,
                events,
            } => WebhookCommand::Add {
                url,
                description,
                events: names(events),
            },
            WebhookVerb::Change {
                number,
                url,
                description,
                events,
                all_events,
                disable,
                enable,
                new_secret,
            } => WebhookCommand::Change {
                number,
                url,
                description,
                events: match (names(events), all_events) {
                    (_, true) => Some(Vec::new()),
                    (some, false) => (!some.is_empty()).then_some(some),
                },
                disabled: match (disable, enable) {
                    (true, _) => Some(true),
                    (_, true) => Some(false),
                    _ => None,
                },
                new_secret,
            },
            WebhookVerb::Remove { number } => WebhookCommand::Remove { number },
            WebhookVerb::Test { number } => WebhookCommand::Test { number },
            WebhookVerb::Deliveries { number } => WebhookCommand::Deliveries { number },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookRow {
    pub number: u64,
    pub url: String,
    pub description: String,
    /// Empty: all of them.
    pub events: Vec<String>,
    pub disabled: bool,
    pub disabled_reason: Option<String>,
    /// Milliseconds since 1970.
    pub failing_since: Option<i64>,
    pub waiting: usize,
    /// Where it was just made.
    pub secret: Option<Password>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRow {
    pub name: String,
    pub about: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryRow {
    pub id: String,
    pub event: String,
    /// Milliseconds since 1970.
    pub time: i64,
    pub tried: i64,
    pub attempts: u32,
    pub status: Option<u16>,
    pub problem: Option<String>,
    pub next_try: Option<i64>,
    pub delivered: bool,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what", content = "rows")]
pub enum WebhookAnswer {
    Webhooks(Vec<WebhookRow>),
    Events(Vec<EventRow>),
    Deliveries(Vec<DeliveryRow>),
}

fn kinds(names: &[String]) -> Vec<EventKind> {
    names
        .iter()
        .filter_map(|name| EventKind::parse(name))
        .collect()
}

pub async fn execute(core: &Core, who: &Caller, command: WebhookCommand) -> Done {
    let terms = Terms::default();
    let answer = match command {
        WebhookCommand::List => {
            let all = core.webhooks(who).await?;
            WebhookAnswer::Webhooks(all.iter().map(|of| row(of, None)).collect())
        }
        WebhookCommand::Events => WebhookAnswer::Events(
            EventKind::ALL
                .iter()
                .map(|kind| EventRow {
                    name: kind.name().to_owned(),
                    about: kind.about(),
                })
                .collect(),
        ),
        WebhookCommand::Add {
            url,
            description,
            events,
        } => {
            let secret = core.make_webhook_secret();
            let new = NewWebhook {
                url,
                description,
                events: kinds(&events),
                secret: Some(secret.clone()),
            };
            let made = core.add_webhook(who, new, &terms).await?;
            WebhookAnswer::Webhooks(vec![row(&made, Some(&secret))])
        }
        WebhookCommand::Change {
            number,
            url,
            description,
            events,
            disabled,
            new_secret,
        } => {
            let secret = new_secret.then(|| core.make_webhook_secret());
            let change = WebhookChange {
                url,
                description,
                events: events.as_deref().map(kinds),
                disabled,
                secret: secret.clone(),
            };
            let changed = core.change_webhook(who, number, change, &terms).await?;
            WebhookAnswer::Webhooks(vec![row(&changed, secret.as_ref())])
        }
        WebhookCommand::Remove { number } => {
            core.remove_webhook(who, number, &terms).await?;
            return done(format!("the webhook {number} is told nothing any more"));
        }
        WebhookCommand::Test { number } => {
            return done(match core.test_webhook(who, number).await? {
                Ok(status) => format!("it has answered with {status}"),
                Err(why) => format!("it could not be told: {why}"),
            });
        }
        WebhookCommand::Deliveries { number } => {
            let found = core.webhook_deliveries(who, number).await?;
            WebhookAnswer::Deliveries(found.iter().map(delivery).collect())
        }
    };
    Ok(Answer::Webhooks(answer))
}

fn row(of: &webhook::Webhook, secret: Option<&Secret<Vec<u8>>>) -> WebhookRow {
    let record = &of.record;
    let text = |secret: &Secret<Vec<u8>>| Password(webhook::secret_text(secret.expose()).into());
    WebhookRow {
        number: of.number,
        url: record.url.clone(),
        description: record.description.clone(),
        events: record
            .events
            .iter()
            .map(|kind| kind.name().to_owned())
            .collect(),
        disabled: record.disabled,
        disabled_reason: record.disabled_reason.clone(),
        failing_since: record.failing_since,
        waiting: of.waiting,
        secret: secret.map(text),
    }
}

fn delivery(of: &webhook::Delivery) -> DeliveryRow {
    let record = &of.record;
    DeliveryRow {
        id: of.id.clone(),
        event: record.kind.name().to_owned(),
        time: record.at,
        tried: record.tried,
        attempts: record.attempts,
        status: record.status,
        problem: record.problem.clone(),
        next_try: record.next_try,
        delivered: record.delivered,
    }
}

fn date(ms: i64) -> UtcDate {
    UtcDate(ms.div_euclid(1000))
}

/// Lines for people.
pub fn text(answer: &WebhookAnswer) -> String {
    let lines: Vec<String> = match answer {
        WebhookAnswer::Webhooks(rows) => rows.iter().map(webhook_text).collect(),
        WebhookAnswer::Events(rows) => {
            let line = |row: &EventRow| format!("{:<20} {}", row.name, row.about);
            rows.iter().map(line).collect()
        }
        WebhookAnswer::Deliveries(rows) => rows.iter().map(delivery_text).collect(),
    };
    match lines.is_empty() {
        true => "there is nothing".to_owned(),
        false => lines.join("\n"),
    }
}

fn webhook_text(row: &WebhookRow) -> String {
    let mut text = format!("{}  {}", row.number, row.url);
    if !row.description.is_empty() {
        text.push_str(&format!("  ({})", row.description));
    }
    match row.events.is_empty() {
        true => text.push_str("\n  of all events"),
        false => text.push_str(&format!("\n  of {}", row.events.join(" "))),
    }
    if row.waiting > 0 {
        text.push_str(&format!("\n  {} events wait", row.waiting));
    }
    if let Some(since) = row.failing_since {
        text.push_str(&format!("\n  ! nothing has arrived since {}", date(since)));
    }
    if row.disabled {
        let why = row
            .disabled_reason
            .as_deref()
            .unwrap_or("by an administrator");
        text.push_str(&format!("\n  ! disabled: {why}"));
    }
    if let Some(secret) = &row.secret {
        text.push_str(&format!(
            "\n  secret, shown this once: {}",
            secret.0.expose()
        ));
    }
    text
}

fn delivery_text(row: &DeliveryRow) -> String {
    let mut text = format!("{}  {}  {}  ", date(row.time), row.event, row.id);
    match (row.delivered, row.next_try) {
        (true, _) => text.push_str("arrived"),
        (false, Some(next)) => text.push_str(&format!("is tried again at {}", date(next))),
        (false, None) => text.push_str("was given up"),
    }
    text.push_str(&format!(" after {} tries", row.attempts));
    if let Some(problem) = &row.problem {
        text.push_str(&format!(": {problem}"));
    }
    text
}
