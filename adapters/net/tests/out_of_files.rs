//! A server that has run out of file descriptors goes on once there are some again.
//! In a program of its own, because the limit is the whole program's.

use std::net::SocketAddr;
use std::time::Duration;

use net::{Listener, ListenerConfig, Shutdown};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn accept_survives_emfile() {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(ListenerConfig::new("test", address)).unwrap();
    let address = listener.local_address().unwrap();
    let shutdown = Shutdown::new();
    tokio::spawn(
        listener.run(shutdown.clone(), async |mut connection: net::Connection| {
            let _ = connection.stream.write_all(b"hello").await;
            let _ = connection.stream.read(&mut [0; 1]).await;
        }),
    );

    // The client's socket takes the last descriptor, so that none is left for the server's.
    let before = getrlimit(Resource::Nofile);
    let probe = std::fs::File::open("/dev/null").unwrap();
    let next_free = std::os::fd::AsRawFd::as_raw_fd(&probe) as u64;
    drop(probe);
    let lowered = Rlimit {
        current: Some(next_free + 1),
        ..before
    };
    setrlimit(Resource::Nofile, lowered).unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut greeting = [0; 5];
    let waited = Duration::from_millis(300);
    let read = tokio::time::timeout(waited, client.read_exact(&mut greeting)).await;
    assert!(read.is_err(), "there was no descriptor to accept it with");

    setrlimit(Resource::Nofile, before).unwrap();
    let waited = Duration::from_secs(5);
    let read = tokio::time::timeout(waited, client.read_exact(&mut greeting)).await;
    read.expect("accepted once there are descriptors again")
        .unwrap();
    assert_eq!(&greeting, b"hello");
}
