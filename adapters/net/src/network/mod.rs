//! Networks in CIDR notation (RFC 4632, RFC 4291 §2.3), and the key by which one client is counted.
//! Holds: an IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is always treated as the IPv4 address it is.
//! Other half: `listener` and `proxy`, which ask who may do what.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A client is given a whole /64 (RFC 6177), so that is what is counted.
pub const IPV6_CLIENT_PREFIX_BITS: u8 = 64;

/// A network: an address and the number of its leading bits that count.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("{0:?} is not an IP address")]
    Address(String),
    #[error("{0:?} is not a prefix length from 0 to {1}")]
    Prefix(String, u8),
    #[error("{0} has bits set beyond its prefix; did you mean {1}?")]
    HostBits(String, Network),
}

impl Network {
    /// The network of `address`; bits after `prefix_bits` are cleared, and a longer prefix than there are bits is cut.
    pub fn new(address: IpAddr, prefix_bits: u8) -> Network {
        let prefix_bits = prefix_bits.min(width(address));
        Network {
            address: mask(address, prefix_bits),
            prefix_bits,
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && mask(address, self.prefix_bits) == self.address
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `192.0.2.0/24`, `2001:db8::/32`, or one address alone.
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address_text, prefix_text) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address_text
            .parse()
            .map_err(|_| NetworkError::Address(address_text.to_owned()))?;
        let bits = width(address);
        let Some(prefix_text) = prefix_text else {
            let address = address.to_canonical();
            return Ok(Network::new(address, width(address)));
        };
        let prefix_bits = prefix_text
            .parse::<u8>()
            .ok()
            .filter(|prefix| *prefix <= bits && !prefix_text.starts_with('+'))
            .ok_or_else(|| NetworkError::Prefix(prefix_text.to_owned(), bits))?;
        let network = Network::new(address, prefix_bits);
        if network.address != address {
            return Err(NetworkError::HostBits(text.to_owned(), network));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey(IpAddr);

impl ClientKey {
    pub fn of(address: IpAddr) -> ClientKey {
        let address = address.to_canonical();
        match address {
            IpAddr::V4(_) => ClientKey(address),
            IpAddr::V6(_) => ClientKey(mask(address, IPV6_CLIENT_PREFIX_BITS)),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask(address: IpAddr, prefix_bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let kept = u32::MAX.checked_shl(32 - u32::from(prefix_bits.min(32)));
            IpAddr::V4((u32::from(v4) & kept.unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            let kept = u128::MAX.checked_shl(128 - u32::from(prefix_bits.min(128)));
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & kept.unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests;
