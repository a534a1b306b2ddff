//! Connections that wait for the next message to the same host.
//!
//! Holds: one is handed out only for the same host, address, source, need and route as it was opened for; their number and
//! their age are bounded; one that the peer has ended meanwhile costs nobody an attempt.
//! Other half: `send` puts them back after a transaction.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::settings::{Limits, Protocol};
use super::tls::Need;

/// What a connection was opened for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    pub host: String,
    pub address: SocketAddr,
    pub source: Option<IpAddr>,
    pub need: Need,
    pub protocol: Protocol,
    /// Whom it has logged in as, if it has.
    pub user: Option<String>,
}

#[derive(Debug)]
struct Idle {
    until: Instant,
    connection: Connection,
}

#[derive(Debug, Default)]
struct Kept {
    /// The one that was used last is the last.
    by_key: HashMap<PoolKey, Vec<Idle>>,
    count: usize,
    is_watched: bool,
}

impl Kept {
    /// Takes out what has been idle too long; and tells when to look again, if there is something left.
    fn expired(&mut self, now: Instant) -> (Vec<Connection>, Option<Instant>) {
        let mut expired = Vec::new();
        let mut next: Option<Instant> = None;
        self.by_key.retain(|_, all| {
            for idle in all.extract_if(.., |idle| idle.until <= now) {
                expired.push(idle.connection);
            }
            let first = all.iter().map(|idle| idle.until).min();
            next = next.into_iter().chain(first).min();
            !all.is_empty()
        });
        self.count -= expired.len();
        self.is_watched = next.is_some();
        (expired, next)
    }
}

/// The connections of a client. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<Kept>>);

impl Pool {
    /// The one that was used last.
    pub fn take(&self, key: &PoolKey) -> Option<Connection> {
        let mut kept = self.0.lock();
        let all = kept.by_key.get_mut(key)?;
        let idle = all.pop()?;
        if all.is_empty() {
            kept.by_key.remove(key);
        }
        kept.count -= 1;
        Some(idle.connection)
    }

    /// Keeps a connection until it has been idle too long, and ends it then.
    pub fn put(&self, key: PoolKey, connection: Connection, limits: &Limits) {
        let time = connection.timeouts.idle;
        let mut kept = self.0.lock();
        let of_host = kept.by_key.get(&key).map_or(0, Vec::len);
        let is_full = kept.count >= limits.idle_max || of_host >= limits.idle_per_host_max;
        if is_full || time.is_zero() {
            drop(kept);
            tokio::spawn(connection.quit());
            return;
        }
        let until = Instant::now() + time;
        let idle = Idle { until, connection };
        kept.by_key.entry(key).or_default().push(idle);
        kept.count += 1;
        if !std::mem::replace(&mut kept.is_watched, true) {
            tokio::spawn(self.clone().watch(until));
        }
    }

    /// Ends what nobody uses, as long as there is something.
    async fn watch(self, first: Instant) {
        let mut next = Some(first);
        while let Some(until) = next {
            sleep_until(until).await;
            let (expired, then) = self.0.lock().expired(Instant::now());
            next = then;
            for connection in expired {
                tokio::spawn(connection.quit());
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().count
    }
}
