//! Email/query and Email/queryChanges (RFC 8621 §4.4, §4.5).
//!
//! Holds: the order is total: what is equal by the comparators is ordered by (received, id), newest first.
//! Other half: `view` has what most filters and sorts need; `search` finds texts.

mod filter;
mod sort;
#[cfg(test)]
mod tests;
mod threads;

use jmap_types::{
    MethodError, MethodErrorKind,
    mail::{Email, EmailCondition, EmailSortKey},
    method::Filter,
};

use self::filter::Plan;
use super::{search, view::View};
use crate::{
    Context,
    access::Standing,
    error::method_error,
    object::{QueryObject, Results, Search, Window, window},
};

impl QueryObject for Email {
    async fn search(
        context: &Context,
        search: Search<'_, Self>,
        window: Option<&Window>,
    ) -> Result<Results, MethodError> {
        if let Some(window) = window
            && let Some(results) = first_page(context, &search, window).await?
        {
            return Ok(results);
        }
        let plan = Plan::make(context, search.filter).await?;
        let keys = sort::Keys::gather(context, search.sort, &plan).await?;
        let view = context.account()?.view().await.map_err(method_error)?;
        let mut ids = plan.run(&view, context)?;
        keys.sort(&view, search.sort, &mut ids);
        if search.arguments.collapse_threads {
            collapse(&view, &mut ids);
        }
        Ok(Results::All(ids))
    }

    /// With collapsed threads, and with conditions on threads, one email's change shows or hides
    /// others of its thread.
    async fn affected(
        context: &Context,
        search: &Search<'_, Self>,
        changed: Vec<u64>,
    ) -> Result<Vec<u64>, MethodError> {
        let by_thread = search.arguments.collapse_threads
            || search.filter.is_some_and(filter::depends_on_threads)
            || search.sort.iter().any(|c| sort::depends_on_threads(&c.key));
        if !by_thread {
            return Ok(changed);
        }
        let view = context.account()?.view().await.map_err(method_error)?;
        let threads = changed
            .iter()
            .filter_map(|&id| view.email(id))
            .map(|row| row.thread);
        let mut all: Vec<u64> = threads
            .flat_map(|thread| view.thread(thread))
            .chain(changed.iter().copied())
            .collect();
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// An email that is destroyed may uncover others of its thread, of which nothing is known any more.
    fn can_calculate_changes(search: &Search<'_, Self>) -> bool {
        !search.arguments.collapse_threads
            && !search.filter.is_some_and(filter::depends_on_threads)
            && !search.sort.iter().any(|c| sort::depends_on_threads(&c.key))
    }
}

/// What every client asks first: one mailbox (or everything) by date. The view has it in order.
async fn first_page(
    context: &Context,
    search: &Search<'_, Email>,
    asked: &Window,
) -> Result<Option<Results>, MethodError> {
    let ascending = match search.sort {
        [] => false,
        [one] if one.key == EmailSortKey::ReceivedAt => one.is_ascending,
        _ => return Ok(None),
    };
    if search.arguments.collapse_threads
        || context.standing()? != Standing::Owner
        || asked.anchor.is_some()
    {
        return Ok(None);
    }
    let mailbox = match search.filter {
        None => None,
        Some(Filter::Condition(condition)) => match &condition.in_mailbox {
            Some(id) if *condition == only_in_mailbox(id.clone()) => {
                Some(filter::mailbox_number(id))
            }
            _ => return Ok(None),
        },
        Some(_) => return Ok(None),
    };
    let view = context.account()?.view().await.map_err(method_error)?;
    let list: &[(i64, u64)] = match mailbox {
        None => view.by_received(),
        Some(id) => view
            .mailbox(id)
            .map(|row| row.by_received.as_slice())
            .unwrap_or_default(),
    };
    let position = window(asked, list.len(), None)?;
    let ids = if ascending {
        list.iter()
            .skip(position)
            .take(asked.limit)
            .map(|(_, id)| *id)
            .collect()
    } else {
        list.iter()
            .rev()
            .skip(position)
            .take(asked.limit)
            .map(|(_, id)| *id)
            .collect()
    };
    Ok(Some(Results::Part {
        total: list.len(),
        position,
        ids,
    }))
}

fn only_in_mailbox(id: jmap_types::WireId) -> EmailCondition {
    EmailCondition {
        in_mailbox: Some(id),
        ..EmailCondition::default()
    }
}

/// RFC 8621 §4.4.3: of each thread, the first email of the list.
fn collapse(view: &View, ids: &mut Vec<u64>) {
    let mut seen = std::collections::HashSet::new();
    ids.retain(|&id| view.email(id).is_some_and(|row| seen.insert(row.thread)));
}

/// What a failed text search is to a client.
fn search_error(error: search::Error) -> MethodError {
    match error {
        search::Error::Store(error) => method_error(error),
        search::Error::Index(store::search::SearchError::QueryTooLarge(why)) => {
            MethodError::describe(MethodErrorKind::UnsupportedFilter, why)
        }
        error => {
            tracing::error!(%error, "a text search failed");
            MethodErrorKind::ServerFail.into()
        }
    }
}
