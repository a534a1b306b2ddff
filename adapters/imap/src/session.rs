//! A session (RFC 9051 §3): greeting, commands, the end. The state machine.
//!
//! Holds: each command has exactly one tagged answer, and what was there to be told comes before it; a stop is obeyed between commands;
//! after STARTTLS and UNAUTHENTICATE nothing is left of what was said before.
//! Other half: `commands`, whose table says what may be said when; `read`, which puts a command together.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jmap_core::bans::BanRule;
use jmap_core::inproc::imap_view::{MailboxKey, ViewStatus};
use jmap_core::sessions::{Ending, OpenSession, SessionKind};
use jmap_core::{Caller, Core};
use net::reader::{LinePace, ReadError};
use net::sasl::Channel;
use net::{Connection, Peer, Shutdown, Stream, TlsInfo};
use tokio::time::{Instant, sleep_until};

use crate::command::Tagged;
use crate::commands;
use crate::commands::changes::Expunges;
use crate::commands::notify::Watch;
use crate::config::{Config, PlaintextLogins};
use crate::encode::{Code, Status};
use crate::out::Out;
use crate::parse::{self, ErrorKind, Mode};
use crate::read::{Assembly, Input};
use crate::selected::Selected;

/// What all sessions of a listener share; and the configuration, as it was when they began.
pub struct Server {
    pub core: Core,
    pub config: Arc<Config>,
    /// Connections that are compressed.
    compressions: Arc<AtomicUsize>,
}

impl Server {
    pub fn new(core: Core, config: Arc<Config>) -> Server {
        Server {
            core,
            config,
            compressions: Arc::default(),
        }
    }

    /// The same listener, as it is configured now.
    pub fn configured(&self, config: Arc<Config>) -> Server {
        Server {
            core: self.core.clone(),
            config,
            compressions: self.compressions.clone(),
        }
    }
}

/// The place of one connection among those that are compressed.
pub struct Compression(Arc<AtomicUsize>);

impl Compression {
    /// `None`: there are so many already.
    fn take(count: &Arc<AtomicUsize>, max: usize) -> Option<Compression> {
        let one_more = |count: usize| (count < max).then_some(count + 1);
        let taken = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.ok().map(|_| Compression(count.clone()))
    }
}

impl Drop for Compression {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What follows a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The answer to STARTTLS is waiting to be sent: now the handshake.
    StartTls,
    /// The answer to COMPRESS is waiting to be sent: what follows is compressed.
    Compress,
    Close,
}

/// How a command went. An error is the end of the connection.
pub type Handled = Result<Flow, ReadError>;
/// A command being carried out.
pub type Running<'a> = Pin<Box<dyn Future<Output = Handled> + Send + 'a>>;

/// What may be said next (RFC 9051 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    NotAuthenticated,
    Authenticated,
    Selected,
}

/// What the client has enabled (RFC 5161), or used for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    pub condstore: bool,
    pub qresync: bool,
    pub utf8: bool,
    pub rev2: bool,
    pub uidonly: bool,
}

/// What is counted, for the limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub stranger_commands: u32,
    pub bad_commands: u32,
    pub auth_failures: u32,
}

/// A conversation.
pub struct Session {
    pub server: Arc<Server>,
    pub peer: Peer,
    pub tls: Option<TlsInfo>,
    /// What of the TLS connection a login can be bound to.
    pub channel: Channel,
    /// Whether the connection can be turned into TLS.
    pub can_start_tls: bool,
    compression: Option<Compression>,
    pub shutdown: Shutdown,
    pub caller: Option<Caller>,
    /// Among the sessions that are open.
    pub place: OpenSession,
    pub selected: Option<Selected>,
    pub enabled: Enabled,
    /// What the client is told of, since it has said so (RFC 5465).
    pub watch: Option<Box<Watch>>,
    pub counts: Counts,
}

/// Has the conversation. A session that has to end, and can't be told so in its time, is cut off.
pub async fn run(server: Arc<Server>, connection: Connection) {
    let sessions = server.core.sessions();
    let place = sessions.place(SessionKind::Imap, connection.peer.ip());
    let conversation = converse(server, connection, place.clone());
    place.until_overdue(conversation).await;
}

async fn converse(server: Arc<Server>, connection: Connection, place: OpenSession) {
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
        compression: None,
        shutdown,
        caller: None,
        place,
        selected: None,
        enabled: Enabled::default(),
        watch: None,
        counts: Counts::default(),
        server: server.clone(),
    };
    tracing::debug!(listener = "imap", peer = %session.peer_name(), "connected");
    let mut out = Out::new(stream, config.timeouts.write);
    session.greet(&mut out);
    loop {
        match session.step(&mut out).await {
            Ok(Flow::Continue) => {}
            Ok(Flow::Close) => return out.close().await,
            Ok(Flow::StartTls) => match session.secure(out).await {
                Some(secured) => out = secured,
                None => return,
            },
            Ok(Flow::Compress) => match out.compress().await {
                Ok(compressed) => out = compressed,
                Err(error) => {
                    tracing::debug!(peer = %session.peer_name(), %error, "connection ended");
                    return;
                }
            },
            Err(error) => return session.part(out, error).await,
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
        match (&self.caller, &self.selected) {
            (None, _) => State::NotAuthenticated,
            (Some(_), None) => State::Authenticated,
            (Some(_), Some(_)) => State::Selected,
        }
    }

    /// Whether a password may be sent as things are.
    pub fn may_log_in(&self) -> bool {
        self.tls.is_some()
            || self.server.config.plaintext_logins == PlaintextLogins::Anywhere
            || self.peer_ip().is_none_or(|ip| ip.is_loopback())
    }

    pub fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }

    /// Counts the connection among those that are compressed; false if there are too many.
    pub fn take_compression(&mut self) -> bool {
        let max = self.server.config.limits.compressed_max;
        self.compression = Compression::take(&self.server.compressions, max);
        self.compression.is_some()
    }

    /// Messages that no session was told of yet (RFC 3501 §2.3.2); by their UIDs, of which some may be gone.
    pub fn recent(&self, key: MailboxKey, status: &ViewStatus) -> u32 {
        let first = self.server.config.recents.peek(key, status.uid_next);
        status.uid_next.saturating_sub(first).min(status.messages)
    }

    /// What the caller may do is what they may do now, not when they logged in. `Some`: the end.
    async fn refresh(&mut self, out: &mut Out) -> Option<Flow> {
        let who = self.caller.as_ref()?;
        match self.server.core.current(who).await {
            Ok(Some(current)) => {
                self.caller = Some(current);
                None
            }
            Ok(None) => {
                let code = Some(Code::AuthorizationFailed);
                Some(self.bye(out, code, "The account may not be used any more"))
            }
            Err(error) => {
                tracing::error!(%error, "a login can't be looked at again");
                let code = Some(Code::Unavailable);
                Some(self.bye(out, code, "The server has a failure; try again later"))
            }
        }
    }

    /// How names are read and written.
    pub fn mode(&self) -> Mode {
        Mode {
            utf8: self.enabled.utf8 || self.enabled.rev2,
        }
    }

    fn greet(&self, out: &mut Out) {
        let code = Code::Capability(commands::capabilities(self));
        out.untagged(Status::Ok, Some(&code), "Posthorn is ready");
    }

    /// One command and its answer.
    async fn step(&mut self, out: &mut Out) -> Handled {
        match self.read(out).await? {
            None => Ok(self.dismiss(out)),
            Some(Input::Lost(text)) => Ok(self.bye(out, Some(Code::Limit), text)),
            Some(Input::Refused {
                tag,
                status,
                code,
                text,
            }) => self.refuse(out, tag.as_deref(), status, code, text),
            Some(Input::Command { octets, share }) => {
                let parsed = parse::parse(octets.expose(), self.mode());
                drop(octets);
                let flow = match parsed {
                    Ok(tagged) => self.dispatch(out, tagged).await,
                    Err(error) => self.misunderstood(out, error),
                };
                drop(share);
                flow
            }
        }
    }

    /// Takes leave of a client that hasn't asked for it: the session was ended, or the server is being stopped.
    pub fn dismiss(&mut self, out: &mut Out) -> Flow {
        let Some(ending) = self.place.ending() else {
            let text = "The server is being stopped";
            out.untagged(Status::Bye, Some(&Code::Unavailable), text);
            return Flow::Close;
        };
        let code = match ending {
            Ending::Asked => None,
            Ending::LoginOver => Some(Code::AuthorizationFailed),
            Ending::TooMany => Some(Code::Limit),
        };
        self.bye(out, code, ending.text())
    }

    /// The next command; None when the session was ended, or the server is being stopped.
    async fn read(&mut self, out: &mut Out) -> Result<Option<Input>, ReadError> {
        let server = self.server.clone();
        let config = &server.config;
        let is_stranger = self.caller.is_none();
        let share = config.budget.share();
        let assembly = Assembly::new(&config.limits, &config.timeouts, is_stranger, share);
        let pace = match is_stranger {
            true => config.timeouts.stranger,
            false => config.timeouts.command,
        };
        let first = self
            .first_line(out, assembly.first_line_octets_max(), pace)
            .await;
        match first {
            Ok(Some(line)) => assembly
                .complete(out, line.octets, line.form)
                .await
                .map(Some),
            Ok(None) => Ok(None),
            // The end of the line is lost, and with it whether a literal follows.
            Err(ReadError::LineTooLong(_)) => {
                Ok(Some(Input::Lost("The command is too long; closing")))
            }
            Err(error) => Err(error),
        }
    }

    async fn first_line(
        &mut self,
        out: &mut Out,
        octets_max: usize,
        pace: LinePace,
    ) -> Result<Option<net::Line>, ReadError> {
        let shutdown = self.shutdown.clone();
        if out.has_line() {
            return tokio::select! {
                biased;
                () = shutdown.requested() => Ok(None),
                _ = self.place.ended() => Ok(None),
                line = out.read_line(octets_max, pace) => line.map(Some),
            };
        }
        out.flush().await?;
        let deadline = Instant::now() + pace.idle;
        loop {
            let is_watching = self.watch.is_some();
            // All is sent, so that the wait can be given up and begun again.
            let change = tokio::select! {
                biased;
                () = shutdown.requested() => return Ok(None),
                _ = self.place.ended() => return Ok(None),
                line = out.read_line(octets_max, pace) => return line.map(Some),
                () = sleep_until(deadline), if is_watching => return Err(ReadError::Idle),
                change = Watch::next(self.watch.as_deref_mut()) => change,
            };
            self.tell_events(out, &change).await;
            out.flush().await?;
        }
    }

    fn misunderstood(&mut self, out: &mut Out, error: parse::ParseError) -> Handled {
        let (status, code) = match error.kind {
            ErrorKind::Syntax | ErrorKind::UnknownCommand => (Status::Bad, None),
            ErrorKind::BadCharset => (Status::No, Some(Code::BadCharset)),
            ErrorKind::Limit => (Status::Bad, Some(Code::Limit)),
        };
        self.refuse(out, error.tag.as_deref(), status, code, &error.why)
    }

    async fn dispatch(&mut self, out: &mut Out, Tagged { tag, command }: Tagged) -> Handled {
        if self.caller.is_none() {
            self.counts.stranger_commands += 1;
            if self.counts.stranger_commands > self.server.config.limits.stranger_commands_max {
                let text = "Too many commands without a login";
                return Ok(self.bye(out, Some(Code::Limit), text));
            }
        }
        self.place.active();
        if let Some(end) = self.refresh(out).await {
            return Ok(end);
        }
        let name = commands::name(&command);
        let Some(entry) = commands::TABLE.iter().find(|entry| entry.name == name) else {
            let text = format!("{name} is not offered");
            return self.bad(out, &tag, &text);
        };
        if !entry.states.contains(&self.state()) {
            let text = match self.state() {
                State::NotAuthenticated => "Log in first",
                _ if entry.states == [State::NotAuthenticated] => "You are logged in already",
                State::Authenticated => "Select a mailbox first",
                State::Selected => "Not while a mailbox is selected",
            };
            return self.bad(out, &tag, text);
        }
        let own = self.own_names(&command);
        let flow = (entry.run)(self, out, &tag, command).await?;
        if !own.is_empty() {
            self.tell_names(out, &own).await;
        }
        Ok(flow)
    }

    /// Ends a command well. All that there is to be told of the selected mailbox comes before it.
    pub async fn ok(
        &mut self,
        out: &mut Out,
        tag: &str,
        code: Option<Code>,
        text: &str,
    ) -> Handled {
        self.end(out, tag, Expunges::Told, (Status::Ok, code, text))
            .await
    }

    /// Ends a command that could be understood, and not carried out.
    pub async fn no(
        &mut self,
        out: &mut Out,
        tag: &str,
        code: Option<Code>,
        text: &str,
    ) -> Handled {
        self.end(out, tag, Expunges::Told, (Status::No, code, text))
            .await
    }

    /// Ends a command that is none, or none for now. Too many of them are the end.
    pub fn bad(&mut self, out: &mut Out, tag: &str, text: &str) -> Handled {
        self.refuse(out, Some(tag), Status::Bad, None, text)
    }

    fn refuse(
        &mut self,
        out: &mut Out,
        tag: Option<&str>,
        status: Status,
        code: Option<Code>,
        text: &str,
    ) -> Handled {
        match tag {
            Some(tag) => out.tagged(tag, status, code.as_ref(), text),
            None => out.untagged(Status::Bad, code.as_ref(), text),
        }
        if status != Status::Bad {
            return Ok(Flow::Continue);
        }
        self.counts.bad_commands += 1;
        if self.counts.bad_commands <= self.server.config.limits.bad_commands_max {
            return Ok(Flow::Continue);
        }
        if let (Some(ip), None) = (self.peer_ip(), &self.caller) {
            let core = &self.server.core;
            core.note_offence(ip, BanRule::BadCommands, "the last by imap");
        }
        let text = "Too many commands that can't be carried out";
        Ok(self.bye(out, Some(Code::Limit), text))
    }

    /// Says BYE, and closes.
    pub fn bye(&mut self, out: &mut Out, code: Option<Code>, text: &str) -> Flow {
        tracing::info!(listener = "imap", peer = %self.peer_name(), reason = text, "refused");
        out.untagged(Status::Bye, code.as_ref(), text);
        Flow::Close
    }

    /// Forgets who the client is, and all that goes with it.
    pub fn reset(&mut self) {
        self.caller = None;
        self.place.leave();
        self.selected = None;
        self.watch = None;
        self.enabled = Enabled::default();
    }

    /// RFC 9051 §6.2.1: after the handshake the client is a stranger again.
    async fn secure(&mut self, out: Out) -> Option<Out> {
        let tls = self.server.config.tls.as_ref()?;
        // Boxed: handshakes are large, and rare in the life of a session.
        match Box::pin(out.start_tls(tls)).await {
            Ok(out) => {
                self.tls = out.stream().tls_info();
                self.channel = Channel::of(out.stream());
                self.can_start_tls = false;
                self.reset();
                Some(out)
            }
            Err(error) => {
                tracing::debug!(peer = %self.peer_name(), %error, "no TLS");
                None
            }
        }
    }

    /// Says why, where that is of use, and closes.
    async fn part(&mut self, mut out: Out, error: ReadError) {
        tracing::debug!(peer = %self.peer_name(), %error, "connection ended");
        let text = match error {
            ReadError::Idle => "Autologout; nothing was said for too long",
            ReadError::TooSlow => "Too slow; closing",
            ReadError::Flooded(_) => "Far too large; closing",
            _ => return,
        };
        out.untagged(Status::Bye, None, text);
        out.close().await;
    }
}
