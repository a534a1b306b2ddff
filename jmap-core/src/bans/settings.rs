//! When somebody is banned, and for how long.
//!
//! Holds: the defaults are such that an office behind one address isn't locked out by one phone with an old password: a wrong login
//! counts once, however often it is tried, and where people have logged in lately, [`KNOWN_FACTOR`] times as much is put up with.

use std::time::Duration;

use super::{BanRule, Network, network::LOOPBACK};

/// So many times as much is put up with from where somebody has logged in lately.
pub const KNOWN_FACTOR: u32 = 10;
/// How much more is put up with from an IPv6 /48 than from a client in it.
pub const SITE_FACTOR: u32 = 10;

/// So much, in so much time. 0: it never leads to a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    pub count: u32,
    pub within: Duration,
}

impl Threshold {
    pub const fn new(count: u32, within: Duration) -> Self {
        Self { count, within }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanSettings {
    /// Bans of rules are made. Those of administrators count in any case.
    pub enabled: bool,
    pub failed_logins: Threshold,
    pub unknown_recipients: Threshold,
    pub bad_commands: Threshold,
    pub handshakes: Threshold,
    pub probing: Threshold,
    /// The first ban of a client; each further one is twice as long.
    pub duration: Duration,
    pub longest: Duration,
    /// After its end a ban is remembered for so long.
    pub forget_after: Duration,
    /// Networks that are never banned, by nobody.
    pub allow: Vec<Network>,
    /// Nor are these: proxies, and servers that are trusted.
    pub trusted: Vec<Network>,
}

impl Default for BanSettings {
    fn default() -> Self {
        const fn minutes(minutes: u64) -> Duration {
            Duration::from_secs(minutes * 60)
        }
        Self {
            enabled: true,
            failed_logins: Threshold::new(30, minutes(60)),
            unknown_recipients: Threshold::new(100, minutes(60)),
            bad_commands: Threshold::new(10, minutes(60)),
            handshakes: Threshold::new(30, minutes(60)),
            probing: Threshold::new(60, minutes(10)),
            duration: minutes(30),
            longest: minutes(7 * 24 * 60),
            forget_after: minutes(30 * 24 * 60),
            allow: Vec::new(),
            trusted: Vec::new(),
        }
    }
}

impl BanSettings {
    /// What leads to a ban; `None`: this doesn't.
    pub(super) fn threshold(&self, rule: BanRule) -> Option<Threshold> {
        let of = match rule {
            BanRule::Administrator => return None,
            BanRule::FailedLogins => self.failed_logins,
            BanRule::UnknownRecipients => self.unknown_recipients,
            BanRule::BadCommands => self.bad_commands,
            BanRule::Handshakes => self.handshakes,
            BanRule::Probing => self.probing,
        };
        (self.enabled && of.count > 0).then_some(of)
    }

    /// How long the ban is that comes after `times - 1` others.
    pub(super) fn length(&self, times: u32) -> Duration {
        let doublings = times.saturating_sub(1).min(31);
        let length = self.duration.checked_mul(1 << doublings);
        length.unwrap_or(self.longest).min(self.longest)
    }

    /// Why a network isn't banned, if some address of it never is.
    pub(super) fn spares(&self, network: &Network) -> Option<Spared> {
        let meets = |of: &[Network]| of.iter().any(|of| of.meets(network));
        if meets(&LOOPBACK) {
            return Some(Spared::Loopback);
        }
        if meets(&self.allow) {
            return Some(Spared::Allowed);
        }
        meets(&self.trusted).then_some(Spared::Trusted)
    }
}

/// Why a network is never banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    Loopback,
    Allowed,
    Trusted,
}
