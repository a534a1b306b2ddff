//! What an idle connection costs in memory, counted by the allocator.
//! In a program of its own, because the allocator is the whole program's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use net::reader::LinePace;
use net::{Listener, ListenerConfig, Shutdown, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The system's allocator, with a count of what is in use.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONNECTIONS: usize = 300;
const REST_OCTETS_MAX: usize = 10_000;

async fn session(connection: net::Connection) {
    let pace = LinePace {
        idle: Duration::from_secs(600),
        line: Duration::from_secs(60),
    };
    let mut wire = Wire::new(connection.stream);
    while let Ok(line) = wire.read_line(65_536, pace).await {
        if wire.send(&line.octets).await.is_err() || wire.send(b"\r\n").await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let mut config = ListenerConfig::new("test", SocketAddr::from(([127, 0, 0, 1], 0)));
    config.admission = net::Admission::new(net::ConnectionLimits {
        per_client: CONNECTIONS,
        rate: net::Rate::new(10_000, Duration::from_secs(1)),
        ..Default::default()
    });
    let listener = Listener::bind(config).unwrap();
    let address = listener.local_address().unwrap();
    tokio::spawn(listener.run(Shutdown::new(), session));

    let burst = [&vec![b'x'; 60_000][..], b"\r\n"].concat();
    let mut answer = vec![0; burst.len()];
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let before = IN_USE.load(Ordering::Relaxed);
    for _ in 0..CONNECTIONS {
        // Each has been busy before it rests.
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&burst).await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        clients.push(client);
    }
    let after = IN_USE.load(Ordering::Relaxed);
    let each = (after - before).max(0) as usize / CONNECTIONS;
    println!("{each} octets a connection, with the client's side");
    assert!(each < REST_OCTETS_MAX, "{each} octets a connection");
}
