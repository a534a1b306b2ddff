use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::limits::Rate;
use crate::tls::CertResolver;
use crate::tls::tests::{client, identity};

const LONG: Duration = Duration::from_secs(5);

fn localhost() -> Bind {
    Bind::from(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn limits(total: usize, per_client: usize, burst: u32) -> Arc<Admission> {
    Admission::new(ConnectionLimits {
        total,
        per_client,
        rate: Rate::new(burst, Duration::from_secs(600)),
        exempt: Vec::new(),
    })
}

/// A server that says who you are, then gives back what it gets.
fn start(mut config: ListenerConfig) -> (SocketAddr, Shutdown) {
    config.goodbye = Arc::new(|why| format!("421 {why}\r\n").into_bytes());
    let listener = Listener::bind(config).unwrap();
    let address = listener.local_address();
    let shutdown = Shutdown::new();
    tokio::spawn(listener.run(shutdown.clone(), echo));
    (address.unwrap_or(([0, 0, 0, 0], 0).into()), shutdown)
}

async fn echo(mut connection: Connection) {
    let peer = connection.peer.ip();
    let peer = peer.map_or("unix".to_owned(), |ip| ip.to_string());
    let tls = if connection.stream.is_tls() {
        " tls"
    } else {
        ""
    };
    let greeting = format!("hello {peer}{tls}\r\n");
    if connection
        .stream
        .write_all(greeting.as_bytes())
        .await
        .is_err()
    {
        return;
    }
    let _ = connection.stream.flush().await;
    let mut buffer = [0; 100];
    loop {
        let read = tokio::select! {
            read = connection.stream.read(&mut buffer) => read.unwrap_or(0),
            () = connection.shutdown.requested() => 0,
        };
        if read == 0 || connection.stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn first_line<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut line = Vec::new();
    loop {
        match tokio::time::timeout(LONG, stream.read_u8()).await {
            Ok(Ok(b'\n')) => break,
            Ok(Ok(octet)) => line.push(octet),
            Ok(Err(_)) => return format!("{}<closed>", line.escape_ascii()),
            Err(_) => return "<silent>".to_owned(),
        }
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

async fn connect(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let line = first_line(&mut stream).await;
    (stream, line)
}

async fn check_goodbye(admission: Arc<Admission>, welcome: usize, goodbye: &str) {
    let mut config = ListenerConfig::new("test", localhost());
    config.admission = admission.clone();
    let (address, _) = start(config);
    let mut kept = Vec::new();
    for _ in 0..welcome {
        let (stream, line) = connect(address).await;
        assert_eq!(line, "hello 127.0.0.1");
        kept.push(stream);
    }
    let (mut refused, line) = connect(address).await;
    assert_eq!(line, goodbye);
    assert_eq!(refused.read(&mut [0; 10]).await.unwrap_or(0), 0, "closed");
    assert_eq!(admission.counters().open, welcome);
}

#[tokio::test]
async fn the_refused_are_told_why() {
    check_goodbye(limits(2, 9, 9), 2, "421 too many connections").await;
    check_goodbye(
        limits(9, 2, 9),
        2,
        "421 too many connections from one client",
    )
    .await;
    let goodbye = "421 connections from one client come too fast";
    check_goodbye(limits(9, 9, 2), 2, goodbye).await;
}

#[tokio::test]
async fn a_place_is_given_back() {
    let mut config = ListenerConfig::new("test", localhost());
    config.admission = limits(1, 1, 1000);
    let admission = config.admission.clone();
    let (address, _) = start(config);
    for _ in 0..20 {
        let (stream, line) = connect(address).await;
        assert_eq!(line, "hello 127.0.0.1");
        drop(stream);
        while admission.counters().open > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_graceful_stop() {
    let (address, shutdown) = start(ListenerConfig::new("test", localhost()));
    let (mut stream, _) = connect(address).await;
    assert_eq!(shutdown.drain(LONG).await.aborted, 0);
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn every_address_of_the_machine() {
    let any = Bind::from(SocketAddr::from(([0; 16], 0)));
    let (address, _) = start(ListenerConfig::new("test", any));
    let port = address.port();
    let (_, line) = connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
    assert_eq!(line, "hello 127.0.0.1");
    if let Ok(mut stream) = TcpStream::connect(("::1", port)).await {
        assert_eq!(first_line(&mut stream).await, "hello ::1");
    }
}

#[tokio::test]
async fn a_taken_address_is_a_clear_error() {
    let (address, _) = start(ListenerConfig::new("test", localhost()));
    let error = Listener::bind(ListenerConfig::new("smtp", address))
        .err()
        .unwrap();
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("can't listen on {address} for smtp: ")),
        "{message}"
    );
}

#[tokio::test]
async fn a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp.sock");
    let bind = Bind::Unix {
        path: path.clone(),
        mode: 0o660,
    };
    // Left behind by one that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (_, shutdown) = start(ListenerConfig::new("lmtp", bind.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    assert_eq!(first_line(&mut stream).await, "hello unix");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(
        Listener::bind(ListenerConfig::new("lmtp", bind)).is_err(),
        "in use"
    );
    shutdown.drain(LONG).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_is_not_taken_for_a_stale_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let bind = Bind::Unix {
        path: path.clone(),
        mode: 0o660,
    };
    assert!(Listener::bind(ListenerConfig::new("lmtp", bind)).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"data");
}

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n";

async fn check_proxy(trusted: &str, sent: &[u8], want: &str) {
    let config = ListenerConfig::new("test", localhost());
    config
        .proxies
        .store(Arc::new(vec![trusted.parse().unwrap()]));
    let (address, _) = start(config);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    assert_eq!(first_line(&mut stream).await, want);
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed() {
    check_proxy("127.0.0.0/8", HEADER, "hello 192.0.2.1").await;
    check_proxy("127.0.0.0/8", b"PROXY UNKNOWN\r\n", "hello 127.0.0.1").await;
    check_proxy("127.0.0.0/8", b"EHLO this is not a proxy\r\n", "<closed>").await;
    check_proxy("10.0.0.0/8", HEADER, "hello 127.0.0.1").await;
}

#[tokio::test]
async fn the_limits_are_those_of_the_client_behind_the_proxy() {
    let mut config = ListenerConfig::new("test", localhost());
    config
        .proxies
        .store(Arc::new(vec!["127.0.0.1".parse().unwrap()]));
    config.admission = limits(9, 1, 9);
    let (address, _) = start(config);
    let mut kept = Vec::new();
    let rows = [
        ("1", "hello 192.0.2.1"),
        ("2", "hello 192.0.2.2"),
        ("1", "421 too many connections from one client"),
    ];
    for (last, want) in rows {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let header = format!("PROXY TCP4 192.0.2.{last} 198.51.100.1 56324 25\r\n");
        stream.write_all(header.as_bytes()).await.unwrap();
        assert_eq!(first_line(&mut stream).await, want);
        kept.push(stream);
    }
}

#[tokio::test]
async fn tls_from_the_first_byte_after_a_proxy_header() {
    let identity = identity(&["mail.example.org"]);
    let resolver = CertResolver::new(vec![identity.clone()]);
    let mut config = ListenerConfig::new("test", localhost());
    config.tls = Some(TlsServer::new(&resolver, &[]).unwrap());
    config
        .proxies
        .store(Arc::new(vec!["127.0.0.1".parse().unwrap()]));
    let (address, _) = start(config);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(HEADER).await.unwrap();
    let name = "mail.example.org".try_into().unwrap();
    let stream = Stream::Tcp(stream).connect_tls(client(&[&identity], &[]), name);
    let mut stream = stream.await.unwrap();
    assert_eq!(first_line(&mut stream).await, "hello 192.0.2.1 tls");
}

#[test]
fn errors_of_accept() {
    use rustix::io::Errno;
    let check = |errno: Errno, one_connection: bool| {
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        assert_eq!(concerns_one_connection(&error), one_connection, "{error}");
    };
    check(Errno::CONNABORTED, true);
    check(Errno::INTR, true);
    check(Errno::NETUNREACH, true);
    check(Errno::PERM, true);
    check(Errno::MFILE, false);
    check(Errno::NFILE, false);
    check(Errno::NOBUFS, false);
    check(Errno::NOMEM, false);
    check(Errno::INVAL, false);
}
