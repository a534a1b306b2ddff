use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tls::CertResolver;
use crate::tls::tests::{client, identity};

const SECOND: Duration = Duration::from_secs(1);
const LINE_PACE: LinePace = LinePace {
    idle: Duration::from_secs(60),
    line: Duration::from_secs(10),
};

fn wire(room: usize) -> (Wire<DuplexStream>, DuplexStream) {
    let (io, peer) = duplex(room);
    (Wire::new(io), peer)
}

async fn read_some(peer: &mut DuplexStream) -> String {
    let mut buffer = [0; 1000];
    let read = tokio::time::timeout(SECOND, peer.read(&mut buffer)).await;
    match read {
        Ok(read) => String::from_utf8_lossy(&buffer[..read.unwrap()]).into_owned(),
        Err(_) => "nothing".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_a_pipeline_are_sent_together() {
    let (mut wire, mut peer) = wire(1000);
    peer.write_all(b"MAIL\r\nRCPT\r\nDA").await.unwrap();
    for command in [&b"MAIL"[..], b"RCPT"] {
        let line = wire.read_line(512, LINE_PACE).await.unwrap();
        assert_eq!(line.octets, command);
        wire.send(b"250 OK\r\n").await.unwrap();
    }
    assert_eq!(read_some(&mut peer).await, "nothing");
    // The third command is there in part only: what is due goes out before it is waited for.
    let third = tokio::time::timeout(SECOND, wire.read_line(512, LINE_PACE)).await;
    assert!(third.is_err());
    assert_eq!(read_some(&mut peer).await, "250 OK\r\n250 OK\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_literal_that_is_there_is_taken_without_a_flush() {
    let (mut wire, mut peer) = wire(1000);
    peer.write_all(b"BDAT 3\r\nabcBDAT 2\r\nde").await.unwrap();
    wire.read_line(512, LINE_PACE).await.unwrap();
    wire.send(b"250 OK\r\n").await.unwrap();
    assert_eq!(wire.read_exact(3, 3, Pace::DATA).await.unwrap(), b"abc");
    assert_eq!(read_some(&mut peer).await, "nothing");
    wire.read_line(512, LINE_PACE).await.unwrap();
    wire.discard(2, Pace::DATA).await.unwrap();
    let data = wire.read_exact(1, 1, Pace::DATA);
    assert!(tokio::time::timeout(SECOND, data).await.is_err());
    assert_eq!(read_some(&mut peer).await, "250 OK\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_let_go() {
    let (mut wire, mut peer) = wire(1000);
    let mut failed = None;
    for _ in 0..10_000 {
        peer.write_all(b"NOOP\r\n").await.unwrap();
        wire.read_line(512, LINE_PACE)
            .await
            .unwrap_or_else(|error| {
                failed.get_or_insert(error.to_string());
                Line {
                    octets: Vec::new(),
                    form: Default::default(),
                }
            });
        if failed.is_some() {
            break;
        }
        wire.send(b"250 this is quite a long answer\r\n")
            .await
            .unwrap();
        assert!(wire.out.len() <= OUT_OCTETS_MAX);
    }
    let failed = failed.unwrap();
    assert_eq!(failed, WriteError::TooSlow.to_string());
}

#[tokio::test(start_paused = true)]
async fn large_answers_are_not_gathered() {
    let (mut wire, mut peer) = wire(1_000_000);
    wire.send(b"* 1 FETCH ").await.unwrap();
    wire.send(&[b'x'; OUT_OCTETS_MAX]).await.unwrap();
    assert_eq!(wire.out.len(), 0);
    wire.send(b")\r\n").await.unwrap();
    wire.close().await;
    let mut got = Vec::new();
    peer.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), 10 + OUT_OCTETS_MAX + 3);
    assert!(got.starts_with(b"* 1 FETCH xx") && got.ends_with(b"x)\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_flush_sends_nothing_twice() {
    let (mut wire, mut peer) = wire(10);
    wire.send(b"0123456789abcdefghij").await.unwrap();
    assert!(tokio::time::timeout(SECOND, wire.flush()).await.is_err());
    assert_eq!(read_some(&mut peer).await, "0123456789");
    wire.flush().await.unwrap();
    assert_eq!(read_some(&mut peer).await, "abcdefghij");
}

/// Sends `command` to a server that answers STARTTLS with a handshake.
async fn start_tls(command: &[u8]) -> Result<(), UpgradeError> {
    let identity = identity(&["mail.example.org"]);
    let resolver = CertResolver::new(vec![identity.clone()]);
    let server = TlsServer::new(&resolver, &[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let mut far = Wire::new(Stream::Tcp(far));
    near.write_all(command).await.unwrap();
    far.read_line(512, LINE_PACE).await.unwrap();
    far.send(b"220 Go ahead\r\n").await.unwrap();

    let near = async move {
        let mut answer = [0; 14];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"220 Go ahead\r\n");
        let name = "mail.example.org".try_into().unwrap();
        let near = Stream::Tcp(near).connect_tls(client(&[&identity], &[]), name);
        let mut near = Wire::new(near.await?);
        near.send(b"NOOP\r\n").await.unwrap();
        near.flush().await.unwrap();
        Ok::<_, UpgradeError>(near)
    };
    let (near, far) = tokio::join!(near, far.start_tls(&server));
    let mut far = far?;
    let line = far.read_line(512, LINE_PACE).await.unwrap();
    assert_eq!(line.octets, b"NOOP");
    near.map(|_| ())
}

#[tokio::test]
async fn starttls() {
    start_tls(b"STARTTLS\r\n").await.unwrap();
}

#[tokio::test]
async fn plaintext_ahead_of_the_handshake_is_refused() {
    let error = start_tls(b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n")
        .await
        .unwrap_err();
    assert!(matches!(error, UpgradeError::Injected(25)), "{error}");
    let error = start_tls(b"STARTTLS\r\nR").await.unwrap_err();
    assert!(matches!(error, UpgradeError::Injected(1)), "{error}");
}

#[tokio::test]
async fn answers_ahead_of_the_handshake_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await;
    let (mut far, _) = listener.accept().await.unwrap();
    far.write_all(b"220 Go ahead\r\n250 injected\r\n")
        .await
        .unwrap();
    let mut near = Wire::new(Stream::Tcp(near.unwrap()));
    near.read_line(512, LINE_PACE).await.unwrap();
    let name = "mail.example.org".try_into().unwrap();
    let error = near.connect_tls(client(&[], &[]), name).await.unwrap_err();
    assert!(matches!(error, UpgradeError::Injected(14)), "{error}");
}

/// Takes all and gives nothing; its end never comes.
struct Endless;

impl tokio::io::AsyncRead for Endless {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

impl tokio::io::AsyncWrite for Endless {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        octets: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_never_comes_is_not_waited_for() {
    let mut wire = Wire::new(Endless);
    wire.send(b"221 Bye\r\n").await.unwrap();
    let started = Instant::now();
    wire.close().await;
    assert_eq!(started.elapsed().as_secs(), CLOSE_TIMEOUT.as_secs());
}
