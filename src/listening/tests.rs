//! A listener whose part panics.

use std::sync::atomic::{AtomicBool, Ordering};

use net::{Listener, ListenerConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;

#[tokio::test]
async fn a_listener_that_panics_accepts_again() {
    let folder = tempfile::tempdir().unwrap();
    let core = crate::tls::tests::core(folder.path()).await;
    let place: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    let listener = Listener::bind(ListenerConfig::new("smtp", place)).unwrap();
    let address = listener.local_address().unwrap();
    let shutdown = Shutdown::new();
    let is_broken = AtomicBool::new(true);
    let accepting = accept(&core, "smtp", shutdown.clone(), move |stop| {
        let (listener, is_broken) = (listener.clone(), is_broken.swap(false, Ordering::Relaxed));
        async move {
            assert!(!is_broken, "this is what is tested");
            listener.run(stop, |_| async {}).await;
        }
    });
    // Whoever connects meanwhile waits in the kernel.
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(core.supervisor.panics(), [("smtp", 1)]);
    shutdown.request();
    accepting.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn health_checks_are_told_of_a_part_that_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let core = crate::tls::tests::core(folder.path()).await;
    let place: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    let listener = Listener::bind(ListenerConfig::new("http", place)).unwrap();
    let address = listener.local_address().unwrap();
    let (jmap, shutdown) = (
        Jmap::new(core.clone(), jmap::Config::default()),
        Shutdown::new(),
    );
    tokio::spawn(async move { jmap.serve(listener, shutdown).await });
    let ask = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let well = ask().await;
    assert!(well.starts_with("HTTP/1.1 200 "), "{well}");
    let down = core.clone();
    let down = tokio::spawn(async move {
        let broken = || async { panic!("this is what is tested") };
        down.supervisor.keep("queue", broken).await;
    });
    while core.supervisor.failing().is_empty() {
        tokio::task::yield_now().await;
    }
    let unwell = ask().await;
    assert!(unwell.starts_with("HTTP/1.1 200 "), "{unwell}");
    assert!(
        unwell.ends_with("\r\nok, but this fails: queue\n"),
        "{unwell}"
    );
    down.abort();
    let _ = down.await;
    let well = ask().await;
    assert!(well.starts_with("HTTP/1.1 200 "), "{well}");
}

#[tokio::test]
async fn one_that_waits_to_begin_again_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let core = crate::tls::tests::core(folder.path()).await;
    let shutdown = Shutdown::new();
    let accepting = accept(&core, "smtp", shutdown.clone(), |_| async {
        panic!("this is what is tested");
    });
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(core.supervisor.failing(), ["smtp"]);
    shutdown.request();
    let stopped = tokio::time::timeout(std::time::Duration::from_millis(500), accepting);
    stopped.await.unwrap().unwrap();
}
