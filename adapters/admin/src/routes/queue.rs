//! Mail on its way: what is in the queue, and what becomes of it.

use http::Method;
use jmap_core::{
    access::{self, Operation},
    inproc::queue::{ENTRIES_MAX, QueueEntry, QueueError, QueueFilter, QueueState, Which},
};
use jmap_types::{AccountId, mail::EmailSubmissionId};
use serde_json::json;

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described as _, choice, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Parameter, Route},
};

choice! {
    /// How a message of the queue stands: its sender can call it back or wants it to go later; an administrator holds it back until it
    /// is released; something of it is being sent; it waits for its turn, or for the next try; the queue is done with it.
    MessageState {
        Held = "held",
        OnHold = "on-hold",
        Sending = "sending",
        Waiting = "waiting",
        Deferred = "deferred",
        Done = "done",
    }
}

object! {
    answer
    /// A recipient of a message.
    QueueRecipient {
        address: String,
        /// "queued", "yes", "no" or "unknown", as JMAP has it.
        delivered: String,
        /// The last reply.
        reply: String,
        /// The host that gave it.
        remote: Option<String>,
        attempts: u64,
    }
}

object! {
    answer
    /// A host that was tried.
    TriedHost {
        at: String = {"format": "date-time"},
        host: String,
        address: Option<String>,
        /// In what way the connection was encrypted; null: it was not.
        tls: Option<String>,
        result: String,
    }
}

object! {
    answer
    /// A message of the queue.
    QueuedMessage {
        /// The id of the account that sends it.
        account: String,
        account_name: String,
        /// The id of the EmailSubmission.
        submission: String,
        state: MessageState,
        /// The reverse-path; empty: the null reverse-path.
        sender: String,
        size: Option<u64>,
        arrived: String = {"format": "date-time"},
        /// When something is done about it next; null: not before it is released.
        due: Option<String> = {"format": "date-time"},
        /// Since when an administrator holds it back.
        held_since: Option<String> = {"format": "date-time"},
        recipients: Vec<QueueRecipient>,
        hosts: Vec<TriedHost>,
    }
}

object! {
    answer
    /// Somewhere that mail waits for, or that has failed lately.
    Destination {
        /// A domain; empty: mailboxes here.
        name: String,
        waiting: u64,
        sending: u64,
        /// Failures one after the other.
        failures: u64,
        /// So long it is left alone.
        left_alone_seconds: u64,
        last_reply: Option<String>,
        held: bool,
    }
}

object! {
    answer
    /// Mail that is held back.
    Hold {
        /// A domain; `*`: the whole queue.
        destination: String,
        since: String = {"format": "date-time"},
    }
}

object! {
    request
    /// Which messages are meant.
    QueuePart {
        /// Those for recipients in this domain; without it, all.
        domain: Option<String> = {"minLength": 1, "maxLength": 253},
    }
}

object! {
    answer
    /// How many messages it was.
    Count {
        messages: u64,
    }
}

const TAG: &str = "Queue";
const FOR_DOMAIN: Parameter = Parameter {
    name: "domain",
    about: "Only messages for recipients in this domain.",
    schema: super::text,
};
const OF_ACCOUNT: Parameter = Parameter {
    name: "account",
    about: "Only messages that the account with this id sends.",
    schema: super::text,
};
const SEARCH: Parameter = Parameter {
    name: "q",
    about: "Only messages with this text in their sender, recipients or account, in any letter case.",
    schema: super::text,
};
const IN_STATE: Parameter = Parameter {
    name: "state",
    about: "Only messages that stand so.",
    schema: || json!({"type": "string", "enum": MessageState::WORDS}),
};
const TELL: Parameter = Parameter {
    name: "tell",
    about: "Whether the sender gets a report.",
    schema: || json!({"type": "boolean", "default": true}),
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/queue/messages",
            (TAG, "listQueue"),
            "Lists messages on their way, what is due first coming first: of a longer queue the first 10,000",
            Operation::SeeQueue,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT, SEARCH, IN_STATE, FOR_DOMAIN, OF_ACCOUNT])
        .may_fail(&[Kind::InvalidValue])
        .answers(|schemas| page::schema::<QueuedMessage>(schemas, true)),
        Route::new(
            Method::GET,
            "/queue/messages/{account}/{submission}",
            (TAG, "getQueued"),
            "Shows a message of the queue, also for a while after the queue is done with it",
            Operation::SeeQueue,
            handler!(get),
        )
        .answers(QueuedMessage::schema),
        Route::new(
            Method::POST,
            "/queue/messages/{account}/{submission}/retry",
            (TAG, "retryQueued"),
            "Tries a message now",
            Operation::ChangeQueue,
            handler!(retry),
        )
        .may_fail(&[Kind::InUse])
        .answers(Count::schema),
        Route::new(
            Method::DELETE,
            "/queue/messages/{account}/{submission}",
            (TAG, "cancelQueued"),
            "Gives a message up",
            Operation::ChangeQueue,
            handler!(cancel),
        )
        .query(&[TELL])
        .may_fail(&[Kind::InUse]),
        Route::new(
            Method::PUT,
            "/queue/messages/{account}/{submission}/hold",
            (TAG, "holdQueued"),
            "Holds a message back: it isn't tried and doesn't expire until it is released; what is being sent goes on",
            Operation::ChangeQueue,
            handler!(hold_one),
        )
        .may_fail(&[Kind::InUse]),
        Route::new(
            Method::DELETE,
            "/queue/messages/{account}/{submission}/hold",
            (TAG, "releaseQueued"),
            "Ends the hold of a message, which is tried now",
            Operation::ChangeQueue,
            handler!(release_one),
        )
        .may_fail(&[Kind::InUse]),
        Route::new(
            Method::POST,
            "/queue/retry",
            (TAG, "retryQueue"),
            "Tries messages now, and forgets that hosts have failed",
            Operation::RunQueue,
            handler!(retry_many),
        )
        .body(QueuePart::schema)
        .may_fail(&[Kind::InvalidValue])
        .answers(Count::schema),
        Route::new(
            Method::GET,
            "/queue/destinations",
            (TAG, "listDestinations"),
            "Lists the destinations that mail waits for, or that have failed lately",
            Operation::RunQueue,
            handler!(destinations),
        )
        .query(&[CURSOR, LIMIT])
        .answers(|schemas| page::schema::<Destination>(schemas, true)),
        Route::new(
            Method::GET,
            "/queue/holds",
            (TAG, "listHolds"),
            "Lists what is held back",
            Operation::RunQueue,
            handler!(holds),
        )
        .query(&[CURSOR, LIMIT])
        .answers(|schemas| page::schema::<Hold>(schemas, true)),
        Route::new(
            Method::PUT,
            "/queue/holds/{destination}",
            (TAG, "holdQueue"),
            "Sends nothing to a domain any more, or (`*`) to anybody; what is being sent goes on",
            Operation::RunQueue,
            handler!(hold),
        )
        .may_fail(&[Kind::InvalidValue]),
        Route::new(
            Method::DELETE,
            "/queue/holds/{destination}",
            (TAG, "releaseQueue"),
            "Sends to a domain again, or (`*`) ends the hold of the whole queue",
            Operation::RunQueue,
            handler!(release),
        )
        .may_fail(&[Kind::InvalidValue]),
    ]
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Problem {
        match error {
            QueueError::Directory(error) => error.into(),
            QueueError::NotFound => Problem::not_found(),
            QueueError::IsBeingSent | QueueError::IsOnHold => {
                Problem::new(Kind::InUse, error.to_string())
            }
            QueueError::Store(error) => jmap_core::directory::DirectoryError::Store(error).into(),
        }
    }
}

fn date_of_ms(ms: i64) -> String {
    super::date_text(ms.div_euclid(1000))
}

fn state(entry: &QueueEntry) -> MessageState {
    match entry.state {
        _ if entry.record.is_done => MessageState::Done,
        QueueState::Held => MessageState::Held,
        QueueState::OnHold => MessageState::OnHold,
        QueueState::Sending => MessageState::Sending,
        QueueState::Waiting => MessageState::Waiting,
        QueueState::Deferred => MessageState::Deferred,
    }
}

/// `asked`: in lower case.
fn has(entry: &QueueEntry, asked: &str) -> bool {
    let recipients = entry.record.recipients.iter();
    let mut texts = recipients
        .map(|recipient| &recipient.address.email)
        .chain([&entry.account_name, &entry.record.mail_from.email]);
    texts.any(|text| super::has(text, asked))
}

fn message(entry: QueueEntry) -> QueuedMessage {
    let state = state(&entry);
    let record = entry.record;
    let due = entry.due;
    let due = due.map(|due| date_of_ms(i64::try_from(due).unwrap_or(i64::MAX)));
    QueuedMessage {
        account: entry.account.to_string(),
        account_name: entry.account_name,
        submission: EmailSubmissionId::new(entry.submission).to_string(),
        state,
        size: record.size,
        arrived: super::date_text(record.arrived()),
        due,
        held_since: record.on_hold.map(|hold| date_of_ms(hold.since)),
        recipients: record
            .recipients
            .into_iter()
            .map(|recipient| QueueRecipient {
                address: recipient.address.email,
                delivered: recipient.delivered.as_str().to_owned(),
                reply: recipient.smtp_reply,
                remote: recipient.remote,
                attempts: u64::from(recipient.attempts.unwrap_or(0)),
            })
            .collect(),
        hosts: record
            .history
            .unwrap_or_default()
            .into_iter()
            .map(|host| TriedHost {
                at: date_of_ms(host.when),
                host: host.host,
                address: host.address,
                tls: host.tls,
                result: host.result,
            })
            .collect(),
        sender: record.mail_from.email,
    }
}

async fn list(request: &Request) -> Outcome {
    let filter = QueueFilter {
        domain: request.asked("domain").map(str::to_owned),
        account: super::traces::account(request, "account")?,
        limit: ENTRIES_MAX,
    };
    let asked = request.asked("q").map(str::to_lowercase);
    let in_state = request.asked_as::<MessageState>("state")?;
    let (mut entries, _) = request.core.queue_entries(&request.who, &filter).await?;
    entries.retain(|entry| {
        asked.as_deref().is_none_or(|asked| has(entry, asked))
            && in_state.is_none_or(|asked| asked == state(entry))
    });
    let page = Page::of(request, entries, |entry| {
        let id = format!("{:020}/{:020}", entry.account.number(), entry.submission);
        // What is on hold comes last.
        (format!("{:020}", entry.due.unwrap_or(u64::MAX)), id)
    })?;
    let items = page.items.into_iter().map(|entry| json!(message(entry)));
    Ok(Answer::ok(page::json_of(
        items.collect(),
        page.next,
        Some(page.total),
    )))
}

/// The message that the path names. Who may do this to none is told so, whatever is named.
fn one(request: &Request, operation: Operation) -> Result<(AccountId, u64), Problem> {
    access::may_begin(&request.who, operation, None)?;
    let submission = EmailSubmissionId::parse(request.text("submission")?);
    let submission = submission.ok_or_else(Problem::not_found)?;
    Ok((request.account("account")?, submission.number()))
}

async fn get(request: &Request) -> Outcome {
    let (account, submission) = one(request, Operation::SeeQueue)?;
    let entry = request
        .core
        .queue_entry(&request.who, account, submission)
        .await?;
    Ok(Answer::ok(json!(message(entry))))
}

async fn retry(request: &Request) -> Outcome {
    let (account, submission) = one(request, Operation::ChangeQueue)?;
    let which = Which::One(account, submission);
    let messages = request.core.retry_queue(&request.who, &which).await?;
    Ok(Answer::ok(json!(Count { messages })))
}

async fn cancel(request: &Request) -> Outcome {
    let (account, submission) = one(request, Operation::ChangeQueue)?;
    let is_told = request.asked_as::<bool>("tell")?.unwrap_or(true);
    let which = Which::One(account, submission);
    request
        .core
        .cancel_queue(&request.who, &which, is_told)
        .await?;
    Ok(Answer::nothing())
}

async fn hold_one(request: &Request) -> Outcome {
    let (account, submission) = one(request, Operation::ChangeQueue)?;
    let core = &request.core;
    core.hold_queued(&request.who, account, submission).await?;
    Ok(Answer::nothing())
}

async fn release_one(request: &Request) -> Outcome {
    let (account, submission) = one(request, Operation::ChangeQueue)?;
    let core = &request.core;
    core.release_queued(&request.who, account, submission)
        .await?;
    Ok(Answer::nothing())
}

async fn retry_many(request: &Request) -> Outcome {
    let part: QueuePart = request.read()?;
    let which = part.domain.map_or(Which::All, Which::Domain);
    let messages = request.core.retry_queue(&request.who, &which).await?;
    Ok(Answer::ok(json!(Count { messages })))
}

async fn destinations(request: &Request) -> Outcome {
    let places = request.core.queue_places(&request.who)?;
    let page = Page::of(request, places, |place| (place.name.clone(), String::new()))?;
    let items = page.items.into_iter().map(|place| {
        json!(Destination {
            name: place.name,
            waiting: place.waiting as u64,
            sending: place.running as u64,
            failures: u64::from(place.failures),
            left_alone_seconds: place.blocked_ms.div_ceil(1000),
            last_reply: (!place.last_reply.is_empty()).then_some(place.last_reply),
            held: place.is_paused,
        })
    });
    Ok(Answer::ok(page::json_of(
        items.collect(),
        page.next,
        Some(page.total),
    )))
}

async fn holds(request: &Request) -> Outcome {
    let holds = request.core.queue_pauses(&request.who).await?;
    let page = Page::of(request, holds, |(name, _)| (name.clone(), String::new()))?;
    let items = page.items.into_iter().map(|(name, since)| {
        json!(Hold {
            destination: if name.is_empty() {
                "*".to_owned()
            } else {
                name
            },
            since: date_of_ms(i64::try_from(since).unwrap_or(i64::MAX)),
        })
    });
    Ok(Answer::ok(page::json_of(
        items.collect(),
        page.next,
        Some(page.total),
    )))
}

/// A domain; `None`: the whole queue.
fn destination(request: &Request) -> Result<Option<&str>, Problem> {
    let name = request.text("destination")?;
    Ok((name != "*").then_some(name))
}

async fn hold(request: &Request) -> Outcome {
    let domain = destination(request)?;
    request.core.pause_queue(&request.who, domain).await?;
    Ok(Answer::nothing())
}

async fn release(request: &Request) -> Outcome {
    let domain = destination(request)?;
    request.core.resume_queue(&request.who, domain).await?;
    Ok(Answer::nothing())
}
