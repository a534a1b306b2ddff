//! /changes (RFC 8620 §5.2).
//! Holds: applying the reply to the old ids gives the new ids.
//! Other half: `store::log` reads the rows.

use std::future::{self, Future};

use jmap_types::{
    MethodError, MethodErrorKind, State,
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

    /// Adds to `delta` what the log doesn't say: objects whose properties follow from other objects.
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

fn objects(delta: &Delta) -> usize {
    delta.created.len() + delta.updated.len() + delta.destroyed.len()
}

/// What happened to the objects since `state`, or `cannotCalculateChanges`.
pub async fn delta_since<O: ChangesObject>(
    context: &Context,
    state: &str,
    max: usize,
) -> Result<(Delta, State), MethodError> {
    let since: State = state
        .parse()
        .map_err(|()| MethodErrorKind::CannotCalculateChanges)?;
    let account = context.account()?;
    O::prepare(context).await?;
    let head = account.head().await.map_err(method_error)?;
    if since.0 > head.sequence || since.0 < head.log_trimmed {
        return Err(MethodErrorKind::CannotCalculateChanges.into());
    }
    let engine = &context.core.engine;
    let mut rows_max = max;
    let delta = loop {
        let delta = log::changes(
            engine,
            account.id,
            O::STATE,
            since.0,
            head.sequence,
            rows_max,
        )
        .await
        .map_err(method_error)?;
        let of_log = objects(&delta);
        let mut delta = O::widen(context, since.0, delta).await?;
        if objects(&delta) <= max {
            break delta;
        }
        if rows_max <= 1 || of_log > rows_max {
            // One transaction, with more that follows from it than the client takes at once: what the log says is told.
            let surplus = objects(&delta).saturating_sub(max.max(of_log));
            delta
                .updated
                .truncate(delta.updated.len().saturating_sub(surplus));
            break delta;
        }
        rows_max /= 2;
    };
    let delta = O::restrict(context, delta).await?;
    // Between the last change of this type and the head nothing happened to it: one name for
    // one state. (A client that is told `s9` must not hear `s12` from /get.)
    let now = if delta.has_more {
        delta.upto
    } else {
        head.state(O::STATE)
    };
    Ok((delta, State(now.max(since.0.min(head.state(O::STATE))))))
}

impl<O: ChangesObject> Handle for Changes<O> {
    async fn handle(self, context: Context) -> Result<ChangesResponse, MethodError> {
        let asked = self.max_changes.map_or(CHANGES_MAX, |max| {
            usize::try_from(max).unwrap_or(CHANGES_MAX)
        });
        let max = asked.min(CHANGES_MAX);
        let (delta, new_state) = delta_since::<O>(&context, &self.since_state, max).await?;
        if objects(&delta) > max {
            // RFC 8620 §5.2: one transaction has more changes than the client takes.
            return Err(MethodErrorKind::CannotCalculateChanges.into());
        }
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
