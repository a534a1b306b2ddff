//! A server in this process, over the memory engine, and a client that sends it octets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jmap::{Bounds, Config, Jmap};
use jmap_core::{Core, Limits, Parts, auth::Secret, clock::SystemClock, rng::SystemRng};
use net::{Listener, ListenerConfig, Shutdown};
use serde_json::{Value, json};
use store::{
    engine::MemoryEngine,
    search::{SearchIndex, SearchOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub const LOGIN: &str = "ann@example.org";
pub const PASSWORD: &str = "correct horse battery";
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub address: SocketAddr,
    pub shutdown: Shutdown,
    pub account: String,
    pub core: Core,
    _folder: tempfile::TempDir,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{error}: {}{}",
                self.head,
                String::from_utf8_lossy(&self.body)
            )
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

pub async fn server() -> Server {
    server_with(Limits::default(), Bounds::default()).await
}

pub async fn server_with(limits: Limits, bounds: Bounds) -> Server {
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
    let account = core
        .bootstrap_admin(LOGIN, Secret::from(PASSWORD))
        .await
        .unwrap();
    let bind: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(ListenerConfig::new("jmap", bind)).unwrap();
    let address = listener.local_address().unwrap();
    let shutdown = Shutdown::new();
    let config = Config {
        bounds,
        metrics: Some(Arc::new(|| "posthorn_up 1\n".into())),
        ..Config::default()
    };
    let jmap = Jmap::new(core.clone(), config);
    let stop = shutdown.clone();
    tokio::spawn(async move { jmap.serve(listener, stop).await });
    Server {
        address,
        shutdown,
        account: account.id.to_string(),
        core,
        _folder: folder,
    }
}

pub fn authorization() -> String {
    let credentials = BASE64_STANDARD.encode(format!("{LOGIN}:{PASSWORD}"));
    format!("Authorization: Basic {credentials}\r\n")
}

impl Server {
    /// Sends a request head and body, and gives the connection.
    pub async fn open(&self, line: &str, fields: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = match body.len() {
            0 if !line.starts_with("POST") => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\n{length}{fields}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may have answered, and closed, before it has read everything.
        let _ = stream.write_all(body).await;
        stream
    }

    pub async fn send(&self, line: &str, fields: &str, body: &[u8]) -> Answer {
        let fields = format!("Connection: close\r\n{fields}");
        let mut stream = self.open(line, &fields, body).await;
        let mut octets = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut octets))
            .await
            .unwrap();
        answer(octets)
    }

    /// The same with a login.
    pub async fn ask(&self, line: &str, fields: &str, body: &[u8]) -> Answer {
        self.send(line, &format!("{}{fields}", authorization()), body)
            .await
    }

    pub async fn post(&self, json: &str) -> Answer {
        self.ask(
            "POST /jmap/api",
            "Content-Type: application/json\r\n",
            json.as_bytes(),
        )
        .await
    }

    pub async fn call(&self, using: &[&str], calls: Value) -> Value {
        let using: Vec<String> = using
            .iter()
            .map(|name| format!("urn:ietf:params:jmap:{name}"))
            .collect();
        let request = json!({"using": using, "methodCalls": calls});
        let answer = self.post(&request.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        answer.json()["methodResponses"].clone()
    }
}

pub fn answer(octets: Vec<u8>) -> Answer {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&octets)));
    let head = String::from_utf8(octets[..end].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: octets[end + 4..].to_vec(),
    }
}
