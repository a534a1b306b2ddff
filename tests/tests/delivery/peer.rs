//! A server that does what it is told: the peer that mail is sent to, with a fault at any place.
//!
//! Holds: what isn't told otherwise is done as a good server does it; what came is there to look at.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use net::{
    CertResolver, Identity, Pace, Stream, Wire,
    reader::{DataLimits, LinePace},
    tls::TlsServer,
};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

/// What is done in place of the usual.
#[derive(Clone, Debug)]
pub enum Act {
    /// These octets, a CRLF, and on.
    Say(&'static str),
    /// The same, and the connection is closed.
    SayAndClose(&'static str),
    Close,
    Silence,
    /// The usual, after so many milliseconds.
    Wait(u64),
    /// Lines of a reply without end.
    Flood,
}

/// How the peer behaves on one connection.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Keywords of EHLO.
    pub extensions: Vec<&'static str>,
    /// By what a command begins with; `GREETING` is the first reply, `.` the reply to a message. Each rule is used once
    /// for each time that it is there; the last of its kind remains.
    pub rules: Vec<(&'static str, Act)>,
    pub tls: Option<TlsServer>,
    /// LMTP: a reply for each recipient.
    pub is_lmtp: bool,
}

impl Script {
    pub fn new(extensions: &[&'static str]) -> Script {
        Script {
            extensions: extensions.to_vec(),
            ..Script::default()
        }
    }

    pub fn on(mut self, command: &'static str, act: Act) -> Script {
        self.rules.push((command, act));
        self
    }

    pub fn with_tls(mut self, tls: &TlsServer) -> Script {
        self.extensions.push("STARTTLS");
        self.tls = Some(tls.clone());
        self
    }

    fn take(&mut self, command: &str) -> Option<Act> {
        let of = |rule: &(&'static str, Act)| command.starts_with(rule.0);
        let at = self.rules.iter().position(of)?;
        let (name, act) = self.rules[at].clone();
        if self.rules.iter().filter(|rule| rule.0 == name).count() > 1 {
            self.rules.remove(at);
        }
        Some(act)
    }
}

/// What came.
#[derive(Debug, Default)]
pub struct Seen {
    pub connections: usize,
    pub commands: Vec<String>,
    pub messages: Vec<Vec<u8>>,
}

impl Seen {
    pub fn text(&self, at: usize) -> String {
        String::from_utf8_lossy(&self.messages[at]).into_owned()
    }

    pub fn count(&self, begin: &str) -> usize {
        let begins = |command: &&String| command.starts_with(begin);
        self.commands.iter().filter(begins).count()
    }
}

/// A peer that listens.
pub struct Peer {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens, as soon as whoever listened there before is gone.
pub async fn listen(address: SocketAddr) -> TcpListener {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < until, "no socket: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Peer {
    /// On 127.0.0.1, on a free port.
    pub async fn start(script: Script) -> Peer {
        Peer::start_at(0, 0, vec![script]).await
    }

    /// `host`: the last number of 127.0.0.x, or 0 for 1. The last script remains for further connections.
    pub async fn start_at(host: u8, port: u16, scripts: Vec<Script>) -> Peer {
        let ip = Ipv4Addr::new(127, 0, 0, host.max(1));
        let port = if port == 0 {
            e2e::home::free_port()
        } else {
            port
        };
        Peer::start_on((ip, port).into(), scripts).await
    }

    pub async fn start_on(address: SocketAddr, scripts: Vec<Script>) -> Peer {
        let listener = listen(address).await;
        let address = listener.local_addr().expect("no address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let log = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = log.lock().connections;
                log.lock().connections += 1;
                let script = scripts[number.min(scripts.len() - 1)].clone();
                let log = log.clone();
                tokio::spawn(async move {
                    let _ = serve(stream, script, log).await;
                });
            }
        });
        Peer {
            address,
            seen,
            task,
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// The messages that have come, when there are so many.
    pub fn arrived(&self, count: usize) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let seen = self.seen.lock();
            if seen.messages.len() >= count {
                return (0..seen.messages.len()).map(|at| seen.text(at)).collect();
            }
            assert!(
                Instant::now() < end,
                "{} of {count} have arrived: {:?}",
                seen.messages.len(),
                seen.commands
            );
            drop(seen);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A certificate by an authority of its own, for names; and the authority's, in PEM.
pub struct Certificates {
    authority: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Certificates {
    pub fn new() -> Certificates {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let name = rcgen::DnType::CommonName;
        params
            .distinguished_name
            .push(name, "An authority of tests");
        let key = rcgen::KeyPair::generate().expect("no key");
        let authority = rcgen::CertifiedIssuer::self_signed(params, key).expect("no authority");
        Certificates { authority }
    }

    pub fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    pub fn authority_der(&self) -> Vec<u8> {
        self.authority.der().to_vec()
    }

    fn issue(&self, names: &[&str]) -> (rcgen::Certificate, rcgen::KeyPair) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = rcgen::CertificateParams::new(names).expect("no names");
        let key = rcgen::KeyPair::generate().expect("no key");
        let certificate = params
            .signed_by(&key, &self.authority)
            .expect("no certificate");
        (certificate, key)
    }

    /// A certificate with its chain, its key, and the certificate itself.
    pub fn pem(&self, names: &[&str]) -> (String, String, Vec<u8>) {
        let (certificate, key) = self.issue(names);
        let chain = certificate.pem() + &self.authority.pem();
        (chain, key.serialize_pem(), certificate.der().to_vec())
    }

    /// TLS with a certificate for these names, and the certificate itself. The authority's is sent along.
    pub fn server(&self, names: &[&str]) -> (TlsServer, Vec<u8>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = rcgen::CertificateParams::new(names).expect("no names");
        let key = rcgen::KeyPair::generate().expect("no key");
        let certificate = params
            .signed_by(&key, &self.authority)
            .expect("no certificate");
        let chain = vec![certificate.der().clone(), self.authority.der().clone()];
        let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("no key");
        let identity = Identity::from_der(chain, key, "test").expect("no identity");
        let server = TlsServer::new(&CertResolver::new(vec![identity]), &[]).expect("no TLS");
        (server, certificate.der().to_vec())
    }
}

const PACE: LinePace = LinePace {
    idle: Duration::from_secs(60),
    line: Duration::from_secs(60),
};

type Ended = Box<dyn std::error::Error + Send + Sync>;

struct Session {
    wire: Wire<Stream>,
    script: Script,
    seen: Arc<Mutex<Seen>>,
    accepted: usize,
    chunks: Vec<u8>,
}

async fn serve(stream: TcpStream, script: Script, seen: Arc<Mutex<Seen>>) -> Result<(), Ended> {
    let mut session = Session {
        wire: Wire::new(Stream::Tcp(stream)),
        script,
        seen,
        accepted: 0,
        chunks: Vec::new(),
    };
    session.reply("GREETING", "220 mx.test ESMTP").await?;
    loop {
        let line = session.wire.read_line(8192, PACE).await?;
        let line = String::from_utf8_lossy(&line.octets).into_owned();
        session.seen.lock().commands.push(line.clone());
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "LHLO" => session.hello(&line).await?,
            "RCPT" => {
                if session.reply(&line, "250 2.1.5 Ok").await? == 250 {
                    session.accepted += 1;
                }
            }
            "DATA" => session.data(&line).await?,
            "BDAT" => session.chunk(&line).await?,
            "RSET" => {
                session.accepted = 0;
                session.reply(&line, "250 2.0.0 Ok").await?;
            }
            "STARTTLS" => {
                if session.reply(&line, "220 2.0.0 Go ahead").await? == 220
                    && let Some(tls) = session.script.tls.take()
                {
                    session.wire = session.wire.start_tls(&tls).await?;
                    session
                        .script
                        .extensions
                        .retain(|keyword| *keyword != "STARTTLS");
                }
            }
            "QUIT" => {
                session.reply(&line, "221 2.0.0 Bye").await?;
                return Ok(());
            }
            _ => {
                session.reply(&line, "250 2.0.0 Ok").await?;
            }
        }
    }
}

impl Session {
    /// Says what the script has for a command, or the usual. Returns the code.
    async fn reply(&mut self, command: &str, usual: &str) -> Result<u16, Ended> {
        let act = self.script.take(command);
        let (text, closes) = match &act {
            None => (usual, false),
            Some(Act::Say(text)) => (*text, false),
            Some(Act::SayAndClose(text)) => (*text, true),
            Some(Act::Wait(millis)) => {
                tokio::time::sleep(Duration::from_millis(*millis)).await;
                (usual, false)
            }
            Some(Act::Close) => return Err("closed".into()),
            Some(Act::Silence) => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return Err("silent".into());
            }
            Some(Act::Flood) => loop {
                self.wire.send(b"250-and so on\r\n").await?;
                self.wire.flush().await?;
            },
        };
        self.wire.send(format!("{text}\r\n").as_bytes()).await?;
        self.wire.flush().await?;
        match closes {
            true => Err("closed".into()),
            false => Ok(text
                .get(..3)
                .and_then(|code| code.parse().ok())
                .unwrap_or(0)),
        }
    }

    async fn hello(&mut self, line: &str) -> Result<(), Ended> {
        let mut text = String::from("250-mx.test");
        for keyword in &self.script.extensions {
            text.push_str("\r\n250-");
            text.push_str(keyword);
        }
        let at = text.rfind("250-").unwrap_or(0);
        text.replace_range(at..at + 4, "250 ");
        self.reply(line, &text).await?;
        Ok(())
    }

    async fn data(&mut self, line: &str) -> Result<(), Ended> {
        let usual = match self.accepted {
            0 => "554 5.5.1 No recipients",
            _ => "354 Go on",
        };
        if self.reply(line, usual).await? != 354 {
            return Ok(());
        }
        let limits = DataLimits {
            size_max: 1 << 30,
            discard_max: 0,
            pace: Pace::DATA,
        };
        let data = self.wire.read_data(limits).await?;
        self.message(data.octets).await
    }

    async fn chunk(&mut self, line: &str) -> Result<(), Ended> {
        let size = line
            .split(' ')
            .nth(1)
            .and_then(|size| size.parse().ok())
            .unwrap_or(0);
        let octets = self.wire.read_exact(size, 1 << 30, Pace::DATA).await?;
        self.chunks.extend_from_slice(&octets);
        if line.ends_with(" LAST") {
            let message = std::mem::take(&mut self.chunks);
            return self.message(message).await;
        }
        self.reply("CHUNK", "250 2.0.0 Ok").await?;
        Ok(())
    }

    async fn message(&mut self, octets: Vec<u8>) -> Result<(), Ended> {
        self.seen.lock().messages.push(octets);
        let replies = if self.script.is_lmtp {
            self.accepted
        } else {
            1
        };
        self.accepted = 0;
        for _ in 0..replies {
            self.reply(".", "250 2.0.0 Taken").await?;
        }
        Ok(())
    }
}
