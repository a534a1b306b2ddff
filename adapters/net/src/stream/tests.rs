use async_trait::async_trait;
use rustls::HandshakeKind;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tls::tests::{client, identity, self_signed};
use crate::tls::{
    ACME_TLS_ALPN, CertResolver, ChallengeCertificate, ChallengeCertificates, Identity,
};

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

/// How a client that remembers its sessions gets on.
async fn kind_of_handshake(server: &TlsServer, config: &Arc<ClientConfig>) -> HandshakeKind {
    let (near, far) = pair().await;
    let near = near.connect_tls(config.clone(), name("mail.example.org"));
    let (near, far) = tokio::join!(near, far.upgrade_tls(server));
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    // The tickets come with the first octets after the handshake.
    far.write_all(b"hello").await.unwrap();
    far.flush().await.unwrap();
    near.read_exact(&mut [0; 5]).await.unwrap();
    let Stream::Tls(session) = &far else {
        panic!("no TLS");
    };
    let TlsStream::Server(io) = &session.io else {
        panic!("no server");
    };
    io.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test]
async fn no_session_is_resumed_that_began_with_other_certificates() {
    let (old, new) = (
        identity(&["mail.example.org"]),
        identity(&["mail.example.org"]),
    );
    let resolver = CertResolver::new(vec![old.clone()]);
    let server = TlsServer::new(&resolver, &[]).unwrap();
    let config = client(&[&old, &new], &[]);
    let first = kind_of_handshake(&server, &config).await;
    assert_ne!(first, HandshakeKind::Resumed);
    let second = kind_of_handshake(&server, &config).await;
    assert_eq!(second, HandshakeKind::Resumed);
    resolver.replace(vec![new]);
    let third = kind_of_handshake(&server, &config).await;
    assert_ne!(third, HandshakeKind::Resumed);
}

/// Has a proof of one name.
#[derive(Debug)]
struct Proof(&'static str, Vec<u8>, Vec<u8>);

#[async_trait]
impl ChallengeCertificates for Proof {
    async fn find(&self, name: &str) -> Option<ChallengeCertificate> {
        let key = PrivateKeyDer::try_from(self.2.clone()).unwrap();
        (name == self.0).then(|| (self.1.clone().into(), key))
    }
}

#[tokio::test]
async fn a_challenge_is_answered_and_nothing_else() {
    let usual = identity(&["mail.example.org"]);
    let (pem, key) = self_signed(&["mail.example.org"]);
    let proof = Identity::from_pem(pem.as_bytes(), key.as_bytes(), "proof").unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let asked = Proof(
        "mail.example.org",
        proof.chain()[0].to_vec(),
        key.secret_der().to_vec(),
    );
    let resolver = CertResolver::new(vec![usual.clone()]);
    let server = TlsServer::new(&resolver, &[b"h2"]).unwrap();
    let server = server.answering(Arc::new(asked));
    let host = "mail.example.org";

    let (near, far) = pair().await;
    let near = near.connect_tls(client(&[&proof], &[ACME_TLS_ALPN]), name(host));
    let (near, far) = tokio::join!(near, far.upgrade_tls(&server));
    let mut near = near.unwrap();
    let info = near.tls_info().unwrap();
    assert_eq!(info.alpn.as_deref(), Some(ACME_TLS_ALPN));
    assert!(matches!(far.unwrap_err(), UpgradeError::Challenge));
    let mut rest = Vec::new();
    assert_eq!(near.read_to_end(&mut rest).await.unwrap(), 0);

    // RFC 8737 §3: whoever offers something else as well is no ACME server.
    let both: &[&[u8]] = &[ACME_TLS_ALPN, b"h2"];
    assert!(handshake(&server, &[&usual], both, host).await.is_ok());
    assert!(handshake(&server, &[&proof], both, host).await.is_err());
    // No proof is asked for this name, and the listener doesn't speak the protocol.
    let other = handshake(&server, &[&proof], &[ACME_TLS_ALPN], "other.example.org").await;
    assert!(other.is_err());
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
