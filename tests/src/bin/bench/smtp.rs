//! The load client of SMTP (RFC 5321) and LMTP (RFC 2033): pipelined (RFC 2920), connections kept, one message a transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::corpus::Corpus;
use crate::measure::Samples;
use crate::{DOMAIN, Fail};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Smtp,
    Lmtp,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Smtp => "SMTP",
            Protocol::Lmtp => "LMTP",
        }
    }
}

struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    async fn open(protocol: Protocol, port: u16) -> Result<Self, Fail> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream: BufReader::new(stream),
            line: String::new(),
        };
        connection.want(220).await?;
        let hello = match protocol {
            Protocol::Smtp => "EHLO client.bench.example\r\n",
            Protocol::Lmtp => "LHLO client.bench.example\r\n",
        };
        connection.stream.write_all(hello.as_bytes()).await?;
        connection.want(250).await?;
        Ok(connection)
    }

    /// Reads one reply, of however many lines, and returns its code.
    async fn reply(&mut self) -> Result<u16, Fail> {
        loop {
            self.line.clear();
            if self.stream.read_line(&mut self.line).await? == 0 {
                return Err("the server closed the connection".into());
            }
            // RFC 5321 §4.2.1: a hyphen after the code says that more lines follow.
            if self.line.as_bytes().get(3) != Some(&b'-') {
                let code = self.line.get(..3).and_then(|code| code.parse().ok());
                return code.ok_or_else(|| format!("no reply: {:?}", self.line).into());
            }
        }
    }

    async fn want(&mut self, code: u16) -> Result<(), Fail> {
        match self.reply().await? {
            got if got == code => Ok(()),
            _ => Err(format!("want {code}, got: {}", self.line.trim_end()).into()),
        }
    }

    /// Sends one message; false when it was refused after DATA.
    async fn send(&mut self, user: &str, message: &[u8]) -> Result<bool, Fail> {
        let envelope = format!(
            "MAIL FROM:<sender@peer.example> BODY=8BITMIME\r\nRCPT TO:<{user}@{DOMAIN}>\r\nDATA\r\n"
        );
        self.stream.write_all(envelope.as_bytes()).await?;
        self.want(250).await?;
        self.want(250).await?;
        self.want(354).await?;
        self.stream.write_all(message).await?;
        // One recipient: LMTP's reply for each is one reply too.
        Ok(self.reply().await? == 250)
    }
}

/// Where a load goes and how much of it.
#[derive(Clone)]
pub struct Load {
    pub protocol: Protocol,
    pub port: u16,
    pub connections: usize,
    /// The variants of the corpus that are sent.
    pub from: usize,
    pub count: usize,
    /// Message N goes to user N modulo their number.
    pub users: Vec<String>,
}

/// Sends the messages over all connections at once; a connection takes the next message as soon as its last is acknowledged.
pub async fn run(load: &Load, corpus: &Arc<Corpus>) -> Result<Samples, Fail> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..load.connections {
        tasks.spawn(one_connection(load.clone(), corpus.clone(), next.clone()));
    }
    let mut all = Samples::default();
    while let Some(samples) = tasks.join_next().await {
        all.join(samples??);
    }
    Ok(all)
}

async fn one_connection(
    load: Load,
    corpus: Arc<Corpus>,
    next: Arc<AtomicUsize>,
) -> Result<Samples, Fail> {
    let mut connection = Connection::open(load.protocol, load.port).await?;
    let mut samples = Samples::default();
    let mut message = Vec::new();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= load.count {
            connection.stream.write_all(b"QUIT\r\n").await?;
            return Ok(samples);
        }
        message.clear();
        corpus.write(load.from + n, &mut message);
        let started = Instant::now();
        if connection
            .send(&load.users[n % load.users.len()], &message)
            .await?
        {
            samples.add(started);
        } else {
            samples.refused += 1;
        }
    }
}
