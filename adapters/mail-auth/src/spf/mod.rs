//! SPF (RFC 7208): whether a client may send in the name of a domain. Our own, as `mail-auth`'s gets a quarter of the public
//! test suite wrong.
//!
//! Holds: at most [`LOOKUPS_MAX`] terms that ask the DNS, [`VOIDS_MAX`] of them for nothing, and [`NAMES_MAX`] names behind
//! one; so the work is bounded whatever the records say, and so is the recursion.
//! Other half: `record`, which reads the records.

pub mod record;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use mail_auth::common::cache::NoCache;
use mail_auth::hickory_resolver::lookup::Lookup;
use mail_auth::hickory_resolver::net::NetError;
use mail_auth::hickory_resolver::proto::rr::{Name, RData};
use mail_auth::{DnsError, Error, MessageAuthenticator, RecordSet};

use self::record::{Mechanism, Piece, Prefix, Qualifier, Text};
use crate::verdict::Outcome;

/// Terms that ask the DNS (§4.6.4).
const LOOKUPS_MAX: usize = 10;
/// Answers without records (§4.6.4).
const VOIDS_MAX: usize = 2;
/// Names of one `mx` or `ptr` (§4.6.4).
const NAMES_MAX: usize = 10;
/// Characters of a domain name.
const NAME_MAX: usize = 253;

/// Who wants to send, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub peer: IpAddr,
    pub helo: &'a str,
    /// An address; with `postmaster` where the local part is missing.
    pub address: &'a str,
}

/// The result for the domain of `sender.address` (§4).
pub async fn check(dns: &MessageAuthenticator, sender: Sender<'_>) -> Outcome {
    let (local, domain) = sender
        .address
        .rsplit_once('@')
        .unwrap_or(("", sender.address));
    let Ok(domain) = idna::domain_to_ascii(domain) else {
        return Outcome::None;
    };
    // §4.3.
    if !is_name(&domain) || !domain.trim_end_matches('.').contains('.') || domain.starts_with('[') {
        return Outcome::None;
    }
    let mut walk = Walk {
        dns,
        sender,
        local: if local.is_empty() {
            "postmaster"
        } else {
            local
        },
        lookups: 0,
        voids: 0,
        validated: None,
    };
    match walk.check_host(domain).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

/// One evaluation, with what it has used up.
struct Walk<'a> {
    dns: &'a MessageAuthenticator,
    sender: Sender<'a>,
    local: &'a str,
    lookups: usize,
    voids: usize,
    /// Names of the client that have its address.
    validated: Option<Vec<String>>,
}

/// An error is a result that ends the evaluation: `temperror` or `permerror`.
type Checked<T> = Result<T, Outcome>;

enum Answer<T> {
    Records(T),
    /// The name does not exist, has no such records, or is none.
    Nothing,
    Failure,
}

impl<'a> Walk<'a> {
    fn check_host<'s>(
        &'s mut self,
        domain: String,
    ) -> Pin<Box<dyn Future<Output = Checked<Outcome>> + Send + 's>> {
        Box::pin(async move {
            let texts = match self.txt(&domain).await {
                Answer::Records(texts) => texts,
                Answer::Nothing => return Ok(Outcome::None),
                Answer::Failure => return Err(Outcome::TempError),
            };
            let mut records = texts.iter().filter(|text| record::is_spf(text));
            let Some(first) = records.next() else {
                return Ok(Outcome::None);
            };
            // §4.5.
            if records.next().is_some() {
                return Err(Outcome::PermError);
            }
            let record = record::parse(first).ok_or(Outcome::PermError)?;
            let mut has_all = false;
            for (qualifier, mechanism) in &record.directives {
                has_all |= *mechanism == Mechanism::All;
                if self.matches(mechanism, &domain).await? {
                    return Ok(match qualifier {
                        Qualifier::Pass => Outcome::Pass,
                        Qualifier::Fail => Outcome::Fail,
                        Qualifier::SoftFail => Outcome::SoftFail,
                        Qualifier::Neutral => Outcome::Neutral,
                    });
                }
            }
            let Some(target) = record.redirect.filter(|_| !has_all) else {
                return Ok(Outcome::Neutral);
            };
            // §6.1.
            self.count_lookup()?;
            let target = self.expand(&target, &domain).await;
            match self.check_host(target).await? {
                Outcome::None => Err(Outcome::PermError),
                outcome => Ok(outcome),
            }
        })
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Checked<bool> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, bits) => Ok(match self.sender.peer {
                IpAddr::V4(peer) => same_v4(peer, *network, *bits),
                IpAddr::V6(_) => false,
            }),
            Mechanism::Ip6(network, bits) => Ok(match self.sender.peer {
                IpAddr::V6(peer) => same_v6(peer, *network, *bits),
                IpAddr::V4(_) => false,
            }),
            Mechanism::Include(target) => {
                self.count_lookup()?;
                let target = self.expand(target, domain).await;
                // §5.2.
                match self.check_host(target).await? {
                    Outcome::Pass => Ok(true),
                    Outcome::None => Err(Outcome::PermError),
                    _ => Ok(false),
                }
            }
            Mechanism::A(target, prefix) => {
                self.count_lookup()?;
                let target = self.target(target.as_ref(), domain).await;
                self.has_peer(&target, *prefix).await
            }
            Mechanism::Mx(target, prefix) => {
                self.matches_mx(target.as_ref(), *prefix, domain).await
            }
            Mechanism::Ptr(target) => {
                self.count_lookup()?;
                let target = self.target(target.as_ref(), domain).await;
                self.validate().await;
                let names = self.validated.iter().flatten();
                Ok(names.into_iter().any(|name| is_within(name, &target)))
            }
            Mechanism::Exists(target) => {
                self.count_lookup()?;
                let target = self.expand(target, domain).await;
                // §5.7: an A record, also for a client with IPv6.
                match self.addresses_v4(&target).await {
                    Answer::Records(_) => Ok(true),
                    Answer::Nothing => self.count_void().map(|()| false),
                    Answer::Failure => Err(Outcome::TempError),
                }
            }
        }
    }

    async fn matches_mx(
        &mut self,
        target: Option<&Text>,
        prefix: Prefix,
        domain: &str,
    ) -> Checked<bool> {
        self.count_lookup()?;
        let target = self.target(target, domain).await;
        let Some(name) = absolute(&target) else {
            return Ok(false);
        };
        let found = self.records(self.dns.0.mx_lookup(name).await, |data| match data {
            // Not as it would be printed, which escapes characters.
            RData::MX(mx) => {
                let labels = mx.exchange.iter().map(String::from_utf8_lossy);
                Some(labels.collect::<Vec<_>>().join("."))
            }
            _ => None,
        });
        let hosts = match found {
            Answer::Records(hosts) => hosts,
            Answer::Nothing => Vec::new(),
            Answer::Failure => return Err(Outcome::TempError),
        };
        if hosts.is_empty() {
            return self.count_void().map(|()| false);
        }
        if hosts.len() > NAMES_MAX {
            return Err(Outcome::PermError);
        }
        for host in hosts {
            if self.has_peer(&host, prefix).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether one of a name's addresses is in the client's network.
    async fn has_peer(&mut self, name: &str, prefix: Prefix) -> Checked<bool> {
        let found = match self.sender.peer {
            IpAddr::V4(peer) => match self.addresses_v4(name).await {
                Answer::Records(all) => {
                    Answer::Records(all.iter().any(|address| same_v4(peer, *address, prefix.v4)))
                }
                Answer::Nothing => Answer::Nothing,
                Answer::Failure => Answer::Failure,
            },
            IpAddr::V6(peer) => match self.addresses_v6(name).await {
                Answer::Records(all) => {
                    Answer::Records(all.iter().any(|address| same_v6(peer, *address, prefix.v6)))
                }
                Answer::Nothing => Answer::Nothing,
                Answer::Failure => Answer::Failure,
            },
        };
        match found {
            Answer::Records(found) => Ok(found),
            Answer::Nothing => self.count_void().map(|()| false),
            Answer::Failure => Err(Outcome::TempError),
        }
    }

    /// §5.5: the client's names that have its address. What fails is passed over.
    async fn validate(&mut self) {
        if self.validated.is_some() {
            return;
        }
        let none: Option<&NoCache<IpAddr, RecordSet<Box<str>>>> = None;
        let names = match answer(self.dns.ptr_lookup(self.sender.peer, none).await) {
            Answer::Records(names) => names.rrset.to_vec(),
            Answer::Nothing | Answer::Failure => Vec::new(),
        };
        let mut validated = Vec::new();
        for name in names.iter().take(NAMES_MAX) {
            let is_its = match self.sender.peer {
                IpAddr::V4(peer) => {
                    matches!(self.addresses_v4(name).await, Answer::Records(all) if all.contains(&peer))
                }
                IpAddr::V6(peer) => {
                    matches!(self.addresses_v6(name).await, Answer::Records(all) if all.contains(&peer))
                }
            };
            if is_its {
                validated.push(name.trim_end_matches('.').to_ascii_lowercase());
            }
        }
        self.validated = Some(validated);
    }

    fn count_lookup(&mut self) -> Checked<()> {
        self.lookups += 1;
        match self.lookups > LOOKUPS_MAX {
            true => Err(Outcome::PermError),
            false => Ok(()),
        }
    }

    fn count_void(&mut self) -> Checked<()> {
        self.voids += 1;
        match self.voids > VOIDS_MAX {
            true => Err(Outcome::PermError),
            false => Ok(()),
        }
    }

    async fn txt(&self, name: &str) -> Answer<Vec<Vec<u8>>> {
        let Some(name) = absolute(name) else {
            return Answer::Nothing;
        };
        self.records(self.dns.0.txt_lookup(name).await, |data| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        })
    }

    async fn addresses_v4(&self, name: &str) -> Answer<Vec<Ipv4Addr>> {
        let Some(name) = absolute(name) else {
            return Answer::Nothing;
        };
        self.records(self.dns.0.ipv4_lookup(name).await, |data| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
    }

    async fn addresses_v6(&self, name: &str) -> Answer<Vec<Ipv6Addr>> {
        let Some(name) = absolute(name) else {
            return Answer::Nothing;
        };
        self.records(self.dns.0.ipv6_lookup(name).await, |data| match data {
            RData::AAAA(address) => Some(address.0),
            _ => None,
        })
    }

    fn records<T>(
        &self,
        lookup: Result<Lookup, NetError>,
        of: impl Fn(&RData) -> Option<T>,
    ) -> Answer<Vec<T>> {
        match answer(lookup.map_err(Error::from)) {
            Answer::Records(lookup) => {
                let all = lookup.answers().iter();
                let records: Vec<T> = all.filter_map(|record| of(&record.data)).collect();
                match records.is_empty() {
                    true => Answer::Nothing,
                    false => Answer::Records(records),
                }
            }
            Answer::Nothing => Answer::Nothing,
            Answer::Failure => Answer::Failure,
        }
    }

    async fn target(&mut self, target: Option<&Text>, domain: &str) -> String {
        match target {
            Some(target) => self.expand(target, domain).await,
            None => domain.to_owned(),
        }
    }

    /// §7.3.
    async fn expand(&mut self, text: &Text, domain: &str) -> String {
        let mut expanded = String::new();
        for piece in &text.0 {
            match piece {
                Piece::Literal(literal) => expanded.push_str(literal),
                Piece::Macro {
                    letter,
                    is_escaped,
                    parts,
                    is_reversed,
                    delimiters,
                } => {
                    let value = self.value(*letter, domain).await;
                    let is_delimiter =
                        |c: char| u8::try_from(c).is_ok_and(|octet| delimiters.contains(&octet));
                    let mut all: Vec<&str> = value.split(is_delimiter).collect();
                    if *is_reversed {
                        all.reverse();
                    }
                    let from = all.len() - parts.unwrap_or(all.len()).min(all.len());
                    let value = all[from..].join(".");
                    match is_escaped {
                        true => escape(&value, &mut expanded),
                        false => expanded.push_str(&value),
                    }
                }
            }
        }
        // §7.3: what is too long loses labels at its left.
        let mut name = expanded.as_str();
        while name.len() > NAME_MAX {
            let Some((_, rest)) = name.split_once('.') else {
                break;
            };
            name = rest;
        }
        name.to_owned()
    }

    /// §7.2.
    async fn value(&mut self, letter: u8, domain: &str) -> String {
        let address = self.sender.address;
        let of = address
            .rsplit_once('@')
            .map_or(address, |(_, domain)| domain);
        match letter {
            b's' => format!("{}@{of}", self.local),
            b'l' => self.local.to_owned(),
            b'o' => of.to_owned(),
            b'd' => domain.to_owned(),
            b'i' => match self.sender.peer {
                IpAddr::V4(peer) => peer.to_string(),
                IpAddr::V6(peer) => {
                    let digits = peer
                        .octets()
                        .map(|octet| format!("{:x}.{:x}", octet >> 4, octet & 15));
                    digits.join(".")
                }
            },
            b'p' => {
                self.validate().await;
                let names = || self.validated.iter().flatten();
                let best = names()
                    .find(|name| name.as_str() == domain)
                    .or_else(|| names().find(|name| is_within(name, domain)))
                    .or_else(|| names().next());
                best.map_or("unknown", |name| name).to_owned()
            }
            b'v' => match self.sender.peer {
                IpAddr::V4(_) => "in-addr".to_owned(),
                IpAddr::V6(_) => "ip6".to_owned(),
            },
            _ => self.sender.helo.to_owned(),
        }
    }
}

fn answer<T>(result: Result<T, Error>) -> Answer<T> {
    match result {
        Ok(records) => Answer::Records(records),
        Err(Error::Dns(DnsError::RecordNotFound(_) | DnsError::InvalidRecordType)) => {
            Answer::Nothing
        }
        Err(_) => Answer::Failure,
    }
}

/// Whether the DNS can be asked about it.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let proper = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|octet| (0x20..0x7f).contains(&octet))
    };
    name.len() <= NAME_MAX && name.split('.').all(proper)
}

/// As the resolver takes it, whatever characters are in it. `None`: it is no name.
fn absolute(name: &str) -> Option<Name> {
    if !is_name(name) {
        return None;
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let mut name = Name::from_labels(name.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// RFC 3986 §2.3: what isn't unreserved is written as its octets.
fn escape(value: &str, into: &mut String) {
    for octet in value.bytes() {
        match octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            true => into.push(char::from(octet)),
            false => into.push_str(&format!("%{octet:02X}")),
        }
    }
}

fn is_within(name: &str, domain: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    name == domain
        || name
            .strip_suffix(&domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

fn same_v4(one: Ipv4Addr, other: Ipv4Addr, bits: u8) -> bool {
    let differ = one.to_bits() ^ other.to_bits();
    differ.checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0
}

fn same_v6(one: Ipv6Addr, other: Ipv6Addr, bits: u8) -> bool {
    let differ = one.to_bits() ^ other.to_bits();
    differ.checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests;
