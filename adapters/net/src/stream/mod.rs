//! One type for every connection: plain TCP, TLS over TCP, or a Unix socket.
//! Holds: a handshake has a time limit.
//! Other half: `listener` makes it; `wire` sees to it that no plaintext survives the upgrade.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

use crate::tls::TlsServer;

pub use self::deflate::Deflated;

mod deflate;

/// Longest time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection's bytes.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsSession>),
    Unix(UnixStream),
    /// One of the others, compressed.
    Deflated(Box<Deflated>),
}

/// TLS over TCP.
#[derive(Debug)]
pub struct TlsSession {
    io: TlsStream<TcpStream>,
    end_point: Option<Arc<[u8]>>,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// IPv4 addresses are never in their IPv6-mapped form.
    Ip(SocketAddr),
    /// A process of this machine.
    Unix,
}

impl Peer {
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Ip(address) => Some(address.ip()),
            Peer::Unix => None,
        }
    }
}

/// What was agreed in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// As in `Received` and logs: `TLSv1.3`.
    pub version: &'static str,
    /// IANA's name: `TLS_AES_128_GCM_SHA256`.
    pub cipher: String,
    /// The name that the client asked for.
    pub sni: Option<String>,
    /// The protocol agreed by ALPN.
    pub alpn: Option<Vec<u8>>,
}

/// Why a connection could not be turned into TLS. The connection is gone.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error("plaintext was sent ahead of the handshake ({0} octets)")]
    Injected(usize),
    #[error("the connection already is TLS, or can't be")]
    Unsuitable,
    #[error("no handshake within {HANDSHAKE_TIMEOUT:?}")]
    Timeout,
    #[error("it was an ACME server's challenge, and is answered")]
    Challenge,
    #[error("handshake: {0}")]
    Handshake(#[from] io::Error),
}

impl UpgradeError {
    /// Whether what the client has sent was no TLS at all. Whoever goes away, or doesn't like the certificate, has spoken it.
    pub fn is_no_tls(&self) -> bool {
        let UpgradeError::Handshake(error) = self else {
            return false;
        };
        let inner = error.get_ref();
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(inner, Some(rustls::Error::InvalidMessage(_)))
    }
}

/// The server's side of a handshake, without its time limit.
async fn accept(tcp: TcpStream, server: &TlsServer) -> Result<TlsSession, UpgradeError> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    if let Some(config) = server.challenge(&start.client_hello()).await {
        let mut answered = start.into_stream(config).await?;
        // RFC 8737 §3: what was asked for was the certificate; nothing else follows.
        answered.shutdown().await?;
        return Err(UpgradeError::Challenge);
    }
    let now = server.handshakes();
    let io = start.into_stream(now.config).await?;
    let end_point = now.certificates.end_point(io.get_ref().1.server_name());
    let io = TlsStream::Server(io);
    Ok(TlsSession { io, end_point })
}

impl Stream {
    /// The server's side of a handshake, at the start or after STARTTLS. Use [`crate::Wire::start_tls`] after STARTTLS.
    pub async fn upgrade_tls(self, server: &TlsServer) -> Result<Stream, UpgradeError> {
        let Stream::Tcp(tcp) = self else {
            return Err(UpgradeError::Unsuitable);
        };
        let accept = tokio::time::timeout(HANDSHAKE_TIMEOUT, accept(tcp, server));
        let session = accept.await.map_err(|_| UpgradeError::Timeout)??;
        Ok(Stream::Tls(Box::new(session)))
    }

    /// The client's side of a handshake.
    pub async fn connect_tls(
        self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Stream, UpgradeError> {
        let Stream::Tcp(tcp) = self else {
            return Err(UpgradeError::Unsuitable);
        };
        let connect = TlsConnector::from(config).connect(name, tcp);
        let connect = tokio::time::timeout(HANDSHAKE_TIMEOUT, connect);
        let io = connect.await.map_err(|_| UpgradeError::Timeout)??;
        let io = TlsStream::Client(io);
        let end_point = None;
        Ok(Stream::Tls(Box::new(TlsSession { io, end_point })))
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.bare(), Stream::Tls(_))
    }

    /// Without compression.
    fn bare(&self) -> &Stream {
        match self {
            Stream::Deflated(deflated) => deflated.inner(),
            bare => bare,
        }
    }

    /// Has what was read acknowledged now. A client that sends the rest of a command by itself, and waits with it until all
    /// before it is acknowledged (RFC 1122 §4.2.3.4), would wait for the delayed acknowledgement: 40 ms a message.
    pub fn acknowledge(&self) {
        let tcp = match self.bare() {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(session) => session.io.get_ref().0,
            Stream::Unix(_) | Stream::Deflated(_) => return,
        };
        // Without it only time is lost.
        #[cfg(target_os = "linux")]
        let _ = tcp.set_quickack(true);
        #[cfg(not(target_os = "linux"))]
        let _ = tcp;
    }

    pub fn tls_info(&self) -> Option<TlsInfo> {
        let Stream::Tls(session) = self.bare() else {
            return None;
        };
        let (_, common) = session.io.get_ref();
        let sni = match &session.io {
            TlsStream::Server(server) => server.get_ref().1.server_name().map(str::to_owned),
            TlsStream::Client(_) => None,
        };
        let suite = common.negotiated_cipher_suite();
        Some(TlsInfo {
            version: version_name(common.protocol_version()),
            cipher: suite.map_or_else(String::new, |suite| cipher_name(suite.suite())),
            sni,
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
        })
    }

    /// Channel binding tls-exporter (RFC 9266 §2). None before TLS 1.3, where it is safe only under conditions.
    pub fn tls_exporter(&self) -> Option<[u8; 32]> {
        const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
        let Stream::Tls(session) = self.bare() else {
            return None;
        };
        if session.io.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        let exported = match &session.io {
            TlsStream::Server(io) => {
                let connection = io.get_ref().1;
                connection.export_keying_material([0; 32], LABEL, Some(b""))
            }
            TlsStream::Client(io) => {
                let connection = io.get_ref().1;
                connection.export_keying_material([0; 32], LABEL, Some(b""))
            }
        };
        exported.ok()
    }

    /// Channel binding tls-server-end-point (RFC 5929 §4), on the server's side.
    pub fn tls_server_end_point(&self) -> Option<&[u8]> {
        match self.bare() {
            Stream::Tls(session) => session.end_point.as_deref(),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Deflated(_) => None,
        }
    }

    /// The socket's own idea of its peer, which is the proxy when there is one.
    pub fn peer_address(&self) -> io::Result<Peer> {
        let address = match self.tcp() {
            Some(tcp) => tcp.peer_addr()?,
            None => return Ok(Peer::Unix),
        };
        Ok(Peer::Ip(canonical(address)))
    }

    pub fn local_address(&self) -> io::Result<Peer> {
        let address = match self.tcp() {
            Some(tcp) => tcp.local_addr()?,
            None => return Ok(Peer::Unix),
        };
        Ok(Peer::Ip(canonical(address)))
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self.bare() {
            Stream::Tcp(tcp) => Some(tcp),
            Stream::Tls(session) => Some(session.io.get_ref().0),
            Stream::Unix(_) | Stream::Deflated(_) => None,
        }
    }
}

/// The same address, IPv4 as IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// rustls calls the suites of TLS 1.3 `TLS13_…`; IANA does not.
fn cipher_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().unwrap_or("unknown");
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name.to_owned(),
    }
}

fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLS",
    }
}

/// Calls one method of whatever is inside.
macro_rules! inner {
    ($self:expr, $method:ident $(, $argument:expr)*) => {
        match $self.get_mut() {
            Stream::Tcp(io) => Pin::new(io).$method($($argument),*),
            Stream::Tls(session) => Pin::new(&mut session.io).$method($($argument),*),
            Stream::Unix(io) => Pin::new(io).$method($($argument),*),
            Stream::Deflated(io) => Pin::new(&mut **io).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        inner!(self, poll_read, context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        inner!(self, poll_write, context, octets)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self, poll_write_vectored, context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Tcp(io) => io.is_write_vectored(),
            Stream::Tls(session) => session.io.is_write_vectored(),
            Stream::Unix(io) => io.is_write_vectored(),
            Stream::Deflated(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_shutdown, context)
    }
}

#[cfg(test)]
mod tests;
