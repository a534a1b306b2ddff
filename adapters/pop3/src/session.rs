//! A session (RFC 1939 §3): greeting, commands, the end. The state machine, and with `commands::retrieve` the only I/O.
//!
//! Holds: each command line has exactly one answer, in order, and the answers to a pipelined group go out together
//! (RFC 2449 §6.6); a stop is obeyed between commands, and removes nothing; after STLS nothing is left of what was said
//! before; the lock goes with the session.
//! Other half: `commands`, whose table says what may be said when.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use jmap_core::bans::BanRule;
use jmap_core::sessions::{Ending, OpenSession};
use net::reader::{Line, ReadError};
use net::sasl::Channel;
use net::{Connection, Peer, Secret, Shutdown, Stream, TlsInfo, Wire};

use crate::backend::Backend;
use crate::config::{Config, PlaintextLogins};
use crate::encode::{Code, Reply};
use crate::locks::Lock;
use crate::maildrop::Maildrop;
use crate::parse::{self, Command};
use crate::translate;

/// What all sessions of a listener share; and the configuration, as it was when they began.
pub struct Server<B> {
    pub backend: Arc<B>,
    pub config: Arc<Config>,
}

/// What follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The answer to STLS is waiting to be sent: now the handshake.
    StartTls,
    Close,
}

/// How a command went. An error is the end of the connection.
pub type Handled = Result<Flow, ReadError>;
/// A command being carried out.
pub type Running<'a> = Pin<Box<dyn Future<Output = Handled> + Send + 'a>>;

/// RFC 1939 §3. The UPDATE state is within QUIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Authorization,
    Transaction,
}

/// What is counted, for the limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub stranger_commands: u32,
    pub bad_commands: u32,
    pub auth_failures: u32,
    pub retrieved: u32,
}

/// After a login.
pub struct Open<B: Backend> {
    pub caller: B::Caller,
    pub maildrop: Maildrop,
    pub _lock: Lock,
}

/// A conversation.
pub struct Session<B: Backend> {
    pub server: Arc<Server<B>>,
    pub peer: Peer,
    pub tls: Option<TlsInfo>,
    /// What of it a login can be bound to.
    pub channel: Channel,
    /// Whether the connection can be turned into TLS.
    pub can_start_tls: bool,
    pub shutdown: Shutdown,
    /// Said with USER.
    pub user: Option<String>,
    /// RFC 6856 §2.1
    pub utf8: bool,
    pub open: Option<Open<B>>,
    /// Among the sessions that are open.
    pub place: Option<OpenSession>,
    pub counts: Counts,
}

/// Has the conversation. A session that has to end, and can't be told so in its time, is cut off.
pub async fn run<B: Backend>(server: Arc<Server<B>>, connection: Connection) {
    let place = server.backend.place(connection.peer.ip());
    let conversation = talk(server, connection, place.clone());
    match place {
        Some(place) => place.until_overdue(conversation).await,
        None => conversation.await,
    }
}

async fn talk<B: Backend>(
    server: Arc<Server<B>>,
    connection: Connection,
    place: Option<OpenSession>,
) {
    let Connection {
        stream,
        peer,
        shutdown,
        ..
    } = connection;
    let config = &server.config;
    let mut session = Session {
        peer,
        tls: stream.tls_info(),
        channel: Channel::of(&stream),
        can_start_tls: config.tls.is_some() && matches!(stream, Stream::Tcp(_)),
        shutdown,
        user: None,
        utf8: false,
        open: None,
        place,
        counts: Counts::default(),
        server: server.clone(),
    };
    tracing::debug!(peer = %session.peer_name(), "connected");
    let mut wire = Wire::with_pace(stream, config.timeouts.write);
    let mut greeting = Some(Reply::ok(format!("{} POP3 Posthorn", config.hostname)));
    loop {
        match session.converse(&mut wire, greeting.take()).await {
            Ok(Flow::Continue) => {}
            Ok(Flow::Close) => return wire.close().await,
            Ok(Flow::StartTls) => match session.secure(wire).await {
                Some(secured) => wire = secured,
                None => return,
            },
            Err(error) => {
                // RFC 1939 §3: what was marked stays, and nothing is said.
                let open = session.open.is_some();
                tracing::debug!(peer = %session.peer_name(), %error, open, "connection ended");
                return;
            }
        }
    }
}

impl<B: Backend> Session<B> {
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.peer.ip()
    }

    /// For logs.
    pub fn peer_name(&self) -> String {
        match self.peer {
            Peer::Ip(address) => address.to_string(),
            Peer::Unix => "unix".to_owned(),
        }
    }

    pub fn state(&self) -> State {
        match self.open {
            None => State::Authorization,
            Some(_) => State::Transaction,
        }
    }

    /// Whether a secret may be shown here. A process of this machine is as near as the loopback address.
    pub fn may_show_secrets(&self) -> bool {
        self.tls.is_some()
            || self.server.config.plaintext_logins == PlaintextLogins::Anywhere
            || self.peer_ip().is_none_or(|ip| ip.is_loopback())
    }

    /// Greets, if that is due, and answers commands until something else than an answer is due.
    async fn converse(&mut self, wire: &mut Wire<Stream>, greeting: Option<Reply>) -> Handled {
        if let Some(greeting) = greeting {
            self.reply(wire, greeting).await?;
        }
        loop {
            match self.step(wire).await? {
                Flow::Continue => {}
                flow => return Ok(flow),
            }
        }
    }

    /// One line and its answer.
    async fn step(&mut self, wire: &mut Wire<Stream>) -> Handled {
        let line = match self.read_command(wire).await {
            Ok(Some(line)) => line,
            Ok(None) => return self.dismiss(wire).await,
            Err(ReadError::LineTooLong(_)) => {
                return self.reply_bad(wire, translate::line_too_long()).await;
            }
            Err(error) => return Err(error),
        };
        // There may be a password in it.
        let octets = Secret::new(line.octets);
        if self.open.is_none() {
            self.counts.stranger_commands += 1;
            if self.counts.stranger_commands > self.server.config.limits.stranger_commands_max {
                return self
                    .hang_up(wire, "Too many commands without a login")
                    .await;
            }
        }
        // A lone LF is put up with, as some clients end lines so; a CR elsewhere is not.
        if line.form.bare_cr {
            let reply = Reply::err("Lines end with CRLF, and have no CR elsewhere");
            return self.reply_bad(wire, reply).await;
        }
        if let Some(place) = &self.place {
            place.active();
        }
        match parse::parse(octets.expose()) {
            Ok(command) => self.dispatch(wire, command).await,
            Err(error) => self.reply_bad(wire, translate::parse_error(error)).await,
        }
    }

    /// Returns once the session has to end.
    async fn ended(&self) {
        match &self.place {
            Some(place) => drop(place.ended().await),
            None => std::future::pending().await,
        }
    }

    /// Takes leave of a client that hasn't asked for it: the session was ended, or the server is being stopped, which needs no words.
    async fn dismiss(&mut self, wire: &mut Wire<Stream>) -> Handled {
        let Some(ending) = self.place.as_ref().and_then(OpenSession::ending) else {
            return Ok(Flow::Close);
        };
        let reply = match ending {
            Ending::Asked => Reply::err(ending.text()),
            // RFC 3206 §5
            Ending::LoginOver => Reply::coded(Code::Auth, ending.text()),
            Ending::TooMany => Reply::coded(Code::SysTemp, ending.text()),
        };
        wire.send(&reply.encode()).await?;
        self.log_refusal(&reply);
        Ok(Flow::Close)
    }

    /// The next line; None when the session was ended, or the server is being stopped.
    async fn read_command(&mut self, wire: &mut Wire<Stream>) -> Result<Option<Line>, ReadError> {
        let octets_max = match self.state() {
            State::Authorization => parse::AUTH_OCTETS_MAX,
            State::Transaction => parse::COMMAND_OCTETS_MAX,
        };
        let pace = self.server.config.timeouts.command;
        tokio::select! {
            biased;
            () = self.shutdown.requested() => Ok(None),
            () = self.ended() => Ok(None),
            line = wire.read_line(octets_max, pace) => line.map(Some),
        }
    }

    async fn dispatch(&mut self, wire: &mut Wire<Stream>, command: Command) -> Handled {
        let verb = command.verb();
        let mut table = Self::TABLE.iter();
        let Some(entry) = table.find(|entry| entry.verb == verb) else {
            let reply = Reply::err("There is no such command");
            return self.reply_bad(wire, reply).await;
        };
        if !entry.states.contains(&self.state()) {
            let text = match self.state() {
                State::Authorization => "Log in first",
                State::Transaction => "You are logged in already",
            };
            return self.reply_bad(wire, Reply::err(text)).await;
        }
        (entry.run)(self, wire, command).await
    }

    pub async fn reply(&mut self, wire: &mut Wire<Stream>, reply: Reply) -> Handled {
        wire.send(&reply.encode()).await?;
        Ok(Flow::Continue)
    }

    /// Answers a line that is no command, or not for now. Too many of them are the end.
    pub async fn reply_bad(&mut self, wire: &mut Wire<Stream>, reply: Reply) -> Handled {
        self.counts.bad_commands += 1;
        if self.counts.bad_commands > self.server.config.limits.bad_commands_max {
            self.note_offence();
            return self
                .hang_up(wire, "Too many commands that can't be carried out")
                .await;
        }
        self.reply(wire, reply).await
    }

    /// A client that isn't logged in has said too much that is no command.
    fn note_offence(&self) {
        if let (Some(ip), None) = (self.peer_ip(), &self.open) {
            let backend = &self.server.backend;
            backend.note_offence(ip, BanRule::BadCommands, "the last by pop3");
        }
    }

    pub async fn hang_up(&mut self, wire: &mut Wire<Stream>, text: &'static str) -> Handled {
        let reply = Reply::coded(Code::SysTemp, text);
        wire.send(&reply.encode()).await?;
        self.log_refusal(&reply);
        Ok(Flow::Close)
    }

    pub fn log_refusal(&self, reply: &Reply) {
        tracing::info!(
            listener = "pop3",
            peer = %self.peer_name(),
            reason = reply.text(),
            "refused"
        );
    }

    /// RFC 2595 §4: after the handshake the client is a stranger again.
    async fn secure(&mut self, wire: Wire<Stream>) -> Option<Wire<Stream>> {
        let tls = self.server.config.tls.as_ref()?;
        // Boxed: handshakes are large, and rare in the life of a session.
        match Box::pin(wire.start_tls(tls)).await {
            Ok(wire) => {
                self.tls = wire.stream().tls_info();
                self.channel = Channel::of(wire.stream());
                self.can_start_tls = false;
                self.user = None;
                self.utf8 = false;
                Some(wire)
            }
            Err(error) => {
                tracing::debug!(peer = %self.peer_name(), %error, "no TLS");
                None
            }
        }
    }
}
