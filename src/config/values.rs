//! The values of the configuration that are more than a word: sizes, spans of time, rates, addresses, names.
//!
//! Holds: each has one spelling that it is written by, and reading that gives the same value again; whoever has
//! one has a valid one.
//! Other half: `super`, which has the keys.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use jmap_core::directory::names;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::acme::{CertificateName, ChallengeName};

/// Why a text is not such a value: a sentence for the operator.
type Why = String;

/// A number of octets: `1048576`, `"1 MiB"`, `"50 MB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Octets(pub u64);

const UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

impl Octets {
    pub const fn mib(count: u64) -> Octets {
        Octets(count << 20)
    }

    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Octets {
    type Err = Why;

    fn from_str(text: &str) -> Result<Octets, Why> {
        let why = || format!("\"{text}\" is not a size; write it like \"50 MB\" or \"64 KiB\"");
        let (number, unit) = number_and_unit(text).ok_or_else(why)?;
        let by_name = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
        let factor = match unit {
            "" => 1,
            _ => UNITS.iter().find(by_name).ok_or_else(why)?.1,
        };
        number.checked_mul(factor).map(Octets).ok_or_else(why)
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The largest unit that divides it, so that nothing is rounded.
        let fits = |(_, factor): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*factor);
        match UNITS.iter().filter(fits).max_by_key(|(_, factor)| factor) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => f.write_str("0 B"),
        }
    }
}

/// A span of time: `"30s"`, `"5m"`, `"24h"`, `"30d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

const SPANS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

impl Span {
    pub const fn seconds(count: u64) -> Span {
        Span(Duration::from_secs(count))
    }
}

impl FromStr for Span {
    type Err = Why;

    fn from_str(text: &str) -> Result<Span, Why> {
        let why = || {
            format!(
                "\"{text}\" is not a span of time; write it like \"30s\", \"5m\", \"24h\" or \"30d\""
            )
        };
        let (number, unit) = number_and_unit(text).ok_or_else(why)?;
        let (_, factor) = SPANS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(why)?;
        number
            .checked_mul(*factor)
            .map(Span::seconds)
            .ok_or_else(why)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let fits = |(_, factor): &&(&str, u64)| seconds != 0 && seconds.is_multiple_of(*factor);
        match SPANS.iter().rev().find(fits) {
            Some((unit, factor)) => write!(f, "{}{unit}", seconds / factor),
            None => write!(f, "{seconds}s"),
        }
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim()))
}

/// How often: `"300/1m"` is 300 at once, and 300 in every minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub net::Rate);

impl Rate {
    pub const fn new(burst: u32, per: Duration) -> Rate {
        Rate(net::Rate::new(burst, per))
    }
}

impl FromStr for Rate {
    type Err = Why;

    fn from_str(text: &str) -> Result<Rate, Why> {
        let why = || format!("\"{text}\" is not a rate; write it like \"300/1m\" or \"3000/1h\"");
        let (burst, per) = text.split_once('/').ok_or_else(why)?;
        let per: Span = per.trim().parse().map_err(|_| why())?;
        let burst = burst.trim().parse().map_err(|_| why())?;
        if per.0.is_zero() {
            return Err(why());
        }
        Ok(Rate::new(burst, per.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.burst, Span(self.0.per))
    }
}

/// Where to listen: `"[::]:25"`, `"127.0.0.1:8080"`, `"unix:/run/posthorn/lmtp.sock"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = Why;

    fn from_str(text: &str) -> Result<Listen, Why> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true => Ok(Listen::Unix(path)),
                false => Err(format!(
                    "\"{text}\": the path of a socket begins with a slash"
                )),
            };
        }
        let tcp = text.parse().map(Listen::Tcp);
        tcp.map_err(|_| {
            format!("\"{text}\" is not an IP address with a port; write it like \"[::]:25\" or \"127.0.0.1:8080\"")
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A network in CIDR notation: `"192.0.2.0/24"`, `"2001:db8::/32"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub net::Network);

impl FromStr for Network {
    type Err = Why;

    fn from_str(text: &str) -> Result<Network, Why> {
        text.parse()
            .map(Network)
            .map_err(|error: net::network::NetworkError| error.to_string())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub fn networks(networks: &[Network]) -> Vec<net::Network> {
    networks.iter().map(|network| network.0).collect()
}

/// The name of a host, as lower-case A-labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname(pub String);

impl FromStr for Hostname {
    type Err = Why;

    fn from_str(text: &str) -> Result<Hostname, Why> {
        names::domain(text)
            .map(Hostname)
            .map_err(|error| format!("\"{text}\" is not the name of a host: {error}"))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Scheme and host of a URL, and nothing behind them: `"https://mail.example.org"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(pub String);

impl FromStr for BaseUrl {
    type Err = Why;

    fn from_str(text: &str) -> Result<BaseUrl, Why> {
        let why =
            || format!("\"{text}\" is not a base URL; write it like \"https://mail.example.org\"");
        let host = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(why)?;
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
        match !host.is_empty() && host.bytes().all(is_host) {
            true => Ok(BaseUrl(text.to_owned())),
            false => Err(why()),
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where somebody is reached: `"mailto:postmaster@example.org"` (RFC 3986 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri(pub String);

impl FromStr for Uri {
    type Err = Why;

    fn from_str(text: &str) -> Result<Uri, Why> {
        let is_scheme = |scheme: &str| {
            let rest = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(rest)
        };
        let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| {
            is_scheme(scheme) && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic())
        });
        match is_uri {
            true => Ok(Uri(text.to_owned())),
            false => Err(format!(
                "\"{text}\" is not a URI; write it like \"mailto:postmaster@example.org\""
            )),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origin whose pages may use the server: `"*"` or a base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigin(pub String);

impl FromStr for CorsOrigin {
    type Err = Why;

    fn from_str(text: &str) -> Result<CorsOrigin, Why> {
        match text == "*" || text.parse::<BaseUrl>().is_ok() {
            true => Ok(CorsOrigin(text.to_owned())),
            false => Err(format!(
                "\"{text}\" is not an origin; write \"*\" or one like \"https://mail.example.org\""
            )),
        }
    }
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a value from its text; `Octets` also from a number.
struct TextVisitor<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = Why>> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! texts {
    ($($kind:ident: $what:literal,)*) => { $(
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(TextVisitor(std::marker::PhantomData, $what))
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )* };
}

texts! {
    Octets: "a size such as \"50 MB\"",
    Span: "a span of time such as \"5m\"",
    Rate: "a rate such as \"300/1m\"",
    Listen: "an address with a port such as \"[::]:25\"",
    Network: "a network such as \"192.0.2.0/24\"",
    Hostname: "the name of a host such as \"mail.example.org\"",
    Uri: "a URI such as \"mailto:postmaster@example.org\"",
    BaseUrl: "a URL such as \"https://mail.example.org\"",
    CorsOrigin: "an origin such as \"https://mail.example.org\"",
    CertificateName: "a name such as \"mail.example.org\"",
    ChallengeName: "a challenge such as \"http-01\"",
}
