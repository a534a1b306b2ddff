//! A client of IMAP (RFC 3501), as much of it as the measurements need.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::reading::{Act, PAGE, Reader};
use crate::{DOMAIN, Fail, PASSWORD};

pub struct Imap<S = TcpStream> {
    stream: BufReader<S>,
    /// Messages in the selected mailbox.
    pub exists: usize,
    pub octets: u64,
}

impl Imap {
    /// Connects, logs in and selects INBOX.
    pub async fn open(port: u16, user: &str) -> Result<Self, Fail> {
        let mut imap = Self::login(port, user).await?;
        imap.select().await?;
        Ok(imap)
    }

    /// Connects and logs in.
    pub async fn login(port: u16, user: &str) -> Result<Self, Fail> {
        let mut imap = Self::greeted(connect(port).await?).await?;
        imap.command(&format!("LOGIN {user}@{DOMAIN} {PASSWORD}"))
            .await?;
        Ok(imap)
    }

    /// Waits for changes (RFC 2177); the connection is of no other use from here.
    pub async fn idle(mut self) -> Result<TcpStream, Fail> {
        self.stream.write_all(b"i IDLE\r\n").await?;
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.starts_with('+') {
            true => Ok(self.stream.into_inner()),
            false => Err(format!("IDLE: {line}").into()),
        }
    }
}

impl Imap<TlsStream<TcpStream>> {
    /// As [`Imap::open`], over TLS from the first octet, whatever certificate the server has.
    pub async fn open_tls(port: u16, user: &str) -> Result<Self, Fail> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let any = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
        let config = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::new(provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(any)
            .with_no_client_auth();
        let name = ServerName::try_from(format!("mail.{DOMAIN}"))?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, connect(port).await?)
            .await?;
        let mut imap = Self::greeted(stream).await?;
        imap.command(&format!("LOGIN {user}@{DOMAIN} {PASSWORD}"))
            .await?;
        imap.select().await?;
        Ok(imap)
    }
}

async fn connect(port: u16) -> Result<TcpStream, Fail> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Imap<S> {
    async fn greeted(stream: S) -> Result<Self, Fail> {
        let mut imap = Self {
            stream: BufReader::new(stream),
            exists: 0,
            octets: 0,
        };
        let mut greeting = String::new();
        imap.stream.read_line(&mut greeting).await?;
        Ok(imap)
    }

    async fn select(&mut self) -> Result<(), Fail> {
        for line in self.command("SELECT INBOX").await? {
            if let Some(number) = line
                .strip_prefix("* ")
                .and_then(|line| line.strip_suffix(" EXISTS"))
            {
                self.exists = number.parse()?;
            }
        }
        Ok(())
    }

    /// Says LOGOUT, and waits until the server has closed the connection.
    pub async fn logout(mut self) -> Result<(), Fail> {
        self.stream.write_all(b"a LOGOUT\r\n").await?;
        self.stream.flush().await?;
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await?;
        Ok(())
    }

    /// Files a message in INBOX (RFC 7888: without waiting).
    pub async fn append(&mut self, message: &[u8]) -> Result<(), Fail> {
        let mut command = format!("APPEND INBOX {{{}+}}\r\n", message.len()).into_bytes();
        command.extend_from_slice(message);
        self.say("APPEND", &command).await.map(drop)
    }

    /// Sends one command and reads to its tagged OK; literals are read and dropped. Returns the untagged lines.
    pub async fn command(&mut self, command: &str) -> Result<Vec<String>, Fail> {
        self.say(command, command.as_bytes()).await
    }

    async fn say(&mut self, name: &str, command: &[u8]) -> Result<Vec<String>, Fail> {
        let line = [b"a ", command, b"\r\n"].concat();
        self.stream.write_all(&line).await?;
        // TLS may hold back what it has taken.
        self.stream.flush().await?;
        let mut lines = Vec::new();
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let octets = self.stream.read_until(b'\n', &mut bytes).await?;
            if octets == 0 {
                return Err("the server closed the connection".into());
            }
            self.octets += octets as u64;
            let line = String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned();
            // RFC 3501 §4.3: a line that ends in {N} goes on after N octets.
            let literal = line
                .strip_suffix('}')
                .and_then(|line| line.rsplit_once('{')?.1.parse::<usize>().ok());
            if let Some(octets) = literal {
                bytes.resize(octets, 0);
                self.stream.read_exact(&mut bytes).await?;
                self.octets += octets as u64;
            }
            match line.strip_prefix("a ") {
                Some(done) if done.starts_with("OK") => return Ok(lines),
                Some(done) => return Err(format!("{name}: {done}").into()),
                None => lines.push(line),
            }
        }
    }

    /// A message among the newest 1,000, by a number below 1,000.
    fn sequence(&self, pick: usize) -> usize {
        self.exists - pick % self.exists.clamp(1, 1000)
    }
}

/// Takes every certificate, as long as what it signs is right.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl Reader for Imap {
    async fn act(&mut self, act: &Act) -> Result<(), Fail> {
        let from = self.exists.saturating_sub(PAGE) + 1;
        let command = match act {
            Act::FirstPage => {
                format!(
                    "FETCH {from}:* (UID FLAGS ENVELOPE INTERNALDATE RFC822.SIZE BODYSTRUCTURE)"
                )
            }
            Act::Text(pick) | Act::Whole(pick) => {
                format!("FETCH {} BODY.PEEK[]", self.sequence(*pick))
            }
            Act::Search(word) => format!("UID SEARCH TEXT {word}"),
            Act::Flag(pick, true) => format!("STORE {} +FLAGS (\\Flagged)", self.sequence(*pick)),
            Act::Flag(pick, false) => format!("STORE {} -FLAGS (\\Flagged)", self.sequence(*pick)),
        };
        let lines = self.command(&command).await?;
        let want = match act {
            Act::FirstPage => PAGE.min(self.exists),
            Act::Text(_) | Act::Whole(_) => 1,
            Act::Search(_) | Act::Flag(..) => 0,
        };
        let got = lines
            .iter()
            .filter(|line| line.contains(" FETCH ("))
            .count();
        match got >= want {
            true => Ok(()),
            false => Err(format!("{command}: {got} messages, want {want}").into()),
        }
    }

    fn octets(&self) -> u64 {
        self.octets
    }
}
