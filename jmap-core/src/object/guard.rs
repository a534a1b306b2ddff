//! `ifInState` (RFC 8620 §5.3) while other nodes write to the account as well.
//!
//! Holds: nothing is changed unless the account was in the expected state just before the first change; what another node got in the way
//! of is tried again, the first change only while that is still so.
//! Other half: `set` and Email/import stage with it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jmap_types::{DataType, MethodError, MethodErrorKind, SetError, State};

use super::{Rejected, Staged, check_state};
use crate::{
    accounts::AccountHandle,
    error::{method_error, set_error},
};

/// How often an item is tried when concurrent changes win. Of two nodes that write at the same time the one that was refused twice has its
/// turn next, so more than a few are those that fail for the sake of others in their group.
pub(crate) const TRIES: usize = 16;
/// After so many conflicts the account is had alone for the next try: by chance, one of several writers of a node could always be the one that
/// comes behind the turn that another one of them has won.
pub(crate) const ALONE_AFTER: usize = 4;

/// A call under way, and the state that it is to begin in.
#[derive(Debug)]
pub(crate) struct Guard {
    account: Arc<AccountHandle>,
    data_type: DataType,
    expected: Option<String>,
    /// Something of the call is on disk: the state has changed by it.
    has_written: AtomicBool,
    is_mismatch: AtomicBool,
}

impl Guard {
    pub fn new(account: Arc<AccountHandle>, data_type: DataType, expected: Option<String>) -> Self {
        Self {
            account,
            data_type,
            expected,
            has_written: AtomicBool::new(false),
            is_mismatch: AtomicBool::new(false),
        }
    }

    /// Does `staging` if the account is in the expected state, which it returns. Between this look at the state and the
    /// last item of `staging`, nobody else in this process stages anything, and if another node does, none of it comes to anything.
    pub async fn stage(
        &self,
        staging: impl Future<Output = ()> + Send,
    ) -> Result<State, MethodError> {
        let _one_set_at_a_time = self.account.set_turn.lock().await;
        let Some(expected) = self.expected.as_deref() else {
            let head = self.account.head().await.map_err(method_error)?;
            staging.await;
            return Ok(State(head.state(self.data_type)));
        };
        let in_turn = async {
            let state = self.state().await.map_err(method_error)?;
            check_state(Some(expected), state)?;
            staging.await;
            Ok(state)
        };
        self.account.writer.in_turn(in_turn).await
    }

    /// The state after all that is staged. The client may know it from another node.
    async fn state(&self) -> Result<State, store::Error> {
        self.account.look().await?;
        let head = self.account.writer.staged_head().await?;
        Ok(State(head.state(self.data_type)))
    }

    /// Stages an item again, which `conflicts` have come before.
    async fn again<T>(
        &self,
        staging: impl Future<Output = Staged<T>>,
        conflicts: usize,
    ) -> Staged<T> {
        // Boxed, as what is seldom done isn't to take room on the stack each time.
        let staging = Box::pin(self.in_expected_state(staging));
        match conflicts < ALONE_AFTER {
            true => staging.await,
            false => Box::pin(self.account.writer.alone(staging)).await?,
        }
    }

    async fn in_expected_state<T>(&self, staging: impl Future<Output = Staged<T>>) -> Staged<T> {
        let Some(expected) = &self.expected else {
            return staging.await;
        };
        if self.has_written.load(Ordering::Relaxed) {
            return staging.await;
        }
        let in_turn = async {
            if self.state().await?.to_string() != *expected {
                self.is_mismatch.store(true, Ordering::Relaxed);
                return Err(Rejected::Store(store::Error::Conflict));
            }
            staging.await
        };
        self.account.writer.in_turn(in_turn).await
    }

    /// The result of an item once it is on disk. What a concurrent change got in the way of is done again.
    pub async fn durable<T, F: Future<Output = Staged<T>>>(
        &self,
        staged: Staged<T>,
        again: impl Fn() -> F,
    ) -> Result<T, SetError> {
        let mut staged = staged;
        for left in (0..TRIES).rev() {
            match staged {
                Ok((value, None)) => return Ok(value),
                Ok((value, Some(ticket))) => {
                    let has_written = ticket.has_written();
                    match ticket.durable().await {
                        Ok(()) => {
                            self.has_written.fetch_or(has_written, Ordering::Relaxed);
                            return Ok(value);
                        }
                        Err(store::Error::Conflict) => {}
                        Err(error) => return Err(set_error(error)),
                    }
                }
                Err(Rejected::Store(store::Error::Conflict)) => {}
                Err(rejected) => return Err(rejected.into()),
            }
            if left == 0 || self.is_mismatch.load(Ordering::Relaxed) {
                break;
            }
            tracing::debug!(account = %self.account.id, "an item of a call is tried again");
            staged = self.again(again(), TRIES - left).await;
        }
        Err(set_error(store::Error::Conflict))
    }

    /// After all items: whether the account was in the expected state after all.
    pub fn check(&self) -> Result<(), MethodError> {
        match self.is_mismatch.load(Ordering::Relaxed) {
            true => Err(MethodErrorKind::StateMismatch.into()),
            false => Ok(()),
        }
    }
}
