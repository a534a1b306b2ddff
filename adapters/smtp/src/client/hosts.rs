//! Which hosts take the mail of a domain (RFC 5321 §5.1), and how a session with each has to be.
//!
//! Holds: hosts come by preference, equals in random order; those that are as good as we are, or worse, are left out when we
//! are among them (§5.1); nobody's DNS makes us connect to this machine or its networks, unless that was configured;
//! DANE goes before MTA-STS (RFC 8461 §2), and what can't be told because the DNS fails is put off.
//! Other half: `send`, which tries them in order.

use std::net::IpAddr;
use std::sync::Arc;

use jmap_core::inproc::outbound::{Fate, TlsPolicyKind};
use jmap_core::push::crypto::is_public;
use jmap_core::rng::Rng;
use mail_auth_adapter::Dns;
use mail_auth_adapter::dns::{Answer, LookupError, Mx, NotFound};

use super::dane::{TLSA_RECORDS_MAX, is_usable};
use super::settings::Family;
use super::sts::{Mode, Sts};
use super::tls::{Dane, Failure, Need};

/// Mail exchangers of one domain that are looked at: the best ones.
pub const HOSTS_MAX: usize = 10;
/// Addresses of one host that are tried.
pub const ADDRESSES_MAX: usize = 6;

/// Why no host can be tried: a reply of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoHost {
    pub fate: Fate,
    pub reply: String,
    /// The policy for which a host is passed over, with its failure: what a report about TLS says of it.
    pub policy: Option<Box<Policy>>,
}

impl NoHost {
    pub fn refused(reply: impl Into<String>) -> NoHost {
        NoHost {
            fate: Fate::Refused,
            reply: reply.into(),
            policy: None,
        }
    }

    pub fn later(reply: impl Into<String>) -> NoHost {
        NoHost {
            fate: Fate::Later,
            reply: reply.into(),
            policy: None,
        }
    }

    fn by(self, policy: Policy) -> NoHost {
        NoHost {
            policy: Some(Box::new(policy)),
            ..self
        }
    }
}

/// The mail exchangers of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchangers {
    /// Best first.
    pub hosts: Vec<String>,
    /// DNSSEC vouches for the list, or there is none and the domain itself is meant (RFC 7672 §2.2.1).
    pub secure: bool,
    /// The domain itself, without an MX record.
    pub implicit: bool,
    /// The domain after its aliases.
    pub name: String,
}

/// A host, ready to be tried.
#[derive(Clone, Debug)]
pub struct Target {
    pub host: String,
    pub addresses: Vec<IpAddr>,
    pub policy: Policy,
}

/// How a session has to be, and by what policy that is told to others (RFC 8460 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub need: Need,
    pub kind: TlsPolicyKind,
    pub lines: Vec<String>,
    pub domain: String,
    pub mx_patterns: Vec<String>,
    /// The session is compared with the policy, and not bound by it.
    pub is_testing: bool,
    /// What is wrong with the policy itself.
    pub failure: Option<Failure>,
    /// A policy or DNSSEC says that the host is one of the domain's (RFC 8689 §4.2.1).
    pub vouched_host: bool,
}

impl Policy {
    /// Without any policy.
    pub fn none(need: Need, domain: &str) -> Policy {
        Policy {
            need,
            kind: TlsPolicyKind::NoPolicyFound,
            lines: Vec::new(),
            domain: domain.to_owned(),
            mx_patterns: Vec::new(),
            is_testing: false,
            failure: None,
            vouched_host: false,
        }
    }
}

/// Whether an address that the DNS gives is one to connect to.
pub fn may_connect(address: IpAddr, allow_private: bool) -> bool {
    let never = address.is_unspecified() || address.is_multicast();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !never && !is_broadcast && (allow_private || is_public(address.to_canonical()))
}

/// An address literal (RFC 5321 §4.1.3): `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
pub fn literal(domain: &str) -> Option<Result<IpAddr, NoHost>> {
    let inner = domain.strip_prefix('[')?;
    let parsed = inner.strip_suffix(']').and_then(|inner| {
        match inner
            .get(..5)
            .is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"))
        {
            true => inner[5..].parse().ok().map(IpAddr::V6),
            false => inner.parse().ok().map(IpAddr::V4),
        }
    });
    Some(parsed.ok_or_else(|| NoHost::refused("550 5.1.2 The address literal can't be read")))
}

/// Finds hosts.
#[derive(Clone, Debug)]
pub struct Finder {
    pub dns: Dns,
    pub rng: Arc<dyn Rng>,
    /// Our own names.
    pub own_names: Vec<String>,
    pub allow_private: bool,
    pub families: Vec<Family>,
    pub port: u16,
}

impl Finder {
    /// RFC 5321 §5.1.
    pub async fn exchangers(&self, domain: &str) -> Result<Exchangers, NoHost> {
        let answer = match self.dns.mx(domain).await {
            Ok(answer) => answer,
            Err(LookupError::NotFound(NotFound::Records)) => {
                return Ok(Exchangers {
                    hosts: vec![domain.to_owned()],
                    // What is insecure shows by the addresses.
                    secure: true,
                    implicit: true,
                    name: domain.to_owned(),
                });
            }
            Err(LookupError::NotFound(NotFound::Name) | LookupError::BadName) => {
                return Err(NoHost::refused("550 5.1.2 The domain does not exist"));
            }
            Err(LookupError::Bogus) => {
                return Err(NoHost::later(
                    "451 4.7.5 What the DNS says of the domain is forged or damaged (DNSSEC: bogus)",
                ));
            }
            Err(LookupError::Temporary(why)) => {
                return Err(NoHost::later(format!(
                    "451 4.4.3 The domain's mail exchangers can't be looked up: {why}"
                )));
            }
        };
        let (secure, name) = (answer.secure, answer.name.clone());
        let hosts = self.order(answer)?;
        Ok(Exchangers {
            hosts,
            secure,
            implicit: false,
            name,
        })
    }

    fn order(&self, answer: Answer<Mx>) -> Result<Vec<String>, NoHost> {
        let mut records = answer.records;
        // RFC 7505 §3.
        if records.iter().all(|mx| mx.exchange.is_empty()) {
            return Err(NoHost::refused(
                "556 5.1.10 The domain takes no mail (null MX)",
            ));
        }
        records.retain(|mx| !mx.exchange.is_empty());
        let is_own = |mx: &&Mx| self.own_names.contains(&mx.exchange);
        if let Some(ours) = records.iter().filter(is_own).map(|mx| mx.preference).min() {
            records.retain(|mx| mx.preference < ours);
            if records.is_empty() {
                return Err(NoHost::refused(
                    "554 5.4.6 The domain's best mail exchanger is this server, which does not have the domain",
                ));
            }
        }
        records.sort();
        records.dedup_by(|later, earlier| later.exchange == earlier.exchange);
        let mut keyed: Vec<(u16, u64, String)> = records
            .into_iter()
            .map(|mx| (mx.preference, self.rng.next_u64(), mx.exchange))
            .collect();
        keyed.sort();
        keyed.truncate(HOSTS_MAX);
        Ok(keyed.into_iter().map(|(_, _, host)| host).collect())
    }

    /// The addresses of a host, and how a session with it has to be. `Err`: it is passed over.
    pub async fn target(
        &self,
        host: &str,
        exchangers: &Exchangers,
        domain: &str,
        sts: &Sts,
    ) -> Result<Target, NoHost> {
        let found = self.addresses(host).await?;
        let dane = match exchangers.secure {
            true => self.dane(host, &found, exchangers, domain).await?,
            false => None,
        };
        let mut policy = match dane {
            Some(policy) => policy,
            None => sts_policy(host, domain, sts)?,
        };
        policy.vouched_host |= exchangers.secure && !exchangers.implicit;
        policy.vouched_host |= exchangers.implicit && found.secure;
        Ok(Target {
            host: host.to_owned(),
            addresses: found.addresses,
            policy,
        })
    }

    /// In the order in which they are tried.
    pub async fn addresses(&self, host: &str) -> Result<Found, NoHost> {
        let (v4, v6) = tokio::join!(self.dns.a(host), self.dns.aaaa(host));
        let mut found = Found {
            addresses: Vec::new(),
            name: host.to_owned(),
            secure: true,
            alias_secure: true,
        };
        let (mut is_bogus, mut temporary) = (false, None);
        let mut by_family: [(Family, Vec<IpAddr>); 2] =
            [(Family::Ipv4, Vec::new()), (Family::Ipv6, Vec::new())];
        for (answer, (_, into)) in [v4, v6].into_iter().zip(&mut by_family) {
            match answer {
                Ok(answer) => {
                    found.secure &= answer.secure;
                    found.alias_secure &= answer.alias_secure;
                    found.name = answer.name;
                    *into = answer.records;
                }
                Err(LookupError::Bogus) => is_bogus = true,
                Err(LookupError::Temporary(why)) => temporary = Some(why),
                Err(LookupError::NotFound(_) | LookupError::BadName) => {}
            }
        }
        // RFC 7672 §2.1.1: what is bogus is no answer at all.
        if is_bogus {
            return Err(NoHost::later(format!(
                "451 4.7.5 What the DNS says of {host} is forged or damaged (DNSSEC: bogus)"
            )));
        }
        let has_any = by_family.iter().any(|(_, addresses)| !addresses.is_empty());
        let unknown = temporary.map(|why| {
            NoHost::later(format!(
                "451 4.4.3 The address of {host} can't be looked up: {why}"
            ))
        });
        if !has_any {
            if let Some(unknown) = unknown {
                return Err(unknown);
            }
            return Err(NoHost::refused(format!(
                "550 5.4.4 {host}, which takes the domain's mail, has no address"
            )));
        }
        for family in &self.families {
            let of_family = by_family.iter_mut().filter(|(other, _)| other == family);
            for (_, addresses) in of_family {
                self.shuffle(addresses);
                found.addresses.append(addresses);
            }
        }
        found
            .addresses
            .retain(|address| may_connect(*address, self.allow_private));
        found.addresses.truncate(ADDRESSES_MAX);
        if !found.addresses.is_empty() {
            return Ok(found);
        }
        // What could not be looked up may be one that can be used.
        Err(unknown.unwrap_or_else(|| {
            NoHost::refused(format!(
                "550 5.4.4 {host}, which takes the domain's mail, has no address on the internet"
            ))
        }))
    }

    fn shuffle(&self, addresses: &mut Vec<IpAddr>) {
        let mut keyed: Vec<(u64, IpAddr)> = addresses
            .drain(..)
            .map(|ip| (self.rng.next_u64(), ip))
            .collect();
        keyed.sort();
        addresses.extend(keyed.into_iter().map(|(_, ip)| ip));
    }

    /// RFC 7672 §2.2: what TLSA records ask for. `None`: there are none that count.
    async fn dane(
        &self,
        host: &str,
        found: &Found,
        exchangers: &Exchangers,
        domain: &str,
    ) -> Result<Option<Policy>, NoHost> {
        // RFC 7672 §2.2.2: the name that the aliases lead to, if all of them are secure, and then the name itself.
        let mut bases = Vec::new();
        if found.secure {
            bases.push(found.name.as_str());
        }
        if found.alias_secure && !bases.contains(&host) {
            bases.push(host);
        }
        for base in bases {
            let answer = match self.dns.tlsa(&format!("_{}._tcp.{base}", self.port)).await {
                Ok(answer) if answer.secure => answer,
                Ok(_) | Err(LookupError::NotFound(_) | LookupError::BadName) => continue,
                // RFC 7672 §2.1.1, §2.2: a host whose records can't be had is not used.
                Err(LookupError::Bogus) => {
                    // RFC 8460 §4.3.2.1.
                    let failure = Failure::new("dnssec-invalid", "the TLSA records are bogus");
                    let policy = Policy {
                        kind: TlsPolicyKind::Tlsa,
                        failure: Some(failure),
                        ..Policy::none(Need::Encrypted, base)
                    };
                    let no_host = NoHost::later(format!(
                        "451 4.7.5 The TLSA records of {base} are forged or damaged (DNSSEC: bogus)"
                    ));
                    return Err(no_host.by(policy));
                }
                Err(LookupError::Temporary(why)) => {
                    return Err(NoHost::later(format!(
                        "451 4.4.3 The TLSA records of {base} can't be looked up: {why}"
                    )));
                }
            };
            let mut records = answer.records;
            // The DNS has no order, and a pool and reports want one.
            records.sort();
            records.truncate(TLSA_RECORDS_MAX);
            let lines = records.iter().map(ToString::to_string).collect();
            records.retain(is_usable);
            // RFC 7672 §3.2.2.
            let mut names: Vec<String> = vec![base.to_owned()];
            for name in [host, domain, &exchangers.name] {
                if !names.iter().any(|other| other == name) {
                    names.push(name.to_owned());
                }
            }
            let (need, failure) = match records.is_empty() {
                true => (
                    Need::Encrypted,
                    Some(Failure::new(
                        "tlsa-invalid",
                        "no TLSA record can be used for SMTP",
                    )),
                ),
                false => (Need::Dane(Arc::new(Dane { records, names })), None),
            };
            return Ok(Some(Policy {
                need,
                kind: TlsPolicyKind::Tlsa,
                lines,
                // RFC 8460 §1.1: the TLSA base domain.
                domain: base.to_owned(),
                mx_patterns: Vec::new(),
                is_testing: false,
                failure,
                vouched_host: true,
            }));
        }
        Ok(None)
    }
}

/// The addresses of a host.
#[derive(Clone, Debug)]
pub struct Found {
    pub addresses: Vec<IpAddr>,
    name: String,
    secure: bool,
    alias_secure: bool,
}

/// RFC 8461 §5: what a policy asks of a session with a host.
fn sts_policy(host: &str, domain: &str, sts: &Sts) -> Result<Policy, NoHost> {
    let mut policy = Policy::none(Need::Opportunistic, domain);
    policy.failure = sts.failure.clone();
    if sts.failure.is_some() {
        policy.kind = TlsPolicyKind::Sts;
    }
    let Some(found) = sts.policy.as_ref().filter(|found| found.mode != Mode::None) else {
        return Ok(policy);
    };
    policy.kind = TlsPolicyKind::Sts;
    policy.lines = found.lines.clone();
    policy.mx_patterns = found.mx.clone();
    let is_allowed = found.allows(host);
    if found.mode == Mode::Testing {
        policy.is_testing = true;
        policy.failure = (!is_allowed).then(|| not_allowed(host));
        return Ok(policy);
    }
    policy.need = Need::Pkix;
    policy.vouched_host = true;
    match is_allowed {
        true => Ok(policy),
        false => {
            policy.failure = Some(not_allowed(host));
            let no_host = NoHost::later(format!(
                "451 4.7.5 {host} is none of the hosts that the domain's MTA-STS policy allows"
            ));
            Err(no_host.by(policy))
        }
    }
}

fn not_allowed(host: &str) -> Failure {
    Failure::new(
        "validation-failure",
        format!("{host} is not allowed by the policy"),
    )
}
