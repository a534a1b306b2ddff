//! The URL of a push subscription (RFC 8620 §7.2), which a client chooses and this server then connects to.
//! Holds: a URL that is accepted has one reading: every octet that parsers disagree about is refused. It is https,
//! and where it names an address, the address is public.
//! Other half: a name says nothing about its addresses, and may have others by the time of the push: whoever
//! connects checks each resolved address with [`is_public`], connects to that very address, and follows no redirect.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest URL, in octets.
pub const ENDPOINT_OCTETS_MAX: usize = 2048;
/// Longest host name, in octets (RFC 1035 §2.3.4).
pub const HOST_OCTETS_MAX: usize = 253;
/// Longest label of a host name, in octets.
pub const LABEL_OCTETS_MAX: usize = 63;

/// Where pushes may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointPolicy {
    /// By https to public hosts.
    #[default]
    Public,
    /// Also by http, and to hosts of any kind: for push services of a test, or of a closed network.
    AllowInsecure,
}

/// Why a URL is not accepted. The sentences are meant for the client's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("the URL is longer than {ENDPOINT_OCTETS_MAX} octets")]
    TooLong,
    #[error("the URL has a character that is not allowed in one")]
    BadCharacter,
    #[error("the URL does not begin with https://")]
    NotHttps,
    #[error("the URL has credentials in it")]
    HasCredentials,
    #[error("the URL has a fragment")]
    HasFragment,
    #[error("the host of the URL is not valid")]
    BadHost,
    #[error("the port of the URL is not valid")]
    BadPort,
    #[error("the host of the URL is not a public one")]
    NotPublic,
}

/// The host of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// In lower case, without a dot at the end.
    Name(String),
    Ip(IpAddr),
}

impl fmt::Display for Host {
    /// As in a URL: an IPv6 address is in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// A URL that passed the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushEndpoint {
    https: bool,
    host: Host,
    port: u16,
    /// Path and query; begins with a slash.
    target: String,
}

impl PushEndpoint {
    pub fn parse(url: &str, policy: EndpointPolicy) -> Result<PushEndpoint, EndpointError> {
        if url.len() > ENDPOINT_OCTETS_MAX {
            return Err(EndpointError::TooLong);
        }
        check_characters(url)?;
        let (scheme, rest) = url.split_once("://").ok_or(EndpointError::NotHttps)?;
        let https = scheme.eq_ignore_ascii_case("https");
        let http = scheme.eq_ignore_ascii_case("http") && policy == EndpointPolicy::AllowInsecure;
        if !https && !http {
            return Err(EndpointError::NotHttps);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(EndpointError::HasCredentials);
        }
        // Only addresses have brackets.
        if target.contains(['[', ']']) {
            return Err(EndpointError::BadCharacter);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None if https => 443,
            None => 80,
        };
        let host = parse_host(host)?;
        if policy == EndpointPolicy::Public && !may_be_public(&host) {
            return Err(EndpointError::NotPublic);
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(PushEndpoint {
            https,
            host,
            port,
            target: format!("{slash}{target}"),
        })
    }

    /// Whether TLS is to be used.
    pub fn https(&self) -> bool {
        self.https
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query: the target of the request.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Scheme, host, and the port if it is not that of the scheme (RFC 6454 §6.2).
    pub fn origin(&self) -> String {
        let (scheme, default) = if self.https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        match self.port {
            port if port == default => format!("{scheme}://{}", self.host),
            port => format!("{scheme}://{}:{port}", self.host),
        }
    }

    /// The whole URL, in normal form.
    pub fn url(&self) -> String {
        format!("{}{}", self.origin(), self.target)
    }
}

/// Whether an address is one that anybody on the Internet could connect to: not this machine, its networks, a
/// cloud's metadata service, multicast, or a way of writing one of these as another kind of address.
/// (The special-purpose address registries of IANA, RFC 6890.)
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        // "This network", private, shared (RFC 6598), loopback, link-local (and metadata services), private.
        (0 | 10 | 127, ..) | (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) => false,
        // Protocol assignments, documentation, 6to4 relays, private.
        (192, 0, 0 | 2) | (192, 88, 99) | (192, 168, _) => false,
        // Benchmarks, documentation, documentation.
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => false,
        // Multicast, reserved, broadcast.
        (224..=255, ..) => false,
        _ => true,
    }
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // NAT64 (RFC 6052 §2.1): what it stands for decides.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocol assignments with Teredo and ORCHID (2001::/23), documentation, 6to4, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] => false,
        [0x3fff, 0..=0xfff, ..] => false,
        // Only 2000::/3 is given out. The rest is loopback, mapped IPv4, unique local, link-local, multicast or
        // nothing yet.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// RFC 3986 §2, more strictly: no octet that is not a URI's, and no `%` without two hexadecimal digits.
fn check_characters(url: &str) -> Result<(), EndpointError> {
    let mut octets = url.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'#' => return Err(EndpointError::HasFragment),
            b'%' => {
                let digits = [octets.next(), octets.next()];
                if !digits
                    .iter()
                    .all(|digit| digit.is_some_and(|d| d.is_ascii_hexdigit()))
                {
                    return Err(EndpointError::BadCharacter);
                }
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {}
            b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'?' | b'[' | b']' | b'@' | b'!' | b'$'
            | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {}
            _ => return Err(EndpointError::BadCharacter),
        }
    }
    Ok(())
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; the brackets stay.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), EndpointError> {
    if !authority.starts_with('[') {
        return Ok(match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        });
    }
    let end = authority.find(']').ok_or(EndpointError::BadHost)?;
    let (host, rest) = authority.split_at(end + 1);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(EndpointError::BadHost),
    }
}

fn parse_port(port: &str) -> Result<u16, EndpointError> {
    let digits = !port.is_empty() && port.bytes().all(|octet| octet.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(EndpointError::BadPort),
    }
}

fn parse_host(host: &str) -> Result<Host, EndpointError> {
    if let Some(ip) = host.strip_prefix('[') {
        let ip = ip.strip_suffix(']').ok_or(EndpointError::BadHost)?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| EndpointError::BadHost)?;
        return Ok(Host::Ip(IpAddr::V6(ip)));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name.len() > HOST_OCTETS_MAX || !name.split('.').all(is_label) {
        return Err(EndpointError::BadHost);
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    // Some parsers read `127.1`, `2130706433` and `0x7f.1` as addresses. No top-level domain begins with a digit.
    if !last.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(Host::Name(name));
    }
    let ip: Ipv4Addr = name.parse().map_err(|_| EndpointError::BadHost)?;
    Ok(Host::Ip(IpAddr::V4(ip)))
}

/// RFC 1123 §2.1, and underscores, which are in use.
fn is_label(label: &str) -> bool {
    let inner = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    (1..=LABEL_OCTETS_MAX).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A name is refused that is only ever of this machine or network (RFC 6761, RFC 6762, RFC 8375, RFC 9476).
fn may_be_public(host: &Host) -> bool {
    const LOCAL: [&str; 9] = [
        "localhost",
        "local",
        "internal",
        "intranet",
        "lan",
        "home",
        "corp",
        "arpa",
        "alt",
    ];
    match host {
        Host::Ip(ip) => is_public(*ip),
        Host::Name(name) => match name.rsplit_once('.') {
            Some((_, last)) => !LOCAL.contains(&last),
            None => false,
        },
    }
}

#[cfg(test)]
mod tests;
