//! EmailSubmission/query and EmailSubmission/queryChanges (RFC 8621 §7.3, §7.4).

use std::cmp::Ordering;

use jmap_types::{
    MethodError, ObjectKind, WireId,
    mail::{Email, EmailSubmission, Identity, SubmissionCondition, SubmissionSortKey, Thread},
    method::{Comparator, Filter},
};

use super::records::SubmissionRecord;
use crate::{
    Context,
    access::Standing,
    error::method_error,
    object::{QueryObject, Results, Search, Window},
};

impl QueryObject for EmailSubmission {
    async fn search(
        context: &Context,
        search: Search<'_, Self>,
        _window: Option<&Window>,
    ) -> Result<Results, MethodError> {
        if context.standing()? == Standing::Guest {
            return Ok(Results::All(Vec::new()));
        }
        let account = context.account()?.id;
        let mut found = super::visible(&context.core, account)
            .await
            .map_err(method_error)?;
        found.retain(|(_, record)| search.filter.is_none_or(|filter| matches(filter, record)));
        found.sort_by(|a, b| compare(search.sort, a, b));
        Ok(Results::All(found.into_iter().map(|(id, _)| id).collect()))
    }
}

fn matches(filter: &Filter<SubmissionCondition>, record: &SubmissionRecord) -> bool {
    match filter {
        Filter::And(filters) => filters.iter().all(|filter| matches(filter, record)),
        Filter::Or(filters) => filters.iter().any(|filter| matches(filter, record)),
        Filter::Not(filters) => !filters.iter().any(|filter| matches(filter, record)),
        Filter::Condition(condition) => meets(condition, record),
    }
}

fn meets(condition: &SubmissionCondition, record: &SubmissionRecord) -> bool {
    fn has<T: ObjectKind>(ids: &Option<Vec<WireId>>, number: u64) -> bool {
        ids.as_ref().is_none_or(|ids| {
            ids.iter()
                .any(|id| id.as_id::<T>().is_some_and(|id| id.number() == number))
        })
    }
    has::<Identity>(&condition.identity_ids, record.identity)
        && has::<Email>(&condition.email_ids, record.email)
        && has::<Thread>(&condition.thread_ids, record.thread)
        && condition
            .undo_status
            .as_ref()
            .is_none_or(|status| status == record.undo_status.as_str())
        && condition.before.is_none_or(|date| record.send_at < date.0)
        && condition.after.is_none_or(|date| record.send_at >= date.0)
}

fn compare(
    sort: &[Comparator<SubmissionSortKey>],
    (id_a, a): &(u64, SubmissionRecord),
    (id_b, b): &(u64, SubmissionRecord),
) -> Ordering {
    for comparator in sort {
        let order = match comparator.key {
            SubmissionSortKey::EmailId => a.email.cmp(&b.email),
            SubmissionSortKey::ThreadId => a.thread.cmp(&b.thread),
            SubmissionSortKey::SentAt => a.send_at.cmp(&b.send_at),
        };
        let order = if comparator.is_ascending {
            order
        } else {
            order.reverse()
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    id_a.cmp(id_b)
}
