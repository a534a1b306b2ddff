//! A session (RFC 5804 §1.4): greeting, commands, the end. The state machine, and with `commands::auth` the only I/O.
//!
//! Holds: each command has exactly one answer, in order; a stop is obeyed between commands; what a command takes of memory is bounded, and
//! little before a login; after STARTTLS nothing is left of what was said before.
//! Other half: `commands`, whose table says what may be said when.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use jmap_core::bans::BanRule;
use jmap_core::sessions::{OpenSession, SessionKind};
use jmap_core::{Caller, Core};
use net::reader::ReadError;
use net::sasl::Channel;
use net::{Connection, Peer, Secret, Shutdown, Stream, TlsInfo, Wire};

use crate::config::{Config, PlaintextLogins};
use crate::encode::{Code, Reply};
use crate::parse::{self, Command};
use crate::translate;

/// What all sessions of a listener share; and the configuration, as it was when they began.
pub struct Server {
    pub core: Core,
    pub config: Arc<Config>,
}

/// What follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The answer to STARTTLS is on its way: now the handshake.
    StartTls,
    Close,
}

/// How a command went. An error is the end of the connection.
pub type Handled = Result<Flow, ReadError>;
/// A command being carried out.
pub type Running<'a> = Pin<Box<dyn Future<Output = Handled> + Send + 'a>>;

/// RFC 5804 §1.4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Stranger,
    LoggedIn,
}

/// What is counted, for the limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub stranger_commands: u32,
    pub bad_commands: u32,
    pub auth_failures: u32,
}

/// What was read where a command, or a response of SASL, had to come.
pub enum Read {
    /// Without its last CRLF. There may be a password in it.
    Whole(Secret<Vec<u8>>),
    /// It was too large, and was read to its end.
    TooLarge,
    /// It was too large, or its lines are no lines: what follows can't be told from it.
    Lost(Reply),
}

/// A conversation.
pub struct Session {
    pub server: Arc<Server>,
    pub peer: Peer,
    pub tls: Option<TlsInfo>,
    /// What of it a login can be bound to.
    pub channel: Channel,
    /// Whether the connection can be turned into TLS.
    pub can_start_tls: bool,
    pub shutdown: Shutdown,
    pub caller: Option<Caller>,
    /// Among the sessions that are open.
    pub place: OpenSession,
    pub counts: Counts,
}

/// Has the conversation. A session that has to end, and can't be told so in its time, is cut off.
pub async fn run(server: Arc<Server>, connection: Connection) {
    let sessions = server.core.sessions();
    let place = sessions.place(SessionKind::ManageSieve, connection.peer.ip());
    let conversation = talk(server, connection, place.clone());
    place.until_overdue(conversation).await;
}

async fn talk(server: Arc<Server>, connection: Connection, place: OpenSession) {
    let Connection {
        stream,
        peer,
        shutdown,
        ..
    } = connection;
    let mut session = Session {
        peer,
        tls: stream.tls_info(),
        channel: Channel::of(&stream),
        can_start_tls: server.config.tls.is_some() && matches!(stream, Stream::Tcp(_)),
        shutdown,
        caller: None,
        place,
        counts: Counts::default(),
        server: server.clone(),
    };
    tracing::debug!(peer = %session.peer_name(), "connected");
    let mut wire = Wire::with_pace(stream, server.config.timeouts.write);
    // RFC 5804 §1.7: the greeting, and what is said after a handshake (§2.2).
    let mut is_greeting_due = true;
    loop {
        match session.converse(&mut wire, is_greeting_due).await {
            Ok(Flow::Continue) => is_greeting_due = false,
            Ok(Flow::Close) => return wire.close().await,
            Ok(Flow::StartTls) => match session.secure(wire).await {
                Some(secured) => {
                    wire = secured;
                    is_greeting_due = true;
                }
                None => return,
            },
            Err(error) => {
                tracing::debug!(peer = %session.peer_name(), %error, "connection ended");
                return;
            }
        }
    }
}

impl Session {
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
        match self.caller {
            None => State::Stranger,
            Some(_) => State::LoggedIn,
        }
    }

    /// Whether a secret may be shown here. A process of this machine is as near as the loopback address.
    pub fn may_show_secrets(&self) -> bool {
        self.tls.is_some()
            || self.server.config.plaintext_logins == PlaintextLogins::Anywhere
            || self.peer_ip().is_none_or(|ip| ip.is_loopback())
    }

    /// Greets, if that is due, and answers commands until something else than an answer is due.
    async fn converse(&mut self, wire: &mut Wire<Stream>, is_greeting_due: bool) -> Handled {
        if is_greeting_due {
            let mut octets = self.capabilities();
            octets.extend(Reply::ok("Posthorn").encode());
            wire.send(&octets).await?;
        }
        loop {
            match self.step(wire).await? {
                Flow::Continue => {}
                flow => return Ok(flow),
            }
        }
    }

    /// One command and its answer.
    async fn step(&mut self, wire: &mut Wire<Stream>) -> Handled {
        let shutdown = self.shutdown.clone();
        let first = tokio::select! {
            biased;
            () = shutdown.requested() => {
                let reply = Reply::bye("The server is stopping").coded(Code::TryLater);
                wire.send(&reply.encode()).await?;
                return Ok(Flow::Close);
            }
            ending = self.place.ended() => {
                let reply = Reply::bye(ending.text());
                return self.hang_up(wire, reply).await;
            }
            line = wire.read_line(self.octets_max(), self.server.config.timeouts.command) => line,
        };
        let octets = match self.read_rest(wire, first).await? {
            Read::Whole(octets) => octets,
            Read::TooLarge => return self.reply(wire, translate::too_large()).await,
            Read::Lost(reply) => return self.hang_up(wire, reply).await,
        };
        if self.caller.is_none() {
            self.counts.stranger_commands += 1;
            if self.counts.stranger_commands > self.server.config.limits.stranger_commands_max {
                let reply = Reply::bye("Too many commands without a login");
                return self.hang_up(wire, reply).await;
            }
        }
        self.place.active();
        match parse::parse(octets.expose()) {
            Ok(command) => self.dispatch(wire, command).await,
            Err(error) => self.reply_bad(wire, translate::parse_error(error)).await,
        }
    }

    /// Octets that a command may have now.
    fn octets_max(&self) -> usize {
        match self.state() {
            State::Stranger => parse::STRANGER_OCTETS_MAX,
            State::LoggedIn => parse::COMMAND_OCTETS_MAX,
        }
    }

    /// A response of SASL.
    pub async fn read_response(&mut self, wire: &mut Wire<Stream>) -> Result<Read, ReadError> {
        let pace = self.server.config.timeouts.command;
        let first = wire.read_line(self.octets_max(), pace).await;
        self.read_rest(wire, first).await
    }

    /// The rest of a command of which this is the first line: its literals, and what is between them.
    async fn read_rest(
        &mut self,
        wire: &mut Wire<Stream>,
        first: Result<net::reader::Line, ReadError>,
    ) -> Result<Read, ReadError> {
        let timeouts = self.server.config.timeouts;
        let octets_max = self.octets_max();
        let mut command = Secret::new(Vec::new());
        let mut is_too_large = false;
        let mut line = first;
        for _ in 0..=parse::LITERALS_MAX {
            let read = match line {
                Ok(read) => read,
                Err(ReadError::LineTooLong(_)) => {
                    return Ok(Read::Lost(Reply::bye("The line is too long")));
                }
                Err(error) => return Err(error),
            };
            if read.form.bare_cr {
                let reply = Reply::bye("Lines end with CRLF, and have no CR elsewhere");
                return Ok(Read::Lost(reply));
            }
            let literal = parse::literal(&read.octets);
            let mut so_far = command.expose().clone();
            so_far.extend_from_slice(&read.octets);
            command = Secret::new(so_far);
            let Some(octets) = literal else {
                let is_too_large = is_too_large || command.expose().len() > octets_max;
                return Ok(match is_too_large {
                    true => Read::TooLarge,
                    false => Read::Whole(command),
                });
            };
            let all = octets.saturating_add(command.expose().len() as u64);
            if is_too_large || all > octets_max as u64 {
                let is_worth_it =
                    self.state() == State::LoggedIn && octets <= parse::DISCARD_OCTETS_MAX;
                if !is_worth_it {
                    let reply = Reply::bye("The literal is too large").coded(Code::QuotaMaxSize);
                    return Ok(Read::Lost(reply));
                }
                wire.discard(octets, timeouts.literal).await?;
                is_too_large = true;
            } else {
                let mut so_far = command.expose().clone();
                so_far.extend_from_slice(b"\r\n");
                wire.read_into(octets, &mut so_far, timeouts.literal)
                    .await?;
                command = Secret::new(so_far);
            }
            line = wire.read_line(octets_max, timeouts.command).await;
        }
        Ok(Read::Lost(Reply::bye("Too many literals in one command")))
    }

    async fn dispatch(&mut self, wire: &mut Wire<Stream>, command: Command) -> Handled {
        let entry = Self::entry(&command);
        if !entry.states.contains(&self.state()) {
            let text = match self.state() {
                State::Stranger => "Log in first",
                State::LoggedIn => "You are logged in already",
            };
            return self.reply_bad(wire, Reply::no(text)).await;
        }
        (entry.run)(self, wire, command).await
    }

    pub async fn reply(&mut self, wire: &mut Wire<Stream>, reply: Reply) -> Handled {
        wire.send(&reply.encode()).await?;
        Ok(Flow::Continue)
    }

    /// Answers what is no command, or not for now. Too many of them are the end.
    pub async fn reply_bad(&mut self, wire: &mut Wire<Stream>, reply: Reply) -> Handled {
        self.counts.bad_commands += 1;
        if self.counts.bad_commands > self.server.config.limits.bad_commands_max {
            if let (Some(ip), None) = (self.peer_ip(), &self.caller) {
                let core = &self.server.core;
                core.note_offence(ip, BanRule::BadCommands, "the last by managesieve");
            }
            let reply = Reply::bye("Too many commands that can't be carried out");
            return self.hang_up(wire, reply).await;
        }
        self.reply(wire, reply).await
    }

    pub async fn hang_up(&mut self, wire: &mut Wire<Stream>, reply: Reply) -> Handled {
        wire.send(&reply.encode()).await?;
        self.log_refusal(&reply);
        Ok(Flow::Close)
    }

    pub fn log_refusal(&self, reply: &Reply) {
        tracing::info!(
            listener = "managesieve",
            peer = %self.peer_name(),
            reason = reply.text(),
            "refused"
        );
    }

    /// RFC 5804 §2.2: after the handshake the client is a stranger again.
    async fn secure(&mut self, wire: Wire<Stream>) -> Option<Wire<Stream>> {
        let tls = self.server.config.tls.as_ref()?;
        // Boxed: handshakes are large, and rare in the life of a session.
        match Box::pin(wire.start_tls(tls)).await {
            Ok(wire) => {
                self.tls = wire.stream().tls_info();
                self.channel = Channel::of(wire.stream());
                self.can_start_tls = false;
                Some(wire)
            }
            Err(error) => {
                tracing::debug!(peer = %self.peer_name(), %error, "no TLS");
                None
            }
        }
    }
}
