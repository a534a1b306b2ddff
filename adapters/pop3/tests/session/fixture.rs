//! A server on a socket of its own, and a client that says lines and expects answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use net::reader::LinePace;
use net::tls::TlsServer;
use net::{CertResolver, Identity, Listener, ListenerConfig, Network, Shutdown, Stream, Wire};
use pop3::{Config, Locks, Room};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;

use crate::fake::Fake;

const PACE: LinePace = LinePace {
    idle: Duration::from_secs(10),
    line: Duration::from_secs(10),
};

/// A running server. It stops when the test's runtime does.
pub struct Fixture {
    pub fake: Fake,
    pub shutdown: Shutdown,
    pub locks: Locks,
    pub room: Room,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    certificate: Vec<u8>,
    /// In front of every connection.
    header: &'static str,
}

pub fn start() -> Fixture {
    start_with(|_| {})
}

pub fn start_with(edit: impl FnOnce(&mut Config)) -> Fixture {
    launch("", false, edit)
}

/// The same, as a client sees it that is not on this machine.
pub fn start_for_strangers() -> Fixture {
    let header = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 110\r\n";
    launch(header, false, |_| {})
}

/// A server that speaks TLS from the first octet.
pub fn start_implicit_tls() -> Fixture {
    launch("", true, |_| {})
}

fn launch(header: &'static str, implicit_tls: bool, edit: impl FnOnce(&mut Config)) -> Fixture {
    let (server, tls, certificate) = certificates();
    let fake = Fake::default();
    let room = Room::new(1 << 20, Duration::from_millis(100));
    let mut config = Config::new("mx.example.org", Locks::default(), room);
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut listening = ListenerConfig::new("test", loopback);
    listening.goodbye = pop3::goodbye();
    if !header.is_empty() {
        let network: Network = "127.0.0.0/8".parse().unwrap();
        listening.proxies.store(Arc::new(vec![network]));
    }
    match implicit_tls {
        true => listening.tls = Some(server),
        false => config.tls = Some(server),
    }
    edit(&mut config);
    let (locks, room) = (config.locks.clone(), config.room.clone());
    let shutdown = Shutdown::new();
    let listener = Listener::bind(listening).unwrap();
    let address = listener.local_address().unwrap();
    let config = Arc::new(arc_swap::ArcSwap::from_pointee(config));
    let serving = pop3::serve(listener, shutdown.clone(), fake.clone(), config);
    tokio::spawn(serving);
    Fixture {
        fake,
        shutdown,
        locks,
        room,
        address,
        tls,
        certificate,
        header,
    }
}

fn certificates() -> (TlsServer, Arc<ClientConfig>, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    let (pem, key_pem) = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(pem.as_bytes(), key_pem.as_bytes(), "test").unwrap();
    let server = TlsServer::new(&CertResolver::new(vec![identity]), &[]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(net::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, Arc::new(client), certificate.der().to_vec())
}

impl Fixture {
    /// RFC 5929 §4.1: the hash of the certificate.
    pub fn end_point(&self) -> Vec<u8> {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.certificate);
        hash.as_ref().to_vec()
    }

    /// Connected, before the greeting was read.
    pub async fn connect_raw(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut client = Client(Wire::new(Stream::Tcp(stream)));
        client.send(self.header).await;
        client
    }

    /// Connected and greeted.
    pub async fn connect(&self) -> Client {
        let mut client = self.connect_raw().await;
        client.expect("+OK mx.example.org ").await;
        client
    }

    /// The same, logged in as `ann`.
    pub async fn login(&self) -> Client {
        let mut client = self.connect().await;
        client.login("ann", "+OK ").await;
        client
    }

    pub async fn secure(&self, client: Client) -> Client {
        let name = "localhost".try_into().unwrap();
        Client(client.0.connect_tls(self.tls.clone(), name).await.unwrap())
    }
}

/// The other end.
pub struct Client(pub Wire<Stream>);

impl Client {
    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.0.send(octets.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    pub async fn line(&mut self) -> String {
        let line = self.0.read_line(1 << 20, PACE).await.expect("a line");
        assert!(line.form.is_strict(), "{line:?}");
        String::from_utf8(line.octets).unwrap()
    }

    /// A line that begins like this.
    pub async fn expect(&mut self, start: &str) -> String {
        let line = self.line().await;
        assert!(line.starts_with(start), "wanted {start:?}, got {line:?}");
        line
    }

    pub async fn say(&mut self, line: &str, start: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.expect(start).await
    }

    /// The lines of an answer after the first, dots removed.
    pub async fn list(&mut self, line: &str) -> Vec<String> {
        self.say(line, "+OK").await;
        self.lines().await
    }

    pub async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            match line.strip_prefix('.') {
                Some("") => return lines,
                Some(rest) => lines.push(rest.to_owned()),
                None => lines.push(line),
            }
        }
    }

    pub async fn login(&mut self, name: &str, start: &str) -> String {
        self.say(&format!("USER {name}"), "+OK ").await;
        self.say("PASS se cret", start).await
    }

    /// The connection ends here.
    pub async fn expect_end(&mut self) {
        let line = self.0.read_line(1000, PACE).await;
        assert!(line.is_err(), "{line:?}");
    }
}
