//! A server with two accounts, and a client that says lines.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jmap_core::{
    Caller, Core, Limits, Parts,
    clock::{SystemClock, TestClock, UtcMillis},
    directory::NewAccount,
    rng::SeededRng,
};
use net::{Budget, Listener, ListenerConfig, Secret, Shutdown};
use store::{
    engine::MemoryEngine,
    search::{SearchIndex, SearchOptions},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

pub const ANN: &str = "ann@example.org";
pub const PASSWORD: &str = "correct horse battery staple";
const WAIT: Duration = Duration::from_secs(30);

pub struct Server {
    pub core: Core,
    pub address: SocketAddr,
    _search: tempfile::TempDir,
}

impl Server {
    pub async fn start() -> Server {
        let search = tempfile::tempdir().unwrap();
        let options = SearchOptions {
            shards: 1,
            ..SearchOptions::default()
        };
        let index = SearchIndex::open(search.path(), &options).unwrap();
        let parts = Parts {
            engine: MemoryEngine::new(),
            search: Arc::new(index),
            clock: Arc::new(TestClock::new(UtcMillis(1_700_000_000_000))),
            rng: Arc::new(SeededRng::new(7)),
            limits: Limits::default(),
            hostname: "mail.example.org".into(),
            push: Default::default(),
        };
        let core = Core::open(parts).await.unwrap();
        let admin = Caller::server();
        core.add_domain(&admin, "example.org").await.unwrap();
        let password = Secret::new(PASSWORD.to_owned());
        let account = NewAccount::person(ANN, Some(password));
        core.add_account(&admin, account).await.unwrap();
        let budget = Budget::new(1 << 30, Duration::from_secs(1));
        let config = imap::Config::new("mail.example.org", budget, Arc::new(SystemClock));
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(ListenerConfig::new("imap", loopback)).unwrap();
        let address = listener.local_address().unwrap();
        tokio::spawn(imap::serve(listener, Shutdown::new(), core.clone(), config));
        Server {
            core,
            address,
            _search: search,
        }
    }

    pub async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut client = Client {
            stream: BufReader::new(stream),
            commands: 0,
        };
        client.line().await;
        client
    }

    pub async fn login(&self) -> Client {
        let mut client = self.connect().await;
        client.ok(&format!("LOGIN {ANN} \"{PASSWORD}\"")).await;
        client
    }

    /// Logged in, with these messages in the selected INBOX.
    pub async fn with_messages(&self, count: usize) -> Client {
        let mut client = self.login().await;
        for number in 1..=count {
            client.append("INBOX", "", &message(number)).await;
        }
        client.ok("SELECT INBOX").await;
        client
    }
}

/// A short message.
pub fn message(number: usize) -> String {
    format!("From: a@example.org\r\nSubject: message {number}\r\n\r\nbody {number}\r\n")
}

pub struct Client {
    stream: BufReader<TcpStream>,
    commands: usize,
}

impl Client {
    pub async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line);
        let read = timeout(WAIT, read).await.expect("the server says nothing").unwrap();
        assert!(read > 0, "the server has closed the connection");
        String::from_utf8_lossy(&line).into_owned()
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// What a command is answered with, in lines that end with LF; the tag is `.`.
    pub async fn say(&mut self, command: &str) -> String {
        self.commands += 1;
        let tag = format!("t{}", self.commands);
        self.send(&format!("{tag} {command}\r\n")).await;
        self.answer(&tag).await
    }

    pub async fn answer(&mut self, tag: &str) -> String {
        let mut answer = String::new();
        loop {
            let line = self.line().await;
            let rest = line.strip_prefix(tag).filter(|rest| rest.starts_with(' '));
            match rest {
                Some(rest) => {
                    answer.push('.');
                    answer.push_str(rest);
                    return answer.replace("\r\n", "\n");
                }
                None => answer.push_str(&line),
            }
        }
    }

    /// The same for a command that goes well.
    pub async fn ok(&mut self, command: &str) -> String {
        let answer = self.say(command).await;
        let last = answer.lines().last().unwrap_or_default();
        assert!(last.starts_with(". OK"), "{command}: {answer}");
        answer
    }

    /// A command that must be answered with all of these lines, in this order, perhaps with others in between. `*` at the end of one stands for
    /// whatever follows.
    pub async fn expect(&mut self, command: &str, want: &[&str]) -> String {
        let answer = self.say(command).await;
        let mut lines = answer.lines();
        for want in want {
            let fits = |line: &str| match want.strip_suffix('~') {
                Some(start) => line.starts_with(start),
                None => line == *want,
            };
            assert!(lines.any(fits), "{command}: no {want} in order in\n{answer}");
        }
        answer
    }

    pub async fn append(&mut self, mailbox: &str, options: &str, message: &str) -> String {
        let space = if options.is_empty() { "" } else { " " };
        let octets = message.len();
        self.ok(&format!("APPEND {mailbox}{space}{options} {{{octets}+}}\r\n{message}")).await
    }

    /// Whatever comes until it is quiet for a moment.
    pub async fn quiet(&mut self) -> String {
        let mut octets = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(read) = timeout(Duration::from_millis(400), self.stream.read(&mut chunk)).await {
            let read = read.unwrap();
            octets.extend_from_slice(&chunk[..read]);
            if read == 0 {
                break;
            }
        }
        String::from_utf8_lossy(&octets).replace("\r\n", "\n")
    }
}
