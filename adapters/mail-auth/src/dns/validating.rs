//! Asks name servers, and validates what they say.
//!
//! Holds: what is remembered is bounded; an alias counts with what it leads to.
//! Other half: hickory, which verifies signatures; `opinion`, where it is wrong about what doesn't exist.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle as _, FirstAnswer as _, RetryDnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequestOptions, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record as WireRecord, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, TokioResolver};
use tokio::time::{Instant, timeout};

use super::opinion::{self, Opinion};
use super::{
    Answer, DnsSettings, Lookup, LookupError, Mx, NotFound, RecordData, RecordKind, Srv, Tlsa,
};
use crate::resolver::{ANSWER_TIME_MAX, NO_ANSWER_TIME_MAX, QUESTIONS_MAX, ResolverError, servers};

/// Answers that are remembered.
pub const DNS_ANSWERS_MAX: u64 = 4096;
/// Aliases (CNAME) that are followed from one name to another.
pub const ALIASES_MAX: usize = 8;
/// What is remembered not to be there, and how long.
pub const NOT_FOUND_MAX: usize = 4096;
const NOT_FOUND_TIME: Duration = Duration::from_secs(60);
/// What is wrong when nothing validates.
const NO_DNSSEC: &str = "the name servers pass on no signatures (DNSSEC): others are needed, or `dns.dnssec` has to be false";
/// Octets of a file with trust anchors.
const TRUST_ANCHOR_OCTETS_MAX: u64 = 1 << 20;

/// hickory's resolver.
pub(super) struct Validating {
    resolver: TokioResolver,
    /// The same without a memory, for a second look.
    again: DnssecDnsHandle<RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>>,
    validates: bool,
    timeout: Duration,
    recent: Recent,
    /// Whether the root validates, and until when that is believed.
    root: Mutex<Option<(Instant, bool)>>,
}

impl fmt::Debug for Validating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validating").finish_non_exhaustive()
    }
}

impl Validating {
    pub(super) fn new(settings: &DnsSettings) -> Result<Validating, ResolverError> {
        let servers = servers(&settings.nameservers)?;
        // Without the system's search domains: a domain is meant as it stands.
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut options = ResolverOpts::default();
        options.timeout = (settings.timeout / 4).max(Duration::from_millis(100));
        options.attempts = 1;
        options.cache_size = DNS_ANSWERS_MAX;
        options.max_active_requests = QUESTIONS_MAX;
        options.use_hosts_file = ResolveHosts::Never;
        options.positive_max_ttl = Some(ANSWER_TIME_MAX);
        options.negative_max_ttl = Some(NO_ANSWER_TIME_MAX);
        // The aliases count: an answer is as secure as the least of them.
        options.preserve_intermediates = true;
        options.edns0 = true;
        options.validate = settings.validates;
        let provider = TokioRuntimeProvider::default();
        let anchors = Arc::new(match &settings.trust_anchor {
            Some(path) => trust_anchors(path)?,
            None => TrustAnchors::default(),
        });
        let failed = |error: NetError| ResolverError::Resolver(error.to_string());
        let context = PoolContext::new(options.clone(), TlsConfig::new().map_err(failed)?);
        let pool = NameServerPool::from_config(
            config.name_servers().to_vec(),
            Arc::new(context),
            provider.clone(),
        );
        let again = RetryDnsHandle::new(pool, options.attempts);
        let again = DnssecDnsHandle::with_trust_anchor(again, anchors.clone());
        let mut builder =
            TokioResolver::builder_with_config(config, provider).with_options(options);
        if settings.validates {
            builder = builder.with_trust_anchor(anchors);
        }
        let resolver = builder.build().map_err(failed)?;
        Ok(Validating {
            resolver,
            validates: settings.validates,
            timeout: settings.timeout,
            again,
            recent: Recent::default(),
            root: Mutex::default(),
        })
    }
}

/// What was found not to be there: the resolver forgets that at once when it validates.
#[derive(Debug, Default)]
struct Recent(Mutex<HashMap<(Name, RecordKind), (Instant, NotFound)>>);

impl Recent {
    fn get(
        &self,
        name: &Name,
        kind: RecordKind,
    ) -> Option<Result<Answer<RecordData>, LookupError>> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, none) = recent.get(&(name.clone(), kind))?;
        (*until > Instant::now()).then_some(Err(LookupError::NotFound(*none)))
    }

    fn keep(&self, name: Name, kind: RecordKind, found: &Result<Answer<RecordData>, LookupError>) {
        let Err(LookupError::NotFound(none)) = found else {
            return;
        };
        let now = Instant::now();
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= NOT_FOUND_MAX {
            recent.retain(|_, (until, _)| *until > now);
        }
        if recent.len() < NOT_FOUND_MAX {
            recent.insert((name, kind), (now + NOT_FOUND_TIME, *none));
        }
    }
}

fn trust_anchors(path: &std::path::Path) -> Result<TrustAnchors, ResolverError> {
    let wrong = |why: String| ResolverError::TrustAnchor(path.display().to_string(), why);
    let size = std::fs::metadata(path)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if size > TRUST_ANCHOR_OCTETS_MAX {
        return Err(wrong("it is too large".into()));
    }
    std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    // What the parser says quotes the file, which may be another one than was meant, with a secret in it.
    let anchors = TrustAnchors::from_file(path)
        .map_err(|_| wrong("it is no zone file with DNSKEY records".into()))?;
    match anchors.is_empty() {
        true => Err(wrong("it has no DNSKEY record of the root".into())),
        false => Ok(anchors),
    }
}

#[async_trait]
impl Lookup for Validating {
    async fn look_up(
        &self,
        name: &str,
        kind: RecordKind,
    ) -> Result<Answer<RecordData>, LookupError> {
        let mut wire = Name::from_ascii(name)
            .map_err(|_| LookupError::BadName)?
            .to_lowercase();
        wire.set_fqdn(true);
        if let Some(recent) = self.recent.get(&wire, kind) {
            return recent;
        }
        let find = async {
            match self.find(wire.clone(), kind).await {
                Err(LookupError::Bogus) if !self.root_is_secure().await => {
                    Err(LookupError::Temporary(NO_DNSSEC.into()))
                }
                found => found,
            }
        };
        let found = timeout(self.timeout, find)
            .await
            .unwrap_or_else(|_| Err(LookupError::Temporary("no answer in time".into())));
        self.recent.keep(wire, kind, &found);
        found
    }
}

impl Validating {
    async fn find(&self, asked: Name, kind: RecordKind) -> Result<Answer<RecordData>, LookupError> {
        let (mut name, mut secure, mut alias_secure) = (asked.clone(), true, None);
        for _ in 0..=ALIASES_MAX {
            let found = self.resolver.lookup(name.clone(), kind.wire()).await;
            let mut answer = match found {
                Ok(found) => match read(found.answers(), name.clone(), kind, self.validates) {
                    // The resolver has remembered where the alias leads, and not the alias.
                    Err(LookupError::NotFound(_)) if kind != RecordKind::Cname => {
                        let (target, is_secure) = self.alias(&name).await?;
                        secure &= is_secure;
                        alias_secure.get_or_insert(is_secure);
                        name = target;
                        continue;
                    }
                    read => read?,
                },
                Err(NetError::Dns(DnsError::DnssecBogus)) => {
                    let response = self.look_again(&name, kind).await?;
                    match opinion::of(&response, &name, kind.wire(), ALIASES_MAX) {
                        Opinion::Records => read(&response.answers, name, kind, self.validates)?,
                        Opinion::Alias(target) => {
                            let path = path(&response.answers, &name, self.validates)?;
                            secure &= path.secure;
                            alias_secure.get_or_insert(path.alias_secure);
                            name = target;
                            continue;
                        }
                        Opinion::Bogus => return Err(LookupError::Bogus),
                    }
                }
                Err(error) => return Err(failure(error)),
            };
            answer.secure &= secure;
            answer.alias_secure = alias_secure.unwrap_or(answer.alias_secure);
            return Ok(answer);
        }
        Err(LookupError::Temporary("too many aliases".into()))
    }

    /// Whether the root's own keys validate. If they don't, nothing does, and it isn't the domain that is wrong.
    async fn root_is_secure(&self) -> bool {
        let now = Instant::now();
        let known = *self.root.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, is_secure)) = known.filter(|(until, _)| *until > now) {
            return is_secure;
        }
        let found = self.resolver.lookup(Name::root(), RecordType::DNSKEY).await;
        let is_secure = found.is_ok_and(|found| {
            let mut keys = found.answers().iter();
            keys.any(|key| key.record_type() == RecordType::DNSKEY && key.proof == Proof::Secure)
        });
        if !is_secure {
            tracing::error!("{NO_DNSSEC}: mail for other servers waits");
        }
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((now + NOT_FOUND_TIME, is_secure));
        is_secure
    }

    /// Where a name is an alias to, and whether DNSSEC vouches for it.
    async fn alias(&self, name: &Name) -> Result<(Name, bool), LookupError> {
        let found = self.resolver.lookup(name.clone(), RecordType::CNAME).await;
        let found = found.map_err(failure)?;
        let path = path(found.answers(), name, self.validates)?;
        match path.count {
            0 => Err(LookupError::NotFound(NotFound::Records)),
            _ => Ok((path.name, path.secure)),
        }
    }

    /// The whole of an answer that is said to be bogus; each of its records has been looked at.
    async fn look_again(&self, name: &Name, kind: RecordKind) -> Result<Message, LookupError> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        options.recursion_desired = true;
        let query = Query::query(name.clone(), kind.wire());
        match self.again.lookup(query, options).first_answer().await {
            Ok(response) => Ok(response.into_message()),
            Err(NetError::Dns(DnsError::Nsec { response, .. })) => Ok(response.into_message()),
            Err(error) => Err(failure(error)),
        }
    }
}

/// Where aliases lead, and whether they are secure.
struct AliasPath {
    name: Name,
    secure: bool,
    /// The first of them; so is a path without any.
    alias_secure: bool,
    count: usize,
}

/// Follows the aliases in an answer section.
fn path(answers: &[WireRecord], asked: &Name, validates: bool) -> Result<AliasPath, LookupError> {
    let mut path = AliasPath {
        name: asked.clone(),
        secure: validates,
        alias_secure: validates,
        count: 0,
    };
    loop {
        let alias = answers
            .iter()
            .filter(|record| record.name == path.name)
            .find_map(|record| match &record.data {
                RData::CNAME(target) => Some((target.0.to_lowercase(), record.proof)),
                _ => None,
            });
        let Some((target, proof)) = alias else {
            return Ok(path);
        };
        path.count += 1;
        if path.count > ALIASES_MAX {
            return Err(LookupError::Temporary("too many aliases".into()));
        }
        let is_secure = validates && vouched(proof)?;
        path.secure &= is_secure;
        if path.count == 1 {
            path.alias_secure = is_secure;
        }
        path.name = target;
        path.name.set_fqdn(true);
    }
}

/// Picks from an answer section what belongs to the name, through its aliases.
fn read(
    answers: &[WireRecord],
    asked: Name,
    kind: RecordKind,
    validates: bool,
) -> Result<Answer<RecordData>, LookupError> {
    let path = match kind {
        // What is asked for is the alias itself.
        RecordKind::Cname => path(&[], &asked, validates)?,
        _ => path(answers, &asked, validates)?,
    };
    let mut secure = path.secure;
    let mut records = Vec::new();
    let of_kind = answers
        .iter()
        .filter(|record| record.name == path.name && record.record_type() == kind.wire());
    for record in of_kind {
        secure &= validates && vouched(record.proof)?;
        records.extend(data(&record.data));
    }
    if records.is_empty() {
        return Err(LookupError::NotFound(NotFound::Records));
    }
    Ok(Answer {
        records,
        name: text(&path.name),
        secure,
        alias_secure: match path.count {
            0 => secure,
            _ => path.alias_secure,
        },
    })
}

fn vouched(proof: Proof) -> Result<bool, LookupError> {
    match proof {
        Proof::Secure => Ok(true),
        Proof::Insecure => Ok(false),
        Proof::Bogus => Err(LookupError::Bogus),
        Proof::Indeterminate => Err(LookupError::Temporary(
            "DNSSEC's records can't be had, so it isn't known whether the answer is forged".into(),
        )),
    }
}

fn data(data: &RData) -> Option<RecordData> {
    Some(match data {
        RData::A(a) => RecordData::Address(IpAddr::V4(Ipv4Addr::from(*a))),
        RData::AAAA(aaaa) => RecordData::Address(IpAddr::V6(Ipv6Addr::from(*aaaa))),
        RData::CNAME(name) => RecordData::Name(text(&name.0)),
        RData::NS(name) => RecordData::Name(text(&name.0)),
        RData::PTR(name) => RecordData::Name(text(&name.0)),
        RData::MX(mx) => RecordData::Mx(Mx {
            preference: mx.preference,
            exchange: text(&mx.exchange),
        }),
        RData::SRV(srv) => RecordData::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: text(&srv.target),
        }),
        RData::TLSA(tlsa) => RecordData::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        RData::TXT(txt) => RecordData::Text(txt.txt_data.concat()),
        _ => return None,
    })
}

fn text(name: &Name) -> String {
    let mut text = name.to_lowercase().to_ascii();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

fn failure(error: NetError) -> LookupError {
    let error = match error {
        NetError::Dns(error) => error,
        NetError::Timeout => return LookupError::Temporary("no answer in time".into()),
        other => return LookupError::Temporary(other.to_string()),
    };
    match error {
        DnsError::NoRecordsFound(none) => not_found(none.response_code),
        DnsError::DnssecBogus => LookupError::Bogus,
        DnsError::Nsec {
            response, proof, ..
        } => match proof {
            // It was shown that the zone isn't signed.
            Proof::Insecure | Proof::Secure => not_found(response.response_code),
            Proof::Bogus => LookupError::Bogus,
            Proof::Indeterminate => LookupError::Temporary(
                "DNSSEC's records can't be had, so it isn't known whether the answer is forged"
                    .into(),
            ),
        },
        DnsError::ResponseCode(code) => {
            LookupError::Temporary(format!("a name server says {code}"))
        }
        other => LookupError::Temporary(other.to_string()),
    }
}

fn not_found(code: ResponseCode) -> LookupError {
    match code {
        ResponseCode::NXDomain => LookupError::NotFound(NotFound::Name),
        ResponseCode::NoError => LookupError::NotFound(NotFound::Records),
        other => LookupError::Temporary(format!("a name server says {other}")),
    }
}
