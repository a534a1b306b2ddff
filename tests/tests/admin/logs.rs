//! The log: to a file that rotates and to journald, looked through, and followed.

use std::{fs, os::unix::net::UnixDatagram, thread, time::Duration};

use e2e::{
    Server,
    http::{Http, receive_chunk},
    reading::Connection,
};
use serde_json::Value;

use crate::client::{Api, problem, staffed, staffed_home};

fn messages(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("a list");
    let message = |item: &Value| item["message"].as_str().expect("a message").to_owned();
    items.iter().map(message).collect()
}

#[test]
fn administrators_look_through_the_log() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let page = root.shown("/logs?q=LISTENING&level=info");
    let item = page["items"]
        .as_array()
        .and_then(|items| {
            items
                .iter()
                .find(|item| item["fields"]["service"] == "Imaps")
        })
        .unwrap_or_else(|| panic!("{page}"));
    assert_eq!(item["level"], "info");
    assert_eq!(item["target"], "posthorn::wire");
    assert_eq!(
        item["fields"]["address"],
        format!("127.0.0.1:{}", server.home.imaps)
    );
    // Page by page it is the same, newest first.
    let all = root.all("/logs?target=posthorn");
    assert!(all.len() > 8, "{}", all.len());
    let times: Vec<&str> = all
        .iter()
        .filter_map(|item| item["time"].as_str())
        .collect();
    assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "{times:?}");
    for (query, want) in [
        ("level=error", 0),
        ("q=nobody-has-written-this", 0),
        ("target=no.such", 0),
        ("since=2100-01-01T00:00:00Z", 0),
    ] {
        let page = root.shown(&format!("/logs?{query}"));
        assert_eq!(messages(&page).len(), want, "{query}: {page}");
    }
    for query in [
        "level=loud",
        "since=yesterday",
        "cursor=x",
        "limit=0",
        "x=1",
    ] {
        assert_eq!(root.get(&format!("/logs?{query}")).status, 400, "{query}");
    }
    // A login that fails is in it; what it was tried with isn't.
    let mut wrong = Api::with(&server, "alice@example.org", "not this secret");
    assert_eq!(wrong.get("/me").status, 401);
    let all = root.all("/logs?level=trace");
    let text = serde_json::to_string(&all).expect("no JSON");
    assert!(!text.contains("not this secret"));
    assert!(!text.contains(e2e::PASSWORD));
    assert_eq!(
        problem(&Api::new(&server, "help").get("/logs")),
        "forbidden"
    );
}

/// Reads events until one has the text.
fn until(connection: &mut Connection, text: &str) -> String {
    let mut all = String::new();
    loop {
        let chunk = receive_chunk(connection).expect("no chunk");
        assert!(!chunk.is_empty(), "it has ended: {all}");
        all.push_str(&String::from_utf8_lossy(&chunk));
        if all.contains(text) {
            return all;
        }
    }
}

fn basic(login: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let encoded = BASE64_STANDARD.encode(format!("{login}:{}", e2e::PASSWORD));
    format!("Basic {encoded}")
}

#[test]
fn the_log_is_followed_as_it_is_written() {
    let mut server = staffed();
    let root = basic("root");
    let open = |query: &str, fields: &[(&str, &str)]| {
        let mut headers = vec![("Authorization", root.as_str())];
        headers.extend(fields);
        let path = format!("/api/v1/logs/live{query}");
        let (answer, connection) = Http::new(server.home.http)
            .open_stream(&path, &headers)
            .expect("no stream");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        connection
    };
    let mut follower = open("?level=info", &[]);
    let mut errors = open("?level=error&seconds=2", &[]);
    until(&mut follower, ":\n\n");
    server.signal("HUP");
    let events = until(&mut follower, "the log was opened anew");
    let id = events
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an id")
        .to_owned();
    let data = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .find(|data| data.contains("the log was opened anew"))
        .expect("data");
    let entry: Value = serde_json::from_str(data).expect("no JSON");
    assert_eq!(entry["target"], "posthorn::wire", "{entry}");
    // Who comes back gets what came meanwhile.
    server.signal("HUP");
    let mut later = open("", &[("Last-Event-ID", &id)]);
    until(&mut later, "the log was opened anew");
    // It ends when it is asked to, and there was no error.
    let mut rest = String::new();
    loop {
        let chunk = receive_chunk(&mut errors).expect("no chunk");
        if chunk.is_empty() {
            break;
        }
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(!rest.contains("data:"), "{rest}");
    // Not more than so many at once; who may not, doesn't.
    let many: Vec<Connection> = (0..14).map(|_| open("", &[])).collect();
    let mut api = Api::new(&server, "root");
    assert_eq!(problem(&api.get("/logs/live")), "too-many-requests");
    assert_eq!(api.get("/logs/live?seconds=0").status, 400);
    drop(many);
    // A server that stops doesn't wait for those who follow.
    let begin = std::time::Instant::now();
    server.stop();
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_file_rotates_and_is_looked_through_after_a_restart() {
    let home = staffed_home()
        .set("log", "to = \"file\"")
        .set("log", "format = \"json\"")
        .set("log", "level = \"debug\"")
        .set("log", "file = \"logs/posthorn.log\"")
        .set("log", "max-size = \"1 KiB\"")
        .set("log", "keep = 40")
        .set("log", "memory = \"4 KiB\"");
    let mut server = Server::start_in(home);
    server.stop();
    server.restart();
    let folder = server.home.path().join("logs");
    let mut root = Api::new(&server, "root");
    // The beginning of the first run is in no memory any more.
    let all = root.all("/logs?q=listening&target=posthorn::wire");
    let of_imap = all
        .iter()
        .filter(|item| item["fields"]["service"] == "Imap");
    assert_eq!(of_imap.count(), 2, "{all:?}");
    let count = fs::read_dir(&folder).expect("no folder").count();
    assert!(count > 1, "{count}");
    for file in fs::read_dir(&folder).expect("no folder").flatten() {
        assert!(file.metadata().expect("no file").len() <= 1 << 10);
        let text = fs::read_to_string(file.path()).expect("no text");
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).expect("no JSON");
            assert!(line["timestamp"].is_string() && line["level"].is_string());
        }
    }
    // Somebody else moves it away.
    let away = folder.join("away");
    fs::rename(folder.join("posthorn.log"), &away).expect("not moved");
    server.signal("HUP");
    for _ in 0..100 {
        if folder.join("posthorn.log").exists() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(folder.join("posthorn.log").exists());
    assert_eq!(server.log(), "", "nothing goes to stderr");
}

#[test]
fn journald_gets_its_own_form() {
    let home = staffed_home();
    let path = home.path().join("journal");
    let socket = UnixDatagram::bind(&path).expect("no socket");
    let home = home
        .set("log", "to = \"journald\"")
        .set("log", &format!("journal-socket = \"{}\"", path.display()));
    let server = Server::start_in(home);
    let mut octets = vec![0; 64 << 10];
    let mut found = false;
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("no time-out");
    for _ in 0..100 {
        let length = socket.recv(&mut octets).expect("no datagram");
        let text = String::from_utf8_lossy(&octets[..length]).into_owned();
        if text.contains("MESSAGE=listening\n") {
            assert!(text.contains("\nPRIORITY=6\n"), "{text}");
            assert!(text.contains("\nSYSLOG_IDENTIFIER=posthorn\n"), "{text}");
            assert!(
                text.contains("\nPOSTHORN_TARGET=posthorn::wire\n"),
                "{text}"
            );
            found = text.contains("\nPOSTHORN_SERVICE=");
            break;
        }
    }
    assert!(found);
    assert_eq!(server.log(), "");
}

#[test]
fn a_log_that_can_t_be_written_keeps_the_server_from_starting() {
    for (line, why) in [
        (
            "to = \"journald\"\njournal-socket = \"/no/such/socket\"",
            "journald at /no/such/socket",
        ),
        (
            "to = \"file\"\nfile = \"/proc/no/log\"",
            "the log can't be written to /proc/no/log",
        ),
    ] {
        let home = line
            .lines()
            .fold(staffed_home(), |home, line| home.set("log", line));
        home.write_config();
        let failed = e2e::server::start_that_fails(&home);
        assert_ne!(failed.code, 0);
        assert!(failed.output.contains(why), "{}", failed.output);
    }
}
