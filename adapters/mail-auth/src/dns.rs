//! The DNS with its security: what a name has, and whether DNSSEC (RFC 4033 to 4035) vouches for it.
//!
//! Holds: a lookup ends within [`DnsSettings::timeout`]; what is remembered is bounded; an answer that DNSSEC says is
//! forged is never given out, and one of a zone that isn't signed is never called secure.
//! Other half: the name servers; [`Lookup`] is where a test puts its own.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
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

use self::opinion::Opinion;
use crate::resolver::{
    ANSWER_TIME_MAX, NO_ANSWER_TIME_MAX, Nameservers, QUESTIONS_MAX, ResolverError, servers,
};

mod opinion;

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

/// Whom to ask, and whom to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    pub nameservers: Nameservers,
    /// Whether answers are validated. Without it nothing is secure.
    pub validates: bool,
    /// A file of DNSKEY records that are trusted in place of the root's own.
    pub trust_anchor: Option<PathBuf>,
    /// For one lookup, with all that validating it takes.
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> DnsSettings {
        DnsSettings {
            nameservers: Nameservers::System,
            validates: true,
            trust_anchor: None,
            timeout: Duration::from_secs(10),
        }
    }
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Srv,
    Tlsa,
    Txt,
}

impl RecordKind {
    pub fn name(self) -> &'static str {
        match self {
            RecordKind::A => "A",
            RecordKind::Aaaa => "AAAA",
            RecordKind::Cname => "CNAME",
            RecordKind::Mx => "MX",
            RecordKind::Ns => "NS",
            RecordKind::Ptr => "PTR",
            RecordKind::Srv => "SRV",
            RecordKind::Tlsa => "TLSA",
            RecordKind::Txt => "TXT",
        }
    }

    fn wire(self) -> RecordType {
        match self {
            RecordKind::A => RecordType::A,
            RecordKind::Aaaa => RecordType::AAAA,
            RecordKind::Cname => RecordType::CNAME,
            RecordKind::Mx => RecordType::MX,
            RecordKind::Ns => RecordType::NS,
            RecordKind::Ptr => RecordType::PTR,
            RecordKind::Srv => RecordType::SRV,
            RecordKind::Tlsa => RecordType::TLSA,
            RecordKind::Txt => RecordType::TXT,
        }
    }
}

/// The data of a record. Names are in lower case, without the last dot; the root is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecordData {
    Address(IpAddr),
    /// Of CNAME, NS and PTR.
    Name(String),
    Mx(Mx),
    Srv(Srv),
    Tlsa(Tlsa),
    /// The strings of a TXT record, one after the other.
    Text(Vec<u8>),
}

/// RFC 5321 §5.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mx {
    pub preference: u16,
    /// Empty: the root, which is what null MX has (RFC 7505).
    pub exchange: String,
}

/// RFC 2782.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

/// RFC 6698 §2.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tlsa {
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    pub data: Vec<u8>,
}

impl fmt::Display for Tlsa {
    /// RFC 6698 §2.2.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data
            .iter()
            .try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

/// What a name has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// At least one.
    pub records: Vec<T>,
    /// The name that has them, after all aliases.
    pub name: String,
    /// DNSSEC vouches for the records and for each alias on the way.
    pub secure: bool,
    /// DNSSEC vouches for the first alias, if there is one: its target has been told by whoever owns the name asked for.
    pub alias_secure: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There are no such records.
    #[error("{0}")]
    NotFound(NotFound),
    /// RFC 4033 §5: it ought to be signed, and isn't rightly.
    #[error("the answer is bogus by DNSSEC")]
    Bogus,
    /// Nobody has answered, or with a failure.
    #[error("{0}")]
    Temporary(String),
    /// No name server can have it.
    #[error("not a domain name")]
    BadName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    #[error("the name does not exist")]
    Name,
    #[error("the name has no such records")]
    Records,
}

/// Who is asked.
#[async_trait]
pub trait Lookup: Send + Sync + fmt::Debug {
    /// `name`: A-labels, with or without the last dot. The records of the answer are all of that kind.
    async fn look_up(
        &self,
        name: &str,
        kind: RecordKind,
    ) -> Result<Answer<RecordData>, LookupError>;
}

/// The DNS. Cheap to clone; what is remembered is shared.
#[derive(Clone, Debug)]
pub struct Dns(Arc<dyn Lookup>);

impl Dns {
    pub fn new(settings: &DnsSettings) -> Result<Dns, ResolverError> {
        Ok(Dns(Arc::new(Validating::new(settings)?)))
    }

    pub fn with(lookup: Arc<dyn Lookup>) -> Dns {
        Dns(lookup)
    }

    /// One that has nobody to ask: everything is temporary.
    pub fn without() -> Dns {
        Dns(Arc::new(Nobody))
    }

    pub async fn look_up(
        &self,
        name: &str,
        kind: RecordKind,
    ) -> Result<Answer<RecordData>, LookupError> {
        self.0.look_up(name, kind).await
    }

    /// In no order.
    pub async fn mx(&self, name: &str) -> Result<Answer<Mx>, LookupError> {
        self.typed(name, RecordKind::Mx, |data| match data {
            RecordData::Mx(mx) => Some(mx),
            _ => None,
        })
        .await
    }

    pub async fn a(&self, name: &str) -> Result<Answer<IpAddr>, LookupError> {
        self.typed(name, RecordKind::A, address).await
    }

    pub async fn aaaa(&self, name: &str) -> Result<Answer<IpAddr>, LookupError> {
        self.typed(name, RecordKind::Aaaa, address).await
    }

    pub async fn tlsa(&self, name: &str) -> Result<Answer<Tlsa>, LookupError> {
        self.typed(name, RecordKind::Tlsa, |data| match data {
            RecordData::Tlsa(tlsa) => Some(tlsa),
            _ => None,
        })
        .await
    }

    pub async fn txt(&self, name: &str) -> Result<Answer<Vec<u8>>, LookupError> {
        self.typed(name, RecordKind::Txt, |data| match data {
            RecordData::Text(text) => Some(text),
            _ => None,
        })
        .await
    }

    pub async fn srv(&self, name: &str) -> Result<Answer<Srv>, LookupError> {
        self.typed(name, RecordKind::Srv, |data| match data {
            RecordData::Srv(srv) => Some(srv),
            _ => None,
        })
        .await
    }

    /// The alias of a name; it isn't followed.
    pub async fn cname(&self, name: &str) -> Result<Answer<String>, LookupError> {
        self.typed(name, RecordKind::Cname, name_of).await
    }

    pub async fn ns(&self, name: &str) -> Result<Answer<String>, LookupError> {
        self.typed(name, RecordKind::Ns, name_of).await
    }

    /// The names of an address (RFC 1035 §3.5, RFC 3596 §2.5).
    pub async fn ptr(&self, address: IpAddr) -> Result<Answer<String>, LookupError> {
        let name = Name::from(address).to_ascii();
        self.typed(&name, RecordKind::Ptr, name_of).await
    }

    async fn typed<T>(
        &self,
        name: &str,
        kind: RecordKind,
        read: fn(RecordData) -> Option<T>,
    ) -> Result<Answer<T>, LookupError> {
        let answer = self.0.look_up(name, kind).await?;
        let records: Vec<T> = answer.records.into_iter().filter_map(read).collect();
        if records.is_empty() {
            return Err(LookupError::NotFound(NotFound::Records));
        }
        Ok(Answer {
            records,
            name: answer.name,
            secure: answer.secure,
            alias_secure: answer.alias_secure,
        })
    }
}

fn address(data: RecordData) -> Option<IpAddr> {
    match data {
        RecordData::Address(address) => Some(address),
        _ => None,
    }
}

fn name_of(data: RecordData) -> Option<String> {
    match data {
        RecordData::Name(name) => Some(name),
        _ => None,
    }
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Lookup for Nobody {
    async fn look_up(&self, _: &str, _: RecordKind) -> Result<Answer<RecordData>, LookupError> {
        Err(LookupError::Temporary("there are no name servers".into()))
    }
}

/// hickory's resolver.
struct Validating {
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
    fn new(settings: &DnsSettings) -> Result<Validating, ResolverError> {
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
    let anchors = TrustAnchors::from_file(path).map_err(|error| wrong(error.to_string()))?;
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
