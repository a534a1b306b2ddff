//! POP3 with clients that others wrote: they fetch, remove and keep, and nothing is lost when the server dies.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use e2e::{Home, PASSWORD, Server, corpus::message, reading::Connection};
use serde_json::json;

const ALICE: &str = "alice@example.org";

/// Runs a program that has to succeed; what it has printed.
fn run(program: &str, args: &[&str], folder: &Path) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = output
        .unwrap_or_else(|error| panic!("{program} can't be run ({error}); it is a Debian package"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {}: {}\n{printed}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

fn deliver(server: &Server, subject: &str, body: &str) -> Vec<u8> {
    let mail = message(&format!("{subject}@example.net"), subject, body);
    let reply = server.smtp().send("carol@example.net", ALICE, &mail);
    assert_eq!(reply.expect("not delivered").code, 250);
    mail
}

#[test]
fn poplib_fetches_and_removes() {
    let server = Server::start();
    deliver(&server, "one", "first");
    deliver(&server, "two", "second");
    deliver(&server, "dots", ".\n..two\nend");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/poplib_client.py");
    let (port, tls_port) = (server.home.pop3.to_string(), server.home.pop3s.to_string());
    let script = script.to_string_lossy();
    let args = [&script, "127.0.0.1", &port, &tls_port, ALICE, PASSWORD];
    let printed = run("python3", &args, server.home.path());
    assert_eq!(printed.trim(), "done");
    // What is gone by POP3 is gone by JMAP.
    let mut jmap = server.jmap("alice");
    let found = jmap.call("Email/query", json!({}));
    assert_eq!(found["ids"].as_array().map(Vec::len), Some(1));
    server.home.check();
}

#[test]
fn curl_fetches_by_stls_and_by_tls() {
    let server = Server::start();
    let mail = deliver(&server, "curled", ".dot\nlast");
    let user = format!("{ALICE}:{PASSWORD}");
    let plain = format!("pop3://127.0.0.1:{}/", server.home.pop3);
    let tls = format!("pop3s://127.0.0.1:{}/", server.home.pop3s);
    let rows: [(&str, &[&str]); 5] = [
        (&plain, &[]),
        (&plain, &["--ssl-reqd", "--insecure"]),
        (&tls, &["--insecure"]),
        (&tls, &["--insecure", "--login-options", "AUTH=LOGIN"]),
        (&tls, &["--insecure", "--sasl-ir"]),
    ];
    for (url, options) in rows {
        let args = [&["-sS", "-u", &user, url][..], options].concat();
        let listed = run("curl", &args, server.home.path());
        let size = listed.trim().strip_prefix("1 ").map(str::to_owned);
        let size: usize = size.and_then(|size| size.parse().ok()).expect("no list");
        let url = format!("{url}1");
        let args = [&["-sS", "-u", &user, &url][..], options].concat();
        let fetched = run("curl", &args, server.home.path());
        assert_eq!(fetched.len(), size);
        assert!(fetched.as_bytes().ends_with(&mail), "{fetched}");
    }
}

#[test]
fn getmail_fetches_each_message_once() {
    let server = Server::start();
    let folder = server.home.path();
    let fetched = folder.join("fetched");
    std::fs::create_dir(&fetched).expect("no folder");
    // A Maildir it would not write to as root.
    let rc = format!(
        "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {}\nusername = {ALICE}\npassword = {PASSWORD}\n\
         [destination]\ntype = MDA_external\npath = /bin/sh\n\
         arguments = (\"-c\", \"cat > $(mktemp {}/XXXXXX)\")\nallow_root_commands = true\n\
         [options]\nread_all = false\ndelete = DELETE\n",
        server.home.pop3,
        fetched.display()
    );
    let fetch = |delete: &str| {
        let rc = rc.replace("DELETE", delete);
        std::fs::write(folder.join("getmailrc"), rc).expect("not written");
        let path = folder.to_string_lossy();
        run("getmail", &["--getmaildir", &path, "-q"], folder);
        std::fs::read_dir(&fetched).expect("no folder").count()
    };
    deliver(&server, "one", "first");
    deliver(&server, "two", "second");
    assert_eq!(fetch("false"), 2);
    deliver(&server, "three", "third");
    assert_eq!(fetch("false"), 3, "a message came twice");
    assert_eq!(fetch("true"), 3);
    assert!(server.pop3("alice").list("LIST").is_empty());
}

#[test]
fn ids_stay_and_kill_9_loses_nothing() {
    let mut server = Server::start();
    for n in 0..4 {
        deliver(&server, &format!("mail{n}"), "text");
    }
    let mut session = server.pop3("alice");
    let ids = session.list("UIDL");
    session.ok("DELE 1");
    session.ok("DELE 2");
    server.kill();
    server.restart();
    // Nothing was removed, and the lock is gone with the server.
    let mut session = server.pop3("alice");
    assert_eq!(session.list("UIDL"), ids);
    session.ok("DELE 2");
    session.ok("QUIT");
    server.kill();
    server.restart();
    let mut session = server.pop3("alice");
    let left = session.list("UIDL");
    let id = |line: &String| line.split(' ').nth(1).map(str::to_owned);
    let expected: Vec<_> = [0, 2, 3]
        .into_iter()
        .map(|at: usize| id(&ids[at]))
        .collect();
    assert_eq!(left.iter().map(id).collect::<Vec<_>>(), expected);
    drop(session);
    server.home.check();
    server.stop();
    server.home.check();
}

#[test]
fn a_message_that_was_moved_is_neither_sent_nor_removed() {
    let server = Server::start();
    deliver(&server, "moved", "text");
    deliver(&server, "stays", "text");
    let mut session = server.pop3("alice");
    let mut jmap = server.jmap("alice");
    let found = jmap.call("Email/query", json!({"filter": {"subject": "moved"}}));
    let id = found["ids"][0].as_str().expect("no email").to_owned();
    let trash = jmap.call("Mailbox/query", json!({"filter": {"role": "trash"}}));
    let trash = trash["ids"][0].as_str().expect("no trash").to_owned();
    let inbox = jmap.call("Mailbox/query", json!({"filter": {"role": "inbox"}}));
    let inbox = inbox["ids"][0].as_str().expect("no inbox").to_owned();
    let mut file = |mailbox: &str| {
        let patch = json!({"mailboxIds": {mailbox: true}});
        let done = jmap.call("Email/set", json!({"update": {&id: patch}}));
        assert!(done["updated"].get(&id).is_some(), "{done}");
    };
    file(&trash);
    session
        .0
        .write(b"RETR 1\r\n")
        .and_then(|()| session.0.line())
        .map(|line| assert!(line.starts_with("-ERR"), "{line}"))
        .expect("no answer");
    session.ok("DELE 1");
    session.ok("DELE 2");
    // What comes back is another message of the inbox: it has another UID.
    file(&inbox);
    session.ok("QUIT");
    let left = jmap.call("Email/query", json!({}));
    assert_eq!(left["ids"], json!([id]));
}

#[test]
fn what_imap_has_marked_is_there_until_it_is_expunged() {
    let server = Server::start();
    deliver(&server, "one", "text");
    deliver(&server, "two", "text");
    let mut imap = Connection::open(server.home.imap).expect("no connection");
    let mut say = |command: String| {
        imap.write(format!("a {command}\r\n").as_bytes())
            .expect("not sent");
        while !imap.line().expect("no answer").starts_with("a OK") {}
    };
    say(format!("LOGIN {ALICE} \"{PASSWORD}\""));
    say("SELECT INBOX".to_owned());
    say("STORE 1 +FLAGS (\\Deleted)".to_owned());
    // JMAP doesn't see it any more (RFC 8621 §4.1.1).
    assert_eq!(server.jmap("alice").query_all(json!(null)).len(), 1);
    let mut session = server.pop3("alice");
    assert_eq!(session.list("LIST").len(), 2);
    session.list("RETR 1");
    session.ok("DELE 1");
    session.ok("QUIT");
    assert_eq!(server.pop3("alice").list("LIST").len(), 1);
    say("EXPUNGE".to_owned());
    assert_eq!(server.pop3("alice").list("LIST").len(), 1);
    server.home.check();
}

#[test]
fn limits_can_be_configured() {
    let home = Home::with_people()
        .set("pop3", "idle-timeout = \"1s\"")
        .set("pop3", "bad-commands = 1");
    let server = Server::start_in(home);
    let mut session = server.pop3("alice");
    assert!(session.0.line().is_err(), "a silent session goes on");
    let mut connection = Connection::open(server.home.pop3).expect("no connection");
    connection.write(b"NONE\r\nNONE\r\n").expect("not sent");
    let rest = connection.to_end().expect("no end");
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("Too many commands"), "{rest}");
}
