//! A server on a socket of its own, and a client that says lines and reads answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use imap::Config;
use jmap_core::auth::Secret;
use jmap_core::clock::SystemClock;
use jmap_core::directory::NewAccount;
use jmap_core::rng::SystemRng;
use jmap_core::{Caller, Core, Limits, Parts};
use net::reader::LinePace;
use net::{Budget, Listener, ListenerConfig, Shutdown, Stream, Wire};
use store::engine::MemoryEngine;
use store::search::{SearchIndex, SearchOptions};
use tokio::net::TcpStream;

pub const PASSWORD: &str = "correct horse battery";
const PACE: LinePace = LinePace {
    idle: Duration::from_secs(20),
    line: Duration::from_secs(20),
};

/// With `ann`, `bob` and `eve` at `example.org`, all with the same password. It stops when the test's runtime does.
pub struct Fixture {
    pub core: Core,
    pub budget: Budget,
    pub shutdown: Shutdown,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

pub async fn start() -> Fixture {
    start_with(Limits::default(), |_| {}).await
}

pub async fn start_with(limits: Limits, edit: impl FnOnce(&mut Config)) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let search = SearchIndex::open(folder.path(), &SearchOptions::default()).unwrap();
    let core = Core::open(Parts {
        push: Default::default(),
        engine: MemoryEngine::new(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        limits,
        hostname: "mail.example.org".into(),
        search: Arc::new(search),
    })
    .await
    .unwrap();
    let password = || Secret::from(PASSWORD);
    core.bootstrap_admin("ann@example.org", password())
        .await
        .unwrap();
    for name in ["bob@example.org", "eve@example.org"] {
        let new = NewAccount::person(name, Some(password()));
        core.add_account(&Caller::server(), new).await.unwrap();
    }
    let budget = Budget::new(64 << 20, Duration::from_millis(200));
    let mut config = Config::new("mail.example.org", budget.clone(), Arc::new(SystemClock));
    edit(&mut config);
    let bind: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut socket = ListenerConfig::new("imap", bind);
    socket.goodbye = imap::goodbye();
    let listener = Listener::bind(socket).unwrap();
    let address = listener.local_address().unwrap();
    let shutdown = Shutdown::new();
    tokio::spawn(imap::serve(
        listener,
        shutdown.clone(),
        core.clone(),
        Arc::new(arc_swap::ArcSwap::from_pointee(config)),
    ));
    Fixture {
        core,
        budget,
        shutdown,
        address,
        _folder: folder,
    }
}

impl Fixture {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connected and greeted.
    pub async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut client = Client {
            wire: Wire::new(Stream::Tcp(stream)),
            commands: 0,
        };
        let greeting = client.line().await;
        assert!(
            greeting.starts_with("* OK [CAPABILITY IMAP4rev2 "),
            "{greeting}"
        );
        client
    }

    /// Logged in as `name@example.org`.
    pub async fn login(&self, name: &str) -> Client {
        let mut client = self.connect().await;
        client
            .ok(&format!("LOGIN {name}@example.org \"{PASSWORD}\""))
            .await;
        client
    }
}

/// The other end.
pub struct Client {
    pub wire: Wire<Stream>,
    commands: u32,
}

impl Client {
    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.wire.send(octets.as_ref()).await.unwrap();
        self.wire.flush().await.unwrap();
    }

    pub async fn line(&mut self) -> String {
        let line = self.wire.read_line(1 << 20, PACE).await.expect("a line");
        String::from_utf8(line.octets).unwrap()
    }

    /// Says a command, and reads to its end: all untagged lines, then the tagged one without its tag.
    pub async fn say(&mut self, command: &str) -> Vec<String> {
        self.commands += 1;
        let tag = format!("a{}", self.commands);
        self.send(format!("{tag} {command}\r\n")).await;
        self.until(&tag).await
    }

    pub async fn until(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if let Some(end) = line.strip_prefix(&format!("{tag} ")) {
                lines.push(end.to_owned());
                return lines;
            }
            lines.push(line);
        }
    }

    /// Says a command that has to end with OK: the untagged lines.
    pub async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut lines = self.say(command).await;
        let end = lines.pop().unwrap_or_default();
        assert!(end.starts_with("OK"), "{command}: {end}");
        lines
    }

    /// The tagged line of a command.
    pub async fn end(&mut self, command: &str) -> String {
        self.say(command).await.pop().unwrap_or_default()
    }

    /// The names that `LIST "" "*"` has.
    pub async fn names(&mut self) -> Vec<String> {
        let lines = self.ok("LIST \"\" \"*\"").await;
        lines
            .iter()
            .filter_map(|line| line.split_once(" \"/\" "))
            .map(|(_, name)| name.trim_matches('"').to_owned())
            .collect()
    }

    /// The connection ends here, perhaps after an untagged line: which one.
    pub async fn farewell(&mut self) -> String {
        let mut last = String::new();
        while let Ok(line) = self.wire.read_line(1 << 20, PACE).await {
            last = String::from_utf8(line.octets).unwrap();
        }
        last
    }
}
