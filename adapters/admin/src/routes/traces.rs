//! Traces: what happened to messages, and why.

use http::Method;
use jmap_core::{
    access::Operation,
    trace::{TraceError, TraceFilter, TraceKind, Traced},
};
use jmap_types::{AccountId, Id, UtcDate, mail::EmailSubmissionId};
use serde_json::json;

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{choice, object},
    page,
    problem::{Kind, Problem},
    request::Request,
    routes::queue::TriedHost,
    table::{Answer, Outcome, Parameter, Route},
};

choice! {
    /// What happened: it came from outside; it was refused before it was there; somebody here sends it; the queue has delivered it here;
    /// the queue has tried another server; its sender was told something.
    TraceEvent {
        Received = "received",
        Refused = "refused",
        Submitted = "submitted",
        Delivered = "delivered",
        Attempted = "attempted",
        Reported = "reported",
    }
}

impl From<TraceEvent> for TraceKind {
    fn from(event: TraceEvent) -> TraceKind {
        match event {
            TraceEvent::Received => TraceKind::Received,
            TraceEvent::Refused => TraceKind::Refused,
            TraceEvent::Submitted => TraceKind::Submitted,
            TraceEvent::Delivered => TraceKind::Delivered,
            TraceEvent::Attempted => TraceKind::Attempted,
            TraceEvent::Reported => TraceKind::Reported,
        }
    }
}

impl From<TraceKind> for TraceEvent {
    fn from(kind: TraceKind) -> TraceEvent {
        match kind {
            TraceKind::Received => TraceEvent::Received,
            TraceKind::Refused => TraceEvent::Refused,
            TraceKind::Submitted => TraceEvent::Submitted,
            TraceKind::Delivered => TraceEvent::Delivered,
            TraceKind::Attempted => TraceEvent::Attempted,
            TraceKind::Reported => TraceEvent::Reported,
        }
    }
}

object! {
    answer
    /// What was done in one account.
    TracePlace {
        /// The id of the account.
        account: String,
        /// What the account's script did, or `keep`.
        actions: Vec<String>,
        /// Why the script didn't have its way.
        problem: Option<String>,
    }
}

object! {
    answer
    /// What became of a recipient.
    TraceRecipient {
        address: String,
        /// In the shape of a reply: code, enhanced code, text.
        reply: String,
        /// The host that gave it; null: this one.
        remote: Option<String>,
        places: Vec<TracePlace>,
    }
}

object! {
    answer
    /// How the message came.
    TraceSession {
        /// The address of the client; empty: a process of the server's machine.
        client: String,
        /// What it calls itself.
        hello: String,
        protocol: String,
        tls: Option<String>,
        /// As in the Received field of the message.
        id: String,
        /// As in its Authentication-Results field.
        authentication: Option<String>,
    }
}

object! {
    answer
    /// The EmailSubmission that it belongs to.
    TraceSubmission {
        /// The id of the account.
        account: String,
        /// Null: the message came from outside.
        submission: Option<String>,
        /// Who sent it; null: the server itself.
        sent_by: Option<String>,
        held_until: Option<String> = {"format": "date-time"},
    }
}

object! {
    answer
    /// An event in the life of a message.
    Trace {
        id: String,
        at: String = {"format": "date-time"},
        event: TraceEvent,
        /// Without angle brackets.
        message_id: Option<String>,
        /// The reverse-path; empty: the null reverse-path; null: not known.
        mail_from: Option<String>,
        recipients: Vec<TraceRecipient>,
        /// Recipients beyond those that are named.
        other_recipients: u64,
        size: Option<u64>,
        session: Option<TraceSession>,
        submission: Option<TraceSubmission>,
        hosts: Vec<TriedHost>,
        /// The reply of a refusal; what the sender was told.
        note: Option<String>,
    }
}

const FILTERS: &[Parameter] = &[
    Parameter {
        name: "messageId",
        about: "Only messages with this Message-ID.",
        schema: super::text,
    },
    Parameter {
        name: "from",
        about: "Only those with this reverse-path, or from this domain: `@example.net`.",
        schema: super::text,
    },
    Parameter {
        name: "to",
        about: "Only those for this recipient, or this domain.",
        schema: super::text,
    },
    Parameter {
        name: "account",
        about: "Only what the account with this id has sent and got.",
        schema: super::text,
    },
    Parameter {
        name: "event",
        about: "Only events of this kind.",
        schema: || json!({"type": "string", "enum": TraceEvent::WORDS}),
    },
    Parameter {
        name: "since",
        about: "Only from this moment on.",
        schema: super::date,
    },
    Parameter {
        name: "until",
        about: "Only before this moment.",
        schema: super::date,
    },
];

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/traces",
            ("Traces", "listTraces"),
            "Lists what happened to messages, newest first; who looks after domains sees their accounts' own",
            Operation::SeeTraces,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .query(FILTERS)
        .answers(|schemas| page::schema::<Trace>(schemas, false)),
    ]
}

impl From<TraceError> for Problem {
    fn from(error: TraceError) -> Problem {
        match error {
            TraceError::Forbidden(error) => error.into(),
            TraceError::Store(error) => jmap_core::directory::DirectoryError::Store(error).into(),
        }
    }
}

/// A moment of the query, in milliseconds since 1970.
pub(super) fn moment(request: &Request, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = request.asked(name) else {
        return Ok(None);
    };
    let read = jmap_types::date::parse_rfc3339(text);
    let (UtcDate(seconds), _) = read.ok_or_else(|| {
        let why = "A moment looks like 2030-01-31T12:00:00Z.";
        Problem::new(Kind::InvalidRequest, why)
    })?;
    Ok(Some(seconds.saturating_mul(1000)))
}

/// An account of the query.
pub(super) fn account(request: &Request, name: &str) -> Result<Option<AccountId>, Problem> {
    let Some(text) = request.asked(name) else {
        return Ok(None);
    };
    let id = Id::parse(text);
    id.map(Some)
        .ok_or_else(|| Problem::new(Kind::InvalidRequest, "This is no id of an account."))
}

async fn list(request: &Request) -> Outcome {
    let limit = page::limit(request)?;
    let before = match request.asked("cursor") {
        Some(text) => {
            let id = u64::from_str_radix(text, 16);
            Some(id.map_err(|_| Problem::of(Kind::InvalidCursor))?)
        }
        None => None,
    };
    let filter = TraceFilter {
        message_id: request.asked("messageId").map(str::to_owned),
        account: account(request, "account")?,
        from: request.asked("from").map(str::to_owned),
        to: request.asked("to").map(str::to_owned),
        address: None,
        kind: request.asked_as::<TraceEvent>("event")?.map(Into::into),
        since: moment(request, "since")?,
        until: moment(request, "until")?,
        before,
    };
    let mut found = request.core.trace(&request.who, &filter, limit).await?;
    found.reverse();
    // Fewer than that are all.
    let last = found.last().filter(|_| found.len() == limit);
    let next = last.map(|traced| format!("{:x}", traced.id));
    let items = found.into_iter().map(|traced| json!(trace(traced)));
    Ok(Answer::ok(page::json_of(items.collect(), next, None)))
}

fn trace(traced: Traced) -> Trace {
    let record = traced.record;
    let date = |ms: i64| super::date_text(ms.div_euclid(1000));
    let id = |number: u64| AccountId::new(number).to_string();
    Trace {
        id: format!("{:x}", traced.id),
        at: date(traced.when),
        event: record.kind.into(),
        message_id: record.message_id,
        mail_from: record.mail_from,
        recipients: record
            .recipients
            .into_iter()
            .map(|recipient| TraceRecipient {
                address: recipient.address,
                reply: recipient.reply,
                remote: recipient.remote,
                places: recipient
                    .places
                    .into_iter()
                    .map(|place| TracePlace {
                        account: id(place.account),
                        actions: place.actions,
                        problem: place.problem,
                    })
                    .collect(),
            })
            .collect(),
        other_recipients: record.more_recipients.unwrap_or(0),
        size: record.size,
        session: record.session.map(|session| TraceSession {
            client: session.peer,
            hello: session.hello,
            protocol: session.protocol,
            tls: session.tls,
            id: session.id,
            authentication: session.authentication,
        }),
        submission: record.submission.map(|of| TraceSubmission {
            account: id(of.account),
            submission: (of.id != 0).then(|| EmailSubmissionId::new(of.id).to_string()),
            sent_by: of.who,
            held_until: of.hold_until.map(super::date_text),
        }),
        hosts: record
            .hosts
            .unwrap_or_default()
            .into_iter()
            .map(|host| TriedHost {
                at: date(host.when),
                host: host.host,
                address: host.address,
                tls: host.tls,
                result: host.result,
            })
            .collect(),
        note: record.note,
    }
}
