//! Lists of addresses that send spam, in the DNS (RFC 5782).
//!
//! Holds: only addresses of 127.0.0.0/8 say that something is listed (§2.1), and those by which a list says that it doesn't answer don't; a list that doesn't
//! answer leaves things as they were.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use jmap_core::alert::{AlertKind, Condition};
use mail_auth_adapter::{Dns, dns::LookupError};

use crate::{config::Config, wire};

/// Addresses that are asked for.
const ADDRESSES_MAX: usize = 16;
/// Lists that are asked.
const LISTS_MAX: usize = 16;

/// What the lists have said.
#[derive(Default)]
pub struct Blocklists {
    asked: Option<Instant>,
    /// By address and list.
    listed: BTreeMap<(IpAddr, String), Condition>,
}

impl Blocklists {
    /// What is listed; `None`: it isn't looked for.
    pub async fn look(&mut self, config: &Config) -> Option<Vec<Condition>> {
        let of = &config.alerts;
        if of.blocklists.is_empty() {
            // What was listed before is nobody's business any more.
            self.listed.clear();
            return Some(Vec::new());
        }
        let is_fresh = |at: Instant| at.elapsed() < of.blocklist_every.0;
        if !self.asked.is_some_and(is_fresh) {
            self.asked = Some(Instant::now());
            self.ask(config).await;
        }
        Some(self.listed.values().cloned().collect())
    }

    async fn ask(&mut self, config: &Config) {
        let dns = wire::dns(config);
        let addresses = match config.alerts.addresses.is_empty() {
            false => config.alerts.addresses.clone(),
            true => own(&dns, &config.hostname.0).await,
        };
        let mut listed = BTreeMap::new();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            for list in config.alerts.blocklists.iter().take(LISTS_MAX) {
                let key = (address, list.0.clone());
                let question = question(address, &list.0);
                match dns.a(&question).await {
                    Ok(answer) if answer.records.iter().any(is_listed) => {
                        let why = reason(&dns, &question).await;
                        listed.insert(key, condition(address, &list.0, &why));
                    }
                    Ok(_) | Err(LookupError::NotFound(_)) => {}
                    Err(error) => {
                        tracing::info!(list = list.0, %error, "a blocklist does not answer");
                        if let Some(before) = self.listed.get(&key) {
                            listed.insert(key, before.clone());
                        }
                    }
                }
            }
        }
        self.listed = listed;
    }
}

async fn own(dns: &Dns, hostname: &str) -> Vec<IpAddr> {
    let (v4, v6) = tokio::join!(dns.a(hostname), dns.aaaa(hostname));
    let both = [v4, v6].into_iter().flatten();
    both.flat_map(|answer| answer.records).collect()
}

/// RFC 5782 §2.1, §2.4
pub fn question(address: IpAddr, list: &str) -> String {
    let labels: Vec<String> = match address {
        IpAddr::V4(address) => address.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev();
            nibbles
                .flat_map(|octet| [octet & 15, octet >> 4])
                .map(|nibble| format!("{nibble:x}"))
                .collect()
        }
    };
    format!("{}.{list}", labels.join("."))
}

/// 127.255.255.0/24 is how some say that they don't answer whoever asks.
pub fn is_listed(answer: &IpAddr) -> bool {
    match answer {
        IpAddr::V4(answer) => {
            let refusal = Ipv4Addr::new(127, 255, 255, 0).octets();
            answer.is_loopback() && answer.octets()[..3] != refusal[..3]
        }
        IpAddr::V6(_) => false,
    }
}

/// RFC 5782 §2.1: the TXT record says why.
async fn reason(dns: &Dns, question: &str) -> String {
    let found = dns.txt(question).await;
    let text = found
        .ok()
        .and_then(|answer| answer.records.into_iter().next());
    String::from_utf8_lossy(&text.unwrap_or_default())
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

fn condition(address: IpAddr, list: &str, why: &str) -> Condition {
    let why = match why {
        "" => String::new(),
        why => format!(": {why}"),
    };
    let sentence =
        format!("{address} is listed in {list}, so that others may refuse mail from here{why}");
    Condition::new(
        AlertKind::Blocklisted,
        format!("{address} {list}"),
        sentence,
    )
}
