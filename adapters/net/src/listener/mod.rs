//! Listening sockets: accepts connections, refuses what is too much, and starts a task for each.
//!
//! Holds: the accept loop ends only when a stop is asked for, whatever `accept` returns; every connection has a slot of
//! its [`Admission`] from accept to end; a connection at rest costs its task and its socket, no buffers.
//! Other half: the adapters' sessions, given as the handler.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::Instant;

pub use self::admission::{Admission, ConnectionLimits, Counters, Gate, Refusal, Slot};
use crate::network::Network;
use crate::proxy::{self, Header};
use crate::shutdown::Shutdown;
use crate::stream::{Peer, Stream, canonical};
use crate::tls::TlsServer;

pub mod admission;

/// Connections that the kernel keeps ready to be accepted.
pub const BACKLOG: u32 = 1024;
/// First and longest wait after `accept` has failed for want of something (files, memory).
pub const ACCEPT_BACKOFF_FIRST: Duration = Duration::from_millis(10);
pub const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A peer that has vanished is noticed after the first time, and a few times the second.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(300);
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    Tcp {
        /// `[::]` takes IPv4 too, unless `only_v6`; where the machine has no IPv6 it is `0.0.0.0`.
        address: SocketAddr,
        only_v6: bool,
    },
    Unix {
        path: PathBuf,
        /// Permissions of the socket, such as 0o660.
        mode: u32,
    },
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Bind {
        let only_v6 = false;
        Bind::Tcp { address, only_v6 }
    }
}

/// What a refused client is told: one line of its protocol, or nothing. It is not sent where TLS comes first.
pub type Goodbye = Arc<dyn Fn(Refusal) -> Vec<u8> + Send + Sync>;

/// How to listen.
#[derive(Clone)]
pub struct ListenerConfig {
    /// For logs: `smtp`, `imaps`.
    pub name: String,
    pub bind: Bind,
    pub backlog: u32,
    pub admission: Arc<Admission>,
    pub goodbye: Goodbye,
    /// TLS from the first byte (RFC 8314).
    pub tls: Option<TlsServer>,
    /// Proxies that send a PROXY header. They must; nobody else may. What is swapped in counts for connections from then on.
    pub proxies: Arc<ArcSwap<Vec<Network>>>,
}

impl ListenerConfig {
    /// Plain, without a goodbye, with the usual limits.
    pub fn new(name: &str, bind: impl Into<Bind>) -> ListenerConfig {
        ListenerConfig {
            name: name.to_owned(),
            bind: bind.into(),
            backlog: BACKLOG,
            admission: Admission::new(ConnectionLimits::default()),
            goodbye: Arc::new(|_| Vec::new()),
            tls: None,
            proxies: Arc::default(),
        }
    }
}

/// A connection, as the handler gets it.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    /// Who it is: what the proxy has said, when there is one.
    pub peer: Peer,
    /// Where they have connected to.
    pub local: Peer,
    /// The proxy, when there is one.
    pub proxy: Option<SocketAddr>,
    pub shutdown: Shutdown,
}

#[derive(Debug, thiserror::Error)]
#[error("can't listen on {place} for {name}: {source}")]
pub struct BindError {
    pub name: String,
    pub place: String,
    pub source: io::Error,
}

/// A bound socket. Clones are the same one, which is closed with the last of them.
#[derive(Clone)]
pub struct Listener {
    socket: Arc<ListeningSocket>,
    config: ListenerConfig,
}

enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds and listens; connections wait in the kernel until `run`. Needs a running tokio.
    pub fn bind(config: ListenerConfig) -> Result<Listener, BindError> {
        let (place, bound) = match &config.bind {
            Bind::Tcp { address, only_v6 } => {
                let bound = bind_tcp(*address, *only_v6, config.backlog);
                (address.to_string(), bound.map(ListeningSocket::Tcp))
            }
            Bind::Unix { path, mode } => {
                let bound = bind_unix(path, *mode);
                let place = path.display().to_string();
                let socket = |socket| ListeningSocket::Unix(socket, path.clone());
                (place, bound.map(socket))
            }
        };
        match bound {
            Ok(socket) => Ok(Listener {
                socket: Arc::new(socket),
                config,
            }),
            Err(source) => Err(BindError {
                name: config.name,
                place,
                source,
            }),
        }
    }

    /// The address, with the port that was chosen when it was bound to port 0. None for a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &*self.socket {
            ListeningSocket::Tcp(socket) => socket.local_addr().ok(),
            ListeningSocket::Unix(..) => None,
        }
    }

    /// Accepts until a stop is asked for, then closes the socket. Each connection is a task of `shutdown`, and ends
    /// with the handler's future.
    pub async fn run<H, F>(self, shutdown: Shutdown, handler: H)
    where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let server = Arc::new(Server {
            config: self.config.clone(),
            shutdown: shutdown.clone(),
            handler,
        });
        let stop = shutdown.requested();
        tokio::pin!(stop);
        let mut backoff = ACCEPT_BACKOFF_FIRST;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => return,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    backoff = ACCEPT_BACKOFF_FIRST;
                    server.clone().start(stream, peer);
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    let listener = &self.config.name;
                    tracing::warn!(%listener, %error, ?backoff, "accept failed");
                    tokio::select! {
                        () = &mut stop => return,
                        () = tokio::time::sleep(backoff) => {}
                    }
                    backoff = (backoff * 2).min(ACCEPT_BACKOFF_MAX);
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &*self.socket {
            ListeningSocket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Ip(canonical(peer))))
            }
            ListeningSocket::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        if let ListeningSocket::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What all connections of a listener share.
struct Server<H> {
    config: ListenerConfig,
    shutdown: Shutdown,
    handler: H,
}

impl<H, F> Server<H>
where
    H: Fn(Connection) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    /// Refuses a connection, or starts its task.
    fn start(self: Arc<Self>, stream: Stream, peer: Peer) {
        let mut slot = match self.config.admission.enter() {
            Ok(slot) => slot,
            Err(why) => return self.say_goodbye(&stream, peer, why),
        };
        let proxied = self.is_proxy(peer);
        if let Some(address) = peer.ip().filter(|_| !proxied)
            && let Err(why) = slot.assign(address, Instant::now().into_std())
        {
            return self.say_goodbye(&stream, peer, why);
        }
        if let Stream::Tcp(tcp) = &stream {
            prepare(tcp);
        }
        let server = self.clone();
        self.shutdown.spawn(async move {
            let mut slot = slot;
            // Boxed: what the preparations need is not kept for as long as the connection lives.
            let prepared = Box::pin(server.prepare(stream, peer, proxied, &mut slot)).await;
            if let Some(connection) = prepared {
                (server.handler)(connection).await;
            }
            drop(slot);
        });
    }

    /// Reads the PROXY header and does the handshake, where they are due.
    async fn prepare(
        &self,
        mut stream: Stream,
        mut peer: Peer,
        proxied: bool,
        slot: &mut Slot,
    ) -> Option<Connection> {
        let listener = &self.config.name;
        let mut local = stream.local_address().ok()?;
        let mut proxy = None;
        if let (true, Peer::Ip(proxy_address)) = (proxied, peer) {
            match proxy::read_header(&mut stream).await {
                Ok(Header::Local) => {}
                Ok(Header::Proxied {
                    source,
                    destination,
                }) => {
                    peer = Peer::Ip(source);
                    local = Peer::Ip(destination);
                    if let Err(why) = slot.assign(source.ip(), Instant::now().into_std()) {
                        self.say_goodbye(&stream, peer, why);
                        return None;
                    }
                }
                Err(error) => {
                    tracing::warn!(%listener, proxy = %proxy_address, %error, "closed");
                    return None;
                }
            }
            proxy = Some(proxy_address);
        }
        if let Some(tls) = &self.config.tls {
            stream = match stream.upgrade_tls(tls).await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%listener, ?peer, %error, "no TLS");
                    if let Some(address) = peer.ip().filter(|_| error.is_no_tls()) {
                        self.config.admission.spoke_no_tls(address);
                    }
                    return None;
                }
            };
        }
        Some(Connection {
            stream,
            peer,
            local,
            proxy,
            shutdown: self.shutdown.clone(),
        })
    }

    fn is_proxy(&self, peer: Peer) -> bool {
        let Some(address) = peer.ip() else {
            return false;
        };
        let proxies = self.config.proxies.load();
        proxies.iter().any(|network| network.contains(address))
    }

    /// Tells the client, as far as the kernel takes it without a wait. The caller closes.
    fn say_goodbye(&self, stream: &Stream, peer: Peer, why: Refusal) {
        tracing::debug!(listener = %self.config.name, ?peer, %why, "refused");
        if self.config.tls.is_some() {
            return;
        }
        let line = (self.config.goodbye)(why);
        let _ = match stream {
            Stream::Tcp(tcp) => SockRef::from(tcp).send(&line),
            Stream::Unix(unix) => SockRef::from(unix).send(&line),
            Stream::Tls(_) | Stream::Deflated(_) => Ok(0),
        };
    }
}

/// Whether `accept` has failed because of the one connection that it would have returned (Linux passes on its errors).
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | ConnectionRefused
            | Interrupted
            | PermissionDenied
            | TimedOut
            | NetworkDown
            | NetworkUnreachable
            | HostUnreachable
    )
}

/// Failing here means that the connection is gone, which its first read will tell.
fn prepare(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&keepalive);
}

fn bind_tcp(address: SocketAddr, only_v6: bool, backlog: u32) -> io::Result<TcpListener> {
    let any_v6 = address.ip().is_unspecified() && address.is_ipv6() && !only_v6;
    match listen_tcp(address, only_v6, backlog) {
        Err(error) if any_v6 && has_no_ipv6(&error) => {
            let any_v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            tracing::warn!(%error, "no IPv6 here: listening on IPv4 only");
            listen_tcp(SocketAddr::new(any_v4, address.port()), false, backlog)
        }
        listening => listening,
    }
}

fn listen_tcp(address: SocketAddr, only_v6: bool, backlog: u32) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(only_v6)?;
    }
    // Without it a restart has to wait until the old connections are forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

fn has_no_ipv6(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let stale = match std::fs::symlink_metadata(path) {
        // Left behind by a server that was killed: nobody answers. Anything else than a socket is not ours to remove.
        Ok(metadata) if metadata.file_type().is_socket() => {
            std::os::unix::net::UnixStream::connect(path).is_err()
        }
        _ => false,
    };
    if stale {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
