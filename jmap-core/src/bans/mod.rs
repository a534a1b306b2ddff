//! Bans: networks that nobody may connect from, of all protocols, for a while.
//!
//! Holds: whether an address is banned is found out without reading the store; a ban is on disk a moment after it counts, and every
//! node has it; this machine, what is allowed and what is trusted is never banned; of each ban it is told what has led to it.
//! Other half: `net::Admission` asks before anything is read of a connection; the adapters tell what clients do; `auth` of logins.

mod count;
mod methods;
mod network;
mod records;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use store::{Record as _, engine::Batch, keys};

use self::count::Counts;
pub use self::{
    count::{COUNTED_MAX, KNOWN_FOR, KNOWN_MAX},
    methods::{Ban, BanError, NewBan},
    network::{Network, NoNetwork},
    records::{BanRecord, BanRule},
    settings::{BanSettings, KNOWN_FACTOR, SITE_FACTOR, Spared, Threshold},
};
use crate::{Core, auth::Origin, webhook::EventKind};

/// Bans that there are at a time, with those that are over and not forgotten.
pub const BANS_MAX: usize = 50_000;
/// The name of the counter that each change of bans adds to.
pub(crate) const COUNTER: &str = "bans";

/// What a process knows of bans.
#[derive(Debug, Default)]
pub struct Bans {
    settings: ArcSwap<BanSettings>,
    set: RwLock<Set>,
    counts: Counts,
    /// Those of rules that are on their way to the store.
    pending: Mutex<HashMap<Network, BanRecord>>,
    /// The counter with which they were last read.
    seen: Mutex<Option<i64>>,
}

/// The bans that there are.
#[derive(Debug, Default)]
struct Set {
    bans: HashMap<Network, BanRecord>,
    /// How long prefixes are, of IPv4 and IPv6.
    lengths: [BTreeSet<u8>; 2],
}

impl Set {
    fn of(bans: HashMap<Network, BanRecord>) -> Self {
        let mut set = Self::default();
        for network in bans.keys() {
            set.lengths[usize::from(!network.is_v4())].insert(network.bits());
        }
        set.bans = bans;
        set
    }

    fn insert(&mut self, network: Network, record: BanRecord) {
        self.lengths[usize::from(!network.is_v4())].insert(network.bits());
        self.bans.insert(network, record);
    }

    /// The ban that an address is under.
    fn find(&self, address: IpAddr, now: i64) -> Option<(Network, &BanRecord)> {
        let address = address.to_canonical();
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        lengths.iter().find_map(|bits| {
            let network = Network::new(address, *bits);
            let record = self.bans.get(&network)?;
            is_in_force(record, now).then_some((network, record))
        })
    }
}

fn is_in_force(record: &BanRecord, now: i64) -> bool {
    record.until.is_none_or(|until| now < until)
}

impl Core {
    /// Whether nobody may connect from this address.
    pub fn is_banned(&self, address: IpAddr) -> bool {
        let now = self.clock.now().0;
        let is_banned = self.bans.set.read().find(address, now).is_some();
        // What is allowed may have come after the ban.
        is_banned && {
            let client = Network::new(address.to_canonical(), 128);
            self.bans.settings.load().spares(&client).is_none()
        }
    }

    /// When bans are made, from now on.
    pub fn set_bans(&self, settings: BanSettings) {
        self.bans.settings.store(Arc::new(settings));
    }

    /// Counts what a client has done; enough of it is a ban. `detail`: such as what it has asked for, for people.
    pub fn note_offence(&self, address: IpAddr, rule: BanRule, detail: &str) {
        self.count_offence(address, rule, detail, None);
    }

    /// A login failed, with this secret.
    pub(crate) fn note_failed_login(&self, origin: &Origin, login: Option<&str>, secret: &str) {
        let login = login.unwrap_or("a token");
        let detail = format!("the last as {login} by {}", origin.protocol);
        let guess = Some((login, secret));
        self.count_offence(origin.ip, BanRule::FailedLogins, &detail, guess);
    }

    /// A login was right.
    pub(crate) fn note_good_login(&self, origin: &Origin) {
        self.bans.counts.knows(origin.ip, self.clock.monotonic());
    }

    fn count_offence(
        &self,
        address: IpAddr,
        rule: BanRule,
        detail: &str,
        guess: Option<(&str, &str)>,
    ) {
        let settings = self.bans.settings.load_full();
        let Some(threshold) = settings.threshold(rule) else {
            return;
        };
        let of_site = Threshold {
            count: threshold.count.saturating_mul(SITE_FACTOR),
            ..threshold
        };
        let client = (Network::of_client(address), threshold);
        let site = Network::site_of(address).map(|site| (site, of_site));
        let now = self.clock.monotonic();
        for (client, threshold) in std::iter::once(client).chain(site) {
            if settings.spares(&client).is_some() {
                return;
            }
            let counted = self.bans.counts.add(client, rule, threshold, guess, now);
            let Some(count) = counted else { continue };
            let minutes = threshold.within.as_secs().div_ceil(60);
            let what = rule.counted();
            let mut reason = format!("{count} {what} within {minutes} minutes");
            if !detail.is_empty() {
                reason.push_str("; ");
                reason.push_str(&methods::shortened(detail));
            }
            self.ban_client(client, rule, reason, &settings);
        }
    }

    /// Bans a client by a rule: at once here, and in the store a moment later.
    fn ban_client(&self, client: Network, rule: BanRule, reason: String, settings: &BanSettings) {
        let now = self.clock.now().0;
        let record = {
            let mut set = self.bans.set.write();
            let before = set.bans.get(&client);
            if before.is_some_and(|before| is_in_force(before, now)) {
                return;
            }
            let times = before.map_or(0, |before| before.times).saturating_add(1);
            let length = settings.length(times).as_millis();
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            let record = BanRecord {
                since: now,
                until: Some(now.saturating_add(length)),
                times,
                rule,
                reason,
                by: None,
            };
            if set.bans.len() >= BANS_MAX && before.is_none() {
                tracing::error!(network = %client, reason = record.reason, "there are too many bans for one more");
                return;
            }
            set.insert(client, record.clone());
            record
        };
        self.metrics.bans.add(1);
        let seconds = record.until.unwrap_or(now).saturating_sub(now) / 1000;
        tracing::warn!(
            network = %client,
            rule = rule.name(),
            reason = record.reason,
            seconds,
            times = record.times,
            "banned"
        );
        self.tell_event(Self::ban_event(EventKind::BanSet, &client, &record, None));
        self.bans.pending.lock().insert(client, record.clone());
        let core = self.clone();
        tokio::spawn(async move {
            let mut batch = Batch::new();
            batch.put(keys::ban(&client.to_string()), record.to_bytes());
            match core.commit_bans(batch).await {
                Ok(()) => drop(core.bans.pending.lock().remove(&client)),
                // It counts here, until the next start.
                Err(error) => {
                    tracing::error!(network = %client, %error, "a ban could not be written down");
                }
            }
        });
    }

    /// Commits a change of bans, and tells the others of it.
    async fn commit_bans(&self, mut batch: Batch) -> Result<(), store::Error> {
        batch.add(keys::meta(COUNTER), 1);
        self.engine.commit(batch).await?;
        if let Some(cluster) = &self.cluster {
            cluster.tell_bans();
        }
        Ok(())
    }
}
