//! Sessions are listed and ended, and end by themselves when their login is no longer good.

use std::{
    io::{self, BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{Home, PASSWORD, Pop3, Server, http::Http, jmap::basic, reading::Connection};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
/// How long it may take until a session has ended.
const PATIENCE: Duration = Duration::from_secs(20);

fn imap(server: &Server, user: &str, password: &str) -> Connection {
    let mut imap = Connection::open(server.home.imap).expect("no connection");
    imap.line().expect("no greeting");
    say(&mut imap, &format!("a LOGIN {user} \"{password}\""));
    let answer = imap.line().expect("no answer");
    assert!(answer.starts_with("a OK"), "{answer}");
    imap
}

fn say(connection: &mut Connection, line: &str) {
    let line = format!("{line}\r\n");
    connection.write(line.as_bytes()).expect("it can't be said");
}

fn managesieve(server: &Server, user: &str) -> Connection {
    let mut sieve = Connection::open(server.home.managesieve).expect("no connection");
    while !sieve.line().expect("no greeting").starts_with("OK") {}
    let response = BASE64_STANDARD.encode(format!("\0{user}\0{PASSWORD}"));
    say(
        &mut sieve,
        &format!("AUTHENTICATE \"PLAIN\" \"{response}\""),
    );
    let answer = sieve.line().expect("no answer");
    assert!(answer.starts_with("OK"), "{answer}");
    sieve
}

fn event_source(server: &Server, user: &str, password: &str) -> Connection {
    let authorization = basic(user, password);
    let fields = [("Authorization", authorization.as_str())];
    let path = "/jmap/eventsource?types=*&closeafter=no&ping=0";
    let http = Http::new(server.home.http);
    let (answer, mut stream) = http.open_stream(path, &fields).expect("no event source");
    assert_eq!(answer.status, 200);
    stream.line().expect("no first event");
    stream
}

/// Another program that holds a session of submission.
struct Submission {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Submission {
    fn open(server: &Server, user: &str, password: &str) -> Submission {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/hold_submission.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(server.home.submission.to_string())
            .args([user, password])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 can't be run");
        let stdout = child.stdout.take().expect("no output");
        let mut submission = Submission {
            child,
            said: BufReader::new(stdout),
        };
        assert_eq!(submission.line(), "in");
        submission
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it says nothing");
        line.trim_end().to_owned()
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All sessions, as the command line has them.
fn listed(home: &Home) -> Vec<Value> {
    let text = home.cli(&["session", "list", "--json"], "");
    serde_json::from_str(&text).expect("no JSON")
}

fn id_of(home: &Home, kind: &str) -> String {
    let all = listed(home);
    let found = all.iter().find(|session| session["kind"] == kind);
    let found = found.unwrap_or_else(|| panic!("no session of {kind}: {all:?}"));
    found["id"].as_str().expect("no id").to_owned()
}

/// The next line, within our patience.
fn soon(connection: &mut Connection) -> io::Result<String> {
    connection
        .stream()
        .set_read_timeout(Some(PATIENCE))
        .expect("no timeout");
    connection.line()
}

fn is_closed(connection: &mut Connection) -> bool {
    soon(connection).is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// Reads on to the last chunk of a stream (RFC 9112 §7.1): the connection may be used for something else.
fn ends(stream: &mut Connection) {
    let end = Instant::now() + PATIENCE;
    loop {
        match soon(stream) {
            Ok(line) if line == "0" => return,
            Ok(_) => assert!(Instant::now() < end, "the stream goes on"),
            Err(error) => panic!("the stream doesn't end well: {error}"),
        }
    }
}

#[test]
fn sessions_are_ended_in_the_words_of_their_protocol() {
    let server = Server::start();
    let home = &server.home;
    let mut imap = imap(&server, ALICE, PASSWORD);
    let mut idle = self::imap(&server, ALICE, PASSWORD);
    say(&mut idle, "b IDLE");
    assert!(idle.line().expect("no answer").starts_with('+'));
    let mut pop3 = Pop3::login(home.pop3, ALICE, PASSWORD).0;
    let mut sieve = managesieve(&server, ALICE);
    let mut submission = Submission::open(&server, ALICE, PASSWORD);
    let mut events = event_source(&server, ALICE, PASSWORD);
    // Somebody else's goes on.
    let mut other = self::imap(&server, BOB, PASSWORD);

    let mut kinds: Vec<String> = listed(home)
        .iter()
        .map(|session| format!("{} {}", session["account"], session["kind"]).replace('"', ""))
        .collect();
    kinds.sort();
    kinds.dedup();
    let of_alice = [
        "event-source",
        "http",
        "imap",
        "managesieve",
        "pop3",
        "submission",
    ];
    let mut expected: Vec<String> = of_alice
        .iter()
        .map(|kind| format!("{ALICE} {kind}"))
        .collect();
    expected.push(format!("{BOB} imap"));
    assert_eq!(kinds, expected);
    let text = home.cli(&["session", "list", "--account", BOB], "");
    assert!(
        text.contains("from 127.0.0.1") && text.lines().count() == 1,
        "{text}"
    );

    home.cli(&["session", "end", &id_of(home, "pop3")], "");
    let words = "The session was ended from elsewhere";
    assert_eq!(soon(&mut pop3).expect("no line"), format!("-ERR {words}"));
    assert!(is_closed(&mut pop3));
    let said = home.cli(&["session", "end", "--account", ALICE], "");
    assert!(said.contains("sessions ended: 5"), "{said}");
    for imap in [&mut imap, &mut idle] {
        assert_eq!(soon(imap).expect("no line"), format!("* BYE {words}"));
        assert!(is_closed(imap));
    }
    assert_eq!(
        soon(&mut sieve).expect("no line"),
        format!("BYE \"{words}\"")
    );
    assert!(is_closed(&mut sieve));
    assert_eq!(submission.line(), format!("421 4.7.0 {words}"));
    ends(&mut events);
    say(&mut other, "b NOOP");
    assert!(other.line().expect("no answer").starts_with("b OK"));
    let again = imap_again(&server);
    drop(again);
    let audit = home.cli(&["audit", "--operation", "session"], "");
    assert_eq!(audit.matches("session.end").count(), 2, "{audit}");
}

/// The credential stays good.
fn imap_again(server: &Server) -> Connection {
    imap(server, ALICE, PASSWORD)
}

#[test]
fn sessions_end_with_their_login() {
    let server = Server::start();
    let home = &server.home;
    let issued = home.cli(&["credential", "app-password", ALICE, "--json"], "");
    let issued: Value = serde_json::from_str(&issued).expect("no JSON");
    let secret = issued["secret"].as_str().expect("no secret").to_owned();
    let mut by_password = imap(&server, ALICE, PASSWORD);
    let mut pop3 = Pop3::login(home.pop3, ALICE, PASSWORD).0;
    let mut submission = Submission::open(&server, ALICE, PASSWORD);
    let mut events = event_source(&server, ALICE, PASSWORD);
    let mut by_phone = imap(&server, ALICE, &secret);
    let mut other = imap(&server, BOB, PASSWORD);

    // What has nothing to do with logging in ends nothing.
    home.cli(&["account", "alias", "add", ALICE, "al@example.org"], "");
    thread::sleep(Duration::from_secs(3));
    say(&mut by_password, "b NOOP");
    assert!(by_password.line().expect("no answer").starts_with("b OK"));

    let changed = Instant::now();
    home.cli(
        &["account", "password", ALICE, "--password-stdin"],
        "another horse 77",
    );
    let words = "The login is no longer good";
    assert_eq!(
        soon(&mut by_password).expect("no line"),
        format!("* BYE [AUTHORIZATIONFAILED] {words}")
    );
    assert_eq!(
        soon(&mut pop3).expect("no line"),
        format!("-ERR [AUTH] {words}")
    );
    assert_eq!(submission.line(), format!("421 4.7.0 {words}"));
    ends(&mut events);
    assert!(changed.elapsed() < PATIENCE, "{:?}", changed.elapsed());
    for imap in [&mut by_phone, &mut other] {
        say(imap, "b NOOP");
        assert!(imap.line().expect("no answer").starts_with("b OK"));
    }
    let number = issued["credential"]["number"].to_string();
    home.cli(&["credential", "revoke", ALICE, &number], "");
    assert!(soon(&mut by_phone).expect("no line").starts_with("* BYE"));
    home.cli(&["account", "disable", BOB], "");
    assert!(soon(&mut other).expect("no line").starts_with("* BYE"));
    assert!(listed(home).iter().all(|session| session["kind"] == "http"));
}

#[test]
fn people_see_and_end_their_own() {
    let server = Server::start();
    let mut mine = imap(&server, ALICE, PASSWORD);
    let mut theirs = imap(&server, BOB, PASSWORD);
    let authorization = basic(ALICE, PASSWORD);
    let ask = |method: &str, path: &str| {
        let fields = [("Authorization", authorization.as_str())];
        let path = format!("/api/v1{path}");
        let mut http = Http::new(server.home.http);
        http.request(method, &path, &fields, b"")
            .expect("no answer")
    };
    let answer = ask("GET", "/me/sessions");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sessions = answer.json();
    let items = sessions["items"].as_array().expect("no list");
    assert!(
        items.iter().all(|session| session["name"] == ALICE),
        "{sessions}"
    );
    let imap = items.iter().find(|session| session["kind"] == "imap");
    let imap = imap.expect("no session of IMAP");
    assert_eq!(imap["address"], "127.0.0.1");
    assert_eq!(imap["credentialKind"], "password");
    let http = items.iter().find(|session| session["kind"] == "http");
    let http = http.expect("no session of HTTP")["id"]
        .as_str()
        .expect("no id");
    let refused = ask("DELETE", &format!("/me/sessions/{http}"));
    assert_eq!(
        (refused.status, &refused.json()["type"]),
        (409, &json!("urn:posthorn:problem:in-use"))
    );

    let of_bob = id_of_account(&server.home, BOB);
    assert_eq!(ask("DELETE", &format!("/me/sessions/{of_bob}")).status, 404);
    assert_eq!(ask("DELETE", &format!("/sessions/{of_bob}")).status, 403);
    assert_eq!(ask("GET", "/sessions").status, 403);
    let own = imap["id"].as_str().expect("no id");
    assert_eq!(ask("DELETE", &format!("/me/sessions/{own}")).status, 204);
    assert!(soon(&mut mine).expect("no line").starts_with("* BYE"));
    say(&mut theirs, "b NOOP");
    assert!(theirs.line().expect("no answer").starts_with("b OK"));
}

fn id_of_account(home: &Home, name: &str) -> String {
    let all = listed(home);
    let found = all.iter().find(|session| session["account"] == name);
    found.expect("no session")["id"]
        .as_str()
        .expect("no id")
        .to_owned()
}
