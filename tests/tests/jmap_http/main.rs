//! JMAP over real sockets: the envelope, request-level errors, blobs, event source, WebSocket.
//!
//! Holds: each test has a server of its own, over the memory engine, on a port of its own.

mod limits;
mod server;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt, StreamExt};
use jmap::Bounds;
use jmap_core::{Caller, Limits, Way};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use server::{LOGIN, PATIENCE, Server, answer, authorization, server, server_with};

#[tokio::test]
async fn a_server_without_a_trace_offers_none() {
    const TRACE: &str = "urn:posthorn:params:jmap:trace";
    for seconds in [0, 1] {
        let limits = Limits {
            trace_seconds: seconds,
            ..Limits::default()
        };
        let server = server_with(limits, Bounds::default()).await;
        let answer = server.ask("GET /jmap/session", "", b"").await;
        let session = answer.json();
        let account = &session["accounts"][&server.account];
        for has in [
            &session["capabilities"],
            &account["accountCapabilities"],
            &session["primaryAccounts"],
        ] {
            assert_eq!(has.get(TRACE).is_some(), seconds != 0, "{has}");
        }
        let call = format!(r#"{{"using":["{TRACE}"],"methodCalls":[]}}"#);
        let status = server.post(&call).await.status;
        assert_eq!(status, if seconds == 0 { 400 } else { 200 });
    }
}

#[tokio::test]
async fn session() {
    let server = server().await;
    for path in ["/.well-known/jmap", "/jmap/session"] {
        let refused = server.send(&format!("GET {path}"), "", b"").await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.json()["status"], 401);
        assert!(
            refused
                .header("www-authenticate")
                .unwrap()
                .starts_with("Basic ")
        );
        let answer = server.ask(&format!("GET {path}"), "", b"").await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        assert!(answer.header("cache-control").unwrap().contains("no-store"));
        let session = answer.json();
        assert_eq!(session["username"], LOGIN);
        assert_eq!(session["accounts"][&server.account]["isPersonal"], true);
        let core = &session["capabilities"]["urn:ietf:params:jmap:core"];
        assert_eq!(core["maxCallsInRequest"], 64);
        let base = format!("http://{}", server.address);
        assert_eq!(session["apiUrl"], format!("{base}/jmap/api"));
        let websocket = &session["capabilities"]["urn:ietf:params:jmap:websocket"];
        assert_eq!(websocket["url"], format!("ws://{}/jmap/ws", server.address));
        for capability in session["primaryAccounts"].as_object().unwrap().keys() {
            assert!(
                session["capabilities"].get(capability).is_some(),
                "{capability}"
            );
        }
        let echoed = server.post(r#"{"using":[],"methodCalls":[]}"#).await.json();
        assert_eq!(echoed["sessionState"], session["state"]);
    }
    let wrong = BASE64_STANDARD.encode(format!("{LOGIN}:wrong"));
    let wrong = format!("Authorization: Basic {wrong}\r\n");
    assert_eq!(
        server.send("GET /jmap/session", &wrong, b"").await.status,
        401
    );
    let wrong = "Authorization: Bearer nonsense\r\n";
    assert_eq!(
        server.send("GET /jmap/session", wrong, b"").await.status,
        401
    );
}

#[tokio::test]
async fn request_level_errors() {
    let limits = Limits {
        max_size_request: 300_000,
        ..Limits::default()
    };
    let server = server_with(limits, Bounds::default()).await;
    let calls = |count: usize| {
        let calls = vec![r#"["Core/echo",{},"0"]"#; count].join(",");
        format!("{{\"using\":[\"urn:ietf:params:jmap:core\"],\"methodCalls\":[{calls}]}}")
    };
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!("{{\"using\":[],\"methodCalls\":[],\"x\":{open}{close}}}")
    };
    let rows = [
        (calls(64), None),
        (calls(65), Some(("limit", "maxCallsInRequest"))),
        (calls(10_000), Some(("limit", "maxCallsInRequest"))),
        (deep(63), None),
        (deep(64), Some(("notJSON", ""))),
        (deep(100_000), Some(("notJSON", ""))),
        (" ".repeat(300_001), Some(("limit", "maxSizeRequest"))),
        ("".into(), Some(("notJSON", ""))),
        ("{".into(), Some(("notJSON", ""))),
        (
            r#"{"using":[],"using":[],"methodCalls":[]}"#.into(),
            Some(("notJSON", "")),
        ),
        ("{}".into(), Some(("notRequest", ""))),
        ("[]".into(), Some(("notRequest", ""))),
        (
            r#"{"using":["urn:x"],"methodCalls":[]}"#.into(),
            Some(("unknownCapability", "")),
        ),
    ];
    for (body, expected) in rows {
        let shown: String = body.chars().take(60).collect();
        let answer = server.post(&body).await;
        let Some((kind, limit)) = expected else {
            assert_eq!(answer.status, 200, "{shown}");
            continue;
        };
        assert_eq!(answer.status, 400, "{shown}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let problem = answer.json();
        assert_eq!(
            problem["type"],
            format!("urn:ietf:params:jmap:error:{kind}"),
            "{shown}"
        );
        assert_eq!(problem["status"], 400);
        assert_eq!(
            problem["limit"].as_str().unwrap_or_default(),
            limit,
            "{shown}"
        );
    }
    let wrong_type = server
        .ask("POST /jmap/api", "Content-Type: text/plain\r\n", b"{}")
        .await;
    assert_eq!(
        wrong_type.json()["type"],
        "urn:ietf:params:jmap:error:notJSON"
    );
    let invalid = b"{\"using\":[],\"methodCalls\":[],\"x\":\"\xff\"}";
    let invalid = server
        .ask(
            "POST /jmap/api",
            "Content-Type: application/json\r\n",
            invalid,
        )
        .await;
    assert_eq!(invalid.json()["type"], "urn:ietf:params:jmap:error:notJSON");
}

#[tokio::test]
async fn method_calls() {
    let server = server().await;
    let responses = server
        .call(
            &["core"],
            json!([
                ["Core/echo", {"list": [{"id": "x"}, {"id": "y"}], "n": 9007199254740991u64}, "a"],
                ["Core/echo", {"#ids": {"resultOf": "a", "name": "Core/echo", "path": "/list/*/id"}}, "b"],
                ["Core/echo", {"#ids": {"resultOf": "z", "name": "Core/echo", "path": "/list"}}, "c"],
                ["Core/echo", {"ids": [], "#ids": {"resultOf": "a", "name": "Core/echo", "path": "/list"}}, "d"],
                ["Core/nothing", {}, "e"],
                ["Mailbox/get", {"accountId": server.account}, "f"],
                ["Core/echo", {"last": true}, "g"]
            ]),
        )
        .await;
    let expected = json!([
        ["Core/echo", {"list": [{"id": "x"}, {"id": "y"}], "n": 9007199254740991u64}, "a"],
        ["Core/echo", {"ids": ["x", "y"]}, "b"],
        ["error", "invalidResultReference", "c"],
        ["error", "invalidArguments", "d"],
        ["error", "unknownMethod", "e"],
        ["error", "unknownMethod", "f"],
        ["Core/echo", {"last": true}, "g"]
    ]);
    for (response, expected) in responses
        .as_array()
        .unwrap()
        .iter()
        .zip(expected.as_array().unwrap())
    {
        let mut response = response.clone();
        if response[0] == "error" {
            response[1] = response[1]["type"].clone();
        }
        assert_eq!(&response, expected);
    }
    assert_eq!(responses.as_array().unwrap().len(), 7);
    // An empty `using` has no methods.
    let responses = server.call(&[], json!([["Core/echo", {}, "0"]])).await;
    assert_eq!(responses[0][1]["type"], "unknownMethod");
}

#[tokio::test]
async fn created_ids() {
    let server = server().await;
    let request = json!({
        "using": ["urn:ietf:params:jmap:core"],
        "methodCalls": [],
        "createdIds": {"k1": "a1"}
    });
    let response = server.post(&request.to_string()).await.json();
    assert_eq!(response["createdIds"], json!({"k1": "a1"}));
    let none = server.post(r#"{"using":[],"methodCalls":[]}"#).await.json();
    assert_eq!(none.get("createdIds"), None);
}

#[tokio::test]
async fn addresses_and_cors() {
    let server = server().await;
    let rows = [
        ("GET /healthz", 200),
        ("HEAD /healthz", 200),
        ("GET /metrics", 200),
        ("GET /nothing", 404),
        ("GET /jmap/api", 405),
        ("POST /healthz", 405),
        ("OPTIONS /jmap/api", 204),
        ("OPTIONS /.well-known/jmap", 204),
        ("GET /jmap/download/a1/x/y", 401),
        ("GET /jmap/eventsource", 401),
        ("GET /jmap/ws", 401),
        ("POST /jmap/api", 401),
        ("POST /jmap/upload/a1", 401),
    ];
    for (line, status) in rows {
        let answer = server
            .send(line, "Origin: https://app.example\r\n", b"")
            .await;
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{line}"
        );
        if status >= 400 {
            assert_eq!(answer.json()["status"], status, "{line}");
        }
        if status == 405 {
            assert!(answer.header("allow").is_some());
        }
        if status == 204 {
            let allowed = answer.header("access-control-allow-headers").unwrap();
            assert!(allowed.contains("Authorization") && allowed.contains("Content-Type"));
        }
    }
    let long = format!("GET /jmap/session?{}", "x".repeat(9000));
    assert_eq!(server.ask(&long, "", b"").await.status, 414);
    let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(
        server.ask("GET /jmap/session", &many, b"").await.status,
        431
    );
    let large = format!("X: {}\r\n", "x".repeat(64 << 10));
    assert_eq!(
        server.ask("GET /jmap/session", &large, b"").await.status,
        431
    );
}

#[tokio::test]
async fn compression() {
    let server = server().await;
    for (coding, magic) in [
        ("gzip", &[0x1f, 0x8b][..]),
        ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
    ] {
        let fields = format!("Accept-Encoding: {coding}\r\n");
        let answer = server.ask("GET /jmap/session", &fields, b"").await;
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert!(answer.body.starts_with(magic));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    }
    let fields = "Content-Type: application/json\r\nContent-Encoding: br\r\n";
    assert_eq!(
        server.ask("POST /jmap/api", fields, b"{}").await.status,
        415
    );
}

#[tokio::test]
async fn blobs() {
    let server = server().await;
    let upload = format!("POST /jmap/upload/{}", server.account);
    let answer = server
        .ask(
            &upload,
            "Content-Type: text/html; charset=utf-8\r\n",
            b"<b>0123456789</b>",
        )
        .await;
    assert_eq!(answer.status, 201, "{}", answer.head);
    let uploaded = answer.json();
    assert_eq!(uploaded["size"], 17);
    assert_eq!(uploaded["type"], "text/html; charset=utf-8");
    let blob = uploaded["blobId"].as_str().unwrap();
    let address = format!(
        "GET /jmap/download/{}/{blob}/a%20b.html?type=text%2Fhtml",
        server.account
    );
    let whole = server.ask(&address, "", b"").await;
    assert_eq!(
        (whole.status, &whole.body[..]),
        (200, &b"<b>0123456789</b>"[..])
    );
    let fields = [
        ("content-type", "text/html"),
        ("content-disposition", "attachment; filename=\"a b.html\""),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("cache-control", "private, immutable, max-age=31536000"),
    ];
    for (name, value) in fields {
        assert_eq!(whole.header(name), Some(value));
    }
    let etag = whole.header("etag").unwrap();
    let part = server.ask(&address, "Range: bytes=3-6\r\n", b"").await;
    assert_eq!((part.status, &part.body[..]), (206, &b"0123"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 3-6/17"));
    assert_eq!(
        server
            .ask(&address, "Range: bytes=17-\r\n", b"")
            .await
            .status,
        416
    );
    let unchanged = server
        .ask(&address, &format!("If-None-Match: {etag}\r\n"), b"")
        .await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let other = format!("b{}", "0".repeat(64));
    let rows = [
        (
            format!("GET /jmap/download/{}/{other}/x", server.account),
            404,
        ),
        (format!("GET /jmap/download/a999/{blob}/x"), 404),
        (
            format!("GET /jmap/download/{}/nonsense/x", server.account),
            404,
        ),
        (
            format!(
                "GET /jmap/download/{}/{blob}/x?type=a%0d%0ab",
                server.account
            ),
            400,
        ),
        ("POST /jmap/upload/a999".into(), 404),
        ("POST /jmap/upload/nonsense".into(), 404),
    ];
    for (line, status) in rows {
        let answer = server.ask(&line, "", b"").await;
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
}

#[tokio::test]
async fn an_upload_that_is_too_large() {
    let limits = Limits {
        max_size_upload: 1000,
        ..Limits::default()
    };
    let server = server_with(limits, Bounds::default()).await;
    let upload = format!("POST /jmap/upload/{}", server.account);
    assert_eq!(server.ask(&upload, "", &[0; 1000]).await.status, 201);
    let refused = server.ask(&upload, "", &[0; 1001]).await;
    assert_eq!(
        (refused.status, &refused.json()["limit"]),
        (413, &json!("maxSizeUpload"))
    );
    // Without a length told beforehand.
    let fields = format!(
        "Connection: close\r\nTransfer-Encoding: chunked\r\n{}",
        authorization()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("{upload} HTTP/1.1\r\nHost: x\r\n{fields}\r\n3e9\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b'x'; 1001]).await.unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
    let mut octets = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut octets))
        .await
        .unwrap();
    assert_eq!(answer(octets).status, 413);
}

/// Reads until `wanted` is there.
async fn read_until(stream: &mut TcpStream, read: &mut String, wanted: &str) {
    let mut buffer = [0; 4096];
    while !read.contains(wanted) {
        let count = timeout(PATIENCE, stream.read(&mut buffer)).await;
        let count = count
            .unwrap_or_else(|_| panic!("no {wanted:?} in {read:?}"))
            .unwrap();
        assert_ne!(count, 0, "the end came before {wanted:?}: {read:?}");
        read.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

async fn make_mailbox(server: &Server, name: &str) {
    let calls = json!([["Mailbox/set", {"accountId": server.account, "create": {"m": {"name": name}}}, "0"]]);
    let using: &[&str] = if offered(server, "mail").await {
        &["core", "mail"]
    } else {
        return;
    };
    let responses = server.call(using, calls).await;
    assert!(
        responses[0][1]["created"]["m"]["id"].is_string(),
        "{responses}"
    );
}

async fn offered(server: &Server, name: &str) -> bool {
    let session = server.ask("GET /jmap/session", "", b"").await.json();
    session["capabilities"]
        .get(format!("urn:ietf:params:jmap:{name}"))
        .is_some()
}

/// RFC 9112 §3.2, at every address, whoever asks.
#[tokio::test]
async fn requests_without_one_host_are_refused() {
    let server = server().await;
    let rows = [
        ("HTTP/1.1", "", 400),
        ("HTTP/1.1", "Host:\r\n", 400),
        ("HTTP/1.1", "Host: a\r\nHost: a\r\n", 400),
        ("HTTP/1.1", "Host: a/b\r\n", 400),
        ("HTTP/1.1", "Host: a\r\n", 200),
        ("HTTP/1.0", "", 200),
        ("HTTP/1.0", "Host: a\r\nHost: b\r\n", 400),
    ];
    for (version, hosts, status) in rows {
        for path in ["/jmap/session", "/healthz", "/metrics"] {
            let head = format!(
                "GET {path} {version}\r\n{hosts}Connection: close\r\n{}\r\n",
                authorization()
            );
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut octets = Vec::new();
            let read = stream.read_to_end(&mut octets);
            timeout(PATIENCE, read).await.unwrap().unwrap();
            assert_eq!(answer(octets).status, status, "{version} {hosts:?} {path}");
        }
    }
}

/// RFC 9112 §9.6: the client hears that the connection ends, and only where it does.
#[tokio::test]
async fn an_early_answer_tells_that_the_connection_ends() {
    let server = server().await;
    let good = format!("POST /jmap/upload/{}", server.account);
    let rows = [
        ("POST /jmap/upload/zz", "Content-Length: 100000\r\n", true),
        ("POST /jmap/session", "Content-Length: 100000\r\n", true),
        ("POST /elsewhere", "Content-Length: 100000\r\n", true),
        ("GET /jmap/session", "", false),
        ("GET /elsewhere", "", false),
        (good.as_str(), "Content-Length: 0\r\n", false),
    ];
    for (line, length, closes) in rows {
        let fields = format!("{length}{}", authorization());
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut read = String::new();
        read_until(&mut stream, &mut read, "\r\n\r\n").await;
        let says = read.to_ascii_lowercase().contains("connection: close");
        assert_eq!(says, closes, "{line}: {read}");
    }
}

#[tokio::test]
async fn event_source() {
    let server = server().await;
    let refused = server
        .ask(
            "GET /jmap/eventsource?types=*&closeafter=never&ping=0",
            "",
            b"",
        )
        .await;
    assert_eq!(refused.status, 400);
    let line = "GET /jmap/eventsource?types=Mailbox&closeafter=no&ping=0";
    let mut stream = server.open(line, &authorization(), b"").await;
    let mut read = String::new();
    read_until(&mut stream, &mut read, "id: ").await;
    assert!(read.contains("text/event-stream"));
    read_until(&mut stream, &mut read, "\n\n").await;
    // RFC 8620 §7.3: a ping has no id, and there is none where it isn't asked for.
    assert!(!read.contains("event:"), "{read}");
    if offered(&server, "mail").await {
        make_mailbox(&server, "one").await;
        read_until(&mut stream, &mut read, "\"@type\":\"StateChange\"").await;
        read_until(&mut stream, &mut read, "\"Mailbox\":\"s").await;
        assert!(read.contains("event: state\n"));
        // What happens while nobody is connected is told afterwards.
        let id = read
            .rsplit("id: ")
            .next()
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned();
        drop(stream);
        make_mailbox(&server, "two").await;
        let fields = format!("Last-Event-ID: {id}\r\n");
        let line = "GET /jmap/eventsource?types=*&closeafter=state&ping=300";
        let once = server.ask(line, &fields, b"").await;
        let text = String::from_utf8(once.body).unwrap();
        assert!(text.contains("\"Mailbox\":\"s"), "{text}");
        stream = server.open(line, &authorization(), b"").await;
        read.clear();
        read_until(&mut stream, &mut read, "id: ").await;
    }
    // A stop ends the stream, and the connection with it.
    server.shutdown.request();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    let drained = server.shutdown.drain(PATIENCE).await;
    assert_eq!(drained.aborted, 0);
}

type WebSocket = WebSocketStream<TcpStream>;

async fn websocket(server: &Server) -> WebSocket {
    let fields = format!(
        "{}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: jmap\r\n",
        authorization()
    );
    let mut stream = server.open("GET /jmap/ws", &fields, b"").await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = answer(head);
    assert_eq!(head.status, 101, "{}", head.head);
    assert_eq!(
        head.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(head.header("sec-websocket-protocol"), Some("jmap"));
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

async fn receive(socket: &mut WebSocket) -> Value {
    loop {
        let message = timeout(PATIENCE, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn say(socket: &mut WebSocket, message: Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .unwrap();
}

#[tokio::test]
async fn jmap_over_websocket() {
    let server = server().await;
    let mut socket = websocket(&server).await;
    let core = "urn:ietf:params:jmap:core";
    say(&mut socket, json!({"@type": "Request", "id": "R1", "using": [core], "methodCalls": [["Core/echo", {"x": 1}, "0"]]})).await;
    let response = receive(&mut socket).await;
    assert_eq!(response["@type"], "Response");
    assert_eq!(response["requestId"], "R1");
    assert_eq!(
        response["methodResponses"],
        json!([["Core/echo", {"x": 1}, "0"]])
    );
    let rows = [
        (
            json!({"@type": "Request", "id": "R2", "using": ["urn:x"], "methodCalls": []}),
            "unknownCapability",
            json!("R2"),
        ),
        (
            json!({"@type": "Request", "id": "R3"}),
            "notRequest",
            json!("R3"),
        ),
        (json!({"@type": "Nonsense"}), "notRequest", Value::Null),
    ];
    for (message, kind, id) in rows {
        say(&mut socket, message).await;
        let error = receive(&mut socket).await;
        assert_eq!(error["@type"], "RequestError");
        assert_eq!(error["requestId"], id);
        assert_eq!(error["type"], format!("urn:ietf:params:jmap:error:{kind}"));
    }
    socket.send(Message::text("{")).await.unwrap();
    assert_eq!(
        receive(&mut socket).await["type"],
        "urn:ietf:params:jmap:error:notJSON"
    );
    if offered(&server, "mail").await {
        say(
            &mut socket,
            json!({"@type": "WebSocketPushEnable", "dataTypes": ["Mailbox"]}),
        )
        .await;
        // The answer to a request shows that the message before it was read.
        say(
            &mut socket,
            json!({"@type": "Request", "using": [], "methodCalls": []}),
        )
        .await;
        receive(&mut socket).await;
        make_mailbox(&server, "one").await;
        let change = receive(&mut socket).await;
        assert_eq!(change["@type"], "StateChange");
        assert!(change["changed"][&server.account]["Mailbox"].is_string());
        assert!(change["pushState"].is_string());
    }
    server.shutdown.request();
    let last = timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(matches!(last, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1001));
    drop(socket);
    assert_eq!(server.shutdown.drain(PATIENCE).await.aborted, 0);
}

#[tokio::test]
async fn a_websocket_whose_session_is_ended() {
    let server = server().await;
    let mut socket = websocket(&server).await;
    let core = "urn:ietf:params:jmap:core";
    say(
        &mut socket,
        json!({"@type": "Request", "using": [core], "methodCalls": [["Core/echo", {}, "0"]]}),
    )
    .await;
    receive(&mut socket).await;
    let who = Caller::operator(Way::ControlSocket);
    let account = server.core.account_named(LOGIN).await.unwrap().id;
    let open = server
        .core
        .open_sessions(&who, Some(account))
        .await
        .unwrap();
    let mut kinds = open.iter().map(|session| session.kind.name());
    assert!(kinds.any(|kind| kind == "websocket"), "{open:?}");
    let count = server.core.end_sessions_of(&who, account).await.unwrap();
    assert_eq!(count, 1);
    let last = timeout(PATIENCE, socket.next()).await.unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = last else {
        panic!("{last:?}");
    };
    assert_eq!(u16::from(frame.code), 1008);
    assert_eq!(
        frame.reason.as_str(),
        "The session was ended from elsewhere"
    );
    drop(socket);
    server.shutdown.request();
    assert_eq!(server.shutdown.drain(PATIENCE).await.aborted, 0);
    assert_eq!(server.core.sessions().count(), 0);
}

#[tokio::test]
async fn websockets_that_are_refused() {
    let server = server().await;
    let good = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", "jmap"),
    ];
    let rows = [
        ("Upgrade", "h2c", 426),
        ("Sec-WebSocket-Version", "12", 400),
        ("Sec-WebSocket-Key", "short", 400),
        ("Sec-WebSocket-Protocol", "other", 400),
        ("Origin", "https://elsewhere.example", 403),
    ];
    for (name, value, status) in rows {
        let others = good.iter().filter(|(field, _)| *field != name);
        let mut fields: String = others
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        fields.push_str(&format!("{name}: {value}\r\n{}", authorization()));
        let mut stream = server.open("GET /jmap/ws", &fields, b"").await;
        let mut read = String::new();
        read_until(&mut stream, &mut read, "\r\n\r\n").await;
        assert!(
            read.starts_with(&format!("HTTP/1.1 {status}")),
            "{name}: {read}"
        );
    }
}
