//! The control socket: commands to a running server.
//!
//! Holds: only the user that the server runs as (and root) is heard, by the socket's permissions and again by whom the
//! kernel says is there; one command a connection, in a bounded line.
//! Other half: `execute` does what comes in; `client` in here asks.
//!
//! Lines are JSON: a [`Command`] goes in; any number of `{"progress": …}` come out, then one `{"answer": …}` or
//! `{"error": …}`. After [`Command::Move`] a session of `moving` follows.

use std::{io, path::Path, sync::Arc, time::Duration};

use jmap_core::{access::Operation, admin::Deed};
use net::{Listener, ListenerConfig, Shutdown, listener::Bind};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::mpsc,
};

use super::{
    command::{Answer, Command},
    execute::{Target, execute},
};
use crate::moving;

/// Longest command, in octets.
pub const COMMAND_OCTETS_MAX: u64 = 64 << 10;
/// Longest line of an answer: a list of many accounts.
pub const ANSWER_OCTETS_MAX: u64 = 256 << 20;
/// Time for a command to arrive.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// Sentences of progress that wait to be sent; more are left out.
const PROGRESS_MAX: usize = 16;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Progress(String),
    Answer(Answer),
    Error(String),
}

/// Opens the socket of a server.
pub fn bind(path: &Path) -> Result<Listener, net::listener::BindError> {
    let place = Bind::Unix {
        path: path.to_owned(),
        mode: 0o600,
    };
    Listener::bind(ListenerConfig::new("control", place))
}

/// Does what comes in until a stop is asked for.
pub async fn serve(listener: Listener, target: Arc<Target>, shutdown: Shutdown) {
    let handler = move |connection: net::Connection| {
        let target = target.clone();
        async move {
            let stream = match connection.stream {
                net::Stream::Unix(stream) if is_us(&stream) => stream,
                _ => return tracing::warn!("a stranger at the control socket was sent away"),
            };
            if let Err(error) = session(stream, &target).await {
                tracing::debug!(%error, "a control connection ended early");
            }
        }
    };
    listener.run(shutdown, handler).await;
}

/// Whether the peer is root, or the user that this process runs as.
fn is_us(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == us || peer.uid() == 0)
}

/// One command.
pub async fn session(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    target: &Target,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let read = read_line(&mut stream, COMMAND_OCTETS_MAX);
    let line = match tokio::time::timeout(COMMAND_TIMEOUT, read).await {
        Ok(line) => zeroize::Zeroizing::new(line?),
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    // What serde says could quote a secret.
    let Ok(command) = serde_json::from_slice::<Command>(&line) else {
        let why = "the server doesn't know this command; it may be of another version".to_owned();
        return write(&mut stream, &Reply::Error(why)).await;
    };
    if matches!(command, Command::Move) {
        let who = target.operator();
        let deed = Deed::new(Operation::MoveMail, "import or export");
        if let Err(error) = target.core.note_deed(&who, deed).await {
            return write(&mut stream, &Reply::Error(error.to_string())).await;
        }
        return moving::serve::session(&mut stream, &target.core, who).await;
    }
    let (sender, mut receiver) = mpsc::channel(PROGRESS_MAX);
    let progress = move |sentence: &str| drop(sender.try_send(sentence.to_owned()));
    let mut executing = std::pin::pin!(execute(target, command, &progress));
    let outcome = loop {
        tokio::select! {
            outcome = &mut executing => break outcome,
            Some(sentence) = receiver.recv() => write(&mut stream, &Reply::Progress(sentence)).await?,
        }
    };
    let reply = match outcome {
        Ok(answer) => Reply::Answer(answer),
        Err(error) => Reply::Error(error.to_string()),
    };
    write(&mut stream, &reply).await
}

/// Writes a line of JSON.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    reply: &impl Serialize,
) -> io::Result<()> {
    let mut line = zeroize::Zeroizing::new(serde_json::to_vec(reply)?);
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}

/// A line without its end; an error when it is longer than `octets_max` or isn't whole.
pub async fn read_line(
    stream: &mut (impl AsyncBufReadExt + Unpin),
    octets_max: u64,
) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.take(octets_max).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ if line.len() as u64 + 1 >= octets_max => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the line is too long",
        )),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Connects to a running server; `None` when none runs.
pub async fn connect(path: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Why a running server didn't do it.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{0}")]
    Refused(String),
    #[error("the server didn't answer: {0}")]
    Io(#[from] io::Error),
}

/// Gives a running server a command.
pub async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    command: &Command,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Answer, ControlError> {
    let mut stream = BufReader::new(stream);
    write(&mut stream, command).await?;
    loop {
        let line = zeroize::Zeroizing::new(read_line(&mut stream, ANSWER_OCTETS_MAX).await?);
        match serde_json::from_slice(&line).map_err(io::Error::from)? {
            Reply::Progress(sentence) => progress(&sentence),
            Reply::Answer(answer) => return Ok(answer),
            Reply::Error(why) => return Err(ControlError::Refused(why)),
        }
    }
}
