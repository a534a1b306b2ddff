//! An HTTPS server that keeps what it is sent, and answers as it is told to.
//!
//! Holds: its certificate is its own; who is to trust it is given [`Receiver::certificate_pem`].

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// How long a test waits for something to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Method and target.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(of, _)| of == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("no JSON")
    }
}

/// See the module.
#[derive(Debug)]
pub struct Receiver {
    pub port: u16,
    pub certificate_pem: String,
    seen: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver::start()
    }
}

impl Receiver {
    /// Listens on a port of its own, as `localhost`. Answers with 200 until it is told otherwise.
    pub fn start() -> Receiver {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).expect("no certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("no TLS versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("no TLS");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("no port");
        let port = listener.local_addr().expect("no address").port();
        let (seen, answers) = (Arc::default(), Arc::default());
        let receiver = Receiver {
            port,
            certificate_pem: cert.pem(),
            seen: Arc::clone(&seen),
            answers: Arc::clone(&answers),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, seen, answers) = (config.clone(), seen.clone(), answers.clone());
                thread::spawn(move || {
                    // A client that goes away in the middle is its own business.
                    let _ = serve(stream, config, &seen, &answers);
                });
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/hook?a=b", self.port)
    }

    /// Statuses of the next answers.
    pub fn answer_with(&self, statuses: &[u16]) {
        self.answers.lock().extend(statuses);
    }

    pub fn seen(&self) -> Vec<Received> {
        self.seen.lock().clone()
    }

    /// Waits until so many have arrived that are meant.
    pub fn wait_for(&self, count: usize, is_meant: impl Fn(&Received) -> bool) -> Vec<Received> {
        let end = Instant::now() + PATIENCE;
        loop {
            let found: Vec<Received> = self.seen().into_iter().filter(&is_meant).collect();
            if found.len() >= count {
                return found;
            }
            assert!(
                Instant::now() < end,
                "{} of {count} have arrived; all: {:?}",
                found.len(),
                self.seen()
                    .iter()
                    .map(|of| String::from_utf8_lossy(&of.body).into_owned())
                    .collect::<Vec<_>>()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    seen: &Mutex<Vec<Received>>,
    answers: &Mutex<VecDeque<u16>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut received = Received {
            line: line.trim_end().to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let mut field = String::new();
            reader.read_line(&mut field)?;
            let Some((name, value)) = field.trim_end().split_once(':') else {
                break;
            };
            received
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = received.header("content-length").parse().unwrap_or(0);
        received.body = vec![0; length];
        reader.read_exact(&mut received.body)?;
        seen.lock().push(received);
        let status = answers.lock().pop_front().unwrap_or(200);
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        reader.get_mut().write_all(answer.as_bytes())?;
        reader.get_mut().flush()?;
    }
}
