//! Programs that log in with each request: which credential was used lately, and from where.
//!
//! Holds: no more than [`RECENT_MAX`] are remembered, and none for longer than [`RECENT_FOR`] after its last request.
//! Other half: `Core::login`, which notes them.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use jmap_types::AccountId;
use parking_lot::Mutex;

use crate::{
    auth::{Origin, Protocol},
    caller::Caller,
};

/// Programs that are remembered.
pub const RECENT_MAX: usize = 10_000;
/// How long after their last request.
pub const RECENT_FOR: Duration = Duration::from_secs(30 * 60);
/// How often it is looked who may be forgotten, in milliseconds, where there are too many.
const SWEEP_EVERY_MS: i64 = 10_000;

/// What tells one program from another.
type Key = (AccountId, u64, Protocol, IpAddr);

#[derive(Debug, Default)]
pub struct Recents(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_key: HashMap<Key, Recent>,
    /// Milliseconds since 1970.
    swept: i64,
}

/// One program.
#[derive(Clone, Debug)]
pub struct Recent {
    pub caller: Caller,
    pub number: u64,
    /// Milliseconds since 1970.
    pub since: i64,
    pub active: i64,
}

impl Recents {
    /// Notes a login over HTTP. `number`: for one that is new.
    pub fn note(&self, caller: &Caller, origin: &Origin, now: i64, number: impl FnOnce() -> u64) {
        let is_http = match origin.protocol {
            Protocol::Jmap | Protocol::Dav | Protocol::Admin => true,
            // What has a token of it comes by another way.
            Protocol::OAuth
            | Protocol::Imap
            | Protocol::Pop3
            | Protocol::ManageSieve
            | Protocol::Smtp
            | Protocol::Submission => false,
        };
        if !is_http {
            return;
        }
        let key = (
            caller.account,
            caller.credential,
            origin.protocol,
            origin.ip,
        );
        let mut inner = self.0.lock();
        if let Some(known) = inner.by_key.get_mut(&key)
            && !is_over(known, now)
        {
            known.active = now;
            return;
        }
        if inner.by_key.len() >= RECENT_MAX {
            if now - inner.swept >= SWEEP_EVERY_MS {
                inner.swept = now;
                inner.by_key.retain(|_, recent| !is_over(recent, now));
            }
            if inner.by_key.len() >= RECENT_MAX {
                return;
            }
        }
        let recent = Recent {
            caller: caller.clone(),
            number: number(),
            since: now,
            active: now,
        };
        inner.by_key.insert(key, recent);
    }

    /// Those of now.
    pub fn all(&self, now: i64) -> Vec<Recent> {
        let mut inner = self.0.lock();
        inner.by_key.retain(|_, recent| !is_over(recent, now));
        inner.by_key.values().cloned().collect()
    }
}

fn is_over(recent: &Recent, now: i64) -> bool {
    let age = u128::try_from(now.saturating_sub(recent.active)).unwrap_or(0);
    age > RECENT_FOR.as_millis()
}
