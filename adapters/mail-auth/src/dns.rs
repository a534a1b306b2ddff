//! The DNS with its security: what a name has, and whether DNSSEC (RFC 4033 to 4035) vouches for it.
//!
//! Holds: a lookup ends within [`DnsSettings::timeout`]; what is remembered is bounded; an answer that DNSSEC says is
//! forged is never given out, and one of a zone that isn't signed is never called secure.
//! Other half: `validating` asks; [`Lookup`] is where a test puts its own.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::proto::rr::{Name, RecordType};

use self::validating::Validating;
pub use self::validating::{ALIASES_MAX, DNS_ANSWERS_MAX, NOT_FOUND_MAX};
use crate::resolver::{Nameservers, ResolverError};

mod opinion;
mod validating;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
