//! Who may connect: how many at once, how many from one client, and how often.
//!
//! Holds: the table of clients has no more entries than there are connections; a slot is given back however its
//! connection ends.
//! Other half: `listener`, which asks for every connection. One `Admission` may serve many listeners.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::limits::{Rate, RateLimiter};
use crate::network::{ClientKey, Network};

/// Connections at once.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Connections at once from one client (see [`ClientKey`]).
pub const CLIENT_CONNECTIONS_MAX: usize = 100;
/// New connections from one client.
pub const CLIENT_RATE: Rate = Rate::new(300, Duration::from_secs(60));
/// Clients whose rate is remembered.
pub const CLIENT_RATES_MAX: usize = 65_536;

/// The limits of a listener, or of several together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub total: usize,
    pub per_client: usize,
    pub rate: Rate,
    /// Networks to which only `total` applies.
    pub exempt: Vec<Network>,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            total: CONNECTIONS_MAX,
            per_client: CLIENT_CONNECTIONS_MAX,
            rate: CLIENT_RATE,
            exempt: Vec::new(),
        }
    }
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("too many connections")]
    Total,
    #[error("too many connections from one client")]
    PerClient,
    #[error("connections from one client come too fast")]
    Rate,
    #[error("the client is banned")]
    Banned,
}

/// Who may not connect at all, whatever the limits are. It is asked for each connection, so it has to be quick.
pub trait Gate: Send + Sync + fmt::Debug + 'static {
    fn is_banned(&self, address: IpAddr) -> bool;

    /// A client has spoken no TLS where TLS comes first.
    fn spoke_no_tls(&self, address: IpAddr);
}

/// How often what has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub open: usize,
    pub admitted: u64,
    pub refused_total: u64,
    pub refused_per_client: u64,
    pub refused_rate: u64,
    pub refused_banned: u64,
}

/// Counts connections.
#[derive(Debug)]
pub struct Admission {
    limits: ArcSwap<ConnectionLimits>,
    open: AtomicUsize,
    clients: Mutex<HashMap<ClientKey, usize>>,
    rates: RateLimiter<ClientKey>,
    admitted: AtomicU64,
    refused: [AtomicU64; 4],
    gate: OnceLock<Arc<dyn Gate>>,
}

impl Admission {
    pub fn new(limits: ConnectionLimits) -> Arc<Admission> {
        Arc::new(Admission {
            rates: RateLimiter::new(limits.rate, CLIENT_RATES_MAX),
            limits: ArcSwap::from_pointee(limits),
            open: AtomicUsize::new(0),
            clients: Mutex::new(HashMap::new()),
            admitted: AtomicU64::new(0),
            refused: Default::default(),
            gate: OnceLock::new(),
        })
    }

    /// Other limits, for connections from now on; those that are open stay.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        self.rates.set_rate(limits.rate);
        self.limits.store(Arc::new(limits));
    }

    /// Asks this one, too, for connections from now on; the first call counts.
    pub fn guard(&self, gate: Arc<dyn Gate>) {
        let _ = self.gate.set(gate);
    }

    /// A client has spoken no TLS where TLS comes first.
    pub(super) fn spoke_no_tls(&self, address: IpAddr) {
        if let Some(gate) = self.gate.get() {
            gate.spoke_no_tls(address);
        }
    }

    /// Takes a slot for a connection whose client is not known yet.
    pub fn enter(self: &Arc<Self>) -> Result<Slot, Refusal> {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        // From here on the slot gives back what was taken.
        let slot = Slot {
            admission: self.clone(),
            client: None,
        };
        if before >= self.limits.load().total {
            return Err(self.refuse(Refusal::Total));
        }
        self.admitted.fetch_add(1, Ordering::Relaxed);
        Ok(slot)
    }

    pub fn counters(&self) -> Counters {
        let refused = |why: Refusal| self.refused[why as usize].load(Ordering::Relaxed);
        Counters {
            open: self.open.load(Ordering::Acquire),
            admitted: self.admitted.load(Ordering::Relaxed),
            refused_total: refused(Refusal::Total),
            refused_per_client: refused(Refusal::PerClient),
            refused_rate: refused(Refusal::Rate),
            refused_banned: refused(Refusal::Banned),
        }
    }

    fn refuse(&self, why: Refusal) -> Refusal {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
        why
    }
}

/// One connection's place; dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    admission: Arc<Admission>,
    client: Option<ClientKey>,
}

impl Slot {
    /// Counts the connection for its client. Once a slot; a second call changes nothing.
    pub fn assign(&mut self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        let admission = &self.admission;
        let gate = admission.gate.get();
        if gate.is_some_and(|gate| gate.is_banned(address)) {
            return Err(admission.refuse(Refusal::Banned));
        }
        let limits = admission.limits.load();
        let mut exempt = limits.exempt.iter();
        if self.client.is_some() || exempt.any(|network| network.contains(address)) {
            return Ok(());
        }
        let client = ClientKey::of(address);
        if admission.rates.take(&client, now).is_err() {
            return Err(admission.refuse(Refusal::Rate));
        }
        let mut clients = admission.clients.lock();
        let open = clients.entry(client).or_default();
        if *open >= limits.per_client {
            if *open == 0 {
                clients.remove(&client);
            }
            return Err(admission.refuse(Refusal::PerClient));
        }
        *open += 1;
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::AcqRel);
        let Some(client) = self.client else { return };
        let mut clients = self.admission.clients.lock();
        if let Some(open) = clients.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: usize, per_client: usize, burst: u32) -> ConnectionLimits {
        ConnectionLimits {
            total,
            per_client,
            rate: Rate::new(burst, Duration::from_secs(60)),
            exempt: vec!["203.0.113.0/24".parse().unwrap()],
        }
    }

    fn connect(admission: &Arc<Admission>, address: &str, now: Instant) -> Result<Slot, Refusal> {
        let mut slot = admission.enter()?;
        slot.assign(address.parse().unwrap(), now)?;
        Ok(slot)
    }

    /// Connects from each address, keeping all open; the last is to give `want`.
    fn check(limits: ConnectionLimits, addresses: &[&str], want: Result<(), Refusal>) {
        let admission = Admission::new(limits);
        let now = Instant::now();
        let (last, before) = addresses.split_last().unwrap();
        let kept: Vec<Slot> = before
            .iter()
            .map(|address| connect(&admission, address, now).unwrap())
            .collect();
        let got = connect(&admission, last, now);
        assert_eq!(
            got.as_ref().map(|_| ()).map_err(|why| *why),
            want,
            "{addresses:?}"
        );
        drop((kept, got));
        assert_eq!(admission.counters().open, 0);
        assert!(admission.clients.lock().is_empty());
    }

    #[test]
    fn one_past_every_limit() {
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        check(limits(2, 9, 9), &[a, b], Ok(()));
        check(limits(2, 9, 9), &[a, b, "192.0.2.3"], Err(Refusal::Total));
        check(limits(9, 2, 9), &[a, a], Ok(()));
        check(limits(9, 2, 9), &[a, a, b], Ok(()));
        check(limits(9, 2, 9), &[a, a, a], Err(Refusal::PerClient));
        check(limits(9, 0, 9), &[a], Err(Refusal::PerClient));
        check(limits(9, 9, 2), &[a, a, b], Ok(()));
        check(limits(9, 9, 2), &[a, a, a], Err(Refusal::Rate));
    }

    /// Bans one address, and everybody who speaks no TLS.
    #[derive(Debug)]
    struct One(Mutex<Vec<IpAddr>>);

    impl Gate for One {
        fn is_banned(&self, address: IpAddr) -> bool {
            self.0.lock().contains(&address)
        }

        fn spoke_no_tls(&self, address: IpAddr) {
            self.0.lock().push(address);
        }
    }

    #[test]
    fn the_banned_are_sent_away_first() {
        let admission = Admission::new(limits(9, 9, 9));
        let friend = "203.0.113.7";
        admission.guard(Arc::new(One(Mutex::new(vec![friend.parse().unwrap()]))));
        let now = Instant::now();
        assert_eq!(
            connect(&admission, friend, now).unwrap_err(),
            Refusal::Banned
        );
        let other = "192.0.2.1";
        connect(&admission, other, now).unwrap();
        admission.spoke_no_tls(other.parse().unwrap());
        assert_eq!(
            connect(&admission, other, now).unwrap_err(),
            Refusal::Banned
        );
        let counters = admission.counters();
        assert_eq!((counters.open, counters.refused_banned), (0, 2));
    }

    #[test]
    fn other_limits_count_from_then_on() {
        let admission = Admission::new(limits(1, 9, 9));
        let now = Instant::now();
        let connect = || connect(&admission, "192.0.2.1", now).map_err(|why| why.to_string());
        let first = connect().unwrap();
        assert!(connect().is_err());
        admission.set_limits(limits(3, 9, 1));
        let second = connect().unwrap();
        assert_eq!(connect().err(), Some(Refusal::Rate.to_string()));
        admission.set_limits(limits(3, 2, 9));
        assert_eq!(connect().err(), Some(Refusal::PerClient.to_string()));
        drop((first, second));
        assert_eq!(admission.counters().open, 0);
    }

    #[test]
    fn the_limits_of_the_readme_are_the_defaults() {
        let limits = ConnectionLimits::default();
        assert_eq!((limits.total, limits.per_client), (20_000, 100));
        let admission = Admission::new(limits.clone());
        let (now, client) = (Instant::now(), "192.0.2.1");
        let connect = |_| connect(&admission, client, now).map_err(|why| format!("{why:?}"));
        let kept: Result<Vec<Slot>, String> = (0..CLIENT_CONNECTIONS_MAX).map(connect).collect();
        let kept = kept.expect("as many as one client may have");
        assert_eq!(connect(0).unwrap_err(), "PerClient");
        drop(kept);
        // With the one that was refused.
        let left = CLIENT_RATE.burst as usize - CLIENT_CONNECTIONS_MAX;
        let came = (0..left + 2).filter(|n| connect(*n).is_ok()).count();
        assert!((left - 1..=left).contains(&came), "{came}");
        let all: Vec<Slot> = (0..CONNECTIONS_MAX)
            .map(|_| admission.enter().unwrap())
            .collect();
        assert_eq!(admission.enter().unwrap_err(), Refusal::Total);
        drop(all);
    }

    #[test]
    fn one_client_past_those_that_are_remembered() {
        let admission = Admission::new(limits(9, 9, 1));
        let now = Instant::now();
        let address = |n: usize| std::net::Ipv4Addr::from(n as u32).to_string();
        for n in 0..CLIENT_RATES_MAX {
            connect(&admission, &address(n), now).unwrap();
        }
        assert_eq!(admission.rates.len(), CLIENT_RATES_MAX);
        connect(&admission, &address(0), now).expect_err("remembered");
        connect(&admission, &address(CLIENT_RATES_MAX), now).unwrap();
        assert_eq!(admission.rates.len(), CLIENT_RATES_MAX);
    }

    #[test]
    fn an_ipv6_client_is_its_64() {
        let one = ["2001:db8::1", "2001:db8::2"];
        check(limits(9, 1, 9), &one, Err(Refusal::PerClient));
        check(limits(9, 1, 9), &["2001:db8::1", "2001:db8:0:1::1"], Ok(()));
    }

    #[test]
    fn the_exempt_are_only_counted() {
        let friend = "203.0.113.7";
        check(limits(3, 1, 1), &[friend, friend, friend], Ok(()));
        check(
            limits(2, 1, 1),
            &[friend, friend, friend],
            Err(Refusal::Total),
        );
    }

    #[test]
    fn the_rate_recovers() {
        let admission = Admission::new(limits(9, 9, 1));
        let now = Instant::now();
        connect(&admission, "192.0.2.1", now).unwrap();
        connect(&admission, "192.0.2.1", now).unwrap_err();
        connect(&admission, "192.0.2.1", now + Duration::from_secs(60)).unwrap();
        let counters = admission.counters();
        assert_eq!((counters.admitted, counters.refused_rate), (3, 1));
    }
}
