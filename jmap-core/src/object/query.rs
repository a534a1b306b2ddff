//! /query and /queryChanges (RFC 8620 §5.5, §5.6).
//! Holds: the order is total, so that paging shows each object once.

use std::{collections::HashSet, future::Future};

use jmap_types::{
    ChangesState, MethodError, MethodErrorKind, State, WireId,
    method::{Comparator, Filter, Query, QueryChanges, QueryChangesResponse, QueryResponse},
};

use super::{ChangesObject, changes::delta_since};
use crate::{Context, Handle, error::method_error};

/// What a query asks for, apart from the window.
#[derive(Debug)]
pub struct Search<'q, O: jmap_types::Object> {
    pub filter: Option<&'q Filter<O::Condition>>,
    pub sort: &'q [Comparator<O::SortKey>],
    pub arguments: &'q O::QueryArguments,
}

/// The part of a result list that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Positive: from the start; negative: from the end.
    pub position: i64,
    pub anchor: Option<u64>,
    pub anchor_offset: i64,
    pub limit: usize,
}

/// A result list, or the part of it that the window shows.
#[derive(Debug)]
pub enum Results {
    /// All of it, in order.
    All(Vec<u64>),
    /// `ids` begin at `position` of a list of `total`.
    Part {
        total: usize,
        position: usize,
        ids: Vec<u64>,
    },
}

/// An object that can be queried.
pub trait QueryObject: ChangesObject {
    /// The result list, in order and without duplicates. Where the object knows a shorter way to
    /// `window` than the whole list, it may give `Results::Part`; with `None`, it must give all.
    fn search(
        context: &Context,
        search: Search<'_, Self>,
        window: Option<&Window>,
    ) -> impl Future<Output = Result<Results, MethodError>> + Send;

    /// Whether /queryChanges can answer for this search.
    fn can_calculate_changes(_search: &Search<'_, Self>) -> bool {
        true
    }

    /// Objects whose place in the result may have changed with those of `changed`.
    fn affected(
        _context: &Context,
        _search: &Search<'_, Self>,
        changed: Vec<u64>,
    ) -> impl Future<Output = Result<Vec<u64>, MethodError>> + Send {
        std::future::ready(Ok(changed))
    }
}

/// Where the window begins in a list of `total`, given where the anchor is (RFC 8620 §5.5).
pub fn window(
    window: &Window,
    total: usize,
    anchor_at: Option<usize>,
) -> Result<usize, MethodError> {
    let total = total as i64;
    let start = match (window.anchor, anchor_at) {
        (Some(_), Some(at)) => (at as i64).saturating_add(window.anchor_offset).max(0),
        (Some(_), None) => return Err(MethodErrorKind::AnchorNotFound.into()),
        (None, _) if window.position < 0 => total.saturating_add(window.position).max(0),
        (None, _) => window.position,
    };
    Ok(start.min(total) as usize)
}

impl<O: QueryObject> Handle for Query<O> {
    async fn handle(self, context: Context) -> Result<QueryResponse, MethodError> {
        let max = context.core.limits().max_query_results;
        let limit = self.limit.unwrap_or(max);
        let anchor = match &self.anchor {
            // An id that isn't one is in no list.
            Some(id) => Some(O::parse_id(id).ok_or(MethodErrorKind::AnchorNotFound)?),
            None => None,
        };
        let asked = Window {
            position: self.position,
            anchor,
            anchor_offset: self.anchor_offset,
            limit: limit.min(max) as usize,
        };
        let search = Search::<O> {
            filter: self.filter.as_ref(),
            sort: &self.sort,
            arguments: &self.arguments,
        };
        let can_calculate_changes = O::can_calculate_changes(&search);
        let state = State(state::<O>(&context).await?);
        let (total, position, ids) = match O::search(&context, search, Some(&asked)).await? {
            Results::Part {
                total,
                position,
                ids,
            } => (total, position, ids),
            Results::All(list) => {
                let anchor_at = anchor.and_then(|anchor| list.iter().position(|&id| id == anchor));
                let start = window(&asked, list.len(), anchor_at)?;
                let end = start.saturating_add(asked.limit).min(list.len());
                (list.len(), start, list[start..end].to_vec())
            }
        };
        Ok(QueryResponse {
            account_id: self.account_id,
            query_state: state.to_string(),
            can_calculate_changes,
            position: position as u64,
            ids: ids.into_iter().map(O::wire_id).collect(),
            total: self.calculate_total.then_some(total as u64),
            // RFC 8620 §5.5: told only when it isn't the client's own.
            limit: (self.limit.is_none_or(|asked| asked > max)).then_some(max),
        })
    }
}

/// Objects in one answer to /queryChanges; with more, starting anew costs less.
const QUERY_CHANGES_MAX: usize = 10_000;
/// How often /queryChanges looks again when the objects change meanwhile.
const QUERY_CHANGES_TRIES: usize = 20;

/// The last transaction that changed such an object.
async fn state<O: ChangesObject>(context: &Context) -> Result<u64, MethodError> {
    let head = context.account()?.head().await.map_err(method_error)?;
    Ok(head.state(O::STATE))
}

impl<O: QueryObject> Handle for QueryChanges<O> {
    async fn handle(self, context: Context) -> Result<QueryChangesResponse, MethodError> {
        let search = || Search::<O> {
            filter: self.filter.as_ref(),
            sort: &self.sort,
            arguments: &self.arguments,
        };
        if !O::can_calculate_changes(&search()) {
            return Err(MethodErrorKind::CannotCalculateChanges.into());
        }
        let since: State = self
            .since_query_state
            .parse()
            .map_err(|()| MethodErrorKind::CannotCalculateChanges)?;
        let mut tries = 0;
        let (changed, list, new_state) = loop {
            let before = state::<O>(&context).await?;
            let since = ChangesState::Whole(since);
            let (delta, new_state) = delta_since::<O>(&context, since, QUERY_CHANGES_MAX).await?;
            if delta.has_more {
                return Err(MethodErrorKind::CannotCalculateChanges.into());
            }
            let changed = [delta.created, delta.updated].concat();
            let mut changed = O::affected(&context, &search(), changed).await?;
            changed.extend(delta.destroyed);
            let changed: HashSet<u64> = changed.into_iter().collect();
            let Results::All(list) = O::search(&context, search(), None).await? else {
                return Err(MethodErrorKind::ServerFail.into());
            };
            // What has changed between the two would be in the list, and not among the changes: the indexes would be those of another list than
            // the client's.
            if state::<O>(&context).await? == before {
                break (changed, list, new_state);
            }
            tries += 1;
            if tries == QUERY_CHANGES_TRIES {
                return Err(MethodErrorKind::CannotCalculateChanges.into());
            }
        };
        // What changed may have been anywhere in the old list: all of it is removed, and what is
        // in the new list is added where it is now.
        let added: Vec<(WireId, u64)> = list
            .iter()
            .enumerate()
            .filter(|(_, id)| changed.contains(id))
            .map(|(index, &id)| (O::wire_id(id), index as u64))
            .collect();
        let mut removed: Vec<u64> = changed.into_iter().collect();
        removed.sort_unstable();
        if self
            .max_changes
            .is_some_and(|max| (removed.len() + added.len()) as u64 > max)
        {
            return Err(MethodErrorKind::TooManyChanges.into());
        }
        Ok(QueryChangesResponse {
            account_id: self.account_id,
            old_query_state: self.since_query_state,
            new_query_state: new_state.to_string(),
            total: self.calculate_total.then_some(list.len() as u64),
            removed: removed.into_iter().map(O::wire_id).collect(),
            added,
        })
    }
}
