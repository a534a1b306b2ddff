//! MessageTrace/get and MessageTrace/query: the trace for the people of an account.
//!
//! Holds: nobody sees more of an event than what concerns the account: no other recipients of what came to it.
//! Other half: `jmap_types::trace` has the calls.

use jmap_types::{
    AccountId, MethodError, MethodErrorKind, State, UtcDate, Value,
    mail::{EmailSubmissionId, MailboxId},
    method::{Filter, Get, GetResponse, Query, QueryResponse},
    trace::{MessageTrace, MessageTraceCondition, MessageTraceId},
    value::{Map, key, string},
};

use super::{
    TraceFilter, TraceHost, TraceKind, TraceRecipient, TraceSession, Traced, read::SCANNED_MAX,
};
use crate::{
    Context, Handle,
    access::Standing,
    error::method_error,
    object::{Window, window},
};

const PROPERTIES: &[&str] = &[
    "id",
    "at",
    "event",
    "messageId",
    "mailFrom",
    "recipients",
    "otherRecipients",
    "size",
    "session",
    "emailSubmissionId",
    "heldUntil",
    "hosts",
    "note",
];

impl Handle for Get<MessageTrace> {
    async fn handle(self, context: Context) -> Result<GetResponse, MethodError> {
        let properties = self
            .properties
            .unwrap_or_else(|| PROPERTIES.iter().map(|name| (*name).to_owned()).collect());
        let is_unknown = |name: &&String| !PROPERTIES.contains(&name.as_str());
        if let Some(unknown) = properties.iter().find(is_unknown) {
            let why = format!("MessageTrace has no property \"{unknown}\".");
            return Err(MethodError::invalid_arguments(why));
        }
        let core = &context.core;
        let account = context.account()?.id;
        let state = State(state(&context).await?);
        let max = core.limits().max_objects_in_get as usize;
        let (mut list, mut not_found) = (Vec::new(), Vec::new());
        match self.ids {
            Some(ids) if ids.len() > max => return Err(MethodErrorKind::RequestTooLarge.into()),
            Some(ids) => {
                for id in ids {
                    let number = id.as_id::<MessageTrace>().map(|id| id.number());
                    let found = match number.filter(|_| is_owner(&context)) {
                        Some(number) => {
                            core.trace_of(account, number).await.map_err(method_error)?
                        }
                        None => None,
                    };
                    match found {
                        Some(traced) => list.push(value_of(account, traced, &properties)),
                        None => not_found.push(id),
                    }
                }
            }
            None if !is_owner(&context) => {}
            None => {
                let all = core.traces_of(account, &TraceFilter::default()).await;
                let all = all.map_err(method_error)?;
                if all.len() > max {
                    return Err(MethodErrorKind::RequestTooLarge.into());
                }
                let values = all.into_iter();
                list.extend(values.map(|traced| value_of(account, traced, &properties)));
            }
        }
        Ok(GetResponse {
            account_id: self.account_id,
            state,
            list,
            not_found,
        })
    }
}

impl Handle for Query<MessageTrace> {
    async fn handle(self, context: Context) -> Result<QueryResponse, MethodError> {
        let state = State(state(&context).await?);
        let max = context.core.limits().max_query_results;
        let anchor = match &self.anchor {
            Some(id) => Some(
                id.as_id::<MessageTrace>()
                    .map(|id| id.number())
                    .ok_or(MethodErrorKind::AnchorNotFound)?,
            ),
            None => None,
        };
        let filter = match self.filter {
            None => TraceFilter::default(),
            Some(Filter::Condition(condition)) => filter_of(condition)?,
            // What one condition can't say is not worth a scan of everything.
            Some(_) => return Err(MethodErrorKind::UnsupportedFilter.into()),
        };
        let mut ids = Vec::new();
        if is_owner(&context) {
            let account = context.account()?.id;
            let found = context.core.traces_of(account, &filter).await;
            ids.extend(found.map_err(method_error)?.into_iter().map(|t| t.id));
        }
        if self.sort.first().is_some_and(|by| by.is_ascending) {
            ids.reverse();
        }
        let asked = Window {
            position: self.position,
            anchor,
            anchor_offset: self.anchor_offset,
            limit: self.limit.unwrap_or(max).min(max) as usize,
        };
        let anchor_at = anchor.and_then(|anchor| ids.iter().position(|id| *id == anchor));
        let start = window(&asked, ids.len(), anchor_at)?;
        let end = start.saturating_add(asked.limit).min(ids.len());
        debug_assert!(ids.len() <= SCANNED_MAX);
        Ok(QueryResponse {
            account_id: self.account_id,
            query_state: state.to_string(),
            can_calculate_changes: false,
            position: start as u64,
            total: self.calculate_total.then_some(ids.len() as u64),
            ids: ids[start..end]
                .iter()
                .map(|&id| MessageTraceId::new(id).to_wire())
                .collect(),
            limit: (self.limit.is_none_or(|asked| asked > max)).then_some(max),
        })
    }
}

/// What guests are told of is mailboxes, not what came and went.
fn is_owner(context: &Context) -> bool {
    matches!(context.standing(), Ok(Standing::Owner))
}

async fn state(context: &Context) -> Result<u64, MethodError> {
    if !is_owner(context) {
        return Ok(0);
    }
    let core = &context.core;
    core.flush_traces().await.map_err(method_error)?;
    let account = context.account()?.id;
    core.last_trace_of(account).await.map_err(method_error)
}

fn filter_of(condition: MessageTraceCondition) -> Result<TraceFilter, MethodError> {
    let kind = match &condition.event {
        None => None,
        Some(name) => {
            let mut kinds = TraceKind::ALL.into_iter();
            let kind = kinds.find(|kind| kind.as_str() == name);
            Some(kind.ok_or_else(|| MethodError::invalid_arguments("There is no such event."))?)
        }
    };
    let ms = |date: UtcDate| date.0.saturating_mul(1000);
    Ok(TraceFilter {
        message_id: condition.message_id,
        address: condition.address,
        kind,
        since: condition.after.map(ms),
        until: condition.before.map(ms),
        ..TraceFilter::default()
    })
}

fn text(value: Option<String>) -> Value {
    value.map_or(Value::Null, string)
}

fn object<const N: usize>(values: [(&'static str, Value); N]) -> Value {
    let mut map = Map::with_capacity(N);
    for (name, value) in values {
        map.insert(key(name), value);
    }
    Value::Object(map)
}

fn value_of(account: AccountId, traced: Traced, properties: &[String]) -> Value {
    let record = traced.record;
    let submission = record
        .submission
        .filter(|of| of.account == account.number());
    let held = submission.as_ref().and_then(|of| of.hold_until);
    // What came from outside, or was refused, has none.
    let submission = submission.filter(|of| of.id != 0);
    let submission = submission.map(|of| EmailSubmissionId::new(of.id).to_string());
    let recipients = record.recipients.into_iter().map(recipient);
    let hosts = record.hosts.unwrap_or_default().into_iter().map(host);
    let values = [
        ("id", string(MessageTraceId::new(traced.id).to_string())),
        ("at", date(traced.when)),
        ("event", string(record.kind.as_str())),
        ("messageId", text(record.message_id)),
        ("mailFrom", text(record.mail_from)),
        ("recipients", Value::Array(recipients.collect())),
        (
            "otherRecipients",
            record.more_recipients.unwrap_or(0).into(),
        ),
        ("size", record.size.map_or(Value::Null, Value::from)),
        ("session", record.session.map_or(Value::Null, session)),
        ("emailSubmissionId", text(submission)),
        (
            "heldUntil",
            held.map_or(Value::Null, |at| string(UtcDate(at).to_string())),
        ),
        ("hosts", Value::Array(hosts.collect())),
        ("note", text(record.note)),
    ];
    let mut map = Map::with_capacity(values.len());
    for (name, value) in values {
        if name == "id" || properties.iter().any(|asked| asked == name) {
            map.insert(key(name), value);
        }
    }
    Value::Object(map)
}

fn date(ms: i64) -> Value {
    string(UtcDate(ms.div_euclid(1000)).to_string())
}

fn recipient(recipient: TraceRecipient) -> Value {
    let (mut mailboxes, mut actions, mut problem) = (Vec::new(), Vec::new(), None);
    for place in recipient.places {
        let ids = place.mailboxes.into_iter();
        mailboxes.extend(ids.map(|id| string(MailboxId::new(id).to_string())));
        actions.extend(place.actions.into_iter().map(string));
        problem = problem.or(place.problem);
    }
    object([
        ("address", string(recipient.address)),
        ("reply", string(recipient.reply)),
        ("remote", text(recipient.remote)),
        ("mailboxIds", Value::Array(mailboxes)),
        ("actions", Value::Array(actions)),
        ("problem", text(problem)),
    ])
}

fn session(session: TraceSession) -> Value {
    object([
        ("client", string(session.peer)),
        ("hello", string(session.hello)),
        ("protocol", string(session.protocol)),
        ("tls", text(session.tls)),
        ("id", string(session.id)),
        ("authentication", text(session.authentication)),
    ])
}

fn host(host: TraceHost) -> Value {
    object([
        ("at", date(host.when)),
        ("host", string(host.host)),
        ("address", text(host.address)),
        ("tls", text(host.tls)),
        ("result", string(host.result)),
    ])
}
