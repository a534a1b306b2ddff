//! A session of moving, from the side of whoever reads the source or writes the files.
//!
//! Holds: it is the same over the socket of a running server and over a folder that is opened for it.
//! Other half: `serve`.

use std::{collections::HashMap, io, path::PathBuf};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    task::JoinHandle,
};

use super::{
    MoveError,
    protocol::{
        Ask, EmailItem, FlagsItem, KnownItem, LINE_OCTETS_MAX, MailboxItem, Outcome, PutItem,
        Reply, SettingsItem,
    },
};
use crate::{
    cli::{
        command::Command,
        control::{self, read_line, write},
        execute::Target,
    },
    hex::hex,
};

/// Octets on their way within this process.
const DUPLEX_OCTETS: usize = 256 << 10;

/// Where accounts are.
#[derive(Clone)]
pub enum Destination {
    /// A running server, by its control socket.
    Server(PathBuf),
    /// A folder that this process has opened.
    Folder(Box<Target>),
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A session about one account.
pub struct Session {
    stream: BufReader<Box<dyn Duplex>>,
    /// The answering side, where it is in this process.
    answering: Option<JoinHandle<io::Result<()>>>,
    /// As the account is called.
    pub name: String,
    pub message_octets_max: u64,
    pub keywords_max: usize,
}

impl Destination {
    /// Begins a session about an account.
    pub async fn open(&self, account: &str) -> Result<Session, MoveError> {
        let (stream, answering): (Box<dyn Duplex>, _) = match self {
            Destination::Server(path) => {
                let stream = control::connect(path).await.map_err(MoveError::Session)?;
                let stream = stream.ok_or_else(|| {
                    MoveError::Session(io::Error::other("it was stopped meanwhile"))
                })?;
                (Box::new(stream), None)
            }
            Destination::Folder(target) => {
                let (ours, theirs) = tokio::io::duplex(DUPLEX_OCTETS);
                let target = target.clone();
                let task = tokio::spawn(async move { control::session(theirs, &target).await });
                (Box::new(ours), Some(task))
            }
        };
        let mut session = Session {
            stream: BufReader::new(stream),
            answering,
            name: account.to_owned(),
            message_octets_max: 0,
            keywords_max: 0,
        };
        write(&mut session.stream, &Command::Move)
            .await
            .map_err(MoveError::Session)?;
        let name = account.to_owned();
        match session.ask(&Ask::Account { name }).await? {
            Reply::Account {
                name,
                message_octets_max,
                keywords_max,
            } => {
                session.name = name;
                session.message_octets_max = message_octets_max;
                session.keywords_max = usize::try_from(keywords_max).unwrap_or(usize::MAX);
                Ok(session)
            }
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(reply: &Reply) -> MoveError {
    match reply {
        Reply::Error(why) => MoveError::Refused(why.clone()),
        _ => MoveError::Refused("the server's answer isn't one to what was asked".to_owned()),
    }
}

impl Session {
    /// Ends the session: what was opened for it can be closed afterwards.
    pub async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        drop(self.stream);
        if let Some(task) = self.answering {
            let _ = task.await;
        }
    }

    async fn answer(&mut self) -> Result<Reply, MoveError> {
        let line = read_line(&mut self.stream, LINE_OCTETS_MAX)
            .await
            .map_err(MoveError::Session)?;
        let reply = serde_json::from_slice(&line);
        match reply.map_err(|error| MoveError::Session(error.into()))? {
            Reply::Error(why) => Err(MoveError::Refused(why)),
            reply => Ok(reply),
        }
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Reply, MoveError> {
        write(&mut self.stream, ask)
            .await
            .map_err(MoveError::Session)?;
        self.answer().await
    }

    /// The mailbox of a folder. A name that is refused is [`MoveError::Source`].
    pub async fn mailbox(
        &mut self,
        levels: &[String],
        role: Option<&str>,
        is_subscribed: bool,
    ) -> Result<u64, MoveError> {
        let ask = Ask::Mailbox {
            levels: levels.to_vec(),
            role: role.map(str::to_owned),
            is_subscribed,
        };
        match self.ask(&ask).await? {
            Reply::Mailbox { id, .. } => Ok(id),
            Reply::Refused(why) => Err(MoveError::Source(why)),
            other => Err(unexpected(&other)),
        }
    }

    /// What was imported of a collection, by the item in hexadecimal.
    pub async fn known(
        &mut self,
        collection: &[u8; 16],
    ) -> Result<HashMap<String, KnownItem>, MoveError> {
        let collection = hex(collection);
        let (mut known, mut after) = (HashMap::new(), None);
        loop {
            let ask = Ask::Known {
                collection: collection.clone(),
                after: after.clone(),
            };
            let rows = match self.ask(&ask).await? {
                Reply::Known(rows) => rows,
                other => return Err(unexpected(&other)),
            };
            let Some(last) = rows.last() else {
                return Ok(known);
            };
            after = Some(last.item.clone());
            known.extend(rows.into_iter().map(|row| (row.item.clone(), row)));
        }
    }

    /// Sends messages; their outcomes are the next answer.
    pub async fn send_put(&mut self, items: Vec<(PutItem, Bytes)>) -> Result<(), MoveError> {
        let (items, octets): (Vec<PutItem>, Vec<Bytes>) = items.into_iter().unzip();
        let sent = async {
            write(&mut self.stream, &Ask::Put(items)).await?;
            for octets in octets {
                self.stream.write_all(&octets).await?;
            }
            self.stream.flush().await
        };
        sent.await.map_err(MoveError::Session)
    }

    pub async fn put_outcomes(&mut self) -> Result<Vec<Outcome>, MoveError> {
        match self.answer().await? {
            Reply::Put(outcomes) => Ok(outcomes),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn flags(
        &mut self,
        collection: &[u8; 16],
        seen: Vec<FlagsItem>,
    ) -> Result<u64, MoveError> {
        let collection = hex(collection);
        match self.ask(&Ask::Flags { collection, seen }).await? {
            Reply::Flags(changed) => Ok(changed),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn forget(&mut self) -> Result<(), MoveError> {
        match self.ask(&Ask::Forget).await? {
            Reply::Forgotten => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn mailboxes(&mut self) -> Result<Vec<MailboxItem>, MoveError> {
        match self.ask(&Ask::Mailboxes).await? {
            Reply::Mailboxes(rows) => Ok(rows),
            other => Err(unexpected(&other)),
        }
    }

    pub async fn emails(&mut self, after: u64) -> Result<Vec<EmailItem>, MoveError> {
        match self.ask(&Ask::Emails { after }).await? {
            Reply::Emails(rows) => Ok(rows),
            other => Err(unexpected(&other)),
        }
    }

    /// `None`: they are missing, or damaged.
    pub async fn octets(&mut self, hash: &str) -> Result<Option<Bytes>, MoveError> {
        let hash = hash.to_owned();
        let length = match self.ask(&Ask::Octets { hash }).await? {
            Reply::Octets(length) => length,
            other => return Err(unexpected(&other)),
        };
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else {
            return Ok(None);
        };
        let mut octets = vec![0; length];
        let read = self.stream.read_exact(&mut octets).await;
        read.map_err(MoveError::Session)?;
        Ok(Some(octets.into()))
    }

    pub async fn settings(&mut self) -> Result<SettingsItem, MoveError> {
        match self.ask(&Ask::Settings).await? {
            Reply::Settings(settings) => Ok(*settings),
            other => Err(unexpected(&other)),
        }
    }
}
