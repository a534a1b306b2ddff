//! `ifInState`, `oldState` and `newState` (RFC 8620 §5.3) while others write to the account as well.
//!
//! Holds: nothing is changed unless the account was in the expected state just before the first change; what another node got in the way
//! of is tried again, the first change only while that is still so. Between the old and the new state of an answer there are the changes of
//! its call alone: a client whose state was the old one has all of the new one. Where that isn't so, no old state is told.
//! Other half: `set` and Email/import stage with it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jmap_types::{DataType, MethodError, MethodErrorKind, SetError, State};
use parking_lot::Mutex;
use store::account::Ticket;

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
    /// From before the first change until after the last one, if there is nothing else between; `None` while nothing is staged.
    span: Mutex<Option<Span>>,
    /// Others have changed something in between, it may be.
    is_broken: AtomicBool,
}

/// What is staged at once, from the state before it to the one after it.
#[derive(Debug)]
struct Span {
    old: State,
    new: State,
    /// To be waited for until `new` is on disk; `None`: it is.
    seen: Option<Ticket>,
}

/// The states of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct States {
    /// `None`: between this one and the new one there is more than the call, it may be.
    pub old: Option<State>,
    pub new: State,
}

/// A look at the account in its turn.
struct Look {
    sequence: u64,
    staged: u64,
    state: State,
    seen: Option<Ticket>,
}

impl Guard {
    pub fn new(account: Arc<AccountHandle>, data_type: DataType, expected: Option<String>) -> Self {
        Self {
            account,
            data_type,
            expected,
            has_written: AtomicBool::new(false),
            is_mismatch: AtomicBool::new(false),
            span: Mutex::new(None),
            is_broken: AtomicBool::new(false),
        }
    }

    /// Does `staging` if the account is in the expected state, or something of the call has changed it. Between this look at the
    /// state and the last item of `staging`, nobody else in this process stages anything. An error: nothing of the call was done.
    pub async fn stage(&self, staging: impl Future<Output = ()> + Send) -> Result<(), MethodError> {
        let in_turn = async {
            let before = match self.expected.as_deref() {
                Some(expected) if !self.has_written.load(Ordering::Relaxed) => {
                    self.check()?;
                    let before = self.look_at_all().await.map_err(method_error)?;
                    check_state(Some(expected), before.state)?;
                    Ok(before)
                }
                _ => self.look().await,
            };
            staging.await;
            // Where the account can't be read each item has failed, and has told so.
            match (before, self.look().await) {
                (Ok(before), Ok(after)) => self.note(before, after),
                _ => self.is_broken.store(true, Ordering::Relaxed),
            }
            Ok(())
        };
        self.account.writer.in_turn(in_turn).await
    }

    /// How the account is after all that is staged.
    async fn look(&self) -> Result<Look, store::Error> {
        let txn = self.account.writer.begin().await?;
        Ok(Look {
            sequence: txn.head.sequence,
            staged: txn.staged_before(),
            state: State(txn.head.state(self.data_type)),
            seen: txn.stage_or_seen(),
        })
    }

    /// The same, with what the client may know from another node.
    async fn look_at_all(&self) -> Result<Look, store::Error> {
        self.account.look().await?;
        self.look().await
    }

    fn note(&self, before: Look, after: Look) {
        let steps = after.sequence.checked_sub(before.sequence);
        let mut span = self.span.lock();
        let from = match &*span {
            None => Some(before.state),
            // There may have been changes of other types.
            Some(span) => (span.new == before.state).then_some(span.old),
        };
        match from.filter(|_| steps == Some(after.staged - before.staged)) {
            Some(old) => {
                let (new, seen) = (after.state, after.seen);
                *span = Some(Span { old, new, seen });
            }
            None => self.is_broken.store(true, Ordering::Relaxed),
        }
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
            if self.look_at_all().await?.state.to_string() != *expected {
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
                        Err(error) => {
                            // Perhaps only the answer was lost.
                            self.is_broken.store(true, Ordering::Relaxed);
                            return Err(set_error(error));
                        }
                    }
                }
                Err(Rejected::Store(store::Error::Conflict)) => {}
                Err(rejected) => return Err(rejected.into()),
            }
            if left == 0 || self.is_mismatch.load(Ordering::Relaxed) {
                break;
            }
            tracing::debug!(account = %self.account.id, "an item of a call is tried again");
            self.is_broken.store(true, Ordering::Relaxed);
            staged = self.again(again(), TRIES - left).await;
        }
        Err(set_error(store::Error::Conflict))
    }

    /// After all items: the states of the answer.
    ///
    /// Errors: `stateMismatch`, if the account was not in the expected state after all.
    pub async fn states(&self) -> Result<States, MethodError> {
        self.check()?;
        let span = self.span.lock().take();
        if let Some(Span { old, new, seen }) = span
            && !self.is_broken.load(Ordering::Relaxed)
        {
            let is_on_disk = match seen {
                Some(ticket) => ticket.durable().await.is_ok(),
                None => true,
            };
            if is_on_disk {
                let old = Some(old);
                return Ok(States { old, new });
            }
        }
        let head = self.account.head().await.map_err(method_error)?;
        Ok(States {
            old: None,
            new: State(head.state(self.data_type)),
        })
    }

    fn check(&self) -> Result<(), MethodError> {
        match self.is_mismatch.load(Ordering::Relaxed) {
            true => Err(MethodErrorKind::StateMismatch.into()),
            false => Ok(()),
        }
    }
}
