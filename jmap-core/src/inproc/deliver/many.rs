//! A message for several accounts: the list of what is accepted, until all of them have it.
//!
//! Holds: what is on the list was accepted, and stays there until each account has it, or its sender was told why not. Where there is one
//! answer for all recipients, nobody gets a message that comes again.
//! Other half: `super` delivers to one account; `work` asks for what was left open.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use jmap_types::{AccountId, DataType};
use store::{
    Record as _,
    engine::{Assertion, Batch, EngineError, Key, Page},
    keys,
};

use super::{
    DELIVERIES_AT_ONCE, DeliverError, Delivery, Esmtp, FULL, Inbound, PENDING, PendingDelivery,
    Recipient, parse, temporary,
};
use crate::{
    Core,
    inproc::origin::Author,
    mail::{
        forward::{self, Once, ServiceError},
        submission::{
            self,
            bounce::{self, Action},
            parameters,
            records::EnvelopeAddress,
        },
    },
    object::TRIES,
};

/// Rows of the list that are read at once.
const ROWS_PER_PAGE: usize = 100;
/// Deliveries that one round tries; the next one goes on with the others.
pub(super) const TRIED_AT_ONCE: usize = 1000;
/// So often a delivery is tried in each round; then less and less often.
const TRIES_IN_A_ROW: u32 = 20;
/// How long a delivery is left alone at first, and at most.
const LEFT_ALONE: Duration = Duration::from_secs(120);
const LEFT_ALONE_MAX: Duration = Duration::from_secs(3600);

/// What a sender is told whose message was accepted for an account that has gone.
const GONE: &str = "550 5.1.1 There is no such mailbox";

/// What there is for a message, before it is accepted.
enum Room {
    Open,
    Full,
    /// What goes on from there has no room in the queue.
    Busy,
}

/// How it goes with what is on the list. In memory alone: a start tries all of it.
#[derive(Debug, Default)]
pub(crate) struct Resuming {
    /// Where the next round begins; empty: at the beginning.
    from: Key,
    /// By key.
    failed: HashMap<Bytes, Failed>,
}

#[derive(Debug)]
struct Failed {
    times: u32,
    until: Instant,
}

impl Resuming {
    fn is_due(&self, key: &Bytes, now: Instant) -> bool {
        self.failed
            .get(key)
            .is_none_or(|failed| failed.until <= now)
    }

    fn note(&mut self, key: &Bytes, is_finished: bool, now: Instant) {
        if is_finished {
            self.failed.remove(key);
            return;
        }
        let failed = self.failed.entry(key.clone()).or_insert(Failed {
            times: 0,
            until: now,
        });
        failed.times = failed.times.saturating_add(1);
        failed.until = now + left_alone(failed.times);
    }

    /// Those that another node has finished aren't there to be tried again.
    fn forget_old(&mut self, now: Instant) {
        let is_new = |failed: &Failed| failed.until + 2 * LEFT_ALONE_MAX > now;
        self.failed.retain(|_, failed| is_new(failed));
    }
}

/// How long a delivery is left alone that has failed so often.
fn left_alone(times: u32) -> Duration {
    match times.checked_sub(TRIES_IN_A_ROW) {
        None => Duration::ZERO,
        Some(more) => LEFT_ALONE_MAX.min(LEFT_ALONE * (1 << more.min(16))),
    }
}

impl Core {
    /// With several accounts some could have the message and others not when the power fails. So it
    /// is on disk first, with the list of those that still wait for it.
    pub(super) async fn deliver_to_many(
        &self,
        mut delivery: Delivery,
        accounts: Vec<AccountId>,
        inbound: &Inbound,
    ) -> HashMap<AccountId, Result<(), DeliverError>> {
        let mut outcomes = HashMap::new();
        let mut open = BTreeSet::new();
        for &account in &accounts {
            let room = self.room_for(account, delivery.message.octets.len() as u64);
            match room.await {
                Ok(Room::Open) => {
                    open.insert(account);
                }
                Ok(Room::Full) => drop(outcomes.insert(account, Err(DeliverError::OverQuota))),
                // It comes again, and whoever had it by then would have it twice.
                Ok(Room::Busy) if !inbound.answers_each => {
                    let refused = |account| (account, Err(DeliverError::Temporary));
                    return accounts.into_iter().map(refused).collect();
                }
                Ok(Room::Busy) if delivery.refusing.contains(&account) => {
                    outcomes.insert(account, Err(DeliverError::Temporary));
                }
                Ok(Room::Busy) => {
                    open.insert(account);
                }
                // What is on the list is tried again.
                Err(error) => {
                    tracing::warn!(%account, %error, "it is not known whether an account has room");
                    open.insert(account);
                }
            }
        }
        if open.is_empty() {
            return outcomes;
        }
        if !inbound.answers_each {
            for (account, addresses) in without_room(inbound, &open) {
                if let Some(addresses) = self.who_is_told(&delivery, addresses, FULL) {
                    delivery.full.insert(account, addresses);
                }
                open.insert(account);
            }
        }
        let open: Vec<AccountId> = open.into_iter().collect();
        let number = self.rng.next_u64();
        delivery.number = Some(number);
        delivery.is_accepted = true;
        if let Err(error) = self.put_pending(number, &delivery, &open).await {
            let error = temporary(error);
            let each = open
                .into_iter()
                .map(|account| (account, Err(error.clone())));
            outcomes.extend(each);
            return outcomes;
        }
        // From here on the message is safe: what fails now is tried again by background work.
        outcomes.extend(open.iter().map(|&account| (account, Ok(()))));
        let (results, _) = self.finish_pending(number, &delivery, &open).await;
        for (account, result) in results {
            let is_final = match &result {
                // What a script refuses is not tried again.
                Err(DeliverError::Refused(_) | DeliverError::Loop | DeliverError::OverQuota) => {
                    true
                }
                Err(DeliverError::NoSuchMailbox) => delivery.refusing.contains(&account),
                Ok(()) | Err(DeliverError::NoRoom | DeliverError::Temporary) => false,
            };
            if is_final {
                outcomes.insert(account, result);
            }
        }
        outcomes
    }

    async fn room_for(&self, account: AccountId, octets: u64) -> Result<Room, store::Error> {
        let record = self.account_record(account).await?;
        // What only goes on needs no room.
        if let Some(record) = &record
            && record.forward.as_ref().is_some_and(|f| !f.keep)
        {
            return Ok(match forward::is_held_up(self, account, record).await? {
                true => Room::Busy,
                false => Room::Open,
            });
        }
        let quota = self.quota_octets(account).await?;
        // A head that can't be read doesn't matter where there is no limit.
        if quota == 0 {
            return Ok(Room::Open);
        }
        let used = self.accounts.handle(account).head().await?.used_octets;
        Ok(match used.saturating_add(octets) <= quota {
            true => Room::Open,
            false => Room::Full,
        })
    }

    async fn put_pending(
        &self,
        number: u64,
        delivery: &Delivery,
        accounts: &[AccountId],
    ) -> Result<(), store::Error> {
        let record = PendingDelivery {
            blob: delivery.message.hash,
            accounts: accounts.iter().map(|account| account.number()).collect(),
            received_at: delivery.received_at,
            mail_from: delivery.mail_from.clone(),
            recipients: Some(
                accounts
                    .iter()
                    .map(|account| delivery.address(*account))
                    .collect(),
            ),
            is_junk: delivery.is_junk.then_some(true),
            mail_parameters: some(delivery.esmtp.mail.clone()),
            parameters: of_accounts(&delivery.esmtp.of_account, accounts),
            reported: of_accounts(&delivery.esmtp.reported, accounts),
            author: Some(delivery.author.clone()).filter(|author| *author != Author::Unknown),
            full: of_accounts(&delivery.full, accounts),
        };
        let list = keys::pending_delivery(number);
        for _ in 0..TRIES {
            let mut batch = Batch::new();
            delivery
                .message
                .ensure_stored(&self.engine, &mut batch)
                .await?;
            batch.put(list.clone(), record.to_bytes());
            // The reference that keeps the blob until the accounts have theirs.
            batch.put(
                keys::blob_ref(&record.blob, PENDING, DataType::Email, number),
                Bytes::new(),
            );
            match self.engine.commit(batch).await.map_err(store::Error::from) {
                Err(store::Error::Conflict) => {}
                // Perhaps only the answer was lost; the engine has waited until it is settled. One that a process has for itself looks it up.
                Err(error @ store::Error::Engine(EngineError::Io(_)))
                    if !self.engine.is_exclusive() =>
                {
                    return match self.engine.get(&list).await {
                        Ok(Some(_)) => Ok(()),
                        Ok(None) | Err(_) => Err(error),
                    };
                }
                result => return result,
            }
        }
        Err(store::Error::Conflict)
    }

    /// Delivers to all, and forgets the record when all have it: then it says so.
    async fn finish_pending(
        &self,
        number: u64,
        delivery: &Delivery,
        accounts: &[AccountId],
    ) -> (Vec<(AccountId, Result<(), DeliverError>)>, bool) {
        let each = stream::iter(accounts.to_vec())
            .map(|account| async move { (account, self.deliver_to(account, delivery).await) });
        let each = each.buffer_unordered(DELIVERIES_AT_ONCE);
        let each = each.map(|(account, result)| (account, result.map(drop)));
        let results: Vec<_> = each.collect().await;
        // An account that went away doesn't come back by trying.
        let open = results
            .iter()
            .any(|(_, r)| matches!(r, Err(DeliverError::Temporary | DeliverError::NoRoom)));
        if open {
            return (results, false);
        }
        let mut noted = accounts.to_vec();
        for (account, result) in &results {
            if *result != Err(DeliverError::NoSuchMailbox) || delivery.refusing.contains(account) {
                continue;
            }
            match self.tell_of_gone(number, delivery, *account).await {
                Ok(teller) => noted.extend(teller),
                Err(error) => {
                    tracing::error!(%account, %error, "a sender can't be told that an account has gone");
                    return (results, false);
                }
            }
        }
        let mut batch = Batch::new();
        batch.delete(keys::pending_delivery(number));
        batch.delete(keys::blob_ref(
            &delivery.message.hash,
            PENDING,
            DataType::Email,
            number,
        ));
        batch.put(
            keys::blob_candidate(self.clock.now().0.max(0) as u64, &delivery.message.hash),
            Bytes::new(),
        );
        for account in noted {
            batch.delete(keys::delivered(account, number));
        }
        let forgotten = self.engine.commit(batch).await;
        if let Err(error) = &forgotten {
            tracing::warn!(%error, "a finished delivery stays on the list");
        }
        (results, forgotten.is_ok())
    }

    /// An account went away since the message was accepted. Returns the account that has noted that its sender was told; `None`: there is nobody
    /// to tell.
    async fn tell_of_gone(
        &self,
        number: u64,
        delivery: &Delivery,
        account: AccountId,
    ) -> Result<Option<AccountId>, ServiceError> {
        let given = delivery.esmtp.of_account.get(&account);
        let address = parameters::with(
            delivery.address(account),
            given.cloned().unwrap_or_default(),
        );
        let addresses = Some(vec![address]).filter(|_| !delivery.address(account).is_empty());
        let addresses = addresses.and_then(|addresses| self.who_is_told(delivery, addresses, GONE));
        let sender = delivery.mail_from.as_deref();
        let octets = &delivery.message.octets;
        let report =
            addresses.and_then(|addresses| forward::report(self, sender, octets, &addresses, GONE));
        let (Some((_, report)), Some(sender)) = (report, sender) else {
            tracing::warn!(%account, "an account that was to get a message has gone, and there is nobody to tell");
            return Ok(None);
        };
        let once = Once {
            number,
            at: account.number(),
            fence: Assertion::Present(keys::pending_delivery(number)),
        };
        self.send_once(sender, report, &once).await.map(Some)
    }

    /// The addresses of which the sender is told that they don't get the message (RFC 3461 §4.1). `None`: there is nobody to tell, or nobody is
    /// written to whose name may be borrowed: about junk, or again and again.
    fn who_is_told(
        &self,
        delivery: &Delivery,
        mut addresses: Vec<EnvelopeAddress>,
        reply: &str,
    ) -> Option<Vec<EnvelopeAddress>> {
        let sender = delivery.mail_from.as_deref().unwrap_or_default();
        if delivery.is_junk || !submission::is_address(sender) {
            return None;
        }
        addresses.retain(|address| {
            bounce::is_wanted(address, Action::Failed)
                && self.may_report(sender, &address.email, reply)
        });
        (!addresses.is_empty()).then_some(addresses)
    }

    /// Finishes deliveries that a crash or a fault interrupted: all of them, in one round or in several. Returns how many of those that it came
    /// to are still open.
    pub async fn resume_deliveries(&self) -> Result<usize, store::Error> {
        let all = keys::all(keys::Subspace::PendingDelivery);
        let now = self.clock.monotonic();
        let from = {
            let mut resuming = self.resuming.lock();
            resuming.forget_old(now);
            let from = mem::take(&mut resuming.from);
            if from.is_empty() {
                all.start.clone()
            } else {
                from
            }
        };
        let (mut tried, mut open) = (0, 0);
        for mut range in [from.clone()..all.end, all.start..from] {
            while range.start < range.end {
                let page = Page::first(range.clone(), ROWS_PER_PAGE);
                let rows = self.engine.scan(page).await?;
                for (key, value) in &rows {
                    if tried == TRIED_AT_ONCE {
                        self.resuming.lock().from = key.to_vec();
                        return Ok(open + 1);
                    }
                    if !self.resuming.lock().is_due(key, now) {
                        open += 1;
                        continue;
                    }
                    tried += 1;
                    let is_finished = self.resume_delivery(key, value).await;
                    self.resuming.lock().note(key, is_finished, now);
                    open += usize::from(!is_finished);
                }
                let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                    break;
                };
                range.start = [last, &[0u8][..]].concat();
            }
        }
        Ok(open)
    }

    /// Finishes one of them. `false`: it stays on the list. Invariant 5: the others are finished all the same.
    async fn resume_delivery(&self, key: &Bytes, value: &Bytes) -> bool {
        let Some(number) = keys::decode_pending_delivery(key) else {
            let error = store::Error::bad_key("pending delivery", key);
            tracing::error!(%error, "a delivery can't be finished");
            return false;
        };
        let record = match PendingDelivery::from_bytes(key, value) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%error, "a delivery can't be finished");
                return false;
            }
        };
        let octets = match store::blob::get(&self.engine, &record.blob).await {
            Ok(Some(octets)) => octets,
            Ok(None) => {
                tracing::error!(
                    delivery = number,
                    "the message of a pending delivery is missing"
                );
                return false;
            }
            Err(error) => {
                tracing::error!(delivery = number, %error, "the message of a pending delivery can't be read");
                return false;
            }
        };
        let accounts: Vec<AccountId> = record.accounts.iter().map(|&n| AccountId::new(n)).collect();
        let delivery = Delivery {
            message: parse(octets).await,
            received_at: record.received_at,
            mail_from: record.mail_from,
            is_junk: record.is_junk.unwrap_or(false),
            number: Some(number),
            is_accepted: true,
            peer: None,
            recipients: accounts
                .iter()
                .copied()
                .zip(record.recipients.unwrap_or_default())
                .collect(),
            // The session in which it could have been refused is over.
            refusing: BTreeSet::new(),
            fence: None,
            esmtp: Esmtp {
                mail: record.mail_parameters.unwrap_or_default(),
                of_account: by_account(&accounts, record.parameters),
                reported: by_account(&accounts, record.reported),
            },
            author: record.author.unwrap_or_default(),
            full: by_account(&accounts, record.full),
            told: Arc::default(),
        };
        let (results, is_finished) = self.finish_pending(number, &delivery, &accounts).await;
        let recipients = accounts.iter().map(|&account| Recipient {
            address: delivery.address(account),
            targets: vec![account],
        });
        self.trace_local(&delivery, &recipients.collect::<Vec<_>>(), &results);
        is_finished
    }
}

/// The addresses that no account takes the message for, by the account that answers for them.
fn without_room(
    inbound: &Inbound,
    open: &BTreeSet<AccountId>,
) -> BTreeMap<AccountId, Vec<EnvelopeAddress>> {
    let mut addresses: BTreeMap<AccountId, Vec<EnvelopeAddress>> = BTreeMap::new();
    for (at, recipient) in inbound.recipients.iter().enumerate() {
        let Some(&first) = recipient.targets.first() else {
            continue;
        };
        // One copy is enough.
        if recipient.targets.iter().any(|target| open.contains(target)) {
            continue;
        }
        let given = inbound.arrival.recipients.get(at).cloned();
        let address = parameters::with(recipient.address.clone(), given.unwrap_or_default());
        addresses.entry(first).or_default().push(address);
    }
    addresses
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// What there is of each account, in their order; `None`: there is nothing of any.
fn of_accounts<T: Clone>(
    all: &HashMap<AccountId, Vec<T>>,
    accounts: &[AccountId],
) -> Option<Vec<Vec<T>>> {
    let of = |account: &AccountId| all.get(account).cloned().unwrap_or_default();
    (!all.is_empty()).then(|| accounts.iter().map(of).collect())
}

fn by_account<T>(accounts: &[AccountId], lists: Option<Vec<Vec<T>>>) -> HashMap<AccountId, Vec<T>> {
    let pairs = accounts.iter().copied().zip(lists.unwrap_or_default());
    pairs.filter(|(_, list)| !list.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_tried_less_and_less_often() {
        let rows = [
            (1, 0),
            (TRIES_IN_A_ROW - 1, 0),
            (TRIES_IN_A_ROW, 120),
            (TRIES_IN_A_ROW + 1, 240),
            (TRIES_IN_A_ROW + 4, 1920),
            (TRIES_IN_A_ROW + 5, 3600),
            (u32::MAX, 3600),
        ];
        for (times, seconds) in rows {
            assert_eq!(left_alone(times).as_secs(), seconds, "{times}");
        }
    }

    #[test]
    fn what_was_finished_or_is_gone_is_forgotten() {
        let now = Instant::now();
        let (mut resuming, key) = (Resuming::default(), Bytes::from_static(b"a"));
        for _ in 0..TRIES_IN_A_ROW {
            assert!(resuming.is_due(&key, now));
            resuming.note(&key, false, now);
        }
        assert!(!resuming.is_due(&key, now));
        assert!(resuming.is_due(&key, now + LEFT_ALONE));
        resuming.note(&key, true, now);
        assert!(resuming.failed.is_empty());
        resuming.note(&key, false, now);
        resuming.forget_old(now + LEFT_ALONE_MAX);
        assert_eq!(resuming.failed.len(), 1);
        resuming.forget_old(now + 3 * LEFT_ALONE_MAX);
        assert!(resuming.failed.is_empty());
    }
}
