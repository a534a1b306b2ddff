use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tls::tests::{client, identity};
use crate::tls::{CertResolver, Identity};

async fn pair() -> (Stream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap());
    let (one, other) = tokio::join!(one, listener.accept());
    (Stream::Tcp(one.unwrap()), Stream::Tcp(other.unwrap().0))
}

fn name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

async fn handshake(
    server: &TlsServer,
    trusted: &[&Identity],
    alpn: &[&[u8]],
    host: &str,
) -> Result<(Stream, Stream), UpgradeError> {
    let (near, far) = pair().await;
    let near = near.connect_tls(client(trusted, alpn), name(host));
    let (near, far) = tokio::join!(near, far.upgrade_tls(server));
    Ok((near?, far?))
}

#[tokio::test]
async fn both_sides_agree() {
    let identity = identity(&["mail.example.org"]);
    let resolver = CertResolver::new(vec![identity.clone()]);
    let server = TlsServer::new(&resolver, &[b"imap"]).unwrap();
    let both = handshake(&server, &[&identity], &[b"imap"], "mail.example.org").await;
    let (mut near, mut far) = both.unwrap();
    near.write_all(b"hello").await.unwrap();
    near.flush().await.unwrap();
    let mut got = [0; 5];
    far.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello");

    let info = far.tls_info().unwrap();
    assert_eq!(info.version, "TLSv1.3");
    assert!(info.cipher.starts_with("TLS_"), "{info:?}");
    assert_eq!(info.sni.as_deref(), Some("mail.example.org"));
    assert_eq!(info.alpn.as_deref(), Some(&b"imap"[..]));
    assert!(far.is_tls());
    assert!(far.tls_exporter().is_some());
    assert_eq!(far.tls_exporter(), near.tls_exporter());
    assert_eq!(far.tls_server_end_point().unwrap().len(), 32);
    assert_eq!(far.peer_address().unwrap(), near.local_address().unwrap());
}

#[tokio::test]
async fn certificates_are_swapped_while_running() {
    let (old, new) = (
        identity(&["mail.example.org"]),
        identity(&["mail.example.org"]),
    );
    let resolver = CertResolver::new(vec![old.clone()]);
    let server = TlsServer::new(&resolver, &[]).unwrap();
    let host = "mail.example.org";
    assert!(handshake(&server, &[&old], &[], host).await.is_ok());
    assert!(handshake(&server, &[&new], &[], host).await.is_err());
    resolver.replace(vec![new.clone()]);
    assert!(handshake(&server, &[&old], &[], host).await.is_err());
    assert!(handshake(&server, &[&new], &[], host).await.is_ok());
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let identity = identity(&["mail.example.org"]);
    let resolver = CertResolver::new(vec![identity.clone()]);
    let server = TlsServer::new(&resolver, &[b"imap"]).unwrap();
    let host = "mail.example.org";
    assert!(
        handshake(&server, &[&identity], &[b"http/1.1"], host)
            .await
            .is_err()
    );
    assert!(handshake(&server, &[&identity], &[], host).await.is_ok());
}

#[tokio::test]
async fn plain_is_not_tls() {
    let (near, far) = pair().await;
    assert!(near.tls_info().is_none() && near.tls_exporter().is_none());
    assert!(near.tls_server_end_point().is_none());
    assert_eq!(near.peer_address().unwrap(), far.local_address().unwrap());
}

#[tokio::test]
async fn nonsense_is_no_handshake() {
    let resolver = CertResolver::new(vec![identity(&["mail.example.org"])]);
    let server = TlsServer::new(&resolver, &[]).unwrap();
    let (mut near, far) = pair().await;
    near.write_all(b"EHLO me\r\nMAIL FROM:<a@b.example>\r\n")
        .await
        .unwrap();
    let error = far.upgrade_tls(&server).await.unwrap_err();
    assert!(matches!(error, UpgradeError::Handshake(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_not_waited_for() {
    let resolver = CertResolver::new(vec![identity(&["mail.example.org"])]);
    let server = TlsServer::new(&resolver, &[]).unwrap();
    let (near, far) = pair().await;
    let started = tokio::time::Instant::now();
    let error = far.upgrade_tls(&server).await.unwrap_err();
    assert!(matches!(error, UpgradeError::Timeout), "{error}");
    assert_eq!(started.elapsed().as_secs(), HANDSHAKE_TIMEOUT.as_secs());
    drop(near);
    // The other way round: a server that says nothing.
    let (near, _far) = pair().await;
    let started = tokio::time::Instant::now();
    let error = near.connect_tls(client(&[], &[]), name("mail.example.org"));
    let error = error.await.unwrap_err();
    assert!(matches!(error, UpgradeError::Timeout), "{error}");
    assert_eq!(started.elapsed().as_secs(), HANDSHAKE_TIMEOUT.as_secs());
}
