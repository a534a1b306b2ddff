//! /changes (RFC 8620 §5.2).
//! Holds: applying the replies of successive calls to the old state gives the new state, however few changes one of
//! them takes.
//! Other half: `store::log` reads the rows.

use std::future::{self, Future};

use jmap_types::{
    ChangesState, MethodError, MethodErrorKind, State,
    method::{Changes, ChangesResponse},
};
use store::log::{self, Delta};

use super::GetObject;
use crate::{Context, Handle, error::method_error};

/// An object whose changes are logged.
pub trait ChangesObject: GetObject {
    /// Takes what the caller may not see out of `delta`.
    fn restrict(
        _context: &Context,
        delta: Delta,
    ) -> impl Future<Output = Result<Delta, MethodError>> + Send {
        future::ready(Ok(delta))
    }

    /// Adds to `delta` what the log doesn't say: objects whose properties follow from other objects. It may end
    /// earlier (`upto`) than it did.
    fn widen(
        _context: &Context,
        _since: u64,
        delta: Delta,
    ) -> impl Future<Output = Result<Delta, MethodError>> + Send {
        future::ready(Ok(delta))
    }

    /// What the object's own /changes adds to the response.
    fn complete(_response: &mut ChangesResponse, _delta: &Delta) {}
}

/// Changes in one answer when the client names no number.
const CHANGES_MAX: usize = 10_000;

/// What happened to the objects since a state, and the state that this leads to.
///
/// A transaction is told in parts when it has more changes than `max`, in the order of the objects' numbers: another
/// transaction in the meantime adds to what follows, and takes nothing away from what was told.
pub async fn delta_since<O: ChangesObject>(
    context: &Context,
    since: ChangesState,
    max: usize,
) -> Result<(Delta, ChangesState), MethodError> {
    let account = context.account()?;
    O::prepare(context).await?;
    let mut head = account.head().await.map_err(method_error)?;
    let newest = match since {
        ChangesState::Whole(State(from)) => from,
        ChangesState::Within { upto, .. } => upto,
    };
    if newest > head.sequence {
        // The client may know it from another node.
        account.look().await.map_err(method_error)?;
        head = account.head().await.map_err(method_error)?;
    }
    let (from, until, told) = match since {
        ChangesState::Whole(State(from)) => (from, head.sequence, None),
        ChangesState::Within { since, upto, told } => (since, upto, Some(told)),
    };
    if from > until || until > head.sequence || from < head.log_trimmed {
        return Err(MethodErrorKind::CannotCalculateChanges.into());
    }
    let rows_max = told.map_or(max, |_| usize::MAX);
    let engine = &context.core.engine;
    let delta = log::changes(engine, account.id, O::STATE, from, until, rows_max).await;
    let delta = match delta {
        // Invariant 5: a client whose way leads over a damaged row begins anew.
        Err(error @ store::Error::Corrupt { .. }) => {
            tracing::error!(account = %account.id, %error, "changes can't be told");
            return Err(MethodErrorKind::CannotCalculateChanges.into());
        }
        delta => delta.map_err(method_error)?,
    };
    let delta = O::widen(context, from, delta).await?;
    let mut delta = O::restrict(context, delta).await?;
    if let Some(told) = told {
        retain(&mut delta, |id| id > told);
    }
    let upto = delta.upto;
    if let Some(told) = last_of_first(&delta, max) {
        retain(&mut delta, |id| id <= told);
        delta.has_more = true;
        let since = from;
        return Ok((delta, ChangesState::Within { since, upto, told }));
    }
    // Between the last change of this type and the head nothing happened to it: one name for
    // one state. (A client that is told `s9` must not hear `s12` from /get.)
    let newest = head.state(O::STATE);
    delta.has_more = upto < newest;
    let now = if delta.has_more { upto } else { newest };
    Ok((delta, ChangesState::Whole(State(now))))
}

fn retain(delta: &mut Delta, keep: impl Fn(u64) -> bool) {
    for ids in [&mut delta.created, &mut delta.updated, &mut delta.destroyed] {
        ids.retain(|&id| keep(id));
    }
}

/// The last of the first `max` objects; `None` when there are no more than those.
fn last_of_first(delta: &Delta, max: usize) -> Option<u64> {
    let lists = [&delta.created, &delta.updated, &delta.destroyed];
    let mut ids: Vec<u64> = lists.into_iter().flatten().copied().collect();
    ids.sort_unstable();
    let is_more = ids.len() > max;
    is_more.then(|| ids.get(max.saturating_sub(1)).copied())?
}

impl<O: ChangesObject> Handle for Changes<O> {
    async fn handle(self, context: Context) -> Result<ChangesResponse, MethodError> {
        let asked = self.max_changes.map_or(CHANGES_MAX, |max| {
            usize::try_from(max).unwrap_or(CHANGES_MAX)
        });
        let max = asked.clamp(1, CHANGES_MAX);
        let since = self
            .since_state
            .parse()
            .map_err(|()| MethodErrorKind::CannotCalculateChanges)?;
        let (delta, new_state) = delta_since::<O>(&context, since, max).await?;
        let wire = |ids: &[u64]| ids.iter().map(|&id| O::wire_id(id)).collect();
        let mut response = ChangesResponse {
            account_id: Some(self.account_id),
            old_state: self.since_state,
            new_state,
            has_more_changes: delta.has_more,
            created: wire(&delta.created),
            updated: wire(&delta.updated),
            destroyed: wire(&delta.destroyed),
            updated_properties: None,
        };
        O::complete(&mut response, &delta);
        Ok(response)
    }
}
