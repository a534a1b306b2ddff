//! Bans as administrators see, make and lift them; and reading and clearing away what the store has of them.
//!
//! Holds: nobody bans themselves, this machine, or what is allowed or trusted; a change is in the audit, in its commit.

use std::{collections::HashMap, time::Duration};

use store::{
    Record as _,
    engine::{Assertion, Batch, Key, Page},
    keys::{self, Subspace},
};

use super::{BANS_MAX, BanRecord, BanRule, COUNTER, Network, NoNetwork, Set, Spared, is_in_force};
use crate::{
    Core,
    access::{self, Operation},
    admin::Deed,
    caller::Caller,
    directory::DirectoryError,
    webhook::EventKind,
};

/// Octets of a reason.
pub const REASON_OCTETS_MAX: usize = 300;
/// The largest networks that are banned, in bits.
const BITS_MIN: [u8; 2] = [8, 16];
const ROWS_PER_PAGE: usize = 1000;

/// A ban that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    pub network: Network,
    pub record: BanRecord,
}

/// A ban that somebody wants.
#[derive(Clone, Debug)]
pub struct NewBan {
    pub network: Network,
    pub reason: String,
    /// `None`: until it is lifted.
    pub duration: Option<Duration>,
}

/// Why there is no ban, or it isn't lifted: a sentence.
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    #[error(transparent)]
    Network(#[from] NoNetwork),
    #[error(
        "the network is too large: of IPv4 a /8 may be banned, of IPv6 a /16, and what is in them"
    )]
    TooLarge,
    #[error("{0} can't be banned: {1}")]
    Spared(Network, &'static str),
    #[error("a reason is one line of at most 300 octets")]
    Reason,
    #[error("a ban has to last for a second at least")]
    Duration,
    #[error("{0} is not banned")]
    NotFound(Network),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl From<store::Error> for BanError {
    fn from(error: store::Error) -> Self {
        Self::Directory(error.into())
    }
}

impl From<store::engine::EngineError> for BanError {
    fn from(error: store::engine::EngineError) -> Self {
        Self::Directory(error.into())
    }
}

/// A reason as long as one may be.
pub(super) fn shortened(text: &str) -> String {
    let plain = text
        .chars()
        .map(|of| if of.is_control() { '?' } else { of });
    let mut text: String = plain.collect();
    let mut end = text.len().min(REASON_OCTETS_MAX / 2);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

impl Core {
    /// The bans that are in force, by network.
    pub async fn bans(&self, who: &Caller) -> Result<Vec<Ban>, DirectoryError> {
        access::may_run(who, Operation::SeeBans)?;
        // What another node has done may not have been told yet.
        self.look_at_bans().await?;
        let now = self.clock.now().0;
        let mut bans: Vec<Ban> = {
            let set = self.bans.set.read();
            let in_force = set.bans.iter().filter(|(_, of)| is_in_force(of, now));
            let ban = |(network, record): (&Network, &BanRecord)| Ban {
                network: *network,
                record: record.clone(),
            };
            in_force.map(ban).collect()
        };
        bans.sort_by_key(|ban| ban.network);
        Ok(bans)
    }

    /// Bans in force.
    pub fn bans_in_force(&self) -> usize {
        let now = self.clock.now().0;
        let set = self.bans.set.read();
        let in_force = set.bans.values().filter(|of| is_in_force(of, now));
        in_force.count()
    }

    /// Bans a network, in place of the ban that it may have.
    pub async fn ban(&self, who: &Caller, new: NewBan) -> Result<Ban, BanError> {
        access::may_run(who, Operation::ChangeBans)?;
        let NewBan {
            network,
            reason,
            duration,
        } = new;
        let bits_min = BITS_MIN[usize::from(!network.is_v4())];
        if network.bits() < bits_min {
            return Err(BanError::TooLarge);
        }
        if reason.len() > REASON_OCTETS_MAX || reason.chars().any(char::is_control) {
            return Err(BanError::Reason);
        }
        if duration.is_some_and(|duration| duration < Duration::from_secs(1)) {
            return Err(BanError::Duration);
        }
        let spared = self.bans.settings.load().spares(&network);
        let why = spared.map(|spared| match spared {
            Spared::Loopback => "it is this machine",
            Spared::Allowed => "bans.allow has it",
            Spared::Trusted => "it is a proxy, or is trusted, by the configuration",
        });
        let own = who.address().filter(|address| network.contains(*address));
        if let Some(why) = why.or_else(|| own.map(|_| "you come from there")) {
            return Err(BanError::Spared(network, why));
        }
        self.look_at_bans().await?;
        let now = self.clock.now().0;
        let before = self.bans.set.read().bans.get(&network).cloned();
        if before.is_none() && self.bans.set.read().bans.len() >= BANS_MAX {
            return Err(DirectoryError::TooMany("bans").into());
        }
        let until = duration.map(|duration| {
            let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            now.saturating_add(ms)
        });
        let record = BanRecord {
            since: now,
            until,
            times: before.as_ref().map_or(0, |of| of.times).saturating_add(1),
            rule: BanRule::Administrator,
            reason,
            by: Some(who.name.clone()),
        };
        let mut batch = Batch::new();
        batch.put(keys::ban(&network.to_string()), record.to_bytes());
        let seconds = duration.map(|duration| format!("{} seconds", duration.as_secs()));
        let deed = Deed::new(Operation::ChangeBans, network.to_string())
            .field("ban", None, Some(record.reason.clone()))
            .field("duration", None, seconds);
        self.audit(&mut batch, who, deed);
        let event = Core::ban_event(EventKind::BanSet, &network, &record, None);
        self.tell_event_with(&mut batch, event);
        self.commit_bans(batch).await?;
        self.bans.pending.lock().remove(&network);
        self.bans.set.write().insert(network, record.clone());
        tracing::warn!(%network, rule = record.rule.name(), reason = record.reason, by = who.name, "banned");
        Ok(Ban { network, record })
    }

    /// Lifts a ban; it counts for nothing any more, nor for how long the next one is.
    pub async fn lift_ban(&self, who: &Caller, network: Network) -> Result<(), BanError> {
        access::may_run(who, Operation::ChangeBans)?;
        self.look_at_bans().await?;
        let before = self.bans.set.read().bans.get(&network).cloned();
        let now = self.clock.now().0;
        let before = before.filter(|before| is_in_force(before, now));
        let before = before.ok_or(BanError::NotFound(network))?;
        let mut batch = Batch::new();
        batch.delete(keys::ban(&network.to_string()));
        let event = Core::ban_event(EventKind::BanLifted, &network, &before, Some(&who.name));
        self.tell_event_with(&mut batch, event);
        let deed = Deed::new(Operation::ChangeBans, network.to_string());
        self.audit(
            &mut batch,
            who,
            deed.field("ban", Some(before.reason), None),
        );
        self.commit_bans(batch).await?;
        // One that could not be written down is lifted as well.
        self.bans.pending.lock().remove(&network);
        self.bans.set.write().bans.remove(&network);
        tracing::info!(%network, by = who.name, "ban lifted");
        Ok(())
    }

    /// Reads the bans anew, if somebody else has changed them.
    pub async fn look_at_bans(&self) -> Result<(), store::Error> {
        let counter = self.engine.get(&keys::meta(COUNTER)).await?;
        let count = counter.and_then(|bytes| <[u8; 8]>::try_from(&bytes[..]).ok());
        let count = count.map_or(0, i64::from_be_bytes);
        if *self.bans.seen.lock() == Some(count) {
            return Ok(());
        }
        let mut bans = HashMap::new();
        let mut range = keys::all(Subspace::Ban);
        loop {
            let rows = self
                .engine
                .scan(Page::first(range.clone(), ROWS_PER_PAGE))
                .await?;
            for (key, bytes) in &rows {
                let network = keys::decode_ban(key).and_then(|text| text.parse().ok());
                match (network, BanRecord::from_bytes(key, bytes)) {
                    (Some(network), Ok(record)) => drop(bans.insert(network, record)),
                    // Invariant 5: the others count.
                    (_, Err(error)) => tracing::error!(%error, "a ban is left out"),
                    (None, Ok(_)) => tracing::error!("a ban of no network is left out"),
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        let mut set = self.bans.set.write();
        // What is on its way to the store counts as if it were there.
        bans.extend(self.bans.pending.lock().clone());
        *set = Set::of(bans);
        drop(set);
        *self.bans.seen.lock() = Some(count);
        Ok(())
    }

    /// Clears away bans that are over for so long that they are forgotten.
    pub(crate) async fn purge_bans(&self) -> Result<(), store::Error> {
        self.look_at_bans().await?;
        let now = self.clock.now().0;
        let keep = self.bans.settings.load().forget_after.as_millis();
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let is_over = |record: &BanRecord| {
            let end = record.until.map(|until| until.saturating_add(keep));
            end.is_some_and(|end| now >= end)
        };
        let over: Vec<(Network, BanRecord)> = {
            let set = self.bans.set.read();
            let over = set.bans.iter().filter(|(_, record)| is_over(record));
            over.take(ROWS_PER_PAGE)
                .map(|(network, record)| (*network, record.clone()))
                .collect()
        };
        if over.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = over
            .iter()
            .map(|(network, _)| keys::ban(&network.to_string()))
            .collect();
        let stored = self.engine.multi_get(&keys).await?;
        let mut batch = Batch::new();
        let mut gone = Vec::new();
        for ((ban, key), stored) in over.into_iter().zip(keys).zip(stored) {
            let bytes = ban.1.to_bytes();
            match stored {
                Some(stored) if stored == bytes => {
                    // Who has changed it meanwhile wins, and the rest has its turn again.
                    batch.assert(Assertion::Equals(key.clone(), stored));
                    batch.delete(key);
                }
                Some(_) => continue,
                // It could not be written down, and counted here alone.
                None => {}
            }
            gone.push(ban);
        }
        if !batch.is_empty() {
            self.commit_bans(batch).await?;
        }
        let mut set = self.bans.set.write();
        let mut pending = self.bans.pending.lock();
        for (network, record) in &gone {
            if set.bans.get(network) == Some(record) {
                set.bans.remove(network);
            }
            if pending.get(network) == Some(record) {
                pending.remove(network);
            }
        }
        Ok(())
    }
}
