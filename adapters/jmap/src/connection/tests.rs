use jmap_types::AccountId;
use net::Peer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const ROOM_OCTETS: usize = 16 << 20;

/// Serves a connection; `/events` has no end and says nothing, all else has so many octets, for which there is room.
fn serve(stream: DuplexStream, octets: usize) -> (Room, JoinHandle<()>) {
    let room = Room::new(ROOM_OCTETS, Duration::ZERO);
    let peer = Peer::Ip("192.0.2.1:1".parse().unwrap());
    let exchange = Exchange::new(Transport::new(peer, None, false, &[]), Shutdown::new());
    let answer = {
        let (room, exchange) = (room.clone(), exchange.clone());
        move |request: Request<Incoming>| {
            let busy = exchange.begin();
            let mut held = room.of(AccountId::new(1));
            async move {
                let mut body = match request.uri().path() {
                    "/events" => Body::events(futures_util::stream::pending()),
                    _ => Body::full(vec![b'x'; octets]),
                };
                held.have(body.octets() as u64).await.unwrap();
                body.keep(held);
                busy.until_sent(&mut body);
                Response::new(body)
            }
        }
    };
    (room, tokio::spawn(http(stream, exchange, answer)))
}

/// The connection is ended by us, not before `least` and within `most`; what the response has taken is there again.
async fn ends(room: Room, serving: JoinHandle<()>, least: Duration, most: Duration) {
    let begun = Instant::now();
    let ended = timeout(HOUR, serving).await;
    ended.expect("it goes on").unwrap();
    let passed = begun.elapsed();
    assert!((least..=most).contains(&passed), "{passed:?}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(room.free_octets(), ROOM_OCTETS as u64);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_little_of_a_response_is_let_go() {
    let (mut client, server) = duplex(1024);
    let (room, serving) = serve(server, 1 << 20);
    let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write_all(get).await.unwrap();
    tokio::spawn(async move {
        while client.read_u8().await.is_ok() {
            sleep(Duration::from_secs(50)).await;
        }
    });
    let grace = READER_PACE.grace;
    ends(room, serving, WRITE_STALL, grace + WRITE_STALL).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_the_pace_has_all_of_a_response() {
    let (mut client, server) = duplex(1024);
    let octets = 4 << 20;
    let (_room, _serving) = serve(server, octets);
    let get = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client.write_all(get).await.unwrap();
    let mut read = 0;
    let mut buffer = vec![0; 10 * READER_PACE.rate_min as usize + 100];
    loop {
        match client.read(&mut buffer).await.unwrap() {
            0 => break,
            more => read += more,
        }
        // The buffer between the two has 1024 octets.
        sleep(Duration::from_secs(1)).await;
    }
    assert!(read > octets, "{read}");
}

/// HTTP/2 as far as is needed here (RFC 9113): a client that answers pings, and takes no more than its window.
async fn http2(mut client: DuplexStream, window: u32, paths: &[&str]) {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        octets.extend([kind, flags]);
        octets.extend(stream.to_be_bytes());
        octets.extend(payload);
        octets
    };
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // §6.5.2: SETTINGS_INITIAL_WINDOW_SIZE
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    sent.extend(frame(SETTINGS, 0, 0, &settings));
    for (path, stream) in paths.iter().zip((1..).step_by(2)) {
        // :method GET, :scheme http, then :path and :authority by their names' index.
        let mut block = vec![0x82, 0x86];
        for (name, value) in [(0x04, *path), (0x01, "x")] {
            block.extend([name, value.len() as u8]);
            block.extend(value.as_bytes());
        }
        sent.extend(frame(HEADERS, 0x5, stream, &block));
    }
    client.write_all(&sent).await.unwrap();
    tokio::spawn(async move {
        let mut head = [0; 9];
        while client.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if client.read_exact(&mut payload).await.is_err() {
                return;
            }
            let answer = match (head[3], head[4]) {
                (PING, 0) => frame(PING, 1, 0, &payload),
                (SETTINGS, 0) => frame(SETTINGS, 1, 0, &[]),
                _ => continue,
            };
            if client.write_all(&answer).await.is_err() {
                return;
            }
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_window_stays_closed_is_let_go() {
    // The last: all of the response is with the connection, and some of it stays there.
    for (window, octets) in [(65_535, 1 << 20), (0, 10), (65_535, 65_536)] {
        for paths in [&["/"][..], &["/events", "/"]] {
            let (client, server) = duplex(1 << 20);
            let (room, serving) = serve(server, octets);
            http2(client, window, paths).await;
            let stall = READER_PACE.stall;
            ends(room, serving, stall / 2, stall * 2).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_is_not_ended() {
    let (client, server) = duplex(1 << 20);
    let (_room, serving) = serve(server, 10);
    http2(client, 65_535, &["/", "/events"]).await;
    assert!(timeout(HOUR, serving).await.is_err(), "HTTP/2");
    let (mut client, server) = duplex(1 << 20);
    let (_room, serving) = serve(server, 10);
    let get = b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write_all(get).await.unwrap();
    assert!(timeout(HOUR, serving).await.is_err(), "HTTP/1.1");
}
