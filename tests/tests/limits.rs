//! One past every limit, by the network; the server says so and goes on.
//!
//! Holds: after each attack the server still answers others.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Home, Server,
    corpus::message,
    jmap::{ALL_EMAIL_PROPERTIES, string, strings},
};
use serde_json::{Value, json};

const CORE: &str = "urn:ietf:params:jmap:core";
const LIMIT: &str = "urn:ietf:params:jmap:error:limit";
const NOT_JSON: &str = "urn:ietf:params:jmap:error:notJSON";
const NOT_REQUEST: &str = "urn:ietf:params:jmap:error:notRequest";
const MIB: usize = 1 << 20;

/// The server answers, takes a message, and has it.
fn check_alive(server: &mut Server) {
    assert!(
        server.is_running(),
        "the server is gone\n{}",
        server.log_tail()
    );
    let mut jmap = server.jmap("bob");
    let before = jmap.query_all(json!({})).len();
    let mail = message("alive@example.net", "alive", "still here");
    let reply = server
        .smtp()
        .send("carol@example.net", "bob@example.org", &mail)
        .expect("no reply");
    assert_eq!(reply.code, 250, "{}", reply.text);
    assert_eq!(
        jmap.query_all(json!({})).len(),
        before + 1,
        "the message after it"
    );
    assert!(!server.log().contains("panicked"), "{}", server.log_tail());
}

fn calls(count: usize) -> Value {
    let echo = |n| json!(["Core/echo", {}, n]);
    (0..count).map(|n| echo(n.to_string())).collect()
}

#[test]
fn requests_past_a_limit_are_refused_by_its_name() {
    let mut server = Server::start();
    let mut jmap = server.jmap("alice");
    let limits = jmap.session["capabilities"][CORE].clone();
    let limit = |name: &str| limits[name].as_u64().expect("no limit") as usize;
    let request = |calls: Value| json!({"using": [CORE], "methodCalls": calls}).to_string();
    let deep = format!(
        "{{\"using\":[],\"methodCalls\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let many = format!(
        "{{\"using\":[],\"methodCalls\":[{}0]}}",
        "0,".repeat(1_000_000)
    );
    let rows = [
        (
            "10,000 calls",
            request(calls(10_000)),
            LIMIT,
            "maxCallsInRequest",
        ),
        (
            "one call too many",
            request(calls(limit("maxCallsInRequest") + 1)),
            LIMIT,
            "maxCallsInRequest",
        ),
        (
            "octets",
            " ".repeat(limit("maxSizeRequest") + 1),
            LIMIT,
            "maxSizeRequest",
        ),
        ("100,000 levels", deep, NOT_JSON, ""),
        ("1,000,000 values", many, NOT_JSON, ""),
        (
            "a name twice",
            "{\"using\":[],\"using\":[],\"methodCalls\":[]}".to_owned(),
            NOT_JSON,
            "",
        ),
        ("half a document", "{\"using\":[".to_owned(), NOT_JSON, ""),
        ("no calls", "{\"using\":[]}".to_owned(), NOT_REQUEST, ""),
    ];
    for (what, body, kind, limit) in rows {
        let answer = jmap.post_api(body.as_bytes());
        let problem = answer.json();
        assert!(
            (400..500).contains(&answer.status),
            "{what}: {}",
            answer.status
        );
        // What is too deep or too much is no I-JSON to us, or a limit of ours: a client error, and said in JSON.
        assert!(
            problem["type"] == kind || problem["type"] == LIMIT,
            "{what}: {problem}"
        );
        if !limit.is_empty() {
            assert_eq!(problem["limit"], limit, "{what}: {problem}");
        }
    }
    let allowed = jmap.request(calls(limit("maxCallsInRequest")));
    assert_eq!(
        allowed.len(),
        limit("maxCallsInRequest"),
        "as many calls as are allowed"
    );
    check_alive(&mut server);
}

#[test]
fn method_arguments_past_a_limit_are_refused() {
    let mut server = Server::start();
    let mut jmap = server.jmap("alice");
    let limits = jmap.session["capabilities"][CORE].clone();
    let limit = |name: &str| limits[name].as_u64().expect("no limit");
    let ids: Vec<String> = (0..=limit("maxObjectsInGet"))
        .map(|n| format!("e{n}"))
        .collect();
    assert_eq!(
        jmap.error_of("Email/get", json!({"ids": ids})),
        "requestTooLarge"
    );
    let ids: Vec<String> = (0..=limit("maxObjectsInSet"))
        .map(|n| format!("e{n}"))
        .collect();
    assert_eq!(
        jmap.error_of("Email/set", json!({"destroy": ids})),
        "requestTooLarge"
    );
    let wide: Vec<Value> = (0..2000).map(|_| json!({"text": "a"})).collect();
    let wide = json!({"operator": "OR", "conditions": wide});
    assert_eq!(
        jmap.error_of("Email/query", json!({"filter": wide})),
        "unsupportedFilter"
    );
    let sort: Vec<Value> = (0..100).map(|_| json!({"property": "size"})).collect();
    assert_eq!(
        jmap.error_of("Email/query", json!({"sort": sort})),
        "unsupportedSort"
    );
    let name = "x".repeat(100_000);
    let response = jmap.call("Mailbox/set", json!({"create": {"m": {"name": name}}}));
    assert_eq!(
        response["notCreated"]["m"]["type"], "invalidProperties",
        "{response}"
    );
    let keywords: serde_json::Map<String, Value> =
        (0..200).map(|n| (format!("k{n}"), json!(true))).collect();
    let inbox = jmap.mailbox("inbox");
    let id = jmap.import(&message("k@example.net", "k", "k"), &inbox);
    let response = jmap.call(
        "Email/set",
        json!({"update": {&id: {"keywords": keywords}}}),
    );
    assert!(
        response["notUpdated"][&id].is_object(),
        "too many keywords: {response}"
    );
    check_alive(&mut server);
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.home.http)).expect("no connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("no timeout");
    stream
}

/// All that comes until the end of the connection, however that ends.
fn answer_to(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn headers_and_addresses_that_are_too_long_are_refused() {
    let mut server = Server::start();
    let rows = [
        (
            "an address",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(MIB)),
            431,
        ),
        (
            "a field",
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "x".repeat(2 * MIB)
            ),
            431,
        ),
        (
            "fields",
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(20_000)
            ),
            431,
        ),
        ("nonsense", "\0\u{1}\u{2}\r\n\r\n".to_owned(), 400),
    ];
    for (what, row, status) in rows {
        let mut stream = connect(&server);
        // The server may close before it has read all; it has said why by then.
        let _ = stream.write_all(row.as_bytes());
        let answer = answer_to(&mut stream);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{what}: {answer:.100}");
    }
    check_alive(&mut server);
}

#[test]
fn mail_of_any_shape_is_taken_and_can_be_read() {
    let mut server = Server::start();
    let head = "From: a@example.net\r\nTo: alice@example.org\r\nMIME-Version: 1.0\r\n";
    let nested_rfc822 = format!(
        "{head}Subject: nested\r\n{}Content-Type: text/plain\r\n\r\nthe innermost\r\n",
        "Content-Type: message/rfc822\r\n\r\n".repeat(100_000)
    );
    let parts = "--b\r\n\r\nx\r\n".repeat(300_000);
    let many_parts = format!(
        "{head}Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n"
    );
    let multiparts: String = (0..100_000)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"))
        .collect();
    let nested_multiparts =
        format!("{head}Subject: multiparts\r\n{multiparts}\r\nthe innermost\r\n");
    let many_fields = format!(
        "{head}Subject: fields\r\n{}\r\nbody\r\n",
        "X-Field: value\r\n".repeat(200_000)
    );
    let long_field = format!(
        "{head}Subject: long {}\r\n\r\nbody\r\n",
        "word ".repeat(400_000)
    );
    let folded = format!(
        "{head}Subject: folded{}\r\n\r\nbody\r\n",
        "\r\n word".repeat(300_000)
    );
    let addresses = format!(
        "{head}Subject: addresses\r\nCc: {}x@example.net\r\n\r\nbody\r\n",
        "y@example.net, ".repeat(100_000)
    );
    let encoded = format!(
        "{head}Subject: {}\r\n\r\nbody\r\n",
        "=?utf-8?q?=C3=A4?= ".repeat(100_000)
    );
    let rows = [
        nested_rfc822,
        many_parts,
        nested_multiparts,
        many_fields,
        long_field,
        folded,
        addresses,
        encoded,
    ];
    let mut jmap = server.jmap("alice");
    for row in rows {
        let subject: String = row
            .lines()
            .find(|line| line.starts_with("Subject:"))
            .unwrap_or_default()
            .chars()
            .take(24)
            .collect();
        let time = Instant::now();
        let before = jmap.email_state();
        let reply = server
            .smtp()
            .send("a@example.net", "alice@example.org", row.as_bytes())
            .expect("no reply");
        assert_eq!(reply.code, 250, "{subject}: {}", reply.text);
        let (created, ..) = jmap.email_changes(&before);
        let ids: Vec<String> = created.into_iter().collect();
        assert_eq!(ids.len(), 1, "{subject}");
        let asked = json!({"ids": ids, "properties": ALL_EMAIL_PROPERTIES, "fetchAllBodyValues": true, "maxBodyValueBytes": 1000});
        let email = jmap.call("Email/get", asked)["list"][0].take();
        assert!(
            jmap.download(&string(&email["blobId"]))
                .ends_with(row.as_bytes()),
            "{subject}: not what was sent"
        );
        println!(
            "{subject}: {} octets in {} ms",
            row.len(),
            time.elapsed().as_millis()
        );
    }
    check_alive(&mut server);
    server.home.check();
}

#[test]
fn a_message_past_the_size_is_refused_with_552_and_the_server_lives() {
    let mut server =
        Server::start_in(Home::with_people().set("limits", "max-size-message = \"10 MiB\""));
    let announced = server
        .smtp()
        .command(&format!("MAIL FROM:<a@example.net> SIZE={}", 11 * MIB))
        .expect("no reply");
    assert_eq!(announced.code, 552, "{}", announced.text);

    let mut smtp = server.smtp();
    for line in [
        "MAIL FROM:<a@example.net>",
        "RCPT TO:<alice@example.org>",
        "DATA",
    ] {
        assert!(smtp.command(line).expect("no reply").is_ok(), "{line}");
    }
    // One line of 100 MB. The server may close before it has read all of it.
    let chunk = vec![b'x'; MIB];
    let sent = (0..100).all(|_| smtp.connection().write(&chunk).is_ok());
    let _ = smtp.connection().write(b"\r\n.\r\n");
    match smtp.reply() {
        Ok(reply) => assert!(
            matches!(reply.code, 552 | 421),
            "{} {}",
            reply.code,
            reply.text
        ),
        Err(error) => assert!(
            !sent || error.kind() != std::io::ErrorKind::WouldBlock,
            "no answer to 100 MB: {error}"
        ),
    }
    check_alive(&mut server);
    assert!(
        server.resident_octets() < 600 * MIB as u64,
        "memory after it: {}",
        server.resident_octets()
    );

    let command = format!("NOOP {}", "x".repeat(20 * MIB));
    let mut smtp = server.smtp();
    // The line is refused and read to its end, or the connection is closed.
    if let Ok(reply) = smtp.command(&command) {
        assert!(
            matches!(reply.code, 500 | 421),
            "{} {}",
            reply.code,
            reply.text
        );
    }
    check_alive(&mut server);
}

#[test]
fn an_upload_past_the_size_is_refused() {
    let mut server =
        Server::start_in(Home::with_people().set("limits", "max-size-upload = \"1 MiB\""));
    let mut jmap = server.jmap("alice");
    let path = format!("/jmap/upload/{}", jmap.account);
    let authorization = jmap.authorization.clone();
    let mut upload = |octets: usize| {
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "text/plain"),
        ];
        jmap.http.post(&path, &headers, &vec![b'x'; octets])
    };
    assert!(matches!(upload(MIB).status, 200 | 201));
    let refused = upload(MIB + 1);
    assert!((400..500).contains(&refused.status), "{}", refused.status);
    assert_eq!(
        refused.json()["limit"],
        "maxSizeUpload",
        "{}",
        refused.text()
    );
    check_alive(&mut server);
}

#[test]
fn recipients_past_the_limit_are_put_off() {
    let mut server = Server::start_in(Home::with_people().set("limits", "max-recipients = 5"));
    let mut smtp = server.smtp();
    smtp.command("MAIL FROM:<a@example.net>").expect("no reply");
    let codes: Vec<u16> = (0..7)
        .map(|_| {
            smtp.command("RCPT TO:<alice@example.org>")
                .expect("no reply")
                .code
        })
        .collect();
    // RFC 5321 §4.5.3.1.10
    assert!(codes.iter().take(5).all(|code| *code == 250), "{codes:?}");
    assert_eq!(codes[6], 452, "{codes:?}");
    check_alive(&mut server);
}

#[test]
fn clients_that_say_nothing_or_read_nothing_hold_up_nobody() {
    let mut server = Server::start();
    let inbox_mail = message(
        "big@example.net",
        "big",
        &"a line that fills the buffers\n".repeat(100_000),
    );
    assert_eq!(
        server
            .smtp()
            .send("a@example.net", "alice@example.org", &inbox_mail)
            .expect("no reply")
            .code,
        250
    );
    let mut jmap = server.jmap("alice");
    let ids = jmap.query_all(json!({}));
    let blob = string(&jmap.get_emails(&ids, &["blobId"])[0]["blobId"]);
    let request = format!(
        "GET /jmap/download/{}/{blob}/x?type=text/plain HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n",
        jmap.account, jmap.authorization
    );
    let mut held = Vec::new();
    for _ in 0..20 {
        // One that never reads its answers, one that never ends its request, one that never ends its message.
        let mut deaf = TcpStream::connect(("127.0.0.1", server.home.http)).expect("no connection");
        for _ in 0..20 {
            deaf.write_all(request.as_bytes()).expect("not written");
        }
        let mut slow = TcpStream::connect(("127.0.0.1", server.home.http)).expect("no connection");
        slow.write_all(b"POST /jmap/api HTTP/1.1\r\nHost: a\r\nContent-Le")
            .expect("not written");
        let mut mute = TcpStream::connect(("127.0.0.1", server.home.smtp)).expect("no connection");
        mute.write_all(
            b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubj",
        )
        .expect("not written");
        held.extend([deaf, slow, mute]);
    }
    let time = Instant::now();
    check_alive(&mut server);
    assert!(
        time.elapsed() < Duration::from_secs(20),
        "others waited {:?}",
        time.elapsed()
    );
    assert!(
        server.resident_octets() < 800 * MIB as u64,
        "memory meanwhile: {}",
        server.resident_octets()
    );
    drop(held);
    check_alive(&mut server);
}

#[test]
fn connections_past_the_limit_are_turned_away_and_come_back() {
    let home = Home::with_people()
        .set("smtp", "connections = 10")
        .set("http", "connections = 10");
    let mut server = Server::start_in(home);
    let held: Vec<_> = (0..10).map(|_| server.smtp()).collect();
    let refused = e2e::Smtp::connect(server.home.smtp, false);
    let why = refused
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        why.starts_with("421") || why.contains("end of file") || why.contains("reset"),
        "the 11th: {why:?}"
    );
    drop(held);
    wait_until("a connection after the others have gone", || {
        e2e::Smtp::connect(server.home.smtp, false).is_ok()
    });

    let held: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(("127.0.0.1", server.home.http)).expect("no connection"))
        .collect();
    thread::sleep(Duration::from_millis(200));
    drop(held);
    wait_until("HTTP after the others have gone", || {
        e2e::http::Http::new(server.home.http)
            .try_get("/healthz", &[])
            .is_ok_and(|answer| answer.status == 200)
    });
    check_alive(&mut server);
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within 20 seconds");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn requests_at_once_past_the_limit_are_refused_and_the_others_answered() {
    let mut server = Server::start();
    let mut jmap = server.jmap("alice");
    let at_once = jmap.session["capabilities"][CORE]["maxConcurrentRequests"].as_u64();
    let at_once = at_once.expect("no limit") as usize;
    let body = json!({"using": [CORE], "methodCalls": calls(1)}).to_string();
    let (most, last) = body.as_bytes().split_at(body.len() - 1);
    let head = format!(
        "POST /jmap/api HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        jmap.authorization,
        body.len()
    );
    // As many as there is room for, and as many as may wait: the last octet of each is missing.
    let mut begun: Vec<TcpStream> = (0..at_once + ::jmap::Bounds::default().waiting)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(head.as_bytes()).expect("not written");
            stream.write_all(most).expect("not written");
            stream
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let time = Instant::now();
    let refused = jmap.post_api(body.as_bytes());
    let problem = refused.json();
    assert_eq!(refused.status, 429, "one more: {problem}");
    assert_eq!(problem["type"], LIMIT, "{problem}");
    assert_eq!(problem["limit"], "maxConcurrentRequests", "{problem}");
    assert!(time.elapsed() < Duration::from_secs(5), "it had to wait");
    // Another account has a room of its own.
    let other = server.jmap("bob").post_api(body.as_bytes());
    assert_eq!(other.status, 200, "{}", other.text());
    for stream in &mut begun {
        stream.write_all(last).expect("not written");
    }
    for (n, stream) in begun.iter_mut().enumerate() {
        let answer = answer_to(stream);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{n}: {answer:.100}");
    }
    assert_eq!(jmap.post_api(body.as_bytes()).status, 200);
    check_alive(&mut server);
}

#[test]
fn a_full_account_is_put_off_and_takes_mail_again() {
    let mut server = Server::start();
    server
        .home
        .cli(&["account", "quota", "alice@example.org", "100KB"], "");
    let mail = message(
        "fill@example.net",
        "fill",
        &"some words of it\n".repeat(2500),
    );
    let codes: Vec<u16> = (0..4)
        .map(|_| {
            server
                .smtp()
                .send("a@example.net", "alice@example.org", &mail)
                .expect("no reply")
                .code
        })
        .collect();
    assert_eq!(codes[0], 250, "{codes:?}");
    assert_eq!(codes[3], 452, "over the quota: {codes:?}");
    let mut jmap = server.jmap("alice");
    let inbox = jmap.mailbox("inbox");
    let blob = jmap.upload(&mail, "message/rfc822");
    let import = json!({"emails": {"m": {"blobId": blob, "mailboxIds": {inbox: true}}}});
    assert_eq!(
        jmap.call("Email/import", import)["notCreated"]["m"]["type"],
        "overQuota"
    );
    let ids = jmap.query_all(json!({}));
    let destroyed = jmap.call("Email/set", json!({"destroy": ids}));
    assert_eq!(strings(&destroyed["destroyed"]).len(), ids.len());
    let reply = server
        .smtp()
        .send("a@example.net", "alice@example.org", &mail)
        .expect("no reply");
    assert_eq!(reply.code, 250, "{}", reply.text);
    check_alive(&mut server);
}

#[test]
fn a_client_of_smtp_that_never_reads_is_not_read_on() {
    let mut server = Server::start();
    let mut deaf = TcpStream::connect(("127.0.0.1", server.home.smtp)).expect("no connection");
    deaf.set_write_timeout(Some(Duration::from_secs(2)))
        .expect("no timeout");
    // Answers that nobody takes fill the buffers; then the server reads no more commands, or has had enough.
    let commands = "NOOP\r\n".repeat(10_000);
    let mut written = 0;
    while written < 256 * MIB && deaf.write_all(commands.as_bytes()).is_ok() {
        written += commands.len();
    }
    assert!(written < 256 * MIB, "it reads on and on");
    assert!(
        server.resident_octets() < 600 * MIB as u64,
        "memory meanwhile: {}",
        server.resident_octets()
    );
    check_alive(&mut server);
}

#[test]
fn sending_past_the_limit_of_an_account_is_refused_until_later() {
    let home = Home::with_people().set("limits", "max-recipients-per-hour = 2");
    let mut server = Server::start_in(home);
    let mut jmap = server.jmap("alice");
    let drafts = jmap.mailbox("drafts");
    let mail = "From: alice@example.org\r\nTo: bob@example.org\r\nSubject: sent\r\n\r\nx\r\n";
    let email = jmap.import(mail.as_bytes(), &drafts);
    let identities = jmap.call("Identity/get", json!({"ids": null}));
    let identity = string(&identities["list"][0]["id"]);
    let mut send = || {
        let create = json!({"k": {"identityId": identity, "emailId": email}});
        jmap.call("EmailSubmission/set", json!({"create": create}))
    };
    for _ in 0..2 {
        let answer = send();
        assert!(answer["created"]["k"].is_object(), "{answer}");
    }
    let refused = send();
    assert_eq!(refused["notCreated"]["k"]["type"], "rateLimit", "{refused}");
    check_alive(&mut server);
}
