//! Who a request comes from, and under which address it found us.
//!
//! Holds: only a proxy that the operator trusts can say that a client is somebody else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, Uri, header, uri::Authority};
use jmap_core::auth::{Origin, Protocol};
use net::{Network, Peer};

use crate::{Config, parse::url};

/// Addresses in an X-Forwarded-For field that are looked at.
const FORWARDED_MAX: usize = 32;

/// One request's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub ip: IpAddr,
    /// Whether the client's own connection is encrypted.
    pub tls: bool,
    /// Scheme and host of our URLs as this client sees them; empty where the client has not told.
    pub base_url: String,
    /// The host, perhaps with a port, that the client has asked for; empty where it has not told.
    pub host: String,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    pub peer: IpAddr,
    pub tls: bool,
    /// The peer, or the proxy before it, may speak for others.
    pub trusted: bool,
}

pub fn loopback_networks() -> Vec<Network> {
    vec![
        Network::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
        Network::new(Ipv6Addr::LOCALHOST.into(), 128),
    ]
}

impl Transport {
    pub fn new(peer: Peer, proxy: Option<IpAddr>, tls: bool, proxies: &[Network]) -> Transport {
        // A process of this machine is as near as the loopback address.
        let peer = peer.ip().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let nearest = proxy.unwrap_or(peer);
        Transport {
            peer,
            tls,
            trusted: proxies.iter().any(|network| network.contains(nearest)),
        }
    }
}

impl Client {
    pub fn new(transport: &Transport, config: &Config, uri: &Uri, headers: &HeaderMap) -> Client {
        let mut ip = transport.peer;
        let mut tls = transport.tls;
        let mut forwarded_host = None;
        if transport.trusted {
            ip = forwarded_for(headers, &config.proxies).unwrap_or(ip);
            match last(headers, "x-forwarded-proto") {
                Some(scheme) if scheme.eq_ignore_ascii_case("https") => tls = true,
                Some(_) => tls = false,
                None => {}
            }
            forwarded_host = last(headers, "x-forwarded-host").and_then(url::host);
        }
        let host = forwarded_host
            .or_else(|| uri.authority().map(Authority::as_str).and_then(url::host))
            .or_else(|| headers.get(header::HOST)?.to_str().ok().and_then(url::host));
        let scheme = if tls { "https" } else { "http" };
        let base_url = match (&config.base_url, host) {
            (Some(base), _) => base.trim_end_matches('/').to_owned(),
            (None, Some(host)) => format!("{scheme}://{host}"),
            (None, None) => String::new(),
        };
        Client {
            ip,
            tls,
            base_url,
            host: host.unwrap_or_default().to_owned(),
        }
    }

    pub fn origin(&self) -> Origin {
        Origin {
            ip: self.ip,
            protocol: Protocol::Jmap,
            tls: self.tls,
        }
    }
}

/// The last address that isn't a trusted proxy's: what is before it, anybody could have written.
fn forwarded_for(headers: &HeaderMap, proxies: &[Network]) -> Option<IpAddr> {
    let fields = headers.get_all("x-forwarded-for");
    let addresses: Vec<&str> = fields
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .collect();
    let mut nearest = None;
    for address in addresses.iter().rev().take(FORWARDED_MAX) {
        let address: IpAddr = address.trim().parse().ok()?;
        let address = address.to_canonical();
        nearest = Some(address);
        if !proxies.iter().any(|network| network.contains(address)) {
            break;
        }
    }
    nearest
}

/// The last item of a list.
fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let field = headers.get_all(name).iter().next_back()?;
    field.to_str().ok()?.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(peer: &str, fields: &[(&'static str, &str)], expected: (&str, bool, &str)) {
        let config = Config {
            proxies: vec!["192.0.2.0/24".parse().unwrap()],
            ..Config::default()
        };
        let peer = Peer::Ip(format!("{peer}:1").parse().unwrap());
        let transport = Transport::new(peer, None, false, &config.proxies);
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let client = Client::new(&transport, &config, &Uri::from_static("/"), &headers);
        let found = (client.ip.to_string(), client.tls, client.base_url);
        assert_eq!(
            (found.0.as_str(), found.1, found.2.as_str()),
            expected,
            "{fields:?}"
        );
    }

    #[test]
    fn who_and_where() {
        let forwarded = &[
            ("host", "inner:80"),
            ("x-forwarded-for", "10.0.0.1, 203.0.113.7"),
            ("x-forwarded-for", "192.0.2.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "mail.example.org"),
        ];
        check(
            "192.0.2.1",
            forwarded,
            ("203.0.113.7", true, "https://mail.example.org"),
        );
        check(
            "198.51.100.1",
            forwarded,
            ("198.51.100.1", false, "http://inner:80"),
        );
        check(
            "192.0.2.1",
            &[("x-forwarded-for", "nonsense")],
            ("192.0.2.1", false, ""),
        );
        check(
            "192.0.2.1",
            &[("x-forwarded-proto", "https, http"), ("host", "a\"b")],
            ("192.0.2.1", false, ""),
        );
        check(
            "192.0.2.1",
            &[("x-forwarded-host", "a/b"), ("host", "x")],
            ("192.0.2.1", false, "http://x"),
        );
    }
}
