//! At every limit of the adapter things work; one past it comes what its README says.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jmap::{Bounds, HEADER_FIELDS_MAX, HEADER_OCTETS_MAX, STREAMS_MAX, URI_OCTETS_MAX};
use jmap_core::Limits;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame as WsFrame,
        coding::{CloseCode, Data, OpCode},
    },
};

use crate::{
    read_until, receive, say,
    server::{PATIENCE, Server, answer, authorization, server, server_with},
    websocket,
};

async fn bounded(bounds: Bounds) -> Server {
    let wait = Duration::from_millis(200);
    server_with(Limits::default(), Bounds { wait, ..bounds }).await
}

#[tokio::test]
async fn addresses_and_header_fields() {
    let server = server().await;
    let path = "/jmap/session";
    for (octets, status) in [(URI_OCTETS_MAX, 200), (URI_OCTETS_MAX + 1, 414)] {
        let query = "x".repeat(octets - path.len());
        let answer = server.ask(&format!("GET {path}?{query}"), "", b"").await;
        assert_eq!(answer.status, status, "an address of {octets} octets");
    }
    // Host, Connection and Authorization are there already.
    for (count, status) in [(HEADER_FIELDS_MAX, 200), (HEADER_FIELDS_MAX + 1, 431)] {
        let fields: String = (3..count).map(|n| format!("X-{n}: 1\r\n")).collect();
        let answer = server.ask(&format!("GET {path}"), &fields, b"").await;
        assert_eq!(answer.status, status, "{count} fields");
    }
    // Sent in pieces, so that no reading of the server takes it all at once.
    for (octets, status) in [(HEADER_OCTETS_MAX, 200), (HEADER_OCTETS_MAX + 1, 431)] {
        let line = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let mut head = format!("{line}{}X: ", authorization());
        head.push_str(&"x".repeat(octets - head.len() - 4));
        head.push_str("\r\n\r\n");
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for piece in head.as_bytes().chunks(8 << 10) {
            let _ = stream.write_all(piece).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            rest_of(&mut stream).await,
            status,
            "a head of {octets} octets"
        );
    }
}

/// The status of an answer that ends with the connection.
async fn rest_of(stream: &mut TcpStream) -> u16 {
    let mut octets = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut octets))
        .await
        .unwrap();
    answer(octets).status
}

#[tokio::test]
async fn bodies_at_once() {
    let bodies_octets = 8 << 10;
    let server = bounded(Bounds {
        bodies_octets,
        ..Bounds::default()
    })
    .await;
    let json = "Content-Type: application/json\r\n";
    let echo = format!(
        r#"{{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{{"x":"{}"}},"0"]]}}"#,
        "x".repeat(1000)
    );
    // A body that has all the room, and of which one octet is missing.
    let padded = format!("{echo}{}", " ".repeat(bodies_octets - echo.len()));
    let fields = format!(
        "Connection: close\r\n{json}{}Content-Length: {bodies_octets}\r\n",
        authorization()
    );
    let head = format!("POST /jmap/api HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (most, last) = padded.as_bytes().split_at(bodies_octets - 1);
    stream.write_all(most).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = server.post(&echo).await;
    assert_eq!(refused.status, 503, "{}", refused.head);
    assert!(refused.header("retry-after").is_some());
    stream.write_all(last).await.unwrap();
    assert_eq!(rest_of(&mut stream).await, 200);
    assert_eq!(server.post(&echo).await.status, 200);
}

#[tokio::test]
async fn responses_and_references_of_a_request() {
    let room = 10_000;
    // What values take beside their text.
    let extra = 200;
    let server = bounded(Bounds {
        responses_octets: room,
        ..Bounds::default()
    })
    .await;
    let echoes =
        |octets| json!([["Core/echo", {"x": "x".repeat(octets)}, "0"], ["Core/echo", {}, "1"]]);
    for (octets, second) in [(room - extra, "Core/echo"), (room + 1, "error")] {
        let responses = server.call(&["core"], echoes(octets)).await;
        assert_eq!(responses[0][0], "Core/echo", "{octets}");
        assert_eq!(responses[1][0], second, "{octets}");
        if second == "error" {
            assert_eq!(responses[1][1]["type"], "requestTooLarge");
        }
    }

    let server = bounded(Bounds {
        reference_octets: room,
        ..Bounds::default()
    })
    .await;
    let reference = json!({"resultOf": "0", "name": "Core/echo", "path": "/x"});
    let copied = |octets| json!([["Core/echo", {"x": "x".repeat(octets)}, "0"], ["Core/echo", {"#y": reference}, "1"]]);
    for (octets, second) in [(room - extra, "Core/echo"), (room + 1, "error")] {
        let responses = server.call(&["core"], copied(octets)).await;
        assert_eq!(responses[1][0], second, "{octets}");
        if second == "error" {
            assert_eq!(responses[1][1]["type"], "requestTooLarge");
        }
    }
}

#[tokio::test]
async fn downloads_of_an_account_at_once() {
    let server = bounded(Bounds {
        downloads: 2,
        ..Bounds::default()
    })
    .await;
    // More than the buffers of a connection hold, which nobody reads.
    let large = vec![b'x'; 24 << 20];
    let upload = format!("POST /jmap/upload/{}", server.account);
    let uploaded = server.ask(&upload, "", &large).await;
    assert_eq!(uploaded.status, 201, "{}", uploaded.head);
    let blob = uploaded.json()["blobId"].as_str().unwrap().to_owned();
    let line = format!("GET /jmap/download/{}/{blob}/x", server.account);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.open(&line, &authorization(), b"").await;
        let mut read = String::new();
        read_until(&mut stream, &mut read, "\r\n").await;
        assert!(read.starts_with("HTTP/1.1 200"), "{read:.40}");
        held.push(stream);
    }
    let refused = server.ask(&line, "", b"").await;
    assert_eq!(refused.status, 429, "{}", refused.head);
    assert!(refused.header("retry-after").is_some());
    held.pop();
    assert_eq!(
        server.ask(&line, "Range: bytes=0-9\r\n", b"").await.status,
        206
    );
}

#[tokio::test]
async fn streams_of_an_account_at_once() {
    let server = bounded(Bounds {
        streams_of_account: 2,
        ..Bounds::default()
    })
    .await;
    let line = "GET /jmap/eventsource?types=*&closeafter=no&ping=0";
    let mut sources = Vec::new();
    for _ in 0..2 {
        let mut stream = server.open(line, &authorization(), b"").await;
        read_until(&mut stream, &mut String::new(), "text/event-stream").await;
        sources.push(stream);
    }
    let refused = server.ask(line, "", b"").await;
    assert_eq!(refused.status, 429, "{}", refused.head);
    assert!(refused.header("retry-after").is_some());

    let fields = format!(
        "{}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: jmap\r\n",
        authorization()
    );
    let mut sockets = vec![websocket(&server).await, websocket(&server).await];
    let mut stream = server.open("GET /jmap/ws", &fields, b"").await;
    let mut read = String::new();
    read_until(&mut stream, &mut read, "\r\n\r\n").await;
    assert!(read.starts_with("HTTP/1.1 429"), "{read}");

    // Those that are closed make room.
    sources.pop();
    sockets.pop();
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut stream = server.open(line, &authorization(), b"").await;
        let mut read = String::new();
        read_until(&mut stream, &mut read, "\r\n\r\n").await;
        if read.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "{read}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn bounds_are_the_named_limits() {
    let mib = 1 << 20;
    let expected = Bounds {
        bodies_octets: 512 * mib,
        responses_octets: 256 * mib,
        reference_octets: 64 * mib,
        downloads: 16,
        downloads_waiting: 64,
        streams_of_account: 256,
        waiting: 8,
        wait: Duration::from_secs(10),
    };
    assert_eq!(Bounds::default(), expected, "as the README says");
}

/// HTTP/2 as far as is needed here (RFC 9113): frames, and header blocks without compression.
struct Http2(TcpStream);

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_BOTH: u8 = 0x5;

struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Http2 {
    /// RFC 9113 §3.4
    async fn connect(server: &Server) -> Http2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        stream.write_all(preface).await.unwrap();
        let mut http = Http2(stream);
        http.send(SETTINGS, 0, 0, &[]).await;
        http
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        octets.extend([kind, flags]);
        octets.extend(stream.to_be_bytes());
        octets.extend(payload);
        self.0.write_all(&octets).await.unwrap();
    }

    async fn receive(&mut self) -> Frame {
        let mut head = [0; 9];
        let read = timeout(PATIENCE, self.0.read_exact(&mut head)).await;
        read.expect("no frame").unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.unwrap();
        Frame {
            kind: head[3],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        }
    }

    /// The next frame of one of the kinds.
    async fn receive_any(&mut self, kinds: &[u8]) -> Frame {
        loop {
            let frame = self.receive().await;
            if kinds.contains(&frame.kind) {
                return frame;
            }
        }
    }

    /// A GET: literal fields, never of more than 126 octets (RFC 7541 §6.2.2).
    async fn get(&mut self, stream: u32, path: &str) {
        let field = authorization();
        let value = field.trim_end().split_once(": ").unwrap().1;
        // :method GET, :scheme http, then :path, :authority and authorization by their names' index.
        let mut block = vec![0x82, 0x86];
        for (name, value) in [(&[0x04][..], path), (&[0x01], "x"), (&[0x0f, 0x08], value)] {
            block.extend(name);
            block.push(u8::try_from(value.len()).ok().filter(|n| *n < 127).unwrap());
            block.extend(value.as_bytes());
        }
        self.send(HEADERS, END_BOTH, stream, &block).await;
    }
}

#[tokio::test]
async fn streams_of_a_connection_at_once() {
    let server = server().await;
    let mut http = Http2::connect(&server).await;
    // RFC 9113 §6.5.2: SETTINGS_MAX_CONCURRENT_STREAMS is told, so that clients wait.
    let settings = http.receive_any(&[SETTINGS]).await.payload;
    let told = settings.chunks(6).find(|setting| setting[..2] == [0, 3]);
    assert_eq!(told.unwrap()[2..], STREAMS_MAX.to_be_bytes());

    let path = "/jmap/eventsource?types=*&closeafter=no&ping=0";
    let streams: Vec<u32> = (0..STREAMS_MAX).map(|n| 2 * n + 1).collect();
    for stream in &streams {
        http.get(*stream, path).await;
    }
    for _ in &streams {
        let frame = http.receive_any(&[HEADERS, RST_STREAM]).await;
        assert_eq!(frame.kind, HEADERS, "stream {}", frame.stream);
        // :status 200 of the static table.
        assert_eq!(frame.payload[0], 0x88);
    }
    // §5.1.2: one past it is refused, and can be tried again.
    let one_past = 2 * STREAMS_MAX + 1;
    http.get(one_past, path).await;
    let frame = http.receive_any(&[HEADERS, RST_STREAM]).await;
    let refused = 7u32.to_be_bytes().to_vec();
    assert_eq!(
        (frame.kind, frame.stream, frame.payload),
        (RST_STREAM, one_past, refused)
    );
    let cancel = 8u32.to_be_bytes();
    http.send(RST_STREAM, 0, streams[0], &cancel).await;
    http.get(one_past + 2, path).await;
    let frame = http.receive_any(&[HEADERS, RST_STREAM]).await;
    assert_eq!((frame.kind, frame.stream), (HEADERS, one_past + 2));
}

#[tokio::test]
async fn the_id_of_a_request_over_websocket() {
    let server = server().await;
    let mut socket = websocket(&server).await;
    let longest = jmap::REQUEST_ID_OCTETS_MAX;
    for (octets, kind) in [(longest, "Response"), (longest + 1, "RequestError")] {
        let id = "x".repeat(octets);
        let request = json!({"@type": "Request", "id": id, "using": [], "methodCalls": []});
        say(&mut socket, request).await;
        let answer = receive(&mut socket).await;
        assert_eq!(answer["@type"], kind, "{octets}");
        let shown = if octets > longest {
            Value::Null
        } else {
            json!(id)
        };
        assert_eq!(answer["requestId"], shown, "{octets}");
    }
}

/// The first fragment of a request, and the rest of it.
fn in_two(octets: usize) -> [Message; 2] {
    let request = json!({"@type": "Request", "id": "R", "using": [], "methodCalls": []});
    let request = format!("{}{request}", " ".repeat(octets));
    let (first, rest) = request.split_at(octets);
    let frame = |text: &str, code, is_last| {
        let payload = text.as_bytes().to_vec();
        Message::Frame(WsFrame::message(payload, OpCode::Data(code), is_last))
    };
    [
        frame(first, Data::Text, false),
        frame(rest, Data::Continue, true),
    ]
}

#[tokio::test]
async fn messages_over_websocket_take_the_room_of_bodies() {
    let server = bounded(Bounds {
        bodies_octets: 512 << 10,
        ..Bounds::default()
    })
    .await;
    let request = r#"{"using":[],"methodCalls":[]}"#;
    let free = jmap::MESSAGE_FREE_OCTETS as usize;
    // What is small takes none.
    let mut small = websocket(&server).await;
    let [first, rest] = in_two(free / 2);
    small.send(first).await.unwrap();
    assert_eq!(server.post(request).await.status, 200);
    // What is larger takes room in steps: here, all that its account may have.
    let mut large = websocket(&server).await;
    let [first, rest_of_large] = in_two(2 * free);
    large.send(first).await.unwrap();
    let end = tokio::time::Instant::now() + PATIENCE;
    while server.post(request).await.status != 503 {
        assert!(tokio::time::Instant::now() < end, "it takes no room");
    }
    // With its header as much as is read without room: what stays unread could take the goodbye with it.
    let mut more = websocket(&server).await;
    let [first, _] = in_two(free - 8);
    more.send(first).await.unwrap();
    let closed = timeout(PATIENCE, more.next()).await.unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = closed else {
        panic!("{closed:?}");
    };
    assert_eq!(frame.code, CloseCode::Again, "{frame:?}");
    // Both are answered, and the room is there again.
    for (socket, rest) in [(&mut small, rest), (&mut large, rest_of_large)] {
        socket.send(rest).await.unwrap();
        assert_eq!(receive(socket).await["requestId"], "R");
    }
    assert_eq!(server.post(request).await.status, 200);
}
