//! Networks that are banned, or never are.
//!
//! Holds: each has one text; an IPv4 address in IPv6 clothes is the IPv4 address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A client has a whole /64 (RFC 6177), so that is what is banned.
pub const CLIENT_BITS_V6: u8 = 64;
/// Many providers give somebody a whole /48 (RFC 6177): where much comes from several networks of one, it is banned.
pub const SITE_BITS_V6: u8 = 48;

/// An address, and the number of its leading bits that count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// This machine.
pub const LOOPBACK: [Network; 2] = [
    Network {
        address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
        bits: 8,
    },
    Network {
        address: IpAddr::V6(Ipv6Addr::LOCALHOST),
        bits: 128,
    },
];

impl Network {
    /// Bits behind `bits` are cleared.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        let bits = bits.min(width(address));
        Self {
            address: mask(address, bits),
            bits,
        }
    }

    /// What a client is: an IPv4 address, or the /64 of an IPv6 address.
    pub fn of_client(address: IpAddr) -> Self {
        let address = address.to_canonical();
        match address {
            IpAddr::V4(_) => Self::new(address, 32),
            IpAddr::V6(_) => Self::new(address, CLIENT_BITS_V6),
        }
    }

    /// The /48 that a client of IPv6 is in.
    pub fn site_of(address: IpAddr) -> Option<Self> {
        let address = address.to_canonical();
        address.is_ipv6().then(|| Self::new(address, SITE_BITS_V6))
    }

    pub fn bits(&self) -> u8 {
        self.bits
    }

    pub fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_v4() && mask(address, self.bits) == self.address
    }

    /// Whether they have an address in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(of) => {
            let kept = u32::MAX.checked_shl(32 - u32::from(bits.min(32)));
            Ipv4Addr::from(u32::from(of) & kept.unwrap_or(0)).into()
        }
        IpAddr::V6(of) => {
            let kept = u128::MAX.checked_shl(128 - u32::from(bits.min(128)));
            Ipv6Addr::from(u128::from(of) & kept.unwrap_or(0)).into()
        }
    }
}

/// Why a text is no network: a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no network: write it like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;

    /// An address alone is a client: of IPv6, its /64. What is set behind the prefix is cleared.
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| NoNetwork)?;
        let Some(bits) = bits else {
            return Ok(Self::of_client(address));
        };
        let is_plain = !bits.is_empty() && bits.bytes().all(|octet| octet.is_ascii_digit());
        let bits: u8 = bits.parse().map_err(|_| NoNetwork)?;
        let fits = is_plain && bits <= width(address);
        fits.then(|| Self::new(address, bits)).ok_or(NoNetwork)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, want) in [
            ("192.0.2.7", Some("192.0.2.7/32")),
            ("192.0.2.7/24", Some("192.0.2.0/24")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("2001:db8::1", Some("2001:db8::/64")),
            ("2001:db8::1/128", Some("2001:db8::1/128")),
            ("::ffff:192.0.2.7", Some("192.0.2.7/32")),
            ("192.0.2.7/33", None),
            ("192.0.2.7/+8", None),
            ("192.0.2.7/", None),
            ("example.org", None),
            ("", None),
        ] {
            let network = text.parse::<Network>().ok();
            let shown = network.map(|network| network.to_string());
            assert_eq!(shown.as_deref(), want, "{text}");
            if let Some(network) = network {
                assert_eq!(network.to_string().parse(), Ok(network));
            }
        }
    }

    #[test]
    fn what_is_in_them() {
        let of = |text: &str| text.parse::<Network>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(of("192.0.2.0/24").contains(ip("::ffff:192.0.2.9")));
        assert!(!of("192.0.2.0/24").contains(ip("192.0.3.1")));
        assert!(!of("::/0").contains(ip("192.0.2.1")));
        assert!(of("192.0.2.0/24").meets(&of("192.0.0.0/16")));
        assert!(of("192.0.0.0/16").meets(&of("192.0.2.0/24")));
        assert!(!of("192.0.2.0/25").meets(&of("192.0.2.128/25")));
    }
}
