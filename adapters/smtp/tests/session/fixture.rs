//! A server on a socket of its own, and a client that says lines and expects answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jmap_core::clock::{TestClock, UtcMillis};
use jmap_core::rng::SeededRng;
use net::reader::LinePace;
use net::tls::TlsServer;
use net::{CertResolver, Identity, Listener, ListenerConfig, Shutdown, Stream, Wire};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use smtp::{Budget, Config, Mode};
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
    pub budget: Budget,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// A server that speaks TLS from the first octet.
pub fn start_implicit_tls(mode: Mode) -> Fixture {
    launch(mode, true, |_| {})
}

pub fn start(mode: Mode, edit: impl FnOnce(&mut Config)) -> Fixture {
    launch(mode, false, edit)
}

fn launch(mode: Mode, implicit_tls: bool, edit: impl FnOnce(&mut Config)) -> Fixture {
    let (server, tls) = certificates();
    let fake = Fake::default();
    let clock = TestClock::new(UtcMillis(1_795_460_337_000));
    let budget = Budget::new(1 << 30, Duration::from_millis(100));
    let rng = Arc::new(SeededRng::new(1));
    let mut config = Config::new(mode, "mx.example.org", budget, Arc::new(clock), rng);
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut listening = ListenerConfig::new("test", loopback);
    listening.goodbye = smtp::goodbye();
    match implicit_tls {
        true => listening.tls = Some(server),
        false => config.tls = Some(server),
    }
    edit(&mut config);
    let budget = config.budget.clone();
    let shutdown = Shutdown::new();
    let listener = Listener::bind(listening).unwrap();
    let address = listener.local_address().unwrap();
    tokio::spawn(smtp::serve(
        listener,
        shutdown.clone(),
        fake.clone(),
        Arc::new(arc_swap::ArcSwap::from_pointee(config)),
    ));
    Fixture {
        fake,
        shutdown,
        budget,
        address,
        tls,
    }
}

fn certificates() -> (TlsServer, Arc<ClientConfig>) {
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
    (server, Arc::new(client))
}

impl Fixture {
    /// Connected, before the greeting was read.
    pub async fn connect_raw(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Client(Wire::new(Stream::Tcp(stream)))
    }

    /// Connected and greeted.
    pub async fn connect(&self) -> Client {
        let mut client = self.connect_raw().await;
        client.expect("220 mx.example.org ").await;
        client
    }

    /// The same with EHLO, or LHLO.
    pub async fn hello(&self, verb: &str) -> Client {
        let mut client = self.connect().await;
        client.say(&format!("{verb} client.example"), "250 ").await;
        client
    }

    pub async fn secure(&self, client: Client) -> Client {
        let name = "localhost".try_into().unwrap();
        Client(client.0.connect_tls(self.tls.clone(), name).await.unwrap())
    }

    /// EHLO, STARTTLS, EHLO.
    pub async fn hello_tls(&self) -> Client {
        let mut client = self.hello("EHLO").await;
        client.say("STARTTLS", "220 2.0.0 ").await;
        let mut client = self.secure(client).await;
        client.say("EHLO client.example", "250 ").await;
        client
    }

    /// The only message that was delivered.
    pub fn only_message(&self) -> String {
        let delivered = self.fake.delivered();
        assert_eq!(delivered.len(), 1);
        String::from_utf8_lossy(&delivered[0].message).into_owned()
    }
}

/// The other end.
pub struct Client(pub Wire<Stream>);

impl Client {
    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.0.send(octets.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// One reply, its lines joined by `|`.
    pub async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.0.read_line(1000, PACE).await.expect("a reply");
            let line = String::from_utf8(line.octets).unwrap();
            let goes_on = line.as_bytes().get(3) == Some(&b'-');
            reply.push_str(&line);
            if !goes_on {
                return reply;
            }
            reply.push('|');
        }
    }

    /// A reply whose last line begins like this.
    pub async fn expect(&mut self, start: &str) -> String {
        let reply = self.reply().await;
        let last = reply.rsplit('|').next().unwrap_or_default();
        assert!(last.starts_with(start), "wanted {start:?}, got {reply:?}");
        reply
    }

    pub async fn say(&mut self, line: &str, start: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.expect(start).await
    }

    /// MAIL and RCPTs, all accepted.
    pub async fn envelope(&mut self, recipients: &[&str]) {
        self.say("MAIL FROM:<ann@example.org>", "250 2.1.0 ").await;
        for recipient in recipients {
            self.say(&format!("RCPT TO:<{recipient}>"), "250 2.1.5 ")
                .await;
        }
    }

    /// The connection ends here.
    pub async fn expect_end(&mut self) {
        let line = self.0.read_line(1000, PACE).await;
        assert!(line.is_err(), "{line:?}");
    }

    /// The connection has ended, perhaps after such a reply: what was sent after the end may have taken it away.
    pub async fn expect_end_or(&mut self, start: &str) {
        if let Ok(line) = self.0.read_line(1000, PACE).await {
            assert!(line.octets.starts_with(start.as_bytes()), "{line:?}");
            self.expect_end().await;
        }
    }
}
