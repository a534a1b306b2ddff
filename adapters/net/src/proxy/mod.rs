//! The PROXY protocol, versions 1 and 2: a proxy tells whose connection it passes on.
//!
//! Holds: not one byte beyond the header is read, so a TLS handshake may follow at once; a header has a size and a
//! time limit. Whether a peer may send one is decided before (`listener`): whoever may, must.
//! Other half: `listener`.
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::stream::canonical;

/// §2.1: the longest line of version 1, with its CRLF.
pub const PROXY_V1_OCTETS_MAX: usize = 107;
/// Longest addresses and extensions taken in version 2, which could say 65,535.
pub const PROXY_V2_OCTETS_MAX: usize = 4096;
/// Longest time for a header to arrive.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(5);

const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The proxy speaks for itself (a health check), or does not know.
    Local,
    Proxied {
        source: SocketAddr,
        destination: SocketAddr,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("no PROXY header")]
    Missing,
    #[error("bad PROXY header: {0}")]
    Malformed(&'static str),
    #[error("no PROXY header within {PROXY_TIMEOUT:?}")]
    Timeout,
    #[error("PROXY header: {0}")]
    Io(#[from] io::Error),
}

/// Reads one header of either version, and nothing more.
pub async fn read_header<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Header, ProxyError> {
    tokio::time::timeout(PROXY_TIMEOUT, read_untimed(reader))
        .await
        .map_err(|_| ProxyError::Timeout)?
}

async fn read_untimed<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Header, ProxyError> {
    let mut start = [0; V2_SIGNATURE.len()];
    reader.read_exact(&mut start).await?;
    if &start == V2_SIGNATURE {
        return read_v2(reader).await;
    }
    if !start.starts_with(V1_START) {
        return Err(ProxyError::Missing);
    }
    let mut line = start.to_vec();
    // Byte by byte: what follows the line is not ours to take, and only a trusted proxy gets this far.
    while line.last() != Some(&b'\n') {
        if line.len() == PROXY_V1_OCTETS_MAX {
            return Err(ProxyError::Malformed("the line is too long"));
        }
        line.push(reader.read_u8().await?);
    }
    parse_v1(&line)
}

async fn read_v2<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Header, ProxyError> {
    let mut head = [0; 4];
    reader.read_exact(&mut head).await?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if length > PROXY_V2_OCTETS_MAX {
        return Err(ProxyError::Malformed("the header is too long"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    parse_v2(head[0], head[1], &body)
}

/// §2.1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, with its CRLF.
pub fn parse_v1(line: &[u8]) -> Result<Header, ProxyError> {
    let bad = ProxyError::Malformed;
    if line.len() > PROXY_V1_OCTETS_MAX {
        return Err(bad("the line is too long"));
    }
    let line = line
        .strip_suffix(b"\r\n")
        .ok_or(bad("the line does not end in CRLF"))?;
    let line = std::str::from_utf8(line).map_err(|_| bad("not ASCII"))?;
    let rest = line.strip_prefix("PROXY ").ok_or(ProxyError::Missing)?;
    let mut words = rest.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // §2.1: whatever else is on the line is to be ignored.
        return Ok(Header::Local);
    }
    let mut word = || words.next().ok_or(bad("something is missing"));
    let (source, destination) = (word()?, word()?);
    let (source_port, destination_port) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(bad("something is left over"));
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let source = address(source).ok_or(bad("not an address of its family"))?;
    let destination = address(destination).ok_or(bad("not an address of its family"))?;
    Ok(Header::Proxied {
        source: canonical(SocketAddr::new(source, source_port)),
        destination: canonical(SocketAddr::new(destination, destination_port)),
    })
}

/// §2.1: decimal, without leading zeros.
fn port(text: &str) -> Result<u16, ProxyError> {
    let canonical = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    let port = text.parse().ok().filter(|_| canonical);
    port.ok_or(ProxyError::Malformed("not a port"))
}

/// §2.2: the two octets after the signature, and what follows the length. Extensions (TLV) are passed over.
pub fn parse_v2(version_command: u8, family: u8, body: &[u8]) -> Result<Header, ProxyError> {
    let bad = ProxyError::Malformed;
    match version_command {
        0x20 => return Ok(Header::Local),
        0x21 => {}
        0x22..=0x2f => return Err(bad("unknown command")),
        _ => return Err(bad("unknown version")),
    }
    let (source, destination, ports) = match family {
        // UNSPEC: the proxy does not know.
        0x00 => return Ok(Header::Local),
        0x11 => {
            let (source, rest) = split::<4>(body)?;
            let (destination, rest) = split::<4>(rest)?;
            (IpAddr::from(source), IpAddr::from(destination), rest)
        }
        0x21 => {
            let (source, rest) = split::<16>(body)?;
            let (destination, rest) = split::<16>(rest)?;
            (IpAddr::from(source), IpAddr::from(destination), rest)
        }
        // Unix sockets tell nothing about who it is.
        0x31 => return Ok(Header::Local),
        _ => return Err(bad("unknown address family")),
    };
    let (source_port, rest) = split::<2>(ports)?;
    let (destination_port, _extensions) = split::<2>(rest)?;
    let address = |ip, port| canonical(SocketAddr::new(ip, u16::from_be_bytes(port)));
    Ok(Header::Proxied {
        source: address(source, source_port),
        destination: address(destination, destination_port),
    })
}

fn split<const N: usize>(input: &[u8]) -> Result<([u8; N], &[u8]), ProxyError> {
    match input.split_first_chunk::<N>() {
        Some((head, rest)) => Ok((*head, rest)),
        None => Err(ProxyError::Malformed("the header is too short")),
    }
}

#[cfg(test)]
mod tests;
