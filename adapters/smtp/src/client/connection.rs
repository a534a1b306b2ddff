//! One connection to a peer: opened, greeted, encrypted, logged in; then commands and their replies.
//!
//! Holds: nothing that came before a TLS handshake is believed after it; a connection whose need isn't met is never handed
//! out; every wait has an end.
//! Other half: `transaction`, which sends mail on it; `pool`, which keeps it for the next.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use jmap_core::inproc::outbound::TlsPolicyKind;
use jmap_core::rng::Rng;
use net::reader::Reader;
use net::stream::UpgradeError;
use net::writer::{self, WriteError};
use net::{Pace, Peer, Stream};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::auth::{self, AuthFailed, Login};
use super::extensions::Extensions;
use super::reply::{self, Broken, Reply, shown};
use super::settings::{Protocol, Timeouts};
use super::tls::{Failure, Need, Roots, server_name};

/// How fast a peer has to take what it is sent (RFC 5321 §4.5.3.2.5): whoever is slower holds up a place in the queue.
const WRITE: Pace = Pace {
    rate_min: 8 << 10,
    ..Pace::DATA
};

/// What to connect to, and how.
#[derive(Clone, Debug)]
pub struct Goal<'g> {
    pub host: &'g str,
    pub address: SocketAddr,
    pub source: Option<IpAddr>,
    pub need: &'g Need,
    /// TLS from the first octet.
    pub implicit_tls: bool,
    pub protocol: Protocol,
    pub login: Option<&'g Login>,
    /// Our name.
    pub hostname: &'g str,
}

/// How far TLS came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsState {
    /// In words, when it is there.
    pub description: Option<String>,
    /// The authorities' verdict on the certificate.
    pub pkix: Option<Result<(), Failure>>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Nobody is there.
    Unreachable(String),
    /// The peer has closed or is too slow, before anything was asked of it.
    Broken(Broken),
    /// It doesn't want us: at the greeting or EHLO.
    Refused(Reply),
    /// TLS is needed and can't be had. The handshake was begun: `true`.
    Tls(Failure, bool),
    /// The login at a relay.
    Auth(String),
}

/// A connection that is ready for MAIL.
#[derive(Debug)]
pub struct Connection {
    reader: Reader<Stream>,
    pub host: String,
    pub address: SocketAddr,
    pub extensions: Extensions,
    pub protocol: Protocol,
    pub tls: TlsState,
    pub timeouts: Timeouts,
    /// Transactions that were begun.
    pub messages: u64,
    /// A transaction was left without its end.
    pub is_dirty: bool,
    /// The policies whose domains are told of it: at most one for each message.
    told: Vec<(TlsPolicyKind, String)>,
}

impl Connection {
    pub async fn open(
        goal: &Goal<'_>,
        timeouts: Timeouts,
        roots: &Roots,
        rng: &dyn Rng,
    ) -> Result<Connection, OpenError> {
        let stream = connect(goal, timeouts.connect).await?;
        let mut connection = Connection {
            reader: Reader::new(stream),
            host: goal.host.to_owned(),
            address: goal.address,
            extensions: Extensions::default(),
            protocol: goal.protocol,
            tls: TlsState::default(),
            timeouts,
            messages: 0,
            is_dirty: false,
            told: Vec::new(),
        };
        if goal.implicit_tls {
            connection = connection.handshake(goal, roots).await?;
        }
        let greeting = connection
            .reply(timeouts.greeting)
            .await
            .map_err(OpenError::Broken)?;
        if greeting.code != 220 {
            return Err(OpenError::Refused(greeting));
        }
        connection.hello(goal.hostname).await?;
        if !goal.implicit_tls && *goal.need != Need::Plain {
            connection = connection.start_tls(goal, roots).await?;
        }
        if let Some(login) = goal.login {
            let may_show = connection.tls.description.is_some() || goal.address.ip().is_loopback();
            auth::log_in(&mut connection, login, may_show, rng)
                .await
                .map_err(|error| match error {
                    AuthFailed::Broken(broken) => OpenError::Broken(broken),
                    other => OpenError::Auth(other.to_string()),
                })?;
        }
        Ok(connection)
    }

    /// EHLO; HELO for those that don't know it (RFC 5321 §3.2). LHLO for LMTP.
    async fn hello(&mut self, hostname: &str) -> Result<(), OpenError> {
        let verb = match self.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        let within = self.timeouts.command;
        let reply = self
            .command(&format!("{verb} {hostname}"), within)
            .await
            .map_err(OpenError::Broken)?;
        if reply.code == 250 {
            self.extensions = Extensions::read(&reply);
            return Ok(());
        }
        let knows_no_ehlo = matches!(reply.code, 500..=504 | 550 | 554);
        if self.protocol == Protocol::Lmtp || !knows_no_ehlo {
            return Err(OpenError::Refused(reply));
        }
        let reply = self
            .command(&format!("HELO {hostname}"), within)
            .await
            .map_err(OpenError::Broken)?;
        if reply.code != 250 {
            return Err(OpenError::Refused(reply));
        }
        let domain = reply
            .lines
            .first()
            .and_then(|line| line.split(' ').next())
            .unwrap_or_default();
        self.extensions = Extensions {
            domain: domain.to_ascii_lowercase(),
            ..Extensions::default()
        };
        Ok(())
    }

    /// RFC 3207.
    async fn start_tls(mut self, goal: &Goal<'_>, roots: &Roots) -> Result<Connection, OpenError> {
        let is_strict = goal.need.is_strict();
        if !self.extensions.starttls {
            return match is_strict {
                true => Err(OpenError::Tls(
                    not_offered("the server does not offer STARTTLS"),
                    false,
                )),
                false => Ok(self),
            };
        }
        let reply = self
            .command("STARTTLS", self.timeouts.command)
            .await
            .map_err(OpenError::Broken)?;
        if reply.code != 220 {
            return match is_strict {
                true => Err(OpenError::Tls(
                    not_offered(&format!("STARTTLS is refused: {}", reply.text())),
                    false,
                )),
                false => Ok(self),
            };
        }
        // What came ahead of the handshake came from anybody (CVE-2011-0411).
        if self.reader.has_buffered() {
            return Err(OpenError::Tls(
                Failure::new(
                    "validation-failure",
                    "plain text came ahead of the TLS handshake",
                ),
                true,
            ));
        }
        self = self.handshake(goal, roots).await?;
        // RFC 3207 §4.2: what was said before is forgotten.
        self.extensions = Extensions::default();
        self.hello(goal.hostname).await?;
        Ok(self)
    }

    async fn handshake(mut self, goal: &Goal<'_>, roots: &Roots) -> Result<Connection, OpenError> {
        let failed =
            |reason: String| OpenError::Tls(Failure::new("validation-failure", reason), true);
        let (config, found) = roots
            .handshake(goal.need)
            .map_err(|error| failed(error.to_string()))?;
        let asked = match goal.need {
            Need::Dane(dane) => dane.names.first().map_or(goal.host, String::as_str),
            _ => goal.host,
        };
        let name = server_name(asked, goal.address.ip());
        let (stream, _) = self.reader.into_parts();
        let stream = match stream.connect_tls(config, name).await {
            Ok(stream) => stream,
            Err(error) => {
                let unmet = found.unmet.lock().clone();
                return Err(match unmet {
                    Some(failure) => OpenError::Tls(failure, true),
                    None => failed(handshake_error(error)),
                });
            }
        };
        let pkix = found.pkix.lock().clone();
        let version = stream.tls_info().map_or("TLS", |info| info.version);
        let how = match (goal.need, &pkix) {
            (Need::Dane(_), _) => "verified by DANE",
            (Need::Pkix, _) => "verified",
            (_, Some(Ok(()))) => "the certificate is a trusted one",
            (_, _) => "the certificate is not verified",
        };
        self.tls = TlsState {
            description: Some(format!("{version}, {how}")),
            pkix,
        };
        self.reader = Reader::new(stream);
        Ok(self)
    }

    /// Sends a command, without its CRLF, and waits for the reply.
    pub async fn command(&mut self, line: &str, within: Duration) -> Result<Reply, Broken> {
        self.write(format!("{line}\r\n").as_bytes(), b"").await?;
        self.reply(within).await
    }

    pub async fn reply(&mut self, within: Duration) -> Result<Reply, Broken> {
        reply::read(&mut self.reader, within).await
    }

    pub async fn write(&mut self, first: &[u8], second: &[u8]) -> Result<(), Broken> {
        let written = writer::write_both(self.reader.get_mut(), first, second, WRITE).await;
        written.map_err(|error| match error {
            WriteError::TooSlow => Broken::Stalled,
            WriteError::Closed => Broken::Closed,
            WriteError::Io(error) => Broken::Io(error.to_string()),
        })
    }

    /// Leaves no transaction behind. `false`: the connection is of no more use.
    pub async fn reset(&mut self) -> bool {
        let within = self.timeouts.goodbye;
        match self.command("RSET", within).await {
            Ok(reply) if reply.is_positive() => {
                self.is_dirty = false;
                true
            }
            _ => false,
        }
    }

    pub async fn quit(mut self) {
        let within = self.timeouts.goodbye;
        let _ = timeout(within, self.command("QUIT", within)).await;
    }

    /// Whether the peer has said nothing that nobody has asked for. Whatever it has said, be it a 421, the connection's end,
    /// or one reply too many, would be taken for the answer to the next command.
    pub async fn is_quiet(&mut self) -> bool {
        if self.reader.has_buffered() {
            return false;
        }
        let mut octet = [0; 1];
        let mut buffer = ReadBuf::new(&mut octet);
        let stream = self.reader.get_mut();
        std::future::poll_fn(|context| {
            let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
            Poll::Ready(read.is_pending())
        })
        .await
    }

    /// Whether a session by this policy is to be reported (RFC 8460 §4.1): a connection counts once for each policy that it
    /// was held to, however many messages it carries.
    pub fn is_new_to(&mut self, kind: TlsPolicyKind, domain: &str) -> bool {
        let is_known = |told: &(TlsPolicyKind, String)| told.0 == kind && told.1 == domain;
        let is_new = !self.told.iter().any(is_known);
        if is_new {
            self.told.push((kind, domain.to_owned()));
        }
        is_new
    }

    pub fn local_address(&self) -> Option<IpAddr> {
        self.reader
            .get_ref()
            .local_address()
            .ok()
            .as_ref()
            .and_then(Peer::ip)
    }
}

async fn connect(goal: &Goal<'_>, within: Duration) -> Result<Stream, OpenError> {
    let unreachable = |error: std::io::Error| OpenError::Unreachable(error.to_string());
    let socket = match goal.address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(unreachable)?;
    if let Some(source) = goal.source {
        socket
            .bind(SocketAddr::new(source, 0))
            .map_err(unreachable)?;
    }
    match timeout(within, socket.connect(goal.address)).await {
        Ok(Ok(tcp)) => {
            let _ = tcp.set_nodelay(true);
            Ok(Stream::Tcp(tcp))
        }
        Ok(Err(error)) => Err(unreachable(error)),
        Err(_) => Err(OpenError::Unreachable("no connection in time".into())),
    }
}

fn not_offered(why: &str) -> Failure {
    Failure::new("starttls-not-supported", shown(why))
}

fn handshake_error(error: UpgradeError) -> String {
    shown(&error.to_string())
}
