//! Several nodes write to one account.
//!
//! Holds: each commit asserts the head that it was built on and counts its revision up, so of two nodes that build on one head, one is
//! refused; a node that is refused again and again claims the account's turn, and gets the next commit; who has much to do that must not
//! be disturbed claims it for all of that; what became of a commit
//! whose answer was lost is found out, and then it can't happen later any more. What is asserted of the turn is the value of a row that is
//! there: in a database behind a network, that something isn't there can cost all writers a lock.
//! Other half: whoever began the transaction does it again when it is told `Conflict`.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::MissedTickBehavior;

use super::{AccountWriter, Building, Group, Head, Written};
use crate::{
    Error, Record,
    engine::{Assertion, Batch, CommitError, EngineError},
    keys, numbers,
};

/// The turn of an account, while nobody claims it.
const FREE: Bytes = Bytes::new();
/// Commits that others get in the way of before the turn is claimed.
const CLAIM_AFTER: u32 = 2;
/// How often it is looked whether another node's claim is over.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Looks at a claim that doesn't change before its node is taken for dead: three seconds.
const STALE_LOOKS: u32 = 600;
/// A claim that is kept for longer is changed this often, so that nobody takes it for a dead node's.
const RENEW_EVERY: Duration = Duration::from_millis(500);
/// Looks before a transaction is given up: with each claim of another node counted anew, a minute.
const LOOKS_MAX: u32 = 12_000;
/// How often it is looked what became of a commit without an answer, while others come in between.
const FIND_OUT_TRIES: u32 = 5;
/// Nodes whose last commit is remembered in a head: as many as can write at the same time, and some more.
const WRITERS_MAX: usize = 64;

/// What a node knows of the others that write to an account.
#[derive(Debug)]
pub(super) struct Shared {
    node: u64,
    /// The newest revision that was heard of.
    newest: AtomicU64,
    /// Commits in a row that others got in the way of.
    losses: AtomicU32,
    claims: AtomicU64,
}

/// What will be true when a commit has worked.
pub(super) struct Expected {
    revision: u64,
    base: Option<Bytes>,
    claim: Option<Bytes>,
    /// Numbers of the assertions that say that no other node was faster.
    head_at: usize,
    turn_at: usize,
}

impl Shared {
    pub fn new(node: u64) -> Self {
        Self {
            node,
            newest: AtomicU64::new(0),
            losses: AtomicU32::new(0),
            claims: AtomicU64::new(0),
        }
    }

    /// Marks a head as this node's next commit: its revision.
    fn stamp(&self, head: &mut Head) -> u64 {
        let revision = head.revision.unwrap_or(0) + 1;
        head.revision = Some(revision);
        let written = Written {
            node: self.node,
            revision,
        };
        let writers = head.writers.get_or_insert_default();
        writers.retain(|other| other.node != self.node);
        writers.insert(0, written);
        writers.truncate(WRITERS_MAX);
        revision
    }
}

impl<E: Send + 'static> AccountWriter<E> {
    /// Another node has written this revision: the next transaction doesn't build on an older one.
    pub fn told(&self, revision: u64) {
        if let Some(shared) = &self.shared {
            shared.newest.fetch_max(revision, Ordering::AcqRel);
        }
    }

    /// The newest revision that this node has written or heard of; 0 without other nodes.
    pub fn newest(&self) -> u64 {
        let of = |shared: &std::sync::Arc<Shared>| shared.newest.load(Ordering::Acquire);
        self.shared.as_ref().map_or(0, of)
    }

    /// As `in_turn`, and no other node writes to the account either until `work` has: by one transaction, or by any number of `mend`.
    ///
    /// The claim is lost when this node is held up for longer than the others wait for one that doesn't change; then `work` is told `Conflict`.
    pub async fn alone<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        let alone = async {
            self.drained().await;
            let Some(shared) = &self.shared else {
                return Ok(work.await);
            };
            let mine = self.claim(shared).await?;
            {
                let mut building = self.building.lock().await;
                building.claim = Some(mine);
                // Others may have written until then.
                building.head = None;
            }
            let done = {
                let mut work = std::pin::pin!(work);
                let first = tokio::time::Instant::now() + RENEW_EVERY;
                let mut renewals = tokio::time::interval_at(first, RENEW_EVERY);
                renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        done = &mut work => break done,
                        _ = renewals.tick() => self.renew(shared).await,
                    }
                }
            };
            let claim = {
                let mut building = self.building.lock().await;
                // What is staged goes to disk with it, and gives it back.
                match building.is_still() {
                    true => building.claim.take(),
                    false => None,
                }
            };
            if let Some(claim) = claim {
                self.release(claim).await;
            }
            Ok(done)
        };
        self.in_turn(alone).await
    }

    /// Changes the claim's value, so that the others see that its node lives.
    async fn renew(&self, shared: &Shared) {
        // Whoever has it at this moment may wait for `work`, which waits for this: the next time will do.
        let Ok(mut building) = self.building.try_lock() else {
            return;
        };
        let Some(claim) = building.claim.clone() else {
            return;
        };
        let number = shared.claims.fetch_add(1, Ordering::Relaxed);
        let renewed = numbers(&[shared.node, number]);
        let key = keys::turn(self.account);
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key.clone(), claim));
        batch.put(key.clone(), renewed.clone());
        let is_ours = match self.engine.commit(batch).await {
            Ok(()) => true,
            // If only the answer was lost, it is there; else the old one is, or another node's.
            Err(_) => {
                let found = self.engine.get(&key).await;
                found.is_ok_and(|found| found.as_ref() == Some(&renewed))
            }
        };
        if is_ours {
            building.claim = Some(renewed);
        }
    }

    /// Forgets a head that is older than what is known, and claims the turn when others are always faster.
    pub(super) async fn look_at_others(&self, building: &mut Building<E>) -> Result<(), Error> {
        let Some(shared) = &self.shared else {
            return Ok(());
        };
        if !building.is_still() {
            return Ok(());
        }
        if self.must_claim(building) {
            building.claim = Some(self.claim(shared).await?);
            building.head = None;
        }
        let is_old = |head: &Head| head.revision.unwrap_or(0) < self.newest();
        if building.head.as_ref().is_some_and(is_old) {
            building.head = None;
        }
        Ok(())
    }

    /// Others are always faster, or one of them has the turn.
    pub(super) fn must_claim(&self, building: &Building<E>) -> bool {
        let is_losing = |shared: &Shared| shared.losses.load(Ordering::Relaxed) >= CLAIM_AFTER;
        building.claim.is_none()
            && building.is_still()
            && self.shared.as_deref().is_some_and(is_losing)
    }

    /// The head's bytes, and what there is of the turn.
    pub(super) async fn read_with_turn(
        &self,
        shared: &Shared,
        building: &mut Building<E>,
    ) -> Result<Option<Bytes>, Error> {
        let keys = [keys::head(self.account), keys::turn(self.account)];
        let mut values = self.engine.multi_get(&keys).await?.into_iter();
        let (head, turn) = (values.next().flatten(), values.next().flatten());
        building.has_turn_row = turn.is_some();
        if turn.is_some_and(|turn| turn != FREE) && building.claim.is_none() {
            // A commit would be refused. Who begins after that queues up behind the claim.
            shared.losses.fetch_max(CLAIM_AFTER, Ordering::Relaxed);
        }
        Ok(head)
    }

    /// Waits until no other node has the turn, and takes it. While it is there, only this node commits.
    async fn claim(&self, shared: &Shared) -> Result<Bytes, Error> {
        let key = keys::turn(self.account);
        let number = shared.claims.fetch_add(1, Ordering::Relaxed);
        let mine = numbers(&[shared.node, number]);
        let mut others: (Option<Bytes>, u32) = (None, 0);
        for _ in 0..LOOKS_MAX {
            let found = self.engine.get(&key).await?;
            if found.as_ref() == Some(&mine) {
                return Ok(mine);
            }
            let assertion = match found {
                None => Assertion::Absent(key.clone()),
                Some(free) if free == FREE => Assertion::Equals(key.clone(), free),
                Some(other) => {
                    if others.0.as_ref() != Some(&other) {
                        others = (Some(other.clone()), 0);
                    }
                    others.1 += 1;
                    if others.1 < STALE_LOOKS {
                        tokio::time::sleep(LOOK_EVERY).await;
                        continue;
                    }
                    Assertion::Equals(key.clone(), other)
                }
            };
            let mut batch = Batch::new();
            batch.assert(assertion);
            batch.put(key.clone(), mine.clone());
            match self.engine.commit(batch).await {
                Ok(()) => return Ok(mine),
                Err(CommitError::Conflict(_)) => {}
                // If only the answer was lost, the next look finds it.
                Err(CommitError::Engine(error)) => {
                    if self.engine.get(&key).await?.as_ref() != Some(&mine) {
                        return Err(error.into());
                    }
                }
            }
        }
        Err(Error::Conflict)
    }

    /// Gives a claim back that nothing was written with.
    pub(super) async fn release(&self, claim: Bytes) {
        let key = keys::turn(self.account);
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(key.clone(), claim));
        batch.put(key, FREE);
        // If that fails, the others wait until they take it for stale.
        if let Err(error) = self.engine.commit(batch).await {
            tracing::debug!(account = %self.account, %error, "a claim was not given back");
        }
    }

    /// Makes a group one that only goes to disk when no other node was faster. Its last assertion is that of its head.
    pub(super) fn take_turn(
        &self,
        building: &mut Building<E>,
        group: &mut Group<E>,
        base: Option<Bytes>,
    ) -> Option<Expected> {
        let shared = self.shared.as_ref()?;
        let head = building.head.as_mut()?;
        let revision = shared.stamp(head);
        for committed in &mut group.committed {
            committed.head.revision = head.revision;
            committed.head.writers.clone_from(&head.writers);
        }
        let claim = building.claim.take();
        let key = keys::turn(self.account);
        let batch = &mut group.batch;
        match &claim {
            Some(mine) => {
                batch.assert(Assertion::Equals(key.clone(), mine.clone()));
                batch.put(key, FREE);
            }
            None if building.has_turn_row => {
                batch.assert(Assertion::Equals(key, FREE));
            }
            None => {
                batch.assert(Assertion::Absent(key.clone()));
                batch.put(key, FREE);
            }
        }
        building.has_turn_row = true;
        let turn_at = group.batch.assertions.len() - 1;
        Some(Expected {
            revision,
            base,
            claim,
            head_at: turn_at - 1,
            turn_at,
        })
    }

    /// What a commit has come to.
    pub(super) async fn find_out(
        &self,
        result: Result<(), CommitError>,
        expected: Expected,
    ) -> Result<(), Error> {
        let Some(shared) = &self.shared else {
            return result.map_err(Error::from);
        };
        let result = match result {
            Err(CommitError::Engine(error @ EngineError::Io(_))) => {
                self.without_answer(error, &expected).await
            }
            result => result.map_err(|error| {
                match error {
                    CommitError::Conflict(at) if at == expected.head_at => {
                        shared.losses.fetch_add(1, Ordering::Relaxed);
                    }
                    // Another node has claimed it: we queue up behind that.
                    CommitError::Conflict(at) if at == expected.turn_at => {
                        shared.losses.fetch_max(CLAIM_AFTER, Ordering::Relaxed);
                    }
                    CommitError::Conflict(_) | CommitError::Engine(_) => {}
                }
                error.into()
            }),
        };
        match &result {
            Ok(()) => {
                shared.losses.store(0, Ordering::Relaxed);
                self.told(expected.revision);
            }
            Err(_) => {
                if let Some(claim) = expected.claim {
                    self.release(claim).await;
                }
            }
        }
        result
    }

    /// The answer was lost, it may be. What is not on disk now is kept from getting there: `Conflict`, and it can be done again.
    async fn without_answer(&self, error: EngineError, expected: &Expected) -> Result<(), Error> {
        let key = keys::head(self.account);
        for _ in 0..FIND_OUT_TRIES {
            match self.look_or_prevent(&key, expected).await {
                Ok(Some(result)) => return result,
                Ok(None) => {}
                // The engine has tried for as long as somebody may wait.
                Err(again) => {
                    tracing::debug!(%again, "it is not known what became of a commit");
                    break;
                }
            }
        }
        Err(error.into())
    }

    /// `None`: it has changed in between.
    async fn look_or_prevent(
        &self,
        key: &[u8],
        expected: &Expected,
    ) -> Result<Option<Result<(), Error>>, Error> {
        let found = self.engine.get(key).await?;
        let head = match &found {
            Some(bytes) => Head::from_bytes(key, bytes)?,
            None => Head::default(),
        };
        let node = self.shared.as_ref().map_or(0, |shared| shared.node);
        let mut writers = head.writers.iter().flatten();
        if writers.any(|by| by.node == node && by.revision == expected.revision) {
            return Ok(Some(Ok(())));
        }
        if found != expected.base {
            // Another node was faster, so this one's commit was or will be refused.
            return Ok(Some(Err(Error::Conflict)));
        }
        let prevented = Head {
            revision: Some(expected.revision + 1),
            ..head
        };
        let mut batch = Batch::new();
        batch.assert(match found {
            Some(bytes) => Assertion::Equals(key.to_vec(), bytes),
            None => Assertion::Absent(key.to_vec()),
        });
        batch.put(key.to_vec(), prevented.to_bytes());
        match self.engine.commit(batch).await {
            Ok(()) => Ok(Some(Err(Error::Conflict))),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(CommitError::Engine(error)) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
