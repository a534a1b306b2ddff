//! A session (RFC 5321 §3): greeting, commands, the end. The state machine, and with `body` the only I/O.
//!
//! Holds: each command line has exactly one answer, in order, and the answers to a pipelined group go out together
//! (RFC 2920); a stop is obeyed between transactions; after STARTTLS nothing is left of what was said before.
//! Other half: `commands`, whose table says what may be said when.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use jmap_core::bans::BanRule;
use jmap_core::sessions::OpenSession;
use net::reader::{Line, ReadError};
use net::sasl::Channel;
use net::{Connection, Peer, Secret, Shutdown, Stream, TlsInfo, Wire};

use super::Server;
use super::body::{Body, FRONT_OCTETS};
use super::transaction::Transaction;
use crate::backend::Backend;
use crate::budget::Share;
use crate::config::{ENVELOPE_OCTETS, Mode};
use crate::encode::Reply;
use crate::parse::{self, Command, ParseError, Verb};
use crate::translate;

/// What follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The answer to STARTTLS is waiting to be sent: now the handshake.
    StartTls,
    Close,
}

/// How a command went. An error is the end of the connection.
pub type Handled = Result<Flow, ReadError>;
/// A command being carried out.
pub type Running<'a> = Pin<Box<dyn Future<Output = Handled> + Send + 'a>>;

/// What may be said next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The client has not said who it is.
    Start,
    Greeted,
    /// After MAIL.
    Mail,
    /// After the first BDAT.
    Chunks,
}

/// Who the client says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub verb: Verb,
    pub name: String,
}

/// What is counted, for the limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub bad_commands: u32,
    pub idle_commands: u32,
    pub transactions: u32,
    pub refused_recipients: u32,
    pub auth_failures: u32,
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
    pub hello: Option<Hello>,
    pub caller: Option<B::Caller>,
    /// Among the sessions that are open.
    pub place: Option<OpenSession>,
    pub transaction: Option<Transaction>,
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
        hello: None,
        caller: None,
        place,
        transaction: None,
        counts: Counts::default(),
        server: server.clone(),
    };
    tracing::debug!(listener = config.mode.name(), peer = %session.peer_name(), "connected");
    let mut wire = Wire::with_pace(stream, config.timeouts.write);
    let mut greeting = Some(session.greeting());
    loop {
        match session.converse(&mut wire, greeting.take()).await {
            Ok(Flow::Continue) => {}
            Ok(Flow::Close) => return wire.close().await,
            Ok(Flow::StartTls) => match session.secure(wire).await {
                Some(secured) => wire = secured,
                None => return,
            },
            Err(error) => return session.part(wire, error).await,
        }
    }
}

impl<B: Backend> Session<B> {
    pub fn mode(&self) -> Mode {
        self.server.config.mode
    }

    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.peer.ip()
    }

    /// Whether its word counts for more than its own mail. A process of this machine is.
    pub fn is_trusted(&self) -> bool {
        let Some(ip) = self.peer_ip().map(|ip| ip.to_canonical()) else {
            return true;
        };
        let mut trusted = self.server.config.trusted.iter();
        trusted.any(|network| network.contains(ip))
    }

    /// Memory for what arrives. Strangers from one place can't have all that there is; who has logged in, or is trusted, may.
    pub fn share(&self) -> Share {
        let config = &self.server.config;
        let is_stranger =
            self.mode() == Mode::Receive && self.caller.is_none() && !self.is_trusted();
        match self.peer_ip() {
            Some(ip) if is_stranger => {
                let one = config.limits.size_max.saturating_add(FRONT_OCTETS as u64);
                config
                    .budget
                    .share_of(ip, one.saturating_add(ENVELOPE_OCTETS))
            }
            _ => config.budget.share(),
        }
    }

    /// For logs.
    pub fn peer_name(&self) -> String {
        match self.peer {
            Peer::Ip(address) => address.to_string(),
            Peer::Unix => "unix".to_owned(),
        }
    }

    pub fn state(&self) -> State {
        match (&self.hello, &self.transaction) {
            (None, _) => State::Start,
            (Some(_), None) => State::Greeted,
            (Some(_), Some(transaction)) if transaction.body.is_some() => State::Chunks,
            (Some(_), Some(_)) => State::Mail,
        }
    }

    fn greeting(&self) -> Reply {
        let protocol = match self.mode() {
            Mode::Receive | Mode::Submission => "ESMTP",
            Mode::Lmtp => "LMTP",
        };
        let hostname = &self.server.config.hostname;
        Reply::plain(220, format!("{hostname} {protocol} Posthorn"))
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
            Ok(None) => {
                let stopped = || Reply::new(421, "4.3.2", "The server is being stopped");
                let reply = self.ended_reply().unwrap_or_else(stopped);
                return self.reply(wire, reply).await;
            }
            Err(ReadError::LineTooLong(_)) => {
                let error = parse::too_long(wire.long_line_head());
                return self.reply(wire, translate::parse_error(error)).await;
            }
            Err(error) => return Err(error),
        };
        // There may be a password in it.
        let octets = Secret::new(line.octets);
        let command = parse::parse(octets.expose());
        if !line.form.is_strict() {
            return self.refuse_form(wire, command).await;
        }
        if let Some(place) = &self.place {
            place.active();
        }
        match command {
            Ok(command) => self.dispatch(wire, command).await,
            Err(error) => self.reply(wire, translate::parse_error(error)).await,
        }
    }

    /// Returns once the session has to end.
    async fn ended(&self) {
        match &self.place {
            Some(place) => drop(place.ended().await),
            None => std::future::pending().await,
        }
    }

    /// What a client hears whose session has to end.
    pub fn ended_reply(&self) -> Option<Reply> {
        let ending = self.place.as_ref()?.ending()?;
        Some(Reply::new(421, "4.7.0", ending.text()))
    }

    /// Returns once a message that comes in chunks should have gone on, whatever else is said between them.
    async fn overdue(&self) {
        let body = self.transaction.as_ref().and_then(|t| t.body.as_ref());
        match body.map(Body::due) {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// The next line; None when the session was ended, or the server is being stopped and the client has nothing under way.
    async fn read_command(&mut self, wire: &mut Wire<Stream>) -> Result<Option<Line>, ReadError> {
        let octets_max = match self.mode() {
            Mode::Submission => parse::AUTH_OCTETS_MAX,
            Mode::Receive | Mode::Lmtp => parse::MAIL_OCTETS_MAX,
        };
        let pace = self.server.config.timeouts.command;
        let is_free = self.transaction.is_none();
        tokio::select! {
            biased;
            () = self.shutdown.requested(), if is_free => Ok(None),
            () = self.ended() => Ok(None),
            () = self.overdue() => Err(ReadError::TooSlow),
            line = wire.read_line(octets_max, pace) => line.map(Some),
        }
    }

    /// RFC 5321 §2.3.8: a line with a CR or LF of its own is read differently by different servers, which is how one
    /// message is smuggled inside another.
    async fn refuse_form(
        &mut self,
        wire: &mut Wire<Stream>,
        command: Result<Command, ParseError>,
    ) -> Handled {
        const TEXT: &str = "Lines end with CRLF, and have no CR or LF elsewhere";
        // What follows such a BDAT can't be told from commands.
        if let Ok(Command::Bdat { .. }) | Err(ParseError::ChunkSize) = command {
            return self.reply(wire, Reply::new(421, "4.5.2", TEXT)).await;
        }
        self.reply(wire, Reply::new(500, "5.5.2", TEXT)).await
    }

    async fn dispatch(&mut self, wire: &mut Wire<Stream>, command: Command) -> Handled {
        let verb = command.verb();
        let mode = self.mode();
        let entry = Self::TABLE
            .iter()
            .find(|entry| entry.verb == verb && entry.modes.contains(&mode));
        let Some(entry) = entry else {
            let reply = Reply::new(502, "5.5.1", format!("{} is not offered", verb.name()));
            return self.reply(wire, reply).await;
        };
        if !entry.states.contains(&self.state()) {
            return self.reply(wire, self.out_of_sequence()).await;
        }
        (entry.run)(self, wire, command).await
    }

    fn out_of_sequence(&self) -> Reply {
        let text = match self.state() {
            State::Start => "Say EHLO first",
            State::Greeted => "Say MAIL first",
            State::Mail => "A message is under way",
            State::Chunks => "The message goes on with BDAT",
        };
        Reply::new(503, "5.5.1", text)
    }

    /// Answers. The connection is closed after 421, and after too many commands that were none.
    pub async fn reply(&mut self, wire: &mut Wire<Stream>, reply: Reply) -> Handled {
        wire.send(&reply.encode()).await?;
        if reply.code == 421 {
            self.log_refusal(&reply);
            return Ok(Flow::Close);
        }
        if !reply.is_bad_command() {
            return Ok(Flow::Continue);
        }
        self.counts.bad_commands += 1;
        if self.counts.bad_commands <= self.server.config.limits.bad_commands_max {
            return Ok(Flow::Continue);
        }
        if let (Some(ip), None) = (self.peer_ip(), &self.caller) {
            let backend = &self.server.backend;
            backend.note_offence(ip, BanRule::BadCommands, "the last by smtp");
        }
        self.hang_up(wire, "Too many commands that can't be carried out")
            .await
    }

    /// Answers a command that leads nowhere; too many of them are the end.
    pub async fn reply_idle(&mut self, wire: &mut Wire<Stream>, reply: Reply) -> Handled {
        self.counts.idle_commands += 1;
        if self.counts.idle_commands > self.server.config.limits.idle_commands_max {
            return self
                .hang_up(wire, "Too many commands without a message")
                .await;
        }
        self.reply(wire, reply).await
    }

    pub async fn hang_up(&mut self, wire: &mut Wire<Stream>, text: &'static str) -> Handled {
        let reply = Reply::new(421, "4.7.0", text);
        wire.send(&reply.encode()).await?;
        self.log_refusal(&reply);
        Ok(Flow::Close)
    }

    pub fn log_refusal(&self, reply: &Reply) {
        let id = self.transaction.as_ref().map(|t| t.id.as_str());
        let enhanced = reply.enhanced.unwrap_or_default();
        tracing::info!(
            listener = self.mode().name(),
            peer = %self.peer_name(),
            id,
            reason = format_args!("{} {enhanced} {}", reply.code, reply.text()),
            "refused"
        );
    }

    /// RFC 3207 §4.2: after the handshake the client is a stranger again.
    async fn secure(&mut self, wire: Wire<Stream>) -> Option<Wire<Stream>> {
        let tls = self.server.config.tls.as_ref()?;
        // Boxed: handshakes are large, and rare in the life of a session.
        match Box::pin(wire.start_tls(tls)).await {
            Ok(wire) => {
                self.tls = wire.stream().tls_info();
                self.channel = Channel::of(wire.stream());
                self.can_start_tls = false;
                self.hello = None;
                self.caller = None;
                if let Some(place) = &self.place {
                    place.leave();
                }
                self.transaction = None;
                Some(wire)
            }
            Err(error) => {
                tracing::debug!(peer = %self.peer_name(), %error, "no TLS");
                None
            }
        }
    }

    /// Says why, where that is of use, and closes.
    async fn part(&mut self, mut wire: Wire<Stream>, error: ReadError) {
        let interrupted = self.transaction.is_some();
        tracing::debug!(peer = %self.peer_name(), %error, interrupted, "connection ended");
        let reply = match error {
            ReadError::Idle | ReadError::TooSlow => Reply::new(421, "4.4.2", "Too slow; closing"),
            ReadError::Flooded(_) => Reply::new(552, "5.3.4", "Far too large; closing"),
            _ => return,
        };
        self.log_refusal(&reply);
        if wire.send(&reply.encode()).await.is_ok() {
            wire.close().await;
        }
    }
}
