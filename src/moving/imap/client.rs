//! A connection to an IMAP server, as an import needs it.
//!
//! Holds: the source is only read (EXAMINE, BODY.PEEK); nothing is waited for without a limit; a password is in no error, and isn't sent
//! before what encryption was asked for is there.

use std::{io, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jmap_core::auth::Secret;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::response::{Response, Value};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Until a server has answered, or goes on with its answer.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// Octets of literals in answers that have no messages.
const SMALL_OCTETS: u64 = 4 << 20;
/// Folders of one account.
const FOLDERS_MAX: usize = 100_000;
/// Messages of one folder.
const MESSAGES_MAX: usize = 50_000_000;
/// Responses to one command: a line for each message of a folder, and as many that nobody asked for.
const RESPONSES_MAX: usize = 2 * MESSAGES_MAX;
/// Responses to a FETCH of a batch.
const FETCH_RESPONSES_MAX: usize = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// From the first octet.
    Tls,
    StartTls,
    Plain,
}

/// How to log in as another one than whose password it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// RFC 4616: the user is the authorization identity.
    Sasl { master: String },
    /// The user's name has the master's behind it.
    Name { master: String, separator: String },
}

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub tls: Arc<ClientConfig>,
    pub proxy: Option<Proxy>,
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum ImapError {
    /// Another connection may do better.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server said no; another connection won't change that.
    #[error("{command} was refused: {answer}")]
    Refused {
        command: &'static str,
        answer: String,
    },
    #[error("{0}")]
    Wrong(String),
}

/// The authorities of the system, or of a PEM file.
pub fn tls_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let wrong = |why: String| format!("{}: {why}", path.display());
            let found = CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))?;
            for certificate in found {
                let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
                roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    let config = ClientConfig::builder_with_provider(net::tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A folder of LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// As the server writes it.
    pub name: String,
    pub delimiter: Option<String>,
    /// In lower case.
    pub attributes: Vec<String>,
    pub is_subscribed: bool,
}

/// A folder that is open for reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub uid_validity: u32,
    pub exists: u64,
}

/// A message, without its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub uid: u32,
    pub size: u64,
    /// As the server writes them.
    pub flags: Vec<String>,
}

/// A message with its octets; `None`: they are more than is taken.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub uid: u32,
    pub flags: Vec<String>,
    pub date: Option<String>,
    pub octets: Option<Bytes>,
}

pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
    tag: u32,
    capabilities: Vec<String>,
}

impl Client {
    /// Connects, encrypts and logs in.
    pub async fn open(
        server: &Server,
        user: &str,
        password: &Secret<String>,
    ) -> Result<Client, ImapError> {
        let mut client = Client::connect(server).await?;
        client.log_in(server, user, password).await?;
        client.ask_capabilities().await?;
        Ok(client)
    }

    async fn connect(server: &Server) -> Result<Client, ImapError> {
        let place = (server.host.as_str(), server.port);
        let tcp = in_time(CONNECT_TIMEOUT, TcpStream::connect(place)).await?;
        tcp.set_nodelay(true)?;
        let mut client = match server.encryption {
            Encryption::Tls => Client::over(encrypt(server, tcp).await?),
            Encryption::Plain => {
                let mut client = Client::over(tcp);
                client.greet().await?;
                return Ok(client);
            }
            Encryption::StartTls => {
                let mut client = Client::over(tcp);
                client.greet().await?;
                client.simple("STARTTLS", "STARTTLS").await?;
                // RFC 9051 §6.2.1: what came before the handshake counts for nothing.
                if !client.stream.buffer().is_empty() {
                    let why = "the server sends text where encryption begins";
                    return Err(ImapError::Wrong(why.to_owned()));
                }
                let tcp = client.stream.into_inner();
                let mut client = Client::over(encrypt(server, tcp).await?);
                client.ask_capabilities().await?;
                return Ok(client);
            }
        };
        client.greet().await?;
        Ok(client)
    }

    fn over(stream: impl Stream + 'static) -> Client {
        Client {
            stream: BufReader::with_capacity(64 << 10, Box::new(stream)),
            tag: 0,
            capabilities: Vec::new(),
        }
    }

    async fn greet(&mut self) -> Result<(), ImapError> {
        let line = self.read(SMALL_OCTETS).await?.line();
        match line.get(..4) {
            Some("* OK" | "* PR") => {}
            _ => {
                return Err(ImapError::Wrong(format!(
                    "the server says: {}",
                    said(&line)
                )));
            }
        }
        self.ask_capabilities().await
    }

    async fn ask_capabilities(&mut self) -> Result<(), ImapError> {
        let mut found = Vec::new();
        self.command("CAPABILITY", b"CAPABILITY", SMALL_OCTETS, |response| {
            let line = response.line().to_ascii_uppercase();
            if let Some(words) = line.strip_prefix("* CAPABILITY ") {
                found = words.split_whitespace().map(str::to_owned).collect();
            }
            Ok(())
        })
        .await?;
        self.capabilities = found;
        Ok(())
    }

    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|name| name == capability)
    }

    async fn log_in(
        &mut self,
        server: &Server,
        user: &str,
        password: &Secret<String>,
    ) -> Result<(), ImapError> {
        let (authorize, user) = match &server.proxy {
            None => ("", user.to_owned()),
            Some(Proxy::Sasl { master }) => (user, master.clone()),
            Some(Proxy::Name { master, separator }) => ("", format!("{user}{separator}{master}")),
        };
        if self.has("AUTH=PLAIN") || !authorize.is_empty() {
            let plain = Secret::new(format!("{authorize}\0{user}\0{}", password.expose()));
            let plain = Secret::new(STANDARD.encode(plain.expose()));
            return self.authenticate_plain(&plain).await;
        }
        if self.has("LOGINDISABLED") {
            let why = "the server takes no password over this connection; try --tls or --starttls";
            return Err(ImapError::Wrong(why.to_owned()));
        }
        let mut line = b"LOGIN ".to_vec();
        self.begin(&line).await?;
        line.clear();
        self.string(user.as_bytes()).await?;
        self.stream.write_all(b" ").await?;
        self.string(password.expose().as_bytes()).await?;
        self.stream.write_all(b"\r\n").await?;
        self.stream.flush().await?;
        self.finish("the login", SMALL_OCTETS, &mut |_| Ok(()))
            .await
    }

    async fn authenticate_plain(&mut self, plain: &Secret<String>) -> Result<(), ImapError> {
        if self.has("SASL-IR") {
            let line = Secret::new(format!("AUTHENTICATE PLAIN {}", plain.expose()));
            self.begin(line.expose().as_bytes()).await?;
            self.stream.write_all(b"\r\n").await?;
        } else {
            self.begin(b"AUTHENTICATE PLAIN\r\n").await?;
            self.stream.flush().await?;
            self.wait_for_plus("the login").await?;
            self.stream.write_all(plain.expose().as_bytes()).await?;
            self.stream.write_all(b"\r\n").await?;
        }
        self.stream.flush().await?;
        self.finish("the login", SMALL_OCTETS, &mut |_| Ok(()))
            .await
    }

    /// The namespaces of others and of all (RFC 2342): prefixes; and our own prefix.
    pub async fn namespaces(&mut self) -> Result<(String, Vec<String>), ImapError> {
        let (mut own, mut others) = (String::new(), Vec::new());
        if !self.has("NAMESPACE") {
            return Ok((own, others));
        }
        self.command("NAMESPACE", b"NAMESPACE", SMALL_OCTETS, |response| {
            let values = response.values().unwrap_or_default();
            if values.get(1).and_then(Value::text).as_deref() != Some("NAMESPACE") {
                return Ok(());
            }
            let prefixes = |value: Option<&Value>| -> Vec<String> {
                let each = value.map_or(&[][..], Value::list).iter();
                each.filter_map(|space| space.list().first()?.text())
                    .collect()
            };
            own = prefixes(values.get(2))
                .into_iter()
                .next()
                .unwrap_or_default();
            others = prefixes(values.get(3));
            others.extend(prefixes(values.get(4)));
            others.retain(|prefix| !prefix.is_empty());
            Ok(())
        })
        .await?;
        Ok((own, others))
    }

    /// All folders.
    pub async fn list(&mut self) -> Result<Vec<Folder>, ImapError> {
        let is_extended = self.has("LIST-EXTENDED");
        let line: &[u8] = match (is_extended, self.has("SPECIAL-USE")) {
            (true, true) => b"LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE)",
            (true, false) => b"LIST \"\" \"*\" RETURN (SUBSCRIBED)",
            (false, _) => b"LIST \"\" \"*\"",
        };
        let mut folders = self.list_by("LIST", line).await?;
        if is_extended {
            for folder in &mut folders {
                folder.is_subscribed = folder.attributes.iter().any(|name| name == "\\subscribed");
            }
            return Ok(folders);
        }
        let subscribed = self.list_by("LSUB", b"LSUB \"\" \"*\"").await?;
        for folder in &mut folders {
            folder.is_subscribed = subscribed.iter().any(|other| other.name == folder.name);
        }
        Ok(folders)
    }

    async fn list_by(&mut self, word: &'static str, line: &[u8]) -> Result<Vec<Folder>, ImapError> {
        let mut folders = Vec::new();
        self.command(word, line, SMALL_OCTETS, |response| {
            let values = response.values().unwrap_or_default();
            let text = |at: usize| values.get(at).and_then(Value::text);
            if text(1).as_deref() != Some(word) {
                return Ok(());
            }
            let Some(name) = text(4) else {
                return Ok(());
            };
            if folders.len() >= FOLDERS_MAX {
                return Err(ImapError::Wrong(format!(
                    "the account has more than {FOLDERS_MAX} folders"
                )));
            }
            let attributes = values.get(2).map_or(&[][..], Value::list).iter();
            folders.push(Folder {
                name,
                delimiter: text(3).filter(|text| text != "NIL" && !text.is_empty()),
                attributes: attributes
                    .filter_map(Value::text)
                    .map(|name| name.to_ascii_lowercase())
                    .collect(),
                is_subscribed: false,
            });
            Ok(())
        })
        .await?;
        Ok(folders)
    }

    /// Opens a folder for reading alone.
    pub async fn examine(&mut self, name: &str) -> Result<Opened, ImapError> {
        let mut opened = Opened::default();
        self.begin(b"EXAMINE ").await?;
        self.string(name.as_bytes()).await?;
        self.stream.write_all(b"\r\n").await?;
        self.stream.flush().await?;
        self.finish("EXAMINE", SMALL_OCTETS, &mut |response| {
            let line = response.line();
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["*", number, "EXISTS"] = words[..] {
                opened.exists = number.parse().unwrap_or(0);
            }
            if let Some((_, rest)) = line.split_once("[UIDVALIDITY ") {
                let number = rest.split(']').next().unwrap_or_default();
                opened.uid_validity = number.trim().parse().unwrap_or(0);
            }
            Ok(())
        })
        .await?;
        match opened.uid_validity {
            0 => Err(ImapError::Wrong(
                "the server has no UIDVALIDITY for it".to_owned(),
            )),
            _ => Ok(opened),
        }
    }

    /// All messages of the open folder.
    pub async fn rows(&mut self) -> Result<Vec<Row>, ImapError> {
        let mut rows = Vec::new();
        let line = b"UID FETCH 1:* (UID FLAGS RFC822.SIZE)";
        self.command("UID FETCH", line, SMALL_OCTETS, |response| {
            let Some(fields) = fetch_fields(response) else {
                return Ok(());
            };
            if rows.len() >= MESSAGES_MAX {
                return Err(ImapError::Wrong(format!(
                    "the folder has more than {MESSAGES_MAX} messages"
                )));
            }
            let (mut uid, mut size, mut flags) = (None, 0, Vec::new());
            for (name, value) in pairs(&fields) {
                match name.as_str() {
                    "UID" => uid = value.number().and_then(|uid| u32::try_from(uid).ok()),
                    "RFC822.SIZE" => size = value.number().unwrap_or(0),
                    "FLAGS" => flags = value.list().iter().filter_map(Value::text).collect(),
                    _ => {}
                }
            }
            if let Some(uid) = uid.filter(|uid| *uid > 0) {
                rows.push(Row { uid, size, flags });
            }
            Ok(())
        })
        .await?;
        rows.sort_unstable_by_key(|row| row.uid);
        rows.dedup_by_key(|row| row.uid);
        Ok(rows)
    }

    /// Messages of the open folder, with `octets_max` octets together at the most.
    pub async fn fetch(
        &mut self,
        uids: &[u32],
        octets_max: u64,
    ) -> Result<Vec<Fetched>, ImapError> {
        let set: Vec<String> = uids.iter().map(u32::to_string).collect();
        let line = format!(
            "UID FETCH {} (UID FLAGS INTERNALDATE BODY.PEEK[])",
            set.join(",")
        );
        let mut messages: Vec<Fetched> = Vec::new();
        let mut left = octets_max;
        self.begin(line.as_bytes()).await?;
        self.stream.write_all(b"\r\n").await?;
        self.stream.flush().await?;
        let tag = self.tagged();
        for _ in 0..FETCH_RESPONSES_MAX {
            let response = self.read(left).await?;
            if let Some(answer) = response.line().strip_prefix(&tag) {
                return match ok(answer) {
                    true => Ok(messages),
                    false => Err(refused("UID FETCH", answer)),
                };
            }
            let Some(fields) = fetch_fields(&response) else {
                continue;
            };
            let (mut uid, mut flags, mut date, mut body) = (None, Vec::new(), None, None);
            for (name, value) in pairs(&fields) {
                match name.as_str() {
                    "UID" => uid = value.number().and_then(|uid| u32::try_from(uid).ok()),
                    "FLAGS" => flags = value.list().iter().filter_map(Value::text).collect(),
                    "INTERNALDATE" => date = value.text(),
                    "BODY[]" => body = Some(value),
                    _ => {}
                }
            }
            // Others are told of changed flags alone, or weren't asked for.
            let (Some(uid), Some(body)) = (uid, body) else {
                continue;
            };
            if !uids.contains(&uid) || messages.iter().any(|known| known.uid == uid) {
                continue;
            }
            let octets = match body {
                Value::Text(octets) => Some(octets),
                Value::Atom(text) if text == "NIL" => Some(Bytes::new()),
                _ => None,
            };
            left = left.saturating_sub(octets.as_ref().map_or(0, |octets| octets.len() as u64));
            messages.push(Fetched {
                uid,
                flags,
                date,
                octets,
            });
        }
        Err(endless())
    }

    pub async fn log_out(mut self) {
        let _ = self.simple("LOGOUT", "LOGOUT").await;
    }

    async fn simple(&mut self, name: &'static str, line: &str) -> Result<(), ImapError> {
        self.command(name, line.as_bytes(), SMALL_OCTETS, |_| Ok(()))
            .await
    }

    async fn command(
        &mut self,
        name: &'static str,
        line: &[u8],
        octets_max: u64,
        mut each: impl FnMut(&Response) -> Result<(), ImapError>,
    ) -> Result<(), ImapError> {
        self.begin(line).await?;
        self.stream.write_all(b"\r\n").await?;
        self.stream.flush().await?;
        self.finish(name, octets_max, &mut each).await
    }

    async fn begin(&mut self, line: &[u8]) -> Result<(), ImapError> {
        self.tag = self.tag.wrapping_add(1);
        let tag = self.tagged();
        self.stream.write_all(tag.as_bytes()).await?;
        self.stream.write_all(line).await?;
        Ok(())
    }

    fn tagged(&self) -> String {
        format!("p{} ", self.tag)
    }

    /// A string of any octets, as the server is sure to understand it.
    async fn string(&mut self, octets: &[u8]) -> Result<(), ImapError> {
        let is_plain = |octet: &u8| (0x20..0x7f).contains(octet) && !b"\"\\".contains(octet);
        if octets.iter().all(is_plain) && octets.len() < 1000 {
            self.stream.write_all(b"\"").await?;
            self.stream.write_all(octets).await?;
            self.stream.write_all(b"\"").await?;
            return Ok(());
        }
        let announced = format!("{{{}}}\r\n", octets.len());
        self.stream.write_all(announced.as_bytes()).await?;
        self.stream.flush().await?;
        self.wait_for_plus("a literal").await?;
        Ok(self.stream.write_all(octets).await?)
    }

    async fn wait_for_plus(&mut self, name: &'static str) -> Result<(), ImapError> {
        loop {
            let line = self.read(SMALL_OCTETS).await?.line();
            if line.starts_with('+') {
                return Ok(());
            }
            if let Some(answer) = line.strip_prefix(&self.tagged()) {
                return Err(refused(name, answer));
            }
        }
    }

    async fn finish(
        &mut self,
        name: &'static str,
        octets_max: u64,
        each: &mut impl FnMut(&Response) -> Result<(), ImapError>,
    ) -> Result<(), ImapError> {
        let tag = self.tagged();
        for _ in 0..RESPONSES_MAX {
            let response = self.read(octets_max).await?;
            let line = response.line();
            if let Some(answer) = line.strip_prefix(&tag) {
                return match ok(answer) {
                    true => Ok(()),
                    false => Err(refused(name, answer)),
                };
            }
            if line.starts_with("* BYE") && name != "LOGOUT" {
                let why = format!("the server ends it: {}", said(&line));
                return Err(io::Error::other(why).into());
            }
            each(&response)?;
        }
        Err(endless())
    }

    async fn read(&mut self, octets_max: u64) -> Result<Response, ImapError> {
        Ok(in_time(READ_TIMEOUT, Response::read(&mut self.stream, octets_max)).await?)
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn encrypt(
    server: &Server,
    stream: impl Stream + 'static,
) -> Result<impl Stream + 'static, ImapError> {
    let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(server.tls.clone());
    let encrypted = in_time(CONNECT_TIMEOUT, connector.connect(name, stream)).await;
    encrypted.map_err(|error| match error.get_ref() {
        // Another try would see the same certificate.
        Some(inner) if inner.is::<rustls::Error>() => {
            ImapError::Wrong(format!("TLS failed: {error}"))
        }
        _ => ImapError::Io(error),
    })
}

fn endless() -> ImapError {
    ImapError::Wrong("the server's answer doesn't end".to_owned())
}

fn ok(answer: &str) -> bool {
    let word = answer.split_whitespace().next().unwrap_or_default();
    word.eq_ignore_ascii_case("OK")
}

fn refused(command: &'static str, answer: &str) -> ImapError {
    // RFC 5530: the server may be another one in a moment.
    if answer.contains("[UNAVAILABLE]") || answer.contains("[INUSE]") {
        return ImapError::Io(io::Error::other(said(answer)));
    }
    ImapError::Refused {
        command,
        answer: said(answer),
    }
}

/// A beginning of what a server says, for people.
fn said(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean.take(300).collect()
}

fn fetch_fields(response: &Response) -> Option<Vec<Value>> {
    let values = response.values()?;
    let is_fetch = values
        .get(2)
        .and_then(Value::text)?
        .eq_ignore_ascii_case("FETCH");
    match values.into_iter().nth(3) {
        Some(Value::List(fields)) if is_fetch => Some(fields),
        _ => None,
    }
}

fn pairs(fields: &[Value]) -> impl Iterator<Item = (String, Value)> {
    fields.chunks_exact(2).filter_map(|pair| {
        let name = pair[0].text()?.to_ascii_uppercase();
        Some((name, pair[1].clone()))
    })
}

#[cfg(test)]
pub(super) mod tests;
