//! DeletedEmail/get, DeletedEmail/query and DeletedEmail/restore.
//!
//! Holds: guests of an account see nothing of what was deleted in it.
//! Other half: `jmap_types::undelete` has the calls.

use jmap_types::{
    AccountId, DataType, MethodError, MethodErrorKind, Property, SetError, State, UtcDate, Value,
    mail::{EmailId, Mailbox, MailboxId},
    method::{Filter, Get, GetResponse, Query, QueryResponse},
    undelete::{
        DeletedEmail, DeletedEmailCondition, DeletedEmailRestore, DeletedEmailRestoreResponse,
    },
    value::{Map, MapExt, key, set_of, string},
};

use super::{Deleted, DeletedFilter, DeletedId, UndeleteError};
use crate::{
    Context, Handle,
    access::Standing,
    error::{method_error, set_error},
    mail::message::{EmailAddress, Summary},
    object::{Window, window},
};

const PROPERTIES: &[&str] = &[
    "id",
    "emailId",
    "deletedAt",
    "expiresAt",
    "receivedAt",
    "size",
    "mailboxIds",
    "keywords",
    "from",
    "to",
    "subject",
    "preview",
];

impl Handle for Get<DeletedEmail> {
    async fn handle(self, context: Context) -> Result<GetResponse, MethodError> {
        let properties = self
            .properties
            .unwrap_or_else(|| PROPERTIES.iter().map(|name| (*name).to_owned()).collect());
        let is_unknown = |name: &&String| !PROPERTIES.contains(&name.as_str());
        if let Some(unknown) = properties.iter().find(is_unknown) {
            let why = format!("DeletedEmail has no property \"{unknown}\".");
            return Err(MethodError::invalid_arguments(why));
        }
        let account = context.account()?.id;
        let max = context.core.limits().max_objects_in_get as usize;
        let state = state(&context).await?;
        let ids = match self.ids {
            Some(ids) => ids,
            None => {
                let all = find(&context, &DeletedFilter::default()).await?;
                all.into_iter()
                    .map(|deleted| deleted.id.to_wire())
                    .collect()
            }
        };
        if ids.len() > max {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let (mut list, mut not_found) = (Vec::new(), Vec::new());
        for id in ids {
            let found = match DeletedId::parse(id.as_str()).filter(|_| is_owner(&context)) {
                Some(id) => {
                    let found = context.core.deleted_email(&context.who, account, id);
                    found.await?
                }
                None => None,
            };
            match found {
                Some(deleted) => list.push(value_of(&context, deleted, &properties).await?),
                None => not_found.push(id),
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

impl Handle for Query<DeletedEmail> {
    async fn handle(self, context: Context) -> Result<QueryResponse, MethodError> {
        let max = context.core.limits().max_query_results;
        let anchor = match &self.anchor {
            Some(id) => Some(DeletedId::parse(id.as_str()).ok_or(MethodErrorKind::AnchorNotFound)?),
            None => None,
        };
        let filter = match self.filter {
            None => DeletedFilter::default(),
            Some(Filter::Condition(condition)) => filter_of(condition),
            // What one condition can't say is not worth a scan of everything.
            Some(_) => return Err(MethodErrorKind::UnsupportedFilter.into()),
        };
        let found = find(&context, &filter).await?;
        let mut ids: Vec<DeletedId> = found.into_iter().map(|deleted| deleted.id).collect();
        if self.sort.first().is_some_and(|by| by.is_ascending) {
            ids.reverse();
        }
        let anchor_at = anchor.and_then(|anchor| ids.iter().position(|id| *id == anchor));
        let asked = Window {
            position: self.position,
            anchor: anchor.map(|anchor| anchor.email),
            anchor_offset: self.anchor_offset,
            limit: self.limit.unwrap_or(max).min(max) as usize,
        };
        let start = window(&asked, ids.len(), anchor_at)?;
        let end = start.saturating_add(asked.limit).min(ids.len());
        Ok(QueryResponse {
            account_id: self.account_id,
            query_state: state(&context).await?.to_string(),
            can_calculate_changes: false,
            position: start as u64,
            total: self.calculate_total.then_some(ids.len() as u64),
            ids: ids[start..end].iter().map(|id| id.to_wire()).collect(),
            limit: (self.limit.is_none_or(|asked| asked > max)).then_some(max),
        })
    }
}

impl Handle for DeletedEmailRestore {
    async fn handle(self, context: Context) -> Result<DeletedEmailRestoreResponse, MethodError> {
        if self.ids.len() as u64 > context.core.limits().max_objects_in_set {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        if !is_owner(&context) {
            return Err(MethodErrorKind::Forbidden.into());
        }
        let account = context.account()?.id;
        let into = match &self.mailbox_id {
            None => None,
            Some(id) => {
                let id = id.as_id::<Mailbox>().map(|id| id.number());
                let no_mailbox = || MethodError::invalid_arguments("There is no such mailbox.");
                Some(id.ok_or_else(no_mailbox)?)
            }
        };
        let (mut restored, mut not_restored) = (Vec::new(), Vec::new());
        for wire in self.ids {
            let Some(id) = DeletedId::parse(wire.as_str()) else {
                not_restored.push((wire, SetError::not_found()));
                continue;
            };
            let done = context
                .core
                .restore_deleted(&context.who, account, id, into)
                .await;
            match done {
                Ok(done) => {
                    let email = EmailId::new(done.email).to_string();
                    let mut map = Map::with_capacity(2).with(Property::Id, email);
                    map.insert(key("mailboxIds"), ids_of(&done.mailboxes));
                    restored.push((wire, map));
                }
                Err(UndeleteError::NotFound) => not_restored.push((wire, SetError::not_found())),
                Err(UndeleteError::Refused(error)) => not_restored.push((wire, error)),
                Err(UndeleteError::Store(error)) => not_restored.push((wire, set_error(error))),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(DeletedEmailRestoreResponse {
            account_id: self.account_id,
            restored,
            not_restored,
        })
    }
}

fn is_owner(context: &Context) -> bool {
    matches!(context.standing(), Ok(Standing::Owner))
}

async fn find(context: &Context, filter: &DeletedFilter) -> Result<Vec<Deleted>, MethodError> {
    if !is_owner(context) {
        return Ok(Vec::new());
    }
    let account: AccountId = context.account()?.id;
    let found = context.core.deleted_emails(&context.who, account, filter);
    Ok(found.await?)
}

/// Emails that go and come change it.
async fn state(context: &Context) -> Result<State, MethodError> {
    let head = context.account()?.head().await.map_err(method_error)?;
    Ok(State(head.state(DataType::Email)))
}

fn filter_of(condition: DeletedEmailCondition) -> DeletedFilter {
    let ms = |date: UtcDate| u64::try_from(date.0).unwrap_or(0).saturating_mul(1000);
    DeletedFilter {
        subject: condition.subject,
        from: condition.from,
        text: condition.text,
        after: condition.after.map(ms),
        before: condition.before.map(ms),
    }
}

async fn value_of(
    context: &Context,
    deleted: Deleted,
    properties: &[String],
) -> Result<Value, MethodError> {
    let record = deleted.record;
    let mut mailboxes = record.mailboxes;
    {
        let view = context.account()?.view().await.map_err(method_error)?;
        mailboxes.retain(|&mailbox| view.mailbox(mailbox).is_some());
    }
    let seconds = i64::try_from(deleted.id.time / 1000).unwrap_or(i64::MAX);
    let kept = i64::try_from(context.core.limits().undelete_seconds).unwrap_or(i64::MAX);
    let date = |seconds: i64| string(UtcDate(seconds).to_string());
    let summary = deleted.summary.as_deref();
    let addresses = |of: fn(&Summary) -> Option<Vec<EmailAddress>>| {
        let list = summary.and_then(of)?;
        Some(Value::Array(list.into_iter().map(address).collect()))
    };
    let from = addresses(|summary| Summary::addresses(&summary.from));
    let to = addresses(|summary| Summary::addresses(&summary.to));
    let subject = summary.and_then(|summary| summary.subject.clone());
    let preview = summary.map(|summary| summary.preview.clone());
    let text = |text: Option<String>| text.map_or(Value::Null, string);
    let values = [
        ("id", string(deleted.id.to_string())),
        (
            "emailId",
            string(EmailId::new(deleted.id.email).to_string()),
        ),
        ("deletedAt", date(seconds)),
        ("expiresAt", date(seconds.saturating_add(kept))),
        ("receivedAt", date(record.received_at)),
        ("size", record.size.into()),
        ("mailboxIds", ids_of(&mailboxes)),
        ("keywords", set_of(record.keywords)),
        ("from", from.unwrap_or(Value::Null)),
        ("to", to.unwrap_or(Value::Null)),
        ("subject", text(subject)),
        ("preview", text(preview)),
    ];
    let mut map = Map::with_capacity(values.len());
    for (name, value) in values {
        if name == "id" || properties.iter().any(|asked| asked == name) {
            map.insert(key(name), value);
        }
    }
    Ok(Value::Object(map))
}

fn ids_of(mailboxes: &[u64]) -> Value {
    set_of(mailboxes.iter().map(|&mailbox| MailboxId::new(mailbox)))
}

fn address(address: EmailAddress) -> Value {
    let mut map = Map::with_capacity(2);
    map.insert(key("name"), address.name.map_or(Value::Null, string));
    map.insert(key("email"), string(address.email));
    Value::Object(map)
}
