//! How often strangers may begin something that is kept for a while.
//!
//! Holds: so many an hour from one network, so many from the /48 that an IPv6 network is in, and so many in all; memory is bounded.
//! Other half: `clients` and `device` ask; failed logins have limits of their own in `auth::rate`.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use quick_cache::unsync::Cache;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Begun {
    Registration,
    Device,
}

impl Begun {
    /// From one network, and from all.
    fn per_hour(self) -> (u32, u32) {
        match self {
            Self::Registration => (20, 1000),
            Self::Device => (60, 2000),
        }
    }
}

const NETWORKS_MAX: usize = 16_384;
const WINDOW: Duration = Duration::from_secs(3600);

/// How much more may come from an IPv6 /48 than from a /64 in it.
const SITE_FACTOR: u32 = 10;

/// `None`: all of them.
type Network = Option<([u8; 8], Width)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Width {
    /// An IPv4 address, or an IPv6 /64.
    Client,
    /// An IPv6 /48.
    Site,
}

#[derive(Debug)]
pub(super) struct Limits(Mutex<Cache<(Begun, Network), (Instant, u32)>>);

impl Default for Limits {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(NETWORKS_MAX)))
    }
}

impl Limits {
    /// Counts one more. `false`: it is too much.
    pub(super) fn may(&self, what: Begun, ip: IpAddr, now: Instant) -> bool {
        let (of_network, of_all) = what.per_hour();
        let mut counts = self.0.lock();
        let client = (Some((network_of(ip), Width::Client)), of_network);
        let site = site_of(ip).map(|site| (Some((site, Width::Site)), of_network * SITE_FACTOR));
        for (network, max) in [Some(client), site, Some((None, of_all))]
            .into_iter()
            .flatten()
        {
            let known = counts.get(&(what, network)).copied();
            let fresh = known.filter(|(since, _)| now.duration_since(*since) < WINDOW);
            let (since, count) = fresh.unwrap_or((now, 0));
            if count >= max {
                return false;
            }
            counts.insert((what, network), (since, count + 1));
        }
        true
    }
}

/// An IPv4 address, or the first half of an IPv6 address.
fn network_of(ip: IpAddr) -> [u8; 8] {
    let mut network = [0; 8];
    match ip.to_canonical() {
        IpAddr::V4(ip) => network[4..].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => network.copy_from_slice(&ip.octets()[..8]),
    }
    network
}

/// The first 48 bits of an IPv6 address.
fn site_of(ip: IpAddr) -> Option<[u8; 8]> {
    let IpAddr::V6(ip) = ip.to_canonical() else {
        return None;
    };
    let mut site = [0; 8];
    site[..6].copy_from_slice(&ip.octets()[..6]);
    Some(site)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_an_hour() {
        let limits = Limits::default();
        let now = Instant::now();
        let (one, other): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let (max, all) = Begun::Registration.per_hour();
        for _ in 0..max {
            assert!(limits.may(Begun::Registration, one, now));
        }
        assert!(!limits.may(Begun::Registration, one, now));
        assert!(limits.may(Begun::Registration, other, now));
        assert!(limits.may(Begun::Device, one, now));
        assert!(limits.may(Begun::Registration, one, now + WINDOW));
        let limits = Limits::default();
        for count in 0..max * SITE_FACTOR {
            let ip: IpAddr = format!("2001:db8:1:{count:x}::1").parse().unwrap();
            assert!(limits.may(Begun::Registration, ip, now), "{count}");
        }
        for (ip, may) in [("2001:db8:1:ffff::1", false), ("2001:db8:2::1", true)] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(limits.may(Begun::Registration, ip, now), may, "{ip}");
        }
        let limits = Limits::default();
        for count in 0..all {
            let ip = IpAddr::V4((0x0a00_0000 + count).into());
            assert!(limits.may(Begun::Registration, ip, now));
        }
        assert!(!limits.may(Begun::Registration, other, now));
    }
}
